"""Batches as Arrow columns, without a Python object per record; and columns as a table for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import S2InputError
from ..positions import StreamPosition
from .decoding import SCHEMA, by_layout, by_objects, by_ptars, by_walking, compiled
from .messages import parsed, tail_of, varint
from .proto import messages

if TYPE_CHECKING:
    from ...core.tables.frames import BodyMode

HEAD = ("seq_num", "time", "headers")
"""The columns beside the bodies; a key with the same name as one of them is renamed, the same way in every verb."""
Decoder = Literal["objects", "layout", "small", "ptars"]

_FEW = {"ptars": 32, "layout": 180, "objects": 0, "small": 0}
"""Below this number of records, decoding to objects is faster than one call of the compiled decoder."""
_SMALL = 64 * 1024
"""Up to this many bytes of one batch, a loop over its records takes no longer than the call of a decoder."""
_LAST_TIME = 253_402_300_799_999
"""The last millisecond of the year 9999, where Python's datetime ends; timestamps of records may be any u64."""
_BLOCK = 4 * 1024 * 1024
_MOST = 1024 * 1024 * 1024
"""Arrow's binary columns have offsets of 31 bits."""


@dataclass(slots=True, frozen=True)
class RecordColumns:
    """Records in columns: `seq_num`, `timestamp`, `headers`, `body`; and the tail, if the service told it."""

    batch: pa.RecordBatch
    tail: StreamPosition | None

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    @property
    def last_seq_num(self) -> int | None:
        """The sequence number of the last record."""
        return self.batch.column(0)[-1].as_py() if len(self) else None

    @property
    def metered_bytes(self) -> int:
        """What the records count towards limits, as `kit.s2.metered_bytes` of their objects does."""
        headers, body = self.batch.column("headers").flatten(), self.batch.column("body")
        total = 8 * len(self) + 2 * len(headers)
        for column in (body, *headers.flatten()):
            total += pc.sum(pc.binary_length(column)).as_py() or 0
        return int(total)

    def without_commands(self) -> RecordColumns:
        """Return the same without command records."""
        mask = command_mask(self.batch)
        return self if mask is None else RecordColumns(self.batch.filter(pc.invert(mask)), self.tail)


@dataclass(slots=True, frozen=True)
class Reading:
    """A batch before it is decoded: how many records it has, and where they end."""

    payload: bytes
    batch: Any

    @classmethod
    def of(cls, payload: bytes) -> Reading:
        """Return the payload, found to be well-formed."""
        kinds = messages()
        return cls(payload, parsed(kinds.ReadBatch if compiled() else kinds.Outline, payload))

    def __len__(self) -> int:
        return len(self.batch.records)

    @property
    def last_seq_num(self) -> int:
        """Of the last record; there must be one."""
        last = self.batch.records[-1]
        if isinstance(last, bytes):
            last = parsed(messages().BareBatch, b"\x0a" + varint(len(last)) + last).records[0]
        return int(last.seq_num)

    @property
    def tail(self) -> StreamPosition | None:
        """The tail, if the service sent it."""
        return tail_of(self.batch)


def columns_of(*payloads: bytes, decoder: Decoder | None = None, readings: Sequence[Reading] = ()) -> RecordColumns:
    """Return the records of one batch, or of several in order, as columns with the newest known tail.

    Together they should be no more than some MiB, as reused memory is faster than new memory. `readings`, in place of
    payloads, are batches whose decoding has begun.
    """
    payloads = payloads or tuple(reading.payload for reading in readings)
    begun = [reading.batch for reading in readings] if decoder is None else []
    if sum(map(len, payloads)) > _MOST:
        raise S2InputError(f"{sum(map(len, payloads)):,} bytes of batches at once; a column holds at most {_MOST:,}")
    if len(payloads) == 1 and not begun and (decoder == "small" or (decoder is None and len(payloads[0]) <= _SMALL)):
        walked = by_walking(payloads[0])
        if walked is not None:
            return RecordColumns(*walked)
    kinds = messages()
    chosen = decoder or ("ptars" if compiled() else "layout")
    few = 0 if decoder else _FEW[chosen]
    if chosen == "layout":
        outlines = begun or [parsed(kinds.Outline, payload) for payload in payloads]
        begun = []
        if _count(outlines) >= few and (columns := by_layout(payloads, outlines)) is not None:
            return RecordColumns(columns, _newest(outlines))
    batches = begun or [parsed(kinds.ReadBatch, payload) for payload in payloads]
    if chosen == "ptars" and _count(batches) >= few and (columns := by_ptars(payloads)) is not None:
        return RecordColumns(columns, _newest(batches))
    return RecordColumns(by_objects(batches), _newest(batches))


