"""Reading request bodies, with errors that name the field."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, NoReturn

from starlette.requests import Request

from .answers import Refusal

MAX_BODY = 4 << 20


def wrong(field: str, message: str) -> Refusal:
    """Return a 400 about one field."""
    return Refusal(400, f"{field}: {message}", details={"field": field})


async def body_of(request: Request) -> Fields:
    """Return the JSON object in a request's body."""
    raw = await request.body()
    if len(raw) > MAX_BODY:
        raise Refusal(413, f"the body is larger than {MAX_BODY >> 20} MB")
    if not raw.strip():
        return Fields({})
    try:
        value = json.loads(raw, parse_constant=_constant, parse_float=_float)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the body is not JSON: {_reason(error)}") from None
    if not isinstance(value, dict):
        raise Refusal(400, f"the body must be a JSON object, not {kind_of(value)}")
    if b"\\u" in raw:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            # Half a surrogate pair is legal JSON, but it cannot be stored or sent on.
            raise Refusal(400, "the body contains half of a surrogate pair, which is not text") from None
    return Fields(value)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is larger than a number can be")
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, at line {error.lineno} column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def kind_of(value: Any) -> str:
    """Return JSON's word for the type of a value.

    >>> kind_of(True), kind_of(3), kind_of([])
    ('a boolean', 'a number', 'an array')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"


class Fields:
    """A JSON object whose fields are read by name and type. `null` counts as absent."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str, *, limit: int = 10_000) -> str:
        """Return a string that must be there and must not be blank."""
        value = self.maybe_text(name, limit=limit)
        if value is None:
            raise wrong(name, "missing; it must be a string")
        if not value.strip():
            raise wrong(name, "must not be empty")
        return value

    def maybe_text(self, name: str, *, limit: int = 10_000) -> str | None:
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise wrong(name, f"must be a string, not {kind_of(value)}")
        if len(value) > limit:
            raise wrong(name, f"longer than {limit} characters")
        return value

    def choice(self, name: str, choices: Collection[str], default: str | None = None) -> str:
        value = self.maybe_text(name) if default is not None else self.text(name)
        if value is None:
            assert default is not None
            return default
        if value not in choices:
            raise wrong(name, f"{value[:80]!r} is not one of {', '.join(choices)}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise wrong(name, f"must be true or false, not {kind_of(value)}")
        return value

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        """Return an integer; above `most` it counts as `most`."""
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong(name, f"must be a whole number, not {value if isinstance(value, float) else kind_of(value)}")
        if value < least:
            raise wrong(name, f"must be at least {least}, not {value}")
        return min(value, most)

    def seconds(self, name: str, default: float, *, most: float) -> float:
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise wrong(name, f"must be a number from 0 to {most:g}")
        return float(value)

    def nested(self, name: str, *, required: bool = False) -> dict[str, Any]:
        value = self.values.get(name)
        if value is None:
            if required:
                raise wrong(name, "missing; it must be an object")
            return {}
        if not isinstance(value, dict):
            raise wrong(name, f"must be an object, not {kind_of(value)}")
        return value

    def texts(self, name: str, *, most: int = 100, limit: int = 200) -> list[str]:
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise wrong(name, "must be an array of strings")
        if len(value) > most:
            raise wrong(name, f"more than {most} entries")
        if any(not item.strip() or len(item) > limit for item in value):
            raise wrong(name, f"each entry must have 1 to {limit} characters")
        return value


def now() -> int:
    """Return the time in milliseconds since 1970: the resolution in which times are kept and shown."""
    return int(datetime.now(UTC).timestamp() * 1000)


def stamp(milliseconds: int) -> str:
    """Return a time as RFC 3339 text.

    >>> stamp(0)
    '1970-01-01T00:00:00.000Z'
    """
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def moment(name: str, text: str) -> int:
    """Return RFC 3339 text, or a date, as milliseconds; without a zone it is UTC."""
    try:
        # An unescaped "+" arrives as a space.
        parsed = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text)
        if parsed.tzinfo is None:
            parsed = parsed.replace(tzinfo=UTC)
        return round(parsed.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise wrong(name, "must be a time such as 2026-01-31T09:30:00Z, or a date") from None
