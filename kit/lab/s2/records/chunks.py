"""Stored records: the records of one append, as the bytes of a read's answer.

A chunk's bytes are `ReadBatch` entries, one after the other: `0a length (08 seq_num 10 timestamp 1a header* 22 body)`,
where fields that are zero or empty are left out. A batch is answered by joining chunks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ....s2.wire.messages import varint


@dataclass(slots=True, frozen=True)
class Chunk:
    """Records of one stream that follow each other."""

    stream: int
    first: int
    """The sequence number of the first."""
    count: int
    first_time: int
    last_time: int
    size: int
    """In metered bytes."""
    data: bytes
    expires: int | None = None
    """When the records expire, in milliseconds since 1970."""

    @property
    def next(self) -> int:
        """The sequence number after the last."""
        return self.first + self.count


SIZE = b"\x78"
"""The tag of a field with the metered size of an encrypted record; it is never sent."""


class Place(NamedTuple):
    """A record inside a chunk's bytes."""

    start: int
    rest: int
    """The offset of its headers and body."""
    end: int
    seq_num: int
    time: int


def placed(parts: Sequence[bytes], first: int, times: int | Sequence[int]) -> bytes:
    """Return the bytes of records at their places, which follow each other from `first` on.

    >>> placed([b'"\\x01a', b""], 0, 5).hex(" ")
    '0a 05 10 05 22 01 61 0a 04 08 01 10 05'
    """
    out: list[bytes] = []
    add = out.append
    if isinstance(times, int):
        stamp = b"\x10" + varint(times) if times else b""
        for seq, part in zip(_seq_fields(first, len(parts)), parts, strict=True):
            place = seq + stamp
            add(_HEADS[len(place) + len(part)])
            add(place)
            add(part)
    else:
        for seq, part, time in zip(_seq_fields(first, len(parts)), parts, times, strict=True):
            place = seq + _STAMPS[time]
            add(_HEADS[len(place) + len(part)])
            add(place)
            add(part)
    return b"".join(out)


class _Heads(dict[int, bytes]):
    """The bytes before a record of a given length; those for small records are cached."""

    def __missing__(self, length: int) -> bytes:
        head = b"\x0a" + varint(length)
        if length < 16384:
            self[length] = head
        return head


class _Stamps(dict[int, bytes]):
    """Encoded timestamp fields, cached, as neighbouring records often share one."""

    def __missing__(self, time: int) -> bytes:
        if len(self) > 4096:
            self.clear()
        stamp = self[time] = b"\x10" + varint(time) if time else b""
        return stamp


_HEADS = _Heads()
_STAMPS = _Stamps()
_LOW = [bytes((low | 128,)) for low in range(128)]


def _seq_fields(first: int, count: int) -> list[bytes]:
    """Return the fields of sequence numbers that follow each other; numbers share all but their lowest seven bits."""
    fields: list[bytes] = []
    seq, end = first, first + count
    while seq < end:
        stop = min((seq | 127) + 1, end)
        if seq < 128:
            fields += [b"\x08" + bytes((low,)) if low else b"" for low in range(seq, stop)]
        else:
            high = varint(seq >> 7)
            fields += [b"\x08" + low + high for low in _LOW[seq & 127 : (seq & 127) + stop - seq]]
        seq = stop
    return fields


def places(data: bytes) -> Iterator[Place]:
    """Yield where the records are in a chunk's bytes, which this server wrote; a small read takes the first few."""
    at, end = 0, len(data)
    while at < end:
        start = at
        size, at = number(data, at + 1)
        stop = at + size
        seq = time = 0
        if at < stop and data[at] == 0x08:
            seq, at = number(data, at + 1)
        if at < stop and data[at] == 0x10:
            time, at = number(data, at + 1)
        yield Place(start, at, stop, seq, time)
        at = stop


def metered(data: bytes, place: Place) -> int:
    """Return the metered bytes of a record."""
    total, at = 8, place.rest
    while at < place.end:
        tag = data[at]
        size, at = number(data, at + 1)
        if tag == SIZE[0]:
            return size
        if tag == 0x1A:
            total += 2 + _content(data, at, at + size)
        else:
            total += size
        at += size
    return total


def is_command(data: bytes, place: Place) -> bool:
    """Return whether a record is an order: it has one header, and that has no name."""
    if place.rest >= place.end or data[place.rest] != 0x1A:
        return False
    size, at = number(data, place.rest + 1)
    alone = at + size >= place.end or data[at + size] != 0x1A
    return alone and (not size or data[at] != 0x0A)


def _content(data: bytes, at: int, end: int) -> int:
    """Return the lengths of a header's name and value together."""
    total = 0
    while at < end:
        size, at = number(data, at + 1)
        total += size
        at += size
    return total


def number(data: bytes, at: int) -> tuple[int, int]:
    """Return a varint and the place after it, in bytes that this server wrote."""
    value = data[at]
    if value < 128:
        return value, at + 1
    value &= 127
    shift = 7
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at + 1
        shift += 7
