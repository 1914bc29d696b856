"""A client's spending: the cost of its calls, and the calls whose cost is unknown."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ..types import Paid, Usage

KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Spent:
    """What a client has spent since it was made."""

    calls: int = 0
    tokens: int = 0
    cost: float = 0.0
    unknown: int = 0
    """The number of calls whose answer was lost; each may have cost something."""


class SpendLog:
    """One line for each call that was or may have been paid: the newest 10 000, and totals over all."""

    def __init__(self) -> None:
        self._lines: deque[Paid] = deque(maxlen=KEPT)
        self._lock = threading.Lock()
        self._spent = Spent()
        self._seen: dict[str, tuple[int, int]] = {}
        self.on_paid: Callable[[list[Paid]], None] = lambda _: None
        """Called with the lines of each call, once they are in the book."""

    @property
    def spent(self) -> Spent:
        return self._spent

    def lines(self) -> list[Paid]:
        """Return the lines kept, oldest first."""
        with self._lock:
            return list(self._lines)

    def completed(
        self, method: str, model: str, usage: Usage, cost: float, project: str | None, request_id: str = ""
    ) -> None:
        """Add a call whose price is known."""
        line = Paid(
            time.time(),
            method,
            model,
            usage.input_tokens,
            usage.output_tokens,
            usage.total_tokens,
            cost,
            project,
            request_id,
            "completed",
        )
        with self._lock:
            before = self._spent
            self._lines.append(line)
            self._spent = Spent(
                before.calls + 1, before.tokens + usage.total_tokens, before.cost + cost, before.unknown
            )
            answers, tokens = self._seen.get(model, (0, 0))
            self._seen[model] = answers + 1, tokens + usage.output_tokens
        self.on_paid([line])

    def unknown(self, method: str, model: str | None, project: str | None, request_id: str, count: int = 1) -> None:
        """Add a call whose answer was lost."""
        line = Paid(time.time(), method, model or "auto", None, None, None, None, project, request_id, "unknown")
        with self._lock:
            before = self._spent
            self._lines.extend([line] * count)
            self._spent = Spent(before.calls + count, before.tokens, before.cost, before.unknown + count)
        self.on_paid([line] * count)

    def usual_output(self, model: str | None) -> float | None:
        """Return tokens of an answer of the model so far, on average; None before there was one."""
        answers, tokens = self._seen.get(model or "sonnet", (0, 0))
        return tokens / answers if answers else None
