"""The widgets of a browser: the tree as a list, a filter, buttons, and the details of the chosen node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import ipywidgets as widgets

from ...core.html import visible
from ..ipython import KEYS
from ..view.controls import free
from .tree import Branch

_BUTTON = {"width": "auto", "flex": "0 0 auto", "margin": "2px"}
_INDENT = "\u2003"
_LONGEST = 48


class Deeds(Protocol):
    """What the controls do."""

    def _choose(self, path: tuple[str, ...]) -> None: ...
    def _press_fold(self) -> None: ...
    def _press_refresh(self) -> None: ...
    def _press_read(self) -> None: ...
    def _press_live(self) -> None: ...
    def _press_find(self) -> None: ...
    def _press_profile(self) -> None: ...
    def _press_filter(self) -> None: ...


class Panel:
    """The widgets. They are made outside of the context of the running cell, so that they answer while it runs."""

    def __init__(self, deeds: Deeds) -> None:
        self._painting = False
        # The label is for screen readers; the style of the panel hides it.
        self.tree = widgets.Select(
            options=[], rows=11, description="What there is", layout={"width": "auto", "margin": "2px"}
        )
        self.tree.add_class("kit-browse-tree")
        self.filter = widgets.Text(
            placeholder="part of a name", description="Filter", continuous_update=False,
            style={"description_width": "auto"}, layout={"width": "auto", "margin": "2px"},
        )  # fmt: skip
        self.fold = _button("Open", "caret-down", "Show or hide what is in it")
        self.refresh = _button("Refresh", "refresh", "Ask the service again")
        self.read = _button("Read 100", "table", "Read 100 rows into a variable")
        self.live = _button("Live", "play", "Watch it as it goes on")
        self.profile = _button("Profile", "bar-chart", "Fields, hours and sizes of its records")
        self.find = _button("Find", "search", "Look for the newest records, and put them into a variable")
        self.words = widgets.Text(
            placeholder="text, $.city == 'Oslo', or price > 3", continuous_update=False,
            layout={"width": "230px", "flex": "0 1 auto", "min_width": "110px", "margin": "2px"},
        )  # fmt: skip
        self.words.add_class("kit-browse-words")
        self.working = widgets.HTML(layout={"margin": "2px 6px"})
        bar = widgets.HBox(
            [self.fold, self.refresh, self.read, self.live, self.profile, self.find, self.words, self.working],
            layout={"flex_flow": "row wrap", "align_items": "center", "overflow": "visible"},
        )
        self.about = widgets.HTML(layout={"width": "auto", "max_height": "420px", "overflow": "auto", "margin": "2px"})
        self.place = widgets.VBox([], layout={"overflow": "hidden"})
        left = widgets.VBox([self.filter, self.tree], layout={"flex": "1 1 220px", "min_width": "0"})
        right = widgets.VBox([bar, self.about, self.place], layout={"flex": "3 1 320px", "min_width": "0"})
        self.box = widgets.HBox([left, right], layout={"flex_flow": "row wrap", "overflow": "visible"})
        self.box.add_class(KEYS)
        self.fold.on_click(lambda _: deeds._press_fold())
        self.refresh.on_click(lambda _: deeds._press_refresh())
        self.read.on_click(lambda _: deeds._press_read())
        self.live.on_click(lambda _: deeds._press_live())
        self.profile.on_click(lambda _: deeds._press_profile())
        self.find.on_click(lambda _: deeds._press_find())
        self.filter.observe(lambda _: deeds._press_filter(), "value")
        self.tree.observe(lambda change: self._chosen(deeds, change["new"]), "value")

    @property
    def needle(self) -> str:
        """The text of the filter."""
        return str(self.filter.value).strip()

    @property
    def question(self) -> str:
        """The text beside the Find button."""
        return str(self.words.value).strip()

    def _chosen(self, deeds: Deeds, path: tuple[str, ...] | None) -> None:
        if path is not None and not self._painting:
            deeds._choose(path)

    def paint(self, branches: Sequence[Branch], chosen: Branch) -> None:
        """Show the tree as it is now."""
        options = [(_line(branch), branch.path) for branch in branches]
        paths = [path for _, path in options]
        self._painting = True
        try:
            with self.tree.hold_sync():
                self.tree.options = options
                self.tree.value = chosen.path if chosen.path in paths else None
        finally:
            self._painting = False
        node = chosen.node
        self.fold.disabled = node.children is None
        self.fold.description = "Close" if chosen.open else "Open"
        self.read.disabled = node.read is None
        self.live.disabled = node.live is None
        for control in (self.profile, self.find, self.words):
            control.disabled = node.log is None

    def put(self, html: str, widget: Any = None) -> None:
        """Show HTML and perhaps a widget for the chosen node."""
        self.about.value = html
        self.place.children = [] if widget is None else [widget]

    def busy(self, on: bool) -> None:
        """Show whether an action is running."""
        self.working.value = "<i>asking …</i>" if on else ""

    def close(self) -> None:
        """Free all widget models, in the front end too."""
        free(self.box)


def _line(branch: Branch) -> str:
    sign = " " if branch.node.children is None else "▾" if branch.open else "▸"
    name = visible(branch.node.name).replace("\n", " ")
    name = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
    return f"{_INDENT * branch.depth}{sign} {name}"


def _button(words: str, icon: str, tooltip: str) -> Any:
    return widgets.Button(description=words, icon=icon, tooltip=tooltip, layout=_BUTTON)
