"""Agent sessions: their steps, their state, and their streams."""
