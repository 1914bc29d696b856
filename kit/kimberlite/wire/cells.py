"""The cells of a result, found on the wire for all rows at once and read column by column."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import WireError
from ..types import Timestamp
from .protocol.postcard import Reader
from .values import BIGINT, BOOLEAN, NULL, TEXT, TIMESTAMP

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

_WINDOW = 512 * 1024
"""Bytes that are followed at once, so that the arrays for it stay in the processor's cache."""
_BEHIND = 32


def scan(reader: Reader, width: int) -> tuple[Ints, int] | None:
    """Return where each cell begins, a row of places for each column; None where something is unusual, or wrong.

    A row begins with the number of its cells. Every byte that might be such a number is followed through its row, all
    of them at once; then from the first row each leads to the next. What began no row is left out by that.
    """
    count = reader.count(width + 1)
    if width > 127:
        return None
    data = np.frombuffer(reader.data, np.uint8)
    # The padding behind the end is not a valid kind of cell, and no width.
    data = np.append(data, np.full(_BEHIND, 255, np.uint8))
    at, left, windows = reader.at, count, list[Ints]()
    while left:
        starts = at + np.flatnonzero(data[at : at + _WINDOW] == width)
        cells, ends = _followed(data, starts, width)
        if not len(starts) or starts[0] != at:
            return None
        chain, at = _chain(starts, ends, left)
        if at < 0:
            return None
        windows.append(cells[:, chain])
        left -= len(chain)
    reader.at = at
    return np.concatenate(windows, axis=1) if windows else np.empty((width, 0), np.int64), count


def _followed(data: Bytes, starts: Ints, width: int) -> tuple[Ints, Ints]:
    """Return where the cells of rows begin that begin at these positions, and where the rows end; -1 for what is no
    row."""
    behind = len(data) - _BEHIND
    cells = np.empty((width, len(starts)), np.int64)
    wrong = np.zeros(len(starts), np.bool_)
    at = starts + 1
    for n in range(width):
        cells[n] = at
        tags = data[at]
        wrong |= tags > TIMESTAMP
        at = at + np.where(tags == BOOLEAN, 2, 1)
        matching = np.flatnonzero((tags == BIGINT) | (tags == TIMESTAMP))
        at[matching] = _ends(data, at[matching])
        matching = np.flatnonzero(tags == TEXT)
        sizes, ends, good = _varints(data, at[matching])
        good &= sizes <= np.uint64(behind)
        wrong[matching[~good]] = True
        at[matching] = ends + np.where(good, sizes, 0).astype(np.int64)
        wrong |= at > behind
        at[wrong] = behind
    at[wrong] = -1
    return cells, at


def _chain(starts: Ints, ends: Ints, most: int) -> tuple[Ints, int]:
    """Return which of the positions are starts of rows, as the first is, and where the last of those rows ends."""
    follow = np.searchsorted(starts, ends)
    follow[starts[np.minimum(follow, len(starts) - 1)] != ends] = len(starts)
    chain, n, after, size = array("q"), 0, follow.tolist(), len(starts)
    append = chain.append
    while n < size and most:
        append(n)
        most -= 1
        n = after[n]
    rows = np.frombuffer(chain, np.int64)
    last = int(ends[rows[-1]])
    return rows, -1 if (ends[rows] < 0).any() else last


class Cells:
    """A column of a result that is not an Arrow column yet."""

    tags: Bytes

    def integers(self) -> Ints:
        """Return the numbers of BIGINT and TIMESTAMP cells; 0 for others."""
        raise NotImplementedError

    def texts(self) -> pa.Array:
        """Return the contents of TEXT cells; empty for others."""
        raise NotImplementedError

    def booleans(self) -> npt.NDArray[np.bool_]:
        """Return the BOOLEAN cells; False for others."""
        raise NotImplementedError


