"""What a batch would ask and cost, without sending anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.html import visible
from ..types import answer_html, dollars

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, repr=False)
class Preview:
    """The first prompt, exactly as it would be sent, the number of prompts, and an estimate of cost for each model."""

    prompt: str
    count: int
    estimate: pd.DataFrame

    @property
    def cost(self) -> float:
        """USD, of the dearest model that may answer."""
        return float(self.estimate["cost"].max())

    def __str__(self) -> str:
        return self.prompt

    def __repr__(self) -> str:
        return f"{visible(self.prompt)}\n\n{self._about()}"

    def _repr_html_(self) -> str:
        return answer_html(self.prompt, self._about())

    def _about(self) -> str:
        costs = ", ".join(
            f"{model} {dollars(cost)}" for model, cost in self.estimate[["model", "cost"]].itertuples(index=False)
        )
        return f"the first of {self.count:,} prompts · likely cost: {costs}"
