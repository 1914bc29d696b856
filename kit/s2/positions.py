"""Where a record is in its stream, and where a read begins."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class StreamPosition:
    """Where a record is in its stream."""

    seq_num: int
    timestamp: int


@dataclass(slots=True)
class SeqNum:
    """Reads from this sequence number on."""

    value: int


@dataclass(slots=True)
class Timestamp:
    """Reads from the first record of this time on, in milliseconds since 1970."""

    value: int


@dataclass(slots=True)
class TailOffset:
    """Reads the last `value` records, and the records that come after them."""

    value: int
