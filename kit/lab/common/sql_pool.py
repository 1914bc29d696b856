"""Processes that run SQL for a server: a few at a time, others wait their turn.

What a client asks may take any memory and any time, so it runs in a process that is ended when it oversteps; the server
loses nothing by it. How a server and its processes speak is theirs: see `Process`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from .worker_limits import OUT_OF_MEMORY, environment

GRACE = 1.5
"""Seconds that a process has to stop by itself when the time is over."""
START = 30.0
"""Seconds that a process may take to start."""


class Process(Protocol):
    """What a pool wants of a process: whether it takes orders, and whether nothing is left of it."""

    @property
    def alive(self) -> bool: ...
    @property
    def over(self) -> bool: ...
    async def start(self) -> None: ...
    def end(self) -> None: ...
    async def gone(self) -> None: ...


P = TypeVar("P", bound=Process)


class Pool(Generic[P]):
    """Processes of one kind, started as they are needed. `refused` are errors that leave a process as it was."""

    def __init__(self, make: Callable[[], P], most: int, refused: type[Exception], stopping: Exception) -> None:
        self._make, self._refused, self._stopping = make, refused, stopping
        self._turns = asyncio.Semaphore(most)
        self._starting = asyncio.Lock()
        self._idle: list[P] = []
        self._all: set[P] = set()
        """Those that run, and those that were killed and are not gone yet: closing waits for them too."""
        self._warming: asyncio.Task[Any] | None = None
        self._closed = False

    async def warm(self) -> P:
        """Start one, and return it."""
        process = await self._started()
        self._idle.append(process)
        return process

    def warm_soon(self) -> None:
        """Start one before anyone asks for it."""
        self._warming = asyncio.ensure_future(self._warm_quietly())

    async def _warm_quietly(self) -> None:
        # The next caller tries again and reports the error.
        with contextlib.suppress(self._refused):
            await self.warm()

    async def run(self, work: Callable[[P], Any]) -> Any:
        """Return the result of a job with one of the processes."""
        async with self._turns:
            process = self._rested() or await self._started()
            try:
                return await work(process)
            except self._refused:
                raise
            except BaseException:
                # For example, the client went away, so the rest is not needed.
                process.end()
                raise
            finally:
                if process.alive:
                    self._idle.append(process)
                else:
                    process.end()

    async def close(self) -> None:
        """End the processes."""
        self._closed = True
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        processes = list(self._all)
        for process in processes:
            process.end()
        await asyncio.gather(*(process.gone() for process in processes))

    def _rested(self) -> P | None:
        while self._idle:
            process = self._idle.pop()
            if process.alive:
                return process
        return None

    async def _started(self) -> P:
        # One after the other, as the first one creates what the others open.
        async with self._starting:
            if process := self._rested():
                return process
            if self._closed:
                raise self._stopping
            self._all = {process for process in self._all if not process.over}
            process = self._make()
            self._all.add(process)
            try:
                await process.start()
            except BaseException:
                process.end()
                raise
            return process


def started_with(module: str, settings: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Return the command that starts a module of ours under this very interpreter, and what it is given."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return [sys.executable, "-m", module, json.dumps(settings)], {**pipes, "env": environment()}


def why_ended(status: int, what: str) -> tuple[bool, str]:
    """Return whether a piece of work was itself the reason why its process ended, and what to tell of it."""
    if status == OUT_OF_MEMORY:
        return True, f"the {what} needs more memory than it is allowed"
    if status < 0:
        # Ended by a signal: the engine crashed, or memory ran out. The same work would do it again.
        return True, f"the {what} ended the SQL engine; write it another way"
    return False, f"the SQL engine ended in the middle of the {what}; try again"


def too_long(what: str, seconds: float) -> str:
    """Return what to tell of work that was stopped."""
    return f"the {what} took longer than {seconds:g} s and was stopped"


NOT_STARTED = "the SQL engine did not start; the server's error output says why"
STOPPING = "the server is stopping"
