"""The two drivers that do an operation's steps, on the blocking and on the async transport.

What a step means is written once, in `_Work`, down to the four things that touch a socket or a clock: send, read a
piece, close, sleep. Each driver only does those four, one blocking, one awaiting.

Bodies are read raw and unpacked here with a bound, so that neither a long nor a densely packed answer can fill
the memory. An interrupt in the middle of an exchange drops that connection; the driver stays usable. Tracebacks
that leave here hold none of the transport's frames: their locals contain the request's headers.
"""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, TypeVar

from . import calls
from .errors import CLOSED, CLOSED_HINT, InputError, KitError, Lost, Silent, Unreachable
from .processes import check_process
from .raw_body import apieces, pieces
from .secrets import Secret, fit, revealed, without_password
from .steps import Emit, Next, Open, Operation, Pause, Request, Response, Step, Stream, Timeouts, Walk
from .transport import AsyncTransport, Transport, httpx
from .unpacking import Unpacker

T = TypeVar("T")

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
    """Certificates are checked, unless a caller gives False or an SSL context of their own."""
    refusal: type[InputError] = InputError
    """What is raised for an address that is none."""

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
    """What both drivers share: building requests, judging failures, writing the log."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._base = settings.base_url.rstrip("/")
        self._headers = settings.sent_headers()
        self._pid = os.getpid()
        self.closed = False

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

    def log(self, request: Request, started: float, clock: float, status: int, received: int, error: str = "") -> None:
        calls.record(
            self.settings.service,
            request.op or request.path,
            started,
            time.perf_counter() - clock,
            bytes_in=received,
            bytes_out=len(request.body or b""),
            status=status,
            retries=request.retries,
            error=error,
        )


@dataclass(frozen=True, slots=True, repr=False)
class _Read:
    """Wanted: the next piece of an answer's raw body."""

    pieces: Any


@dataclass(frozen=True, slots=True, repr=False)
class _Close:
    """Wanted: the answer's connection given back, or dropped where its body is unread."""

    answer: httpx.Response


@dataclass(slots=True, repr=False)
class _Opened:
    """An answer whose body is still being read."""

    request: Request
    answer: httpx.Response
    pieces: Any
    unpacker: Unpacker
    log: Callable[[int, str], None]
    error: str = ""

    def over(self) -> httpx.Response:
        """Write the log's row; gives the answer, to be closed."""
        self.log(self.unpacker.total, self.error)
        return self.answer


def _least(seconds: float | None, left: float | None) -> float | None:
    return seconds if left is None else left if seconds is None else min(seconds, left)


_Want = httpx.Request | _Read | _Close | Pause | Emit[Any]
_FAILURES = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)


class _Work:
    """One operation under way: turns its steps into wants, and what came of those into results for it."""

    def __init__(self, driver: _Driver, operation: Operation[Any] | Walk[Any], pieces_of: Any) -> None:
        self.driver = driver
        self.operation = operation
        self.pieces_of = pieces_of
        self.opened: list[Stream] = []

    def wants(self) -> Generator[_Want, Any, Any]:
        operation = self.operation
        try:
            step = next(operation)
            while True:
                failure: KitError | None = None
                result: Any = None
                try:
                    result = yield from self._do(step)
                except KitError as error:
                    failure = error
                step = operation.send(result) if failure is None else operation.throw(failure)
        except StopIteration as done:
            return done.value
        finally:
            operation.close()

    def _do(self, step: Step | Emit[Any]) -> Generator[_Want, Any, Any]:
        if isinstance(step, Request):
            return (yield from self._exchange(step))
        if isinstance(step, Next):
            return (yield from self._next(step.stream))
        if isinstance(step, Open):
            stream = yield from self._exchange(step.request, stays_open=True)
            self.opened.append(stream)
            return stream
        if isinstance(step, Pause | Emit):
            return (yield step)
        self.opened.remove(step.stream)
        return (yield _Close(step.stream.handle.over()))

    def _exchange(self, request: Request, *, stays_open: bool = False) -> Generator[_Want, Any, Any]:
        if self.driver.closed:
            # Raised into the operation, which makes it an error of its own service.
            raise InputError(CLOSED, hint=CLOSED_HINT, service=self.driver.settings.service, op=request.op)
        started, clock = calls.now(), time.perf_counter()
        error = "interrupted"
        answer: httpx.Response | None = None
        body: bytes | bytearray = b""
        failure: KitError | None = None
        try:
            answer = yield self.driver.build(request)
            unpacker = Unpacker(answer.headers, request.limit)
            if request.timeouts is not None and request.timeouts.silence is not None:
                answer.request.extensions["timeout"]["read"] = request.timeouts.silence
            pieces = self.pieces_of(answer)
            if stays_open:
                over = partial(self.driver.log, request, started, clock, answer.status_code)
                return Stream(answer.status_code, answer.headers, _Opened(request, answer, pieces, unpacker, over))
            while piece := (yield _Read(pieces)):
                if request.deadline is not None and time.monotonic() > request.deadline:
                    raise Silent("the answer was not complete in time")
                unpacked = unpacker.feed(piece)
                if not body:
                    body = unpacked
                else:
                    if isinstance(body, bytes):
                        body = bytearray(body)
                    body += unpacked
            unpacker.finish()
            error = ""
        except (*_FAILURES, KitError) as cause:
            failure = self.driver.fail(request, cause)
            error = type(failure).__name__
        finally:
            status = answer.status_code if answer is not None else 0
            if not stays_open or status == 0 or failure is not None:
                self.driver.log(request, started, clock, status, len(body), error)
        if failure is not None:
            if answer is not None:
                yield _Close(answer)
            raise failure
        assert answer is not None
        return Response(answer.status_code, answer.headers, body)

    def _next(self, stream: Stream) -> Generator[_Want, Any, bytes]:
        opened: _Opened = stream.handle
        try:
            while piece := (yield _Read(opened.pieces)):
                unpacked = opened.unpacker.feed(piece)
                if unpacked:
                    return unpacked
            opened.unpacker.finish()
            return b""
        except (*_FAILURES, KitError) as cause:
            failure = self.driver.fail(opened.request, cause)
        opened.error = type(failure).__name__
        raise failure


