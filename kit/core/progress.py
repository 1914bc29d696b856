"""Progress bars, in notebooks and terminals."""

from __future__ import annotations

import contextvars
import os
import sys
import time
import uuid
from html import escape
from typing import Any, Self

from .html import one_line

_PATIENCE = 0.5
"""Seconds before a bar is drawn."""
_EVERY = 0.2
"""Seconds between two updates of a bar in a notebook."""
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
    """Return whether bars are drawn: by the switch, the environment (`KIT_PROGRESS=0`), then the kind of output."""
    if _shown is not None:
        return _shown
    if os.environ.get("KIT_PROGRESS"):
        return os.environ["KIT_PROGRESS"].lower() not in ("0", "no", "off", "false")
    if "ipykernel" in sys.modules:
        return True
    return sys.stderr is not None and sys.stderr.isatty()


def bar(total: float | None = None, *, what: str = "", unit: str = "row", initial: float = 0, **options: Any) -> Bar:
    """Return a bar: with the total if it is known, invisible without a notebook or terminal.

    It appears only after half a second, so quick calls leave no trace in a notebook.
    """
    return Bar(total, initial, {"desc": one_line(what) or None, "unit": unit, **options} if wanted() else None)


class Bar:
    """Counts progress, and is drawn once the work has taken a while: as HTML in a notebook, by tqdm in a terminal.
    Nothing is loaded or made before that."""

    def __init__(self, total: float | None, initial: float, options: dict[str, Any] | None) -> None:
        self.total = total
        self._n = initial
        self._options = options
        self._began = time.monotonic()
        self._words = ""
        self._drawn: Any = None

    @property
    def n(self) -> float:
        """The progress so far."""
        return self._n

    @n.setter
    def n(self, n: float) -> None:
        self.update(n - self._n)

    def update(self, by: float = 1) -> None:
        """Add to the progress."""
        self._n += by
        if self._drawn is not None:
            self._drawn.update(by)
        elif self._options is not None and time.monotonic() - self._began > _PATIENCE:
            self._draw(self._options)

    def set_postfix_str(self, words: str) -> None:
        """Set the text behind the bar."""
        self._words = words = one_line(words)
        if self._drawn is not None:
            self._drawn.set_postfix_str(words)
        else:
            self.update(0)

    def close(self) -> None:
        """Take the bar away; of one in a notebook an empty place is left, with no model and no text."""
        drawn, self._drawn, self._options = self._drawn, None, None
        if drawn is not None:
            drawn.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _draw(self, options: dict[str, Any]) -> None:
        shell = _notebook()
        if shell is not None:
            self._drawn = _Page(shell, self.total, self._n, options.get("desc") or "", str(options.get("unit", "")))
        else:
            from tqdm import tqdm

            self._drawn = tqdm(
                total=self.total, initial=self._n, unit_scale=True, leave=False, dynamic_ncols=True, **options
            )
        if self._words:
            self._drawn.set_postfix_str(self._words)


def _notebook() -> Any:
    """Return the shell of a notebook, None elsewhere."""
    if "ipykernel" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return shell if getattr(shell, "kernel", None) is not None else None


class _Page:
    """A bar in a notebook: an HTML output that is updated in its place and cleared at the end, so that a saved notebook
    keeps none of it and does not refer to a widget that is gone."""

    def __init__(self, shell: Any, total: float | None, n: float, what: str, unit: str) -> None:
        self._shell, self._total, self._n, self._what, self._unit = shell, total, n, what, unit
        self._initial, self._began, self._painted = n, time.monotonic() - _PATIENCE, 0.0
        self._words = ""
        self._name = uuid.uuid4().hex
        # The context of the cell that waits for it, as another thread often moves the bar.
        self._context = contextvars.copy_context()
        self._publish(self._html(), update=False)

    def update(self, by: float) -> None:
        """Add to the progress."""
        self._n += by
        self._paint()

    def set_postfix_str(self, words: str) -> None:
        """Set the text behind the bar."""
        self._words = words
        self._paint()

    def close(self) -> None:
        """Leave its place empty."""
        self._publish("", update=True)

    def _paint(self) -> None:
        now = time.monotonic()
        if now - self._painted >= _EVERY:
            self._painted = now
            self._publish(self._html(), update=True)

    def _publish(self, html: str, *, update: bool) -> None:
        data, name = {"text/html": html, "text/plain": ""}, {"display_id": self._name}
        publish = self._shell.display_pub.publish
        self._context.copy().run(publish, data=data, metadata={}, transient=name, update=update)

    def _html(self) -> str:
        return bar_html(self._n, self._total, time.monotonic() - self._began, self._what, self._unit, self._words,
                        begun=self._initial)  # fmt: skip


def bar_html(
    n: float, total: float | None, seconds: float, what: str, unit: str, words: str, *, begun: float = 0
) -> str:
    """Return a bar as HTML, with how much is done, how fast, and how long it still takes.

    >>> import re
    >>> re.sub("<[^>]*>", "", bar_html(250, 1000, 2.0, "read", "row", "s2"))
    'read 25 % · 250 of 1.00k row · 125 row/s · 6 s left · s2'
    """
    speed = (n - begun) / seconds if seconds > 0 else 0.0
    done = f"{_short(n)} of {_short(total)} {unit}" if total else f"{_short(n)} {unit}"
    parts = [done.strip()]
    if total:
        parts.insert(0, f"{100 * min(n / total, 1):.0f} %")
    if speed > 0:
        parts.append(f"{_short(speed)} {unit}/s")
        if total and n < total:
            parts.append(f"{(total - n) / speed:,.0f} s left")
    line = f"{what} " + " · ".join([*parts, *([words] if words else [])])
    filled = ""
    if total:
        share = 100 * min(n / total, 1)
        filled = (
            f'<div role="progressbar" aria-label="{escape(what or "progress")}" aria-valuenow="{share:.0f}" '
            'style="height:4px;max-width:480px;background:rgba(128,128,128,.3)">'
            f'<div style="height:4px;width:{share:.1f}%;background:#2f86d6"></div></div>'
        )
    return f'<div style="font-size:12px;font-variant-numeric:tabular-nums">{escape(line.strip())}{filled}</div>'


def _short(value: float) -> str:
    for size, sign in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}" + sign if value / size >= 100 else f"{value / size:.2f}{sign}"
    return f"{value:.3g}"
