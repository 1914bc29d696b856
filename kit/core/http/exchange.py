"""Operations over HTTP: what their steps mean, on the blocking and on the async connections.

An exchange is written once, in `_Exchange`. Each driver only does what touches a socket: send, read a piece, close;
one blocking, one awaiting.

Bodies are read raw and unpacked here with a bound, so that neither a long nor a densely packed answer can fill
the memory. An interrupt in the middle of an exchange drops that connection; the driver stays usable.
"""

from __future__ import annotations

import math
import os
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import calls
from ..clock import SYSTEM, Clock
from ..errors import CLOSED, CLOSED_HINT, InputError, KitError, Lost, SetupError, Silent, Unreachable
from ..secrets import Secret, fit, revealed, without_password
from .chunked import Malformed
from .connections import Pool
from .drivers import BlockingDriver, LoopDriver, OpenHandles
from .http1 import HttpRequest, Origin, countable, head_lines, origin_of, quoted
from .operations import Open, Request, Shut, Stream, Timeouts, whole
from .proxies import proxy_of
from .unpacking import Unpacker

if TYPE_CHECKING:
    import asyncio
    import ssl

    from .loop_connections import LoopPool
    from .transport import HttpxLoopPool, HttpxPool


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
    clock: Clock = SYSTEM
    origin: Origin = field(init=False)

    def __post_init__(self) -> None:
        fit(self.credential, self.refusal)
        quoted = without_password(self.base_url)
        wrong, origin = "", None
        try:
            origin = origin_of(self.base_url)
        except (ValueError, TypeError) as error:
            wrong = str(error)
        if origin is None:
            # Raised outside the handler: a chained traceback would show a partial URL in its variables.
            raise self.refusal(f"{self.service}: {quoted} is not an address: {wrong}")
        if "?" in self.base_url or "#" in self.base_url:
            # Paths are put behind it, and would be a part of that.
            # Not quoted back: a query may hold a credential.
            raise self.refusal(f"{self.service}: the address has a query or a fragment, which it must not have")
        if origin.scheme not in ("http", "https") or not origin.host:
            raise self.refusal(
                f"{self.service}: {quoted} is not an address",
                hint="give one like https://host or http://127.0.0.1:8080",
            )
        if "@" in self.base_url.partition("://")[2].partition("/")[0]:
            # Not quoted back: it holds a password.
            raise self.refusal(
                f"{self.service}: the address contains a user or password",
                hint="give the credential with its own argument",
            )
        object.__setattr__(self, "origin", origin)

    def sent_headers(self) -> dict[str, str]:
        """Return the headers of every request, the credential among them."""
        headers: dict[str, str | Secret] = {
            "host": self.origin.name, "accept-encoding": "gzip", "user-agent": "kit-notebook",
        }  # fmt: skip
        headers.update((name.lower(), value) for name, value in self.headers.items())
        if self.credential is not None:
            headers[self.header.lower()] = self.credential.after(self.scheme)
        return revealed(headers)

    def context(self) -> ssl.SSLContext | None:
        """Return the SSL context; None without TLS. Loading certificates is most of a first call."""
        if not self.origin.secure:
            return None
        from .certificates import context_of

        return context_of(self.verify, "http/1.1")


LATE = "the answer was not complete in time"
_NEARLY = 0.01
"""Seconds by which a wait may end before the moment that it was for."""
_BODIED = frozenset(("POST", "PUT", "PATCH"))


