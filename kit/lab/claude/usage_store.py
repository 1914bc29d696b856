"""Usage and budgets, by key and project. A run is stored before its answer is sent."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from ..common.store import Store
from .answers import Refusal
from .keys import Key
from .model.runs import Run

DAY = 24 * 3600
PERIODS = ("month", "week", "day")
_INSERT = (
    "insert into usage (digest, project_id, kind, model, input_tokens, output_tokens, cost, request_id, at)"
    " values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class UsageStore:
    """The usage of all projects, and their monthly budgets."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._limits: dict[str, int | None] = {
            row["id"]: row["monthly_token_limit"] for row in store.read("select * from projects")
        }
        self._reserved: dict[str, int] = {}

    async def set_limit(self, project: str, tokens: int | None) -> None:
        """Set what a project may use in a calendar month; None is no limit."""
        await self._store.write(
            lambda db: db.execute("insert or replace into projects values (?, ?)", (project, tokens))
        )
        self._limits[project] = tokens

    async def record(self, key: Key, project: str, kind: str, runs: list[Run], request_id: str) -> None:
        """Write runs down; returns when they are on disk."""
        at = round(time.time() * 1000)
        rows = [
            (
                key.digest,
                project,
                kind,
                run.model,
                run.input_tokens,
                run.output_tokens,
                run.cost,
                request_id,
                at,
            )
            for run in runs
        ]

        def put(db: sqlite3.Connection) -> None:
            db.executemany(_INSERT, rows)

        if rows:
            await self._store.write(put)

    def usage(self, project: str, period: str) -> dict[str, Any]:
        """Return usage in the form of `/v1/usage`."""
        rows = self._store.read(
            "select model, sum(input_tokens + output_tokens) as tokens, sum(cost) as cost from usage"
            " where project_id = ? and at >= ? group by model order by model",
            (project, since(period)),
        )
        by_model = {row["model"]: {"tokens": row["tokens"], "cost": row["cost"]} for row in rows}
        total = sum(row["tokens"] for row in rows)
        limit = self._limits.get(project)
        return {
            "project_id": project,
            "period": period,
            "total_tokens": total,
            "total_cost": sum(row["cost"] for row in rows),
            "by_model": by_model,
            "limit": limit,
            "remaining": None if limit is None else limit - total,
        }

    def remaining(self, project: str) -> int | None:
        """Return the tokens left in the month, None without a limit."""
        limit = self._limits.get(project)
        if limit is None:
            return None
        rows = self._store.read(
            "select coalesce(sum(input_tokens + output_tokens), 0) as tokens from usage"
            " where project_id = ? and at >= ?",
            (project, since("month")),
        )
        return limit - int(rows[0]["tokens"])

    @contextmanager
    def reserved(self, project: str, estimate: int, status: int = 429) -> Iterator[None]:
        """Reserve budget for a run until its cost is recorded; refuse if the project has none left."""
        remaining = self.remaining(project)
        taken = self._reserved.get(project, 0)
        if remaining is not None and taken + estimate > remaining:
            raise over_budget(project, status)
        self._reserved[project] = taken + estimate
        try:
            yield
        finally:
            left = self._reserved[project] - estimate
            if left:
                self._reserved[project] = left
            else:
                del self._reserved[project]


def over_budget(project: str, status: int = 429) -> Refusal:
    return Refusal(status, f"Budget exceeded for project {project[:200]}")


def since(period: str) -> int:
    """Return when a period began, in milliseconds: a month on its first day, a week and a day that long ago."""
    if period == "month":
        first = datetime.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return round(first.timestamp() * 1000)
    return round((time.time() - (7 * DAY if period == "week" else DAY)) * 1000)
