"""A feed's work on the background loop: open, take, hand on; after an error wait a while and open again.

It knows its feed weakly, so that a feed that nobody holds any more can be collected, which ends the work.
"""

from __future__ import annotations

import asyncio
import random
import threading
import weakref
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from .source import Chunk, Position, Source

if TYPE_CHECKING:
    from .feed import Feed

_FIRST, _LONGEST = 0.1, 10.0
_ASK_TAIL = 2.0
STRANGE = 5
"""Tries after answers that are none of the service's: a proxy's, or a server that is just starting."""


class Engine:
    """Follows a source, and tells the feed what happens. Everything here runs on the background loop."""

    def __init__(self, feed: Feed, source: Source, after: Position) -> None:
        self._held = weakref.ref(feed)
        self.source = source
        self._label = source.label
        self.position = after
        """Of the last row that was handed on."""
        self._going: asyncio.Event | None = None
        self._paused = False
        self._unasked = False
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self.over = threading.Event()
        """Set once no more is done."""

    async def main(self) -> None:
        """Follows until the source ends, fails for good, or `stop` is called; tells the feed what it failed with."""
        try:
            if not self._stopped:
                self._task = asyncio.get_running_loop().create_task(self.run())
                await asyncio.wait([self._task])
                if not self._task.cancelled() and (error := self._task.exception()) is not None:
                    self._feed()._ended(error)
        except asyncio.CancelledError:
            if self._held() is not None:
                raise
        finally:
            self.over.set()
            feed = self._held()
            if feed is not None:
                feed._wake()

    def stop(self) -> None:
        """Ends it soon; on the loop, or before `main` has begun."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def stopped(self) -> None:
        """Ends it."""
        self.stop()

    def unfinished(self) -> str:
        """What to say where the feed was dropped while this went on; empty where it does not."""
        if self._stopped or self.over.is_set():
            return ""
        return f"the feed of {self._label} was dropped while it was open: close() it, or use it in a with block"

    def _feed(self) -> Feed:
        feed = self._held()
        if feed is None:
            raise asyncio.CancelledError
        return feed

    async def run(self) -> None:
        """Until the source ends, fails for good, or the task is cancelled."""
        self._going = asyncio.Event()
        asking = asyncio.get_running_loop().create_task(self._ask_tail())
        try:
            await self._follow()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await self.source.close()

    def pause(self) -> None:
        """Hands nothing on from now on; from any thread."""
        self._paused = True

    def resume(self) -> None:
        """Hands on again; whoever calls this from another thread calls `go_on` on the loop too."""
        self._paused = False

    def go_on(self) -> None:
        """Wakes what a pause has held."""
        if self._going is not None:
            self._going.set()

    async def _hold(self) -> None:
        assert self._going is not None
        while self._paused and self.source.holds:
            self._going.clear()
            await self._going.wait()

    async def _follow(self) -> None:
        tries = 0
        while True:
            total = self._feed().came
            try:
                await self._take(self.source.open(self.position))
                self._stopped = True
                self._feed()._ended(None)
                return
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if self._feed().came > total:
                    tries = 0
                tries += 1
                if not self._again(error, tries):
                    self._stopped = True
                    self._feed()._ended(error)
                    return
                self._feed()._lost(error)
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
        self._feed()._took(chunk, skipped=self._paused and not self.source.holds)

    async def _ask_tail(self) -> None:
        """How far the service is, asked now and then while rows come and it does not tell by itself."""
        while True:
            if self._unasked and isinstance(self.position, int):
                self._unasked = False
                try:
                    tail = await self.source.tail()
                except Exception:
                    tail = None  # the connection that matters is another one, and tells its own errors
                if tail is not None:
                    caught_up = self.position + 1 >= tail
                    self._unasked = not caught_up
                    self._feed()._tail_is(tail, caught_up)
            await asyncio.sleep(_ASK_TAIL)
