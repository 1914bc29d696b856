"""A room's events by offset, for Arrow, SQL and Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from ..core.errors import InputError
from ..core.ranged import Piece, Ranged
from ..core.secrets import Secret
from .client import SynapClient
from .columns import SCHEMA
from .errors import SynapInputError
from .reading import page, pages
from .tables import unquoted


class RoomRange(Ranged):
    """The events of a room, as far as it still has them. The server finds them by offset only, not by time."""

    position = "offset"
    head = pa.schema([field for field in SCHEMA if field.name != "data"])
    body = "data"
    unit = "events"
    refuse = SynapInputError

    def __init__(self, client: SynapClient, room: str, subscriber_id: str = "kit") -> None:
        self.client, self.room, self._subscriber = client, room, subscriber_id
        self.label = f"synap {client._settings.url}/{room}"

    def bounds(self) -> tuple[int, int]:
        stats = self.client.stream.stats(self.room)
        first, stop = int(stats["min_offset"]), int(stats["total_published"])
        return min(first, stop), stop

    def pieces(self, first: int, stop: int) -> Iterator[Piece]:
        for found in self.client._driver.walk(pages(self.room, self._subscriber, first, stop)):
            for batch in found.to_batches():
                if batch.num_rows:
                    offsets = batch.column(0)
                    yield Piece(offsets[0].as_py(), offsets[-1].as_py() + 1, batch)

    def time_at(self, position: int) -> int | None:
        table = self.client._driver.run(page(self.room, self._subscriber, position, 1))
        return None if not table.num_rows else table.column("time").cast(pa.int64())[0].as_py()

    def said(self, texts: pa.Array) -> pa.Array:
        column = unquoted(pa.chunked_array([texts]))
        return column.chunk(0) if column.num_chunks else texts

    def recipe(self) -> tuple[Any, tuple[Any, ...], dict[str, Secret]]:
        raise InputError("a room is read in one process", hint=".to_parquet(path) and kit.scan(path).to_dask()")
