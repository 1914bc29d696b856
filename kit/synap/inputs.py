"""Checks of arguments before any traffic."""

from __future__ import annotations

from typing import Any

from ..core.errors import warn
from ..core.tables.scalars import Refused, json_text
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
    return [name(value, what) for value in values]


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
