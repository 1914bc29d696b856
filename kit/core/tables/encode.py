"""Frames, dicts and texts as the bodies of records: one encoder for every `append`, `publish` and `batch`.

Tables become a JSON object for each row, a column at a time. What JSON has no value for has a text form:

    missing values             null; NaN is missing
    times                      ISO 8601 with all digits of their resolution, and their offset from UTC if they have one
    dates, times of day        ISO 8601
    durations                  ISO 8601, `P1DT2H3M4.5S`
    decimals                   their digits, as text
    bytes                      base64
    UUIDs, members of enums    their text, their value
    float32, float16           the exact number, as float64 has it
    infinities, everything     refused before anything is sent, with row, column, value and the way out
      else

A named index is data and becomes columns; an index without a name is not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import KitError
from .json.scalars import Refused, iso_duration, json_text, shown
from .moments import PER_SECOND

TEXT = pa.large_string()
_ROWS = 64 * 1024
"""Rows that are encoded at once; more would not fit the processor's cache."""
_QUOTED = r'["\\\x00-\x1f]'
_ZONE = pa.scalar("Z", TEXT)
_FIRST, _LAST = -62_135_596_800, 253_402_300_800
"""Seconds of the years 1 to 9999."""
_UNCHANGED = (
    *(pa.types.is_null, pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary),
)
"""The types whose values go out as they are."""


@dataclass
class Given:
    """The caller's data as bodies, and the columns that were kept out of them."""

    bodies: Any
    """An Arrow column of text or bytes, or a list of bytes."""
    apart: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.bodies)


class Table:
    """Columns by name, as Arrow has them or, where they hold objects of several kinds, as Python objects."""

    def __init__(self, names: Sequence[Any], columns: Sequence[Any], rows: int, refuse: type[KitError]) -> None:
        self.names = [_named(name, refuse) for name in names]
        self.columns, self.rows, self._refuse = list(columns), rows, refuse
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise refuse(
                f"two columns have the same name {twice[0]!r}: in a JSON object one of them would be lost",
                hint="rename one of them" + ("" if twice[0] in names else "; names that are numbers become text"),
            )

    def column(self, name: str, what: str) -> Any:
        """Return a column by its name."""
        if name not in self.names:
            raise self._refuse(f"{what}={name!r}: there is no such column", hint=f"there are {', '.join(self.names)}")
        return self.columns[self.names.index(name)]

    def without(self, names: Iterable[str]) -> Table:
        """Return the other columns."""
        left = [(name, column) for name, column in zip(self.names, self.columns, strict=True) if name not in names]
        return Table([name for name, _ in left], [column for _, column in left], self.rows, self._refuse)

    @cached_property
    def _arrays(self) -> list[Any]:
        """The columns as Arrow has them, or as lists of objects."""
        return [
            _arrow_column(column, _Place(name, 0, self._refuse))
            for name, column in zip(self.names, self.columns, strict=True)
        ]

    def objects(self) -> pa.ChunkedArray:
        """Return a JSON object for each row, as text."""
        parts = [self._part(start, min(_ROWS, self.rows - start)) for start in range(0, self.rows, _ROWS)]
        return pa.chunked_array(parts, TEXT)

    def _part(self, start: int, count: int) -> pa.Array:
        pieces: list[Any] = []
        for n, (name, column) in enumerate(zip(self.names, self._arrays, strict=True)):
            pieces.append(pa.scalar(("," if n else "{") + json.dumps(name, ensure_ascii=False) + ":", TEXT))
            where = _Place(name, start, self._refuse)
            if isinstance(column, pa.ChunkedArray):
                pieces.append(_fragments(column.slice(start, count).combine_chunks(), where))
            else:
                pieces.append(_object_fragments(column[start : start + count], where))
        if not pieces:
            return pa.array(["{}"] * count, TEXT)
        return _joined(*pieces, pa.scalar("}", TEXT))


@dataclass(frozen=True)
class _Place:
    """The place of values, for errors that name it."""

    column: str
    first: int
    refuse: type[KitError] | None
    """None inside a list, where the place of the list names the row."""

    def refused(self, row: int, error: Refused) -> NoReturn:
        if self.refuse is None:
            raise _Inside(row, error)
        raise self.refuse(f"row {self.first + row}, column {self.column!r}: {error}", hint=error.hint) from None


