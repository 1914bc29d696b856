"""The widgets of one view: a line of state, buttons, a filter, and the one HTML widget that is repainted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import ipywidgets as widgets

from .kernel import detached
from .page import MOST_ROWS

ROWS = (5, 10, 20, 50, 100, MOST_ROWS)
_BUTTON = {"width": "auto", "flex": "0 0 auto", "margin": "2px"}


class Deeds(Protocol):
    """What the buttons do."""

    def press_pause(self) -> None: ...
    def press_follow(self, on: bool) -> None: ...
    def press_filter(self, text: str) -> None: ...
    def press_rows(self, rows: int) -> None: ...
    def press_clear(self) -> None: ...
    def press_frame(self) -> None: ...
    def press_stop(self) -> None: ...
    def seen_changed(self) -> None: ...


class Controls:
    """Widgets, made detached from the cell that shows them: they answer while it runs, where the front end allows."""

    def __init__(self, deeds: Deeds, rows: int) -> None:
        detached(lambda: self._make(deeds, rows))

    def _make(self, deeds: Deeds, rows: int) -> None:
        self.state = widgets.HTML(layout={"flex": "1 1 200px", "min_width": "0", "margin": "2px"})
        self.pause = _button("Pause", "pause", "Take nothing in for now; the service holds the rows where it can")
        self.clear = _button("Clear", "eraser", "Empty the table and the buffer")
        self.frame = _button("DataFrame", "table", "Leave the rows in a variable of the notebook")
        self.stop = _button("Stop", "stop", "End the feed and leave a snapshot")
        self.follow = widgets.ToggleButton(
            value=True, description="Follow", icon="arrow-up", tooltip="Show rows as they come", layout=_BUTTON
        )
        self.filter = widgets.Text(
            placeholder="price > 3, city=Oslo, or any text",
            description="Filter",
            continuous_update=False,
            style={"description_width": "auto"},
            layout={"flex": "1 1 180px", "min_width": "0", "width": "auto", "margin": "2px"},
        )
        self.rows = widgets.Dropdown(
            options=sorted({*ROWS, rows}),
            value=rows,
            description="Rows",
            style={"description_width": "auto"},
            layout={"width": "120px", "flex": "0 0 auto", "margin": "2px"},
        )
        self.said = widgets.HTML(layout={"margin": "0 2px"})
        # Its views are counted, so that one that nobody sees costs nothing.
        self.main = widgets.HTML(
            _view_count=0, layout={"width": "auto", "max_height": "530px", "overflow": "auto", "margin": "2px"}
        )
        bar = widgets.HBox(
            [self.state, self.pause, self.follow, self.clear, self.frame, self.stop],
            layout={"flex_flow": "row wrap", "align_items": "center", "overflow": "visible"},
        )
        looks = widgets.HBox([self.filter, self.rows], layout={"flex_flow": "row wrap", "overflow": "visible"})
        self.box = widgets.VBox([bar, looks, self.main, self.said], layout={"overflow": "hidden"})
        self.pause.on_click(lambda _: deeds.press_pause())
        self.clear.on_click(lambda _: deeds.press_clear())
        self.frame.on_click(lambda _: deeds.press_frame())
        self.stop.on_click(lambda _: deeds.press_stop())
        _told(self.follow, deeds.press_follow)
        _told(self.filter, deeds.press_filter)
        _told(self.rows, deeds.press_rows)
        self._counted = False
        self.main.observe(lambda _: self._count(deeds), "_view_count")

    @property
    def seen(self) -> bool:
        """Whether some front end shows it, as far as that was told.

        Until it was, it counts as shown: the word may have to wait for a cell to end. Without a front end frames are
        few all the same, as nobody says that they were taken.
        """
        return not self._counted or (self.main._view_count or 0) > 0

    def _count(self, deeds: Deeds) -> None:
        self._counted = True
        deeds.seen_changed()

    def show_paused(self, paused: bool, over: bool) -> int:
        """The pause button as it should be; tells how many messages that took."""
        wanted = ("Resume", "play") if paused else ("Pause", "pause")
        sent = 0
        if self.pause.description != wanted[0]:
            with self.pause.hold_sync():
                self.pause.description, self.pause.icon = wanted
            sent += 1
        if over and not self.pause.disabled:
            self.pause.disabled = True
            sent += 1
        return sent

    def close(self) -> None:
        """Frees every model, in the front end too."""
        free(self.box)


def _button(text: str, icon: str, tooltip: str) -> Any:
    return widgets.Button(description=text, icon=icon, tooltip=tooltip, layout=_BUTTON)


def _told(widget: Any, deed: Callable[[Any], None]) -> None:
    widget.observe(lambda change: deed(change["new"]), "value")


def free(widget: Any) -> None:
    """Closes a widget with what is in it, and with its layout and style, which are models of their own."""
    for child in getattr(widget, "children", ()):
        free(child)
    widget.unobserve_all()
    for part in (getattr(widget, "layout", None), getattr(widget, "style", None)):
        if part is not None:
            part.close()
    widget.close()
