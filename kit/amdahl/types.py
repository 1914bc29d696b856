"""The types of what the service sends and accepts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

SessionStatus = Literal["running", "awaiting_input", "complete", "failed", "canceled"]
Profile = Literal["content_writer", "researcher", "copilot"]
WebhookEvent = Literal[
    "artifact.created",
    "artifact.updated",
    "artifact.status_changed",
    "session.completed",
    "session.failed",
    "audit_log.entry_created",
]

TERMINAL = {"complete", "failed", "canceled"}
"""The final statuses of a session."""

TERMINAL_EVENTS = {"session.completed", "session.failed", "session.canceled"}
"""The types of events that end a session's stream."""


class QueryResult(TypedDict):
    """The result of `query_data`."""

    rows: list[dict[str, Any]]
    rowCount: int
    truncated: bool


class DeclaredQuery(TypedDict):
    """A query that a page names and the host runs."""

    name: str
    sql: str


class Page(TypedDict, total=False):
    """A page: a spec of catalog components and the queries that it declares."""

    id: str
    name: str
    spec: dict[str, Any]
    tags: list[str]
    declared_queries: list[DeclaredQuery]
    status: str
    created_at: str
    updated_at: str


class AgentSession(TypedDict):
    """An agent session's state; the service adds more fields as the session proceeds."""

    session_id: str
    status: SessionStatus
    result: NotRequired[Any]
    error: NotRequired[Any]


class Webhook(TypedDict, total=False):
    """A webhook; only the answer to its registration has the `secret`."""

    id: str
    url: str
    events: list[str]
    description: str | None
    active: bool
    created_at: str
    secret: str


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The rate limit that the service last reported."""

    remaining: int | None = None
    reset: float | None = None
    seen_at: float = 0.0


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """One event of a session's log, with the id that a stream can be resumed from."""

    id: str
    payload: dict[str, Any]
