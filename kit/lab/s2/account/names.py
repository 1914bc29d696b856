"""Names of basins, streams and tokens, checked as in the service."""

from __future__ import annotations

import re

from ....s2.limits import MAX_STREAM_NAME, MAX_TOKEN_ID

_EDGE = re.compile(r"[a-z0-9]")
_BASIN = re.compile(r"[a-z0-9-]*")
_BASIN_LEAST, _BASIN_MOST = 8, 48
_LOCATION = re.compile(r"[A-Za-z0-9:.-]+")
_LOCATION_MOST = 64


def basin_fault(name: str) -> str | None:
    """Return what keeps this from being a basin's name.

    >>> basin_fault("short"), basin_fault("orders-eu")
    ('basin name should be at least 8 bytes in length', None)
    """
    if len(name.encode("utf-8", "replace")) < _BASIN_LEAST:
        return f"basin name should be at least {_BASIN_LEAST} bytes in length"
    return _basin_text_fault(name, "basin name") or (
        None if _EDGE.match(name[-1]) else "basin name must end with a lowercase letter or number"
    )


def basin_prefix_fault(prefix: str) -> str | None:
    """Return what keeps this from being how a basin's name begins."""
    return _basin_text_fault(prefix, "basin prefix") if prefix else None


def _basin_text_fault(name: str, what: str) -> str | None:
    if len(name.encode("utf-8", "replace")) > _BASIN_MOST:
        return f"{what} must not exceed {_BASIN_MOST} bytes in length"
    if not _EDGE.match(name[0]):
        return f"{what} must begin with a lowercase letter or number"
    if not _BASIN.fullmatch(name):
        return f"{what} must comprise lowercase letters, numbers, and hyphens"
    return None


def stream_fault(name: str) -> str | None:
    """Return what keeps this from being a stream's name."""
    return _id_fault(name, "stream name", MAX_STREAM_NAME)


def token_fault(id: str) -> str | None:
    """Return what keeps this from being a token's id."""
    return _id_fault(id, "access token id", MAX_TOKEN_ID)


def prefix_fault(prefix: str, what: str, most: int) -> str | None:
    """Return what keeps this from being how a stream's name or a token's id begins."""
    try:
        size = len(prefix.encode())
    except UnicodeEncodeError:  # JSON can contain halves of characters
        return f"{what} must be Unicode text"
    if size > most:
        return f"{what} must not exceed {most} bytes in length"
    return f"{what} must not contain NUL bytes" if "\0" in prefix else None


def location_fault(name: str) -> str | None:
    """Return what keeps this from being a location's name."""
    if not 1 <= len(name) <= _LOCATION_MOST:
        return f"location name must have 1 to {_LOCATION_MOST} characters"
    if not _LOCATION.fullmatch(name):
        return "location name must comprise ASCII letters, numbers, colons, hyphens, and periods"
    return None


def _id_fault(name: str, what: str, most: int) -> str | None:
    if not name:
        return f"{what} must not be empty"
    if name in (".", ".."):
        return f'{what} must not be "." or ".."'
    return prefix_fault(name, what, most)
