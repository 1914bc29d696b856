"""The demo data: a health insurer's claims as events, and its accounts and invoices as tables.

It is computed from a seed in integer arithmetic, so that each lab has the same data.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ...kimberlite.types import Timestamp
from ...kimberlite.wire.blobs import Blobs
from ...kimberlite.wire.protocol import requests
from ...kimberlite.wire.protocol.codec import payload_of
from ...kimberlite.wire.protocol.enums import DataClass
from ...kimberlite.wire.protocol.messages import Request
from ..common.pseudo_random import mixed
from .sql.workers import Workers

TENANT = 1
CLAIMS = 600
ACCOUNTS, INVOICES = 40, 400
START = int(datetime(2025, 1, 6, tzinfo=UTC).timestamp()) * 1_000_000_000
HOUR = 3_600_000_000_000
DAY = 24 * HOUR

_CITIES = ("Leipzig", "Porto", "Gent", "Tampere", "Graz", "Cork", "Lyon", "Brno")
_NAMES = ("Alder", "Birch", "Cedar", "Elm", "Fir", "Hazel", "Larch", "Maple", "Oak", "Rowan")
_KINDS = ("Clinic", "Practice", "Pharmacy", "Laboratory")
_TREATMENTS = (("consultation", 4_500), ("imaging", 21_000), ("laboratory", 6_800), ("surgery", 182_000))
_REASONS = ("not covered", "duplicate", "missing referral")


def fill_streams(db: sqlite3.Connection) -> None:
    """Make the demo streams, once."""
    if db.execute("select 1 from tenants where id = ?", (TENANT,)).fetchone():
        return
    db.execute("insert into tenants (id, name, made) values (?, ?, ?)", (TENANT, "demo", START))
    position = 0
    for number, (name, kind, events) in enumerate(
        (("claims", DataClass.PHI, _claims()), ("logins", DataClass.CONFIDENTIAL, _logins())), 1
    ):
        position = _fill(db, number, name, kind, sorted(events, key=lambda one: one[0]), position)


def _fill(
    db: sqlite3.Connection, number: int, name: str, kind: DataClass, events: list[tuple[int, bytes]], position: int
) -> int:
    """Fill one stream, in a chunk for each hour; return the position after it."""
    row = db.execute(
        "insert into streams (tenant, number, name, data_class, made) values (?, ?, ?, ?, ?) returning id",
        (TENANT, number, name, int(kind), START),
    ).fetchone()[0]
    first = size = 0
    while first < len(events):
        hour = events[first][0] // HOUR
        stop = next((n for n in range(first, len(events)) if events[n][0] // HOUR != hour), len(events))
        blobs = Blobs.of([event for _, event in events[first:stop]])
        time = events[stop - 1][0]
        db.execute(
            "insert into chunks values (?, ?, ?, ?, ?, ?, ?, ?)",
            (row, first, len(blobs), blobs.content_bytes, position, TENANT, time, blobs.raw),
        )
        position += len(blobs)
        size += blobs.content_bytes
        first = stop
    db.execute("update streams set length = ?, bytes = ? where id = ?", (first, size, row))
    return position


def _claims() -> Iterator[tuple[int, bytes]]:
    """Yield the events of each claim: submitted, then approved or rejected, and paid if it was approved."""
    for n in range(CLAIMS):
        chance = mixed(1, n)
        treatment, price = _TREATMENTS[chance % 100 % 7 % 4]
        amount = price * (80 + chance // 100 % 60) // 100
        submitted = START + n * 24 * DAY // CLAIMS * 2 + chance // 7 % (6 * HOUR)
        claim = {"claim": f"C{10_000 + n}", "account": 1 + chance // 11 % ACCOUNTS}
        yield _event(submitted, "submitted", {**claim, "treatment": treatment, "amount": amount / 100})
        decided = submitted + HOUR + chance // 13 % (5 * DAY)
        if chance // 17 % 9 == 0:
            yield _event(decided, "rejected", {**claim, "reason": _REASONS[chance // 19 % 3]})
            continue
        yield _event(decided, "approved", {**claim, "amount": amount * (90 + chance // 23 % 11) // 100 / 100})
        if chance // 29 % 12:
            yield _event(decided + DAY + chance // 31 % (9 * DAY), "paid", claim)


def _event(time: int, kind: str, data: dict[str, Any]) -> tuple[int, bytes]:
    stamp = datetime.fromtimestamp(time // 1_000_000_000, UTC)
    event = {"event": kind, "at": f"{stamp:%Y-%m-%dT%H:%M:%SZ}", **data}
    return time, json.dumps(event, separators=(",", ":")).encode()


def _logins() -> Iterator[tuple[int, bytes]]:
    for n in range(500):
        chance = mixed(2, n)
        time = START + n * 40 * DAY // 500 + chance % HOUR
        result = "denied" if chance // 7 % 15 == 0 else "ok"
        yield time, f"user{chance // 11 % 25:02d} from 10.0.{chance // 13 % 4}.{chance // 17 % 250}: {result}".encode()


async def fill_tables(workers: Workers) -> None:
    """Make the demo tables, once: each statement a commit of its own, at a time of its own."""
    if await workers.ask("tables", TENANT) or workers.position:
        return
    for n, (time, sql, params) in enumerate(_statements(), 1):
        await workers.execute(TENANT, payload_of(Request(n, TENANT, requests.Query(sql, params))), now=time)


def _statements() -> Iterator[tuple[int, str, list[Any]]]:
    yield (
        START,
        "CREATE TABLE accounts (id BIGINT PRIMARY KEY, name TEXT NOT NULL, city TEXT, opened TIMESTAMP,"
        " active BOOLEAN)",
        [],
    )
    yield (
        START,
        "CREATE TABLE invoices (id BIGINT PRIMARY KEY, account_id BIGINT NOT NULL, issued TIMESTAMP,"
        " amount DECIMAL(10,2), status TEXT NOT NULL)",
        [],
    )
    accounts, params = list[str](), list[Any]()
    for n in range(1, ACCOUNTS + 1):
        chance = mixed(3, n)
        name = f"{_NAMES[chance % 10]} {_KINDS[chance // 11 % 4]} {n}"
        params += [name, _CITIES[chance // 13 % 8], Timestamp(START - (chance // 17 % 900) * DAY)]
        accounts.append(f"({n}, ${len(params) - 2}, ${len(params) - 1}, ${len(params)}, true)")
    columns = "(id, name, city, opened, active)"
    yield START, f"INSERT INTO accounts {columns} VALUES {', '.join(accounts)}", params  # noqa: S608
    yield from _invoices()


def _invoices() -> Iterator[tuple[int, str, list[Any]]]:
    """Return a month's days: on each some invoices are issued, and some that are older are paid."""
    days = 40
    for day in range(days):
        time = START + day * DAY + 9 * HOUR
        rows, params = list[str](), list[Any]()
        for n in range(day * INVOICES // days, (day + 1) * INVOICES // days):
            chance = mixed(4, n)
            params.append(Timestamp(time + chance % (8 * HOUR)))
            amount = 2_000 + chance // 7 % 180_000
            account, money = 1 + chance // 11 % ACCOUNTS, f"{amount // 100}.{amount % 100:02d}"
            rows.append(f"({5000 + n}, {account}, ${len(params)}, {money}, 'open')")
        columns = "(id, account_id, issued, amount, status)"
        yield time + 8 * HOUR, f"INSERT INTO invoices {columns} VALUES {', '.join(rows)}", params  # noqa: S608
        if day >= 5:
            paid = [n for n in range((day - 5) * INVOICES // days, (day - 4) * INVOICES // days) if mixed(5, n) % 6]
            ids = ", ".join(str(5000 + n) for n in paid)
            yield time + 9 * HOUR, f"UPDATE invoices SET status = 'paid' WHERE id IN ({ids})", []  # noqa: S608
        if day % 10 == 9:
            yield time + 10 * HOUR, "UPDATE accounts SET active = false WHERE id = $1", [1 + mixed(6, day) % ACCOUNTS]
