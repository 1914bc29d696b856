"""Reading a stream from a position on, within limits."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ....s2.limits import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_U64
from .chunk_cache import ChunkCache
from .chunks import Chunk, metered, places
from .cipher import decrypted
from .stream import Stream


@dataclass(slots=True)
class Limits:
    """The rest of a read's limits."""

    count: int = MAX_U64
    size: int = MAX_U64
    """In metered bytes."""
    until: int = MAX_U64 + 1
    """The time before which the read ends."""


@dataclass(slots=True, frozen=True)
class Batch:
    """Records that are sent together."""

    data: bytes
    count: int
    size: int
    last: int
    """The sequence number of the last one."""


class Cursor:
    """A position in a stream that advances with each read."""

    def __init__(self, chunk_cache: ChunkCache, stream: Stream, at: int, limits: Limits, key: bytes | None) -> None:
        self._chunk_cache = chunk_cache
        self._stream = stream
        self._key = key
        self._ahead: deque[Chunk] = deque()
        self.at = at
        self.limits = limits
        self.done = False
        """Whether a limit was reached."""

    def next(self, *, whole: bool) -> Batch | None:
        """Return the next records up to the tail, a limit or the size of a batch; None without any.

        A `whole` batch is filled to the last record that it can hold; otherwise it ends where a chunk does, which
        saves cutting.
        """
        parts: list[bytes] = []
        count = size = 0
        last = self.at
        limits = self.limits
        end = self._stream.tail.seq_num
        while not self.done and count < MAX_BATCH_RECORDS and size < MAX_BATCH_BYTES:
            chunk = self._chunk(end)
            if chunk is None:
                break
            beyond = count + chunk.count > MAX_BATCH_RECORDS or size + chunk.size > MAX_BATCH_BYTES
            if beyond and parts and not whole:
                self._ahead.appendleft(chunk)
                break
            if (
                self.at <= chunk.first
                and chunk.count <= min(limits.count, MAX_BATCH_RECORDS - count)
                and chunk.size <= min(limits.size, MAX_BATCH_BYTES - size)
                and chunk.last_time < limits.until
            ):
                data, taken, used, last = self._opened(chunk), chunk.count, chunk.size, chunk.next - 1
                full = False
            else:
                room = Limits(
                    min(limits.count, MAX_BATCH_RECORDS - count), min(limits.size, MAX_BATCH_BYTES - size), limits.until
                )
                data, taken, used, final = _cut(self._opened(chunk), self.at, room)
                last = final if taken else last
                full = not taken or last + 1 < chunk.next
            if taken:
                parts.append(data)
                count, size = count + taken, size + used
                limits.count -= taken
                limits.size -= used
                self.at = last + 1
            if full:
                # Either the batch is full, or a limit of the read is reached.
                self.done = self._stopped(chunk)
                if not self.done:
                    self._ahead.appendleft(chunk)
                break
            if not limits.count or not limits.size:
                self.done = True
        return Batch(b"".join(parts), count, size, last) if parts else None

    def _stopped(self, chunk: Chunk) -> bool:
        """Return whether the next record of this chunk is one that the limits keep out."""
        if not self.limits.count:
            return True
        _, taken, _, _ = _cut(self._opened(chunk), self.at, Limits(1, self.limits.size, self.limits.until))
        return not taken

    def _chunk(self, end: int) -> Chunk | None:
        """Return the chunk with the position, or the next one; never one that is not durable yet."""
        while self.at < end:
            if not self._ahead:
                self._ahead.extend(self._chunk_cache.at(self._stream.id, self.at))
                if not self._ahead:
                    # The records up to the tail are gone.
                    self.at = end
                    return None
            chunk = self._ahead.popleft()
            if chunk.next > self.at:
                if chunk.first >= end:
                    # The records up to the tail are gone, and this one is read when the tail has moved.
                    self._ahead.appendleft(chunk)
                    self.at = end
                    return None
                return chunk
        return None

    def _opened(self, chunk: Chunk) -> bytes:
        return chunk.data if self._key is None else decrypted(chunk.data, self._key, chunk.stream)


def _cut(data: bytes, at: int, limits: Limits) -> tuple[bytes, int, int, int]:
    """Return the records from a position on that fit: their bytes, how many, their metered bytes, the last one's
    number."""
    start, end = None, 0
    count = size = last = 0
    for place in places(data):
        if place.seq_num < at:
            continue
        used = metered(data, place)
        if count >= limits.count or size + used > limits.size or place.time >= limits.until:
            break
        start = place.start if start is None else start
        end, last = place.end, place.seq_num
        count, size = count + 1, size + used
    return (b"", 0, 0, 0) if start is None else (data[start:end], count, size, last)


def first_at(data: bytes, time: int) -> int:
    """Return the sequence number of the first record of this time or later; the chunk holds one."""
    return next(place.seq_num for place in places(data) if place.time >= time)
