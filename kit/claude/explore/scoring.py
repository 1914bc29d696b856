"""Comparing answers with known labels: how many are right, for each class, and which classes are confused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.html import table, text
from ...core.words import nearest
from ..errors import ClaudeInputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

NONE = "(none)"
"""The label of a missing answer, which is never right; in more brackets where a label is called so."""
_BESIDE = ("status", "error", "raw", "cost", "agreement", "prompt", "content", "tokens")


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """A comparison of answers with labels.

    `accuracy` is the share of right answers; rows without an answer count as wrong. `classes` has a row for each label:
    rows, precision, recall, f1. `confusion` has a row for each label and a column for each answer. `wrong` lists the
    rows that are not right.
    """

    column: str
    rows: int
    right: int
    classes: pd.DataFrame
    confusion: pd.DataFrame
    wrong: pd.DataFrame

    @property
    def accuracy(self) -> float:
        """The share of rows that are right."""
        return self.right / self.rows if self.rows else float("nan")

    def plot(self, *, ax: Axes | None = None, theme: Any = "auto") -> Axes:
        """Draw the confusion matrix."""
        from ...plots.matrix_plot import matrix

        return matrix(
            self.confusion,
            f"{self.column}: labels and answers",
            self._about(),
            down="label",
            across="answer",
            ax=ax,
            theme=theme,
        )

    def _about(self) -> str:
        return f"{self.right:,} of {self.rows:,} are right ({self.accuracy:.1%})"

    def __repr__(self) -> str:
        return f"{self.column}: {self._about()}\n{self.classes.round(3)}"

    def _repr_html_(self) -> str:
        rows = [
            (label, f"{int(one['rows']):,}", *(f"{one[name]:.1%}" for name in ("precision", "recall")))
            for label, one in self.classes.iterrows()
        ]
        head = (self.column, "rows", "precision", "recall")
        return text(self._about()) + table(head, rows) + text(".confusion and .plot() tell what was taken for what")


def compare(frame: Any, labels: Any, column: str | None = None) -> Comparison:
    """Return how well the answers in a column fit the labels, row by row of the same index."""
    import pandas as pd

    answers, name = _answers(frame, labels, column)
    known = _labels(labels, frame, answers.index)
    if known.isna().any():
        row = known.index[known.isna().to_numpy()][0]
        raise ClaudeInputError(
            f"compare: {int(known.isna().sum()):,} rows have no label, the first is {row!r}",
            hint="compare only the rows with a label: frame.loc[labels.dropna().index]",
        )
    meant = [_text(one) for one in known.tolist()]
    given = [None if _missing(answer) else _text(answer) for answer in answers.tolist()]
    none = NONE
    while none in {*meant, *given}:
        none = f"({none})"
    answered = [none if answer is None else answer for answer in given]
    order = (
        [str(category) for category in answers.cat.categories] if isinstance(answers.dtype, pd.CategoricalDtype) else []
    )
    down = [*(one for one in order if one in {*meant, *answered}), *sorted({*meant, *answered} - {*order, none})]
    across = [*down, *([none] if none in answered else [])]
    counts = pd.crosstab(pd.Series(meant, dtype="str"), pd.Series(answered, dtype="str")) if meant else pd.DataFrame()
    confusion = counts.reindex(index=down, columns=across, fill_value=0).astype("int64")
    confusion.index.name, confusion.columns.name = "label", "answer"
    rows = []
    cells: Any = confusion.to_numpy()
    for n in range(len(down)):
        hits, answers_of, there = int(cells[n, n]), int(cells[:, n].sum()), int(cells[n].sum())
        precision, recall = hits / answers_of if answers_of else float("nan"), hits / there if there else float("nan")
        both = 2 * hits / (answers_of + there) if answers_of + there else float("nan")
        rows.append((there, precision, recall, both))
    classes = pd.DataFrame(rows, columns=["rows", "precision", "recall", "f1"], index=pd.Index(down, name=name))
    right = [one == other for one, other in zip(meant, answered, strict=True)]
    wrong = pd.DataFrame({"label": meant, "answer": answered}, index=answers.index)[[not item for item in right]]
    return Comparison(name, len(meant), sum(right), classes, confusion, wrong)


def compare_models(frame: Any, labels: Any, column: str | None = None) -> pd.DataFrame:
    """Return one row for each model of a frame with several: accuracy, rows answered, and cost."""
    import pandas as pd

    rows = []
    for model in dict.fromkeys(frame.columns.get_level_values(0)):
        part = frame[model]
        if "status" in part.columns:
            comparison = compare(part, labels, column)
            answered = int((part["status"] == "completed").sum())
            rows.append((model, comparison.accuracy, comparison.rows, answered, float(part["cost"].sum())))
    return pd.DataFrame(rows, columns=["model", "accuracy", "rows", "answered", "cost"])


def _answers(frame: Any, labels: Any, column: str | None) -> tuple[pd.Series[Any], str]:
    import pandas as pd

    if isinstance(frame, pd.Series):
        return frame, str(frame.name or "answer")
    if not isinstance(frame, pd.DataFrame):
        raise ClaudeInputError(f"compare: {type(frame).__name__} is not a result of batch()", hint="give its frame")
    if column is None:
        own = [name for name in frame.columns if isinstance(frame[name].dtype, pd.CategoricalDtype)]
        named = [name for name in frame.columns if name == getattr(labels, "name", None) and name not in _BESIDE]
        columns = named if len(named) == 1 and named[0] in own else own
        if len(columns) != 1:
            raise ClaudeInputError(
                f"compare: which column? {', '.join(map(str, frame.columns))[:200]}", hint='name it: column="topic"'
            )
        column = columns[0]
    if column not in frame.columns:
        raise ClaudeInputError(f"compare: there is no column {column!r}", hint=nearest(column, map(str, frame.columns)))
    return frame[column], str(column)


def _labels(labels: Any, frame: Any, index: Any) -> pd.Series[Any]:
    """Return the labels in the order of the answers."""
    import pandas as pd

    if isinstance(labels, str):
        if not isinstance(frame, pd.DataFrame) or labels not in frame.columns:
            raise ClaudeInputError(f"compare: there is no column {labels!r} with labels", hint="give them as a column")
        return frame[labels]
    if isinstance(labels, pd.Series):
        if labels.index.equals(index):
            return labels
        if not labels.index.is_unique or not index.is_unique or len(index.difference(labels.index)):
            raise ClaudeInputError(
                "compare: the labels have another index than the answers",
                hint="give the rows of the same frame",
            )
        return labels.reindex(index)
    listed = list(labels)
    if len(listed) != len(index):
        raise ClaudeInputError(f"compare: {len(listed):,} labels for {len(index):,} answers")
    return pd.Series(listed, index=index, dtype=object)


def _text(value: Any) -> str:
    """Return a value as a label; a column with missing values makes floats of whole numbers."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _missing(value: Any) -> bool:
    return value is None or type(value).__name__ == "NAType" or value != value
