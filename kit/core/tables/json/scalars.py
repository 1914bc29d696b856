"""Single Python values as JSON: the same forms as columns have (`core.tables.encode`)."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite, isnan
from typing import Any
from uuid import UUID

from ..moments import PER_SECOND

orjson: Any = None
try:
    import orjson
except ImportError:
    pass  # optional, for speed

_DEEPEST = 200
_MISSING = {"NAType", "NaTType"}


class Refused(Exception):
    """A value that has no JSON form; `path` says where it is inside the given value."""

    def __init__(self, message: str, hint: str | None = None, path: str = "") -> None:
        super().__init__(message)
        self.hint, self.path = hint, path

    @classmethod
    def infinite(cls, value: Any, path: str = "") -> Refused:
        """Return the refusal of a number that is not finite."""
        message = f"{value!r} cannot be written as JSON, which has finite numbers alone"
        return cls(message, "replace it, by None or by a text of your own", path)

    @classmethod
    def kind(cls, value: Any, kind: str, hint: str, path: str = "") -> Refused:
        """Return the refusal of a value of a kind that JSON does not have."""
        article = "an" if kind[0].lower() in "aeiou" else "a"
        return cls(f"{shown(value)} is {article} {kind}, which cannot be written as JSON", hint, path)


def is_missing(value: Any) -> bool:
    """Return whether a value stands for none: None, and what pandas has for it."""
    return value is None or type(value).__name__ in _MISSING


def shown(value: Any) -> str:
    """Return a value for a message, cut where it is long."""
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def json_text(value: Any, *, spaced: bool = False) -> bytes:
    """Return the value as JSON, `spaced` for people to read; raise `Refused` where it cannot be kept.

    >>> json_text({"n": 1, "when": date(2026, 11, 29), "price": Decimal("1.10")})
    b'{"n":1,"when":"2026-11-29","price":"1.10"}'
    """
    if orjson is not None and not spaced:
        try:
            out: bytes = orjson.dumps(value, _plain_one, _OPTIONS)
        except (TypeError, ValueError, RecursionError):
            pass  # a value that it refuses may still have a JSON form; otherwise the code below finds the reason
        else:
            # It writes null for NaN and infinities, which is right only for NaN.
            if b"null" not in out:
                return out
    plain = _plain(value, "", 0)
    return json.dumps(plain, ensure_ascii=False, separators=None if spaced else (",", ":"), allow_nan=False).encode()


def json_value(text: str) -> Any:
    """Return the value of a JSON text; NaN and infinities, which Python reads too, are no JSON and a `ValueError`.

    >>> json_value('{"n": [1, null]}')
    {'n': [1, None]}
    """
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


if orjson is not None:
    _OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def _plain_one(value: Any) -> Any:
    """Return a non-JSON value for the fast encoder, converted one step towards a JSON value."""
    if isinstance(value, float):
        return None if isnan(value) else _finite(float(value), "")
    return _plain(value, "", 0)


def _plain(value: Any, path: str, depth: int) -> Any:
    """Return the value in JSON's own kinds."""
    kind = type(value)
    if value is None or kind is bool or kind is int:
        return value
    if kind is str:
        return _text(value, path)
    if kind is float:
        return None if isnan(value) else _finite(value, path)
    if depth > _DEEPEST:
        raise Refused(f"values are nested more than {_DEEPEST} deep", path=path)
    if isinstance(value, Mapping):
        return _object(value, path, depth)
    if isinstance(value, list | tuple) and kind.__name__ != "MonthDayNano":
        return [_plain(item, f"{path}[{n}]", depth + 1) for n, item in enumerate(value)]
    if isinstance(value, Enum):
        return _plain(value.value, path, depth + 1)
    if isinstance(value, str):
        return _text(str(value), path)
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float):
        return None if isnan(value) else _finite(float(value), path)
    if kind.__name__ in _MISSING:
        return None
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            if value.is_nan():
                return None
            raise Refused.infinite(value, path)
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode()
    if isinstance(value, UUID):
        return str(value)
    return _foreign(value, path, depth)


