"""A demo basin: orders, clicks and a sensor of the last days, the same in every lab but for the dates."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from itertools import islice

from ...s2.wire.messages import varint
from .account.configs import INFINITE, resolved
from .account.rows import stamp
from .records.chunks import placed
from .records.inputs import body_part
from .schema import stored_time

BASIN = "demo-shop"
ORDERS, CLICKS, READINGS = 5_000, 20_000, 3_000
_HOUR = 3_600_000
_CHUNK = 500
_Record = tuple[int, bytes, dict[bytes, bytes]]
"""Time, body, headers."""

_CITIES = ("Lisbon", "Ghent", "Turin", "Malmö", "Graz", "Brno", "Porto", "Delft")
_ITEMS = (
    ("espresso", 2.2),
    ("flat white", 3.1),
    ("beans 1 kg", 18.5),
    ("grinder", 129.0),
    ("filters", 4.9),
    ("mug", 9.0),
)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # made once, not for each call
_PAGES = ("/", "/beans", "/beans/house", "/grinders", "/cart", "/checkout", "/help")


def fill(db: sqlite3.Connection, now: int) -> None:
    """Make the basin, once for each database: who deletes it does not get it back."""
    if db.execute("select 1 from settings where name = 'demo'").fetchone():
        return
    db.execute("insert into settings values ('demo', '1')")
    if db.execute("select 1 from basins where name = ?", (BASIN,)).fetchone():
        return  # a user's own, of a time without demo data
    made = db.execute(
        "insert into basins (name, config, location, created) values (?, ?, ?, ?)",
        (BASIN, json.dumps({"streams": {"retention": INFINITE}}, sort_keys=True), "lab:here", stamp(now)),
    )
    assert made.lastrowid is not None
    for name, records in (("orders", _orders(now)), ("clicks", _clicks(now)), ("sensors/boiler-1", _readings(now))):
        _stream(db, made.lastrowid, name, records, now)


def _stream(db: sqlite3.Connection, basin: int, name: str, records: Iterator[_Record], now: int) -> None:
    config = json.dumps(resolved({"retention": INFINITE}), sort_keys=True)
    id = db.execute(
        "insert into streams (basin, name, config, created, asked, time, touched) values (?, ?, ?, ?, '{}', ?, ?)",
        (basin, name, config, stamp(now), stored_time(0), now),
    ).lastrowid
    next = total = latest = 0
    while batch := list(islice(records, _CHUNK)):
        times = [time for time, _, _ in batch]
        size = sum(
            8 + len(body) + sum(2 + len(pair[0]) + len(pair[1]) for pair in headers.items())
            for _, body, headers in batch
        )
        data = placed([_headers(headers) + body_part(body) for _, body, headers in batch], next, times)
        db.execute(
            "insert into chunks values (?, ?, ?, ?, ?, ?, null, ?)",
            (id, next, len(batch), stored_time(times[0]), stored_time(times[-1]), size, data),
        )
        next, total, latest = next + len(batch), total + size, times[-1]
    db.execute("update streams set next = ?, time = ?, size = ? where id = ?", (next, stored_time(latest), total, id))
    db.execute("insert into usage values (?, ?, ?, 'storage', ?)", (now // 60_000, BASIN, name, total))


def _headers(headers: dict[bytes, bytes]) -> bytes:
    out = b""
    for name, value in headers.items():
        header = b"\x0a" + varint(len(name)) + name + b"\x12" + varint(len(value)) + value
        out += b"\x1a" + varint(len(header)) + header
    return out


def _times(rng: random.Random, now: int, count: int, hours: int) -> list[int]:
    """Return moments of the last hours, in order."""
    start = now - hours * _HOUR
    return sorted(start + int(rng.random() * hours * _HOUR) for _ in range(count))


def _orders(now: int) -> Iterator[_Record]:
    rng = random.Random(11)
    for number, time in enumerate(_times(rng, now, ORDERS, 72), 1):
        item, price = rng.choice(_ITEMS)
        amount = rng.choice((1, 1, 1, 2, 2, 3, 6))
        order = {
            "id": number,
            "customer": f"c-{rng.randrange(400):03}",
            "city": rng.choice(_CITIES),
            "item": item,
            "amount": amount,
            "total": round(amount * price * rng.choice((1, 1, 1, 0.9)), 2),
            "paid": rng.random() < 0.94,
        }
        yield time, _json(order), {}


def _clicks(now: int) -> Iterator[_Record]:
    rng = random.Random(12)
    for time in _times(rng, now, CLICKS, 24):
        yield (
            time,
            _json({"session": rng.randrange(3_000), "page": rng.choice(_PAGES), "ms": rng.randrange(20, 900)}),
            {},
        )


def _readings(now: int) -> Iterator[_Record]:
    rng = random.Random(13)
    celsius, bar = 88.0, 1.4
    for back in range(READINGS, 0, -1):
        celsius += rng.uniform(-0.4, 0.4) + (88 - celsius) / 20
        bar += rng.uniform(-0.02, 0.02) + (1.4 - bar) / 20
        headers = {b"unit": b"celsius,bar", b"quality": b"good" if rng.random() < 0.98 else b"suspect"}
        yield now - back * 60_000, f"{celsius:.2f},{bar:.3f}".encode(), headers


def _json(value: object) -> bytes:
    return _encode(value).encode()
