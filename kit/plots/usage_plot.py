"""The plot of usage: each metric in a panel of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ..core.errors import InputError
from . import marks
from .binning import binned
from .figure import Margins, Panel, Sheet, empty, sheet
from .frames import feed_of
from .measures import Measure, measures, tidied
from .numbers import MEASURED, clean, counted, escaped, human, word
from .series import Ranked, ranked, shortened
from .theme import MOST_SERIES, Theme
from .times import Interval, moments, nanoseconds, now, span, stamp, time_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Over = Literal["total", "day", "hour"]
_EVERY = {"day": "1D", "hour": "1h"}
_MOST_CHARTS = 4
_MOST_NUMBERS = 12
_BESIDE = 4
"""Numbers in one row of the plot."""
_MOST_BARS = 16
"""The largest number of bars in a panel; the rest is shown as "others"."""
_MOST_INTERVALS = 200
"""The largest number of bars over time; more are drawn as a line."""
_ALIKE = 20.0
"""Panels of one unit share an axis up to this ratio; beyond it the smaller one would not be legible."""
_LEADING = 30
"""The smallest number of intervals that are shown if the first ones are all zero."""
_HEIGHT = 1.9
_BAR = 0.27


def usage(
    source: Any,
    metric: str | Sequence[str] | None = None,
    *,
    by: str | Sequence[str] | None = None,
    over: Over | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    title: str | None = None,
    theme: Theme = "auto",
    live: bool = False,
) -> Axes:
    """Plot the metrics of a frame, each in a panel of its own; returns the Axes of the first.

    `source` is what any explorer's `metrics()` gives (time, metric, value, unit, and labels), Claude's `usage()` or
    `ledger()`, or `kit.calls()`. `metric` names one or several; without it, those that tell most are shown, and those
    that are zero are named in a line below. Different metrics are never added up.

    `by` names the labels that distinguish series, by default all that differ; a metric's values are added up
    over the labels that were left out, and the subtitle says so. `over` is "total" for bars of the whole time, "day"
    or "hour" for what was used in each; without it, metrics of intervals are drawn over time and calls are added up.
    A reading, such as a size or a limit, is never added up over time: its newest value stands for the time.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"model": ["haiku", "opus"], "tokens": [1200, 300], "cost": [0.01, 0.2]})
    >>> usage(frame).get_title(loc="left")
    'Cost by model'
    """
    feed = feed_of(source)
    options: dict[str, Any] = {"metric": metric, "by": by, "over": over, "title": title}
    if live:
        from .repainting import follow

        return follow(feed, lambda margins: _usage(source, ax, theme, margins, **options))
    return _usage(source, ax, theme, None, **options)


def _usage(
    source: Any, ax: Any, theme: Theme, margins: Margins | None, *, metric: Any, by: Any, over: Any, title: str | None
) -> Axes:  # fmt: skip
    if over not in (None, "total", "day", "hour"):
        raise InputError(f"over={over!r} is not a period", hint="choose 'total', 'day' or 'hour'")
    paper = sheet(ax, theme)
    tidy, usual = tidied(source)
    shown, infinite = measures(tidy, metric, by, usual)
    zeros = [each for each in shown if each.zero]
    charts, numbers = _sorted([each for each in shown if not each.zero], over, usual)
    left = _fitted(paper, charts, numbers, everything=metric is not None)
    _charts(paper, charts)
    _numbers(paper, numbers)
    if not charts and not numbers:
        panel = paper.panel(0.4)
        panel.title = zeros[0].name if len(zeros) == 1 else "Usage"
        panel.subtitle = _when(zeros[0], newest=False) if zeros else ""
        empty(panel, _all_zero(zeros) if zeros else "there is nothing to show", paper.look)
        zeros = []
    if zeros:
        paper.notes.append(_zero_words(zeros))
    if left:
        paper.notes.append(f"Not shown: {', '.join(each.name.lower() for each in left)}. Name them with metric=.")
    for name, count in infinite.items():
        paper.notes.append(f"{clean(name)}: {counted(count, 'infinite value')} left out.")
    if title is not None and paper.rows:
        paper.rows[0][0].title = clean(title, 200)
    return paper.finish(margins)


@dataclass(frozen=True, slots=True)
class _Chart:
    """A measure and how it is drawn."""

    measure: Measure
    every: str | None
    """The interval whose values are added, or whose last reading is used; None for the frame's own values."""
    timed: bool


