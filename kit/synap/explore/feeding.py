"""The events of a room, and the messages of topics, as sources of feeds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from ...core.faces import state_of
from ...live.feed.source import Chunk, Position, Source
from ...live.shaping import Bodies
from ..client.driver import AsyncDriver
from ..client.following import Follower
from ..client.subscription import Subscription
from ..errors import SynapError, SynapTransportError, SynapWireError
from ..wire.columns import SCHEMA, TOPIC_SCHEMA
from .tables import event_table

if TYPE_CHECKING:
    from ...core.tables.frames import BodyMode
    from ..client.client import SynapClient

_ROOM = 100_000
"""Messages of topics that wait while the feed is busy."""


class RoomSource(Source):
    """The events of a room from an offset or from now on. A room that is created again is followed from its start."""

    service = "synap"
    begins: ClassVar[bool] = True

    def __init__(
        self, client: SynapClient, room: str, start: int | None = None, body: BodyMode = "auto", types: Any = None
    ) -> None:
        self.label = room
        settings = state_of(client).settings
        self._driver, self._url = AsyncDriver(settings), settings.url
        self._start = start
        self.bodies = Bodies(body, types, "data", _table)
        Follower(self._driver, room, start)  # invalid arguments raise here

    @property
    def key(self) -> str:
        """The room at its address."""
        return f"synap:{self._url}:{self.label}"

    async def open(self, after: Position) -> AsyncIterator[Chunk]:
        """Return the events after an offset, or from the start that was asked for."""
        follower = Follower(self._driver, self.label, after + 1 if isinstance(after, int) else self._start)
        reconnects = 0
        async for events in follower:
            again, reconnects = follower.reconnects - reconnects, follower.reconnects
            batches = events.events.combine_chunks().to_batches()
            batch = batches[0] if batches else _none(SCHEMA)
            gaps = int(events.missed > 0) + int(events.restarted)
            yield Chunk(batch, events.next_offset - 1, reconnects=again, gaps=gaps)

    async def close(self) -> None:
        """Close the connections."""
        await self._driver.close()

    def temporary(self, error: BaseException) -> bool:
        """Return whether it may pass by itself: no connection, or no answer."""
        return temporary(error) if isinstance(error, SynapError) else super().temporary(error)


class TopicSource(Source):
    """Messages of topics from now on. The server keeps none: those published while the connection is lost are a gap."""

    service = "synap"
    begins: ClassVar[bool] = True
    resumes: ClassVar[bool] = False
    holds: ClassVar[bool] = False

    def __init__(self, client: SynapClient, topics: Sequence[str], body: BodyMode = "auto", types: Any = None) -> None:
        self.label = ", ".join(topics)
        self._topics = list(topics)
        self._driver = AsyncDriver(state_of(client).settings)
        self.bodies = Bodies(body, types, "data", partial(_table, schema=TOPIC_SCHEMA))

    async def open(self, after: Position) -> AsyncIterator[Chunk]:
        """Return messages from now on; the first chunk, empty, comes once the subscription is active."""
        subscription = Subscription(self._driver, self._topics, _ROOM)
        tables = subscription.tables()
        gaps = dropped = 0
        try:
            async for table in tables:
                batches = table.combine_chunks().to_batches()
                lost = subscription.gaps - gaps + int(subscription.dropped > dropped)
                again, gaps, dropped = subscription.gaps - gaps, subscription.gaps, subscription.dropped
                yield Chunk(batches[0] if batches else _none(TOPIC_SCHEMA), reconnects=again, gaps=lost)
        finally:
            await tables.aclose()

    async def close(self) -> None:
        """Close the connections."""
        await self._driver.close()

    def temporary(self, error: BaseException) -> bool:
        """Return whether it may pass by itself: no connection, or no answer."""
        return temporary(error) if isinstance(error, SynapError) else super().temporary(error)


def _table(
    batches: Sequence[pa.RecordBatch], body: BodyMode, types: Any, *, fast: bool, schema: pa.Schema = SCHEMA
) -> tuple[pa.Table, dict[str, Any]]:
    return event_table(pa.Table.from_batches(batches, schema), body, types, fast=fast)


def temporary(error: BaseException) -> bool:
    """Return whether another try may help."""
    return isinstance(error, SynapTransportError) and not isinstance(error, SynapWireError)


def _none(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
