"""Looking for records: questions, the search, and its receipt."""
