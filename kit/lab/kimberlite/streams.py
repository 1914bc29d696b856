"""Streams: events stored in their wire form, appended in one commit, read back in pages."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections import deque
from dataclasses import dataclass, field

from ...kimberlite.types import MAX_U32
from ...kimberlite.wire.blobs import Blobs
from ...kimberlite.wire.framing import MAX_PAYLOAD
from ..common.store import Store
from .refusal import INVALID, OFFSET_MISMATCH, STREAM_NOT_FOUND, Refusal

CHUNK = 64 * 1024
"""Bytes that are stored together: a page that begins or ends inside a chunk scans at most this many."""
OVERHEAD = 64
"""The largest number of bytes around the events of a page or a push."""


_KEPT = 256 * 1024
"""Bytes of a stream's end that are kept in memory for clients that follow it."""
_ROWS = 256
_MAPPED = 2**30
"""Bytes of the database that are memory-mapped; the rest is read as a file."""
_NUMBERED = re.compile(r"stream_([1-9]\d{0,9})")
MAX_NAME = 4096


@dataclass(slots=True, eq=False)
class Stream:
    """A stream."""

    row: int
    tenant: int
    number: int
    name: str
    data_class: int
    made: int
    length: int
    bytes: int
    recent: deque[tuple[int, Blobs]] = field(default_factory=deque)
    kept: int = 0

    @property
    def id(self) -> int:
        """The number that names it on the wire."""
        return self.tenant << 32 | self.number

    def grown(self, first: int, events: Blobs, size: int) -> None:
        """Note what was committed."""
        self.length = max(self.length, first + len(events))
        self.bytes += size
        if self.recent and self.recent[-1][0] + len(self.recent[-1][1]) != first:
            self.recent.clear()
            self.kept = 0
        self.recent.append((first, events))
        self.kept += events.nbytes
        while self.kept > _KEPT and len(self.recent) > 1:
            self.kept -= self.recent.popleft()[1].nbytes
        if self.kept > _KEPT:
            self.recent.clear()
            self.kept = 0

    def at_hand(self, first: int) -> Blobs | None:
        """Return events from this one on, if they are in memory."""
        for start, events in reversed(self.recent):
            if start <= first:
                return events[first - start :] if first < start + len(events) else None
        return None


