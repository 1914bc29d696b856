"""Many prompts: what is sent when, what is paid once, and their answers as a frame."""
