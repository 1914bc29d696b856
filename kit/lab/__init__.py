"""The embedded servers, so that everything runs on a laptop with no account and no network.

`Lab` starts them in a process of their own, or joins those already running; `kit lab` does so with JupyterLab.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .lab import Lab

__all__ = ["Lab"]


def __getattr__(name: str) -> Any:
    # Loaded on first use, as in `kit` itself: `kit --help` needs no HTTP client.
    if name != "Lab":
        raise AttributeError(f"kit.lab has no {name!r}")
    from .lab import Lab

    return Lab
