"""A stream's events by offset, for Arrow, SQL, Parquet and Dask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ...core import progress
from ...core.faces import state_of
from ...core.http.certificates import trusting
from ...core.log.places import At, Moment, Place
from ...core.log.source import Moved, Outgoing, Pages, Piece, Ranged, Sent
from ...core.secrets import Secret
from ...core.tables.frames import BodyMode, to_frame
from ..client import appending, reading, sql
from ..client.client import Client
from ..client.stream_registry import StreamLike
from ..errors import KimberliteInputError, OffsetMismatchError
from ..types import Position, Timestamp
from ..wire.columns import blobs_from_arrow
from ..wire.extensions import EVENTS_TABLE
from ..wire.protocol.structs import Audit
from ..wire.results import result_columns
from .bulk import SCHEMA, batches, part, timed
from .streams import found, made_or_found

if TYPE_CHECKING:
    from .feeding import StreamSource

_LOOKED_THROUGH = 500_000
"""Events that one query by time looks through; the server refuses more than a million."""


class StreamRange(Ranged):
    """The events of a stream. Their times are missing if the server does not report them."""

    position = "offset"
    head = pa.schema(list(SCHEMA)[:2])
    unit = "events"
    refuse = KimberliteInputError
    checks = True

    def __init__(
        self, client: Client, stream: StreamLike, *, times: bool = True, packed: int | None = None, owned: bool = False
    ) -> None:
        self.client, self.stream, self.times, self._packed, self._owned = client, stream, times, packed, owned
        self._state = state_of(client)
        self.label = f"kimberlite {self._state.settings.where}/{stream}"

    @property
    def packed(self) -> int:
        """The server's number of the stream, which has to be there."""
        if self._packed is None:
            self._packed = found(self.client, self.stream)
        return self._packed

    def bounds(self) -> tuple[int, int]:
        return 0, int(self._state.driver.run(appending.length(self._state.registry, self.packed)))

    def pages(self, start: Place, limit: int | None, until: Place | None) -> Pages:
        first, state = self.at(start), self._state
        if until is not None:
            count = max(0, self.at(until) - first)
            limit = count if limit is None else min(limit, count)
        pages = state.driver.walk(reading.pages(state.registry, self.packed, first, limit, part))

        def total() -> int | None:
            return max(0, self.stop() - first) if limit is None and progress.wanted() else limit

        return Pages(pages, total)

    def shown(
        self, pages: Sequence[pa.RecordBatch], body: BodyMode, types: Mapping[str, pa.DataType]
    ) -> tuple[pa.Table, dict[str, Any]]:
        table, attrs = super().shown(self._timed(pages), body, types)
        return table, {
            "time": "server" if self.times and self._state.extensions.events else "not reported by the server",
            **attrs,
        }

    def _timed(self, pages: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
        """Return pages with times, if they are requested and the server reports them."""
        state, some = self._state, [page for page in pages if page.num_rows]
        if not self.times or not some:
            return some
        first, stop = some[0].column(0)[0].as_py(), some[-1].column(0)[-1].as_py() + 1
        runs = reading.stored(state.registry, state.extensions, self.packed, first, stop)
        return timed(some, state.driver.run(runs))

    def at(self, place: Place, bounds: tuple[int, int] | None = None) -> int:
        # Events have times in nanoseconds, several of them in one millisecond.
        if isinstance(place, Moment) and self._state.extensions.events:
            return self._at(place.nanoseconds)
        return super().at(place, bounds)

    def place(self, moment: int, *, last: bool = False) -> int | None:
        return self._at(moment * 1_000_000, last=last) if self._state.extensions.events else None

    def _at(self, nanoseconds: int, *, last: bool = False) -> int:
        """Return the position of the first event at or after a time, or that after the last one before it."""
        state = self._state
        chosen, compared = ("MAX", "<") if last else ("MIN", ">=")
        text = (
            f"SELECT {chosen}(stream_offset) AS at FROM {EVENTS_TABLE} WHERE stream_id = $1 AND stream_offset >= $2"  # noqa: S608
            f" AND stream_offset < $3 AND ts {compared} $4"
        )
        # The server's times are 64 bits of nanoseconds; no event is outside that range.
        when = Timestamp(min(max(nanoseconds, -(2**63)), 2**63 - 1))
        _, stop = self.bounds()
        starts = range(0, stop, _LOOKED_THROUGH)
        for start in reversed(starts) if last else starts:
            params = (self.packed, start, start + _LOOKED_THROUGH, when)
            payload = state.driver.run(
                sql.query_payload(state.registry, text, params, None, state.settings.tenant_id, None)
            )
            [at] = result_columns(payload).table.column(0).to_pylist()  # the server's name for the column
            if at is not None:
                return int(at) + 1 if last else int(at)
        return 0 if last else stop

    def pieces(self, first: int, stop: int) -> Iterator[Piece]:
        pages = reading.pages(self._state.registry, self.packed, first, stop - first, part)
        for batch in self._state.driver.walk(pages):
            for one in self._timed([batch]):
                at = one.column(0)[0].as_py()
                yield Piece(at, at + one.num_rows, one)

    def outgoing(
        self,
        data: Any,
        *,
        body: str | None = None,
        expected_offset: Position | int | None = None,
        audit: Audit | None = None,
    ) -> Outgoing:
        position = None if expected_offset is None else reading.offset_of(expected_offset, "expected_offset")
        batches_of = batches(data, body)

        def send(notify: Callable[[int], Any]) -> Sent:
            # The client never repeats events by itself; that is the caller's choice.
            state = self._state
            packed = made_or_found(self.client, self.stream) if self._packed is None else self._packed
            positions = state.driver.run(appending.append(state.registry, packed, batches_of, position, audit, notify))
            first, count = (
                pa.array([at for at, _ in positions], pa.uint64()),
                pa.array([n for _, n in positions], pa.int64()),
            )
            appended = sum(number for _, number in positions)
            attrs = {"stream": str(self.stream), "appended": appended}
            frame = to_frame(pa.table({"first": first, "count": count}), attrs)
            return Sent(positions[0][0] if positions else None, appended, frame)

        return Outgoing(len(data) if hasattr(data, "__len__") else None, send)

    def fitting(self, page: pa.RecordBatch) -> int:
        return len(next(iter(blobs_from_arrow(pa.chunked_array([page.column("body")]), appending.CHUNK))))

    def put(self, page: pa.RecordBatch, end: int) -> int:
        blobs = blobs_from_arrow(pa.chunked_array([page.column("body")]), appending.CHUNK)
        state = self._state
        try:
            [(first, _)] = state.driver.run(appending.append(state.registry, self.packed, blobs, end))
        except OffsetMismatchError as error:
            raise Moved(error.actual) from None
        return int(first)

    def follow(self, start: Place, body: BodyMode, types: Mapping[str, Any] | None) -> StreamSource:
        from .feeding import StreamSource

        place = At(self.at(start)) if isinstance(start, Moment) else start
        return StreamSource(self.client, self.packed, str(self.stream), place, body, types)

    def close(self) -> None:
        if self._owned:
            self.client.close()

    def recipe(self) -> tuple[Any, tuple[Any, ...], dict[str, Secret]]:
        settings = self._state.settings
        if settings.tls not in (None, trusting(True)):
            raise KimberliteInputError(
                "an ssl.SSLContext cannot be sent to another process",
                hint="set SSL_CERT_FILE there and here, and give tls=True",
            )
        secrets = {} if settings.api_key is None else {"api_key": settings.api_key}
        return made, (settings.addresses, settings.tenant_id, self.packed, str(self.stream), self.times), secrets


def made(
    where: tuple[str, ...], tenant: int | None, packed: int, name: str, times: bool, *, api_key: Secret | None = None
) -> StreamRange:
    """Return the same stream over a connection of its own."""
    if tenant is None:
        raise KimberliteInputError("a stream without a tenant cannot leave this process", hint="give tenant_id=")
    return StreamRange(Client(list(where), tenant, api_key), name, times=times, packed=packed, owned=True)
