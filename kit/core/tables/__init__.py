"""Values in and out: frames and Python values as JSON, and JSON as columns."""
