"""Lines of JSON read by Arrow; and the few lines that it refuses, found without reading the others one by one.

Arrow refuses a whole block for one line that does not fit. Its error names a row, or the text that it could not take.
That is a hint and no more: the line is looked at by itself, an empty object takes its place, and what is left is read
again. Where a hint was wrong the block is refused again, and the caller has slower ways.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.json

THREADS_FROM = 4 * 1024 * 1024
_WINDOW = 1024
"""Lines that are checked at once, as Arrow copies its whole input before it reads the first line."""
_LEAST = 64
"""The fewest lines in a window, where the lines that do not fit are close together."""
_ONE_IN = 64
"""If more than one line in this number is refused, refusals are not the exception."""
_ROW = re.compile(r"(?:in row|string index) (\d+)")
_COLUMN = re.compile(r"Column\(/([^/)]+)")
_TEXT = re.compile(r"couldn't parse:(.+)", re.DOTALL)


def read(buffer: pa.Buffer, types: Mapping[str, pa.DataType], *, others: bool = False) -> pa.Table:
    """Return lines of JSON objects as a table; `pa.ArrowInvalid` where they do not fit the types.

    With `others` the objects may hold other keys, which are left aside.
    """
    table = pa.json.read_json(
        pa.BufferReader(buffer),
        read_options=pa.json.ReadOptions(
            # A small buffer is read faster in one go than handed to threads.
            use_threads=buffer.size > THREADS_FROM,
            block_size=max(THREADS_FROM, buffer.size // 2) + 1,
        ),
        parse_options=pa.json.ParseOptions(
            explicit_schema=pa.schema(list(types.items())),
            unexpected_field_behavior="ignore" if others else "error",
        ),
    )
    # The reader copies strings without looking at their encoding.
    table.validate(full=True)
    return table


def begins_like_an_object(buffer: pa.Buffer) -> bool:
    """Return whether Arrow may read it: its reader ends the whole process where the first of its lines is a null."""
    return bytes(memoryview(buffer)[:64]).lstrip().startswith(b"{")


class Lines:
    """The lines of a buffer, by number."""

    def __init__(self, buffer: pa.Buffer) -> None:
        self.buffer = buffer
        self._view = memoryview(buffer)
        ends = np.flatnonzero(np.frombuffer(buffer, np.uint8) == 10)
        if buffer.size and (not len(ends) or ends[-1] != buffer.size - 1):
            ends = np.append(ends, buffer.size)
        self._ends: npt.NDArray[np.int64] = ends
        """Where each line ends; its line end is not a part of it."""

    def __len__(self) -> int:
        return len(self._ends)

    def start(self, number: int) -> int:
        return int(self._ends[number - 1]) + 1 if number else 0

    def __getitem__(self, number: int) -> bytes:
        return bytes(self._view[self.start(number) : int(self._ends[number])])

    def at(self, place: int) -> int:
        """Return the number of the line that a byte belongs to."""
        return int(np.searchsorted(self._ends, place))

    def without(self, numbers: Sequence[int]) -> pa.Buffer:
        """Return the same with an empty object in the place of each of these lines, which are in order."""
        parts: list[bytes | memoryview] = []
        at = 0
        for number in numbers:
            parts += (self._view[at : self.start(number)], b"{}")
            at = int(self._ends[number])
        parts.append(self._view[at:])
        return pa.py_buffer(b"".join(parts))


def refused(lines: Lines, types: Mapping[str, pa.DataType], *, others: bool = False) -> list[int] | None:
    """Return the numbers of the lines that do not fit the types, as far as Arrow tells; None where they are many, or
    where it does not tell."""
    numbers: list[int] = []
    most = len(lines) // _ONE_IN + 1
    at, window = 0, _WINDOW
    while at < len(lines):
        stop = min(at + window, len(lines))
        start = lines.start(at)
        part = lines.buffer.slice(start, (lines.start(stop) if stop < len(lines) else lines.buffer.size) - start)
        if not begins_like_an_object(part):
            return None
        try:
            read(part, types, others=others)
        except pa.ArrowInvalid as error:
            number = _hinted(str(error), lines, at, start, part)
            if number is None or not at <= number < stop or len(numbers) == most:
                return None
            numbers.append(number)
            # A number that is too large is refused only after all of the window was read.
            window = min(_WINDOW, max(_LEAST, 4 * (number - at)))
            at = number + 1
        else:
            at, window = stop, min(_WINDOW, 2 * window)
    return numbers


def _hinted(message: str, lines: Lines, first: int, start: int, part: pa.Buffer) -> int | None:
    """Return the line that an error of Arrow's is about."""
    if row := _ROW.search(message):
        return first + int(row[1])
    if text := _TEXT.search(message):
        place = bytes(part).find(text[1].encode())
        return lines.at(start + place) if place >= 0 else None
    return None
