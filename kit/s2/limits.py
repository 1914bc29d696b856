"""The limits of the service, checked before sending: every error names the limit and the value that was given."""

from __future__ import annotations

import base64
import operator
import re
from enum import Enum
from typing import Any

from ..core.secrets import Secret
from .errors import S2InputError

MAX_BATCH_RECORDS = 1000
MAX_BATCH_BYTES = 1024 * 1024
"""In metered bytes; for one record as well as for a batch."""
MIN_BATCH_BYTES = 8
MAX_FENCING_TOKEN = 36
MAX_STREAM_NAME = 512
MAX_TOKEN_ID = 96
MAX_LOCATION = 64
MAX_PAGE = 1000
MAX_UNARY_WAIT = 60
KEY_BYTES = 32
MAX_U64 = 2**64 - 1
MAX_U32 = 2**32 - 1

_BASIN_NAME = re.compile(r"[a-z0-9][a-z0-9-]{6,46}[a-z0-9]")
_LOCATION = re.compile(r"[A-Za-z0-9:.-]{1,64}")


def within(what: str, value: int, lowest: int, highest: int) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        whole = operator.index(value)
    except TypeError:
        raise S2InputError(f"{what} must be an int, not {type(value).__name__}") from None
    if not lowest <= whole <= highest:
        raise S2InputError(f"{what} must be {lowest} to {highest}, not {whole}")
    return whole


def check_kind(what: str, value: Any, kind: type) -> None:
    """Refuse an argument that is of another class."""
    if not isinstance(value, kind):
        given = repr(value) if isinstance(value, str | int | float) else type(value).__name__
        named = [member for member in kind if member.value == value] if issubclass(kind, Enum) else None
        raise S2InputError(
            f"{what} must be {_place(kind)}, not {given:.60}", hint=f"give kit.s2.{named[0]}" if named else None
        )


def _place(kind: type) -> str:
    return f"kit.s2.{kind.__name__}" if kind.__module__.startswith("kit.") else kind.__name__


def check_u64(what: str, value: int) -> int:
    """Return the value, where it is one that a position, a timestamp or a count can have."""
    return within(what, value, 0, MAX_U64)


def check_basin_name(name: str) -> str:
    """Return the name, where a basin can have it."""
    # fullmatch: `$` would let a line end pass.
    if not isinstance(name, str) or not _BASIN_NAME.fullmatch(name):
        raise S2InputError(
            f"{name!r} cannot be the name of a basin",
            hint="8 to 48 lowercase letters, digits and hyphens, with no hyphen at either end",
        )
    return name


def check_stream_name(name: str) -> str:
    """Return the name, where a stream can have it."""
    return _check_id("the name of a stream", name, MAX_STREAM_NAME)


def check_token_id(id: str) -> str:
    """Return the id, where an access token can have it."""
    return _check_id("the id of an access token", id, MAX_TOKEN_ID)


def _check_id(what: str, value: str, limit: int) -> str:
    size = _utf8_size(what, value)
    if not 1 <= size <= limit:
        shown = value if size <= 100 else f"{value[:50]}..."
        raise S2InputError(f"{what} must have 1 to {limit} bytes of UTF-8; {shown!r} has {size}")
    if value in (".", "..") or "\0" in value:
        raise S2InputError(f"{value!r} cannot be {what}", hint='"." and ".." are reserved, and NUL is not allowed')
    return value


def _utf8_size(what: str, value: str) -> int:
    if not isinstance(value, str):
        raise S2InputError(f"{what} must be text, not {type(value).__name__}")
    try:
        return len(value.encode())
    except UnicodeEncodeError:
        raise S2InputError(f"{what} must be text that UTF-8 can encode, not {value[:50]!r}") from None


def check_location(name: str) -> str:
    """Return the name, where a location can have it."""
    if not isinstance(name, str) or not _LOCATION.fullmatch(name):
        raise S2InputError(
            f"{name!r} cannot be the name of a location",
            hint=f'1 to {MAX_LOCATION} ASCII letters, digits, ":", "-" and ".", as in aws:us-east-1',
        )
    return name


def check_fencing_token(token: str) -> str:
    """Return the token, where a stream can be fenced with it; an empty one lifts the fence."""
    size = _utf8_size("a fencing token", token)
    if size > MAX_FENCING_TOKEN:
        raise S2InputError(f"a fencing token has at most {MAX_FENCING_TOKEN} bytes of UTF-8; {token[:50]!r} has {size}")
    return token


def check_conditions(match_seq_num: int | None, fencing_token: str | None) -> None:
    """Refuse conditions that no append can have."""
    if match_seq_num is not None:
        check_u64("match_seq_num", match_seq_num)
    if fencing_token is not None:
        check_fencing_token(fencing_token)


def check_unacked(max_bytes: int, max_batches: int | None) -> None:
    """Refuse bounds under which not even one append could be under way."""
    within("max_unacked_bytes", max_bytes, MAX_BATCH_BYTES, MAX_U64)
    if max_batches is not None:
        within("max_unacked_batches", max_batches, 1, MAX_U64)


def encryption_key(key: Any) -> Secret | None:
    """Return a stream's key for the header: the base64 of 32 bytes, given as bytes or as base64.

    This never raises, as the caller's variable still holds the key: see `kit.core.secrets.hidden`.
    """
    if key is None:
        return None
    if isinstance(key, Secret):
        key = key.reveal()
    if not isinstance(key, str | bytes | bytearray):
        return Secret.refused(f"an encryption key must be bytes, or a str of base64, not {type(key).__name__}")
    try:
        raw = bytes(key) if isinstance(key, bytes | bytearray) else base64.b64decode(key.strip(), validate=True)
    except ValueError:
        return Secret.refused("an encryption key given as a str must be base64")
    if len(raw) != KEY_BYTES:
        return Secret.refused(f"an encryption key has {KEY_BYTES} bytes; this one has {len(raw)}")
    return Secret(base64.b64encode(raw).decode())
