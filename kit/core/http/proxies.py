"""Which proxy the environment names for an address."""

from __future__ import annotations

import ipaddress
from typing import Any

from .http1 import Origin
from .loopback import is_loopback

PROXY_HINT = (
    "is the proxy right that the environment names in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, and is it running? "
    "NO_PROXY lists the hosts that need none"
)


def proxy_of(origin: Origin) -> str | None:
    """Return the address of the proxy that the environment names for an origin, read as httpx reads it, or None."""
    # What runs on this machine is not reached through a proxy, whatever the environment names for the rest.
    if is_loopback(f"//{origin.name}"):
        return None
    import urllib.request  # an eighth of what a first call takes, for what only some networks have

    named = urllib.request.getproxies()
    if any(_spared(name.strip(), origin) for name in named.get("no", "").split(",")):
        return None
    address = named.get(origin.scheme) or named.get("all")
    if not address:
        return None
    return address if "://" in address else f"http://{address}"


def socket_proxy(origin: Origin) -> dict[str, Any]:
    """Return the option of a WebSocket by which it takes the same proxy as requests to this origin, or none."""
    from websockets.version import version

    # Older ones take none, and by itself a newer one also goes through a proxy to this machine.
    return {"proxy": proxy_of(origin)} if int(version.partition(".")[0]) >= 15 else {}


def _spared(name: str, origin: Origin) -> bool:
    """Return whether an entry of NO_PROXY covers an origin: a name with the ones below it, or a network."""
    scheme, _, host = name.lower().rpartition("://")
    if not host or scheme not in ("", "all", origin.scheme):
        return False
    if host == "*":
        return True
    try:
        return ipaddress.ip_address(origin.host) in ipaddress.ip_network(host.strip("[]"), strict=False)
    except ValueError:
        pass
    host, _, port = host.lstrip("*").partition(":")
    if port and port != str(origin.port):
        return False
    below = host if host.startswith(".") else f".{host}"
    exact = scheme or host == "localhost"
    return origin.host == host or bool(not exact and host and origin.host.endswith(below))
