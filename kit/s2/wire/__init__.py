"""S2's bytes and JSON, to Python and to columns and back. No I/O."""
