"""Running a batch: as many requests at once as the service has places for, within the limits on spending."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ....core.clock import SYSTEM
from ....core.faces import state_of
from ...errors import ClaudeAPIError, ClaudeInputError, RateLimitError
from ...types import BatchResult, Caller
from ...wire.json_messages import parsed
from ...wire.prices import likely_cost
from ..exchange import ask
from ..guard import Guard
from . import batching
from .pace import Pace
from .work import NOT_RUN, UNKNOWN, Call, Work

_LOOK = 2.0
"""Seconds to wait for the service's state; without an answer the defaults are used."""
_LEAST = 1e-9
"""Differences below this, in USD, are rounding errors."""
_SETTLE = 2.0
"""Seconds to wait until prompts whose answer was lost have ended and are counted."""


@dataclass(slots=True)
class Summary:
    """The summary of a run."""

    warnings: list[str] = field(default_factory=list)
    error: ClaudeAPIError | None = None


class Runner:
    """Sends the calls of a batch. `go` runs it to its end, on the client's loop."""

    def __init__(
        self,
        work: Work,
        guard: Guard,
        *,
        size: int,
        timeout: float,
        project: str | None,
        patience: float,
        side_by_side: int | None,
        looks: bool = True,
    ) -> None:
        self.work, self.guard = work, guard
        self.model: str | None = work.model
        self.max_cost: float | None = None
        self.stopping = False
        """Set to have nothing sent any more; what is under way is still taken in."""
        self.waiting = ""
        """What it waits for, in words; "" while it sends."""
        self.uncertain = 0.0
        """USD that calls under way, and lost ones, are likely to cost."""
        self.unaccounted = 0.0
        """USD that the service has counted beyond what is known here: what lost answers did cost."""
        self._size, self._timeout, self._project = size, timeout, project
        self._patience, self._at_most, self._looks = patience, side_by_side, looks
        self._pace, self._clock = Pace(), SYSTEM
        self._tasks: dict[asyncio.Task[None], int] = {}
        self._summary = Summary()
        self._until = 0.0
        self._before: float | None = None
        """What the service had counted before, beyond what was known here; a run that was cancelled leaves it."""
        self._output = (0, 0)
        self.spent = 0.0
        """USD that the calls which were sent here are known to have cost."""

    @property
    def paid(self) -> float:
        """USD that the calls are known to have cost."""
        return sum(call.cost or 0.0 for call in self.work.calls)

    @property
    def owes(self) -> bool:
        """Whether a run that was cancelled has left what it did cost to be counted."""
        return self._before is not None

    @property
    def under_way(self) -> int:
        """How many prompts are."""
        return sum(self._tasks.values())

    def likely(self, prompt: str) -> float:
        """Return the likely cost of an answer, by those so far."""
        count, tokens = self._output
        if count:
            return likely_cost(prompt, self.model or "sonnet", tokens / count)
        if self.work.spec is not None:
            return likely_cost(prompt, self.model or "sonnet", self.work.spec.likely_tokens)
        return self.guard.likely(prompt, self.model)

    async def go(self, client: Caller, calls: Sequence[Call], *, again: bool) -> Summary:
        """Send calls until all are answered, or something stands in the way; `again` sends lost ones once more."""
        work, self._summary = self.work, Summary()
        self._clock = state_of(client).clock
        work.begin(calls)
        self._until = self._clock.monotonic() + self._patience
        began = False
        try:
            if self.model is None and len(work.queue) > 1:
                # One choice for all, or each request would be routed by its own first prompt.
                first = work.queue[0].prompt
                self.model = await client.drive(
                    batching.route(state_of(client), first, self._project, len(first.split()))
                )
            while True:
                self.waiting = self._pause()
                while work.queue and not self.stopping and not self.waiting:
                    count = min(self._size, len(work.queue), max(1, self._pace.places))
                    busy = len(self._tasks)
                    if not self._pace.room(self.under_way, count) or (self._at_most and busy >= self._at_most):
                        break
                    part = self._affordable(count)
                    if not part:
                        if not busy:
                            self._too_dear()
                        break
                    if self._looks and not began and len(work.queue) > 1:
                        await self._look(client)
                    began = True
                    part = self._claimed([work.queue.popleft() for _ in part], again)
                    if part:
                        self._start(client, part)
                    await asyncio.sleep(0)
                if self._tasks:
                    pause = max(0.0, self._pace.opens - self._clock.monotonic()) if self.waiting else None
                    await asyncio.wait(self._tasks, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                elif work.queue and not self.stopping:
                    await self._clock.wait(max(0.0, min(0.25, self._pace.opens - self._clock.monotonic())))
                elif not self.stopping and work.coming(2 * self._timeout) and self._clock.monotonic() < self._until:
                    self.waiting = "waiting for answers that others have asked for"
                    await self._clock.wait(0.2)
                elif self.stopping or not work.queue:
                    break
            if any(call.result.status == UNKNOWN for call in work.calls):
                await self._account(client)
            self._before = None
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            # Their connections are returned before the caller that cancelled this closes the client.
            await asyncio.gather(*tasks, return_exceptions=True)
            self.waiting = ""
            work.close()
        return self._summary

    def _start(self, client: Caller, part: list[Call]) -> None:
        reserved = self._likely_cost(call.prompt for call in part)
        self.uncertain += reserved
        self.guard.hold(reserved)
        task = asyncio.get_running_loop().create_task(self._send(client, part, reserved))
        self._tasks[task] = len(part)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            if not isinstance(error, ClaudeAPIError):
                error = ClaudeAPIError(f"batch: {type(error).__name__}: {error}")
            self._summary.error = error
            self.stopping = True

    async def _send(self, client: Caller, part: list[Call], reserved: float) -> None:
        work = self.work
        before = [call.result for call in part]
        work.sent(part)
        pairs = [(str(call.place), call.prompt) for call in part]
        ahead = -(-self.under_way // self._pace.workers)
        try:
            results = await client.drive(
                batching.part(state_of(client), pairs, self.model, self._timeout, self._project, rounds=ahead)
            )
        except ClaudeAPIError as error:
            work.over(part)
            if error.paid is False:
                self._release(reserved)
                self._refused(part, before, error)
            else:
                self._stop(part, [BatchResult("", "", UNKNOWN, error=error.message)] * len(part), error)
            return
        except BaseException:
            work.over(part)
            raise
        self._release(reserved)
        self._until = self._clock.monotonic() + self._patience
        self._pace.succeeded(len(part))
        came = [
            replace(result, status=UNKNOWN) if result.status == "failed" and result.paid is None else result
            for result in results
        ]
        lost = self._likely_cost(call.prompt for call, one in zip(part, came, strict=True) if one.status == UNKNOWN)
        self.uncertain += lost
        self.guard.hold(lost)
        failed: Exception | None = None
        try:
            work.keep(list(zip(part, came, strict=True)))
        except (OSError, ClaudeInputError) as error:
            failed = error  # paid answers are recorded in any case
        work.over(part)
        for call, result in zip(part, came, strict=True):
            if result.usage is not None:
                self._output = self._output[0] + 1, self._output[1] + result.usage.output_tokens
                self.spent += result.cost or 0.0
            work.came(call, result, kept=True)
        if failed is not None:
            self._unkept(failed)

    def _claimed(self, calls: list[Call], again: bool) -> list[Call]:
        """Return those of the calls that are ours to send; none where that cannot be written down."""
        try:
            return self.work.claim(calls, again=again)
        except (OSError, ClaudeInputError) as error:
            self._unkept(error)
            return []

    def _unkept(self, error: Exception) -> None:
        """Stop paying: an answer could not be kept."""
        if self._summary.error is None:
            refusal = error if isinstance(error, ClaudeAPIError) else None
            self._summary.error = refusal or ClaudeAPIError(f"batch: cannot write the results: {error}", paid=False)
        self.stopping = True

    def _refused(self, part: list[Call], before: list[BatchResult], error: ClaudeAPIError) -> None:
        """Put calls back that did not run; they wait where waiting helps."""
        now = self._clock.monotonic()
        pause: float | None = None
        if isinstance(error, RateLimitError):
            pause = self._pace.limited(now, self._until, error.retry_after, error.answered, self._clock.time())
        elif error.status_code == 503:
            pause = self._pace.full(now, self._until, error.retry_after)
        if pause is None:
            self._stop(part, [replace(error_of(error), status="failed", paid=False)] * len(part), error)
            return
        self.work.keep(
            [(call, replace(was, paid=False)) for call, was in zip(part, before, strict=True) if was.status != UNKNOWN]
        )
        for call, was in zip(reversed(part), reversed(before), strict=True):
            call.result = was
            self.work.queue.appendleft(call)

    def _stop(self, part: list[Call], results: list[BatchResult], error: ClaudeAPIError) -> None:
        """Stop after a failed request: send no more, but still record the answers under way."""
        for call, result in zip(part, results, strict=True):
            self.work.came(call, result)
        if self._summary.error is None:
            self._summary.error = error
        self.stopping = True

    def _likely_cost(self, prompts: Iterable[str]) -> float:
        """Return the likely cost of prompts, if there is a limit that they might exceed."""
        return 0.0 if self.limit == math.inf else sum(self.likely(prompt) for prompt in prompts)

    def _release(self, reserved: float) -> None:
        self.uncertain = max(0.0, self.uncertain - reserved)
        self.guard.hold(-reserved)

    def _pause(self) -> str:
        left = self._pace.opens - self._clock.monotonic()
        if left <= 0:
            return ""
        return f"waiting for the service's next minute, {math.ceil(left)} s"

    @property
    def limit(self) -> float:
        """USD that may be spent, by the batch's own limit or the explorer's, whichever is less."""
        own = math.inf if self.max_cost is None else self.max_cost
        return min(own, math.inf if self.guard.max_cost is None else self.guard.max_cost)

    def _affordable(self, count: int) -> list[Call]:
        """Return the next calls that the rest of the limit is likely to pay for."""
        own = math.inf if self.max_cost is None else self.max_cost - self.spent - self.uncertain
        left = min(own, self.guard.left)
        fitting: list[Call] = []
        for call in itertools.islice(self.work.queue, count):
            if left != math.inf:
                left -= self.likely(call.prompt)
                if left < 0:
                    break
            fitting.append(call)
        return fitting

    def _too_dear(self) -> None:
        left = [call for call in self.work.queue if call.status == NOT_RUN]
        for call in left:
            call.result = replace(call.result, error=f"not sent: max_cost={self.limit:g} would be passed")
        count = len(self.work.queue)
        self._summary.warnings.append(
            f"the batch stopped at max_cost={self.limit:g}, with {count:,} of {len(self.work.places):,} prompts"
            " left; resume(max_cost=...) continues"
        )
        self.stopping = True

    async def _look(self, client: Caller) -> None:
        """Read the number of places, and the service's count before the run."""
        if self._before is None:
            counted = await self._counted(client)
            self._before = None if counted is None else counted - client.book.spent.cost
        with contextlib.suppress(ClaudeAPIError):
            answer = await client.drive(ask(state_of(client), "GET", "/health", "health", within=_LOOK, repeat=False))
            self._pace.adjust(parsed(answer, "health"))

    async def _counted(self, client: Caller) -> float | None:
        """Return the USD that the service has counted this month, or None where it does not say just now."""
        try:
            counted: float | None = (await client.get_usage("month", self._project)).total_cost
            return counted
        except ClaudeAPIError:
            return None

    async def _account(self, client: Caller) -> None:
        """Find the cost of lost answers: how much the service's count has grown beyond the known costs.

        Wait a little for prompts that still run there. Spending by others in the same project at the same time
        is included.
        """
        if self._before is None:
            return
        until = self._clock.monotonic() + _SETTLE
        after = await self._counted(client)
        while after is not None and self._clock.monotonic() < until:
            await self._clock.wait(0.2)
            again = await self._counted(client)
            if again == after:
                break
            after = again
        if after is not None:
            beyond = after - self._before - client.book.spent.cost
            self.unaccounted += beyond if beyond > _LEAST else 0.0


def error_of(error: ClaudeAPIError) -> BatchResult:
    """Return the error of a prompt whose request failed."""
    return BatchResult("", "", UNKNOWN, error=error.message, paid=error.paid)
