"""The newest rows of a feed, as the HTML of a table: each row is made once, and columns stay where they are.

New columns come last, so a line that was made before them is only shorter than the head, and need not be made again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..core.errors import InputError
from ..core.tables.filters import Test, matching
from .drawing import Head, note, row, rows_table
from .values import Cell, cells, label, right

if TYPE_CHECKING:
    from .state import FeedState

MOST_ROWS = 200
MOST_COLUMNS = 24
_NARROW, _WIDE, _SPACE = 5, 42, 2
_SCANNED = 65_536
_EMPTY = Cell("")


class Page:
    """What the table of a view shows: the newest rows, or the newest that pass the view's own filter."""

    def __init__(self, state: FeedState, rows: int) -> None:
        self._state = state
        self.rows = rows
        """How many are shown."""
        self.matching: int | None = None
        """How many rows passed the filter, where there is one."""
        self._heads: dict[str, Head] = {}
        self._unshown: set[str] = set()
        self._lines: dict[int, str] = {}
        self._test: Test | None = None
        self._found: deque[str] = deque(maxlen=MOST_ROWS)
        self._from = self._seen = 0
        self._names: dict[str, None] = {}
        self.lacking: InputError | None = None
        """That the filter names a column which no row has had."""

    def set_filter(self, test: Test | Callable[[pa.Table], Any] | None) -> None:
        """Show only rows that pass; those that are still in the buffer are looked through."""
        self._test = test if test is None or isinstance(test, Test) else Test(test)
        self._found.clear()
        self._seen = self._from
        self.matching = None if test is None else 0
        self.lacking = None

    def clear(self) -> None:
        """Starts empty, with the rows that come from now on."""
        self._from = self._state.buffer.next
        self._lines.clear()
        self._heads.clear()
        self._unshown.clear()
        self.set_filter(self._test)

    def html(self) -> str:
        """The table as it is now, the newest row first; of a result the first rows, in its own order."""
        result = self._state.source.replaces
        if result:
            self._begin_anew()
        lines = self._newest() if self._test is None else self._passed(self._test)
        lines = lines[: self.rows] if result else lines[-self.rows :][::-1]
        shown = rows_table(list(self._heads.values()), lines, self._state.source.label, self.rows - len(lines))
        more = [f"{len(self._unshown):,} more columns are in the DataFrame"] if self._unshown else []
        found = self._state.total if self.matching is None else self.matching
        if result and found > len(lines):
            more.append(f"the first {len(lines):,} of {found:,} rows")
        return shown + (note("; ".join(more)) if more else "")

    def _begin_anew(self) -> None:
        """Look at a result from its first row on, where it is another one than the last time."""
        first = self._state.buffer.first
        if first != self._from:
            self._from = first
            self._lines.clear()
            self.set_filter(self._test)

    def _newest(self) -> list[str]:
        stop = self._state.buffer.next
        if self._state.source.replaces:
            stop = min(stop, self._from + self.rows)
        start = known = max(stop - self.rows, self._from)
        while known in self._lines:
            known += 1
        lines = {n: self._lines[n] for n in range(start, known)}
        first, batches = self._state.batches(known, stop)
        if batches:
            table, _ = self._state.source.shape(batches, preview=True)
            lines.update(enumerate(self._made(table), first))
        self._lines = lines
        return list(lines.values())

    def _passed(self, test: Test) -> list[str]:
        assert self.matching is not None
        while self._seen < self._state.buffer.next:
            # What left the buffer before it was looked at is gone; the rest begins at a later number.
            start = max(self._seen, self._state.batches(self._seen)[0])
            start, batches = self._state.batches(start, start + _SCANNED)
            if not batches:
                self._seen = self._state.buffer.next
                break
            table, _ = self._state.source.shape(batches, preview=True)
            self._seen = start + table.num_rows
            self._names.update(dict.fromkeys(table.column_names))
            self.lacking = test.missing(self._names)
            try:
                passed = matching(table, test(table))
            except Exception as error:
                self._state.problem("the view's filter", error)
                self.set_filter(None)
                return self._newest()
            if passed.num_rows:
                self.matching += passed.num_rows
                if self._state.source.replaces:
                    passed = passed.slice(0, max(0, MOST_ROWS - len(self._found)))
                self._found.extend(self._made(passed.slice(max(0, passed.num_rows - MOST_ROWS))))
        return list(self._found)

    def _made(self, table: pa.Table) -> list[str]:
        """The rows as lines of HTML; columns that are new come after those known."""
        now = datetime.now().astimezone()
        columns: list[Sequence[Cell]] = []
        if self._state.source.replaces and not self._heads.keys() <= set(table.column_names):
            self._heads.clear()  # a result of other columns, which has no rows of the one before
            self._unshown.clear()
        for name in table.column_names:
            if name in self._heads:
                continue
            if len(self._heads) >= MOST_COLUMNS:
                if len(self._unshown) < 100_000:
                    self._unshown.add(name)
                continue
            title = label(name)
            at_right = right(table.schema.field(name).type)
            self._heads[name] = Head(title, max(title.width + _SPACE, _NARROW), at_right)
        names = set(table.column_names)
        for name, head in self._heads.items():
            column = cells(table.column(name), now) if name in names else [_EMPTY] * table.num_rows
            widest = min(max((cell.width for cell in column), default=0) + _SPACE, _WIDE)
            if widest > head.width:
                self._heads[name] = Head(head.name, widest, head.right)
            columns.append(column)
        heads = list(self._heads.values())
        return [row([column[n] for column in columns], heads) for n in range(table.num_rows)]
