"""Approximate figures of many groups at once, in forms that do not depend on the order of rows or on batches.

Number of different values: HyperLogLog, 2048 registers for each group, a standard error of 2.3 percent.
Quantiles: counts in buckets whose bounds grow by 2 percent (as in DDSketch), so an error of 1 percent of the value.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from .plain import grown

_BITS = 11
_REGISTERS = 1 << _BITS
_ALPHA = 0.7213 / (1 + 1.079 / _REGISTERS)
_AT_ONCE = 4096
Numbers = npt.NDArray[np.int64]


def mixed(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return a hash of each number, the same in every process (the finish of splitmix64)."""
    with np.errstate(over="ignore"):
        hashes = numbers + np.uint64(0x9E3779B97F4A7C15)
        hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return hashes ^ (hashes >> np.uint64(31))


class Registers:
    """The approximate number of different values of each slot."""

    def __init__(self) -> None:
        self._all = np.zeros((0, _REGISTERS), np.uint8)

    def grow(self, size: int) -> None:
        """Make room for `size` slots."""
        self._all = grown(self._all, size)

    def add(self, slots: Numbers, hashes: npt.NDArray[np.uint64]) -> None:
        """Add values by their hashes, each to its slot."""
        place = (hashes >> np.uint64(64 - _BITS)).astype(np.int64)
        # The leading zeros of the rest, from the exponent of a float that holds all of its bits.
        rest = (hashes << np.uint64(_BITS)) >> np.uint64(_BITS + 1)
        rank = (64 - _BITS - np.frexp(rest.astype(np.float64))[1]).astype(np.uint8)
        np.maximum.at(self._all.reshape(-1), slots * _REGISTERS + place, rank)

    def counts(self, slots: Numbers) -> Numbers:
        """Return the approximate number of different values of some slots."""
        counts = np.zeros(len(slots), np.int64)
        for at in range(0, len(slots), _AT_ONCE):
            some = self._all[slots[at : at + _AT_ONCE]]
            raw = _ALPHA * _REGISTERS**2 / np.ldexp(1.0, -some.astype(np.int32)).sum(axis=1)
            empty = (some == 0).sum(axis=1)
            with np.errstate(divide="ignore"):
                few = _REGISTERS * np.log(_REGISTERS / empty)
            counts[at : at + _AT_ONCE] = np.rint(np.where((raw <= 2.5 * _REGISTERS) & (empty > 0), few, raw))
        return counts

    def dump(self, slots: Numbers) -> str:
        """Return the registers of some slots as text."""
        return base64.b64encode(zlib.compress(self._all[slots].tobytes(), 1)).decode()

    def load(self, text: str, size: int) -> None:
        """Restore what `dump` returned."""
        opened = zlib.decompressobj()
        registers = opened.decompress(base64.b64decode(text, validate=True), size * _REGISTERS + 1)
        if len(registers) != size * _REGISTERS:
            raise ValueError("registers of another number of groups")
        self._all = np.frombuffer(registers, np.uint8).reshape(size, _REGISTERS).copy()


_GROWTH = np.log(1.01 / 0.99)
_ZERO = 1 << 17
_FAR = 36_000
"""The largest distance of a float's bucket from the bucket of 1."""
_CODES = 18


class Quantiles:
    """How many values of each slot are in each bucket."""

    def __init__(self) -> None:
        self._codes = np.zeros(0, np.int64)
        self._counts = np.zeros(0, np.int64)
        self._waiting: list[Numbers] = []
        self._waits = 0

    def add(self, slots: Numbers, values: npt.NDArray[np.float64]) -> None:
        """Add values, each to its slot; a NaN is skipped."""
        known = ~np.isnan(values)
        if not known.all():
            slots, values = slots[known], values[known]
        with np.errstate(divide="ignore"):
            far = np.ceil(np.log(np.abs(values)) / _GROWTH)
        bucket = 1 + _FAR + np.clip(far, -_FAR, _FAR).astype(np.int64)
        code = _ZERO + np.where(values == 0, 0, np.where(values > 0, bucket, -bucket))
        self._waiting.append((slots << _CODES) | code)
        self._waits += len(code)
        if self._waits > max(65_536, len(self._codes)):
            self._settle()

    def _settle(self) -> None:
        if not self._waiting:
            return
        codes = np.concatenate([self._codes, *self._waiting])
        counts = np.concatenate([self._counts, np.ones(self._waits, np.int64)])
        self._waiting, self._waits = [], 0
        order = np.argsort(codes, kind="stable")
        codes = codes[order]
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        self._codes = codes[starts]
        self._counts = np.add.reduceat(counts[order], starts) if len(starts) else self._counts[:0]

    def at(self, slots: Numbers, share: float) -> npt.NDArray[np.float64]:
        """Return a quantile of some slots; NaN where a slot has no values."""
        self._settle()
        first = np.searchsorted(self._codes, slots << _CODES)
        last = np.searchsorted(self._codes, (slots + 1) << _CODES)
        sums = np.concatenate([[0], np.cumsum(self._counts)])
        totals = sums[last] - sums[first]
        rank = sums[first] + np.floor(share * (totals - 1)).astype(np.int64)
        if not len(self._codes):
            return np.full(len(slots), np.nan)
        places = np.minimum(np.searchsorted(sums[1:], rank, side="right"), len(self._codes) - 1)
        code = (self._codes[places] & ((1 << _CODES) - 1)) - _ZERO
        with np.errstate(over="ignore"):
            size = np.exp((np.abs(code) - 1 - _FAR) * _GROWTH) * 0.99  # in the middle of a bucket, by ratio
        # The middle of the last bucket of finite numbers is beyond them; infinity has a bucket of its own.
        size = np.where(np.abs(code) < 1 + 2 * _FAR, np.minimum(size, np.finfo(np.float64).max), size)
        value = np.where(code == 0, 0.0, np.sign(code) * size)
        return np.where(totals > 0, value, np.nan)

    def dump(self, slots: Numbers) -> list[list[int]]:
        """Return the buckets of some slots, which are numbered from 0 on."""
        self._settle()
        first = np.searchsorted(self._codes, slots << _CODES)
        last = np.searchsorted(self._codes, (slots + 1) << _CODES)
        mask = (1 << _CODES) - 1
        columns: list[list[int]] = [[], [], []]
        for slot, (a, b) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
            columns[0] += [slot] * (b - a)
            columns[1] += (self._codes[a:b] & mask).tolist()
            columns[2] += self._counts[a:b].tolist()
        return columns

    def load(self, state: Any, size: int) -> None:
        """Restore what `dump` returned."""
        slots, codes, counts = (np.array(column, np.int64) for column in state)
        if not len(slots) == len(codes) == len(counts) or slots.ndim != 1 or codes.ndim != 1 or counts.ndim != 1:
            raise ValueError("buckets of several lengths")
        if len(slots) and not (slots.min() >= 0 and slots.max() < size):
            raise ValueError("buckets of no group")
        if len(codes) and not (codes.min() >= 0 and codes.max() < 1 << _CODES):
            raise ValueError("no such bucket")
        self._codes, self._counts = (slots << _CODES) | codes, counts
        self._waiting, self._waits = [], 0
        order = np.argsort(self._codes, kind="stable")
        self._codes, self._counts = self._codes[order], self._counts[order]
