"""Appends as bytes, in the layout of all known clients: cut and retagged without an object for each record.

An `AppendRecord` is `08 timestamp`, `12 header` (any number), `1a body`; the `SequencedRecord` that is stored and
served is `08 seq_num`, `10 timestamp`, `1a header`, `22 body`. So a record's headers and body only change their tags,
and its position is put before them when it is known.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from .draft import Command, Draft


def scanned(data: bytes) -> Draft | None:
    """Return the draft, or None where the bytes are laid out otherwise."""
    draft = Draft([], None, 0, [], None, None)
    try:
        at = _scan_records(data, draft)
        end = len(data)
        if at < end and data[at] == 0x10:
            draft.match, at = _number(data, at + 1)
        if at < end and data[at] == 0x1A:
            size, at = _number(data, at + 1)
            draft.token = data[at : at + size].decode()
            at += size
    except (IndexError, ValueError):
        return None
    if at != end or (draft.commands and _crowded(draft)):
        return None
    return draft


class _Shape(NamedTuple):
    """The layout of a record: the next record often differs only in its time, its values and its body."""

    total: int
    checks: tuple[tuple[int, bytes], ...]
    """Bytes that must be at these offsets: tags, lengths, names."""
    time: int
    """The offset of its time; 0 if it has none."""
    time_size: int
    cuts: tuple[int, ...]
    """The offsets of the tags that change: those of headers, then that of the body."""
    size: int
    """In metered bytes."""


def _scan_records(data: bytes, draft: Draft) -> int:
    """Add the records to the draft; where they end. `ValueError` where a record is laid out otherwise."""
    parts, times, size = draft.parts, list[int | None](), 0
    # Until there is a plain record, none can be like it: longer than all there is.
    lead, skip, plain_total, plain_size = b"\0", 0, len(data) + 1, 0
    shape: _Shape | None = None
    known: dict[bytes, int] = {}
    before = 0
    at, end = 0, len(data)
    while at < end:
        # Most records have only a body, and many have the size of the one before.
        if data.startswith(lead, at) and at + plain_total <= end:
            parts.append(b'"' + data[at + skip : at + plain_total])
            times.append(None)
            at += plain_total
            size += plain_size
            continue
        if shape is not None and at + shape.total <= end:
            time = None
            for place, expected in shape.checks:
                if not data.startswith(expected, at + place):
                    break
            else:
                time = _time(data[at + shape.time : at + shape.time + shape.time_size], known) if shape.time else None
                if time is not None or not shape.time:
                    parts.append(_retagged(data, at, shape.cuts, at + shape.total))
                    times.append(time)
                    at += shape.total
                    size += shape.size
                    continue
        if data[at] != 0x0A:
            break
        length, inner = _number(data, at + 1)
        stop = inner + length
        if stop > end:
            raise ValueError("it is incomplete")
        if length and data[inner] == 0x1A:
            length, body = _number(data, inner + 1)
            if body + length == stop and length:
                parts.append(b'"' + data[inner + 1 : stop])
                times.append(None)
                size += length + 8
                lead, skip, plain_total, plain_size = data[at:body], inner + 1 - at, stop - at, length + 8
                at = stop
                continue
        used, again = _scan_record(data, at, inner, stop, draft, times, stop - at == before)
        shape = again or shape
        size += used
        before, at = stop - at, stop
    draft.size = size
    if any(time is not None for time in times):
        draft.times = times
    return at


def _scan_record(
    data: bytes, start: int, at: int, stop: int, draft: Draft, times: list[int | None], again: bool
) -> tuple[int, _Shape | None]:
    """Add one record to the draft; its metered bytes, and its shape if others like it are to be expected."""
    size, time_at, time_size = 8, start, 0
    time: int | None = None
    fixed = [start]
    """Where what must be the same begins and ends, by turns."""
    cuts: list[int] = []
    if at < stop and data[at] == 0x08:
        time, after = _number(data, at + 1)
        time_at, time_size = at + 1, after - at - 1
        fixed += (at + 1, after)
        at = after
    while at < stop and data[at] == 0x12:
        cuts.append(at)
        length, at = _number(data, at + 1)
        after = at + length
        name = value = 0
        if length and data[at] == 0x0A:
            name, at = _number(data, at + 1)
            at += name
        if at < after and data[at] == 0x12:
            value, at = _number(data, at + 1)
            at += value
            if not value:
                raise ValueError("an empty field is not written")
        if at != after:
            raise ValueError("something else in a header")
        if not name:
            # An encoded empty name is left to the slow parser, like everything unusual.
            if length and data[after - length] == 0x0A:
                raise ValueError("an empty field is not written")
            draft.commands.append(Command(len(draft.parts), data[after - value : after], b""))
            again = False
        size += 2 + name + value
        fixed += (after - value, after)
    cuts.append(at)
    if at < stop:
        length, body = _number(data, at + 1)
        if data[at] != 0x1A or body + length != stop or not length:
            raise ValueError("something else in a record")
        size += length
        fixed.append(body)
        if draft.commands and draft.commands[-1].index == len(draft.parts):
            draft.commands[-1].value = data[body:stop]
    elif at > stop:
        raise ValueError("a field goes beyond its record")
    else:
        again = False
    draft.parts.append(_retagged(data, 0, tuple(cuts), stop))
    times.append(time)
    if not again:
        return size, None
    checks = [(a - start, data[a:b]) for a, b in zip(fixed[::2], fixed[1::2], strict=True)]
    places = tuple(cut - start for cut in cuts)
    return size, _Shape(stop - start, tuple(checks), time_at - start, time_size, places, size)


_CONTINUED, _ENDED = 0x8080808080, 0x80_8080808080


def _time(raw: bytes, known: dict[bytes, int]) -> int | None:
    """Return the number of these varint bytes; None if they are not a varint."""
    time = known.get(raw)
    if time is not None:
        return time
    bits = int.from_bytes(raw, "little")
    if len(raw) != 6:
        time, size = _number(raw + b"\0", 0)
        if size != len(raw):
            return None
    elif bits & _ENDED == _CONTINUED and raw[-1]:
        # Milliseconds since 1970 have six bytes as varints, and will for a long time.
        time = bits & 0x7F | bits >> 1 & 0x3F80 | bits >> 2 & 0x1FC000 | bits >> 3 & 0xFE00000
        time |= bits >> 4 & 0x7F0000000 | bits >> 5 & 0x3F800000000
    else:
        return None
    known[raw] = time
    return time


def _retagged(data: bytes, start: int, cuts: tuple[int, ...], stop: int) -> bytes:
    """Return the stored form of a record's headers and body; `cuts` are the offsets of their tags, the body's last."""
    last = start + cuts[-1]
    body = b'"' + data[last + 1 : stop] if last < stop else b""
    if len(cuts) == 1:
        return body
    if len(cuts) == 2:
        return b"\x1a" + data[start + cuts[0] + 1 : last] + body
    headers = [b"\x1a" + data[start + a + 1 : start + b] for a, b in pairwise(cuts)]
    return b"".join(headers) + body


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return a varint and the place after it; `ValueError` where it is not one of 64 bits in its shortest form."""
    value = data[at]
    if value < 128:
        return value, at + 1
    byte = data[at + 1]
    if byte < 128:
        if not byte:
            raise ValueError("not the shortest form")
        return value & 127 | byte << 7, at + 2
    value = value & 127 | (byte & 127) << 7
    at, shift = at + 1, 14
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 127) << shift
        if byte < 128:
            if value >> 64 or not byte:
                raise ValueError("not a 64-bit number")
            return value, at + 1
        shift += 7


def _header(data: bytes, at: int, end: int) -> tuple[bytes, bytes]:
    """Return the name and the value of a header."""
    name = value = b""
    if at < end and data[at] == 0x0A:
        size, at = _number(data, at + 1)
        if not size:
            raise ValueError("an empty field is not written")
        name = data[at : at + size]
        at += size
    if at < end and data[at] == 0x12:
        size, at = _number(data, at + 1)
        if not size:
            raise ValueError("an empty field is not written")
        value = data[at : at + size]
        at += size
    if at != end:
        raise ValueError("something else in a header")
    return name, value


def _crowded(draft: Draft) -> bool:
    """Return whether a header without a name is not the only one; the slow parser reports the error."""
    for command in draft.commands:
        part = draft.parts[command.index]
        size, at = _number(part, 1)
        if at + size < len(part) and part[at + size] == 0x1A:
            return True
        # Its only header must be the one with an empty name.
        if _header(part, at, at + size)[0]:
            return True
    return len({command.index for command in draft.commands}) != len(draft.commands)
