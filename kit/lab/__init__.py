"""The embedded servers, so that everything runs on a laptop with no account and no network.

`Lab` starts them in a process of their own, or joins those already running; `kit lab` does so with JupyterLab.
"""

from .lab import Lab

__all__ = ["Lab"]
