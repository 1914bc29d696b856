"""One background event loop per process, for work that outlives a cell: sessions, subscriptions, receivers.

It starts on first use, in a thread of its own, so it keeps running while a cell blocks the kernel's loop. A forked
child starts its own on first use. At exit it is stopped, and the process waits only a moment for it.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import selectors
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from anyio.from_thread import BlockingPortal

from .errors import KitError

T = TypeVar("T")

_lock = threading.Lock()
_portal: BlockingPortal | None = None
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None
_EXIT_WAIT = 2.0
_shared: list[Any] = []
"""The selectors of parents' loops, kept in a fork so that nothing of theirs is closed there."""


def portal() -> BlockingPortal:
    """Return the way onto the background loop: `portal().call(async_function, *args)` from any other thread."""
    global _portal, _thread
    with _lock:
        if _portal is None:
            if sys.platform == "emscripten":
                raise KitError("Pyodide has no threads, so feeds do not work", hint="use a kernel on a machine")
            started: Future[BlockingPortal] = Future()
            # A daemon: a subscription left open must not keep the interpreter from ending.
            _thread = threading.Thread(target=_run, args=(started,), name="kit-loop", daemon=True)
            _thread.start()
            _portal = started.result()
        return _portal


def call(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run a coroutine function on the background loop and gives its result; an interrupt here cancels it there."""
    future = portal().start_task_soon(function, *args)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def start(function: Callable[..., Awaitable[T]], *args: Any) -> Future[T]:
    """Start a coroutine function on the background loop; cancelling the future cancels the task."""
    return portal().start_task_soon(function, *args)


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the loop, started if necessary, for code that has to work in any thread, its own and finalizers too."""
    portal()
    assert _loop is not None
    return _loop


def running() -> bool:
    """Return whether the loop has been started in this process."""
    return _portal is not None


def _run(started: Future[BlockingPortal]) -> None:
    import anyio

    async def serve() -> None:
        global _loop
        async with BlockingPortal() as here:
            _loop = asyncio.get_running_loop()
            started.set_result(here)
            await here.sleep_until_stopped()

    try:
        anyio.run(serve)
    except BaseException as error:
        if not started.done():
            started.set_exception(error)
        # After that the process is ending, and nothing can report an error.


def stop() -> None:
    """End the loop and its tasks; the next use starts a new one."""
    global _portal, _thread
    with _lock:
        here, thread = _portal, _thread
        _portal = _thread = None
    if here is None or thread is None or not thread.is_alive():
        return
    try:
        here.start_task_soon(here.stop, True)
    except RuntimeError:
        return  # it has already stopped
    thread.join(_EXIT_WAIT)


def _after_fork() -> None:
    """Forget the loop in a forked child: it does not have the parent's thread, and the lock may be locked."""
    global _portal, _thread, _lock
    _portal = _thread = None
    _lock = threading.Lock()
    left: Any = _loop
    if hasattr(left, "_selector"):
        # A fork shares the kernel's side of it: what is collected here and closes its connection would end the
        # parent's waiting for that connection too, without a word.
        _shared.append(left._selector)  # noqa: SLF001
        left._selector = selectors.SelectSelector()  # noqa: SLF001


atexit.register(stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
