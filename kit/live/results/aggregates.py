"""What `per` and `rolling` compute for each group: figures that take every row once, batch by batch.

All except sums of floats are the same however the rows are divided into batches: integers and decimals are added
exactly, and the approximate ones (`distinct`, `p99`) are kept in forms that do not depend on the order of rows.
"""

from __future__ import annotations

import decimal
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...core.errors import InputError
from ...core.words import nearest
from .lots import Column, Lot
from .plain import array_of_plain, grown, kind_of_text, kind_text, objects, plain, unplain
from .sketches import Quantiles, Registers

Slots = npt.NDArray[np.int64]

FORMS = (
    'n="count", total="sum:total", "mean:x", "min:x", "max:x", "first:x", "last:x", "distinct:x", "median:x", "p99:x"'
)
_SURE = 2**62
_EXACT = decimal.Context(prec=1000)


class Aggregate(ABC):
    """One figure of every group. The number of a group is its slot: an index into the arrays."""

    def __init__(self, name: str, column: str | None, share: float | None = None) -> None:
        self.name, self.column, self.share = name, column, share
        self.size = 0
        self.misfits = 0
        """How many values were left out, because their type does not fit."""

    def fold(self, lot: Lot, slots: int) -> None:
        """Take the rows of a batch; `slots` is the number of groups so far."""
        if slots > self.size:
            self.grow(slots)
            self.size = slots
        if self.column is None:
            self.rows(lot)
        elif (column := lot.column(self.column)) is not None:
            self.take(column)

    def rows(self, lot: Lot) -> None:
        """Take all rows, where no column is named."""
        raise NotImplementedError

    @abstractmethod
    def grow(self, size: int) -> None:
        """Make room for `size` slots."""

    @abstractmethod
    def take(self, column: Column) -> None:
        """Take the values of a column that are not missing."""

    @abstractmethod
    def result(self, slots: Slots) -> pa.Array:
        """Return the figure of some slots."""

    @abstractmethod
    def dump(self, slots: Slots) -> dict[str, Any]:
        """Return the state of some slots, as values of JSON."""

    @abstractmethod
    def load(self, state: Mapping[str, Any], size: int) -> None:
        """Restore what `dump` returned, for `size` slots."""

    def keep(self, slots: Slots) -> None:
        """Keep only these slots, and number them from 0 on."""
        self.load(self.dump(slots), len(slots))
        self.size = len(slots)


class Count(Aggregate):
    """How many rows, or how many values that are not missing."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._counts = np.zeros(0, np.int64)

    def grow(self, size: int) -> None:
        self._counts = grown(self._counts, size)

    def rows(self, lot: Lot) -> None:
        self._counts[lot.slots] += lot.sizes

    def take(self, column: Column) -> None:
        self._counts[column.slots] += column.sizes

    def result(self, slots: Slots) -> pa.Array:
        return pa.array(self._counts[slots])

    def dump(self, slots: Slots) -> dict[str, Any]:
        return {"counts": self._counts[slots].tolist()}

    def load(self, state: Mapping[str, Any], size: int) -> None:
        self._counts = _numbers(state["counts"], size, np.int64)


class Sum(Aggregate):
    """The sum: exact for integers and decimals of any size; for floats added as they come, to about 15 digits."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._whole = objects([])
        self._part = np.zeros(0)
        self._counts = np.zeros(0, np.int64)
        self._floats = np.zeros(0, bool)

    def grow(self, size: int) -> None:
        self._whole = grown(self._whole, size, 0)
        self._part, self._counts = grown(self._part, size), grown(self._counts, size)
        self._floats = grown(self._floats, size)

    def take(self, column: Column) -> None:
        values = column.numbers()
        if values is None:
            self.misfits += len(column)
            return
        self._counts[column.slots] += column.sizes
        if values.dtype == np.float64:
            with np.errstate(invalid="ignore", over="ignore"):
                self._part[column.slots] += np.add.reduceat(values, column.starts)
            self._floats[column.slots] = True
            return
        if values.dtype == np.int64:
            most = max(-int(values.min()), int(values.max()))
            if most * len(values) >= _SURE:
                values = values.astype(object)
        with decimal.localcontext(_EXACT):
            self._whole[column.slots] += np.add.reduceat(values, column.starts).astype(object)

    def totals(self, slots: Slots) -> list[Any]:
        """Return the sums as Python numbers; None where there was no value."""
        sums: list[Any] = []
        for whole, part, floats, count in zip(
            self._whole[slots].tolist(), self._part[slots].tolist(), self._floats[slots].tolist(),
            self._counts[slots].tolist(), strict=True,
        ):  # fmt: skip
            sums.append(None if not count else float(whole) + part if floats else whole)
        return sums

    def result(self, slots: Slots) -> pa.Array:
        totals = self.totals(slots)
        if any(isinstance(total, float) for total in totals):
            return pa.array([None if total is None else float(total) for total in totals], pa.float64())
        return array_of_plain(totals)

    def dump(self, slots: Slots) -> dict[str, Any]:
        return {
            "whole": [plain(value) for value in self._whole[slots].tolist()],
            "part": self._part[slots].tolist(),
            "counts": self._counts[slots].tolist(),
            "floats": self._floats[slots].tolist(),
        }

    def load(self, state: Mapping[str, Any], size: int) -> None:
        self._whole = objects([unplain(value) for value in _listed(state["whole"], size)])
        if any(isinstance(total, bool) or not isinstance(total, int | decimal.Decimal) for total in self._whole):
            raise ValueError("a sum is not a number")
        self._part = _numbers(state["part"], size, np.float64)
        self._counts = _numbers(state["counts"], size, np.int64)
        self._floats = _numbers(state["floats"], size, np.bool_)


