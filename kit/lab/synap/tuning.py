"""The tunable numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..common.env_settings import EnvSettings


@dataclass(frozen=True, slots=True)
class Tuning(EnvSettings):
    """Numbers that a test or a demo may change; each has a variable `KIT_SYNAP_<NAME>`."""

    prefix: ClassVar[str] = "KIT_SYNAP_"

    idle: float = 300
    """Seconds without a frame before the connection of a SynapRPC client is closed."""
    events: float = 10_000
    """Events that a room keeps."""
    unread: float = 100_000
    """Events that a room keeps while a subscriber has not read them."""
    retention: float = 3600
    """Seconds that an event is kept."""
    sweep: float = 1
    """Seconds between two checks for passed deadlines."""
