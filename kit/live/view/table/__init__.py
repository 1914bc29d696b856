"""The table of a view as HTML: its rows and their order, single rows, and what changed since it was last sent."""
