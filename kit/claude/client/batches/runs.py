"""A batch: what is done, what is not, and how to resume it, blocking and async."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ....core import loop, progress
from ....core.errors import warn
from ....core.html import one_line
from ....core.tables.encode import column_of
from ...errors import ClaudeInputError
from ...types import Caller, dollars
from ...wire import json_messages as wire
from ...wire.columns_spec import spec_of
from ...wire.template import filled
from ..guard import Guard
from . import batching
from .cache import Cache, age_of
from .journal import Journal
from .side_by_side import Runner, Summary
from .work import NOT_RUN, Work

if TYPE_CHECKING:
    import pandas as pd


FEW, MANY, PARTS = 5, 25, 50
_STEP = 0.1
"""Seconds between two updates of a batch's progress."""


class _Batch:
    """What blocking and async batches share: the questions, the results, and the costs."""

    def __init__(
        self,
        client: Any,
        guard: Guard,
        prompts: Iterable[str] | str,
        *,
        over: Any = None,
        columns: Any = None,
        model: str | None = None,
        timeout: float = 30.0,
        project_id: str | None = None,
        max_cost: float | None = None,
        keep: bool | str | os.PathLike[str] | None = None,
        repair: int = 1,
        repeats: int = 1,
        first: int | None = None,
        cache: Cache | None = None,
        max_age: Any = None,
        at_once: int | None = None,
        side_by_side: int | None = None,
        patience: float = 65.0,
        looks: bool = True,
    ) -> None:
        self._client, self._guard = client, guard
        self.spec = None if columns is None else spec_of(columns)
        self.over: Any = None
        if over is not None:
            texts, self.over = filled(prompts, over)
            self.index: Any = self.over.index
        else:
            self.index = getattr(prompts, "index", None) if hasattr(prompts, "iloc") else None
            texts = [text for _, text in batching.listed(_texts(prompts))]
        self.keeps = keep is True
        if self.keeps:
            _refuse_keeping(self.over, self.spec)
        self.repeats = _count(repeats, "repeats", 1, 100)
        self.first = None if first is None else _count(first, "first", 1, 10**9)
        self.question = texts
        self.timeout = wire.limited(wire.seconds(timeout))
        self.project = wire.project_of(project_id, client.project_id)
        self.asked_model = wire.chosen_model(model)
        self._work = Work(
            texts,
            self.spec,
            self.asked_model,
            repeats=self.repeats,
            repair=_count(repair, "repair", 0, 3),
            journal=None if keep is None or isinstance(keep, bool) else Journal(keep),
            cache=cache,
            service=client.base_url,
            since=_since(max_age, cache),
        )
        self._runner = Runner(
            self._work,
            guard,
            size=_size(at_once, len(texts) * self.repeats),
            timeout=self.timeout,
            project=self.project,
            patience=patience,
            side_by_side=None if side_by_side is None else _count(side_by_side, "side_by_side", 1, 1000),
            looks=looks,
        )
        self._runner.max_cost = max_cost

    @property
    def prompts(self) -> list[str]:
        """All prompts as they are sent, with the description of the columns."""
        return [chain[0].prompt for chain in self._work.places]

    @property
    def model(self) -> str | None:
        """The model that answers; None before the service has chosen one."""
        return self._runner.model

    @property
    def max_cost(self) -> float | None:
        """USD that this batch may cost."""
        return self._runner.max_cost

    @max_cost.setter
    def max_cost(self, max_cost: float | None) -> None:
        self._runner.max_cost = max_cost

    @property
    def cost(self) -> float:
        """The cost of the answers in USD, also of those from an earlier kernel; that of lost answers is in `bill`."""
        return self._runner.paid

    @property
    def bill(self) -> dict[str, Any]:
        """The cost of the batch: `cost` in USD with that of lost answers, `repairs`, and answers from the cache."""
        from .answer_frame import bill_of

        return bill_of(self._work, self._runner.unaccounted)

    @property
    def sampled(self) -> bool:
        """Whether only the first rows have been asked."""
        return self.first is not None and self.first < len(self)

    @property
    def unfinished(self) -> bool:
        """Whether repeating the same call continues this batch: it was a sample, or is still under way."""
        return self.sampled

    def same_question(self, other: Any) -> bool:
        """Return whether another batch asks the same of the same rows."""
        return (
            isinstance(other, _Batch)
            and self.question == other.question
            and (self.spec and self.spec.text) == (other.spec and other.spec.text)
            and (self.asked_model, self.repeats, self.project) == (other.asked_model, other.repeats, other.project)
        )

    def left(self, *, unknown: bool = False) -> list[int]:
        """Return the places of the prompts that are still to be run."""
        return [call.place for call in self._work.left(unknown=unknown, places=self._places)]

    def frame(self) -> pd.DataFrame:
        """Return one row for each prompt, in the order they were given.

        With columns: the frame's own ones where they are kept, those that were asked for, status, error, raw, cost;
        without: prompt, status, content, tokens, cost, error.
        """
        from .answer_frame import frame_of_batch

        return frame_of_batch(self, self._work)

    def problems(self) -> pd.DataFrame:
        """Return one row for each prompt without a fitting answer: row, status, and the exact problem."""
        from .answer_frame import problem_frame

        return problem_frame(self.index, self._work)

    @property
    def _places(self) -> slice | None:
        return None if self.first is None else slice(0, self.first * self.repeats)

    def _prepared(self, unknown: bool) -> list[Any]:
        """Take in the known answers; return the remaining calls, after checking their likely cost."""
        self._work.restore(self._places)
        left = self._work.left(unknown=unknown, places=self._places)
        if self.max_cost is None and self._guard.estimate_above is not None:
            # One call for each question, as the cache answers the others from it.
            alike = {call.digest or call.place: call for call in left}
            self._guard.check_prompts(len(alike), sum(self._runner.likely(call.prompt) for call in alike.values()))
        return left

    def _ended(self, summary: Summary, left: list[Any]) -> None:
        """Warn of problems; raise if there is no result at all."""
        if summary.error is not None:
            if not any(call.result.status == "completed" for call in self._work.calls):
                raise summary.error.with_traceback(None)
            for call in left:
                if call.status == NOT_RUN and call.result.error is None:
                    call.result = replace(call.result, error="not sent, as a request before it failed")
            warn(one_line(f"the batch stopped: {summary.error.message}; resume() continues with the rest"))
        for words in summary.warnings:
            warn(words)

    def __len__(self) -> int:
        return len(self.question)

    def summary(self) -> str:
        """Return one line on how far the run is."""
        counts: dict[str, int] = {}
        for call in self._work.newest():
            counts[call.status] = counts.get(call.status, 0) + 1
        parts = ", ".join(f"{count:,} {status}" for status, count in counts.items())
        return f"{len(self._work.places):,} prompts: {parts or 'none'}; {dollars(self.cost)}"

    def __repr__(self) -> str:
        if not hasattr(self, "_work"):  # a traceback shows a half-made object
            return f"<{type(self).__name__}, not made>"
        return f"<{type(self).__name__} of {self.summary()}; .frame(), .resume()>"

    def _repr_html_(self) -> str:
        from ....core.html import table, text

        calls = self._work.newest(slice(0, 10))
        rows = [
            (call.prompt[:500], call.status, (call.result.content or call.result.error or "")[:500]) for call in calls
        ]
        more = f"and {len(self._work.places) - 10:,} more; .frame() has all" if len(self._work.places) > 10 else ""
        return text(f"Batch of {self.summary()}") + table(("prompt", "status", "content"), rows) + text(more)


