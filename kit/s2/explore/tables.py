"""Listings and metrics of S2 as frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ...core.metrics import Sample, tidy
from ...core.tables.frames import TIME, from_rows, to_frame
from ...core.tables.moments import in_unit
from ..wire.metrics import Accumulation, Label, Metric, Scalar
from ..wire.tokens import AccessTokenInfo, scope_json

if TYPE_CHECKING:
    import pandas as pd


def info_frame(infos: Iterable[Any], extra: str) -> pd.DataFrame:
    """Return basins or streams: name, times of creation and deletion, and the other fields."""
    rows = list(infos)
    extras = [getattr(row, extra) for row in rows]
    return to_frame(
        pa.table(
            {
                "name": pa.array([row.name for row in rows], pa.string()),
                "created_at": _moments([row.created_at for row in rows]),
                "deleted_at": _moments([row.deleted_at for row in rows]),
                extra: pa.array([getattr(one, "value", one) for one in extras], pa.string()),
            }
        )
    )


def _moments(values: list[Any]) -> pa.Array:
    return in_unit(pa.array(values, pa.timestamp("us", "UTC")), "ms")


def token_rows(infos: Iterable[AccessTokenInfo]) -> pd.DataFrame:
    """Return rows of access tokens: id, end, and the parts of their scope."""
    rows = []
    for info in infos:
        scope = scope_json(info.scope)
        row: dict[str, Any] = {"id": info.id, "auto_prefix_streams": info.auto_prefix_streams}
        row["expires_at"] = None if info.expires_at is None else info.expires_at.isoformat()
        for part in ("basins", "streams", "access_tokens"):
            match = scope.get(part)
            row[part] = None if not match else " ".join(f"{kind}:{value}" for kind, value in match.items())
        row["operations"] = ", ".join([*_groups(scope.get("op_groups") or {}), *(scope.get("ops") or [])])
        rows.append(row)
    names = ("id", "expires_at", "basins", "streams", "access_tokens", "operations")
    kinds = [(name, TIME if name == "expires_at" else pa.string()) for name in names]
    return from_rows(rows, pa.schema([*kinds, ("auto_prefix_streams", pa.bool_())]))


def _groups(groups: dict[str, Any]) -> list[str]:
    words = []
    for level, allowed in groups.items():
        if allowed:
            words.append(f"{level}:{'+'.join(kind for kind in ('read', 'write') if allowed.get(kind))}")
    return words


def metric_frame(metrics: Iterable[Metric], basin: str | None, stream: str | None) -> pd.DataFrame:
    """Return metrics as tidy rows; a label is a row of its own, with the value 1."""
    samples: list[Sample] = []
    of = {"basin": basin, "stream": stream}
    for metric in metrics:
        if isinstance(metric, Scalar):
            samples.append(Sample(None, metric.name, metric.value, metric.unit.value, of))
        elif isinstance(metric, Label):
            samples += [Sample(None, metric.name, 1.0, "label", {**of, "label": label}) for label in metric.values]
        else:
            interval = metric.interval.value if isinstance(metric, Accumulation) and metric.interval else None
            labels = {**of, "interval": interval}
            samples += [
                Sample(seconds * 1000, metric.name, value, metric.unit.value, labels)
                for seconds, value in metric.values
            ]
    return tidy(samples, ("interval", "basin", "stream", "label"))
