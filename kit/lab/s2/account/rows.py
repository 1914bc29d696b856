"""Basins and streams as rows of the database and as answers, and the errors about them."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..http.answers import refusal
from .configs import Layer


@dataclass(frozen=True, slots=True)
class Basin:
    """A basin as it is now."""

    id: int
    name: str
    config: Layer
    deleted: bool


@dataclass(frozen=True, slots=True)
class Page:
    """The requested part of a listing."""

    prefix: str = ""
    after: str = ""
    limit: int = 1000


def stamp(ms: int) -> str:
    """Return a time as RFC 3339.

    >>> stamp(0)
    '1970-01-01T00:00:00.000Z'
    """
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def live_basin(db: sqlite3.Connection, name: str) -> sqlite3.Row:
    """Return the basin's row; refuses one that is being deleted."""
    row: sqlite3.Row | None = db.execute("select * from basins where name = ?", (name,)).fetchone()
    if row is None:
        raise no_basin(name)
    if row["deleted"] is not None:
        raise basin_going(name)
    return row


def stream_row(db: sqlite3.Connection, basin: int, name: str) -> sqlite3.Row | None:
    """Return the stream's row, if there is one."""
    row: sqlite3.Row | None = db.execute("select * from streams where basin = ? and name = ?", (basin, name)).fetchone()
    return row


def basin_of(row: sqlite3.Row) -> Basin:
    return Basin(row["id"], row["name"], json.loads(row["config"]), row["deleted"] is not None)


def basin_info(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "name": row["name"],
        "location": row["location"],
        "created_at": row["created"],
        "deleted_at": row["deleted"],
        "state": "active" if row["deleted"] is None else "deleting",
    }


def stream_info(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "name": row["name"],
        "created_at": row["created"],
        "deleted_at": row["deleted"],
        "cipher": row["cipher"],
    }


def dumps(value: Any) -> str:
    """Return the stored form of settings: equal settings give equal text."""
    return json.dumps(value, sort_keys=True)


def no_basin(name: str) -> Exception:
    return refusal("basin_not_found", f"basin `{name}` not found")


def basin_going(name: str) -> Exception:
    return refusal("basin_deletion_pending", f"basin `{name}` is being deleted")


def no_stream(basin: str, name: str) -> Exception:
    return refusal("stream_not_found", f"stream `{name}` in basin `{basin}` not found")


def stream_going(basin: str, name: str) -> Exception:
    return refusal("stream_deletion_pending", f"stream `{name}` in basin `{basin}` is being deleted")
