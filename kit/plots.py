"""Plots of what the toolkit measures: usage, throughput, latency.

Each function takes frames as the explorers give them and returns matplotlib Axes, which a notebook shows. Nothing
goes through pyplot, so a plot neither appears twice nor stays in memory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator, NullFormatter

from .canvas import (
    MOST_SERIES,
    OTHERS,
    PALETTE,
    Theme,
    axes,
    bin_width,
    clean,
    empty,
    formatter,
    hues,
    legend,
    span,
    thin,
    time_axis,
    titled,
)
from .core.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["latency", "throughput", "usage"]

_TIDY = ("time", "metric", "value", "unit")
_LABELS = (
    "model",
    "stream",
    "basin",
    "label",
    "queue",
    "room",
    "topic",
    "method",
    "op",
    "status",
    "table",
    "session_id",
)
"""Labels by which a metric is best told apart, the best ones first."""
_PANELS = 3
_SOUGHT = ("cost", "tokens", "storage", "bytes", "ops", "requests", "depth", "messages")
_WORDS = {"bytes": "", "USD": ""}
"""Units that the numbers themselves tell."""
_HISTOGRAM = ("_bucket", "_created")


def usage(
    frame: pd.DataFrame,
    metric: str | list[str] | None = None,
    *,
    by: str | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    theme: Theme = "auto",
) -> Axes:
    """Bars or lines of a metrics frame, one panel for each unit; the Axes of the first.

    `frame` is what any explorer's `metrics()` gives (time, metric, value, unit and labels), or Claude's `usage()`.
    Without `metric` it takes those that tell most: cost and tokens, storage, operations. `by` is the label to tell
    series apart; without it, the first one that tells any apart. Several times give a line over time (bars, where
    values are sums over intervals), a single one gives bars.

    >>> frame = pd.DataFrame({"model": ["haiku", "opus"], "tokens": [1200, 300], "cost": [0.01, 0.2]})
    >>> usage(frame).get_title(loc="left")
    'cost by model'
    """
    tidy = _tidied(frame)
    chosen = _chosen(tidy, metric)
    if by is not None and by not in tidy.columns:
        labels = [name for name in tidy.columns if name not in (*_TIDY, "interval")]
        raise InputError(f"by={by!r}: there is no such label", hint=f"there are: {', '.join(labels) or 'none'}")
    units = list(dict.fromkeys(chosen["unit"].fillna("")))
    units = units[: 1 if ax is not None else _PANELS]
    parts = [_series(chosen[chosen["unit"].fillna("") == unit], by) for unit in units]
    tall = any(part.frame["time"].nunique() > 1 for part in parts)
    height = 3.2 if tall else 0.9 + 0.38 * max((part.frame["series"].nunique() for part in parts), default=1)
    places = axes(ax, len(units) or 1, theme, height=height)
    if not units:
        empty(places[0], "nothing to show")
    colours = hues(list(dict.fromkeys(key for part in parts for key in part.order)))
    for place, unit, part in zip(places, units, parts, strict=False):
        _panel(place, part, unit, colours)
        titled(place, title if title is not None and place is places[0] else part.what)
    return places[0]


def throughput(
    source: Any,
    *,
    time: str | None = None,
    by: str | None = None,
    every: str | pd.Timedelta | None = None,
    what: str = "rows",
    ax: Axes | None = None,
    title: str | None = None,
    theme: Theme = "auto",
    live: bool = False,
) -> Axes:
    """A line of how many rows (or, with `what="bytes"`, bytes) came each second; its Axes.

    `source` is a feed, live view, or any frame with a column of times (`time=` names it; else the first one is taken).
    `by` is a column whose values are counted apart, `every` the width of a bin, chosen to fit where it is not given.
    With `live=True` a feed's plot repaints itself twice a second in the cell until the feed ends.

    >>> frame = pd.DataFrame({"time": pd.date_range("2026-01-01", periods=600, freq="1s", tz="UTC")})
    >>> throughput(frame, every="10s").get_ylabel()
    'rows/s'
    """
    feed = getattr(source, "feed", source)
    told = getattr(feed, "throughput", None)
    if callable(told):
        if live:
            from .live.plotting import follow

            shown: Axes = follow(feed, lambda: throughput(feed, every=every, what=what, title=title, theme=theme))
            return shown
        frame, name = told(), str(getattr(getattr(feed, "source", None), "label", "feed"))
        return _feed_line(frame, name, what, every, axes(ax, 1, theme)[0], title)
    if live:
        raise InputError("live=True needs a feed", hint="kit.plots.throughput(handle.live().feed, live=True)")
    if not isinstance(source, pd.DataFrame):
        raise InputError(f"{type(source).__name__} is neither a frame nor a feed")
    return _frame_line(source, time, by, every, what, axes(ax, 1, theme)[0], title)


def latency(
    calls: pd.DataFrame | None = None,
    *,
    ax: Axes | None = None,
    title: str | None = None,
    theme: Theme = "auto",
) -> Axes:
    """How long calls took: their quantiles over time, and beside it how often each duration came; the first Axes.

    Without a frame it takes `kit.calls()`; a part of that, such as one service's calls, does as well.

    >>> frame = pd.DataFrame({"started": pd.date_range("2026-01-01", periods=50, freq="1s", tz="UTC"), "ms": 5.0})
    >>> latency(frame).figure.get_suptitle()[:20]
    'latency of 50 calls,'
    """
    if calls is None:
        from .core.calls import calls as log

        calls = log()
    _needs(calls, ("started", "ms"), "latency", "kit.calls()")
    calls = calls.dropna(subset=["started", "ms"]).sort_values("started")
    places = axes(ax, 2, theme, beside=True)
    left = places[0]
    ink = left.xaxis.label.get_color()
    ms = calls["ms"].to_numpy(dtype=float)
    what = f"latency of {len(calls):,} call{'' if len(calls) == 1 else 's'}"
    if len(calls):
        what += f", {span(calls['started'])}"
        _quantiles(left, calls)
        left.yaxis.set_major_formatter(formatter("ms"))
        left.set_ylim(bottom=0)
        time_axis(left, calls["started"])
    else:
        empty(left, "no calls yet")
    figure = left.get_figure(root=True)
    if ax is None and figure is not None:
        # Over both panels: it is longer than one of them is wide.
        words = clean(title or what, 110)
        figure.suptitle(words, x=0.01, ha="left", fontsize=11, color=ink)
        figure.set_label(words)
        _histogram(places[1], ms)
    else:
        titled(left, title or what)
    return left


# --- usage ----------------------------------------------------------------------------------------------------------


def _tidied(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with time, metric, value and unit; a table of models and what they used is turned into that."""
    if isinstance(frame, pd.DataFrame) and not {*_TIDY} <= {*frame.columns}:
        known = {"cost": "USD", "tokens": "tokens"}
        if "model" in frame.columns and (there := [name for name in known if name in frame.columns]):
            parts = [
                pd.DataFrame(
                    {"time": pd.NaT, "metric": name, "value": frame[name].astype(float), "unit": known[name]}
                ).assign(model=frame["model"].to_numpy())
                for name in there
            ]
            return pd.concat(parts, ignore_index=True)
    _needs(frame, _TIDY, "usage", "what an explorer's metrics() gives")
    return frame


