"""HTTP/1.1 on one connection, with answers that may begin before the request has ended."""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Any

import httptools

from .exchange import App, Exchange, Gone, Headers

HEAD_SECONDS = 30.0
"""Seconds for a request's head to arrive, once it has begun, and for the rest of an unread body."""
IDLE_SECONDS = 300.0
"""Seconds of silence between requests."""
MAX_HEAD = 64 * 1024
MAX_QUEUED = 4 * 1024 * 1024
"""Bytes of a body that wait for the handler; above this, reading from the socket pauses."""
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Http1:
    """The server's side of a connection: one exchange after the other."""

    def __init__(self, transport: Any, app: App) -> None:
        self.transport = transport
        self._app = app
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[_Message] = deque()
        self._current: _Message | None = None
        self._reading: _Message | None = None
        self._task: asyncio.Task[None] | None = None
        self._target = b""
        self._headers: dict[str, str] = {}
        self._head_size = 0
        self._queued = 0
        self._paused = False
        self.writable = asyncio.Event()
        self.writable.set()
        self._timer: asyncio.TimerHandle | None = None
        self._close_after(HEAD_SECONDS)

    def received(self, data: bytes) -> None:
        """Take bytes that arrived."""
        while data:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as error:
                # Upgrades are not supported; the request is answered as any other.
                data = data[error.args[0] :]
            except httptools.HttpParserError:
                self._refuse(431 if self._head_size > MAX_HEAD else 400)
                return

    def lost(self) -> None:
        """Note that the connection is gone."""
        self._calm()
        for message in (self._current, self._reading):
            if message is not None:
                message.lost()
        if self._task is not None:
            self._task.cancel()
        self._waiting.clear()
        self.writable.set()

    def shut(self) -> list[asyncio.Task[None]]:
        """End all exchanges; return the tasks that are still running."""
        if self._task is None:
            return []
        self._task.cancel()
        return [self._task]

    def on_message_begin(self) -> None:
        self._target, self._headers, self._head_size = b"", {}, 0
        self._close_after(HEAD_SECONDS)

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        self._calm()
        message = _Message(
            self,
            self._parser.get_method().decode("latin-1"),
            self._target.decode("latin-1"),
            self._headers,
            self._parser.should_keep_alive(),
            self._parser.get_http_version() != "1.0",
        )
        self._reading = message
        if self._current is None:
            self._begin(message)
        else:
            self._waiting.append(message)

    def on_body(self, body: bytes) -> None:
        assert self._reading is not None
        self._queued += len(body)
        self._reading.fed(body)
        self._breathe()

    def on_message_complete(self) -> None:
        if self._reading is not None:
            message, self._reading = self._reading, None
            message.fed_all()
            if message is self._current and message.finished:
                self._next()

    def _count(self, size: int) -> None:
        self._head_size += size
        if self._head_size > MAX_HEAD:
            raise ValueError("the head is too large")

    def _begin(self, message: _Message) -> None:
        self._current = message
        self._task = asyncio.get_running_loop().create_task(self._serve(message))

    async def _serve(self, message: _Message) -> None:
        try:
            await self._app(message)
        except Gone:
            pass
        finally:
            if not message.finished:
                message.abort()
            message.discard()
            self._task = None
            if message is not self._reading:
                self._next()
            else:
                # The rest of the body is read and dropped, for a limited time.
                self._close_after(HEAD_SECONDS)

    def _next(self) -> None:
        """Continue after an exchange: with a waiting request, or by waiting a while for another."""
        if self._task is not None or self._current is None:
            return
        message, self._current = self._current, None
        self._calm()
        if not message.keeps:
            self.transport.close()
        elif self._waiting:
            self._begin(self._waiting.popleft())
            self._breathe()
        else:
            self._close_after(IDLE_SECONDS)

    def _close_after(self, seconds: float) -> None:
        self._calm()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.transport.close)

    def _calm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int) -> None:
        if self._current is None or not self._current.started:
            self.transport.write(
                f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
            )
        self.transport.close()

    def taken(self, size: int) -> None:
        self._queued -= size
        self._breathe()

    def _breathe(self) -> None:
        """Read from the socket only while there is room."""
        if self.transport.is_closing():
            return
        if not self._paused and (self._queued > MAX_QUEUED or self._waiting):
            self._paused = True
            self.transport.pause_reading()
        elif self._paused and self._queued <= MAX_QUEUED // 2 and not self._waiting:
            self._paused = False
            self.transport.resume_reading()


class _Message(Exchange):
    def __init__(
        self, connection: Http1, method: str, target: str, headers: Headers, keeps: bool, chunks: bool
    ) -> None:
        super().__init__(method, target, headers, connection.transport)
        self._connection = connection
        self.keeps = keeps
        """Whether the connection may be used again."""
        self._may_chunk = chunks
        self._chunked = False
        self._asked = headers.get("expect", "").lower() == "100-continue"

    async def send_uncut(self, data: bytes) -> None:
        await self._connection.writable.wait()
        if self.gone or self.transport.is_closing():
            raise Gone
        if self._chunked:
            self.transport.write(b"%x\r\n" % len(data))
            self.transport.write(data)
            self.transport.write(b"\r\n")
        else:
            self.transport.write(data)
        if len(data) >= MAX_HEAD:
            await asyncio.sleep(0)

    def push(self) -> None:
        self.transport.flush()

    def abort(self) -> None:
        self.finished = True
        self.keeps = False
        if not self.transport.is_closing() and self.transport.get_write_buffer_size():
            # The buffered bytes are never read; waiting for that would never end.
            self.transport.abort()
        self.transport.close()

    def _wants_more(self) -> None:
        if self._asked and not self.started:
            self._asked = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _taken(self, size: int) -> None:
        self._connection.taken(size)

    def _send_head(self, status: int, headers: Headers, length: int | None) -> None:
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, '')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if length is not None:
            if status != 204:
                lines.append(f"content-length: {length}")
        elif self._may_chunk:
            self._chunked = True
            lines.append("transfer-encoding: chunked")
        else:
            self.keeps = False
        if not self.keeps:
            lines.append("connection: close")
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def _send_end(self) -> None:
        if self._chunked:
            self.transport.write(b"0\r\n\r\n")
