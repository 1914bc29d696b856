"""Metrics: the sets that can be asked for, the four shapes of the result, and their JSON."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..errors import WireError
from .fields import choice, json_list, json_object, number, text, whole


class MetricUnit(Enum):
    """What a metric counts."""

    BYTES = "bytes"
    OPERATIONS = "operations"
    USD = "usd"


class TimeseriesInterval(Enum):
    """The interval of time that each value covers."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


class AccountMetricSet(Enum):
    """The metrics of an account."""

    ACTIVE_BASINS = "active-basins"
    ACCOUNT_OPS = "account-ops"
    ESTIMATED_BILLABLE_USAGE = "estimated-billable-usage"


class BasinMetricSet(Enum):
    """The metrics of a basin."""

    STORAGE = "storage"
    APPEND_OPS = "append-ops"
    READ_OPS = "read-ops"
    READ_THROUGHPUT = "read-throughput"
    APPEND_THROUGHPUT = "append-throughput"
    BASIN_OPS = "basin-ops"


class StreamMetricSet(Enum):
    """The metrics of a stream."""

    STORAGE = "storage"


@dataclass(slots=True)
class Scalar:
    """One value."""

    name: str
    unit: MetricUnit
    value: float


@dataclass(slots=True)
class Accumulation:
    """Totals over intervals of time."""

    name: str
    unit: MetricUnit
    interval: TimeseriesInterval | None
    values: list[tuple[int, float]]
    """When a stretch began, in seconds since 1970, and its total."""


@dataclass(slots=True)
class Gauge:
    """Values at points in time."""

    name: str
    unit: MetricUnit
    values: list[tuple[int, float]]
    """The moment, in seconds since 1970, and the value."""


@dataclass(slots=True)
class Label:
    """A set of names."""

    name: str
    values: list[str]


Metric = Scalar | Accumulation | Gauge | Label


def metrics_from_json(value: Any) -> list[Metric]:
    fields = json_object(value, "metrics")
    return [_metric(json_object(item, "metric")) for item in json_list(fields.get("values"), "values")]


def _metric(fields: Any) -> Metric:
    for kind in ("scalar", "accumulation", "gauge", "label"):
        if kind in fields:
            break
    else:
        raise WireError(f"unknown kind of metric: {', '.join(map(str, fields)) or 'an empty one'}")
    inner = json_object(fields[kind], kind)
    name = text(inner.get("name"), f"{kind}.name")
    if kind == "label":
        return Label(name, [text(item, "label.values") for item in json_list(inner.get("values"), "label.values")])
    unit = choice(MetricUnit, inner.get("unit"), f"{kind}.unit")
    if kind == "scalar":
        return Scalar(name, unit, number(inner.get("value"), "scalar.value"))
    values = [_point(point, f"{kind}.values") for point in json_list(inner.get("values"), f"{kind}.values")]
    if kind == "gauge":
        return Gauge(name, unit, values)
    interval = inner.get("interval")
    every = None if interval is None else choice(TimeseriesInterval, interval, "accumulation.interval")
    return Accumulation(name, unit, every, values)


def _point(value: Any, what: str) -> tuple[int, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise WireError(f"{what} must hold lists of a time and a value")
    return whole(value[0], what), number(value[1], what)
