"""Values of groups as Python objects: conversion to arrays, and to JSON for a checkpoint and back."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...core.tables.json.values import array_of


def objects(values: Sequence[Any]) -> npt.NDArray[np.object_]:
    """Return an array of Python objects, also where some of them are lists."""
    array = np.empty(len(values), object)
    for n, value in enumerate(values):
        array[n] = value
    return array


def grown(array: npt.NDArray[Any], size: int, filler: Any = 0) -> npt.NDArray[Any]:
    """Return an array with room for at least `size` values, filled up with `filler`; its size at least doubles."""
    if size <= len(array):
        return array
    more = np.full((max(size, 2 * len(array), 64), *array.shape[1:]), filler, array.dtype)
    more[: len(array)] = array
    return more


def plain(value: Any) -> Any:
    """Return a value as JSON, with the name of its type where JSON has no such type.

    >>> plain(5), plain(Decimal("1.50")), unplain(plain(Decimal("1.50"))), unplain(plain(b"x"))
    (5, ['decimal', '1.50'], Decimal('1.50'), b'x')
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return ["float", repr(value)]
    if isinstance(value, Decimal):
        return ["decimal", str(value)]
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    if isinstance(value, datetime):
        # Times of pandas have nanoseconds, and times of Python may have a named zone.
        zone = None if value.tzinfo is None else str(getattr(value.tzinfo, "key", None) or "UTC")
        whole = value.replace(tzinfo=None) if zone is None else value.astimezone(_zone("UTC")).replace(tzinfo=None)
        return ["time", whole.isoformat(), zone]
    if isinstance(value, date):
        return ["date", value.isoformat()]
    if isinstance(value, time):
        return ["clock", value.isoformat()]
    if isinstance(value, timedelta):
        return ["span", value // timedelta(microseconds=1), getattr(value, "nanoseconds", 0)]
    if isinstance(value, list | tuple):
        return ["list", [plain(item) for item in value]]
    if isinstance(value, dict):
        return ["dict", [[str(name), plain(item)] for name, item in value.items()]]
    return ["text", str(value)]


def unplain(form: Any) -> Any:
    """Return the value of a form that `plain` made; raise ValueError if it is damaged."""
    if form is None or isinstance(form, bool | int | str):
        return form
    if not isinstance(form, list) or len(form) < 2:
        raise ValueError("no value")
    kind, content, *more = form
    if kind == "list" and isinstance(content, list):
        return [unplain(item) for item in content]
    if kind == "dict" and isinstance(content, list):
        return {str(name): unplain(item) for name, item in content}
    if kind == "span" and isinstance(content, int):
        if more and more[0]:
            import pandas as pd

            return pd.Timedelta(content * 1000 + int(more[0]) % 1000, "ns")
        return timedelta(microseconds=content)
    if not isinstance(content, str):
        raise ValueError("no value")
    if kind == "time":
        return _time(content, more[0] if more else None)
    made = {
        "float": float,
        "decimal": Decimal,
        "bytes": bytes.fromhex,
        "date": date.fromisoformat,
        "clock": time.fromisoformat,
        "text": str,
    }.get(kind)
    if made is None:
        raise ValueError(f"no value of kind {kind!r}")
    return made(content)  # type: ignore[operator]


def _time(text: str, zone: Any) -> Any:
    if len(text.partition(".")[2]) > 6:
        import pandas as pd

        moment: Any = pd.Timestamp(text)
        return moment if zone is None else moment.tz_localize("UTC").tz_convert(zone)
    whole = datetime.fromisoformat(text)
    return whole if zone is None else whole.replace(tzinfo=_zone("UTC")).astimezone(_zone(str(zone)))


def _zone(name: str) -> Any:
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def array_of_plain(values: Sequence[Any], kind: pa.DataType | None = None) -> pa.Array:
    """Return Python values as a column: of `kind` where they fit, else of their own type, else as text.

    >>> array_of_plain([1, 2**70, None]).type, array_of_plain([1, 2.5]).type, array_of_plain([1, "a"]).type
    (Decimal128Type(decimal128(38, 0)), DataType(double), DataType(string))
    """
    if kind is not None and not pa.types.is_null(kind):
        try:
            return pa.array(values, kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            pass  # earlier batches had another type
    present = [value for value in values if value is not None]
    if not present:
        return pa.nulls(len(values), kind if kind is not None else pa.null())
    if all(isinstance(value, int) and not isinstance(value, bool) for value in present):
        if min(present) >= -(2**63) and max(present) < 2**63:
            return pa.array(values, pa.int64())
        return _decimals(values)
    if any(isinstance(value, Decimal) for value in present) and not any(
        isinstance(number, float) for number in present
    ):
        return _decimals(values)
    if all(isinstance(value, int | float | Decimal) and not isinstance(value, bool) for value in present):
        if not all(_is_float(value) for value in present if isinstance(value, int)):
            return pa.array([None if value is None else str(value) for value in values], pa.string())
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return array_of(values, pa.string())


def _is_float(value: int) -> bool:
    """Return whether a float has all digits of a whole number."""
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _decimals(values: Sequence[Any]) -> pa.Array:
    exact = [None if value is None else Decimal(value) for value in values]
    finite = [number for number in exact if number is not None and number.is_finite()]
    scale = max([0, *(-int(number.as_tuple().exponent) for number in finite)])
    for kind, digits in ((pa.decimal128, 38), (pa.decimal256, 76)):
        try:
            return pa.array(exact, kind(digits, scale))
        except (pa.ArrowException, OverflowError):
            continue
    return pa.array([None if number is None else str(number) for number in exact], pa.string())


def kind_text(kind: pa.DataType) -> str:
    """Return a type as text, for `kind_of_text`."""
    return base64.b64encode(pa.schema([("it", kind)]).serialize().to_pybytes()).decode()


def kind_of_text(text: Any) -> pa.DataType:
    """Return the type of a text that `kind_text` made; raise ValueError if it is damaged."""
    try:
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text, validate=True))).field(0).type
    except (pa.ArrowException, TypeError, OSError, KeyError, IndexError) as error:
        raise ValueError("no type") from error
