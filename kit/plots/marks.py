"""Lines and bars with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.dates import date2num
from matplotlib.ticker import MaxNLocator

from .figure import BODY, Panel, Sheet
from .numbers import COUNTED, MEASURED, Numbers, clean, word
from .series import Ranked, others

MOST_POINTS = 2000
"""The largest number of points in a line; more would be drawn on top of each other."""
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)), (0, (8, 3)), (0, (3, 1, 1, 1)), (0, (2, 2)), "-")
_DOTTED = 40
"""Up to this many points, each has a dot."""
_LEADER = {"arrowstyle": "-", "linewidth": 1.5, "shrinkA": 3, "shrinkB": 0, "relpos": (0, 0.5), "patchA": None}
_LARGE = 17.0
_LONGEST = 28
"""The longest name in characters."""


@dataclass(frozen=True, slots=True)
class Line:
    """A series over time; `y` is NaN where there is no value. The last points may belong to an unfinished interval."""

    x: Any
    y: Any
    open_end: bool = False


def value_axis(panel: Panel, unit: str, words: str, low: float, high: float) -> None:
    """Make the axis of values show a unit, with room for these."""
    ax = panel.ax
    ax.yaxis.set_major_formatter(Numbers(unit))
    if words:
        ax.set_ylabel(words)
    if not np.isfinite(low) or not np.isfinite(high):
        low, high = 0.0, 1.0
    if low == high:
        low, high = (min(low, 0.0), max(high, 0.0)) if low else (0.0, 1.0)
    whole = low.is_integer() and high.is_integer() and unit not in MEASURED
    ax.yaxis.set_major_locator(MaxNLocator(max(2, min(6, int(panel.height * 2.6))), integer=whole, min_n_ticks=2))
    pad = (high - low) * 0.06
    ax.set_ylim(low - pad if low else 0.0, high + pad if high else 0.0)


def bounds(values: Any, *, from_zero: bool = True) -> tuple[float, float]:
    """Return the range of an axis. It begins at zero unless that hides how the values change."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.nan, np.nan
    low, high = float(finite.min()), float(finite.max())
    if from_zero or high - low > 0.2 * max(abs(low), abs(high)) or low == high:
        low, high = min(low, 0.0), max(high, 0.0)
    return low, high


def lines(sheet: Sheet, panel: Panel, series: dict[str, Line], order: Ranked, names: dict[str, str]) -> None:
    """Draw a line for each series, named beside its end; the axis of values must have its limits already."""
    ax, look = panel.ax, sheet.look
    if order.rest:
        thinned = [thin(series[key].x, series[key].y) for key in order.rest if key in series]
        drawn = [np.column_stack([_days(x), y]) for x, y in thinned]
        rest = LineCollection(
            drawn,
            colors=look.rest,
            linewidths=0.8,
            alpha=0.6,
            zorder=1.5,
            label=_name(names, others(order.rest, names)),
        )
        ax.add_collection(rest, autolim=False)
    for key in order.named:
        place = order.place(key)
        line, colour = series[key], order.colour(key, look)
        style: Any = _DASHES[place % len(_DASHES)] if look.dashes else "-"
        x, y = thin(line.x, line.y)
        zorder = 3 - place * 0.01
        if line.open_end and len(x) > 1:
            ax.plot(
                x[-2:], y[-2:], color=colour, linestyle=":", linewidth=1.6, zorder=zorder, label="_unfinished",
                marker="o", markevery=[1], markersize=4.5, markerfacecolor=look.paper,
            )  # fmt: skip
            x, y = x[:-1], y[:-1]
        ax.plot(
            x, y, color=colour, linestyle=style, linewidth=1.8, zorder=zorder, label=_name(names, key),
            marker="o", markevery=_dots(x, y), markersize=3.6,
        )  # fmt: skip
    if len(order.named) + bool(order.rest) > 1:
        _name_lines(sheet, panel, series, order, names)


