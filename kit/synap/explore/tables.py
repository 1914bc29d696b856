"""Keys, queues, rooms, topics, events and metrics as frames."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ...core import prometheus
from ...core.log.source import shown
from ...core.metrics import Sample, tidy
from ...core.tables.frames import TIME, BodyMode, expand_bodies, to_frame
from ...core.tables.json.typed import checked
from ..types import QueueMessage

if TYPE_CHECKING:
    import pandas as pd

Rows = Sequence[tuple[str, Mapping[str, Any]]]
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")


def key_frame(keys: Sequence[str]) -> pd.DataFrame:
    """Return keys."""
    return to_frame(pa.table({"key": pa.array(keys, pa.string())}))


def type_of(value: str | bytes | None) -> str:
    """Return what a value looks like.

    >>> [type_of(value) for value in (None, "12", '{"a": 1}', "12 apples", b"\\xff")]
    ['missing', 'integer', 'json', 'text', 'bytes']
    """
    if value is None:
        return "missing"
    if isinstance(value, bytes):
        return "bytes"
    if _INTEGER.fullmatch(value):
        return "integer"
    if value[:1] in ("{", "[") and value[-1:] in ("}", "]"):
        import json

        try:
            json.loads(value)
        except (ValueError, RecursionError):
            return "text"
        return "json"
    return "text"


def value_frame(
    keys: Sequence[str],
    values: Sequence[str | bytes | None],
    ttls: Sequence[int | None] | None,
    body: BodyMode,
    types: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Return values by key; those that are missing have no body and count as nothing else."""
    columns: dict[str, Any] = {
        "key": pa.array(keys, pa.string()),
        "type": pa.array([type_of(value) for value in values], pa.string()),
    }
    if ttls is not None:
        columns["ttl"] = pa.array(ttls, pa.int64())
    raw = pa.array([value.encode() if isinstance(value, str) else value for value in values], pa.binary())
    here, typed = pc.is_valid(raw), checked(types or {})
    if raw.null_count and raw.null_count < len(raw):
        # Rows without a value must not change the form of the others.
        expanded = expand_bodies(raw.filter(here), body, taken=columns, raw="value", types=typed)
        places = pc.subtract(pc.cumulative_sum(here.cast(pa.int64())), 1)
        places = pc.if_else(here, places, pa.scalar(None, pa.int64()))
        bodies = {name: column.take(places) for name, column in expanded.columns.items()}
    else:
        expanded = expand_bodies(raw, body, taken=columns, raw="value", types=typed)
        bodies = expanded.columns
    return to_frame(pa.table({**columns, **bodies}), expanded.attrs, nullable=("ttl",))


def _stamp(now: float, count: int) -> pa.Array:
    return pa.array([round(now * 1000)] * count, pa.timestamp("ms", "UTC"))


def _numbers(rows: Rows, name: str) -> pa.Array:
    values = [row.get(name) for _, row in rows]
    return pa.array([value if type(value) is int and abs(value) < 2**63 else None for value in values], pa.int64())


def queue_table(rows: Rows, now: float) -> pa.Table:
    """Return queues and their figures; one that the server does not state is missing."""
    figures = {name: _numbers(rows, name) for name in ("consumed", "acked", "nacked")}
    # The server does not tell what was given out and is neither acknowledged nor given back.
    flight = pc.subtract(pc.subtract(figures["consumed"], figures["acked"]), figures["nacked"])
    return pa.table(
        {
            "queue": pa.array([name for name, _ in rows], pa.string()),
            "depth": _numbers(rows, "depth"),
            "in_flight": pc.max_element_wise(flight, pa.scalar(0, pa.int64()), skip_nulls=False),
            "dead_letters": _numbers(rows, "dead_lettered"),
            "consumers": _numbers(rows, "consumers"),
            "published": _numbers(rows, "published"),
            **figures,
            "time": _stamp(now, len(rows)),
        }
    )


def queue_frame(rows: Rows, now: float) -> pd.DataFrame:
    """Return queues and their figures."""
    return to_frame(queue_table(rows, now))


def room_frame(rows: Rows, now: float) -> pd.DataFrame:
    """Return rooms and their figures."""
    return to_frame(
        pa.table(
            {
                "room": pa.array([name for name, _ in rows], pa.string()),
                "events": _numbers(rows, "message_count"),
                "first": _numbers(rows, "min_offset"),
                "last": _numbers(rows, "max_offset"),
                "subscribers": _numbers(rows, "subscriber_count"),
                "published": _numbers(rows, "total_published"),
                "consumed": _numbers(rows, "total_consumed"),
                "dropped": _numbers(rows, "dropped"),
                "created": _numbers(rows, "created_at").cast(TIME),
                "generation": _numbers(rows, "generation"),
                "time": _stamp(now, len(rows)),
            }
        ),
        nullable=("consumed", "dropped"),
    )


