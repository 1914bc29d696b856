"""The plot of how much arrived, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ..core.errors import InputError
from . import marks
from .binning import Binned, binned
from .figure import Margins, Sheet, empty, sheet
from .frames import column_of, feed_of, frame_of, numbers_of, texts_of, time_column, times_of
from .numbers import clean, counted, human
from .series import shortened
from .theme import Theme
from .times import moments, now, span, time_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

How = Literal["count", "sum", "rate"]
_HEIGHT = 2.1
_SUCH = "kit.plots.throughput(handle.read(), every='1h')"
_MOST_BINS = 80
"""The largest number of intervals if the caller does not choose their length."""
_MOST_BARS = 100
_LEAST = 3
"""With fewer complete intervals than this, incomplete ones are drawn too."""


def throughput(
    source: Any,
    what: str = "rows",
    *,
    every: str | pd.Timedelta | None = None,
    how: How | None = None,
    by: str | None = None,
    time: str | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    theme: Theme = "auto",
    live: bool = False,
) -> Axes:
    """Plot how much came in each interval; returns the Axes.

    `source` is a feed, a live view, a handle, or any frame (pandas, polars, Arrow) with a column of times (`time=`
    names it; else the first one is taken). `what` is "rows", "bytes", or a column of numbers. `every` is the interval,
    such as "10s", "1h" or "7D", chosen to fit where it is not given. `how` says what stands for each interval: "count"
    (the default for rows) how many rows there were, "sum" (the default for a column) what its values add up to, "rate"
    the same per second. `by` is a column whose values are counted apart.

    An interval that the rows do not cover, such as the current hour, is hatched or dotted, and the subtitle
    says so. With `live=True` the plot of a feed repaints itself once a second in the cell until the feed ends.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"time": pd.date_range("2026-01-01", periods=600, freq="1s", tz="UTC")})
    >>> throughput(frame, every="10s").get_ylabel()
    'rows per 10 s'
    """
    options: dict[str, Any] = {"what": what, "every": every, "how": how, "by": by, "time": time, "title": title}
    feed = feed_of(source)
    if live:
        from .repainting import follow

        return follow(feed, lambda margins: _throughput(source, feed, ax, theme, margins, **options))
    return _throughput(source, feed, ax, theme, None, **options)


def _throughput(source: Any, feed: Any, ax: Any, theme: Theme, margins: Margins | None, **options: Any) -> Axes:
    paper = sheet(ax, theme)
    what, by = options["what"], options["by"]
    if feed is not None and by is None and options["time"] is None and what in ("rows", "bytes"):
        _feed(paper, feed, **options)
    else:
        _frame(paper, source, feed, **options)
    return paper.finish(margins)


def _feed(
    paper: Sheet, feed: Any, what: str, every: Any, how: How | None, by: None, time: None, title: str | None
) -> None:
    """Return the amounts of each second, by the time of arrival."""
    _check_how(how, what)
    frame = feed.throughput()
    label = clean(feed.source.label)
    words = what[0].upper() + what[1:]
    if frame.empty:
        panel = paper.panel(_HEIGHT)
        panel.title = title or f"{words} of {label}"
        empty(panel, "no rows yet", paper.look)
        return
    until = None if feed.ended else now()
    bins = binned(
        frame["time"],
        frame[what].to_numpy(dtype=float),
        None,
        every or _feed_interval(frame, until),
        most=0,
        until=until,
    )
    _draw(
        paper,
        bins,
        what,
        what,
        how,
        None,
        title or f"{words} of {label}",
        counted(int(frame["rows"].sum()), "row"),
        moving=True,
        ended=until is None,
    )


def _feed_interval(frame: pd.DataFrame, until: int | None) -> pd.Timedelta:
    end = frame["time"].max() if until is None else pd.Timestamp(until, tz="UTC")
    seconds = (end - frame["time"].min()).total_seconds()
    return pd.Timedelta(seconds=next((step for step in (1, 2, 5, 10, 15, 30) if seconds / step <= 300), 30))


def _frame(
    paper: Sheet, source: Any, feed: Any, what: str, every: Any, how: How | None, by: str | None, time: str | None,
    title: str | None,
) -> None:  # fmt: skip
    frame = frame_of(source, "throughput", _SUCH)
    _check_how(how, what)
    times = times_of(frame, time_column(frame, time))
    amounts, unit = _amounts(frame, what, how)
    keys = None if by is None else texts_of(frame[column_of(frame, by, "by")])
    there = times.notna().to_numpy()
    timeless = int((~there).sum())
    heading = title or _heading(what, how, by)
    if not there.any():
        panel = paper.panel(_HEIGHT)
        panel.title = clean(heading.replace(" per {every}", ""), 200)
        empty(panel, "no rows" if not timeless else f"none of {counted(timeless, 'row')} has a time", paper.look)
        return
    until = None if feed is None or feed.ended else now()
    bins = binned(
        times[there], amounts[there], None if keys is None else keys[there], every, most=_MOST_BINS, until=until
    )
    size = counted(int(there.sum()), "row")
    if not _counting(what, how):
        size += f" · {human(float(amounts[there].sum()), unit)} in all"
    if timeless:
        size += f" · {counted(timeless, 'row')} without a time left out"
    _draw(paper, bins, what, unit, how, by, heading, size, moving=False)


def _draw(
    paper: Sheet, bins: Binned, what: str, unit: str, how: How | None, by: str | None, title: str, size: str,
    *, moving: bool, ended: bool = False,
) -> None:  # fmt: skip
    panel = paper.panel(_HEIGHT)
    rate, interval = how == "rate", bins.every
    scale = interval.seconds if rate else 1.0
    amounts = {key: values / scale for key, values in bins.amounts.items()}
    names = shortened(list(amounts))
    words = f"{clean(what, 30)}/s" if rate else f"{clean(what, 30)} per {interval.name}"
    panel.title = clean(title.replace("{every}", "second" if rate else interval.name), 200)
    shown = np.array([amounts[key] for key in [*bins.order.named, *bins.order.rest] if key in amounts])
    count = len(bins.starts)
    if by is None and not moving and count <= _MOST_BARS:
        marks.value_axis(panel, unit, words, *marks.bounds(shown))
        marks.bars_over_time(paper, panel, bins.starts, interval.ns, amounts, bins.order, names, bins.unfinished)
        mark = "hatched"
        time_axis(panel.ax, int(bins.starts[0]), int(bins.starts[-1]) + interval.ns)
    else:
        lines, part = _lines(bins, amounts, moving)
        marks.value_axis(panel, unit, words, *marks.bounds(shown[:, part]))
        ends = bins.starts[part]
        time_axis(panel.ax, int(ends[0]), int(ends[-1]) + interval.ns)
        marks.lines(paper, panel, lines, bins.order, names)
        if by is None:
            marks.fill(panel, next(iter(lines.values())), paper.look.palette[0])
        mark = "dotted" if part.stop == count else "left out"
        if moving and part.start:
            size += f", {human(float(shown[0, 0] * scale), unit)} in the first {interval.name} left out"
        if ended and part.stop < count:
            size += f", {human(float(shown[0, -1] * scale), unit)} in the last {interval.name} left out"
    unfinished = "" if moving else _unfinished(bins, mark)
    panel.subtitle = " · ".join(part for part in (span(bins.first, bins.last), size, unfinished, _smear(bins)) if part)


def _lines(bins: Binned, amounts: dict[str, Any], moving: bool) -> tuple[dict[str, marks.Line], slice]:
    """Return the lines, and which intervals they show: only whole ones, as far as that leaves a line."""
    count = len(bins.starts)
    # A feed begins within an interval, and earlier records arrive at once, which is not throughput.
    whole = slice(1 if moving else int(0 in bins.unfinished), count - (count - 1 in bins.unfinished))
    shown = whole if whole.stop - whole.start >= (1 if moving else _LEAST) else slice(0, count)
    x = moments(bins.middles)[shown]
    open_end = shown.stop == count and count - 1 in bins.unfinished
    keys = [*bins.order.named, *bins.order.rest]
    return {key: marks.Line(x, amounts[key][shown], open_end) for key in keys if key in amounts}, shown


def _unfinished(bins: Binned, mark: str) -> str:
    last = len(bins.starts) - 1
    ends = [word for place, word in ((0, "first"), (last, "last")) if place in bins.unfinished]
    if mark == "dotted":
        ends = [word for word in ends if word == "last"]  # the first one is an ordinary point
    if not ends:
        return ""
    if last == 0:
        return f"the {bins.every.name} is not whole ({mark})"
    return f"{' and '.join(ends)} {bins.every.name} not whole ({mark})"


def _smear(bins: Binned) -> str:
    rest = [key for key in bins.order.rest if key in bins.amounts]
    return "" if len(rest) == len(bins.order.rest) else f"{len(rest)} of {len(bins.order.rest):,} others are drawn"


def _amounts(frame: pd.DataFrame, what: str, how: How | None) -> tuple[Any, str]:
    """Return the amount of each row, and its unit."""
    if what == "rows":
        return np.ones(len(frame)), "rows"
    if what == "bytes" and "bytes" not in frame.columns and "body" in frame.columns:
        sizes = frame["body"].map(_size, na_action="ignore")
        return sizes.fillna(0).to_numpy(dtype=float), "bytes"
    if not isinstance(what, str) or what not in frame.columns:
        hint = "'rows', 'bytes' (of a column `body`), or a column of numbers; there are: "
        raise InputError(f"what={what!r}: there is no such column", hint=hint + ", ".join(map(str, frame.columns[:20])))
    if how == "count":
        return frame[what].notna().to_numpy(dtype=float), "rows"
    return numbers_of(frame, what, "what").fillna(0).to_numpy(), unit_of_column(what)


def _size(body: Any) -> int:
    if not isinstance(body, str | bytes):
        raise InputError(f"what='bytes': a body is a {type(body).__name__}, not text or bytes", hint="name a column")
    return len(body if isinstance(body, bytes) or body.isascii() else body.encode("utf-8", "surrogatepass"))


def unit_of_column(name: str) -> str:
    """Return the unit that a column's name tells.

    >>> unit_of_column("bytes_in"), unit_of_column("cost"), unit_of_column("amount")
    ('bytes', 'USD', '')
    """
    words = name.lower().split("_")
    for unit, nouns in (("bytes", {"bytes"}), ("ms", {"ms"}), ("s", {"seconds"}), ("USD", {"cost", "usd"})):
        if nouns & {words[0], words[-1]}:
            return unit
    return ""


def _counting(what: str, how: How | None) -> bool:
    return what == "rows" or how == "count"


def _check_how(how: Any, what: str) -> None:
    if how not in (None, "count", "sum", "rate"):
        raise InputError(f"how={how!r} is not a way to count", hint="choose 'count', 'sum' or 'rate'")
    if how == "sum" and what == "rows":
        raise InputError("how='sum' adds up the values of a column", hint="name one with what=, or leave how= out")


def _heading(what: str, how: How | None, by: str | None) -> str:
    if what == "rows":
        first = "Rows"
    elif how == "count":
        first = f"Rows with {clean(what, 40)}"
    else:
        first = "Bytes" if what == "bytes" else f"Sum of {clean(what, 40)}"
    return f"{first} per {{every}}" + (f" by {clean(by, 40)}" if by else "")
