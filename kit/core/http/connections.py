"""Connections whose calls block: HTTP/1.1 over sockets, kept for the next call where they may be.

A request leaves in one piece where it is small, and what comes is taken in pieces as large as it comes: what each turn
of the system costs is the larger part of a small call, and of a large answer.
"""

from __future__ import annotations

import contextlib
import ipaddress
import queue
import select
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from ..errors import Lost, Silent, Unreachable
from .http1 import Headers, HttpRequest, Incoming, Origin, within

if TYPE_CHECKING:
    import ssl

MOST = 100
"""The largest number of connections at once; a call that needs another one waits."""
_MOST_IDLE = 20
_IDLE_SECONDS = 5.0
PIECE = 64 * 1024
LARGEST = 1024 * 1024


class Connection:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._timeout = sock.gettimeout()
        self._size = PIECE
        self.idle_since = 0.0

    def ask(self, request: HttpRequest) -> Incoming:
        """Send a request, and return its answer, whose head has come."""
        try:
            self._patient(request.read if request.until is None else within(request.read, request.until))
            if len(request.body) < PIECE:
                self._socket.sendall(request.head() + request.body)
            else:
                self._socket.sendall(request.head())
                self._send(request)
        except TimeoutError:
            raise Silent from None
        except OSError:
            pass  # the peer may have answered, say with a refusal, before it had heard all
        incoming = Incoming(request.method)
        until = request.until
        # What is left of the call is less after each piece of a head that trickles.
        while not incoming.begin(self.receive(request.read if until is None else within(request.read, until))):
            pass
        return incoming

    def _send(self, request: HttpRequest) -> None:
        """Send a large body. Each part may take as long as one of the answer: a slow line is not a silent service."""
        left = memoryview(request.body)
        while left:
            if request.until is not None:
                self._patient(within(request.read, request.until))
            left = left[self._socket.send(left) :]

    def receive(self, seconds: float | None) -> bytes:
        """Return what comes next; nothing at its end."""
        try:
            self._patient(seconds)
            data = self._socket.recv(self._size)
        except TimeoutError:
            raise Silent from None
        except OSError as error:
            raise Lost(f"the connection broke: {error}") from None
        # More while it comes, less when it does not: what is asked for has to be allocated.
        if len(data) >= self._size:
            self._size = min(self._size * 2, LARGEST)
        elif len(data) < self._size // 8:
            self._size = max(self._size // 2, PIECE)
        return data

    def _patient(self, seconds: float | None) -> None:
        if seconds != self._timeout:
            self._socket.settimeout(seconds)
            self._timeout = seconds

    def stale(self, now: float) -> bool:
        """Return whether it must not be used again: idle for long, ended, or with unrequested data on it."""
        return now - self.idle_since > _IDLE_SECONDS or readable(self._socket)

    def end(self) -> None:
        """End it under a call of another thread, which hears of it at once and closes it then."""
        with contextlib.suppress(OSError):
            # That of TLS would take from the call what it reads with.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


def readable(sock: socket.socket | None) -> bool:
    """Return whether something has come on a socket, or it has ended."""
    descriptor = -1 if sock is None else sock.fileno()
    if descriptor < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class Answer:
    """An answer whose head has come."""

    def __init__(self, pool: Pool, connection: Connection, incoming: Incoming, request: HttpRequest) -> None:
        self._pool = pool
        self._connection: Connection | None = connection
        self._incoming = incoming
        self.patience = request.read
        """Seconds to wait for each next piece."""
        self._until = request.until
        self.status = incoming.head.status
        self.headers = Headers(incoming.head.headers)

    def read(self) -> bytes:
        """Return the next piece of the body, nothing at its end; the connection is given back then."""
        incoming = self._incoming
        while True:
            for piece in incoming.parts:
                return piece
            if incoming.over or self._connection is None:
                self.close()
                return b""
            until = self._until
            seconds = self.patience if until is None else within(self.patience, until)
            incoming.take(self._connection.receive(seconds))

    def close(self) -> None:
        """Give the connection back, or close it where the answer is not over."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.put(connection, kept=self._incoming.reusable)


class Pool:
    """The connections to one origin, for any number of threads."""

    def __init__(self, origin: Origin, context: ssl.SSLContext | None) -> None:
        self._origin, self._context = origin, context
        self._idle: deque[Connection] = deque()
        self._all: dict[Connection, None] = {}
        """All there are, in the order in which they were made."""
        self._closed = False
        self._places: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(MOST):
            self._places.put(None)

    def ask(self, request: HttpRequest) -> Answer:
        """Send a request, and return its answer, whose head has come."""
        try:
            self._places.get(timeout=to_connect(request))
        except queue.Empty:
            raise Unreachable from None
        connection: Connection | None = None
        try:
            connection = self._kept() or self._connect(request)
            return Answer(self, connection, connection.ask(request), request)
        except BaseException:
            self.put(connection, kept=False)
            raise

    def put(self, connection: Connection | None, *, kept: bool) -> None:
        """Take back a connection that a call had, or its place where there was none yet."""
        if connection is not None:
            if kept and not self._closed:
                connection.idle_since = time.monotonic()
                self._idle.append(connection)
                if len(self._idle) > _MOST_IDLE:
                    with contextlib.suppress(IndexError):  # another thread was quicker
                        self._drop(self._idle.popleft())
            else:
                self._drop(connection)
        self._places.put(None)

    def _kept(self) -> Connection | None:
        now = time.monotonic()
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was quicker
                break
            if not connection.stale(now):
                return connection
            self._drop(connection)
        return None

    def _connect(self, request: HttpRequest) -> Connection:
        origin, seconds = self._origin, to_connect(request)
        ends = None if seconds is None else time.monotonic() + seconds
        try:
            sock = dialled(origin.host, origin.port, seconds)
            try:
                if ends is not None:
                    sock.settimeout(within(None, ends))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._context is not None:
                    # Each time: a caller's context may serve another protocol meanwhile, as that of append sessions.
                    self._context.set_alpn_protocols(["http/1.1"])
                    sock = self._context.wrap_socket(sock, server_hostname=origin.host)
            except BaseException:
                sock.close()
                raise
        except TimeoutError:
            raise Unreachable from None
        except OSError as error:
            raise unreachable(error) from None
        connection = Connection(sock)
        self._all[connection] = None
        return connection

    def _drop(self, connection: Connection) -> None:
        self._all.pop(connection, None)
        connection.close()

    def close(self) -> None:
        """Close all connections; calls under way in other threads end."""
        self._closed = True
        while self._idle:
            with contextlib.suppress(IndexError):
                self._drop(self._idle.pop())
        for connection in list(self._all):
            connection.end()


def dialled(host: str, port: int, seconds: float | None) -> socket.socket:
    """Return a connection to the first of the host's addresses that takes one, each with its share of the time."""
    ends = None if seconds is None else time.monotonic() + seconds
    # Bytes, or the system's resolver loads tables of all alphabets first.
    name: Any = host.encode() if host.isascii() else host
    places = [name]
    if not is_number(host):
        addresses = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        places = [f"{place[0]}%{place[3]}" if len(place) > 3 and place[3] else place[0] for *_, place in addresses]
    for left in range(len(places), 1, -1):
        with contextlib.suppress(OSError):
            return socket.create_connection((places[-left], port), _share(ends, left))
    return socket.create_connection((places[-1], port), _share(ends, 1))


def _share(ends: float | None, parts: int) -> float | None:
    return None if ends is None else within(None, ends) / parts


def race(host: str) -> float | None:
    """Return the seconds after which an event loop tries the next of a host's addresses beside the one before."""
    # A single address needs no race, and a cancelled race may leave a socket open.
    return None if is_number(host) else 0.25


def is_number(host: str) -> bool:
    """Return whether a host is an address, and no name that may have several."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def to_connect(request: HttpRequest) -> float | None:
    """Return the seconds in which a connection must be there."""
    return request.connect if request.until is None else within(request.connect, request.until)


def unreachable(error: Exception) -> Unreachable:
    """Return that no connection could be made, and why."""
    hint = "is the address right and the service running? `kit.Lab()` starts embedded ones"
    if "CERTIFICATE" in str(error).upper():
        hint = "its certificate is not trusted here; a company's own is given as verify=ssl.SSLContext"
    return Unreachable(f"could not connect: {str(error) or type(error).__name__}", hint=hint)
