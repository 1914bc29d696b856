"""The sockets under the transport: one send per request, and pieces as large as they arrive.

The transport writes a request's head and body one after the other and asks for 64 KiB at a time. What each of these
costs on its way is the larger part of a small call, and of a large answer; here they are gathered. The async side
stands on asyncio's own transports, as two turns of the loop for a call are faster than seven.

The transport's parser gets the head of an answer and nothing behind it until it asks for more. So the body of a large
answer can be read past it: `body` does so, and leaves the parser an end that it understands.
"""

from __future__ import annotations

import asyncio
import ipaddress
import select
import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, cast

import httpcore

from .chunked import Framing

_PIECE = 64 * 1024
_LARGEST = 1024 * 1024


class _Gathered:
    """Bytes that were written and not sent yet."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> bool:
        """Return whether so much waits now that it should be sent."""
        if data:
            self._parts.append(data)
            self._size += len(data)
        return self._size > _PIECE

    def take(self) -> bytes:
        parts, self._parts, self._size = self._parts, [], 0
        return parts[0] if len(parts) == 1 else b"".join(parts)


class _Heads:
    """Separates heads from bodies in what is received."""

    def __init__(self) -> None:
        self.rest = b""
        """What came behind a head and was not asked for yet."""
        self.alone = False
        """Whether the newest head of an answer is all that the parser has got."""
        self.surplus = False
        """Whether more has come than the answer. The next answer would begin with it, so there must be none."""
        self._left: int | None = None
        self._scanned: bytearray | None = None

    def sent(self) -> None:
        """Note that a request was sent: what comes next begins with a head."""
        self._scanned, self.alone, self._left = bytearray(), False, None

    def expect(self, length: int) -> None:
        """Note how many bytes the body behind the newest head has."""
        self._left = length
        self.rest = self._bounded(self.rest)

    def kept(self) -> bytes:
        """Return what is there already; empty where it has to be received."""
        self.alone = False
        kept, self.rest = self.rest, b""
        return kept

    def _bounded(self, data: bytes) -> bytes:
        if self._left is None:
            return data
        if len(data) > self._left:
            data, self.surplus = data[: self._left], True
        self._left -= len(data)
        return data

    def head(self, data: bytes) -> bytes:
        """Return the data as far as the head of an answer goes."""
        seen = self._scanned
        if seen is None:
            return self._bounded(data)
        before = len(seen)
        seen += data
        start = 0
        while (end := seen.find(b"\r\n\r\n", max(start, before - 3))) >= 0:
            # After a provisional answer the real one follows.
            if seen[start : start + 12].partition(b" ")[2][:1] != b"1":
                self._scanned, self.alone = None, True
                cut = end + 4 - before
                self.rest = data[cut:]
                return data[:cut]
            start = end + 4
        if start or len(seen) > _PIECE:
            self._scanned = None  # unusual, so it goes as it comes
        return data


# --- blocking -------------------------------------------------------------------------------------------------------


class Network(httpcore.SyncBackend):
    """Blocking sockets."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        return BlockingStream(super().connect_tcp(host, port, timeout, local_address, socket_options))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        return BlockingStream(super().connect_unix_socket(path, timeout, socket_options))


class BlockingStream(httpcore.NetworkStream):
    """A connection, and what is gathered for it."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner
        self._gathered = _Gathered()
        self._heads = _Heads()
        self._timeout: float | None = None
        self._size = _PIECE

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._timeout = timeout
        if self._gathered.add(buffer):
            self._send()

    def _send(self) -> None:
        if waiting := self._gathered.take():
            self._heads.sent()
            self._inner.write(waiting, self._timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            self._send()
        except httpcore.WriteError:
            pass  # the peer may have answered, say with a refusal, before it had heard all
        return self._heads.kept() or self._heads.head(self._received(max_bytes, timeout))

    @property
    def at_body(self) -> bool:
        """Whether the parser has got the head of an answer, and nothing behind it."""
        return self._heads.alone

    def expect(self, length: int) -> None:
        """Note how many bytes the body has; a connection on which more comes is not used again."""
        self._heads.expect(length)

    def body(self, framing: Framing, timeout: float | None) -> Iterator[bytes]:
        """Return the pieces of the body, read past the parser."""
        data = self._heads.kept()
        while True:
            if data:
                yield from framing.feed(data)
            if framing.over:
                break
            data = self._received(_PIECE, timeout)
            if not data:
                raise httpcore.RemoteProtocolError("the connection ended before the body was whole")
        self._heads.rest = framing.end

    def _received(self, max_bytes: int, timeout: float | None) -> bytes:
        data = self._inner.read(max(max_bytes, self._size), timeout)
        # More while it comes, less when it does not: what is asked for has to be allocated.
        if len(data) >= self._size:
            self._size = min(self._size * 2, _LARGEST)
        elif len(data) < self._size // 8:
            self._size = max(self._size // 2, _PIECE)
        return data

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        self._send()
        return BlockingStream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable" and self._heads.surplus:
            return True
        return self._inner.get_extra_info(info)


# --- asyncio --------------------------------------------------------------------------------------------------------


class AsyncNetwork(httpcore.AsyncNetworkBackend):
    """Sockets of the running event loop."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        protocol = _Protocol()
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().create_connection(
                    lambda: protocol,
                    host,
                    port,
                    local_addr=None if local_address is None else (local_address, 0),
                    # One address has nothing to race with; and whoever is cancelled in a race may lose its socket.
                    happy_eyeballs_delay=None if _is_number(host) else 0.25,
                )
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from None
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from None
        sock = protocol.transport.get_extra_info("socket")
        for option in socket_options or ():
            sock.setsockopt(*option)
        return LoopStream(protocol)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("an address of a file cannot be connected to")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _is_number(host: str) -> bool:
    """Return whether a host is an address, and no name that may have several."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _Protocol(asyncio.Protocol):
    """One connection as the event loop sees it."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ended = False
        self.error: Exception | None = None
        self._waiting = 0
        self._held = False
        self.full = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        self._waiting += len(data)
        if self._waiting >= _LARGEST and not self._held:
            self._held = True
            self.transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        self.ended = True
        _wake(self._reader)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended, self.error = True, exc
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        _wake(self._writer)

    async def arrival(self) -> None:
        """Wait until there is something, or nothing will come any more."""
        while not self.pieces and not self.ended:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    async def room(self) -> None:
        """Wait until more can be written."""
        while self.full and not self.ended:
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._writer
            finally:
                self._writer = None

    def take(self) -> bytes:
        """Return all that has come."""
        pieces, self.pieces, self._waiting = self.pieces, [], 0
        if self._held:
            self._held = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