class _Driver:
    """What both drivers share: building requests and translating failures."""

    closed: bool
    clock: Clock

    _headers: Callable[[], dict[str, str]]
    _lines: Callable[[], bytes]

    def __init__(self, settings: Settings) -> None:
        self.settings, self.clock = settings, settings.clock
        self._base = settings.base_url.rstrip("/")
        _, slash, below = self._base.split("://", 1)[1].partition("/")
        self._below = slash + quoted(below)
        headers = settings.sent_headers()
        lines = head_lines(headers)
        # Closures, not attributes: debuggers and `vars()` list attributes, and the credential is in both.
        self._headers = lambda: headers
        self._lines = lambda: lines
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {self._base}>"

    def build(self, request: Request) -> HttpRequest:
        lines, body = self._lines(), request.body
        if request.headers:
            headers = self._headers().copy()
            if body is not None:
                headers["content-type"] = "application/json"
            headers.update((name.lower(), value) for name, value in revealed(request.headers).items())
            for framing in ("content-length", "transfer-encoding"):
                headers.pop(framing, None)  # where the body ends is said once, below
            lines = head_lines(headers)
        elif body is not None:
            lines += b"content-type: application/json\r\n"
        if body or request.method in _BODIED:
            lines += b"content-length: %d\r\n" % len(body or b"")
        timeouts = request.timeouts or self.settings.timeouts
        try:
            target = quoted(request.target)
        except UnicodeEncodeError as error:
            raise InputError(f"{error.object!r} contains half of a character, which UTF-8 cannot encode") from None
        return HttpRequest(
            request.method,
            self._below + target or "/",
            lines,
            body or b"",
            countable(timeouts.connect),
            countable(timeouts.read),
            self._by_the_systems_clock(request.deadline),
        )

    def _by_the_systems_clock(self, deadline: float | None) -> float | None:
        """Return when a socket's waits must be over, which the system counts."""
        if deadline is None or self.clock is SYSTEM:
            return deadline
        return time.monotonic() + deadline - self.clock.monotonic()

    def fail(self, request: Request, error: Exception, *, begun: bool = False) -> KitError:
        """Return the failure with the words for where it happened; `begun` where the head of the answer had come."""
        where = f"{self.settings.service}: {request.method} {self._base}{request.path}"
        timeouts = request.timeouts or self.settings.timeouts
        if not isinstance(error, KitError):
            error = Lost(f"the connection broke: {error}")
        message = error.args[0]
        if not message:
            over = request.deadline is not None and self.clock.monotonic() > request.deadline - _NEARLY
            if isinstance(error, Unreachable):
                message = "no connection in time" if over else f"no connection within {timeouts.connect} s"
            elif over:
                message = LATE if begun else "no answer in time"
            elif begun and timeouts.silence is not None:
                message = f"the answer stopped for {timeouts.silence} s"
            else:
                message = f"no answer within {timeouts.read} s"
        error.args = (f"{where}: {message}",)
        # What was caught on the way has frames of its own, and their variables the request's headers.
        error.__context__ = error.__cause__ = None
        error.service, error.op, error.resource = self.settings.service, request.op, request.path
        return error


_FAILURES = (KitError, Malformed)


class _Exchange:
    """One exchange, until the last piece of its answer has been read; it is one row in the log of calls."""

    __slots__ = (
        "_clock",
        "_driver",
        "_error",
        "_started",
        "_unpacker",
        "answer",
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
        self.answer: Any = None
        self.unpacked: Callable[[bytes], bytes] = self._in_time
        """Returns a piece of the body as it was before it was packed; may be empty while more is needed."""

    def opened(self, answer: Any, step: Open) -> Stream:
        """Return the answer, whose head is there."""
        self.answer = answer
        self._unpacker = Unpacker(answer.headers, self.request.limit)
        if self.request.timeouts is not None and self.request.timeouts.silence is not None:
            answer.patience = countable(self.request.timeouts.silence)
        self.unpacked = self._unpacker.feed if self.request.deadline is None else self._in_time
        if not step.whole:
            self._error = ""
        return Stream(answer.status, answer.headers, self)

    def _in_time(self, piece: bytes) -> bytes:
        if self._driver.clock.monotonic() > (self.request.deadline or math.inf):
            raise Silent(LATE)
        assert self._unpacker is not None
        return self._unpacker.feed(piece)

    def finished(self, open_handles: OpenHandles) -> bytes:
        """Take note of the body's end; the connection is back already."""
        assert self._unpacker is not None
        self._unpacker.finish()
        self._error = ""
        open_handles.remove(self)
        self.log()
        return b""

    def failed(self, cause: Exception) -> KitError:
        """Return the failure in the toolkit's own words."""
        failure = self._driver.fail(self.request, cause, begun=self.answer is not None)
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
            status=0 if self.answer is None else self.answer.status,
            retries=request.retries,
            error=self._error,
        )


