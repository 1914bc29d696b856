"""The reference's client, blocking and async."""
