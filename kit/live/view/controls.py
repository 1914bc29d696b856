"""The widgets of one view: its state, buttons, a filter, and the HTML that is repainted: figures and table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import ipywidgets as widgets
from ipywidgets.widgets.widget import _instances as _alive

from ..ipython import detached
from .page_events import PageEvents
from .table.rows_table import MOST_ROWS

ROWS = (5, 10, 20, 50, 100, MOST_ROWS)
NEWEST = ("", False)
"""The option of the Sort list for the order in which rows came."""
PANES = {
    "columns": ("Columns", "columns", "Choose which columns are shown, and see what is in them"),
    "record": ("Record", "file-text-o", "See a row whole, decoded, to be copied"),
    "find": ("Find", "search", "Look for records in the whole log, the newest first"),
    "profile": ("Profile", "bar-chart", "Fields, hours and sizes of the log's records"),
    "save": ("Save", "download", "Write the rows to a file"),
}
"""The panes that open below the buttons: the text of the button, its icon, and its tooltip."""
SEARCHING = ("find", "profile")
"""The panes that need a log behind the feed."""
_BUTTON = {"width": "auto", "flex": "0 0 auto", "margin": "2px"}
_WRAPPED = {"flex_flow": "row wrap", "align_items": "center", "overflow": "visible"}
_MOST_SORTED = 60


class Deeds(Protocol):
    """What the buttons do."""

    def press_pause(self) -> None: ...
    def press_follow(self, on: bool) -> None: ...
    def press_filter(self, text: str) -> None: ...
    def press_rows(self, rows: int) -> None: ...
    def press_order(self, order: tuple[str, bool]) -> None: ...
    def press_clear(self) -> None: ...
    def press_frame(self) -> None: ...
    def press_stop(self) -> None: ...
    def press_pane(self, name: str) -> None: ...
    def press_row(self, number: int) -> None: ...
    def page_told(self) -> None: ...
    def seen_changed(self) -> None: ...


class Controls:
    """The widgets. Made outside of the running cell's context, they answer while it runs, if the front end allows."""

    def __init__(self, deeds: Deeds, rows: int, *, searched: bool = False) -> None:
        detached(lambda: self._make(deeds, rows, searched))

    def _make(self, deeds: Deeds, rows: int, searched: bool) -> None:
        self.state = widgets.HTML(layout={"flex": "1 1 200px", "min_width": "0", "margin": "2px"})
        self.pause = button("Pause", "pause", "Take nothing in for now; the service holds the rows where it can")
        self.clear = button("Clear", "eraser", "Empty the table and the buffer")
        self.frame = button("DataFrame", "table", "Leave the rows in a variable of the notebook")
        self.stop = button("Stop", "stop", "End the feed and leave a snapshot")
        # A checkbox, because screen readers do not announce a pressed button.
        self.follow = widgets.Checkbox(
            value=True, description="Follow", indent=False, tooltip="Show rows as they come",
            layout={"width": "auto", "flex": "0 0 auto", "margin": "2px 6px"},
        )  # fmt: skip
        self.filter = widgets.Text(
            placeholder="price > 3, city=Oslo, or any text",
            description="Filter",
            continuous_update=False,
            style={"description_width": "auto"},
            layout={"flex": "1 1 180px", "min_width": "0", "width": "auto", "margin": "2px"},
        )
        self.rows = _choice("Rows", sorted({*ROWS, rows}), rows, "105px")
        self.order = _choice("Sort", [("newest first", NEWEST)], NEWEST, "170px")
        names = [name for name in PANES if searched or name not in SEARCHING]
        self.panes = {name: button(*PANES[name]) for name in names}
        self.trouble = widgets.HTML(layout={"display": "none", "margin": "0 2px"})
        self.place = widgets.VBox([], layout={"overflow": "hidden"})
        self.figures = widgets.HTML(layout={"width": "auto", "margin": "0 2px"})
        self.changes = widgets.HTML(layout={"display": "none"})
        self.changes.add_class("kit-live-changes")
        self.message = widgets.HTML(layout={"margin": "0 2px"})
        self.page = PageEvents(deeds.page_told, deeds.press_row)
        # Its views are counted, so that a view on no page costs nothing. Tab reaches it, so that keys can scroll it.
        self.main = widgets.HTML(
            _view_count=0,
            tabbable=True,
            layout={"width": "auto", "max_height": "496px", "overflow": "auto", "margin": "0 2px 2px"},
        )
        # In groups, so that a narrow page shows one group per line.
        acts = _group([self.pause, self.follow, self.clear, self.frame, self.stop])
        bar = widgets.HBox([self.state, acts], layout=_WRAPPED)
        looks = widgets.HBox([self.filter, self.rows, self.order, _group(list(self.panes.values()))], layout=_WRAPPED)
        acts.add_class("kit-live-controls")
        looks.add_class("kit-live-controls")
        parts = [bar, looks, self.trouble, self.place, self.figures, self.main, self.message, self.changes]
        self.box = self.page.beside(parts)
        self.box.layout.overflow = "hidden"
        for pressed, deed in (
            (self.pause, deeds.press_pause),
            (self.clear, deeds.press_clear),
            (self.frame, deeds.press_frame),
            (self.stop, deeds.press_stop),
        ):
            _pressed(pressed, deed)
        for name, control in self.panes.items():
            _pressed(control, lambda name=name: deeds.press_pane(name))  # type: ignore[misc]
        _on_change(self.follow, deeds.press_follow)
        _on_change(self.filter, deeds.press_filter)
        _on_change(self.rows, deeds.press_rows)
        self._offered: list[str] = []
        self._offering = False
        _on_change(self.order, lambda order: None if self._offering else deeds.press_order(order))
        self._counted = False
        self.main.observe(lambda _: self._count(deeds), "_view_count")

    @property
    def seen(self) -> bool:
        """Whether a front end shows the view.

        It counts as shown until the first message about it, which may have to wait for a cell to end. Without a front
        end few frames are sent anyway, because no front end confirms them.
        """
        return not self._counted or (self.main._view_count or 0) > 0  # noqa: SLF001 - ipywidgets has no other name

    @property
    def held(self) -> bool:
        """Whether the view is part of a layout that the user made, which would break without it."""
        return any(self.box in widget.children for widget in list(_alive.values()) if isinstance(widget, widgets.Box))

    def _count(self, deeds: Deeds) -> None:
        self._counted = True
        deeds.seen_changed()

    def show_paused(self, paused: bool, over: bool) -> int:
        """Update the pause button; return how many messages were sent."""
        label = ("Resume", "play") if paused else ("Pause", "pause")
        sent = 0
        if self.pause.description != label[0]:
            with self.pause.hold_sync():
                self.pause.description, self.pause.icon = label
            sent += 1
        if over and not self.pause.disabled:
            self.pause.disabled = True
            sent += 1
        return sent

    def show_trouble(self, html: str) -> int:
        """Show errors below the filter, or hide their place; return how many messages were sent."""
        if html == self.trouble.value:
            return 0
        self.trouble.value = html
        self.trouble.layout.display = "block" if html else "none"
        return 2

    def offer(self, names: Sequence[str], text_of: Callable[[str], str]) -> int:
        """Offer columns to sort by; return how many messages were sent."""
        known = list(names)[:_MOST_SORTED]
        if known == self._offered:
            return 0
        self._offered = known
        options: list[tuple[str, tuple[str, bool]]] = [("newest first", NEWEST)]
        for name in known:
            options += [(f"{text_of(name)} ↑", (name, False)), (f"{text_of(name)} ↓", (name, True))]
        before = self.order.value
        self._offering = True
        try:
            with self.order.hold_sync():
                self.order.options = options
                self.order.value = before if any(before == value for _, value in options) else NEWEST
        finally:
            self._offering = False
        return 1

    def stand_still(self, html: str) -> None:
        """Replace the widgets by a static picture, for a layout that the user made."""
        parts = [part for part in self.box.children if part is not self.main]
        self.main.unobserve_all()
        self.main.value = html
        self.box.children = [self.main]
        for part in parts:
            free(part)

    def close(self) -> None:
        """Free all widget models, in the front end too."""
        free(self.box)


def button(text: str, icon: str, tooltip: str) -> Any:
    """Return a button that is as wide as its text."""
    return widgets.Button(description=text, icon=icon, tooltip=tooltip, layout=_BUTTON)


def _group(parts: Sequence[Any]) -> Any:
    return widgets.HBox(parts, layout={**_WRAPPED, "flex": "0 1 auto"})


def _choice(name: str, options: Sequence[Any], value: Any, width: str) -> Any:
    return widgets.Dropdown(
        options=options, value=value, description=name, style={"description_width": "auto"},
        layout={"width": width, "flex": "0 0 auto", "margin": "2px"},
    )  # fmt: skip


def _pressed(widget: Any, deed: Callable[[], None]) -> None:
    widget.on_click(lambda _: deed())


def _on_change(widget: Any, deed: Callable[[Any], None]) -> None:
    widget.observe(lambda change: deed(change["new"]), "value")


def free(widget: Any) -> None:
    """Close a widget with its children, its layout and its style, which are models too."""
    for child in getattr(widget, "children", ()):
        free(child)
    widget.unobserve_all()
    for part in (getattr(widget, "layout", None), getattr(widget, "style", None)):
        if part is not None:
            part.close()
    widget.close()
