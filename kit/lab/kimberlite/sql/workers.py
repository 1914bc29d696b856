"""The server's side of the processes that run SQL: one that writes, and several that read.

A statement that takes too long or too much memory ends its process, without effect on others: tables are in files, and
the next process finds everything that was acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....kimberlite.wire.extensions import EVERYTHING, Extensions
from ...common.sql_pool import GRACE, NOT_STARTED, START, STOPPING, Pool, started_with, too_long, why_ended
from ..refusal import BUSY, EXECUTION, INTERNAL, Refusal
from .pipe import HEAD, LENGTH

READERS = 3
MEMORY = 1 << 30


@dataclass(slots=True)
class Result:
    """The result of an order: the body of an answer, or a small value."""

    body: bytes = b""
    value: Any = None


class Workers:
    """Runs statements: writing ones one after the other, reading ones a few at a time."""

    def __init__(self, folder: Path, seconds: float, extensions: Extensions = EVERYTHING) -> None:
        self._seconds = seconds
        self._folder = folder
        self._writer = _pool(folder, extensions, writes=True)
        self._readers = _pool(folder, extensions, writes=False)
        self._write = asyncio.Lock()
        self._last = 0
        """The newest position that was given out."""
        self.position = 0
        """The newest position that is acknowledged."""

    async def start(self) -> None:
        """Start the writer, and learns from it which position is the newest."""
        writer = await self._writer.warm()
        self.position = self._last = writer.started["position"]

    def warm(self) -> None:
        """Start a reader before anyone asks for one."""
        self._readers.warm_soon()

    async def query(self, tenant: int, request: bytes, position: int | None) -> bytes:
        """Return the body of the answer to a SELECT, at a position or now."""
        order = {
            "do": "query",
            "tenant": tenant,
            "position": position,
            "current": self.position,
            "now": time.time_ns(),
            "seconds": self._seconds,
        }
        return (await self._read(order, request)).body

    async def execute(self, tenant: int, request: bytes, *, now: int | None = None) -> bytes:
        """Return the body of the answer to a statement that changes something; what it tells is on disk.

        It is written with the current time, or with another time for imported history.
        """
        order = {"do": "execute", "tenant": tenant, "seconds": self._seconds, "now": now}
        return (await self._change(order, request)).body

    async def drop_all(self, tenant: int) -> int:
        """Drop a tenant's tables; how many there were."""
        return int((await self._change({"do": "drop", "tenant": tenant}, b"")).value)

    async def ask(self, do: str, tenant: int, **more: Any) -> Any:
        """Ask for something about a tenant's tables: `tables`, `describe`, `indexes`."""
        return (await self._read({"do": do, "tenant": tenant, **more}, b"")).value

    async def close(self) -> None:
        """End the processes."""
        await asyncio.gather(self._writer.close(), self._readers.close())

    async def _read(self, order: dict[str, Any], body: bytes) -> Result:
        result: Result = await self._readers.run(lambda process: process.run(order, body, self._seconds))
        return result

    async def _change(self, order: dict[str, Any], body: bytes) -> Result:
        async with self._write:
            self._last += 1
            order["position"] = self._last
            # To the end, also for a client that went away: the position is written or not, but never half.
            running = asyncio.ensure_future(self._writer.run(lambda process: process.run(order, body, self._seconds)))
            running.add_done_callback(lambda done: done.cancelled() or done.exception())
            result: Result = await asyncio.shield(running)
            self.position = self._last
            return result


def _pool(folder: Path, extensions: Extensions, *, writes: bool) -> Pool[_Process]:
    make = lambda: _Process(folder, extensions, writes=writes)  # noqa: E731
    return Pool(make, 1 if writes else READERS, Refusal, Refusal(BUSY, STOPPING))


class _Process:
    """One process."""

    def __init__(self, folder: Path, extensions: Extensions, *, writes: bool) -> None:
        names = extensions.names()
        self._settings = {"folder": str(folder), "writes": writes, "memory": MEMORY, "extensions": names}
        self._child: asyncio.subprocess.Process | None = None
        self.started: dict[str, Any] = {}
        self._ended = False

    @property
    def alive(self) -> bool:
        # One that was killed has a status only later, and takes no more orders until then.
        return not self._ended and self._child is not None and self._child.returncode is None

    @property
    def over(self) -> bool:
        return self._ended if self._child is None else self._child.returncode is not None

    def end(self) -> None:
        """End it at once; may be called twice."""
        self._ended = True
        if self._child is not None and self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()

    async def gone(self) -> None:
        """Return when the process is over and its pipe is read to the end, without which it would stay open."""
        if self._child is not None:
            await self._child.wait()
            assert self._child.stdout is not None
            # If another caller still reads, that caller handles the end.
            with contextlib.suppress(RuntimeError):
                while await self._child.stdout.read(1 << 16):
                    pass

    async def start(self) -> None:
        """Start it; returns when it takes orders."""
        arguments, options = started_with("kit.lab.kimberlite.sql.worker", self._settings)
        making = asyncio.ensure_future(asyncio.create_subprocess_exec(*arguments, **options))
        try:
            self._child = await asyncio.shield(making)
        except asyncio.CancelledError:
            # If cancelled in the middle, asyncio would wait forever for unconnected pipes.
            self._child = await making
            raise
        try:
            async with asyncio.timeout(START):
                _, payload = await self._answer()
        except (OSError, EOFError, TimeoutError):
            raise Refusal(INTERNAL, NOT_STARTED) from None
        self.started = json.loads(payload)

    async def run(self, order: dict[str, Any], body: bytes, seconds: float) -> Result:
        """Carry an order out; refusals are raised."""
        assert self._child is not None
        assert self._child.stdin is not None
        head = json.dumps(order).encode()
        try:
            async with asyncio.timeout(seconds + GRACE):
                self._child.stdin.write(LENGTH.pack(len(head)) + head + LENGTH.pack(len(body)) + body)
                await self._child.stdin.drain()
                letter, payload = await self._answer()
        except TimeoutError:
            self.end()
            await self.gone()
            raise Refusal(EXECUTION, too_long("statement", seconds)) from None
        except (OSError, EOFError):
            raise await self._failure() from None
        if letter == b"E":
            answer = json.loads(payload)
            raise Refusal(answer["code"], answer["message"])
        return Result(body=payload) if letter == b"R" else Result(value=json.loads(payload))

    async def _answer(self) -> tuple[bytes, bytes]:
        assert self._child is not None
        assert self._child.stdout is not None
        letter, length = HEAD.unpack(await self._child.stdout.readexactly(HEAD.size))
        return letter, await self._child.stdout.readexactly(length)

    async def _failure(self) -> Refusal:
        """Return why the process ended in the middle of a statement."""
        assert self._child is not None
        its_own, why = why_ended(await self._child.wait(), "statement")
        return Refusal(EXECUTION if its_own else INTERNAL, why)
