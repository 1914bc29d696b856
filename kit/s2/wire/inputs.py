"""Columns as appends: the messages of many records at once, without a Python object per record.

A record's bytes are a head, its headers, the tag and length of its body, and the body. The short parts are laid out
for all records together, byte by byte, and Arrow joins them to the bodies; a message is then a slice of the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...core.tables.moments import in_unit
from ..checks import check_batching
from ..errors import S2InputError
from ..limits import MAX_BATCH_BYTES, check_conditions
from ..settings import Batching
from .decoding import HEADER
from .messages import encode_conditions

Ints = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

_ROUND = 16 * 1024
"""Records that are laid out at once; more would not fit the processor's cache."""
_ROUND_BYTES = 8 * 1024 * 1024
_SEVEN = np.uint64(0x7F)
_WIDE = pa.large_binary()


class EncodedInput(NamedTuple):
    """An append as its message."""

    payload: bytes
    records: int
    metered_bytes: int


def encode_inputs(
    bodies: Any,
    *,
    timestamps: Any = None,
    headers: Any = None,
    batching: Batching | None = None,
    match_seq_num: int | None = None,
    fencing_token: str | None = None,
) -> Iterator[EncodedInput]:
    """Return the appends of these records, each as large as the batching allows.

    Columns may be Arrow's, pandas' or lists. `bodies` are binary or text; `timestamps` whole numbers or times, missing
    where a record has none: they are kept in milliseconds, finer ones rounded down. `headers` are lists of name and
    value. `match_seq_num` is for the first append, each later one is to follow on the one before. Anything that cannot
    be sent is refused before the first append is given.
    """
    batching = check_batching(batching or Batching())
    check_conditions(match_seq_num, fencing_token)
    body = _bodies(bodies)
    times = None if timestamps is None else _times(timestamps, len(body))
    pairs = None if headers is None else _Headers.of(headers, len(body))
    sizes = 8 + (body.lengths() if isinstance(body, _Objects) else _lengths(body))
    if pairs is not None:
        sizes += pairs.metered()
    _refuse_large(sizes)
    return _encoded(body, times, pairs, sizes, batching, match_seq_num, fencing_token)


def _encoded(
    body: pa.ChunkedArray | _Objects,
    times: pa.ChunkedArray | None,
    pairs: _Headers | None,
    sizes: Ints,
    batching: Batching,
    match_seq_num: int | None,
    fencing_token: str | None,
) -> Iterator[EncodedInput]:
    first = 0
    for ends in _rounds(_cuts(sizes, batching), sizes):
        start, length = first, ends[-1] - first
        data, edges = _records(
            _whole(body.slice(start, length)),
            None if times is None else _whole(times.slice(start, length)),
            None if pairs is None else pairs.slice(start, length),
        )
        for end in ends:
            records = data[edges[first - start] : edges[end - start]]
            payload = b"".join([records, encode_conditions(match_seq_num, fencing_token)])
            yield EncodedInput(payload, end - first, int(sizes[first:end].sum()))
            if match_seq_num is not None:
                match_seq_num += end - first
            first = end


def _column(given: Any, what: str, kind: pa.DataType | None = None, gaps: bool | None = None) -> pa.ChunkedArray:
    if isinstance(given, pa.ChunkedArray):
        return given
    if isinstance(given, str | bytes | Mapping):
        # Its characters, or its keys, would be the column.
        raise S2InputError(f"the {what} cannot be a column: one {type(given).__name__} is given", hint="give a list")
    try:
        column = pa.array(given, kind, from_pandas=gaps) if not isinstance(given, pa.Array) else given
    except (TypeError, ValueError, LookupError, OverflowError, pa.ArrowNotImplementedError) as error:
        raise S2InputError(f"the {what} cannot be a column: {error}") from None
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _refuse_missing(column: Any, what: str, hint: str, first: int = 0) -> None:
    if column.null_count:
        at = first + int(np.flatnonzero(np.asarray(column.is_null()))[0])
        raise S2InputError(f"{what} {at} is missing", hint=hint)


class _Objects:
    """Bodies that are Python objects. They become Arrow arrays piece by piece, in memory that is reused: allocating it
    for all of them at once would take longer than the rest of the work."""

    def __init__(self, given: Any) -> None:
        self._given = given

    def __len__(self) -> int:
        return len(self._given)

    def slice(self, start: int, length: int) -> pa.ChunkedArray:
        return _wide(self._given[start : start + length], start)

    def lengths(self) -> Ints:
        """Return the lengths in bytes. What cannot be a body is found on the way."""
        starts = range(0, len(self), _ROUND)
        return np.concatenate([np.zeros(0, np.int64), *(_lengths(self.slice(start, _ROUND)) for start in starts)])


