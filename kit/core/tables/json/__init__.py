"""JSON to columns and back: which types columns have, and how their values are read and written."""
