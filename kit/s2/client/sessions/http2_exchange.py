"""One full-duplex HTTP/2 exchange: the answer is read while the request is still being written.

`http://` addresses are spoken to at once in HTTP/2, `https://` ones where the service agrees to `h2` when the
connection is made. Each exchange has a connection of its own. The request's body is asked for piece by piece, as
fast as the service's windows and the socket take it; the answer's waits, within its window, until it is taken.

Failures are `Unreachable`, `Lost`, `Silent` and `AnswerError`. They are raised apart from what caused them: the
frames of a transport's exception hold the credential.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hpack

from ....core.errors import AnswerError, KitError, Lost, Silent
from ....core.secrets import Secret, revealed
from .connect import dial

_WRITE = 256 * 1024
"""Bytes given to the socket at once: DATA frames are mostly 16 KiB, and each write costs a system call."""
_SMALL = 16 * 1024
"""Pieces are joined up to here; for larger ones a copy costs more than a frame."""
_WINDOW = 1024 * 1024
"""How many bytes of an answer may wait to be read: some 20,000 acknowledgements."""
_FIRST_WINDOW = 65535
_UNREAD = 4 * 1024 * 1024
"""Replies to the service's pings and settings that may wait until it reads them."""
_SECRET = frozenset({"authorization", "s2-encryption-key"})
_GOAWAY = 7
_GOAWAY_HEAD = 8
_HEAD = 9
_MAX_FRAME = 16384
"""The largest frame that a service may send by default; this client does not change it."""


@dataclass(frozen=True, slots=True, repr=False)
class Target:
    """The address, the request, and how long to wait for the answer."""

    origin: str
    path: str
    headers: Mapping[str, str | Secret]
    connect: float
    """Seconds for a connection, and again for the first bytes from the service."""
    verify: Any = True
    method: str = "POST"


class Head(NamedTuple):
    """The beginning of an answer."""

    status: int
    headers: Mapping[str, str]


