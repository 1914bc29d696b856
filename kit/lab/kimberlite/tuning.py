"""What may be tuned."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from ...core.errors import SetupError


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a test or a demo may want otherwise; each has a variable `KIT_KIMBERLITE_<NAME>`, in seconds."""

    idle: float = 300
    """Without a byte from a client, before the connection is closed."""
    statement: float = 10
    """For one statement of SQL."""
    stall: float = 60
    """For a client to take what was sent to it."""

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Tuning:
        given = {}
        for name in cls.__slots__:
            variable = f"KIT_KIMBERLITE_{name.upper()}"
            if environment.get(variable):
                try:
                    given[name] = float(environment[variable])
                except ValueError:
                    given[name] = math.nan
                if not 0 < given[name] < math.inf:
                    raise SetupError(f"{variable} must be a number above 0")
        return cls(**given)
