"""Values in and out: what a notebook has at hand as JSON, and JSON as columns."""
