"""Metrics as tidy rows, split so that each part is one metric in one unit, with the labels of its series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..core.errors import InputError
from ..core.words import nearest
from .frames import NONE, frame_of, listed, need, texts_of

TIDY = ("time", "metric", "value", "unit")
SUCH = "what an explorer's metrics() gives"
_NO_LABELS = frozenset({*TIDY, "interval", "call"})
_BOUNDS = ("le", "quantile")
"""Labels of distributions: their values are bounds, and amounts of different bounds are never added."""
_DISTRIBUTION = ("_bucket", "_created")
_INTERVALS = {"minute": 60, "hour": 3600, "day": 86_400}
_MANY = 6
"""From this many metrics on, a first word that all share is left out."""
_SOUGHT = ("cost", "tokens", "storage", "bytes", "append", "read", "ops", "requests", "depth", "messages")
"""The metrics that people look for first, if none are named."""


@dataclass(frozen=True, slots=True)
class Table:
    """A frame with a row for each call or model, whose columns are metrics."""

    needs: frozenset[str]
    metrics: dict[str, str]
    """Columns that are metrics, and their units."""
    time: str
    by: str
    rows: str = ""
    """The metric that counts rows, if there is one."""


_TABLES = (
    Table(frozenset({"model"}), {"cost": "USD", "tokens": "tokens"}, "time", "model"),
    Table(
        frozenset({"service", "op", "started"}), {"bytes_in": "bytes", "bytes_out": "bytes"}, "started", "service",
        rows="requests",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric in one unit."""

    metric: str
    name: str
    """The name of the metric in words."""
    unit: str
    adds: bool
    """Whether its values are amounts of a period (an hour, a call), which can be added over several periods."""
    rows: pd.DataFrame
    """time, value, series."""
    by: tuple[str, ...]
    """The labels that distinguish its series."""
    same: dict[str, str]
    """The labels that all its rows share."""
    summed: tuple[str, ...]
    """Labels that the caller asked to sum over."""
    every: int = 0
    """The interval that the frame states for its amounts, in nanoseconds; 0 where it states none."""

    @property
    def zero(self) -> bool:
        """Whether there is nothing to see."""
        values = self.rows["value"].to_numpy()
        return not (values[np.isfinite(values)] != 0).any()

    @property
    def times(self) -> int:
        """How many times the series that has most has."""
        counts = self.rows.dropna(subset=["time"]).groupby("series")["time"].nunique()
        return int(counts.max()) if len(counts) else 0

    @property
    def caption(self) -> str:
        """What all its rows share, in words."""
        return ", ".join(f"{label.removesuffix('_id')} {value}" for label, value in self.same.items())


def tidied(source: Any) -> tuple[pd.DataFrame, tuple[str, ...] | None]:
    """Return time, metric, value, unit and labels of what was given, and by which labels to tell it apart by itself.

    A ledger of calls, or a table of models and what they used, is turned into that.
    """
    frame = frame_of(source, "usage", SUCH)
    if {*TIDY} <= {*frame.columns}:
        return frame, None
    for table in _TABLES:
        metrics = {name: unit for name, unit in table.metrics.items() if name in frame.columns}
        if table.needs <= {*frame.columns} and metrics:
            return _melted(frame, table, metrics), (table.by,)
    if "value" not in frame.columns and (numbers := frame.select_dtypes("number").columns.tolist()):
        raise InputError(
            f"usage: the frame has no column {', '.join(repr(name) for name in TIDY if name not in frame.columns)}",
            hint=f"give it {SUCH}; for columns of numbers there is kit.plots.over_time(df, {str(numbers[0])!r})",
        )
    need(frame, TIDY, "usage", SUCH)
    raise AssertionError


def _melted(frame: pd.DataFrame, table: Table, metrics: dict[str, str]) -> pd.DataFrame:
    timed = table.time in frame.columns
    others = [name for name in frame.columns if name not in (table.time, *metrics, "request_id")]
    labels = [name for name in others if not pd.api.types.is_numeric_dtype(frame[name])]
    parts = []
    counted = {table.rows: "count"} if table.rows else {}
    for name, unit in (counted | metrics).items():
        values = np.ones(len(frame)) if name == table.rows else frame[name].to_numpy(dtype=float, na_value=np.nan)
        part = frame[labels].assign(metric=name, value=values, unit=unit, call=timed)
        part["time"] = frame[table.time] if timed else pd.Series(pd.NaT, index=frame.index, dtype="datetime64[ms, UTC]")
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def measures(
    tidy: pd.DataFrame, metric: Any, by: Any, usual: tuple[str, ...] | None
) -> tuple[list[Measure], dict[str, int]]:
    """Return the metrics that were asked for, each in each of its units; without `metric` all but distributions.

    Values that are infinite have no place on an axis: how many were left out of each metric is the second result.
    """
    names = list(dict.fromkeys(tidy["metric"].dropna()))
    chosen = _wanted(names, metric)
    labels = _labels(tidy, by) or (usual if usual and {*usual} <= {*tidy.columns} else None)
    shared = _shared(names)
    result, left_out = [], dict[str, int]()
    for name in chosen:
        rows = tidy[tidy["metric"] == name]
        for unit in dict.fromkeys(rows["unit"].fillna("")):
            part = rows[(rows["unit"].fillna("") == unit) & rows["value"].notna()]
            infinite = np.isinf(part["value"].to_numpy(dtype=float))
            if infinite.any():
                left_out[name] = left_out.get(name, 0) + int(infinite.sum())
                part = part[~infinite]
            if len(part):
                result.append(_measure(name, in_words(name, unit, shared), str(unit), part, labels))
    return result, left_out