def table_of(data: Any, refuse: type[KitError]) -> Table | None:
    """Return a table of pandas, polars or Arrow, or what gives Arrow streams, as columns; None for anything else."""
    kind = type(data)
    module = kind.__module__.partition(".")[0]
    if module in ("pandas", "polars") and not hasattr(data, "columns"):
        return None
    if module == "pandas":
        return _of_pandas(data, refuse)
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.RecordBatchReader):
        data = data.read_all()
    if module == "polars" and (cut := [name for name in data.columns if "\0" in name]):
        raise refuse(  # polars ends the whole process on such a name in an Arrow stream
            f"the column {cut[0]!r} has NUL in its name, which polars cannot pass on", hint="rename it"
        )
    if not isinstance(data, pa.Table):
        if isinstance(data, pa.Array | pa.ChunkedArray) or not hasattr(kind, "__arrow_c_stream__"):
            return None
        try:
            data = pa.table(data)
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError) as error:
            raise refuse(f"{kind.__name__} cannot be read as a table: {error}") from None
    return Table(data.column_names, data.columns, data.num_rows, refuse)


def column_of(data: Any) -> Any:
    """Return a single column of values (a Series of pandas or polars, an Arrow array); None for anything else."""
    if isinstance(data, pa.ChunkedArray):
        return data
    if isinstance(data, pa.Array):
        return pa.chunked_array([data])
    module = type(data).__module__.partition(".")[0]
    if module == "pandas" and hasattr(data, "dtype") and hasattr(data, "array"):
        return data
    if module == "polars" and hasattr(data, "to_arrow"):
        column = data.to_arrow()
        return pa.chunked_array([column]) if isinstance(column, pa.Array) else column_of(column)
    return None


def bodies_of(
    data: Any, refuse: type[KitError], *, body: str | None = None, apart: Mapping[str, str | None] | None = None
) -> Given:
    """Return bodies of records: those of a table's column, its rows as JSON objects, or single records.

    `apart` names the columns that are something else, by what they are; they are not in the objects. A single column
    that is called `body` is taken for the bodies.
    """
    named = {what: name for what, name in (apart or {}).items() if name is not None}
    table = table_of(data, refuse)
    if table is None:
        if body is not None or named:
            what = ", ".join(f"{one}=" for one in (*(["body"] if body is not None else []), *named))
            raise refuse(f"{what} names a column of a table, and this is not a table")
        return Given(_single(data, refuse))
    columns = {what: table.column(name, what) for what, name in named.items()}
    rows = table.without(set(named.values()))
    if body is None and rows.names == ["body"]:
        body = "body"
    if body is None:
        return Given(rows.objects(), columns)
    return Given(_raw(table.column(body, "body"), refuse), columns)


def _single(data: Any, refuse: type[KitError]) -> Any:
    """Return bodies that stand in no table."""
    column = column_of(data)
    if column is not None:
        return _raw(column, refuse)
    if isinstance(data, bytes | bytearray | memoryview | str | Mapping):
        data = [data]
    if not isinstance(data, Iterable):
        raise refuse(
            f"{type(data).__name__} cannot be appended",
            hint="give a DataFrame, an Arrow table, or records: bytes, text or dicts, or a list of these",
        )
    return [record_bytes(item, n, refuse) for n, item in enumerate(data)]


def _raw(column: Any, refuse: type[KitError]) -> Any:
    """Return a column of bodies as it is: bytes, texts, or objects of several kinds."""
    if getattr(getattr(column, "dtype", None), "kind", "") == "O":
        import pandas as pd

        if pd.api.types.infer_dtype(column, skipna=False) == "bytes":
            return column.to_numpy()  # the sender makes columns of them piece by piece
    column = _arrow_column(column, _Place("body", 0, refuse))
    if isinstance(column, pa.ChunkedArray):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_struct(column.type):
            where = _Place("body", 0, refuse)
            return pa.chunked_array([_fragments(column.combine_chunks(), where)])
        return column
    return [record_bytes(value, n, refuse) for n, value in enumerate(column)]


