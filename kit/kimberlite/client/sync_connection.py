"""The connection of the blocking client: a plain socket that several threads may use in turn.

An answer whose caller is gone is read and dropped; a connection that was left in the middle of a frame is not used
again. The next request opens a new one, so the client stays usable after an interrupt, a server's restart or a fork.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import socket
import threading
from io import BytesIO
from typing import Any

from ...core.http.connections import dialled
from ...core.http.drivers import BlockingDriver, OpenHandles
from ..errors import KimberliteError, NetworkError, TimeoutError, WireError
from ..wire.framing import HEADER_SIZE, check, read_header
from ..wire.protocol.codec import RESPONSE, peek
from .address import Settings
from .connection_base import ConnectionBase, reason_of, tls_reason
from .operations import Post, Take


class SyncConnection(ConnectionBase, BlockingDriver):
    """A blocking connection that several threads may use in turn."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._sock: socket.socket | None = None
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._answers: dict[int, bytes] = {}

    def connect(self) -> None:
        """Connect now, if there is no connection."""
        with self._own():
            self._connected()

    def close(self) -> None:
        """Close the connection; may be called twice, and while another thread waits for an answer."""
        self.closed = True
        self._own()  # in a fork this leaves the parent's connection alone, which a shutdown would end
        self._drop()

    def _own(self) -> threading.RLock:
        if self._pid != os.getpid():
            # A forked child shares the parent's socket; if both read from it, each gets a part.
            self._pid, self._lock = os.getpid(), threading.RLock()
            if self._sock is not None:
                self._sock.close()
                self._sock = None
            self._flights.clear()
            self._answers.clear()
        return self._lock

    def do(self, step: Any, open_handles: OpenHandles) -> Any:
        with self._own():
            try:
                if isinstance(step, Post):
                    number = self._post(step)
                    open_handles.append(number)
                    return number
                if step.number in open_handles:
                    open_handles.remove(step.number)
                return self._take(step)
            except KimberliteError:
                raise
            except BaseException:
                # Interrupted in the middle of a frame: the start of the next one is unknown.
                self._drop()
                raise

    def release(self, handle: Any) -> None:
        self._answers.pop(handle, None)
        self.landed(handle, error=KimberliteError("the caller left before the answer"))

    def _post(self, post: Post) -> int:
        number, frame = self.frame(post)
        sock = self._connected()
        self.sent(number, post, len(frame))
        try:
            self._send(sock, number, frame)
        except TimeoutError as error:
            self.landed(number, error=error)
            self._drop()
            raise
        except OSError as error:
            failure = self.lost(reason_of(error), post)
            self.landed(number, error=failure)
            self._drop()
            raise failure from None
        return number

    def _send(self, sock: socket.socket, number: int, frame: bytes) -> None:
        try:
            sock.sendall(frame)
        except builtins.TimeoutError:
            raise self.silent(self._flights[number].post) from None

    def _take(self, take: Take) -> bytes:
        number = take.number
        while number not in self._answers:
            flight = self._flights.get(number)
            if flight is None or flight.generation != self.generation or self._sock is None:
                failure = self.lost("it was lost before the answer", flight and flight.post)
                self.landed(number, error=failure)
                raise failure
            try:
                payload = self._receive(self._sock)
            except builtins.TimeoutError:
                silence = self.silent(flight.post)
                self.landed(number, error=silence)
                self._drop()
                raise silence from None
            except WireError as error:
                self.landed(number, error=error)
                self._drop()
                error.op = flight.post.op
                raise
            except (OSError, EOFError) as error:
                failure = self.lost(reason_of(error), flight.post)
                self.landed(number, error=failure)
                self._drop()
                raise failure from None
            head = peek(payload)
            if head.kind == RESPONSE and head.id in self._flights:
                self.arrived(head, payload)
                self._answers[head.id] = payload
        return self._answers.pop(number)

    def _connected(self) -> socket.socket:
        if self._sock is None:
            self._answers.clear()
            self._sock = self._open()
            self.generation += 1
        return self._sock

    def _open(self) -> socket.socket:
        if self.closed:
            raise NetworkError("the client is closed", maybe_received=False)
        reasons = []
        for place in self.settings.places:
            try:
                sock = dialled(place.host, place.port, self.settings.connect_timeout)
            except OSError as error:
                reasons.append(f"{place}: {reason_of(error)}")
                continue
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self.settings.tls is not None:
                    sock.settimeout(self.settings.connect_timeout)
                    sock = self.settings.tls.wrap_socket(sock, server_hostname=place.host)
                sock.settimeout(self.settings.timeout)
                sock.sendall(self.hello())
                self.greeted(self._receive(sock))
            except builtins.TimeoutError:
                sock.close()
                reasons.append(self.mute(place))
                continue
            except (OSError, EOFError) as error:
                sock.close()
                if isinstance(error, KimberliteError):
                    raise
                reasons.append(
                    f"{place}: {tls_reason(error) or f'the server closed the connection: {reason_of(error)}'}"
                )
                continue
            except BaseException:
                sock.close()
                raise
            return sock
        raise self.unreachable("; ".join(reasons))

    def _receive(self, sock: socket.socket) -> bytes:
        head = read_header(_filled(sock, HEADER_SIZE))
        payload = _filled(sock, head.length)
        check(payload, head)
        return payload

    def _drop(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes a thread that is waiting on it
            sock.close()


def _filled(sock: socket.socket, size: int) -> bytes:
    """Receive `size` bytes; a header that states more than 16 MiB was refused before."""
    buffer = BytesIO(bytes(size))  # gives its bytes without a copy, unlike `bytes` of a bytearray
    with buffer.getbuffer() as view:
        _fill(sock, view)
    return buffer.getvalue()


def _fill(sock: socket.socket, view: memoryview) -> None:
    at, size = 0, len(view)
    while at < size:
        got = sock.recv_into(view[at:])
        if not got:
            raise EOFError("the server closed the connection")
        at += got