class Driver(_Driver):
    """Does the steps of an operation one after the other, in the caller's thread."""

    _transport: Transport | None = None

    def run(self, operation: Operation[T]) -> T:
        """Return the operation's result."""
        try:
            next(self._drive(operation))
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        raise AssertionError("an operation that emits items is walked, not run")

    def walk(self, operation: Walk[T]) -> Iterator[T]:
        """Return the items that the operation emits; closing the iterator closes its connection."""
        return self._drive(operation)

    def _drive(self, operation: Operation[Any] | Walk[Any]) -> Generator[Any, None, Any]:
        work = _Work(self, operation, pieces)
        wants = work.wants()
        answer: httpx.Response | None = None
        pid = os.getpid()
        try:
            want = next(wants)
            while True:
                if isinstance(want, Emit):
                    yield want.item
                    check_process(pid, "an answer that is being read")
                    want = next(wants)
                    continue
                failure: Exception | None = None
                result: Any = None
                try:
                    if isinstance(want, httpx.Request):
                        # No client around the transport: cookies and hooks are a fifth of a small call, and a
                        # redirect would carry the credential to wherever an answer points.
                        result = answer = self._connected().handle_request(want)
                        answer.request = want
                    elif isinstance(want, _Read):
                        result = next(want.pieces, b"")
                    elif isinstance(want, Pause):
                        time.sleep(want.seconds)
                    else:
                        want.answer.close()
                except _FAILURES as error:
                    failure = error
                # Out of the handler, or the transport's exception would be chained to ours.
                want = wants.send(result) if failure is None else wants.throw(failure)
        except StopIteration as done:
            return done.value
        except KeyboardInterrupt as interrupt:
            if answer is not None:
                answer.close()
            raise interrupt.with_traceback(None)  # noqa: B904
        finally:
            wants.close()
            for stream in work.opened:
                stream.handle.over().close()

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


class AsyncDriver(_Driver):
    """Does the steps of an operation on the running event loop."""

    _transport: AsyncTransport | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    async def run(self, operation: Operation[T]) -> T:
        """Return the operation's result."""
        result: list[T] = []
        async for _ in self._drive(operation, result):
            raise AssertionError("an operation that emits items is walked, not run")
        return result[0]

    def walk(self, operation: Walk[T]) -> AsyncIterator[T]:
        """Return the items that the operation emits; closing the iterator closes its connection."""
        return self._drive(operation, [])

    async def _drive(self, operation: Operation[Any] | Walk[Any], returned: list[Any]) -> AsyncIterator[Any]:
        work = _Work(self, operation, apieces)
        wants = work.wants()
        answer: httpx.Response | None = None
        try:
            want = next(wants)
            while True:
                if isinstance(want, Emit):
                    yield want.item
                    want = next(wants)
                    continue
                failure: Exception | None = None
                result: Any = None
                try:
                    if isinstance(want, httpx.Request):
                        result = answer = await self._connected().handle_async_request(want)
                        answer.request = want
                    elif isinstance(want, _Read):
                        result = await anext(want.pieces, b"")
                    elif isinstance(want, Pause):
                        await asyncio.sleep(want.seconds)
                    else:
                        await want.answer.aclose()
                except _FAILURES as error:
                    failure = error
                # Out of the handler, or the transport's exception would be chained to ours.
                want = wants.send(result) if failure is None else wants.throw(failure)
        except StopIteration as done:
            returned.append(done.value)
        except (KeyboardInterrupt, asyncio.CancelledError) as interrupt:
            if answer is not None:
                await answer.aclose()
            raise interrupt.with_traceback(None)  # noqa: B904
        finally:
            wants.close()
            for stream in work.opened:
                await stream.handle.over().aclose()

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
