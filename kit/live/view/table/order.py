"""The first rows of a feed in the order of one column, kept up to date while rows come and leave the buffer."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ....core.tables.json.values import text_of
from ...columns import plain_array, unified

KEPT = 1000
"""The number of first rows that are kept: the next ones replace shown rows that leave the buffer."""
NUMBER = "\0number"
_KEY = "\0key"


class Order:
    """The first rows by a column. Of equal rows the newest is first; rows without a value are last.

    >>> order = Order("n", descending=True)
    >>> order.take(pa.table({"n": [1, 3, 2]}), pa.array([0, 1, 2]))
    >>> found = order.first(2, kept_from=0)
    >>> found.column("n").to_pylist(), found.column(NUMBER).to_pylist()
    ([3, 2], [1, 2])
    """

    def __init__(self, column: str, *, descending: bool) -> None:
        self.column, self.descending = column, descending
        self._kept: pa.Table | None = None
        self._cut = False

    def clear(self) -> None:
        """Remove all rows."""
        self._kept, self._cut = None, False

    def take(self, table: pa.Table, numbers: pa.Array) -> None:
        """Add rows with their numbers in the feed."""
        table = table.append_column(NUMBER, numbers)
        known = 0 if self._kept is None else self._kept.num_rows
        if self._kept is not None:
            table = unified([*self._kept.to_batches(), *table.to_batches()])
        direction = "descending" if self.descending else "ascending"
        keys = [(_KEY, direction, "at_end"), (NUMBER, "descending", "at_end")]
        ordered = table.append_column(_KEY, self._key(table))
        at = pc.sort_indices(ordered.select([_KEY, NUMBER]), sort_keys=keys)
        most = KEPT
        if self._cut:
            # Rows that were cut are before a new row that is behind all that were kept.
            kept = np.flatnonzero(np.asarray(at) < known)
            most = min(KEPT, int(kept[-1]) + 1 if len(kept) else 0)
        self._cut = self._cut or len(at) > KEPT
        self._kept = table.take(at[:most])

    def first(self, rows: int, kept_from: int) -> pa.Table | None:
        """Return the first rows among those from a number on; None if all rows of the buffer must be added again."""
        if self._kept is None:
            return pa.table({NUMBER: pa.array([], pa.int64())})
        self._kept = self._kept.filter(pc.greater_equal(self._kept.column(NUMBER), kept_from))
        if self._cut and self._kept.num_rows < rows:
            return None
        return self._kept.slice(0, rows)

    def _key(self, table: pa.Table) -> pa.Array:
        """Return the values to sort by; values of a type without an order are sorted by their text."""
        if self.column not in table.column_names:
            return pa.nulls(table.num_rows, pa.int64())
        values = plain_array(table.column(self.column))
        if pa.types.is_null(values.type):
            return pa.nulls(table.num_rows, pa.int64())
        if pa.types.is_float16(values.type):
            return values.cast(pa.float32())
        if pa.types.is_interval(values.type):
            return pa.array([None if value is None else str(value) for value in values.to_pylist()], pa.string())
        if pa.types.is_nested(values.type):
            return pa.array([None if value is None else text_of(value) for value in values.to_pylist()], pa.string())
        return values