class Http2Exchange(asyncio.Protocol):
    """An exchange under way; `connect` makes one.

    `source` gives the next piece of the request's body, None where there is none yet (`pump` asks again), and `b""`
    to end it. It is asked again once the piece before has been handed to the socket, or is about to be.
    `leaving` is called when the service is going to close the connection after the exchanges under way.
    """

    def __init__(self, source: Callable[[], bytes | None], leaving: Callable[[], None]) -> None:
        self._source = source
        self._leaving = leaving
        self._loop = asyncio.get_running_loop()
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._frames = _Frames()
        self._transport: asyncio.Transport | None = None
        self._stream: int | None = None
        self._piece = memoryview(b"")
        self._greeted = False
        self._paused = False
        self._asked = False
        self._ending = False
        """Whether the source has no more."""
        self._done = False
        """Whether the request's body is complete."""
        self._head: Head | None = None
        self._received: deque[tuple[bytes, int]] = deque()
        self._over = False
        """Whether the answer is complete."""
        self._failure: KitError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self.wrote_data = False
        """Whether any of the request's body was handed to the socket."""
        self.moved = self._loop.time()
        """When some of it was, by the loop's clock."""
        self.bytes_in = 0
        self.bytes_out = 0

    async def begin(self, target: Target) -> None:
        """Send the request's head, once the service has sent its settings."""
        if target.origin.startswith("https:"):
            agreed = self._extra("ssl_object").selected_alpn_protocol()
            if agreed != "h2":
                raise AnswerError(
                    f"{target.origin} chose {agreed or 'no protocol'}, not h2",
                    hint="append sessions need HTTP/2; check for a proxy in between",
                )
        await self._until(lambda: self._greeted, target.connect, "no word", maybe_received=False)
        limit = self._http.remote_settings.max_concurrent_streams
        if limit < 1:
            raise Lost(f"{target.origin} accepts no requests on a new connection", maybe_received=False)
        parts = urlsplit(target.origin)
        pseudo = {
            ":method": target.method,
            ":scheme": parts.scheme,
            ":authority": parts.netloc,
            ":path": target.path,
        }
        self._stream = self._http.get_next_available_stream_id()
        self._http.send_headers(self._stream, [_header(*pair) for pair in (pseudo | revealed(target.headers)).items()])
        self._flush()

    async def head(self, seconds: float) -> Head:
        """Return the beginning of the answer."""
        await self._until(lambda: self._head is not None, seconds, "no answer")
        assert self._head is not None
        return self._head

    async def read(self) -> bytes:
        """Return the next piece of the answer's body; b"" at its end. What came before a failure is given before it."""
        while not self._received:
            if self._over:
                return b""
            await self._change()
        piece, size = self._received.popleft()
        if self._failure is None and not self._over and self._stream is not None:
            try:
                self._http.acknowledge_received_data(size, self._stream)
                self._flush()
            except h2.exceptions.H2Error as error:
                self.fail(self._nonsense(error))
        return piece

    def pump(self) -> None:
        """Ask the source at the loop's next turn, so that batches submitted together are sent together."""
        if not self._asked:
            self._asked = True
            self._loop.call_soon(self._send)

    def fail(self, failure: KitError) -> None:
        """End the exchange; waiting callers get this failure."""
        if self._failure is None:
            self._failure = failure
        self._wake()

    async def close(self) -> None:
        """Close the connection; what of the exchange is not over is taken back."""
        transport = self._transport
        if transport is None:
            return
        if not transport.is_closing():
            self._say_goodbye()
            # Not close(), which waits for a peer that may never read, and with TLS for its shutdown.
            transport.abort()
        await asyncio.shield(self._lost)

    def _say_goodbye(self) -> None:
        try:
            if self._stream is not None and not (self._over and self._done):
                self._http.reset_stream(self._stream, h2.errors.ErrorCodes.CANCEL)
            self._http.close_connection()
        except h2.exceptions.H2Error:
            pass  # it had already ended
        self._flush()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_WRITE)
        self._http.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
            },
        )
        self._http.initiate_connection()
        self._http.increment_flow_control_window(_WINDOW - _FIRST_WINDOW)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._read_rest()
        reason = str(exc) or type(exc).__name__ if exc else "the service closed it"
        self.fail(Lost(f"the connection broke: {reason}"))
        if not self._lost.done():
            self._lost.set_result(None)

    def _read_rest(self) -> None:
        """Take what had arrived when writing failed: each acknowledgement among it is a batch less to send again."""
        if self._failure is not None or self._extra("ssl_object") is not None:
            return
        try:
            with self._extra("socket").dup() as rest:
                rest.setblocking(False)
                while data := rest.recv(_WRITE):
                    self.data_received(data)
        except OSError:
            return  # the end of the body

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send()

    def data_received(self, data: bytes) -> None:
        self.bytes_in += len(data)
        if self._failure is not None:
            return
        try:
            for piece in self._frames.feed(data):
                if isinstance(piece, _GoAway):
                    self._dismissed(piece)
                else:
                    for event in self._http.receive_data(piece):
                        self._took(event)
        except h2.exceptions.H2Error as error:
            self.fail(self._nonsense(error))
        self._send()
        self._wake()

    def _took(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.DataReceived):
            self._received.append((event.data or b"", event.flow_controlled_length or 0))
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self._greeted = True
        elif isinstance(event, h2.events.ResponseReceived):
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers or ()}
            status = headers.get(":status", "")
            self._head = Head(int(status) if status.isascii() and status.isdigit() else 0, headers)
        elif isinstance(event, h2.events.StreamEnded):
            self._over = True
        elif isinstance(event, h2.events.StreamReset):
            self._reset(int(event.error_code or 0))

    def _reset(self, code: int) -> None:
        if self._over:
            return  # the service does not need the rest of the request
        if code == h2.errors.ErrorCodes.HTTP_1_1_REQUIRED:
            self.fail(AnswerError("the service asked for HTTP/1.1", hint="append sessions need HTTP/2"))
        else:
            refused = code == h2.errors.ErrorCodes.REFUSED_STREAM
            self.fail(Lost(f"the service reset the exchange: {_code_name(code)}", maybe_received=not refused))

    def _dismissed(self, frame: _GoAway) -> None:
        if self._stream is None or frame.last_stream < self._stream:
            self.fail(Lost(f"the service refused the request: {frame}", maybe_received=False))
        elif frame.code:
            self.fail(Lost(f"the service ended the connection: {frame}"))
        else:
            self._leaving()

    def _nonsense(self, error: Exception) -> KitError:
        if not self._greeted:
            return AnswerError(
                "the answer is not HTTP/2", hint="append sessions need a service, and proxies, with HTTP/2"
            )
        return Lost(f"the service violated HTTP/2: {error}")

    def _send(self) -> None:
        """Hand on as much of the request's body as may go now."""
        self._asked = False
        try:
            self._send_body()
            self._flush()
        except h2.exceptions.H2Error as error:
            self.fail(self._nonsense(error))

    def _send_body(self) -> None:
        http, stream, transport = self._http, self._stream, self._transport
        if stream is None or transport is None or transport.is_closing() or self._failure is not None:
            return
        gathered = 0
        while not (self._paused or self._done or self._over):
            if not self._piece and not self._fetch():
                if self._ending:
                    self._done = True
                    http.end_stream(stream)
                return
            window = http.local_flow_control_window(stream)
            size = min(window, http.max_outbound_frame_size, _WRITE, len(self._piece))
            if size <= 0:
                return
            http.send_data(stream, self._piece[:size])
            self._piece = self._piece[size:]
            self.wrote_data = True
            self.moved = self._loop.time()
            gathered += size
            if gathered >= _WRITE:
                # Not all at once, so that a full socket is noticed in between.
                self._flush()
                gathered = 0

    def _fetch(self) -> bool:
        """Return whether there is more to send; small pieces become one."""
        pieces: list[bytes] = []
        size = 0
        while not self._ending and size < _SMALL:
            piece = self._source()
            if piece is None:
                break
            self._ending = not piece
            pieces.append(piece)
            size += len(piece)
        self._piece = memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        return size > 0

    def _flush(self) -> None:
        data = self._http.data_to_send()
        if not data or self._transport is None or self._transport.is_closing():
            return
        self.bytes_out += len(data)
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > _UNREAD:
            self.fail(Lost("the service keeps sending and does not read the replies"))

    async def _until(self, there: Callable[[], bool], seconds: float, what: str, **fields: Any) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not there():
                    await self._change()
            return
        except KitError:
            raise
        except TimeoutError:
            pass
        raise Silent(f"{what} within {seconds:g} s", **fields)

    async def _change(self) -> None:
        """Return when something has come; raises the failure that ended the exchange."""
        if self._failure is not None:
            raise self._failure
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _extra(self, name: str) -> Any:
        assert self._transport is not None
        return self._transport.get_extra_info(name)


