"""One port on loopback for HTTP/1.1 and HTTP/2: the first bytes of a connection tell which one it is."""

from __future__ import annotations

import asyncio
from typing import Any

from ...common.web import OneWrite, OnLoopback, listening_socket
from .exchange import App
from .http1 import HEAD_SECONDS, Http1
from .http2 import PREFACE, Http2


class Listener(OnLoopback):
    """Accepts connections and serves an app on them."""

    def __init__(self, app: App, port: int = 0) -> None:
        self._app = app
        self._wanted = port
        self._connections: set[_Connection] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self._app, self._connections), sock=listening_socket(self._wanted), backlog=512
        )

    async def stop(self) -> None:
        """Accept no more connections, and end the open ones."""
        if self._server is None:
            return
        self._server.close()
        connections = list(self._connections)
        ending = [task for connection in connections for task in connection.shut()]
        await asyncio.gather(*ending, return_exceptions=True)
        for connection in connections:
            connection.close()


class _Connection(asyncio.Protocol):
    def __init__(self, app: App, everyone: set[_Connection]) -> None:
        self._app = app
        self._everyone = everyone
        self._http: Http1 | Http2 | None = None
        self._seen = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        loop = asyncio.get_running_loop()
        self._transport = OneWrite(transport, loop)
        self._transport.set_write_buffer_limits(high=1024 * 1024)
        self._timer = loop.call_later(HEAD_SECONDS, self._transport.close)
        self._everyone.add(self)

    def data_received(self, data: bytes) -> None:
        if self._http is None:
            data = self._seen + data
            if len(data) < len(PREFACE) and PREFACE.startswith(data):
                self._seen = data
                return
            self._timer.cancel()
            two = data.startswith(PREFACE)
            self._http = (Http2 if two else Http1)(self._transport, self._app)
        self._http.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._everyone.discard(self)
        if self._http is not None:
            self._http.lost()

    def pause_writing(self) -> None:
        if self._http is not None:
            self._http.writable.clear()

    def resume_writing(self) -> None:
        if self._http is not None:
            self._http.writable.set()

    def shut(self) -> list[asyncio.Task[None]]:
        return [] if self._http is None else self._http.shut()

    def close(self) -> None:
        self._transport.close()
