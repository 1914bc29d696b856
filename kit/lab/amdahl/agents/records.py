"""Sessions as rows: written within a transaction, and returned as status objects."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from ..answers import compact
from ..fields import now, stamp
from .plans import Plan

RUNNING, AWAITING = "running", "awaiting_input"
ENDED = ("complete", "failed", "canceled")
STATUSES = (RUNNING, AWAITING, *ENDED)
TERMINAL = ("session.completed", "session.failed", "session.canceled")
EVENT_OF = dict(zip(ENDED, TERMINAL, strict=True))


class Record:
    """Writes to one session within a transaction."""

    def __init__(self, db: sqlite3.Connection, session_id: str) -> None:
        self._db = db
        self.session_id = session_id

    def say(self, kind: str, data: dict[str, Any]) -> None:
        """Add an event to the session's log."""
        query = "update sessions set events = events + 1 where id = ? returning events"
        number = self._db.execute(query, (self.session_id,)).fetchone()[0]
        body = {"type": kind, "session_id": self.session_id, "timestamp": stamp(now()), "data": data}
        self._db.execute(
            "insert into events values (?, ?, ?, ?)", (self.session_id, number, kind, compact(body).decode())
        )

    def change(self, **values: Any) -> None:
        """Set columns of the session."""
        assignments = ", ".join(f"{name} = ?" for name in values)
        self._db.execute(
            f"update sessions set {assignments}, updated_at = max(updated_at, ?) where id = ?",  # noqa: S608
            (*values.values(), now(), self.session_id),
        )


def insert(
    db: sqlite3.Connection, session_id: str, profile: str, task: str, params: dict[str, Any], steps: int, at: int
) -> None:
    """Insert a new session, running, with no event yet."""
    db.execute(
        "insert into sessions (id, profile_id, task, input_params, status, steps, words, created_at, updated_at)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (session_id, profile, task, json.dumps(params), RUNNING, steps, f"{profile} {task}".casefold(), at, at),
    )


def result_of(row: sqlite3.Row, script: Plan, artifacts: list[sqlite3.Row]) -> dict[str, Any]:
    summary = {
        "researcher": "Chat complaints peak in the week of 13 April 2026; most open cases belong to a few accounts.",
        "content_writer": "The text is written and final.",
        "copilot": "Answered from the interactions on record.",
    }[row["profile_id"]]
    result: dict[str, Any] = {"title": script.title, "summary": summary}
    if artifacts:
        result["artifacts"] = [{**artifact_shown(artifact), "content": artifact["content"]} for artifact in artifacts]
    return result


def artifact_shown(row: sqlite3.Row) -> dict[str, Any]:
    """Return an artifact as events and results tell it."""
    return {name: row[name] for name in ("id", "artifact_type", "title", "status", "current_version")}


def shown(row: sqlite3.Row) -> dict[str, Any]:
    """Return a session's status object."""
    status = row["status"]
    state: dict[str, Any] = {
        "session_id": row["id"],
        "profile_id": row["profile_id"],
        "task": row["task"],
        "status": status,
        "progress": 1.0 if status == "complete" else round(min(1.0, row["position"] / (row["steps"] or 1)), 4),
        "step": row["step"],
        "created_at": stamp(row["created_at"]),
        "updated_at": stamp(row["updated_at"]),
        "usage": {name: row[name] for name in ("turns", "input_tokens", "output_tokens")},
    }
    for name in ("result", "error", "input_request"):
        if row[name] is not None:
            state[name] = json.loads(row[name])
    return state
