"""Costs by day or by hour, as this client recorded them, independent of the service's own figures."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ...core.tables.frames import TIME, to_frame
from ..client.batches.cache import Cache
from ..errors import ClaudeInputError
from ..types import Paid, UsageStats, dollars

if TYPE_CHECKING:
    import pandas as pd

_SECONDS = {"hour": 3600, "day": 24 * 3600}
_EVERY, _MOST = 1.0, 200
"""Seconds, and lines, after which new costs are written to the file."""
_open: weakref.WeakSet[Keeper] = weakref.WeakSet()


class Keeper:
    """Writes a client's costs to the cache's file, a few lines at a time, so that later kernels know them too."""

    def __init__(self, cache: Cache, service: str) -> None:
        self._cache, self._service = cache, service
        self._waiting: list[Paid] = []
        self._lock = threading.Lock()
        self._written = time.monotonic()
        _open.add(self)

    def add(self, lines: Iterable[Paid]) -> None:
        """Take lines; they are written soon."""
        with self._lock:
            self._waiting += lines
        if len(self._waiting) >= _MOST or time.monotonic() - self._written > _EVERY:
            with contextlib.suppress(ClaudeInputError):
                self.flush()  # the answer is not lost because of this; reading the ledger reports it

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            self._written = time.monotonic()
            if self._waiting:
                self._cache.paid(self._service, self._waiting)
                self._waiting = []


@atexit.register
def _flush_all() -> None:
    for keeper in list(_open):
        try:
            keeper.flush()
        except ClaudeInputError:
            return  # the process ends, so nothing can report it


def by_time(lines: Sequence[Paid], over: Any) -> pd.DataFrame:
    """Return the costs of each day or hour (of UTC), by model: time, model, calls, tokens, cost, unknown.

    `unknown` counts calls whose answer was lost, so that their cost is unknown.
    """
    return to_frame(_table(lines, over))


def usage_by_time(stats: UsageStats, lines: Sequence[Paid], over: Any) -> pd.DataFrame:
    """Return this client's costs of a period by time, and the rest of the service's sum, which has no time.

    `source` is "client" or "service": the service's rows are the part of its count that this client does not know.
    """
    from ..client.batches.answer_frame import Answers

    since = _since(stats.period)
    ours = [line for line in lines if line.time >= since and line.project_id in (None, stats.project_id)]
    table = _table(ours, over)
    table = table.append_column("source", pa.array(["client"] * table.num_rows, pa.string()))
    known: dict[str, list[float]] = {}
    for line in ours:
        sums = known.setdefault(line.model, [0, 0.0])
        sums[0] += line.tokens or 0
        sums[1] += line.cost or 0.0
    rest = []
    for model, used in stats.by_model.items():
        tokens, cost = known.get(model, [0, 0.0])
        beyond = max(0, int(used["tokens"] - tokens)), max(0.0, used["cost"] - cost)
        if beyond[0] or beyond[1] > 1e-9:
            rest.append({"model": model, "tokens": beyond[0], "cost": beyond[1], "source": "service"})
    table = pa.concat_tables([table, pa.Table.from_pylist(rest, table.schema)])
    spent = sum(line.cost or 0.0 for line in ours)
    table = table.select(["time", "source", "model", "calls", "tokens", "cost", "unknown"])
    frame = Answers(to_frame(table, nullable=("calls", "unknown")))
    frame.attrs |= {
        "project_id": stats.project_id,
        "period": stats.period,
        "client_cost": spent,
        "service_cost": stats.total_cost,
    }
    note = f"this client knows of {dollars(spent)}, by {over}; the service counts {dollars(stats.total_cost)}"
    frame.foot = (f"project {stats.project_id}, {stats.period}: {note}, and tells no times",)
    return frame


def _table(lines: Sequence[Paid], over: Any) -> pa.Table:
    if over not in _SECONDS:
        raise ClaudeInputError(f"over={over!r} is not a period", hint='choose "day" or "hour"')
    width = _SECONDS[over]
    sums: dict[tuple[int, str], list[Any]] = {}
    for line in lines:
        totals = sums.setdefault((int(line.time // width) * width * 1000, line.model), [0, 0, 0.0, 0])
        totals[0] += 1
        totals[1] += line.tokens or 0
        totals[2] += line.cost or 0.0
        totals[3] += line.status == "unknown"
    keys = sorted(sums)
    columns = [[key[0] for key in keys], [key[1] for key in keys], *([sums[key][n] for key in keys] for n in range(4))]
    names = ("time", "model", "calls", "tokens", "cost", "unknown")
    kinds = (TIME, pa.string(), pa.int64(), pa.int64(), pa.float64(), pa.int64())
    return pa.table({n: pa.array(values, kind) for n, values, kind in zip(names, columns, kinds, strict=True)})


def _since(period: str) -> float:
    """Return when a period of the service began: a month on its first day, a week and a day that long ago."""
    now = datetime.now()
    if period == "month":
        return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
    return now.timestamp() - (7 if period == "week" else 1) * _SECONDS["day"]