def _needs(frame: Any, columns: tuple[str, ...], plot: str, such: str) -> None:
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"{plot} takes a DataFrame, not {type(frame).__name__}", hint=such)
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(f"{plot}: the frame has no column {', '.join(map(repr, missing))}", hint=f"give it {such}")


def _chosen(tidy: pd.DataFrame, metric: str | list[str] | None) -> pd.DataFrame:
    names = list(dict.fromkeys(tidy["metric"].dropna()))
    if metric is not None:
        wanted = [metric] if isinstance(metric, str) else list(metric)
        unknown = [name for name in wanted if name not in names]
        if unknown:
            near = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
            raise InputError(f"there is no metric {unknown[0]!r} in the frame", hint=f"there are: {near or 'none'}")
        return tidy[tidy["metric"].isin(wanted)]
    names = [name for name in names if not name.endswith(_HISTOGRAM)]
    if len(names) > 4:
        found = [name for sought in _SOUGHT for name in names if sought in name]
        names = list(dict.fromkeys(found))[:4] or names[:4]
    return tidy[tidy["metric"].isin(names)]


def _telling(part: pd.DataFrame) -> str | None:
    """The label that tells the rows apart, the metric's name where there are several."""
    labels = [name for name in part.columns if name not in (*_TIDY, "interval")]
    ordered = [name for name in _LABELS if name in labels] + [name for name in labels if name not in _LABELS]
    for name in ordered:
        if part[name].nunique() > 1:
            return name
    return "metric" if part["metric"].nunique() > 1 else next((name for name in ordered if part[name].nunique()), None)


