"""The transports that the drivers send with: httpx's documented seam, over a pool of httpcore with our own network.

httpx does not apply the environment's proxies and certificates to a custom transport, so both are read here.
"""

from __future__ import annotations

import asyncio
import ipaddress
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpcore
import httpx as httpx  # the one import of it: who swaps it for a twin does so here

from .chunked import Malformed
from .loopback import is_loopback
from .network import AsyncNetwork, Network

FAILURES = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    Malformed,
)
_IDLE_CONNECTIONS = 20
_CONNECTIONS = 100
_IDLE_SECONDS = 5.0


def translated(error: Exception) -> httpx.TransportError:
    """Return a failure of the pool as the one of httpx with the same name."""
    for kind in type(error).__mro__:
        same: Any = getattr(httpx, kind.__name__, None)
        if isinstance(same, type) and issubclass(same, httpx.TransportError):
            return same(str(error))
    return httpx.RemoteProtocolError(str(error))


def proxy_of(url: httpx.URL) -> httpx.Proxy | None:
    """Return the proxy that the environment names for an address, read as httpx reads it, or None."""
    # What runs on this machine is not reached through a proxy, whatever the environment names for the rest.
    if is_loopback(str(url)):
        return None
    named = urllib.request.getproxies()
    if any(_spared(name.strip(), url) for name in named.get("no", "").split(",")):
        return None
    address = named.get(url.scheme) or named.get("all")
    if not address:
        return None
    return httpx.Proxy(address if "://" in address else f"http://{address}")


def _spared(name: str, url: httpx.URL) -> bool:
    """Return whether an entry of NO_PROXY covers an address: a name with the ones below it, or a network."""
    scheme, _, host = name.lower().rpartition("://")
    if not host or scheme not in ("", "all", url.scheme):
        return False
    if host == "*":
        return True
    try:
        return ipaddress.ip_address(url.host) in ipaddress.ip_network(host.strip("[]"), strict=False)
    except ValueError:
        pass
    host, _, port = host.lstrip("*").partition(":")
    if port and port != str(url.port or {"http": 80, "https": 443}.get(url.scheme)):
        return False
    below = host if host.startswith(".") else f".{host}"
    exact = scheme or host == "localhost"
    return url.host == host or bool(not exact and host and url.host.endswith(below))


def _options(url: httpx.URL, verify: Any) -> dict[str, Any]:
    proxy = proxy_of(url)
    return {
        # Certificates are a good part of what making a pool takes, and nothing here speaks TLS then.
        "ssl_context": httpx.create_ssl_context(verify, trust_env=not is_loopback(str(url)))
        if url.scheme == "https"
        else None,
        "proxy": None
        if proxy is None
        else httpcore.Proxy(str(proxy.url), proxy.raw_auth, proxy.headers.raw, proxy.ssl_context),
        "max_connections": _CONNECTIONS,
        "max_keepalive_connections": _IDLE_CONNECTIONS,
        "keepalive_expiry": _IDLE_SECONDS,
    }


def _below(request: httpx.Request) -> httpcore.Request:
    url = request.url
    return httpcore.Request(
        request.method,
        httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except FAILURES as error:
            raise translated(error) from None

    def close(self) -> None:
        self._stream.close()


class Transport(httpx.BaseTransport):
    """The blocking transport."""

    def __init__(self, url: httpx.URL, verify: Any) -> None:
        self._pool = httpcore.ConnectionPool(network_backend=Network(), **_options(url, verify))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            answer = self._pool.handle_request(_below(request))
        except FAILURES as error:
            raise translated(error) from None
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer.stream), extensions=answer.extensions
        )

    def close(self) -> None:
        self._pool.close()


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._stream:
                yield piece
        except FAILURES as error:
            raise translated(error) from None

    async def aclose(self) -> None:
        # httpcore closes under a shield of anyio's, which a task that asyncio cancels gets through. A connection that
        # is given back by half stays with the pool for ever.
        await asyncio.shield(self._stream.aclose())


class AsyncTransport(httpx.AsyncBaseTransport):
    """The async transport, on the running event loop."""

    def __init__(self, url: httpx.URL, verify: Any) -> None:
        self._pool = httpcore.AsyncConnectionPool(network_backend=AsyncNetwork(), **_options(url, verify))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            answer = await self._pool.handle_async_request(_below(request))
        except FAILURES as error:
            raise translated(error) from None
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_AsyncBody(answer.stream), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        await self._pool.aclose()
