"""The embedded Amdahl Platform API: SQL over interactions, pages, agent sessions with their streams, webhooks.

`server.py` puts the parts together; `app.py` has the gate (rate limit, key, version header) and the routes. `data.py`
answers queries with `sandbox.py`: worker processes (`worker.py`), each with a DuckDB that can neither write, nor read a
file, nor reach a network, over the table of `interactions.py`; `columns.py` turns types and rows into JSON. `pages.py`
stores pages that `specs.py` has validated. `agents.py` and `streams.py` serve sessions, `sessions.py` runs them by the
steps of `plans.py`, and `records.py` stores them. `webhooks.py` stores registrations, `deliveries.py` sends deliveries.
Shared by all: `lists.py`, `fields.py` (request bodies), `answers.py` (response bodies), `limits.py`, `schema.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..services import House, Server

__all__ = ["create"]


def create(house: House) -> Server:
    """Return the server, not yet listening."""
    # Imported here, as the SQL workers import this package too and need no web server.
    from .server import AmdahlServer

    return AmdahlServer(house)
