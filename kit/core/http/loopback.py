"""Whether something is on this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(address: str) -> bool:
    """Return whether an address or an origin names this machine itself.

    >>> is_loopback("http://127.0.0.1:8888"), is_loopback("//localhost"), is_loopback("http://127.0.0.1.example.com")
    (True, True, False)
    """
    try:
        host = urlsplit(address).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_foreign(host: str, origin: str) -> bool:
    """Return whether a request's `Host` or `Origin` header (empty if missing) belongs to a foreign web page.

    >>> is_foreign("127.0.0.1:80", ""), is_foreign("localhost", "https://example.com"), is_foreign("", "")
    (False, True, True)
    """
    return not is_loopback(f"//{host}") or (bool(origin) and not is_loopback(origin))
