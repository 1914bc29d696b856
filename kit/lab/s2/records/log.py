"""Writing streams: positions are assigned at once, many appends share a commit, and are acknowledged after it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ....s2.errors import FencingTokenMismatchError, SeqNumMismatchError
from ....s2.limits import MAX_BATCH_BYTES, MAX_BATCH_RECORDS
from ....s2.positions import StreamPosition
from ....s2.types import AppendAck
from ...common.store import Store
from ..account.configs import INFINITE
from ..http.answers import refusal
from ..schema import stored_time, time_of
from .chunk_cache import ChunkCache
from .chunks import Chunk, placed
from .cipher import encrypted
from .draft import FENCE, TRIM, Draft, times_of
from .stream import Stream

MAX_WRITING = 16 * 1024 * 1024
"""Bytes in one commit."""
_ROWS = 8
"""Rows in one statement. Each statement releases and takes the interpreter lock, which costs more than the insert."""
_GCM_SEQ_NUMS = 2**32
_LONGEST = 10**12


@dataclass(slots=True)
class _Entry:
    stream: Stream
    chunk: Chunk
    done: asyncio.Future[AppendAck]
    trim: int
    fence: str
    """The stream's fencing token after this append; later appends may be under way already."""


class Log:
    """Appends to streams."""

    def __init__(
        self, store: Store, chunk_cache: ChunkCache, clock: Callable[[], int], count: Callable[[Stream, Chunk], None]
    ):
        self._store = store
        self._chunk_cache = chunk_cache
        self._clock = clock
        self._count = count
        self.trimmed: set[Stream] = set()
        """Streams that have records to remove."""
        self.written = 0
        """Bytes of records since the start."""
        self._waiting: list[_Entry] = []
        self._task: asyncio.Task[None] | None = None

    def append(self, stream: Stream, draft: Draft, key: bytes | None) -> asyncio.Future[AppendAck]:
        """Give the draft its place; the future tells when it is durable. Refuses where a condition is not met."""
        if stream.deleted:
            raise stream.gone()
        if stream.broken:
            raise refusal("storage", "an append before this one could not be stored")
        if draft.token is not None and draft.token != stream.fence:
            raise FencingTokenMismatchError("unknown", "", 412, stream.fence)
        if draft.match is not None and draft.match != stream.next:
            raise SeqNumMismatchError("unknown", "", 412, stream.next)
        now, config, first, count = self._clock(), stream.config, stream.next, len(draft.parts)
        times = times_of(draft, config["mode"], config["uncapped"], now, stream.time)
        if stream.cipher == "aes-256-gcm" and first + count > _GCM_SEQ_NUMS:
            raise refusal("invalid", f"a stream with cipher '{stream.cipher}' holds {_GCM_SEQ_NUMS} records")
        parts = draft.parts
        if key is not None:
            orders = {command.index for command in draft.commands}
            parts = [
                part if index in orders else encrypted(part, key, stream.id, first + index)
                for index, part in enumerate(parts)
            ]
        one = isinstance(times, int)
        chunk = Chunk(
            stream.id,
            first,
            count,
            times if one else times[0],  # type: ignore[index, arg-type]
            times if one else times[-1],  # type: ignore[index, arg-type]
            draft.size,
            placed(parts, first, times),
            _expiry(now, config["retention"]),
        )
        trim = 0
        for command in draft.commands:
            if command.kind == FENCE:
                stream.fence = command.value.decode()
            elif command.kind == TRIM:
                until = int.from_bytes(command.value, "big")
                trim = max(trim, min(until, first + command.index + 1))
        stream.next, stream.time = chunk.next, chunk.last_time
        stream.pending += 1
        done: asyncio.Future[AppendAck] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Entry(stream, chunk, done, trim, stream.fence))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())
        return done

    async def flushed(self) -> None:
        """Return when nothing waits any more."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _work(self) -> None:
        try:
            while self._waiting:
                entries = self._taken()
                chunks = _joined(entries)
                try:
                    lost = await self._store.write(partial(_written, entries=entries, chunks=chunks, now=self._clock()))
                except sqlite3.Error:
                    lost = {entry.stream.id for entry in entries}
                for chunk in chunks:
                    if chunk.stream not in lost:
                        self._chunk_cache.keep(chunk)
                self._notify(entries, lost)
        finally:
            self._task = None

    def _taken(self) -> list[_Entry]:
        """Return what goes into the next commit."""
        size = count = 0
        while count < len(self._waiting) and size < MAX_WRITING:
            size += len(self._waiting[count].chunk.data)
            count += 1
        entries, self._waiting = self._waiting[:count], self._waiting[count:]
        return entries

    def _notify(self, entries: list[_Entry], lost: set[int]) -> None:
        """Move the tails, then notify waiting callers."""
        streams: dict[int, Stream] = {}
        counts: dict[int, int] = {}
        for entry in entries:
            stream, chunk = entry.stream, entry.chunk
            counts[stream.id] = counts.get(stream.id, 0) + 1
            streams[stream.id] = stream
            if stream.id not in lost:
                stream.tail = StreamPosition(chunk.next, chunk.last_time)
                stream.size += chunk.size
                if entry.trim > stream.trim:
                    stream.trim = entry.trim
                    self.trimmed.add(stream)
                self.written += len(chunk.data)
                self._count(stream, chunk)
        for entry in entries:
            if entry.stream.id not in lost and not entry.done.done():
                chunk = entry.chunk
                entry.done.set_result(
                    AppendAck(
                        StreamPosition(chunk.first, chunk.first_time),
                        StreamPosition(chunk.next, chunk.last_time),
                        entry.stream.tail,
                    )
                )
        for id in lost:
            counts[id] += self._fail(streams[id], entries)
        for id, stream in streams.items():
            stream.settle(counts[id])
            stream.wake()

    def _fail(self, stream: Stream, entries: list[_Entry]) -> int:
        """Return what was placed after something that was lost is lost too; the stream then stands where the disk
        says."""
        later = [entry for entry in self._waiting if entry.stream is stream]
        self._waiting = [entry for entry in self._waiting if entry.stream is not stream]
        error = stream.gone() if stream.deleted else refusal("storage", "the append could not be stored")
        for entry in [*(entry for entry in entries if entry.stream is stream), *later]:
            if not entry.done.done():
                entry.done.set_exception(error)
                entry.done.exception()  # the caller may have been cancelled
        try:
            rows = self._store.read("select next, time, fence from streams where id = ?", (stream.id,))
        except sqlite3.Error:
            stream.broken = True
            return len(later)
        if rows:
            stream.next, stream.time, stream.fence = rows[0]["next"], time_of(rows[0]["time"]), rows[0]["fence"]
        else:
            stream.deleted = True
        return len(later)


def _expiry(now: int, retention: Any) -> int | None:
    """Return when records of now expire, or never where that is later than the database counts."""
    if retention == INFINITE or retention > _LONGEST:
        return None
    return int(now + retention * 1000)


class _Group:
    """Appends to one stream that follow each other and are stored as one."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.count = self.size = 0

    def takes(self, chunk: Chunk) -> bool:
        """Return whether the append fits: a chunk is no larger than a batch may be, and none expires after the last."""
        ends = self.chunks[-1].expires
        return (
            self.count + chunk.count <= MAX_BATCH_RECORDS
            and self.size + chunk.size <= MAX_BATCH_BYTES
            and (ends is None) == (chunk.expires is None)
            and (ends or 0) <= (chunk.expires or 0)
        )

    def add(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        self.count += chunk.count
        self.size += chunk.size

    def joined(self) -> Chunk:
        first, last = self.chunks[0], self.chunks[-1]
        if first is last:
            return first
        data = b"".join([chunk.data for chunk in self.chunks])
        return Chunk(
            first.stream, first.first, self.count, first.first_time, last.last_time, self.size, data, last.expires
        )


def _joined(entries: list[_Entry]) -> list[Chunk]:
    """Return what the appends put on the disk: small ones together, so that they are read as quickly as large ones."""
    groups: dict[int, _Group] = {}
    done: list[_Group] = []
    for entry in entries:
        stream, chunk = entry.stream, entry.chunk
        group = groups.get(stream.id)
        # Encrypted records are only grouped with those of the same key, so that the key reads them all.
        if group is None or stream.cipher is not None or not group.takes(chunk):
            group = groups[stream.id] = _Group()
            done.append(group)
        group.add(chunk)
    return [group.joined() for group in done]


def _written(db: sqlite3.Connection, entries: list[_Entry], chunks: list[Chunk], now: int) -> set[int]:
    """Store chunks; return the streams whose chunks were refused, as they are deleted or end elsewhere."""
    by_stream: dict[int, list[_Entry]] = {}
    for entry in entries:
        by_stream.setdefault(entry.stream.id, []).append(entry)
    lost = {id for id, these in by_stream.items() if not _moved(db, id, these, now)}
    remaining = [chunk for chunk in chunks if chunk.stream not in lost]
    for at in range(0, len(remaining), _ROWS):
        rows = remaining[at : at + _ROWS]
        db.execute(_insert(len(rows)), [value for chunk in rows for value in _columns(chunk)])
    return lost


def _moved(db: sqlite3.Connection, id: int, entries: list[_Entry], now: int) -> bool:
    """Move a stream on by these appends; false where it does not stand where they begin."""
    first, last = entries[0].chunk, entries[-1].chunk
    moved = db.execute(
        "update streams set next = ?, time = ?, fence = ?, trim = max(trim, ?), size = size + ?, touched = ?"
        " where id = ? and next = ? and deleted is null",
        (
            last.next,
            stored_time(last.last_time),
            entries[-1].fence,
            max(entry.trim for entry in entries),
            sum(entry.chunk.size for entry in entries),
            now,
            id,
            first.first,
        ),
    )
    return moved.rowcount == 1


def _columns(chunk: Chunk) -> tuple[Any, ...]:
    times = stored_time(chunk.first_time), stored_time(chunk.last_time)
    return chunk.stream, chunk.first, chunk.count, *times, chunk.size, chunk.expires, chunk.data


def _insert(rows: int) -> str:
    return "insert into chunks values " + ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * rows)  # noqa: S608
