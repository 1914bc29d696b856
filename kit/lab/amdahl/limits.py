"""The rate limit, and the tunable numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from ..common.env_settings import EnvSettings


@dataclass(frozen=True, slots=True)
class Tuning(EnvSettings):
    """Numbers that a test or a demo may change; each has a variable `KIT_AMDAHL_<NAME>`."""

    prefix: ClassVar[str] = "KIT_AMDAHL_"

    rate_limit: float = 6000
    """Requests a minute. The hosted service allows 100, which a notebook that is run again and again would exceed."""
    query_seconds: float = 10
    ping_seconds: float = 15
    """Between keep-alive comments on a stream."""
    retry_seconds: float = 0.2
    """Before the first repeat of a webhook delivery; doubles each time."""


@dataclass(frozen=True, slots=True)
class Verdict:
    allowed: bool
    remaining: int
    reset: int
    """When the count starts again, in epoch seconds."""
    wait: int
    """Seconds until then."""


class RateLimit:
    """A number of requests in each minute, counted from the first one.

    >>> limit = RateLimit(2, clock=lambda: 100.0)
    >>> [limit.take().allowed for _ in range(3)]
    [True, True, False]
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = per_minute
        self._clock = clock
        self._ends = -math.inf
        self._taken = 0

    def take(self) -> Verdict:
        """Count one request."""
        now = self._clock()
        if now >= self._ends:
            self._ends, self._taken = now + 60, 0
        allowed = self._taken < self._limit
        self._taken += allowed
        wait = max(1, math.ceil(self._ends - now))
        return Verdict(allowed, self._limit - self._taken, math.ceil(time.time()) + wait, wait)
