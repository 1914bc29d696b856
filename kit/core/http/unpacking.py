"""Decompressing bodies, with a bound on their size. No I/O."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from ..errors import AnswerError, Lost

_AT_ONCE = 16 * 1024
"""Bytes that are unpacked at once: of tiny members, each copies what is left of them."""


class Unpacker:
    """Decompresses a body piece by piece, never to more than `limit` bytes in all."""

    def __init__(self, headers: Mapping[str, str], limit: int) -> None:
        self.limit = limit
        self.total = 0
        packing = headers.get("content-encoding", "identity").strip().lower()
        if packing not in ("identity", "gzip", ""):
            raise AnswerError(f"the answer is compressed as {packing!r}, which was not requested")
        self._gzip = zlib.decompressobj(31) if packing == "gzip" else None
        self._begun = False
        length = headers.get("content-length", "")
        # For an answer without a body, nothing else checks it.
        if length.isascii() and length.isdigit() and len(length) < 19 and int(length) > limit:
            raise self._too_large()

    def feed(self, piece: bytes) -> bytes:
        """Return the next part of the body; may be empty while more is needed."""
        if self._gzip is not None:
            piece = self._unpacked(self._gzip, piece)
        self.total += len(piece)
        if self.total > self.limit:
            raise self._too_large()
        return piece

    def finish(self) -> None:
        """Check at the body's end that it is complete."""
        if self._gzip is not None and self._begun and not self._gzip.eof:
            raise Lost("the answer's gzip data ends too early")

    def _unpacked(self, gzip: zlib._Decompress, piece: bytes) -> bytes:
        """Return the contents of the next part: gzip data may consist of several members, one after the other."""
        contents, room = list[bytes](), self.limit - self.total + 1
        for start in range(0, len(piece), _AT_ONCE):
            part = piece[start : start + _AT_ONCE]
            while part and room:
                self._begun = True
                if gzip.eof:
                    gzip = self._gzip = zlib.decompressobj(31)
                try:
                    contents.append(gzip.decompress(part, room))
                except zlib.error as error:
                    raise AnswerError(f"the answer's gzip data is damaged: {error}") from None
                room -= len(contents[-1])
                part = gzip.unused_data
        return b"".join(contents)

    def _too_large(self) -> AnswerError:
        return AnswerError(
            f"the answer is larger than the limit of {self.limit:,} bytes", hint="ask for less, page by page"
        )
