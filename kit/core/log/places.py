"""Where to start and end in a log: the same forms for every log.

7, np.uint64(7)                          a position
"earliest", "latest", "tail"             the first record there is, the end
"tail-100"                               that many records before the end
a datetime with a zone, "2026-11-29", …  a time; dates, numpy's times and texts without a zone are in UTC
"-1h", "15m ago", "yesterday",           a time from now; a length of time means so long ago
timedelta(hours=1), pd.Timedelta("1h")
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from ..errors import InputError, KitError
from ..words import nearest


@dataclass(frozen=True)
class At:
    """A position."""

    position: int


@dataclass(frozen=True)
class FromEnd:
    """A number of records before the end."""

    count: int


END = FromEnd(0)


@dataclass(frozen=True)
class Moment:
    """A time, in milliseconds since 1970."""

    milliseconds: int
    beyond: int = 0
    """Nanoseconds after them."""

    @classmethod
    def of(cls, nanoseconds: int) -> Moment:
        """Return a time by its nanoseconds since 1970."""
        return cls(*divmod(nanoseconds, 1_000_000))

    @property
    def nanoseconds(self) -> int:
        """The time in nanoseconds since 1970."""
        return self.milliseconds * 1_000_000 + self.beyond

    @property
    def ceiling(self) -> int:
        """The first whole millisecond that is not before it: records with times of that precision are compared so."""
        return self.milliseconds + (self.beyond > 0)


Place = At | FromEnd | Moment

_TAIL = re.compile(r"(?:tail|latest|end)(?:\s*-\s*(\d+))?")
_AGO = re.compile(r"(-)?\s*(\d+(?:\.\d+)?)\s*([a-zµ]+)(\s+ago)?", re.IGNORECASE)
_UNITS = {
    "ms": 1,
    "s": 1000,
    "sec": 1000,
    "second": 1000,
    "m": 60_000,
    "min": 60_000,
    "minute": 60_000,
    "h": 3_600_000,
    "hr": 3_600_000,
    "hour": 3_600_000,
    "d": 86_400_000,
    "day": 86_400_000,
    "w": 604_800_000,
    "week": 604_800_000,
}
_WORDS = ("earliest", "latest", "tail", "now", "today", "yesterday")
FORMS = 'give a position, "earliest", "latest", "tail-100", a time with a zone, or a time from now like "-1h"'


def place_of(
    given: Any, what: str = "start", refuse: type[KitError] = InputError, now: Callable[[], float] = time.time
) -> Place:
    """Return the position, time or distance that is meant; raise if it is none of these or ambiguous.

    >>> place_of(5), place_of("tail-100"), place_of("2026-01-02"), place_of("15m ago", now=lambda: 900.0)
    (At(position=5), FromEnd(count=100), Moment(milliseconds=1767312000000, beyond=0), Moment(milliseconds=0, beyond=0))
    """
    if isinstance(given, str):
        return _of_text(given, what, refuse, now)
    if hasattr(given, "__index__") and not isinstance(given, bool) and type(given).__name__ not in ("bool", "bool_"):
        position = int(given.__index__())
        if not 0 <= position < 2**64:
            hint = f'"tail-{-position}" means that many before the end' if position < 0 else FORMS
            raise refuse(f"{what}={given!r}: positions go from 0 to 2**64 - 1", hint=hint)
        return At(position)
    nanoseconds = _nanoseconds(given, what, refuse, now)
    if nanoseconds is None:
        raise refuse(f"{what}={given!r} is not a position in a log", hint=FORMS)
    return Moment.of(nanoseconds)


def count_of(given: Any, what: str = "limit", refuse: type[KitError] = InputError) -> int | None:
    """Return a number of records, None for all; numpy's and pandas' numbers count too.

    >>> count_of(3), count_of(None)
    (3, None)
    """
    if given is None:
        return None
    if hasattr(given, "__index__") and not isinstance(given, bool) and int(given.__index__()) >= 0:
        return int(given.__index__())
    raise refuse(f"{what}={given!r}: give a number from 0 up")


def _of_text(given: str, what: str, refuse: type[KitError], now: Callable[[], float]) -> Place:
    text = given.strip().lower()
    if text == "earliest":
        return At(0)
    if match := _TAIL.fullmatch(text):
        return FromEnd(int(match[1] or 0))
    nanoseconds = _nanoseconds_of_text(given.strip(), now)
    if nanoseconds is not None:
        return Moment.of(nanoseconds)
    if (match := _AGO.fullmatch(text)) and _unit(match[3]) and not (match[1] or match[4]):
        raise refuse(f"{what}={given!r} may mean a past or a future time", hint=f'write "-{text}", or "{text} ago"')
    raise refuse(f"{what}={given!r} is not a position in a log", hint=nearest(text, _WORDS) or FORMS)


def _nanoseconds_of_text(text: str, now: Callable[[], float]) -> int | None:
    current, word = round(now() * 1000), text.lower()
    if word == "now":
        return current * _MS
    if word in ("today", "yesterday"):
        return (current // 86_400_000 * 86_400_000 - (86_400_000 if word == "yesterday" else 0)) * _MS
    if (match := _AGO.fullmatch(text)) and bool(match[1]) != bool(match[4]) and (unit := _unit(match[3])):
        return round(current - float(match[2]) * unit) * _MS
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # Python leaves out what is beyond microseconds.
    beyond = int(match[1].ljust(3, "0")) if (match := _BEYOND.search(text)) else 0
    return _since_1970(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) + beyond


def _unit(word: str) -> int | None:
    word = word.lower()
    return _UNITS.get(word) or _UNITS.get(word.removesuffix("s"))


def _nanoseconds(given: Any, what: str, refuse: type[KitError], now: Callable[[], float]) -> int | None:
    """Return nanoseconds since 1970, rounded down."""
    if isinstance(given, datetime):
        if given != given:  # pandas' NaT
            return None
        if given.tzinfo is None:
            raise refuse(
                f"{what}={given!r} has no zone, and what that means differs between Python and pandas",
                hint="give datetime.now(UTC), or ts.tz_localize(...) for pandas' times; a text without a zone is UTC",
            )
        return _since_1970(given) + getattr(given, "nanosecond", 0)
    if isinstance(given, date):
        return _since_1970(datetime(given.year, given.month, given.day, tzinfo=UTC))
    if isinstance(given, timedelta):
        return round(now() * 1000) * _MS - abs(given) // _MICROSECOND * 1000 if given == given else None
    if type(given).__module__ == "numpy" and type(given).__name__ in ("datetime64", "timedelta64"):
        import numpy as np

        if np.isnat(given):
            return None
        # In nanoseconds numpy has no more than three centuries; only what has them is taken so.
        unit = "ns" if np.datetime_data(given)[0] in ("ns", "ps", "fs", "as") else "us"
        count = int(given.astype(f"{type(given).__name__}[{unit}]").astype("int64")) * (1 if unit == "ns" else 1000)
        return count if type(given).__name__ == "datetime64" else round(now() * 1000) * _MS - abs(count)
    return None


_MS = 1_000_000
_MICROSECOND = timedelta(microseconds=1)
_BEYOND = re.compile(r"[.,]\d{6}(\d{1,3})")


def _since_1970(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND * 1000
