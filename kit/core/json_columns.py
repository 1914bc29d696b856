"""JSON objects to Arrow columns, without a Python object per row where the data allows it.

Types are found on a sample and then given to Arrow's reader, which refuses what does not fit. What it refuses
is cut in halves until only the rows that do not fit are read one by one; those widen the types, stated here:

    null      takes any other type
    int64     with uint64 is uint64; with float64 is float64 (where no digit is lost)
    lists     of different items, and objects of different keys, widen inside
    the rest  becomes text: strings as they are, every other value as its JSON text

Text that looks like a time stays text. Giving Arrow the types first is also what bounds hostile input: an unknown
key, a deeper level or another kind of value ends the fast read at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from .errors import KitError

SAMPLE = 200
SMALL = 256
"""So few rows are read one by one instead of being cut further."""
DEEPEST = 4
"""Values nested deeper than this stay JSON text."""
MAX_KEYS = 512
_THREADS_FROM = 4 * 1024 * 1024
_SPARSE_BYTES = 256 * 1024 * 1024
_INT64 = range(-(2**63), 2**63)
_UINT64 = range(2**64)


class TooManyKeys(KitError):
    """The objects have so many different keys that columns would be useless, or far larger than the text."""


def type_of(value: Any, depth: int = 0) -> pa.DataType:
    """The column type that holds one JSON value.

    >>> str(type_of([1, 2.5])), str(type_of(2**64)), str(type_of({"a": None}))
    ('list<item: double>', 'string', 'struct<a: null>')
    """
    if value is None:
        return pa.null()
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        return pa.int64() if value in _INT64 else pa.uint64() if value in _UINT64 else pa.string()
    if isinstance(value, float):
        return pa.float64()
    if isinstance(value, list) and depth < DEEPEST:
        return pa.list_(widest(type_of(item, depth + 1) for item in value))
    if isinstance(value, dict) and value and depth < DEEPEST and len(value) <= MAX_KEYS:
        return pa.struct([(key, type_of(item, depth + 1)) for key, item in value.items()])
    return pa.string()


def widest(types: Iterable[pa.DataType]) -> pa.DataType:
    """The narrowest type that holds all the given ones."""
    result = pa.null()
    for one in types:
        result = widen(result, one)
    return result


def widen(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    """The narrowest type that holds both, by the rules above."""
    if a.equals(b) or pa.types.is_null(b):
        return a
    if pa.types.is_null(a):
        return b
    numbers = {str(a), str(b)}
    if numbers <= {"int64", "uint64", "double"}:
        return pa.float64() if "double" in numbers else pa.uint64()
    if pa.types.is_list(a) and pa.types.is_list(b):
        return pa.list_(widen(a.value_type, b.value_type))
    if pa.types.is_struct(a) and pa.types.is_struct(b):
        fields = {field.name: field.type for field in a}
        for field in b:
            fields[field.name] = widen(fields.get(field.name, pa.null()), field.type)
        if len(fields) <= MAX_KEYS:
            return pa.struct(list(fields.items()))
    return pa.string()


def sound(value: Any, depth: int = 0) -> Any:
    """The value with keys that a column can be named by: what UTF-8 cannot hold in them is shown as escapes.

    >>> sound({"a": 1, "\\ud800": {"\\udfff": 2}})
    {'a': 1, '\\\\ud800': {'\\\\udfff': 2}}
    """
    if depth > DEEPEST or not isinstance(value, dict | list):
        return value
    if isinstance(value, list):
        return [sound(item, depth + 1) for item in value]
    return {key if key.isascii() else _clean(key): sound(item, depth + 1) for key, item in value.items()}


def text_of(value: Any) -> str | None:
    """A value in a text column: strings as they are, the rest as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Python values as a column of a type that holds them."""
    if pa.types.is_string(kind):
        return pa.array([_clean(text_of(value)) for value in values], kind)
    try:
        return pa.array(_fitted(values, kind), kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, OverflowError):
        return pa.array([_clean(text_of(value)) for value in values], pa.string())


def _clean(text: str | None) -> str | None:
    """Lone surrogates are legal in JSON but not in UTF-8; they are shown as their escapes."""
    if text is not None and not text.isascii():
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def _fitted(values: Sequence[Any], kind: pa.DataType) -> Sequence[Any]:
    """Values inside lists and objects brought to the type decided for them."""
    if pa.types.is_string(kind):
        return [_clean(text_of(value)) for value in values]
    if pa.types.is_list(kind):
        return [None if value is None else _fitted(value, kind.value_type) for value in values]
    if pa.types.is_struct(kind):
        names = [(field.name, field.type) for field in kind]
        return [
            None if value is None else {name: _fitted([value.get(name)], inner)[0] for name, inner in names}
            for value in values
        ]
    if pa.types.is_floating(kind):
        return [None if value is None else _exact(value) for value in values]
    return values


def _exact(value: float) -> float:
    if isinstance(value, int) and float(value) != value:
        raise OverflowError("a digit would be lost")
    return float(value)


_LONG_INTEGER = re.compile(rb"[:,\[\s]-?\d{16,}[,}\]\s]")


def _may_lose_digits(table: pa.Table, lines: pa.Buffer) -> bool:
    """Whether Arrow may have rounded an integer that stands among floats."""
    floats = [column for column in table.columns if _holds_floats(column.type)]
    if not floats or all(
        pa.types.is_floating(column.type) and not (pc.max(pc.abs(column)).as_py() or 0) >= 2**53 for column in floats
    ):
        return False
    return _LONG_INTEGER.search(memoryview(lines)) is not None


def _holds_floats(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _holds_floats(kind.value_type)
    if pa.types.is_struct(kind):
        return any(_holds_floats(field.type) for field in kind)
    return bool(pa.types.is_floating(kind))


def recast(chunk: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column brought to a wider type; where a digit would be lost it becomes text instead."""
    if chunk.type.equals(kind):
        return chunk
    if pa.types.is_null(chunk.type):
        return pa.nulls(len(chunk), kind)
    if pa.types.is_string(kind) and (pa.types.is_integer(chunk.type) or pa.types.is_boolean(chunk.type)):
        return chunk.cast(kind)
    if pa.types.is_nested(kind) or pa.types.is_string(kind):
        return array_of(chunk.to_pylist(), kind)
    try:
        return chunk.cast(kind)
    except pa.ArrowInvalid:
        return array_of(chunk.to_pylist(), pa.string())


