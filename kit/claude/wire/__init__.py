"""The service's JSON and the answers of models, to Python and to columns. No I/O."""
