"""The same batch on several models, side by side in one frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..client.batches.runs import Batch
from ..client.client import ClaudeClient
from ..client.guard import Guard
from ..errors import ClaudeInputError
from ..types import dollars
from ..wire import json_messages as wire

if TYPE_CHECKING:
    import pandas as pd


class Batches:
    """A batch for each model: `frame()` has a group of columns for each, and where they agree."""

    def __init__(self, client: ClaudeClient, guard: Guard, prompts: Any, models: Sequence[str], **options: Any) -> None:
        names = [] if isinstance(models, str) else [wire.chosen_model(model) for model in models]
        if len(names) < 2 or None in names or len({*names}) < len(names):
            raise ClaudeInputError(f"models={models!r}: name two or more", hint='such as models=["haiku", "sonnet"]')
        if isinstance(options.get("keep"), str) or hasattr(options.get("keep"), "__fspath__"):
            raise ClaudeInputError("keep= with models= is True or False", hint="use cache=True to keep the answers")
        self._guard = guard
        self._keeps = options.pop("keep", None) is True
        if not hasattr(prompts, "iloc") and not isinstance(prompts, str):
            prompts = list(prompts)
        limit = options.pop("max_cost")
        self.each = {str(name): Batch(client, guard, prompts, model=name, **options) for name in names}
        self.max_cost = limit

    def _all(self) -> list[Batch]:
        return list(self.each.values())

    @property
    def first(self) -> int | None:
        return self._all()[0].first

    @first.setter
    def first(self, first: int | None) -> None:
        for batch in self._all():
            batch.first = first

    @property
    def sampled(self) -> bool:
        """Whether only the first rows have been asked."""
        return self._all()[0].sampled

    @property
    def unfinished(self) -> bool:
        """Whether repeating the same call continues this batch."""
        return any(batch.unfinished for batch in self._all())

    @property
    def cost(self) -> float:
        """The cost of the answers in USD."""
        return sum(batch.cost for batch in self._all())

    def same_question(self, other: Any) -> bool:
        """Return whether another asks the same models the same of the same rows."""
        theirs = other.each if isinstance(other, Batches) else {}
        return list(self.each) == list(theirs) and all(
            batch.same_question(theirs[name]) for name, batch in self.each.items()
        )

    def run(self, *, unknown: bool = False) -> None:
        """Run the remaining prompts, model by model; all share one limit."""
        for batch in self._all():
            if self.max_cost is not None:
                batch.max_cost = max(0.0, self.max_cost - sum(log.cost for log in self._all() if log is not batch))
            batch.run(unknown=unknown)

    def resume(self, *, max_cost: float | None = None, unknown: bool = False) -> pd.DataFrame:
        """Run the remaining prompts, and return the whole frame."""
        if max_cost is not None:
            self.max_cost = max_cost
        self.run(unknown=unknown)
        return self.frame()

    def frame(self) -> pd.DataFrame:
        """Return one group of columns for each model, and in the group `agree` whether all models say the same."""
        import pandas as pd

        from ..client.batches.answer_frame import Answers

        frames = {name: batch.frame() for name, batch in self.each.items()}
        one = self._all()[0]
        rows = len(next(iter(frames.values())))
        groups: dict[str, Any] = {}
        if self._keeps and one.over is not None:
            groups["over"] = one.over.iloc[:rows]
        groups |= {name: pd.DataFrame(frame) for name, frame in frames.items()}
        compared = ["content"] if one.spec is None else one.spec.compared
        groups["agree"] = pd.DataFrame({name: _equal([frame[name] for frame in frames.values()]) for name in compared})
        groups["agree"].index = next(iter(frames.values())).index
        answers = Answers(pd.concat(groups, axis=1))
        shares = [f"{name} {share:.0%}" for name, share in groups["agree"].mean().items()] if rows else []
        bills = {name: batch.bill for name, batch in self.each.items()}
        answers.attrs = {"bill": bills, "total_cost": self.cost}
        answers.foot = (
            *(f"{name}: {line}" for name, frame in frames.items() for line in frame.foot),
            f"all models agree: {', '.join(shares) or 'no rows'} · cost {dollars(self.cost)}",
        )
        return answers

    def summary(self) -> str:
        """Return one line on how far each model is."""
        return "; ".join(f"{name}: {batch.summary()}" for name, batch in self.each.items())

    def __repr__(self) -> str:
        return f"<Batches of {self.summary()}; .frame(), .resume()>"


def _equal(columns: Sequence[Any]) -> Any:
    """Return whether all say the same; where one says nothing, they do not agree."""
    import pandas as pd

    rows = zip(*(column.tolist() for column in columns), strict=True)
    cells = [[None if value is None or value is pd.NA or value != value else value for value in row] for row in rows]
    return pd.array([None not in row and all(value == row[0] for value in row) for row in cells], dtype="bool")
