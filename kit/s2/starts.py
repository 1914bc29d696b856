"""Where to start and end a read, in the forms that a notebook has at hand."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from .errors import S2InputError
from .reading import Start
from .types import SeqNum, TailOffset, Timestamp

_TAIL = re.compile(r"tail(?:\s*-\s*(\d+))?")
_FORMS = (
    'give a sequence number, a datetime, "tail-100" for the last hundred, or SeqNum, Timestamp, TailOffset of kit.s2'
)


def start_of(given: Any) -> Start:
    """A start of the reference's kinds.

    >>> start_of(5), start_of("tail-100"), start_of("2026-01-02T00:00:00Z")
    (SeqNum(value=5), TailOffset(value=100), Timestamp(value=1767312000000))
    """
    if isinstance(given, SeqNum | Timestamp | TailOffset):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return SeqNum(given)
    if isinstance(given, str) and (found := _TAIL.fullmatch(given.strip().lower())):
        return TailOffset(int(found[1] or 0))
    milliseconds = milliseconds_of(given)
    if milliseconds is None:
        raise S2InputError(f"start={given!r} is no place in a stream", hint=_FORMS)
    return Timestamp(milliseconds)


def until_of(given: Any) -> int | None:
    """An end in milliseconds, exclusive."""
    if given is None or (isinstance(given, int) and not isinstance(given, bool)):
        return given
    milliseconds = given.value if isinstance(given, Timestamp) else milliseconds_of(given)
    if milliseconds is None:
        raise S2InputError(f"until={given!r} is no time", hint="give a datetime, or milliseconds since 1970")
    return milliseconds


def milliseconds_of(given: Any) -> int | None:
    """Milliseconds since 1970, of a datetime (pandas' too) or of its text; without a zone it is UTC."""
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given)
        except ValueError:
            return None
    if not isinstance(given, datetime):
        return None
    import pandas as pd

    moment = pd.Timestamp(given)
    moment = moment.tz_localize("UTC") if moment.tz is None else moment.tz_convert("UTC")
    return int(moment.as_unit("ms").asm8.astype("int64"))
