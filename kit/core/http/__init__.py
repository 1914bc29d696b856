"""Requests and answers: operations without I/O, the drivers that run them, retries, and connections."""
