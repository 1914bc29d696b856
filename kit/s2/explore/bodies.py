"""Frames, dicts and texts as the bodies, timestamps and headers of records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import pyarrow as pa

from ...core.tables import encode
from ..errors import S2InputError
from ..types import Record


class Bodies(NamedTuple):
    """Columns for `encode_inputs`."""

    bodies: Any
    timestamps: Any = None
    headers: Any = None


def bodies_of(
    given: Any, *, body: str | None = None, timestamp: str | None = None, headers: str | None = None
) -> Bodies:
    """Return the columns of a table (pandas, polars, Arrow), or of records, bytes, texts and dicts.

    Of a table, the column `body` becomes the bodies; without one, each row becomes a JSON object. `timestamp` and
    `headers` name columns that hold these, and are left out of the objects.
    """
    if isinstance(given, Record):
        given = [given]
    elif isinstance(given, Iterable) and hasattr(given, "__next__") and not hasattr(given, "__arrow_c_stream__"):
        given = list(given)
    if isinstance(given, list | tuple) and any(isinstance(item, Record) for item in given):
        if body or timestamp or headers:
            raise S2InputError("body=, timestamp= and headers= name columns of a table, but the data is not a table")
        return _of_records(given)
    encoded = encode.bodies_of(given, S2InputError, body=body, apart={"timestamp": timestamp, "headers": headers})
    times: Any = encoded.apart.get("timestamp")
    pairs: Any = encoded.apart.get("headers")
    if hasattr(times, "array"):
        times = pa.array(times, from_pandas=True)
    return Bodies(encoded.bodies, times, pairs.tolist() if hasattr(pairs, "array") else pairs)


def _of_records(given: Iterable[Any]) -> Bodies:
    bodies, times, pairs = [], [], []
    for number, item in enumerate(given):
        record = item if isinstance(item, Record) else Record(encode.record_bytes(item, number, S2InputError))
        bodies.append(record.body)
        times.append(record.timestamp)
        pairs.append(record.headers)
    timed, headed = any(time is not None for time in times), any(pairs)
    headers = [[{"name": name, "value": value} for name, value in some] for some in pairs]
    return Bodies(bodies, pa.array(times, pa.uint64()) if timed else None, headers if headed else None)