class Mean(Sum):
    """The mean of the values that are not missing, as a float."""

    def result(self, slots: Slots) -> pa.Array:
        counts = self._counts[slots].tolist()
        totals = self.totals(slots)
        return pa.array(
            [None if t is None else float(t / n) for t, n in zip(totals, counts, strict=True)], pa.float64()
        )


class Chosen(Aggregate):
    """One of the values: the least, the greatest, the first or the last. Missing values are skipped."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._values = objects([])
        self._seen = np.zeros(0, bool)
        self._kind: pa.DataType = pa.null()

    def grow(self, size: int) -> None:
        self._values, self._seen = grown(self._values, size, None), grown(self._seen, size)

    def result(self, slots: Slots) -> pa.Array:
        return array_of_plain(self._values[slots].tolist(), self._kind)

    def dump(self, slots: Slots) -> dict[str, Any]:
        values = [plain(value) for value in self._values[slots].tolist()]
        return {"values": values, "seen": self._seen[slots].tolist(), "kind": kind_text(self._kind)}

    def load(self, state: Mapping[str, Any], size: int) -> None:
        self._values = objects([unplain(value) for value in _listed(state["values"], size)])
        self._seen = _numbers(state["seen"], size, np.bool_)
        self._kind = kind_of_text(state["kind"])


class First(Chosen):
    """The first value, in the order of rows."""

    def take(self, column: Column) -> None:
        new = ~self._seen[column.slots]
        if new.any():
            self._values[column.slots[new]] = objects(column.at(column.rows[column.starts[new]]))
            self._seen[column.slots] = True
            self._kind = column.kind


class Last(Chosen):
    """The last value, in the order of rows."""

    def take(self, column: Column) -> None:
        self._values[column.slots] = objects(column.at(column.rows[column.starts + column.sizes - 1]))
        self._seen[column.slots] = True
        self._kind = column.kind


class Least(Chosen):
    """The least value; a NaN is skipped."""

    pick: Callable[..., Any] = staticmethod(min)
    reduce: Any = np.minimum
    reduce_floats: Any = np.fmin

    def take(self, column: Column) -> None:
        slots, sizes = column.slots, column.sizes
        numbers = column.numbers() if not pa.types.is_boolean(column.kind) else None
        if numbers is not None and numbers.dtype == np.float64:
            best = self.reduce_floats.reduceat(numbers, column.starts)
            known = ~np.isnan(best)
            values, slots, sizes = best[known].tolist(), slots[known], sizes[known]
        elif numbers is not None:
            values = self.reduce.reduceat(numbers, column.starts).tolist()
        elif pa.types.is_nested(column.kind):
            self.misfits += len(column)
            return
        else:
            listed = column.at(column.rows)
            ends = column.starts + column.sizes
            values = [self.pick(listed[a:b]) for a, b in zip(column.starts.tolist(), ends.tolist(), strict=True)]
        if not values:
            return
        self._kind = column.kind
        known_values, filled = self._values[slots].tolist(), self._seen[slots].tolist()
        for n, (value, old, known_one) in enumerate(zip(values, known_values, filled, strict=True)):
            if known_one:
                try:
                    values[n] = self.pick(old, value)
                except TypeError:  # a text beside a number
                    values[n] = old
                    self.misfits += int(sizes[n])
        self._values[slots] = objects(values)
        self._seen[slots] = True


class Greatest(Least):
    """The greatest value; a NaN is skipped."""

    pick = staticmethod(max)
    reduce = np.maximum
    reduce_floats = np.fmax


class Distinct(Aggregate):
    """The approximate number of different values, within about 2 percent; missing values are skipped."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._registers = Registers()

    def grow(self, size: int) -> None:
        self._registers.grow(size)

    def take(self, column: Column) -> None:
        self._registers.add(np.repeat(column.slots, column.sizes), column.hashes())

    def result(self, slots: Slots) -> pa.Array:
        return pa.array(self._registers.counts(slots))

    def dump(self, slots: Slots) -> dict[str, Any]:
        return {"registers": self._registers.dump(slots)}

    def load(self, state: Mapping[str, Any], size: int) -> None:
        self._registers.load(state["registers"], size)


