"""One request and its answer, over HTTP/1.1 or HTTP/2."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

Headers = Mapping[str, str]


class Gone(Exception):
    """The client has disconnected."""


class TooLarge(Exception):
    """The body is larger than the handler allows."""


class Slow(Exception):
    """The body stopped arriving."""


class Cut(Protocol):
    """A fault that changes an answer's body."""

    async def send(self, data: bytes, last: bool) -> None: ...


class Exchange(ABC):
    """A handler's view of a request. The body may be read while the answer is being sent, and afterwards."""

    def __init__(self, method: str, target: str, headers: Headers, transport: Any) -> None:
        self.method = method
        # Some clients, such as curl, send the UTF-8 of a name as it is. The target is given as Latin-1.
        given = target.encode("latin-1").decode("utf-8", "surrogateescape")
        self.path, _, self.query = given.partition("?")
        """As sent, percent signs and all: a stream's name may hold `%2F`."""
        self.headers = headers
        """Names in lower case."""
        self.transport = transport
        self.cut: Cut | None = None
        self.stall: float | None = None
        """Seconds in which the client must take what is sent to it."""
        self.started = False
        self.finished = False
        self.gone = False
        self._pieces: deque[bytes] = deque()
        self._all_read = False
        self._reader: asyncio.Future[None] | None = None

    async def piece(self) -> bytes:
        """Return the next piece of the body; empty at its end."""
        while not self._pieces:
            if self.gone:
                raise Gone
            if self._all_read:
                return b""
            self._wants_more()
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        piece = self._pieces.popleft()
        self._taken(len(piece))
        return piece

    async def body(self, limit: int, patience: float) -> bytes:
        """Return the whole body; each piece of it must come in time."""
        pieces = list[bytes]()
        size = 0
        while True:
            try:
                async with asyncio.timeout(patience):
                    piece = await self.piece()
            except TimeoutError:
                raise Slow from None
            if not piece:
                return b"".join(pieces)
            size += len(piece)
            if size > limit:
                raise TooLarge
            pieces.append(piece)

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head of an answer whose length is not known."""
        if self.gone:
            raise Gone
        self.started = True
        self._send_head(status, headers, None)

    async def send(self, data: bytes) -> None:
        """Send a piece of the body; returns when more can be sent."""
        async with asyncio.timeout(self.stall):
            await (self.cut.send(data, False) if self.cut is not None else self.send_uncut(data))

    async def end(self) -> None:
        """End the body in good order."""
        await (self.cut.send(b"", True) if self.cut is not None else self.end_uncut())

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer."""
        if self.gone:
            raise Gone
        self.started = True
        self._send_head(status, headers, len(body))
        if self.cut is not None:
            await self.cut.send(body, True)
            return
        if body and self.method != "HEAD":
            await self.send_uncut(body)
        await self.end_uncut()

    async def end_uncut(self) -> None:
        self.finished = True
        self._send_end()

    @abstractmethod
    async def send_uncut(self, data: bytes) -> None:
        """Send a piece past any fault."""

    @abstractmethod
    def push(self) -> None:
        """Let what was written leave now, and not with the end of this turn of the loop."""

    @abstractmethod
    def abort(self) -> None:
        """Break the answer off so that the client cannot take it as complete."""

    def fed(self, piece: bytes) -> None:
        """Take a piece of the body that arrived."""
        if self.finished or self.gone:
            # The body is not read, but must not block the other exchanges of the connection.
            self._taken(len(piece))
            return
        self._pieces.append(piece)
        self._wake()

    def fed_all(self) -> None:
        """Note that the body ended."""
        self._all_read = True
        self._wake()

    def lost(self) -> None:
        """Note that the client went away."""
        self.gone = True
        self._wake()

    def discard(self) -> None:
        """Drop the unread rest of the body."""
        while self._pieces:
            self._taken(len(self._pieces.popleft()))

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    @abstractmethod
    def _taken(self, size: int) -> None:
        """Note that this many bytes of the body were read, or dropped."""

    @abstractmethod
    def _wants_more(self) -> None:
        """Let the client send more: the handler waits for the body."""

    @abstractmethod
    def _send_head(self, status: int, headers: Headers, length: int | None) -> None: ...

    @abstractmethod
    def _send_end(self) -> None: ...


App = Callable[[Exchange], Awaitable[None]]
