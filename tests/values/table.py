"""The table of values in the docs, made by writing each of them to every log and reading it in every way.

    python -m tests.values --table

writes `notebooks/values.md` anew; a test sees that the file says what is so.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

import kit
from kit.kimberlite.errors import KimberliteInputError

from . import paths, running
from .cells import Colour
from .given import Append
from .paths import Log, Services

try:
    import polars as pl
except ImportError:
    pl = None

FILE = Path(__file__).parents[2] / "notebooks" / "values.md"
DECLARED = ["BIGINT", "REAL", "DECIMAL(38,10)", "TEXT", "BOOLEAN", "DATE", "TIME", "TIMESTAMP", "UUID", "BYTES", "JSON"]
READERS = (paths.read, paths.arrow, paths.stream, paths.sql, paths.sql_arrow, paths.live, paths.parquet)
AT = "2020-01-01T00:00:00.000000001"
_NS = 1_577_836_800_000_000_001


@dataclass
class Row:
    """A line of the table: what is given, and an example of it."""

    given: str
    column: Any
    """A Series, an Arrow array, a Series of polars, or a list of Python values."""
    typed: pa.DataType | None = None


def _count(values: Sequence[Any], numpy_type: str) -> pd.Series:
    return pd.Series(np.array(values, np.int64).view(numpy_type))


def _stamps(unit: str, zone: str | None) -> pa.Array:
    per = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[unit]
    return pa.array([_NS // per, -1, None], pa.timestamp(unit, zone))


def rows() -> dict[str, list[Row]]:
    """Return what the table has, by where it comes from."""
    large, p = 2**53 + 1, Decimal("99999999999999.9999")
    zone = dt.timezone(dt.timedelta(hours=2))
    utc = "UTC"
    found = {
        "Python, in dicts": [
            Row("`None`, `float('nan')`, `pd.NA`, `pd.NaT`, `Decimal('NaN')`", [None, float("nan"), pd.NA, pd.NaT, Decimal("NaN")]),
            Row("`bool`, `np.bool_`", [True, np.bool_(False)]),
            Row("`int`, numpy's integers", [large, np.int8(-5), -(2**63)], pa.int64()),
            Row("`int` up to 64 bits without sign", [2**64 - 1, 0], pa.uint64()),
            Row("`int` beyond 64 bits", [2**64, 5]),
            Row("`float`, numpy's floats", [0.1 + 0.2, -0.0, 5e-324, 900.0, np.float32(0.1)], pa.float64()),
            Row("whole and other numbers", [900, 0.5]),
            Row("the same, one beyond 53 bits", [large, 0.5]),
            Row("`str`, `np.str_`", ["plain", "a\u2028b", '{"a": 1}', np.str_("5")]),
            Row("numbers and texts", [900, 900.0, "x", None, True]),
            Row("`bytes`, `bytearray`, `memoryview`", [b"\x00\xff", bytearray(b"a")], pa.binary()),
            Row("`Decimal`", [p, Decimal("1.10"), Decimal("1E+3")], pa.decimal128(38, 10)),
            Row("`datetime` without a zone", [dt.datetime(1969, 12, 31, 23, 59, 59, 999999)], pa.timestamp("us")),
            Row("`datetime` with a zone", [dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2020, 1, 1, tzinfo=zone)], pa.timestamp("us", utc)),
            Row("`pd.Timestamp`, `np.datetime64`", [pd.Timestamp(AT), np.datetime64(AT)], pa.timestamp("ns")),
            Row("`date`", [dt.date(1, 1, 1), dt.date(9999, 12, 31)], pa.date32()),
            Row("`time`", [dt.time(23, 59, 59, 999999)], pa.time64("us")),
            Row("`timedelta`, `pd.Timedelta`, `np.timedelta64`", [dt.timedelta(days=1, microseconds=1), pd.Timedelta(-1, unit="ns"), np.timedelta64(3, "h")], pa.duration("ns")),
            Row("`UUID`, members of enums", [uuid.UUID(int=5), Colour.RED, Colour.SIX]),
            Row("`list`, `tuple`, arrays, Series", [[1, None], (2,), np.array([3, 4]), pd.Series([5])], pa.list_(pa.int64())),
            Row("lists of several kinds", [[1, "x"], []]),
            Row("`dict`", [{"a": 1, "b": [0.5]}, {"b": [], "c": None}]),
            Row("`dict` without keys", [{}, {}]),
            Row("dicts and lists among others", [{"a": 1}, [1], 5]),
            Row("`inf`", [float("inf")]),
            Row("text with half of a character", ["a\ud800"]),
            Row("`set`", [{1}]),
            Row("`complex`", [1j]),
        ],
        "pandas": [
            Row("`int8` to `int64`", pd.Series([large, -(2**63)], dtype="int64"), pa.int64()),
            Row("`uint8` to `uint64`", pd.Series([2**64 - 1, 0], dtype="uint64"), pa.uint64()),
            Row("`Int8` to `UInt64`", pd.Series([large, None], dtype="Int64"), pa.int64()),
            Row("`float64`", pd.Series([1 / 3, 1.0, 1.7976931348623157e308, np.nan]), pa.float64()),
            Row("`float32`, `float16`", pd.Series([0.1, np.nan], dtype="float32"), pa.float32()),
            Row("`Float64`", pd.Series([0.1, None], dtype="Float64"), pa.float64()),
            Row("`bool`, `boolean`", pd.Series([True, False, None], dtype="boolean"), pa.bool_()),
            Row("`str`, `string`, `object` of texts", pd.Series(["a\u2028b", None]), pa.string()),
            Row("`object` of bytes", pd.Series([b"\x00", b"b"], dtype=object), pa.binary()),
            Row("`category`", pd.Series(["x", None, "x"], dtype="category"), pa.dictionary(pa.int32(), pa.string())),
            Row("`datetime64[ns]`, and of s, ms, us", pd.Series([pd.Timestamp(AT), pd.NaT]), pa.timestamp("ns")),
            Row("`datetime64[us, UTC]`", pd.Series(pd.array([pd.Timestamp("1969-12-31 23:59:59.999999", tz=utc), None], dtype="datetime64[us, UTC]")), pa.timestamp("us", utc)),
            Row("`datetime64[s, Europe/Berlin]`", pd.Series(pd.array([pd.Timestamp("2020-07-01", tz="Europe/Berlin"), None], dtype="datetime64[s, Europe/Berlin]")), pa.timestamp("s", "Europe/Berlin")),
            Row("`timedelta64[ns]`, and of s, ms, us", _count([86_400_000_000_001, -1], "m8[ns]"), pa.duration("ns")),
            Row("`int64[pyarrow]` and the like", pd.Series([large, None], dtype="int64[pyarrow]"), pa.int64()),
            Row("`Sparse`", pd.Series(pd.arrays.SparseArray([1.5, np.nan])), pa.float64()),
            Row("`period`", pd.Series(pd.period_range("2020-01", periods=1, freq="M"))),
            Row("`interval`", pd.Series(pd.interval_range(0, 1))),
            Row("`complex128`", pd.Series([1j])),
        ],
        "Arrow": [
            Row("`null`", pa.nulls(2)),
            Row("`bool_`", pa.array([True, None]), pa.bool_()),
            Row("`int8` to `int64`", pa.array([large, None, 7], pa.int64()), pa.int64()),
            Row("`uint8` to `uint64`", pa.array([2**64 - 1, None], pa.uint64()), pa.uint64()),
            Row("`float16`, `float32`", pa.array([0.5, None], pa.float32()), pa.float32()),
            Row("`float64`", pa.array([0.1, 5e-324, float("nan")]), pa.float64()),
            Row("`decimal128`, `decimal256`", pa.array([p, None], pa.decimal128(18, 4)), pa.decimal128(18, 4)),
            Row("`string`, `large_string`, `string_view`", pa.array(["x", None]), pa.string()),
            Row("`binary`, of any size", pa.array([b"\x00\xff", None]), pa.binary()),
            Row("`date32`, `date64`", pa.array([-719_162, None], pa.date32()), pa.date32()),
            Row("`time32`, `time64`", pa.array([86_399_999_999_999, None], pa.time64("ns")), pa.time64("ns")),
            Row("`timestamp` of any unit", _stamps("ns", None), pa.timestamp("ns")),
            Row('`timestamp(..., "UTC")`', _stamps("ns", "UTC"), pa.timestamp("ns", "UTC")),
            Row("`timestamp` of another zone", _stamps("ms", "Asia/Kathmandu"), pa.timestamp("ms", "Asia/Kathmandu")),
            Row("`timestamp` outside the years 1 to 9999", pa.array([2**62], pa.timestamp("s"))),
            Row("`duration`", pa.array([1, None], pa.duration("ns")), pa.duration("ns")),
            Row("`month_day_nano_interval`", pa.array([pa.MonthDayNano([1, 2, 3])])),
            Row("`dictionary`", pa.array(["x", None]).dictionary_encode(), pa.dictionary(pa.int32(), pa.string())),
            Row("`list_`, `large_list`, of any kind", pa.array([[large, None], None]), pa.list_(pa.int64())),
            Row("`struct`, of any kinds", pa.array([{"n": 1, "t": [p]}, None], pa.struct([("n", pa.int64()), ("t", pa.list_(pa.decimal128(18, 4)))])), pa.struct([("n", pa.int64()), ("t", pa.list_(pa.decimal128(18, 4)))])),
            Row("`map_` with texts as keys", pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))),
            Row("`run_end_encoded`", pa.compute.run_end_encode(pa.array([1, 1])), None),
            Row("`uuid`", pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid.UUID(int=5).bytes], pa.binary(16)))),
        ],
    }  # fmt: skip
    if pl is not None:
        found["polars"] = [
            Row("`Int8` to `UInt64`", pl.Series([large, None]), pa.int64()),
            Row("`Float32`, `Float64`", pl.Series([0.1, None]), pa.float64()),
            Row("`Boolean`, `String`", pl.Series(["x", None]), pa.string()),
            Row("`Decimal`", pl.Series([p], dtype=pl.Decimal(18, 4)), pa.decimal128(18, 4)),
            Row("`Binary`", pl.Series([b"\x00"]), pa.binary()),
            Row("`Date`, `Time`", pl.Series([dt.date(2020, 1, 1)]), pa.date32()),
            Row("`Datetime`, of any unit and zone", pl.Series([_NS], dtype=pl.Int64).cast(pl.Datetime("ns", "UTC")), pa.timestamp("ns", "UTC")),
            Row("`Duration`", pl.Series([1], dtype=pl.Int64).cast(pl.Duration("us")), pa.duration("us")),
            Row("`Categorical`, `Enum`", pl.Series(["x"], dtype=pl.Categorical), pa.string()),
            Row("`List`, `Array`", pl.Series([[1, None]]), pa.list_(pa.int64())),
            Row("`Struct`", pl.Series([{"a": 1}])),
        ]  # fmt: skip
    return found


def given_of(row: Row) -> Any:
    """Return the frame, table or list of dicts that has the values as its column `x`."""
    if isinstance(row.column, list):
        return [{"x": value} for value in row.column]
    if isinstance(row.column, pd.Series):
        return pd.DataFrame({"x": row.column})
    if isinstance(row.column, pa.Array):
        return pa.table({"x": row.column})
    return pl.DataFrame({"x": row.column})


def line_of(services: Services, row: Row) -> list[str]:
    """Return the cells of the line, after seeing that all logs and all readers agree on them."""
    logs = [services.log(name) for name in ("s2", "kimberlite", "synap")]
    try:
        return [row.given, *_cells(services, row, logs)]
    finally:
        for log in logs:
            log.drop()


def _cells(services: Services, row: Row, logs: list[Log]) -> list[str]:
    refusals, bodies = set(), []
    for log in logs:
        try:
            log.append(given_of(row))
        except kit.KitError as error:
            refusals.add(_refusal(error))
            continue
        found = [paths.of_frame(log.read(body="bytes"))[log.raw][1]]
        bodies.append(found[0])
    if refusals:
        assert len(refusals) == 1 and not bodies, (row, refusals, bodies)
        return [f"refused: {refusals.pop()}", "", "", "", ""]
    assert all(found == bodies[0] for found in bodies), (row, bodies)
    kinds, dtypes, dask = set(), set(), set()
    for log in logs:
        first = paths.of_frame(log.read())["x"]
        for reader in (*READERS, *((paths.polars,) if pl is not None else ())):
            found = paths.quiet(reader, log, "auto", len(bodies[0]))["x"]
            assert repr(found) == repr(first), (row, log.service, reader.__name__, found, first)
        kinds.add(first[0])
        dtypes.add(str(log.read()["x"].dtype))
        if log.service != "synap":
            dask.add(str(log.handle.to_dask(partitions=1).dtypes["x"]))
        if row.typed is not None:
            running.typed(log, Append("", None, [{"x": None}], exact={"x": (row.typed, _exact(row))}))
    assert len(kinds) == len(dtypes) == len(dask) == 1, (row, kinds, dtypes, dask)
    return [
        _written(bodies[0]),
        _code(kinds.pop()),
        _both(dtypes.pop(), dask.pop()),
        _code(str(row.typed or "")),
        _taken(services, row),
    ]


def _exact(row: Row) -> Any:
    if not isinstance(row.column, list):
        return row.column
    if row.typed is not None and pa.types.is_list(row.typed):
        return pa.array([list(value) for value in row.column], row.typed)
    return pa.array([value.to_numpy() if isinstance(value, pd.Timedelta | pd.Timestamp) else value for value in row.column], row.typed) if not _timed(row) else _counted(row)  # fmt: skip


def _timed(row: Row) -> bool:
    return any(isinstance(value, pd.Timedelta | pd.Timestamp | np.datetime64 | np.timedelta64 | np.generic | bytearray) for value in row.column)  # fmt: skip


def _counted(row: Row) -> pa.Array:
    values = []
    for value in row.column:
        if isinstance(value, pd.Timestamp):
            value = value.as_unit("ns").value
        elif isinstance(value, dt.timedelta):
            value = pd.Timedelta(value).as_unit("ns").value
        elif isinstance(value, np.datetime64):
            value = int(value.astype("M8[ns]").astype("int64"))
        elif isinstance(value, np.timedelta64):
            value = int(value.astype("m8[ns]").astype("int64"))
        elif isinstance(value, np.generic):
            value = value.item()
        values.append(bytes(value) if isinstance(value, bytearray) else value)
    return pa.array(values, row.typed)


def _taken(services: Services, row: Row) -> str:
    """The types of Kimberlite's tables that hold all the values; what they hold is what a query gives."""
    k = services.explorers["kimberlite"]
    values = given_of(row)
    table = values if not isinstance(values, list) else [{"id": n, **one} for n, one in enumerate(values)]
    if isinstance(table, pd.DataFrame):
        table = table.assign(id=range(len(table)))
    elif isinstance(table, pa.Table):
        table = table.append_column("id", pa.array(range(table.num_rows), pa.int64()))
    elif pl is not None and isinstance(table, pl.DataFrame):
        table = table.with_columns(id=pl.Series(range(len(table)), dtype=pl.Int64))
    found = []
    for declared in DECLARED:
        name = f"v{uuid.uuid4().hex[:12]}"
        k.execute(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, x {declared})")
        try:
            k.insert(name, table)
        except KimberliteInputError:
            continue
        finally:
            k.execute(f"DROP TABLE {name}")
        found.append(declared.split("(")[0])
    return ", ".join(found) if len(found) < len(DECLARED) else "any"


