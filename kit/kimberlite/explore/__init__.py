"""Kimberlite in a notebook: the explorer, handles, what feeds follow, listings as frames."""