async def connect(target: Target, source: Callable[[], bytes | None], leaving: Callable[[], None]) -> Http2Exchange:
    """Return the exchange, connected; `begin` starts it, and `close` must follow whatever happens."""
    return await dial(target.origin, "h2", target.connect, target.verify, lambda: Http2Exchange(source, leaving))


def _header(name: str, value: str) -> hpack.HeaderTuple:
    # Secrets must not be stored in the header tables of proxies.
    return (hpack.NeverIndexedHeaderTuple if name in _SECRET else hpack.HeaderTuple)(name, value)


def _code_name(code: int) -> str:
    try:
        return h2.errors.ErrorCodes(code).name
    except ValueError:
        return f"code {code}"


class _GoAway(NamedTuple):
    last_stream: int
    code: int
    data: bytes

    def __str__(self) -> str:
        text = self.data[:200].decode("utf-8", "replace")
        return f"{_code_name(self.code)} {text}".strip()


class _Frames:
    """Cuts what is received into frames, and separates GOAWAY frames from the others.

    The h2 package accepts nothing after a GOAWAY. But that frame only refuses new requests: one that was accepted is
    answered to its end, and a service that shuts down in order relies on it. Frames are given to h2 one at a time,
    because h2 returns nothing of a piece of input that has any error in it.
    """

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes | _GoAway]:
        """Return the frames that are complete now, in order."""
        self._held += data
        buffer = self._held
        at = 0
        try:
            while len(buffer) - at >= _HEAD:
                size, kind = int.from_bytes(buffer[at : at + 3], "big"), buffer[at + 3]
                if size > _MAX_FRAME:
                    # Checked before waiting for the rest: this may not be HTTP/2 at all.
                    raise h2.exceptions.FrameTooLargeError(f"a frame of {size:,} bytes")
                end = at + _HEAD + size
                if len(buffer) < end:
                    return
                frame, at = bytes(buffer[at:end]), end
                if kind == _GOAWAY and size >= _GOAWAY_HEAD:
                    last, code = struct.unpack_from(">II", frame, _HEAD)
                    yield _GoAway(last & 0x7FFFFFFF, code, frame[_HEAD + _GOAWAY_HEAD :])
                else:
                    yield frame
        finally:
            del buffer[:at]
