"""Listings, metrics and results of SQL as frames."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ...core import prometheus
from ...core.metrics import Sample, tidy
from ...core.tables.frames import to_frame
from ...core.tables.moments import in_unit
from ..client.listing import StreamRow
from ..wire.protocol.structs import ColumnInfo, TableInfo
from ..wire.results import ResultColumns

if TYPE_CHECKING:
    import pandas as pd

FULL_SCAN, KEY_SCAN = 100_000, 10_000
"""Rows after which the real server stops reading without saying so."""


def stream_frame(rows: Sequence[StreamRow]) -> pd.DataFrame:
    """Return streams: id, number, name, length, and the other known fields."""
    return to_frame(
        pa.table(
            {
                "id": pa.array([row.id for row in rows], pa.uint64()),
                "number": pa.array([row.number for row in rows], pa.int64()),
                "name": pa.array([row.name for row in rows], pa.string()),
                "length": pa.array([row.length for row in rows], pa.int64()),
                "data_class": pa.array([row.data_class for row in rows], pa.string()),
                "created": in_unit(pa.array([row.created for row in rows], pa.timestamp("us", "UTC")), "ms"),
                "hidden": pa.array([row.hidden for row in rows], pa.bool_()),
            }
        )
    )


def table_frame(tables: Sequence[TableInfo]) -> pd.DataFrame:
    """Return tables: name and number of columns."""
    return to_frame(
        pa.table(
            {
                "name": pa.array([table.name for table in tables], pa.string()),
                "columns": pa.array([table.column_count for table in tables], pa.int64()),
            }
        )
    )


def column_frame(columns: Sequence[ColumnInfo]) -> pd.DataFrame:
    """Return the columns of a table."""
    return to_frame(
        pa.table(
            {
                "column": pa.array([column.name for column in columns], pa.string()),
                "type": pa.array([column.data_type for column in columns], pa.string()),
                "nullable": pa.array([column.nullable for column in columns], pa.bool_()),
                "primary_key": pa.array([column.primary_key for column in columns], pa.bool_()),
            }
        )
    )


def mentioned(sql: str, tables: Sequence[TableInfo]) -> list[str]:
    """Return the tables whose names occur in a statement.

    >>> mentioned("select * from orders o", [TableInfo("orders", 3), TableInfo("order", 1)])
    ['orders']
    """
    words = {word.lower() for word in re.findall(r"\w+", sql)}
    return [table.name for table in tables if table.name.lower() in words]


def declared_types(described: Mapping[str, Sequence[ColumnInfo]]) -> dict[str, str]:
    """Return the types of columns by name; a name that means different types in different tables has none."""
    types: dict[str, str] = {}
    unsure = set()
    for columns in described.values():
        for column in columns:
            if types.setdefault(column.name, column.data_type) != column.data_type:
                unsure.add(column.name)
    return {name: kind for name, kind in types.items() if name not in unsure}


def capped(rows: int) -> str | None:
    """Return a warning for a result with exactly as many rows as the real server reads at most."""
    if rows not in (FULL_SCAN, KEY_SCAN):
        return None
    return (
        f"the result has exactly {rows:,} rows, where the server stops to read: there may be more. Page by the primary"
        " key: WHERE key > $1 ORDER BY key LIMIT 5000"
    )


def result_frame(result: ResultColumns, attrs: Mapping[str, Any]) -> pd.DataFrame:
    """Return a result of SQL as a frame."""
    return to_frame(result.table, {**attrs, **({"as_text": result.as_text} if result.as_text else {})})


def metric_frame(text: str, now: float) -> pd.DataFrame:
    """Return a page of metrics as tidy rows: time, metric, value, unit, and a column per label."""
    page = prometheus.parse(text)
    milliseconds = round(now * 1000)
    samples = [
        Sample(milliseconds if time is None else time, name, value, prometheus.unit_of(name), labels)
        for time, name, value, labels in page.rows
    ]
    return tidy(samples, page.labels, {"unread": page.unread} if page.unread else {})
