"""Postcard, the encoding of payloads: numbers as varints, lengths before contents, nothing named.

    u16 u32 u64     seven bits to a byte, the lowest first; the high bit says that more follows
    i64             (n << 1) ^ (n >> 63), then the same
    u8              one byte
    bool            one byte, 0 or 1
    text, bytes     length, then contents
    list            count, then items
    option          0, or 1 and the value
    struct          its fields one after the other
    enum            the variant's number from 0, then the variant's fields

Lengths and counts in a message are checked against the bytes that arrived before anything is allocated for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ...errors import KimberliteInputError, WireError


class Kind(NamedTuple):
    """How one type of value is written and read."""

    name: str
    write: Callable[[bytearray, Any], None]
    read: Callable[[Reader], Any]
    least: int
    """The smallest number of bytes that a value takes."""


class Reader:
    """A position in a payload; each method reads one value and moves behind it."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def varint(self, bits: int = 64) -> int:
        """Return an unsigned number. Longer forms than needed are taken, up to the most bytes that the type can
        have."""
        data, start = self.data, self.at
        at, value, shift = start, 0, 0
        try:
            while True:
                byte = data[at]
                at += 1
                value |= (byte & 127) << shift
                if byte < 128:
                    break
                shift += 7
                if shift >= bits:
                    raise WireError(f"a number at byte {start} has more than {-(-bits // 7)} bytes")
        except IndexError:
            raise cut_off(start) from None
        if value >> bits:
            raise WireError(f"a number at byte {start} has more than {bits} bits")
        self.at = at
        return value

    def signed(self) -> int:
        """Return a number of 64 bits with a sign."""
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def rest(self) -> bytes:
        """Return the remaining bytes."""
        start, self.at = self.at, len(self.data)
        return bytes(self.data[start:])

    def byte(self) -> int:
        """Read one raw byte."""
        try:
            value = self.data[self.at]
        except IndexError:
            raise cut_off(self.at) from None
        self.at += 1
        return value

    def flag(self) -> bool:
        """Return a bool, or the mark of an option."""
        value = self.byte()
        if value > 1:
            raise WireError(f"a flag at byte {self.at - 1} is {value}, which is neither 0 nor 1")
        return value == 1

    def count(self, least: int = 1) -> int:
        """Return a number of items of at least that many bytes each; raise if the payload is too short for them."""
        start = self.at
        count = self.varint()
        if count * least > len(self.data) - self.at:
            raise cut_off(start, f"{count:,} items are stated at byte {start}, but the message ends before them")
        return count

    def bytes(self) -> bytes:
        """Return bytes with their length before them."""
        size = self.count()
        start = self.at
        self.at = start + size
        return self.data[start : self.at]

    def text(self) -> str:
        """Return a text with its length before it."""
        start = self.at
        try:
            return str(self.bytes(), "utf-8")
        except UnicodeDecodeError:
            raise WireError(f"a text at byte {start} is not UTF-8") from None


def cut_off(at: int, message: str = "") -> WireError:
    """Return the error for a message that ends too early."""
    return WireError(message or f"the message ends inside a value that begins at byte {at}")


def varint(value: int) -> bytes:
    """Return an unsigned number.

    >>> varint(300).hex(), varint(2**64 - 1).hex()
    ('ac02', 'ffffffffffffffffff01')
    """
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> int:
    """Return a number of 64 bits with a sign, as one without.

    >>> zigzag(-42), zigzag(42)
    (83, 84)
    """
    return (value << 1) ^ (value >> 63)


def _unsigned(bits: int) -> Kind:
    def write(out: bytearray, value: Any) -> None:
        out += varint(whole(value, 0, (1 << bits) - 1))

    def read(reader: Reader) -> int:
        return reader.varint(bits)

    return Kind(f"u{bits}", write, read, 1)


def whole(value: Any, low: int, high: int) -> int:
    """Return the value as a plain int in these limits; ids and positions of this package count as their number."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise KimberliteInputError(f"a whole number is required, not {value!r}")
    number = int(value.__index__())
    if not low <= number <= high:
        raise KimberliteInputError(f"{number} is not between {low} and {high}")
    return number


def _write_flag(out: bytearray, value: Any) -> None:
    if not isinstance(value, bool):
        raise KimberliteInputError(f"True or False is required, not {value!r}")
    out.append(value)


def write_text(out: bytearray, value: Any) -> None:
    """Add a text with its length."""
    if not isinstance(value, str):
        raise KimberliteInputError(f"text is required, not {value!r}")
    try:
        raw = value.encode()
    except UnicodeEncodeError:
        raise KimberliteInputError(f"{value[:80]!r} cannot be encoded as UTF-8") from None
    out += varint(len(raw))
    out += raw


U16, U32, U64 = _unsigned(16), _unsigned(32), _unsigned(64)
BOOL = Kind("bool", _write_flag, Reader.flag, 1)
TEXT = Kind("text", write_text, Reader.text, 1)


def option(kind: Kind) -> Kind:
    """Return a value or None."""

    def write(out: bytearray, value: Any) -> None:
        if value is None:
            out.append(0)
        else:
            out.append(1)
            kind.write(out, value)

    def read(reader: Reader) -> Any:
        return kind.read(reader) if reader.flag() else None

    return Kind(f"?{kind.name}", write, read, 1)


def list_of(kind: Kind) -> Kind:
    """Return a list of values."""

    def write(out: bytearray, values: Any) -> None:
        values = list(values)
        out += varint(len(values))
        for value in values:
            kind.write(out, value)

    def read(reader: Reader) -> list[Any]:
        return [kind.read(reader) for _ in range(reader.count(kind.least))]

    return Kind(f"[{kind.name}]", write, read, 1)
