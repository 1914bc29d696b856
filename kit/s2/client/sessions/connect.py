"""Connections to an origin, plain or with TLS; its addresses are tried one after the other."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ....core.errors import Unreachable
from ....core.http.certificates import context_of

P = TypeVar("P", bound=asyncio.Protocol)


async def dial(origin: str, protocol: str, seconds: float, verify: Any, make: Callable[[], P]) -> P:
    """Return what was made for the connection, connected; `Unreachable` where that takes longer than that many seconds.

    With TLS the other side is asked for this protocol; whether it agrees is for the caller to look at.
    """
    loop = asyncio.get_running_loop()
    parts = urlsplit(origin)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    ends = loop.time() + seconds
    failure: Unreachable
    try:
        async with asyncio.timeout_at(ends):
            addresses = await _addresses(host, port)
        while True:
            # Each address has its share of the time. Asyncio can race them, but may leave a socket open when cancelled.
            share = (ends - loop.time()) / len(addresses)
            try:
                async with asyncio.timeout(share):
                    _, made = await loop.create_connection(
                        make,
                        addresses.pop(0),
                        port,
                        ssl=context_of(verify, protocol) if secure else None,
                        server_hostname=host if secure else None,
                    )
                return made
            except ssl.SSLError:
                raise
            except OSError:
                if not addresses:
                    raise
    except TimeoutError:
        failure = Unreachable(f"no connection to {origin} within {seconds:g} s")
    except OSError as error:
        hint = "is the address right and the service running? `kit.Lab()` starts embedded ones"
        if isinstance(error, ssl.SSLCertVerificationError):
            hint = "its certificate is not trusted here; a company's own is given as verify=ssl.SSLContext"
        failure = Unreachable(f"could not connect to {origin}: {error or type(error).__name__}", hint=hint)
    raise failure


async def _addresses(host: str, port: int) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in addresses))
