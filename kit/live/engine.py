"""A feed's work on the background loop: open, take, hand on; after an error wait a while and open again.

It knows the state of its feed and not the feed, so that one that is not used any more can be collected, which ends
the work.
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

from ..core import loop
from .source import Chunk
from .state import FeedState

_FIRST, _LONGEST = 0.1, 10.0
_ASK_TAIL = 2.0
_CLOSING = 5.0
STRANGE = 5
"""Tries after answers that are none of the service's: a proxy's, or a server that is just starting."""


_running: set[Engine] = set()


class Engine:
    """Follows a source, and tells the feed's state what happens. What is async here runs on the background loop."""

    def __init__(self, state: FeedState) -> None:
        self.state = state
        self.source = state.source
        self.position = state.position
        """Of the last row that was handed on."""
        self._going: asyncio.Event | None = None
        self._unasked = False
        self._asking: asyncio.Event | None = None
        """Set while it may have to ask how far the service is: a thousand idle feeds must not wake up for nothing."""
        self._task: asyncio.Task[None] | None = None
        self._main: asyncio.Task[None] | None = None
        self._stopped = False
        self.over = threading.Event()
        """Set once no more is done."""

    def start(self) -> None:
        """Begin; from any thread."""
        _running.add(self)
        if threading.current_thread().name == "kit-loop":
            self._main = asyncio.get_running_loop().create_task(self.main())
        else:
            loop.start(self.main)

    def end(self) -> None:
        """End the engine soon; from any thread."""
        if self.state.pid == os.getpid() and not self.over.is_set() and loop.running():
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the task with it
                loop.running_loop().call_soon_threadsafe(self.stop)

    def wait(self, timeout: float = _CLOSING) -> None:
        """Wait until it has ended, where that can be waited for."""
        if self.state.pid == os.getpid() and threading.current_thread().name != "kit-loop" and loop.running():
            self.over.wait(timeout)

    async def main(self) -> None:
        """Follow until the source ends, fails for good, or `stop` is called; tells the feed what it failed with."""
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
        """End it soon; on the loop, or before `main` has begun."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def stopped(self) -> None:
        """End it."""
        self.stop()

    def unfinished(self) -> str:
        """Return what to say where the feed was dropped while this went on; empty where it does not."""
        if self._stopped or self.over.is_set() or self.source.replaces:  # a result holds nothing that is not others'
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
        """Wake what a pause or a lack of room has held, or what asks in a pause how far it goes; from any thread."""
        with contextlib.suppress(RuntimeError):
            loop.running_loop().call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._going is not None and self._asking is not None:
            self._going.set()
            self._asking.set()

    async def _hold(self) -> None:
        """Wait while it is paused, or somebody who must see every row is behind."""
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
            pause = min(_LONGEST, _FIRST * 2.0 ** min(tries - 1, 30))
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    def _again(self, error: Exception, tries: int) -> bool:
        from ..core.errors import AnswerError

        if self.source.temporary(error):
            return True
        return isinstance(error, AnswerError) and tries < STRANGE

    async def _take(self, chunks: AsyncIterator[Chunk]) -> None:
        try:
            async for chunk in chunks:
                await self._hold()
                self._hand_on(chunk)
                # A source that never waits for anything must not keep the loop from the others.
                await asyncio.sleep(0)
        finally:
            closing: Any = getattr(chunks, "aclose", None)
            if closing is not None:
                await closing()

    def _hand_on(self, chunk: Chunk) -> None:
        name = self.source.position_column
        if name is not None and chunk.batch.num_rows and isinstance(self.position, int):
            import numpy as np

            numbers = chunk.batch.column(name).to_numpy()
            known = int(np.searchsorted(numbers, self.position, side="right"))
            if known:
                chunk.batch = chunk.batch.slice(known)
        if chunk.last is not None:
            self.position = chunk.last
        self._unasked = chunk.caught_up is None or not chunk.caught_up
        if self._unasked and self._asking is not None:
            self._asking.set()
        self.state.took(chunk, skipped=self.state.paused and not self.source.holds)

    async def _ask_tail(self) -> None:
        """Ask how far the service is, now and then while rows come, where it does not say so by itself."""
        assert self._asking is not None
        while True:
            await self._asking.wait()
            # While it is paused nothing comes that would tell how much waits.
            if (self._unasked or self.state.paused) and isinstance(self.position, int):
                self._unasked = False
                try:
                    tail = await self.source.tail()
                except Exception:
                    tail = None  # the connection that matters is another one, and tells its own errors
                if tail is not None:
                    caught_up = self.position + 1 >= tail
                    self._unasked = not caught_up
                    self.state.tail_is(tail, caught_up)
            if not self._unasked and not self.state.paused:
                self._asking.clear()
            await asyncio.sleep(_ASK_TAIL)


@atexit.register
def _end_all() -> None:
    """End all engines before the loop ends, so that services know and nothing is left to complain."""
    engines = [engine for engine in list(_running) if engine.state.pid == os.getpid()]
    for engine in engines:
        engine.end()
    deadline = time.monotonic() + 1.0
    for engine in engines:
        engine.over.wait(max(0.0, deadline - time.monotonic()))
