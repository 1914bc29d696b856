"""The Claude Code API service: completions, agentic tasks, batches, streams, usage.

    from kit.claude import ClaudeClient

    client = ClaudeClient()        # reads CLAUDE_API_URL and CLAUDE_API_KEY
    print(client.complete("What is Python?").content)

`AsyncClaudeClient` has the same verbs, awaited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import (
    AuthenticationError,
    BudgetExceededError,
    ClaudeAPIError,
    ClaudeInputError,
    PermissionError,
    RateLimitError,
    TimeoutError,
)
from .types import BatchResponse, BatchResult, Model, Response, Usage, UsageStats

if TYPE_CHECKING:
    from .client.client import AsyncClaudeClient, ClaudeClient

__all__ = [
    "AsyncClaudeClient",
    "AuthenticationError",
    "BatchResponse",
    "BatchResult",
    "BudgetExceededError",
    "ClaudeAPIError",
    "ClaudeClient",
    "ClaudeInputError",
    "Model",
    "PermissionError",
    "RateLimitError",
    "Response",
    "TimeoutError",
    "Usage",
    "UsageStats",
]

_CLIENTS = ("AsyncClaudeClient", "ClaudeClient")
"""The names of clients; the code that speaks to a server loads when one is first used."""


def __getattr__(name: str) -> Any:
    if name not in _CLIENTS:
        raise AttributeError(f"kit.claude has no {name!r}")
    from .client import client

    for one in _CLIENTS:
        globals()[one] = _public(getattr(client, one))
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _public(value: Any) -> Any:
    """Return tracebacks and help show the name that can be imported."""
    value.__module__ = __name__
    return value


for _name in __all__:
    if _name not in _CLIENTS:
        _public(globals()[_name])
del _name
