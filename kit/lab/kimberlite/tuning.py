"""The tunable numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..tuned import Tuned


@dataclass(frozen=True, slots=True)
class Tuning(Tuned):
    """Numbers that a test or a demo may change; each has a variable `KIT_KIMBERLITE_<NAME>`, in seconds."""

    prefix: ClassVar[str] = "KIT_KIMBERLITE_"

    idle: float = 300
    """How long a client may be silent before the connection is closed."""
    statement: float = 10
    """The time limit for one statement of SQL."""
    stall: float = 60
    """How long a client may take to read what was sent to it."""
