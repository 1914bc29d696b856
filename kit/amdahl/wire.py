"""The service's JSON: envelopes, errors, and query results as columns. No I/O."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..core.steps import Response, asked_pause
from .errors import AmdahlError
from .types import RateLimit

if TYPE_CHECKING:
    import pyarrow as pa

PREFIX = "/api/platform/v1"
_SHOWN = 200


def encode(body: Any) -> bytes | None:
    """A request's JSON body."""
    if body is None:
        return None
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"the body cannot be sent as JSON: {error}") from None


def unwrap(payload: Any) -> Any:
    """The object itself where it came as `{"data": ...}` and nothing beside.

    >>> unwrap({"data": [1]}), unwrap({"data": [1], "total": 1})
    ([1], {'data': [1], 'total': 1})
    """
    if isinstance(payload, dict) and len(payload) == 1 and "data" in payload:
        return payload["data"]
    return payload


def judge(response: Response) -> Any:
    """The payload of an answer; `AmdahlError` where the service said no, also inside a 2xx."""
    if not response.body:
        if response.ok:
            return None
        raise AmdahlError(response.status, "unknown", f"HTTP {response.status}")
    try:
        payload = response.json()
    except ValueError:
        raise unreadable(response) from None
    if not response.ok:
        error = refusal(response.status, payload)
        error.retry_after = asked_pause(response)
        raise error
    inner = unwrap(payload)
    if isinstance(inner, dict) and inner.get("success") is False and isinstance(inner.get("error"), dict | str):
        raise refusal(response.status, inner, whole=payload)
    return inner


def unreadable(response: Response) -> AmdahlError:
    """For an answer that is no JSON: a proxy's page, or another server altogether."""
    text = response.text()
    if response.ok:
        shown = f"the answer is not JSON: {text[:_SHOWN]!r}"
    else:
        shown = text[:_SHOWN].strip() or f"HTTP {response.status}"
    return AmdahlError(response.status, "unknown", shown, text[:10_000])


def refusal(status: int, payload: Any, whole: Any = None) -> AmdahlError:
    """The error that a body tells, in any of the shapes the service is known to use."""
    body = unwrap(payload)
    code, message = None, None
    if isinstance(body, dict):
        error = body.get("error")
        if isinstance(error, dict):
            code, message = error.get("code"), error.get("message")
        elif isinstance(error, str) and "code" in body:
            code, message = body["code"], error
        elif isinstance(error, str):
            code, message = error, body.get("message")
            if message is None and " " in error:
                code, message = None, error
        else:
            code, message = body.get("code"), body.get("message")
    return AmdahlError(
        status,
        code if isinstance(code, str) and code else "unknown",
        message if isinstance(message, str) and message else f"HTTP {status}",
        payload if whole is None else whole,
    )


def rate_limit(headers: Mapping[str, str], now: float) -> RateLimit | None:
    """What the headers say about the limit, or None where they say nothing."""
    remaining, reset = headers.get("x-ratelimit-remaining"), headers.get("x-ratelimit-reset")
    if remaining is None and reset is None:
        return None
    return RateLimit(int(remaining) if remaining and remaining.isdigit() else None, _number(reset), now)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def event_payload(kind: str, data: str) -> dict[str, Any]:
    """The object that an event carries; text that is no object is kept as its `data`."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = data
    if isinstance(value, dict) and "type" in value:
        return value
    return {"type": kind, "data": value}


# --- query results --------------------------------------------------------------------------------------------------

_BLOCK = 8 * 1024 * 1024
_TAIL = 1024 * 1024
_ROWS = re.compile(rb'"rows"\s*:\s*\[')
_FIRST_KEY = re.compile(rb'\s*\{\s*("(?:[^"\\]|\\.){0,1000}")\s*:')


@dataclass(frozen=True, slots=True)
class Result:
    """A query's result in columns."""

    table: pa.Table
    row_count: int
    truncated: bool
    notes: list[str] = field(default_factory=list)
    typed: tuple[str, ...] = ()
    """Columns whose type the server stated: any of them may have gaps, in this result or in the next."""


def result_of(response: Response) -> Result:
    """The rows of a query's answer as columns, with the types that the server names."""
    from ..core.json_columns import ObjectColumns

    if not response.ok:
        judge(response)
    found = find_rows(response.body)
    table = None
    if found is not None:
        payload, start, end = found
        collected = ObjectColumns(max_keys=100_000)
        for lines, count in row_lines(response.body, start, end):
            collected.add_lines(lines, count)
        if not collected.bad:
            table = collected.table()
            rows = collected.rows
    if table is None:
        payload = judge(response)
        collected = ObjectColumns(max_keys=100_000)
        listed = _listed(response, payload)
        collected.add_rows(listed)
        table, rows = collected.table(), len(listed)
    declared = declared_types(payload)
    notes: list[str] = []
    truncated = payload.get("truncated") is True
    row_count = payload.get("rowCount")
    if not isinstance(row_count, int) or isinstance(row_count, bool):
        row_count = rows
    stated = tuple(name for name, kind in declared.items() if kind)
    return Result(typed(table, rows, declared, notes), row_count, truncated, notes, stated)


