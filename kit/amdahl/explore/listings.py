"""The columns of listings, so that an empty listing has them too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def page_schema() -> pa.Schema:
    """Return the columns of pages, but for `spec`, which is another object for each page."""
    import pyarrow as pa

    query = pa.struct([("name", pa.string()), ("sql", pa.string())])
    return _schema(
        ("id", "name", "status", "created_at", "updated_at", "business_id", "description"),
        tags=pa.list_(pa.string()),
        declared_queries=pa.list_(query),
    )


def webhook_schema() -> pa.Schema:
    """Return the columns of webhooks."""
    import pyarrow as pa

    return _schema(
        ("id", "url", "description", "created_at", "business_id", "user_id"),
        events=pa.list_(pa.string()),
        active=pa.bool_(),
        failure_count=pa.int64(),
        last_error=pa.string(),
        last_delivery_at=_time(),
        updated_at=_time(),
    )


def session_schema() -> pa.Schema:
    """Return the columns of sessions, but for `result`, which is another object for each profile."""
    import pyarrow as pa

    counts = pa.struct([(name, pa.int64()) for name in ("turns", "input_tokens", "output_tokens")])
    return _schema(
        ("session_id", "status", "profile_id", "task"),
        progress=pa.float64(),
        step=pa.string(),
        created_at=_time(),
        updated_at=_time(),
        usage=counts,
    )


def with_varying(schema: pa.Schema, names: Iterable[str]) -> pa.Schema:
    """Return a schema that has these columns too, of whatever type."""
    import pyarrow as pa

    for name in names:
        schema = schema.append(pa.field(name, pa.null()))
    return schema


def _schema(texts: Iterable[str], **others: pa.DataType) -> pa.Schema:
    """Return columns of texts, and of times where the name says so, then the others."""
    import pyarrow as pa

    first = {name: _time() if name.endswith("_at") else pa.string() for name in texts}
    return pa.schema(list({**first, **others}.items()))


def _time() -> pa.DataType:
    import pyarrow as pa

    return pa.timestamp("ms", "UTC")
