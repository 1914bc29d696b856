"""Query results: rows of JSON to columns, block by block as they arrive. No I/O.

All rows of a result begin with the same key, and an unescaped quote cannot occur inside a string, so `},{"key":`
separates two rows. With that, a block of rows becomes lines for Arrow's reader, which runs in its own threads while
the next blocks are received. If a block was split wrongly (a list of objects inside a row may look the same), its
lines are not objects; it is then read as a JSON list, or together with the block after it.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...core.http.operations import Response
from ..errors import AmdahlError
from . import json_messages as wire

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 2 * 1024 * 1024
_TAIL = 1024 * 1024
_ROWS = re.compile(rb'"rows"\s*:\s*\[')
_FIRST_KEY = re.compile(rb'\s*\{\s*("(?:[^"\\]|\\.){0,1000}")\s*:')
_MAX_COLUMNS = 100_000
_THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Result:
    """A query's result in columns."""

    table: pa.Table
    row_count: int
    truncated: bool
    notes: list[str] = field(default_factory=list)
    typed: tuple[str, ...] = ()
    """Columns whose type the server stated; each of them may have missing values."""


def result_of(response: Response) -> Result:
    """Return the result in an answer that was read whole."""
    if not response.ok:
        wire.judge(response)
    reader = ResultReader()
    try:
        reader.feed(response.body)
        return reader.finish(response)
    finally:
        reader.close()


class ResultReader:
    """Takes an answer piece by piece; `finish` returns the result. It must be closed in every case."""

    def __init__(self) -> None:
        self._workers: ThreadPoolExecutor | None = None
        self.start()

    def start(self) -> None:
        """Forget what came before."""
        from ...core.tables.json.columns import ObjectColumns

        self.close()
        self._columns = ObjectColumns(max_keys=_MAX_COLUMNS)
        self._head = b""
        self._buffer = bytearray()
        self._parting: Parting | None = None
        self._whole = False
        self._left_over = b""
        self._waiting: deque[tuple[bytes, Future[pa.Table | None]]] = deque()

    def feed(self, piece: bytes | bytearray) -> None:
        """Take the next piece of the body."""
        self._buffer += piece
        # A smaller answer is read in one go: what it says of its columns stands at its end.
        if len(self._buffer) >= (2 * _BLOCK if self._parting is None else _BLOCK) and not self._whole:
            self._cut()

    def finish(self, response: Response) -> Result:
        """Return the result, once the body has ended."""
        self._collect(0)
        # The rest is a smaller answer: the beginning, the last rows, the end.
        rest = self._head + self._joined(bytes(self._buffer))
        rows_at = find_rows(rest)
        payload: dict[str, Any] | None = None
        declared: dict[str, str] = {}
        if rows_at is not None:
            payload, start, end = rows_at
            declared = declared_types(payload)
            if not self._columns.rows and (types := stated_types(declared, rest[start:end])):
                self._columns.expect(types)
            if not self._take(rest[start:end]):
                payload = None
        if payload is None:
            from ...core.tables.json.values import sound

            payload = wire.judge(Response(response.status, response.headers, rest))
            self._columns.add_rows(sound(_listed(response.status, payload)))
            assert payload is not None
            declared = declared_types(payload)
        notes: list[str] = []
        rows, row_count = self._columns.rows, payload.get("rowCount")
        if not isinstance(row_count, int) or isinstance(row_count, bool):
            row_count = rows
        return Result(
            typed(self._columns.table(), rows, declared, notes, nested_types(payload)),
            row_count,
            payload.get("truncated") is True,
            notes,
            tuple(name for name, kind in declared.items() if kind),
        )

    def close(self) -> None:
        """Release the threads."""
        if self._workers is not None:
            self._workers.shutdown(wait=True, cancel_futures=True)
            self._workers = None

    def _cut(self) -> None:
        """Hand on the rows that are complete."""
        if self._parting is None:
            opening = _ROWS.search(self._buffer, 0, 4096)
            self._parting = opening and Parting.of(self._buffer, opening.end())
            if opening is None or self._parting is None:
                self._whole = True
                return
            self._head = bytes(self._buffer[: opening.end()])
            del self._buffer[: opening.end()]
        at = self._buffer.rfind(self._parting.between)
        if at < 0:
            return
        block = bytes(memoryview(self._buffer)[: at + 1])
        del self._buffer[: at + self._parting.gap]
        types = self._columns.expected
        if not types:
            self._read_block(block)  # its types are expected for the others
            return
        if self._workers is None:
            self._workers = ThreadPoolExecutor(_THREADS, "kit-rows")
        self._waiting.append((block, self._workers.submit(self._parting.read, block, types)))
        self._collect(2 * _THREADS)

    def _collect(self, most: int) -> None:
        """Add the blocks that were read, in order, until at most that many still wait."""
        while len(self._waiting) > most:
            block, future = self._waiting.popleft()
            table = future.result()
            if table is None or self._left_over:
                self._read_block(block)
            else:
                self._columns.add_table(table, len(block))

    def _read_block(self, block: bytes) -> None:
        rows = self._joined(block)
        if self._take(rows):
            self._left_over = b""
            return
        from ...core.tables.json.values import sound

        try:
            listed = json.loads(b"[" + rows + b"]")
        except (ValueError, RecursionError):
            self._left_over = rows
            return
        if not all(isinstance(row, dict) for row in listed):
            raise AmdahlError(200, "unknown", "the answer has rows that are not objects")
        self._columns.add_rows(sound(listed))
        self._left_over = b""

    def _joined(self, block: bytes) -> bytes:
        """Put a piece behind what could not be read by itself before it."""
        return self._left_over + b"," + block if self._left_over else block

    def _take(self, rows: bytes) -> bool:
        """Add rows that stand side by side; False, and nothing added, where they are not what they seem."""
        if not rows.strip():
            return True
        parting = Parting.of(rows, 0)
        mark = self._columns.mark()
        self._columns.add_lines(rows if parting is None else parting.lines(rows))
        if self._columns.bad:
            self._columns.rewind(mark)
            return False
        return True


