"""What the lab's server does beyond the protocol: each name once, for the client and the server."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

EVENTS_TABLE, STREAMS_TABLE = "kit_events", "kit_streams"
BATCH_GROUP = "kit-batch"
TYPES_MARK = "kit.types.v1"
"""The capability of a server that sends types, and the marker that precedes them."""


@dataclass(frozen=True, slots=True)
class Extensions:
    """What a server has told that it does beyond the protocol. A client asks for nothing else."""

    events: bool = False
    """A table that tells when, and in which order over all streams, events were stored."""
    streams: bool = False
    """A table of the streams, with their names."""
    types: bool = False
    """The types of a result's columns, sent after its rows. Such a server keeps every value of these types."""
    batches: bool = False
    """Several events in one push for subscribers of one consumer group. Official clients lose all but the first. Such
    a server pushes new events by itself."""

    @classmethod
    def of(cls, capabilities: Collection[str]) -> Self:
        """Return what is among the capabilities that a server tells."""
        return cls(*(name in capabilities for name in _NAMES.values()))

    def names(self) -> list[str]:
        """Return the capabilities to tell.

        >>> Extensions(batches=True).names(), Extensions().names()
        (['kit.batch.v1'], [])
        """
        return [name for field, name in _NAMES.items() if getattr(self, field)]


_NAMES = {"events": "kit.events.v1", "streams": "kit.streams.v1", "types": TYPES_MARK, "batches": "kit.batch.v1"}
EVERYTHING = Extensions(True, True, True, True)
