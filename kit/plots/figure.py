"""Figures of panels: Axes without pyplot's state that notebooks show, laid out so that nothing is cut off."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Bbox, ScaledTranslation

from ..core.errors import InputError
from ..core.html import visible
from .numbers import clean, escaped
from .theme import Look, Theme, look_of

WIDTH = 7.2
"""Inches: 720 px on the page, and still legible where a narrow page shrinks it."""
BODY, HEADING, SMALL = 10.0, 12.0, 9.0
"""Sizes of text, in points."""
_DPI = 100
_SHARPNESS, _QUICK = 2, 1.5
"""Pixels of the picture for each pixel of the page; a temporary picture has fewer."""
_EDGE = 0.12
"""Inches around everything."""
_GAP = 0.22
"""Inches between rows."""
_LINE = 1.3
"""Height of a line of text, in sizes of its font."""


class Picture(Axes):
    """Axes that a notebook shows as their whole figure, though pyplot does not know them."""

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return bundle(self)


def bundle(ax: Axes, *, quick: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a notebook shows of a plot, and how large; a quick one is for a moment and takes half the work."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    picture, (width, height) = png(figure, quick=quick)
    title = str(figure.get_label() or ax.get_title(loc="left") or ax.get_title())
    size = {"width": round(width * _DPI), "height": round(height * _DPI), "alt": title}
    data = {"image/png": picture, "text/html": _image(picture, size), "text/plain": f"<plot: {title}>"}
    return data, {"image/png": size}


def _image(picture: bytes, size: dict[str, Any]) -> str:
    """Return a picture as HTML that says in words what it shows, as JupyterLab's own renderer of pictures does not."""
    return (
        f'<img alt="{escape(visible(size["alt"]))}" width="{size["width"]}" height="{size["height"]}" '
        f'style="max-width:100%;height:auto" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
    )


def png(figure: Any, *, quick: bool = False) -> tuple[bytes, tuple[float, float]]:
    """Return the figure as a picture, sharp on fine screens too, with its size in inches.

    It grows where something has been added that reaches beyond its edges, so nothing is cut.
    """
    out = io.BytesIO()
    bounds, grown = figure.bbox_inches, None
    if not quick:
        reach = figure.get_tightbbox(figure.canvas.get_renderer())
        if reach.x0 < bounds.x0 or reach.y0 < bounds.y0 or reach.x1 > bounds.x1 or reach.y1 > bounds.y1:
            bounds = grown = Bbox.union([bounds, reach.padded(_EDGE)])
    figure.savefig(
        out, format="png", dpi=_DPI * (_QUICK if quick else _SHARPNESS), facecolor=figure.get_facecolor(),
        bbox_inches=grown, pad_inches=0, pil_kwargs={"compress_level": 1} if quick else {},
    )  # fmt: skip
    return out.getvalue(), (bounds.width, bounds.height)


def wrapped(text: str, inches: float, size: float, *, bold: bool = False) -> list[str]:
    """Return the lines of a text for the given width; nothing is left out."""
    font = FontProperties(size=size, weight="bold" if bold else "normal")
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _points(longer, font) > inches * 72:
            lines.append(word)
        else:
            lines[-1] = longer
    return [line.removeprefix("· ").removesuffix(" ·") for line in lines]


def _points(text: str, font: FontProperties) -> float:
    """Return how wide a text is, in points."""
    wide = text_to_path.get_text_width_height_descent(text.replace(r"\$", "$"), font, False)[0]
    return float(wide) * 1.03  # letters on a screen are placed on whole pixels


@dataclass(slots=True)
class Margins:
    """The space around the panels, in inches; it only grows, so that a repainted plot keeps its edges."""

    left: float = 0.0
    right: float = 0.0
    above: list[float] = field(default_factory=list)
    below: list[float] = field(default_factory=list)
    """For each row."""


@dataclass(slots=True)
class Panel:
    """One panel of a sheet: its axes, the text above them, and their height in inches."""

    ax: Axes
    height: float
    title: str = ""
    subtitle: str = ""
    small: bool = False

    @property
    def sizes(self) -> tuple[float, float]:
        """Sizes of title and subtitle, in points."""
        return (BODY, SMALL) if self.small else (HEADING, BODY)


