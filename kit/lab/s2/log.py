"""Streams as they are written: places are given out at once, many appends share a commit, and are told after it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...s2.errors import FencingTokenMismatchError, SeqNumMismatchError
from ...s2.types import AppendAck, StreamPosition
from ..store import Store
from .answers import refusal
from .chunks import Chunk, placed
from .cipher import encrypted
from .configs import INFINITE, Layer
from .draft import FENCE, TRIM, Draft, times_of
from .schema import stored_time, told_time
from .shelf import Shelf

MAX_WRITING = 16 * 1024 * 1024
"""Bytes in one commit."""
_ROWS = 8
"""Rows in one statement. Each statement hands the interpreter over and back, which takes longer than the insert."""
_GCM_SEQ_NUMS = 2**32
_LONGEST = 10**12


class Stream:
    """A stream that is in use."""

    def __init__(self, row: sqlite3.Row, basin: str, config: Layer) -> None:
        self.id: int = row["id"]
        self.basin = basin
        self.name: str = row["name"]
        self.config = config
        self.cipher: str | None = row["cipher"]
        self.deleted = row["deleted"] is not None
        self.tail = StreamPosition(row["next"], told_time(row["time"]))
        """What is durable."""
        self.size: int = row["size"]
        self.trim: int = row["trim"]
        self.fence: str = row["fence"]
        """With what is on its way to disk, like the two that follow."""
        self.next = self.tail.seq_num
        self.time = self.tail.timestamp
        self.pending = 0
        self.broken = False
        """Something did not reach the disk; what was placed after it cannot either."""
        self.watchers: set[asyncio.Event] = set()
        self._settled: asyncio.Event | None = None

    def wake(self) -> None:
        """Tells those who follow that something is new."""
        for watcher in self.watchers:
            watcher.set()

    async def settled(self) -> None:
        """Returns when nothing is on its way to disk that was when this was called."""
        if self.pending:
            if self._settled is None:
                self._settled = asyncio.Event()
            await self._settled.wait()

    def settle(self, count: int) -> None:
        self.pending -= count
        if self._settled is not None:
            self._settled.set()
            self._settled = None

    def gone(self) -> Exception:
        return refusal("stream_deletion_pending", f"stream `{self.name}` in basin `{self.basin}` is being deleted")


@dataclass(slots=True)
class _Entry:
    stream: Stream
    chunk: Chunk
    done: asyncio.Future[AppendAck]
    trim: int
    fence: str
    """The stream's token after this append; later ones may be under way already."""


class Log:
    """Appends to streams."""

    def __init__(self, store: Store, shelf: Shelf, clock: Callable[[], int], count: Callable[[Stream, Chunk], None]):
        self._store = store
        self._shelf = shelf
        self._clock = clock
        self._count = count
        self.trimmed: set[Stream] = set()
        """Streams that have records to remove."""
        self.written = 0
        """Bytes of records since the start."""
        self._waiting: list[_Entry] = []
        self._task: asyncio.Task[None] | None = None

    def append(self, stream: Stream, draft: Draft, key: bytes | None) -> asyncio.Future[AppendAck]:
        """Gives the draft its place; the future tells when it is durable. Refuses where a condition is not met."""
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
                wanted = int.from_bytes(command.value, "big")
                trim = max(trim, min(wanted, first + command.index + 1))
        stream.next, stream.time = chunk.next, chunk.last_time
        stream.pending += 1
        done: asyncio.Future[AppendAck] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Entry(stream, chunk, done, trim, stream.fence))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())
        return done

    async def flushed(self) -> None:
        """Returns when nothing waits any more."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _work(self) -> None:
        try:
            while self._waiting:
                entries = self._taken()
                try:
                    lost = await self._store.write(partial(_written, entries=entries, now=self._clock()))
                except sqlite3.Error:
                    lost = {entry.stream.id for entry in entries}
                self._told(entries, lost)
        finally:
            self._task = None

    def _taken(self) -> list[_Entry]:
        """What goes into the next commit."""
        size = count = 0
        while count < len(self._waiting) and size < MAX_WRITING:
            size += len(self._waiting[count].chunk.data)
            count += 1
        entries, self._waiting = self._waiting[:count], self._waiting[count:]
        return entries

    def _told(self, entries: list[_Entry], lost: set[int]) -> None:
        """Moves the tails, then tells those who wait."""
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
                self._shelf.keep(chunk)
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
        """What was placed after something that was lost is lost too; the stream then stands where the disk says."""
        later = [entry for entry in self._waiting if entry.stream is stream]
        self._waiting = [entry for entry in self._waiting if entry.stream is not stream]
        error = stream.gone() if stream.deleted else refusal("storage", "the append could not be stored")
        for entry in [*(entry for entry in entries if entry.stream is stream), *later]:
            if not entry.done.done():
                entry.done.set_exception(error)
                entry.done.exception()  # it may be that nobody waits any more
        try:
            rows = self._store.read("select next, time, fence from streams where id = ?", (stream.id,))
        except sqlite3.Error:
            stream.broken = True
            return len(later)
        if rows:
            stream.next, stream.time, stream.fence = rows[0]["next"], told_time(rows[0]["time"]), rows[0]["fence"]
        else:
            stream.deleted = True
        return len(later)


def _expiry(now: int, retention: Any) -> int | None:
    """When records of now may go; never, where that is longer than the database counts."""
    if retention == INFINITE or retention > _LONGEST:
        return None
    return int(now + retention * 1000)


def _written(db: sqlite3.Connection, entries: list[_Entry], now: int) -> set[int]:
    """Stores chunks; the streams whose chunks could not be, as they are deleted or stand elsewhere."""
    by_stream: dict[int, list[_Entry]] = {}
    for entry in entries:
        by_stream.setdefault(entry.stream.id, []).append(entry)
    lost: set[int] = set()
    values: list[Any] = []
    rows = 0
    for id, these in by_stream.items():
        first, last = these[0].chunk, these[-1].chunk
        moved = db.execute(
            "update streams set next = ?, time = ?, fence = ?, trim = max(trim, ?), size = size + ?, touched = ?"
            " where id = ? and next = ? and deleted is null",
            (
                last.next,
                stored_time(last.last_time),
                these[-1].fence,
                max(entry.trim for entry in these),
                sum(entry.chunk.size for entry in these),
                now,
                id,
                first.first,
            ),
        )
        if moved.rowcount != 1:
            lost.add(id)
            continue
        for entry in these:
            chunk = entry.chunk
            values += (
                id,
                chunk.first,
                chunk.count,
                stored_time(chunk.first_time),
                stored_time(chunk.last_time),
                chunk.size,
                chunk.expires,
                chunk.data,
            )
            rows += 1
            if rows == _ROWS:
                db.execute(_insert(rows), values)
                values, rows = [], 0
    if rows:
        db.execute(_insert(rows), values)
    return lost


def _insert(rows: int) -> str:
    return "insert into chunks values " + ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * rows)  # noqa: S608
