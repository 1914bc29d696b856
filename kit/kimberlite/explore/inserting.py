"""Rows of a table as INSERT statements, each value in the one form that its column takes exactly.

    whole numbers         integers, and floats that are whole, within the range of the column's type
    REAL                  whole numbers up to 2**53; others as text, which only the lab takes
    DECIMAL(p, s)         decimals and integers with no more digits than declared, as text
    TEXT, UUID            texts; UUIDs
    BOOLEAN               booleans
    DATE, TIME            dates, times of day
    TIMESTAMP             times with a zone; before 1970 only the lab keeps them
    BYTES, JSON           bytes; JSON text, lists and dicts: only the lab can receive them

A server that is not the lab checks little of this itself: it accepts a value of the wrong type and can then never read
the row again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa

from ...core.tables.encode import table_of
from ...core.tables.json.scalars import Refused, json_text, json_value, shown
from ...core.words import nearest
from ..client.sql import cell_of, quoted
from ..errors import KimberliteInputError
from ..types import Timestamp
from ..wire.protocol.structs import ColumnInfo
from ..wire.sqltypes import Type, digits_of, type_of

_ROWS = 500
_BYTES = 1024 * 1024
"""About the largest number of bytes in one statement; `_ROWS` is that of rows."""
_PARAMS = 16_000
"""The largest number of parameters in one statement; the lab takes twice as many."""
_BITS = {"TINYINT": 8, "SMALLINT": 16, "INT2": 16, "INTEGER": 32, "INT": 32, "INT4": 32}
_EXACT = 2**53
_LARGEST = int(sys.float_info.max)
_FLOAT_DIGITS = 15
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass
class Statement:
    """One INSERT of some rows."""

    sql: str
    params: list[Any] = field(default_factory=list)
    rows: int = 0


def statements(name: str, declared: Sequence[ColumnInfo], data: Any, *, lab: bool) -> list[Statement]:
    """Return the statements that insert a table's rows; whatever a column cannot hold is refused here."""
    names, columns, rows = _columns(data)
    by_name = {one.name: one for one in declared}
    for column in names:
        if column not in by_name:
            hint = nearest(column, by_name) or f"it has {', '.join(by_name)}"
            raise KimberliteInputError(f"the table {name!r} has no column {column!r}", hint=hint)
    lacking = [one.name for one in declared if one.name not in names and not one.nullable]
    if lacking:
        raise KimberliteInputError(f"the column {lacking[0]!r} of {name!r} needs values, but the data has none")
    cells = [_cells(column, by_name[one], lab) for one, column in zip(names, columns, strict=True)]
    # Always quoted: a name may be a keyword of SQL.
    listed = ", ".join('"' + one.replace('"', '""') + '"' for one in names)
    head = f"INSERT INTO {quoted(name)} ({listed}) VALUES "  # noqa: S608
    return list(_statements(head, cells, rows))


def _statements(head: str, cells: list[list[Any]], rows: int) -> Iterator[Statement]:
    texts, made, size = list[str](), Statement(""), 0
    for n in range(rows):
        places = []
        for column in cells:
            cell = column[n]
            if isinstance(cell, bytes):
                places.append(f"X'{cell.hex()}'")  # the protocol has no bytes, but the lab's SQL does
                continue
            made.params.append(cell)
            size += len(cell) if isinstance(cell, str) else 8
            places.append(f"${len(made.params)}")
        texts.append(f"({', '.join(places)})")
        size += len(texts[-1])
        made.rows += 1
        full = made.rows == _ROWS or size > _BYTES or len(made.params) + len(cells) > _PARAMS
        if full or n == rows - 1:
            made.sql = head + ", ".join(texts)
            yield made
            texts, made, size = [], Statement(""), 0


def _columns(data: Any) -> tuple[list[str], list[Any], int]:
    """Return names, columns and the number of rows of a table, or of dicts."""
    table = table_of(data, KimberliteInputError)
    if table is not None:
        return table.names, table.columns, table.rows
    rows = [data] if isinstance(data, Mapping) else data
    if not isinstance(rows, list | tuple) or not all(isinstance(row, Mapping) for row in rows):
        raise KimberliteInputError(
            f"{type(data).__name__} cannot be inserted",
            hint="give a DataFrame, an Arrow table, or dicts, one or a list",
        )
    names = list(dict.fromkeys(name for row in rows for name in row))
    odd = [name for name in names if not isinstance(name, str)]
    if odd:
        raise KimberliteInputError(f"a column is called {odd[0]!r}, but names of columns must be text")
    return names, [[row.get(name) for row in rows] for name in names], len(rows)