def bars_over_time(
    sheet: Sheet, panel: Panel, starts: Any, width: int, amounts: dict[str, Any], order: Ranked, names: dict[str, str],
    unfinished: Sequence[int] = (),
) -> None:  # fmt: skip
    """Draw bars on top of each other, one for each interval and series; unfinished intervals are hatched."""
    ax, look = panel.ax, sheet.look
    days = width / 86_400e9
    left = _days(np.asarray(starts).astype("datetime64[ns]"))
    up, down = np.zeros(len(left)), np.zeros(len(left))
    stacks = [(_name(names, key), amounts[key], order.colour(key, look), 1.0) for key in order.named if key in amounts]
    if order.rest:
        folded = np.nansum([amounts[key] for key in order.rest], axis=0)
        stacks.append((_name(names, others(order.rest, names)), folded, look.rest, 0.6))
    for name, heights, colour, alpha in stacks:
        heights = np.nan_to_num(heights)
        floor = np.where(heights < 0, down, up)
        drawn = ax.bar(
            left, heights, width=days * 0.86, bottom=floor, align="edge", color=colour, alpha=alpha, label=name
        )
        up, down = up + np.maximum(heights, 0), down + np.minimum(heights, 0)
        for place in unfinished:
            bar = drawn.patches[place]
            bar.set(facecolor="none", edgecolor=colour, hatch="////", linewidth=0.8)
    if len(stacks) > 1:
        _legend(sheet, panel)


def bars(
    sheet: Sheet, panel: Panel, values: dict[str, float], order: Ranked, names: dict[str, str], unit: str,
    limits: tuple[float, float],
) -> None:  # fmt: skip
    """Draw a horizontal bar for each series with its name and its value, the largest first."""
    ax, look = panel.ax, sheet.look
    show = Numbers(unit)
    low, high = limits
    reach = (high - low) or 1.0
    rest = [values[key] for key in order.rest]
    count = len(order.named) + bool(rest)
    for place, key in enumerate(order.named):
        ax.barh([place], [values[key]], height=0.62, color=look.palette[0], label=_name(names, key))
    ticks = [_name(names, key) for key in order.named]
    labels = [(values[key], f"{show(values[key])} {word(unit)}".strip()) for key in order.named]
    if rest:
        furthest = max(rest, key=abs)
        ax.barh([count - 1], [furthest], height=0.62, color=look.rest, alpha=0.6, label="_rest")
        ticks.append(_name(names, others(order.rest, names)))
        among = f"{show(min(rest))} to {show(max(rest))} each" if len(rest) > 1 else show(furthest)
        labels.append((furthest, f"{among} {word(unit)}".strip()))
    for place, (value, text) in enumerate(labels):
        sign = -1 if value < 0 else 1
        ax.annotate(
            text, (value, place), (sign * 4, 0), textcoords="offset points", va="center",
            ha="right" if sign < 0 else "left", fontsize=BODY, color=look.ink,
        )  # fmt: skip
    ax.set_yticks(range(count), ticks, color=look.ink)
    ax.set_ylim(count - 0.5, -0.5)
    ax.set_xlim(low - (0.28 * reach if low < 0 else 0), high + (0.28 * reach if high > 0 else 0))
    ax.xaxis.set_visible(False)
    ax.grid(False)
    ax.spines["bottom"].set_visible(False)
    ax.axvline(0, color=look.muted, linewidth=0.8)


def numbers(sheet: Sheet, panels: Sequence[Panel], values: Sequence[tuple[float, str]]) -> None:
    """Draw one number with its unit in each panel, large."""
    texts = []
    for value, unit in values:
        whole = not word(unit) and unit in COUNTED and float(value).is_integer() and abs(value) < 1e7
        texts.append(f"{value:,.0f}" if whole else f"{Numbers(unit)(value)} {word(unit)}".strip())
    size = _LARGE
    for panel, text in zip(panels, texts, strict=False):
        figure = panel.ax.get_figure(root=True)
        assert figure is not None
        if sheet.own:
            size = min(size, panel.ax.bbox.width / figure.dpi * 72 / (0.58 * len(text)))
    for panel, text in zip(panels, texts, strict=False):
        panel.ax.text(
            0, 0.5, text, transform=panel.ax.transAxes, va="center", ha="left", fontsize=size, color=sheet.look.ink,
            gid="number",
        )  # fmt: skip
    for panel in panels:
        panel.ax.set_axis_off()


