"""The plot of how long calls took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator

from . import marks
from .figure import BODY, Margins, Panel, Sheet, empty, sheet
from .frames import column_of, feed_of, frame_of, need, numbers_of, times_of
from .numbers import Numbers, clean, counted, human
from .series import Ranked
from .theme import Theme
from .times import interval, moments, nanoseconds, span, time_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_FEW = 60
"""Up to this many calls, each is a dot."""
_HEIGHT, _LOW = 2.0, 1.2
_BINS = 48


def latency(
    calls: Any = None,
    *,
    what: str = "ms",
    time: str = "started",
    ax: Axes | None = None,
    title: str | None = None,
    theme: Theme = "auto",
    live: bool = False,
) -> Axes:
    """Plot how long calls took: p50, p90 and p99 over time, and below how often each duration came; the first Axes.

    Without a frame it takes `kit.calls()`; a part of that, such as one service's calls, does as well, and so does any
    frame (pandas, polars, Arrow) or feed that has a column of milliseconds (`what`) and one of times (`time`). With
    `ax=` the times alone are drawn. With `live=True` the plot of a feed repaints itself once a second in the cell.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"started": pd.date_range("2026-01-01", periods=50, freq="1s", tz="UTC"), "ms": 5.0})
    >>> latency(frame).get_title(loc="left")
    'Latency of 50 calls'
    """
    if live:
        from .repainting import follow

        feed = feed_of(calls)
        return follow(feed, lambda margins: _latency(calls, what, time, ax, title, theme, margins))
    return _latency(calls, what, time, ax, title, theme, None)


def _latency(
    calls: Any, what: str, time: str, ax: Any, title: str | None, theme: Theme, margins: Margins | None
) -> Axes:
    if calls is None:
        from ..core.calls import calls as log

        calls = log()
    frame = frame_of(calls, "latency", "kit.calls()")
    if (what, time) == ("ms", "started"):
        need(frame, (time, what), "latency", "kit.calls(), or name the columns with what= and time=")
    times = times_of(frame, column_of(frame, time, "time"))
    values = numbers_of(frame, column_of(frame, what, "what"), "what")
    there = times.notna() & np.isfinite(values)
    at, ms = nanoseconds(times[there]), values[there].to_numpy()
    order = np.argsort(at, kind="stable")
    at, ms = at[order], ms[order]
    paper = sheet(ax, theme)
    panel = paper.panel(_HEIGHT)
    panel.title = clean(title, 200) if title is not None else f"Latency of {counted(len(ms), 'call')}"
    if not len(ms):
        empty(panel, "no calls yet", paper.look)
        return paper.finish(margins)
    quantiles = {name: float(np.quantile(ms, share)) for name, share in _SHARES.items()}
    left_out = len(frame) - len(ms)
    panel.subtitle = " · ".join(
        [
            span(int(at[0]), int(at[-1])),
            *(f"{name} {human(value, 'ms')}" for name, value in quantiles.items()),
            *([f"{counted(left_out, 'row')} without time or duration left out"] if left_out else []),
        ]
    )
    _over_time(paper, panel, at, ms, quantiles)
    if paper.own:
        _distribution(paper, paper.panel(_LOW), ms, quantiles)
    return paper.finish(margins)


def _over_time(paper: Sheet, panel: Panel, at: Any, ms: Any, quantiles: dict[str, float]) -> None:
    time_axis(panel.ax, int(at[0]), int(at[-1]))
    if len(ms) < _FEW:
        marks.value_axis(panel, "ms", "", *marks.bounds(ms))
        panel.ax.plot(moments(at), ms, "o", color=paper.look.palette[0], markersize=4.5, alpha=0.85, label="calls")
        return
    width = interval(None, int(at[0]), int(at[-1]), min(100, max(8, len(ms) // 8)))
    begin = width.begin(int(at[0]))
    bins = (at - begin) // width.ns
    groups = pd.Series(ms).groupby(bins, sort=True)
    lines = {}
    for name, share in _SHARES.items():
        line = groups.quantile(share)
        x = moments(begin + line.index.to_numpy(dtype="int64") * width.ns + width.ns // 2)
        lines[name] = marks.Line(x, line.to_numpy(dtype=float))
    marks.value_axis(panel, "ms", f"per {width.name}", *marks.bounds(lines["p99"].y))
    time_axis(panel.ax, begin, begin + (int(bins[-1]) + 1) * width.ns)
    marks.lines(paper, panel, lines, Ranked(list(lines), []), {})


def _distribution(paper: Sheet, panel: Panel, ms: Any, quantiles: dict[str, float]) -> None:
    """Draw how often each duration came, on a logarithmic axis."""
    ax, look = panel.ax, paper.look
    least = float(ms[ms > 0].min()) if (ms > 0).any() else 1.0
    shown = np.maximum(ms, least)  # a logarithmic axis cannot show zero
    low, high = float(shown.min()), float(shown.max())
    low, high = (low / 1.1, high * 1.1) if low == high else (low, high)
    ax.hist(shown, bins=np.geomspace(low, high, _BINS).tolist(), color=look.palette[0])
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(Numbers("ms"))
    if high / low < 30:
        ax.set_xticks(_ticks(low, high))
        ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    ax.set_ylabel("calls")
    ax.margins(x=0.01)
    top = ax.get_ylim()[1]
    ax.set_ylim(0, top * 1.3)
    for (name, value), height in zip(quantiles.items(), (0.99, 0.86, 0.99), strict=True):
        value = max(value, least)
        ax.axvline(value, ymax=height, color=look.ink, linewidth=1, alpha=0.7)
        right = value > np.sqrt(low * high)
        ax.annotate(
            f"{name} {human(value, 'ms')}", (value, height), xycoords=("data", "axes fraction"),
            xytext=(-4 if right else 4, 0), textcoords="offset points", va="top", ha="right" if right else "left",
            fontsize=BODY, color=look.ink,
            bbox={"facecolor": look.paper, "edgecolor": "none", "pad": 0.8, "alpha": 0.8},
        )  # fmt: skip
    panel.subtitle = "How often each duration came"


def _ticks(low: float, high: float) -> list[float]:
    """Round durations within a short range."""
    steps = [digit * 10.0**power for power in range(-7, 10) for digit in (1, 1.5, 2, 3, 5, 7)]
    ticks = [step for step in steps if low <= step <= high]
    return ticks if len(ticks) >= 2 else [low, high]
