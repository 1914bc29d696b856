"""Python objects as columns: of one type where all values fit it without loss, otherwise as text.

Arrow's own conversion of a list drops what does not fit the first value: nanoseconds, the time of day, a time zone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import chain
from numbers import Number
from typing import Any

import pyarrow as pa

from ..core.tables.json.columns import ObjectColumns
from ..core.tables.json.scalars import Refused, is_missing, json_text
from ..core.tables.json.values import array_of
from ..core.tables.texts import text_of_bytes

_OF_JSON = (str, int, float, bool, type(None))


def rows_table(rows: Sequence[Mapping[Any, Any]]) -> pa.Table:
    """Return rows as columns, in the order in which their keys appear. Values of JSON become what they become in a log;
    others are converted by `objects_array`.

    >>> rows_table([{"n": 1, "price": Decimal("1.10")}, {"n": 2, "at": date(2026, 1, 1)}]).to_pydict()
    {'n': [1, 2], 'price': [Decimal('1.10'), None], 'at': [None, datetime.date(2026, 1, 1)]}
    """
    named = [{str(name): value for name, value in row.items()} for row in rows]
    others = {name for row in named for name, value in row.items() if not _is_json(value)}
    plain = ObjectColumns(max_keys=100_000)
    plain.add_rows([{name: value for name, value in row.items() if name not in others} for row in named])
    columns = dict(zip((table := plain.table()).column_names, table.columns, strict=True))
    for name, column in columns.items():
        if column.null_count == len(rows):
            columns[name] = pa.nulls(len(rows))  # later rows decide the type
    columns |= {name: objects_array([row.get(name) for row in named]) for name in others}
    return pa.table({name: columns[name] for name in dict.fromkeys(chain.from_iterable(named))})


def objects_array(values: Sequence[Any]) -> pa.Array:
    """Return objects as a column: of times, dates, durations, numbers, decimals or bytes where all values are of that
    kind; lists and dicts as their JSON would be; everything else as text."""
    present = [value for value in values if not is_missing(value)]
    try:
        if present and all(isinstance(value, datetime) for value in present):
            return _times(values, present)
        if present and all(isinstance(value, timedelta) for value in present):
            return _of_pandas(values)
        if any(all(_is(value, kind) for value in present) for kind in (date, Decimal, (bytes, bytearray, str), Number)):
            array = pa.array(values, from_pandas=True)
            return array if isinstance(array, pa.Array) else array.combine_chunks()
        if any(isinstance(value, bytes | bytearray) for value in present):
            raise ValueError("bytes among other values")
        plain = [None if is_missing(value) else json.loads(json_text(value)) for value in values]
    except (Refused, ValueError, TypeError, OverflowError, pa.ArrowException):
        plain = [None if is_missing(value) else _text(value) for value in values]
        return array_of(plain, pa.string())
    collected = ObjectColumns()
    collected.add_rows([{"": value} for value in plain])
    return collected.table().column(0).combine_chunks()


def _is_json(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return all(type(name) is str and _is_json(item) for name, item in value.items())
    return all(map(_is_json, value)) if kind is list else kind in _OF_JSON


def _is(value: Any, kind: Any) -> bool:
    """Return whether a value is of a kind. A datetime is not a date here, although Python derives it from date."""
    return isinstance(value, kind) and not isinstance(value, datetime)


def _times(values: Sequence[Any], present: Sequence[datetime]) -> pa.Array:
    aware = {value.tzinfo is not None for value in present}
    if len(aware) > 1:
        raise ValueError("some times have a zone and some have none")
    if aware == {True}:
        values = [value.astimezone(UTC) if isinstance(value, datetime) and value == value else None for value in values]
    return _of_pandas(values)


def _of_pandas(values: Sequence[Any]) -> pa.Array:
    """Return times or durations, with nanoseconds where they have any."""
    if not any(getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0) for value in values):
        return pa.array(values, from_pandas=True)
    import pandas as pd

    series = pd.Series(values)
    if series.dtype == object:
        raise ValueError("no type holds all of them")
    return pa.array(series)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray):
        return text_of_bytes(bytes(value))
    try:
        text = json_text(value).decode()
    except Refused:
        return str(value)
    return str(json.loads(text)) if text.startswith('"') else text