def _count(batches: Iterable[Any]) -> int:
    return sum(len(batch.records) for batch in batches)


def _newest(batches: Iterable[Any]) -> StreamPosition | None:
    tails = [tail_of(batch) for batch in batches]
    return next((tail for tail in reversed(tails) if tail is not None), None)


def command_mask(batch: pa.RecordBatch) -> pa.Array | None:
    """Return which records are commands: those with exactly one header, whose name is empty. None where no record
    is."""
    headers = batch.column("headers")
    if not len(headers.values):
        return None
    pairs = headers.flatten()
    if not len(pairs):
        return None
    empty = np.asarray(pc.equal(pc.binary_length(pairs.field("name")), 0))
    first = np.cumsum(counts := np.asarray(pc.list_value_length(headers))) - counts
    mask = (counts == 1) & empty[np.minimum(first, len(pairs) - 1)]
    return pa.array(mask) if mask.any() else None


def record_table(
    batches: Iterable[RecordColumns | pa.RecordBatch],
    body: BodyMode = "auto",
    types: Mapping[str, pa.DataType] | None = None,
    *,
    fast: bool = True,
) -> tuple[pa.Table, dict[str, Any]]:
    """Return records in the form of a frame, and the decisions about them for `df.attrs`.

    Columns: `seq_num`, `time`, `headers` where any record has some, then the bodies in the form asked for.
    A timestamp past the year 9999 is missing in `time`, counted, and kept as a number in `timestamp`. `fast=False`
    spares a few rows what the quick reader of JSON takes to start.
    """
    from ...core.tables.frames import TIME, choose_mode, expand_bodies  # pandas, which decoding does not need

    chunks = [batch.batch if isinstance(batch, RecordColumns) else batch for batch in batches]
    table = pa.Table.from_batches(chunks, SCHEMA)
    columns = {"seq_num": table.column("seq_num")}
    timestamps = table.column("timestamp")
    attrs: dict[str, Any] = {}
    if any(len(chunk) and chunk.to_numpy().max() > _LAST_TIME for chunk in timestamps.chunks):
        late = pc.greater(timestamps, pa.scalar(_LAST_TIME, pa.uint64()))
        columns["time"] = pc.if_else(late, None, timestamps).cast(pa.int64()).cast(TIME)
        columns["timestamp"] = timestamps
        attrs["times_out_of_range"] = pc.sum(late).as_py()
    else:
        columns["time"] = pa.chunked_array([chunk.view(pa.int64()).view(TIME) for chunk in timestamps.chunks], TIME)
    headers = table.column("headers")
    if any(len(chunk.values) and len(chunk.flatten()) for chunk in headers.chunks):
        columns["headers"] = headers
    raw = table.column("body")
    if raw.num_chunks > 1 and (types or body == "json" or (body == "auto" and choose_mode(raw) == "json")):
        raw = _in_blocks(raw)
    bodies = expand_bodies(raw, body, taken=HEAD, types=types, fast=fast)
    return pa.table({**columns, **bodies.columns}), {**bodies.attrs, **attrs}


def _in_blocks(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the same in fewer pieces: each costs the JSON reader a start, and batches are small."""
    blocks: list[list[pa.Array]] = [[]]
    size = 0
    for chunk in column.chunks:
        if size >= _BLOCK:
            blocks.append([])
            size = 0
        blocks[-1].append(chunk)
        size += chunk.nbytes
    return pa.chunked_array([pa.concat_arrays(block) for block in blocks if block], column.type)
