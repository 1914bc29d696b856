"""How fast this machine is: bounds of time in tests are meant for an ordinary one, and are wider on a slower one."""

from __future__ import annotations

import functools
import time

_TURNS = 200_000
_ORDINARY = 0.01
"""Seconds that an ordinary machine takes for so many turns of a loop."""
_SLOWEST = 5.0
"""A machine that is slower still is not believed: a bound without end would find nothing."""


@functools.cache
def slowness() -> float:
    """Return how many times the processor time of an ordinary machine this one takes; at least 1."""
    took = []
    for _ in range(7):
        before, total = time.thread_time(), 0
        for turn in range(_TURNS):
            total += turn & 7
        took.append(time.thread_time() - before)
    return min(max(min(took) / _ORDINARY, 1.0), _SLOWEST)
