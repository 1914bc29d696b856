"""JSON objects to Arrow columns, without a Python object per row where the data allows it.

What the columns are follows from the values alone (`core.tables.json.kinds`), not from the order, the batch or the way
in which they were read. A sample says what to expect; Arrow's reader is given that, and refuses what does not fit. What
it refuses is cut in halves until few rows are left, which are looked at one by one. Once every row was seen the types
are final, and what was read with other types is read again from its text. Giving Arrow the types first is also what
bounds hostile input: an unknown key, a deeper level or another kind of value ends the quick read at once.

Text that looks like a time stays text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import isfinite
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import KitError
from .kinds import MAX_KEYS, Kind, kind_of_type, merged
from .reading import Lines, begins_like_an_object, most_apart, other_than, read, read_most
from .values import array_of, recast, recast_or_none, sound, type_of

SAMPLE = 200
SMALL = 256
"""Up to this many rows are read one by one instead of being cut further."""
_SUSPECTS = 8
"""The most keys by whose values the next rows that do not fit are looked for."""
_SPARSE_BYTES = 256 * 1024 * 1024
_NESTED_CELLS = 4 * 1024 * 1024
"""Cells of columns that nested values may take, or `_CELLS_PER_BYTE` times their text where that is more."""
_CELLS_PER_BYTE = 6


class TooManyKeys(KitError):
    """The objects have too many different keys: columns would be useless, or far larger than the text."""


_LONG_INTEGER = re.compile(rb"[:,\[\s]-?\d{16,}[,}\]\s]")
_HUGE_NUMBER = re.compile(rb"[eE]\+?\d{3}|\d{300}")
_WHOLE_ZERO = re.compile(rb"[:,\[\s]-0[,}\]\s]")


def _may_differ(table: pa.Table, lines: pa.Buffer) -> bool:
    """Return whether Arrow may have rounded an integer that stands among floats, given its zero a sign, or taken a
    number for infinite."""
    floats = [column for column in table.columns if _holds_floats(column.type)]
    if any(map(_has_negative_zero, floats)) and _WHOLE_ZERO.search(memoryview(lines)) is not None:
        return True
    if not floats or all(
        pa.types.is_floating(column.type) and not (pc.max(pc.abs(column)).as_py() or 0) >= 2**53 for column in floats
    ):
        return False
    text = memoryview(lines)
    return _LONG_INTEGER.search(text) is not None or _HUGE_NUMBER.search(text) is not None or b"Inf" in bytes(text)


def _has_negative_zero(column: pa.ChunkedArray) -> bool:
    """Return whether a column of floats has a zero with a sign; of what is nested that is not known."""
    if not pa.types.is_float64(column.type):
        return True
    parts = [(chunk.buffers()[1], chunk.offset, len(chunk)) for chunk in column.chunks if len(chunk)]
    return any((np.frombuffer(data, np.int64, count, 8 * first) == -(2**63)).any() for data, first, count in parts)


def _holds_floats(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _holds_floats(kind.value_type)
    if pa.types.is_struct(kind):
        return any(_holds_floats(field.type) for field in kind)
    return bool(pa.types.is_floating(kind))


def _joined(chunks: list[pa.Array]) -> pa.Array:
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)


def _replaced(column: pa.Array, numbers: Sequence[int], values: pa.Array) -> pa.Array:
    """Return the column with other values in the places of these numbers."""
    places = np.arange(len(column))
    places[np.asarray(numbers)] = len(column) + np.arange(len(values))
    return pa.concat_arrays([column, values]).take(pa.array(places))


def _texts_of_floats(column: pa.Array, name: str, text: Callable[[], pa.Buffer]) -> pa.Array | None:
    """Return numbers as Python writes them; None where many have to be looked up, as they do not tell what was read.

    With a fraction, and neither large nor small, a number is written by Arrow as by Python. Others are: `1` and `1.0`
    are the same here.
    """
    values = column.to_numpy(zero_copy_only=False)
    size = np.abs(values)
    numbers = np.flatnonzero(((values == np.trunc(values)) | (size < 1e-4) | (size >= 1e10)) & ~np.isnan(values))
    if len(numbers) > len(values) // 8:
        return None
    texts = column.cast(pa.string())
    if not len(numbers):
        return texts
    lines = Lines(text())
    rows = [parsed_object(lines[n]) for n in numbers.tolist()]
    return _replaced(
        texts, numbers.tolist(), array_of([None if row is None else row.get(name) for row in rows], pa.string())
    )


def read_lines(
    lines: bytes | memoryview | pa.Buffer, types: Mapping[str, pa.DataType], *, others: bool = False
) -> pa.Table | None:
    """Return lines of JSON objects as a table, read by Arrow; None where they do not fit the types, or hold other keys.

    With `others` the objects may hold other keys, which are left aside.

    It may run in any thread, and does not block other threads.
    """
    buffer = pa.py_buffer(lines)
    if not begins_like_an_object(buffer):
        return None
    if _too_large(buffer, types):
        return None
    try:
        table = read(buffer, types, others=others)
    except pa.ArrowInvalid:
        return None
    return None if _may_differ(table, buffer) else table


def _too_large(buffer: pa.Buffer, types: Mapping[str, pa.DataType]) -> bool:
    """Return whether the columns could take far more room than their text."""
    if len(types) > MAX_KEYS and _sparse(_lines_in(buffer), len(types), buffer.size):
        return True
    return _inflates(buffer, types)


def _sparse(rows: int, keys: int, size: int) -> bool:
    """Return whether the columns of that many rows could be far larger than the text they come from."""
    return rows * keys * 8 > 50 * size + _SPARSE_BYTES


def _room(size: int) -> int:
    """Return how many cells nested values from `size` bytes of text may take."""
    return max(_NESTED_CELLS, _CELLS_PER_BYTE * size)


def _inflates(buffer: pa.Buffer, types: Mapping[str, pa.DataType]) -> bool:
    """Return whether objects in lists could take far more room than their text: each item has a place for each key."""
    fields = sum(_fields_in_lists(kind) for kind in types.values() if pa.types.is_nested(kind))
    if fields * buffer.size // 2 <= _room(buffer.size):
        return False
    text = bytes(buffer)
    return fields * (text.count(b",") + text.count(b"[")) > _room(buffer.size)


def _fields_in_lists(kind: pa.DataType, inside: bool = False) -> int:
    if pa.types.is_list(kind):
        return _fields_in_lists(kind.value_type, True)
    if pa.types.is_struct(kind):
        return sum(_fields_in_lists(field.type, inside) + inside for field in kind)
    return 0


@dataclass(slots=True)
class _Piece:
    """Some rows, with the types that were known when they were read."""

    rows: int
    columns: Mapping[str, list[pa.Array] | None]
    """None for a column that is only made once its type is final."""
    text: Callable[[], pa.Buffer] | None
    """The lines that the rows come from."""
    objects: Sequence[Mapping[str, Any] | None] | None = None
    """The rows, where they came as Python objects."""
    apart: Mapping[int, Mapping[str, Any] | None] = field(default_factory=dict)
    """Rows that the columns do not have, by their numbers: they did not fit the types."""


class ObjectColumns:
    """Collects rows that are JSON objects, batch by batch, as columns.

    `bad` holds the numbers of the rows that are not JSON objects; they are rows of nulls in the table.
    """

    def __init__(
        self, *, max_keys: int = MAX_KEYS, fast: bool = True, given: Mapping[str, pa.DataType] | None = None
    ) -> None:
        self.kinds: dict[str, Kind] = {}
        """What was seen under each key."""
        self.given = dict(given or {})
        """The types of keys for which they do not depend on what is seen; a value that does not fit makes a row bad."""
        self.bad: list[int] = []
        self.rows = 0
        self.folded: list[str] = []
        """Columns that stay JSON text because they would take far more room than their text; known after `table()`."""
        self._given = {name: kind_of_type(kind) for name, kind in self.given.items()}
        self._reading: dict[str, pa.DataType] = dict(self.given)
        """What the next rows are expected to be; not text just because one row did not fit."""
        self._promised = False
        self._fast = fast
        self._max_keys = max_keys
        self._bytes = 0
        self._pieces: list[_Piece] = []
        self._exceptions = False
        """Whether the last lines had some that did not fit: the next ones are not tried without looking for such."""
        self._suspects: list[re.Pattern[bytes]] = []
        """What finds values like those that did not fit."""

    @property
    def types(self) -> dict[str, pa.DataType]:
        """The types of the columns, by the rows so far."""
        return {name: kind.type() for name, kind in self.kinds.items()}

    def add_lines(
        self,
        lines: bytes | memoryview | pa.Buffer,
        count: int | None = None,
        again: Callable[[], pa.Buffer] | None = None,
    ) -> None:
        """Add rows: one JSON object to a line, no line end inside an object; `count` of them where that is known.

        `again` makes the same lines once more, so that they need not be kept.
        """
        buffer = pa.py_buffer(lines)
        self._bytes += buffer.size
        if not self.kinds and not self._promised:
            head = bytes(memoryview(buffer)[: 64 * 1024]).split(b"\n")[:SAMPLE]
            rows = [row for row in map(parsed_object, head) if row is not None]
            self.kinds, last = self._seen(rows)
            self._expect(rows, last)
            self.kinds = {}
            # Arrow gives columns in this order: given types are no reason to come first.
            self._reading = {name: self._reading[name] for row in rows for name in row} | self._reading
        self._add(buffer, count, _Once(again) if again is not None else (lambda: buffer), 0)

    def expect(self, types: Mapping[str, pa.DataType]) -> None:
        """Take these for the types of the rows to come, without a look at the first. What does not fit takes longer."""
        self._reading, self._promised = dict(types), True

    @property
    def expected(self) -> dict[str, pa.DataType]:
        """The types that the next rows are expected to have; empty before the first ones."""
        return dict(self._reading)

    def add_table(
        self,
        table: pa.Table,
        size: int,
        text: Callable[[], pa.Buffer] | None = None,
        apart: Mapping[int, Mapping[str, Any] | None] | None = None,
    ) -> None:
        """Add rows that `read_lines` has read from text of this size; `text` makes that text once more.

        `apart` are rows that take the places of empty ones in the table, by their numbers.
        """
        self._bytes += size
        for name, column in zip(table.column_names, table.columns, strict=True):
            kind = self.kinds.setdefault(name, Kind())
            for chunk in column.chunks:
                kind.learn_array(chunk)
        columns = {name: column.chunks for name, column in zip(table.column_names, table.columns, strict=True)}
        if apart:
            good = self._notice(list(apart.values()), apart)
            own, last = self._seen(good)
            self._merge(own)
            # One row's text says nothing about the next rows; a number of another kind does.
            texts = {name for name in last if name in columns and pa.types.is_string(self.kinds[name].type())}
            self._expect(good, {name: value for name, value in last.items() if name not in texts})
        self._keep(_Piece(table.num_rows, columns, text, apart=apart or {}))

    def add_rows(self, rows: Sequence[Mapping[str, Any] | None], size: int = 0) -> None:
        """Add rows that are Python objects already, from text of this size; None is a row that could not be read."""
        self._bytes += size
        self._keep(_Piece(len(rows), self._look(rows, size), None, rows))

    def mark(self) -> tuple[Any, ...]:
        """Return the current state, for `rewind`."""
        kinds = {name: kind.copy() for name, kind in self.kinds.items()}
        return self.rows, len(self._pieces), len(self.bad), kinds, dict(self._reading), self._bytes

    def rewind(self, mark: tuple[Any, ...]) -> None:
        """Forget what was added since the mark."""
        self.rows, pieces, bad, self.kinds, self._reading, self._bytes = mark
        del self._pieces[pieces:]
        del self.bad[bad:]

    def table(self) -> pa.Table:
        """Return all the rows, in columns named in the order in which the keys were first seen."""
        types = self._final()
        types.update((name, kind) for name, kind in self.given.items() if name not in types)
        made = [self._made(piece, types) for piece in self._pieces]
        columns = [pa.chunked_array([chunk for item in made for chunk in item[name]], types[name]) for name in types]
        return pa.table(columns, names=list(types))

    def _final(self) -> dict[str, pa.DataType]:
        """Return the types, with those as text that would need far more room than their text."""
        cells = {name: kind.cells(self.rows) for name, kind in self.kinds.items()}
        room, taken = _room(self._bytes), sum(cells.values())
        folded = set()
        for name in sorted(cells, key=lambda name: -cells[name]):
            if taken <= room:
                break
            taken -= cells[name]
            folded.add(name)
        self.folded = [name for name in self.kinds if name in folded]
        return {
            name: self.given.get(name) or (pa.string() if name in folded else kind.type())
            for name, kind in self.kinds.items()
        }

    def _made(self, piece: _Piece, types: Mapping[str, pa.DataType]) -> dict[str, list[pa.Array]]:
        """Return the columns of a piece with their final types."""
        columns: dict[str, list[pa.Array]] = {}
        changed: dict[str, pa.DataType] = {}
        for name, kind in types.items():
            if name not in piece.columns:
                columns[name] = [pa.nulls(piece.rows, kind)]
                continue
            there = piece.columns[name]
            chunks = [] if there is None else [recast_or_none(chunk, kind) for chunk in there]
            if there and piece.text is not None and pa.types.is_string(kind) and pa.types.is_floating(there[0].type):
                chunks = [_texts_of_floats(_joined(there), name, piece.text)]
            if there is not None and all(chunk is not None for chunk in chunks):
                columns[name] = [chunk for chunk in chunks if chunk is not None]
            elif there is None or piece.text is not None or piece.objects is not None:
                changed[name] = kind
            else:
                columns[name] = [recast(chunk, kind) for chunk in there]
        if changed:
            columns.update(self._read_again(piece, changed))
        if piece.apart:
            for name in {name for row in piece.apart.values() if row is not None for name in row} & types.keys():
                own = self._array(name, list(piece.apart.values()), types[name])
                columns[name] = [_replaced(_joined(columns[name]), [*piece.apart], own)]
        return columns

    def _read_again(self, piece: _Piece, types: Mapping[str, pa.DataType]) -> dict[str, list[pa.Array]]:
        """Return columns of a piece from its text."""
        rows = piece.objects
        if rows is None:
            assert piece.text is not None
            lines = piece.text()
            table = read_lines(lines, types, others=True) if self._fast else None
            if table is not None and table.num_rows == piece.rows:
                return {name: table.column(name).chunks for name in types}
            rows = _parsed_lines(lines)
        return {name: [self._array(name, rows, kind)] for name, kind in types.items()}

    def _array(self, name: str, rows: Sequence[Mapping[str, Any] | None], kind: pa.DataType) -> pa.Array:
        values = [None if row is None else row.get(name) for row in rows]
        if name in self._given:
            values = [value if self._given[name].holds(value) else None for value in values]
        return array_of(values, kind)

    def _look(self, rows: Sequence[Mapping[str, Any] | None], size: int) -> dict[str, list[pa.Array] | None]:
        """Take notice of rows one by one, and makes their columns of the types that they show by themselves."""
        good = self._notice(rows, range(len(rows)))
        own, last = self._seen(good)
        self._merge(own)
        self._expect(good, last)
        room = _room(size)
        return {
            name: None
            if kind.cells(len(rows)) > room
            else [self._array(name, rows, self.given.get(name) or kind.type())]
            for name, kind in own.items()
        }

    def _notice(self, rows: Sequence[Mapping[str, Any] | None], numbers: Iterable[int]) -> list[Mapping[str, Any]]:
        """Return the rows that are objects; those that are none, or hold what they may not, are bad."""
        good = [row for row in rows if row is not None]
        given = self._given.items()
        for n, row in zip(numbers, rows, strict=True) if len(good) < len(rows) or given else ():
            if row is None or any(not kind.holds(row.get(name)) for name, kind in given):
                self.bad.append(self.rows + n)
        return good

    def _merge(self, own: Mapping[str, Kind]) -> None:
        merged(self.kinds, own)
        if len(self.kinds) > self._max_keys:
            raise TooManyKeys(f"more than {self._max_keys} different keys")

    def _seen(self, rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Kind], dict[str, Any]]:
        """Return the kinds of the rows' values, and the last value under each key."""
        columns = dict[str, list[Any]]()
        for row in rows:
            for name, value in row.items():
                values = columns.get(name)
                if values is not None:
                    values.append(value)
                elif len(columns) < self._max_keys:
                    columns[name] = [value]
                else:
                    raise TooManyKeys(f"more than {self._max_keys} different keys")
        kinds, last = dict[str, Kind](), dict[str, Any]()
        for name, values in columns.items():
            kinds[name] = Kind()
            kinds[name].learn_all(values)
            newest = next((value for value in reversed(values) if value is not None), None)
            if newest is not None:
                last[name] = newest
        return kinds, last

    def _expect(self, rows: Sequence[Mapping[str, Any]], last: Mapping[str, Any]) -> None:
        """Decide what the next rows are read as."""
        for row in rows:
            for name in row:
                self._reading.setdefault(name, pa.string())
        for name, value in last.items():
            if name in self.given:
                continue
            kind = self.kinds[name].type()
            self._reading[name] = type_of(value) if pa.types.is_string(kind) and not isinstance(value, str) else kind

    def _add(self, buffer: pa.Buffer, count: int | None, again: Callable[[], pa.Buffer], start: int) -> None:
        size = buffer.size
        text = lambda: again().slice(start, size)  # noqa: E731
        if self._fast and self._exceptions and self._set_apart(buffer, count, text):
            return
        table = self._read(buffer, count) if self._fast else None
        if table is not None:
            self.add_table(table, 0, text)
            return
        if self._fast and not self._exceptions and self._set_apart(buffer, count, text):
            return
        count = _lines_in(buffer) if count is None else count
        view = memoryview(buffer)
        cut = _middle(view) if count > SMALL else -1
        if cut < 0:
            rows = _parsed_lines(buffer)
            # Where only some keys are read again, Arrow takes lines for objects that are none for the others.
            own = Lines(pa.py_buffer(bytes(view))).without([n for n, row in enumerate(rows) if row is None])
            self._keep(_Piece(len(rows), self._look(rows, size), lambda: own))
            return
        first = bytes(view[:cut]).count(b"\n")
        self._add(buffer.slice(0, cut), first, again, start)
        self._add(buffer.slice(cut), count - first, again, start + cut)

    def _set_apart(self, buffer: pa.Buffer, count: int | None, text: Callable[[], pa.Buffer]) -> bool:
        """Return whether all but a few of the lines were read by Arrow, and those one by one."""
        self._exceptions = False
        lines = Lines(buffer)
        if not self._reading or len(lines) <= SMALL or count not in (None, len(lines)):
            return False
        self._check_sparse(buffer, len(lines))
        parts = self._guessed(lines)
        if parts is None:
            parts = None if _too_large(buffer, self._reading) else read_most(lines, self._reading)
            if parts is None or _may_differ(parts[1], lines.without(parts[0])):
                return False
        numbers, table = parts
        self._exceptions = bool(numbers)
        apart = {n: parsed_object(lines[n]) for n in numbers}
        # One key of each row tells it. Each pattern is a look through the whole text: many are slower than Arrow.
        unlike = {name: self._reading[name] for name in map(self._unlike, apart.values()) if name is not None}
        patterns = map(other_than, unlike, unlike.values()) if len(unlike) <= _SUSPECTS else ()
        self._suspects = [pattern for pattern in patterns if pattern is not None]
        self.add_table(table, 0, lambda: Lines(text()).without(numbers), apart)
        return True

    def _unlike(self, row: Mapping[str, Any] | None) -> str | None:
        """Return the first key whose value is of another type than expected."""
        for name, value in (row or {}).items():
            if name in self._reading and not kind_of_type(self._reading[name]).holds(value):
                return name
        return None

    def _guessed(self, lines: Lines) -> tuple[list[int], pa.Table] | None:
        """Return the lines that do not fit in the way of those before, and a table of the others; None where this is
        not all."""
        most = most_apart(lines)
        matches = [islice(pattern.finditer(lines.buffer), most + 1) for pattern in self._suspects]
        numbers = sorted({lines.at(match.start()) for some in matches for match in some})
        if not numbers or len(numbers) > most:
            return None
        table = self._read(lines.without(numbers), len(lines))
        return None if table is None else (numbers, table)

    def _read(self, buffer: pa.Buffer, count: int | None) -> pa.Table | None:
        """Return Arrow's own reading of the lines, or None where they do not fit the types known so far."""
        if not self._reading or not buffer.size:
            return None
        self._check_sparse(buffer, count)
        table = read_lines(buffer, self._reading)
        return None if table is None or (count is not None and table.num_rows != count) else table

    def _check_sparse(self, buffer: pa.Buffer, count: int | None) -> None:
        if self._too_sparse(buffer.size // 3 + 1 if count is None else count):
            count = _lines_in(buffer)
            if self._too_sparse(count):
                raise TooManyKeys(f"{len(self._reading)} keys over {count} rows are nearly all empty")

    def _too_sparse(self, rows: int) -> bool:
        return _sparse(rows, len(self._reading), self._bytes)

    def _keep(self, piece: _Piece) -> None:
        self._pieces.append(piece)
        self.rows += piece.rows


class _Once:
    """Makes lines when they are first asked for, and keeps them as long as the pieces of one batch need them."""

    def __init__(self, make: Callable[[], pa.Buffer]) -> None:
        self._make = make
        self._made: pa.Buffer | None = None

    def __call__(self) -> pa.Buffer:
        if self._made is None:
            self._made = self._make()
        return self._made


def parsed_object(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a line; None if there is none, or if a key occurs twice."""
    try:
        text = line.decode()  # json.loads would read bytes as UTF-16 too, which no other reader does
        value = (_decode_huge if _HUGE_NUMBER.search(line) else _decode)(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    # Only an escape, or bytes beyond ASCII, can make a key that is not UTF-8.
    members: dict[str, Any] = value if line.isascii() and b"\\u" not in line else sound(value)
    return members


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key occurs twice")
    return members


def _finite(text: str) -> float | str:
    """Return a number; as its text where float64 would take it for infinite."""
    value = float(text)
    return value if isfinite(value) else text


# Made once: `json.loads` makes a decoder for each text, which takes as long as reading a small one.
_decode = json.JSONDecoder(object_pairs_hook=_unique).decode
_decode_huge = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite).decode


def _parsed_lines(buffer: pa.Buffer) -> list[dict[str, Any] | None]:
    lines = bytes(buffer).split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    return [parsed_object(line) for line in lines]


def _lines_in(buffer: pa.Buffer) -> int:
    text = bytes(buffer)
    return text.count(b"\n") + (text[-1:] not in (b"", b"\n"))


def _middle(view: memoryview) -> int:
    """Return the position after the line end nearest to the middle, or -1 if there is none."""
    half = len(view) // 2
    text = bytes(view[half:])
    after = text.find(b"\n")
    if 0 <= after < len(text) - 1:
        return half + after + 1
    return bytes(view[:half]).rfind(b"\n") + 1 or -1
