"""A fold as the source of a feed: its result, again and again as rows come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, ClassVar

import pyarrow as pa

from ...core.errors import InputError, KitError
from ..feed.source import Chunk, Position, waker
from ..feed.state import FeedState
from ..feed.tap import Mark, Tap
from .derived import Derived, in_thread
from .fold import Fold
from .ring import portions

_GATHERED = 0.2
"""Seconds for which rows are collected: a few large batches cost less than many small ones."""
_EVERY = 0.25
_SHARE = 10
"""The result is made at most so often that it takes one tenth of the time."""


class Folded(Derived):
    """The folded rows of a feed. `owner` is the feed: the reference keeps it alive."""

    resumes: ClassVar[bool] = True

    def __init__(self, owner: Any, state: FeedState, fold: Fold, known: Any = None) -> None:
        if state.source.replaces:
            raise InputError(
                f"the rows of {state.source.label} are a result, which is replaced as a whole",
                hint='ask it with SQL: kit.live_sql("select ... from t", t=feed)',
            )
        super().__init__(f"{state.source.label}, {fold.label}", fold.keys)
        self.base = owner
        self._state, self._fold = state, fold
        if known is not None:
            fold.load(known)
        self._tap = Tap(state, fold.key, fold.dump)
        fold.missed += self._tap.missed
        self._busy = False
        self._rested = False

    async def open(self, after: Position) -> AsyncIterator[Chunk]:
        """Yield the result so far, then again after rows have come."""
        loop = asyncio.get_running_loop()
        came, fresh = asyncio.Event(), asyncio.Event()
        wake = waker(came)
        self._tap.wake = wake
        self._state.watch(wake)
        work = loop.create_task(self._work(came, fresh))
        work.add_done_callback(lambda _: fresh.set())
        try:
            while True:
                fresh.clear()
                over = work.done()
                with self._state.changed:
                    caught_up = self._state.caught_up if self._tap.empty and not self._busy else False
                began = time.monotonic()
                yield Chunk(await in_thread(self._result), caught_up=caught_up)
                if over:
                    break
                pause = max(_EVERY, _SHARE * (time.monotonic() - began))
                await asyncio.wait([work], timeout=pause)
                await fresh.wait()
            await work
            if self._state.word == "failed":
                raise KitError(f"the feed of {self._state.source.label} failed: {self._state.error}")
        finally:
            self._state.unwatch(wake)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            if not self._rested:
                self._tap.close()

    async def _work(self, came: asyncio.Event, fresh: asyncio.Event) -> None:
        """Take rows as they come, until the feed ends."""
        reported: bool | None = False
        while True:
            came.clear()
            over = self._state.ended
            self._busy = True
            items = self._tap.take()
            if items:
                await in_thread(partial(self._take, items))
            self._busy = False
            if items or reported != self._state.caught_up:
                reported = self._state.caught_up
                fresh.set()
                if over:
                    continue  # nothing comes any more that would be collected
                await asyncio.sleep(_GATHERED)
            elif over and self._tap.rest():
                self._rested = True
                return
            else:
                await came.wait()

    def _take(self, items: Sequence[pa.RecordBatch | Mark]) -> None:
        batches: list[pa.RecordBatch] = []
        for item in items:
            if isinstance(item, Mark):
                self._add(batches)
                batches = []
                item.tell(self._fold.dump())
            else:
                batches.append(item)
        self._add(batches)

    def _add(self, batches: Sequence[pa.RecordBatch]) -> None:
        for some in portions(batches):
            table, _ = self._state.source.shape(some)
            with self._fold.lock:
                self._fold.add(table)

    def _result(self) -> pa.RecordBatch:
        with self._fold.lock:
            table = self._fold.result()
            notes = list(self._fold.notes())
            figures: dict[str, Any] = dict(self._fold.figures())
        if self._fold.missed:
            notes.append(f"without the {self._fold.missed:,} rows that had left the buffer before it began")
        if self._state.skipped:
            notes.append(f"without the {self._state.skipped:,} rows skipped while paused")
        if self._state.gaps:
            notes.append(f"{self._state.gaps:,} gaps in what it stands on")
        return self.settled(table, notes, figures)
