"""The connection of the async client: SynapRPC on the running event loop, many calls of many tasks under way at once.

A connection belongs to the loop that made it; each loop that calls has one of its own.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import copy
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from ...core.http.connections import race
from ...core.http.drivers import LoopDriver, OpenHandles
from ..errors import SynapError, SynapTransportError, SynapWireError
from ..wire import frames as wire
from ..wire.rpc_commands import Call
from .connection_base import ConnectionBase, Exchange, answered, probed
from .settings import Place, Settings

_OUTGOING = 1024 * 1024


class _Batch:
    """Calls that are sent together, and the places for their answers."""

    def __init__(self, count: int, places: Sequence[int], answers: list[Any], done: asyncio.Future[None]) -> None:
        self.left, self.places, self.found, self.done = count, places, answers, done
        self.first = 0
        self.began = self.heard = time.monotonic()

    def put(self, number: int, body: bytes) -> None:
        place = self.places[number - self.first]
        if self.found[place] is None or isinstance(self.found[place], SynapError):
            self.found[place] = body
            self.left -= 1
            self.heard = time.monotonic()
            if not self.left and not self.done.done():
                self.done.set_result(None)


class Connection(asyncio.Protocol):
    """One connection; each answer goes to the call that waits for it."""

    def __init__(self, on_push: Callable[[Any], None] | None, check: Callable[[bytes], None]) -> None:
        self.transport: Any = None
        self._check = check
        self.waiting: dict[int, _Batch] = {}
        self.heard = time.monotonic()
        self.newest = 0.0
        """When the newest of the calls that have an answer was sent, or the newest message came."""
        self.lost = asyncio.get_running_loop().create_future()
        self.lost.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._frames = wire.Frames()
        self._on_push = on_push
        self._room = asyncio.Event()
        self._room.set()
        self._written = 0

    @property
    def open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing() and not self.lost.done()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.set_write_buffer_limits(high=_OUTGOING)

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        try:
            for body in self._frames.feed(data):
                number, _ = wire.peek(body)
                if number == wire.PUSH:
                    self.newest = self.heard
                    if self._on_push is not None:
                        self._on_push(wire.read_answer(body)[2])
                    continue
                batch = self.waiting.pop(number, None)
                if batch is not None:
                    if batch.left > 1:
                        self._check(body)
                    batch.put(number, body)
                    self.newest = max(self.newest, batch.began)
        except SynapError as error:
            self._end(error)
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        reason = getattr(exc, "strerror", None) or str(exc or "the server closed it")
        self._end(SynapTransportError(reason))

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def write(self, piece: bytes) -> None:
        self._written += len(piece)
        self.transport.write(piece)

    async def room(self, timeout: float) -> bool:
        """Return when more can be written; False where the server took nothing for that many seconds."""
        while not self._room.is_set():
            taken = self._written - self.transport.get_write_buffer_size()
            waiting = asyncio.ensure_future(self._room.wait())
            try:
                await asyncio.wait([waiting, self.lost], timeout=timeout, return_when="FIRST_COMPLETED")
            finally:
                waiting.cancel()
            if not self._room.is_set() and self._written - self.transport.get_write_buffer_size() == taken:
                return False
        return True

    def _end(self, error: SynapError) -> None:
        if not self.lost.done():
            self.lost.set_exception(error)
        self._room.set()
        for batch in set(self.waiting.values()):
            if not batch.done.done():
                batch.done.set_exception(error)
        self.waiting.clear()


class _Home:
    """The connection of one loop, and the making of it."""

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.opening: asyncio.Task[Connection] | None = None

    def opened(self, task: asyncio.Task[Connection]) -> None:
        self.opening = None
        if not task.cancelled() and task.exception() is None:
            self.connection = task.result()

    def leave(self) -> None:
        """End both, on their loop."""
        if self.opening is not None:
            self.opening.cancel()
        if self.connection is not None:
            self.connection.transport.abort()


class AsyncConnection(ConnectionBase, LoopDriver):
    """SynapRPC for coroutines."""

    def __init__(self, settings: Settings, place: Place, on_push: Callable[[Any], None] | None = None) -> None:
        super().__init__(settings, place)
        self._on_push = on_push
        self._homes: dict[asyncio.AbstractEventLoop, _Home] = {}
        self._pid = os.getpid()

    async def calls(self, calls: Sequence[Call], safe: bool) -> list[Any]:
        """Return the body of each answer, or the error that came instead."""
        return await self.run(answered(calls, safe))

    async def try_it(self) -> SynapError | None:
        """Connect, and find out whether calls are answered here; return the reason why not."""
        return await self.run(probed())

    async def do(self, step: Any, open_handles: OpenHandles) -> None:
        connection = await self.connect()
        if isinstance(step, Exchange):
            await self._on(connection, step.calls, step.places, step.found)

    async def connect(self) -> Connection:
        """Return the connection, made if there is none on this loop."""
        loop = asyncio.get_running_loop()
        if self._pid != os.getpid():
            self._homes, self._pid = {}, os.getpid()
        home = self._homes.get(loop)
        if home is None:
            # Connections belong to their loop; `asyncio.run` in two cells makes two.
            self._homes = {other: kept for other, kept in self._homes.items() if not other.is_closed()}
            home = self._homes[loop] = _Home()
        if home.connection is not None and home.connection.open:
            return home.connection
        if home.opening is None:
            home.opening = loop.create_task(self._open())
            home.opening.add_done_callback(home.opened)
        opening = home.opening
        try:
            return await asyncio.shield(opening)
        except SynapError as error:
            raise copy.copy(error) from None  # each call that waits adds to its own
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not opening.cancelled() or (task is not None and task.cancelling()):
                raise
        raise self.unreachable("it was closed here")

    @property
    def connection(self) -> Connection | None:
        """The connection of the running loop."""
        home = self._homes.get(asyncio.get_running_loop())
        return None if home is None else home.connection

    async def close(self) -> None:
        """Close the connections; the next call makes another."""
        homes, self._homes = self._homes, {}
        if self._pid != os.getpid():
            return
        home = homes.pop(asyncio.get_running_loop(), None)
        _leave(homes)
        if home is None:
            return
        if (opening := home.opening) is not None:
            opening.cancel()
            await asyncio.wait([opening])
        connection = home.connection
        if connection is None:
            return
        connection.transport.close()
        try:
            async with asyncio.timeout(1):
                await asyncio.wait([connection.lost])
        except builtins.TimeoutError:
            connection.transport.abort()

    def __del__(self) -> None:
        # An unclosed connection ends with its client, if its loop still runs.
        if self.__dict__.get("_pid") == os.getpid():
            _leave(self._homes)

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.settings.connect_timeout):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._on_push, self.check_refused),
                    self.place.host,
                    self.place.port,
                    happy_eyeballs_delay=race(self.place.host),
                )
        except builtins.TimeoutError:
            raise self.unreachable(f"no connection within {self.settings.connect_timeout} s") from None
        except OSError as error:
            raise self.unreachable(str(error)) from None
        try:
            if self.settings.api_key is not None or self.settings.password is not None:
                answers: list[Any] = [None]
                await self._on(connection, [("AUTH", self.settings.auth() or ())], range(1), answers)
                self.greeted(answers[0])
        except BaseException as error:
            connection.transport.abort()
            # The frames below hold the credential in their variables, which a traceback may show.
            raise error.with_traceback(None)  # noqa: B904
        return connection

    async def _on(
        self, connection: Connection, calls: Sequence[Call], places: Sequence[int], answers: list[Any]
    ) -> None:
        loop = asyncio.get_running_loop()
        numbers = self.numbers(len(calls))
        batch = _Batch(len(calls), places, answers, loop.create_future())
        batch.first = numbers[0]
        batch.done.add_done_callback(lambda done: done.cancelled() or done.exception())
        written = False
        try:
            for piece in self.frames(calls, numbers[0]):
                if not written:
                    connection.waiting.update(dict.fromkeys(numbers, batch))
                    written = True
                connection.write(piece)
                if not await connection.room(self.settings.timeout):
                    connection.transport.abort()
                    raise self.silent(calls[0][0])
                if connection.lost.done():
                    break
            started = time.monotonic()
            while not batch.done.done():
                quiet = time.monotonic() - max(started, connection.heard)
                if quiet >= self.settings.timeout:
                    connection.transport.abort()
                    raise self.silent(calls[0][0])
                # Bytes may be those of one long answer; an answer to a much later call shows that this one is lost.
                if connection.newest - max(started, batch.heard) >= self.settings.timeout:
                    raise self.silent(calls[0][0])
                await asyncio.wait(
                    [batch.done, connection.lost], timeout=self.settings.timeout - quiet, return_when="FIRST_COMPLETED"
                )
                if connection.lost.done() and not batch.done.done():
                    raise self._lost(connection, calls[0][0])
            if batch.done.exception() is not None:
                raise self._lost(connection, calls[0][0])
        finally:
            if batch.left:
                for number in numbers:
                    connection.waiting.pop(number, None)

    def _lost(self, connection: Connection, op: str) -> SynapError:
        error = connection.lost.exception()
        if isinstance(error, SynapWireError) or (isinstance(error, SynapError) and error.status_code == 401):
            return copy.copy(error)
        return self.lost(str(error.args[0]) if error and error.args else "it was closed", op)


def _leave(homes: dict[asyncio.AbstractEventLoop, _Home]) -> None:
    """End the connections of other loops, as far as these still run."""
    for loop, home in homes.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed, and its connections with it
            loop.call_soon_threadsafe(home.leave)
