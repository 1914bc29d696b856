"""The connection of the blocking client: a plain socket for SynapRPC that several threads may use in turn.

Many calls are under way at once, and answers are read while calls are still being sent. An interrupt drops the
connection; the next call opens another.
"""

from __future__ import annotations

import builtins
import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

from ...core.http.connections import dialled
from ...core.http.drivers import BlockingDriver, OpenHandles
from ..errors import SynapError, SynapWireError
from ..wire import frames as wire
from ..wire.rpc_commands import Call
from .connection_base import ConnectionBase, Exchange, answered, probed
from .settings import Place, Settings

_PIECE = 256 * 1024
_STALE = 1.0
"""Seconds of silence after which a connection is checked before it is used."""


class SyncConnection(ConnectionBase, BlockingDriver):
    """A blocking connection."""

    def __init__(self, settings: Settings, place: Place) -> None:
        super().__init__(settings, place)
        self._sock: socket.socket | None = None
        self._frames = wire.Frames()
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._used = 0.0

    def calls(self, calls: Sequence[Call], safe: bool) -> list[Any]:
        """Return the body of each answer, or the error that came instead."""
        return self.run(answered(calls, safe))

    def try_it(self) -> SynapError | None:
        """Connect, and find out whether calls are answered here; return the reason why not."""
        return self.run(probed())

    def do(self, step: Any, open_handles: OpenHandles) -> None:
        with self._own():
            try:
                if isinstance(step, Exchange):
                    self._exchange(step.calls, step.places, step.found)
                else:
                    self.connect()
            except SynapError:
                raise
            except BaseException:
                # Interrupted in the middle of a frame: the start of the next one is unknown.
                self.drop()
                raise

    def connect(self) -> socket.socket:
        """Return the connection, made if there is none."""
        with self._own():
            if self._sock is not None and time.monotonic() - self._used > _STALE and _readable(self._sock):
                # No request is open, so anything readable means that the connection ended.
                self.drop()
            if self._sock is None:
                self._sock = self._open()
            return self._sock

    def drop(self) -> None:
        """Close the connection; the next call makes another."""
        sock, self._sock = self._sock, None
        self._frames = wire.Frames()
        if sock is not None:
            sock.close()

    close = drop

    def __del__(self) -> None:
        # A client in a notebook is seldom closed by hand; its socket goes with it.
        sock = self.__dict__.get("_sock")
        if sock is not None and self._pid == os.getpid():
            sock.close()

    def _own(self) -> threading.RLock:
        if self._pid != os.getpid():
            # A forked child shares the parent's socket; if both read from it, each gets a part.
            self._pid, self._lock = os.getpid(), threading.RLock()
            self.drop()
        return self._lock

    def _open(self) -> socket.socket:
        try:
            sock = dialled(self.place.host, self.place.port, self.settings.connect_timeout)
        except builtins.TimeoutError:
            raise self.unreachable(f"no connection within {self.settings.connect_timeout} s") from None
        except OSError as error:
            raise self.unreachable(str(error)) from None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # A partial frame of an earlier connection must not be the start of this one's first.
        self._frames = wire.Frames()
        try:
            sock.settimeout(self.settings.timeout)
            if self.settings.api_key is not None or self.settings.password is not None:
                # Not in a variable, as a traceback may show it.
                sock.sendall(wire.request(0, "AUTH", self.settings.auth() or ()))
                self.greeted(self._one(sock))
            self._used = time.monotonic()
            return sock
        except builtins.TimeoutError:
            sock.close()
            raise self.silent() from None
        except OSError as error:
            sock.close()
            raise self.lost(str(error)) from None
        except BaseException:
            sock.close()
            raise

    def _one(self, sock: socket.socket) -> bytes:
        while True:
            data = sock.recv(_PIECE)
            if not data:
                raise self.lost("the server closed the connection")
            for body in self._frames.feed(data):
                return body

    def _exchange(self, calls: Sequence[Call], places: Sequence[int], answers: list[Any]) -> None:
        """Put the bodies of the answers in their places."""
        numbers = self.numbers(len(calls))
        sock = self.connect()
        first = numbers[0]
        left = len(calls)
        many = left > 1
        out = self.frames(calls, first)
        waiting = memoryview(next(out, b""))
        try:
            if many:
                sock.setblocking(False)
            else:
                sock.sendall(waiting)
                waiting = memoryview(b"")
            while left:
                if many:  # to the last answer: a socket that does not block would be asked for it without end
                    if not self._wait(sock, bool(waiting)):
                        raise builtins.TimeoutError
                    if waiting:
                        try:
                            sent = sock.send(waiting)
                            waiting = waiting[sent:] if sent < len(waiting) else memoryview(next(out, b""))
                        except BlockingIOError:
                            pass
                try:
                    data = sock.recv(_PIECE)
                except BlockingIOError:
                    continue
                if not data:
                    raise self.lost("the server closed the connection")
                for body in self._frames.feed(data):
                    number, _ = wire.peek(body)
                    if number == wire.PUSH:
                        continue
                    place = number - first
                    if not 0 <= place < len(calls) or answers[places[place]] is not None:
                        raise SynapWireError("an answer without a request")
                    if many:
                        self.check_refused(body, calls[0][0])
                    answers[places[place]] = body
                    left -= 1
            if many:
                sock.settimeout(self.settings.timeout)
            self._used = time.monotonic()
        except builtins.TimeoutError:
            self.drop()
            raise self.silent(calls[0][0]) from None
        except OSError as error:
            self.drop()
            if isinstance(error, SynapError):
                raise
            raise self.lost(error.strerror or str(error), calls[0][0]) from None
        except SynapError:
            self.drop()
            raise

    def _wait(self, sock: socket.socket, writing: bool) -> bool:
        readable, writable, _ = select_ready(sock, writing, self.settings.timeout)
        return readable or writable


def select_ready(sock: socket.socket, writing: bool, timeout: float) -> tuple[bool, bool, None]:
    """Return whether there is something to read, and room to write."""
    if hasattr(select, "poll"):  # select() refuses descriptors above 1023
        poll = select.poll()
        poll.register(sock, select.POLLIN | (select.POLLOUT if writing else 0))
        events = dict(poll.poll(timeout * 1000)).get(sock.fileno(), 0)
        return bool(events & ~select.POLLOUT), bool(events & select.POLLOUT), None
    readable, writable, _ = select.select([sock], [sock] if writing else [], [], timeout)
    return bool(readable), bool(writable), None


def _readable(sock: socket.socket) -> bool:
    return select_ready(sock, False, 0)[0]