def read_lines(
    lines: bytes | memoryview | pa.Buffer, types: Mapping[str, pa.DataType], *, others: bool = False
) -> pa.Table | None:
    """Lines of JSON objects, read by Arrow; None where they do not fit the types, or hold other keys.

    With `others` the objects may hold other keys, which are left aside.

    It may run in any thread, and lets others run meanwhile.
    """
    buffer = pa.py_buffer(lines)
    if not bytes(memoryview(buffer)[:64]).lstrip().startswith(b"{"):
        return None  # Arrow's reader ends the whole process where the first of its lines is a null
    if len(types) > MAX_KEYS and _sparse(_lines_in(buffer), len(types), buffer.size):
        return None
    try:
        table = pa.json.read_json(
            pa.BufferReader(buffer),
            read_options=pa.json.ReadOptions(
                # A small buffer is read faster in one go than handed to threads.
                use_threads=buffer.size > _THREADS_FROM,
                block_size=max(_THREADS_FROM, buffer.size // 2) + 1,
            ),
            parse_options=pa.json.ParseOptions(
                explicit_schema=pa.schema(list(types.items())),
                unexpected_field_behavior="ignore" if others else "error",
            ),
        )
        # The reader copies strings without looking at their encoding.
        table.validate(full=True)
    except pa.ArrowInvalid:
        return None
    return None if _may_lose_digits(table, buffer) else table


def _sparse(rows: int, keys: int, size: int) -> bool:
    """Whether the columns of that many rows could be far larger than the text they come from."""
    return rows * keys * 8 > 50 * size + _SPARSE_BYTES


class ObjectColumns:
    """Collects rows that are JSON objects, batch by batch, as columns.

    `bad` holds the numbers of the rows that were no JSON objects; they are rows of nulls in the table.
    """

    def __init__(self, *, max_keys: int = MAX_KEYS, fast: bool = True) -> None:
        self.types: dict[str, pa.DataType] = {}
        """What the finished columns will be."""
        self._reading: dict[str, pa.DataType] = {}
        """What the next rows are expected to be; not text just because one row did not fit."""
        self.bad: list[int] = []
        self.rows = 0
        self._fast = fast
        self._max_keys = max_keys
        self._bytes = 0
        self._chunks: list[tuple[int, Mapping[str, pa.Array]]] = []

    def add_lines(self, lines: bytes | memoryview | pa.Buffer, count: int | None = None) -> None:
        """Adds rows: one JSON object to a line, no line end inside an object; `count` of them where that is known."""
        buffer = pa.py_buffer(lines)
        self._bytes += buffer.size
        if not self.types:
            head = bytes(memoryview(buffer)[: 64 * 1024]).split(b"\n")[:SAMPLE]
            parsed = (parsed_object(line) for line in head)
            self._learn([row for row in parsed if row is not None])
            self._reading = dict(self.types)
        self._add(buffer, count)

    @property
    def expected(self) -> dict[str, pa.DataType]:
        """The types that the next rows are expected to have; empty before the first ones."""
        return dict(self._reading)

    def add_table(self, table: pa.Table, size: int) -> None:
        """Adds rows that `read_lines` has read from text of this size."""
        self._bytes += size
        for batch in table.to_batches():
            self._keep(batch.num_rows, dict(zip(batch.schema.names, batch.columns, strict=True)))

    def add_rows(self, rows: Sequence[Mapping[str, Any] | None]) -> None:
        """Adds rows that are Python objects already; None is a row that could not be read."""
        self._learn([row for row in rows if row is not None])
        self.bad += [self.rows + n for n, row in enumerate(rows) if row is None]
        columns = {}
        for name in {name: None for row in rows if row is not None for name in row}:
            values = [None if row is None else row.get(name) for row in rows]
            kinds = [type_of(value) for value in values if value is not None]
            columns[name] = array_of(values, widest(kinds))
            expected = widen(self._reading.get(name, pa.null()), columns[name].type)
            self._reading[name] = kinds[-1] if kinds and pa.types.is_string(expected) else expected
        self._keep(len(rows), columns)

    def mark(self) -> tuple[Any, ...]:
        """Where it stands now, for `rewind`."""
        return self.rows, len(self._chunks), len(self.bad), dict(self.types), dict(self._reading), self._bytes

    def rewind(self, mark: tuple[Any, ...]) -> None:
        """Forgets what was added since the mark."""
        self.rows, chunks, bad, self.types, self._reading, self._bytes = mark
        del self._chunks[chunks:]
        del self.bad[bad:]

    def table(self) -> pa.Table:
        """All the rows, in columns named in the order in which the keys were first seen."""
        names = list(self.types)
        columns = []
        for name in names:
            kind = self.types[name]
            chunks = [
                recast(chunk[name], kind) if name in chunk else pa.nulls(count, kind) for count, chunk in self._chunks
            ]
            if any(not chunk.type.equals(kind) for chunk in chunks):
                kind = pa.string()
                chunks = [recast(chunk, kind) for chunk in chunks]
            columns.append(pa.chunked_array(chunks, kind))
        return pa.table(columns, names=names)

    def _learn(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            for name, value in row.items():
                self.types[name] = widen(self.types.get(name, pa.null()), type_of(value))
        if len(self.types) > self._max_keys:
            raise TooManyKeys(f"more than {self._max_keys} different keys")

    def _add(self, buffer: pa.Buffer, count: int | None) -> None:
        table = self._read(buffer, count) if self._fast else None
        if table is not None:
            self.add_table(table, 0)
            return
        count = _lines_in(buffer) if count is None else count
        view = memoryview(buffer)
        cut = _middle(view) if count > SMALL else -1
        if cut < 0:
            lines = bytes(view).split(b"\n")
            lines = lines[:-1] if lines and not lines[-1] else lines
            self.add_rows([parsed_object(line) for line in lines])
            return
        first = bytes(view[:cut]).count(b"\n")
        self._add(buffer.slice(0, cut), first)
        self._add(buffer.slice(cut), count - first)

    def _read(self, buffer: pa.Buffer, count: int | None) -> pa.Table | None:
        """Arrow's own reading of the lines, or None where they do not fit the types known so far."""
        if not self._reading or not buffer.size:
            return None
        if self._too_sparse(buffer.size // 3 + 1 if count is None else count):
            count = _lines_in(buffer)
            if self._too_sparse(count):
                raise TooManyKeys(f"{len(self._reading)} keys over {count} rows hold next to nothing")
        table = read_lines(buffer, self._reading)
        return None if table is None or (count is not None and table.num_rows != count) else table

    def _too_sparse(self, rows: int) -> bool:
        return _sparse(rows, len(self._reading), self._bytes)

    def _keep(self, count: int, columns: Mapping[str, pa.Array]) -> None:
        for name, column in columns.items():
            self.types[name] = widen(self.types.get(name, pa.null()), column.type)
        self._chunks.append((count, columns))
        self.rows += count


def parsed_object(line: bytes) -> dict[str, Any] | None:
    """The JSON object in a line; None where it is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    # Only an escape, or bytes beyond ASCII, can make a key that is no UTF-8.
    found: dict[str, Any] = value if line.isascii() and b"\\u" not in line else sound(value)
    return found


def _lines_in(buffer: pa.Buffer) -> int:
    text = bytes(buffer)
    return text.count(b"\n") + (text[-1:] not in (b"", b"\n"))


def _middle(view: memoryview) -> int:
    """Just after the line end next to the middle, or -1 where there is none to cut at."""
    half = len(view) // 2
    text = bytes(view[half:])
    after = text.find(b"\n")
    if 0 <= after < len(text) - 1:
        return half + after + 1
    return bytes(view[:half]).rfind(b"\n") + 1 or -1
