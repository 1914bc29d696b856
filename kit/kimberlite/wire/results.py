"""Results of SQL as Arrow columns, without a Python object per cell.

On the wire a cell is an integer, text, boolean, timestamp or missing; there is nothing else. Numbers with a fraction,
bytes, dates and times of day arrive as text. They are converted only where the column's declared type is known: given
by the caller, or by a server that sends the types of a result's columns after its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...core.tables.names import distinct
from ..errors import WireError
from .cells import Cells, ObjectCells, WireCells, scan
from .extensions import TYPES_MARK
from .naming import arranged
from .protocol.codec import peek, responses
from .protocol.postcard import TEXT as WIRE_TEXT
from .protocol.postcard import Reader, list_of
from .sqltypes import MOST_DIGITS, Type, declared_of_column, digits_of, type_of
from .values import BIGINT, BOOLEAN, NULL, TEXT, TIMESTAMP, read_rows

TIME = pa.timestamp("ns", "UTC")
ARROW = {
    Type.INTEGER: pa.int64(),
    Type.REAL: pa.float64(),
    Type.TEXT: pa.string(),
    Type.BYTES: pa.binary(),
    Type.BOOLEAN: pa.bool_(),
    Type.DATE: pa.date32(),
    Type.TIME: pa.time64("ns"),
    Type.TIMESTAMP: TIME,
}
_PLAIN = {BIGINT: pa.int64(), TEXT: pa.string(), BOOLEAN: pa.bool_(), TIMESTAMP: TIME}
_TYPES = list_of(WIRE_TEXT)
_FEW = 80
"""Fewer rows are read one by one, which is faster."""


@dataclass(slots=True, frozen=True)
class ResultColumns:
    """A result in columns. Names that occur twice get a number appended."""

    table: pa.Table
    as_text: dict[str, str] = field(default_factory=dict)
    """Columns that hold text although their type is another or their cells are mixed, with the reason."""

    def __len__(self) -> int:
        return int(self.table.num_rows)


def result_columns(payload: bytes, declared: Mapping[str, str] | None = None, sql: str = "") -> ResultColumns:
    """Return the rows that the payload of an answer holds; an error answer is raised.

    `declared` has the types of the tables' columns, from DescribeTable. Columns of an empty result have the
    types of a full one; those without a declared type are of Arrow's null type then. Columns are named and ordered as
    the statement in `sql` asks for, if the server names them differently.
    """
    head = peek(payload)
    kind = responses.ALL[head.variant] if head.variant < len(responses.ALL) else None
    reader = Reader(payload, head.body)
    if kind is responses.Error:
        error = responses.Error(reader.varint(32), reader.text())
        raise error.exception(head.id)
    if kind not in (responses.Query, responses.QueryAt):
        raise WireError(f"rows were expected, but the answer is {kind.__name__ if kind else head.variant}")
    names: list[str] = _TYPES.read(reader)
    start = reader.at
    many = reader.count() >= _FEW
    reader.at = start
    cells = scan(reader, len(names)) if many else None
    columns: Sequence[Cells]
    if cells is None:
        reader.at = start
        rows = read_rows(reader)
        if len(rows) and len(rows[0]) != len(names):
            raise WireError(f"rows of {len(rows[0])} cells, and {len(names)} names of columns")
        columns = [ObjectCells([row[n] for row in rows]) for n in range(len(names))]
        count = len(rows)
    else:
        places, count = cells
        data = np.frombuffer(payload, np.uint8)
        columns = [WireCells(payload, data, places[n]) for n in range(len(names))]
    types = _types_sent(reader, len(names))
    shown = arranged(sql, names) or list(enumerate(names))
    return _table(names, columns, count, types, declared or {}, shown)


def _types_sent(reader: Reader, count: int) -> list[str] | None:
    """Return the types that the server sent after the rows."""
    if reader.at == len(reader.data):
        return None
    try:
        if reader.text() != TYPES_MARK:
            return None
        types: list[str] = _TYPES.read(reader)
    except WireError:
        return None  # the protocol ignores bytes after a message
    return types if len(types) == count else None


def _table(
    names: Sequence[str],
    columns: Sequence[Cells],
    count: int,
    type_names: Sequence[str] | None,
    declared: Mapping[str, str],
    shown: Sequence[tuple[int, str]],
) -> ResultColumns:
    made, as_text = dict[str, Any](), dict[str, str]()
    for (n, _), free in zip(shown, distinct(name for _, name in shown), strict=True):
        declaration = type_names[n] if type_names and type_of(type_names[n]) else declared_of_column(names[n], declared)
        column, why = _column(columns[n], declaration)
        made[free] = column
        if why:
            as_text[free] = why
    table = pa.table(made) if made else pa.table({"": pa.nulls(count)}).select([])
    return ResultColumns(table, as_text)


def arrow_type(declared: str) -> pa.DataType:
    """Return the Arrow type for a declared type; null for an unknown one.

    >>> arrow_type("DECIMAL(10,2)"), arrow_type("BIGINT")
    (Decimal128Type(decimal128(10, 2)), DataType(int64))
    """
    kind = type_of(declared)
    if kind is Type.DECIMAL:
        return pa.decimal128(*(digits_of(declared) or (MOST_DIGITS, 0)))
    return ARROW[kind] if kind else pa.null()


def column_of(values: list[Any]) -> pa.Array:
    """Return the values of a result's column as Arrow has them; of several kinds as their texts."""
    return _column(ObjectCells(values), "")[0]