class LoopStream(httpcore.AsyncNetworkStream):
    """A connection on the loop, and what is gathered for it."""

    def __init__(self, protocol: _Protocol) -> None:
        self._protocol = protocol
        self._gathered = _Gathered()
        self._heads = _Heads()
        self._timeout: float | None = None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._timeout = timeout
        if self._gathered.add(buffer):
            await self._send()

    async def _send(self) -> None:
        if not (waiting := self._gathered.take()):
            return
        self._heads.sent()
        if self._protocol.ended:
            raise httpcore.WriteError("the connection was closed")
        self._protocol.transport.write(waiting)
        if self._protocol.full:
            try:
                async with asyncio.timeout(self._timeout):
                    await self._protocol.room()
            except TimeoutError as error:
                raise httpcore.WriteTimeout(str(error)) from None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            await self._send()
        except httpcore.WriteError:
            pass  # as above
        return self._heads.kept() or self._heads.head(await self._received(timeout))

    @property
    def at_body(self) -> bool:
        """Whether the parser has got the head of an answer, and nothing behind it."""
        return self._heads.alone

    def expect(self, length: int) -> None:
        """Note how many bytes the body has; a connection on which more comes is not used again."""
        self._heads.expect(length)

    async def body(self, framing: Framing, timeout: float | None) -> AsyncIterator[bytes]:
        """Return the pieces of the body, read past the parser."""
        data = self._heads.kept()
        while True:
            if data:
                for piece in framing.feed(data):
                    yield piece
            if framing.over:
                break
            data = await self._received(timeout)
            if not data:
                raise httpcore.RemoteProtocolError("the connection ended before the body was whole")
        self._heads.rest = framing.end

    async def _received(self, timeout: float | None) -> bytes:
        protocol = self._protocol
        if not protocol.pieces:
            try:
                async with asyncio.timeout(timeout):
                    await protocol.arrival()
            except TimeoutError as error:
                raise httpcore.ReadTimeout(str(error)) from None
            if not protocol.pieces and protocol.error is not None:
                raise httpcore.ReadError(str(protocol.error)) from None
        return protocol.take()

    async def aclose(self) -> None:
        transport = self._protocol.transport
        if transport.get_extra_info("ssl_object") is None:
            transport.close()
        else:
            transport.abort()  # a farewell by TLS's rules would wait for the peer's
        # Closing is done in the loop's next turn, and there may be none after this call.
        await asyncio.sleep(0)

    async def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        await self._send()
        protocol = _Protocol()
        try:
            async with asyncio.timeout(timeout):
                transport = await asyncio.get_running_loop().start_tls(
                    self._protocol.transport, protocol, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from None
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from None
        assert transport is not None
        protocol.transport = transport
        return LoopStream(protocol)

    def get_extra_info(self, info: str) -> Any:
        transport = self._protocol.transport
        if info == "is_readable":
            # Whether an idle connection was closed by its peer, or has something on it that nobody asked for.
            if self._heads.surplus:
                return True
            return self._protocol.ended or bool(self._protocol.pieces) or _readable(transport.get_extra_info("socket"))
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return transport.get_extra_info(names.get(info, info))


def _readable(sock: socket.socket | None) -> bool:
    descriptor = -1 if sock is None else sock.fileno()
    if descriptor < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
