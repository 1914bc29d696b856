"""Moments in words."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(milliseconds: int) -> str:
    """A time since 1970 as people read it; numbers that are no such time stay numbers.

    >>> moment(1_767_225_600_000), moment(7 * 10**18)
    ('2026-01-01 00:00:00 UTC', '7000000000000000000')
    """
    try:
        return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return str(milliseconds)