def _sorted(shown: list[Measure], over: Any, usual: Any) -> tuple[list[_Chart], list[_Chart]]:
    """Return which are charts, and which are one number."""
    charts: list[_Chart] = []
    numbers: list[_Chart] = []
    for measure in shown:
        several = measure.times > 1
        timed = over in _EVERY and measure.times > 0 if over else several and not (usual and measure.adds)
        chart = _Chart(measure, _EVERY.get(over) if over else None, timed)
        alone = not timed and measure.rows["series"].nunique() == 1
        (numbers if alone else charts).append(chart)
    return charts, numbers


def _fitted(paper: Sheet, charts: list[_Chart], numbers: list[_Chart], *, everything: bool) -> list[Measure]:
    """Take out what there is no room for, and return it."""
    if not paper.own:
        needed, there = len(charts) + len(numbers), len(paper.given)
        if needed > there:
            names = ", ".join(repr(each.measure.metric) for each in [*charts, *numbers])
            raise InputError(
                f"ax= has {counted(there, 'panel')}, but the frame has {needed} metrics: {names}",
                hint="name as many with metric=, or give more axes: ax=[left, right]",
            )
        return []
    if everything:
        return []
    left = [*charts[_MOST_CHARTS:], *numbers[_MOST_NUMBERS:]]
    del charts[_MOST_CHARTS:], numbers[_MOST_NUMBERS:]
    return [each.measure for each in left]


def _zero_words(zeros: list[Measure]) -> str:
    """Return the metrics without a panel, since they are zero."""
    return f"Zero: {', '.join(each.name.lower() for each in zeros)}."


def _all_zero(zeros: list[Measure]) -> str:
    return (
        "zero all the time"
        if len(zeros) == 1 and zeros[0].times > 1
        else "zero"
        if len(zeros) == 1
        else _zero_words(zeros)
    )


def _charts(paper: Sheet, charts: list[_Chart]) -> None:
    panels: list[tuple[_Chart, Panel]] = []
    limits = _limits(charts)
    timed = _alike([_Timed.of(chart) for chart in charts if chart.timed])
    span_ = (min(each.first for each in timed), max(each.last for each in timed)) if timed else (0, 0)
    moving = iter(timed)
    for chart in charts:
        measure = chart.measure
        if chart.timed:
            panel = paper.panel(_HEIGHT)
            _over_time(paper, panel, next(moving), span_)
        else:
            totals = _totals(measure)
            order = ranked(totals, _MOST_BARS)
            panel = paper.panel(_BAR * (len(order.named) + bool(order.rest)) + 0.05)
            names = shortened(list(totals.index))
            marks.bars(
                paper,
                panel,
                {str(key): float(value) for key, value in totals.items()},
                order,
                names,
                measure.unit,
                limits[id(measure)],
            )
            panel.subtitle = _subtitle(measure, _when(measure, newest=measure.times > 1 and not measure.adds), totals)
        panel.title = clean(_title(measure), 200)
        panels.append((chart, panel))
    _share([(chart.measure, panel) for chart, panel in panels if chart.timed])


def _title(measure: Measure) -> str:
    by = [label.removesuffix("_id").replace("_", " ") for label in measure.by]
    suffix = f" by {' and '.join(by)}" if by and measure.rows["series"].nunique() > 1 else ""
    return measure.name.removesuffix(suffix) + suffix


def _totals(measure: Measure) -> pd.Series[float]:
    """Return a value for each series: what its amounts add up to, or its newest reading."""
    rows = measure.rows
    if measure.adds:
        return rows.groupby("series", sort=False)["value"].sum()
    return rows.sort_values("time", kind="stable", na_position="first").groupby("series", sort=False)["value"].last()


def _limits(charts: list[_Chart]) -> dict[int, tuple[float, float]]:
    """Return the limits of each axis of bars: the same for panels of one unit, as far as the smaller can still be
    read."""
    ends = {id(chart.measure): _ends(_totals(chart.measure)) for chart in charts if not chart.timed}
    for unit in {chart.measure.unit for chart in charts if word(chart.measure.unit) or chart.measure.unit in MEASURED}:
        alike = [id(chart.measure) for chart in charts if not chart.timed and chart.measure.unit == unit]
        sizes = [max(abs(end) for end in ends[item]) for item in alike]
        if alike and max(sizes) <= _ALIKE * min(sizes):
            both = min(ends[item][0] for item in alike), max(ends[item][1] for item in alike)
            ends.update(dict.fromkeys(alike, both))
    return ends


