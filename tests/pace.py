"""How fast this machine is: bounds of time in tests are meant for an ordinary one, and are wider on a slower one."""

from __future__ import annotations

import time

_TURNS = 200_000
_ORDINARY = 0.01
"""Seconds that an ordinary machine takes for so many turns of a loop."""
_SLOWEST = 10.0
"""A machine that is slower still is not believed: a bound without end would find nothing."""


def slowness() -> float:
    """Return how many times the processor time of an ordinary machine this one takes just now; at least 1.

    Not once for all: what else runs on the same core makes it slower for a while.
    """
    took = []
    for _ in range(5):
        before, total = time.thread_time(), 0
        for turn in range(_TURNS):
            total += turn & 7
        took.append(time.thread_time() - before)
    return min(max(sorted(took)[2] / _ORDINARY, 1.0), _SLOWEST)
