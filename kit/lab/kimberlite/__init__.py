"""The embedded Kimberlite server: streams, subscriptions, and SQL over tables that keep their history.

`server.py` puts the parts together. `listener.py` and `connection.py` speak the protocol, `calls.py` handles each
request: `streams.py` stores events, `subscriptions.py` pushes them, `sql/` has the tables, `access.py` checks
permissions, `tenants.py`, `audit.py` and `consents.py` keep records. `metrics.py` counts, and `side.py` serves the
counts over HTTP. `refusal.py` has the errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..services import House, Server

__all__ = ["create"]


def create(house: House) -> Server:
    """Return the server, not yet listening."""
    # Imported here, as the SQL processes import this package too and need no web server.
    from .server import KimberliteServer

    return KimberliteServer(house)
