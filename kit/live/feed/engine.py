"""The work of a feed on the background loop: open the source and take its chunks; after an error, wait and open again.

The engine refers to the state of its feed and not to the feed itself. So a feed that is not used any more can be
garbage-collected, which ends the engine.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import random
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

from ...core import loop
from ...core.http.retry import grown
from .source import Chunk
from .state import FeedState

_FIRST, _LONGEST = 0.1, 10.0
_ASK_TAIL = 2.0
_CLOSING = 5.0
_CLOSE = 0.01
"""Seconds between chunks from which on the source has waited."""
STRANGE = 5
"""How often to try again after answers that did not come from the service, but from a proxy or a starting server."""


_running: set[Engine] = set()


class Engine:
    """Follows a source, and writes what happens into the feed's state. Its async methods run on the background loop."""

    def __init__(self, state: FeedState) -> None:
        self.state = state
        self.source = state.source
        self.position = state.position
        """The position of the last row that the state took."""
        self._going: asyncio.Event | None = None
        self._unasked = False
        self._asking: asyncio.Event | None = None
        """Set while the tail of the log may have to be asked for: idle feeds must not wake up for nothing."""
        self._task: asyncio.Task[None] | None = None
        self._main: asyncio.Task[None] | None = None
        self._stopped = False
        self.over = threading.Event()
        """Set once the engine has ended."""

    def start(self) -> None:
        """Start; from any thread."""
        _running.add(self)
        if threading.current_thread().name == "kit-loop":
            self._main = asyncio.get_running_loop().create_task(self.main())
        else:
            loop.start(self.main)

    def end(self) -> None:
        """End the engine soon; from any thread."""
        if self.state.pid == os.getpid() and not self.over.is_set() and loop.running():
            with contextlib.suppress(RuntimeError):  # the loop has ended, and so has the task
                loop.running_loop().call_soon_threadsafe(self.stop)

    def wait(self, timeout: float = _CLOSING) -> None:
        """Wait until it has ended; return at once where waiting would block the loop or never end."""
        if self.state.pid == os.getpid() and threading.current_thread().name != "kit-loop" and loop.running():
            self.over.wait(timeout)

    async def main(self) -> None:
        """Follow until the source ends, fails for good, or `stop` is called. Give the state the error, if it failed."""
        try:
            if not self._stopped:
                self._task = asyncio.get_running_loop().create_task(self.run())
                await asyncio.wait([self._task])
                if not self._task.cancelled() and (error := self._task.exception()) is not None:
                    self.state.end(error)
        finally:
            _running.discard(self)
            self.over.set()
            self.state.wake()

    def stop(self) -> None:
        """Cancel the work; on the loop, or before `main` has begun."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def stopped(self) -> None:
        """Stop, as a coroutine: for a feed that was garbage-collected."""
        self.stop()

    def unfinished(self) -> str:
        """Return the warning for a feed that was dropped while its engine ran; empty where the engine has ended."""
        if self._stopped or self.over.is_set() or self.source.replaces:  # a result has no connection of its own
            return ""
        return f"the feed of {self.source.label} was dropped while it was open: close() it, or use it in a with block"

    async def run(self) -> None:
        """Run until the source ends, fails for good, or the task is cancelled."""
        self._going, self._asking = asyncio.Event(), asyncio.Event()
        self.state.on_room = self.go_on
        asking = asyncio.get_running_loop().create_task(self._ask_tail())
        try:
            await self._follow()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await self.source.close()

    def go_on(self) -> None:
        """Continue after a pause or a lack of room, and ask for the tail where it may be needed; from any thread."""
        with contextlib.suppress(RuntimeError):
            loop.running_loop().call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._going is not None and self._asking is not None:
            self._going.set()
            self._asking.set()

    async def _hold(self) -> None:
        """Wait while the feed is paused, or a reader that must see every row is behind."""
        assert self._going is not None
        while self._held:
            self._going.clear()
            if self._held:
                await self._going.wait()

    @property
    def _held(self) -> bool:
        return self.state.crowded or (self.state.paused and self.source.holds)

    async def _follow(self) -> None:
        tries = 0
        while True:
            total = self.state.came
            try:
                await self._take(self.source.open(self.position))
                self._stopped = True
                self.state.end()
                return
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if self.state.came > total:
                    tries = 0
                tries += 1
                if not self._again(error, tries):
                    self._stopped = True
                    self.state.end(error)
                    return
                self.state.lost(error)
            await asyncio.sleep(grown(_FIRST, _LONGEST, tries) * random.uniform(0.5, 1.0))

    def _again(self, error: Exception, tries: int) -> bool:
        from ...core.errors import AnswerError

        if self.source.temporary(error):
            return True
        return isinstance(error, AnswerError) and tries < STRANGE

    async def _take(self, chunks: AsyncIterator[Chunk]) -> None:
        clock, before = asyncio.get_running_loop().time, 0.0
        try:
            async for chunk in chunks:
                await self._hold()
                self._hand_on(chunk)
                # A source that never waits must not keep other tasks from running on the loop; one that does, and has
                # no news, need not wake it twice.
                if chunk.batch.num_rows or clock() - before < _CLOSE:
                    await asyncio.sleep(0)
                before = clock()
        finally:
            closing: Any = getattr(chunks, "aclose", None)
            if closing is not None:
                await closing()

    def _hand_on(self, chunk: Chunk) -> None:
        name = self.source.position_column
        if name is not None and chunk.batch.num_rows and isinstance(self.position, int) and self.position >= 0:
            import numpy as np

            numbers = chunk.batch.column(name).to_numpy()
            # In the type of the column: with another one numpy compares floats, which are too coarse from 2**53 on.
            known = int(np.searchsorted(numbers, numbers.dtype.type(self.position), side="right"))
            if known:
                chunk.batch = chunk.batch.slice(known)
        if chunk.last is not None:
            self.position = chunk.last
        self._unasked = chunk.caught_up is None or not chunk.caught_up
        if self._unasked and self._asking is not None:
            self._asking.set()
        self.state.took(chunk, skipped=self.state.paused and not self.source.holds)

    async def _ask_tail(self) -> None:
        """Ask for the tail from time to time while rows come, where the service does not send it by itself."""
        assert self._asking is not None
        while True:
            await self._asking.wait()
            # While the feed is paused, no chunk comes that would say how many rows wait.
            if (self._unasked or self.state.paused) and isinstance(self.position, int):
                self._unasked = False
                try:
                    tail = await self.source.tail()
                except Exception:
                    tail = None  # the connection that reads rows is another one, and reports its own errors
                if tail is not None:
                    caught_up = self.position + 1 >= tail
                    self._unasked = not caught_up
                    self.state.tail_is(tail, caught_up)
            if not self._unasked and not self.state.paused:
                self._asking.clear()
            await asyncio.sleep(_ASK_TAIL)


@atexit.register
def _end_all() -> None:
    """End all engines before the loop ends, so that connections are closed and no task is left pending."""
    engines = [engine for engine in list(_running) if engine.state.pid == os.getpid()]
    for engine in engines:
        engine.end()
    deadline = time.monotonic() + 1.0
    for engine in engines:
        engine.over.wait(max(0.0, deadline - time.monotonic()))
