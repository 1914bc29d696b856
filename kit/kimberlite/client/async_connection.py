"""The connection of the async client: asyncio streams on the background loop, where subscriptions run too.

A coroutine may run on any loop, also on one that ends before the next call: its operations run on the background
loop, and it waits for their end. Many may be under way at once; answers are matched by number.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, TypeVar

from ...core import loop
from ...core.http.connections import race
from ...core.http.drivers import LoopDriver, OpenHandles
from ..errors import KimberliteError, NetworkError, WireError
from ..errors import TimeoutError as KimberliteTimeout
from ..wire.extensions import Extensions
from ..wire.framing import HEADER_SIZE, MAX_PAYLOAD, check, read_header
from ..wire.protocol.codec import PUSH, decode, peek
from .address import Place, Settings
from .connection_base import ConnectionBase, reason_of, tls_reason
from .operations import Operation, Post, Walk

T = TypeVar("T")
_PIECE = 1024 * 1024


class AsyncConnection(ConnectionBase, LoopDriver):
    """A connection on the background loop. Its coroutines run there; other loops use it through `Crossing`."""

    def __init__(
        self,
        settings: Settings,
        on_push: Callable[[Any], None] | None = None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(settings)
        self._on_push, self._on_lost = on_push, on_lost
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._opening: asyncio.Lock | None = None
        self._heard = 0.0
        self._newest = 0.0
        """When the newest of the requests that have an answer was sent, or the newest push came."""
        self._flights.clear()

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._writer is not None

    @property
    def ours(self) -> bool:
        """Whether there is a connection, and this process made it."""
        return self.connected and self._pid == os.getpid()

    async def connect(self) -> None:
        """Connect now, if there is no connection."""
        if self._pid != os.getpid():
            self._forget()  # a forked child does not have this loop; leave the parent's connection alone
        if self._writer is not None:
            return
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if self._writer is None:
                reader, writer = await self._open()
                self.generation += 1
                self._writer = writer
                self._reading = asyncio.get_running_loop().create_task(self._read(reader, writer))

    async def close(self) -> None:
        """Close the connection; may be called twice."""
        self.closed = True
        await self.drop()

    async def drop(self, error: KimberliteError | None = None) -> None:
        """End this connection; the next request makes another."""
        writer, self._writer = self._writer, None
        reading, self._reading = self._reading, None
        if reading is not None and reading is not asyncio.current_task():
            reading.cancel()
        self._fail(error)
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()

    async def do(self, step: Any, open_handles: OpenHandles) -> Any:
        if isinstance(step, Post):
            number = await self._post(step)
            open_handles.append(number)
            return number
        if step.number in open_handles:
            open_handles.remove(step.number)
        return await self._take(step.number)

    async def release(self, handle: Any) -> None:
        self._answers.pop(handle, None)
        self.landed(handle, error=KimberliteError("the caller left before the answer"))

    async def _post(self, post: Post) -> int:
        number, frame = self.frame(post)
        if self._writer is None or self._pid != os.getpid():
            await self.connect()
        writer = self._writer
        if writer is None:
            raise self.unreachable("the connection broke immediately")
        self.sent(number, post, len(frame))
        self._answers[number] = asyncio.get_running_loop().create_future()
        self._answers[number].add_done_callback(_seen)
        writer.write(frame)
        if writer.transport.get_write_buffer_size() > _PIECE:
            try:
                async with asyncio.timeout(self.settings.timeout):
                    await writer.drain()
            except TimeoutError:
                silence = self.silent(post)
                await self.drop(silence)
                raise silence from None
            except OSError:
                pass  # the reading side reports it to all waiting calls
        return number

    async def _take(self, number: int) -> bytes:
        answer = self._answers[number]
        left = self.settings.timeout
        try:
            while True:
                done, _ = await asyncio.wait([answer], timeout=left)
                if done:
                    return answer.result()
                since = asyncio.get_running_loop().time() - self._heard
                left = (self.settings.timeout or 0) - since
                flight = self._flights.get(number)
                if left > 0 and flight and self._newest - flight.clock >= (self.settings.timeout or 0):
                    raise self.silent(flight.post)  # the server answers later requests, so this answer is lost
                if left <= 0:
                    silence = self.silent(flight.post if flight else None)
                    await self.drop(silence)
                    raise silence
        finally:
            if not answer.done():
                self.landed(number, error=asyncio.CancelledError("cancelled"))
                answer.cancel()
            self._answers.pop(number, None)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.closed:
            raise NetworkError("the client is closed", maybe_received=False)
        reasons = []
        for place in self.settings.places:
            try:
                return await self._greet(place)
            except KimberliteTimeout:
                reasons.append(self.mute(place))
            except KimberliteError:
                raise
            except TimeoutError:
                reasons.append(f"{place}: no connection within {self.settings.connect_timeout} s")
            except (OSError, EOFError) as error:
                reasons.append(f"{place}: {tls_reason(error) or reason_of(error)}")
        raise self.unreachable("; ".join(reasons))

    async def _greet(self, place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        tls = self.settings.tls
        options: dict[str, Any] = {} if tls is None else {"ssl": tls, "server_hostname": place.host}
        options["happy_eyeballs_delay"] = race(place.host)
        opening = asyncio.open_connection(place.host, place.port, limit=_PIECE, **options)
        # Not `wait_for`: before Python 3.12 it loses a cancellation that comes in the moment of the result.
        async with asyncio.timeout(self.settings.connect_timeout):
            reader, writer = await opening
        try:
            writer.write(self.hello())
            try:
                async with asyncio.timeout(self.settings.timeout):
                    payload = await self._receive(reader)
            except TimeoutError:
                raise self.silent() from None
            self.greeted(payload)
        except BaseException:
            writer.close()
            raise
        return reader, writer

    async def _receive(self, reader: asyncio.StreamReader) -> bytes:
        head = read_header(await reader.readexactly(HEADER_SIZE))
        assert head.length <= MAX_PAYLOAD
        pieces, left = [], head.length
        while left:
            piece = await reader.read(left)
            if not piece:
                raise EOFError("the server closed the connection inside a frame")
            # Only no byte at all counts as silence; a large frame on a slow line does not.
            self._heard = asyncio.get_running_loop().time()
            pieces.append(piece)
            left -= len(piece)
        payload = b"".join(pieces)
        check(payload, head)
        self._heard = asyncio.get_running_loop().time()
        return payload

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take frame after frame, to the end of the connection."""
        failure: KimberliteError
        try:
            while True:
                payload = await self._receive(reader)
                head = peek(payload)
                if head.kind == PUSH:
                    self._newest = time.perf_counter()
                    if self._on_push is not None:
                        self._on_push(decode(payload).payload)
                    continue
                if (flight := self._flights.get(head.id)) is not None:
                    self._newest = max(self._newest, flight.clock)
                self.arrived(head, payload)
                answer = self._answers.get(head.id)
                if answer is not None and not answer.done():
                    answer.set_result(payload)
        except WireError as error:
            failure = error
        except asyncio.IncompleteReadError:
            failure = self.lost("the server closed it")
        except (OSError, EOFError) as error:
            failure = self.lost(reason_of(error))
        if self._writer is writer:
            self._on_lost()
            await self.drop(failure)

    def _fail(self, error: KimberliteError | None) -> None:
        """Tell all who wait."""
        for number, answer in list(self._answers.items()):
            if answer.done():
                continue
            flight = self._flights.get(number)
            post = flight.post if flight else None
            failure = error
            if failure is None or type(failure) is NetworkError:
                reason = "it was closed here" if error is None else str(error.args[0]).rpartition("broke: ")[2]
                failure = self.lost(reason, post)
            self.landed(number, error=failure)
            answer.set_exception(failure)


