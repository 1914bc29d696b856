"""Counts, sums and rates in intervals of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .series import MOST_RESTS, Ranked, ranked
from .times import Interval, interval, nanoseconds, now

_NEARLY = 3
"""An interval counts as complete if its last row is at most this many mean distances between rows before its end."""
_CELLS = 4_000_000
"""The largest number of bins, over all series."""


@dataclass(frozen=True, slots=True)
class Binned:
    """Amounts of each series in consecutive intervals; an interval without rows is zero."""

    every: Interval
    starts: Any
    """Where each interval begins, in nanoseconds."""
    amounts: dict[str, Any]
    order: Ranked
    first: int
    last: int
    """The first and the last time, in nanoseconds."""
    unfinished: list[int]
    """The intervals (the first, the last) that the rows cover only in part."""

    @property
    def middles(self) -> Any:
        """The middle of each interval, in nanoseconds."""
        return self.starts + self.every.ns // 2


def binned(
    times: pd.Series[Any],
    amounts: Any,
    keys: pd.Series[Any] | None,
    every: Any,
    *,
    most: int,
    until: int | None = None,
    rests: int | None = None,
) -> Binned:
    """Return the sums of amounts in intervals, for each key apart. There must be a row.

    `until` is the end of the known time: up to then, no rows means that none came. By default it ends with the rows.
    `rests` is how many series without a name stay apart, by default as many as are drawn; all others are one, "".
    """
    at = nanoseconds(times)
    first, last = int(at.min()), int(at.max())
    end = last if until is None else max(last, until)
    width = interval(every, first, end, most)
    begin = width.begin(first)
    count = (end - begin) // width.ns + 1
    bins = (at - begin) // width.ns
    order, codes, names = _keyed(keys, amounts, count, rests)
    table = np.bincount(codes * count + bins, weights=amounts, minlength=len(names) * count).reshape(-1, count)
    starts = begin + np.arange(count, dtype="int64") * width.ns
    gap = _NEARLY * (last - first) / max(len(at) - 1, 1)
    unfinished = [0] if first - gap > begin else []
    stop = begin + count * width.ns
    if stop > now() or (until is None and last + gap < stop):
        unfinished.append(int(count) - 1)
    return Binned(width, starts, dict(zip(names, table, strict=True)), order, first, last, sorted({*unfinished}))


def _keyed(keys: pd.Series[Any] | None, amounts: Any, count: int, rests: int | None) -> tuple[Ranked, Any, list[str]]:
    """Return the order of the series, and for each row the number of its own."""
    if keys is None:
        return Ranked([""], []), np.zeros(len(amounts), dtype="int64"), [""]
    codes, values = pd.factorize(keys)
    names = [str(value) for value in values]
    sizes = pd.Series(np.bincount(codes, weights=np.abs(amounts), minlength=len(names)), index=names)
    order = ranked(sizes)
    most = min(MOST_RESTS, max(1, _CELLS // int(count))) if rests is None else rests
    shown = len(order.named) + min(most, len(order.rest))
    if shown < len(names):
        # More would be a smear; series that are not drawn still count among the others.
        drawn = [*order.named, *order.rest][:shown]
        places = {name: place for place, name in enumerate(drawn)}
        codes = np.array([places.get(name, shown) for name in names])[codes]
        return order, codes, [*drawn, ""]
    return order, codes, names
