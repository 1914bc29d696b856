"""Compressing and decompressing bodies and frames: zstd and gzip, within a bound."""

from __future__ import annotations

import zlib
from typing import IO

from ..errors import WireError
from ..settings import Compression

_GZIP = 31
_GZIP_LEVEL = 1
"""Records are compressed while their sender waits; level 6 takes five times as long to save a fifteenth."""
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_WINDOW = 8 * 1024 * 1024
"""The window that the format asks decoders to support; a header may claim gigabytes."""

_PIECE = 256 * 1024


def compress(data: bytes, how: Compression) -> bytes:
    """Return the data, packed; as it is for `Compression.NONE`."""
    if how is Compression.ZSTD:
        import zstandard  # not at the top: most streams are not compressed

        return zstandard.ZstdCompressor().compress(data)
    if how is Compression.GZIP:
        return zlib.compress(data, _GZIP_LEVEL, _GZIP)
    return data


def decompress(data: bytes, how: Compression, limit: int) -> bytes:
    """Return the data, unpacked; `WireError` where it is broken, has something after its end, or is larger than the
    limit."""
    if how is Compression.ZSTD:
        return _unpack_zstd(data, limit)
    if how is Compression.GZIP:
        return _unpack_gzip(data, limit)
    if len(data) > limit:
        raise _too_large(limit)
    return data


def _unpack_gzip(data: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        unpacked = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise WireError(f"its gzip data is damaged: {error}") from None
    if len(unpacked) > limit:
        raise _too_large(limit)
    if not unpacker.eof:
        raise WireError("its gzip data ends too early")
    if unpacker.unused_data:
        raise WireError("there are bytes after its gzip data")
    return unpacked


def _unpack_zstd(data: bytes, limit: int) -> bytes:
    import zstandard

    if data[:4] != _ZSTD_MAGIC:
        raise WireError("its zstd data is damaged: wrong first bytes")
    unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    try:
        size = zstandard.frame_content_size(data)
        if size > limit:
            raise _too_large(limit)
        # A streaming encoder does not know the size when it begins. Where it is 0, the library looks at no block.
        unpacked = unpacker.decompress(data) if size > 0 else _read(unpacker.stream_reader(data), limit)
        end = _zstd_end(data, zstandard.frame_header_size(data))
    except zstandard.ZstdError as error:
        raise WireError(f"its zstd data is damaged: {error}") from None
    if end != len(data):
        # The library stops silently at the end of the frame as well as at the end of the data.
        raise WireError("its zstd data ends " + ("too early" if end < 0 or end > len(data) else "before the data does"))
    return unpacked


def _read(reader: IO[bytes], limit: int) -> bytes:
    pieces, total = [], 0
    while piece := reader.read(_PIECE):
        total += len(piece)
        if total > limit:
            raise _too_large(limit)
        pieces.append(piece)
    return b"".join(pieces)


def _zstd_end(data: bytes, at: int) -> int:
    """Return where the frame ends, after its last block and checksum; -1 where the data holds no last block."""
    while at + 3 <= len(data):
        head = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = head & 1, head >> 1 & 3, head >> 3
        at += 3 + (1 if kind == 1 else size)  # a run-length block contains only one byte
        if last:
            return at + 4 * (data[4] >> 2 & 1)
    return -1


def _too_large(limit: int) -> WireError:
    return WireError(f"it decompresses to more than the limit of {limit:,} bytes")