def values_in(column: Any, refuse: type[KitError]) -> tuple[list[Any], bool]:
    """Return the values of a column: texts and bytes as they are, others as JSON, and whether these are JSON.

    Python's own values of what Arrow holds lack digits of times, the keys of maps, and years after 9999.
    """
    where = _Place("body", 0, refuse)
    column = _arrow_column(column, where)
    if not isinstance(column, pa.ChunkedArray):
        return column, False
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if any(is_one(kind) for is_one in _UNCHANGED):
        return column.to_pylist(), False
    return _fragments(column.combine_chunks(), where).to_pylist(), True


def record_bytes(one: Any, number: int, refuse: type[KitError]) -> bytes:
    """Return a single body: bytes as they are, text as UTF-8, a dict as a JSON object."""
    if isinstance(one, bytes):
        return one
    if isinstance(one, bytearray | memoryview):
        return bytes(one)
    if isinstance(one, str):
        try:
            return one.encode()
        except UnicodeEncodeError:
            raise refuse(
                f"record {number} contains half of a character, which UTF-8 cannot encode: {shown(one)}",
                hint="give bytes, or replace it",
            ) from None
    if isinstance(one, Mapping):
        return json_bytes(one, number, refuse)
    if one is None:
        raise refuse(f"record {number} is missing", hint="give an empty body, or leave it out")
    raise refuse(f"record {number} is a {type(one).__name__}", hint="give bytes, str or dict")


def json_bytes(value: Any, number: int, refuse: type[KitError], what: str = "record") -> bytes:
    """Return a value as JSON."""
    try:
        return json_text(value)
    except Refused as error:
        place = f" at {error.path}" if error.path else ""
        raise refuse(f"{what} {number}{place}: {error}", hint=error.hint) from None


def _named(name: Any, refuse: type[KitError]) -> str:
    if isinstance(name, str):
        try:
            name.encode()
        except UnicodeEncodeError:
            raise refuse(f"the name {shown(name)} has half of a character, which UTF-8 cannot encode") from None
        return str(name)
    if isinstance(name, int | np.integer) and not isinstance(name, bool):
        return str(int(name))
    raise refuse(
        f"a column is called {name!r}, a {type(name).__name__}, but keys of JSON must be text",
        hint="use text as names: df.columns = df.columns.map(str)",
    )


def _of_pandas(frame: Any, refuse: type[KitError]) -> Table:
    names, columns = list[Any](), list[Any]()
    if any(name is not None for name in frame.index.names):
        unnamed = [n for n, name in enumerate(frame.index.names) if name is None]
        if unnamed:
            raise refuse(
                f"level {unnamed[0]} of the index has no name, but other levels have",
                hint="name it, or leave the index out with df.reset_index(drop=True)",
            )
        names += frame.index.names
        columns += [frame.index.get_level_values(n) for n in range(frame.index.nlevels)]
    names += list(frame.columns)
    columns += [frame.iloc[:, n] for n in range(frame.shape[1])]
    return Table(names, columns, len(frame), refuse)


def _arrow_column(column: Any, where: _Place) -> pa.ChunkedArray | list[Any]:
    """Return a column as an Arrow array, or as Python objects if Arrow cannot hold them unchanged."""
    if isinstance(column, pa.ChunkedArray):
        return column
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind == "O":
        inferred = pd.api.types.infer_dtype(column, skipna=False)
        if inferred not in ("string", "bytes"):
            return list(column)
    elif isinstance(dtype, pd.PeriodDtype | pd.IntervalDtype) or dtype.kind == "c":
        kind = "period" if isinstance(dtype, pd.PeriodDtype) else "interval" if dtype.kind != "c" else "complex number"
        if len(column):
            first = column.iloc[0] if hasattr(column, "iloc") else column[0]
            where.refused(0, Refused.kind(first, kind, "give its text, or its parts"))
        return pa.chunked_array([pa.nulls(0)])
    elif isinstance(dtype, pd.SparseDtype):
        column = pd.Series(np.asarray(column))
    try:
        array = pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, UnicodeEncodeError, ValueError):
        return list(column)
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _joined(*parts: Any) -> pa.Array:
    return pc.binary_join_element_wise(*parts, pa.scalar("", TEXT))


def _object_fragments(values: Sequence[Any], where: _Place) -> pa.Array:
    out = []
    for n, value in enumerate(values):
        try:
            out.append(json_text(value))
        except Refused as error:
            where.refused(n, error)
    return pa.array(out, pa.large_binary()).cast(TEXT)


