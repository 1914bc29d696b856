"""Connections on an event loop: as `connections.py`, on asyncio's own transports.

Two turns of the loop for a call are faster than seven.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, cast

from ..errors import Lost, Silent, Unreachable
from .connections import LARGEST, MOST, PIECE, race, readable, to_connect, unreachable
from .http1 import Headers, HttpRequest, Incoming, Origin, within

if TYPE_CHECKING:
    import ssl

_MOST_IDLE = 20
_IDLE_SECONDS = 5.0
_PART = 256 * 1024
"""Bytes of a body that are handed to the transport at once; it tells only when most of them have left."""


class LoopConnection(asyncio.Protocol):
    """One connection as the event loop sees it."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._ended = False
        self._error: Exception | None = None
        self._waiting = 0
        self._held = False
        self._full = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        self._waiting += len(data)
        if self._waiting >= LARGEST and not self._held:
            self._held = True
            self.transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        self._ended = True
        _wake(self._reader)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended, self._error = True, exc
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        _wake(self._writer)

    async def ask(self, request: HttpRequest) -> Incoming:
        """Send a request, and return its answer, whose head has come."""
        head = request.head()
        if len(request.body) < PIECE:
            self.transport.write(head + request.body)
        else:
            self.transport.write(head)
            await self._send(request)
        incoming = Incoming(request.method)
        until = request.until
        # What is left of the call is less after each piece of a head that trickles.
        while not incoming.begin(await self.receive(request.read if until is None else within(request.read, until))):
            pass
        return incoming

    async def _send(self, request: HttpRequest) -> None:
        """Send a large body. Each part may take as long as one of the answer: a slow line is not a silent service."""
        left = memoryview(request.body)
        while left and not self._ended:
            self.transport.write(left[:_PART])
            left = left[_PART:]
            while self._full and not self._ended:
                self._writer = asyncio.get_running_loop().create_future()
                seconds = request.read if request.until is None else within(request.read, request.until)
                try:
                    await _within(seconds, self._writer)
                finally:
                    self._writer = None

    async def receive(self, seconds: float | None) -> bytes:
        """Return all that has come, as soon as something has; nothing at its end."""
        while not self._pieces and not self._ended:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await _within(seconds, self._reader)
            finally:
                self._reader = None
        if not self._pieces:
            if self._error is not None:
                raise Lost(f"the connection broke: {self._error}")
            return b""
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        if self._held:
            self._held = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def stale(self, now: float) -> bool:
        """Return whether it must not be used again: idle for long, ended, or with unrequested data on it."""
        if self._ended or self._pieces or now - self.idle_since > _IDLE_SECONDS:
            return True
        return readable(self.transport.get_extra_info("socket"))

    def close(self) -> None:
        if self.transport.get_extra_info("ssl_object") is None:
            self.transport.close()
        else:
            self.transport.abort()  # a farewell by TLS's rules would wait for the peer's


async def _within(seconds: float | None, waiter: asyncio.Future[None]) -> None:
    """Wait for it so long. A timer of its own is a third of what `asyncio.timeout` costs."""
    timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, _give_up, waiter)
    try:
        await waiter
    finally:
        if timer is not None:
            timer.cancel()


def _give_up(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(Silent())


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


class LoopAnswer:
    """An answer whose head has come."""

    def __init__(self, pool: LoopPool, connection: LoopConnection, incoming: Incoming, request: HttpRequest) -> None:
        self._pool = pool
        self._connection: LoopConnection | None = connection
        self._incoming = incoming
        self.patience = request.read
        """Seconds to wait for each next piece."""
        self._until = request.until
        self.status = incoming.head.status
        self.headers = Headers(incoming.head.headers)

    async def read(self) -> bytes:
        """Return the next piece of the body, nothing at its end; the connection is given back then."""
        incoming = self._incoming
        while True:
            for piece in incoming.parts:
                return piece
            if incoming.over or self._connection is None:
                await self.close()
                return b""
            until = self._until
            seconds = self.patience if until is None else within(self.patience, until)
            incoming.take(await self._connection.receive(seconds))

    async def close(self) -> None:
        """Give the connection back, or close it where the answer is not over."""
        connection, self._connection = self._connection, None
        if connection is not None and not self._pool.put(connection, kept=self._incoming.reusable):
            # Closing is done in the loop's next turn, and there may be none after this call.
            await asyncio.sleep(0)


class LoopPool:
    """The connections to one origin, of one event loop."""

    def __init__(self, origin: Origin, context: ssl.SSLContext | None) -> None:
        self._origin, self._context = origin, context
        self._idle: deque[LoopConnection] = deque()
        self._all: dict[LoopConnection, None] = {}
        """All there are, in the order in which they were made."""
        self._closed = False
        self._places = asyncio.Semaphore(MOST)

    async def ask(self, request: HttpRequest) -> LoopAnswer:
        """Send a request, and return its answer, whose head has come."""
        if self._places.locked():
            try:
                async with asyncio.timeout(to_connect(request)):
                    await self._places.acquire()
            except TimeoutError:
                raise Unreachable from None
        else:
            await self._places.acquire()
        connection: LoopConnection | None = None
        try:
            connection = self._kept() or await self._connect(request)
            return LoopAnswer(self, connection, await connection.ask(request), request)
        except BaseException:
            self.put(connection, kept=False)
            raise

    def put(self, connection: LoopConnection | None, *, kept: bool) -> bool:
        """Take back a connection that a call had, or its place where there was none yet; return whether it is kept."""
        kept = kept and not self._closed
        if connection is not None:
            if kept:
                connection.idle_since = time.monotonic()
                self._idle.append(connection)
                if len(self._idle) > _MOST_IDLE:
                    self._drop(self._idle.popleft())
            else:
                self._drop(connection)
        self._places.release()
        return kept

    def _kept(self) -> LoopConnection | None:
        now = time.monotonic()
        while self._idle:
            connection = self._idle.pop()
            if not connection.stale(now):
                return connection
            self._drop(connection)
        return None

    async def _connect(self, request: HttpRequest) -> LoopConnection:
        origin, connection = self._origin, LoopConnection()
        if self._context is not None:
            # Each time: a caller's context may serve another protocol meanwhile, as that of append sessions.
            self._context.set_alpn_protocols(["http/1.1"])
        try:
            async with asyncio.timeout(to_connect(request)):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    origin.host,
                    origin.port,
                    ssl=self._context,
                    server_hostname=None if self._context is None else origin.host,
                    happy_eyeballs_delay=race(origin.host),
                )
        except TimeoutError:
            raise Unreachable from None
        except (OSError, UnicodeError) as error:
            raise unreachable(error) from None
        self._all[connection] = None
        return connection

    def _drop(self, connection: LoopConnection) -> None:
        self._all.pop(connection, None)
        connection.close()

    async def close(self) -> None:
        """Close all connections, also those of calls under way."""
        self._closed = True
        self._idle.clear()
        for connection in list(self._all):
            self._drop(connection)
        await asyncio.sleep(0)