@dataclass(frozen=True, slots=True)
class Parting:
    """The separator between two rows of a result."""

    between: bytes
    line_end: bytes
    gap: int
    """The bytes between the closing brace of one row and the opening brace of the next."""

    @classmethod
    def of(cls, rows: bytes | bytearray, start: int) -> Parting | None:
        """Return the state between rows that begin at `start`, or None if there is no first row."""
        first = _FIRST_KEY.match(rows, start)
        if first is None:
            return None
        key = first.group(1)
        spaced = rows.find(b"}, {" + key, start, start + _BLOCK) >= 0
        between = (b"}, {" if spaced else b"},{") + key
        return cls(between, b"}\n{" + key, 3 if spaced else 2)

    def lines(self, rows: bytes) -> bytes:
        """Return rows that stand side by side, one to a line."""
        return rows.replace(self.between, self.line_end)

    def read(self, rows: bytes, types: Mapping[str, pa.DataType]) -> pa.Table | None:
        """Return the rows as columns, where they are of these types and parted as they seem."""
        from ...core.tables.json.columns import read_lines

        return read_lines(self.lines(rows), types)


def _listed(status: int, payload: Any) -> list[dict[str, Any]]:
    """Return the rows where they were read as Python objects."""
    if isinstance(payload, dict) and isinstance(payload.get("error"), str):
        # A SQL error may arrive as status 200 with only its text.
        raise AmdahlError(status, str(payload.get("code") or "invalid_argument"), payload["error"], payload)
    rows = payload.get("rows") if isinstance(payload, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise AmdahlError(status, "unknown", "the answer has no rows", payload)
    return rows


def find_rows(body: bytes) -> tuple[dict[str, Any], int, int] | None:
    """Return the answer without its rows, and where the rows stand in it; None where that takes a full reading.

    >>> find_rows(b'{"rows":[{"a":1}],"rowCount":1,"truncated":false}')
    ({'rows': [], 'rowCount': 1, 'truncated': False}, 9, 16)
    """
    opening = _ROWS.search(body, 0, 4096)
    if opening is None:
        return None
    start = opening.end()
    floor = max(start, len(body) - _TAIL)
    end = len(body)
    rows_value = None
    # The earliest end of a list after which the rest is valid without the rows. After a list inside a row
    # more of that row follows, so it cannot be mistaken for this one.
    for _ in range(1000):
        end = body.rfind(b"]", floor, end)
        if end < 0:
            break
        try:
            payload = wire.unwrap(json.loads(body[:start] + body[end:]))
        except (ValueError, RecursionError):
            continue
        if isinstance(payload, dict) and payload.get("rows") == []:
            rows_value = payload, start, end
    if rows_value is not None and isinstance(rows_value[0].get("error"), str | dict):
        return None
    return rows_value


def declared_types(payload: Mapping[str, Any]) -> dict[str, str]:
    """Return column names and types where the server states them, in its order; "" is an unknown type."""
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
            repeated = str(column.get("mode")).upper() == "REPEATED"
            declared[column["name"]] = kind.upper() if isinstance(kind, str) and not repeated else ""
    from ...core.tables.json.values import sound

    named: dict[str, str] = sound(declared)
    return named


_TEXTS = ("STRING", "TIMESTAMP", "DATETIME", "DATE", "TIME", "NUMERIC", "BIGNUMERIC", "BYTES", "GEOGRAPHY")
"""What is a text in JSON."""


def stated_types(declared: Mapping[str, str], rows: bytes) -> dict[str, pa.DataType]:
    """Return the types to read the columns as, by those that the server states.

    Empty where it leaves one out, or where the first row says otherwise.
    """
    import pyarrow as pa

    from ...core.tables.json.columns import parsed_object
    from ...core.tables.json.kinds import kind_of_type

    names = {**dict.fromkeys(_TEXTS, "string"), **_NUMBERS}
    if not declared or not all(kind in names for kind in declared.values()):
        return {}
    types = {name: pa.type_for_alias(names[kind]) for name, kind in declared.items()}
    parting = Parting.of(rows, 0)
    end = rows.find(parting.between) + 1 if parting is not None else 0
    first = parsed_object(rows[:end] if end > 0 else rows)
    if first is None or set(first) != set(types):
        return {}
    fits = all(kind_of_type(types[name]).holds(value) for name, value in first.items())
    return types if fits else {}


def nested_types(payload: Mapping[str, Any]) -> dict[str, pa.DataType]:
    """Return the types of the columns of lists and objects, if the server states the types inside them."""
    columns = payload.get("columns") or payload.get("schema") or ()
    if isinstance(columns, dict):
        columns = columns.get("fields") or ()
    types = {}
    for column in columns if isinstance(columns, list | tuple) else ():
        if isinstance(column, dict) and isinstance(column.get("name"), str):
            kind = _nested(column)
            if kind is not None:
                types[column["name"]] = kind
    from ...core.tables.json.values import sound

    named: dict[str, Any] = sound(types)
    return named


def _nested(column: Mapping[str, Any], depth: int = 0) -> pa.DataType | None:
    """Return the type of a list or an object as its JSON is read; None for anything else."""
    import pyarrow as pa

    kind = str(column.get("type")).upper()
    items: Any = column.get("items")
    if str(column.get("mode")).upper() == "REPEATED":
        kind, items = "ARRAY", {**column, "mode": None}
    if depth > _DEEPEST:
        return None
    if kind == "ARRAY" and isinstance(items, dict):
        return pa.list_(_part(items, depth))
    fields = column.get("fields")
    if kind in ("RECORD", "STRUCT") and isinstance(fields, list):
        named = [one for one in fields if isinstance(one, dict) and isinstance(one.get("name"), str)]
        return pa.struct([(name["name"], _part(name, depth)) for name in named]) if named else None
    return None


def _part(column: Mapping[str, Any], depth: int) -> pa.DataType:
    import pyarrow as pa

    inner = _nested(column, depth + 1)
    number = _NUMBERS.get(str(column.get("type")).upper())
    # Times, decimals and bytes are text inside lists and objects.
    return inner or (pa.type_for_alias(number) if number else pa.string())


_DEEPEST = 50


def typed(
    table: pa.Table,
    rows: int,
    declared: Mapping[str, str],
    notes: list[str],
    nested: Mapping[str, pa.DataType] | None = None,
) -> pa.Table:
    """Return the table with the declared columns first, each converted where its declared type calls for it."""
    import pyarrow as pa

    # A table scans all its names for each look-up, and there may be a hundred thousand.
    by_name = dict(zip(table.column_names, table.columns, strict=True))
    columns = {}
    for name in [*declared, *(name for name in by_name if name not in declared)]:
        kind = declared.get(name, "")
        column = by_name[name] if name in by_name else pa.chunked_array([pa.nulls(rows)])
        if nested and name in nested and pa.types.is_null(column.type):
            column = pa.chunked_array([pa.nulls(rows, nested[name])])
        try:
            columns[name] = convert(column, kind)
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            notes.append(f"column {name!r} is not all {kind}: {str(error)[:100]}")
            columns[name] = column
    return pa.table(columns)


_NUMBERS = {
    "INT64": "int64",
    "INTEGER": "int64",
    "FLOAT64": "float64",
    "FLOAT": "float64",
    "BOOL": "bool",
    "BOOLEAN": "bool",
}


_NOT_COUNTED = r"^[-+]?[0.]*|\.|[eE].*$"
"""The parts of a number's text that are not significant digits."""


def convert(column: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    """Return a column as JSON carried it, as what the schema says it is; without a word in the schema nothing is
    guessed."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pa.types.is_string(column.type)
    if kind in _NUMBERS:
        return column.cast(_NUMBERS[kind])
    if kind in ("NUMERIC", "BIGNUMERIC"):
        # They arrive as text. A notebook adds them up and plots them, so floats are the most useful, as long as they
        # hold every digit.
        long = text and (pc.max(pc.utf8_length(pc.replace_substring_regex(column, _NOT_COUNTED, ""))).as_py() or 0) > 15
        exact = pa.decimal128(38, 9) if kind == "NUMERIC" else pa.decimal256(76, 38)
        return column.cast(exact if long else pa.float64())
    if kind == "TIMESTAMP":
        if not text and not pa.types.is_null(column.type):
            import numpy as np

            with np.errstate(invalid="ignore"):
                microseconds = (column.cast("float64").to_pandas() * 1_000_000).round().astype("Int64")
            return _moments(pa.chunked_array([microseconds]).cast(pa.timestamp("us", "UTC")))
        return _moments(column.cast(pa.timestamp("us", "UTC")))
    if kind == "DATETIME":
        return _moments(column.cast(pa.timestamp("us")))
    if kind == "DATE":
        return column.cast(pa.date32())
    if kind == "BYTES" and text:
        values = [None if value is None else base64.b64decode(value, validate=True) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(values, pa.binary())])
    if kind in _WITHOUT_VALUES and pa.types.is_null(column.type):
        return column.cast(_WITHOUT_VALUES[kind])
    return column


_WITHOUT_VALUES = {"STRING": "string", "JSON": "string", "TIME": "string", "GEOGRAPHY": "string", "BYTES": "binary"}


def _moments(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times in milliseconds, as everywhere, or in microseconds where one of them has more digits than that."""
    import pyarrow as pa

    try:
        return column.cast(pa.timestamp("ms", column.type.tz))
    except pa.ArrowInvalid:
        return column