def _fragments(column: pa.Array, where: _Place) -> pa.Array:
    """Return each value as JSON."""
    made = _of_type(column, where)
    return pc.fill_null(made, "null") if made.null_count else made


def _of_type(column: pa.Array, where: _Place) -> pa.Array:
    kind, types = column.type, pa.types
    if types.is_integer(kind) or types.is_boolean(kind):
        return column.cast(TEXT)
    if types.is_floating(kind):
        return _floats(column.cast(pa.float64()), where)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return _strings(column.cast(TEXT))
    if types.is_null(kind):
        return pa.nulls(len(column), TEXT)
    if types.is_timestamp(kind):
        return _between('"', _times(column, where), '"')
    if types.is_date(kind):
        return _between('"', _dates(column, where), '"')
    if types.is_time(kind) or types.is_decimal(kind):
        return _between('"', column.cast(TEXT), '"')
    if types.is_duration(kind):
        return _between('"', _durations(column), '"')
    if types.is_dictionary(kind):
        try:
            return _of_type(column.dictionary, _Place(where.column, 0, None)).take(column.indices)
        except _Inside:
            # It may be a value that no row has; else the row is to be named.
            return _of_type(column.dictionary.take(column.indices), where)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _lists(column, where)
    if types.is_struct(kind):
        return _structs(column, where)
    if types.is_run_end_encoded(kind):
        return _of_type(pc.run_end_decode(column), where)
    return _object_fragments_of(column, where)


def _object_fragments_of(column: pa.Array, where: _Place) -> pa.Array:
    """Return values that Arrow has no quicker way for: bytes, maps, extension types."""
    values = column.to_pylist() if not pa.types.is_map(column.type) else _maps(column, where)
    missing = np.asarray(column.is_null())
    return pc.if_else(pa.array(missing), pa.scalar(None, TEXT), _object_fragments(values, where))


def _maps(column: pa.Array, where: _Place) -> list[Any]:
    maps = list[Any]()
    for row, value in enumerate(column):
        try:
            maps.append(value.as_py(maps_as_pydicts="strict"))
        except KeyError:  # Arrow's, of a key that a map has twice
            where.refused(row, Refused("two keys of the map are the same", "rename one of them"))
    return maps


def _between(before: str, middle: pa.Array, after: str) -> pa.Array:
    return _joined(pa.scalar(before, TEXT), middle, pa.scalar(after, TEXT))


def _floats(column: pa.Array, where: _Place) -> pa.Array:
    infinite = pc.is_inf(column)
    if pc.any(infinite).as_py():
        row = int(np.flatnonzero(np.asarray(pc.fill_null(infinite, False)))[0])
        where.refused(row, Refused.infinite(column[row].as_py()))
    text = column.cast(TEXT)
    # 1.0 is written as 1, and would come back as a whole number.
    whole = pc.invert(pc.match_substring_regex(text, r"[.en]"))
    if pc.any(whole).as_py():
        text = pc.if_else(whole, _joined(text, pa.scalar(".0", TEXT)), text)
    nan = pc.is_nan(column)
    return pc.if_else(nan, pa.scalar(None, TEXT), text) if pc.any(nan).as_py() else text


def _strings(column: pa.Array) -> pa.Array:
    odd = pc.match_substring_regex(column, _QUOTED)
    if not pc.any(odd).as_py():
        return _between('"', column, '"')
    rows = np.flatnonzero(np.asarray(pc.fill_null(odd, False)))
    written = [json.dumps(value, ensure_ascii=False) for value in column.take(pa.array(rows)).to_pylist()]
    return pc.replace_with_mask(_between('"', column, '"'), pc.fill_null(odd, False), pa.array(written, TEXT))


def _dates(column: pa.Array, where: _Place) -> pa.Array:
    _refuse_years(column.cast(pa.timestamp("s"), safe=False), where)
    return column.cast(pa.date32()).cast(TEXT)


