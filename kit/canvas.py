"""What all plots stand on: a figure without pyplot's state, colours for every eye and both themes, units, time axes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, FuncFormatter

from .core.errors import InputError
from .core.html import visible

Theme = Literal["auto", "light", "dark"]
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#B8A800", "#8C8C8C")
"""Told apart by colour-blind eyes, on white and on black; the last one is for all the rest."""
MOST_SERIES = len(PALETTE) - 1
MOST_POINTS = 2000
"""Points of one line; more would be drawn on top of each other."""
OTHERS = "others"
_INK = {"auto": "#7a7a7a", "light": "#333333", "dark": "#d0d0d0"}
_PAPER = {"auto": "none", "light": "#ffffff", "dark": "#111111"}
_DPI = 100
_SHARPNESS = 2
_HOUR, _DAY = 3600.0, 86400.0
_STEPS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0),
    *(60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, _HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR),
    *(_DAY, 7 * _DAY, 28 * _DAY, 364 * _DAY),
)


class Picture(Axes):
    """Axes that a notebook shows as their whole figure, though pyplot knows nothing of it."""

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        figure = self.get_figure(root=True)
        assert figure is not None
        size = {"width": round(figure.get_figwidth() * _DPI), "height": round(figure.get_figheight() * _DPI)}
        data = {"image/png": png(figure), "text/plain": f"<plot: {figure.get_label() or self.get_title()}>"}
        return data, {"image/png": size}


def png(figure: Any) -> bytes:
    """The figure as a picture, sharp on fine screens too."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=_DPI * _SHARPNESS, facecolor=figure.get_facecolor())
    return out.getvalue()


def axes(ax: Axes | None, panels: int, theme: Theme, *, beside: bool = False, height: float = 3.2) -> list[Axes]:
    """Where to draw: the caller's own axes, or as many new ones as there are panels."""
    if ax is not None:
        if not isinstance(ax, Axes):
            raise InputError(f"ax={ax!r} is no matplotlib Axes", hint="leave it out and a figure is made")
        return [ax]
    if theme not in _INK:
        raise InputError(f"theme={theme!r}", hint=f"one of {', '.join(map(repr, _INK))}")
    paper, ink = _colours(theme)
    figure = Figure(
        figsize=(8.0, height if beside else height * panels), dpi=_DPI, facecolor=paper, layout="constrained"
    )
    FigureCanvasAgg(figure)
    rows, columns = (1, panels) if beside else (panels, 1)
    found: list[Axes] = []
    for number in range(panels):
        one = figure.add_subplot(rows, columns, number + 1, axes_class=Picture)
        one.set_facecolor(paper)
        one.tick_params(colors=ink, which="both", labelsize=9)
        for side, spine in one.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(ink)
        one.xaxis.label.set_color(ink)
        one.yaxis.label.set_color(ink)
        one.title.set_color(ink)
        one.grid(True, axis="y", color=ink, alpha=0.18, linewidth=0.8)
        one.set_axisbelow(True)
        found.append(one)
    return found


def _colours(theme: Theme) -> tuple[str, str]:
    """Paper and ink. By itself a plot has no paper, and ink that reads on a white page and on a dark one."""
    if theme == "auto" and rcParams["figure.facecolor"] not in ("white", "w", "#ffffff"):
        return str(rcParams["figure.facecolor"]), str(rcParams["text.color"])  # a style that the user has chosen
    return _PAPER[theme], _INK[theme]


def titled(ax: Axes, what: str, longest: int = 90) -> None:
    """The title of one panel, in the ink of its axes."""
    title = clean(what, longest)
    ax.set_title(title, loc="left", fontsize=11, color=ax.xaxis.label.get_color())
    figure = ax.get_figure(root=True)
    if figure is not None and not figure.get_label():
        figure.set_label(title)


def legend(ax: Axes, count: int) -> None:
    """Names of the series, where there is more than one."""
    if count < 2:
        return
    ink = ax.xaxis.label.get_color()
    box = ax.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9, labelcolor=ink, handlelength=1.2
    )
    box.set_in_layout(True)


def time_axis(ax: Axes, times: Any) -> None:
    """Times of the local zone, short where the rest is the same."""
    zone = datetime.now().astimezone().tzinfo
    locator = AutoDateLocator(tz=zone, minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))  # type: ignore[no-untyped-call]
    low, high = (date2num(moment) for moment in (times.min(), times.max()))  # type: ignore[no-untyped-call]
    if low == high:
        ax.set_xlim(low - 1 / 1440, high + 1 / 1440)


