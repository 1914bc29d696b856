"""What opens below a view's buttons: its columns, a row whole, a file to save to. One of them at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import ipywidgets as widgets

from ...core.html import one_line
from ..kernel import detached
from . import drawing
from .controls import PANES, Controls, button, free
from .glance import columns_html, record_html, row_lines

if TYPE_CHECKING:
    import pyarrow as pa

_WIDE = {"width": "auto", "margin": "2px"}
_HEIGHT = {"width": "auto", "max_height": "320px", "overflow": "auto", "margin": "2px"}
_LIST = "<style>.kit-live-list select{font-family:var(--jp-code-font-family,monospace);font-size:12px}</style>"


class Deeds(Protocol):
    """What panes show, and what they do."""

    def whole_rows(self) -> pa.Table: ...
    def shown_rows(self) -> pa.Table: ...
    def column_names(self) -> tuple[list[str], list[str]]: ...
    def press_columns(self, names: Sequence[str] | None) -> None: ...
    def file_name(self) -> str: ...
    def press_save(self, path: str) -> str: ...
    def found(self, words: str) -> str: ...
    def profiled(self) -> str: ...


class Panes:
    """The pane of one view that is open, if one is."""

    def __init__(self, deeds: Deeds) -> None:
        self._deeds = deeds
        self._open: tuple[Controls, str] | None = None

    def press(self, controls: Controls, name: str) -> None:
        """Open a pane in place of the one that is open; the one that is open is closed."""
        before = None if self._open is None else self._open[1]
        self.close()
        if before == name:
            return
        made = {
            "columns": self._columns,
            "record": self._record,
            "find": self._find,
            "profile": self._profile,
            "save": self._save,
        }[name]
        controls.place.children = detached(made)
        controls.panes[name].icon = "caret-up"
        self._open = (controls, name)

    def close(self) -> None:
        """Free what is open."""
        if self._open is None:
            return
        (controls, name), self._open = self._open, None
        parts, controls.place.children = controls.place.children, ()
        controls.panes[name].icon = PANES[name][1]
        for part in parts:
            free(part)

    def _columns(self) -> list[Any]:
        names, shown = self._deeds.column_names()
        chosen = widgets.SelectMultiple(
            options=[(one_line(name), name) for name in names], value=[name for name in shown if name in names],
            rows=min(max(len(names), 2), 8), description="Show", style={"description_width": "auto"}, layout=_WIDE,
        )  # fmt: skip
        told = widgets.HTML("counting …", layout=_HEIGHT, tabbable=True)
        chosen.observe(
            lambda change: self._deeds.press_columns(None if len(change["new"]) == len(names) else change["new"]),
            "value",
        )
        _aside(lambda: columns_html(self._deeds.whole_rows()), told)
        return [chosen, told]

    def _record(self) -> list[Any]:
        table = self._deeds.shown_rows()
        if not table.num_rows:
            return [widgets.HTML(drawing.main(drawing.note("there are no rows to look at yet")), layout=_WIDE)]
        rows = widgets.Select(
            options=[(line, n) for n, line in enumerate(row_lines(table))], value=0, rows=6,
            description="Row", style={"description_width": "auto"}, layout=_WIDE,
        )  # fmt: skip
        rows.add_class("kit-live-list")
        told = widgets.HTML(layout=_HEIGHT, tabbable=True)

        def show(at: int | None) -> None:
            told.value = drawing.main(_LIST, record_html(table, at or 0))

        rows.observe(lambda change: show(change["new"]), "value")
        show(0)
        return [rows, told]

    def _find(self) -> list[Any]:
        words = widgets.Text(
            placeholder="any text, city=Oslo, total > 3, or $.items[0].sku", description="For",
            style={"description_width": "auto"}, layout={"flex": "1 1 200px", "width": "auto", "min_width": "0"},
        )  # fmt: skip
        look = button("Look", "search", "Look through the whole log, the newest records first")
        told = widgets.HTML(layout=_HEIGHT, tabbable=True)

        def find(*_: Any) -> None:
            told.value = drawing.main(drawing.note("looking …"))
            _aside(lambda: self._deeds.found(str(words.value).strip()), told)

        look.on_click(find)
        _on_enter(words, find)
        return [widgets.HBox([words, look], layout={"flex_flow": "row wrap", "align_items": "center"}), told]

    def _profile(self) -> list[Any]:
        told = widgets.HTML(drawing.main(drawing.note("looking …")), layout=_HEIGHT, tabbable=True)
        _aside(self._deeds.profiled, told)
        return [told]

    def _save(self) -> list[Any]:
        name = widgets.Text(
            self._deeds.file_name(), description="File", style={"description_width": "auto"},
            layout={"flex": "1 1 200px", "width": "auto", "min_width": "0"}, tooltip="ends with .csv or .parquet",
        )  # fmt: skip
        write = button("Write", "download", "Write the rows in the buffer to this file: .csv or .parquet")
        told = widgets.HTML(layout=_WIDE)

        def save(*_: Any) -> None:
            _aside(lambda: drawing.note(self._deeds.press_save(str(name.value))), told)

        write.on_click(save)
        _on_enter(name, save)
        return [widgets.HBox([name, write], layout={"flex_flow": "row wrap", "align_items": "center"}), told]


def _on_enter(field: widgets.Text, act: Callable[[], None]) -> None:
    """Let the Enter key in a field do what the button beside it does."""
    field.on_msg(lambda _, content, __: act() if content.get("event") == "submit" else None)


def _aside(make: Callable[[], str], told: Any) -> None:
    """Fill a part in a thread: neither kernel nor page waits for what takes long."""

    def run() -> None:
        try:
            html = f'<div style="line-height:1.4">{make()}</div>'
        except Exception as error:
            html = drawing.errors([f"{type(error).__name__}: {error}"])
        if told.comm is not None:
            told.value = drawing.main(html)

    threading.Thread(target=detached, args=(run,), name="kit-pane", daemon=True).start()