def _times(column: pa.Array, where: _Place) -> pa.Array:
    kind = column.type
    _refuse_years(column, where)
    if kind.tz is None:
        return pc.replace_substring(column.cast(TEXT), " ", "T")
    utc = column.cast(pa.timestamp(kind.unit, "UTC"))
    text = pc.replace_substring(utc.cast(TEXT), " ", "T")
    if kind.tz == "UTC":
        return text
    # In whole seconds: near the limits of nanoseconds, the same moment in another zone is out of range.
    counts = np.asarray(pc.fill_null(column.cast(pa.int64()), 0)) // PER_SECOND[kind.unit]
    seconds = pa.array(counts).cast(pa.timestamp("s", kind.tz))
    local = pc.local_timestamp(seconds)
    there = np.asarray(local.cast(pa.int64()))
    minutes, rest = np.divmod(there - counts, 60)
    # An offset in seconds, as before standard time, has no ISO form: such a time is written in UTC, and so is a time
    # whose year is out of range in its zone.
    odd = pa.array((rest != 0) | (there < _FIRST) | (there >= _LAST))
    offset = pa.array([f"{'-' if n < 0 else '+'}{abs(n) // 60:02d}:{abs(n) % 60:02d}" for n in minutes.tolist()], TEXT)
    fraction = pc.replace_substring_regex(text, r"^[^.]*Z?|Z$", "")
    written = _joined(pc.replace_substring(local.cast(TEXT), " ", "T"), fraction, offset)
    return pc.if_else(odd, text, written)


def _refuse_years(column: pa.Array, where: _Place) -> None:
    """Refuse times that ISO 8601 has no four-digit year for."""
    per = PER_SECOND[column.type.unit]
    if len(column) == column.null_count:
        return
    bounds = pc.min_max(column.cast(pa.timestamp(column.type.unit)).cast(pa.int64()))
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    if low < _FIRST * per or high >= _LAST * per:
        values = column.cast(pa.timestamp(column.type.unit)).cast(pa.int64())
        early = pc.less(values, pa.scalar(max(_FIRST * per, -(2**63)), pa.int64()))
        late = pc.greater_equal(values, pa.scalar(min(_LAST * per, 2**63 - 1), pa.int64()))
        row = int(np.flatnonzero(np.asarray(pc.fill_null(pc.or_(early, late), False)))[0])
        time = f"{values[row].as_py()} {column.type.unit} from 1970"
        where.refused(row, Refused(f"{time} is outside the years 1 to 9999", "keep such times as numbers"))


def _durations(column: pa.Array) -> pa.Array:
    per = PER_SECOND[column.type.unit]
    out = []
    for count in column.cast(pa.int64()).to_pylist():
        out.append(None if count is None else iso_duration(count, per))
    return pa.array(out, TEXT)


def _lists(column: pa.Array, where: _Place) -> pa.Array:
    if pa.types.is_fixed_size_list(column.type):
        column = column.cast(pa.list_(column.type.value_type))
    lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0))
    edges = np.zeros(len(column) + 1, np.int64)
    np.cumsum(lengths, out=edges[1:])
    try:
        inside = _fragments(column.flatten(), _Place(where.column, 0, None))
    except _Inside as error:
        row = int(np.searchsorted(edges, error.row, "right")) - 1
        where.refused(row, error.cause)
    texts = pa.LargeListArray.from_arrays(pa.array(edges), inside)
    made = _between("[", pc.binary_join(texts, pa.scalar(",", TEXT)), "]")
    return pc.if_else(column.is_null(), pa.scalar(None, TEXT), made) if column.null_count else made


class _Inside(Exception):
    """A value inside a list cannot be kept; the row is that of the flattened items."""

    def __init__(self, row: int, cause: Refused) -> None:
        super().__init__(row)
        self.row, self.cause = row, cause


def _structs(column: pa.Array, where: _Place) -> pa.Array:
    names = [field.name for field in column.type]
    if len(set(names)) < len(names):
        where.refused(0, Refused(f"its fields {names} do not have different names"))
    if not names:
        made: Any = pa.array(["{}"] * len(column), TEXT)
    else:
        pieces = list[Any]()
        for n, name in enumerate(names):
            pieces.append(pa.scalar(("," if n else "{") + json.dumps(name, ensure_ascii=False) + ":", TEXT))
            pieces.append(_fragments(pc.struct_field(column, n), where))
        made = _joined(*pieces, pa.scalar("}", TEXT))
    return pc.if_else(column.is_null(), pa.scalar(None, TEXT), made) if column.null_count else made


def chunks(column: Any, size: int) -> Iterator[Any]:
    """Yield a column in pieces of that many rows."""
    for start in range(0, len(column), size):
        yield column[start : start + size]
