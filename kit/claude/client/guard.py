"""Limits in this client: what may be spent in all, and the cost from which a batch needs consent."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import EllipsisType
from typing import Any

from ..errors import BudgetExceededError, ClaudeAPIError
from ..types import dollars
from ..wire.json_messages import usd
from ..wire.prices import LIKELY_OUTPUT, likely_cost
from .spend_log import SpendLog

ASK_ABOVE = 1.00


class Guard:
    """The explorer's limits on spending. Call it to change them: `c.budget(max_cost=5, estimate_above=0.5)`.

    `max_cost` covers everything from now on; calls that would exceed it are not sent. A batch that is likely to cost
    more than `estimate_above` is not sent until it is given a `max_cost=` of its own. Both are in USD; None is no
    limit, and what is not named stays as it is.
    """

    def __init__(self, book: SpendLog, max_cost: float | None = None) -> None:
        self._book = book
        self._base = book.spent.cost
        self.max_cost = _usd(max_cost, "max_cost")
        self.estimate_above: float | None = ASK_ABOVE
        self.uncertain = 0.0
        """What lost answers, and those under way, are likely to cost; counted as spent."""
        self._limits = 0
        """How many limits there have been: what was reserved under another one is not released from this one."""
        self._lock = threading.Lock()

    def __call__(
        self, max_cost: float | EllipsisType | None = ..., estimate_above: float | EllipsisType | None = ...
    ) -> Guard:
        limit = self.max_cost if isinstance(max_cost, EllipsisType) else _usd(max_cost, "max_cost")
        if not isinstance(estimate_above, EllipsisType):
            self.estimate_above = _usd(estimate_above, "estimate_above")
        if not isinstance(max_cost, EllipsisType):
            with self._lock:
                self.max_cost, self._base, self.uncertain = limit, self._book.spent.cost, 0.0
                self._limits += 1
        return self

    @property
    def spent(self) -> float:
        """USD since the limit was set, lost answers counted at what they are likely to have cost."""
        return self._book.spent.cost - self._base + self.uncertain

    @property
    def left(self) -> float:
        """USD that may still be spent."""
        return math.inf if self.max_cost is None else max(0.0, self.max_cost - self.spent)

    def hold(self, cost: float) -> None:
        """Reserve a likely cost; release it with a negative amount once the real cost is known."""
        with self._lock:
            self.uncertain = max(0.0, self.uncertain + cost)

    @contextmanager
    def holding(self, cost: float, what: str) -> Iterator[Callable[[], None]]:
        """Refuse a call that would exceed `max_cost`; reserve its cost until that is known.

        The function that is given releases it, once the call is in the book. Where an answer was lost, its cost stays.
        """
        with self._lock:
            self.check(cost, what)
            held, limits = cost if self.max_cost is not None else 0.0, self._limits
            self.uncertain += held

        def release() -> None:
            nonlocal held
            with self._lock:
                if limits == self._limits:
                    self.uncertain = max(0.0, self.uncertain - held)
                held = 0.0

        try:
            yield release
        except ClaudeAPIError as error:
            if error.paid is not None:
                release()
            raise
        else:
            release()

    def likely(self, prompt: str, model: str | None) -> float:
        """Return the likely cost of an answer, by the model's answers so far."""
        return likely_cost(prompt, model or "sonnet", self._book.usual_output(model) or LIKELY_OUTPUT)

    def check(self, cost: float, what: str) -> None:
        """Refuse a call that would exceed `max_cost`."""
        if cost > self.left:
            raise BudgetExceededError(
                f"{what}: about {dollars(cost)}, but only {dollars(self.left)} is left of max_cost={self.max_cost:g};"
                " nothing was sent",
                estimated_cost=cost,
                paid=False,
                hint="raise it with .budget(max_cost=...)",
            )

    def check_prompts(self, count: int, cost: float) -> None:
        """Refuse a batch that is likely to cost more than `estimate_above`."""
        if self.estimate_above is not None and cost > self.estimate_above:
            raise BudgetExceededError(
                f"batch: {count:,} prompts are likely to cost about {dollars(cost)}; nothing was sent",
                estimated_cost=cost,
                paid=False,
                hint=f"go ahead with max_cost={math.ceil(cost * 130) / 100:g}, or set .budget(estimate_above=...)",
            )

    def __repr__(self) -> str:
        limit = "no limit" if self.max_cost is None else f"of {dollars(self.max_cost)}"
        asks = "never" if self.estimate_above is None else f"above {dollars(self.estimate_above)}"
        return f"<Budget: {dollars(self.spent)} spent, {limit}; batches are held {asks}>"


def _usd(value: Any, name: str) -> float | None:
    return None if value is None else usd(value, name)
