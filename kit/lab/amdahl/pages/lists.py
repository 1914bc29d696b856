"""Lists in both styles of paging, newest first.

The guide pages with `limit` and `cursor` until `next_cursor` is null, the docs with `limit` and `offset` while
`has_more` is true; each answer serves both. A cursor names the last item, so adding or archiving during the walk
neither repeats nor hides items.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ...common.store import Store
from ..answers import answer
from ..fields import moment, wrong

DEFAULT_LIMIT, MAX_LIMIT = 50, 200
_TIMES = {
    "created_at_gte": "created_at >= ?",
    "created_at_lte": "created_at <= ?",
    "updated_at_gte": "updated_at >= ?",
    "updated_at_lte": "updated_at <= ?",
}


def listing(
    store: Store,
    request: Request,
    table: str,
    shown: Callable[[sqlite3.Row], dict[str, Any]],
    *,
    statuses: tuple[str, ...] = (),
    hidden: str | None = None,
    within: tuple[str, Any] | None = None,
) -> Response:
    """Return the list envelope for a table with the columns seq, created_at, updated_at, status and words.

    `statuses` are those that may be asked for; items of the status `hidden` show only when asked for. `within` is a
    column and the value that all items must have there.
    """
    params = request.query_params
    limit = _whole("limit", params.get("limit"), DEFAULT_LIMIT, least=1, most=MAX_LIMIT)
    wheres, values = ["1"], list[Any]()
    if within is not None:
        wheres.append(f"{within[0]} = ?")
        values.append(within[1])
    status = params.get("status")
    if status:
        if status not in statuses:
            raise wrong("status", f"{status[:80]!r} is not one of {', '.join(statuses)}")
        wheres.append("status = ?")
        values.append(status)
    elif hidden is not None:
        wheres.append("status <> ?")
        values.append(hidden)
    for name, condition in _TIMES.items():
        if params.get(name):
            wheres.append(condition)
            values.append(moment(name, params[name]))
    if params.get("q"):
        wheres.append("instr(words, ?) > 0")
        values.append(params["q"].casefold())
    where = " and ".join(wheres)
    total = _count(store, table, where, values)
    if params.get("cursor"):
        if params.get("offset"):
            raise wrong("cursor", "give a cursor or an offset, not both")
        after = _read_cursor(table, params["cursor"])
        before = _count(store, table, f"{where} and (created_at, seq) >= (?, ?)", [*values, *after])
        page_where, page_values, offset, skip = f"{where} and (created_at, seq) < (?, ?)", [*values, *after], before, 0
    else:
        offset = skip = _whole("offset", params.get("offset"), 0, least=0, most=2**53)
        page_where, page_values = where, values
    rows = store.read(
        f"select * from {table} where {page_where} order by created_at desc, seq desc limit ? offset ?",  # noqa: S608
        (*page_values, limit + 1, skip),
    )
    more = len(rows) > limit
    rows = rows[:limit]
    return answer(
        {
            "items": [shown(row) for row in rows],
            "limit": limit,
            "offset": offset,
            "total": total,
            "has_more": more,
            "next_cursor": _cursor(table, rows[-1]) if more else None,
        }
    )


def _count(store: Store, table: str, where: str, values: list[Any]) -> int:
    total: int = store.read(f"select count(*) from {table} where {where}", tuple(values))[0][0]  # noqa: S608
    return total


def _whole(name: str, text: str | None, default: int, *, least: int, most: int) -> int:
    if not text:
        return default
    if not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 18:
        raise wrong(name, "must be a whole number")
    if int(text) < least:
        raise wrong(name, f"must be at least {least}")
    return min(int(text), most)


def _cursor(table: str, row: sqlite3.Row) -> str:
    return base64.urlsafe_b64encode(json.dumps([table, row["created_at"], row["seq"]]).encode()).decode().rstrip("=")


def _read_cursor(table: str, text: str) -> tuple[int, int]:
    try:
        whose, created_at, seq = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
        if whose == table and type(created_at) is int and type(seq) is int and max(abs(created_at), abs(seq)) < 2**62:
            return created_at, seq
    except (ValueError, TypeError, RecursionError):
        pass
    raise wrong("cursor", "is not a cursor of this list")
