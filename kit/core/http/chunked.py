"""The framing of HTTP/1.1 bodies: which bytes are the body's, and where it ends. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

_LONGEST_LINE = 4096
_LARGEST_TRAILER = 64 * 1024
_HEX = frozenset(b"0123456789abcdefABCDEF")


class Malformed(Exception):
    """The body is not framed as HTTP says."""


class Framing(Protocol):
    """Takes the bytes that are received and gives those of the body."""

    over: bool
    """Whether the body has ended."""
    rest: bytes
    """Bytes that came after the end of the body; a correct answer has none."""

    def feed(self, data: bytes) -> Iterator[bytes]: ...

    def ended(self) -> None:
        """Take note that the connection has ended; `Malformed` where the body is not whole."""


_CUT = "the connection ended before the body was whole"


def framing_of(headers: Mapping[str, str]) -> Framing | None:
    """Return how the body of an answer is framed, or None where its headers do not say, or contradict each other."""
    coding = headers.get("transfer-encoding", "").strip().lower()
    if coding == "chunked":
        # Together with a length it is an attack, or a mistake.
        return None if "content-length" in headers else Chunked()
    if coding:
        return None
    length = headers.get("content-length", "").strip()
    return Sized(int(length)) if length.isascii() and length.isdigit() and len(length) < 19 else None


class Sized:
    """A body whose length the head states."""

    def __init__(self, length: int) -> None:
        self.left = length
        """Bytes that are still to come."""
        self.over = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Return the part of the data that is the body's."""
        # At once: also for an answer that the caller does not read, it has to be known whether more than its body came.
        if len(data) > self.left:
            data, self.rest = data[: self.left], self.rest + data[self.left :]
        self.left -= len(data)
        self.over = not self.left
        return iter((data,) if data else ())

    def ended(self) -> None:
        raise Malformed(_CUT)


class UntilEnd:
    """A body that ends with its connection."""

    rest = b""

    def __init__(self) -> None:
        self.over = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Return the data: all of it is the body's."""
        if data:
            yield data

    def ended(self) -> None:
        self.over = True


class Chunked:
    """A body in chunks, each with its length before it."""

    def __init__(self) -> None:
        self.over = False
        self.rest = b""
        self._line = bytearray()
        self._left = 0
        """Bytes of the chunk under way that are still to come."""
        self._ending = False
        """Whether the line end behind a chunk is next."""
        self._trailer: int | None = None
        """The size of the trailer so far, once the last chunk has come."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Return the parts of the data that are the body's."""
        at = 0
        while at < len(data) and not self.over:
            if self._left:
                part = data[at : at + self._left]
                at += len(part)
                self._left -= len(part)
                self._ending = not self._left
                yield part
                continue
            end = data.find(b"\n", at)
            stop = len(data) if end < 0 else end + 1
            self._line += data[at:stop]
            at = stop
            if len(self._line) > _LONGEST_LINE:
                raise Malformed("a line between chunks is too long")
            if end >= 0:
                line, self._line = bytes(self._line), bytearray()
                if not line.endswith(b"\r\n"):
                    raise Malformed("a line between chunks does not end with CRLF")
                self._take(line[:-2])
        if self.over:
            self.rest += data[at:]

    def ended(self) -> None:
        raise Malformed(_CUT)

    def _take(self, line: bytes) -> None:
        if self._ending:
            if line:
                raise Malformed("a chunk is longer than its stated length")
            self._ending = False
        elif self._trailer is not None:
            self._trailer += len(line)
            if self._trailer > _LARGEST_TRAILER:
                raise Malformed("the trailer is too long")
            self.over = not line
        else:
            digits = line.partition(b";")[0].strip(b" \t")
            if not digits or len(digits) > 16 or not _HEX.issuperset(digits):
                raise Malformed("a chunk's length is not a number")
            self._left = int(digits, 16)
            if not self._left:
                self._trailer = 0
