"""The panes that open below a view's buttons, one at a time: columns, a whole row, Find, Profile, Save."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from ...core.html import one_line
from ..ipython import detached
from .contents import Contents
from .controls import PANES, Controls, button, free
from .table import drawing
from .table.details import columns_html, record_html, row_lines
from .table.rows_table import WIDEST

_WIDE = {"width": "auto", "margin": "2px"}
_HEIGHT = {"width": "auto", "max_height": "320px", "overflow": "auto", "margin": "2px"}
WIDTHS = (12, 24, WIDEST, 80, 120)
_LIST = "<style>.kit-live-list select{font-family:var(--jp-code-font-family,monospace);font-size:12px}</style>"


class Panes:
    """The open pane of one view, if there is one."""

    def __init__(
        self, contents: Contents, choose: Callable[[Sequence[str] | None], None], widen: Callable[[int], None]
    ) -> None:
        self._contents, self._choose, self._widen = contents, choose, widen
        self._open: tuple[Controls, str] | None = None
        self._wanted: int | None = None
        """The number of the clicked row."""

    def press(self, controls: Controls, name: str) -> None:
        """Close the open pane, and open another one; a second press on the same button only closes."""
        before = None if self._open is None else self._open[1]
        self.close()
        if before != name:
            self._show(controls, name)

    def show_row(self, controls: Controls, number: int) -> None:
        """Show a whole row, by its number in the feed."""
        self.close()
        self._wanted = number
        self._show(controls, "record")
        self._wanted = None

    def _show(self, controls: Controls, name: str) -> None:
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
        """Close the open pane, and free its widgets."""
        if self._open is None:
            return
        (controls, name), self._open = self._open, None
        parts, controls.place.children = controls.place.children, ()
        controls.panes[name].icon = PANES[name][1]
        for part in parts:
            free(part)

    def _columns(self) -> list[Any]:
        names, shown = self._contents.column_names()
        chosen = widgets.SelectMultiple(
            options=[(one_line(name), name) for name in names], value=[name for name in shown if name in names],
            rows=min(max(len(names), 2), 8), description="Show", style={"description_width": "auto"}, layout=_WIDE,
        )  # fmt: skip
        wide = widgets.Dropdown(
            options=[(f"up to {most} characters", most) for most in WIDTHS], value=self._contents.widest,
            description="Width", style={"description_width": "auto"}, layout={**_WIDE, "max_width": "240px"},
        )  # fmt: skip
        wide.observe(lambda change: self._widen(change["new"]), "value")
        output = widgets.HTML("counting …", layout=_HEIGHT, tabbable=True)
        chosen.observe(
            lambda change: self._choose(None if len(change["new"]) == len(names) else change["new"]),
            "value",
        )
        _aside(lambda: columns_html(self._contents.whole_rows()), output)
        return [chosen, wide, output]

    def _record(self) -> list[Any]:
        table, numbers = self._contents.shown_rows(self._wanted)
        if not table.num_rows:
            return [widgets.HTML(drawing.main(drawing.note("there are no rows to look at yet")), layout=_WIDE)]
        first = numbers.index(self._wanted) if self._wanted in numbers else 0
        rows = widgets.Select(
            options=[(line, n) for n, line in enumerate(row_lines(table))], value=first, rows=6,
            description="Row", style={"description_width": "auto"}, layout=_WIDE,
        )  # fmt: skip
        rows.add_class("kit-live-list")
        output = widgets.HTML(layout=_HEIGHT, tabbable=True)

        def show(at: int | None) -> None:
            output.value = drawing.main(_LIST, record_html(table, at or 0))

        rows.observe(lambda change: show(change["new"]), "value")
        if self._wanted is None or self._wanted in numbers:
            show(first)
        else:
            output.value = drawing.main(drawing.note("the row that was clicked is no longer kept"))
        return [rows, output]

    def _find(self) -> list[Any]:
        words = widgets.Text(
            placeholder="any text, city=Oslo, total > 3, or $.items[0].sku", description="For",
            style={"description_width": "auto"}, layout={"flex": "1 1 200px", "width": "auto", "min_width": "0"},
        )  # fmt: skip
        look = button("Look", "search", "Look through the whole log, the newest records first")
        output = widgets.HTML(layout=_HEIGHT, tabbable=True)

        def find(*_: Any) -> None:
            output.value = drawing.main(drawing.note("looking …"))
            _aside(lambda: self._contents.find(str(words.value).strip()), output)

        look.on_click(find)
        _on_enter(words, find)
        return [widgets.HBox([words, look], layout={"flex_flow": "row wrap", "align_items": "center"}), output]

    def _profile(self) -> list[Any]:
        output = widgets.HTML(drawing.main(drawing.note("looking …")), layout=_HEIGHT, tabbable=True)
        _aside(self._contents.profile, output)
        return [output]

    def _save(self) -> list[Any]:
        name = widgets.Text(
            self._contents.file_name(), description="File", style={"description_width": "auto"},
            layout={"flex": "1 1 200px", "width": "auto", "min_width": "0"}, tooltip="ends with .csv or .parquet",
        )  # fmt: skip
        write = button("Write", "download", "Write the rows in the buffer to this file: .csv or .parquet")
        output = widgets.HTML(layout=_WIDE)

        def save(*_: Any) -> None:
            _aside(lambda: drawing.note(self._contents.save(str(name.value))), output)

        write.on_click(save)
        _on_enter(name, save)
        return [widgets.HBox([name, write], layout={"flex_flow": "row wrap", "align_items": "center"}), output]


def _on_enter(field: widgets.Text, act: Callable[[], None]) -> None:
    """Call a function when Enter is pressed in a field."""
    field.on_msg(lambda _, content, __: act() if content.get("event") == "submit" else None)


def _aside(make: Callable[[], str], output: Any) -> None:
    """Fill a widget from a thread, because it may take long and must block neither kernel nor page."""

    def run() -> None:
        try:
            html = f'<div style="line-height:1.4">{make()}</div>'
        except Exception as error:
            html = drawing.errors([f"{type(error).__name__}: {error}"])
        if output.comm is not None:
            output.value = drawing.main(html)

    threading.Thread(target=detached, args=(run,), name="kit-pane", daemon=True).start()