def _refusal(error: kit.KitError) -> str:
    said = (
        str(error.args[0] if error.args else error).partition("column 'x': ")[2]
        or str(error).partition("at x: ")[2]
        or str(error)
    )
    text = said.splitlines()[0]
    return _safe(text.partition(" cannot be written")[0] if " object at 0x" in text else text) + (
        f" - {_safe(error.hint)}" if error.hint else ""
    )


def _written(bodies: list[bytes]) -> str:
    values = []
    for body in bodies:
        text = body.decode()
        assert text.startswith('{"x":') and text.endswith("}"), text
        values.append(_code(_visible(text[5:-1])))
    return ", ".join(dict.fromkeys(values))


def _visible(text: str) -> str:
    return "".join(char if char.isascii() and char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _code(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|')}`" if text else ""


def _safe(text: str) -> str:
    return _visible(text).replace("|", "\\|").replace("<", "&lt;")


def _both(frame: str, dask: str) -> str:
    return _code(frame) if frame == dask else f"{_code(frame)}, Dask {_code(dask)}"


def page(services: Services) -> str:
    """Return the whole page."""
    parts = [HEAD]
    for title, lines in rows().items():
        parts.append(f"\n## {title}\n\n{COLUMNS}")
        for row in lines:
            try:
                parts.append("| " + " | ".join(line_of(services, row)) + " |")
            except BaseException as error:
                error.add_note(f"at the line of {row.given}")
                raise
    return "\n".join([*parts, TAIL])


COLUMNS = "| given | in a log, a key, a queue | read back as | in a DataFrame | exact with `types=` | `insert` into |\n|---|---|---|---|---|---|"
HEAD = """# Values: what goes in comes out

What `append` and `publish` write, and the type that is read back. This page is generated by a program that writes each
value to all three logs and reads it in every way (`python -m tests.values --table`); a test checks that it is up to date.

- **In a log, a key, a queue**: the JSON of the value inside an object, the same for S2 streams, Kimberlite streams and
  Synap's rooms, queues and keys. Rows of tables and dicts become JSON objects. A single text (`append("plain")`) is stored
    unchanged, as are single bytes; a room of Synap stores the JSON of a text, and `read` shows it without its quotes.
- **Read back as**: Arrow's type, the same in `read`, `tail`, `arrow()`, `kit.sql`, feeds, `to_parquet` with `kit.scan`, Dask
  and polars. **In a DataFrame**: the dtype; columns of Dask are nullable.
- **Exact with `types=`**: `read(types={"x": pa.timestamp("ns")})` returns the appended values, in that type; `tail`, `arrow`,
  `live`, `to_parquet` and `to_dask` take it too. The raw bytes of a value that does not fit the type are in `body`.
- **`insert` into**: the column types of a Kimberlite table in which `k.insert(table, df)` stores the values exactly, on the
  lab. Other servers accept no fractions in REAL, no BYTES and JSON, no times before 1970, and round decimals of more than
  15 digits: for them `insert` refuses such values. Parameters of `k.query` and `k.execute` may be: None and missing values,
  booleans, whole numbers up to 64 bits, texts, UUIDs (as text), decimals (as text), times with a zone.
- **Parquet** files have the columns as they are read back. A **batch** of the Claude API takes only texts, and its error
  says which prompt is not one."""
TAIL = """
## Rules

**Names.** A column has the name of its key. A key with the name of a column of the log (`seq_num`, `time`, `headers`;
`offset`, `time`; `offset`, `time`, `event`, `id`) or of the column of raw bodies (`body`, in rooms `data`) gets the prefix
`body.`. Half a character is shown as its escape. Names that differ only in case are different columns; in `kit.sql`, which
ignores case, they are called `A_1` and `a_2`. The same holds for names with NUL in them; but if one library passes columns
to another as an Arrow stream (polars, `pa.table(stream)`), such a name ends at the NUL, as that interface defines, and a
polars frame with such a name is refused. Two columns of the same name, and names that are neither texts nor whole numbers,
are refused. A named index becomes a column, an index without a name does not. A table whose only column is `body` is read
as the bodies themselves.

**Mixed types.** A column has the type that holds all its values, whatever their order: whole numbers `int64`, or `uint64`;
with fractions among them `double`; all other values, and any mixture, are text, with numbers as JSON. A missing key and
null are missing values. Objects of more than 512 keys, and values nested deeper than four levels, stay JSON text.
Text that looks like a time, or like a number, stays text.

**Bodies that are not JSON objects**, or have a key twice, have their bytes in the column `body`, and are counted in
`df.attrs["undecoded"]`. A range that is longer than its sample (2000 records) always has that column in `arrow()` and Dask.
What reads some keys only (`columns=`, SQL, a filter of `find`) looks at no other: a body that is refused for what stands under
another key, such as one that is there twice, then gives the values of those keys.

**An empty read** has the columns beside the bodies, and `body`.
"""