def _phrase(names: list[str]) -> str:
    words = [name.replace("_", " ").replace("-", " ") for name in names]
    if len(words) > 2:
        return f"{words[0]} and {len(words) - 1} more"
    return " and ".join(words)


@dataclass(frozen=True, slots=True)
class _Part:
    """What one panel shows: rows with a column `series`, the series in the order of their size, and what it is."""

    frame: pd.DataFrame
    order: list[str]
    what: str


def _series(part: pd.DataFrame, by: str | None) -> _Part:
    label = by or _telling(part)
    names = list(dict.fromkeys(part["metric"]))
    # What all names begin with tells nothing.
    shared = os.path.commonprefix(names) if len(names) > 1 else ""  # noqa: RUF071 - names are no paths
    cut = max(shared.rfind("_"), shared.rfind("-")) + 1
    keys = part["metric"].str[cut:] if label is None or label == "metric" else part[label].fillna("").map(str)
    part = part.assign(series=_largest(keys, part["value"]))
    order = _ordered(part.groupby("series")["value"].sum())
    what = _phrase([name[cut:] for name in names])
    if label is not None and label != "metric" and len(order) > 1:
        what += f" by {label}"
    times = part["time"].dropna()
    return _Part(part, order, what + (f", {span(times)}" if len(times) else ""))


def _panel(ax: Axes, part: _Part, unit: str, colours: Mapping[str, str]) -> None:
    frame, order = part.frame, part.order
    if frame["time"].nunique() < 2:
        _bars(ax, frame, unit, colours)
        return
    ax.yaxis.set_major_formatter(formatter(unit))
    ax.set_ylabel(_WORDS.get(unit, unit), fontsize=9)
    table = frame.pivot_table(index="time", columns="series", values="value", aggfunc="sum")[order]
    intervals = frame.get("interval")
    sums = unit in ("USD", "tokens") or (intervals is not None and intervals.notna().any())
    if sums and len(table) <= 400:
        _stacked(ax, table, colours)
    else:
        for key in order:
            column = table[key].dropna()
            _line(ax, column, colours[key], _name(key))
        ax.set_ylim(bottom=min(0.0, float(np.nanmin(table.to_numpy()))))
    time_axis(ax, table.index)
    legend(ax, len(order))


def _line(ax: Axes, column: pd.Series[Any], colour: str, name: str) -> None:
    x, y = thin(column.index.to_numpy(), column.to_numpy())
    ax.plot(x, y, color=colour, label=name, linewidth=1.6, marker="o" if len(x) < 40 else None, markersize=3)


def _name(key: Any) -> str:
    return clean(key, 28) or "(none)"


def _largest(keys: pd.Series[Any], values: pd.Series[Any]) -> pd.Series[Any]:
    """The keys, with those beyond what can be told apart folded into one."""
    totals = values.groupby(keys).sum().sort_values(ascending=False)
    if len(totals) <= MOST_SERIES:
        return keys
    return keys.where(keys.isin(totals.index[: MOST_SERIES - 1]), OTHERS)


def _ordered(totals: pd.Series[Any]) -> list[str]:
    """The largest first, and all the rest at the end."""
    order = list(totals.sort_values(ascending=False).index)
    return sorted(order, key=lambda key: key == OTHERS)


