"""The tunable numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..common.env_settings import EnvSettings


@dataclass(frozen=True, slots=True)
class Tuning(EnvSettings):
    """Numbers that a test or a demo may change; each has a variable `KIT_CLAUDE_<NAME>`."""

    prefix: ClassVar[str] = "KIT_CLAUDE_"
    from_zero: ClassVar[tuple[str, ...]] = ("quirks", "token_seconds")

    rate_limit: float = 6000
    """Requests in a window for the lab's own key. The service gives 100, which a notebook run again would exceed."""
    window: float = 60
    """Seconds of the window in which requests are counted."""
    workers: float = 5
    """Prompts that run at once."""
    quirks: float = 0
    """1 to imitate surprising behaviour of the hosted service: projects by key only, tasks charged to `default`, a 500
    for a task that fails, no budget for batches, 403 for a missing key, chat on the WebSocket without a key."""
    token_seconds: float = 0.01
    """Between two pieces on the WebSocket."""

    @property
    def real(self) -> bool:
        return bool(self.quirks)
