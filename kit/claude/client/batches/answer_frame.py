"""A batch as a DataFrame: typed columns, the cost of each row, and the total below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import pandas as pd

from ....core.html import foot, one_line
from ...types import dollars
from ...wire.answers import agreed, column_values
from ...wire.columns_spec import Column
from ...wire.frames import batch_frame
from .work import NOT_RUN, UNKNOWN, Call, Work

_SHOWN = 5
"""Answers that are shown of a sample."""
_TEXT = Column("content")


class BatchState(Protocol):
    """The state of a batch, from which a frame is made."""

    first: int | None
    repeats: int
    index: Any
    spec: Any
    keeps: bool
    over: Any

    @property
    def model(self) -> Any: ...

    @property
    def bill(self) -> dict[str, Any]: ...

    @property
    def cost(self) -> float: ...

    @property
    def sampled(self) -> bool: ...

    def __len__(self) -> int: ...


class Answers(pd.DataFrame):
    """A DataFrame of answers that shows its cost below the rows. Operations on it give a plain DataFrame."""

    _metadata = ["foot", "most"]
    foot: tuple[str, ...] = ()
    most: int | None = None

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def _repr_html_(self) -> str | None:
        # A model's answer is text, even if two dollar signs look like a formula.
        with pd.option_context("display.html.use_mathjax", False):
            html = pd.DataFrame(self if self.most is None else self.head(self.most))._repr_html_()  # type: ignore[operator]
        return (html or "") + foot(self.foot)

    def __repr__(self) -> str:
        shown = repr(pd.DataFrame(self if self.most is None else self.head(self.most)))
        return "\n".join([shown, *(one_line(line) for line in self.foot)])


def bill_of(work: Work, unaccounted: float) -> dict[str, Any]:
    """Return the cost of a batch in USD, equal to the service's own count."""
    bill: dict[str, Any] = {"cost": 0.0, "repairs": 0, "repair_cost": 0.0, "unknown": 0, "unknown_cost": unaccounted}
    bill |= {"from_cache": 0, "saved": 0.0}
    for call in work.calls:
        cost = call.cost or 0.0
        bill["cost"] += cost
        if call.saved is not None:
            bill["saved"] += call.saved
            bill["from_cache"] += call.tries == 0
        elif call.tries and call.result.status != NOT_RUN:
            bill["repairs"] += 1
            bill["repair_cost"] += cost
        bill["unknown"] += call.result.status == UNKNOWN
    bill["cost"] += unaccounted
    return bill


def foot_of(bill: dict[str, Any], calls: Sequence[Call]) -> list[str]:
    """Return the bill in words."""
    counts: dict[str, int] = {}
    for call in calls:
        counts[call.status] = counts.get(call.status, 0) + 1
    parts = [", ".join(f"{count:,} {status}" for status, count in counts.items()) or "no prompts"]
    parts.append(f"cost {dollars(bill['cost'])}")
    if bill["repairs"]:
        parts.append(f"of it {dollars(bill['repair_cost'])} for {_counted(bill['repairs'], 'repair')}")
    if bill["unknown_cost"]:
        parts.append(f"of it {dollars(bill['unknown_cost'])} for lost answers, as the service counts")
    elif bill["unknown"]:
        parts.append(f"what {_counted(bill['unknown'], 'lost answer')} cost is not known")
    if bill["from_cache"]:
        parts.append(f"{bill['from_cache']:,} from cache, saved {dollars(bill['saved'])}")
    return [" · ".join(parts)]


def frame_of_batch(batch: BatchState, work: Work) -> pd.DataFrame:
    """Return the results of a batch so far; for a sample, its rows alone."""
    rows = len(batch) if batch.first is None else min(batch.first, len(batch))
    chains = work.places[: rows * batch.repeats]
    calls = [chain[-1] for chain in chains]
    index = None if batch.index is None else batch.index[:rows]
    bill = batch.bill
    attrs = {"model": batch.model, "total_cost": batch.cost, "bill": bill}
    if batch.spec is None and batch.repeats == 1:
        results = [call.result if call.saved is None else _free(call) for call in calls]
        frame = batch_frame([call.prompt for call in calls], results, index, **attrs)
        frame = frame if not batch.keeps else _beside(batch.over, frame, rows)
    else:
        frame = _columns(batch, work, chains, index, rows)
        frame.attrs.update(attrs)
    answers = Answers(frame)
    answers.attrs.update(attrs)
    lines = foot_of(bill, calls)
    if batch.sampled and rows:
        each = bill["cost"] / rows
        lines.append(
            f"a sample: {rows:,} of {len(batch):,} rows, {dollars(each)} a row, about {dollars(each * len(batch))} for"
            " all; the same call without first= continues"
        )
        answers.most = _SHOWN
    answers.foot = tuple(lines)
    return answers


