"""Passing results of queries from a worker to a client, whole or while they are produced."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

HEAD = b'{"rows":['


@dataclass(frozen=True, slots=True)
class Result:
    """Rows as pieces of JSON, each row with a comma after it."""

    pieces: list[bytes]
    rows: int
    truncated: bool
    columns: list[dict[str, str]]

    def body(self) -> list[bytes]:
        """Return the answer to a query, in pieces; `rows` comes first, so that a client can read on as they arrive."""
        pieces = [HEAD, *self.pieces]
        if self.pieces:
            pieces[-1] = pieces[-1].removesuffix(b",")
        return [*pieces, self.tail()]

    def tail(self) -> bytes:
        """Return what stands behind the rows."""
        tail = {"rowCount": self.rows, "truncated": self.truncated, "columns": self.columns}
        return b"]," + json.dumps(tail, separators=(",", ":"), ensure_ascii=False).encode()[1:]

    def values(self) -> list[dict[str, Any]]:
        """Return the rows as objects; for small results."""
        values: list[dict[str, Any]] = json.loads(b"".join(self.body()))["rows"]
        return values


class Flow:
    """A large result while it is produced.

    The engine's output is buffered here however slowly the client reads, so that a slow client does not occupy a
    worker; the limit on the size of a result bounds the buffer.
    """

    def __init__(self) -> None:
        self.firm = asyncio.Event()
        """Whether rows have come that will be part of the answer."""
        self._loop = asyncio.get_running_loop()
        self._pieces = deque[bytes]()
        self._more = asyncio.Event()
        self._task: asyncio.Future[Result] | None = None

    def take(self, pieces: list[bytes]) -> None:
        """Take rows for the client; called in the thread that reads from the worker."""
        self._loop.call_soon_threadsafe(self._add, pieces)

    def _add(self, pieces: list[bytes]) -> None:
        self._pieces += pieces
        self._more.set()
        self.firm.set()

    def goes_on_as(self, task: asyncio.Future[Result]) -> None:
        """Name the work that ends with the rest of the result."""
        self._task = task
        task.add_done_callback(lambda _: self._more.set())

    async def body(self) -> AsyncGenerator[bytes]:
        """Return the answer in pieces. The query is ended when the client is gone."""
        task = self._task
        assert task is not None
        try:
            yield HEAD
            last = b""
            while True:
                self._more.clear()
                while self._pieces:
                    if last:
                        yield last
                    last = self._pieces.popleft()
                if task.done():
                    break
                await self._more.wait()
            rest = task.result()
            for piece in rest.pieces:
                yield last
                last = piece
            yield last.removesuffix(b",")
            yield rest.tail()
        finally:
            task.cancel()
