"""How many prompts may be under way, learned from the service's answers. No I/O and no clock."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from ....core.http.retry import grown

WORKERS, QUEUE = 5, 50
"""The assumed number of prompts that the service runs at once, and that may wait, if it does not report them."""
_LONGEST = 5.0
"""The longest pause in seconds before a service that refused is asked again; refusals cost nothing."""


@dataclass(slots=True)
class Pace:
    """The number of the service's places that may be used. Times are seconds of the caller's clock.

    >>> pace = Pace()
    >>> pace.room(0, 5), pace.room(10, 5)
    (True, False)
    >>> pace.succeeded(10)
    >>> pace.room(10, 5)
    True
    """

    workers: int = WORKERS
    most: int = WORKERS + QUEUE
    places: int = 2 * WORKERS
    opens: float = 0.0
    """The time from which requests may be sent again; all wait for it."""
    refusals: int = 0
    """Refusals in a row; after one, requests are sent one at a time until one succeeds."""

    def adjust(self, health: Mapping[str, Any]) -> None:
        """Use the number of places that `/health` reports, if it does."""
        services = health.get("services")
        pool = services.get("worker_pool") if isinstance(services, dict) else None
        detail = pool.get("detail") if isinstance(pool, dict) else None
        counts = [
            value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**6 else None
            for name in ("max_workers", "max_queue", "active_workers", "queued_tasks")
            for value in [detail.get(name) if isinstance(detail, dict) else None]
        ]
        workers, queue, active, queued = counts
        if workers:
            self.workers = workers
            self.most = max(1, workers + (QUEUE if queue is None else queue) - (active or 0) - (queued or 0))
            self.places = min(self.most, 2 * workers)

    def room(self, under_way: int, size: int) -> bool:
        """Return whether a request of that many prompts may go beside those under way."""
        return under_way == 0 or (self.refusals == 0 and under_way + size <= self.places)

    def succeeded(self, count: int) -> None:
        """Note that this many prompts were answered: there may be room for as many more."""
        self.refusals = 0
        # More than a few for each running one would only wait there, and be lost if an answer is lost.
        self.places = min(self.most, max(4 * self.workers, 2 * count), self.places + count)

    def full(self, now: float, until: float, pause: float | None = None) -> float | None:
        """Return the pause after a 503, and allow fewer at once; None when no patience is left."""
        self.places = max(1, self.places // 2)
        return self._wait(now, until, pause, math.inf)

    def limited(
        self, now: float, until: float, pause: float | None = None, date: str | None = None, clock: float = 0.0
    ) -> float | None:
        """Return the wait after a 429, until the service's next minute, by its `Date` or else by this machine's clock.

        Servers may count in other windows: one request looks in between, which costs nothing, as it is refused.
        """
        return self._wait(now, until, pause, 60 - _second(date, clock) + 0.1)

    def _wait(self, now: float, until: float, seconds: float | None, boundary: float) -> float | None:
        left = until - now
        if left <= 0:
            return None
        self.refusals += 1
        pause = min(left, grown(0.5, min(_LONGEST, boundary), self.refusals) if seconds is None else seconds)
        self.opens = max(self.opens, now + pause)
        return pause


def _second(date: str | None, clock: float) -> float:
    """Return the second of the minute."""
    if date:
        try:
            return float(parsedate_to_datetime(date).astimezone(UTC).second)
        except (TypeError, ValueError):
            pass  # not a date: use this machine's clock
    return clock % 60
