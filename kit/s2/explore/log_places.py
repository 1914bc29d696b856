"""Where to start and end a read: the forms that every log takes, and the reference's own types."""

from __future__ import annotations

from typing import Any

from ...core.log import places
from ...core.log.places import At, FromEnd, Moment, Place
from ..client.sessions.reading import Start
from ..errors import S2InputError
from ..positions import SeqNum, TailOffset, Timestamp

_OURS = {SeqNum: At, TailOffset: FromEnd, Timestamp: Moment}


def place_of(given: Any, what: str = "start") -> Place:
    """Return the place that is meant.

    >>> place_of(SeqNum(5)), place_of("tail-100")
    (At(position=5), FromEnd(count=100))
    """
    ours: Any = _OURS.get(type(given))
    place: Place = places.place_of(given, what, S2InputError) if ours is None else ours(given.value)
    return place


def start_of(place: Place) -> Start:
    """Return a position as one of the reference's types.

    >>> start_of(place_of(5)), start_of(place_of("tail-100")), start_of(place_of("2026-01-02T00:00:00Z"))
    (SeqNum(value=5), TailOffset(value=100), Timestamp(value=1767312000000))
    """
    if isinstance(place, At):
        return SeqNum(place.position)
    return TailOffset(place.count) if isinstance(place, FromEnd) else Timestamp(max(0, place.ceiling))