def _bars(ax: Axes, frame: pd.DataFrame, unit: str, colours: Mapping[str, str]) -> None:
    totals = frame.groupby("series")["value"].sum().sort_values()
    ink = ax.xaxis.label.get_color()
    ax.barh(range(len(totals)), totals.to_numpy(), color=[colours[key] for key in totals.index], height=0.65)
    ax.set_yticks(range(len(totals)), [_name(key) for key in totals.index])
    ax.set_ylim(-0.6, len(totals) - 0.4)
    show = formatter(unit)
    ax.xaxis.set_major_formatter(show)
    ax.set_xlabel(_WORDS.get(unit, unit), fontsize=9)
    ax.grid(False, axis="y")
    ax.grid(True, axis="x", color=ink, alpha=0.18)
    for place, value in enumerate(totals.to_numpy()):
        words = show(value, None).replace("$", r"\$")
        ax.annotate(words, (value, place), (4, 0), textcoords="offset points", va="center", fontsize=9, color=ink)
    ax.set_xlim(left=min(0.0, float(totals.min())), right=float(totals.max()) * 1.15 or 1.0)


def _stacked(ax: Axes, table: pd.DataFrame, colours: Mapping[str, str]) -> None:
    times = table.index
    gaps = np.diff(np.sort(times.to_numpy())).astype("timedelta64[ms]")
    width = (gaps.min() if len(gaps) else np.timedelta64(60_000, "ms")) * 0.8
    floor = np.zeros(len(table))
    days = width / np.timedelta64(86_400_000, "ms")
    for key in table.columns:
        heights = table[key].fillna(0).to_numpy()
        ax.bar(times.to_numpy(), heights, width=days, bottom=floor, color=colours[key], label=_name(key))
        floor = floor + heights


# --- throughput -----------------------------------------------------------------------------------------------------


def _feed_line(frame: pd.DataFrame, name: str, what: str, every: Any, ax: Axes, title: str | None) -> Axes:
    if what not in ("rows", "bytes"):
        raise InputError(f"what={what!r}", hint="a feed counts 'rows' and 'bytes'")
    if frame.empty:
        empty(ax, "nothing has come yet")
        titled(ax, title or f"{name}: {what}")
        return ax
    width = max(_width(every, frame["time"]), pd.Timedelta(seconds=1))
    counted = frame.set_index("time")[what].resample(width).sum() / width.total_seconds()
    _rates(ax, counted.to_frame(what), what, f"{name}: {what}", frame["time"], title)
    return ax


def _frame_line(
    frame: pd.DataFrame, time: str | None, by: str | None, every: Any, what: str, ax: Axes, title: str | None
) -> Axes:
    times = pd.to_datetime(frame[_time_column(frame, time)], utc=True)
    if what == "rows":
        amounts = pd.Series(1.0, index=frame.index)
    elif what == "bytes" and "body" in frame.columns:
        amounts = frame["body"].map(len, na_action="ignore").astype(float)
    elif what in frame.columns and pd.api.types.is_numeric_dtype(frame[what]):
        amounts = frame[what].astype(float)
    else:
        raise InputError(f"what={what!r}", hint="'rows', 'bytes' of a column `body`, or a column of numbers")
    if by is not None and by not in frame.columns:
        raise InputError(f"by={by!r}: there is no such column")
    there = times.notna()
    times, amounts = times[there], amounts[there]
    label = what + (f" by {by}" if by else "")
    if times.empty:
        empty(ax, "no rows")
        titled(ax, title or label)
        return ax
    # Lines that cross each other want to be smoother.
    width = _width(every, times, 240 if by is None else 80)
    keys = pd.Series(what, index=times.index) if by is None else _largest(frame.loc[there, by].map(str), amounts)
    table = amounts.groupby([times.dt.floor(width), keys]).sum().unstack(fill_value=0).resample(width).sum()
    _rates(ax, table / width.total_seconds(), what, label, times, title)
    return ax


def _time_column(frame: pd.DataFrame, time: str | None) -> str:
    name = time or next((one for one in frame.columns if isinstance(frame[one].dtype, pd.DatetimeTZDtype)), None)
    name = name or next((one for one in frame.columns if pd.api.types.is_datetime64_any_dtype(frame[one])), None)
    if name is None or name not in frame.columns:
        raise InputError(
            f"there is no column {time!r}" if time else "the frame has no column of times",
            hint=f"name one with time=; there are: {', '.join(map(str, list(frame.columns)[:20]))}",
        )
    return str(name)


