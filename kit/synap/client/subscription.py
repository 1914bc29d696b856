"""Published messages as they arrive: over a WebSocket, or over SynapRPC if that does not work.

The released server is expected to refuse its own WebSockets with status 500; the client remembers which of the two
works. Either connection is kept alive from this side, and opened again when it breaks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ...core import loop
from ...core.html import one_line
from ...core.http.proxies import socket_proxy
from ...core.http.retry import grown
from ...core.processes import OfOneProcess, check_process
from ...core.secrets import logger_without_headers, revealed
from ..errors import SynapError, SynapTransportError, SynapWireError, refusal, unauthorized
from ..types import TopicMessage
from ..wire.frames import read_answer
from .async_connection import AsyncConnection
from .driver import http_settings

if TYPE_CHECKING:
    import pyarrow as pa

PING_SOCKET, PING_RPC = 30.0, 60.0
"""Seconds between pings; the server disconnects a SynapRPC client after five minutes without a frame."""
_MAX_MESSAGE = 64 * 1024 * 1024
_FIRST, _LONGEST = 0.4, 10.0
_NO_SOCKETS = (
    "the released server's WebSockets do not work: give rpc_url=synap://host:port, the address of its SynapRPC (port"
    " 15501 unless it was moved), and messages come over that"
)


class Mailbox:
    """Messages that wait for their reader. It is bounded: the oldest are dropped and counted."""

    def __init__(self, room: int) -> None:
        self.waiting: deque[TopicMessage] = deque(maxlen=room)
        self._news = asyncio.Event()
        self.dropped = 0

    def put(self, message: TopicMessage) -> None:
        self.dropped += len(self.waiting) == self.waiting.maxlen
        self.waiting.append(message)
        self._news.set()

    def wake(self) -> None:
        self._news.set()

    async def take(self) -> list[TopicMessage]:
        """Return all waiting messages; empty once the connection has ended."""
        await self._news.wait()
        self._news.clear()
        taken = list(self.waiting)
        self.waiting.clear()
        return taken


class Subscription(OfOneProcess):
    """Messages of topics: iterate over it, with `async for` or `for`, or over `batches()`."""

    def __init__(self, driver: Any, topics: list[str], room: int) -> None:
        self._driver = driver
        self.topics = topics
        self._room = room
        self.gaps = 0
        """How often the connection was made again; what was published in between did not come."""
        self.dropped = 0
        """Messages that were dropped here because they were not read in time."""
        self.transport = ""
        """"websocket" or "synaprpc", once it is connected."""
        self._closed = False
        self._tasks: set[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = set()

    def __aiter__(self) -> AsyncIterator[TopicMessage]:
        return self._messages()

    def __iter__(self) -> Iterator[TopicMessage]:
        """Return the same for callers that block; the connection lives on the background loop."""
        messages, pid = self._messages(), os.getpid()

        async def following() -> TopicMessage | None:
            return await anext(messages, None)

        async def end() -> None:
            await messages.aclose()

        try:
            while (message := loop.call(following)) is not None:
                yield message
                check_process(pid, "a subscription")
        finally:
            # If it is collected on the background loop itself, that loop ends it and must not wait for it.
            if pid == os.getpid():
                with contextlib.suppress(RuntimeError):
                    loop.call(end)

    async def _messages(self) -> AsyncGenerator[TopicMessage, None]:
        batches = self.batches()
        try:
            async for batch in batches:
                for message in batch:
                    yield message
        finally:
            await batches.aclose()

    async def batches(self) -> AsyncGenerator[list[TopicMessage], None]:
        """Yield lists of the messages that came since the last one. The connection ends with the iterator.

        An empty list comes first, once the subscription stands.
        """
        failures = 0
        connected = False
        while not self._is_closed():
            box = Mailbox(self._room)
            try:
                async with self._connection(box) as lost:
                    self.gaps += connected
                    connected, failures = True, 0
                    yield []
                    while not lost.done() or box.waiting:
                        batch = await box.take()
                        self.dropped += box.dropped
                        box.dropped = 0
                        if batch:
                            yield batch
                        if self._is_closed():
                            return
            except SynapError as error:
                if not connected or not isinstance(error, SynapTransportError) or isinstance(error, SynapWireError):
                    raise
            if self._is_closed():
                return
            failures += 1
            await asyncio.sleep(grown(_FIRST, _LONGEST, failures) * random.uniform(0.5, 1.0))

    async def tables(self) -> AsyncGenerator[pa.Table, None]:
        """Return the same as `batches()` in columns: time (whole seconds, of the server), topic, id, data (as JSON)."""
        from ..wire.columns import topic_table

        batches = self.batches()
        try:
            async for batch in batches:
                yield topic_table(batch)
        finally:
            await batches.aclose()

    def _is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """End the iteration, from any thread."""
        self._closed = True
        for owner, task in list(self._tasks):
            with contextlib.suppress(RuntimeError):
                owner.call_soon_threadsafe(task.cancel)

    @contextlib.asynccontextmanager
    async def _connection(self, box: Mailbox) -> AsyncIterator[asyncio.Future[Any]]:
        """Open a connection that fills the mailbox; return a future of its end."""
        driver = self._driver
        # The address of a WebSocket separates topics by commas.
        commas = any("," in topic for topic in self.topics)
        if driver.sockets is not False and not commas:
            async with contextlib.AsyncExitStack() as stack:
                try:
                    socket = await self._socket(stack)
                except SynapError as error:
                    if driver.settings.rpc is None and error.status_code != 401:
                        error.hint = _NO_SOCKETS
                    if driver.sockets or driver.settings.rpc is None or error.status_code == 401:
                        raise
                    socket = None
                if socket is not None:
                    driver.sockets, self.transport = True, "websocket"
                    async with self._pumping(self._from_socket(socket, box), box) as task:
                        yield task
                    return
        async with contextlib.AsyncExitStack() as stack:
            rpc = AsyncConnection(driver.settings, driver.settings.rpc, lambda value: box.put(_pushed(value)))
            stack.push_async_callback(rpc.close)
            connection = await rpc.connect()
            identity = await _call(rpc, "SUBSCRIBE", self.topics)
            stack.push_async_callback(_unsubscribe, rpc, identity)
            if not driver.settings.native and not commas:
                driver.sockets = False
            self.transport = "synaprpc"
            async with self._pumping(_keep_alive(rpc, connection), box) as task:
                yield task

    @contextlib.asynccontextmanager
    async def _pumping(self, work: Any, box: Mailbox) -> AsyncIterator[asyncio.Task[Any]]:
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda _: box.wake())
        entry = (asyncio.get_running_loop(), task)
        self._tasks.add(entry)
        if self._closed:
            task.cancel()
        try:
            yield task
        finally:
            self._tasks.discard(entry)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _socket(self, stack: contextlib.AsyncExitStack) -> Any:
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidStatus, WebSocketException

        settings = self._driver.settings
        reached, credential = http_settings(settings), settings.header()
        url = f"{settings.socket_url}/pubsub/ws?topics={quote(','.join(self.topics), safe='')}"
        failure: SynapError
        try:
            socket = await connect(
                url,
                additional_headers=revealed({"authorization": credential}) if credential else None,
                open_timeout=settings.connect_timeout,
                ping_interval=PING_SOCKET,
                close_timeout=1,
                max_size=_MAX_MESSAGE,
                compression=None,
                logger=logger_without_headers(),
                ssl=reached.context(),
                **socket_proxy(reached.origin),
            )
            stack.push_async_callback(socket.close)
            try:
                async with asyncio.timeout(settings.timeout):
                    first = _frame(await socket.recv())
            except TimeoutError:
                raise _unavailable(f"no answer within {settings.timeout} s") from None
            if first.get("type") == "connected":
                return socket
            failure = refusal(str(first.get("error", "the subscription was refused")), op="subscribe")
        except SynapError:
            raise
        except InvalidStatus as error:
            status = error.response.status_code
            failure = unauthorized("subscribe") if status == 401 else _unavailable(f"status {status}", status)
        except (OSError, TimeoutError, WebSocketException) as error:
            failure = _unavailable(str(error) or type(error).__name__)
        raise failure

    async def _from_socket(self, socket: Any, box: Mailbox) -> None:
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed, SynapWireError):
            while True:
                frame = _frame(await socket.recv())
                if frame.get("type") == "message":
                    box.put(_received(frame))

    def __repr__(self) -> str:
        over = f" over {self.transport}" if self.transport else ""
        return one_line(f"<Subscription to {', '.join(self.topics)[:80]}{over}>")


def _unavailable(reason: str, status: int | None = None) -> SynapTransportError:
    return SynapTransportError(f"the WebSocket could not be opened: {reason}", status, op="subscribe")


def _frame(text: Any) -> dict[str, Any]:
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        frame = None
    if not isinstance(frame, dict):
        raise SynapWireError("a frame that is not one of Synap", op="subscribe")
    return frame


def _received(fields: dict[str, Any]) -> TopicMessage:
    stamp, metadata = fields.get("timestamp"), fields.get("metadata")
    return TopicMessage(
        str(fields.get("topic", "")),
        fields.get("payload"),
        str(fields.get("message_id", "")),
        stamp if isinstance(stamp, int) else 0,
        metadata if isinstance(metadata, dict) else None,
    )


def _pushed(value: Any) -> TopicMessage:
    """Return a push of SynapRPC, whose payload is JSON text."""
    fields = value if isinstance(value, dict) else {}
    payload, stamp = fields.get("payload"), fields.get("timestamp")
    if isinstance(payload, str):
        with contextlib.suppress(ValueError, RecursionError):
            payload = json.loads(payload)
    return TopicMessage(
        str(fields.get("topic", "")), payload, str(fields.get("id", "")), stamp if isinstance(stamp, int) else 0
    )


async def _call(rpc: AsyncConnection, command: str, args: list[str]) -> str:
    """Subscribe, on the connection that is there; the subscriber's id."""
    [body] = await rpc.calls([(command, tuple(args))], safe=False)
    if isinstance(body, SynapError):
        raise body
    _, good, value = read_answer(body)
    if not good:
        raise refusal(str(value), op="subscribe")
    return str(value.get("subscriber_id", "")) if isinstance(value, dict) else ""


async def _unsubscribe(rpc: AsyncConnection, identity: str) -> None:
    """Unsubscribe: the server does not notice by itself that a subscriber is gone."""
    connection = rpc.connection
    if connection is not None and connection.open:
        with contextlib.suppress(SynapError, TimeoutError):
            async with asyncio.timeout(1):
                await rpc.calls([("UNSUBSCRIBE", (identity,))], safe=False)


async def _keep_alive(rpc: AsyncConnection, connection: Any) -> None:
    while not connection.lost.done():
        await asyncio.wait([connection.lost], timeout=PING_RPC)
        if connection.lost.done():
            return
        [body] = await rpc.calls([("PING", ())], safe=True)
        if isinstance(body, SynapError):
            return
