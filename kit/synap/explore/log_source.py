"""A room's events by offset, for Arrow, SQL and Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ...core.completion import Names
from ...core.errors import InputError
from ...core.faces import state_of
from ...core.log.places import END, Place
from ...core.log.source import Outgoing, Pages, Piece, Ranged, Sent
from ...core.secrets import Secret
from ...core.tables.frames import BodyMode
from ...core.tables.json.scalars import json_value
from ..client.client import SynapClient
from ..client.reading import figures, page, pages
from ..client.stream import decoded
from ..errors import SynapInputError
from ..inputs import JsonText
from ..wire.columns import SCHEMA
from .bulk import in_parts, values_of
from .tables import published_frame, unquoted

if TYPE_CHECKING:
    from .feeding import RoomSource


class RoomRange(Ranged):
    """The events that a room still has. The server finds them by offset only, not by time."""

    position = "offset"
    head = pa.schema([field for field in SCHEMA if field.name != "data"])
    body = "data"
    unit = "events"
    refuse = SynapInputError
    keeps = ("event",)

    def __init__(
        self, client: SynapClient, room: str, names: Names | None = None, *, subscriber_id: str = "kit"
    ) -> None:
        self.client, self.room, self._names, self._subscriber = client, room, names, subscriber_id
        self.label = f"synap {state_of(client).settings.url}/{room}"
        self._attrs: dict[str, Any] = {}
        """Of the read that `pages` began."""

    def bounds(self) -> tuple[int, int]:
        with nullcontext() if self._names is None else self._names.explained(self.room, "syn.streams()", "Room '"):
            self._attrs["generation"], first, stop = state_of(self.client).driver.run(figures(self.room))
        return min(first, stop), stop

    def pages(self, start: Place, limit: int | None, until: Place | None) -> Pages:
        bounds = self.bounds()
        begin = self.at(start, bounds)
        self._attrs["missed"] = max(0, bounds[0] - begin) if begin < bounds[1] else 0
        return self.between(bounds, begin, limit, until)

    def shown(
        self, pages: Sequence[pa.RecordBatch], body: BodyMode, types: Mapping[str, pa.DataType]
    ) -> tuple[pa.Table, dict[str, Any]]:
        table, attrs = super().shown(pages, body, types)
        return table, {**self._attrs, **attrs}

    def pieces(self, first: int, stop: int) -> Iterator[Piece]:
        for piece in state_of(self.client).driver.walk(pages(self.room, self._subscriber, first, stop)):
            for batch in piece.to_batches():
                if batch.num_rows:
                    offsets = batch.column(0)
                    yield Piece(offsets[0].as_py(), offsets[-1].as_py() + 1, batch)

    def time_at(self, position: int) -> int | None:
        table = state_of(self.client).driver.run(page(self.room, self._subscriber, position, 1))
        return None if not table.num_rows else table.column("time").cast(pa.int64())[0].as_py()

    def as_text(self, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        return unquoted(texts)

    def outgoing(self, data: Any, *, body: str | None = None, event: str = "event") -> Outgoing:
        values, events = values_of(data, body, event)

        def publish(at: int, some: list[Any]) -> list[int]:
            return self.client.stream.publish_many(self.room, zip(events[at:], some, strict=False))

        def send(notify: Callable[[int], Any]) -> Sent:
            offsets = in_parts(values, publish, notify)
            return Sent(offsets[0] if offsets else None, len(offsets), published_frame(self.room, "room", offsets))

        return Outgoing(len(values), send)

    def fitting(self, page: pa.RecordBatch) -> int:
        return min(int(page.num_rows), _AT_ONCE)

    def put(self, page: pa.RecordBatch, end: int) -> int:
        events = page.column("event").to_pylist() if "event" in page.schema.names else ["event"] * page.num_rows
        values = [_as_data(body) for body in page.column("body").to_pylist()]
        # One after the other, so that a lost answer leaves at most one unknown.
        offsets: list[int] = self.client.stream.publish_many(self.room, zip(events, values, strict=True), ordered=True)
        return offsets[0]

    def content(self, bodies: pa.Array) -> pa.Array:
        contents = [decoded(body) if body[:1] == b'"' else body for body in bodies.to_pylist()]
        return pa.array(
            [
                content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
                for content in contents
            ]
        )

    def given(self, bodies: Sequence[bytes]) -> Sequence[Any]:
        return [_as_data(body) for body in bodies]

    def same(self, body: bytes, stored: bytes) -> bool:
        value = _as_data(body)
        return bool(decoded(stored) == (decoded(body) if isinstance(value, JsonText) else value))

    def follow(self, start: Place, body: BodyMode, types: Mapping[str, Any] | None) -> RoomSource:
        from .feeding import RoomSource

        return RoomSource(self.client, self.room, None if start == END else self.at(start), body, types)

    def recipe(self) -> tuple[Any, tuple[Any, ...], dict[str, Secret]]:
        raise InputError(
            "a room is read in one process only", hint="use .to_parquet(path), then kit.scan(path).to_dask()"
        )


_AT_ONCE = 200
"""Events that are encoded at once."""


def _as_data(body: bytes) -> Any:
    """Return a body as a value to publish: JSON as JSON, everything else as text or bytes."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return body
    try:
        json_value(text)
    except (ValueError, RecursionError):
        return text
    return text if text[:1] == '"' else JsonText(text)