def _column(cells: Cells, declared: str) -> tuple[pa.Array, str]:
    """Return the column, of the type that it should have if the cells allow that; else why it is text."""
    tags, kind = cells.tags, type_of(declared)
    kinds = set(np.unique(tags).tolist()) - {NULL}
    if not kinds:
        return pa.nulls(len(tags), arrow_type(declared)), ""
    if len(kinds) > 1 and not (kind in (Type.REAL, Type.DECIMAL) and kinds == {BIGINT, TEXT}):
        return _as_text(cells), f"its cells are of {len(kinds)} kinds"
    missing = tags == NULL
    if len(kinds) > 1:
        column = _as_text(cells)
    else:
        (tag,) = kinds
        column = _plain(cells, tag, missing)
    if kind is None or column.type == arrow_type(declared):
        return column, ""
    try:
        return _decimals(column, declared) if kind is Type.DECIMAL else _converted(column, kind), ""
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError):
        what = "text" if pa.types.is_string(column.type) else str(column.type)
        return column, f"{what} that is not all {kind.value}"


def _plain(cells: Cells, tag: int, missing: npt.NDArray[np.bool_]) -> pa.Array:
    """Return a column whose cells are all of one kind, or missing."""
    mask = missing if missing.any() else None
    if tag == TEXT:
        texts = cells.texts()
        return texts if mask is None else pc.if_else(pa.array(mask), pa.scalar(None, texts.type), texts)
    values = cells.booleans() if tag == BOOLEAN else cells.integers()
    column = pa.array(values, mask=mask)
    return column.cast(_PLAIN[tag]) if tag == TIMESTAMP else column


def _as_text(cells: Cells) -> pa.Array:
    """Return cells of several kinds, each as its text."""
    tags = cells.tags
    out = cells.texts()
    if (tags == BIGINT).any():
        out = pc.if_else(pa.array(tags == BIGINT), pa.array(cells.integers()).cast(pa.string()), out)
    if (tags == TIMESTAMP).any():
        times = pc.strftime(pa.array(cells.integers()).cast(TIME), "%Y-%m-%dT%H:%M:%SZ")
        out = pc.if_else(pa.array(tags == TIMESTAMP), times, out)
    if (tags == BOOLEAN).any():
        out = pc.if_else(pa.array(tags == BOOLEAN), pa.array(cells.booleans()).cast(pa.string()), out)
    return pc.if_else(pa.array(tags == NULL), pa.scalar(None, out.type), out)


def _decimals(column: pa.Array, declared: str) -> pa.Array:
    """Return exact decimals, with the declared number of digits or, if none is declared, with the digits they have."""
    texts = column.cast(pa.string())
    if (pc.max(pc.utf8_length(pc.replace_substring_regex(texts, "[-+.]", ""))).as_py() or 0) > MOST_DIGITS:
        raise ValueError("more digits than a decimal can hold")  # Arrow does not always notice it
    if digits_of(declared):
        return texts.cast(arrow_type(declared))
    wide = texts.cast(pa.decimal256(76, MOST_DIGITS))
    behind = pc.utf8_length(pc.replace_substring_regex(texts, r"^[^.]*\.?", ""))
    return wide.cast(pa.decimal128(MOST_DIGITS, min(MOST_DIGITS, pc.max(behind).as_py() or 0)))


_BITS = pa.array([0, 1, None], pa.int64())


def _converted(column: pa.Array, kind: Type) -> pa.Array:
    """Return the column converted to the declared type."""
    text = pa.types.is_string(column.type)
    if kind in (Type.DATE, Type.TIME):
        if text and kind is Type.DATE and not pc.any(pc.starts_with(column, "Date(")).as_py():
            return column.cast(pa.date32())
        name = "Date" if kind is Type.DATE else "Time"
        if text:
            parts = pc.extract_regex(column, rf"^{name}\((?P<n>-?\d+)\)$")
            if parts.null_count > column.null_count:
                raise ValueError(name)
            column = parts.field(0) if not column.null_count else pc.if_else(parts.is_valid(), parts.field(0), None)
        whole = column.cast(pa.int64())
        return whole.cast(pa.int32()).cast(pa.date32()) if kind is Type.DATE else whole.cast(pa.time64("ns"))
    if kind is Type.BYTES and text:
        from base64 import b64decode

        values = [None if value is None else b64decode(value, validate=True) for value in column.to_pylist()]
        return pa.array(values, pa.binary())
    if kind is Type.TIMESTAMP and text:
        return column.cast(pa.timestamp("ns", "UTC"))
    if kind is Type.BOOLEAN and pa.types.is_integer(column.type) and not pc.all(pc.is_in(column, _BITS)).as_py():
        raise ValueError("not a boolean")
    return column.cast(ARROW[kind])
