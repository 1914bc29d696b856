"""What `publish` is given, as values to send."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from . import inputs
from .errors import SynapInputError


def values_of(data: Any, body: str | None = None, event: str = "event") -> tuple[list[Any], list[str]]:
    """The values, and the name of each one's event.

    >>> values_of(pd.DataFrame({"a": [1, 2]}))[0]
    [{'a': 1}, {'a': 2}]
    """
    events: list[str] | None = None
    if isinstance(data, pd.DataFrame):
        if body is None and list(data.columns) in (["body"], ["event", "body"]):
            body = "body"
        if body is not None and body not in data.columns:
            raise SynapInputError(f"there is no column {body!r}", hint=f"there are {', '.join(map(str, data.columns))}")
        if "event" in data.columns and (body is not None or len(data.columns) > 1):
            events = [inputs.name(one, "an event") for one in data["event"].tolist()]
            data = data.drop(columns="event")
        values = data[body].tolist() if body is not None else _objects(data)
    elif isinstance(data, pd.Series):
        values = data.tolist()
    elif isinstance(data, list | tuple) or (hasattr(data, "__next__")):
        values = list(data)
    else:
        values = [data]
    given = [inputs.data(value) for value in values]
    return given, events if events is not None else [inputs.name(event, "an event")] * len(given)


def _objects(frame: pd.DataFrame) -> list[Any]:
    """A JSON object for each row; times in RFC 3339, what is missing as null."""
    if not frame.columns.is_unique:
        raise SynapInputError("the frame has two columns of one name")
    named = frame.rename(columns=str)
    if any(isinstance(dtype, pd.DatetimeTZDtype) or dtype.kind == "M" for dtype in named.dtypes):
        named = named.copy(deep=False)
        for name in named.columns[[isinstance(d, pd.DatetimeTZDtype) or d.kind == "M" for d in named.dtypes]]:
            column = named[name]
            named[name] = [None if pd.isna(value) else value.isoformat() for value in column]
    found: list[Any] = json.loads(named.to_json(orient="records", double_precision=15, force_ascii=False) or "[]")
    return found
