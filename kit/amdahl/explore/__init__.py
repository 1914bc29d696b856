"""Amdahl in a notebook: the explorer, sessions, deliveries, listings as frames."""
