"""Record bodies as columns whose names and types are decided before the first batch, and kept to the last.

A DataFrame is made when every record is there, so its types can be found on all of them (`frames.expand_bodies`). A
stream of batches has to say its schema first. It is decided on a sample, the first and the last records, by the rules
of `json_columns`, and this is what later records get:

    a value that its column can hold       is in its column; a column of text holds any value, as JSON text
    a value that its column cannot hold    is missing there; the record's raw bytes are in the column of raw bodies
    a key that has no column, no object    the record's raw bytes are in the column of raw bodies
    all else                               the column of raw bodies is null

So nothing is dropped, and `Decoded.wider` tells the types that would have held everything: whoever can begin anew
(a query) or go on with another schema (the next Parquet file) does so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .errors import InputError
from .frames import BodyMode, choose_mode, free_name, json_lines
from .json_columns import (
    MAX_KEYS,
    SMALL,
    ObjectColumns,
    TooManyKeys,
    array_of,
    parsed_object,
    read_lines,
    type_of,
    widen,
)


@dataclass(frozen=True)
class Decoded:
    """The columns of a batch of bodies, and the types that would have held all of it."""

    columns: dict[str, pa.Array]
    wider: dict[str, pa.DataType] = field(default_factory=dict)
    unfit: int = 0
    """How many records have a value that its column cannot hold, or a key without a column."""
    misfits: frozenset[str] = frozenset()
    """The columns that a value did not fit."""


@dataclass(frozen=True)
class Shape:
    """What bodies become: in the mode "json" a column per key and one of raw bodies, else one column."""

    mode: Literal["json", "text", "bytes"]
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    taken: tuple[str, ...] = ()
    body: str = "body"

    @cached_property
    def names(self) -> dict[str, str]:
        """The column of each key; a key that is called like another column gets a prefix."""
        used = {*self.taken, self.body}
        found = {}
        for key in self.types:
            found[key] = free_name(key, used)
            used.add(found[key])
        return found

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns."""
        if self.mode == "json":
            columns = [(self.names[key], kind) for key, kind in self.types.items()]
            return pa.schema([*columns, (self.body, pa.binary())])
        return pa.schema([(self.body, pa.string() if self.mode == "text" else pa.binary())])

    def widened(self, types: Mapping[str, pa.DataType]) -> Shape:
        """The shape that also holds values of these types, by key."""
        merged = dict(self.types)
        for key, kind in types.items():
            if key in merged or len(merged) < MAX_KEYS:
                merged[key] = settled(widen(merged.get(key, pa.null()), kind))
        return Shape(self.mode, merged, self.taken, self.body)

    def decode(self, bodies: pa.Array, wanted: Collection[str] | None = None) -> Decoded:
        """The columns, or those that are wanted."""
        if self.mode == "bytes":
            return Decoded({self.body: bodies})
        if self.mode == "text":
            return Decoded({self.body: _text(bodies)})
        whole = wanted is None or self.body in wanted
        keys = [key for key, name in self.names.items() if wanted is None or name in wanted]
        if not whole and not keys:
            return Decoded({})
        return _Decoding(self, keys, whole).run(bodies)


def shape_of(
    bodies: pa.ChunkedArray,
    mode: BodyMode = "auto",
    taken: Collection[str] = (),
    body: str = "body",
    types: Mapping[str, pa.DataType] | None = None,
) -> Shape:
    """The shape that a sample shows; `types` names further keys, or the types of some, and has the last word."""
    if mode not in ("auto", "json", "text", "bytes"):
        raise InputError(f"body={mode!r}", hint='choose one of "auto", "bytes", "text", "json"')
    chosen = choose_mode(bodies) if mode == "auto" else mode
    if mode == "auto" and types:
        chosen = "json"
    if chosen != "json":
        return Shape(chosen, {}, tuple(taken), body)
    collected = ObjectColumns()
    try:
        for chunk in bodies.chunks:
            if len(chunk):
                lines, _ = json_lines(chunk)
                collected.add_lines(lines, len(chunk))
        table = collected.table()
        found = {name: settled(column.type) for name, column in zip(table.column_names, table.columns, strict=True)}
    except TooManyKeys:
        if mode == "auto" and not types:
            return Shape("bytes", {}, tuple(taken), body)
        found = {}
    return Shape("json", {**found, **(types or {})}, tuple(taken), body)


def settled(kind: pa.DataType) -> pa.DataType:
    """The type of a column in which nothing was seen so far becomes text, which holds any value.

    >>> str(settled(pa.list_(pa.null())))
    'list<item: string>'
    """
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(settled(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, settled(field.type)) for field in kind])
    return kind


