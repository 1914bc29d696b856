"""When to repeat a request, as data and one pure function.

This module knows no service: each service's package states its own policy. A request that may have been received is
repeated only if it is safe to repeat, or if the policy says that the status proves that the service did nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

# A server may ask for any pause; a notebook cell should not sleep for an hour because of it.
LONGEST_PAUSE = 300.0


@dataclass(frozen=True, slots=True)
class Policy:
    """How often, how long and after what a request is repeated."""

    attempts: int = 4
    base: float = 0.5
    cap: float = 8.0
    statuses: frozenset[int] = frozenset({429, 500, 502, 503, 504})
    refused: frozenset[int] = frozenset({429})
    """Statuses that prove that the service did nothing; after these, even unsafe requests are repeated."""
    deadline: float | None = None
    """Seconds for all attempts and pauses together."""
    spread: tuple[float, float] = (0.0, 1.0)
    """The least and the most of a pause, as parts of its base that grows."""


ONCE = Policy(attempts=1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended: with a status, or without an answer (`status` 0) and perhaps received."""

    status: int = 0
    maybe_received: bool = True
    asked_pause: float | None = None
    """The pause that the service asked for, in seconds."""


def pause_before_retry(
    policy: Policy,
    outcome: Outcome,
    *,
    attempt: int,
    elapsed: float = 0.0,
    safe: bool = True,
    jitter: Callable[[], float] = random.random,
) -> float | None:
    """Return the seconds to wait before the next attempt, or None to give up. `attempt` is the number of attempts made.

    >>> pause_before_retry(Policy(base=1), Outcome(503), attempt=2, jitter=lambda: 1.0)
    2.0
    >>> pause_before_retry(Policy(), Outcome(404), attempt=1) is None
    True
    """
    if attempt >= policy.attempts:
        return None
    if outcome.status:
        if outcome.status not in policy.statuses:
            return None
        if not safe and outcome.status not in policy.refused:
            return None
    elif outcome.maybe_received and not safe:
        return None
    # At random: clients that failed together must not come back together.
    least, most = policy.spread
    pause = grown(policy.base, policy.cap, attempt) * (least + (most - least) * jitter())
    if outcome.asked_pause is not None:
        if outcome.asked_pause > LONGEST_PAUSE:
            return None
        pause = max(pause, outcome.asked_pause)
    if policy.deadline is not None and elapsed + pause > policy.deadline:
        return None
    return pause


def grown(base: float, cap: float, failures: int) -> float:
    """Return a pause that doubles with each failure in a row, up to a cap.

    >>> [grown(0.5, 8.0, failures) for failures in (1, 2, 3, 5000)]
    [0.5, 1.0, 2.0, 8.0]
    """
    return min(cap, base * 2.0 ** min(failures - 1, 60))


def retry_after(headers: Mapping[str, str], *, now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds that a `Retry-After` header asks for; it may contain a number or an HTTP date.

    A date is compared with the `Date` header of the answer, because the clock of this machine may differ.

    >>> retry_after({"retry-after": "7"})
    7.0
    >>> retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, now=lambda: 15.0)
    45.0
    >>> retry_after({"retry-after": "soon"}) is None
    True
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = _moment(text) - _now_of(headers, now)
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds and seconds != float("inf") else None


def _moment(text: str) -> float:
    import email.utils  # half of the load time of this package, for a header that few servers send

    return email.utils.parsedate_to_datetime(text).timestamp()


def _now_of(headers: Mapping[str, str], now: Callable[[], float]) -> float:
    try:
        return _moment(headers["date"])
    except (KeyError, ValueError, TypeError, OverflowError):
        return now()
