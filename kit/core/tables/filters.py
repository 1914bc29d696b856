"""Filters of rows: `column=value`, a function of the columns, or the text of a view's filter box."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import InputError
from ..words import is_slip, nearest
from .frames import to_frame
from .moments import PER_SECOND

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Test:
    """A filter for rows of a table; `columns` are those that it names."""

    run: Callable[[pa.Table], Mask]
    columns: tuple[str, ...] = ()
    bounds: tuple[tuple[str, str, Any], ...] = ()
    """Comparisons (column, sign, value) that each matching row meets; they rule out rows without looking at them."""

    def __call__(self, table: pa.Table) -> Mask:
        return self.run(table)

    def missing(self, names: Collection[str]) -> InputError | None:
        """Return the error for a missing column; None if all exist."""
        lacking = next((name for name in self.columns if name not in names), None)
        return None if lacking is None else never_had(lacking, names)


def never_had(name: str, names: Collection[str]) -> InputError:
    """Return the error for a column that does not exist."""
    shown = ", ".join(list(names)[:20])
    return InputError(f"no record so far has a column {name!r}", hint=nearest(name, names) or f"there are {shown}")


_COMPARISON = re.compile(r"\s*([^\s=<>!]+)\s*(!=|>=|<=|==|=|>|<)\s*(.*?)\s*")
_SIGNS = re.compile(r"[=<>!]")
_EXACT: Mapping[Any, Callable[[Any, Any], bool]] = {
    pc.equal: operator.eq,
    pc.greater: operator.gt,
    pc.less: operator.lt,
    pc.greater_equal: operator.ge,
    pc.less_equal: operator.le,
}
_COUNT = pa.decimal128(38, 0)
"""The type of nanoseconds since 1970 that are more than 64 bits."""
_FUNCTIONS = {">": pc.greater, "<": pc.less, ">=": pc.greater_equal, "<=": pc.less_equal}


def tests_of(where: Any, columns: Mapping[str, Any]) -> list[tuple[str, Test]]:
    """Return the given filters, each with its name for errors."""
    named: list[tuple[str, Test]] = []
    filters = where if isinstance(where, list | tuple) else [] if where is None else [where]
    for item in filters:
        if isinstance(item, Mapping):
            named += [(f"filter {name}", equals(str(name), value)) for name, value in item.items()]
        elif isinstance(item, str):
            named.append((f"filter {item!r}", query(item)))
        elif callable(item):
            named.append((f"filter {getattr(item, '__name__', 'function')}", _called(item)))
        else:
            raise InputError(
                f"where={item!r} is not a filter",
                hint='give a function of the rows, {"column": value}, a text like "price > 3", or a list of these',
            )
    return named + [(f"filter {name}", equals(name, value)) for name, value in columns.items()]


def equals(name: str, value: Any) -> Test:
    """Return rows that hold this value in a column, or one of several; a row without the column holds None."""
    several = not isinstance(value, str | bytes | Mapping) and isinstance(value, Collection)
    values = list(value) if several else [value]
    for one in values:
        _writable(one)

    def test(table: pa.Table) -> Mask:
        if name not in table.column_names:
            return np.full(table.num_rows, None in values)
        column = table.column(name)
        mask = np.zeros(table.num_rows, bool)
        for value in values:
            mask |= _truth(pc.is_null(column)) if value is None else _equal(column, value)
        return mask

    return Test(test, (name,), () if several or value is None else ((name, "=", value),))


def query(text: str) -> Test:
    """Return the rows that a text asks for: `column=value`, `!=`, `<`, `<=`, `>`, `>=`, several joined by `and`.

    `column=null` is for what is missing, `column="null"` for that text. A text without any of these signs, or one in
    quotes, is looked for in all columns, without regard to case.

    >>> rows = pa.table({"name": ["Ann", "Bob"], "age": [30, 40]})
    >>> query("age > 35")(rows).tolist(), query("an")(rows).tolist(), query("name=Bob and age=40")(rows).tolist()
    ([False, True], [True, False], [False, True])
    """
    text = _writable(text.strip())
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" and text[0] not in text[1:-1]:
        return Test(lambda table: _contains(table, text[1:-1]))
    if not _SIGNS.search(text):
        return Test(lambda table: _contains(table, text))
    tests = []
    for part in re.split(r"\s+and\s+", text, flags=re.IGNORECASE):
        match = _COMPARISON.fullmatch(part)
        if match is None or match[3].startswith(("=", "<", ">", "!")):
            raise InputError(
                f"the filter {text!r} cannot be understood at {part!r}",
                hint='write column=value, column > 3, or several joined by " and "; text in quotes is searched for',
            )
        tests.append(_compared(*match.groups()))
    columns = tuple(name for test in tests for name in test.columns)
    bounds = tuple(bound for test in tests for bound in test.bounds)
    return Test(lambda table: np.logical_and.reduce([test(table) for test in tests]), columns, bounds)


def _writable(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InputError(f"the filter {value!r} contains half of a character, which no column has") from None
    return value


def matching(table: pa.Table, mask: Mask) -> pa.Table:
    """Return the rows that passed."""
    return table.filter(pa.array(mask))


def refuse_misspelt(columns: Collection[str], arguments: Collection[str]) -> None:
    """Refuse a filter by column whose name is an argument's with one slip: it would filter everything away.

    >>> refuse_misspelt(["strat"], ["start", "rows"])
    Traceback (most recent call last):
    kit.core.errors.InputError: there is no argument 'strat'; did you mean 'start'?
      a filter on a column of that name: where={'strat': ...}
    """
    for name in columns:
        for argument in arguments:
            if is_slip(name, argument):
                raise InputError(
                    f"there is no argument {name!r}; did you mean {argument!r}?",
                    hint=f"a filter on a column of that name: where={{{name!r}: ...}}",
                )


def _called(function: Callable[[Any], Any]) -> Test:
    def test(table: pa.Table) -> Mask:
        result = function(to_frame(table))
        mask = np.asarray(result)
        if mask.ndim == 0:
            return np.full(table.num_rows, bool(mask))
        if mask.shape != (table.num_rows,):
            raise InputError(f"a filter returned {mask.shape} for {table.num_rows} rows, not true or false for each")
        return (
            np.asarray([value is True or value is np.True_ for value in result])
            if mask.dtype == object
            else mask.astype(bool)
        )

    return Test(test)


def _compared(name: str, sign: str, value: str) -> Test:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    value = value[1:-1] if quoted else value
    test = equals(name, None if not quoted and value.lower() in ("null", "none") else value)
    if sign in ("=", "=="):
        return test
    if sign == "!=":
        return Test(lambda table: ~test(table), test.columns)
    function = _FUNCTIONS[sign]

    def compare(table: pa.Table) -> Mask:
        if name not in table.column_names:
            return np.zeros(table.num_rows, bool)
        column = table.column(name)
        scalar = scalar_of(value, column.type)
        if scalar is None:
            column, scalar = _text(column), pa.scalar(value)
        return _run(function, column, scalar)

    return Test(compare, (name,), ((name, sign, value),))


def _equal(column: pa.ChunkedArray, value: Any) -> Mask:
    scalar = scalar_of(value, column.type)
    if scalar is None:
        return _truth(pc.equal(_text(column), pa.scalar(value if isinstance(value, str) else str(value))))
    return _run(pc.equal, column, scalar)


def _run(function: Callable[[Any, Any], Any], column: pa.ChunkedArray, scalar: pa.Scalar) -> Mask:
    try:
        return _truth(function(column, scalar))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        # Numbers without a common Arrow type, lists and objects: Python compares them exactly.
        compare = _EXACT[function]
        if pa.types.is_timestamp(column.type) and (pa.types.is_timestamp(scalar.type) or scalar.type == _COUNT):
            # One may be outside the years that Python's times have, or that its unit has in the other's.
            count, unit = (int(scalar.as_py()), "ns") if scalar.type == _COUNT else (scalar.value, scalar.type.unit)
            step, operand = PER_SECOND[unit], count * PER_SECOND[column.type.unit]
            counts = column.cast(pa.int64()).to_pylist()
            return np.array([count is not None and compare(count * step, operand) for count in counts], bool)
        operand = scalar.as_py()
        return np.array([value is not None and compare(value, operand) for value in column.to_pylist()], bool)


def scalar_of(value: Any, kind: pa.DataType) -> pa.Scalar | None:
    """Return the value as one of the column's, None where it cannot be one."""
    if isinstance(value, np.generic):
        value = value.item()
    try:
        if pa.types.is_boolean(kind) and isinstance(value, str):
            return pa.scalar({"true": True, "false": False}[value.lower()])
        if isinstance(value, bool) != pa.types.is_boolean(kind) and not isinstance(value, str):
            return None
        if pa.types.is_integer(kind) and isinstance(value, float):
            return pa.scalar(value)
        if pa.types.is_floating(kind) and isinstance(value, int):
            # Beyond 2**53 it may be no float, and then is compared as what it is.
            return _whole(value, pa.int64())
        if isinstance(value, str) and pa.types.is_integer(kind):
            whole = re.fullmatch(r"[-+]?\d+", value)
            # A value beyond the range of the column's type is compared too.
            return pa.scalar(float(value)) if not whole else _whole(int(value), kind)
        if isinstance(value, str) and pa.types.is_timestamp(kind):
            return _moment(value, kind)
        if isinstance(value, str) and not pa.types.is_string(kind):
            return pa.scalar(value.encode() if _bytes(kind) else value).cast(kind)
        return pa.scalar(value, kind)
    except (KeyError, ValueError, TypeError, OverflowError, pa.ArrowException):
        return None


