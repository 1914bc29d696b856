"""Four ways from the bytes of batches to Arrow columns; all give the same.

objects   message objects of the protobuf runtime; the fastest for a few records, and it reads anything
layout    positions of fields, found for all records at once; for records without headers, as the service writes them
small     the same, with a loop to find the records: a first small read does not load the protobuf runtime
ptars     a compiled decoder, if it is installed

Only bytes that the protobuf runtime has found well-formed are given to the compiled decoder: on others it may panic.
The layout decoder checks every position that it uses, and gives up if anything differs from what it expects.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..positions import StreamPosition
from .proto import messages

HEADER = pa.struct([("name", pa.binary()), ("value", pa.binary())])
SCHEMA = pa.schema(
    [("seq_num", pa.uint64()), ("timestamp", pa.uint64()), ("headers", pa.list_(HEADER)), ("body", pa.binary())]
)

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_PAD = 32
"""Zeros after the data, so that looking for a field after the last one finds none."""
_CONTINUES = np.uint64(0x8080808080808080)
_ONE = np.uint64(1)
_LONGEST = 8
"""Bytes of the longest number that is read here: longer ones, from 2**56 on, are left to the other decoders."""
_CONTINUING = [np.uint64(0x8080808080808080 >> 8 * (8 - size)) for size in range(9)]
"""For each number of bytes: the bits that say whether another byte follows ..."""
_CONTINUED = [np.uint64(0x8080808080808080 >> 8 * (9 - size) if size else 0) for size in range(9)]
"""... what they are, as a byte follows each but the last ..."""
_DIGITS = [np.uint64(0x7F7F7F7F7F7F7F7F >> 8 * (8 - size)) for size in range(9)]
"""... and the other bits, which are the number."""
_CLOSER = [
    (1, (np.uint64(0x007F007F007F007F), np.uint64(0x7F007F007F007F00), np.uint64(1))),
    (2, (np.uint64(0x00003FFF00003FFF), np.uint64(0x3FFF00003FFF0000), np.uint64(2))),
    (4, (np.uint64(0x000000000FFFFFFF), np.uint64(0x0FFFFFFF00000000), np.uint64(4))),
]
"""Pairs of seven bits become fourteen where numbers have more than one byte, pairs of these 28, and of these 56."""


def by_objects(batches: Sequence[Any]) -> pa.RecordBatch:
    """Return columns from messages that were read already."""
    records = [record for batch in batches for record in batch.records]
    names, values, ends = [], [], [0]
    for record in records:
        for pair in record.headers:
            names.append(pair.name)
            values.append(pair.value)
        ends.append(len(names))
    return columns(
        pa.array([record.seq_num for record in records], pa.uint64()),
        pa.array([record.timestamp for record in records], pa.uint64()),
        header_lists(ends, names, values) if names else no_headers(len(records)),
        pa.array([record.body for record in records], pa.binary()),
    )


def columns(seq_num: pa.Array, timestamp: pa.Array, headers: pa.Array, body: pa.Array) -> pa.RecordBatch:
    """Return the columns of one batch."""
    return pa.RecordBatch.from_arrays([seq_num, timestamp, headers, body], schema=SCHEMA)


def header_lists(ends: Any, names: Any, values: Any) -> pa.Array:
    """Return headers as lists: those of record n stand from `ends[n]` to `ends[n + 1]`."""
    pairs = pa.StructArray.from_arrays(
        [pa.array(names, pa.binary()), pa.array(values, pa.binary())], fields=list(HEADER)
    )
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pairs, type=pa.list_(HEADER))


def no_headers(count: int) -> pa.Array:
    """Return as many empty lists; they share one piece of memory, as most records have no headers."""
    size = 1 << (count + 1).bit_length()
    return pa.Array.from_buffers(pa.list_(HEADER), count, [None, _zeros(size)], 0, children=[_no_pairs()])


@cache
def _zeros(size: int) -> pa.Buffer:
    return pa.py_buffer(np.zeros(size, np.int32))


@cache
def _no_pairs() -> pa.Array:
    return pa.array([], HEADER)


@cache
def compiled() -> Any:
    """Return the compiled decoder, or None where it is not there."""
    try:
        import ptars

        pool = ptars.HandlerPool([messages().file])
    except (ImportError, TypeError):
        # It needs the protobuf runtime's own compiled part; without that it does not import, or refuses its types.
        return None
    return pool.get_for_message(messages().ReadBatch.DESCRIPTOR).list_to_record_batch


def by_ptars(payloads: Sequence[bytes]) -> pa.RecordBatch | None:
    """Return columns from the bytes of batches that are known to be well-formed; None where it does not take them even
    so."""
    try:
        records = compiled()(list(payloads)).column(0).values
    except ValueError:
        # It is stricter inside unknown fields.
        return None
    seq_num, timestamp, headers, body = records.flatten()
    if len(headers.values):
        names, values = headers.values.flatten()
        headers = header_lists(headers.offsets, names, values)
    else:
        headers = no_headers(len(records))
    return columns(seq_num, timestamp, headers, body)


def by_layout(payloads: Sequence[bytes], outlines: Sequence[Any]) -> pa.RecordBatch | None:
    """Return columns from bytes and their outlines, or None where the records are not laid out as expected.

    Expected is: sequence number, timestamp and body, each where it is not zero or empty, in this order; no headers.
    """
    at = 0
    placed = []
    for payload, outline in zip(payloads, outlines, strict=True):
        bounds = _bounds(outline, len(payload))
        if bounds is None:
            return None
        placed.append(bounds + at)
        at += len(payload)
    head, start, end = np.concatenate(placed, axis=1)
    data = b"".join([*payloads, bytes(_PAD)])
    if not (np.frombuffer(data, np.uint8)[head] == 0x0A).all():
        return None
    return _laid_out(data, start, end)


def _laid_out(data: bytes, start: Ints, end: Ints) -> pa.RecordBatch | None:
    """Return columns of records of which are known where the content of each begins and ends; None where it is another
    than expected."""
    octets = np.frombuffer(data, np.uint8)
    # The eight bytes from every position on, as one number; not copied.
    words: Words = np.ndarray((len(data) - 7,), "<u8", data, 0, (1,))
    here, numbers = start, []
    for tag in (0x08, 0x10, 0x22):
        field = _field(octets, words, here, tag)
        if field is None:
            return None
        here, number = field
        numbers.append(number)
    seq_num, timestamp, size = numbers
    if not (here + size.astype(np.int64) == end).all():
        return None
    return columns(pa.array(seq_num), pa.array(timestamp), no_headers(len(start)), _cut(data, here, end))


def _bounds(outline: Any, size: int) -> Ints | None:
    """Return where each record's tag, its content and its end are, by the lengths alone; None where they do not add up.

    Each record costs at least its content, a tag and the shortest form of its length. If that and the tail make up
    all the bytes, then nothing else is among them. The tags, looked at later, prove that the tail is not either.
    """
    lengths: Ints = np.fromiter(map(len, outline.records), np.int64, len(outline.records))
    steps = lengths + 2 + (lengths > 0x7F) + (lengths > 0x3FFF) + (lengths > 0x1FFFFF)
    ends = np.cumsum(steps)
    tail = outline.tail.ByteSize() + 2 if outline.HasField("tail") else 0
    if (int(ends[-1]) if len(ends) else 0) + tail != size:
        return None
    return np.stack([ends - steps, ends - lengths, ends])


def by_walking(payload: bytes) -> tuple[pa.RecordBatch, StreamPosition | None] | None:
    """Return columns and the tail from the bytes of one small batch, or None where it is not laid out as expected."""
    starts, ends = [], []
    at, size = 0, len(payload)
    tail: StreamPosition | None = None
    try:
        while at < size and payload[at] == 0x0A:
            length, start = payload[at + 1], at + 2
            if length > 0x7F:  # mostly two bytes; a call for each record would be most of what this takes
                length, start = length & 0x7F | payload[start] << 7, start + 1
                if length > 0x3FFF:
                    length, start = _number_at(payload, at + 1)
            at = start + length
            starts.append(start)
            ends.append(at)
        if at < size:
            if payload[at] != 0x12 or payload[at + 1] != size - at - 2:
                return None
            at += 2
            numbers = [0, 0]
            for n, tag in enumerate((0x08, 0x10)):
                if at < size and payload[at] == tag:
                    numbers[n], at = _number_at(payload, at + 1)
            tail = StreamPosition(*numbers)
    except (IndexError, OverflowError):
        return None
    if at != size:
        return None
    batch = _laid_out(payload + bytes(_PAD), np.array(starts, np.int64), np.array(ends, np.int64))
    return None if batch is None else (batch, tail)


def _number_at(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that stands there, and what is behind it; OverflowError where it is longer than any is
    written."""
    value = shift = 0
    for place in range(at, at + 9):
        octet = data[place]
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value, place + 1
        shift += 7
    raise OverflowError


