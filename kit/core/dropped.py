"""Closing what nothing refers to any more: an iterator left with `break`, a cancelled task's session, an unnamed feed.

What a caller holds and what the work of a loop holds are two objects, and only the first knows the second. Once the
first is collected, in whatever thread that happens, the second is closed on the loop that its connection belongs to.
"""

from __future__ import annotations

import asyncio
import os
import warnings
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

Close = Callable[[], Awaitable[Any]]
_closing: set[asyncio.Future[Any]] = set()
"""Tasks that close something; the loop itself holds only weak references to them."""


def close_when_dropped(
    holder: object,
    close: Close,
    loop: asyncio.AbstractEventLoop | None = None,
    *,
    warning: Callable[[], str] = lambda: "",
) -> weakref.finalize[Any, Any]:
    """Run a coroutine function on a loop (the running one by default) once `holder` is garbage-collected.

    `close` must not hold `holder`, and neither must `warning`, which gives the text of a ResourceWarning where it
    matters that the caller forgot to close, else "". `detach()` of the result cancels it.
    """
    finalizer = weakref.finalize(holder, _dropped, os.getpid(), loop or asyncio.get_running_loop(), close, warning)
    finalizer.atexit = False
    return finalizer


def _dropped(pid: int, loop: asyncio.AbstractEventLoop, close: Close, warning: Callable[[], str]) -> None:
    if os.getpid() != pid or loop.is_closed():
        return
    text = warning()
    try:
        loop.call_soon_threadsafe(_begin, close)
    except RuntimeError:
        return  # the loop was closed meanwhile, with its connections
    if text:
        warnings.warn(text, ResourceWarning, stacklevel=2)


def _begin(close: Close) -> None:
    task = asyncio.ensure_future(close())
    _closing.add(task)
    task.add_done_callback(_ended)


def _ended(task: asyncio.Future[Any]) -> None:
    _closing.discard(task)
    if not task.cancelled():
        task.exception()  # nothing is left that could report it
