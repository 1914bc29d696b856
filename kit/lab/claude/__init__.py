"""The embedded Claude Code API service: completions, batches, tasks, usage and streams, without a model.

`server.py` puts the parts together. `app.py` has the order of checks (key, rate limit, body) and the routes; `chat.py`,
`tasks.py`, `usage.py`, `process.py`, `streams.py`, `health.py` and `control.py` answer them. `runs.py` replaces the
service's command: it takes a place in the pool, obeys the directives in a prompt (`directives.py`) and lets `writer.py`
write the text. `routing.py` chooses models. `usage_store.py` keeps usage and budgets, `keys.py` keys and their limits,
`profiles.py` what they allow. Shared by all: `fields.py` (request bodies), `answers.py` (response bodies), `tuning.py`,
`schema.py`. `demo.py` adds some weeks of usage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..services import House, Server

__all__ = ["create"]


def create(house: House) -> Server:
    """Return the server, not yet listening."""
    from .server import ClaudeServer

    return ClaudeServer(house)
