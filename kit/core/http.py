"""Operations over HTTP: what their steps mean, on the blocking and on the async transport.

An exchange is written once, in `_Exchange`. Each driver only does what touches a socket: send, read a piece, close;
one blocking, one awaiting.

Bodies are read raw and unpacked here with a bound, so that neither a long nor a densely packed answer can fill
the memory. An interrupt in the middle of an exchange drops that connection; the driver stays usable.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from . import calls
from .drivers import BlockingDriver, Held, LoopDriver
from .errors import CLOSED, CLOSED_HINT, InputError, KitError, Lost, Silent, Unreachable
from .operations import Open, Request, Shut, Stream, Timeouts, whole
from .raw_body import apieces, pieces
from .secrets import Secret, fit, revealed, without_password
from .transport import AsyncTransport, Transport, httpx
from .unpacking import Unpacker

_url = lru_cache(maxsize=512)(httpx.URL)


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """Where a service is and how to speak to it."""

    service: str
    base_url: str
    credential: Secret | None = None
    header: str = "authorization"
    scheme: str = "Bearer "
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    timeouts: Timeouts = field(default_factory=Timeouts)
    verify: Any = True
    """Whether certificates are checked; False turns that off, and an SSL context replaces the default one."""
    refusal: type[InputError] = InputError
    """The error that is raised for an address that is not a URL."""

    def __post_init__(self) -> None:
        fit(self.credential, self.refusal)
        quoted = without_password(self.base_url)
        wrong = ""
        try:
            url = httpx.URL(self.base_url)
        except (httpx.InvalidURL, TypeError) as error:
            wrong = str(error)
        if wrong:
            # Out of the handler: what is chained would show a half-made URL in its variables.
            raise self.refusal(f"{self.service}: {quoted} is not an address: {wrong}")
        if url.scheme not in ("http", "https") or not url.host:
            raise self.refusal(
                f"{self.service}: {quoted} is not an address",
                hint="give one like https://host or http://127.0.0.1:8080",
            )
        if url.userinfo:
            # Not quoted back: it holds a password.
            raise self.refusal(
                f"{self.service}: the address holds a user or password", hint="give the credential by its own argument"
            )

    def sent_headers(self) -> httpx.Headers:
        """Return the headers of every request, the credential among them."""
        headers: dict[str, str | Secret] = {"accept-encoding": "gzip", "user-agent": "kit-notebook", **self.headers}
        if self.credential is not None:
            headers[self.header] = self.credential.after(self.scheme)
        return httpx.Headers(revealed(headers))


class _Driver:
    """What both drivers share: building requests and translating failures."""

    closed: bool

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._base = settings.base_url.rstrip("/")
        self._headers = settings.sent_headers()
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {self._base}>"

    def build(self, request: Request) -> httpx.Request:
        headers: Any = self._headers
        if request.headers or request.body is not None:
            headers = self._headers.copy()
            if request.body is not None:
                headers["content-type"] = "application/json"
            headers.update(revealed(request.headers or {}))
        timeouts, left = request.timeouts or self.settings.timeouts, request.left()
        connect, read = _least(timeouts.connect, left), _least(timeouts.read, left)
        return httpx.Request(
            request.method,
            _url(self._base + request.target),
            headers=headers,
            content=request.body,
            extensions={
                "timeout": {
                    "connect": connect,
                    "pool": connect,
                    "read": read,
                    "write": read,
                }
            },
        )

    def fail(self, request: Request, error: Exception) -> KitError:
        """Return the failure in the toolkit's own words; the transport's exception is not chained, see above."""
        where = f"{self.settings.service}: {request.method} {self._base}{request.path}"
        fields = {"service": self.settings.service, "op": request.op, "resource": request.path}
        timeouts = request.timeouts or self.settings.timeouts
        if isinstance(error, KitError):
            error.args = (f"{where}: {error.args[0]}",)
            for name, value in fields.items():
                setattr(error, name, value)
            return error
        if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
            return Unreachable(f"{where}: no connection within {timeouts.connect} s", **fields)
        if isinstance(error, httpx.ConnectError | httpx.ProxyError):
            reason = str(error) or type(error).__name__
            hint = "is the address right and the service running? `kit.Lab()` starts embedded ones"
            if "CERTIFICATE" in reason.upper():
                hint = "its certificate is not trusted here; a company's own is given as verify=ssl.SSLContext"
            return Unreachable(f"{where}: could not connect: {reason}", hint=hint, **fields)
        if isinstance(error, httpx.TimeoutException):
            return Silent(f"{where}: no answer within {timeouts.read} s", **fields)
        if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL | httpx.LocalProtocolError):
            return InputError(f"{where}: {error}", **fields)
        reason = str(error) or "the connection was closed"
        return Lost(f"{where}: the connection broke: {reason}", **fields)


_FAILURES = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, KitError)


class _Exchange:
    """One exchange, until the last piece of its answer has been read; it is one row in the log of calls."""

    __slots__ = (
        "_clock",
        "_driver",
        "_error",
        "_started",
        "_unpacker",
        "answer",
        "built",
        "pieces",
        "request",
        "unpacked",
    )

    def __init__(self, driver: _Driver, request: Request) -> None:
        if driver.closed:
            # Raised into the operation, which makes it an error of its own service.
            raise InputError(CLOSED, hint=CLOSED_HINT, service=driver.settings.service, op=request.op)
        self._driver, self.request = driver, request
        self._started, self._clock = calls.now(), time.perf_counter()
        self._error = "interrupted"
        self._unpacker: Unpacker | None = None
        self.built = driver.build(request)
        self.answer: httpx.Response | None = None
        self.pieces: Any = None
        self.unpacked: Callable[[bytes], bytes] = self._in_time
        """Returns a piece of the body as it was before it was packed; may be empty while more is needed."""

    def opened(self, answer: httpx.Response, pieces_of: Any, step: Open) -> Stream:
        """Return the answer, whose head is there."""
        self.answer, answer.request = answer, self.built
        self._unpacker = Unpacker(answer.headers, self.request.limit)
        if self.request.timeouts is not None and self.request.timeouts.silence is not None:
            self.built.extensions["timeout"]["read"] = self.request.timeouts.silence
        self.pieces = pieces_of(answer)
        self.unpacked = self._unpacker.feed if self.request.deadline is None else self._in_time
        if not step.whole:
            self._error = ""
        return Stream(answer.status_code, answer.headers, self)

    def _in_time(self, piece: bytes) -> bytes:
        if time.monotonic() > (self.request.deadline or math.inf):
            raise Silent("the answer was not complete in time")
        assert self._unpacker is not None
        return self._unpacker.feed(piece)

    def finished(self, held: Held) -> bytes:
        """Take note of the body's end; the connection is back already."""
        assert self._unpacker is not None
        self._unpacker.finish()
        self._error = ""
        held.remove(self)
        self.log()
        return b""

    def failed(self, cause: Exception) -> KitError:
        """Return the failure in the toolkit's own words."""
        failure = self._driver.fail(self.request, cause)
        self._error = type(failure).__name__
        return failure

    def log(self) -> None:
        request = self.request
        calls.record(
            self._driver.settings.service,
            request.op or request.path,
            self._started,
            time.perf_counter() - self._clock,
            bytes_in=0 if self._unpacker is None else self._unpacker.total,
            bytes_out=len(request.body or b""),
            status=0 if self.answer is None else self.answer.status_code,
            retries=request.retries,
            error=self._error,
        )


