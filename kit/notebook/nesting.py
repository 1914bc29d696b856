"""`asyncio.run(...)` inside cells, where a loop is already running; done only on request, and reversible."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Any

_before: Any = None
_patched: Any = None


def nest() -> None:
    """Let `asyncio.run(...)` and `loop.run_until_complete(...)` be called in notebook cells, as scripts do.

    `%load_ext kit` does the same. It changes asyncio in the whole process; nothing in the toolkit needs it.
    """
    global _before, _patched
    if _before is not None:
        return
    before = asyncio.run
    if _patched is not None:
        # The patch itself stays after the first time; only this name was restored.
        asyncio.run = _patched
    else:
        _library().apply()
        _patched = asyncio.run
    _before = before


def unnest() -> None:
    """Give `asyncio.run` back as it was."""
    global _before
    if _before is not None:
        asyncio.run, _before = _before, None


def nested() -> bool:
    """Return whether it is in force."""
    return _before is not None


def _library() -> Any:
    """Return the maintained twin where the kernel has brought it."""
    if importlib.util.find_spec("nest_asyncio2") is not None:
        import nest_asyncio2

        return nest_asyncio2
    import nest_asyncio

    return nest_asyncio
