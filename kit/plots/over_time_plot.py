"""Any metric or column of numbers over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..core.errors import InputError
from . import marks
from .figure import Margins, Sheet, empty, sheet
from .frames import column_of, feed_of, frame_of, listed, numbers_of, texts_of, time_column, times_of
from .measures import TIDY, in_words
from .numbers import clean, counted, word
from .series import MOST_RESTS, Ranked, ranked, shortened
from .theme import Theme
from .throughput_plot import unit_of_column
from .times import Interval, interval, moments, nanoseconds, now, span, time_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AGGREGATES = ("mean", "median", "min", "max", "sum", "first", "last", "count")
_HEIGHT = 2.1
_SUCH = "kit.plots.over_time(view, 'depth', by='queue')"


def over_time(
    source: Any,
    metric: str | Sequence[str] | None = None,
    *,
    by: str | Sequence[str] | None = None,
    agg: str | None = None,
    every: str | pd.Timedelta | None = None,
    time: str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    title: str | None = None,
    theme: Theme = "auto",
    live: bool = False,
) -> Axes:
    """Plot a metric, or a column of numbers, as it changes over time; returns the Axes.

    `source` is a feed, a live view, a handle, or any frame (pandas, polars, Arrow) with a column of times. `metric` is
    a column of numbers, or the name of a metric where the frame has `metric` and `value`; each of several gets a panel.
    Without it, the frame's only one is taken. `by` names the column or columns that tell series apart, found by itself
    where one column does.

    The values are drawn as they stand in the frame. With `agg` ("mean", "median", "min", "max", "sum", "first", "last",
    "count", or a quantile such as "p95") those of one time are one point, and with `every` those of each interval;
    `every` alone takes the mean. With `live=True` the plot of a feed repaints itself once a second in the cell.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"time": pd.date_range("2026-01-01", periods=3, freq="1h", tz="UTC"), "depth": [3, 5, 4]})
    >>> over_time(frame, "depth").lines[0].get_ydata().tolist()
    [3.0, 5.0, 4.0]
    """
    feed = feed_of(source)
    options: dict[str, Any] = {"metric": metric, "by": by, "agg": agg, "every": every, "time": time, "title": title}
    if live:
        from .repainting import follow

        return follow(feed, lambda margins: _over_time(source, ax, theme, margins, **options))
    return _over_time(source, ax, theme, None, **options)


def _over_time(
    source: Any, ax: Any, theme: Theme, margins: Margins | None, *, metric: Any, by: Any, agg: Any, every: Any,
    time: Any, title: str | None,
) -> Axes:  # fmt: skip
    _check_agg(agg)
    paper = sheet(ax, theme)
    frame = frame_of(source, "over_time", _SUCH)
    parts = _parts(frame, metric, time)
    if not paper.own and len(parts) != len(paper.given):
        raise InputError(
            f"ax= has {counted(len(paper.given), 'panel')}, but there are {len(parts)} to draw",
            hint="give as many axes as metrics: ax=[left, right]",
        )
    full = [part.at for part in parts if len(part.at)]
    ends = (min(int(at[0]) for at in full), max(int(at[-1]) for at in full)) if full else (0, 0)
    for part in parts:
        _draw(paper, part, by, agg, every, ends)
    if title is not None:
        paper.rows[0][0].title = clean(title, 200)
    return paper.finish(margins)


class _Part:
    """One metric: its rows with their times and values, in the order of time."""

    def __init__(self, frame: pd.DataFrame, times: Any, values: Any, name: str, unit: str) -> None:
        there = times.notna().to_numpy() & values.notna().to_numpy()
        self.left_out = int((~there).sum())
        if self.left_out:
            frame, times, values = frame[there], times[there], values[there]
        self.at, self.values = nanoseconds(times), values.to_numpy()
        if (np.diff(self.at) < 0).any():
            order = np.argsort(self.at, kind="stable")
            frame, self.at, self.values = frame.iloc[order], self.at[order], self.values[order]
        self.frame = frame
        self.name, self.unit = name, unit


def _parts(frame: pd.DataFrame, metric: Any, time: Any) -> list[_Part]:
    name = time_column(frame, time)
    times = times_of(frame, name)
    names = None if metric is None else [metric] if isinstance(metric, str) else list(metric)
    if {*TIDY} <= {*frame.columns} and not (names and {*names} <= {*frame.columns}):
        return _tidy_parts(frame, times, names)
    numeric = [column for column in frame.columns if column != name and pd.api.types.is_numeric_dtype(frame[column])]
    if names is None:
        if len(numeric) != 1:
            raise InputError(
                f"over_time: the frame has {len(numeric)} columns of numbers: {listed(numeric)}",
                hint="name one: kit.plots.over_time(df, 'depth')",
            )
        names = numeric
    if not names:
        raise InputError("over_time: name a metric", hint=f"there are: {listed(numeric)}")
    columns = [column_of(frame, one, "metric") for one in names]
    return [
        _Part(
            frame,
            times,
            numbers_of(frame, column, "metric"),
            in_words(column, unit_of_column(column)),
            unit_of_column(column),
        )
        for column in columns
    ]


def _tidy_parts(frame: pd.DataFrame, times: Any, metrics: list[Any] | None) -> list[_Part]:
    names = list(dict.fromkeys(frame["metric"].dropna()))
    if metrics is None:
        if len(names) > 1:
            raise InputError(
                f"over_time: the frame has {len(names)} metrics", hint=f"name one of: {', '.join(map(repr, names))}"
            )
        metrics = names
    parts = []
    for name in metrics:
        if name not in names:
            raise InputError(f"there is no metric {name!r} in the frame", hint=f"there are: {listed(names)}")
        for unit in dict.fromkeys(frame.loc[frame["metric"] == name, "unit"].fillna("")):
            part = (frame["metric"] == name) & (frame["unit"].fillna("") == unit)
            values = numbers_of(frame[part], "value", "metric")
            labels = [label for label in frame.columns if label not in (*TIDY, "interval")]
            parts.append(_Part(frame.loc[part, labels], times[part], values, in_words(name, unit), str(unit)))
    return parts or [_Part(frame.iloc[:0], times.iloc[:0], pd.Series(dtype=float), "Metric", "")]


def _draw(paper: Sheet, part: _Part, by: Any, agg: Any, every: Any, ends: tuple[int, int]) -> None:
    panel = paper.panel(_HEIGHT)
    panel.title = part.name
    if not len(part.at):
        empty(
            panel,
            "no rows" if not part.left_out else f"none of {counted(part.left_out, 'row')} has a value",
            paper.look,
        )
        return
    keys, note = _keys(part, by, agg, every)
    at = part.at
    width = interval(every, int(at[0]), int(at[-1])) if every is not None else None
    how = agg or ("mean" if width else None)
    lines, order = _lines(part, keys, at, width, how)
    names = shortened([*order.named, *order.rest])
    unit = "" if how == "count" else part.unit
    words = "values" if how == "count" else word(unit)
    time_axis(panel.ax, *ends)
    marks.value_axis(
        panel, unit, words, *marks.bounds(np.concatenate([line.y for line in lines.values()]), from_zero=how == "count")
    )
    marks.lines(paper, panel, lines, order, names)
    panel.title = clean(part.name + (f" by {' and '.join(note)}" if note and len(lines) > 1 else ""), 200)
    notes = [span(int(at[0]), int(at[-1])), counted(len(at), "value")]
    if how:
        notes.append(f"{how} of each {width.name}" if width else f"{how} of each time")
    if part.left_out:
        notes.append(f"{counted(part.left_out, 'row')} without time or value left out")
    drawn = sum(key in lines for key in order.rest)
    if drawn < len(order.rest):
        notes.append(f"{drawn} of {len(order.rest):,} others are drawn")
    panel.subtitle = " · ".join(notes)


def _keys(part: _Part, by: Any, agg: Any, every: Any) -> tuple[Any, list[str]]:
    """Return the series of each row, and the columns that tell them apart."""
    frame = part.frame
    if by is not None:
        columns = [column_of(frame, one, "by") for one in ([by] if isinstance(by, str) else by)]
        texts = [texts_of(frame[column]) for column in columns]
        joined = texts[0].to_numpy() if len(texts) == 1 else [" · ".join(row) for row in zip(*texts, strict=True)]
        return pd.Series(joined, index=frame.index), columns
    if agg is not None or every is not None or (np.diff(part.at) > 0).all():
        return None, []
    labels = [column for column in frame.columns if _is_label(frame[column])]
    for label in labels:
        keys = texts_of(frame[label])
        if not pd.DataFrame({"time": part.at, "key": keys.to_numpy()}).duplicated().any():
            return keys, [label]
    raise InputError(
        "over_time: several values have the same time, and no column distinguishes them",
        hint=f"name one (by={labels[0] if labels else 'column'!r}), or say how to combine them (agg='mean')",
    )


def _is_label(column: pd.Series[Any]) -> bool:
    kind = column.dtype
    return isinstance(kind, pd.StringDtype | pd.CategoricalDtype) or pd.api.types.is_object_dtype(kind)


def _lines(part: _Part, keys: Any, at: Any, width: Interval | None, how: Any) -> tuple[dict[str, marks.Line], Ranked]:
    values = part.values
    codes, names = (0, [""]) if keys is None else pd.factorize(keys)
    sizes = pd.Series(np.abs(values)).groupby(codes).max() if keys is not None else pd.Series([0.0])
    order = ranked(sizes.set_axis([str(name) for name in names]))
    shown = [*order.named, *order.rest[:MOST_RESTS]]
    if width is not None:
        at = width.begin(int(at[0])) + (at - width.begin(int(at[0]))) // width.ns * width.ns
    lines = {}
    for code, key in enumerate(names):
        if key not in shown:
            continue
        own = codes == code if len(names) > 1 else slice(None)
        x, y = at[own], values[own]
        if how:
            grouped = pd.Series(y).groupby(x, sort=True)
            one = grouped.quantile(float(how[1:]) / 100) if how not in AGGREGATES else grouped.agg(how)
            x, y = one.index.to_numpy(dtype="int64"), one.to_numpy(dtype=float)
        open_end = width is not None and int(x[-1]) + width.ns > now()
        lines[str(key)] = marks.Line(moments(x + (width.ns // 2 if width else 0)), y, open_end)
    return lines, order


def _check_agg(agg: Any) -> None:
    if agg is None or agg in AGGREGATES:
        return
    if isinstance(agg, str) and agg[:1] == "p" and agg[1:].replace(".", "", 1).isdigit() and float(agg[1:]) <= 100:
        return
    raise InputError(
        f"agg={agg!r} is unknown",
        hint=f"one of {', '.join(map(repr, AGGREGATES))}, or a quantile such as 'p95'",
    )