def _cells(column: Any, declared: ColumnInfo, lab: bool) -> list[Any]:
    """Return the column's values as parameters."""
    kind = type_of(declared.data_type)
    made = _MAKERS[kind](declared.data_type, lab) if kind is not None else _text(declared.data_type, lab)
    cells = []
    for row, value in enumerate(_values(column)):
        value = cell_of(value)
        try:
            if isinstance(value, _Unknown):
                raise Refused(value.why)
            if value is None and not declared.nullable:
                raise Refused("a value is missing, but the column needs one")
            cells.append(None if value is None else made(value))
        except Refused as error:
            raise KimberliteInputError(
                f"row {row}, column {declared.name!r} ({declared.data_type}): {error}", hint=error.hint
            ) from None
    return cells


def _values(column: Any) -> list[Any]:
    """Return a column's values, none with fewer digits than it has."""
    if type(getattr(column, "dtype", None)).__name__ == "ArrowDtype":
        made = pa.array(column.array)
        column = made if isinstance(made, pa.ChunkedArray) else pa.chunked_array([made])
    if isinstance(column, pa.ChunkedArray):
        if pa.types.is_time64(column.type) and column.type.unit == "ns":
            return [None if n is None else _Nanoseconds(n) for n in column.cast(pa.int64()).to_pylist()]
        try:
            return list(column.to_pylist(maps_as_pydicts="strict"))
        except (OverflowError, ValueError, KeyError):
            return [_plain(value) for value in column]
    if isinstance(column, list):
        return column
    return list(column.array)


@dataclass(frozen=True)
class _Nanoseconds:
    """A time of day in nanoseconds, finer than Python's."""

    count: int


@dataclass(frozen=True)
class _Unknown:
    """A value that Python has no form for, and why."""

    why: str


def _plain(value: pa.Scalar) -> Any:
    try:
        return value.as_py(maps_as_pydicts="strict")
    except KeyError:
        return _Unknown("two keys of the map are the same")
    except (OverflowError, ValueError):
        return _Unknown(f"a time is outside the years 1 to 9999, or {value.type} has no form in Python")


_Make = Callable[[Any], Any]


def _wrong(value: Any, expected: str, hint: str | None = None) -> Refused:
    return Refused(f"{shown(value)} is a {type(value).__name__}, not {expected}", hint)