_END = object()


async def _next(items: AsyncGenerator[Any, None]) -> Any:
    return await anext(items, _END)


async def _ended(items: AsyncGenerator[Any, None]) -> None:
    await items.aclose()


def _seen(answer: asyncio.Future[bytes]) -> None:
    """Ignore the failure of an answer that no caller waits for any more."""
    if not answer.cancelled():
        answer.exception()


class Crossing:
    """A connection for coroutines on other loops: cancelling one cancels its work on the background loop."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self.connection.closed

    @property
    def extensions(self) -> Extensions:
        """What the server does beyond the protocol."""
        return self.connection.extensions

    async def connect(self) -> None:
        """Connect now."""
        await across(self.connection.connect)

    async def run(self, operation: Operation[T]) -> T:
        """Return the operation's result."""
        result: T = await across(self.connection.run, operation)
        return result

    async def walk(self, operation: Walk) -> AsyncIterator[Any]:
        """Return the items that the operation emits."""
        items = self.connection.walk(operation)
        try:
            while (item := await across(_next, items)) is not _END:
                yield item
        finally:
            with contextlib.suppress(RuntimeError):  # a cancelled one ends by itself
                await across(_ended, items)

    async def close(self) -> None:
        """Close the connection."""
        self.connection.closed = True
        if self.connection.ours:
            await across(self.connection.close)

    def abandon(self) -> None:
        """Close the connection soon, without waiting for it."""
        connection = self.connection
        connection.closed = True
        if connection.ours and loop.running():
            with contextlib.suppress(RuntimeError):
                loop.start(connection.close)


async def across(function: Callable[..., Any], *args: Any) -> Any:
    """Return the result of a coroutine function that runs on the background loop."""
    return await asyncio.wrap_future(loop.start(function, *args))
