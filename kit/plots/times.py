"""Intervals and time axes; all in UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

from ..core.errors import InputError

MOST_BINS = 1_000_000
_SECOND = 1_000_000_000
_MINUTE, _HOUR, _DAY = 60 * _SECOND, 3600 * _SECOND, 86_400 * _SECOND
_MONDAY = 4 * _DAY
"""The first Monday of 1970, where weeks begin."""
_STEPS = (
    *(n * 1_000_000 for n in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(n * _SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12)),
    *(n * _DAY for n in (1, 7, 28, 364)),
)
_NAMES = ((_DAY, "day", "days"), (_HOUR, "hour", "h"), (_MINUTE, "minute", "min"), (_SECOND, "second", "s"))


@dataclass(frozen=True, slots=True)
class Interval:
    """The length of bins in time."""

    ns: int

    @property
    def name(self) -> str:
        """The interval in words: "second", "10 s", "hour", "week", "30 days"."""
        if self.ns == 7 * _DAY:
            return "week"
        for size, one, many in _NAMES:
            if self.ns == size:
                return one
            if self.ns > size and self.ns % size == 0:
                return f"{self.ns // size} {many}"
        for size, name in ((1_000_000, "ms"), (1000, "µs")):
            if self.ns % size == 0:
                return name if self.ns == size else f"{self.ns // size} {name}"
        return f"{self.ns / _SECOND:g} s"

    @property
    def seconds(self) -> float:
        return self.ns / _SECOND

    def begin(self, first: int) -> int:
        """Return the beginning of the bin that a time (in nanoseconds) is in: weeks begin on Mondays, days at
        midnight."""
        if self.ns % (7 * _DAY) == 0:
            origin = _MONDAY
        elif self.ns > _DAY:
            origin = first // _DAY * _DAY
        else:
            origin = 0
        return origin + (first - origin) // self.ns * self.ns


def interval(every: Any, first: int, last: int, most: int = 240) -> Interval:
    """Return the interval that was asked for; without one, a round one that makes at most `most` bins.

    >>> interval("7D", 0, 10).name, interval(None, 0, 3600 * 10**9).name
    ('week', '15 s')
    """
    if every is None:
        span = last - first or 80 * _MINUTE  # a single moment is shown as its minute
        return Interval(next((step for step in _STEPS if span / step <= most), -(-span // most)))
    try:
        # A bare unit such as "h" means one of it.
        width: Any = pd.Timedelta(
            f"1{every}" if isinstance(every, str) and re.fullmatch(r"[a-zA-Z]+", every) else every
        )
    except (ValueError, TypeError):
        width = None
    if not isinstance(width, pd.Timedelta) or isinstance(every, bool | int | float):
        raise InputError(f"every={every!r} is not a duration", hint="such as '10s', '5min', '1h', '1D' or '7D'")
    size = int(width.as_unit("ns").value)
    if size <= 0:
        raise InputError(f"every={every!r} must be longer than zero")
    if (last - first) / size > MOST_BINS:
        raise InputError(f"every={every!r} would make more than a million bins", hint="give a longer one")
    return Interval(size)


def nanoseconds(times: Any) -> Any:
    """Return times as whole nanoseconds since 1970."""
    return times.dt.as_unit("ns").to_numpy(dtype="datetime64[ns]").astype("int64")


def moments(ns: Any) -> Any:
    """Return nanoseconds since 1970 as times that matplotlib draws."""
    return np.asarray(ns).astype("datetime64[ns]")


def now() -> int:
    """Return the time as it is now, in nanoseconds."""
    return int(pd.Timestamp.now("UTC").as_unit("ns").value)


def span(first: int, last: int) -> str:
    """Return from when to when, in a few words.

    >>> span(0, 3600 * 10**9)
    '1 Jan 1970, 00:00 to 01:00 UTC'
    """
    low, high = (pd.Timestamp(ns, tz="UTC") for ns in (first, last))
    day = f"{low.day} {low:%b %Y}"
    seconds = (last - first) / _SECOND
    if low.date() == high.date():
        fine = "%H:%M:%S" if seconds < 180 else "%H:%M"
        return f"{day}, {low:{fine}}" + ("" if low == high else f" to {high:{fine}}") + " UTC"
    if seconds < 3 * 86_400 and {low.strftime("%H%M%S"), high.strftime("%H%M%S")} != {"000000"}:
        return f"{day}, {low:%H:%M} to {high.day} {high:%b %Y}, {high:%H:%M} UTC"
    return f"{day} to {high.day} {high:%b %Y}"


def stamp(ns: int) -> str:
    """Return one time in a few words."""
    return span(ns, ns)


def time_axis(ax: Axes, first: int, last: int) -> None:
    """Format the axis for a range of times in UTC, without the parts that are the same; the subtitle has the date."""
    if first == last:
        first, last = first - _MINUTE, last + _MINUTE
    short = last - first < 8 * _SECOND
    fine = "%H:%M:%S.%f" if short else "%H:%M:%S"
    locator = AutoDateLocator(tz=UTC, minticks=2 if short else 3, maxticks=4 if short else 7)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(
        ConciseDateFormatter(  # type: ignore[no-untyped-call]
            locator, tz=UTC, show_offset=False,
            formats=["%Y", "%b", "%d %b", "%H:%M", "%H:%M", fine],
            zero_formats=["", "%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"],
        )
    )  # fmt: skip
    pad = (last - first) * 0.01
    low, high = (date2num(moments(int(ns))) for ns in (first - pad, last + pad))  # type: ignore[no-untyped-call]
    ax.set_xlim(low, high)
