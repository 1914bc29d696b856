"""A stream as a feed's source: a subscription, its events in columns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from ...core.faces import state_of
from ...core.http import retry
from ...core.log.places import END, At, FromEnd
from ...core.log.source import shown
from ...live.feed.source import Chunk, Position, Source
from ...live.shaping import Bodies
from ..client import appending
from ..client.subscription import Flow
from ..errors import BusyError, KimberliteError, NetworkError, TimeoutError
from .bulk import SCHEMA, TIME

if TYPE_CHECKING:
    from ...core.tables.frames import BodyMode
    from ..client.client import Client

CREDITS = 16_384
"""Events that may be under way; up to this many are handed on at once."""
_PAUSE = 0.04


class StreamSource(Source):
    """The events of a stream from `start` on. `time` is when they arrived: the protocol carries no other time."""

    service = "kimberlite"
    begins: ClassVar[bool] = True
    position_column: ClassVar[str | None] = "offset"

    def __init__(
        self,
        client: Client,
        packed: int,
        name: str,
        start: At | FromEnd = END,
        body: BodyMode = "auto",
        types: Any = None,
    ) -> None:
        self.label = name
        state = state_of(client)
        self._packed, self._registry = packed, state.registry
        self._settings = replace(state.settings, policy=retry.ONCE)  # the feed does the retrying
        self._start = start.position if isinstance(start, At) else None
        self._back = 0 if isinstance(start, At) else start.count
        self.bodies = Bodies(body, types, "body", _table)
        self._flow: Flow | None = None

    @property
    def key(self) -> str:
        """The stream's number at its address."""
        return f"kimberlite:{self._settings.where}:{self._packed}"

    async def open(self, after: Position) -> AsyncIterator[Chunk]:
        """Return the events after an offset, or from the start that was asked for."""
        start = after + 1 if isinstance(after, int) else self._start
        flow = Flow(self._settings, self._registry, self._find, start, CREDITS, None)
        flow.packed = self._packed
        loop = asyncio.get_running_loop()
        try:
            if start is None:
                await flow.connection.connect()
                start = flow.next = max(0, await self._length(flow) - self._back)
            # Set before opening: events may have arrived when that returns.
            following, reconnects = start, 0
            await flow.open()
            self._flow = flow
            # Fixed: a connection that breaks before the first event must not start at a later end.
            yield Chunk(_columns([]), following - 1)
            handed_on = loop.time() - _PAUSE
            while True:
                events = await flow.take(following)
                if not events:
                    return
                early = handed_on + _PAUSE - loop.time()
                if early > 0 and len(events) < CREDITS // 2:
                    await asyncio.sleep(early)
                    events = await flow.take(following)
                if not events:
                    return
                following = events[-1][0] + 1
                again, reconnects = flow.reconnects - reconnects, flow.reconnects
                yield Chunk(_columns(events), following - 1, reconnects=again)
                handed_on = loop.time()
        finally:
            self._flow = None
            await flow.close()

    async def tail(self) -> int | None:
        """Return how many events the stream has."""
        flow = self._flow
        return None if flow is None or not flow.connection.connected else await self._length(flow)

    def temporary(self, error: BaseException) -> bool:
        """Return whether it may pass by itself: no connection, no answer, or a busy server."""
        if isinstance(error, KimberliteError):
            return isinstance(error, NetworkError | TimeoutError | BusyError)
        return super().temporary(error)

    def _find(self) -> Any:
        raise AssertionError("the stream's number is known")

    async def _length(self, flow: Flow) -> int:
        return await flow.connection.run(appending.length(self._registry, self._packed))


def _columns(events: Sequence[tuple[int, bytes]]) -> pa.RecordBatch:
    offsets = np.fromiter((offset for offset, _ in events), np.uint64, len(events))
    times = np.full(len(events), int(time.time() * 1000), np.int64)
    bodies = pa.array([data for _, data in events], pa.binary())
    return pa.RecordBatch.from_arrays([pa.array(offsets), pa.array(times).cast(TIME), bodies], schema=SCHEMA)


def _table(
    batches: Sequence[pa.RecordBatch], body: BodyMode, types: Any, *, fast: bool = True
) -> tuple[pa.Table, dict[str, Any]]:
    table, attrs = shown(pa.Table.from_batches(batches, SCHEMA), "body", body, types, fast=fast)
    return table, {"time": "received", **attrs}
