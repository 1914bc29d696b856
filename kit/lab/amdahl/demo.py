"""Demo pages and sessions, so that the first listing is not empty."""

from __future__ import annotations

import sqlite3
from typing import Any

from .agents import records
from .agents.plans import plan
from .answers import compact
from .fields import now, stamp
from .pages import pages

_PAGES: tuple[dict[str, Any], ...] = (
    {
        "name": "Weekly sentiment",
        "description": "How customers feel, by channel and by week.",
        "tags": ["weekly", "sentiment"],
        "declared_queries": [
            {
                "name": "by_channel",
                "sql": "SELECT channel, COUNT(*) AS events, ROUND(AVG(sentiment), 3) AS sentiment FROM interactions"
                " GROUP BY channel ORDER BY events DESC",
            },
            {
                "name": "by_week",
                "sql": "SELECT DATE_TRUNC('week', occurred_at) AS week, AVG(sentiment) AS sentiment FROM interactions"
                " GROUP BY week ORDER BY week",
            },
        ],
        "spec": {
            "type": "Section",
            "title": "Sentiment",
            "children": [
                {"type": "Chart", "kind": "line", "x": "week", "y": "sentiment", "data": {"$query": "by_week"}},
                {"type": "Table", "data": {"$query": "by_channel"}},
            ],
        },
    },
    {
        "name": "Open cases",
        "description": "Accounts with the most interactions that are not resolved.",
        "tags": ["support"],
        "declared_queries": [
            {
                "name": "open_by_account",
                "sql": "SELECT account, COUNT(*) AS open FROM interactions WHERE NOT resolved GROUP BY account"
                " ORDER BY open DESC LIMIT 20",
            },
            {"name": "open_total", "sql": "SELECT COUNT(*) AS open FROM interactions WHERE NOT resolved"},
        ],
        "spec": {
            "type": "Section",
            "title": "Open cases",
            "children": [
                {"type": "Metric", "data": {"$query": "open_total"}},
                {"type": "Table", "data": {"$query": "open_by_account"}},
            ],
        },
    },
    {
        "name": "Renewals",
        "description": "Contracts that were extended.",
        "tags": ["revenue"],
        "declared_queries": [
            {
                "name": "by_month",
                "sql": "SELECT DATE_TRUNC('month', occurred_at) AS month, currency, SUM(amount) AS amount"
                " FROM interactions WHERE kind = 'renewal' GROUP BY month, currency ORDER BY month, currency",
            }
        ],
        "spec": {
            "type": "Section",
            "title": "Renewals",
            "children": [
                {"type": "Text", "text": "Amounts are in the currency of each account."},
                {"type": "Chart", "kind": "bar", "x": "month", "y": "amount", "data": {"$query": "by_month"}},
            ],
        },
    },
)
_SESSIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("researcher", "Why did complaints rise in April?", {}),
    ("content_writer", "Write a short note on the export outage for customers", {}),
    ("copilot", "Summarise the open cases of our largest account", {"fail": "the account was not named"}),
)


def fill(db: sqlite3.Connection) -> None:
    """Add the demo pages and sessions, once: what a user archives later stays archived."""
    if db.execute("select 1 from pages where id like 'page_demo%' limit 1").fetchone():
        return
    start = now() - 2 * 86_400_000
    for n, page in enumerate(_PAGES):
        pages.insert(db, f"page_demo{n + 1}", page, start + n * 3_600_000)
    for n, (profile, task, params) in enumerate(_SESSIONS):
        _finished(db, f"plat_00000000-0000-4000-8000-00000000000{n + 1}", profile, task, params, start + n * 5_400_000)


def _finished(
    db: sqlite3.Connection, session_id: str, profile: str, task: str, params: dict[str, Any], at: int
) -> None:
    """Make a session that ended, with a log of its steps."""
    script = plan(profile, task, params)
    records.insert(db, session_id, profile, task, params, script.last, at)
    worked = script.steps[:-1]
    events: list[tuple[str, dict[str, Any]]] = [
        ("session.started", {"profile_id": profile, "task": task, "steps": script.last})
    ]
    for step in worked:
        events += [("step.started", {"step": step.name}), ("message", {"role": "assistant", "text": step.text})]
    failed = script.failure is not None
    outcome = {"code": "agent_failed", "message": script.failure} if failed else {"title": script.title}
    name = "error" if failed else "result"
    status = "failed" if failed else "complete"
    events.append((f"session.{'failed' if failed else 'completed'}", {"status": status, name: outcome}))
    for number, (kind, data) in enumerate(events, 1):
        stamped = stamp(at + number * 900)
        body = {"type": kind, "session_id": session_id, "timestamp": stamped, "data": data}
        db.execute("insert into events values (?, ?, ?, ?)", (session_id, number, kind, compact(body).decode()))
    db.execute(
        f"update sessions set status = ?, {name} = ?, position = ?, step = ?, turns = ?, input_tokens = ?,"  # noqa: S608
        " output_tokens = ?, events = ?, updated_at = ? where id = ?",
        (
            status,
            compact(outcome).decode(),
            script.last if failed else script.last + 1,
            worked[-1].name,
            len(worked),
            sum(step.tokens[0] for step in worked),
            sum(step.tokens[1] for step in worked),
            len(events),
            at + len(events) * 900,
            session_id,
        ),
    )
