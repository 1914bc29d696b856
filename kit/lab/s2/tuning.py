"""The tunable numbers, and the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from ..common.env_settings import EnvSettings


@dataclass(frozen=True, slots=True)
class Tuning(EnvSettings):
    """Numbers that a test or a demo may change; each has a variable `KIT_S2_<NAME>`, in seconds."""

    prefix: ClassVar[str] = "KIT_S2_"

    heartbeat_least: float = 5
    heartbeat_most: float = 15
    """The bounds of the random pause after which an idle session sends the tail."""
    deletion: float = 1
    """How long a deletion takes."""
    sweep: float = 0.5
    """The pause between two rounds of the sweeper."""
    patience: float = 30
    """How long the next piece of a request's body may take."""
    stall: float = 600
    """How long a client may take to read what was sent to it."""


def now() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000
