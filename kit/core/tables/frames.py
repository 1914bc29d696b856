"""Columns to pandas, in one place, so that every service gives the same kinds of columns.

text                  `str`
times                 `datetime64`, in the unit and zone of the column; dates are midnights in milliseconds
durations, intervals  `timedelta64`; intervals with months, whose length varies, are ISO 8601 texts
integers, booleans    as they are, unsigned kept unsigned; with gaps the nullable twin (`Int64`, `UInt64`, `boolean`)
bytes, lists, objects Arrow's own types
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import InputError
from . import accessor as accessor  # makes `df.kit`
from .intervals import timedeltas
from .into import remember
from .json.columns import ObjectColumns, TooManyKeys, parsed_object
from .json.typed import carriers, convert
from .json.values import array_of, sound
from .moments import in_unit
from .names import distinct

BodyMode = Literal["auto", "bytes", "text", "json"]
_TEXT: Any = pd.StringDtype(na_value=np.nan)
_WITH_GAPS = {
    "int8": pd.Int8Dtype(),
    "int16": pd.Int16Dtype(),
    "int32": pd.Int32Dtype(),
    "int64": pd.Int64Dtype(),
    "uint8": pd.UInt8Dtype(),
    "uint16": pd.UInt16Dtype(),
    "uint32": pd.UInt32Dtype(),
    "uint64": pd.UInt64Dtype(),
    "bool": pd.BooleanDtype(),
}
TIME = pa.timestamp("ms", "UTC")
FIRST_TIME, LAST_TIME = -62_135_596_800_000, 253_402_300_800_000
"""Milliseconds from the year 1 to the year 9999."""
_UTC = {unit: pd.DatetimeTZDtype(unit, "UTC") for unit in ("s", "ms", "us", "ns")}


def to_frame(
    table: pa.Table, attrs: Mapping[str, Any] | None = None, *, nullable: Collection[str] = ()
) -> pd.DataFrame:
    """Return the table as a DataFrame. Columns named in `nullable` have the nullable dtype also where nothing is
    missing.

    Of two columns of one name the later one has a number behind it.
    """
    names = distinct(table.column_names)
    if not names:
        frame = pd.DataFrame(index=range(table.num_rows))
    else:
        # Arrays, as Series would be aligned with each other, which is most of what a small frame costs; and numbers as
        # names at first, as pandas takes longer to make an index of a few texts than for all the rest.
        frame = pd.DataFrame(
            {
                n: _array(column, gaps=column.null_count > 0 or names[n] in nullable)
                for n, column in enumerate(table.columns)
            },
            copy=False,
        )
        frame.columns = _labels(tuple(names)).view()
    if attrs:
        frame.attrs.update(attrs)
    remember(frame, table)
    return frame


@lru_cache(maxsize=256)
def _labels(names: tuple[str, ...]) -> pd.Index[str]:
    """Return names as the index of a frame's columns; each frame gets a view of it, as an index can be named."""
    return pd.Index(names)


def _array(column: pa.ChunkedArray, *, gaps: bool) -> Any:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _TEXT.__from_arrow__(column)
    if pa.types.is_timestamp(kind):
        return _moments(column)
    if pa.types.is_date(kind):
        return _moments(column.cast(pa.timestamp("ms")))
    if pa.types.is_duration(kind):
        return _own(column.to_numpy())
    if pa.types.is_interval(kind):
        return timedeltas(column.combine_chunks())
    if gaps and str(kind) in _WITH_GAPS:
        return column.to_pandas(types_mapper=lambda _: _WITH_GAPS[str(kind)]).array
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return _own(column.to_numpy())
    if pa.types.is_null(kind):
        return np.full(len(column), None, object)
    return pd.arrays.ArrowExtensionArray(column)


