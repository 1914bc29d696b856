"""The arguments of `publish` as values to send."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ...core.tables.encode import Table, column_of, json_bytes, record_bytes, table_of, values_in
from .. import inputs
from ..errors import SynapInputError

T = TypeVar("T")
_AT_ONCE = 10_000


def values_of(data: Any, body: str | None = None, event: str = "event") -> tuple[list[Any], list[str]]:
    """Return the values, and the name of each one's event.

    >>> import pandas as pd
    >>> values_of(pd.DataFrame({"a": [1, 2]}))[0]
    ['{"a":1}', '{"a":2}']
    """
    events: list[str] | None = None
    table = table_of(data, SynapInputError)
    if table is not None:
        if body is None and table.names in (["body"], ["event", "body"]):
            body = "body"
        column = None if body is None else table.column(body, "body")
        if "event" in table.names and (body is not None or len(table.names) > 1):
            events = [inputs.name(one, "an event") for one in _listed(table.column("event", "event"))]
            table = table.without(["event"])
        values: list[Any] = _objects(table) if column is None else _values(column)
    elif (single := column_of(data)) is not None:
        values = _values(single)
    elif isinstance(data, list | tuple) or (hasattr(data, "__next__")):
        values = list(data)
    else:
        values = [data]
    listed = [_given(value, n) for n, value in enumerate(values)]
    return listed, events if events is not None else [inputs.name(event, "an event")] * len(listed)


def _given(value: Any, number: int) -> Any:
    """Return a value to send: text and bytes unchanged, everything else as JSON."""
    if isinstance(value, inputs.JsonText | bytes | bytearray | memoryview):
        return inputs.data(value)
    if isinstance(value, str):
        record_bytes(value, number, SynapInputError)
        return value
    return inputs.JsonText(json_bytes(value, number, SynapInputError).decode())


def _objects(table: Table) -> list[Any]:
    """Return a JSON object for each row."""
    return [inputs.JsonText(event) for event in table.objects().to_pylist()]


def _values(column: Any) -> list[Any]:
    values, as_json = values_in(column, SynapInputError)
    return [inputs.JsonText(value) for value in values] if as_json else values


def _listed(column: Any) -> list[Any]:
    values: list[Any] = column.to_pylist() if hasattr(column, "to_pylist") else column.tolist()
    return values


def in_parts(values: list[Any], send: Callable[[int, list[Any]], list[T]], notify: Callable[[int], Any]) -> list[T]:
    """Return what `send` gives for all values; it is given the place of some thousand of them, and these."""
    results: list[T] = []
    for at in range(0, len(values), _AT_ONCE):
        some = values[at : at + _AT_ONCE]
        results += send(at, some)
        notify(len(some))
    return results
