"""The embedded Amdahl Platform API: SQL over interactions, pages, agent sessions with their streams, webhooks.

`server.py` puts the parts together; `app.py` has the gate (rate limit, key, version header) and the routes.
`data.py` answers queries from `sandbox.py`: worker processes (`worker.py`), each with a DuckDB that can neither write,
nor read a file, nor reach a network, over the table of `interactions.py`; `columns.py` turns types and rows into JSON.
`pages.py` keeps pages that `specs.py` has judged. `agents.py` and `streams.py` show sessions, `sessions.py` runs them
by `plans.py` and `records.py` writes them down. `webhooks.py` keeps registrations, `deliveries.py` sends. What they
share: `lists.py`, `fields.py` (bodies in), `answers.py` (bodies out), `limits.py`, `schema.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..services import House, Server

__all__ = ["create"]


def create(house: House) -> Server:
    """Return the server, not yet listening."""
    # Here, because the SQL workers import this package too and need none of the web.
    from .server import AmdahlServer

    return AmdahlServer(house)