_PER = ((1.0, "second", "s"), (60.0, "minute", "min"), (3600.0, "hour", "h"), (86400.0, "day", "day"))


def _rates(ax: Axes, table: pd.DataFrame, what: str, label: str, times: Any, title: str | None) -> None:
    """One line or several, per second or per what gives numbers above one."""
    highest = float(table.to_numpy().max(initial=0.0))
    scale, word, short = next((per for per in _PER if highest * per[0] >= 1), _PER[0])
    table = table * scale
    order = _ordered(table.sum())
    colours = hues(order)
    for key in order:
        _line(ax, table[key], colours[key], _name(key))
    if len(order) == 1:
        x, y = thin(table.index.to_numpy(), table[order[0]].to_numpy())
        ax.fill_between(x, y, color=PALETTE[0], alpha=0.15, linewidth=0)
    ax.set_ylim(bottom=0)
    legend(ax, len(order))
    time_axis(ax, times)
    ax.yaxis.set_major_formatter(formatter("bytes" if what == "bytes" else what))
    ax.set_ylabel(f"{what}/{short}", fontsize=9)
    first, _, rest = label.partition(" by ")
    titled(ax, title or f"{first} per {word}" + (f" by {rest}" if rest else "") + f", {span(times)}")


def _width(every: Any, times: Any, most: int = 240) -> pd.Timedelta:
    if every is None:
        return bin_width(times, most)
    try:
        width = pd.Timedelta(every)
    except (ValueError, TypeError):
        raise InputError(f"every={every!r} is no length of time", hint="such as '10s' or '5min'") from None
    if not width > pd.Timedelta(0):
        raise InputError(f"every={every!r} must be longer than nothing")
    if (times.max() - times.min()) / width > 1_000_000:
        raise InputError(f"every={every!r} would make more than a million bins", hint="give a longer one")
    return width


# --- latency --------------------------------------------------------------------------------------------------------


def _quantiles(ax: Axes, calls: pd.DataFrame) -> None:
    times, ms = calls["started"], calls["ms"].astype(float)
    if len(calls) < 60:
        ax.plot(times.to_numpy(), ms.to_numpy(), "o", color=PALETTE[0], markersize=4, alpha=0.8)
        return
    width = bin_width(times, min(120, max(8, len(calls) // 8)))
    groups = ms.groupby(times.dt.floor(width))
    for share, colour, style in ((0.5, PALETTE[0], "-"), (0.9, PALETTE[1], "-"), (0.99, PALETTE[3], "--")):
        line = groups.quantile(share)
        ax.plot(line.index.to_numpy(), line.to_numpy(), style, color=colour, linewidth=1.6, label=f"p{share * 100:g}")
    ink = ax.xaxis.label.get_color()
    ax.legend(loc="upper left", frameon=False, fontsize=9, labelcolor=ink, ncols=3)


def _histogram(ax: Axes, ms: Any) -> None:
    ink = ax.xaxis.label.get_color()
    positive = ms[ms > 0]
    if not len(positive):
        empty(ax, "nothing to show")
        return
    low, high = positive.min(), positive.max()
    ax.hist(positive, bins=np.geomspace(low, max(high, low * 1.1), 40).tolist(), color=PALETTE[0], alpha=0.8)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(formatter("ms"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.set_ylabel("calls", fontsize=9)
    for share, colour in ((0.5, PALETTE[0]), (0.99, PALETTE[3])):
        value = float(np.quantile(ms, share))
        ax.axvline(value, color=colour, linestyle="--", linewidth=1)
        ax.annotate(
            f"p{share * 100:g} {formatter('ms')(value, None)}", (value, 1), xycoords=("data", "axes fraction"),
            xytext=(3, -4 if share < 0.9 else -16), textcoords="offset points", va="top", fontsize=8, color=ink,
        )  # fmt: skip
