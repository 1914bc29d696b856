"""The messages of the protocol: their fields, their numbers, their encoding."""
