"""The framing of sessions, `s2s/proto`, in both directions.

    0 - 2     length L, big-endian: the flag byte and the payload
    3         flag
    4 - 3+L   payload

    0x80      terminal: nothing follows; a 2-byte status and the JSON of an error, never packed
    0x60      packing: 0 none, 1 zstd, 2 gzip
    0x10      the service advises to connect again
    0x0f      0; not looked at

A regular payload is one protobuf message. A session that ends well has no terminal frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import CutOff, S2InputError, S2ServerError, WireError
from ..settings import Compression
from .compression import compress, decompress
from .json_messages import error_of

CONTENT_TYPE = "s2s/proto"
MAX_FRAME = 2 * 1024 * 1024
"""The largest length a frame may state."""
MAX_PAYLOAD = MAX_FRAME - 1
WORTH_PACKING = 1024
"""Smaller payloads travel as they are."""

_HEAD = 4
_TERMINAL, _PACKING, _RECONNECT = 0x80, 0x60, 0x10
_FLAGS = {Compression.NONE: 0x00, Compression.ZSTD: 0x20, Compression.GZIP: 0x40}
_PACKINGS = {flag: packing for packing, flag in _FLAGS.items()}
_SMALL = 4096
_GATHERED = 64 * 1024


@dataclass(slots=True, frozen=True)
class Frame:
    """One frame, its payload unpacked."""

    payload: bytes
    terminal: bool = False
    reconnect: bool = False
    """Whether the service advises to connect again, as it is about to go away."""

    def error(self) -> S2ServerError:
        """Return the error of a terminal frame."""
        return error_of(int.from_bytes(self.payload[:2], "big"), self.payload[2:])


def encode_frame(payload: bytes, packing: Compression = Compression.NONE, *, reconnect: bool = False) -> bytes:
    """Return the bytes of a regular frame. A payload that packing does not make smaller travels as it is.

    >>> encode_frame(b"abc").hex(" ")
    '00 00 04 00 61 62 63'
    """
    if len(payload) > MAX_PAYLOAD:
        raise S2InputError(
            f"a message has at most {MAX_PAYLOAD:,} bytes, not {len(payload):,}",
            hint="append fewer records at once; many small headers exceed their metered size",
        )
    flag = _RECONNECT if reconnect else 0
    if packing is not Compression.NONE and len(payload) >= WORTH_PACKING:
        packed = compress(payload, packing)
        if len(packed) < len(payload):
            payload, flag = packed, flag | _FLAGS[packing]
    return b"%b%c%b" % ((len(payload) + 1).to_bytes(3, "big"), flag, payload)


def encode_terminal(status: int, body: bytes) -> bytes:
    """Return the bytes of the frame that ends a session with an error: its HTTP status and its JSON.

    >>> encode_terminal(412, b"{}").hex(" ")
    '00 00 05 80 01 9c 7b 7d'
    """
    if len(body) + 3 > MAX_FRAME:
        raise S2InputError(f"the JSON of an error has at most {MAX_FRAME - 3:,} bytes, not {len(body):,}")
    return b"%b%c%b%b" % ((len(body) + 3).to_bytes(3, "big"), _TERMINAL, status.to_bytes(2, "big"), body)


class FrameReader:
    """Cuts a stream of bytes, however it arrives, into frames.

    >>> reader = FrameReader()
    >>> [frame.payload for piece in (b"\\0\\0", b"\\3\\0o", b"k\\0\\0\\1\\0") for frame in reader.feed(piece)]
    [b'ok', b'']
    >>> reader.finish()
    """

    def __init__(self) -> None:
        self._pieces: deque[bytes | bytearray] = deque()
        self._at = 0
        """Where the unread bytes of the first piece begin."""
        self._held = 0
        self._flag = 0
        self._size: int | None = None
        """What the payload under way takes; None before its head was read."""
        self._over = False

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """Return the frames that this piece completes, in order; those before a broken one come before its `WireError`.

        Frames that are not taken from the iterator are given by the next call.
        """
        if not self._over:
            self._keep(piece)
        while not self._over:
            if self._size is None:
                if self._held < _HEAD:
                    return
                self._flag, self._size = _judged(self._take(_HEAD))
            if self._held < self._size:
                return
            payload, self._size = self._take(self._size), None
            yield self._frame(payload)

    def finish(self) -> None:
        """Check at the end of the bytes that no frame is cut: `CutOff` where one is."""
        if not self._over and (self._held or self._size is not None):
            missing = "" if self._size is None else f", {self._size - self._held:,} bytes before its end"
            raise CutOff(f"the stream of frames ended inside a frame{missing}", hint="continue from the last position")

    def _frame(self, payload: bytes) -> Frame:
        flag = self._flag
        if flag & _TERMINAL:
            if len(payload) < 2:
                raise WireError("a terminal frame has no room for its status")
            self._over = True
            self._pieces.clear()
            return Frame(payload, terminal=True)
        packing = _PACKINGS[flag & _PACKING]
        if packing is not Compression.NONE:
            payload = decompress(payload, packing, MAX_PAYLOAD)
        return Frame(payload, reconnect=bool(flag & _RECONNECT))

    def _keep(self, piece: bytes) -> None:
        self._held += len(piece)
        last = self._pieces[-1] if self._pieces else None
        if len(piece) >= _SMALL:
            self._pieces.append(piece)
        elif isinstance(last, bytearray) and len(last) < _GATHERED:
            last += piece
        elif piece:
            # Many tiny pieces would each cost an object.
            self._pieces.append(bytearray(piece))

    def _take(self, size: int) -> bytes:
        """Return the next bytes, copied once."""
        parts = []
        self._held -= size
        while size:
            first = self._pieces[0]
            part = memoryview(first)[self._at : self._at + size]
            parts.append(part)
            size -= len(part)
            self._at += len(part)
            if self._at == len(first):
                self._pieces.popleft()
                self._at = 0
        return b"".join(parts)


def _judged(head: bytes) -> tuple[int, int]:
    """Return a frame's flag and the size of its payload, refused before any of it is awaited."""
    length, flag = int.from_bytes(head[:3], "big"), head[3]
    if not 1 <= length <= MAX_FRAME:
        raise WireError(f"a frame states a length of {length:,}; 1 to {MAX_FRAME:,} are possible")
    if not flag & _TERMINAL and flag & _PACKING not in _PACKINGS:
        raise WireError(f"a frame states an unknown compression: flag 0x{flag:02x}")
    return flag, length - 1
