"""What may be tuned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..tuned import Tuned


@dataclass(frozen=True, slots=True)
class Tuning(Tuned):
    """What a test or a demo may want otherwise; each has a variable `KIT_SYNAP_<NAME>`."""

    prefix: ClassVar[str] = "KIT_SYNAP_"

    idle: float = 300
    """Seconds without a frame from a SynapRPC client, before its connection is closed."""
    events: float = 10_000
    """Events that a room keeps."""
    unread: float = 100_000
    """Events that a room keeps while a subscriber has not read them."""
    retention: float = 3600
    """Seconds that an event is kept."""
    sweep: float = 1
    """Seconds between looks for deadlines that have passed."""