def _bodies(given: Any) -> pa.ChunkedArray | _Objects:
    if isinstance(given, list) or (isinstance(given, np.ndarray) and given.dtype == object):
        return _Objects(given)
    return _wide(given)


def _wide(given: Any, first: int = 0) -> pa.ChunkedArray:
    column = _column(given, "bodies", gaps=True)
    _refuse_missing(column, "body", "give such a record an empty body, or leave it out", first)
    try:
        # Wide offsets: all the bodies together may be more than 2 GiB.
        return column.cast(_WIDE)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise S2InputError(f"bodies must be binary or text: {error}") from None


def _times(given: Any, count: int) -> pa.ChunkedArray:
    plain = isinstance(given, list | tuple) and any(isinstance(item, int) for item in given)
    column = _column(given, "timestamps", pa.uint64() if plain else None)
    if len(column) != count:
        raise S2InputError(f"there are {len(column)} timestamps for {count} bodies")
    message = "timestamps must be times, or whole numbers of milliseconds, since 1970"
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_boolean(kind) or not (
        pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)
    ):
        # Arrow would take a truth value, and the digits of a text, for a number.
        raise S2InputError(f"{message}, not {kind}")
    try:
        if pa.types.is_temporal(column.type):
            finer = column if pa.types.is_timestamp(column.type) else column.cast(pa.timestamp("ms"))
            numbers = in_unit(finer, "ms").cast(pa.int64())
        else:
            numbers = column if column.type == pa.uint64() else column.cast(pa.int64())
        if numbers.type != pa.uint64() and pc.any(early := pc.less(numbers, 0)).as_py():
            row = pc.index(early, True).as_py()
            raise S2InputError(
                f"{message}: that of record {row} is {column.slice(row, 1).cast(pa.string())[0]}",
                hint="S2 stores milliseconds since 1970; put an earlier time into the body",
            )
        return numbers.cast(pa.uint64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise S2InputError(f"{message}: {error}") from None


@dataclass(slots=True)
class _Headers:
    """The names and values of all headers; those of record n stand from `ends[n]` to `ends[n + 1]`."""

    ends: Ints
    names: pa.Array
    values: pa.Array

    @classmethod
    def of(cls, given: Any, count: int) -> _Headers:
        column = _whole(_column(given, "headers", pa.list_(HEADER)))
        if pa.types.is_map(column.type):
            column = column.cast(pa.list_(pa.struct([column.type.key_field, column.type.item_field])))
        if len(column) != count:
            raise S2InputError(f"there are {len(column)} lists of headers for {count} bodies")
        kind = column.type
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            raise S2InputError(f"headers must be lists of names and values, not {kind}")
        ends = np.zeros(count + 1, np.int64)
        np.cumsum(np.asarray(pc.fill_null(pc.list_value_length(column), 0)), out=ends[1:])
        pairs = column.flatten()
        if not pa.types.is_struct(pairs.type) or pairs.type.num_fields != 2:
            raise S2InputError(f"headers must be lists of names and values, not {kind}")
        parts = []
        for what, part in zip(("name", "value"), pairs.flatten(), strict=True):
            _refuse_missing(part, f"the {what} of header", 'use b"" for an empty one')
            try:
                parts.append(part.cast(_WIDE))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise S2InputError(f"the {what}s of headers must be binary or text: {error}") from None
        return cls(ends, *parts)

    def slice(self, start: int, length: int) -> _Headers:
        ends = self.ends[start : start + length + 1]
        first, count = int(ends[0]), int(ends[-1] - ends[0])
        return _Headers(ends - first, self.names.slice(first, count), self.values.slice(first, count))

    def metered(self) -> Ints:
        """Return what the headers of each record count."""
        total = np.zeros(len(self.names) + 1, np.int64)
        np.cumsum(2 + _lengths(self.names) + _lengths(self.values), out=total[1:])
        return np.diff(total[self.ends])


def _refuse_large(sizes: Ints) -> None:
    large = np.flatnonzero(sizes > MAX_BATCH_BYTES)
    if len(large):
        at = int(large[0])
        raise S2InputError(
            f"record {at} has {int(sizes[at]):,} metered bytes; a record has at most {MAX_BATCH_BYTES:,}"
        )


def _cuts(sizes: Ints, batching: Batching) -> Iterator[int]:
    """Return where appends end."""
    total = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=total[1:])
    end = 0
    while end < len(sizes):
        fit = int(np.searchsorted(total, total[end] + batching.max_bytes, "right")) - 1
        end = max(end + 1, min(fit, end + batching.max_records))
        yield end