def _text(bodies: pa.Array) -> pa.Array:
    try:
        found = bodies.cast(pa.string())
        found.validate(full=True)
    except pa.ArrowInvalid:
        texts = [None if body is None else body.decode("utf-8", "backslashreplace") for body in bodies.to_pylist()]
        return pa.array(texts, pa.string())
    return found


class _Decoding:
    """One batch of bodies on its way into columns."""

    def __init__(self, shape: Shape, keys: list[str], whole: bool) -> None:
        self._shape, self._keys, self._whole = shape, keys, whole
        self._types = {key: shape.types[key] for key in keys}
        self._parts: list[list[pa.Array]] = []
        self._rows = 0
        self._kept: list[int] = []
        self._unfit = 0
        self._wider: dict[str, pa.DataType] = {}
        self._misfits: set[str] = set()

    def run(self, bodies: pa.Array) -> Decoded:
        if len(bodies):
            lines, self._kept = json_lines(bodies)
            self._add(lines, len(bodies))
        columns = {}
        for n, key in enumerate(self._keys):
            chunks = [part[n] for part in self._parts]
            kind = self._types[key]
            columns[self._shape.names[key]] = (
                chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks) if chunks else pa.array([], kind)
            )
        if self._whole:
            columns[self._shape.body] = self._raw(bodies)
        return Decoded(columns, self._wider, self._unfit, frozenset(self._misfits))

    def _raw(self, bodies: pa.Array) -> pa.Array:
        if not self._kept:
            return pa.nulls(len(bodies), bodies.type)
        keep = np.zeros(len(bodies), dtype=bool)
        keep[self._kept] = True
        return pc.if_else(pa.array(keep), bodies, pa.scalar(None, bodies.type))

    def _add(self, buffer: pa.Buffer, count: int) -> None:
        table = read_lines(buffer, self._types, others=not self._whole) if self._types else None
        if table is not None and table.num_rows == count and table.column_names == self._keys:
            self._keep([column.combine_chunks() for column in table.columns], count)
            return
        view = memoryview(buffer)
        if count <= SMALL:
            self._by_hand(bytes(view).split(b"\n")[:count], count)
            return
        half = len(view) // 2
        cut = bytes(view[half:]).find(b"\n") + half + 1
        if cut >= len(view):
            cut = bytes(view[:half]).rfind(b"\n") + 1
        if not 0 < cut < len(view):
            self._by_hand(bytes(view).split(b"\n")[:count], count)
            return
        first = bytes(view[:cut]).count(b"\n")
        self._add(buffer.slice(0, cut), first)
        self._add(buffer.slice(cut), count - first)

    def _by_hand(self, lines: list[bytes], count: int) -> None:
        rows = [parsed_object(line) for line in lines]
        unfit = {n for n, row in enumerate(rows) if row is None}
        if self._whole:
            for n, row in enumerate(rows):
                for key in row or ():
                    if key not in self._types:
                        unfit.add(n)
                        self._learn(key, type_of(row[key]) if row else pa.null())
        columns = []
        for key in self._keys:
            column, wrong = self._column(key, [None if row is None else row.get(key) for row in rows])
            columns.append(column)
            unfit |= wrong
        self._unfit += sum(rows[n] is not None for n in unfit)
        self._kept += [self._rows + n for n in sorted(unfit)]
        self._keep(columns, count)

    def _column(self, key: str, values: list[Any]) -> tuple[pa.Array, set[int]]:
        kind = self._types[key]
        wrong = {n for n, value in enumerate(values) if not _fits(value, kind)}
        column = array_of([None if n in wrong else value for n, value in enumerate(values)], kind)
        if not column.type.equals(kind):  # a value of a kind that fits, out of its range
            wrong |= {n for n, value in enumerate(values) if n not in wrong and not _holds(value, kind)}
            column = array_of([None if n in wrong else value for n, value in enumerate(values)], kind)
        for n in wrong:
            wider = widen(kind, type_of(values[n]))
            self._learn(key, pa.string() if wider.equals(kind) else wider)
            self._misfits.add(self._shape.names[key])
        return column, wrong

    def _learn(self, key: str, kind: pa.DataType) -> None:
        if key in self._wider or len(self._wider) < MAX_KEYS:
            self._wider[key] = widen(self._wider.get(key, pa.null()), kind)

    def _keep(self, columns: list[pa.Array], count: int) -> None:
        self._parts.append(columns)
        self._rows += count


def _fits(value: Any, kind: pa.DataType) -> bool:
    """Whether a column of that type holds the value with all that is in it."""
    if value is None:
        return True
    own = type_of(value)
    return bool(own.equals(kind) or settled(widen(kind, own)).equals(kind))


def _holds(value: Any, kind: pa.DataType) -> bool:
    return value is None or bool(array_of([value], kind).type.equals(kind))