def _listed(response: Response, payload: Any) -> list[dict[str, Any]]:
    """The rows where they were read as Python objects."""
    if isinstance(payload, dict) and isinstance(payload.get("error"), str):
        # An SQL error may come as a 200 with nothing but its text.
        raise AmdahlError(response.status, str(payload.get("code") or "invalid_argument"), payload["error"], payload)
    rows = payload.get("rows") if isinstance(payload, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise AmdahlError(response.status, "unknown", "the answer holds no rows", payload)
    return rows


def find_rows(body: bytes | bytearray) -> tuple[dict[str, Any], int, int] | None:
    """The answer without its rows, and where the rows stand in it; None where that takes a full reading.

    >>> find_rows(b'{"rows":[{"a":1}],"rowCount":1,"truncated":false}')
    ({'rows': [], 'rowCount': 1, 'truncated': False}, 9, 16)
    """
    opening = _ROWS.search(body, 0, 4096)
    if opening is None:
        return None
    start = opening.end()
    head = bytes(body[:start])
    floor = max(start, len(body) - _TAIL)
    end = len(body)
    found = None
    # The earliest end of a list after which the rest is right without the rows. A list inside a row has
    # more of that row after it, so it cannot be taken for this one.
    for _ in range(1000):
        end = body.rfind(b"]", floor, end)
        if end < 0:
            break
        try:
            payload = unwrap(json.loads(head + bytes(body[end:])))
        except (ValueError, RecursionError):
            continue
        if isinstance(payload, dict) and payload.get("rows") == []:
            found = payload, start, end
    if found is not None and isinstance(found[0].get("error"), str | dict):
        return None
    return found


def row_lines(body: bytes | bytearray, start: int, end: int) -> Iterator[tuple[bytes, int]]:
    """The rows between two places, one to a line, in blocks.

    Rows of one result begin with the same key, and the quotes around it cannot stand inside a string, so `},{"key":`
    parts two rows. Where it should not, a line is no object, and the reader of the lines sees that.
    """
    first = _FIRST_KEY.match(body, start, end)
    if first is None:
        if body[start:end].strip():
            yield bytes(body[start:end]), 1
        return
    key = first.group(1)
    gap = b"}, {" if body.find(b"}, {" + key, start, min(end, start + _BLOCK)) >= 0 else b"},{"
    between, line_end = gap + key, b"}\n{" + key
    while start < end:
        stop = end
        if end - start > _BLOCK:
            cut = body.find(between, start + _BLOCK, end)
            stop = cut + 1 if cut >= 0 else end
        lines = bytes(memoryview(body)[start:stop]).replace(between, line_end)
        yield lines, lines.count(b"\n{" + key) + 1
        start = stop + len(gap) - 2 if stop < end else end


def declared_types(payload: Mapping[str, Any]) -> dict[str, str]:
    """Column names and types where the server states them, in its order; a type may be "" for unknown."""
    columns: Any = payload.get("columns") or payload.get("schema") or ()
    if isinstance(columns, dict):
        columns = columns.get("fields") or ()
    if not isinstance(columns, list | tuple):
        return {}
    declared = {}
    for column in columns:
        if isinstance(column, str):
            declared[column] = ""
        elif isinstance(column, dict) and isinstance(column.get("name"), str):
            kind = column.get("type")
            repeated = column.get("mode") == "REPEATED"
            declared[column["name"]] = kind.upper() if isinstance(kind, str) and not repeated else ""
    return declared


def typed(table: pa.Table, rows: int, declared: Mapping[str, str], notes: list[str]) -> pa.Table:
    """The table with the declared columns first, each converted where its declared type calls for it."""
    import pyarrow as pa

    columns = {}
    for name in [*declared, *(name for name in table.column_names if name not in declared)]:
        kind = declared.get(name, "")
        column = table.column(name) if name in table.column_names else pa.chunked_array([pa.nulls(rows)])
        try:
            columns[name] = convert(column, kind)
        except (pa.ArrowInvalid, ValueError) as error:
            notes.append(f"column {name!r} is not all {kind}: {str(error)[:100]}")
            columns[name] = column
    return pa.table(columns)


_NUMBERS = {
    "INT64": "int64",
    "INTEGER": "int64",
    "FLOAT64": "float64",
    "FLOAT": "float64",
    # Exact decimals come as text; in a notebook they are for adding up and plotting.
    "NUMERIC": "float64",
    "BIGNUMERIC": "float64",
    "BOOL": "bool",
    "BOOLEAN": "bool",
}


def convert(column: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    """A column as JSON carried it, as what the schema says it is; without a word in the schema nothing is guessed."""
    import pyarrow as pa

    from ..core.frames import TIME

    text = pa.types.is_string(column.type)
    if kind in _NUMBERS:
        return column.cast(_NUMBERS[kind])
    if kind == "TIMESTAMP":
        if not text and not pa.types.is_null(column.type):
            return pa.chunked_array([(column.cast("float64").to_pandas() * 1000).round().astype("Int64")]).cast(TIME)
        return column.cast(pa.timestamp("us", "UTC")).cast(TIME, safe=False)
    if kind == "DATETIME":
        return column.cast(pa.timestamp("us")).cast(pa.timestamp("ms"), safe=False)
    if kind == "DATE":
        return column.cast(pa.date32())
    if kind == "BYTES" and text:
        values = [None if value is None else base64.b64decode(value, validate=True) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(values, pa.binary())])
    if kind in ("STRING", "JSON", "TIME", "GEOGRAPHY") and pa.types.is_null(column.type):
        return column.cast(pa.string())
    return column
