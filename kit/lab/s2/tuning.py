"""What may be tuned, and the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from ..tuned import Tuned


@dataclass(frozen=True, slots=True)
class Tuning(Tuned):
    """What a test or a demo may want otherwise; each has a variable `KIT_S2_<NAME>`, in seconds."""

    prefix: ClassVar[str] = "KIT_S2_"

    heartbeat_least: float = 5
    heartbeat_most: float = 15
    """Between these, at random, a session that has nothing to send says where the tail is."""
    deletion: float = 1
    """How long something stays that is being deleted."""
    sweep: float = 0.5
    """Between rounds of removing what was trimmed, has expired or is deleted."""
    patience: float = 30
    """For the next piece of a request's body."""
    stall: float = 600
    """For a client to take what was sent to it."""


def now() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000
