"""What a page tells of a view beside what its widgets do: a row that is clicked, rows to be held still while text is
marked, and whether the view is on the screen. `page_events.js` runs in the page and writes it into a hidden field."""

from __future__ import annotations

import time
from collections.abc import Callable

from ipywidgets import Text
from traitlets import Unicode

_HELD = 60.0
"""Seconds after which rows move on, though a page has not let go of them: it may be gone."""
_PAGES = 20
"""Pages that are remembered."""


class Field(Text):  # type: ignore[misc]
    """The hidden field; what a page writes into it is not told to other pages."""

    value = Unicode("").tag(sync=True, echo_update=False)


class PageEvents:
    """What pages have told of one view. `changed` is called when that is news, `clicked` with the number of a row."""

    def __init__(self, changed: Callable[[], None], clicked: Callable[[int], None] = lambda number: None) -> None:
        self.field = Field(continuous_update=False, layout={"display": "none"})
        self.field.add_class("kit-page-events")
        self.field.observe(lambda change: self._told(str(change["new"])), "value")
        self._changed, self._clicked = changed, clicked
        self._pages: dict[str, bool] = {}
        """Whether each page has it on the screen."""
        self._held_at: float | None = None

    @property
    def seen(self) -> bool:
        """Whether it is on the screen of some page; as long as none has told, it is taken to be."""
        return not self._pages or any(self._pages.values())

    @property
    def held(self) -> bool:
        """Whether a page wants the rows to stay as they are."""
        return self._held_at is not None and time.monotonic() - self._held_at < _HELD

    def _told(self, words: str) -> None:
        """Take in what a page has written: its own name, a count that makes each time another text, and what it is."""
        page, _, rest = words.partition(" ")
        what, _, argument = rest.partition(" ")[2].partition(" ")
        if what in ("seen", "unseen"):
            self._pages.pop(page, None)
            self._pages[page] = what == "seen"
            while len(self._pages) > _PAGES:
                del self._pages[next(iter(self._pages))]
        elif what in ("hold", "go"):
            self._held_at = time.monotonic() if what == "hold" else None
        elif what == "row" and argument.isdecimal():
            self._clicked(int(argument))
            return
        self._changed()
