"""Tenants, keys, consents, and the log of who did what."""
