"""What a notebook has at hand, as the bodies, timestamps and headers of records."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import pyarrow as pa

from .errors import S2InputError
from .types import Record


class Bodies(NamedTuple):
    """Columns for `encode_inputs`."""

    bodies: Any
    timestamps: Any = None
    headers: Any = None


def bodies_of(
    given: Any, *, body: str | None = None, timestamp: str | None = None, headers: str | None = None
) -> Bodies:
    """Columns of a DataFrame, an Arrow table, or of records, bytes, texts and dicts.

    Of a table, the column `body` becomes the bodies; without one, each row becomes a JSON object. `timestamp` and
    `headers` name columns that hold these, and are left out of the objects.
    """
    if hasattr(given, "to_pandas") and hasattr(given, "schema"):
        given = given.to_pandas()
    if hasattr(given, "columns") and hasattr(given, "to_json"):
        return _of_frame(given, body, timestamp, headers)
    if body or timestamp or headers:
        raise S2InputError("body=, timestamp= and headers= name columns of a DataFrame, and this is none")
    if isinstance(given, bytes | str | dict | Record):
        given = [given]
    if not isinstance(given, Iterable):
        raise S2InputError(f"{type(given).__name__} cannot be appended", hint="give a DataFrame, or a list of records")
    return _of_records(list(given))


def _of_frame(frame: Any, body: str | None, timestamp: str | None, headers: str | None) -> Bodies:
    for what, name in (("body", body), ("timestamp", timestamp), ("headers", headers)):
        if name is not None and name not in frame.columns:
            raise S2InputError(f"{what}={name!r}: the frame has no such column", hint=f"it has {list(frame.columns)}")
    times = None if timestamp is None else pa.array(frame[timestamp], from_pandas=True)
    pairs = None if headers is None else frame[headers].tolist()
    if body is None and list(frame.columns.drop([c for c in (timestamp, headers) if c])) == ["body"]:
        body = "body"
    if body is not None:
        column = frame[body]
        return Bodies(column.to_numpy() if column.dtype == object else column, times, pairs)
    rows = frame.drop(columns=[c for c in (timestamp, headers) if c is not None])
    if not rows.columns.is_unique:
        raise S2InputError("the frame has columns of the same name; in a JSON object one of them would be lost")
    return Bodies(_json_rows(rows), times, pairs)


def _json_rows(frame: Any) -> pa.Array:
    """One JSON object per row."""
    if not len(frame):
        return pa.array([], pa.binary())
    lines = frame.to_json(orient="records", lines=True, date_format="iso", date_unit="ms", double_precision=15)
    return pa.array(lines.rstrip("\n").split("\n"), pa.string())


def _of_records(given: list[Any]) -> Bodies:
    bodies, times, pairs = [], [], []
    for number, one in enumerate(given):
        record = one if isinstance(one, Record) else Record(_bytes(one, number))
        bodies.append(record.body)
        times.append(record.timestamp)
        pairs.append(record.headers)
    timed, headed = any(time is not None for time in times), any(pairs)
    headers = [[{"name": name, "value": value} for name, value in some] for some in pairs]
    return Bodies(bodies, pa.array(times, pa.uint64()) if timed else None, headers if headed else None)


def _bytes(one: Any, number: int) -> bytes:
    if isinstance(one, bytes | bytearray | memoryview):
        return bytes(one)
    if isinstance(one, str):
        return one.encode()
    if isinstance(one, dict):
        try:
            return json.dumps(one, ensure_ascii=False, separators=(",", ":")).encode()
        except (TypeError, ValueError) as error:
            raise S2InputError(f"record {number} cannot be written as JSON: {error}") from None
    raise S2InputError(f"record {number} is a {type(one).__name__}", hint="give Record, bytes, str or dict")
