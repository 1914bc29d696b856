"""Times in tables. SQLite has no type for them, so they are stored as marked bytes that sort as times do.

Bytes of this form keep their type through all operations of SQL: MAX, CASE, a derived table, a UNION.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

MARK = b"\xfets\x00"
_SIZE = 12
_SHIFT = 1 << 63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FINER = re.compile(r"[.,]\d{6}(\d{1,3})")


def stamp(nanoseconds: int) -> bytes:
    """Return the form of a time in a table; raise ValueError for one that 64 bits of nanoseconds do not reach."""
    try:
        return MARK + (nanoseconds + _SHIFT).to_bytes(8, "big")
    except OverflowError:
        raise ValueError("a time must be between 1677-09-21T00:12:43.2Z and 2262-04-11T23:47:16.8Z") from None


def is_stamp(value: object) -> bool:
    """Return whether a value from a table is a time."""
    return isinstance(value, bytes) and len(value) == _SIZE and value.startswith(MARK)


def nanoseconds(value: bytes) -> int:
    """Return the time that is kept so.

    >>> nanoseconds(stamp(-5))
    -5
    """
    return int.from_bytes(value[len(MARK) :], "big") - _SHIFT


def as_datetime(value: bytes) -> datetime:
    """Return the time, truncated to microseconds."""
    return _EPOCH + timedelta(microseconds=nanoseconds(value) // 1000)


def of_datetime(time: datetime) -> bytes:
    """Return the form of a time in a table; one without a zone is in UTC."""
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return stamp((time - _EPOCH) // timedelta(microseconds=1) * 1000)


def of_text(text: str) -> bytes:
    """Return the stored form of an RFC 3339 time; raise ValueError for any other text.

    >>> shown(of_text("2021-01-01T01:00:00.123456789+01:00"))
    '2021-01-01T00:00:00.123456789Z'
    """
    time = of_datetime(datetime.fromisoformat(text.strip()))
    finer = _FINER.search(text)
    # Python drops what is behind the microseconds.
    return time if finer is None else stamp(nanoseconds(time) + int(finer[1].ljust(3, "0")))


def shown(value: bytes) -> str:
    """Return the time as text.

    >>> shown(stamp(1609459200000000000))
    '2021-01-01T00:00:00Z'
    """
    time = as_datetime(value)
    rest = nanoseconds(value) % 1_000_000_000
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{time:%Y-%m-%dT%H:%M:%S}{fraction}Z"
