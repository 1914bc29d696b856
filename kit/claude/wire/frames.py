"""The service's answers as DataFrames."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ...core.metrics import Sample, tidy
from ...core.tables.frames import TIME, to_frame
from ..types import BatchResult, Paid, UsageStats
from .json_messages import count
from .prices import PRICES

if TYPE_CHECKING:
    import pandas as pd

_INT, _FLOAT, _TEXT = pa.int64(), pa.float64(), pa.string()


def batch_frame(
    prompts: Sequence[str], results: Sequence[BatchResult], index: Any = None, **attrs: Any
) -> pd.DataFrame:
    """Return one row per prompt."""
    columns: dict[str, list[Any]] = {
        "prompt": list(prompts),
        "status": [result.status for result in results],
        "content": [result.content for result in results],
        "tokens": [None if result.usage is None else result.usage.total_tokens for result in results],
        "cost": [result.cost for result in results],
        "error": [result.error for result in results],
    }
    kinds = (_TEXT, _TEXT, _TEXT, _INT, _FLOAT, _TEXT)
    frame = to_frame(_table(columns, kinds), attrs, nullable=("tokens",))
    if index is not None:
        frame.index = index
    return frame


def usage_frame(stats: UsageStats) -> pd.DataFrame:
    """Return one row per model, dearest first, with its share of all."""
    rows = sorted(stats.by_model.items(), key=lambda row: (-row[1]["cost"], row[0]))
    tokens, cost = [int(used["tokens"]) for _, used in rows], [used["cost"] for _, used in rows]
    columns: dict[str, list[Any]] = {
        "model": [model for model, _ in rows],
        "tokens": tokens,
        "cost": cost,
        "token_share": _shares(tokens),
        "cost_share": _shares(cost),
    }
    attrs = {
        "project_id": stats.project_id,
        "period": stats.period,
        "total_tokens": stats.total_tokens,
        "total_cost": stats.total_cost,
        "limit": stats.limit,
        "remaining": stats.remaining,
    }
    return to_frame(_table(columns, (_TEXT, _INT, _FLOAT, _FLOAT, _FLOAT)), attrs)


def _shares(values: Sequence[float]) -> list[float]:
    total = sum(values)
    return [value / total if total else 0.0 for value in values]


def log_frame(entries: Iterable[Any]) -> pd.DataFrame:
    """Return one row per step of a task: when, what, and the details as JSON text."""
    import pandas as pd

    rows = [entry for entry in entries if isinstance(entry, Mapping)]
    known = {"step", "timestamp", "action", "details"}
    details = [
        # Some servers put the details at the top level.
        entry["details"] if "details" in entry else {name: value for name, value in entry.items() if name not in known}
        for entry in rows
    ]
    steps = [count(entry.get("step")) for entry in rows]
    columns: dict[str, list[Any]] = {
        "step": [place if step is None else step for place, step in enumerate(steps, start=1)],
        "time": _moments(pd, [entry.get("timestamp") for entry in rows], local=False),
        "action": [_said(entry.get("action")) for entry in rows],
        "details": [_said(detail) if detail else None for detail in details],
    }
    return to_frame(_table(columns, (_INT, TIME, _TEXT, _TEXT)))


def artifact_frame(artifacts: Iterable[Any]) -> pd.DataFrame:
    """Return one row per file that a task left; the paths are the server's."""
    import pandas as pd

    rows = [artifact for artifact in artifacts if isinstance(artifact, Mapping)]
    columns: dict[str, list[Any]] = {
        "path": [_said(row.get("path")) for row in rows],
        "type": [_said(row.get("type")) for row in rows],
        "size_bytes": [count(row.get("size_bytes")) for row in rows],
        "created_at": _moments(pd, [row.get("created_at") for row in rows], local=True),
    }
    return to_frame(_table(columns, (_TEXT, _TEXT, _INT, TIME)), nullable=("size_bytes",))


