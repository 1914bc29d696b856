"""Sockets of callers that block: while one waits, the loop runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .loop import Loop


class _Received(asyncio.Protocol):
    """What came and was not taken yet."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.over = False
        self.error: Exception | None = None

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> bool:
        self.over = True
        return True  # a socket stays open for writing until its owner closes it

    def connection_lost(self, exc: Exception | None) -> None:
        self.over, self.error = True, exc


class Socket:
    """A connected socket."""

    def __init__(self, loop: Loop, port: int, timeout: float | None) -> None:
        self._loop = loop
        self._received = _Received()
        self._timeout = timeout
        opening = loop.create_task(loop.network.connect(lambda: self._received, port))
        try:
            there = loop.until(opening.done, timeout)
        except BaseException:
            opening.cancel()
            raise
        if not there:
            opening.cancel()
            raise TimeoutError("timed out")
        self._end, _ = opening.result()

    def gettimeout(self) -> float | None:
        return self._timeout

    def settimeout(self, seconds: float | None) -> None:
        self._timeout = seconds

    def setblocking(self, blocks: bool) -> None:
        self._timeout = None if blocks else 0.0

    def setsockopt(self, *option: Any) -> None:
        pass

    def fileno(self) -> int:
        return -1 if self._end.closed else 10**6

    @property
    def readable(self) -> bool:
        """Whether there is something to take, or the end."""
        return bool(self._received.data) or self._received.over

    @property
    def has_room(self) -> bool:
        """Whether more can be sent."""
        return self._end.is_closing() or not self._end.get_write_buffer_size()

    def wait(self, seconds: float | None, writing: bool = False) -> bool:
        """Wait until there is something to take, or room to send; return whether there is."""
        return self._loop.until(lambda: self.readable or (writing and self.has_room), seconds)

    def recv(self, size: int) -> bytes:
        if not self.readable and self._timeout == 0.0:
            raise BlockingIOError
        if not self.wait(self._timeout):
            raise TimeoutError("timed out")
        received = self._received
        if not received.data and received.error is not None:
            raise received.error
        data = bytes(received.data[:size])
        del received.data[:size]
        return data

    def recv_into(self, buffer: Any, size: int = 0) -> int:
        data = self.recv(size or len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def send(self, data: Any) -> int:
        if self._end.is_closing():
            raise BrokenPipeError(32, "broken pipe")
        if self._timeout == 0.0 and not self.has_room:
            raise BlockingIOError
        self._end.write(data)
        if self._timeout != 0.0 and not self._loop.until(lambda: self.has_room, self._timeout):
            raise TimeoutError("timed out")
        return len(data)

    sendall = send

    def shutdown(self, how: int) -> None:
        self._end.write_eof()

    def close(self) -> None:
        self._end.close()


def select_ready(sock: Socket, writing: bool, timeout: float) -> tuple[bool, bool, None]:
    """Return whether there is something to read, and room to write."""
    sock.wait(timeout, writing)
    return sock.readable, writing and sock.has_room, None