def _least(seconds: float | None, left: float | None) -> float | None:
    return seconds if left is None else left if seconds is None else min(seconds, left)


class Driver(_Driver, BlockingDriver):
    """Carries out the steps of an operation one after the other, in the caller's thread."""

    _transport: Transport | None = None

    def do(self, step: Any, held: Held) -> Any:
        if isinstance(step, Request):
            return whole(step)
        if isinstance(step, Open):
            return self._open(step, held)
        exchange = step.stream.handle
        if isinstance(step, Shut):
            return self._drop(exchange, held)
        try:
            while piece := next(exchange.pieces, b""):
                if unpacked := exchange.unpacked(piece):
                    return unpacked
            return exchange.finished(held)
        except _FAILURES as error:
            failure = exchange.failed(error)
        # Out of the handler, or the transport's exception would be chained to ours.
        self._drop(exchange, held)
        raise failure

    def release(self, held: _Exchange) -> None:
        held.log()
        if held.answer is not None:
            held.answer.close()

    def _open(self, step: Open, held: Held) -> Stream:
        exchange = _Exchange(self, step.request)
        held.append(exchange)
        try:
            # No client around the transport: cookies and hooks are a fifth of a small call, and a redirect would carry
            # the credential to wherever an answer points.
            return exchange.opened(self._connected().handle_request(exchange.built), pieces, step)
        except _FAILURES as error:
            failure = exchange.failed(error)
        # Out of the handler, or the transport's exception would be chained to ours.
        self._drop(exchange, held)
        raise failure

    def _drop(self, exchange: _Exchange, held: Held) -> None:
        if exchange in held:
            held.remove(exchange)
            self.release(exchange)

    def close(self) -> None:
        """Close the connections; a later call is an error."""
        self.closed = True
        transport, self._transport = self._transport, None
        if transport is not None and self._pid == os.getpid():
            transport.close()

    def _connected(self) -> Transport:
        if self._transport is None or self._pid != os.getpid():
            # After a fork the parent's sockets must be left alone.
            self._transport, self._pid = Transport(_url(self._base), self.settings.verify), os.getpid()
            # A client in a notebook is seldom closed by hand; its sockets go with it.
            weakref.finalize(self, _close_in, self._pid, self._transport)
        return self._transport


