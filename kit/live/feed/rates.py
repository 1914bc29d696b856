"""How fast rows come: over one second, ten, and a minute; and in each second of the last hour."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

STEP = 0.25
HOUR = 3600


class Rates:
    """Counts rows and bytes by the time at which they came.

    >>> clock = iter([0.0, 0.0, 0.5, 1.0]).__next__
    >>> rates = Rates(clock, lambda: 1_000.0)
    >>> rates.add(10, 100), rates.add(10, 100)
    (None, None)
    >>> rates.over(10)
    (20.0, 200.0)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._started = clock()
        self.began_at = wall()
        """When it began, in epoch seconds."""
        self._recent: deque[list[float]] = deque()
        self._seconds: deque[list[float]] = deque(maxlen=HOUR)

    def add(self, rows: int, size: int) -> None:
        """Count rows and bytes that came now."""
        now = self._clock() - self._started
        slot = now // STEP
        if self._recent and self._recent[-1][0] == slot:
            self._recent[-1][1] += rows
            self._recent[-1][2] += size
        else:
            self._recent.append([slot, rows, size])
            while self._recent[0][0] < slot - 61 / STEP:
                self._recent.popleft()
        second = float(int(now))
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += rows
            self._seconds[-1][2] += size
        else:
            self._seconds.append([second, rows, size])

    def over(self, seconds: float) -> tuple[float, float]:
        """Return rows and bytes per second over the last `seconds`, or since the start if that is shorter."""
        now = self._clock() - self._started
        since = now // STEP - seconds / STEP
        rows = size = 0.0
        for slot, some, more in reversed(self._recent):
            if slot <= since:
                break
            rows += some
            size += more
        span = max(min(seconds, now), STEP)
        return rows / span, size / span

    def line(self, points: int = 60) -> list[float]:
        """Return the number of rows in each of the last full seconds, oldest first."""
        now = int(self._clock() - self._started)
        line = [0.0] * points
        for second, rows, _ in reversed(self._seconds):
            at = points - int(now - second)
            if at < 0:
                break
            if at < points:
                line[at] = rows
        return line

    def seconds(self) -> list[tuple[float, float, float]]:
        """Return second (since the start), rows and bytes for each second of the last hour in which something came."""
        return [(second, rows, size) for second, rows, size in self._seconds]
