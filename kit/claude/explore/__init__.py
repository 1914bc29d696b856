"""The Claude Code API service in a notebook: the explorer, prompts over frames, usage as frames."""
