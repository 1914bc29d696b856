"""A table of counts as a picture: the higher the count, the darker the cell."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from .figure import BODY, SMALL, empty, sheet
from .numbers import clean, human
from .series import shortened
from .theme import Theme, contrast

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_MOST = 24
"""The largest number of rows and of columns that stays legible."""
_ROW = 0.34


def matrix(
    counts: pd.DataFrame, title: str, subtitle: str = "", *, down: str = "", across: str = "",
    ax: Axes | Sequence[Axes] | None = None, theme: Theme = "auto",
) -> Axes:  # fmt: skip
    """Draw the counts, each with its number; beyond 24 rows or columns the rest is named below.

    >>> import pandas as pd
    >>> matrix(pd.DataFrame({"a": [3, 1], "b": [0, 2]}, index=["a", "b"]), "Answers").get_title(loc="left")
    'Answers'
    """
    paper = sheet(ax, theme)
    shown = counts.iloc[:_MOST, :_MOST]
    panel = paper.panel(_ROW * max(2, len(shown)) + 0.1)
    panel.title, panel.subtitle = clean(title, 200), clean(subtitle, 200)
    if counts.empty:
        empty(panel, "there is nothing to show", paper.look)
        return paper.finish()
    if counts.shape != shown.shape:
        paper.notes.append(
            f"Shown: the first {len(shown)} of {len(counts)} rows, {shown.shape[1]} of {counts.shape[1]} columns."
        )
    values = shown.to_numpy(dtype=float)
    colours = LinearSegmentedColormap.from_list("counts", [paper.look.paper, paper.look.palette[0]])
    most = float(values.max()) or 1.0
    axes = panel.ax
    axes.imshow(values, cmap=colours, vmin=0, vmax=most, aspect="auto", interpolation="nearest")
    for row, column in np.ndindex(*values.shape):
        behind: Any = colours(values[row, column] / most)
        ink = max((paper.look.ink, paper.look.paper), key=partial(contrast, behind))
        axes.text(column, row, human(float(values[row, column])), ha="center", va="center", color=ink, fontsize=BODY)
    _names(axes.set_xticks, shown.columns)
    _names(axes.set_yticks, shown.index)
    if shown.shape[1] > 6:
        axes.tick_params(axis="x", labelrotation=60, labelsize=SMALL)
    axes.grid(False)
    axes.set_xlabel(clean(across, 80))
    axes.set_ylabel(clean(down, 80))
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    return paper.finish()


def _names(place: Any, names: Any) -> None:
    listed = [str(name) for name in names]
    short = shortened(listed)
    place(range(len(listed)), [clean(short[name], 40) for name in listed])
