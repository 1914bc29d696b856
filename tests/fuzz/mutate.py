"""Damage to good samples, as a seed says."""

from __future__ import annotations

import random
import re

EDGES = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)
WIDE = (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 2**24 - 1, 2**31 - 1, 2**31, 2**32 - 1)
TOKENS = (
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"-1e-999",
    b"NaN",
    b"Infinity",
    b"9" * 25,
    b"9" * 400,
    b"18446744073709551616",
    b"9223372036854775808",
    b"[]",
    b"{}",
    b'""',
    b"[" * 300,
    b'{"a":' * 300,
    b'"\\ud800"',
    b'"\\u0000"',
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\r\n",
    b"\n\n",
    b"\r",
    b"\0",
    b":",
    b",",
    b"{",
    b"}",
    b'"',
    b"\\",
    b" " * 100,
    b"<script>",
    "\u202e\u2028".encode(),
)
_VALUE = re.compile(rb'-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|"(?:[^"\\]|\\.){0,40}"|true|false|null')


def damaged(chance: random.Random, sample: bytes, others: list[bytes], *, text: bool) -> bytes:
    """A sample after one to five kinds of damage."""
    data = bytearray(sample)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 5))):
        kind = chance.randrange(11 if text else 9)
        size = len(data)
        at = chance.randrange(size + 1)
        if kind == 0 and size:
            data[at % size] ^= 1 << chance.randrange(8)
        elif kind == 1 and size:
            data[at % size] = chance.choice(EDGES)
        elif kind == 2:
            del data[at : at + chance.choice((1, 1, 2, 8, 64))]
        elif kind == 3:
            stop = at + chance.choice((1, 4, 16, 200))
            data[at:at] = data[at:stop] * chance.choice((1, 1, 2, 20))
        elif kind == 4:
            other = chance.choice(others)
            start = chance.randrange(len(other) + 1)
            data[at : at + chance.choice((0, 0, 4, 1000))] = other[start : start + chance.choice((1, 8, 64, 1000))]
        elif kind == 5:
            del data[at:]
        elif kind == 6:
            width, order = chance.choice((1, 2, 3, 4, 8)), chance.choice(("big", "little"))
            value = chance.choice(WIDE) & (1 << 8 * width) - 1
            data[at : at + width] = value.to_bytes(width, order)  # type: ignore[arg-type]
        elif kind == 7:
            data[at:at] = b"\xff" * chance.randrange(1, 11) + b"\x01"  # a varint that goes on and on
        elif kind == 8:
            data[at:at] = chance.randbytes(chance.choice((1, 3, 16)))
        elif kind == 9:
            data[at:at] = chance.choice(TOKENS)
        else:
            values = list(_VALUE.finditer(data, max(0, at - 200), at + 200))
            if values:
                found = chance.choice(values)
                data[found.start() : found.end()] = chance.choice(TOKENS)
    return bytes(data[:200_000])


def cuts(chance: random.Random, size: int) -> list[int]:
    """Where a stream is cut into pieces."""
    how = chance.randrange(4)
    if how == 0 and size < 400:
        return list(range(size + 1))
    count = chance.choice((1, 2, 5, 20))
    return sorted({0, size, *(chance.randrange(size + 1) for _ in range(count))})
