"""Events of a page that widgets do not send: a click on a row, a selection of text during which rows must not move, and
whether the view is on the screen. `page_events.js` runs in the page and writes events into a hidden field."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ipywidgets import Text, VBox
from traitlets import Unicode

from ..ipython import KEYS

_HELD = 60.0
"""Seconds after which rows move again although a page still holds them: the page may be closed."""
_PAGES = 20
"""The largest number of pages that are remembered."""


class Field(Text):  # type: ignore[misc]
    """The hidden field. What a page writes into it is not sent to other pages."""

    value = Unicode("").tag(sync=True, echo_update=False)


class PageEvents:
    """The events of one view on all pages. `changed` is called after an event, `clicked` with the number of a row."""

    def __init__(self, changed: Callable[[], None], clicked: Callable[[int], None] = lambda number: None) -> None:
        self.field = Field(continuous_update=False, layout={"display": "none"})
        self.field.add_class("kit-page-events")
        self.field.observe(lambda change: self._read(str(change["new"])), "value")
        self._changed, self._clicked = changed, clicked
        self._pages: dict[str, bool] = {}
        """Whether the view is on the screen, for each page."""
        self._known: dict[str, int] = {}
        """The number of the last event of each page."""
        self._held_at: float | None = None
        self._wants_whole = False

    def beside(self, parts: Sequence[Any]) -> Any:
        """Return a box with these widgets and the hidden field; the script of the page watches such boxes."""
        box = VBox([*parts, self.field])
        box.add_class(KEYS)
        return box

    @property
    def seen(self) -> bool:
        """Whether it is on the screen of a page. It counts as seen until the first event."""
        return not self._pages or any(self._pages.values())

    @property
    def listens(self) -> bool:
        """Whether it is on the screen of a page that runs the script."""
        return any(self._pages.values())

    def wants_whole(self) -> bool:
        """Return whether a page has asked for the whole table since the last call."""
        wants, self._wants_whole = self._wants_whole, False
        return wants

    @property
    def held(self) -> bool:
        """Whether a page wants the rows to stay as they are."""
        return self._held_at is not None and time.monotonic() - self._held_at < _HELD

    def _read(self, words: str) -> None:
        """Read what a page has written: its name and its last events, each with a number."""
        page, *messages = words.split("|")
        for message in messages:
            number, _, what = message.partition(" ")
            if number.isdecimal() and int(number) > self._known.get(page, 0):
                self._known[page] = int(number)
                self._take(page, *what.split(" "))
        while len(self._known) > _PAGES:
            gone = next(iter(self._known))
            del self._known[gone]
            self._pages.pop(gone, None)

    def _take(self, page: str, what: str, argument: str = "") -> None:
        if what == "row":
            if argument.isdecimal():
                self._clicked(int(argument))
            return
        if what in ("seen", "unseen"):
            self._pages[page] = what == "seen"
        elif what == "whole":
            self._wants_whole = True
        elif what in ("hold", "go"):
            self._held_at = time.monotonic() if what == "hold" else None
        self._changed()