def thin(x: Any, y: Any, points: int = MOST_POINTS) -> tuple[Any, Any]:
    """Return fewer points of a line that looks the same: the lowest and the highest of each stretch, and both ends.

    >>> x, y = thin(np.arange(100_000), np.sin(np.arange(100_000)))
    >>> len(x) <= MOST_POINTS, float(y.max()) > 0.999
    (True, True)
    """
    x, y = np.asarray(x), np.asarray(y, dtype=float)
    if len(x) <= points:
        return x, y
    size = -(-len(y) // max(1, points // 2 - 1))
    stretches = -(-len(y) // size)
    padded = np.full(stretches * size, np.nan)
    padded[: len(y)] = y
    grid = padded.reshape(stretches, size)
    missing = np.isnan(grid)
    low = np.where(missing, np.inf, grid).argmin(axis=1)
    high = np.where(missing, -np.inf, grid).argmax(axis=1)
    starts = np.arange(stretches) * size
    places = np.unique(np.concatenate([starts + low, starts + high, [0, len(y) - 1]]))
    return x[places], y[places]


def _days(times: Any) -> Any:
    """Return times as matplotlib counts them."""
    return date2num(times)  # type: ignore[no-untyped-call]


def _dots(x: Any, y: Any) -> list[int]:
    """Return which points have a dot: all of a short line, else those that have no neighbour to be joined to."""
    there = np.isfinite(y)
    if len(x) > _DOTTED:
        before, after = np.append(False, there[:-1]), np.append(there[1:], False)
        there = there & ~before & ~after
    return [int(place) for place in np.flatnonzero(there)]


def _name_lines(sheet: Sheet, panel: Panel, series: dict[str, Line], order: Ranked, names: dict[str, str]) -> None:
    ax, look = panel.ax, sheet.look
    step = BODY * 1.25 / 72 / panel.height
    named = [(_name(names, key), order.colour(key, look), _end(series[key])) for key in order.named]
    if order.rest:
        named.append(
            (
                _name(names, others(order.rest, names)),
                look.rest,
                float(np.nanmedian([_end(series[key]) for key in order.rest if key in series])),
            )
        )
    if not sheet.own or len(named) * step > 1.15:
        _legend(sheet, panel)
        return
    low, high = ax.get_ylim()
    ends = [(min(max((y - low) / (high - low), 0.0), 1.0) if np.isfinite(y) else 0.0) for *_, y in named]
    for (name, colour, _), end, place in zip(named, ends, _apart(ends, step), strict=True):
        ax.annotate(
            name, (1.0, end), (1.035, place), xycoords="axes fraction", textcoords="axes fraction", va="center",
            ha="left", fontsize=BODY, color=look.ink, annotation_clip=False,
            arrowprops={**_LEADER, "color": colour},
        )  # fmt: skip


def _end(line: Line) -> float:
    """Return the last value that is known."""
    known = np.flatnonzero(np.isfinite(line.y))
    return float(line.y[known[-1]]) if len(known) else np.nan


def _apart(places: Sequence[float], step: float) -> list[float]:
    """Return the places, moved so that none is nearer to the next than `step`, and all are between about 0 and 1."""
    shifts = [0.0] * len(places)
    rising = sorted(range(len(places)), key=lambda n: places[n])
    at = -np.inf
    for n in rising:
        at = max(places[n], at + step)
        shifts[n] = float(at)
    top = 1.0
    for n in reversed(rising):
        shifts[n] = min(shifts[n], top)
        top = shifts[n] - step
    return shifts


def _legend(sheet: Sheet, panel: Panel) -> None:
    ax = panel.ax
    handles, texts = ax.get_legend_handles_labels()
    beside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.03)} if sheet.own else {"loc": "best"}
    ax.legend(
        handles[::-1] if ax.patches else handles, texts[::-1] if ax.patches else texts, frameon=False, fontsize=BODY,
        labelcolor=sheet.look.ink, handlelength=1.1, handleheight=0.9, borderaxespad=0, labelspacing=0.35, **beside,
    )  # fmt: skip


def _name(names: dict[str, str], key: str) -> str:
    return clean(names.get(key, key), _LONGEST) or "all"


def fill(panel: Panel, line: Line, colour: str) -> None:
    """Fill the room between a line and zero."""
    x, y = thin(line.x, line.y)
    panel.ax.fill_between(x, y, color=colour, alpha=0.14, linewidth=0)
