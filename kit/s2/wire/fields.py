"""Reading JSON of a known shape: each reader returns the value that it names, or raises a `WireError` with its place.

Unknown keys are ignored, as the service does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NoReturn, TypeVar

from ..errors import S2InputError, WireError
from ..limits import MAX_U64, check_kind

T = TypeVar("T")
E = TypeVar("E", bound=Enum)

Json = Mapping[str, Any]
_LISTED = 8


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


_DECODER = json.JSONDecoder(parse_constant=_constant)
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""How half of a surrogate pair is written; a whole pair has two."""


def loads(body: bytes | bytearray | str) -> Any:
    """Return the value that the text is: JSON in UTF-8, whose texts are whole characters."""
    try:
        text = body if isinstance(body, str) else body.decode()
        value = _DECODER.decode(text)
        if _HALF.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise WireError("the JSON is nested too deeply") from None
    except ValueError as error:
        raise WireError(f"not JSON: {error}") from None
    return value


def dumps(value: Any) -> bytes:
    """Return the value as JSON in the service's form."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def json_object(value: Any, what: str) -> Json:
    if not isinstance(value, dict):
        raise _not(what, "an object", value)
    return value


def json_list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise _not(what, "a list", value)
    return value


def text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise _not(what, "a string", value)
    return value


def flag(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise _not(what, "true or false", value)
    return value


def whole(value: Any, what: str) -> int:
    """Return a number that an unsigned 64-bit integer can hold."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_U64:
        raise _not(what, "a whole number from 0 to 2^64 - 1", value)
    return value


def number(value: Any, what: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _not(what, "a number", value)
    try:
        return float(value)
    except OverflowError:
        raise _not(what, "a number", value) from None


def choice(kind: type[E], value: Any, what: str) -> E:
    """Return the member of the enum with this value."""
    try:
        return kind(value)
    except (ValueError, TypeError):
        known = ", ".join(repr(member.value) for member in kind)
        raise _not(what, f"one of {known}" if len(kind) <= _LISTED else f"a known {kind.__name__}", value) from None


def time(value: Any, what: str) -> datetime:
    """Return an RFC 3339 time; one without an offset is UTC."""
    try:
        read = datetime.fromisoformat(text(value, what))
    except ValueError:
        raise _not(what, "an RFC 3339 time", value) from None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


def time_json(value: datetime, what: str) -> str:
    """Return the time as RFC 3339, in UTC; the service refuses one without an offset."""
    check_kind(what, value, datetime)
    if value.tzinfo is None:
        raise S2InputError(
            f"{what} must have a time zone, not {value.isoformat()}",
            hint="such as datetime.now(UTC) + timedelta(days=1)",
        )
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def maybe(read: Callable[[Any, str], T], value: Any, what: str) -> T | None:
    """Return the result of the reader, or None without a value."""
    return None if value is None else read(value, what)


def _not(what: str, expected: str, value: Any) -> WireError:
    shown = repr(value)
    return WireError(f"{what} must be {expected}, not {shown if len(shown) <= 60 else shown[:57] + '...'}")
