"""A stream's events by offset, for Arrow, SQL, Parquet and Dask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..core.frames import TIME
from ..core.ranged import Piece, Ranged
from ..core.secrets import Secret
from . import appending, reading, sql
from .bulk import batches, event_table, part
from .client import Client
from .errors import KimberliteInputError
from .results import result_columns
from .types import Timestamp

if TYPE_CHECKING:
    import pandas as pd

_LOOKED_THROUGH = 500_000
"""Events in one query for a time; the server refuses to look through more than a million."""


class StreamRange(Ranged):
    """The events of a stream. Their times are missing where the server does not tell them."""

    position = "offset"
    head = pa.schema([("offset", pa.uint64()), ("time", TIME)])
    unit = "events"
    refuse = KimberliteInputError

    def __init__(self, client: Client, packed: int, name: str, *, owned: bool = False) -> None:
        self.client, self.packed, self.name, self._owned = client, packed, name, owned
        self.label = f"kimberlite {client._settings.where}/{name}"

    def bounds(self) -> tuple[int, int]:
        return 0, int(self.client._driver.run(appending.length(self.client._book, self.packed)))

    def place(self, moment: int, *, last: bool = False) -> int | None:
        client = self.client
        if reading.EVENTS_TABLE not in client._capabilities():
            return None
        chosen, compared = ("MAX", "<") if last else ("MIN", ">=")
        text = (
            f"SELECT {chosen}(stream_offset) AS at FROM kit_events WHERE stream_id = $1 AND stream_offset >= $2"  # noqa: S608
            f" AND stream_offset < $3 AND ts {compared} $4"
        )
        # Times there are nanoseconds in 64 bits; nothing is before or after those.
        when = Timestamp(min(max(moment * 1_000_000, -(2**63)), 2**63 - 1))
        _, stop = self.bounds()
        starts = range(0, stop, _LOOKED_THROUGH)
        for start in reversed(starts) if last else starts:
            params = (self.packed, start, start + _LOOKED_THROUGH, when)
            payload = client._driver.run(sql.query_payload(client._book, text, params, None, client._tenant(), None))
            [at] = result_columns(payload).table.column(0).to_pylist()  # the server names it after its call
            if at is not None:
                return int(at) + 1 if last else int(at)
        return 0 if last else stop

    def pieces(self, first: int, stop: int) -> Iterator[Piece]:
        client = self.client
        walk = client._driver.walk(reading.pages(client._book, self.packed, first, stop - first))
        tells = client._capabilities()
        for page in walk:
            end = page.first + len(page.events)
            runs = client._driver.run(reading.stored(client._book, tells, self.packed, page.first, end))
            table, bodies = event_table(part(page), runs)
            at = 0
            for body in bodies.chunks:
                head = table.slice(at, len(body)).combine_chunks()
                arrays = [_one(head.column(name)) for name in self.head.names]
                batch = pa.RecordBatch.from_arrays([*arrays, body], schema=_SCHEMA)
                yield Piece(page.first + at, page.first + at + len(body), batch)
                at += len(body)

    def write(self, frame: pd.DataFrame, *, once: bool, **options: Any) -> tuple[int | None, int]:
        # The client never sends events twice by itself; doing so is up to the caller.
        given = batches(frame, options.get("body"))
        found = self.client._driver.run(appending.append(self.client._book, self.packed, given, None, None))
        return (found[0][0] if found else None), sum(count for _, count in found)

    def close(self) -> None:
        if self._owned:
            self.client.close()

    def recipe(self) -> tuple[Any, tuple[Any, ...], dict[str, Secret]]:
        settings = self.client._settings
        where = tuple(str(place) for place in settings.places)
        secrets = {} if settings.api_key is None else {"api_key": settings.api_key}
        return made, (where, settings.tenant_id, self.packed, self.name), secrets


_SCHEMA = pa.schema([*StreamRange.head, ("body", pa.binary())])


def _one(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    if isinstance(found, pa.ChunkedArray):
        return found.chunk(0) if found.num_chunks else pa.array([], found.type)
    return found


def made(
    where: tuple[str, ...], tenant: int | None, packed: int, name: str, *, api_key: Secret | None = None
) -> StreamRange:
    """The same stream over a connection of its own."""
    if tenant is None:
        raise KimberliteInputError("a stream without a tenant cannot be reached from elsewhere", hint="give tenant_id=")
    return StreamRange(Client(list(where), tenant, api_key), packed, name, owned=True)
