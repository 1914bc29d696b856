"""Tables that are made for a statement that names them: events of streams, the streams, the catalog of tables."""

from __future__ import annotations

import itertools
import re
import sqlite3
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ....kimberlite.types import MAX_U32, Timestamp
from ....kimberlite.wire.blobs import Blobs
from ....kimberlite.wire.extensions import EVENTS_TABLE, STREAMS_TABLE, Extensions
from ..refusal import EXECUTION, Refusal
from . import schema
from .dialect import Statement
from .stamps import stamp
from .tokens import Token

MAX_EVENTS = 1_000_000
"""The largest number of events in such a table; more are an error, as none may be left out silently."""
_BOUNDS = ("position", "stream_id", "stream_offset", "ts")
_SIGNED = ("stream_id", "ts")
_COMPARE = {"=": (0, 0), "==": (0, 0), ">=": (0, None), ">": (1, None), "<=": (None, 0), "<": (None, -1)}
# The last chunk that begins before the first position may extend beyond it; an index leads to it.
_OF_STREAM = (
    "c.stream = (select id from streams where tenant = :tenant and number = :number) and c.first >= coalesce((select"
    " max(first) from chunks where stream = (select id from streams where tenant = :tenant and number = :number)"
    " and first <= :low), 0)"
)
_OF_TENANT = (
    "c.tenant = :tenant and c.position >= coalesce((select max(position) from chunks where tenant = :tenant"
    " and position <= :first), 0)"
)
_MOST = 2**63 - 1

Bounds = dict[str, tuple[int, int]]


