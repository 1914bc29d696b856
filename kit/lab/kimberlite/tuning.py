"""The tunable numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..common.env_settings import EnvSettings


@dataclass(frozen=True, slots=True)
class Tuning(EnvSettings):
    """Numbers that a test or a demo may change; each has a variable `KIT_KIMBERLITE_<NAME>`."""

    prefix: ClassVar[str] = "KIT_KIMBERLITE_"
    from_zero: ClassVar[tuple[str, ...]] = ("extensions",)

    idle: float = 300
    """Seconds that a client may be silent before the connection is closed."""
    statement: float = 10
    """Seconds that one statement of SQL may take."""
    stall: float = 60
    """Seconds that a client may take to read what was sent to it."""
    extensions: float = 1
    """0 for a server without those of `kit.kimberlite.wire.extensions`, as the real one is."""