def _free(call: Call) -> Any:
    return replace(call.result, cost=0.0)


def _beside(over: Any, frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Return the frame's own columns, then what was found."""
    both: pd.DataFrame = pd.concat([over.iloc[:rows], frame], axis=1)
    return both


def _columns(batch: BatchState, work: Work, chains: list[list[Call]], index: Any, rows: int) -> pd.DataFrame:
    repeats, spec = batch.repeats, batch.spec
    calls = [chain[-1] for chain in chains]
    data: dict[Any, Any] = {}
    valid = [[call for call in calls[row * repeats : (row + 1) * repeats] if _fits(call, spec)] for row in range(rows)]
    shares: list[float | None] = [None] * rows
    chosen = [good[0] if good else calls[row * repeats + repeats - 1] for row, good in enumerate(valid)]
    if spec is not None:
        compared = spec.compared
        token_counts: list[list[int]] = [[] for _ in range(rows)]
        for number, column in enumerate(spec):
            good = [
                agreed(column, [(call.values or ())[number] for call in row]) if row else (None, 0) for row in valid
            ]
            data[column.name] = column_values(column, [value for value, _ in good])
            if column.name in compared:
                for row, (_, count) in enumerate(good):
                    token_counts[row].append(count)
        shares = [min(counts) / repeats if counts and valid[row] else None for row, counts in enumerate(token_counts)]
    else:
        texts = [agreed(_TEXT, [call.result.content for call in row]) if row else (None, 0) for row in valid]
        data["content"] = column_values(_TEXT, [value for value, _ in texts])
        shares = [count / repeats if count else None for _, count in texts]
    if repeats > 1:
        data["agreement"] = pd.Series(shares, dtype="float64").to_numpy()
    data["status"] = _text([call.status for call in chosen])
    data["error"] = _text([_why(call) for call in chosen])
    data["raw"] = _text([call.result.content for call in chosen])
    costs = [[call.cost for chain in chains[r * repeats : (r + 1) * repeats] for call in chain] for r in range(rows)]
    paid = [[cost for cost in row if cost is not None] for row in costs]
    data["cost"] = pd.Series([sum(row) if row else None for row in paid], dtype="float64").to_numpy()
    frame = pd.DataFrame(data)
    if index is not None:
        frame.index = index
    return _beside(batch.over, frame, rows) if batch.keeps else frame


def _fits(call: Call, spec: Any) -> bool:
    return call.result.status == "completed" and (spec is None or call.values is not None)


def _why(call: Call) -> str | None:
    """Return why a row has no value, in one of few words."""
    if call.unfit is not None:
        return call.unfit.reason
    error = call.result.error or ""
    if call.status == UNKNOWN:
        return "unknown"
    if call.status == NOT_RUN:
        return "over budget" if error.startswith("not sent: max_cost") else None
    if call.status == "failed":
        if error.startswith("Budget exceeded") or "Budget exceeded" in error[:80]:
            return "over budget"
        return "timed out" if "timed out" in error else "refused"
    return None


def problem_frame(index: Any, work: Work) -> pd.DataFrame:
    """Return one row for each call without a result."""
    problems = [(place, chain[-1]) for place, chain in enumerate(work.places) if chain[-1].status != "completed"]
    rows = [place // work.repeats for place, _ in problems]
    return pd.DataFrame(
        {
            "row": rows if index is None else list(index[rows]) if rows else [],
            "status": _text([call.status for _, call in problems]),
            "error": _text([_why(call) for _, call in problems]),
            "detail": _text([call.unfit.why if call.unfit is not None else call.result.error for _, call in problems]),
        }
    )


def _text(values: Sequence[str | None]) -> Any:
    return pd.array(list(values), dtype="str")


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
