"""The clock of a client: what time it is, and how the pauses between tries are spent."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, TypeVar

from .errors import InputError

S = TypeVar("S")


class Clock:
    """The time as the system has it, and pauses that last as long as they say.

    A client that is given another one, `clock=`, goes by that: tests need not wait for it (`kit.testing.Clock`).
    """

    def time(self) -> float:
        """Return the seconds since 1970, as far as this machine's time is right."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that only go forward, from some moment on."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait, in this thread."""
        time.sleep(seconds)

    async def wait(self, seconds: float) -> None:
        """Wait, on the running event loop."""
        import asyncio  # with ssl, an eighth of the time of a first call, which blocking clients need not spend

        await asyncio.sleep(seconds)


SYSTEM = Clock()


def clocked(settings: S, clock: Clock | None, refusal: type[InputError]) -> S:
    """Return the settings with this clock; unchanged for None."""
    if clock is None:
        return settings
    given: Any = settings
    return replace(given, clock=checked(clock, refusal))  # type: ignore[no-any-return]


def checked(clock: Any, refusal: type[InputError]) -> Clock:
    """Return the clock; the system's for None."""
    if clock is not None and not isinstance(clock, Clock):
        raise refusal(f"clock={clock!r:.80} is no clock", hint="give a kit.testing.Clock(), or leave it out")
    return SYSTEM if clock is None else clock