def span(times: Any) -> str:
    """From when to when, in a few words and the local zone."""
    if not len(times):
        return "no time"
    zone = datetime.now().astimezone().tzinfo
    first, last = (pd.Timestamp(moment).tz_convert(zone) for moment in (times.min(), times.max()))
    day = f"{first.day} {first:%b %Y}"
    if first.date() != last.date():
        return f"{day} to {last.day} {last:%b %Y}"
    fine = "%H:%M:%S" if (last - first).total_seconds() < 180 else "%H:%M"
    return f"{day}, {first:{fine}}" + ("" if first == last else f" to {last:{fine}}") + f" {first:%Z}"


def formatter(unit: str) -> Formatter:
    """Numbers of a unit as people write them.

    >>> formatter("bytes")(1_512_345), formatter("USD")(0.0125), formatter("tokens")(12_000), formatter("ms")(0.25)
    ('1.51 MB', '$0.0125', '12 k', '250 µs')
    """
    if unit == "USD":
        return FuncFormatter(lambda value, _=None: _dollars(value))
    suffix, scale = {"bytes": ("B", 1.0), "bytes/s": ("B/s", 1.0), "s": ("s", 1.0), "ms": ("s", 1e-3)}.get(
        unit, ("", 1.0)
    )
    return FuncFormatter(lambda value, _=None: _short(value * scale, suffix))


_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))


def _short(value: float, suffix: str) -> str:
    """Three digits and a prefix; below one only times have prefixes."""
    if not value:
        return f"0 {suffix}".strip()
    least = 1e-6 if suffix == "s" else 1.0
    most = 1.0 if suffix == "s" else 1e12
    fitting = ((scale, name) for scale, name in _PREFIXES if least <= scale <= most and abs(value) >= scale * 0.9995)
    scale, name = next(fitting, (least, "µ" if suffix == "s" else ""))
    return f"{value / scale:.3g} {name}{suffix}".strip()


def _dollars(value: float) -> str:
    if value and abs(value) < 0.01:
        return f"${value:.2g}"
    return f"${value:,.4f}".rstrip("0").rstrip(".") if 0 < abs(value) < 0.1 else f"${value:,.2f}"


def hues(keys: Sequence[Any]) -> dict[Any, str]:
    """A colour for each series."""
    own = iter(PALETTE[:MOST_SERIES])
    return {key: PALETTE[-1] if key == OTHERS else next(own, PALETTE[-1]) for key in keys}


def thin(x: Any, y: Any, points: int = MOST_POINTS) -> tuple[Any, Any]:
    """The line through fewer points that looks the same: of each stretch its lowest and its highest.

    >>> x, y = thin(np.arange(100_000), np.sin(np.arange(100_000)))
    >>> len(x) <= MOST_POINTS, float(y.max()) > 0.999
    (True, True)
    """
    x, y = np.asarray(x), np.asarray(y)
    if len(x) <= points:
        return x, y
    edges = np.linspace(0, len(x), points // 2 + 1).astype(int)
    kept: list[int] = []
    for start, stop in pairwise(edges):
        stretch = y[start:stop]
        if np.isnan(stretch).all():
            kept.append(int(start))
            continue
        kept += sorted({int(start + np.nanargmin(stretch)), int(start + np.nanargmax(stretch))})
    return x[kept], y[kept]


def clean(value: Any, longest: int = 60) -> str:
    """A label that comes from data: harmless, short, and no formula."""
    text = visible(value).replace("\n", " ")
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return text.replace("$", r"\$")


def bin_width(times: Any, most: int = 240) -> pd.Timedelta:
    """A round width, so that the times fall into at most so many bins.

    >>> bin_width(pd.to_datetime(pd.Series([0, 3600], dtype="int64"), unit="s", utc=True))
    Timedelta('0 days 00:00:15')
    """
    seconds = (times.max() - times.min()).total_seconds() if len(times) else 0.0
    return pd.Timedelta(seconds=next((step for step in _STEPS if seconds / step <= most), seconds / most))


def empty(ax: Axes, words: str) -> None:
    """Says why there is nothing to see."""
    ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", color=ax.xaxis.label.get_color())
    ax.set_xticks([])
    ax.set_yticks([])
