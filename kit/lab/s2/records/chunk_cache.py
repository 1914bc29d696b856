"""Reading chunks: the newest from memory, the others from the database."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from pathlib import Path

from ..schema import stored_time, time_of
from .chunks import Chunk

_KEPT = 64 * 1024 * 1024
_AHEAD = 1024 * 1024
_EACH = 512
"""Bytes that a chunk takes beside its records; a busy stream of small appends has millions."""
_COLUMNS = "first, count, first_time, last_time, size, data, expires"


class ChunkCache:
    """Reads chunks. The newest are kept in memory, so that following a stream needs no reads from the database."""

    def __init__(self, path: Path, most: int = _KEPT) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._db.execute("pragma query_only=1")
        self._db.execute("pragma mmap_size=1073741824")
        self._side = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
        """For checkpoints, which run in another thread."""
        self._recent: OrderedDict[tuple[int, int], Chunk] = OrderedDict()
        self._room = most

    def keep(self, chunk: Chunk) -> None:
        """Remember a chunk that was just committed."""
        self._recent[chunk.stream, chunk.first] = chunk
        self._room -= len(chunk.data) + _EACH
        while self._room < 0:
            _, old = self._recent.popitem(last=False)
            self._room += len(old.data) + _EACH

    def forget(self, stream: int) -> None:
        """Forget chunks of this stream, after they were changed or removed."""
        for key in [key for key in self._recent if key[0] == stream]:
            self._room += len(self._recent.pop(key).data) + _EACH

    def at(self, stream: int, seq_num: int) -> list[Chunk]:
        """Yield chunks in order; the first one holds this record or, where it is gone, the next one there is."""
        recent = self._recent.get((stream, seq_num))
        if recent is not None:
            return [recent]
        rows = self._db.execute(
            f"select {_COLUMNS} from chunks where stream = ? and first >= coalesce("  # noqa: S608
            "(select max(first) from chunks where stream = ? and first <= ?), 0) order by first",
            (stream, stream, seq_num),
        )
        chunks, size = [], 0
        for row in rows:
            chunk = _chunk(stream, row)
            if chunk.next <= seq_num:
                continue
            chunks.append(chunk)
            size += len(chunk.data)
            if size >= _AHEAD or len(chunks) >= 1000:
                break
        rows.close()
        return chunks

    def since(self, stream: int, time: int) -> Chunk | None:
        """Return the chunk that holds the first record of this time or later."""
        row = self._db.execute(
            f"select {_COLUMNS} from chunks where stream = ? and last_time >= ? order by last_time, first limit 1",  # noqa: S608
            (stream, stored_time(time)),
        ).fetchone()
        return None if row is None else _chunk(stream, row)

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the database, beside those who read and write."""
        self._side.execute("pragma wal_checkpoint(passive)")

    def close(self) -> None:
        self._db.close()
        self._side.close()


def _chunk(stream: int, row: tuple[int, int, int, int, int, bytes, int | None]) -> Chunk:
    first, count, first_time, last_time, size, data, expires = row
    return Chunk(stream, first, count, time_of(first_time), time_of(last_time), size, data, expires)
