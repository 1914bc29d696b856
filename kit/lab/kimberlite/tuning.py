"""What may be tuned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..tuned import Tuned


@dataclass(frozen=True, slots=True)
class Tuning(Tuned):
    """What a test or a demo may want otherwise; each has a variable `KIT_KIMBERLITE_<NAME>`, in seconds."""

    prefix: ClassVar[str] = "KIT_KIMBERLITE_"

    idle: float = 300
    """Without a byte from a client, before the connection is closed."""
    statement: float = 10
    """For one statement of SQL."""
    stall: float = 60
    """For a client to take what was sent to it."""
