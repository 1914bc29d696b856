"""What an account has: basins, streams, tokens, and the use of them."""
