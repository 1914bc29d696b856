"""Checks of arguments before any traffic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..core.errors import warn
from ..core.tables.json.scalars import Refused, json_text
from .errors import SynapInputError

_WARNED: set[str] = set()


def name(value: Any, what: str) -> str:
    """Return a key, a queue, a room, a topic, or a consumer."""
    if not isinstance(value, str):
        raise SynapInputError(f"{what} must be text, not {type(value).__name__}")
    if not value:
        raise SynapInputError(f"{what} is empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SynapInputError(f"{what} {value!r} contains half of a character, which UTF-8 cannot encode") from None
    return value


def names(values: Any, what: str) -> list[str]:
    """Return several of them."""
    if isinstance(values, str | bytes):
        raise SynapInputError(f"{what}s must be a list, not a single {what}", hint=f"give [{values!r}]")
    several_names = list(values) if isinstance(values, Mapping) else several(values, f"{what}s")
    return [name(value, what) for value in several_names]


def several(values: Any, what: str) -> Iterable[Any]:
    """Return the items of a list, or of anything else that has items in order."""
    if isinstance(values, str | bytes | bytearray | memoryview | Mapping) or not isinstance(values, Iterable):
        raise SynapInputError(f"{what} must be a list, not {type(values).__name__}")
    return values


def pairs(values: Any, start: str, first: str, second: str) -> list[tuple[Any, Any]]:
    """Return a list of pairs; a text of two letters is none."""
    result = []
    for pair in several(values, "pairs"):
        try:
            if isinstance(pair, str | bytes):
                raise TypeError
            left, right = pair
        except (TypeError, ValueError):
            raise SynapInputError(
                f"{start} pairs of {first} and {second}, not {pair!r:.60}", hint=f"[({first!r}, {second!r}), ...]"
            ) from None
        result.append((left, right))
    return result


def texts(given: Any, what: str) -> dict[str, str]:
    """Return texts by name."""
    if not isinstance(given, Mapping) or not all(isinstance(part, str) for pair in given.items() for part in pair):
        raise SynapInputError(f"{what} must be texts by name, not {given!r:.60}", hint='{"name": "text"}')
    return dict(given)


def flag(value: Any, what: str) -> bool:
    """Return a truth value; anything else for one of them would be taken for the wrong one in silence."""
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return bool(value)
    raise SynapInputError(f"{what} must be True or False, not {value!r:.60}")


def whole(value: Any, what: str, least: int = 0, most: int = 2**63 - 1) -> int:
    """Return a whole number within bounds. The server takes anything else for "not given", without a word."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise SynapInputError(f"{what} must be a whole number, not {value!r}")
    number: int = value.__index__()
    if not least <= number <= most:
        raise SynapInputError(f"{what}={number} is not allowed", hint=f"give a whole number from {least} to {most}")
    return number


def optional(value: Any, what: str, least: int = 0, most: int = 2**63 - 1) -> int | None:
    return None if value is None else whole(value, what, least, most)


class JsonText(str):
    """A value that is already JSON text."""

    __slots__ = ()


def as_text(value: Any, *, spaced: bool = False) -> str:
    """Return a value as JSON text."""
    if isinstance(value, JsonText):
        return str(value)
    try:
        return json_text(value, spaced=spaced).decode()
    except Refused as error:
        place = f"at {error.path}: " if error.path else ""
        raise SynapInputError(f"this cannot be stored: {place}{error}", hint=error.hint) from None


def value(given: Any) -> str | bytes:
    """Return the stored form of a value: text unchanged, bytes as text if they are UTF-8, everything else as
    JSON."""
    if isinstance(given, str):
        return name(given, "a value") if given else given
    if isinstance(given, bytes | bytearray | memoryview):
        raw = bytes(given)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw
    if isinstance(given, float) and given != given:
        raise SynapInputError("NaN cannot be stored", hint="give None, or delete the key")
    return as_text(given, spaced=True)


def payload(given: Any) -> bytes:
    """Return a queue message's bytes."""
    if isinstance(given, bytes):
        return given
    if isinstance(given, bytearray | memoryview):
        return bytes(given)
    text = given if isinstance(given, str) else as_text(given, spaced=True)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise SynapInputError("the message contains half of a character, which UTF-8 cannot encode") from None


def data(given: Any) -> Any:
    """Return an event's data: JSON as it is, bytes as text where they are UTF-8, and as bytes where they are not."""
    if isinstance(given, JsonText):
        return given
    if isinstance(given, bytes | bytearray | memoryview):
        raw = bytes(given)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw
    if isinstance(given, str):
        return name(given, "the data") if given else given
    return JsonText(as_text(given))


def once(about: str, text: str) -> None:
    """Warn, the first time in this process, at the caller's own line."""
    if about not in _WARNED:
        _WARNED.add(about)
        warn(text)