def _own(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the same in memory of the frame's own: Arrow's cannot be written to, and `df.loc[0, "n"] = 1` does."""
    return values if values.flags.writeable else values.copy()


def _moments(column: pa.ChunkedArray) -> Any:
    """Return times in their own unit; Arrow's own conversion handles every kind of time, but takes many times as
    long."""
    if column.type.tz == "UTC":
        times = _UTC[column.type.unit].__from_arrow__(column)
        # Several pieces were copied into one already; a single piece is Arrow's memory, which is read-only.
        return times.copy() if column.num_chunks == 1 else times
    return _own(column.to_numpy()) if column.type.tz is None else column.to_pandas().array


def empty(schema: pa.Schema, attrs: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return a frame of no rows with the columns and dtypes of a full one."""
    return to_frame(schema.empty_table(), attrs)


def from_rows(rows: Sequence[Mapping[str, Any]], schema: pa.Schema | None = None, **attrs: Any) -> pd.DataFrame:
    """Return a frame of a few Python rows: listings, statuses, settings.

    Keys in the schema have its type and come first; others follow with the type that their values show.
    """
    first = {field.name: field.type for field in schema or ()}
    collected = ObjectColumns(max_keys=10_000)
    others = [sound({name: value for name, value in row.items() if name not in first}) for row in rows]
    collected.add_rows(others)
    columns: dict[str, Any] = {}
    for name, kind in first.items():
        values = [row.get(name) for row in rows]
        if pa.types.is_timestamp(kind):
            columns[name] = times(array_of([None if value is None else str(value) for value in values], pa.string()))
        elif pa.types.is_string(kind):
            columns[name] = array_of([value if value is None else str(value) for value in values], kind)
        else:
            columns[name] = array_of(values, kind)
    rest = collected.table()
    columns.update(zip(rest.column_names, rest.columns, strict=True))
    return to_frame(pa.table(columns), attrs)


def times(text: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return RFC 3339 texts as times; a text that is not a time is missing."""
    # More digits than Arrow takes are cut, which is rounding down before 1970 too.
    text = pc.replace_substring_regex(text, r"(\.\d{6})\d+", r"\1")
    try:
        return in_unit(text.cast(pa.timestamp("us", "UTC")), "ms")
    except pa.ArrowInvalid:
        # To pandas "now" and "today" are times.
        texts = pc.if_else(pc.match_substring_regex(text, r"^\d"), text, None).to_pandas()
        parsed = pa.array(pd.to_datetime(texts, utc=True, errors="coerce", format="ISO8601"), from_pandas=True)
        far = [
            None if known else _far_time(one) for one, known in zip(texts, parsed.is_valid().to_pylist(), strict=True)
        ]
        kind = pa.timestamp("us", "UTC")
        return in_unit(pc.coalesce(parsed.cast(kind), pa.array(far, kind)), "ms")


def _far_time(text: Any) -> datetime | None:
    """Return a time that pandas does not read, because other texts beside it are none or it is far from today."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def milliseconds(values: pa.Array) -> tuple[pa.Array, int]:
    """Return unsigned milliseconds as times, and how many are past the year 9999 and so missing."""
    late = pc.greater_equal(values, pa.scalar(LAST_TIME, pa.uint64()))
    count = pc.sum(late).as_py() or 0
    if count:
        values = pc.if_else(late, None, values)
    return values.cast(pa.int64()).cast(TIME), count


def free_name(key: str, taken: Collection[str], prefix: str = "body.") -> str:
    """Return the column name of a JSON key: the key itself, or with the prefix where a column of that name exists.

    >>> free_name("price", {"seq_num"}), free_name("seq_num", {"seq_num"})
    ('price', 'body.seq_num')
    """
    while key in taken:
        key = prefix + key
    return key


@dataclass(frozen=True, slots=True)
class Bodies:
    """Record bodies as columns, and what was decided about them."""

    columns: dict[str, pa.ChunkedArray]
    mode: str
    undecoded: int
    note: str = ""

    @property
    def attrs(self) -> dict[str, Any]:
        """For `df.attrs`: which form was used, and how many rows did not have it."""
        return {"body": self.mode, "undecoded": self.undecoded, **({"note": self.note} if self.note else {})}


def expand_bodies(
    bodies: pa.ChunkedArray | pa.Array,
    mode: BodyMode = "auto",
    *,
    taken: Collection[str] = (),
    raw: str = "body",
    types: Mapping[str, pa.DataType] | None = None,
    fast: bool = True,
) -> Bodies:
    """Return raw bodies in the form that was asked for; `auto` looks at a sample and says what it chose.

    `json` gives a column per key. A row that is no JSON object, or has a value that `types` refuses, keeps its raw
    bytes in the column `raw` and is counted; `text` shows bytes that are not UTF-8 as escapes and counts those rows.
    Nothing is dropped.
    """
    if mode not in get_args(BodyMode):
        raise InputError(f"body={mode!r} is not a mode", hint='choose one of "auto", "bytes", "text", "json"')
    if isinstance(bodies, pa.Array):
        bodies = pa.chunked_array([bodies])
    chosen: str = mode
    rows: list[dict[str, Any] | None] = []
    if mode == "auto":
        chosen, rows = ("json", []) if types else _sampled(bodies)
        if chosen == "text" and not is_text(bodies):
            chosen = "bytes"
    if chosen == "json":
        try:
            # If the sample was everything, nothing has to be read again.
            return _json(bodies, taken, raw, types or {}, fast, rows if len(rows) == len(bodies) else [])
        except TooManyKeys as limit:
            note = f"not expanded: {limit}"
            if is_text(bodies):
                return Bodies({raw: bodies.cast(pa.string())}, "text", 0, note)
            return Bodies({raw: bodies}, "bytes", 0, note)
    if chosen == "text":
        if is_text(bodies):
            return Bodies({raw: bodies.cast(pa.string())}, "text", 0)
        texts, bad = [], 0
        for body in bodies.to_pylist():
            texts.append(None if body is None else body.decode("utf-8", "backslashreplace"))
            bad += body is not None and not is_utf8(body)
        return Bodies({raw: pa.chunked_array([pa.array(texts, pa.string())])}, "text", bad)
    return Bodies({raw: bodies}, "bytes", 0)


def choose_mode(bodies: pa.ChunkedArray, sample: int = 100) -> Literal["json", "text", "bytes"]:
    """Return the mode that the first bodies suggest; without any it is "bytes"."""
    return _sampled(bodies, sample)[0]


def _sampled(
    bodies: pa.ChunkedArray, sample: int = 100
) -> tuple[Literal["json", "text", "bytes"], list[dict[str, Any] | None]]:
    """Return the mode that the first bodies suggest, and for JSON their objects; None if one is empty."""
    sampled = bodies.slice(0, sample).to_pylist()
    rows: list[dict[str, Any] | None] = []
    for body in sampled:
        row = _parsed(body) if body and body[:1] == b"{" else None
        if body and row is None:
            return ("text" if all(is_utf8(one) for one in sampled if one) else "bytes"), []
        rows.append(row)
    return ("json", rows) if any(row is not None for row in rows) else ("bytes", [])


def names_of(keys: Iterable[str], taken: Collection[str], raw: str) -> dict[str, str]:
    """Return the column of each key; a key that is called like another column gets a prefix.

    >>> names_of(["price", "seq_num", "body"], ["seq_num"], "body")
    {'price': 'price', 'seq_num': 'body.seq_num', 'body': 'body.body'}
    """
    used = {*taken, raw}
    names = {}
    for key in keys:
        names[key] = free_name(key, used)
        used.add(names[key])
    return names


def _json(
    bodies: pa.ChunkedArray,
    taken: Collection[str],
    raw: str,
    types: Mapping[str, pa.DataType],
    fast: bool,
    rows: list[dict[str, Any] | None],
) -> Bodies:
    collected = ObjectColumns(fast=fast, given=carriers(types))
    rewritten: list[int] = []
    if rows:
        collected.add_rows(rows, bodies.nbytes)
    for chunk in bodies.chunks:
        if rows or not len(chunk):
            continue
        lines, unfit = json_lines(chunk)
        rewritten += [collected.rows + n for n in unfit]
        collected.add_lines(lines, len(chunk), partial(_lines_again, chunk))
    table = collected.table()
    bad = {*rewritten, *collected.bad}
    columns: dict[str, pa.ChunkedArray] = {}
    names = names_of(table.column_names, taken, raw)
    for key, column in zip(table.column_names, table.columns, strict=True):
        if key in types:
            whole = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
            converted, wrong = convert(whole, types[key])
            column = pa.chunked_array([converted])
            if wrong is not None:
                bad.update(np.flatnonzero(wrong).tolist())
        columns[names[key]] = column
    if bad or not columns:
        keep = np.zeros(len(bodies), dtype=bool)
        keep[sorted(bad)] = True
        columns[raw] = pc.if_else(pa.array(keep), bodies, pa.scalar(None, bodies.type))
    note = f"{', '.join(collected.folded)}: too large to expand, kept as JSON text" if collected.folded else ""
    return Bodies(columns, "json", len(bad), note)


def _lines_again(chunk: pa.Array) -> pa.Buffer:
    return json_lines(chunk)[0]


def json_lines(chunk: pa.Array) -> tuple[pa.Buffer, list[int]]:
    """Return the bodies one to a line, and the numbers of those that are not objects (an empty object stands in for
    them).

    A body counts as fit for a line of its own only if it starts and ends like an object and has no line end inside:
    then no two of them can be read as one.
    """
    fit = pc.and_(pc.starts_with(chunk, b"{"), pc.ends_with(chunk, b"}"))
    fit = pc.fill_null(pc.and_(fit, pc.invert(pc.match_substring(chunk, b"\n"))), False)
    unfit: list[int] = []
    if pc.sum(fit).as_py() != len(chunk):
        values = chunk.to_pylist()
        for n in np.flatnonzero(~fit.to_numpy(zero_copy_only=False)).tolist():
            value = _parsed(values[n]) if values[n] else None
            values[n] = b"{}" if value is None else json.dumps(value).encode()
            if value is None:
                unfit.append(n)
        chunk = pa.array(values, pa.large_binary())
    wide = pa.large_binary()
    joined = pc.binary_join_element_wise(chunk.cast(wide), pa.scalar(b"", wide), pa.scalar(b"\n", wide))
    offsets = np.frombuffer(joined.buffers()[1], dtype=np.int64)[joined.offset : joined.offset + len(joined) + 1]
    return joined.buffers()[2].slice(int(offsets[0]), int(offsets[-1] - offsets[0])), unfit


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        return parsed_object(body)
    except UnicodeDecodeError:
        return None


def is_utf8(body: bytes) -> bool:
    """Return whether the bytes are text."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_text(bodies: pa.ChunkedArray) -> bool:
    """Return whether all of it is UTF-8."""
    try:
        bodies.cast(pa.string()).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
