"""The processes that run SQL, seen from the server: one that writes, and some that read.

A statement that takes too long or too much ends its process, and nobody else notices: tables are in files, and what was
acknowledged is there for the next process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...confined import OUT_OF_MEMORY, environment
from ..refusal import BUSY, EXECUTION, INTERNAL, Refusal
from .pipe import HEAD, LENGTH

READERS = 3
MEMORY = 1 << 30
_GRACE = 1.5
"""Seconds that a process has to stop a statement by itself when the time is over."""
_START = 30.0


@dataclass(slots=True)
class Result:
    """What came of an order: the body of an answer, or something small."""

    body: bytes = b""
    value: Any = None


class Workers:
    """Runs statements: those that change something one after the other, those that read a few at a time."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._seconds = seconds
        self._folder = folder
        self._writer = _Pool(lambda: _Process(folder, writes=True), 1)
        self._readers = _Pool(lambda: _Process(folder, writes=False), READERS)
        self._write = asyncio.Lock()
        self._last = 0
        """The newest position that was given out."""
        self.position = 0
        """The newest position that is acknowledged."""

    async def start(self) -> None:
        """Start the writer, and learns from it which position is the newest."""
        told = await self._writer.warm()
        self.position = self._last = told["position"]

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
        return (await self._readers.run(order, request, self._seconds)).body

    async def execute(self, tenant: int, request: bytes, *, now: int | None = None) -> bytes:
        """Return the body of the answer to a statement that changes something; what it tells is on disk.

        It is written as of now, or of another time, for what is told to have happened then.
        """
        order = {"do": "execute", "tenant": tenant, "seconds": self._seconds, "now": now or time.time_ns()}
        return (await self._change(order, request)).body

    async def drop_all(self, tenant: int) -> int:
        """Drop a tenant's tables; how many there were."""
        return int((await self._change({"do": "drop", "tenant": tenant, "now": time.time_ns()}, b"")).value)

    async def ask(self, do: str, tenant: int, **more: Any) -> Any:
        """Ask for something about a tenant's tables: `tables`, `describe`, `indexes`."""
        return (await self._readers.run({"do": do, "tenant": tenant, **more}, b"", self._seconds)).value

    async def close(self) -> None:
        """End the processes."""
        await asyncio.gather(self._writer.close(), self._readers.close())

    async def _change(self, order: dict[str, Any], body: bytes) -> Result:
        async with self._write:
            self._last += 1
            order["position"] = self._last
            # To the end, also for a client that went away: the position is written or not, but never half.
            running = asyncio.ensure_future(self._writer.run(order, body, self._seconds))
            running.add_done_callback(lambda done: done.cancelled() or done.exception())
            result = await asyncio.shield(running)
            self.position = self._last
            return result


class _Pool:
    """Some processes of one kind, started as they are needed."""

    def __init__(self, make: Callable[[], _Process], most: int) -> None:
        self._make = make
        self._turns = asyncio.Semaphore(most)
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        """Those that run, and those that were killed and are not gone yet: closing waits for them too."""
        self._warming: asyncio.Task[Any] | None = None
        self._closed = False

    async def warm(self) -> dict[str, Any]:
        """Start one; what it said."""
        process = await self._started()
        self._idle.append(process)
        return process.told

    def warm_soon(self) -> None:
        self._warming = asyncio.ensure_future(self._warm_quietly())

    async def _warm_quietly(self) -> None:
        # Whoever needs it tries again, and tells.
        with contextlib.suppress(Refusal):
            await self.warm()

    async def run(self, order: dict[str, Any], body: bytes, seconds: float) -> Result:
        """Carry an order out in one of the processes."""
        async with self._turns:
            process = await self._taken()
            try:
                return await process.run(order, body, seconds)
            except Refusal:
                raise
            except BaseException:
                # The client went away, say: nobody needs what would still come.
                process.end()
                raise
            finally:
                if process.alive:
                    self._idle.append(process)
                else:
                    process.end()

    async def close(self) -> None:
        self._closed = True
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        processes = list(self._all)
        for process in processes:
            process.end()
        await asyncio.gather(*(process.gone() for process in processes))

    async def _taken(self) -> _Process:
        while self._idle:
            process = self._idle.pop()
            if process.alive:
                return process
        return await self._started()

    async def _started(self) -> _Process:
        if self._closed:
            raise Refusal(BUSY, "the server is stopping")
        self._all = {process for process in self._all if not process.over}
        process = self._make()
        self._all.add(process)
        try:
            await process.start()
        except BaseException:
            process.end()
            raise
        return process


class _Process:
    """One process."""

    def __init__(self, folder: Path, *, writes: bool) -> None:
        self._settings = {"folder": str(folder), "writes": writes, "memory": MEMORY}
        self._child: asyncio.subprocess.Process | None = None
        self.told: dict[str, Any] = {}
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
            # Where somebody else still reads, it is them who come to the end.
            with contextlib.suppress(RuntimeError):
                while await self._child.stdout.read(1 << 16):
                    pass

    async def start(self) -> None:
        """Start it; returns when it takes orders."""
        making = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "kit.lab.kimberlite.sql.worker",
                json.dumps(self._settings),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=environment(),
            )
        )
        try:
            self._child = await asyncio.shield(making)
        except asyncio.CancelledError:
            # Cancelled in the middle, asyncio would wait for ever for pipes that are not connected.
            self._child = await making
            raise
        try:
            async with asyncio.timeout(_START):
                _, payload = await self._answer()
        except (OSError, EOFError, TimeoutError):
            raise Refusal(INTERNAL, "the SQL engine did not start; the server's error output says why") from None
        self.told = json.loads(payload)

    async def run(self, order: dict[str, Any], body: bytes, seconds: float) -> Result:
        """Carry an order out; refusals are raised."""
        assert self._child is not None
        assert self._child.stdin is not None
        head = json.dumps(order).encode()
        try:
            async with asyncio.timeout(seconds + _GRACE):
                self._child.stdin.write(LENGTH.pack(len(head)) + head + LENGTH.pack(len(body)) + body)
                await self._child.stdin.drain()
                letter, payload = await self._answer()
        except TimeoutError:
            self.end()
            await self.gone()
            raise Refusal(EXECUTION, f"the statement took longer than {seconds:g} s and was stopped") from None
        except (OSError, EOFError):
            raise await self._failure() from None
        if letter == b"E":
            told = json.loads(payload)
            raise Refusal(told["code"], told["message"])
        return Result(body=payload) if letter == b"R" else Result(value=json.loads(payload))

    async def _answer(self) -> tuple[bytes, bytes]:
        assert self._child is not None
        assert self._child.stdout is not None
        letter, length = HEAD.unpack(await self._child.stdout.readexactly(HEAD.size))
        return letter, await self._child.stdout.readexactly(length)

    async def _failure(self) -> Refusal:
        """Return why the process ended in the middle of a statement."""
        assert self._child is not None
        status = await self._child.wait()
        if status == OUT_OF_MEMORY:
            return Refusal(EXECUTION, "the statement needs more memory than it is allowed")
        if status < 0:
            # By a signal: a crash of the engine, or the system short of memory. The same would do it again.
            return Refusal(EXECUTION, "the statement ended the SQL engine; write it another way")
        return Refusal(INTERNAL, "the SQL engine ended in the middle of the statement; try again")
