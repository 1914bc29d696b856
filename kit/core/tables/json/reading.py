"""Lines of JSON read by Arrow; and the few lines that it refuses, found without reading the others one by one.

Arrow refuses a whole block for one line that does not fit. Its error names a row, or the text that it could not take.
That is a hint and no more: an empty object takes the line's place, what is left of the block is read again, and the
line is looked at by itself. Where a hint was wrong the block is refused again, and the caller has slower ways.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.json

THREADS_FROM = 5 * 512 * 1024
_WINDOW = 1024
"""Lines that are read at once, at first: what is before a line that does not fit is read again with it set apart."""
_LEAST, _WIDEST = 64, 8192
"""The fewest and most lines in a window, where the lines that do not fit are close together, or far apart."""
_TRIES = 4
"""If this number of lines do not fit, a window ends at the last of them."""
_ONE_IN = 64
"""If more than one line in this number is refused, refusals are not the exception."""
_BEGINS: Sequence[tuple[Callable[[pa.DataType], bool], bytes]] = (
    (pa.types.is_integer, rb"(?:-?\d+|null)\s*[,}]"),
    (pa.types.is_floating, rb"[-\dn]"),
    (pa.types.is_boolean, rb"[tfn]"),
    (pa.types.is_string, rb'["n]'),
    (pa.types.is_list, rb"[\[n]"),
    (pa.types.is_struct, rb"[{n]"),
)
_ROW = re.compile(r"(?:in row|string index) (\d+)")
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
            block_size=(buffer.size // 2 if buffer.size > THREADS_FROM else buffer.size) + 1,
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

    def without(self, numbers: Sequence[int], first: int = 0, stop: int | None = None) -> pa.Buffer:
        """Return the lines from `first` to `stop`, with an empty object in the place of each of these, which are in
        order."""
        at, end = self.start(first), self.buffer.size if stop in (None, len(self)) else self.start(stop)
        if not numbers:
            return self.buffer.slice(at, end - at)
        parts: list[bytes | memoryview] = []
        for number in numbers:
            parts += (self._view[at : self.start(number)], b"{}")
            at = int(self._ends[number])
        parts.append(self._view[at:end])
        return pa.py_buffer(b"".join(parts))


def other_than(name: str, kind: pa.DataType) -> re.Pattern[bytes] | None:
    """Return what finds the values of a key that begin as none of this kind does; None for kinds without such a sign.

    >>> [match[0] for match in other_than("n", pa.int64()).finditer(b'{"n":1} {"n": "one"} {"n":null} {"n" :2.5}')]
    [b'"n":', b'"n" :']
    """
    begins = next((begins for test, begins in _BEGINS if test(kind)), None)
    if begins is None:
        return None
    key = json.dumps(name, ensure_ascii=False).encode(errors="surrogatepass")
    return re.compile(re.escape(key) + rb"\s*:(?!\s*(?:" + begins + rb"))")


def most_apart(lines: Lines) -> int:
    """Return how many lines may be set apart before another way is quicker."""
    return len(lines) // _ONE_IN + 1


def read_most(lines: Lines, types: Mapping[str, pa.DataType]) -> tuple[list[int], pa.Table] | None:
    """Return the numbers of the lines that do not fit the types, and a table of the others, which has nulls in their
    places; None where they are many, or where Arrow does not tell which they are."""
    numbers: list[int] = []
    tables: list[pa.Table] = []
    most = most_apart(lines)
    at, window = 0, _WINDOW
    while at < len(lines):
        # One block of Arrow's at most: its rows are counted from the beginning of a block.
        stop = min(at + window, max(at + 1, lines.at(lines.start(at) + THREADS_FROM)), len(lines))
        apart: list[int] = []
        while True:
            part = lines.without(apart, at, stop)
            if not begins_like_an_object(part):
                return None
            try:
                table = read(part, types)
                break
            except pa.ArrowInvalid as error:
                number = _hinted(str(error), at, part)
            if number is None or not at <= number < stop or number in apart or len(numbers) + len(apart) == most:
                return None
            apart = sorted([*apart, number])
            if len(apart) == _TRIES:
                stop = apart[-1] + 1
        if table.num_rows != stop - at:
            return None
        tables.append(table)
        numbers += apart
        at = stop
        # Each line that is set apart costs reading its window once more.
        window = max(_LEAST, window // 2) if len(apart) > 1 else window if apart else min(_WIDEST, 2 * window)
    return numbers, pa.concat_tables(tables).combine_chunks()


def _hinted(message: str, first: int, part: pa.Buffer) -> int | None:
    """Return the line that an error of Arrow's is about, in a part that begins with line `first`."""
    if row := _ROW.search(message):
        return first + int(row[1])
    if text := _TEXT.search(message):
        octets = bytes(part)
        place = octets.find(text[1].encode())
        return first + octets.count(b"\n", 0, place) if place >= 0 else None
    return None
