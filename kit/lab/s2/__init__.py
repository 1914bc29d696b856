"""The embedded S2: basins, streams and records over HTTP/1.1 and HTTP/2 on one port, as the official clients expect.

`server.py` puts the parts together. `listener.py` chooses `http1.py` or `http2.py` for a connection; both make an
`Exchange` of each request. It passes the checks of `app.py` (guard, credential, route) and `fault_injection.py`, and
reaches a handler as a `Call`. The control plane is `control.py` over `catalog.py` and `rows.py`, with `configs.py` for
settings and `names.py`; `tokens.py` issues access tokens that `scopes.py` enforces; `usage.py` counts for the metrics.
Appends (`appends.py`) are parsed by `inputs.py` and `scan.py` into a `Draft`, get their positions in `log.py`, which
commits many together, and are stored as `Chunk`s: wire-ready bytes, encrypted by `cipher.py` if the stream is.
`reads.py` and `sessions.py` send what a `Cursor` takes from the `ChunkCache`. `sweeper.py` removes what was trimmed,
expired or deleted. `demo.py` writes the demo data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..services import House, Server

__all__ = ["create"]


def create(house: House) -> Server:
    """Return the server, not yet listening."""
    # Imported here, as listing the service does not need its server.
    from .server import S2Server

    return S2Server(house)
