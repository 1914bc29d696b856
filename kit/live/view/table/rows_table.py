"""The newest rows of a feed, as the HTML of a table: each row is made once, and columns stay where they are.

New columns come last. So a line that was made before them only lacks cells at its end, and is not made again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ....core.errors import InputError
from ....core.tables.filters import Test, matching
from .drawing import Head, note, row, rows_table
from .order import NUMBER, Order
from .values import Cell, cells, label, right

if TYPE_CHECKING:
    from ...feed.state import FeedState

MOST_ROWS = 200
MOST_COLUMNS = 24
_NARROW, _SPACE = 5, 2
WIDEST = 42
"""The largest width of a column in characters, by default."""
_MOST_NAMES = 1000
_SCANNED = 65_536
_EMPTY = Cell("")


class RowsTable:
    """The table of a view: the newest rows or the first by a column, all rows or those that pass its filter."""

    def __init__(self, state: FeedState, rows: int) -> None:
        self._state = state
        self.rows = rows
        """How many rows are shown."""
        self.matching: int | None = None
        """How many rows passed the filter, if there is one."""
        self.lacking: InputError | None = None
        """The error of a filter that names a column which no row has had."""
        self.names: dict[str, None] = {}
        """The columns that rows have had."""
        self.cells = 0
        """How many values the last table had."""
        self.widest = WIDEST
        self._heads: dict[str, Head] = {}
        self._unshown: set[str] = set()
        self._chosen: tuple[str, ...] | None = None
        self._lines: dict[int, str] = {}
        self._test: Test | None = None
        self._order: Order | None = None
        self._matches: deque[tuple[int, str]] = deque(maxlen=MOST_ROWS)
        self._from = self._seen = 0
        self._numbers: list[int] = []
        self._result: tuple[int, list[pa.RecordBatch]] = (-1, [])
        """The result that is shown: the feed may have a newer one."""

    def set_filter(self, test: Test | Callable[[pa.Table], Any] | None) -> None:
        """Show only rows that pass a test, also of those that are in the buffer already."""
        self._test = test if test is None or isinstance(test, Test) else Test(test)
        self.matching = None if test is None else 0
        self.lacking = None
        self._look_again()

    def set_order(self, order: Order | None) -> None:
        """Show the first rows by a column, or the newest ones."""
        self._order = order
        self._look_again()

    def choose(self, names: Sequence[str] | None) -> None:
        """Show these columns, or the first ones."""
        self._chosen = None if names is None else tuple(names)
        self._forget_columns()
        self._look_again()

    def set_widest(self, characters: int) -> None:
        """Set the largest width of columns. Longer values are cut in the table only."""
        self.widest = characters
        self._forget_columns()
        self._look_again()

    def clear(self) -> None:
        """Empty the table; show only rows that come from now on."""
        self._from = self._state.buffer.next
        self.names.clear()
        self._forget_columns()
        self.set_filter(self._test)

    @property
    def ordered(self) -> bool:
        """Whether the rows are sorted by a column."""
        return self._order is not None

    @property
    def shown(self) -> list[str]:
        """The columns in the table."""
        return list(self._heads)

    def html(self) -> str:
        """Return the table as it is now, the newest row first; for a result, its first rows in its own order."""
        result = self._state.source.replaces
        if result:
            self._begin_again()
        if self._order is not None:
            lines = self._sorted(self._order)
        else:
            lines = self._newest() if self._test is None else self._passed()
            lines = lines[: self.rows] if result else lines[-self.rows :][::-1]
        self._numbers = [number for number, _ in lines]
        heads = list(self._heads.values())
        self.cells = len(heads) * self.rows
        what = f"{'rows' if result or self.ordered else 'newest rows'} of {self._state.source.label}"
        shown = rows_table(heads, [line for _, line in lines], what, self.rows - len(lines))
        more = [f"{len(self._unshown):,} more columns are in the DataFrame"] if self._unshown else []
        count = self._state.total if self.matching is None else self.matching
        if result and count > len(lines):
            more.append(f"the first {len(lines):,} of {count:,} rows")
        return shown + (note("; ".join(more)) if more else "")

    def records(self, extra: int | None = None) -> tuple[pa.Table, list[int]]:
        """Return the rows of the last table that are still in the buffer, not cut and in the same order, with their
        numbers. The row `extra` comes first if it is not among them."""
        requested = self._numbers if extra is None or extra in self._numbers else [extra, *self._numbers]
        pieces: list[pa.RecordBatch] = []
        numbers = []
        for number in requested:
            if batches := self._kept(number):
                pieces += batches
                numbers.append(number)
        return (self._state.source.shape(pieces)[0] if pieces else pa.table({})), numbers

    def _kept(self, number: int) -> list[pa.RecordBatch]:
        """Return a row as it came; an empty list if it has left the buffer."""
        if not self._state.source.replaces:
            first, batches = self._state.batches(number, number + 1)
            return batches if first == number else []
        first, batches = self._result
        for batch in batches:
            if first <= number < first + batch.num_rows:
                return [batch.slice(number - first, 1)]
            first += batch.num_rows
        return []

    def _forget_columns(self) -> None:
        self._lines.clear()
        self._heads.clear()
        self._unshown.clear()

    def _look_again(self) -> None:
        self._matches.clear()
        self._seen = self._from
        if self.matching is not None:
            self.matching = 0
        if self._order is not None:
            self._order.clear()

    def _begin_again(self) -> None:
        """Begin with the first row of a result, if the result has changed."""
        if self._state.buffer.first != self._result[0]:
            self._result = self._state.batches()
            self._from = self._result[0]
            self._lines.clear()
            self.set_filter(self._test)

    def _newest(self) -> list[tuple[int, str]]:
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
            lines.update(zip(range(first, stop), self._made(table, range(first, stop)), strict=False))
        self._lines = lines
        return list(lines.items())

    def _passed(self) -> list[tuple[int, str]]:
        for passed, numbers in self._scanned():
            if self._state.source.replaces:
                room = max(0, MOST_ROWS - len(self._matches))
                passed, numbers = passed.slice(0, room), numbers[:room]
            if len(numbers):
                newest = max(0, len(numbers) - MOST_ROWS)
                shown = numbers[newest:].tolist()
                self._matches.extend(zip(shown, self._made(passed.slice(newest), shown), strict=True))
        return list(self._matches) if self._test is not None else self._newest()

    def _sorted(self, order: Order) -> list[tuple[int, str]]:
        """Return the first rows by a column. If too many of them have left the buffer, sort the whole buffer again."""
        for _ in range(2):
            for passed, numbers in self._scanned():
                order.take(passed, pa.array(numbers, pa.int64()))
            first = order.first(self.rows, max(self._from, self._state.buffer.first))
            if first is not None:
                break
            self._look_again()
        assert first is not None
        numbers = first.column(NUMBER).to_pylist()
        return list(zip(numbers, self._made(first.drop_columns([NUMBER]), numbers), strict=True)) if numbers else []

    def _scanned(self) -> Iterator[tuple[pa.Table, npt.NDArray[np.int64]]]:
        """Yield the new rows that pass the filter, in pieces, with their numbers."""
        while self._seen < self._state.buffer.next:
            # Rows may have left the buffer before they were read; then the rest begins at a later number.
            start = max(self._seen, self._state.batches(self._seen)[0])
            start, batches = self._state.batches(start, start + _SCANNED)
            if not batches:
                self._seen = self._state.buffer.next
                break
            table, _ = self._state.source.shape(batches, preview=True)
            self._seen = start + table.num_rows
            numbers = np.arange(start, start + table.num_rows)
            self.names.update(dict.fromkeys(table.column_names[:_MOST_NAMES]))
            if self._test is not None:
                self.lacking = self._test.missing(self.names)
                try:
                    mask = np.asarray(self._test(table), bool)
                    table, numbers = matching(table, mask), numbers[mask]
                except Exception as error:
                    self._state.problem("the view's filter", error)
                    self.set_filter(None)
                    return
                self.matching = (self.matching or 0) + len(numbers)
            if len(numbers):
                yield table, numbers

    def _made(self, table: pa.Table, numbers: Sequence[int]) -> list[str]:
        """Return the rows as lines of HTML. New columns come after the known ones."""
        now = datetime.now().astimezone()
        columns: list[Sequence[Cell]] = []
        names = set(table.column_names)
        if self._state.source.replaces and not self._heads.keys() <= names:
            self._heads.clear()  # a result with other columns: nothing of the previous one stays
            self._unshown.clear()
        self.names.update(dict.fromkeys(table.column_names[:_MOST_NAMES]))
        for name in table.column_names if self._chosen is None else self._chosen:
            if name in self._heads or name not in names:
                continue
            if len(self._heads) >= MOST_COLUMNS:
                if len(self._unshown) < 100_000:
                    self._unshown.add(name)
                continue
            title = label(name)
            at_right = right(table.schema.field(name).type)
            self._heads[name] = Head(title, min(max(title.width + _SPACE, _NARROW), self.widest), at_right)
        for name, head in self._heads.items():
            column = cells(table.column(name), now) if name in names else [_EMPTY] * table.num_rows
            widest = min(max((cell.width for cell in column), default=0) + _SPACE, self.widest)
            if widest > head.width:
                self._heads[name] = Head(head.name, widest, head.right)
            columns.append(column)
        heads = list(self._heads.values())
        return [row([column[n] for column in columns], heads, numbers[n]) for n in range(table.num_rows)]
