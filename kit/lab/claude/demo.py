"""Some weeks of usage by a few projects, so that the first listing is not empty."""

from __future__ import annotations

import random
import sqlite3
import time
from typing import Any

from ...claude.wire.prices import cost_of

PROJECT = "lab"
DAYS = 40
_PROJECTS = ((PROJECT, 6), ("support-triage", 14), ("docs", 3))
_SHARES = (("haiku", 0.62, 350), ("sonnet", 0.33, 900), ("opus", 0.05, 1500))
LIMIT = 5_000_000


def fill(db: sqlite3.Connection) -> None:
    """Fill the database once; one that has any usage is left as it is."""
    if db.execute("select 1 from usage limit 1").fetchone():
        return
    chance = random.Random(6)
    now = time.time()
    rows: list[tuple[Any, ...]] = []
    for project, calls in _PROJECTS:
        for day in range(DAYS):
            # Usage varies within a week, and the projects grow.
            busy = 0.4 if (day % 7) in (5, 6) else 1.0
            for _ in range(round(calls * busy * (1.5 - day / DAYS) * chance.uniform(0.6, 1.4))):
                model, size = _one(chance)
                into, out = chance.randint(size // 2, size * 3), chance.randint(size // 4, size)
                at = round((now - (day + chance.random()) * 86_400) * 1000)
                rows.append(("", project, "demo", model, into, out, cost_of(model, into, out), "", at))
    rows.sort(key=lambda row: int(row[-1]))
    db.executemany(
        "insert into usage (digest, project_id, kind, model, input_tokens, output_tokens, cost, request_id, at)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    db.execute("insert or ignore into projects values (?, ?)", (PROJECT, LIMIT))


def _one(chance: random.Random) -> tuple[str, int]:
    point = chance.random()
    for model, share, size in _SHARES:
        point -= share
        if point < 0:
            return model, size
    return "haiku", 350
