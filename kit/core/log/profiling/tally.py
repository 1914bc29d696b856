"""What is counted of one field while records pass: in bounded memory, and the same however the pages are cut."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Place = tuple[int, int | None]
"""A position, and its time in milliseconds."""
_KEPT = 4096
"""Hashes that are kept of a field: up to this many different values are counted exactly, more to within 1.6 %."""
_FREQUENT = 2000
"""Values whose occurrences are counted."""
_APART = {kind: np.uint64(bits) for kind, bits in (("b", 1 << 61), ("f", 1 << 60), ("u", 1 << 59))}
"""What sets the hashes of truth values, fractions and large numbers apart from those of integers of the same bits."""
_LONG = 200
"""Texts of this many bytes or more are not counted among the frequent values."""


@dataclass(frozen=True)
class Places:
    """Positions and times of records."""

    positions: npt.NDArray[Any]
    times: npt.NDArray[np.int64] | None

    def at(self, row: int) -> Place:
        """Return the place of a row."""
        return int(self.positions[row]), None if self.times is None else int(self.times[row])

    def of(self, rows: Any) -> Places:
        """Return the places of some rows."""
        return Places(self.positions[rows], None if self.times is None else self.times[rows])


class Distinct:
    """An estimate of how many different values there were, from the smallest hashes, as hashes are spread evenly."""

    def __init__(self) -> None:
        self._hashes: npt.NDArray[np.uint64] = np.zeros(0, np.uint64)

    def add(self, values: pa.Array) -> None:
        """Add values, which may come more than once."""
        if pa.types.is_string(values.type):
            hashes = pd.util.hash_array(np.array(values.to_pylist(), object), categorize=False)
        else:
            numbers = values.to_numpy(zero_copy_only=False)
            kind = numbers.dtype.kind
            apart: Any = np.full(len(numbers), kind == "b")  # true is not 1
            if kind == "f":
                # 1 and 1.0 are one value.
                whole = (np.abs(numbers) < 2.0**63) & (numbers == np.floor(numbers))
                bits = numbers.view(np.int64).copy()
                bits[whole] = numbers[whole].astype(np.int64)
                numbers, apart = bits, ~whole
            elif kind == "u":
                apart = numbers >= np.uint64(2**63)
            hashes = pd.util.hash_array(numbers.astype(np.int64, copy=False))
            if apart.any():
                hashes[apart] ^= _APART[kind]
        if len(self._hashes) == _KEPT:
            hashes = hashes[hashes < self._hashes[-1]]
        if len(hashes):
            self._hashes = np.unique(np.concatenate([self._hashes, hashes]))[:_KEPT]

    @property
    def exact(self) -> bool:
        """Whether the count is exact."""
        return len(self._hashes) < _KEPT

    @property
    def count(self) -> int:
        """The estimated number of different values."""
        if self.exact:
            return len(self._hashes)
        return round((_KEPT - 1) / (float(self._hashes[-1]) / 2.0**64))


class Frequent:
    """The most frequent values. A count may be too low by up to `error`."""

    def __init__(self) -> None:
        self._counts: dict[tuple[bool, Any], int] = {}
        """The count of each value, told apart by whether it is a boolean: to Python 1 is true."""
        self.error = 0

    def add(self, values: list[Any], counts: npt.NDArray[np.int64]) -> None:
        """Add different values with their counts."""
        if len(values) > _FREQUENT:
            order = np.argsort(-counts, kind="stable")
            self.error += int(counts[order[_FREQUENT]])
            values, counts = [values[n] for n in order[:_FREQUENT]], counts[order[:_FREQUENT]]
        known = self._counts
        for value, count in zip(values, counts.tolist(), strict=True):
            key = isinstance(value, bool), value
            known[key] = known.get(key, 0) + count
        if len(known) > 2 * _FREQUENT:
            ranked = sorted(known.items(), key=lambda item: -item[1])
            self.error += ranked[_FREQUENT][1]
            self._counts = dict(ranked[:_FREQUENT])

    def top(self, count: int) -> list[tuple[Any, int]]:
        """Return the most frequent ones, as far as they surely are among them."""
        ranked = sorted(self._counts.items(), key=lambda item: (-item[1], str(item[0][1])))
        return [(value, times) for (_, value), times in ranked[:count] if times > self.error]


class Field:
    """The tally of one field."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.types: Counter[str] = Counter()
        self.begins: dict[str, Place] = {}
        """The first position of each type, and its time."""
        self.ends: dict[str, Place] = {}
        """The last position of each type, and its time."""
        self.distinct, self.frequent = Distinct(), Frequent()
        self.lowest: dict[str, Any] = {}
        self.highest: dict[str, Any] = {}

    @property
    def present(self) -> int:
        """How many records have it, with a value."""
        return sum(self.types.values())

    def add(self, kind: str, values: pa.Array, places: Places) -> None:
        """Add values of one type, none of them missing; `places` are where they are and when, in order."""
        if not len(values):
            return
        first, last = places.at(0), places.at(-1)
        self.types[kind] += len(values)
        self.begins[kind] = min(first, self.begins.get(kind, first))
        self.ends[kind] = max(last, self.ends.get(kind, last))
        if kind in ("list", "object"):
            return
        if kind in ("integer", "number", "text"):
            bounds = pc.min_max(values)
            self._bound(kind, bounds["min"].as_py(), bounds["max"].as_py())
        counted = pc.value_counts(values)
        different, counts = counted.field("values"), np.asarray(counted.field("counts"))
        self.distinct.add(different)
        if kind == "text":
            short = np.asarray(pc.less_equal(pc.binary_length(different), _LONG))
            if not short.all():
                different, counts = different.filter(pa.array(short)), counts[short]
        if len(counts) == len(values) > _FREQUENT // 10:
            self.frequent.error += 1  # all values are different
        elif len(counts):
            self.frequent.add(different.to_pylist(), counts)

    def _bound(self, kind: str, low: Any, high: Any) -> None:
        if low is not None and low == low:
            self.lowest[kind] = min(low, self.lowest.get(kind, low))
            self.highest[kind] = max(high, self.highest.get(kind, high))


