"""A stream's records by sequence number, for Arrow, SQL, Parquet and Dask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ...core import progress
from ...core.errors import warn
from ...core.faces import state_of
from ...core.html import one_line
from ...core.log.places import Moment, Place
from ...core.log.source import Moved, Outgoing, Pages, Piece, Ranged, Sent
from ...core.secrets import Secret
from ...core.tables.frames import TIME, milliseconds
from ..client.client import SyncS2
from ..client.endpoints import Endpoints
from ..client.sessions.reading import Plan, Start, plan_of
from ..client.stream import SyncS2Stream
from ..errors import ReadUnwrittenError, S2InputError, SeqNumMismatchError
from ..limits import MAX_U64
from ..positions import SeqNum, TailOffset, Timestamp
from ..settings import AppendRetryPolicy, Compression
from ..types import ReadLimit
from ..wire.columns import command_mask, record_table
from ..wire.decoding import HEADER
from . import bulk
from .log_places import place_of, start_of

if TYPE_CHECKING:
    from ...core.tables.frames import BodyMode
    from ..wire.inputs import EncodedInput
    from .feeding import StreamSource


class StreamRange(Ranged):
    """The records of a stream; command records are left out unless `commands` is true."""

    position = "seq_num"
    head = pa.schema([("seq_num", pa.uint64()), ("time", TIME), ("headers", pa.list_(HEADER))])
    optional = ("headers",)
    refuse = S2InputError
    checks = True
    keeps = ("headers",)

    def __init__(
        self,
        stream: SyncS2Stream,
        basin: str,
        explained: Callable[[], AbstractContextManager[None]] = nullcontext,
        *,
        commands: bool = False,
        owned: SyncS2 | None = None,
    ) -> None:
        self.stream, self.basin, self.commands, self._owned = stream, basin, commands, owned
        self.label = f"s2 {basin}/{stream.name}"
        self.explained = explained
        """Says of names that are not there which are near."""

    def bounds(self) -> tuple[int, int]:
        stop = self.stop()
        return min(self._at(SeqNum(0), stop), stop), stop

    def stop(self) -> int:
        with self.explained():
            return self.stream.check_tail().seq_num

    def place(self, moment: int, *, last: bool = False) -> int | None:
        return self._at(Timestamp(max(0, moment)), self.stop())

    def placed(self, given: Any, what: str = "start") -> Place:
        return place_of(given, what)

    def pages(self, start: Place, limit: int | None, until: Place | None) -> Pages:
        begin, end, stop = start_of(start), None, None
        if isinstance(until, Moment):
            end = max(0, until.ceiling)
        elif until is not None:
            # The service ends a read at a time or after a count, so a position becomes a count after the first record.
            first, stop = self.at(start), self.at(until)
            count = max(0, stop - first)
            begin, limit = SeqNum(first), count if limit is None else min(limit, count)
        # Bounded, or with no wait: a read for a frame ends at the tail.
        wait = None if limit is not None or until is not None else 0
        # No stream has more records than that; the service counts no further.
        most = None if limit is None else min(limit, MAX_U64)
        plan = plan_of(begin, ReadLimit(count=most), end, False, wait)
        return Pages(map(self._wanted, self._batches(plan, stop)), lambda: self._expected(plan))

    def _batches(self, plan: Plan, stop: int | None = None) -> Iterator[pa.RecordBatch]:
        """Return the records of a plan, command records included, up to `stop`; empty if there are none."""
        if plan.count == 0:
            return
        try:
            with self.explained():
                for columns in bulk.columns(self.stream, plan):
                    batch = columns.batch
                    if stop is not None and len(columns) and batch.column(0)[-1].as_py() >= stop:
                        # If the first records are gone, the same count reaches further.
                        yield batch.filter(pc.less(batch.column(0), pa.scalar(stop, pa.uint64())))
                        return
                    yield batch
        except ReadUnwrittenError:
            return  # at the tail there is nothing to read, which is not an error in a notebook

    def _wanted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        mask = None if self.commands else command_mask(batch)
        return batch if mask is None else batch.filter(pc.invert(mask))

    def _expected(self, plan: Plan) -> int | None:
        """Return how many records will come, as far as a bar needs to know and the service can tell."""
        if not progress.wanted() or (plan.count is not None and plan.count <= bulk.SMALL):
            return plan.count
        if isinstance(plan.start, TailOffset):
            most = plan.start.value
        elif isinstance(plan.start, SeqNum) and plan.until is None:
            most = max(0, self.stop() - plan.start.value)
        else:
            return plan.count
        return most if plan.count is None else min(most, plan.count)

    def shown(
        self, pages: Sequence[pa.RecordBatch], body: BodyMode, types: Mapping[str, pa.DataType]
    ) -> tuple[pa.Table, dict[str, Any]]:
        return record_table(pages, body, types)

    def pieces(self, first: int, stop: int) -> Iterator[Piece]:
        plan = plan_of(SeqNum(first), ReadLimit(count=stop - first), None, False, None)
        late = 0
        for batch in self._batches(plan, stop):
            if not batch.num_rows:
                continue
            numbers = batch.column(0)
            seq_num, timestamp, headers, body = self._wanted(batch).columns
            time, count = milliseconds(timestamp)
            late += count
            rows = pa.RecordBatch.from_arrays([seq_num, time, headers, body], schema=_SCHEMA)
            yield Piece(numbers[0].as_py(), numbers[-1].as_py() + 1, rows)
        if late:
            label = one_line(self.label)
            warn(f"{label}: {late:,} timestamps past the year 9999 are missing in `time`")

    def outgoing(
        self,
        data: Any,
        *,
        body: str | None = None,
        timestamp: str | None = None,
        headers: str | None = None,
        match_seq_num: int | None = None,
        fencing_token: str | None = None,
    ) -> Outgoing:
        from ..client.appending import append_encoded
        from ..wire.inputs import encode_inputs
        from .bodies import bodies_of

        encoded = bodies_of(data, body=body, timestamp=timestamp, headers=headers)
        inputs = encode_inputs(
            encoded.bodies,
            timestamps=encoded.timestamps,
            headers=encoded.headers,
            match_seq_num=match_seq_num,
            fencing_token=fencing_token,
        )

        def send(notify: Callable[[int], Any]) -> Sent:
            with self.explained():
                ack = append_encoded(self.stream, inputs, notify).ack
            return Sent(ack.start.seq_num, len(encoded.bodies), ack)

        return Outgoing(len(encoded.bodies), send)

    def write(self, data: Any, *, once: bool, **options: Any) -> tuple[int | None, int]:
        policy = AppendRetryPolicy.NO_SIDE_EFFECTS if once else AppendRetryPolicy.ALL
        transport = state_of(self.stream).transport
        transport.retry = replace(transport.retry, append_retry_policy=policy)
        return super().write(data, once=once, **options)

    def fitting(self, page: pa.RecordBatch) -> int:
        return next(self._messages(page, None)).records

    def put(self, page: pa.RecordBatch, end: int) -> int:
        from ..client.appending import append_encoded

        try:
            with self.explained():
                return append_encoded(self.stream, self._messages(page, end)).first.start.seq_num
        except SeqNumMismatchError as error:
            raise Moved(error.expected_seq_num, unsure=error.tried_before) from None

    def _messages(self, page: pa.RecordBatch, end: int | None) -> Iterator[EncodedInput]:
        from ..wire.inputs import encode_inputs

        headers = page.column("headers") if "headers" in page.schema.names else None
        if headers is not None and not len(headers.flatten()):
            headers = None
        return encode_inputs(
            page.column("body"), headers=None if headers is None else headers.to_pylist(), match_seq_num=end
        )

    def follow(self, start: Place, body: BodyMode, types: Mapping[str, Any] | None) -> StreamSource:
        from .feeding import StreamSource

        return StreamSource(self.stream, start_of(start), body, types, commands=self.commands)

    def close(self) -> None:
        if self._owned is not None:
            self._owned.close()

    def recipe(self) -> tuple[Any, tuple[Any, ...], dict[str, Secret]]:
        state = state_of(self.stream)
        transport = state.transport
        secrets = {"access_token": transport.credential}
        if state.key is not None:
            secrets["encryption_key"] = state.key
        where = (transport.endpoints.account, transport.endpoints.basin)
        return (
            made,
            (where, self.basin, self.stream.name, transport.compression.value, transport.verify, self.commands),
            secrets,
        )

    def _at(self, start: Start, end: int) -> int:
        """Return the sequence number of the first record from a position on, `end` if there is none."""
        for batch in self._batches(plan_of(start, ReadLimit(count=1), None, False, None)):
            if batch.num_rows:
                return int(batch.column(0)[0].as_py())
        return end


_SCHEMA = pa.schema([*StreamRange.head, ("body", pa.binary())])


def made(
    where: tuple[str, str],
    basin: str,
    name: str,
    compression: str,
    verify: Any,
    commands: bool,
    *,
    access_token: Secret,
    encryption_key: Secret | None = None,
) -> StreamRange:
    """Return the same stream over a connection of its own."""
    client = SyncS2(access_token, endpoints=Endpoints(*where), compression=Compression(compression), verify=verify)
    stream = client.basin(basin).stream(name, encryption_key=encryption_key)
    return StreamRange(stream, basin, commands=commands, owned=client)
