"""The rows that a fold keeps, each with its number."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..columns import unified

Numbers = npt.NDArray[np.int64]


class Kept:
    """Rows and their numbers, in ascending order."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []
        self._numbers: list[Numbers] = []
        self.size = 0

    @property
    def numbers(self) -> Numbers:
        """The number of each row."""
        return np.concatenate([np.zeros(0, np.int64), *self._numbers])

    @property
    def bytes(self) -> int:
        """How much memory the rows take."""
        return sum(table.nbytes for table in self._tables)

    def add(self, table: pa.Table, numbers: Numbers) -> None:
        """Add rows, whose numbers are greater than all before."""
        if table.num_rows:
            self._tables.append(table)
            self._numbers.append(numbers)
            self.size += table.num_rows

    def all(self) -> pa.Table:
        """Return all rows as one table; the tables are joined once."""
        if len(self._tables) > 1:
            whole = unified([batch for table in self._tables for batch in table.to_batches()]).combine_chunks()
            self._tables, self._numbers = [whole], [self.numbers]
        return self._tables[0] if self._tables else pa.table({})

    def keep(self, numbers: Numbers) -> None:
        """Keep only the rows with these numbers."""
        if self.size == len(numbers):
            return
        whole, known = self.all(), self.numbers
        self._tables = [whole.take(pa.array(np.searchsorted(known, numbers))).combine_chunks()]
        self._numbers, self.size = [numbers], len(numbers)

    def table(self, names: Iterable[str]) -> pa.Table:
        """Return all rows; of these columns, the missing ones are null."""
        whole = self.all()
        for name in names:
            if name not in whole.column_names:
                whole = whole.append_column(name, pa.nulls(whole.num_rows))
        return whole

    def dump(self, numbers: Numbers) -> list[Any]:
        """Return the rows with these numbers, as values of JSON."""
        self.keep(numbers)
        sink = pa.BufferOutputStream()
        whole = self.all()
        with pa.ipc.new_stream(sink, whole.schema) as writer:
            writer.write_table(whole)
        return [base64.b64encode(sink.getvalue().to_pybytes()).decode(), numbers.tolist()]

    def load(self, state: Any) -> None:
        """Restore what `dump` returned; raise ValueError if it is damaged."""
        text, numbers = state
        row_numbers = np.array(numbers, np.int64)
        try:
            with pa.ipc.open_stream(pa.py_buffer(base64.b64decode(text, validate=True))) as reader:
                table = reader.read_all()
            table.validate(full=True)
        except (pa.ArrowException, OSError, TypeError) as error:
            raise ValueError("no rows") from error
        if row_numbers.shape != (table.num_rows,) or (np.diff(row_numbers) <= 0).any():
            raise ValueError("another number of rows")
        self._tables, self._numbers, self.size = [], [], 0
        self.add(table, row_numbers)
