"""What is in a log: fields, hours, sizes, changes of shape."""