class Quantile(Aggregate):
    """The approximate value below which a share of the values lies, within 1 percent of it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._buckets = Quantiles()

    def grow(self, size: int) -> None:
        pass

    def take(self, column: Column) -> None:
        values = column.numbers()
        if values is None:
            self.misfits += len(column)
            return
        self._buckets.add(np.repeat(column.slots, column.sizes), values.astype(np.float64))

    def result(self, slots: Slots) -> pa.Array:
        assert self.share is not None
        return pa.array(self._buckets.at(slots, self.share), pa.float64(), from_pandas=True)

    def dump(self, slots: Slots) -> dict[str, Any]:
        return {"buckets": self._buckets.dump(slots)}

    def load(self, state: Mapping[str, Any], size: int) -> None:
        self._buckets.load(state["buckets"], size)


_KINDS: dict[str, type[Aggregate]] = {
    "count": Count,
    "sum": Sum,
    "mean": Mean,
    "avg": Mean,
    "min": Least,
    "max": Greatest,
    "first": First,
    "last": Last,
    "distinct": Distinct,
}
_SHARE = re.compile(r"p(\d{1,2}(?:\.\d+)?)")


def aggregate_of(name: str, text: Any) -> Aggregate:
    """Return the aggregate that a text describes.

    >>> aggregate_of("slow", "p99:ms").share, aggregate_of("n", "count").column
    (0.99, None)
    >>> aggregate_of("total", "som:total")
    Traceback (most recent call last):
    kit.core.errors.InputError: total='som:total' is not an aggregate
      did you mean 'sum'?
    """
    if not isinstance(text, str):
        raise InputError(f"{name}={text!r} is not an aggregate", hint=f"write a text: {FORMS}")
    kind, colon, column = (part.strip() for part in text.partition(":"))
    share = 0.5 if kind == "median" else float(percent[1]) / 100 if (percent := _SHARE.fullmatch(kind)) else None
    if share is None and kind not in _KINDS:
        hint = nearest(kind, [*_KINDS, "median"]) or f"write {FORMS}"
        raise InputError(f"{name}={text!r} is not an aggregate", hint=hint)
    if not column and (kind != "count" or colon):
        raise InputError(f"{name}={text!r} names no column", hint=f'write "{kind}:" and the column, as in {FORMS}')
    return Quantile(name, column, share) if share is not None else _KINDS[kind](name, column or None)


def _listed(values: Any, size: int) -> Sequence[Any]:
    if not isinstance(values, list) or len(values) != size:
        raise ValueError("a list of another length")
    return values


def _numbers(values: Any, size: int, kind: Any) -> npt.NDArray[Any]:
    array = np.array(_listed(values, size), kind)
    if array.shape != (size,):
        raise ValueError("not a list of numbers")
    return array