_SPENT = ("USD", "tokens")
"""Units whose sum over labels is useful."""


def _ends(values: Any) -> tuple[float, float]:
    return min(0.0, float(np.min(values))), max(0.0, float(np.max(values)))


def _when(measure: Measure, *, newest: bool) -> str:
    times = measure.rows["time"].dropna()
    if not len(times):
        return ""
    at = nanoseconds(pd.to_datetime(times, utc=True))
    return f"newest, {stamp(int(at.max()))}" if newest else span(int(at.min()), int(at.max()))


def _subtitle(measure: Measure, when: str, totals: Any, *more: str) -> str:
    """Return when, how much, and of what."""
    parts = [when]
    if totals is not None and (measure.adds or measure.unit in _SPENT) and len(totals) > 1 and not _bounded(measure):
        parts.append(f"{escaped(human(float(np.sum(totals)), measure.unit))} {word(measure.unit)}".strip() + " in all")
    if measure.summed:
        parts.append("added up over " + " and ".join(measure.summed))
    parts += [clean(measure.caption, 80), *more]
    return " · ".join(part for part in parts if part)


def _bounded(measure: Measure) -> bool:
    return any(label in ("le", "quantile") for label in measure.by)


@dataclass(frozen=True, slots=True)
class _Timed:
    """A measure over time: a value for each time and series."""

    chart: _Chart
    starts: Any
    """Nanoseconds; where each interval begins, or when each reading was taken."""
    width: int
    """The interval in nanoseconds, 0 for readings as they were taken."""
    values: dict[str, Any]
    order: Ranked
    unfinished: list[int]
    before: str
    """A note on the leading intervals that are left out because they are zero; empty if none are."""

    @property
    def first(self) -> int:
        return int(self.starts[0])

    @property
    def last(self) -> int:
        return int(self.starts[-1]) + self.width

    @staticmethod
    def of(chart: _Chart) -> _Timed:
        measure = chart.measure
        rows = measure.rows.dropna(subset=["time"])
        times = pd.to_datetime(rows["time"], utc=True)
        if chart.every and measure.adds:
            bins = binned(times, rows["value"].to_numpy(), rows["series"], chart.every, most=0, rests=len(rows))
            last = len(bins.starts) - 1
            open_ends = [last] if int(bins.starts[-1]) + bins.every.ns > now() else []
            return _Timed(chart, bins.starts, bins.every.ns, bins.amounts, bins.order, open_ends, "")
        at = nanoseconds(times)
        if chart.every:
            width = pd.Timedelta(chart.every).value
            at = at // width * width
        table = pd.DataFrame({"at": at, "series": rows["series"], "value": rows["value"]})
        if measure.adds:
            table = table.groupby(["at", "series"], sort=True)["value"].sum().unstack()
        else:
            table = table.iloc[np.argsort(nanoseconds(times), kind="stable")]
            table = table.groupby(["at", "series"], sort=True)["value"].last().unstack()
        starts = table.index.to_numpy(dtype="int64")
        width = pd.Timedelta(chart.every).value if chart.every else _width(measure, starts)
        values = {str(key): table[key].to_numpy(dtype=float) for key in table.columns}
        order = ranked(
            pd.Series({key: float(np.nansum(np.abs(column))) for key, column in values.items()}), MOST_SERIES
        )
        cut = _leading_zeros(values, len(starts)) if measure.adds else 0
        before = f"zero before {stamp(int(starts[cut]))}" if cut else ""
        last = len(starts) - 1 - cut
        unfinished = [last] if width and int(starts[-1]) + width > now() else []
        return _Timed(chart, starts[cut:], width, {k: v[cut:] for k, v in values.items()}, order, unfinished, before)


def _width(measure: Measure, starts: Any) -> int:
    """Return the interval of amounts: the stated one, as those between may be left out; else the shortest step."""
    if not measure.adds:
        return 0
    shortest = int(np.diff(starts).min())
    return measure.every if 0 < measure.every <= shortest else shortest


