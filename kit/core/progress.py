"""Progress bars, where somebody is looking."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Self

from .html import one_line

_PATIENCE = 0.5
"""Seconds that something takes before a bar is drawn for it."""
_shown: bool | None = None


def show(on: bool | None = True) -> None:
    """Turn progress bars on or off for this process; None goes back to "on in a notebook or a terminal".

    >>> show(False)
    >>> wanted()
    False
    >>> show(None)
    """
    global _shown
    _shown = on


def wanted() -> bool:
    """Return whether a bar would be drawn: the switch, then the environment (`KIT_PROGRESS=0`), then who is looking."""
    if _shown is not None:
        return _shown
    if os.environ.get("KIT_PROGRESS"):
        return os.environ["KIT_PROGRESS"] not in ("0", "no", "off", "false")
    if "ipykernel" in sys.modules:
        return True
    return sys.stderr is not None and sys.stderr.isatty()


def bar(total: float | None = None, *, what: str = "", unit: str = "row", initial: float = 0, **options: Any) -> Bar:
    """Return a bar: of a known total where the service tells it, silent when nobody looks.

    It appears only after half a second, so quick calls leave no trace in a notebook.
    """
    return Bar(total, initial, {"desc": one_line(what) or None, "unit": unit, **options} if wanted() else None)


class Bar:
    """Counts, and is drawn by tqdm once it has taken a while; nothing is loaded or made before that."""

    def __init__(self, total: float | None, initial: float, options: dict[str, Any] | None) -> None:
        self.total = total
        self._n = initial
        self._options = options
        self._began = time.monotonic()
        self._words = ""
        self._drawn: Any = None

    @property
    def n(self) -> float:
        """How far it has come."""
        return self._n

    @n.setter
    def n(self, n: float) -> None:
        self.update(n - self._n)

    def update(self, by: float = 1) -> None:
        """So much more is done."""
        self._n += by
        if self._drawn is not None:
            self._drawn.update(by)
        elif self._options is not None and time.monotonic() - self._began > _PATIENCE:
            self._draw(self._options)

    def set_postfix_str(self, words: str) -> None:
        """What stands behind the bar."""
        self._words = words = one_line(words)
        if self._drawn is not None:
            self._drawn.set_postfix_str(words)
        else:
            self.update(0)

    def close(self) -> None:
        """Take the bar away, and what a notebook made for it."""
        drawn, self._drawn, self._options = self._drawn, None, None
        if drawn is None:
            return
        container = getattr(drawn, "container", None)
        drawn.close()
        for widget in (*getattr(container, "children", ()), container):
            # Each has models of its own for layout and style, which stay behind when only it is closed.
            for part in (getattr(widget, "layout", None), getattr(widget, "style", None), widget):
                if part is not None:
                    part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _draw(self, options: dict[str, Any]) -> None:
        from tqdm.auto import tqdm

        # Given to the bar when it is made, the words would be markup in a notebook: tqdm escapes them only later.
        told = {name: value for name, value in options.items() if name != "desc"}
        self._drawn = tqdm(total=self.total, initial=self._n, unit_scale=True, leave=False, dynamic_ncols=True, **told)
        if options.get("desc"):
            self._drawn.set_description(options["desc"])
        if self._words:
            self._drawn.set_postfix_str(self._words)
