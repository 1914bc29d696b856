"""Pages and webhooks, and the lists of them."""