def topic_frame(names: Sequence[str], rows: Rows) -> pd.DataFrame:
    """Return topics and their figures."""
    figures = dict(rows)
    all_rows = [(name, figures.get(name, {})) for name in names]
    created = _numbers(all_rows, "created_at").cast(pa.timestamp("s", "UTC")).cast(TIME)
    return to_frame(
        pa.table(
            {
                "topic": pa.array(names, pa.string()),
                "subscribers": _numbers(all_rows, "subscriber_count"),
                "messages": _numbers(all_rows, "message_count"),
                "created": created,
            }
        ),
        nullable=("subscribers", "messages"),
    )


def event_table(
    events: pa.Table, body: BodyMode, types: Mapping[str, pa.DataType] | None = None, *, fast: bool = True
) -> tuple[pa.Table, dict[str, Any]]:
    """Return events or messages as a notebook shows them: what came with them, then their data."""
    return shown(events, "data", body, types, as_text=unquoted, fast=fast)


def unquoted(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts as they were published: rooms keep the JSON of what was, a text with its quotes."""
    import json

    quoted = pc.and_(pc.starts_with(column, '"'), pc.ends_with(column, '"'))
    if not pc.any(quoted).as_py():
        return column
    texts = []
    for text in column.to_pylist():
        if text is not None and len(text) > 1 and text[0] == text[-1] == '"':
            try:
                text = json.loads(text).encode("utf-8", "backslashreplace").decode()
            except ValueError:
                pass
        texts.append(text)
    return pa.chunked_array([pa.array(texts, pa.string())])


def message_frame(
    messages: Sequence[QueueMessage], body: BodyMode, queue: str, types: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Return messages that were taken from a queue."""
    columns: dict[str, Any] = {
        "message_id": pa.array([message.message_id for message in messages], pa.string()),
        "priority": pa.array([message.priority for message in messages], pa.int64()),
        "retries": pa.array([message.retry_count for message in messages], pa.int64()),
    }
    raw = pa.array([message.payload for message in messages], pa.binary())
    expanded = expand_bodies(raw, body, taken=columns, types=checked(types or {}))
    return to_frame(pa.table({**columns, **expanded.columns}), {"queue": queue, **expanded.attrs})


def published_frame(target: str, kind: str, results: Sequence[Any]) -> pd.DataFrame:
    """Return what happened to what was published."""
    name, of = {
        "room": ("offset", pa.int64()),
        "queue": ("message_id", pa.string()),
        "topic": ("subscribers", pa.int64()),
    }[kind]
    return to_frame(pa.table({name: pa.array(results, of)}), {kind: target, "published": len(results)})


def metric_frame(
    page: str, info: Mapping[str, Any], beside: Mapping[str, Mapping[str, Any]], now: float
) -> pd.DataFrame:
    """Return everything that the server counts, as tidy rows."""
    scraped = prometheus.parse(page)
    milliseconds = round(now * 1000)
    samples = [
        Sample(milliseconds if at is None else at, name, *_scaled(name, value), labels)
        for at, name, value, labels in scraped.rows
    ]
    for source, figures in (("info", info), *beside.items()):
        for name, value in _flat(figures):
            samples.append(Sample(milliseconds, f"synap_{source}_{name}", value, _unit(name)))
    return tidy(samples, scraped.labels, {"unread": scraped.unread} if scraped.unread else {})


def _scaled(name: str, value: float) -> tuple[float, str]:
    """Return value and unit; the server gives the load average times 100."""
    if name == "synap_host_load_average":
        return value / 100, "value"
    return value, _unit(name)


def _unit(name: str) -> str:
    if name.endswith(("_percent",)):
        return "percent"
    if name.endswith(("uptime_in_seconds",)):
        return "s"
    if "memory" in name and not name.endswith("ratio"):
        return "bytes"
    known = prometheus.unit_of(name)
    return "count" if known == "value" else known


def _flat(figures: Mapping[str, Any], prefix: str = "", depth: int = 0) -> list[tuple[str, float]]:
    """Return the numbers in it, by the names of where they are."""
    rows: list[tuple[str, float]] = []
    for name, value in figures.items():
        if isinstance(value, Mapping) and depth < 4:
            rows += _flat(value, f"{prefix}{name}_", depth + 1)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            rows.append((f"{prefix}{name}", float(value)))
    return rows
