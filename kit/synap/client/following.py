"""Events of a room as they arrive, in batches of columns.

No way to wait for an event works on all servers, so the server is polled: quickly while events arrive, more slowly
while there are none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ...core.http.retry import grown
from .. import inputs
from ..errors import SynapError, SynapInputError, SynapTransportError, SynapWireError
from ..wire.columns import SCHEMA
from .operations import Operation
from .reading import earliest_in, figures, page

BATCH = 10_000
_QUICK, _SLOW = 0.05, 1.0


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events in order: a table with offset, time, event, id and data."""

    events: pa.Table
    next_offset: int
    generation: int
    """The incarnation of the room: it changes when the room is created again, and offsets start at 0."""
    missed: int = 0
    """Events that the server dropped before they could be read."""
    restarted: bool = False
    """Whether the room was created again since the last batch."""


class Follower:
    """An async iterator of `EventBatch`, from an offset on, or from now on. An empty batch comes first.

    After a lost connection, a deleted room or a restart of the server it continues with the next event there is, and
    reports what is missing. It ends only with an error that another try would not change.
    """

    def __init__(
        self,
        driver: Any,
        room: str,
        from_offset: int | None = None,
        *,
        batch: int = BATCH,
        quick: float = _QUICK,
        slow: float = _SLOW,
        subscriber_id: str = "kit",
    ) -> None:
        self._driver, self.room = driver, inputs.name(room, "a room")
        self._at = None if from_offset is None else inputs.whole(from_offset, "from_offset")
        self._batch, self._quick, self._slow = inputs.whole(batch, "batch", 1), quick, slow
        self._subscriber = inputs.name(subscriber_id, "a subscriber")
        for name, seconds in (("quick", quick), ("slow", slow)):
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < 86_400:
                raise SynapInputError(f"{name}={seconds!r} is not a pause", hint="give seconds above 0")
        self.generation: int | None = None
        self.reconnects = 0
        """How often the server could not be asked."""

    async def __aiter__(self) -> AsyncIterator[EventBatch]:
        pause, failures = self._quick, 0
        first = True
        while True:
            try:
                batch = await self._driver.run(self._next(first))
            except SynapError as error:
                gone = error.status_code == 400 and "not found" in error.message and not first
                broken = isinstance(error, SynapTransportError) and not isinstance(error, SynapWireError)
                if not gone and (first or not broken):
                    raise
                failures += 1
                self.reconnects += 1
                await asyncio.sleep(grown(0.4, 10.0, failures))
                continue
            failures = 0
            if batch.events.num_rows or batch.restarted or first:
                yield batch
                first = False
                pause = self._quick
                if batch.events.num_rows:
                    continue
            await asyncio.sleep(pause)
            pause = min(self._slow, pause * 1.5)

    def _next(self, first: bool) -> Operation[EventBatch]:
        """Return what there is now."""
        restarted, missed = False, 0
        if first:
            self.generation, _, stop = yield from figures(self.room)
            if self._at is None:
                self._at = stop
        assert self._at is not None
        at = self._at
        events = SCHEMA.empty_table()
        try:
            events = yield from page(self.room, self._subscriber, at, self._batch)
        except SynapError as error:
            # Events were dropped, or the offset is of an earlier room of that name; the code below finds out which.
            if earliest_in(error) is None:
                raise
        # Requested after the events: generations only grow, so if it is unchanged, the events belong to it.
        generation, oldest, stop = yield from figures(self.room)
        if generation != self.generation:
            self.generation, restarted = generation, True
            at = oldest
            events = yield from page(self.room, self._subscriber, at, self._batch)
        elif not events.num_rows and stop > at:
            # Events were added or dropped in the meantime, or the server's cursor is wrong after it emptied the room:
            # then all are read, and the old ones skipped.
            try:
                events = yield from page(self.room, self._subscriber, max(at, oldest), self._batch)
            except SynapError as error:
                earliest = earliest_in(error)
                if earliest is None:
                    raise
                events = yield from page(self.room, self._subscriber, earliest, self._batch)
            if not events.num_rows:
                events = yield from page(self.room, self._subscriber, oldest, 2**31)
                events = events.filter(pc.greater_equal(events["offset"], at))
        if events.num_rows:
            begin = events["offset"][0].as_py()
            missed = 0 if restarted else begin - at
            self._at = events["offset"][-1].as_py() + 1
        else:
            self._at = at
        assert self.generation is not None
        return EventBatch(events, self._at, self.generation, missed, restarted)