def in_words(metric: str, unit: str = "", shared: str = "") -> str:
    """Return a metric's name as a title has it.

    >>> in_words("synap_process_memory_bytes", "bytes", "synap_"), in_words("usage_cost", "USD")
    ('Process memory', 'Usage cost')
    """
    name = metric.removeprefix(shared)
    for suffix in {"bytes": ("_bytes",), "s": ("_in_seconds", "_seconds")}.get(unit, ()):
        name = name.removesuffix(suffix)
    words = name.replace("_", " ").replace("-", " ").strip() or metric
    return words[:1].upper() + words[1:]


def _wanted(names: list[str], metric: Any) -> list[str]:
    if metric is not None:
        chosen = [metric] if isinstance(metric, str) else list(metric)
        unknown = [name for name in chosen if name not in names]
        if unknown:
            near = nearest(str(unknown[0]), names)
            raise InputError(
                f"there is no metric {unknown[0]!r} in the frame",
                hint=(f"{near} " if near else "") + f"there are: {', '.join(map(repr, names)) or 'none'}",
            )
        return list(dict.fromkeys(chosen))
    names = [name for name in names if not name.endswith(_DISTRIBUTION)] or names
    return sorted(names, key=_rank)


def _rank(name: str) -> int:
    """Return how soon people look for a metric; what only describes a server comes last."""
    if "_info_" in name:
        return len(_SOUGHT) + 1
    return next((n for n, word in enumerate(_SOUGHT) if word in name), len(_SOUGHT))


def _labels(tidy: pd.DataFrame, by: Any) -> tuple[str, ...] | None:
    if by is None:
        return None
    labels = (by,) if isinstance(by, str) else tuple(by)
    there = [name for name in tidy.columns if name not in _NO_LABELS]
    for name in labels:
        if name not in there:
            raise InputError(f"by={name!r}: there is no such label", hint=f"there are: {listed(there)}")
    return labels


def _shared(names: Sequence[str]) -> str:
    """Return the prefix of all names, such as the service's name, which says nothing."""
    first = names[0].partition("_")[0] + "_" if names else ""
    return first if len(names) >= _MANY and all(name.startswith(first) for name in names) else ""


def _measure(metric: str, name: str, unit: str, part: pd.DataFrame, chosen: tuple[str, ...] | None) -> Measure:
    labels = [name for name in part.columns if name not in _NO_LABELS and part[name].notna().any()]
    telling = [label for label in labels if part[label].nunique(dropna=False) > 1]
    calls = "call" in part.columns and bool(part["call"].any())
    by = _distinguishing(part, telling) if chosen is None else [label for label in chosen if label in labels]
    by += [label for label in telling if label in _BOUNDS and label not in by]
    rows = pd.DataFrame(
        {"time": part["time"], "value": part["value"].to_numpy(dtype=float), "series": _series(part, by)}
    )
    summed: tuple[str, ...] = ()
    if not calls and rows.duplicated(["time", "series"]).any():
        summed = tuple(label for label in telling if label not in by)
        rows = rows.groupby(["time", "series"], dropna=False, sort=False)["value"].sum(min_count=1).reset_index()
    adds = calls or ("interval" in part.columns and bool(part["interval"].notna().all()))
    same = {label: str(part[label].iloc[0]) for label in labels if label not in telling} if not calls else {}
    every = _stated(part["interval"]) if adds and not calls else 0
    return Measure(metric, name, unit, adds, rows, tuple(by), same, summed, every)


def _stated(intervals: pd.Series[Any]) -> int:
    """Return the one interval that all rows state, in nanoseconds."""
    stated = {str(interval) for interval in intervals}
    return _INTERVALS.get(stated.pop(), 0) * 1_000_000_000 if len(stated) == 1 else 0


def _distinguishing(part: pd.DataFrame, telling: list[str]) -> list[str]:
    """Return the labels that distinguish rows; identifiers only if the other labels do not."""
    plain = [label for label in telling if not label.endswith("_id")]
    return plain if plain and not part.duplicated(["time", *plain]).any() else telling


def _series(part: pd.DataFrame, by: Sequence[str]) -> Any:
    if not by:
        return ""
    texts = [texts_of(part[label]) for label in by]
    if len(by) == 1:
        return texts[0].to_numpy()
    joined = [" · ".join(text for text in row if text != NONE) or NONE for row in zip(*texts, strict=True)]
    # Two combinations of labels that read the same are still two.
    return (
        joined
        if len({*joined}) == len({*zip(*texts, strict=True)})
        else [" · ".join(row) for row in zip(*texts, strict=True)]
    )
