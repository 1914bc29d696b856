"""Decoding many values of one kind without the MessagePack library's intermediate lists and maps."""

from __future__ import annotations

from typing import Any

from .frames import NULL, Refused, _Reader, plain


class _NotFlat(Exception):
    """A value that the fast decoder does not know."""


def flat_values(data: bytes, at: int, count: int) -> tuple[list[Any], int]:
    """Return `count` values from `at` on, and where they end: the fast decoder for texts, bytes and nulls."""
    if count > len(data) - at:
        raise Refused(f"{count:,} values were stated, but there are {len(data) - at:,} bytes")
    start = at
    result: list[Any] = []
    try:
        for _ in range(count):
            if data.startswith(b"\x81\xa5Bytes", at):
                at += 7
                size, at = _size(data, at, _BIN)
                result.append(data[at : at + size])
                at += size
            elif data.startswith(b"\x81\xa3Str", at):
                at += 5
                size, at = _size(data, at, _STR)
                result.append(data[at : at + size].decode())
                at += size
            elif data.startswith(NULL, at):
                at += 5
                result.append(None)
            else:
                raise _NotFlat
    except (_NotFlat, UnicodeDecodeError):
        reader = _Reader(data, start)
        result = [plain(reader.value(0)) for _ in range(count)]
        at = reader.at
    if at > len(data):
        raise Refused("a message that ends too early")
    return result, at


_BIN = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_STR = {0xD9: 1, 0xDA: 2, 0xDB: 4}


def _size(data: bytes, at: int, widths: dict[int, int]) -> tuple[int, int]:
    """Return the size of a text or of bytes, and where they begin."""
    if at >= len(data):
        raise Refused("a message that ends too early")
    first = data[at]
    if widths is _STR and 0xA0 <= first < 0xC0:
        return first & 31, at + 1
    width = widths.get(first)
    if width is None:
        raise _NotFlat
    stop = at + 1 + width
    size = int.from_bytes(data[at + 1 : stop], "big")
    if size > len(data) - stop:
        raise Refused(f"{size:,} bytes were stated, but there are {len(data) - stop:,}")
    return size, stop


def array_length(data: bytes, at: int) -> tuple[int, int] | None:
    """Return the number of values of the `Array` at this position, and where they begin; None without an array."""
    if not data.startswith(b"\x81\xa5Array", at):
        return None
    at += 7
    first = data[at : at + 1]
    if first and 0x90 <= first[0] < 0xA0:
        return first[0] & 15, at + 1
    width = {b"\xdc": 2, b"\xdd": 4}.get(first)
    if width is None:
        return None
    return int.from_bytes(data[at + 1 : at + 1 + width], "big"), at + 1 + width


def read_values(body: bytes, at: int) -> list[Any]:
    """Return the values of an answer that is an `Array`."""
    count = array_length(body, at)
    if count is None:
        raise Refused("an answer that is not an Array")
    values, stop = flat_values(body, count[1], count[0])
    if stop != len(body):
        raise Refused(f"{len(body) - stop} bytes too many after a message")
    return values
