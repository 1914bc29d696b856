"""The embedded Kimberlite server: streams, subscriptions, and SQL over tables that remember how they were.

`server.py` puts the parts together. `listener.py` and `connection.py` speak the protocol, `calls.py` has what is done
about each request: `streams.py` keeps events, `subscriptions.py` pushes them, `sql/` has the tables, `access.py` knows
who may what, `tenants.py`, `audit.py` and `consents.py` keep records. `metrics.py` counts, and `side.py` shows that
over HTTP. What is refused, and why, is in `refusal.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..services import House, Server

__all__ = ["create"]


def create(house: House) -> Server:
    """Return the server, not yet listening."""
    # Here, because the SQL processes import this package too and need none of the web.
    from .server import KimberliteServer

    return KimberliteServer(house)
