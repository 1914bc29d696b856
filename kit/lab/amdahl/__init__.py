"""The embedded Amdahl Platform API: SQL over interactions, pages, agent sessions with their streams, webhooks.

server.py        puts the parts together, starts and stops them
app.py           the gate (rate limit, key, version header) and the routes
data.py          /data/query and /data/explore, over
  sandbox.py       worker processes that run SQL, each with
  worker.py          one DuckDB that can neither write nor read a file nor reach a network
  columns.py         DuckDB's types as JSON and as the names the service uses
  interactions.py    the demo table
pages.py         pages, over specs.py, which judges a page's spec
agents.py        sessions over HTTP, stream.py their events; sessions.py runs them, plans.py
                         says what they do, records.py writes it down
webhooks.py      registrations; deliveries.py the outbox that sends
lists.py         the envelope of lists; fields.py reads bodies; answers.py writes answers
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..services import House, Server

__all__ = ["create"]


def create(house: House) -> Server:
    """The server, not yet listening."""
    # Here, because the SQL workers import this package too and need none of the web.
    from .server import AmdahlServer

    return AmdahlServer(house)
