"""A stream in use: its end on disk, and its end with the appends under way."""

from __future__ import annotations

import asyncio
import sqlite3

from ....s2.positions import StreamPosition
from ..account.configs import Layer
from ..http.answers import refusal
from ..schema import time_of


class Stream:
    """A stream in use."""

    def __init__(self, row: sqlite3.Row, basin: str, config: Layer) -> None:
        self.id: int = row["id"]
        self.basin = basin
        self.name: str = row["name"]
        self.config = config
        self.cipher: str | None = row["cipher"]
        self.deleted = row["deleted"] is not None
        self.tail = StreamPosition(row["next"], time_of(row["time"]))
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
        self.watchers: dict[asyncio.Event, None] = {}
        """In the order in which they came, so that the same happens again in a repeated run."""
        self._settled: asyncio.Event | None = None

    def wake(self) -> None:
        """Tell those who follow that something is new."""
        for watcher in self.watchers:
            watcher.set()

    async def settled(self) -> None:
        """Return when nothing is on its way to disk that was when this was called."""
        placed = self.next
        while self.pending and self.tail.seq_num < placed:
            if self._settled is None:
                self._settled = asyncio.Event()
            await self._settled.wait()

    def settle(self, count: int) -> None:
        """Note that this many appends are done."""
        self.pending -= count
        if self._settled is not None:
            self._settled.set()
            self._settled = None

    def gone(self) -> Exception:
        """Return the refusal for a stream that is being deleted."""
        return refusal("stream_deletion_pending", f"stream `{self.name}` in basin `{self.basin}` is being deleted")
