"""What may be tuned, and the clock."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ...core.errors import SetupError


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a test or a demo may want otherwise; each has a variable `KIT_S2_<NAME>`, in seconds."""

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

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Tuning:
        given = {}
        for name in cls.__slots__:
            variable = f"KIT_S2_{name.upper()}"
            if environment.get(variable):
                try:
                    given[name] = float(environment[variable])
                except ValueError:
                    given[name] = math.nan
                if not 0 < given[name] < math.inf:
                    raise SetupError(f"{variable} must be a number above 0")
        return cls(**given)


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
