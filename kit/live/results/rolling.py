"""Figures of the last rows only: of the last `n` rows, or of the last seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ...core.errors import InputError, KitError
from ..times import Moments
from .fold import Fold, unseen
from .groups import keys_of
from .kept import Kept
from .per import MOST, Per, aggregates_of, micros

MOST_ROWS = 10_000_000
_TIME = "\0time"
"""The column with the times of the kept rows, if `seconds` is given."""


class Rolling(Fold):
    """Aggregates per key of the last `n` rows, or of the rows whose time is less than `seconds` before the newest."""

    def __init__(self, keys: Any, n: Any, seconds: Any, time: str | None, aggregates: Mapping[str, Any]) -> None:
        self.keys = keys_of(keys)
        if (n is None) == (seconds is None):
            raise InputError("say how many rows, or seconds", hint="rolling(n=1000, ...), or rolling(seconds=60, ...)")
        if n is not None and (isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST_ROWS):
            raise InputError(f"n={n!r}: give a number of rows from 1 to {MOST_ROWS:,}")
        if seconds is not None and not isinstance(seconds, bool) and isinstance(seconds, int | float):
            seconds = f"{seconds}s"
        if n is not None and time is not None:
            raise InputError("time= is for seconds=", hint="the last rows are those that came last")
        self._n, self._span = n, micros(seconds, "seconds")
        over = f"last {n:,} rows" if n is not None else f"last {seconds}"
        self.label = f"{over} per {', '.join(self.keys)}" if self.keys else f"{over} in all"
        super().__init__(
            {"rolling": self.keys, "n": n, "span": self._span, "time": time, "aggregates": dict(aggregates)}
        )
        self._aggregates = dict(aggregates)
        self._names = {
            *self.keys,
            *(aggregate.column for aggregate in aggregates_of(aggregates, self.keys) if aggregate.column),
        }
        self._moments = Moments(time)
        self._kept = Kept(apart=True)
        self._trimmed = 0
        """How many rows were left after the last trim."""
        self._newest = -(2**62)
        self._columns: dict[str, None] = {}
        self.rows = self.late = self.untimed = 0
        self._misfits: dict[str, int] = {}
        """How many values the last result left out of each aggregate, because their type does not fit."""

    def add(self, table: pa.Table) -> None:
        self._columns.update(dict.fromkeys(table.column_names))
        numbers = np.arange(self.rows, self.rows + table.num_rows)
        self.rows += table.num_rows
        rows = pa.table({_TIME: pa.nulls(table.num_rows, pa.int64())})
        if self._span is not None:
            moments, known = self._moments.of(table)
            self.untimed += int(len(known) - known.sum())
            newest = np.maximum.accumulate(np.maximum(np.where(known, moments, self._newest), self._newest))
            in_time = known & (moments > newest - self._span)
            self.late += int((known & ~in_time).sum())
            self._newest = int(newest[-1]) if len(newest) else self._newest
            rows, numbers = pa.table({_TIME: moments[in_time]}), numbers[in_time]
            table = table.filter(pa.array(in_time))
        for name in table.column_names:
            if name in self._names:
                column = table.column(name)
                if column.null_count == len(column):  # whatever type a batch gives to nothing, it says nothing
                    column = pa.nulls(len(column))
                rows = rows.append_column(name, column)
        self._kept.add(rows, numbers)
        # Not after each batch: `result` trims anyway.
        if self._kept.size > 2 * max(self._trimmed, self._n or 65_536):
            self._trim()
        if self._kept.size > 2 * MOST_ROWS:
            raise KitError(f"{self.label}: these are more than {MOST_ROWS:,} rows", hint="take fewer seconds")

    def _trim(self) -> None:
        numbers = self._kept.numbers
        if self._n is not None:
            numbers = numbers[-self._n :]
        elif len(numbers):
            assert self._span is not None
            times = [np.asarray(table.column(_TIME)) for table in self._kept.tables()]
            numbers = numbers[np.concatenate(times) > self._newest - self._span]
        self._kept.keep(numbers)
        self._trimmed = self._kept.size

    def result(self) -> pa.Table:
        self._trim()
        per = Per(self.keys, None, None, None, MOST, self._aggregates)
        for table in self._kept.tables():
            per.add(table)
        self._misfits = {aggregate.name: aggregate.misfits for aggregate in per.aggregates if aggregate.misfits}
        return per.result()

    def figures(self) -> dict[str, int]:
        counts = {"folded": self.rows, "missed": self.missed}
        return counts if self._n is not None else counts | {"late": self.late, "untimed": self.untimed}

    def notes(self) -> Iterable[str]:
        for name in self._names - self._columns.keys() if self._columns else ():
            yield unseen(name, self._columns)
        for name, count in self._misfits.items():
            yield f"{name}: {count:,} values of another kind left out (types= fixes a column)"
        if self.late:
            yield f"{self.late:,} late"
        if self.untimed:
            yield f"{self.untimed:,} without a time"

    def state(self) -> dict[str, Any]:
        self._trim()
        return {
            "kept": self._kept.dump(self._kept.numbers),
            "columns": list(self._columns),
            "rows": [self._newest, self.rows, self.late, self.untimed],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._kept.load(state["kept"])
        if any(table.schema.field(_TIME).type != pa.int64() for table in self._kept.tables()):
            raise ValueError("rows without times")
        self._columns = dict.fromkeys(str(name) for name in state["columns"])
        self._newest, self.rows, self.late, self.untimed = map(int, state["rows"])
