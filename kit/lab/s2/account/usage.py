"""Operations and storage by the minute, for the metrics."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from ...common.store import Store
from ..http.answers import answer_json, refusal
from ..http.call import Call
from .names import basin_fault, stream_fault
from .scopes import GROUPS

_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}
_MAX_POINTS = 50_000
_AHEAD = 300
"""Seconds by which the end of a range may lie in the future; the service refuses ten minutes."""
STORED = "storage"
_Key = tuple[int, str, str, str]

ACCOUNT_SETS = ("active-basins", "account-ops", "estimated-billable-usage")
BASIN_SETS = ("storage", "append-ops", "read-ops", "read-throughput", "append-throughput", "basin-ops")
STREAM_SETS = ("storage",)
_DATA = GROUPS["stream"]["read"] | GROUPS["stream"]["write"]


class Usage:
    """Counters, kept in memory for a moment and then written to the database."""

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._counts: dict[_Key, int] = {}
        self._levels: dict[_Key, int] = {}
        self._flushing = asyncio.Lock()

    def count(self, kind: str, basin: str = "", stream: str = "", total: int = 1) -> None:
        """Note that something was done, or that many bytes of it."""
        key = (self._clock() // 60_000, basin, stream, kind)
        self._counts[key] = self._counts.get(key, 0) + total

    def level(self, basin: str, stream: str, size: int) -> None:
        """Note how much is stored from now on."""
        self._levels[self._clock() // 60_000, basin, stream, STORED] = size

    async def flush(self) -> None:
        """Write down what was noted; returns when all of it is in the database, also what another call is writing."""
        async with self._flushing:
            counts, self._counts = self._counts, {}
            levels, self._levels = self._levels, {}

            def job(db: sqlite3.Connection) -> None:
                sql = "insert into usage values (?, ?, ?, ?, ?) on conflict do update set total = "
                db.executemany(f"{sql} total + excluded.total", [(*key, total) for key, total in counts.items()])
                db.executemany(f"{sql} excluded.total", [(*key, total) for key, total in levels.items()])

            if counts or levels:
                try:
                    await self._store.write(job)
                except sqlite3.Error:
                    # For example, the disk is full: the next call tries again.
                    for key, total in counts.items():
                        self._counts[key] = self._counts.get(key, 0) + total
                    self._levels = {**levels, **self._levels}
                    raise

    async def account(self, call: Call) -> None:
        sets = _set(call, ACCOUNT_SETS)
        call.permit("account-metrics")
        start, end, interval = self._range(call, "hour")
        await self.flush()
        if sets == "active-basins":
            values = [{"label": {"name": sets, "values": self._active(start, end, call.principal.basins)}}]
        elif sets == "account-ops":
            values = self._totals("kind not like '%-bytes'", (), start, end, interval, "operations")
        else:
            values = [_accumulation("estimated-billable-usage", "usd", interval, _filled({}, start, end, interval))]
        await answer_json(call.exchange, {"values": values})

    async def basin(self, call: Call) -> None:
        basin = call.name(1, basin_fault)
        sets = _set(call, BASIN_SETS)
        call.permit("basin-metrics", basin=basin)
        self._check(basin)
        start, end, interval = self._range(call, "hour" if sets == "storage" else "minute")
        await self.flush()
        if sets == "storage":
            values = self._stored(basin, None, start, end, _SECONDS["hour"])
        elif sets == "basin-ops":
            kinds = sorted(GROUPS["basin"]["read"] | GROUPS["basin"]["write"] | {"check-tail"})
            marks = ", ".join("?" * len(kinds))
            values = self._totals(f"basin = ? and kind in ({marks})", (basin, *kinds), start, end, interval)
        else:
            verb, _, what = sets.partition("-")
            kind, unit = (verb, "operations") if what == "ops" else (f"{verb}-bytes", "bytes")
            values = self._totals("basin = ? and kind = ?", (basin, kind), start, end, interval, unit)
            if not values:
                values = [_accumulation(kind, unit, interval, _filled({}, start, end, interval))]
        await answer_json(call.exchange, {"values": values})

    async def stream(self, call: Call) -> None:
        basin, stream = call.name(1, basin_fault), call.full(call.name(2, stream_fault))
        _set(call, STREAM_SETS)
        call.permit("stream-metrics", basin=basin, stream=stream)
        self._check(basin)
        start, end, _ = self._range(call, "minute")
        await self.flush()
        await answer_json(call.exchange, {"values": self._stored(basin, stream, start, end, _SECONDS["minute"])})

    def _check(self, basin: str) -> None:
        """Refuse a basin that never was."""
        known = "select 1 from basins where name = ? union all select 1 from usage where basin = ? limit 1"
        if not self._store.read(known, (basin, basin)):
            raise refusal("basin_not_found", f"basin `{basin}` not found")

    def _range(self, call: Call, default: str) -> tuple[int, int, str]:
        """Return the requested range in seconds, and the interval of its values."""
        now = self._clock() // 1000
        start, end = call.number("start", 2**32 - 1), call.number("end", 2**32 - 1)
        interval = call.query.get("interval", default)
        if interval not in _SECONDS:
            raise refusal("bad_query", f"Failed to deserialize query string: interval: unknown variant `{interval}`")
        end = now if end is None else end
        start = max(0, end - 86_400) if start is None else start
        if start > end:
            raise refusal("invalid", "start must not be after end")
        if end > now + _AHEAD:
            raise refusal("invalid", "end is too far in the future")
        if end - start > 31 * 86_400 or (end - start) // _SECONDS[interval] > _MAX_POINTS:
            raise refusal("invalid", "the range is too long")
        return start, end, interval

    def _totals(
        self, where: str, values: tuple[Any, ...], start: int, end: int, interval: str, unit: str = "operations"
    ) -> list[dict[str, Any]]:
        """Return what was counted, by kind, in each interval."""
        step = _SECONDS[interval]
        rows = self._store.read(
            f"select kind, minute * 60 / ? * ? as at, sum(total) as total from usage where {where}"  # noqa: S608
            " and kind <> 'storage' and minute >= ? and minute <= ? group by kind, at order by kind, at",
            (step, step, *values, start // step * step // 60, end // 60),
        )
        totals: dict[str, dict[int, float]] = {}
        for row in rows:
            totals.setdefault(row["kind"], {})[row["at"]] = row["total"]
        return [
            _accumulation(kind, unit, interval, _filled(points, start, end, interval))
            for kind, points in totals.items()
        ]

    def _stored(self, basin: str, stream: str | None, start: int, end: int, step: int) -> list[dict[str, Any]]:
        """Return how much was stored at each full step, and at the end."""
        rows = self._store.read(
            "select minute * 60 as at, stream, total from usage where basin = ? and kind = 'storage'"
            " and (? is null or stream = ?) and minute <= ? order by minute",
            (basin, stream, stream, end // 60),
        )
        points = [*range(-(-start // step) * step, end, step), end]
        now: dict[str, int] = {}
        values, at = [], 0
        for point in points:
            while at < len(rows) and rows[at]["at"] <= point:
                now[rows[at]["stream"]] = rows[at]["total"]
                at += 1
            if now:
                values.append([point, float(sum(now.values()))])
        return [{"gauge": {"name": "storage", "unit": "bytes", "values": values}}]

    def _active(self, start: int, end: int, matches: Callable[[str], bool]) -> list[str]:
        """Return the basins that had a stream in that time."""
        rows = self._store.read(
            "select distinct basin from usage where basin <> '' and stream <> '' and minute >= ? and minute <= ?"
            " union select distinct basins.name from streams join basins on basins.id = streams.basin"
            " where cast(strftime('%s', streams.created) as integer) <= ?",
            (start // 60, end // 60, end),
        )
        return sorted(row[0] for row in rows if matches(row[0]))


def _set(call: Call, sets: Iterable[str]) -> str:
    given = call.query.get("set")
    if given is None:
        raise refusal("bad_query", "Failed to deserialize query string: missing field `set`")
    if given not in sets:
        known = ", ".join(f"`{name}`" for name in sets)
        raise refusal(
            "bad_query", f"Failed to deserialize query string: set: unknown variant `{given}`, expected one of {known}"
        )
    return given


def _filled(points: dict[int, float], start: int, end: int, interval: str) -> list[list[float]]:
    """Return a value for each interval that the range touches."""
    step = _SECONDS[interval]
    return [[at, float(points.get(at, 0))] for at in range(start // step * step, end + 1, step)]


def _accumulation(name: str, unit: str, interval: str, values: list[list[float]]) -> dict[str, Any]:
    return {"accumulation": {"name": name, "unit": unit, "interval": interval, "values": values}}
