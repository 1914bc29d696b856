"""The reference's retry helper."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

from ...core.http.operations import Tries, pause_in
from ...core.http.retry import Outcome, Policy
from ..errors import AmdahlError

T = TypeVar("T")


@overload
def with_retry(fn: Callable[[], Awaitable[T]], *, max_attempts: int = 4, base_s: float = 0.5) -> Awaitable[T]: ...
@overload
def with_retry(fn: Callable[[], T], *, max_attempts: int = 4, base_s: float = 0.5) -> T: ...
def with_retry(fn: Callable[[], object], *, max_attempts: int = 4, base_s: float = 0.5) -> object:
    """Return the result of `fn()`, retried on 429 and 5xx with growing pauses, at most `max_attempts` times in all.

    >>> with_retry(lambda: 7)
    7

    A pause that the service asks for is honoured. Where `fn` gives an awaitable, so does this.
    """
    tries = Tries(Policy(attempts=max_attempts, base=base_s, cap=60.0))
    while True:
        try:
            result = fn()
        except AmdahlError as error:
            time.sleep(_pause(tries, error))
            continue
        return _awaited(fn, result, tries) if inspect.isawaitable(result) else result


async def _awaited(fn: Callable[[], object], first: Awaitable[T], tries: Tries) -> T:
    while True:
        try:
            return await first
        except AmdahlError as error:
            await asyncio.sleep(_pause(tries, error))
            first = fn()  # type: ignore[assignment]


def _pause(tries: Tries, error: AmdahlError) -> float:
    """Return seconds to wait after an error; raises it where it is final."""
    # The reference retries every status from 500 up, also those that no policy lists.
    status = 500 if error.status > 500 else error.status
    seconds = error.retry_after if error.retry_after is not None else pause_in(error.body)
    pause = tries.pause(Outcome(status, asked_pause=seconds))
    if pause is None:
        raise error
    return pause