def _close_in(pid: int, transport: Transport) -> None:
    if os.getpid() == pid:
        transport.close()


class AsyncDriver(_Driver, LoopDriver):
    """Carries out the steps of an operation on the running event loop."""

    _transport: AsyncTransport | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    async def do(self, step: Any, held: Held) -> Any:
        if isinstance(step, Request):
            return whole(step)
        if isinstance(step, Open):
            return await self._open(step, held)
        exchange = step.stream.handle
        if isinstance(step, Shut):
            return await self._drop(exchange, held)
        try:
            while piece := await anext(exchange.pieces, b""):
                if unpacked := exchange.unpacked(piece):
                    return unpacked
            return exchange.finished(held)
        except _FAILURES as error:
            failure = exchange.failed(error)
        # Out of the handler, or the transport's exception would be chained to ours.
        await self._drop(exchange, held)
        raise failure

    async def release(self, held: _Exchange) -> None:
        held.log()
        if held.answer is not None:
            await held.answer.aclose()

    async def _open(self, step: Open, held: Held) -> Stream:
        exchange = _Exchange(self, step.request)
        held.append(exchange)
        try:
            return exchange.opened(await self._connected().handle_async_request(exchange.built), apieces, step)
        except _FAILURES as error:
            failure = exchange.failed(error)
        # Out of the handler, or the transport's exception would be chained to ours.
        await self._drop(exchange, held)
        raise failure

    async def _drop(self, exchange: _Exchange, held: Held) -> None:
        if exchange in held:
            held.remove(exchange)
            await self.release(exchange)

    async def close(self) -> None:
        """Close the connections; a later call is an error."""
        self.closed = True
        transport, self._transport = self._transport, None
        if transport is not None and self._loop is asyncio.get_running_loop() and self._pid == os.getpid():
            await transport.aclose()

    def _connected(self) -> AsyncTransport:
        loop = asyncio.get_running_loop()
        if self._transport is None or self._loop is not loop or self._pid != os.getpid():
            # Connections belong to the loop that opened them; `asyncio.run` in two cells makes two loops.
            self._transport = AsyncTransport(_url(self._base), self.settings.verify)
            self._loop, self._pid = loop, os.getpid()
        return self._transport
