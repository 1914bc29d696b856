"""What stays behind of a view where its widgets are not: a picture of it, as an output of the cell that showed it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .. import kernel

if TYPE_CHECKING:
    from ..state import FeedState

_AFTER = 15.0
"""Seconds from the first snapshot of rows to the next, and twice as long to each one after: a snapshot makes the
notebook one that is not saved."""
_FIRST_ROWS = 0.3
"""Seconds that the first snapshot waits for rows, where a feed has not told any yet."""


class Snapshot:
    """The widgets of one view in a cell, and below them its picture, which is hidden while the widgets are there."""

    def __init__(self, state: FeedState, bundle: Callable[[], Mapping[str, str]]) -> None:
        self.name = uuid.uuid4().hex[:12]
        """The view's own name in the page."""
        self.shown = False
        """Whether some cell shows the view."""
        self._state, self._bundle = state, bundle
        self._due = 0.0
        self._pause = _AFTER
        self._rows_kept = False
        self._of: tuple[int, str] | None = None

    @property
    def hiding(self) -> str:
        """The style that the widgets bring with them: where they are, the picture is not seen."""
        return f"<style>.kit-live-snap-{self.name}{{display:none}}</style>"

    def wrapped(self, html: str) -> str:
        """Return the picture as HTML that the style hides."""
        return f'<div class="kit-live-snap-{self.name}">{html}</div>'

    def still(self) -> None:
        """Show the picture alone."""
        kernel.publish(self._bundle(), self.name, update=False)

    def show(self, model_id: str) -> None:
        """Show widgets in the cell that runs, and the first picture once there are rows."""
        view = {"model_id": model_id, "version_major": 2, "version_minor": 0}
        data = {"text/plain": "", "application/vnd.jupyter.widget-view+json": view}
        kernel.publish(data, f"{self.name}-view", update=False)
        self.shown = True
        # A run without a reader (nbconvert, Voila) keeps what is there when the cell ends.
        deadline = time.monotonic() + _FIRST_ROWS
        while not (self._state.total or self._state.ended) and (left := deadline - time.monotonic()) > 0:
            with self._state.changed:
                self._state.changed.wait(left)
        self.still()
        self._rows_kept = self._state.total > 0
        self._due = time.monotonic() + self._pause

    def leave(self) -> int:
        """Bring the picture up to date; tell how many messages that took."""
        if not self.shown:
            return 0
        mark = (self._state.version, self._state.word)
        if mark == self._of:
            return 0
        self._pause *= 2
        self._due = time.monotonic() + self._pause
        self._of = mark
        kernel.publish(self._bundle(), self.name, update=True)
        return 1

    def leave_if_due(self) -> int:
        """Bring the picture up to date with the first rows, and from time to time."""
        first = not self._rows_kept and self._state.total > 0
        self._rows_kept = self._rows_kept or first
        return self.leave() if first or time.monotonic() > self._due else 0

    def alone(self) -> None:
        """Take the widgets away: where they were nothing is left, which would be their name or an error."""
        if self.shown:
            kernel.publish({"text/plain": "", "text/html": ""}, f"{self.name}-view", update=True)
