"""Kimberlite's bytes, to Python and to columns and back. No I/O."""