def _field(octets: npt.NDArray[np.uint8], words: Words, at: Ints, tag: int) -> tuple[Ints, Words] | None:
    """Return where the next field begins, and the number in this one; zero where the field is not there."""
    there = octets[at] == tag
    word = words[at + 1]
    everywhere = bool(there.all())
    if everywhere and len(word):
        # Mostly all of them take as many bytes as the first.
        octet, size = int(word[0]), 1
        while octet & 0x80 and size < _LONGEST:
            octet, size = octet >> 8, size + 1
        if (word & _CONTINUING[size] == _CONTINUED[size]).all():
            return at + (1 + size), _packed(word & _DIGITS[size], size)
    ending = ~word & _CONTINUES
    last = ending & (~ending + _ONE)
    if not last[there].all():
        return None  # more than eight bytes long
    sizes = np.frexp(last.astype(np.float64))[1] >> 3
    number = _packed(word & ((last << _ONE) - _ONE) & _DIGITS[_LONGEST], int(sizes.max(initial=1)))
    if everywhere:
        return at + 1 + sizes, number
    return at + np.where(there, 1 + sizes, 0), np.where(there, number, np.uint64(0))


def _packed(digits: Words, size: int) -> Words:
    """Return the numbers whose digits of seven bits stand in bytes, of which at most `size` are not zero."""
    for within, (low, high, gap) in _CLOSER:
        if size > within:
            digits = digits & low | (digits & high) >> gap
    return digits


def _cut(data: bytes, starts: Ints, ends: Ints) -> pa.Array:
    """Return the pieces of the data between starts and ends, which follow each other with gaps."""
    edges = np.zeros(2 * len(starts) + 1, np.int32)
    edges[1::2] = starts
    edges[2::2] = ends
    # Gaps and pieces as one column: every second value is a piece.
    both = pa.Array.from_buffers(pa.binary(), 2 * len(starts), [None, pa.py_buffer(edges), pa.py_buffer(data)])
    return both.take(pa.array(np.arange(1, 2 * len(starts), 2)))
