"""Functions of Kimberlite's SQL that SQLite lacks or defines differently."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from ....kimberlite.types import MAX_I64
from ....kimberlite.wire.sqltypes import TYPES, Type
from . import decimals
from .stamps import as_datetime, is_stamp, nanoseconds, of_datetime, of_text, shown, stamp

_EPOCH_DAY = datetime(1970, 1, 1, tzinfo=UTC)
_TRUNCATED = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")

_BUILT_IN = """
    abs ceil ceiling floor sqrt power pow mod round sign exp ln log upper lower length trim ltrim rtrim substr substring
    replace instr coalesce nullif ifnull iif min max sum total avg count group_concat row_number rank dense_rank
    percent_rank cume_dist ntile lag lead first_value last_value nth_value like json_extract json_array json_object
    json_array_length json_type json_valid json_each json_tree json_group_array json_group_object json typeof hex char
    unicode printf format quote -> ->> likelihood likely unlikely
"""
BUILT_IN = frozenset(_BUILT_IN.split())
"""SQLite's own functions that may be called."""


class Functions:
    """The functions for one statement: the current time is the same in all of it."""

    def __init__(self) -> None:
        self.time = 0
        """Nanoseconds since 1970."""
        self.failure = ""
        """What the last one that failed had to say; SQLite does not pass it on."""

    def install(self, db: sqlite3.Connection) -> frozenset[str]:
        """Add them to a connection; their names."""
        fixed: dict[str, tuple[int, Callable[..., Any]]] = {
            "regexp": (2, ilike),
            "match": (2, contains),
            "concat": (-1, concat),
            "extract": (2, extract),
            "date_part": (2, extract),
            "date_trunc": (2, date_trunc),
            "kit_cast": (2, cast),
        }
        for name, (count, function) in fixed.items():
            db.create_function(name, count, self._telling(function), deterministic=True)
        others = decimals.install(db)
        db.create_function("now", 0, lambda: stamp(self.time))
        db.create_function("today", 0, lambda: self.time // 86_400_000_000_000)
        return frozenset(fixed) | {"now", "today"} | others

    def _telling(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any) -> Any:
            try:
                return function(*values)
            except Exception as error:
                self.failure = str(error) or type(error).__name__
                raise

        return call


def ilike(pattern: Any, text: Any) -> bool | None:
    """Do `text ILIKE pattern`: % for anything, _ for one character, upper or lower case.

    >>> ilike("%B_d%", "a bad day"), ilike("b%", "abc")
    (True, False)
    """
    if pattern is None or text is None:
        return None
    return _like(str(pattern).lower(), str(text).lower())


def _like(pattern: str, text: str) -> bool:
    # Only the last % is ever retried, so no pattern takes long.
    at = n = 0
    star, mark = -1, 0
    while at < len(text):
        if n < len(pattern) and pattern[n] == "%":
            star, mark, n = n, at, n + 1
        elif n < len(pattern) and pattern[n] in ("_", text[at]):
            at, n = at + 1, n + 1
        elif star >= 0:
            mark += 1
            at, n = mark, star + 1
        else:
            return False
    return not pattern[n:].strip("%")


def contains(right: Any, left: Any) -> bool | None:
    """Do `left @> right`: whether one JSON value holds the other."""
    if right is None or left is None:
        return None
    return _holds(json.loads(left), json.loads(right))


def _holds(left: Any, right: Any) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return all(key in left and _holds(left[key], value) for key, value in right.items())
    if isinstance(left, list):
        values = right if isinstance(right, list) else [right]
        return all(any(_holds(item, value) for item in left) for value in values)
    return type(left) is type(right) and bool(left == right)


def concat(*parts: Any) -> str:
    """Return the parts as one text, without those that are missing."""
    return "".join(as_text(part) for part in parts if part is not None)


def extract(field: Any, value: Any) -> int | float | None:
    """Return a part of a time: year, month, day, hour, minute, second, dow, doy, week, quarter, epoch."""
    time = _time(value)
    if time is None:
        return None
    parts: dict[str, Callable[[], int | float]] = {
        "year": lambda: time.year,
        "month": lambda: time.month,
        "day": lambda: time.day,
        "hour": lambda: time.hour,
        "minute": lambda: time.minute,
        "second": lambda: time.second,
        "millisecond": lambda: time.second * 1000 + time.microsecond // 1000,
        "microsecond": lambda: time.second * 1_000_000 + time.microsecond,
        "quarter": lambda: (time.month + 2) // 3,
        "week": lambda: time.isocalendar().week,
        "dow": lambda: time.isoweekday() % 7,
        "isodow": time.isoweekday,
        "doy": lambda: time.timetuple().tm_yday,
        "epoch": lambda: (time - _EPOCH_DAY) // timedelta(seconds=1),
    }
    part = parts.get(str(field).lower())
    if part is None:
        raise ValueError(f"no part of a time is called {field}; there are {', '.join(parts)}")
    return part()


def date_trunc(field: Any, value: Any) -> bytes | None:
    """Return the beginning of the year, quarter, month, week, day, hour, minute or second that a time is in."""
    time = _time(value)
    if time is None:
        return None
    unit = str(field).lower()
    if unit not in _TRUNCATED:
        raise ValueError(f"a time cannot be truncated to {field}; there are {', '.join(_TRUNCATED)}")
    cut = time.replace(microsecond=0)
    for smaller, zero in (("second", 0), ("minute", 0), ("hour", 0)):
        if _TRUNCATED.index(unit) < _TRUNCATED.index(smaller):
            cut = cut.replace(**{smaller: zero})  # type: ignore[arg-type]
    if unit == "week":
        cut -= timedelta(days=cut.weekday())
    elif unit in ("month", "quarter", "year"):
        month = {"month": cut.month, "quarter": (cut.month - 1) // 3 * 3 + 1, "year": 1}[unit]
        cut = cut.replace(month=month, day=1)
    return of_datetime(cut)


def cast(value: Any, declared: Any) -> Any:
    """Do `CAST(value AS type)`."""
    word = re.match(r"\w+", str(declared))
    kind = TYPES.get(word[0].upper()) if word else None
    if kind is None:
        raise ValueError(f"no type is called {declared}")
    if value is None:
        return None
    if kind is Type.TEXT:
        return as_text(value)
    if kind is Type.TIMESTAMP:
        return of_text(value) if isinstance(value, str) else value if is_stamp(value) else stamp(int(value))
    if kind is Type.DATE:
        if isinstance(value, str) or is_stamp(value):
            time = value if is_stamp(value) else of_text(value)
            return nanoseconds(time) // 86_400_000_000_000
        return int(value)
    if is_stamp(value):
        value = nanoseconds(value)
    if kind is Type.REAL:
        return float(value)
    if kind is Type.DECIMAL:
        return decimals.cast(value, str(declared))
    if kind is Type.BOOLEAN:
        if isinstance(value, str):
            words = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
            if value.lower() not in words:
                raise ValueError(f"{value!r} is neither true nor false")
            return words[value.lower()]
        return bool(value)
    if kind is Type.BYTES:
        return value if isinstance(value, bytes) else as_text(value).encode()
    if isinstance(value, int):
        return value
    whole = decimals.number(value.strip() if isinstance(value, str) else value)
    if whole is None:
        raise ValueError(f"{value!r:.80} is not a number")
    if not -MAX_I64 - 1 <= (rounded := round(whole)) <= MAX_I64:
        raise ValueError(f"{value!r:.80} does not fit into 64 bits")
    return rounded


def _time(value: Any) -> datetime | None:
    if value is None:
        return None
    if is_stamp(value):
        return as_datetime(value)
    if isinstance(value, str):
        return as_datetime(of_text(value))
    if isinstance(value, int):
        # A DATE: days since 1970.
        return _EPOCH_DAY + timedelta(days=value)
    raise ValueError("a time is required")


def as_text(value: Any) -> str:
    """Return a value as text; numbers as short as they can be.

    >>> as_text(2.5), as_text(3.0), as_text(1e22)
    ('2.5', '3', '10000000000000000000000')
    """
    if is_stamp(value):
        return shown(value)
    if isinstance(value, bytes):
        from base64 import b64encode

        return b64encode(value).decode()
    if isinstance(value, float):
        if math.isfinite(value):
            if value == int(value) and abs(value) < 1e300:
                return str(int(value))
            text = repr(value)
            return text if "e" not in text else format(Decimal(text), "f")
        return {math.inf: "inf", -math.inf: "-inf"}.get(value, "NaN")
    return str(value)
