"""The fields of JSON records, tallied: read by Arrow where all values of a field are of one type, else one by one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...tables.frames import is_utf8, json_lines
from ...tables.json.columns import ObjectColumns, TooManyKeys, parsed_object, read_lines
from ...tables.json.kinds import DEEPEST, OBJECT, TEXT, Kind
from .tally import Field, Places

MOST = 512
"""Fields that are counted each by itself; further ones are counted together."""
FORMS = ("JSON object", "other JSON", "text", "bytes", "empty")
_NAMES = {bool: "boolean", int: "integer", float: "number", str: "text", list: "list", dict: "object"}


class Fields:
    """The tallies of all fields."""

    def __init__(self, body: str) -> None:
        self._body = body
        self.fields: dict[str, Field] = {}
        self.forms: Counter[str] = Counter()
        """How many bodies are of each form."""
        self.left_out = 0
        """Values of fields beyond the first `MOST`."""
        self._types: dict[str, pa.DataType] = {}
        """What the next page is expected to hold."""

    def add(self, bodies: pa.Array, places: Places) -> None:
        """Add a page."""
        if not len(bodies):
            return
        lines, unfit = json_lines(bodies)
        others = set(unfit)
        self.forms["JSON object"] += len(bodies) - len(unfit)
        if unfit:
            self._others(bodies, unfit, places)
            if len(unfit) == len(bodies):
                return
        table = read_lines(lines, self._types) if self._types else None
        if table is not None and table.num_rows == len(bodies):
            for name, column in zip(table.column_names, table.columns, strict=True):
                self._column(name, _whole(column), places)
            return
        collected = ObjectColumns()
        try:
            collected.add_lines(lines, len(bodies))
            table = collected.table()
        except TooManyKeys:
            self._values([parsed_object(body) for body in bodies.to_pylist()], None, places)
            return
        mixed = {name for name, kind in collected.kinds.items() if _mixed(kind)}
        bad = set(collected.bad)
        for name in table.column_names:
            if name not in mixed:
                self._column(name, _whole(table.column(name)), places, collected.kinds[name])
        self._types = {name: kind for name, kind in collected.expected.items() if name not in mixed}
        if mixed or bad:
            rows = [parsed_object(body) for body in bodies.to_pylist()]
            self._values(rows, mixed, places)
            worse = [row for row in bad if rows[row] is None and row not in others]
            self.forms["JSON object"] -= len(worse)
            self._others(bodies, worse, places)
        if mixed:
            self._types = {}  # Arrow cannot read a column of mixed types

    def field(self, name: str) -> Field | None:
        """Return a field, new if it was not seen before; None if there are too many."""
        known = self.fields.get(name)
        if known is None and len(self.fields) < MOST:
            known = self.fields[name] = Field(name)
        return known

    def _column(self, name: str, column: pa.Array, places: Places, seen: Kind | None = None) -> None:
        if column.null_count == len(column):
            return
        if column.null_count:
            there = column.is_valid()
            rows = np.flatnonzero(there.to_numpy(zero_copy_only=False))
            column, places = column.filter(there), places.of(rows)
        kind = column.type
        if pa.types.is_struct(kind):
            self._tally(name, "object", column, places)
            inside = (seen and seen.fields) or {}
            for n, field in enumerate(kind):
                # Fields have the places of their parent.
                self._column(f"{name}.{field.name}", pc.struct_field(column, n), places, inside.get(field.name))
            return
        if seen is not None and seen.flags == OBJECT:
            self._tally(name, "object", pa.nulls(len(column)), places)  # {} in all rows: a column of text
            return
        type_name = "list" if pa.types.is_list(kind) else _OF_ARROW.get(str(kind), "text")
        self._tally(name, type_name, column, places)

    def _tally(self, name: str, kind: str, values: pa.Array, places: Places) -> None:
        field = self.field(name)
        if field is None:
            self.left_out += len(values)
        else:
            field.add(kind, values, places)

    def _values(self, rows: Sequence[Mapping[str, Any] | None], names: set[str] | None, places: Places) -> None:
        """Add values as Python has them: of some fields, or of all."""
        tallies: dict[tuple[str, str], tuple[list[int], list[Any]]] = {}
        for row, value in enumerate(rows):
            for name, item in (value or {}).items():
                if item is not None and (names is None or name in names):
                    _walk(name, item, row, tallies, 0)
        for (name, kind), (at, values) in tallies.items():
            self._tally(name, kind, _array(kind, values), places.of(np.array(at)))

    def _others(self, bodies: pa.Array, rows: Sequence[int], places: Places) -> None:
        """Add bodies that are no JSON objects."""
        texts, at = [], []
        for row, body in zip(rows, bodies.take(pa.array(rows, pa.int64())).to_pylist(), strict=True):
            form = _form(body)
            self.forms[form] += 1
            if form == "text":
                texts.append(body.decode())
                at.append(row)
        if texts:
            self._tally(self._body, "text", pa.array(texts, pa.string()), places.of(np.array(at)))


_OF_ARROW = {"int64": "integer", "uint64": "integer", "double": "number", "bool": "boolean"}


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _mixed(kind: Kind) -> bool:
    """Return whether values of several types, or ones that no column holds, were seen in one place."""
    flags = kind.flags
    if flags == OBJECT and not kind.fields:
        return False
    if flags & ~TEXT and pa.types.is_string(kind.type()):
        return True
    return any(map(_mixed, (kind.fields or {}).values()))


def _walk(name: str, value: Any, row: int, places: dict[Any, Any], depth: int) -> None:
    at, values = places.setdefault((name, _NAMES[type(value)]), ([], []))
    at.append(row)
    values.append(value)
    if type(value) is dict and depth < DEEPEST:
        for key, item in value.items():
            if item is not None:
                _walk(f"{name}.{key}", item, row, places, depth + 1)


def _array(kind: str, values: list[Any]) -> pa.Array:
    if kind in ("list", "object"):
        return pa.nulls(len(values))
    if kind == "text":
        return pa.array([value.encode("utf-8", "backslashreplace").decode() for value in values], pa.string())
    if kind == "integer":
        for type_ in (pa.int64(), pa.uint64()):
            try:
                return pa.array(values, type_)
            except (OverflowError, pa.ArrowInvalid):
                continue
        return pa.array([float(value) if abs(value) < 1e308 else float("inf") for value in values], pa.float64())
    return pa.array(values, pa.float64() if kind == "number" else pa.bool_())


def _form(body: bytes | None) -> str:
    if not body:
        return "empty"
    if not is_utf8(body):
        return "bytes"
    try:
        json.loads(body.decode())  # of bytes it would read UTF-16 too
    except (ValueError, RecursionError):
        return "text"
    return "other JSON"
