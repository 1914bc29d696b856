"""Values of SQL: parameters, cells, and the rows of a result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, overload

from ..errors import KimberliteInputError, WireError
from ..types import MAX_I64, Timestamp, Value
from .protocol.postcard import Kind, Reader, cut_off, varint, whole, write_text, zigzag

NULL, BIGINT, TEXT, BOOLEAN, TIMESTAMP = range(5)
"""The variants of a value on the wire: there are no floats, bytes, decimals or dates."""


def write_value(out: bytearray, value: Any) -> None:
    """Add a value. A `datetime` is taken as a timestamp; a float is refused, as the protocol has none."""
    if value is None:
        out.append(NULL)
    elif isinstance(value, bool):
        out.append(BOOLEAN)
        out.append(value)
    elif isinstance(value, str):
        out.append(TEXT)
        write_text(out, value)
    elif isinstance(value, Timestamp):
        out.append(TIMESTAMP)
        out += varint(zigzag(value.nanoseconds))
    elif isinstance(value, datetime):
        write_value(out, Timestamp.of(value))
    elif hasattr(value, "__index__"):
        out.append(BIGINT)
        out += varint(zigzag(whole(value, -MAX_I64 - 1, MAX_I64)))
    else:
        raise KimberliteInputError(
            f"a value of SQL must be None, bool, int, str, Timestamp or datetime, not {type(value).__name__}",
            hint="the protocol has no other types: give a float or a Decimal as str(...), or as a literal in the SQL",
        )


def read_value(reader: Reader) -> Value:
    """Return the value that stands there."""
    start = reader.at
    tag = reader.varint(32)
    if tag == BIGINT:
        return reader.signed()
    if tag == TEXT:
        return reader.text()
    if tag == NULL:
        return None
    if tag == BOOLEAN:
        return reader.flag()
    if tag == TIMESTAMP:
        return Timestamp(reader.signed())
    raise WireError(f"there is no value of kind {tag} (byte {start})")


VALUE = Kind("value", write_value, read_value, 1)


class Rows(Sequence[tuple[Value, ...]]):
    """The rows of a result, each made into a tuple when it is asked for.

    >>> rows = Rows.of([(1, "a"), (2, None)])
    >>> rows[1], len(rows), rows == [(1, "a"), (2, None)]
    ((2, None), 2, True)
    """

    __slots__ = ("_cells", "_count", "_width")

    def __init__(self, cells: list[Value], width: int, count: int) -> None:
        self._cells, self._width, self._count = cells, width, count

    @classmethod
    def of(cls, rows: Iterable[Sequence[Value]]) -> Rows:
        """Make rows that are all of one width."""
        if isinstance(rows, Rows):
            return rows
        items = list(rows)
        width = len(items[0]) if items else 0
        if any(len(row) != width for row in items):
            raise KimberliteInputError("all rows of a result must have the same width")
        return cls([cell for row in items for cell in row], width, len(items))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> tuple[Value, ...]: ...
    @overload
    def __getitem__(self, at: slice) -> list[tuple[Value, ...]]: ...
    def __getitem__(self, at: int | slice) -> tuple[Value, ...] | list[tuple[Value, ...]]:
        if isinstance(at, slice):
            return [self[n] for n in range(*at.indices(self._count))]
        n = at + self._count if at < 0 else at
        if not 0 <= n < self._count:
            raise IndexError(at)
        return tuple(self._cells[n * self._width : (n + 1) * self._width])

    def __iter__(self) -> Iterator[tuple[Value, ...]]:
        return (self[n] for n in range(self._count))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Rows):
            return self._count == other._count and self._cells == other._cells
        return [*self] == [tuple(row) for row in other] if isinstance(other, list | tuple) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self._count:,} rows of {self._width}>"


def write_rows(out: bytearray, value: Any) -> None:
    """Add rows, each with its width before it."""
    rows = Rows.of(value)
    out += varint(len(rows))
    for row in rows:
        out += varint(len(row))
        for cell in row:
            write_value(out, cell)


def read_rows(reader: Reader) -> Rows:
    """Return the rows; all must be as wide as the first."""
    start = reader.at
    count = reader.count()
    cells = list[Value]()
    width = -1
    for _ in range(count):
        at = reader.at
        wide = reader.count()
        if wide != width:
            if width >= 0:
                raise WireError(f"a row of {wide} cells at byte {at} is among rows of {width}")
            width = wide
            if count * (width + 1) > len(reader.data) - start:
                raise cut_off(start, f"{count:,} rows are stated at byte {start}, but the message ends before them")
        for _ in range(width):
            cells.append(read_value(reader))
    return Rows(cells, max(width, 0), count)


ROWS = Kind("[[value]]", write_rows, read_rows, 1)
