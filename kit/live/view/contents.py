"""The contents of a view, for its buttons and panes: rows as a frame or a file, single rows, and the log behind it."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ...core.errors import KitError
from ...core.html import text
from .. import ipython
from . import lookup, saved
from .table import drawing
from .table.rows_table import RowsTable

if TYPE_CHECKING:
    import pyarrow as pa

    from ..feed.state import FeedState


class Contents:
    """The rows of one view and of the log that it follows. Results are also put into variables of the notebook."""

    def __init__(self, state: FeedState, page: RowsTable, lock: AbstractContextManager[Any]) -> None:
        self._state, self._page, self._lock = state, page, lock
        self._variables = ipython.Variables()

    def whole_rows(self) -> pa.Table:
        """Return the rows in the buffer; long values may be cut."""
        return self._state.source.shape(self._state.batches()[1], preview=True)[0]

    def shown_rows(self, extra: int | None) -> tuple[pa.Table, list[int]]:
        """Return the whole rows of the table with their numbers; `extra`, if it is not among them, comes first."""
        with self._lock:
            return self._page.records(extra)

    def column_names(self) -> tuple[list[str], list[str]]:
        """Return the names of all columns, and of the shown ones."""
        with self._lock:
            return list(self._page.names), self._page.shown

    @property
    def widest(self) -> int:
        """The largest width of a column, in characters."""
        return self._page.widest

    def frame(self) -> str:
        """Put the rows in the buffer into a variable; return a message for the user."""
        try:
            name = self._leave("live", self._state.frame())
        except (KitError, RuntimeError) as error:
            return str(error)
        return f"{len(ipython.shell().user_ns[name]):,} rows are in the variable {name}"

    def file_name(self) -> str:
        """Return the name of a file that does not exist yet."""
        return saved.free_name(self._stem(), ".parquet")

    def save(self, path: str) -> str:
        """Write the rows in the buffer to a file; return a message for the user."""
        table = self._state.source.shape(self._state.batches()[1])[0]
        return f"{table.num_rows:,} rows are in {saved.save(table, path)}"

    def find(self, words: str) -> str:
        """Find records in the followed log, put them into a variable, and return them as HTML."""
        if not words:
            return drawing.note("write beside the button what to look for")
        frame, code = lookup.find(self._state.source.searched, words)
        name = self._leave("found", frame)
        return f"{text(f'{name} = log{code}')}{text(frame.kit.scan)}{lookup.frame_html(frame)}"

    def profile(self) -> str:
        """Profile the followed log, put the profile into a variable, and return it as HTML."""
        profile = self._state.source.searched.profile(sample=lookup.PROFILED)
        name = self._leave("profile", profile)
        return f"{text(f'in the variable {name}')}{profile._repr_html_()}"

    def _leave(self, what: str, value: Any) -> str:
        return self._variables.leave(what, f"{self._stem().removesuffix('_live')}_{what}", value)

    def _stem(self) -> str:
        stem = re.sub(r"\W+", "_", self._state.source.label.rpartition("/")[2]).strip("_").lower() or "feed"
        return f"{stem}_live" if not stem[0].isdigit() else f"feed_{stem}_live"
