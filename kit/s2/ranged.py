"""A stream's records by sequence number, for Arrow, SQL, Parquet and Dask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import warn
from ..core.frames import TIME
from ..core.html import one_line
from ..core.ranged import Piece, Ranged, milliseconds
from ..core.secrets import Secret
from . import bulk
from .client import SyncS2
from .columns import command_mask
from .decoding import HEADER
from .endpoints import Endpoints
from .errors import ReadUnwrittenError, S2InputError
from .positions import SeqNum, Timestamp
from .reading import Start, plan_of
from .settings import AppendRetryPolicy, Compression
from .starts import place_of
from .stream import SyncS2Stream
from .types import ReadLimit

if TYPE_CHECKING:
    import pandas as pd


class StreamRange(Ranged):
    """The records of a stream; orders to the service are left out unless `commands` is true."""

    position = "seq_num"
    head = pa.schema([("seq_num", pa.uint64()), ("time", TIME), ("headers", pa.list_(HEADER))])
    optional = ("headers",)
    refuse = S2InputError

    def __init__(
        self, stream: SyncS2Stream, basin: str, *, commands: bool = False, owned: SyncS2 | None = None
    ) -> None:
        self.stream, self.basin, self.commands, self._owned = stream, basin, commands, owned
        self.label = f"s2 {basin}/{stream.name}"

    def bounds(self) -> tuple[int, int]:
        stop = self.stream.check_tail().seq_num
        return min(self._at(SeqNum(0), stop), stop), stop

    def place(self, moment: int, *, last: bool = False) -> int | None:
        return self._at(Timestamp(max(0, moment)), self.stream.check_tail().seq_num)

    def start(self, given: Any) -> int:
        return self.at(place_of(given))

    def until(self, given: Any) -> int:
        return self.at(place_of(given, "until"))

    def pieces(self, first: int, stop: int) -> Iterator[Piece]:
        plan = plan_of(SeqNum(first), ReadLimit(count=stop - first), None, False, None)
        late = 0
        try:
            for columns in bulk.columns(self.stream, plan):
                batch = columns.batch
                numbers = batch.column(0)
                if not len(numbers):
                    continue
                begin, end = numbers[0].as_py(), numbers[-1].as_py() + 1
                if begin >= stop:
                    break
                if end > stop:
                    batch = batch.filter(pc.less(numbers, pa.scalar(stop, pa.uint64())))
                    end = stop
                mask = None if self.commands else command_mask(batch)
                shown = batch if mask is None else batch.filter(pc.invert(mask))
                seq_num, timestamp, headers, body = shown.columns
                time, count = milliseconds(timestamp)
                late += count
                yield Piece(begin, end, pa.RecordBatch.from_arrays([seq_num, time, headers, body], schema=_SCHEMA))
        except ReadUnwrittenError:
            pass  # the stream is shorter; whoever asked for more says so
        if late:
            label = one_line(self.label)
            warn(f"{label}: {late:,} timestamps past the year 9999 are missing in `time`")

    def write(self, frame: pd.DataFrame, *, once: bool, **options: Any) -> tuple[int | None, int]:
        from .appending import append_encoded
        from .bodies import bodies_of
        from .inputs import encode_inputs

        policy = AppendRetryPolicy.NO_SIDE_EFFECTS if once else AppendRetryPolicy.ALL
        link = self.stream._link
        link.retry = replace(link.retry, append_retry_policy=policy)
        given = bodies_of(frame, **{"body": None, "timestamp": None, "headers": None, **options})
        inputs = encode_inputs(given.bodies, timestamps=given.timestamps, headers=given.headers)
        ack = append_encoded(self.stream, inputs).ack
        return ack.start.seq_num, len(given.bodies)

    def close(self) -> None:
        if self._owned is not None:
            self._owned.close()

    def recipe(self) -> tuple[Any, tuple[Any, ...], dict[str, Secret]]:
        link = self.stream._link
        secrets = {"access_token": link.credential}
        if self.stream._key is not None:
            secrets["encryption_key"] = self.stream._key
        where = (link.endpoints.account, link.endpoints.basin)
        return made, (where, self.basin, self.stream.name, link.compression.value, link.verify, self.commands), secrets

    def _at(self, start: Start, end: int) -> int:
        """The sequence number of the first record from a place on, `end` where there is none."""
        plan = plan_of(start, ReadLimit(count=1), None, False, None)
        try:
            for columns in bulk.columns(self.stream, plan):
                if len(columns):
                    return int(columns.batch.column(0)[0].as_py())
        except ReadUnwrittenError:
            pass
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
    """The same stream over a connection of its own."""
    client = SyncS2(access_token, endpoints=Endpoints(*where), compression=Compression(compression), verify=verify)
    stream = client.basin(basin).stream(name, encryption_key=encryption_key)
    return StreamRange(stream, basin, commands=commands, owned=client)
