"""Connections to an origin, plain or with TLS, also through the proxy that the environment names; the addresses of a
host are tried one after the other."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from ....core.errors import KitError, Unreachable
from ....core.http.certificates import context_of
from ....core.http.chunked import Malformed
from ....core.http.http1 import Origin, origin_of, parse_head
from ....core.http.proxies import PROXY_HINT, proxy_of

P = TypeVar("P", bound=asyncio.BaseProtocol)
Tls = Callable[[], ssl.SSLContext]
"""Gives the context at the moment of its use, as other calls may change a shared one."""

_LONGEST_HEAD = 64 * 1024


async def dial(url: str, protocol: str, seconds: float, verify: Any, make: Callable[[], P]) -> P:
    """Return what was made for the connection, connected; `Unreachable` where that takes longer than that many seconds.

    With TLS the other side is asked for this protocol; whether it agrees is for the caller to look at.
    """
    loop = asyncio.get_running_loop()
    origin = origin_of(url)
    ends = loop.time() + seconds
    hint = "is the address right and the service running? `kit.Lab()` starts embedded ones"
    failure: KitError
    try:
        tls = (lambda: context_of(verify, protocol)) if origin.secure else None
        if proxy_of(origin) is None:
            return (await _connected(origin, ends, make, tls))[1]
        hint = PROXY_HINT
        return await _through_proxy(origin, ends, make, tls)
    except KitError as error:
        failure = error.with_traceback(None)  # frames below may hold the password of a proxy
    except TimeoutError:
        failure = Unreachable(f"no connection to {url} within {seconds:g} s", hint=hint)
    except OSError as error:
        if isinstance(error, ssl.SSLCertVerificationError):
            hint = "its certificate is not trusted here; a company's own is given as verify=ssl.SSLContext"
        failure = Unreachable(f"could not connect to {url}: {error or type(error).__name__}", hint=hint)
    raise failure


async def _connected(
    origin: Origin, ends: float, make: Callable[[], P], tls: Tls | None
) -> tuple[asyncio.Transport, P]:
    """Return a connection and what was made for it."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout_at(ends):
        addresses = await _addresses(origin.host, origin.port)
    while True:
        # Each address has its share of the time. Asyncio can race them, but may leave a socket open when cancelled.
        share = (ends - loop.time()) / len(addresses)
        try:
            async with asyncio.timeout(share):
                return await loop.create_connection(
                    make,
                    addresses.pop(0),
                    origin.port,
                    ssl=tls() if tls else None,
                    server_hostname=origin.host if tls else None,
                )
        except ssl.SSLError:
            raise
        except OSError:
            if not addresses:
                raise


async def _through_proxy(origin: Origin, ends: float, make: Callable[[], P], tls: Tls | None) -> P:
    """Return what was made for a connection that the proxy of the environment makes."""
    loop = asyncio.get_running_loop()
    parts = urlsplit(proxy_of(origin) or "")
    if parts.scheme not in ("http", "https"):
        raise Unreachable(
            f"could not connect to {origin.name}: the environment names a proxy that does not speak HTTP",
            hint=f"appends to S2 go through HTTP proxies only; {PROXY_HINT}",
        )
    try:
        proxy = origin_of(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    except ValueError as error:
        raise Unreachable(f"the address of the proxy cannot be read: {error}", hint=PROXY_HINT) from None
    to_proxy = (lambda: context_of(True, "http/1.1")) if proxy.secure else None
    transport, tunnel = await _connected(proxy, ends, _Tunnel, to_proxy)
    try:
        async with asyncio.timeout_at(ends):
            rest = await tunnel.open(origin, parts.username, parts.password)
            made = make()
            if tls is None:
                transport.set_protocol(made)
                transport.resume_reading()
            else:
                secured = await loop.start_tls(transport, made, tls(), server_hostname=origin.host)
                assert secured is not None
                transport = secured
            made.connection_made(transport)
            if rest and isinstance(made, asyncio.Protocol):
                made.data_received(rest)
            return made
    except BaseException:
        transport.abort()
        raise


class _Tunnel(asyncio.Protocol):
    """What asks a proxy for a connection, until it has one."""

    def __init__(self) -> None:
        self._seen = bytearray()
        self._answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, origin: Origin, user: str | None, password: str | None) -> bytes:
        """Ask for a connection to this origin; return what came behind the answer."""
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        place = f"{host}:{origin.port}"
        lines = [f"CONNECT {place} HTTP/1.1", f"host: {place}"]
        if user is not None:
            credential = b64encode(f"{unquote(user)}:{unquote(password or '')}".encode()).decode()
            lines.append(f"proxy-authorization: Basic {credential}")
        self._transport.write("\r\n".join([*lines, "", ""]).encode())
        await self._answer
        head, _, rest = bytes(self._seen).partition(b"\r\n\r\n")
        try:
            status = parse_head(head).status
        except Malformed as error:
            raise Unreachable(f"no connection through the proxy: {error}", hint=PROXY_HINT) from None
        if not 200 <= status < 300:
            raise Unreachable(f"the proxy makes no connection to {place}: it answered HTTP {status}", hint=PROXY_HINT)
        return rest

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if not self._answer.done():
            if b"\r\n\r\n" in self._seen:
                # What comes now is for the protocol that follows this one.
                self._transport.pause_reading()
                self._answer.set_result(None)
            elif len(self._seen) > _LONGEST_HEAD:
                self._fail("its answer has no end")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(str(exc or "it closed the connection"))

    def _fail(self, reason: str) -> None:
        if not self._answer.done():
            self._answer.set_exception(Unreachable(f"no connection through the proxy: {reason}", hint=PROXY_HINT))


async def _addresses(host: str, port: int) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in addresses))
