"""Copying a log to another, each record once."""
