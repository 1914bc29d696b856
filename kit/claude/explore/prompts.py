"""The explorer's verbs for many prompts: batches over lists and frames, and verbs built on them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...core.errors import SetupError
from ...core.tables.into import GivesFrames
from ..client.batches.cache import Cache, cache_of, in_notebook
from ..client.batches.runs import Batch
from ..client.client import ClaudeClient
from ..client.guard import Guard
from ..errors import ClaudeInputError
from ..types import Paid
from ..wire import json_messages as wire
from ..wire.columns_spec import Column, Spec, spec_of
from ..wire.prices import LIKELY_OUTPUT, PRICES, cost_of, likely_tokens
from .models import Batches
from .preview import Preview
from .recorded_costs import Keeper
from .scoring import compare, compare_models

if TYPE_CHECKING:
    import pandas as pd


class Prompts(GivesFrames):
    """Verbs that send one prompt for each row. See `Claude`."""

    def __init__(self, client: ClaudeClient, max_cost: float | None = None) -> None:
        self.client = client
        self.budget = Guard(client.book, max_cost)
        self.last_batch: Batch | Batches | None = None
        """The newest batch, complete or not: `.frame()` has the paid answers, `.resume()` continues."""
        self.cache = Cache()
        """The answers that are kept on this machine: `.df`, `.clear()`."""
        self._keeper = Keeper(self.cache, client.base_url) if in_notebook() else None
        if self._keeper is not None:
            client.book.on_paid = self._keeper.add

    def batch(
        self,
        prompts: Iterable[str] | str,
        model: str | None = "auto",
        *,
        over: Any = None,
        columns: Any = None,
        keep: bool | str | os.PathLike[str] | None = None,
        repair: int = 1,
        first: int | None = None,
        models: Sequence[str] | None = None,
        repeats: int = 1,
        cache: bool | str | os.PathLike[str] | None = None,
        max_age: Any = None,
        timeout: float = 30.0,
        project_id: str | None = None,
        max_cost: float | None = None,
        at_once: int | None = None,
        side_by_side: int | None = None,
        patience: float = 65.0,
    ) -> pd.DataFrame:
        """Return one row per prompt: prompt, status, content, tokens, cost, error. Prompts are a list, or a column of a
        DataFrame, whose index the result has.

        With `over`, a DataFrame, the prompt is one text, and `{column}` in it is each row's value. With `columns` the
        answers are typed columns: `"topic: billing|delivery, score: float 0..1, reason: str"`, a dict, a dataclass or
        a pydantic model; beside them stand `status`, `error`, `raw` and `cost`. An answer that does not fit is never a
        value; it is asked for once more, `repair` times at most. `keep=True` keeps the columns of `over`.

        `first` sends only the first rows, to see results and cost; the same call without it continues. `models`
        asks several, side by side; `repeats` asks each several times, and tells the share that agrees. With `cache`,
        which is on in notebooks, no question is paid twice on this machine; answers older than `max_age` ("7d") are
        sent again. `kit.claude.client.batches.cache` defines when two questions are the same.

        A batch that is likely to cost more than `budget.estimate_above` needs a `max_cost`; at `max_cost`
        it stops. After an interrupt, or an error, `last_batch.frame()` has the paid answers and `resume()` continues.
        `keep` may name a file for the results instead, so that a new kernel can continue. `at_once` prompts
        go in one request, and a lost answer loses that many; as many requests are under way as the service has
        places for, `side_by_side` at most. Past the rate limit it waits, `patience` seconds at most.
        """
        options: dict[str, Any] = {
            "over": over, "columns": columns, "keep": keep, "repair": repair, "first": first, "repeats": repeats,
            "cache": cache_of(cache, self.cache), "max_age": max_age, "timeout": timeout, "project_id": project_id,
            "max_cost": max_cost, "at_once": at_once, "side_by_side": side_by_side, "patience": patience,
        }  # fmt: skip
        batch: Batch | Batches
        if models is None:
            batch = Batch(self.client, self.budget, prompts, model=model, **options)
        else:
            batch = Batches(self.client, self.budget, prompts, models, **options)
        before = self.last_batch
        if before is not None and before.unfinished and before.same_question(batch):
            before.first, before.max_cost = first, max_cost
            batch = before
        self.last_batch = batch
        return self._run(batch)

    def resume(self, *, max_cost: float | None = None, unknown: bool = False) -> pd.DataFrame:
        """Continue the newest batch: run what is not completed, and return the whole frame.

        Prompts whose answer was lost may have been paid for; they are sent again only with `unknown=True`.
        """
        if self.last_batch is None:
            raise SetupError("there is no batch to resume", hint="start one: .batch(prompts)")
        if max_cost is not None:
            self.last_batch.max_cost = max_cost
        return self._run(self.last_batch, unknown)

    def estimate(self, prompts: Iterable[str], model: str | None = "auto") -> pd.DataFrame:
        """Return the likely cost of a batch, one row per possible model, without sending anything."""
        texts = [wire.prompt_text(prompt) for prompt in prompts]
        return self._estimate(texts, wire.chosen_model(model))

    def preview(
        self, prompts: Iterable[str] | str, model: str | None = "auto", *, over: Any = None, columns: Any = None
    ) -> Preview:
        """Return the first prompt as it would be sent, and the likely cost of all, without sending anything."""
        batch = Batch(self.client, self.budget, prompts, over=over, columns=columns, model=model)
        texts = batch.prompts
        likely = None if batch.spec is None else batch.spec.likely_tokens
        return Preview(texts[0] if texts else "", len(texts), self._estimate(texts, batch.asked_model, likely))

    def classify(self, texts: Any, choices: Sequence[str], model: str | None = "auto", **options: Any) -> pd.DataFrame:
        """Return which of the choices each text is, in the column `choice`; options are those of `batch`."""
        spec = spec_of({"choice": list(choices)})
        return self.batch("Which one is this? {text}", model, over=_column(texts), columns=spec, **options)

    def extract(self, texts: Any, columns: Any, model: str | None = "auto", **options: Any) -> pd.DataFrame:
        """Extract the named columns from each text; options are those of `batch`."""
        return self.batch("Find this in the text: {text}", model, over=_column(texts), columns=columns, **options)

    def score(
        self, texts: Any, what: str, low: float = 0, high: float = 10, model: str | None = "auto", **options: Any
    ) -> pd.DataFrame:
        """Score each text for a quality ("politeness"), in the column `score`; options are those of `batch`.

        Bounds that are whole numbers give whole numbers.
        """
        if not isinstance(what, str) or not what.strip():
            raise ClaudeInputError(f"score: {what!r} is not something to score", hint='try "politeness"')
        whole = isinstance(low, int) and isinstance(high, int)
        spec = Spec((Column("score", "int" if whole else "float", low=low, high=high).checked(),))
        quality = what.replace("{", "{{").replace("}", "}}")
        prompt = f"How much {quality}, from {low} (none) to {high} (most)? {{text}}"
        return self.batch(prompt, model, over=_column(texts), columns=spec, **options)

    def compare(self, frame: Any, labels: Any, column: str | None = None) -> Any:
        """Return how well answers fit known labels: a `Comparison` with accuracy, precision, recall and confusion.

        `labels` is a column of the same index, a list, or the name of a column. Of a frame of several `models` there is
        a DataFrame with a row for each: accuracy, rows, answered, cost. Nothing is sent.
        """
        several = getattr(getattr(frame, "columns", None), "nlevels", 1) > 1
        return compare_models(frame, labels, column) if several else compare(frame, labels, column)

    def _paid(self, kept: bool) -> list[Paid]:
        """Return this explorer's paid calls, or all recorded ones of its service, from any kernel."""
        own = self.client.book.lines()
        if not kept:
            return own
        if self._keeper is None:
            return sorted([*self.cache.lines(self.client.base_url), *own], key=lambda line: line.time)
        self._keeper.flush()
        return self.cache.lines(self.client.base_url)

    def _estimate(self, texts: Sequence[str], chosen: str | None, each: float | None = None) -> pd.DataFrame:
        from ..wire.frames import estimate_frame

        into = sum(likely_tokens(text) for text in texts)
        rows = []
        for name in PRICES if chosen is None else (chosen,):
            out = round(len(texts) * (each or self.client.book.usual_output(name) or LIKELY_OUTPUT))
            rows.append((name, len(texts), into, out, cost_of(name, into, out)))
        return estimate_frame(rows)

    def _run(self, batch: Batch | Batches, unknown: bool = False) -> pd.DataFrame:
        try:
            batch.run(unknown=unknown)
        except KeyboardInterrupt:
            print(
                f"interrupted: {batch.summary()}\nlast_batch.frame() has the answers so far, and those under way once"
                " it has come; resume() continues",
                file=sys.stderr,
            )
            raise
        return batch.frame()


def _column(texts: Any) -> pd.DataFrame:
    """Return a column, or a list of texts, as a frame with the one column `text`."""
    import pandas as pd

    if isinstance(texts, str) or hasattr(texts, "columns"):
        raise ClaudeInputError("give a column, or a list of texts", hint='such as df["body"]')
    if isinstance(texts, pd.Series):
        return texts.to_frame("text")
    return pd.DataFrame({"text": list(texts)})
