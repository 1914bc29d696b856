"""The snapshot of a view where there are no widgets: a static picture in the output of the cell that showed it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .. import ipython

if TYPE_CHECKING:
    from ..feed.state import FeedState

_AFTER = 15.0
"""Seconds from the first snapshot of rows to the next; the interval doubles each time. Few snapshots, because each one
marks the notebook as not saved."""
_FIRST_ROWS = 0.3
"""Seconds that the first snapshot waits for rows, if none has come yet."""


class Snapshot:
    """The widgets of one view in a cell, and below them the picture, which is hidden while the widgets are there."""

    def __init__(self, state: FeedState, bundle: Callable[[], Mapping[str, str]]) -> None:
        self.name = uuid.uuid4().hex[:12]
        """The name of the view in the page."""
        self.shown = False
        """Whether a cell shows the view."""
        self._state, self._bundle = state, bundle
        self._due = 0.0
        self._pause = _AFTER
        self._rows_kept = False
        self._of: tuple[int, str] | None = None

    @property
    def hiding(self) -> str:
        """The style that comes with the widgets, and hides the picture."""
        return f"<style>.kit-live-snap-{self.name}{{display:none}}</style>"

    def wrapped(self, html: str) -> str:
        """Return the picture in an element that the style hides."""
        return f'<div class="kit-live-snap-{self.name}">{html}</div>'

    def still(self) -> None:
        """Show only the picture."""
        ipython.publish(self._bundle(), self.name, update=False)

    def show(self, model_id: str) -> None:
        """Show widgets in the running cell, and the first picture when there are rows."""
        view = {"model_id": model_id, "version_major": 2, "version_minor": 0}
        data = {"text/plain": "", "application/vnd.jupyter.widget-view+json": view}
        ipython.publish(data, f"{self.name}-view", update=False)
        self.shown = True
        # nbconvert and Voila keep what is there when the cell ends.
        deadline = time.monotonic() + _FIRST_ROWS
        while not (self._state.total or self._state.ended) and (left := deadline - time.monotonic()) > 0:
            with self._state.changed:
                self._state.changed.wait(left)
        self.still()
        self._rows_kept = self._state.total > 0
        self._due = time.monotonic() + self._pause

    def leave(self) -> int:
        """Update the picture; return how many messages were sent."""
        if not self.shown:
            return 0
        mark = (self._state.version, self._state.word)
        if mark == self._of:
            return 0
        self._pause *= 2
        self._due = time.monotonic() + self._pause
        self._of = mark
        ipython.publish(self._bundle(), self.name, update=True)
        return 1

    def leave_if_due(self) -> int:
        """Update the picture after the first rows, and from time to time."""
        first = not self._rows_kept and self._state.total > 0
        self._rows_kept = self._rows_kept or first
        return self.leave() if first or time.monotonic() > self._due else 0

    def alone(self) -> None:
        """Remove the output of the widgets, which would otherwise show their name or an error."""
        if self.shown:
            ipython.publish({"text/plain": "", "text/html": ""}, f"{self.name}-view", update=True)