class Helpers:
    """Makes these tables in the temporary part of a tenant's database; they end with the transaction."""

    def __init__(self, streams: Path, extensions: Extensions) -> None:
        self._path, self._extensions = streams, extensions
        self._db: sqlite3.Connection | None = None

    def make(self, db: sqlite3.Connection, tenant: int, statement: Statement, params: list[Any]) -> list[str]:
        """Make those that the statement names; their names."""
        made = []
        if self._extensions.streams and STREAMS_TABLE in statement.names:
            db.execute(
                f"create temp table {STREAMS_TABLE} (stream_id INTEGER, stream_number INTEGER, name TEXT,"
                ' data_class TEXT, length INTEGER, bytes INTEGER, created "TIMESTAMP")'
            )
            rows = self._streams(tenant)
            db.executemany(f"insert into {STREAMS_TABLE} values (?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608
            made.append(STREAMS_TABLE)
        if self._extensions.events and EVENTS_TABLE in statement.names:
            db.execute(
                f"create temp table {EVENTS_TABLE} (position INTEGER, tenant_id INTEGER, stream_id INTEGER,"
                ' stream_offset INTEGER, ts "TIMESTAMP", data_b64 TEXT)'
            )
            rows = self._events(tenant, statement, params)
            db.executemany(f"insert into {EVENTS_TABLE} values (?, ?, ?, ?, ?, ?)", rows)  # noqa: S608
            made.append(EVENTS_TABLE)
        if any(token.text.startswith("[information_schema.") for token in statement.tokens):
            made += self._schema(db)
        return made

    def close(self) -> None:
        """Close all open streams."""
        if self._db is not None:
            self._db.close()

    def _store(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None)
            self._db.execute("pragma query_only=1")
        return self._db

    def _streams(self, tenant: int) -> Iterator[tuple[Any, ...]]:
        from ....kimberlite.wire.protocol.enums import DataClass

        for number, name, kind, length, size, made in self._store().execute(
            "select number, name, data_class, length, bytes, made from streams where tenant = ? order by number",
            (tenant,),
        ):
            yield signed(tenant << 32 | number), number, name, DataClass(kind).name, length, size, stamp(made)

    def _events(self, tenant: int, statement: Statement, params: list[Any]) -> Iterator[tuple[Any, ...]]:
        bounds = bounds_of(statement, params)
        words = statement.words
        stars = (n for n, token in enumerate(words) if token.is_sign("*") and not words[n - 1].is_sign("("))
        encoded = "data_b64" in statement.names or next(stars, None) is not None
        first, last = bounds["position"]
        low, high = bounds["stream_offset"]
        since, until = bounds["ts"]
        one = bounds["stream_id"][0] == bounds["stream_id"][1]
        chunks = self._store().execute(
            "select s.number, c.first, c.count, c.position, c.at, c.data"  # noqa: S608
            " from chunks c join streams s on s.id = c.stream"
            f" where {_OF_STREAM if one else _OF_TENANT} and c.position <= :last and c.position + c.count > :first"
            " and c.first <= :high and c.first + c.count > :low and c.at between :since and :until"
            f" order by {'c.first' if one else 'c.position'}",
            {
                "tenant": tenant,
                "number": bounds["stream_id"][0] & MAX_U32,
                "first": first,
                "last": last,
                "low": low,
                "high": high,
                "since": since,
                "until": until,
            },
        )
        total = 0
        for number, offset, count, position, at, data in chunks:
            stream = signed(tenant << 32 | number)
            if not bounds["stream_id"][0] <= stream <= bounds["stream_id"][1]:
                continue
            begin = max(first - position, low - offset, 0)
            end = min(last - position + 1, high - offset + 1, count)
            total += max(end - begin, 0)
            if total > MAX_EVENTS:
                raise Refusal(
                    EXECUTION,
                    f"more than {MAX_EVENTS:,} events would be read: narrow them, say by"
                    " position >= $1 AND position < $2 AND stream_id = $3",
                )
            events = Blobs.from_raw(data, count) if encoded else itertools.repeat(b"", count)
            time = stamp(at)
            for n, event in enumerate(itertools.islice(events, begin, end), begin):
                yield position + n, tenant, stream, offset + n, time, b64encode(event).decode() if encoded else None

    def _schema(self, db: sqlite3.Connection) -> list[str]:
        db.execute(
            'create temp table "information_schema.tables" (table_schema TEXT, table_name TEXT, table_type TEXT)'
        )
        db.execute(
            'create temp table "information_schema.columns" (table_schema TEXT, table_name TEXT, column_name TEXT,'
            " ordinal_position INTEGER, data_type TEXT, is_nullable TEXT)"
        )
        for table in schema.tables(db):
            row = ("public", table.name)
            db.execute('insert into "information_schema.tables" values (?, ?, ?)', (*row, "BASE TABLE"))
            db.executemany(
                'insert into "information_schema.columns" values (?, ?, ?, ?, ?, ?)',
                [
                    (*row, column.name, n, column.declared, "YES" if column.nullable else "NO")
                    for n, column in enumerate(table.columns, 1)
                ],
            )
        return ["information_schema.tables", "information_schema.columns"]


def signed(number: int) -> int:
    """Return a 64-bit number as SQL has it, which knows none without a sign."""
    return number - (1 << 64) if number >> 63 else number


def bounds_of(statement: Statement, params: list[Any]) -> Bounds:
    """Return the range that a statement over `kit_events` looks at, read off its comparisons.

    Only comparisons that all rows must meet count; where that is not plain, there are no bounds.
    """
    bounds: Bounds = {name: (-_MOST - 1 if name in _SIGNED else 0, _MOST) for name in _BOUNDS}
    words = statement.words
    names = {token.upper for token in words}
    if names & {"OR", "NOT", "JOIN", "UNION", "EXCEPT", "INTERSECT", "CASE", "FILTER", "WITH", "BETWEEN"}:
        return bounds
    if sum(token.upper == "SELECT" for token in words) != 1 or sum(token.upper == "WHERE" for token in words) != 1:
        return bounds
    start = next(n for n, token in enumerate(words) if token.upper == "WHERE")
    stops = [n for n, token in enumerate(words) if token.upper in ("GROUP", "ORDER", "LIMIT", "HAVING") and n > start]
    for part in _split(words[start + 1 : min(stops, default=len(words))]):
        if len(part) == 3 and part[0].name.lower() in bounds and part[1].text in _COMPARE:
            value = _number(part[2], params, times=part[0].name.lower() == "ts")
            if value is None:
                continue
            low, high = bounds[part[0].name.lower()]
            down, up = _COMPARE[part[1].text]
            bounds[part[0].name.lower()] = (
                low if down is None else min(max(low, value + down), _MOST),
                high if up is None else max(min(high, value + up), -_MOST - 1),
            )
    return bounds


def _split(words: list[Token]) -> list[list[Token]]:
    """Return the conditions that AND joins; what is in parentheses stays together."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in words:
        depth += token.is_sign("(") - token.is_sign(")")
        if token.upper == "AND" and not depth:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _number(token: Token, params: list[Any], *, times: bool) -> int | None:
    if token.kind == "param":
        n = int(token.text[1:]) - 1
        value = params[n] if 0 <= n < len(params) else None
        if times:
            return value.nanoseconds if isinstance(value, Timestamp) else None
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    return int(token.text) if not times and token.kind == "number" and re.fullmatch(r"\d+", token.text) else None
