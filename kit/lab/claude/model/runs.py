"""The replacement of the service's command: it turns a prompt into text and token counts, in a pool of places."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass

from ....claude.wire.prices import cost_of
from ..answers import Refusal
from . import directives, writer

QUEUE = 10
"""Prompts that may wait, for each place in the pool."""
_STDERR = {
    "rate_limited": (429, "API rate limit reached"),
    "overloaded": (503, "upstream is overloaded"),
    "timeout": (504, "the upstream connection timed out"),
    "upstream_error": (502, "upstream server error"),
    "auth_error": (502, "authentication with the upstream failed"),
    "cli_error": (502, "the command failed"),
}


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a run."""

    text: str
    model: str
    input_tokens: int
    output_tokens: int

    @property
    def cost(self) -> float:
        return cost_of(self.model, self.input_tokens, self.output_tokens)

    @property
    def total(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def usage(self) -> dict[str, int]:
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.total,
        }


class TimedOut(Refusal):
    """A run that exceeded its timeout."""

    def __init__(self, seconds: float) -> None:
        super().__init__(504, f"Task timed out after {seconds} seconds")


class Pool:
    """Runs a number of prompts at once; ten times as many may wait, further ones are refused."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.active = 0
        self.waiting = 0
        self._places = asyncio.Semaphore(workers)
        self.answers: dict[str, str] = {}
        """What prompts may ask for by name."""

    @property
    def queue(self) -> int:
        return QUEUE * self.workers

    def admit(self, count: int) -> None:
        """Refuse if that many more runs would not find a place."""
        if self.active + self.waiting + count > self.workers + self.queue:
            raise Refusal(
                503,
                f"Worker pool overloaded: {self.active} active workers, {self.waiting} queued tasks. Try again later.",
            )

    async def run(self, prompt: str, model: str, timeout: float) -> Run:
        """Run one prompt when there is a place."""
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1
        self.active += 1
        try:
            return await _run(prompt, model, timeout, self.answers)
        finally:
            self.active -= 1
            self._places.release()


async def _run(prompt: str, model: str, timeout: float, answers: Mapping[str, str]) -> Run:
    orders, text = directives.read(prompt)
    delay = math.inf if orders.fail == "timeout" else orders.delay
    if delay > timeout:
        await asyncio.sleep(timeout)
        raise TimedOut(timeout)
    if delay:
        await asyncio.sleep(delay)
    if orders.wrong:
        raise _failed("cli_error", orders.wrong)
    if orders.fail in _STDERR:
        raise _failed(orders.fail, _STDERR[orders.fail][1])
    if orders.fail == "json":
        raise Refusal(500, "Failed to parse JSON output: Expecting value: line 1 column 1 (char 0)")
    if orders.fail == "null":
        raise Refusal(500, None)
    if orders.answer and orders.answer not in answers:
        raise _failed("cli_error", f"no answer {orders.answer!r}")
    written = (
        answers[orders.answer] if orders.answer else writer.write(text, model, orders.words, orders.say, orders.shape)
    )
    into, out = orders.tokens or (len(prompt.split()), len(written.split()))
    return Run(written, model, into, out)


def _failed(category: str, stderr: str) -> Refusal:
    return Refusal(
        _STDERR[category][0], f"Process exited with code 1\nStderr: {stderr}", {"x-error-category": category}
    )
