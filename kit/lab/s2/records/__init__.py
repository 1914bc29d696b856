"""Records: appended, stored, read and removed."""
