"""HTTP for the embedded servers: uvicorn's protocol on the lab's loop, one write per answer, loopback only."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ...core.http.loopback import is_foreign
from .faults import App, Message, Receive, Send

HOST = "127.0.0.1"
MAX_BODY = 64 * 1024 * 1024
MAX_HEAD = 64 * 1024
HEAD_SECONDS = 30.0
"""Seconds for the head of a request to arrive, from the start of the request or of the connection."""
_FLUSH_AT = 256 * 1024
_TOO_LARGE = b'{"error": "the request is too large"}'

logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
logging.getLogger("uvicorn.access").disabled = True


class OneWrite:
    """A transport that collects the writes of one turn of the loop and sends them at once.

    Head and body as two packets would cost a client 40 ms of delayed acknowledgement on a persistent connection.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size > _FLUSH_AT:
            # Above this size the transport's own flow control must handle it.
            self.flush()

    def flush(self) -> None:
        """Send what was gathered."""
        if self._parts:
            parts, self._parts, self._size = self._parts, [], 0
            if not self._transport.is_closing():
                self._transport.write(b"".join(parts) if len(parts) > 1 else parts[0])

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, with the limits that it lacks for the head of a request: in bytes and in seconds."""

    _head: int | None = 0
    """Bytes received since the current head began; None between heads."""
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(OneWrite(transport, self.loop))  # type: ignore[arg-type]
        self._late = self.loop.call_later(HEAD_SECONDS, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += len(data)
        super().data_received(data)
        if self._head is not None and self._head > MAX_HEAD and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
            self._end()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["kit.transport"] = self.transport  # type: ignore[typeddict-unknown-key]
        if self._head is None:
            self._head = 0
            self._late = self.loop.call_later(HEAD_SECONDS, self._end)

    def on_headers_complete(self) -> None:
        self._in_time()
        self._head = None
        super().on_headers_complete()

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _end(self) -> None:
        self._in_time()
        self.transport.close()


class OnLoopback:
    """What listens on loopback, and where."""

    _server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None, "not listening"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


class WebServer(OnLoopback):
    """An ASGI app listening on loopback."""

    def __init__(self, app: App, port: int = 0) -> None:
        self._config = uvicorn.Config(
            Guarded(app),
            http=_Protocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=120,
        )
        self._state = ServerState()
        self._wanted = port

    async def start(self) -> None:
        self._config.load()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Protocol(self._config, self._state, {}, loop), sock=listening_socket(self._wanted)
        )

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        # Endless streams are ended with their tasks.
        for task in list(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)


def listening_socket(port: int = 0) -> socket.socket:
    """Return a bound socket on loopback, on the port or on any free one."""
    # With an explicit protocol number: only then does asyncio set TCP_NODELAY on its connections.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
    except OSError:
        sock.close()
        raise
    return sock


class Guarded:
    """Refuses requests that a foreign web page could send (by `Host` or `Origin`), and bodies beyond the limit."""

    def __init__(self, app: App, max_body: int = MAX_BODY) -> None:
        self._app = app
        self._max_body = max_body

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if is_foreign(host, origin):
            return await self._refuse(scope, send, 403, b'{"error": "this server answers its own machine only"}')
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_body:
            return await self._refuse(scope, send, 413, _TOO_LARGE)
        bounded = _Bounded(receive, send, self._max_body)
        await self._app(scope, bounded.receive, bounded.send)
        if bounded.over and not bounded.answered:
            await self._refuse(scope, send, 413, _TOO_LARGE)

    async def _refuse(self, scope: Any, send: Send, status: int, body: bytes) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


class _Bounded:
    """A request whose body does not state its length. Beyond the limit the app is told that its client is gone, and its
    answer to that is not sent."""

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive, self._send, self._left = receive, send, limit
        self.answered = False

    @property
    def over(self) -> bool:
        return self._left < 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        return {"type": "http.disconnect"} if self.over else message

    async def send(self, message: Message) -> None:
        if not self.over or self.answered:
            self.answered = True
            await self._send(message)
