"""Frames: a big-endian header and a payload that holds one message. Frames follow each other without a gap.

    0  - 3    magic, "VDB "
    4  - 5    version, 5
    6  - 9    length of the payload, at most 16 MiB
    10 - 13   CRC-32 of the payload, as zlib counts it
    14 -      payload

The protocol has no reply to a bad frame: its receiver closes the connection.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..errors import KimberliteInputError, WireError

MAGIC = 0x56444220
VERSION = 5
MAX_PAYLOAD = 16 * 1024 * 1024
HEADER_SIZE = 14
OFFICIAL_LIMIT = 131_072
"""The largest frame, header included, that the official Python client receives."""

_HEADER = struct.Struct(">IHII")


class Header(NamedTuple):
    """The header of a frame: it describes the payload."""

    length: int
    checksum: int


def frame(payload: bytes | bytearray) -> bytes:
    """Return the payload with its header.

    >>> frame(bytes.fromhex("00010100000500")).hex(" ", 7)[:41]
    '56444220000500 0000071627d12e 00010100000'
    """
    return seal(bytearray(HEADER_SIZE) + payload)


def frame_of(pieces: Sequence[bytes]) -> bytes:
    """Return a frame whose payload is in pieces, each copied once.

    >>> frame_of([b"ab", b"c"]) == frame(b"abc")
    True
    """
    size = checksum = 0
    for piece in pieces:
        size += len(piece)
        checksum = zlib.crc32(piece, checksum)
    if size > MAX_PAYLOAD:
        raise _too_large(size)
    return b"".join((_HEADER.pack(MAGIC, VERSION, size, checksum), *pieces))


def seal(whole: bytearray) -> bytes:
    """Return a frame from its payload with room for the header before it."""
    size = len(whole) - HEADER_SIZE
    if size > MAX_PAYLOAD:
        raise _too_large(size)
    with memoryview(whole) as view:
        checksum = zlib.crc32(view[HEADER_SIZE:])
    _HEADER.pack_into(whole, 0, MAGIC, VERSION, size, checksum)
    return bytes(whole)


def _too_large(size: int) -> KimberliteInputError:
    return KimberliteInputError(f"a message has at most {MAX_PAYLOAD:,} bytes, not {size:,}", hint="send less at once")


def read_header(head: bytes | bytearray | memoryview, limit: int = MAX_PAYLOAD) -> Header:
    """Return what the 14 bytes of a header say; `WireError` before anything of the payload is awaited."""
    magic, version, length, checksum = _HEADER.unpack_from(head)
    if magic != MAGIC:
        raise WireError(
            f"the bytes {bytes(head[:4])!r} are not the start of a Kimberlite frame",
            hint="check that the address is that of a Kimberlite server",
        )
    if version != VERSION:
        raise WireError(f"the frame is of protocol version {version}; this package speaks version {VERSION}")
    if length > limit:
        raise WireError(f"a frame states a length of {length:,}; at most {limit:,} are possible")
    return Header(length, checksum)


def check(payload: bytes | bytearray | memoryview, header: Header) -> None:
    """Compare the payload with its checksum."""
    if zlib.crc32(payload) != header.checksum:
        raise WireError("the checksum of a frame does not match its contents; they were damaged in transit")


class FrameReader:
    """Cuts a stream of bytes, however it arrives, into the payloads of frames.

    >>> reader = FrameReader()
    >>> whole = frame(b"first") + frame(b"second")
    >>> [payload for piece in (whole[:3], whole[3:25], whole[25:]) for payload in reader.feed(piece)]
    [b'first', b'second']
    >>> reader.finish()
    """

    def __init__(self, limit: int = MAX_PAYLOAD) -> None:
        self.limit = limit
        """The largest payload that is taken; may be changed between frames."""
        self._held = bytearray()
        self._at = 0
        self._header: Header | None = None

    def feed(self, piece: bytes | bytearray | memoryview) -> Iterator[bytes]:
        """Return the payloads that this piece completes, in order; those before a broken frame come before its error.

        Payloads that are not taken from the iterator are given by the next call.
        """
        if self._at:
            del self._held[: self._at]
            self._at = 0
        self._held += piece
        return self._payloads()

    def _payloads(self) -> Iterator[bytes]:
        while True:
            if self._header is None:
                if len(self._held) - self._at < HEADER_SIZE:
                    return
                # Checked before it is consumed: after an error the next call meets the same bytes and the same error.
                self._header = read_header(self._held[self._at : self._at + HEADER_SIZE], self.limit)
                self._at += HEADER_SIZE
            stop = self._at + self._header.length
            if len(self._held) < stop:
                return
            with memoryview(self._held) as buffered:
                payload = bytes(buffered[self._at : stop])
            check(payload, self._header)
            self._at, self._header = stop, None
            yield payload

    @property
    def pending(self) -> int:
        """Bytes that still miss before the frame under way is whole; 0 between frames."""
        waiting = len(self._held) - self._at
        if self._header is None:
            return HEADER_SIZE - waiting if waiting else 0
        return self._header.length - waiting

    def finish(self) -> None:
        """Check at the end of the bytes that no frame is cut: `WireError` where one is."""
        if self.pending:
            raise WireError(f"the connection ended inside a frame, {self.pending:,} bytes before its end")