class Driver(_Driver, BlockingDriver):
    """Carries out the steps of an operation one after the other, in the caller's thread."""

    _pool: Pool | HttpxPool | None = None

    def do(self, step: Any, open_handles: OpenHandles) -> Any:
        if isinstance(step, Request):
            return whole(step)
        if isinstance(step, Open):
            return self._open(step, open_handles)
        exchange = step.stream.handle
        if isinstance(step, Shut):
            return self._drop(exchange, open_handles)
        try:
            while piece := exchange.answer.read():
                if unpacked := exchange.unpacked(piece):
                    return unpacked
            return exchange.finished(open_handles)
        except _FAILURES as error:
            failure = exchange.failed(error)
        # Out of the handler, or what was caught would be chained to it.
        self._drop(exchange, open_handles)
        raise failure

    def release(self, exchange: _Exchange) -> None:
        exchange.log()
        if exchange.answer is not None:
            exchange.answer.close()

    def _open(self, step: Open, open_handles: OpenHandles) -> Stream:
        exchange = _Exchange(self, step.request)
        open_handles.append(exchange)
        try:
            # A redirect is an answer like others: following it would carry the credential to wherever it points.
            return exchange.opened(self._connected().ask(self.build(step.request)), step)
        except _FAILURES as error:
            failure = exchange.failed(error)
        # Out of the handler, or what was caught would be chained to it.
        self._drop(exchange, open_handles)
        raise failure

    def _drop(self, exchange: _Exchange, open_handles: OpenHandles) -> None:
        if exchange in open_handles:
            open_handles.remove(exchange)
            self.release(exchange)

    def close(self) -> None:
        """Close the connections; a later call is an error."""
        self.closed = True
        pool, self._pool = self._pool, None
        if pool is not None and self._pid == os.getpid():
            pool.close()

    def _connected(self) -> Pool | HttpxPool:
        if self._pool is None or self._pid != os.getpid():
            # After a fork the parent's sockets must be left alone.
            self._pool, self._pid = _pool_of(self.settings), os.getpid()
            # A client in a notebook is seldom closed by hand; its sockets go with it.
            weakref.finalize(self, _close_in, self._pid, self._pool)
        return self._pool


def _by_httpx() -> bool:
    """Return whether httpx is to make all connections, not only those through a proxy."""
    chosen = os.environ.get("KIT_HTTP", "")
    if chosen not in ("", "direct", "httpx"):
        raise SetupError(
            f"KIT_HTTP={chosen!r} names no way to speak HTTP", hint="there are direct, the default, and httpx"
        )
    return chosen == "httpx"


def _pool_of(settings: Settings) -> Pool | HttpxPool:
    proxy = proxy_of(settings.origin)
    if proxy is None and not _by_httpx():
        return Pool(settings.origin, settings.context())
    from .transport import HttpxPool

    return HttpxPool(settings.origin, settings.context(), proxy)


def _loop_pool_of(settings: Settings) -> LoopPool | HttpxLoopPool:
    proxy = proxy_of(settings.origin)
    if proxy is None and not _by_httpx():
        from .loop_connections import LoopPool

        return LoopPool(settings.origin, settings.context())
    from .transport import HttpxLoopPool

    return HttpxLoopPool(settings.origin, settings.context(), proxy)


def _close_in(pid: int, pool: Pool | HttpxPool) -> None:
    if os.getpid() == pid:
        pool.close()


class AsyncDriver(_Driver, LoopDriver):
    """Carries out the steps of an operation on the running event loop."""

    _pool: LoopPool | HttpxLoopPool | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    async def do(self, step: Any, open_handles: OpenHandles) -> Any:
        if isinstance(step, Request):
            return whole(step)
        if isinstance(step, Open):
            return await self._open(step, open_handles)
        exchange = step.stream.handle
        if isinstance(step, Shut):
            return await self._drop(exchange, open_handles)
        try:
            while piece := await exchange.answer.read():
                if unpacked := exchange.unpacked(piece):
                    return unpacked
            return exchange.finished(open_handles)
        except _FAILURES as error:
            failure = exchange.failed(error)
        # Out of the handler, or what was caught would be chained to it.
        await self._drop(exchange, open_handles)
        raise failure

    async def release(self, exchange: _Exchange) -> None:
        exchange.log()
        if exchange.answer is not None:
            await exchange.answer.close()

    async def _open(self, step: Open, open_handles: OpenHandles) -> Stream:
        exchange = _Exchange(self, step.request)
        open_handles.append(exchange)
        try:
            return exchange.opened(await self._connected().ask(self.build(step.request)), step)
        except _FAILURES as error:
            failure = exchange.failed(error)
        # Out of the handler, or what was caught would be chained to it.
        await self._drop(exchange, open_handles)
        raise failure

    async def _drop(self, exchange: _Exchange, open_handles: OpenHandles) -> None:
        if exchange in open_handles:
            open_handles.remove(exchange)
            await self.release(exchange)

    async def close(self) -> None:
        """Close the connections; a later call is an error."""
        self.closed = True
        import asyncio  # not at the top, as in `drivers.py`

        pool, self._pool = self._pool, None
        if pool is not None and self._loop is asyncio.get_running_loop() and self._pid == os.getpid():
            await pool.close()

    def _connected(self) -> LoopPool | HttpxLoopPool:
        import asyncio

        loop = asyncio.get_running_loop()
        if self._pool is None or self._loop is not loop or self._pid != os.getpid():
            # Connections belong to the loop that opened them; `asyncio.run` in two cells makes two loops.
            self._pool = _loop_pool_of(self.settings)
            self._loop, self._pid = loop, os.getpid()
        return self._pool
