"""A batch under way: what is done, what is not, and how to go on."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..core import progress
from ..core.html import one_line
from ..core.tables.encode import column_of
from . import batching, wire
from .client import ClaudeClient
from .errors import ClaudeAPIError, ClaudeInputError, RateLimitError
from .guard import Guard
from .journal import Journal, key_of
from .types import BatchResult, dollars

if TYPE_CHECKING:
    import pandas as pd

FEW, PARTS = 5, 50
_NOT_RUN, _UNKNOWN = "not run", "unknown"
_LOST = "the answer was lost; it may have run and been paid for"


class Batch:
    """A batch of prompts: `frame()` is what is known of it, `resume()` goes on with what is left.

    Each prompt is "completed", "failed" (the service said why, and charged nothing), "not run", or "unknown": sent, but
    the answer was lost. Unknown ones are sent again only with `resume(unknown=True)`, as they may have been paid for.
    """

    def __init__(
        self,
        client: ClaudeClient,
        guard: Guard,
        prompts: Iterable[str],
        *,
        model: str | None = None,
        timeout: float = 30.0,
        project_id: str | None = None,
        max_cost: float | None = None,
        keep: str | os.PathLike[str] | None = None,
        at_once: int | None = None,
        patience: float = 65.0,
    ) -> None:
        self._client, self._guard = client, guard
        self.index: Any = getattr(prompts, "index", None) if hasattr(prompts, "iloc") else None
        self._prompts = [text for _, text in batching.listed(_texts(prompts))]
        self.model = wire.chosen_model(model)
        self._timeout = wire.limited(wire.seconds(timeout))
        self._project = project_id or client.project_id
        self.max_cost = max_cost
        self._patience = patience
        self._size = _size(at_once, len(self._prompts))
        self._journal = None if keep is None else Journal(keep)
        self._keys = [key_of(place, prompt, self.model) for place, prompt in enumerate(self._prompts)]
        self._results = [BatchResult(str(place), prompt, _NOT_RUN) for place, prompt in enumerate(self._prompts)]
        self._uncertain = 0.0
        self._asked_model = self.model
        if self._journal is not None:
            for place, key in enumerate(self._keys):
                known = self._journal.done.get(key)
                if known is not None:
                    self._results[place] = replace(known, id=str(place), prompt=self._prompts[place])
                elif key in self._journal.sent:
                    self._results[place] = replace(self._results[place], status=_UNKNOWN, error=_LOST)
        self._restored = sum(result.cost or 0.0 for result in self._results)

    @property
    def cost(self) -> float:
        """USD for what is completed, also in a kernel before this one."""
        return sum(result.cost or 0.0 for result in self._results)

    def left(self, *, unknown: bool = False) -> list[int]:
        """The places of the prompts that are still to be run."""
        wanted = {_NOT_RUN, "failed", *([_UNKNOWN] if unknown else [])}
        return [place for place, result in enumerate(self._results) if result.status in wanted]

    def frame(self) -> pd.DataFrame:
        """One row for each prompt: prompt, status, content, tokens, cost, error; in the order they were given."""
        from .frames import batch_frame

        return batch_frame(self._results, self.index, model=self.model, total_cost=self.cost)

    def resume(self, *, max_cost: float | None = None, unknown: bool = False) -> pd.DataFrame:
        """Runs what is left, and gives the whole frame. Failed ones are tried again, unknown ones only if told to."""
        if max_cost is not None:
            self.max_cost = max_cost
        self.run(unknown=unknown)
        return self.frame()

    def run(self, *, unknown: bool = False) -> None:
        """Runs what is left, part by part; an interrupt keeps what came before it."""
        left = self.left(unknown=unknown)
        if self.max_cost is None:
            self._guard.check_batch([self._prompts[place] for place in left], self._asked_model)
        done = len(self._prompts) - len(left)
        bar = progress.bar(len(self._prompts), what="batch", unit="prompt", initial=done)
        waited_until, refusals = time.monotonic() + self._patience, 0
        try:
            if left and self.model is None and len(left) > 1:
                # One choice for all, or each part would be routed by its own first prompt.
                first = self._prompts[left[0]]
                self.model = self._client._driver.run(
                    batching.route(self._client, first, self._project, len(first.split()))
                )
            while left:
                part = self._affordable(left[: self._size])
                if not part:
                    self._stop(left, f"not sent: max_cost={self._limit():g} would be passed")
                    warnings.warn(
                        f"the batch stopped at max_cost={self._limit():g}, with {len(left):,} of {len(self):,} prompts"
                        " left; resume(max_cost=...) goes on",
                        stacklevel=4,
                    )
                    break
                try:
                    self._send(part)
                except RateLimitError as error:
                    pause = self._pause(error, refusals, waited_until)
                    refusals += 1
                    if pause is None:
                        self._fail(part, error)
                        raise
                    bar.set_postfix_str("waiting for the rate limit")
                    time.sleep(pause)
                    continue
                except ClaudeAPIError as error:
                    self._fail(part, error)
                    left = left[len(part) :]
                    if not any(result.status == "completed" for result in self._results):
                        raise
                    self._stop(left, "not sent, as a request before it failed")
                    warnings.warn(
                        one_line(f"the batch stopped: {error.message}; resume() goes on with what is left"),
                        stacklevel=4,
                    )
                    break
                waited_until, refusals = time.monotonic() + self._patience, 0
                left = left[len(part) :]
                bar.update(len(part))
                bar.set_postfix_str(dollars(self.cost))
        finally:
            bar.close()
            if self._journal is not None:
                self._journal.close()

    def _send(self, part: list[int]) -> None:
        pairs = [(str(place), self._prompts[place]) for place in part]
        before = [self._results[place] for place in part]
        if self._journal is not None:
            self._journal.sending([self._keys[place] for place in part])
        for place in part:
            self._results[place] = BatchResult(str(place), self._prompts[place], _UNKNOWN, error=_LOST)
        try:
            results = self._client._driver.run(
                batching.part(self._client, pairs, self.model, self._timeout, self._project)
            )
        except ClaudeAPIError as error:
            if error.paid is False:
                for place, result in zip(part, before, strict=True):
                    self._note(place, replace(result, paid=False) if result.status == _NOT_RUN else result)
            raise
        finally:
            lost = sum(
                self._guard.likely(self._prompts[place], self.model)
                for place in part
                if self._results[place].status == _UNKNOWN
            )
            self._uncertain += lost
            self._guard.uncertain += lost
        self._uncertain -= lost
        self._guard.uncertain -= lost
        for place, result in zip(part, results, strict=True):
            unsure = result.status == "failed" and result.paid is None
            self._note(place, replace(result, status=_UNKNOWN) if unsure else result)

    def _note(self, place: int, result: BatchResult) -> None:
        self._results[place] = result
        if self._journal is not None:
            self._journal.came(self._keys[place], result)

    def _fail(self, part: list[int], error: ClaudeAPIError) -> None:
        status = "failed" if error.paid is False else _UNKNOWN
        for place in part:
            self._results[place] = BatchResult(str(place), self._prompts[place], status, error=error.message)

    def _stop(self, places: list[int], why: str) -> None:
        for place in places:
            if self._results[place].status == _NOT_RUN:
                self._results[place] = replace(self._results[place], error=why)

    def _limit(self) -> float:
        own = math.inf if self.max_cost is None else self.max_cost
        return min(own, math.inf if self._guard.max_cost is None else self._guard.max_cost)

    def _affordable(self, part: list[int]) -> list[int]:
        """As many of them as what is left of `max_cost` is likely to pay for."""
        own = math.inf if self.max_cost is None else self.max_cost - (self.cost - self._restored) - self._uncertain
        left = min(own, self._guard.left)
        fitting: list[int] = []
        for place in part:
            left -= self._guard.likely(self._prompts[place], self.model)
            if left < 0:
                break
            fitting.append(place)
        return fitting

    @staticmethod
    def _pause(error: RateLimitError, before: int, until: float) -> float | None:
        """Seconds to wait for the next window of the service's clock; None where there is no patience for it.

        Nothing ran, and what is refused does not count, so that asking again is safe and free.
        """
        left = until - time.monotonic()
        return None if error.paid is not False or left <= 0 else min(5.0, 0.5 * 2.0**before, left)

    def __len__(self) -> int:
        return len(self._prompts)

    def summary(self) -> str:
        """One line on how far it is."""
        counts: dict[str, int] = {}
        for result in self._results:
            counts[result.status] = counts.get(result.status, 0) + 1
        parts = ", ".join(f"{count:,} {status}" for status, count in counts.items())
        return f"{len(self):,} prompts: {parts or 'none'}; {dollars(self.cost)}"

    def __repr__(self) -> str:
        return f"<Batch of {self.summary()}; .frame(), .resume()>"

    def _repr_html_(self) -> str:
        from ..core.html import table, text

        rows = [
            (result.prompt[:500], result.status, (result.content or result.error or "")[:500])
            for result in self._results[:10]
        ]
        more = f"and {len(self) - 10:,} more; .frame() has all" if len(self) > 10 else ""
        return text(f"Batch of {self.summary()}") + table(("prompt", "status", "content"), rows) + text(more)


def _texts(prompts: Iterable[str]) -> list[str]:
    if hasattr(prompts, "columns"):
        raise ClaudeInputError("batch() takes a column, not a whole DataFrame", hint='such as c.batch(df["prompt"])')
    if isinstance(prompts, str):
        raise ClaudeInputError("batch() takes a list of prompts", hint="ask() takes one")
    column = column_of(prompts)
    return list(prompts if column is None else column.to_pylist() if hasattr(column, "to_pylist") else column)


def _size(at_once: int | None, count: int) -> int:
    """Prompts in one request: few where few would be lost with an answer, more where requests are many."""
    if at_once is None:
        return min(wire.BATCH, max(FEW, math.ceil(count / PARTS)))
    if isinstance(at_once, bool) or not isinstance(at_once, int) or not 1 <= at_once <= wire.BATCH:
        raise ClaudeInputError(f"at_once={at_once!r}: give how many prompts go in one request, from 1 to {wire.BATCH}")
    return at_once