class _Going:
    """A run on the background loop. An interrupt may come at any moment, also before the run has begun."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = self._left = False
        self.over = threading.Event()
        self.summary = Summary()
        self.error: BaseException | None = None

    def begins(self) -> bool:
        """Return whether it may; it is not to begin once it has been given up."""
        with self._lock:
            self._begun = not self._left
            return self._begun

    def abandoned(self) -> bool:
        """Give it up, where it has not begun; return whether that was in time."""
        with self._lock:
            self._left = not self._begun
            return self._left


class Batch(_Batch):
    """A batch of prompts: `frame()` shows the results so far, `resume()` continues with the rest.

    Each prompt is "completed", "invalid" (answered and paid, but the answer does not fit the columns), "failed" (the
    service said why, and charged nothing), "not run", or "unknown": sent, but the answer was lost. Unknown ones are
    sent again only with `resume(unknown=True)`, as they may have been paid for.
    """

    _client: Caller
    _going: _Going | None = None

    @property
    def unfinished(self) -> bool:
        """Whether repeating the same call continues this batch: it was a sample, or is still under way."""
        return self.sampled or self._going is not None

    def resume(self, *, max_cost: float | None = None, unknown: bool = False) -> pd.DataFrame:
        """Run the remaining prompts; return the whole frame. Failed ones are tried again, unknown ones only on
        request."""
        if max_cost is not None:
            self.max_cost = max_cost
        self.run(unknown=unknown)
        return self.frame()

    def run(self, *, unknown: bool = False) -> None:
        """Run the remaining prompts. An interrupt keeps earlier results; those under way are added when they arrive."""
        if self._going is not None and not self._going.abandoned():
            self._wait(self._going, len(self._work.places))
        left = self._prepared(unknown)
        if not left and not self._runner.owes and not self._work.coming(2 * self.timeout):
            self._work.close()
            return
        runner, client = self._runner, self._client.beside()
        going = self._going = _Going()

        async def go() -> None:
            if not going.begins():
                return
            try:
                going.summary = await runner.go(client, left, again=unknown)
            except BaseException as error:
                going.error = error
                raise
            finally:
                going.over.set()

        runner.stopping = False
        try:
            loop.start(go)
            self._wait(going, len(left))
        except KeyboardInterrupt:
            runner.stopping = True
            raise
        self._ended(going.summary, left)

    def _wait(self, going: _Going, left: int) -> None:
        runner, work, total = self._runner, self._work, len(self._work.places)
        shown = 0
        with progress.bar(total, what="batch", unit="prompt", initial=max(0, total - left)) as bar:
            while not going.over.wait(_STEP):
                bar.update(work.finished - shown)
                shown = work.finished
                bar.set_postfix_str(runner.waiting or self._so_far())
        self._going = None
        if going.error is not None:
            raise going.error.with_traceback(None)

    def _so_far(self) -> str:
        spent, left = self._runner.spent, self._work.queue
        if not left:
            return dollars(spent)
        expected = spent + self._runner.uncertain + len(left) * self._runner.likely(left[0].prompt)
        return f"{dollars(spent)} of about {dollars(expected)}"


class AsyncBatch(_Batch):
    """A batch whose `run()` and `resume()` are awaited; see `Batch`. Cancelling it loses the answers under way."""

    _client: Caller

    async def resume(self, *, max_cost: float | None = None, unknown: bool = False) -> pd.DataFrame:
        """Run the remaining prompts; return the whole frame. Failed ones are tried again, unknown ones only on
        request."""
        if max_cost is not None:
            self.max_cost = max_cost
        await self.run(unknown=unknown)
        return self.frame()

    async def run(self, *, unknown: bool = False) -> None:
        """Run what is left."""
        left = self._work.left(unknown=unknown, places=self._places)
        self._ended(await self.attempt(unknown=unknown), left)

    async def attempt(self, *, unknown: bool = False) -> Summary:
        """Run the remaining prompts, and return a summary; nothing is raised or warned of."""
        summary = Summary()
        left = self._prepared(unknown)
        if left or self._runner.owes or self._work.coming(2 * self.timeout):
            self._runner.stopping = False
            summary = await self._runner.go(self._client, left, again=unknown)
        self._work.close()
        return summary


def _texts(prompts: Iterable[str]) -> list[str]:
    if hasattr(prompts, "columns"):
        raise ClaudeInputError(
            "batch() takes a column, not a whole DataFrame",
            hint='c.batch(df["prompt"]), or c.batch("... {column}", over=df)',
        )
    if isinstance(prompts, str):
        raise ClaudeInputError(
            "batch() takes a list of prompts", hint="use ask() for one prompt, or over=df for one for each row"
        )
    column = column_of(prompts)
    return list(prompts if column is None else column.to_pylist() if hasattr(column, "to_pylist") else column)


def _refuse_keeping(over: Any, spec: Any) -> None:
    if over is None:
        raise ClaudeInputError("keep=True keeps the columns of over=, but over= is not given")
    own = [*(spec.names if spec is not None else ("prompt", "content", "tokens")), "status", "error", "raw", "cost"]
    both = [str(name) for name in over.columns if name in own]
    if both:
        raise ClaudeInputError(
            f"keep=True: over= has a column {both[0]!r} already", hint="rename it, or give the new column another name"
        )


def _since(max_age: Any, cache: Cache | None) -> float:
    import time

    age = age_of(max_age)
    return 0.0 if age is None or cache is None else time.time() - age


def _count(given: Any, name: str, least: int, most: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        raise ClaudeInputError(f"{name}={given!r}: give a whole number from {least} to {most:,}")
    return given


def _size(at_once: int | None, count: int) -> int:
    """Return the number of prompts in a request: few if a lost answer is expensive, more if there are many."""
    if at_once is None:
        return min(MANY, max(FEW, math.ceil(count / PARTS)))
    if isinstance(at_once, bool) or not isinstance(at_once, int) or not 1 <= at_once <= wire.BATCH:
        raise ClaudeInputError(f"at_once={at_once!r}: give the prompts of a request, 1 to {wire.BATCH}")
    return at_once
