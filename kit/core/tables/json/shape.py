"""Record bodies as columns whose names and types are decided before the first batch, and kept to the last.

A DataFrame is made when every record is there, so its types can be found on all of them (`frames.expand_bodies`). A
stream of batches has to say its schema first. It is decided on a sample, the first and the last records, by the same
rules (`core.tables.json.kinds`), and this is what later records get:

    a value that its column can hold       is in its column; a column of text holds any value, as JSON text
    a value that its column cannot hold    is missing there; the record's raw bytes are in the column of raw bodies
    a key that has no column, no object    the record's raw bytes are in the column of raw bodies
    all else                               the column of raw bodies is null

So nothing is dropped, and `Decoded.wider` says what the columns would have to hold: a caller that can start again (a
query) or continue with another schema (the next Parquet file) widens the shape by it, and so gets the same columns
as a DataFrame.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import InputError
from ..frames import BodyMode, choose_mode, is_text, is_utf8, json_lines, names_of
from .columns import SMALL, ObjectColumns, TooManyKeys, parsed_object, read_lines
from .kinds import MAX_KEYS, Kind, kind_of_type, merged
from .typed import carrier, convert
from .values import array_of


@dataclass(frozen=True)
class Wider:
    """What the columns would have to hold beside what they do; false if they hold everything."""

    kinds: Mapping[str, Kind] = field(default_factory=dict)
    raw: bool = False
    """Whether a column of raw bodies is needed and missing."""
    binary: bool = False
    """Whether bodies that were taken for text are not valid text."""

    def __bool__(self) -> bool:
        return bool(self.kinds) or self.raw or self.binary

    def __or__(self, other: Wider) -> Wider:
        kinds: dict[str, Kind] = {}
        merged(kinds, self.kinds)
        merged(kinds, other.kinds)
        return Wider(kinds, self.raw or other.raw, self.binary or other.binary)


@dataclass(frozen=True)
class Decoded:
    """The columns of a batch of bodies, and the columns that would have held all of it."""

    columns: dict[str, pa.Array]
    wider: Wider = field(default_factory=Wider)
    unfit: int = 0
    """How many records have a value that its column cannot hold, or a key without a column."""
    misfits: frozenset[str] = frozenset()
    """The columns that a value did not fit, or that are missing."""


@dataclass(frozen=True)
class Shape:
    """How bodies become columns: in the mode "json" a column per key and one of raw bodies, else one column."""

    mode: Literal["json", "text", "bytes"]
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    given: Mapping[str, pa.DataType] = field(default_factory=dict)
    """Types that the caller asked for; they are never widened."""
    taken: tuple[str, ...] = ()
    body: str = "body"
    raw: bool = True
    """Whether there is a column of raw bodies, for records that do not fit."""
    as_text: bool = False
    """Whether the caller asked for text; then bytes that are not valid text are shown as escapes."""

    @cached_property
    def types(self) -> dict[str, pa.DataType]:
        """The type of each key's column."""
        by_key = {key: self.given[key] if key in self.given else kind.type() for key, kind in self.kinds.items()}
        return {**by_key, **{key: kind for key, kind in self.given.items() if key not in by_key}}

    @cached_property
    def names(self) -> dict[str, str]:
        """The column of each key; a key that is called like another column gets a prefix."""
        return names_of(self.types, self.taken, self.body)

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns."""
        if self.mode == "json":
            columns = [(self.names[key], kind) for key, kind in self.types.items()]
            return pa.schema([*columns, (self.body, pa.binary())] if self.raw else columns)
        return pa.schema([(self.body, pa.string() if self.mode == "text" else pa.binary())])

    def widened(self, wider: Wider) -> Shape:
        """Return the shape that also holds what was found."""
        kinds: dict[str, Kind] = {}
        merged(kinds, self.kinds)
        for key, kind in wider.kinds.items():
            if key in kinds or len(kinds) < MAX_KEYS:
                merged(kinds, {key: kind})
        mode = "bytes" if wider.binary else self.mode
        return replace(self, mode=mode, kinds=kinds, raw=self.raw or (wider.raw and mode == "json"))

    def decode(self, bodies: pa.Array, names: Collection[str] | None = None) -> Decoded:
        """Return the columns, or those that are named."""
        if self.mode == "bytes":
            return Decoded({self.body: bodies})
        if self.mode == "text":
            return self._texts(bodies)
        keys = [key for key, name in self.names.items() if names is None or name in names]
        whole = names is None or (self.body in names if self.raw else len(keys) == len(self.names))
        if not whole and not keys:
            return Decoded({})
        return _Decoding(self, keys, whole).run(bodies)

    def _texts(self, bodies: pa.Array) -> Decoded:
        try:
            decoded = bodies.cast(pa.string())
            decoded.validate(full=True)
        except pa.ArrowInvalid:
            raw = bodies.to_pylist()
            texts = [None if body is None else body.decode("utf-8", "backslashreplace") for body in raw]
            unfit = sum(body is not None and not is_utf8(body) for body in raw)
            wider = Wider(binary=not self.as_text)
            return Decoded({self.body: pa.array(texts, pa.string())}, wider, unfit, frozenset([self.body]))
        return Decoded({self.body: decoded})


def shape_of(
    bodies: pa.ChunkedArray,
    mode: BodyMode = "auto",
    taken: Collection[str] = (),
    body: str = "body",
    types: Mapping[str, pa.DataType] | None = None,
    *,
    raw: bool = True,
) -> Shape:
    """Return the shape of a sample; `types` adds keys and overrides types.

    Without `raw` there is a column of raw bodies only where the sample needs one.
    """
    if mode not in ("auto", "json", "text", "bytes"):
        raise InputError(f"body={mode!r} is not a mode", hint='choose one of "auto", "bytes", "text", "json"')
    chosen = choose_mode(bodies) if mode == "auto" else mode
    if mode == "auto" and types:
        chosen = "json"
    if chosen == "text" and mode == "auto" and not is_text(bodies):
        chosen = "bytes"
    if chosen != "json":
        return Shape(chosen, {}, {}, tuple(taken), body, False, mode == "text")
    given = dict(types or {})
    collected = ObjectColumns(given={key: carrier(kind, key) for key, kind in given.items()})
    bad = False
    try:
        for chunk in bodies.chunks:
            if len(chunk):
                lines, unfit = json_lines(chunk)
                bad = bad or bool(unfit)
                collected.add_lines(lines, len(chunk))
        table = collected.table()
    except TooManyKeys:
        return Shape("text" if is_text(bodies) else "bytes", {}, {}, tuple(taken), body, False)
    bad = bad or bool(collected.bad) or not (collected.kinds or given)
    for key, kind in given.items():
        column = table.column(key)
        bad = bad or any(convert(chunk, kind)[1] is not None for chunk in column.chunks)
    kinds = dict(collected.kinds)
    for key in collected.folded:
        kinds[key] = kind_of_type(pa.string())
    return Shape("json", kinds, given, tuple(taken), body, raw or bad)


class _Decoding:
    """One batch of bodies on its way into columns."""

    def __init__(self, shape: Shape, keys: list[str], whole: bool) -> None:
        self._shape, self._keys, self._whole = shape, keys, whole
        self._all = {key: carrier(kind, key) if key in shape.given else kind for key, kind in shape.types.items()}
        """What every key is read as."""
        self._types = {key: self._all[key] for key in keys}
        self._kinds = {
            key: kind_of_type(self._types[key]) if key in shape.given or _forced(shape.kinds[key]) else shape.kinds[key]
            for key in keys
        }
        self._parts: list[list[pa.Array]] = []
        self._rows = 0
        self._kept: list[int] = []
        self._unfit = 0
        self._learned: dict[str, Kind] = {}
        self._misfits: set[str] = set()

    def run(self, bodies: pa.Array) -> Decoded:
        if len(bodies):
            lines, self._kept = json_lines(bodies)
            self._add(lines, len(bodies))
        columns = {}
        for n, key in enumerate(self._keys):
            chunks = [part[n] for part in self._parts]
            kind = self._types[key]
            column = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks) if chunks else pa.array([], kind)
            columns[self._shape.names[key]] = self._as_given(key, column)
        lacking = bool(self._kept) and self._whole and not self._shape.raw
        if self._whole and self._shape.raw:
            columns[self._shape.body] = self._raw(bodies)
        if lacking:
            self._misfits.add(self._shape.body)
        return Decoded(columns, Wider(self._learned, lacking), self._unfit, frozenset(self._misfits))

    def _as_given(self, key: str, column: pa.Array) -> pa.Array:
        """Return the column in the type that the caller asked for; rows that do not fit keep their raw body."""
        if key not in self._shape.given:
            return column
        converted, wrong = convert(column, self._shape.given[key])
        if wrong is not None:
            self._kept += np.flatnonzero(wrong).tolist()
            self._unfit += int(wrong.sum())
        return converted

    def _raw(self, bodies: pa.Array) -> pa.Array:
        if not self._kept:
            return pa.nulls(len(bodies), bodies.type)
        keep = np.zeros(len(bodies), dtype=bool)
        keep[self._kept] = True
        return pc.if_else(pa.array(keep), bodies, pa.scalar(None, bodies.type))

    def _add(self, buffer: pa.Buffer, count: int) -> None:
        table = self._read(buffer)
        if table is not None and table.num_rows == count:
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

    def _read(self, buffer: pa.Buffer) -> pa.Table | None:
        if not self._all:
            return None
        if not self._whole and not any(pa.types.is_nested(kind) for kind in self._types.values()):
            return read_lines(buffer, self._types, others=True)
        # If keys without a column count, all are read. Otherwise other keys may be skipped, but not inside a value
        # that is needed, and Arrow cannot distinguish the two.
        table = read_lines(buffer, self._all)
        return None if table is None else table.select(self._keys)

    def _by_hand(self, lines: list[bytes], count: int) -> None:
        rows = [parsed_object(line) for line in lines]
        unfit = {n for n, row in enumerate(rows) if row is None}
        if self._whole:
            for n, row in enumerate(rows):
                for key in row or ():
                    if key not in self._all:
                        unfit.add(n)
                        self._misfits.add(key)
                        self._learn(key, row[key] if row else None)
        columns = []
        for key in self._keys:
            column, wrong = self._column(key, [None if row is None else row.get(key) for row in rows])
            columns.append(column)
            unfit |= wrong
        self._unfit += sum(rows[n] is not None for n in unfit)
        self._kept += [self._rows + n for n in sorted(unfit)]
        self._keep(columns, count)

    def _column(self, key: str, values: list[Any]) -> tuple[pa.Array, set[int]]:
        type_, kind = self._types[key], self._kinds[key]
        others = {n for n, value in enumerate(values) if not kind.holds(value)}
        # A column of text holds any value. If it is text only because the sample had no value, that is reported.
        wrong = set() if pa.types.is_string(type_) else others
        column = array_of([None if n in wrong else value for n, value in enumerate(values)], type_)
        assert column.type.equals(type_), (key, type_, column.type)
        for n in others:
            self._misfits.add(self._shape.names[key])
            if key not in self._shape.given:
                self._learn(key, values[n])
        return column, wrong

    def _learn(self, key: str, value: Any) -> None:
        if key in self._learned or len(self._learned) < MAX_KEYS:
            self._learned.setdefault(key, Kind()).learn(value)

    def _keep(self, columns: list[pa.Array], count: int) -> None:
        self._parts.append(columns)
        self._rows += count


def _forced(kind: Kind) -> bool:
    """Return whether a column is text although what was seen would not make it so: it would take too much room."""
    return kind.decided and bool(pa.types.is_string(kind.type()))
