"""The figures of queues, polled, as the source of a feed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from ...core.faces import state_of
from ...core.tables.frames import TIME
from ...live.feed.source import Chunk, Position, Source
from .. import inputs
from ..client.driver import AsyncDriver
from ..client.operations import Do
from ..errors import SynapInputError
from .feeding import temporary
from .tables import queue_table

if TYPE_CHECKING:
    from ..client.client import SynapClient

_COUNTS = ("depth", "in_flight", "dead_letters", "consumers", "published", "consumed", "acked", "nacked")
_SCHEMA = pa.schema([("time", TIME), ("queue", pa.string()), *((name, pa.int64()) for name in _COUNTS)])
_LEAST = 0.05


class QueueSource(Source):
    """A row for each queue every `every` seconds: its depth, messages in flight, and counts of past messages."""

    service = "synap"
    resumes: ClassVar[bool] = False
    """The server keeps no earlier figures, so a source cannot resume."""

    def __init__(self, client: SynapClient, queues: Sequence[str], every: float = 1.0) -> None:
        if not isinstance(every, int | float) or isinstance(every, bool) or not _LEAST <= every < 86_400:
            raise SynapInputError(f"every={every!r}: give at least {_LEAST} seconds")
        self._queues = [inputs.name(queue, "a queue") for queue in queues]
        if not self._queues:
            raise SynapInputError("name a queue to watch", hint='syn.watch_queue("jobs")')
        self.label = ", ".join(self._queues)
        self._every = every
        self._driver = AsyncDriver(state_of(client).settings)

    async def open(self, after: Position) -> AsyncIterator[Chunk]:
        """Return the figures from now on, at even times."""
        due = asyncio.get_running_loop().time()
        while True:
            rows = [(queue, await self._driver.run(_stats(queue))) for queue in self._queues]
            [batch] = queue_table(rows, time.time()).select(_SCHEMA.names).to_batches()
            yield Chunk(batch, caught_up=True)
            due = max(due + self._every, asyncio.get_running_loop().time())
            await asyncio.sleep(due - asyncio.get_running_loop().time())

    async def close(self) -> None:
        """Close the connections."""
        await self._driver.close()

    def shape(self, batches: Sequence[pa.RecordBatch], *, preview: bool = False) -> tuple[pa.Table, dict[str, Any]]:
        """Time, queue, and its figures."""
        return pa.Table.from_batches(batches, _SCHEMA), {}

    def temporary(self, error: BaseException) -> bool:
        """Return whether it may pass by itself: no connection, or no answer."""
        return temporary(error) or super().temporary(error)


def _stats(queue: str) -> Any:
    return (yield Do("queue.stats", {"queue": queue}))
