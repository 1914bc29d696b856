"""Removing what was trimmed, has expired or is deleted, and deleting streams that are configured to go when empty."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from functools import partial

from ...common.store import Store
from ..account.catalog import Catalog
from ..account.usage import Usage
from ..schema import stored_time
from .chunk_cache import ChunkCache
from .chunks import metered, places
from .log import Log
from .stream import Stream

_CHECKPOINT = 4 * 1024 * 1024
"""Removed bytes after which a checkpoint is worth its cost."""
_ROWS = 500
"""Chunks that are removed in one transaction, as other writers wait for it."""
_PLACE = (
    "select basins.name as basin, streams.name, streams.size from streams join basins on basins.id = basin"
    " where streams.id = ?"
)


class Sweeper:
    """Removes data periodically, in small steps."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        log: Log,
        chunk_cache: ChunkCache,
        usage: Usage,
        clock: Callable[[], int],
        seconds: float,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._log = log
        self._chunk_cache = chunk_cache
        self._usage = usage
        self._clock = clock
        self._seconds = seconds
        self._checkpointed = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, also with what a process before this one left."""
        for row in self._store.read(
            "select basins.name as basin, streams.name from streams join basins on basins.id = basin"
            " where trim > (select min(first) from chunks where stream = streams.id)"
        ):
            stream = self._catalog.find(row["basin"], row["name"])
            if stream is not None:
                self._log.trimmed.add(stream)
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self.sweep()
            except sqlite3.Error:
                continue  # the next round tries again

    async def sweep(self) -> None:
        """Make one round."""
        while self._log.trimmed:
            stream = self._log.trimmed.pop()
            try:
                await self._trim(stream)
            except sqlite3.Error:
                self._log.trimmed.add(stream)
                raise
        await self._expire()
        await self._delete_empty()
        await self._delete()
        await self._usage.flush()
        await self._checkpoint()

    async def _checkpoint(self) -> None:
        """Move what was written into the database proper, so that the writer seldom has to stop for that."""
        if self._log.written - self._checkpointed >= _CHECKPOINT:
            self._checkpointed = self._log.written
            await asyncio.get_running_loop().run_in_executor(None, self._chunk_cache.checkpoint)

    async def _trim(self, stream: Stream) -> None:
        until = stream.trim
        freed = 1
        while freed:
            freed = await self._store.write(lambda db: _trimmed(db, stream.id, until))
            self._freed(stream, freed)

    async def _expire(self) -> None:
        now = self._clock()
        while self._store.read("select 1 from chunks where expires <= ? limit 1", (now,)):
            freed = await self._store.write(lambda db: _expired(db, now))
            opened = {stream.id: stream for stream in self._catalog.opened()}
            for id, size in freed.items():
                if id in opened:
                    self._freed(opened[id], size)
                else:
                    # The stream was not used since the start; the metrics must still say that it shrank.
                    for row in self._store.read(_PLACE, (id,)):
                        self._usage.level(row["basin"], row["name"], row["size"])

    def _freed(self, stream: Stream, freed: int) -> None:
        if freed:
            stream.size -= freed
            self._chunk_cache.forget(stream.id)
            self._usage.level(stream.basin, stream.name, stream.size)

    async def _delete_empty(self) -> None:
        rows = self._store.read(
            "select basins.name as basin, streams.name from streams join basins on basins.id = basin"
            " where size = 0 and streams.deleted is null and json_extract(streams.config, '$.min_age') > 0"
            " and touched + json_extract(streams.config, '$.min_age') * 1000 <= ?",
            (self._clock(),),
        )
        for row in rows:
            stream = self._catalog.find(row["basin"], row["name"])
            if stream is not None and not stream.pending:
                await self._catalog.delete_stream(row["basin"], row["name"], only_empty=True)

    async def _delete(self) -> None:
        now = self._clock()
        rows = self._store.read(
            "select streams.id, basins.name as basin, streams.name from streams join basins on basins.id = basin"
            " where streams.gone_at <= ?",
            (now,),
        )
        for row in rows:
            while not await self._store.write(partial(_deleted, stream=row["id"])):
                pass
            self._usage.level(row["basin"], row["name"], 0)
            self._catalog.dropped(row["basin"], row["name"], row["id"])
            self._chunk_cache.forget(row["id"])
        if self._store.read("select 1 from basins where gone_at <= ? limit 1", (now,)):
            await self._store.write(
                lambda db: (
                    db.execute(
                        "delete from basins where gone_at <= ? and not exists"
                        " (select 1 from streams where streams.basin = basins.id)",
                        (now,),
                    )
                    and None
                )
            )


def _trimmed(db: sqlite3.Connection, stream: int, until: int) -> int:
    """Remove some of the records before this number; the metered bytes that this freed."""
    rows = db.execute(
        "select rowid, first, count, size from chunks where stream = ? and first < ? order by first limit ?",
        (stream, until, _ROWS),
    ).fetchall()
    freed = 0
    for row in rows:
        if row["first"] + row["count"] <= until:
            db.execute("delete from chunks where rowid = ?", (row["rowid"],))
            freed += row["size"]
        else:
            [data] = db.execute("select data from chunks where rowid = ?", (row["rowid"],)).fetchone()
            rest = _rest(data, until)
            db.execute(
                "update chunks set first = ?, count = ?, first_time = ?, size = ?, data = ? where rowid = ?",
                (*rest, row["rowid"]),
            )
            freed += row["size"] - rest[3]
    db.execute("update streams set size = size - ? where id = ?", (freed, stream))
    return freed


def _rest(data: bytes, until: int) -> tuple[int, int, int, int, bytes]:
    """Return the records from this number on, as a chunk's columns."""
    left_places = [place for place in places(data) if place.seq_num >= until]
    size = sum(metered(data, place) for place in left_places)
    return (
        left_places[0].seq_num,
        len(left_places),
        stored_time(left_places[0].time),
        size,
        data[left_places[0].start :],
    )


def _expired(db: sqlite3.Connection, now: int) -> dict[int, int]:
    """Remove chunks whose time is over; what this freed, by stream."""
    rows = db.execute("select rowid, stream, size from chunks where expires <= ? limit ?", (now, _ROWS)).fetchall()
    freed: dict[int, int] = {}
    for row in rows:
        db.execute("delete from chunks where rowid = ?", (row["rowid"],))
        freed[row["stream"]] = freed.get(row["stream"], 0) + row["size"]
    for stream, size in freed.items():
        db.execute("update streams set size = size - ? where id = ?", (size, stream))
    return freed


def _deleted(db: sqlite3.Connection, stream: int) -> bool:
    """Remove some of a stream, at last the stream itself; whether that is done."""
    removed = db.execute(
        "delete from chunks where rowid in (select rowid from chunks where stream = ? limit ?)", (stream, _ROWS)
    ).rowcount
    if removed == _ROWS:
        return False
    db.execute("delete from streams where id = ?", (stream,))
    return True
