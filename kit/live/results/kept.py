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
    """Rows and their numbers, in ascending order; `apart` keeps those of different types in tables of their own."""

    def __init__(self, *, apart: bool = False) -> None:
        self._apart = apart
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

    def tables(self) -> list[pa.Table]:
        """Return all rows, in one table or, where they are kept apart, in several; the tables are joined once."""
        runs: list[list[int]] = []
        kinds: dict[str, str] = {}
        for n, table in enumerate(self._tables):
            own = _kinds(table.schema) if self._apart else {}
            if not runs or any(kinds.get(name, kind) != kind for name, kind in own.items()):
                runs.append([])
                kinds = {}
            runs[-1].append(n)
            kinds |= own
        tables: list[pa.Table] = []
        numbers: list[Numbers] = []
        for run in runs:
            some = [self._tables[n] for n in run]
            whole = some[0]
            if len(some) > 1:
                whole = unified([batch for table in some for batch in table.to_batches()]).combine_chunks()
            if self._apart and any(
                _kinds(whole.schema)[name] != kind for one in some for name, kind in _kinds(one.schema).items()
            ):
                tables += some  # whole numbers that a float cannot hold
                numbers += [self._numbers[n] for n in run]
            else:
                tables.append(whole)
                numbers.append(np.concatenate([self._numbers[n] for n in run]))
        self._tables, self._numbers = tables, numbers
        return tables

    def all(self) -> pa.Table:
        """Return all rows as one table."""
        tables = self.tables()
        return tables[0] if tables else pa.table({})

    def keep(self, numbers: Numbers) -> None:
        """Keep only the rows with these numbers."""
        if self.size == len(numbers):
            return
        tables = self.tables()
        before, self._tables, self._numbers, self.size = self._numbers, [], [], 0
        for table, known in zip(tables, before, strict=True):
            own = numbers[np.searchsorted(numbers, known[0]) : np.searchsorted(numbers, known[-1], "right")]
            self.add(table.take(pa.array(np.searchsorted(known, own))).combine_chunks(), own)

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
        texts = []
        for table in self.tables() or [pa.table({})]:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            texts.append(base64.b64encode(sink.getvalue().to_pybytes()).decode())
        return [texts[0] if len(texts) == 1 else texts, numbers.tolist()]

    def load(self, state: Any) -> None:
        """Restore what `dump` returned; raise ValueError if it is damaged."""
        given, numbers = state
        row_numbers = np.array(numbers, np.int64)
        tables = []
        try:
            for text in given if isinstance(given, list) else [given]:
                with pa.ipc.open_stream(pa.py_buffer(base64.b64decode(text, validate=True))) as reader:
                    tables.append(reader.read_all())
                tables[-1].validate(full=True)
        except (pa.ArrowException, OSError, TypeError) as error:
            raise ValueError("no rows") from error
        rows = sum(table.num_rows for table in tables)
        if row_numbers.shape != (rows,) or (np.diff(row_numbers) <= 0).any():
            raise ValueError("another number of rows")
        self._tables, self._numbers, self.size = [], [], 0
        for table in tables:
            self.add(table, row_numbers[self.size : self.size + table.num_rows])


def _kinds(schema: pa.Schema) -> dict[str, str]:
    """Return what the types of columns can be joined with: numbers with numbers, and others with their own."""
    types = pa.types
    return {
        field.name: "number" if types.is_integer(field.type) or types.is_floating(field.type) else str(field.type)
        for field in schema
        if not types.is_null(field.type)
    }
