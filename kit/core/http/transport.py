"""Connections that httpx makes, by its documented transports: those through a proxy, and with `KIT_HTTP=httpx` all.

Their answers look like others. What a service sends behind an answer httpx takes for the next one; the connections of
`connections.py` refuse it.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

import httpx  # the only import of it, so that it can be replaced here

from ..errors import InputError, KitError, Lost, SetupError, Silent, Unreachable
from .connections import MOST, unreachable
from .http1 import HttpRequest, Origin, within
from .proxies import PROXY_HINT

_FAILURES = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
S = TypeVar("S", httpx.HTTPTransport, httpx.AsyncHTTPTransport)
_LIMITS = httpx.Limits(max_connections=MOST, max_keepalive_connections=20, keepalive_expiry=5.0)


def _translated(error: Exception, proxy: str | None = None) -> KitError:
    """Return the failure in the toolkit's own kinds."""
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return Unreachable()
    if isinstance(error, httpx.ProxyError):
        return Unreachable(f"could not connect: {str(error) or type(error).__name__}", hint=PROXY_HINT)
    if isinstance(error, httpx.ConnectError):
        failure = unreachable(error)
        if proxy and "CERTIFICATE" not in str(error).upper():
            failure.hint = PROXY_HINT
        return failure
    if isinstance(error, httpx.TimeoutException):
        return Silent()
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL | httpx.LocalProtocolError):
        return InputError(str(error))
    return Lost(f"the connection broke: {str(error) or 'it was closed'}")


def _sender(kind: type[S], context: ssl.SSLContext | None, proxy: str | None) -> S:
    """Return what sends requests, through the proxy if there is one."""
    try:
        through = httpx.Proxy(proxy) if proxy else None
        return kind(verify=context or False, trust_env=False, proxy=through, limits=_LIMITS)
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        failure = _unusable(error)
    raise failure


def _unusable(error: Exception) -> SetupError:
    """Return that the proxy of the environment cannot be used; its address is not quoted, as it may hold a password."""
    if isinstance(error, ImportError):
        return SetupError(
            "the environment names a SOCKS proxy, which needs a package more", hint="pip install httpx[socks]"
        )
    return SetupError("the environment names a proxy by an address that is none", hint=PROXY_HINT)


def _request(origin: Origin, request: HttpRequest) -> httpx.Request:
    lines = [line.partition(b": ")[::2] for line in request.lines.split(b"\r\n") if line]
    connect, read = request.connect, request.read
    if request.until is not None:
        connect, read = within(connect, request.until), within(read, request.until)
    timeout = {"connect": connect, "pool": connect, "read": read, "write": read}
    return httpx.Request(
        request.method,
        f"{origin.scheme}://{origin.name}{request.target}",
        headers=lines,
        content=request.body,
        extensions={"timeout": timeout},
    )


class _Httpx:
    """The head of an answer that httpx has received."""

    def __init__(self, answer: httpx.Response, request: httpx.Request) -> None:
        self._answer = answer
        self._timeout: dict[str, float | None] = request.extensions["timeout"]
        answer.request = request
        self.status = answer.status_code
        self.headers = answer.headers

    @property
    def patience(self) -> float | None:
        """Seconds to wait for each next piece."""
        return self._timeout["read"]

    @patience.setter
    def patience(self, seconds: float | None) -> None:
        self._timeout["read"] = seconds


class HttpxAnswer(_Httpx):
    """An answer whose calls block."""

    def __init__(self, answer: httpx.Response, request: httpx.Request) -> None:
        super().__init__(answer, request)
        self._pieces: Iterator[bytes] = answer.iter_raw()

    def read(self) -> bytes:
        """Return the next piece of the body, nothing at its end."""
        try:
            return next(self._pieces, b"")
        except _FAILURES as error:
            raise _translated(error) from None

    def close(self) -> None:
        self._answer.close()


class HttpxPool:
    """The connections to one origin, through its proxy if it has one."""

    def __init__(self, origin: Origin, context: ssl.SSLContext | None, proxy: str | None) -> None:
        self._origin, self._proxy = origin, proxy
        self._sender = _sender(httpx.HTTPTransport, context, proxy)

    def ask(self, request: HttpRequest) -> HttpxAnswer:
        """Send a request, and return its answer, whose head has come."""
        try:
            prepared = _request(self._origin, request)
            return HttpxAnswer(self._sender.handle_request(prepared), prepared)
        except _FAILURES as error:
            raise _translated(error, self._proxy) from None

    def close(self) -> None:
        self._sender.close()


class HttpxLoopAnswer(_Httpx):
    """An answer on an event loop."""

    def __init__(self, answer: httpx.Response, request: httpx.Request) -> None:
        super().__init__(answer, request)
        self._pieces: AsyncIterator[bytes] = answer.aiter_raw()

    async def read(self) -> bytes:
        """Return the next piece of the body, nothing at its end."""
        try:
            return await anext(self._pieces, b"")
        except _FAILURES as error:
            raise _translated(error) from None

    async def close(self) -> None:
        await self._answer.aclose()


class HttpxLoopPool:
    """The same on an event loop."""

    def __init__(self, origin: Origin, context: ssl.SSLContext | None, proxy: str | None) -> None:
        self._origin, self._proxy = origin, proxy
        self._sender = _sender(httpx.AsyncHTTPTransport, context, proxy)

    async def ask(self, request: HttpRequest) -> HttpxLoopAnswer:
        """Send a request, and return its answer, whose head has come."""
        try:
            prepared = _request(self._origin, request)
            return HttpxLoopAnswer(await self._sender.handle_async_request(prepared), prepared)
        except _FAILURES as error:
            raise _translated(error, self._proxy) from None

    async def close(self) -> None:
        await self._sender.aclose()
