"""What is appended: frames, tables and records of all kinds, and what each of their bodies means."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st

from . import cells
from .cells import ARROW, PANDAS, Kind, meaning, python
from .model import refused

try:
    import polars as pl
except ImportError:  # it is an extra
    pl = None

NAMES = [
    "a", "A", "b", "n", "price", "", " ", "a b", 'a"b', "a'b", "a.b", "a\\b", "seq_num", "SEQ_NUM", "time", "headers", "offset", "id",
    "timestamp", "body", "data", "body.body", "body.time", "body.data", "\x00", "a\x00", "a\x00b", "\u2028", "\x85", "\n", "\u00e9", "e\u0301", "Stra\u00dfe",
    "STRASSE", "1", "$1", "select", "\u0131", "\u0130", "i", "\U0001f600", "element", "item", "list", "rowid", "__index_level_0__", "index", "date", "hour",
]  # fmt: skip
names = st.sampled_from(NAMES) | st.text(max_size=5)


@dataclass
class Append:
    """One append: what is given, and what each body means: a dict of cells, a text, or bytes."""

    label: str
    data: Any
    bodies: list[Any]
    options: dict[str, Any] = field(default_factory=dict)
    exact: dict[str, tuple[pa.DataType, Any]] = field(default_factory=dict)
    """Columns that `types=` brings back exactly: the type, and the column."""

    @property
    def refused(self) -> list[tuple[int, str | None]]:
        """The places of values that must be refused: row and column."""
        found: list[tuple[int, str | None]] = []
        for n, body in enumerate(self.bodies):
            if isinstance(body, dict):
                found += [(n, key) for key, cell in body.items() if refused(key) or refused(cell)]
            elif refused(body):
                found.append((n, None))
        return found

    def __repr__(self) -> str:
        return f"<{self.label}: {self.bodies!r}, {self.options}>"[:1500]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # polars ends the process where some times of its own are shown


def _columns(draw: Any, kinds: list[Kind], rows: int, most: int = 4) -> list[cells.Column]:
    made = []
    for name in draw(st.lists(names, min_size=1, max_size=most, unique=True)):
        kind = draw(st.sampled_from(kinds))
        value = st.none() | kind.cells if kind.gaps and draw(st.booleans()) else kind.cells
        values = draw(st.lists(value, min_size=rows, max_size=rows))
        made.append(cells.Column(name, kind.label, [meaning(one) for one in values], kind.make(values), kind.typed))
    return made


def _bodies(columns: list[cells.Column], rows: int) -> list[dict[str, Any]]:
    return [{column.name: column.cells[n] for column in columns} for n in range(rows)]


def _labelled(what: str, columns: list[cells.Column]) -> str:
    return f"{what} of {[(column.name, column.kind) for column in columns]!r}"


def _exact(columns: list[cells.Column]) -> dict[str, tuple[pa.DataType, Any]]:
    return {column.name: (column.typed, column.made) for column in columns if column.typed is not None}


def _whole(columns: list[cells.Column]) -> bool:
    """Whether the rows become objects: a column that is called body, alone, is the bodies."""
    return [column.name for column in columns] != ["body"]


@st.composite
def arrow_tables(draw: Any) -> Append:
    """Return Arrow tables: whole, in pieces, as batches, or as streams."""
    rows = draw(st.integers(0, 5))
    columns = [one for one in _columns(draw, ARROW, rows) if one.name != "event"]
    if not columns or not _whole(columns):
        columns = [cells.Column("a", "arrow int64", [1] * rows, pa.array([1] * rows, pa.int64()), pa.int64())]
    table = pa.table([column.made for column in columns], names=[column.name for column in columns])
    if rows > 1 and draw(st.booleans()):
        cut = draw(st.integers(1, rows - 1))
        table = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    form = draw(st.sampled_from(["table", "batch", "stream"]))
    data: Any = table
    if form == "batch":
        data = pa.RecordBatch.from_arrays([column.made for column in columns], names=table.column_names)
    elif form == "stream":
        data = table.to_reader()
    return Append(_labelled(f"arrow {form}", columns), data, _bodies(columns, rows), exact=_exact(columns))


@st.composite
def pandas_frames(draw: Any) -> Append:
    """Return frames of pandas, some with an index of their own."""
    rows = draw(st.integers(0, 5))
    columns = [one for one in _columns(draw, PANDAS, rows) if one.name != "event"]
    if not columns or not _whole(columns):
        columns = [cells.Column("a", "pandas int64", [1] * rows, pd.Series([1] * rows, dtype="int64"), pa.int64())]
    frame = (
        pd.concat([column.made for column in columns], axis=1, keys=range(len(columns))) if columns else pd.DataFrame()
    )
    frame.columns = pd.Index([column.name for column in columns], dtype=object)
    index = draw(st.sampled_from(["range", "labels", "named"]))
    if index == "labels":
        frame.index = pd.Index([f"r{n % 2}" for n in range(rows)])
    elif index == "named" and "key" not in frame.columns:
        frame.index = pd.Index([n * 10 for n in range(rows)], name="key", dtype="int64")
        columns = [cells.Column("key", "index", [n * 10 for n in range(rows)], None), *columns]
    return Append(_labelled("frame", columns), frame, _bodies(columns, rows), exact=_exact(columns))


_POLARS = {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double", "string", "large_string", "binary", "date32[day]",
    "timestamp[ms]", "timestamp[us]", "timestamp[ns]", "timestamp[ms, tz=UTC]", "timestamp[us, tz=Europe/Berlin]", "timestamp[ns, tz=Asia/Kathmandu]",
    "duration[ms]", "duration[us]", "duration[ns]", "time64[ns]", "list<item: int64>", "list<item: uint64>", "large_list<item: string>", "decimal128(18, 4)",
    "dictionary<values=string, indices=int32, ordered=0>", "null",
}  # fmt: skip


@st.composite
def polars_frames(draw: Any) -> Append:
    """Return frames of polars."""
    kinds = [kind for kind in ARROW if kind.label.removeprefix("arrow ") in _POLARS]
    rows = draw(st.integers(0, 4))
    columns = [one for one in _columns(draw, kinds, rows) if one.name != "event" and "\0" not in one.name]
    if not columns or not _whole(columns):
        columns = [cells.Column("a", "arrow int64", [1] * rows, pa.array([1] * rows, pa.int64()), pa.int64())]
    series = {column.name: pl.from_arrow(column.made) for column in columns}
    return Append(_labelled("polars", columns), pl.DataFrame(series), _bodies(columns, rows), exact=_exact(columns))


_small = st.sampled_from([0, 1, 2**53 + 1, -5, 900, 2**63 - 1, 2**63, 2**64, 1.0, 0.5, 900.0, 1e300, True, False, None, "x", "5", "\u2028", [], {}, [1], [1.5], ["x"], [None], [{}], {"k": 1}, {"k": "v"}, {"k": None}, {"K": 1, "k": 2.5}, [[1], [2.5]], [2**53 + 1, 0.5], {"k": {"k": {"k": {"k": {"k": 1}}}}}, [[[[[1]]]]]])  # fmt: skip
_keys = st.sampled_from(["a", "A", "b", "n", "time", "body", "data", "seq_num", "\x00", "", "a.b", "late"])
simple = st.dictionaries(_keys, _small, max_size=4)
"""Objects of JSON values that drift."""


@st.composite
def records(draw: Any) -> Append:
    """Return dicts, one or many, of Python values of any kind."""
    given = draw(st.lists(simple | st.dictionaries(names, cells.one_cell(), max_size=4), max_size=4))
    data: Any = [python(one) for one in given]
    bodies = [meaning(one) for one in given]
    if len(given) == 1 and draw(st.booleans()):
        return Append("a dict", data[0], bodies)
    form = draw(st.sampled_from([list, tuple, iter]))
    return Append(f"{form.__name__} of dicts", form(data), bodies)


@st.composite
def drifting(draw: Any) -> Append:
    """Return many dicts whose values change their kind somewhere."""
    first, later = draw(simple), draw(st.lists(simple, max_size=3))
    count = draw(st.sampled_from([1, 3, 120, 260, 520]))
    given = [first] * count + later
    if draw(st.booleans()):
        given = later + [first] * count
    return Append(f"{count} dicts and {len(later)} others", [dict(one) for one in given], given)


BROKEN = [
    '{"a": 1', '{"a": 1}x', '{"a": 1, "a": 2}', '{"a": {"b": 1, "b": 2}}', "[1]", "5", "null", '"text"', "", " ", '{"a": 1}\n', ' {"a": 1}', '{\n"a": 1\n}', '{"a": 01}',
    '{"a": 1e999}', '{"a": -1e999}', '{"a": 1E400, "b": 1}', '{"a": 1.0}', '{"a": 1e2}', '{"a": -0}', '{"a": -0.0}', '{"a": 123456789012345678901234567890}', '{"a": 0.1000000000000000055511151231257827}',
    '{"a": "\\ud800"}', '{"\\ud800": 1}', '{"a": "\\u0000"}', '{"a\\u0000": 1}', '{"a": "\u2028"}', '{}', '{"": {}}', '{"a":[]}', '{"a":{}}', '{"a":null}', '{"a": 1,}', "{'a': 1}", '{"a": tru}', "{}{}", '{"a": 9007199254740993, "b": 0.5}',
    '{"a": [9007199254740993, 0.5]}', '{"a": 1.7976931348623157e308}', '{"a": 18446744073709551615}', '{"a": "x", "b": {"c": [1, {"d": null}]}}', "\ufeff{}", '{"a": 1}\r', '\t{"a": 2}', '{"a"\t:1}', '{"a": "\t"}', '{"a": "\x7f"}',
]  # fmt: skip
BYTES = [
    b"\xff",
    b"\x00",
    b"{\x00}\x00",
    b'{"a": "\xff"}',
    b'{"a": "\xed\xa0\x80"}',
    b'{"\xff": 1}',
    b"\xef\xbb\xbf{}",
    b"",
    b'{"a": 1}',
]


@st.composite
def raw_bodies(draw: Any) -> Append:
    """Return texts and bytes: JSON of others, broken JSON, or none at all."""
    text = (
        st.sampled_from(BROKEN)
        | cells.texts
        | simple.map(lambda one: json.dumps(one))
        | st.dictionaries(names, cells.floats | cells.texts, max_size=2).map(
            lambda one: json.dumps(one, ensure_ascii=False)
        )
    )
    kind = draw(st.sampled_from(["texts", "bytes", "both", "column of texts", "column of bytes"]))
    if kind == "texts":
        given: list[Any] = draw(st.lists(text | cells.any_texts, max_size=5))
    elif kind == "bytes":
        given = draw(st.lists(text.map(str.encode) | st.sampled_from(BYTES) | st.binary(max_size=5), max_size=5))
    elif kind == "both":
        given = draw(st.lists(text | text.map(str.encode) | st.sampled_from(BYTES) | simple, max_size=5))
    elif kind == "column of texts":
        given = draw(st.lists(text, max_size=5))
    else:
        given = draw(st.lists(text.map(str.encode) | st.sampled_from(BYTES), max_size=5))
    data: Any = list(given)
    options: dict[str, Any] = {}
    if kind.startswith("column"):
        kinds = pa.string() if kind.endswith("texts") else pa.binary()
        made = pa.array(given, kinds)
        form = draw(st.sampled_from(["array", "series", "table", "frame", "named"]))
        if form == "array":
            data = made
        elif form == "series":
            data = (
                pd.Series(np.array([*given, None], object)[:-1], dtype=object) if given else pd.Series([], dtype=object)
            )
        elif form == "table":
            data = pa.table({"body": made})
        elif form == "frame":
            data = pd.DataFrame({"body": made.to_pandas()})
        else:
            data, options = pa.table({"x": pa.array(range(len(given)), pa.int64()), "y": made}), {"body": "y"}
        kind = f"{kind}, {form}"
    return Append(kind, data, given, options)


@st.composite
def wide(draw: Any) -> Append:
    """Return objects of many keys."""
    count = draw(st.sampled_from([511, 512, 513, 600]))
    given = [{f"k{n}": n for n in range(count)}] * draw(st.integers(1, 3))
    return Append(f"objects of {count} keys", given, given)


@st.composite
def without_columns(draw: Any) -> Append:
    """Return rows that have no columns."""
    rows = draw(st.integers(0, 3))
    data: Any = pd.DataFrame(index=range(rows))
    return Append("rows without columns", data, [{}] * rows)


def appends() -> st.SearchStrategy[list[Append]]:
    """Return one append, or several that follow each other into the same log."""
    kinds = [
        *[arrow_tables()] * 6,
        *[pandas_frames()] * 6,
        *[records()] * 5,
        *[raw_bodies()] * 4,
        *[drifting()] * 3,
        st.one_of(*[records()] * 7, wide()),
        without_columns(),
    ]
    if pl is not None:
        kinds += [polars_frames()] * 2
    one = st.one_of(*kinds)
    return st.one_of(*[one.map(lambda first: [first])] * 3, st.lists(one, min_size=2, max_size=4))