def ledger_frame(lines: Sequence[Paid]) -> pd.DataFrame:
    """Return one row per call of this client that was paid, or may have been."""
    columns: dict[str, list[Any]] = {
        "time": [round(line.time * 1000) for line in lines],
        "method": [line.method for line in lines],
        "model": [line.model for line in lines],
        "project_id": [line.project_id for line in lines],
        "status": [line.status for line in lines],
        "tokens": [line.tokens for line in lines],
        "cost": [line.cost for line in lines],
        "request_id": [line.request_id for line in lines],
    }
    kinds = (TIME, _TEXT, _TEXT, _TEXT, _TEXT, _INT, _FLOAT, _TEXT)
    return to_frame(_table(columns, kinds), nullable=("tokens",))


def cache_frame(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Return one row per question that is kept."""
    times, models, prompts, shapes, contents, tokens, costs, services = zip(*rows, strict=True) if rows else [()] * 8
    columns: dict[str, list[Any]] = {
        "time": [round(at * 1000) for at in times],
        "model": list(models),
        "prompt": list(prompts),
        "columns": [shape or None for shape in shapes],
        "content": list(contents),
        "tokens": list(tokens),
        "cost": list(costs),
        "state": ["lost" if content is None else "answer" for content in contents],
        "service": list(services),
    }
    kinds = (TIME, _TEXT, _TEXT, _TEXT, _TEXT, _INT, _FLOAT, _TEXT, _TEXT)
    return to_frame(_table(columns, kinds), nullable=("tokens",))


def metric_frame(stats: UsageStats, now: float) -> pd.DataFrame:
    """Return usage and budget as tidy rows."""
    at, samples = round(now * 1000), list[Sample]()
    of = {"project_id": stats.project_id, "period": stats.period}
    for model, used in stats.by_model.items():
        for name, unit in (("tokens", "tokens"), ("cost", "USD")):
            samples.append(Sample(at, f"usage_{name}", used[name], unit, {**of, "model": model}))
    for name, value in {"budget_limit": stats.limit, "budget_remaining": stats.remaining}.items():
        # Only for a month is the service's remainder the rest of the budget.
        if value is not None and stats.period == "month":
            samples.append(Sample(at, name, value, "tokens", of))
    return tidy(samples, ("model", "project_id", "period"))


def price_frame() -> pd.DataFrame:
    """Return the models and what a million of their tokens costs."""
    columns: dict[str, list[Any]] = {
        "model": list(PRICES),
        "input_per_million": [rates[0] for rates in PRICES.values()],
        "output_per_million": [rates[1] for rates in PRICES.values()],
    }
    return to_frame(_table(columns, (_TEXT, _FLOAT, _FLOAT)))


def estimate_frame(rows: Sequence[tuple[str, int, int, int, float]]) -> pd.DataFrame:
    """Return one row per model: prompts, tokens in and out, USD."""
    names = ("model", "prompts", "input_tokens", "output_tokens", "cost")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return to_frame(_table(columns, (_TEXT, _INT, _INT, _INT, _FLOAT)))


def _table(columns: Mapping[str, Sequence[Any]], kinds: Sequence[Any]) -> pa.Table:
    return pa.table({name: pa.array(values, kind) for (name, values), kind in zip(columns.items(), kinds, strict=True)})


def _said(value: Any) -> str | None:
    """Return a value as text that Arrow can hold."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text.encode("utf-8", "backslashreplace").decode()


def _moments(pd: Any, values: Sequence[Any], *, local: bool) -> list[Any]:
    """Return times without a zone: the log's are UTC, those of files the server's own; as milliseconds."""
    moments: list[int | None] = []
    for value in values:
        moment = pd.to_datetime(value if isinstance(value, str) else None, errors="coerce")
        if moment is None or pd.isna(moment):
            moments.append(None)
            continue
        if moment.tzinfo is None:
            # Read in this machine's zone, which is that of a server on this machine.
            moment = pd.Timestamp(moment.to_pydatetime().astimezone()) if local else moment.tz_localize("UTC")
        moments.append(round(moment.timestamp() * 1000))
    return moments