def _moment(text: str, kind: pa.DataType) -> pa.Scalar:
    """Return a time as it is displayed, with all its digits: without a zone it is local time."""
    moment = datetime.fromisoformat(text)
    if kind.tz:
        moment = moment.astimezone(UTC)
    fraction = re.search(r"[.,](\d+)", text)
    digits = fraction[1][:9].ljust(9, "0") if fraction else "0"
    if int(digits[6:] or 0):
        seconds = pa.scalar(moment.replace(microsecond=0), pa.timestamp("s", kind.tz)).value
        count = seconds * 10**9 + int(digits)
        if not -(2**63) <= count < 2**63:
            return pa.scalar(Decimal(count), _COUNT)  # no unit holds it; `_run` compares it
        exact = pa.scalar(count, pa.timestamp("ns", kind.tz))
    else:
        exact = pa.scalar(moment, pa.timestamp("us" if int(digits) else "s", kind.tz))
    try:
        return exact.cast(kind)
    except pa.ArrowInvalid:
        return exact  # between two times that the column can hold, or beyond them all


def _whole(value: int, kind: pa.DataType) -> pa.Scalar:
    try:
        return pa.scalar(value, kind)
    except (OverflowError, pa.ArrowInvalid):
        return pa.scalar(value) if -(2**63) <= value < 2**63 else pa.scalar(float(value))


def _bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _contains(table: pa.Table, text: str) -> Mask:
    mask = np.zeros(table.num_rows, bool)
    for column in table.columns:
        if _bytes(column.type):
            matches = pc.match_substring(column, text.encode("utf-8", "replace"), ignore_case=text.isascii())
        else:
            matches = pc.match_substring(_text(column), text, ignore_case=True)
        mask |= _truth(matches)
    return mask


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_string(column.type):
        return column
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.chunked_array([[None if value is None else str(value) for value in column.to_pylist()]], pa.string())


def _truth(answer: Any) -> Mask:
    mask: Mask = np.asarray(
        pc.fill_null(answer, False).to_numpy(zero_copy_only=False)
        if isinstance(answer, pa.Array)
        else pc.fill_null(answer, False).to_numpy()
    )
    return mask.astype(bool)


def names(tests: Iterable[tuple[str, Test]]) -> str:
    """Return the names of the filters."""
    return ", ".join(name.removeprefix("filter ") for name, _ in tests)
