"""Figures of a service as tidy rows: time, metric, value, unit, and a column per label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from .tables.frames import TIME, free_name, to_frame

if TYPE_CHECKING:
    import pandas as pd


class Sample(NamedTuple):
    """A figure: its time in milliseconds since 1970 where known, its metric, value, unit and labels."""

    time: int | None
    metric: str
    value: float
    unit: str
    labels: Mapping[str, str | None] = {}


def tidy(samples: Iterable[Sample], labels: Sequence[str], attrs: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return a row for each figure; a label that is called like another column has another name."""
    rows = list(samples)
    columns = {
        "time": pa.array([row.time for row in rows], TIME),
        "metric": pa.array([row.metric for row in rows], pa.string()),
        "value": pa.array([row.value for row in rows], pa.float64()),
        "unit": pa.array([row.unit for row in rows], pa.string()),
    }
    for label in labels:
        name = free_name(label, columns, "label.")
        columns[name] = pa.array([row.labels.get(label) for row in rows], pa.string())
    return to_frame(pa.table(columns), attrs)
