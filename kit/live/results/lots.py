"""The rows of a batch sorted by group, and their columns in the form that aggregates need."""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...core.tables.json.values import text_of
from ..columns import plain_array
from .plain import objects
from .sketches import mixed

Numbers = npt.NDArray[np.int64]
_INT64 = 2.0**63
_OF_FLOATS = np.uint64(0x5851F42D4C957F2D)


def starts_of(sorted_codes: npt.NDArray[Any]) -> Numbers:
    """Return where each run of equal values begins.

    >>> starts_of(np.array([3, 3, 5])).tolist()
    [0, 2]
    """
    if not len(sorted_codes):
        return np.zeros(0, np.int64)
    return np.flatnonzero(np.concatenate([[True], sorted_codes[1:] != sorted_codes[:-1]]))


def listed(array: pa.Array) -> list[Any]:
    """Return values as Python objects. Times are in UTC: in a zone, Python takes the two hours in which clocks are set
    back for the same."""
    kind = array.type
    if pa.types.is_timestamp(kind) and kind.tz not in (None, "UTC"):
        array = array.cast(pa.timestamp(kind.unit, "UTC"))
    values: list[Any] = array.to_pylist()
    return values


class Lot:
    """Rows of a table in groups: `order` sorts them by group, each group begins at one of `starts`."""

    def __init__(self, table: pa.Table, codes: Numbers) -> None:
        self.table = table
        self.order: Numbers = np.argsort(codes, kind="stable")
        self.starts = starts_of(codes[self.order])
        self.sizes = np.diff(self.starts, append=len(codes))
        self.slots = np.zeros(len(self.starts), np.int64)
        """The number of each group, the same in every batch."""
        self._columns: dict[str, Column | None] = {}

    @property
    def first_rows(self) -> Numbers:
        """The first row of each group."""
        return self.order[self.starts]

    @property
    def last_rows(self) -> Numbers:
        """The last row of each group."""
        return self.order[self.starts + self.sizes - 1]

    def column(self, name: str) -> Column | None:
        """Return the values of a column without the missing ones; None if there are none, or no such column."""
        if name not in self._columns:
            self._columns[name] = self._present(name)
        return self._columns[name]

    def _present(self, name: str) -> Column | None:
        if name not in self.table.column_names:
            return None
        array = plain_array(self.table.column(name))
        if array.null_count == len(array):
            return None
        rows, groups = self.order, np.repeat(np.arange(len(self.starts)), self.sizes)
        if array.null_count:
            known = np.asarray(array.is_valid().to_numpy(zero_copy_only=False))[rows]
            rows, groups = rows[known], groups[known]
        starts = starts_of(groups)
        return Column(array, rows, starts, self.slots[groups[starts]])


class Column:
    """Values in groups, none of them missing: row `rows[starts[n]]` is the first of the group with slot `slots[n]`."""

    def __init__(self, array: pa.Array, rows: Numbers, starts: Numbers, slots: Numbers) -> None:
        self._array, self.rows, self.starts, self.slots = array, rows, starts, slots
        self.sizes = np.diff(starts, append=len(rows))
        self.kind: pa.DataType = array.type

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, rows: Numbers) -> list[Any]:
        """Return the values of some rows as Python objects."""
        return listed(self._array.take(pa.array(rows)))

    def numbers(self) -> npt.NDArray[Any] | None:
        """Return the values by group as `int64`, `float64` or exact numbers of Python; None if they are not numbers."""
        return self._numbers

    @cached_property
    def _numbers(self) -> npt.NDArray[Any] | None:
        kind, array = self.kind, self._array
        if pa.types.is_boolean(kind):
            array, kind = array.cast(pa.int8()), pa.int8()
        if pa.types.is_floating(kind):
            return np.asarray(pc.fill_null(array.cast(pa.float64()), 0.0))[self.rows]
        if pa.types.is_integer(kind):
            filled = pc.fill_null(array, 0)
            if kind == pa.uint64() and (pc.max(filled).as_py() or 0) >= 2**63:
                return objects(filled.to_pylist())[self.rows]
            return np.asarray(filled.cast(pa.int64()))[self.rows]
        if pa.types.is_decimal(kind):
            return objects(array.to_pylist())[self.rows]
        return None

    def hashes(self) -> npt.NDArray[np.uint64]:
        """Return a hash of each value by group: equal for equal numbers of any type, the same in every process."""
        numbers = self.numbers() if not pa.types.is_boolean(self.kind) else None
        if numbers is not None and numbers.dtype == np.int64:
            return mixed(numbers.view(np.uint64))
        if numbers is not None and numbers.dtype == np.float64:
            whole = (numbers >= -_INT64) & (numbers < _INT64) & (numbers == np.floor(numbers))
            as_whole = np.where(whole, numbers, 0).astype(np.int64).view(np.uint64)
            numbers = np.where(np.isnan(numbers), np.nan, numbers)  # all NaNs get the same hash
            return np.where(whole, mixed(as_whole), mixed(numbers.view(np.uint64) ^ _OF_FLOATS))
        # Each different value is hashed once: often there are few.
        import pandas as pd

        coded = self._array.dictionary_encode() if not pa.types.is_nested(self.kind) else None
        if coded is None:
            return pd.util.hash_array(objects([text_of(value) for value in self.at(self.rows)]))
        values = coded.dictionary.to_pylist()
        hashed = np.asarray(
            pd.util.hash_array(objects([_text(value) for value in values]), categorize=False), np.uint64
        )
        if numbers is not None:
            hashed = np.array(
                [_of_number(value, other) for value, other in zip(values, hashed, strict=True)], np.uint64
            )
        places = np.asarray(pc.fill_null(coded.indices, 0)).astype(np.int64)
        return hashed[places[self.rows]]


def _of_number(value: int | Decimal, other: np.uint64) -> Any:
    """Return the hash that a number has in a column of `int64` or `float64`; `other` if it does not fit there."""
    if value == int(value) and -(2**63) <= value < 2**63:
        return mixed(np.array([int(value)], np.int64).view(np.uint64))[0]
    if value == float(value):
        return mixed(np.array([float(value)]).view(np.uint64) ^ _OF_FLOATS)[0]
    return other


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        value = value.normalize()  # so that 0.10 and 0.1 are equal
    return value if isinstance(value, str) else f"{type(value).__name__} {value!r}"