def _integer(declared: str, lab: bool) -> _Make:
    bits = _BITS.get(declared.split("(")[0].strip().upper(), 64)

    def make(value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # pandas' integers with missing values
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong(value, "a whole number")
        if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise Refused(f"{shown(value)} does not fit into {bits} bits")
        return int(value)

    return make


def _real(declared: str, lab: bool) -> _Make:
    def make(value: Any) -> int | str:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong(value, "a number")
        if value in (float("inf"), float("-inf")):
            raise Refused("the number is not finite", "replace it, for example by None")
        if isinstance(value, int) and (abs(value) > _LARGEST or int(float(value)) != value):
            raise Refused(f"{shown(value)} has more digits than a REAL", "declare the column DECIMAL or TEXT")
        if float(value).is_integer() and abs(value) <= _EXACT and str(value)[0:2] != "-0":
            return int(value)
        if not lab:
            raise Refused(
                f"this server cannot store {value!r} in a REAL",
                "declare the column DECIMAL, or TEXT for all digits",
            )
        return repr(float(value))

    return make


def _decimal(declared: str, lab: bool) -> _Make:
    digits = digits_of(declared)

    def make(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise _wrong(value, "a decimal", "give Decimal(...): a float has other digits than those it prints")
        number = Decimal(value)
        if not number.is_finite():
            raise Refused("the number is not finite", "replace it, for example by None")
        text = format(number, "f")
        whole, _, part = text.lstrip("-").partition(".")
        whole, part = whole.lstrip("0"), part.rstrip("0")
        if digits is not None and (len(part) > digits[1] or len(whole) > digits[0] - digits[1]):
            raise Refused(f"{text} has more digits than {declared} holds")
        if not lab and len((whole + part).strip("0")) > _FLOAT_DIGITS:
            raise Refused(f"{text} has more than {_FLOAT_DIGITS} digits, which this server would round", "declare TEXT")
        return text

    return make


def _text(declared: str, lab: bool) -> _Make:
    word = declared.split("(")[0].strip().upper()

    def text(value: Any) -> str:
        if not isinstance(value, str):
            raise _wrong(value, "a text", "give str(...) of it")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Refused(f"{shown(value)} contains half of a character, which UTF-8 cannot encode") from None
        return str(value)

    def uuid(value: Any) -> str:
        if isinstance(value, bytes) and len(value) == 16:
            value = UUID(bytes=value)
        try:
            return str(value if isinstance(value, UUID) else UUID(text(value)))
        except ValueError:
            raise _wrong(value, "a UUID") from None

    def as_json(value: Any) -> Any:
        if isinstance(value, bool | int):
            try:
                return value if not lab else json.dumps(value)
            except ValueError:  # Python writes some thousand digits at most
                raise Refused("the number has too many digits", "give its text") from None
        if not lab:
            raise Refused("this server would store a text instead", "declare the column TEXT")
        if isinstance(value, str):
            try:
                json_value(text(value))
            except (ValueError, RecursionError):
                raise Refused(f"{shown(value)} is not JSON text", "give json.dumps(...) of it") from None
            return str(value)
        if not isinstance(value, float | Mapping | list | tuple):
            raise _wrong(value, "JSON", "give json.dumps(...) of it")
        return json_text(value).decode()

    return uuid if word == "UUID" else as_json if word in ("JSON", "JSONB") else text


def _boolean(declared: str, lab: bool) -> _Make:
    def make(value: Any) -> bool:
        if not isinstance(value, bool):
            raise _wrong(value, "a boolean")
        return value

    return make


def _bytes(declared: str, lab: bool) -> _Make:
    def make(value: Any) -> bytes:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise _wrong(value, "bytes")
        if not lab:
            raise Refused("this server cannot receive bytes", "give base64 text, in a column declared TEXT")
        return bytes(value)

    return make


def _date(declared: str, lab: bool) -> _Make:
    def make(value: Any) -> int:
        if isinstance(value, datetime) and value.tzinfo is None and value.time() == time() and not _finer(value):
            try:
                value = value.date()  # pandas' dates
            except NotImplementedError:
                raise Refused(f"{value} is outside the years 1 to 9999") from None
        if not isinstance(value, date) or isinstance(value, datetime):
            raise _wrong(value, "a date")
        return value.toordinal() - _EPOCH

    return make


def _finer(value: Any) -> bool:
    return bool(getattr(value, "nanosecond", 0))


def _time(declared: str, lab: bool) -> _Make:
    def make(value: Any) -> int:
        if isinstance(value, _Nanoseconds):
            return value.count
        if not isinstance(value, time) or value.tzinfo is not None:
            raise _wrong(value, "a time of day without a zone")
        seconds = (value.hour * 60 + value.minute) * 60 + value.second
        return seconds * 10**9 + value.microsecond * 1000

    return make


def _timestamp(declared: str, lab: bool) -> _Make:
    def make(value: Any) -> Timestamp:
        if isinstance(value, Timestamp):
            stamp = value
        elif not isinstance(value, datetime):
            raise _wrong(value, "a time")
        elif value.tzinfo is None:
            raise Refused(f"{shown(value)} has no time zone", 'give it one: df["at"].dt.tz_localize("UTC")')
        else:
            try:
                stamp = Timestamp.of(value)
            except KimberliteInputError:
                raise Refused(f"{shown(value)} is outside the years that 64 bits of nanoseconds can hold") from None
        if stamp.nanoseconds < 0 and not lab:
            raise Refused(f"{value!r} is before 1970, which this server stores as 1970-01-01", "declare TEXT")
        return stamp

    return make


_MAKERS: Mapping[Type, Callable[[str, bool], _Make]] = {
    Type.INTEGER: _integer,
    Type.REAL: _real,
    Type.DECIMAL: _decimal,
    Type.TEXT: _text,
    Type.BYTES: _bytes,
    Type.BOOLEAN: _boolean,
    Type.DATE: _date,
    Type.TIME: _time,
    Type.TIMESTAMP: _timestamp,
}