@dataclass(slots=True)
class Sheet:
    """The panels of one plot: in rows below each other, or the caller's own axes."""

    look: Look
    own: bool
    figure: Figure | None
    rows: list[list[Panel]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Lines below all panels."""
    given: list[Axes] = field(default_factory=list)

    def row(self, height: float, columns: int = 1, *, small: bool = False) -> list[Panel]:
        """Return new panels beside each other, of this height."""
        if self.own:
            assert self.figure is not None
            # Near their final place, so that ticks fit.
            rect = (0.12, 0.2, 0.8 / columns, 0.6)
            added = [
                Panel(
                    self.figure.add_axes(rect, axes_class=Picture, label=f"{len(self.rows)}.{n}"), height, small=small
                )
                for n in range(columns)
            ]
            self.figure.set_size_inches(WIDTH, height / 0.6)
        else:
            added = [Panel(self.given.pop(0), height, small=small) for _ in range(columns)]
        for panel in added:
            _dress(panel.ax, self.look, self.own)
        self.rows.append(added)
        return added

    def panel(self, height: float) -> Panel:
        """Return a new panel over the whole width."""
        return self.row(height)[0]

    def finish(self, margins: Margins | None = None) -> Axes:
        """Write titles, give everything its place, and return the first axes."""
        panels = [panel for row in self.rows for panel in row]
        if self.own:
            self._arrange(margins if margins is not None else Margins())
        else:
            for panel in panels:
                self._head(panel, panel.ax.bbox.width / _dpi(panel.ax), 0.0)
        if self.figure is not None:
            heads = [", ".join(part for part in (panel.title, panel.subtitle) if part) for panel in panels]
            self.figure.set_label("; ".join([*filter(None, heads), *self.notes]).replace(r"\$", "$"))
        return panels[0].ax

    def _arrange(self, margins: Margins) -> None:
        figure = self.figure
        assert figure is not None
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        rooms = [[_room(panel.ax, renderer, _DPI) for panel in row] for row in self.rows]
        wide = [room[0] for row, room in zip(self.rows, rooms, strict=True) if len(row) == 1]
        margins.left = max([margins.left, _EDGE, *(room[0] + _EDGE for room in wide)])
        margins.right = max([margins.right, 0.25, *(room[2] + _EDGE for room in wide)])
        notes = [line for note in self.notes for line in wrapped(note, WIDTH - 2 * _EDGE, SMALL)]
        heads = margins.above = _grown(
            margins.above, [max(self._head_height(panel, len(row)) for panel in row) for row in self.rows]
        )
        feet = margins.below = _grown(margins.below, [max(room[1] for room in row) for row in rooms])
        below = len(notes) * SMALL * _LINE / 72 + (_GAP / 2 if notes else 0)
        total = (
            _EDGE
            + sum(head + row[0].height + foot for head, row, foot in zip(heads, self.rows, feet, strict=True))
            + _GAP * (len(self.rows) - 1)
            + below
            + _EDGE
        )
        total = math.ceil(total * 50) / 50  # whole pixels at every resolution
        figure.set_size_inches(WIDTH, total)
        top = total - _EDGE
        for row, head, foot in zip(self.rows, heads, feet, strict=True):
            height = row[0].height
            columns = len(row)
            left, right = (margins.left, margins.right) if columns == 1 else (_EDGE, _EDGE)
            share = (WIDTH - left - right) / columns
            for place, panel in enumerate(row):
                x = left + place * share
                width = share if columns == 1 else share - _GAP
                panel.ax.set_position((x / WIDTH, (top - head - height) / total, width / WIDTH, height / total))
                self._head(panel, (WIDTH - 2 * _EDGE) if columns == 1 else width, left - _EDGE if columns == 1 else 0.0)
            top -= head + height + foot + _GAP
        for place, line in enumerate(reversed(notes)):
            figure.text(
                _EDGE / WIDTH, (_EDGE + place * SMALL * _LINE / 72) / total, escaped(line),
                fontsize=SMALL, color=self.look.muted, va="bottom",
            )  # fmt: skip

    def _head_height(self, panel: Panel, columns: int) -> float:
        inches = (WIDTH - 2 * _EDGE) / columns
        heading, body = panel.sizes
        titles = len(wrapped(panel.title, inches, heading, bold=True)) if panel.title else 0
        subtitles = len(wrapped(panel.subtitle, inches, body)) if panel.subtitle else 0
        gap = 0.17 if titles or subtitles else 0.0
        return gap + (titles * heading + subtitles * body) * _LINE / 72

    def _head(self, panel: Panel, inches: float, outdent: float) -> None:
        """Draw title and subtitle above the axes, from the figure's left edge on."""
        ax, look = panel.ax, self.look
        heading, body = panel.sizes
        below = 5.0
        if panel.subtitle:
            lines = wrapped(panel.subtitle, inches, body)
            figure = ax.get_figure(root=True)
            assert figure is not None
            shift = ScaledTranslation(-outdent, below / 72, figure.dpi_scale_trans)
            ax.text(
                0, 1, "\n".join(lines), transform=ax.transAxes + shift, va="bottom", ha="left", fontsize=body,
                color=look.muted, linespacing=_LINE, gid="subtitle",
            )  # fmt: skip
            below += len(lines) * body * _LINE + 6
        if panel.title:
            lines = wrapped(panel.title, inches, heading, bold=True)
            width = ax.bbox.width / _dpi(ax)
            ax.set_title(
                "\n".join(lines), loc="left", x=-outdent / width, pad=below, fontsize=heading, fontweight="bold",
                color=look.ink, linespacing=_LINE,
            )  # fmt: skip


def sheet(ax: Axes | Sequence[Axes] | None, theme: Theme) -> Sheet:
    """Return the sheet to draw on: a new figure, or the caller's axes."""
    if ax is None:
        look = look_of(theme)
        figure = Figure(figsize=(WIDTH, 3.2), dpi=_DPI, facecolor=look.paper)
        FigureCanvasAgg(figure)
        return Sheet(look, True, figure)
    axes = [ax] if isinstance(ax, Axes) else list(ax) if isinstance(ax, Sequence) else _flat(ax)
    if not axes or not all(isinstance(item, Axes) for item in axes):
        raise InputError(f"ax={ax!r} is not a matplotlib Axes", hint="leave it out to get a new figure")
    return Sheet(look_of(theme, axes[0]), False, None, given=axes)


def empty(panel: Panel, words: str, look: Look) -> None:
    """Say why there is nothing to see."""
    panel.ax.text(
        0.5, 0.5, clean(words, 200), transform=panel.ax.transAxes, ha="center", va="center", color=look.muted,
        fontsize=BODY, wrap=True,
    )  # fmt: skip
    panel.ax.set_xticks([])
    panel.ax.set_yticks([])
    panel.ax.grid(False)
    for spine in panel.ax.spines.values():
        spine.set_visible(False)


def _grown(before: list[float], now: list[float]) -> list[float]:
    """Return the larger of each margin; the earlier ones only count with the same number of rows."""
    return [max(pair) for pair in zip(before, now, strict=True)] if len(before) == len(now) else now


def _flat(ax: Any) -> list[Any]:
    """Return the axes of what `plt.subplots` gives: an array of them."""
    return list(ax.flat) if hasattr(ax, "flat") else []


def _dress(ax: Axes, look: Look, own: bool) -> None:
    if own:
        ax.set_facecolor("none")
    ax.tick_params(colors=look.muted, which="both", labelsize=BODY, length=3)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(look.muted)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_color(look.muted)
        axis.label.set_fontsize(BODY)
    ax.grid(True, axis="y", color=look.ink, alpha=0.14, linewidth=0.8)
    ax.tick_params(axis="y", length=0)
    ax.set_axisbelow(True)


def _room(ax: Axes, renderer: Any, dpi: float) -> tuple[float, float, float]:
    """Return how far ticks and labels reach beyond the axes, in inches: left, below, right."""
    reach, box = ax.get_tightbbox(renderer), ax.bbox
    assert reach is not None
    return max(0, box.x0 - reach.x0) / dpi, max(0, box.y0 - reach.y0) / dpi, max(0, reach.x1 - box.x1) / dpi


def _dpi(ax: Axes) -> float:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure.dpi
