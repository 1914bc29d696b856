"""The place of a model: text from a prompt, by rules."""