class Streams:
    """All streams of all tenants."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._all: dict[int, Stream] = {}
        self._watchers: dict[int, dict[asyncio.Event, None]] = {}
        """In the order in which they came, so that the same happens again in a repeated run."""
        self._names: dict[tuple[int, str], Stream] = {}
        # Pages of events are then read from mapped memory, without a call for each 4 KiB.
        store.read(f"pragma mmap_size={_MAPPED}")
        for row in store.read("select * from streams order by id"):
            self._keep(_stream(row))
        last = store.read("select max(position + count) from chunks")[0][0]
        self._position = last or 0
        """Where the next event goes, among all there are. Only the store's thread changes it."""
        self.appended = 0
        self.appended_bytes = 0

    def get(self, id: int) -> Stream | None:
        return self._all.get(id)

    def require(self, id: int) -> Stream:
        """Return the stream; refuse an unknown one."""
        stream = self._all.get(id)
        if stream is None:
            raise Refusal(STREAM_NOT_FOUND, f"stream {id} not found")
        return stream

    def of(self, tenant: int) -> list[Stream]:
        """Return the streams of a tenant."""
        return [stream for stream in self._all.values() if stream.tenant == tenant]

    async def create(self, tenant: int, name: str, data_class: int) -> Stream:
        """Return the tenant's stream of that name, created if it does not exist."""
        stream = self._names.get((tenant, name))
        if stream is not None:
            return stream
        if len(name) > MAX_NAME:
            raise Refusal(INVALID, f"a stream's name has at most {MAX_NAME} characters")

        def job(db: sqlite3.Connection) -> sqlite3.Row:
            # Another request may have created it a moment ago.
            row = db.execute("select * from streams where tenant = ? and name = ?", (tenant, name)).fetchone()
            if row is None:
                number = _free_number(db, tenant, name)
                db.execute(
                    "insert into streams (tenant, number, name, data_class, made) values (?, ?, ?, ?, ?)",
                    (tenant, number, name, data_class, time.time_ns()),
                )
                row = db.execute("select * from streams where tenant = ? and name = ?", (tenant, name)).fetchone()
            made: sqlite3.Row = row
            return made

        def kept(row: sqlite3.Row) -> None:
            if (tenant, name) not in self._names:
                self._keep(_stream(row))

        row = await self._store.write_then(job, kept)
        return self._names.get((tenant, name)) or _stream(row)

    async def append(self, stream: Stream, events: Blobs, expected: int) -> int:
        """Add events to a stream of the length that is expected; returns when they are on disk."""
        pieces = [
            (len(piece), piece.content_bytes, piece.raw) for piece in (events.pieces(CHUNK) if len(events) else ())
        ]
        if not pieces:
            raise Refusal(INVALID, "an append must hold at least one event")
        if max(len(raw) for _, _, raw in pieces) > MAX_PAYLOAD - OVERHEAD:
            # An append has less around its events than what would bring them back.
            raise Refusal(INVALID, f"an event has at most {MAX_PAYLOAD - OVERHEAD:,} bytes, with those of its length")

        def job(db: sqlite3.Connection) -> None:
            row = db.execute("select length from streams where id = ?", (stream.row,)).fetchone()
            if row is None:
                raise Refusal(STREAM_NOT_FOUND, f"stream {stream.id} not found")
            if row[0] != expected:
                raise Refusal(
                    OFFSET_MISMATCH,
                    f"offset mismatch for stream {stream.id}: expected {expected}, actual {row[0]}",
                )
            now, first, position, rows = time.time_ns(), expected, self._position, []
            for count, size, raw in pieces:
                rows.append((stream.row, first, count, size, position, stream.tenant, now, raw))
                first += count
                position += count
            db.executemany("insert into chunks values (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            db.execute(
                "update streams set length = ?, bytes = bytes + ? where id = ?",
                (first, sum(size for _, size, _ in pieces), stream.row),
            )
            # Positions of a failed commit are not used again, as they may have been seen.
            self._position = position

        def kept(_: None) -> None:
            size = sum(size for _, size, _ in pieces)
            stream.grown(expected, events, size)
            self._wake(stream.id)
            self.appended += len(events)
            self.appended_bytes += size

        await self._store.write_then(job, kept)
        return expected

    def read(self, stream: Stream, first: int, max_bytes: int, frame: int) -> tuple[int, list[bytes]]:
        """Return events from an offset on: how many, and their wire form in pieces.

        More are added while those there are have less than `max_bytes`, and fit into `frame` bytes on the wire; the
        first one always does.
        """
        pieces, events, size, taken = list[bytes](), 0, 0, 0
        while size < max_bytes and first < stream.length:
            chunks = self._chunks(stream, first, max_bytes - size, frame - taken)
            if not chunks:
                break
            for start, count, content, raw in chunks:
                cut = False
                if start < first or size + content > max_bytes or taken + len(raw) > frame:
                    part = Blobs.from_raw(raw, count)[first - start :]
                    fits = min(part.before(max_bytes - size), part.fitting(frame - taken))
                    fits = max(fits, 0 if events else 1)
                    cut = fits < len(part)
                    part = part[:fits]
                    raw, count, content = part.raw, len(part), part.content_bytes
                pieces.append(raw)
                events, first = events + count, first + count
                size, taken = size + content, taken + len(raw)
                if cut or size >= max_bytes:
                    return events, pieces
        return events, pieces

    def following(self, stream: Stream, first: int, most: int, size: int) -> Blobs:
        """Return the next events for a subscriber, up to a number."""
        events = stream.at_hand(first)
        if events is None:
            count, pieces = self.read(stream, first, size, size)
            events = Blobs.from_raw(b"".join(pieces), count)
        return events[: min(most, max(events.fitting(size), 1))]

    def _chunks(self, stream: Stream, first: int, size: int, room: int) -> list[tuple[int, int, int, bytes]]:
        """Return the chunks from the one with this offset on that may be needed; at least one."""
        # Sizes first, as the bytes of a row are only read when they are accessed.
        heads = self._store.read(
            "select first, count, size, length(data) as taken from chunks where stream = ? and first >= (select"
            " coalesce(max(first), 0) from chunks where stream = ? and first <= ?) order by first limit ?",
            (stream.row, stream.row, first, _ROWS),
        )
        last, total, content = first, 0, 0
        for n, head in enumerate(heads):
            if n and (content >= size or total >= room):
                break
            last = head["first"]
            # Events before the offset in the first chunk count too, which at worst costs another round.
            total += head["taken"] if n else 0
            content += head["size"] if n else 0
        rows = self._store.read(
            "select first, count, size, data from chunks where stream = ? and first between ? and ? order by first",
            (stream.row, heads[0]["first"] if heads else first, last),
        )
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    async def drop_tenant(self, tenant: int) -> None:
        """Remove a tenant's streams, and notify their subscribers."""

        def job(db: sqlite3.Connection) -> None:
            db.execute("delete from chunks where tenant = ?", (tenant,))
            db.execute("delete from streams where tenant = ?", (tenant,))

        def gone(_: None) -> None:
            for stream in self.of(tenant):
                del self._all[stream.id]
                del self._names[tenant, stream.name]
                self._wake(stream.id)

        await self._store.write_then(job, gone)

    def watch(self, id: int, watcher: asyncio.Event) -> None:
        """Set the event whenever the stream of this id grows; it need not exist yet."""
        self._watchers.setdefault(id, {})[watcher] = None

    def unwatch(self, id: int, watcher: asyncio.Event) -> None:
        """End that."""
        watchers = self._watchers.get(id, {})
        watchers.pop(watcher, None)
        if not watchers:
            self._watchers.pop(id, None)

    def _wake(self, id: int) -> None:
        for watcher in self._watchers.get(id, ()):
            watcher.set()

    def _keep(self, stream: Stream) -> Stream:
        self._all[stream.id] = stream
        self._names[stream.tenant, stream.name] = stream
        return stream


def _stream(row: sqlite3.Row) -> Stream:
    names = ("id", "tenant", "number", "name", "data_class", "made", "length", "bytes")
    return Stream(*(row[name] for name in names))


def _free_number(db: sqlite3.Connection, tenant: int, name: str) -> int:
    """Return the next number; for `stream_<n>` that one, if it is free."""
    named = _NUMBERED.fullmatch(name)
    if named and int(named[1]) <= MAX_U32:
        taken = db.execute("select 1 from streams where tenant = ? and number = ?", (tenant, int(named[1]))).fetchone()
        if not taken:
            return int(named[1])
    last = db.execute("select coalesce(max(number), 0) from streams where tenant = ?", (tenant,)).fetchone()[0]
    if last < MAX_U32:
        return int(last) + 1
    row = db.execute(
        "select min(number + 1) from streams s where tenant = ? and number < ? and not exists"
        " (select 1 from streams t where t.tenant = s.tenant and t.number = s.number + 1)",
        (tenant, MAX_U32),
    ).fetchone()
    return int(row[0] or 1)