def _alike(timed: list[_Timed]) -> list[_Timed]:
    """Return the same, with one colour for a series in all panels with series of the same labels."""
    groups = []
    for each in timed:
        group = [other for other in timed if other.chart.measure.by == each.chart.measure.by]
        shares: dict[str, float] = {}
        for other in group:
            sizes = {key: float(np.nansum(np.abs(column))) for key, column in other.values.items()}
            total = sum(sizes.values()) or 1.0
            for key, size in sizes.items():
                shares[key] = shares.get(key, 0.0) + size / total
        common = ranked(pd.Series(shares))
        groups.append(replace(each, order=common.within(each.values)))
    return groups


def _leading_zeros(values: dict[str, Any], count: int) -> int:
    """Return how many intervals at the beginning say nothing; some of them stay, so that it is seen that they are
    zero."""
    busy = np.flatnonzero(np.any([np.nan_to_num(column) != 0 for column in values.values()], axis=0))
    first = int(busy[0]) if len(busy) else 0
    return max(0, min(first - max(2, (count - first) // 10), count - _LEADING))


def _over_time(paper: Sheet, panel: Panel, timed: _Timed, whole: tuple[int, int]) -> None:
    measure, order = timed.chart.measure, timed.order
    names = shortened([*order.named, *order.rest])
    every = Interval(timed.width).name if timed.width else ""
    unit_word = word(measure.unit)
    words = (f"{unit_word} per {every}" if unit_word else f"per {every}") if measure.adds else unit_word
    table = np.array(list(timed.values.values()))
    notes = [timed.before]
    time_axis(panel.ax, *whole)
    if measure.adds and len(timed.starts) <= _MOST_INTERVALS:
        tops = np.nansum(np.maximum(table, 0), axis=0), np.nansum(np.minimum(table, 0), axis=0)
        marks.value_axis(panel, measure.unit, words, *marks.bounds(np.concatenate(tops)))
        marks.bars_over_time(paper, panel, timed.starts, timed.width, timed.values, order, names, timed.unfinished)
        notes.append(f"last {every} not over (hatched)" if timed.unfinished else "")
    else:
        lines = {
            key: marks.Line(moments(timed.starts + timed.width // 2), column, bool(timed.unfinished) and measure.adds)
            for key, column in timed.values.items()
        }
        marks.value_axis(panel, measure.unit, words, *marks.bounds(table, from_zero=measure.adds))
        marks.lines(paper, panel, lines, order, names)
        if timed.chart.every and not measure.adds:
            notes.append(f"the last of each {every}")
        elif measure.adds and timed.unfinished:
            notes.append(f"last {every} not over (dotted)")
    totals = np.array([np.nansum(column) for column in timed.values.values()]) if measure.adds else None
    panel.subtitle = _subtitle(measure, _when(measure, newest=False), totals, *notes)


def _share(panels: list[tuple[Measure, Panel]]) -> None:
    """Give panels of one unit the same axis of values, as far as the smaller can still be read."""
    for unit in {measure.unit for measure, _ in panels if measure.unit in MEASURED or word(measure.unit)}:
        alike = [panel for measure, panel in panels if measure.unit == unit]
        ends = [panel.ax.get_ylim() for panel in alike]
        sizes = [max(map(abs, end)) for end in ends]
        if len(alike) > 1 and max(sizes) <= _ALIKE * min(sizes):
            for panel in alike:
                panel.ax.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))


def _numbers(paper: Sheet, numbers: list[_Chart]) -> None:
    """Draw one number for each, some of them in a row."""
    panels: list[Panel] = []
    while len(panels) < len(numbers):
        panels += paper.row(0.36, _BESIDE if paper.own else len(numbers), small=True)
    measures_ = [chart.measure for chart in numbers]
    marks.numbers(paper, panels, [(float(_totals(each).iloc[0]), each.unit) for each in measures_])
    for measure, panel in zip(measures_, panels, strict=False):
        panel.title = clean(measure.name, 80)
        series = str(measure.rows["series"].iloc[0])
        about = [clean(shortened([series])[series], 40), clean(measure.caption, 40)]
        when = "" if paper.own else _when(measure, newest=False)
        panel.subtitle = " · ".join(part for part in (when, *about) if part)