def _foreign(value: Any, path: str, depth: int) -> Any:
    """Return values of numpy, pandas, Arrow and polars."""
    module = type(value).__module__.partition(".")[0]
    if module == "numpy":
        import numpy as np

        if isinstance(value, np.datetime64 | np.timedelta64):
            return _numpy_time(value, path)
        if isinstance(value, np.ndarray):
            if value.dtype.kind in "mM":
                return [_plain(item, f"{path}[{n}]", depth + 1) for n, item in enumerate(value)]
            return _plain(value.tolist(), path, depth)
        if isinstance(value, np.generic) and not isinstance(value, np.complexfloating | np.void):
            item = value.item()
            if type(item) is not type(value):  # a long double stays one
                return _plain(item, path, depth)
    if module in ("pandas", "polars") and hasattr(value, "to_list"):
        return _plain(value.to_list(), path, depth)
    if module == "pyarrow" and hasattr(value, "as_py") and value.as_py() is not value:
        return _plain(value.as_py(), path, depth)
    if module == "pyarrow" and hasattr(value, "to_pylist"):
        return _plain(value.to_pylist(), path, depth)
    hint = {
        "set": "give a list, sorted if the order matters",
        "frozenset": "give a list, sorted if the order matters",
        "Period": "give its text, or its start as a time",
        "Interval": "give its text, or its two ends",
        "complex": "give its two parts",
        "MonthDayNano": "give a duration, or its three parts",
    }.get(type(value).__name__, "give texts, numbers, lists and dicts")
    raise Refused.kind(value, type(value).__name__, hint, path)


def _object(value: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
    members = dict[str, Any]()
    for key, item in value.items():
        name = key if type(key) is str else _key(key, path)
        if name in members:
            raise Refused(f"two keys are {name!r} as text", "rename one of them", path)
        inside = f"{path}.{name}" if path else name
        members[_text(name, inside)] = _plain(item, inside, depth + 1)
    return members


def _key(key: Any, path: str) -> str:
    if isinstance(key, Enum) and isinstance(key.value, str | int):
        key = key.value
    if isinstance(key, str):
        return str(key)
    if hasattr(key, "__index__") and not isinstance(key, bool) and type(key).__name__ not in ("bool", "bool_"):
        return str(int(key))
    raise Refused(f"a key is {shown(key)}, a {type(key).__name__}, but JSON keys are text", "give it as text", path)


def _text(value: str, path: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Refused(
                f"{shown(value)} has half of a character, which UTF-8 cannot encode",
                "replace it, or give bytes",
                path,
            ) from None
    return value


def _finite(value: float, path: str) -> float:
    if not isfinite(value):
        raise Refused.infinite(value, path)
    return value


def _moment(value: datetime) -> str:
    offset = value.utcoffset()
    if offset is None:
        return value.isoformat()
    if offset.total_seconds() % 60:
        from datetime import UTC

        value = value.astimezone(UTC)  # an offset in seconds has no ISO form
    text = value.isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def iso_duration(count: int, per_second: int) -> str:
    """Return a length of time as ISO 8601 has it.

    >>> iso_duration(-1_500, 1000), iso_duration(90_061, 1)
    ('-P0DT0H0M1.500S', 'P1DT1H1M1S')
    """
    sign, count = ("-", -count) if count < 0 else ("", count)
    seconds, part = divmod(count, per_second)
    fraction = f".{part:0{len(str(per_second)) - 1}d}" if part else ""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{sign}P{days}DT{hours}H{minutes}M{seconds}{fraction}S"


def _duration(value: timedelta) -> str:
    nanoseconds = getattr(value, "nanoseconds", None)  # pandas' own
    count = ((value.days * 86_400 + value.seconds) * 10**6 + value.microseconds) * 1000 + (nanoseconds or 0)
    if count % 1000:
        return iso_duration(count, 10**9)
    return iso_duration(count // 1000, 10**6)


def _numpy_time(value: Any, path: str) -> str | None:
    import numpy as np

    if np.isnat(value):
        return None
    unit, step = np.datetime_data(value.dtype)
    if isinstance(value, np.datetime64):
        if unit in ("ps", "fs", "as", "generic"):
            raise Refused(f"{value!r} is finer than nanoseconds", path=path)
        return str(value)
    if unit in PER_SECOND:
        return iso_duration(int(value.astype("int64")) * step, PER_SECOND[unit])
    seconds = {"m": 60, "h": 3600, "D": 86_400, "W": 604_800}
    if unit in seconds:
        return iso_duration(int(value.astype("int64")) * step * seconds[unit], 1)
    raise Refused(f"{value!r} is not an exact length of time", "give it in days or less", path)