def _rounds(ends: Iterator[int], sizes: Ints) -> Iterator[list[int]]:
    """Return the ends of the appends that are laid out together."""
    start, size, group = 0, 0, []
    for end in ends:
        group.append(end)
        size += int(sizes[group[-2] if len(group) > 1 else start : end].sum())
        if end - start >= _ROUND or size >= _ROUND_BYTES:
            yield group
            start, size, group = end, 0, []
    if group:
        yield group


def _records(body: pa.Array, times: pa.Array | None, pairs: _Headers | None) -> tuple[memoryview, Ints]:
    """Return the bytes of all the records, and the edges between them."""
    sizes = _lengths(body)
    filled = sizes > 0
    content = sizes + filled * (1 + _width(sizes))
    timed, time = None, None
    if times is not None:
        timed = np.asarray(times.is_valid())
        time = np.asarray(times.fill_null(0))
        content += timed * (1 + _width(time))
    encoded = None
    if pairs is not None:
        encoded = _header_bytes(pairs)
        content += _lengths(encoded)
    head = _Layout(len(body)).byte(0x0A).number(content)
    if time is not None:
        head.byte(0x08, timed).number(time, timed)
    if encoded is None:
        head.byte(0x1A, filled).number(sizes, filled)
        return _opened(_joined(head.column(), body))
    middle = _Layout(len(body)).byte(0x1A, filled).number(sizes, filled)
    return _opened(_joined(head.column(), encoded, middle.column(), body))


def _header_bytes(pairs: _Headers) -> pa.Array:
    """Return the headers of each record, as one value."""
    names, values = _lengths(pairs.names), _lengths(pairs.values)
    named, valued = names > 0, values > 0
    content = names + values + named * (1 + _width(names)) + valued * (1 + _width(values))
    head = _Layout(len(names)).byte(0x12).number(content).byte(0x0A, named).number(names, named)
    middle = _Layout(len(names)).byte(0x12, valued).number(values, valued)
    data, edges = _opened(_joined(head.column(), pairs.names, middle.column(), pairs.values))
    return _cut(data, edges[pairs.ends])


class _Layout:
    """Bytes side by side, for many rows at once; each row has them or not."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._octets: list[Octets] = []
        self._there: list[Flags] = []

    def byte(self, value: int, there: Flags | None = None) -> _Layout:
        """Return the same byte in every row that has it."""
        self._octets.append(np.full(self._count, value, np.uint8))
        self._there.append(np.ones(self._count, np.bool_) if there is None else there)
        return self

    def number(self, values: Ints, there: Flags | None = None) -> _Layout:
        """Return a number in every row that has it, in as many bytes as it takes."""
        left = values.astype(np.uint64, copy=False)
        going = np.ones(self._count, np.bool_) if there is None else there
        while going.any():
            more = left > _SEVEN
            self._octets.append(((left & _SEVEN) | (more * np.uint64(0x80))).astype(np.uint8))
            self._there.append(going)
            left = left >> np.uint64(7)
            going = going & more
        return self

    def column(self) -> pa.Array:
        """Return the rows' bytes."""
        if not self._octets:
            return _cut(b"", np.zeros(self._count + 1, np.int64))
        there = np.stack(self._there, axis=1)
        edges = np.zeros(self._count + 1, np.int64)
        np.cumsum(there.sum(axis=1), out=edges[1:])
        return _cut(np.stack(self._octets, axis=1)[there], edges)


def _width(values: Ints) -> Ints:
    """Return how many bytes each number takes."""
    left = values.astype(np.uint64, copy=False) >> np.uint64(7)
    width = np.ones(len(left), np.int64)
    while left.any():
        width += left > 0
        left = left >> np.uint64(7)
    return width


def _lengths(column: pa.Array | pa.ChunkedArray) -> Ints:
    return np.asarray(pc.binary_length(column), np.int64)


def _cut(data: Any, edges: Ints) -> pa.Array:
    return pa.Array.from_buffers(_WIDE, len(edges) - 1, [None, pa.py_buffer(edges), pa.py_buffer(data)])


def _joined(*parts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(*parts, pa.scalar(b"", _WIDE))


def _opened(column: pa.Array) -> tuple[memoryview, Ints]:
    """Return a column's bytes, and the edges between its values."""
    _, edges, data = column.buffers()
    offsets: Ints = np.frombuffer(edges, np.int64, len(column) + 1, column.offset * 8)
    return memoryview(data) if data is not None else memoryview(b""), offsets
