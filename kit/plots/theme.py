"""Colours that are legible on white, on JupyterLab's dark theme and on paper, and distinct for colour-blind readers."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb, to_rgba

from ..core.errors import InputError
from ..live.ipython import kernel

Theme = Literal["auto", "light", "dark", "print"]


@dataclass(frozen=True, slots=True)
class Look:
    """The colours of a plot."""

    paper: str
    ink: str
    """Titles, values and names."""
    muted: str
    """Subtitles and ticks."""
    rest: str
    """Marks of series without a colour of their own."""
    palette: tuple[str, ...]
    dashes: bool = False
    """Whether lines also differ in their dashes, for prints without colours."""


_ON_WHITE = ("#0078b4", "#d25a00", "#00a070", "#690f5a", "#a578f0", "#5a4b00", "#1e3ca5", "#964b69")
_ON_BLACK = ("#5aa5f0", "#f0a53c", "#c3f078", "#f06978", "#00f0ff", "#b43c87", "#4b69d2", "#78780f")
LOOKS = {
    "light": Look("#ffffff", "#222222", "#595959", "#8a8a8a", _ON_WHITE),
    "dark": Look("#111111", "#e6e6e6", "#b3b3b3", "#7d7d7d", _ON_BLACK),
    "print": Look("#ffffff", "#000000", "#404040", "#8a8a8a", _ON_WHITE, dashes=True),
}
MOST_SERIES = len(_ON_WHITE)
"""The largest number of series with a colour of their own."""


def look_of(theme: Theme, ax: Axes | None = None) -> Look:
    """Return the colours for a theme.

    A plot has paper of its own, so it can be read wherever it ends up. With "auto" that is the paper of the axes it is
    drawn into, else that of the matplotlib style the user has chosen, else the theme JupyterLab is set to, else white.
    """
    if theme not in get_args(Theme):
        raise InputError(f"theme={theme!r} is not a theme", hint=f"one of {', '.join(map(repr, get_args(Theme)))}")
    if theme != "auto":
        return LOOKS[theme]
    if ax is not None:
        return _on(_paper_of(ax), LOOKS["light"].ink)
    styled = rcParams["figure.facecolor"]
    if to_rgb(styled) != (1.0, 1.0, 1.0):
        return _on(to_hex(styled), str(rcParams["text.color"]))
    return LOOKS["dark" if _jupyter_is_dark() else "light"]


def contrast(one: Any, other: Any) -> float:
    """Return the contrast of two colours by WCAG, from 1 to 21.

    >>> round(contrast("white", "black"), 1)
    21.0
    """
    dark, bright = sorted((_luminance(one), _luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: Any) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _on(paper: str, ink: str) -> Look:
    base = LOOKS["light" if contrast(paper, "black") > contrast(paper, "white") else "dark"]
    chosen = to_hex(ink) if contrast(paper, ink) >= 4.5 else base.ink
    muted = base.muted if contrast(paper, base.muted) >= 4.5 else chosen
    return Look(paper, chosen, muted, base.rest, base.palette)


def _paper_of(ax: Axes) -> str:
    """Return the first opaque colour behind the axes; white without any."""
    figure = ax.get_figure(root=True)
    for behind in (ax, figure):
        if behind is not None and to_rgba(behind.get_facecolor())[3] > 0.5:
            return to_hex(behind.get_facecolor())
    return "#ffffff"


def _jupyter_is_dark() -> bool:
    """Return whether the user has set JupyterLab to a dark theme, as far as its settings can be read here."""
    if kernel() is None:
        return False
    home = os.environ.get("JUPYTER_CONFIG_DIR") or str(Path.home() / ".jupyter")
    folder = os.environ.get("JUPYTERLAB_SETTINGS_DIR") or os.path.join(home, "lab", "user-settings")
    path = Path(folder, "@jupyterlab", "apputils-extension", "themes.jupyterlab-settings")
    try:
        text = re.sub(r"^\s*//.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return False
    if re.search(r'"adaptive-theme"\s*:\s*true', text):
        return False  # follows the browser's setting, which is unknown here
    chosen = re.search(r'"theme"\s*:\s*"([^"]*)"', text)
    return chosen is not None and "dark" in chosen[1].lower()