class Sizes:
    """How large bodies are: counted exactly up to 4096 bytes, and to 1.6 % beyond."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.total = self.records = self.largest = 0
        self.smallest: int | None = None

    def add(self, lengths: npt.NDArray[np.int64]) -> None:
        """Add the lengths of some bodies."""
        if not len(lengths):
            return
        self.total += int(lengths.sum())
        self.records += len(lengths)
        self.largest = max(self.largest, int(lengths.max()))
        low = int(lengths.min())
        self.smallest = low if self.smallest is None else min(self.smallest, low)
        bits = np.frexp(lengths.astype(np.float64))[1]
        step = np.left_shift(1, np.maximum(bits - 13, 0) + np.where(bits > 12, 6, 0))  # 64 steps to each doubling
        values, counts = np.unique(lengths // step * step, return_counts=True)
        self._counts.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))

    def quantile(self, part: float) -> int | None:
        """Return the size that this share of bodies does not exceed."""
        left = part * self.records
        for size, count in sorted(self._counts.items()):
            left -= count
            if left <= 0:
                return min(size, self.largest)
        return None

    def histogram(self, bars: int = 24) -> list[tuple[int, int, int]]:
        """Return some ranges of sizes, and how many bodies are in each: from, to, count."""
        if not self.records:
            return []
        assert self.smallest is not None
        edges = np.unique(np.linspace(self.smallest, self.largest + 1, bars + 1).astype(np.int64))
        sizes = np.array(sorted(self._counts))
        weights = np.array([self._counts[int(size)] for size in sizes])
        counts, _ = np.histogram(np.maximum(sizes, self.smallest), edges, weights=weights)
        return [(int(a), int(b) - 1, int(n)) for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)]
