"""A feed: its source, its engine, its state, and what happens with its rows."""
