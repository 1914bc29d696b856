"""The platform's JSON, to Python and to columns and back. No I/O."""
