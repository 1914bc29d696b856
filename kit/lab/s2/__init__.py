"""The embedded S2: basins, streams and records over both HTTPs on one port, as the official clients expect them.

`server.py` puts the parts together. `listener.py` tells `http1.py` from `http2.py`; both make an `exchange.py` of each
request. It passes the gate of `app.py` (guard, credential, route) and `faulty.py`, and reaches a handler as `call.py`.
The control plane is `control.py` over `catalog.py` and `rows.py`, with `configs.py` for settings and `names.py`;
`tokens.py` issues access tokens that `scopes.py` enforces; `usage.py` counts what the metrics tell.
Appends (`appends.py`) come in through `inputs.py` and `scan.py` as a `draft.py`, get their places in `log.py`, which
commits many together, and lie in the database as `chunks.py`: wire-ready bytes, encrypted by `cipher.py` where the
stream is. `reads.py` and `sessions.py` send what a `cursor.py` takes from `shelf.py`. `sweeper.py` removes what was
trimmed, expired or deleted. `demo.py` fills a shop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..services import House, Server

__all__ = ["create"]


def create(house: House) -> Server:
    """Return the server, not yet listening."""
    # Here, because the service is listed by many who never start it.
    from .server import S2Server

    return S2Server(house)