class WireCells(Cells):
    """Cells in their wire form."""

    def __init__(self, payload: bytes, data: Bytes, places: Ints) -> None:
        self._payload, self._data, self._places = payload, data, places
        self.tags = data[places]

    def integers(self) -> Ints:
        matching = (self.tags == BIGINT) | (self.tags == TIMESTAMP)
        values, _ = _numbers(self._data, self._places[matching] + 1)
        plain = (values >> np.uint64(1)).astype(np.int64) ^ -(values & np.uint64(1)).astype(np.int64)
        if matching.all():
            return plain
        numbers = np.zeros(len(matching), np.int64)
        numbers[matching] = plain
        return numbers

    def texts(self) -> pa.Array:
        count = len(self.tags)
        starts, stops = self._places.copy(), self._places.copy()
        matching = self.tags == TEXT
        sizes, begins = _numbers(self._data, self._places[matching] + 1)
        starts[matching] = begins
        stops[matching] = begins + sizes.astype(np.int64)
        # Text, gap, text, gap: every second entry is a cell.
        bounds = np.empty(2 * count, np.int64)
        bounds[::2], bounds[1::2] = starts, stops
        kind = pa.large_binary()
        pieces = pa.Array.from_buffers(kind, 2 * count - 1, [None, pa.py_buffer(bounds), pa.py_buffer(self._payload)])
        return _utf8(pieces.take(pa.array(np.arange(0, 2 * count, 2))).cast(pa.binary()))

    def booleans(self) -> npt.NDArray[np.bool_]:
        matching: npt.NDArray[np.bool_] = self.tags == BOOLEAN
        bits = self._data[self._places[matching] + 1]
        if (bits > 1).any():
            raise WireError("a flag is neither 0 nor 1")
        matching[matching] = bits == 1
        return matching


class ObjectCells(Cells):
    """Cells as objects, for an unusual wire form."""

    def __init__(self, values: list[Any]) -> None:
        self._values = values
        self.tags = np.array([_tag(value) for value in values], np.uint8)

    def integers(self) -> Ints:
        plain = [value.nanoseconds if isinstance(value, Timestamp) else value for value in self._values]
        return np.array([value if type(value) is int else 0 for value in plain], np.int64)

    def texts(self) -> pa.Array:
        return pa.array([value if isinstance(value, str) else "" for value in self._values], pa.string())

    def booleans(self) -> npt.NDArray[np.bool_]:
        return np.array([value is True for value in self._values], np.bool_)


def _tag(value: Any) -> int:
    if value is None:
        return NULL
    kinds = {bool: BOOLEAN, int: BIGINT, str: TEXT, Timestamp: TIMESTAMP}
    return kinds[type(value)]


def _varints(data: Bytes, at: Ints) -> tuple[Words, Ints, npt.NDArray[np.bool_]]:
    """Return the numbers that begin at these places, where they end, and whether they are numbers of 64 bits."""
    seven, high = np.uint64(127), np.uint8(127)
    first = data[at]
    values = first.astype(np.uint64) & seven
    ends = at + 1
    good = np.ones(len(at), np.bool_)
    open_ = np.flatnonzero(first > high)
    for n in range(1, 10):
        if not len(open_):
            break
        byte = data[at[open_] + n]
        if n == 9:
            good[open_[byte > 1]] = False
        values[open_] |= (byte.astype(np.uint64) & seven) << np.uint64(7 * n)
        ends[open_] += 1
        open_ = open_[byte > high]
    return values, ends, good


def _numbers(data: Bytes, at: Ints) -> tuple[Words, Ints]:
    """Return the numbers that begin at these places, and where they end."""
    values, ends, good = _varints(data, at)
    if not good.all():
        raise WireError("a number has more than 64 bits")
    return values, ends


def _ends(data: Bytes, at: Ints) -> Ints:
    """Return where the numbers end that begin at these places."""
    ends, open_ = at + 1, np.flatnonzero(data[at] > 127)
    for _ in range(_BEHIND - 2):
        if not len(open_):
            break
        byte = data[ends[open_]]
        ends[open_] += 1
        open_ = open_[byte > 127]
    return ends


def _utf8(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        raise WireError("a text is not UTF-8") from None
