"""The shapes of what the service sends and takes."""

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
"""Statuses after which a session does no more."""

TERMINAL_EVENTS = {"session.completed", "session.failed", "session.canceled"}
"""Types of the event that ends a session's stream."""


class QueryResult(TypedDict):
    """What `query_data` gives."""

    rows: list[dict[str, Any]]
    rowCount: int
    truncated: bool


class DeclaredQuery(TypedDict):
    """A query that a page names and the host runs."""

    name: str
    sql: str


class Page(TypedDict, total=False):
    """A page: a spec of catalog components and the queries it declares."""

    id: str
    name: str
    spec: dict[str, Any]
    tags: list[str]
    declared_queries: list[DeclaredQuery]
    status: str
    created_at: str
    updated_at: str


class AgentSession(TypedDict):
    """An agent session's state; the service adds more fields as it goes."""

    session_id: str
    status: SessionStatus
    result: NotRequired[Any]
    error: NotRequired[Any]


class Webhook(TypedDict, total=False):
    """A webhook; `secret` is there in the answer to its registration, and only there."""

    id: str
    url: str
    events: list[str]
    description: str | None
    active: bool
    created_at: str
    secret: str


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What the service last said about how much more may be asked."""

    remaining: int | None = None
    reset: float | None = None
    seen_at: float = 0.0


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """One event of a session's log, with the id from which a stream can be resumed."""

    id: str
    payload: dict[str, Any]
