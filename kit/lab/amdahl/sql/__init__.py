"""SQL over the table of interactions, in processes of its own."""
