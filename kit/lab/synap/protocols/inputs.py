"""Parsing payloads of commands, as leniently and as strictly as the service."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ..refusal import Refusal

Payload = Mapping[str, Any]


def text(payload: Payload, *names: str) -> str:
    """Return a text that must be there."""
    for name in names:
        value = payload.get(name)
        if isinstance(value, str):
            return checked(value)
    raise Refusal(f"Invalid request: Missing '{names[0]}' field")


def checked(value: str) -> str:
    """Return a text without halves of characters, which are legal in JSON but nowhere else."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refusal("Invalid request: a text holds a lone surrogate") from None
    return value


def texts(payload: Payload, name: str) -> list[str]:
    """Return a list of texts that must be there."""
    value = payload.get(name)
    if not isinstance(value, list):
        raise Refusal(f"Invalid request: Missing '{name}' field")
    return [checked(item) for item in value if isinstance(item, str)]


def whole(payload: Payload, name: str, default: int | None = None) -> int | None:
    """Return a whole number from 0 up; anything else counts as not given, as in the service."""
    value = payload.get(name)
    return value if type(value) is int and 0 <= value < 2**64 else default


def parts_of(path: str) -> list[str]:
    """Return the parts of a path, decoded one by one, so that a name may contain a slash."""
    try:
        return [unquote(part, errors="strict") for part in path.split("/")[1:]]
    except UnicodeDecodeError:
        raise Refusal("Bad request: a name in the path is not UTF-8") from None


def stored(value: Any) -> bytes:
    """Return the stored form of a value: text as it is, everything else as JSON."""
    if isinstance(value, str):
        return checked(value).encode()
    return as_json(value)


def as_json(value: Any) -> bytes:
    """Return a value as JSON text."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:
        raise Refusal("Invalid request: a text holds a lone surrogate") from None
    except ValueError:
        # A number with a large exponent becomes an infinity in Python.
        raise Refusal("Invalid request: number out of range") from None


def parsed(text: bytes) -> Any:
    """Return JSON; raise ValueError for what Python alone takes for it: NaN, and other encodings than UTF-8."""
    return _STRICT.decode(text.decode())


def _no_json(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _no_json(digits)


_STRICT = json.JSONDecoder(parse_constant=_no_json)
_FINITE = json.JSONDecoder(parse_constant=_no_json, parse_float=_finite)


def as_stored(content: bytes) -> Any:
    """Return stored bytes as the JSON that they are; raise ValueError where they are none, as for a plain text."""
    return _FINITE.decode(content.decode())


def shown(value: bytes | None, kind: Any = None) -> Any:
    """Return a value as HTTP answers it."""
    if value is None:
        return None
    if kind == "bytes":
        return list(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"<binary data: {len(value)} bytes>"


def payload_bytes(payload: Payload) -> bytes:
    """Return the bytes of a queue message, from a list of numbers; the command endpoint wraps and skips what is
    none."""
    value = payload.get("payload")
    if not isinstance(value, list):
        raise Refusal("Invalid request: Missing 'payload' field")
    try:
        return bytes(value)
    except (TypeError, ValueError):
        return bytes(item & 255 for item in value if type(item) is int)


_CONFIG = {
    "max_depth": "max_depth",
    "ack_deadline_secs": "ack_deadline",
    "default_max_retries": "max_retries",
    "default_priority": "priority",
    "prefetch_limit": "prefetch",
}


def queue_config(fields: Any) -> dict[str, int]:
    """Return the settings of a new queue."""
    if not isinstance(fields, dict):
        return {}
    settings = {}
    for name, ours in _CONFIG.items():
        value = whole(fields, name)
        if value is not None:
            settings[ours] = min(value, 2**31)
    if not {"max_depth", "ack_deadline", "prefetch"} & set(settings):
        # The service ignores the others if none of these is given.
        return {}
    return settings
