"""A session's events, and webhook deliveries, as sources of feeds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import pyarrow as pa

from ...core.errors import KitError
from ...core.faces import state_of
from ...core.http.exchange import AsyncDriver
from ...core.tables.frames import TIME, times
from ...live.feed.source import Chunk, Position, Source, gathered
from ..client.agents import follow
from ..types import SessionEvent

if TYPE_CHECKING:
    from ..client.client import AmdahlClient

_EVENT = pa.schema([("id", pa.string()), ("time", TIME), ("type", pa.string()), ("data", pa.string())])
_DELIVERY = pa.schema(
    [
        ("n", pa.int64()),
        ("received_at", TIME),
        ("event", pa.string()),
        ("verified", pa.bool_()),
        ("body", pa.string()),
    ]
)


class SessionSource(Source):
    """The events of an agent's session, past ones first, then new ones; it ends with the session."""

    service = "amdahl"

    def __init__(self, client: AmdahlClient, session_id: str) -> None:
        self.label = f"session {session_id}"
        self._client, self._id = client, session_id
        self._driver = AsyncDriver(state_of(client).driver.settings)
        self._unnamed = 0

    @property
    def key(self) -> str:
        """The session at its address."""
        return f"amdahl:{self._client.base_url}:{self._id}"

    async def open(self, after: Position) -> AsyncIterator[Chunk]:
        """Return the events after one of them, or all."""
        walk = follow(self._client, self._id, lambda event: event, str(after or ""), opened=(None,))
        opened = 0
        async for group in gathered(self._driver.walk(walk), lambda item: 200):
            events = [event for event in group if event is not None]
            before, opened = opened, opened + sum(event is None for event in group)
            self._unnamed += sum(not event.id for event in events)
            last = events[-1].id or None if events else None
            yield Chunk(_events(events), last, reconnects=max(0, opened - 1) - max(0, before - 1))

    async def close(self) -> None:
        """Close the connection."""
        await self._driver.close()

    def shape(self, batches: Sequence[pa.RecordBatch], *, preview: bool = False) -> tuple[pa.Table, dict[str, Any]]:
        """Return the events as `events()` shows them: id, time, type, and the data as JSON text."""
        return pa.Table.from_batches(batches, _EVENT), {"session_id": self._id}

    def temporary(self, error: BaseException) -> bool:
        """Return whether the failure may pass; without ids, a new stream would repeat all events."""
        return not self._unnamed and super().temporary(error)


class Received(Protocol):
    """The part of a receiver that a feed needs: past and new deliveries."""

    total: int

    @property
    def url(self) -> str: ...

    @property
    def closed(self) -> bool: ...

    def rows_after(self, number: int) -> list[dict[str, Any]]: ...

    def watched(self, call: Callable[[], Any]) -> AbstractContextManager[None]: ...


class DeliverySource(Source):
    """The deliveries of a receiver: those it has kept, then new ones."""

    service = "amdahl"
    position_column: ClassVar[str | None] = "n"
    holds: ClassVar[bool] = False
    """The sender does not wait, so deliveries cannot be held back."""

    def __init__(self, deliveries: Received) -> None:
        self.label = f"deliveries at {deliveries.url}"
        self._deliveries = deliveries

    async def open(self, after: Position) -> AsyncIterator[Chunk]:
        """Return the deliveries after a number; it ends when the receiver is closed."""
        deliveries = self._deliveries
        arrived = asyncio.Event()
        last = after if isinstance(after, int) else -1
        loop = asyncio.get_running_loop()
        with deliveries.watched(lambda: loop.call_soon_threadsafe(arrived.set)):
            while True:
                arrived.clear()
                over = deliveries.closed
                rows = deliveries.rows_after(last)
                if rows:
                    last = rows[-1]["n"]
                yield Chunk(_deliveries(rows), last, deliveries.total, True)
                if over:
                    return
                await arrived.wait()

    def shape(self, batches: Sequence[pa.RecordBatch], *, preview: bool = False) -> tuple[pa.Table, dict[str, Any]]:
        """Return the deliveries in the columns of the receiver's own `df`, after their numbers."""
        return pa.Table.from_batches(batches, _DELIVERY), {}

    def temporary(self, error: BaseException) -> bool:
        """Return False: an error of a receiver does not pass by itself."""
        return not isinstance(error, KitError) and super().temporary(error)


def _events(events: Sequence[SessionEvent]) -> pa.RecordBatch:
    stamps = pa.array([_text(event.payload.get("timestamp")) for event in events], pa.string())
    moments = times(stamps)
    columns = [
        pa.array([event.id or None for event in events], pa.string()),
        moments if isinstance(moments, pa.Array) else moments.combine_chunks(),
        pa.array([_clean(str(event.payload["type"])) for event in events], pa.string()),
        pa.array(
            [json.dumps(event.payload.get("data"), ensure_ascii=True, default=str) for event in events], pa.string()
        ),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_EVENT)


def _deliveries(rows: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    columns = [
        pa.array([row["n"] for row in rows], pa.int64()),
        pa.array([row["received_ms"] for row in rows], pa.int64()).cast(TIME),
        pa.array([_text(row["event"]) for row in rows], pa.string()),
        pa.array([row["verified"] for row in rows], pa.bool_()),
        pa.array([row["body"] for row in rows], pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_DELIVERY)


def _text(value: Any) -> str | None:
    return None if value is None else _clean(str(value))


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
