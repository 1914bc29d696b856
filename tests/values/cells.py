"""Kinds of columns: which values they hold, and how pandas, numpy, Arrow, polars and Python have them."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st

from .model import PER_SECOND, Clock, Day, Odd, Span, Time, refused

ODD_TEXTS = [
    "", " ", "plain", "\u2028", "a\u2029b", "\x85", "\n", "\r\n", "\x00", "\x00\x01\x1f", "\x7f", '"', '"quoted"', "\\", "\\u0041",
    "\\ud800", "{}", "[]", '{"a": 1}', "[1, 2]", "null", "true", "5", "1e5", "NaN", "Infinity", "2020-01-01", "2020-01-01T00:00:00Z",
    "\ufeff", "\uffff", "\U0001f600", "e\u0301", "\u202e", "</script>", "a" * 300, "__HIVE_DEFAULT_PARTITION__", "nan", "None", "<NA>",
]  # fmt: skip
HALF = ["\ud800", "a\udfffb"]
INTEGERS = [0, 1, -1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**31, -129, 10**15 + 1]
HUGE = [2**64, -(2**63) - 1, 10**30]
FLOATS = [
    0.0, -0.0, 1.0, 0.1, 0.1 + 0.2, 1 / 3, 1.23456789e-9, 1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 1e22, 1e23, 123456789012345680.0,
    9007199254740993.0, -1e-7, 1e16, 1e15, 900.0, float("nan"),
]  # fmt: skip

texts = st.sampled_from(ODD_TEXTS) | st.text(max_size=8)
any_texts = st.one_of(*[texts] * 30, st.sampled_from(HALF))
"""Now and then one that UTF-8 cannot hold."""
floats = st.sampled_from(FLOATS) | st.floats(allow_infinity=False)
any_floats = st.one_of(*[floats] * 30, st.sampled_from([float("inf"), float("-inf")]))


def integers(bits: int, signed: bool) -> st.SearchStrategy[int]:
    """Return whole numbers of so many bits, with the ends."""
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.sampled_from([n for n in (*INTEGERS, low, high) if low <= n <= high]) | st.integers(low, high)


def times(unit: str, zone: str | None, whole: bool = False) -> st.SearchStrategy[Time]:
    """Return moments of all of the int64 range: some are outside of the years that text has."""
    per = PER_SECOND[unit]
    first, last = -62_135_596_800 * per, 253_402_300_800 * per - 1
    first, last = max(first, -(2**63) + 1), min(last, 2**63 - 1)
    odd = [0, -1, 1, -per, first, last, per * 1_600_000_000 + 1, -per * 86_400 - 1, per * 1_711_846_800]
    good = st.sampled_from([n for n in odd if first <= n <= last]) | st.integers(first, last)
    return st.builds(Time, good, st.just(unit), st.just(zone))


@dataclass
class Column:
    """A column that was made, and what each of its values means."""

    name: str
    kind: str
    cells: list[Any]
    made: Any
    typed: pa.DataType | None = None
    """The type that gives it back exactly."""


@dataclass
class Kind:
    """A kind of column: the values it may have, and how it is made of them."""

    label: str
    cells: st.SearchStrategy[Any]
    make: Callable[[list[Any]], Any]
    gaps: bool = True
    typed: pa.DataType | None = None
    examples: Sequence[Any] = field(default_factory=tuple)
    """Cells for the table of values in the docs."""


def _arrow(cells: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Cells as an Arrow array of that type."""
    types = pa.types
    if types.is_dictionary(kind):
        return _arrow(cells, kind.value_type).dictionary_encode().cast(kind)
    if types.is_run_end_encoded(kind):
        return pa.compute.run_end_encode(_arrow(cells, kind.value_type), kind.run_end_type)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.array(cells, kind.storage_type))
    return pa.array([_inner(cell, kind) for cell in cells], kind)


def _inner(cell: Any, kind: pa.DataType) -> Any:
    if cell is None:
        return None
    if isinstance(cell, Time | Span | Day | Clock):
        count = cell.count
        return count * 86_400_000 if pa.types.is_date64(kind) else count
    if pa.types.is_float16(kind):
        return np.float16(cell)
    if isinstance(cell, list):
        return [_inner(one, kind.value_type) for one in cell]
    if isinstance(cell, dict):
        if pa.types.is_map(kind):
            return list(cell.items())
        return {f.name: _inner(cell[f.name], f.type) for f in kind}
    return cell


def _of(kind: pa.DataType) -> Callable[[list[Any]], Any]:
    return lambda cells: _arrow(cells, kind)


def narrow(numpy_type: Any) -> st.SearchStrategy[float]:
    """Return floats that a narrower type has."""
    width = np.dtype(numpy_type).itemsize * 8
    return st.floats(width=width, allow_infinity=False) | st.sampled_from([0.0, -0.0, 1.0, float("nan")]).map(
        lambda n: float(numpy_type(n))
    )


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    """Return decimals with exactly so many digits behind the point."""
    top = 10**precision - 1
    whole = st.integers(-top, top) | st.sampled_from([0, 1, -1, top, -top])
    return whole.map(lambda n: Decimal((int(n < 0), tuple(map(int, str(abs(n)))), -scale)))


UNITS = ("s", "ms", "us", "ns")
ZONES = (None, "UTC", "Europe/Berlin", "Asia/Kathmandu", "+05:30", "America/New_York")


def arrow_kinds() -> list[Kind]:
    """Return the kinds that Arrow has."""
    found: list[Kind] = []

    def add(kind: pa.DataType, cells: st.SearchStrategy[Any], typed: bool = True, label: str = "", **more: Any) -> None:
        found.append(Kind(f"arrow {label or kind}", cells, _of(kind), typed=kind if typed else None, **more))

    add(pa.null(), st.none(), False)
    add(pa.bool_(), st.booleans())
    for bits in (8, 16, 32, 64):
        add(getattr(pa, f"int{bits}")(), integers(bits, True))
        add(getattr(pa, f"uint{bits}")(), integers(bits, False))
    add(pa.float16(), narrow(np.float16))
    add(pa.float32(), narrow(np.float32))
    add(pa.float64(), any_floats)
    for precision, scale in ((7, 2), (18, 4), (38, 38), (5, 0)):
        add(pa.decimal128(precision, scale), decimals(precision, scale))
    add(pa.decimal256(76, 10), decimals(76, 10))
    add(pa.string(), texts)
    add(pa.large_string(), texts)
    add(pa.string_view(), texts, False)
    add(pa.binary(), st.binary(max_size=6))
    add(pa.large_binary(), st.binary(max_size=6))
    add(pa.binary(4), st.binary(min_size=4, max_size=4))
    add(pa.binary_view(), st.binary(max_size=20), False)
    dates = st.integers(-719_162, 2_932_896) | st.sampled_from([0, -1, -719_162, 2_932_896])
    odd_dates = st.one_of(*[dates] * 20, st.sampled_from([-719_163, 2_932_897]))
    add(pa.date32(), odd_dates.map(Day))
    add(pa.date64(), odd_dates.map(Day))
    for unit in UNITS:
        per = PER_SECOND[unit]
        clock = pa.time32(unit) if unit in ("s", "ms") else pa.time64(unit)
        within = st.integers(0, 86_400 * per - 1) | st.sampled_from([0, 86_400 * per - 1])
        add(clock, within.map(lambda n, unit=unit: Clock(n, unit)))
        far = st.integers(-(2**63) + 1, 2**63 - 1) | st.sampled_from([0, -1, 1, per, -per * 86_400 - 1, -(2**63) + 1])
        add(pa.duration(unit), far.map(lambda n, unit=unit: Span(n, unit)))
        for zone in ZONES:
            good = times(unit, zone)
            wild = [good] * 30
            if unit != "ns" and zone is None:
                wild.append(st.builds(Time, st.sampled_from([2**62, -(2**62)]), st.just(unit), st.just(zone)))
            add(pa.timestamp(unit, zone), st.one_of(*wild))
    few = st.sampled_from(["x", "y", "\u2028"])
    add(pa.dictionary(pa.int32(), pa.string()), few)
    add(pa.dictionary(pa.int8(), pa.int64()), st.sampled_from([1, 2, 2**53 + 1]), False)
    add(pa.run_end_encoded(pa.int32(), pa.int64()), st.sampled_from([1, 2**53 + 1]), False)
    add(pa.list_(pa.int64()), st.lists(integers(64, True) | st.none(), max_size=3))
    add(pa.list_(pa.uint64()), st.lists(integers(64, False) | st.none(), max_size=3))
    add(pa.large_list(pa.string()), st.lists(texts | st.none(), max_size=3))
    add(pa.list_(pa.float64(), 2), st.lists(any_floats | st.none(), min_size=2, max_size=2), False)
    add(pa.list_(pa.timestamp("ns", "UTC")), st.lists(times("ns", "UTC"), max_size=2))
    add(pa.list_(pa.list_(pa.decimal128(9, 2))), st.lists(st.lists(decimals(9, 2), max_size=2) | st.none(), max_size=2))
    inner = pa.struct([("n", pa.int64()), ("t", pa.timestamp("us")), ("l", pa.list_(pa.string()))])
    fields = {
        "n": integers(64, True) | st.none(),
        "t": times("us", None) | st.none(),
        "l": st.lists(texts, max_size=2) | st.none(),
    }
    objects = st.fixed_dictionaries(fields).map(lambda found: {name: found[name] for name in ("n", "t", "l")})
    add(inner, objects)
    add(pa.list_(inner), st.lists(objects | st.none(), max_size=2))
    add(pa.struct([]), st.just({}), False, label="struct<>")
    add(pa.map_(pa.string(), pa.int64()), st.dictionaries(texts, integers(64, True) | st.none(), max_size=2), False)
    add(pa.month_day_nano_interval(), st.just(Odd("interval")), False)
    found[-1].make = lambda cells: pa.array(
        [None if c is None else pa.MonthDayNano([1, 2, 3]) for c in cells], pa.month_day_nano_interval()
    )
    found.append(
        Kind(
            "arrow uuid",
            st.uuids().map(lambda u: Uuid(str(u))),
            lambda cells: pa.ExtensionArray.from_storage(
                pa.uuid(), pa.array([None if c is None else uuid.UUID(c).bytes for c in cells], pa.binary(16))
            ),
        )
    )
    return found


class Uuid(str):
    """A UUID, as its text."""


def _numpy(cells: Sequence[Any], dtype: Any) -> pd.Series:
    return pd.Series(np.array([np.nan if c is None else c for c in cells], dtype))


def _counts(cells: Sequence[Any], kind: str) -> Any:
    return np.array([np.iinfo(np.int64).min if c is None else c.count for c in cells], np.int64).view(kind)


def _objects(cells: Sequence[Any], make: Callable[[Any], Any]) -> pd.Series:
    values = np.empty(len(cells), object)
    for n, cell in enumerate(cells):
        values[n] = make(cell)
    return pd.Series(values, dtype=object)


def pandas_kinds() -> list[Kind]:
    """Return the kinds that pandas has, of numpy's, its own and Arrow's."""
    found: list[Kind] = []

    def add(label: str, cells: Any, make: Any, gaps: bool = True, typed: Any = None) -> None:
        found.append(Kind(f"pandas {label}", cells, make, gaps, typed))

    for bits in (8, 16, 32, 64):
        for signed in (True, False):
            name = f"{'' if signed else 'u'}int{bits}"
            add(name, integers(bits, signed), lambda c, n=name: _numpy(c, n), False, pa.type_for_alias(name))
            add(
                name.replace("u", "U").replace("i", "I", 1) if not signed else name.capitalize(),
                integers(bits, signed),
                lambda c, n=name: pd.Series(c, dtype=n.replace("uint", "UInt") if n[0] == "u" else n.capitalize()),
                True,
                pa.type_for_alias(name),
            )
    add("bool", st.booleans(), lambda c: _numpy(c, bool), False)
    add("boolean", st.booleans(), lambda c: pd.Series(c, dtype="boolean"))
    add("float64", any_floats, lambda c: _numpy(c, float))
    add("float32", narrow(np.float32), lambda c: _numpy(c, np.float32))
    add("float16", narrow(np.float16), lambda c: _numpy(c, np.float16))
    add("Float64", floats.filter(lambda n: n == n), lambda c: pd.Series(c, dtype="Float64"))
    add("Float32", narrow(np.float32).filter(lambda n: n == n), lambda c: pd.Series(c, dtype="Float32"))
    add("str", texts, lambda c: pd.Series(c, dtype="str"))
    add("string", texts, lambda c: pd.Series(c, dtype="string"))
    add("object of texts", any_texts, lambda c: _objects(c, lambda x: x))
    add("object of bytes", st.binary(max_size=5), lambda c: _objects(c, lambda x: x))
    add(
        "category of texts",
        st.sampled_from(["x", "y", "\u2028", "5"]),
        lambda c: (
            pd.Series(c, dtype="category")
            if any(x is not None for x in c)
            else pd.Series(c, dtype=pd.CategoricalDtype(["x"]))
        ),
    )
    add(
        "category of integers",
        st.sampled_from([1, 2**53 + 1]),
        lambda c: pd.Series(pd.Categorical(c, categories=[1, 2**53 + 1])),
    )
    for unit in UNITS:
        add(
            f"datetime64[{unit}]",
            times(unit, None),
            lambda c, u=unit: pd.Series(_counts(c, f"M8[{u}]")),
            True,
            pa.timestamp(unit),
        )
        for zone in ("UTC", "Europe/Berlin", "Asia/Kathmandu"):
            add(
                f"datetime64[{unit}, {zone}]",
                times(unit, zone),
                lambda c, u=unit, z=zone: pd.Series(_counts(c, f"M8[{u}]")).dt.tz_localize("UTC").dt.tz_convert(z),
                True,
                pa.timestamp(unit, zone),
            )
        per = PER_SECOND[unit]
        far = st.integers(-(2**62), 2**62) if unit != "s" else st.integers(-(2**50), 2**50)
        add(
            f"timedelta64[{unit}]",
            (far | st.sampled_from([0, 1, -1, -per * 86_400 - 1])).map(lambda n, u=unit: Span(n, u)),
            lambda c, u=unit: pd.Series(_counts(c, f"m8[{u}]")),
            True,
            pa.duration(unit),
        )
    for kind in (
        pa.int64(),
        pa.uint64(),
        pa.string(),
        pa.binary(),
        pa.timestamp("ns", "UTC"),
        pa.decimal128(18, 4),
        pa.list_(pa.int64()),
        pa.date32(),
        pa.time64("us"),
        pa.duration("ns"),
    ):
        like = next(k for k in ARROW if k.label == f"arrow {kind}")
        add(
            f"{kind}[pyarrow]",
            like.cells,
            lambda c, k=kind: pd.Series(pd.arrays.ArrowExtensionArray(_arrow(c, k))),
            True,
            kind,
        )
    add(
        "Sparse[float64]",
        floats,
        lambda c: pd.Series(pd.arrays.SparseArray([np.nan if x is None else x for x in c], dtype="Sparse[float64]")),
    )
    add("Sparse[int64]", integers(64, True), lambda c: pd.Series(pd.arrays.SparseArray(np.array(c, np.int64))), False)
    add("complex128", st.just(Odd("complex")), lambda c: pd.Series([1j] * len(c)), False)
    add(
        "period[D]",
        st.just(Odd("period")),
        lambda c: pd.Series(pd.period_range("2020-01-01", periods=len(c), freq="D")),
        False,
    )
    add("interval", st.just(Odd("interval")), lambda c: pd.Series(pd.interval_range(0, len(c))), False)
    add("object of many kinds", one_cell(), lambda c: _objects(c, python))
    return found


# --- single values of Python ------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    """A member of an enum is its value."""

    RED = "red"
    SIX = 6


@dataclass(frozen=True, eq=False)
class Given:
    """A Python value as it is, and the cell that it means."""

    value: Any
    cell: Any

    def __repr__(self) -> str:
        return f"{self.value!r}"


def python(cell: Any) -> Any:
    """Return what a caller gives for a cell."""
    if isinstance(cell, Given):
        return cell.value
    if isinstance(cell, list):
        return [python(one) for one in cell]
    if isinstance(cell, dict):
        return {key: python(one) for key, one in cell.items()}
    return cell


def meaning(cell: Any) -> Any:
    """Return the cell without the ways to give it."""
    if isinstance(cell, Given):
        return cell.cell
    if isinstance(cell, list):
        return [meaning(one) for one in cell]
    if isinstance(cell, dict):
        return {key: meaning(one) for key, one in cell.items()}
    return cell


def _micro(value: dt.datetime) -> Time:
    zoned = value.tzinfo is not None
    delta = value - (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) if zoned else dt.datetime(1970, 1, 1))
    return Time(delta // dt.timedelta(microseconds=1), "us", "zone" if zoned else None)


def singles() -> list[Any]:
    """Return single values of the libraries, with what they mean."""
    plus = dt.timezone(dt.timedelta(hours=5, minutes=45))
    stamp = pd.Timestamp("1969-12-31 23:59:59.999999999", tz="UTC")
    moments = [
        dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999), dt.datetime(1969, 12, 31, 23, 59, 59, 999999),
        dt.datetime(2020, 5, 5, 5, 5, tzinfo=dt.UTC), dt.datetime(2020, 5, 5, 5, 5, 5, 5, tzinfo=plus), dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(seconds=-3725))),
    ]  # fmt: skip
    return [
        *(Given(one, _micro(one)) for one in moments),
        Given(stamp, Time(-1, "ns", "UTC")), Given(pd.Timestamp("2020-01-01"), Time(1_577_836_800, "s")),
        Given(pd.Timestamp(2**62, unit="ns"), Time(2**62, "ns")), Given(stamp.tz_convert("Asia/Tokyo"), Time(-1, "ns", "Asia/Tokyo")),
        Given(pd.Timedelta(1, unit="ns"), Span(1, "ns")), Given(dt.timedelta(days=-1, microseconds=1), Span(-86_399_999_999, "us")), Given(dt.timedelta.max, Span(dt.timedelta.max // dt.timedelta(microseconds=1), "us")),
        Given(np.datetime64("2020-01-01T00:00:00.000000001"), Time(1_577_836_800_000_000_001, "ns")), Given(np.datetime64("2020-01-01"), Day(18_262)), Given(np.timedelta64(-3, "ms"), Span(-3, "ms")),
        Given(np.datetime64("NaT"), None), Given(pd.NaT, None), Given(pd.NA, None), Given(np.timedelta64("NaT"), None),
        Given(np.int64(5), 5), Given(np.uint64(2**64 - 1), 2**64 - 1), Given(np.float64(0.1), 0.1), Given(np.float32(0.1), float(np.float32(0.1))), Given(np.float16(0.1), float(np.float16(0.1))),
        Given(np.bool_(True), True), Given(np.str_("x\u2028"), "x\u2028"), Given(np.bytes_(b"ab"), b"ab"), Given(np.float64("nan"), None), Given(np.float64("inf"), float("inf")),
        Given(np.array([1, 2, 2**53 + 1]), [1, 2, 2**53 + 1]), Given(np.arange(2000), list(range(2000))), Given(np.array([[1.5, np.nan], [2.0, -0.0]]), [[1.5, None], [2.0, -0.0]]),
        Given(np.array(["2020-01-01", "NaT"], "M8[D]"), [Day(18_262), None]), Given(np.array([], np.int64), []), Given(np.array(5), 5), Given(np.array(["a", None], object), ["a", None]),
        Given(pa.scalar(7), 7), Given(pa.array([1, None]), [1, None]), Given(pa.scalar(-1, pa.timestamp("ns", "UTC")), Time(-1, "ns", "UTC")), Given(pa.scalar(1, pa.duration("ns")), Span(1, "ns")),
        Given(pa.scalar(2**62, pa.timestamp("ns")), Time(2**62, "ns")),
        Given(pd.Series([1, None], dtype="Int64"), [1, None]), Given(pd.Index(["a"]), ["a"]), Given((1, "a"), [1, "a"]), Given(Colour.RED, "red"), Given(Colour.SIX, 6),
        Given(dt.date(1, 1, 1), Day(-719_162)), Given(dt.date(9999, 12, 31), Day(2_932_896)), Given(dt.time(23, 59, 59, 999999), Clock(86_399_999_999, "us")), Given(dt.time(1, 2), Clock(3_720, "s")),
        Given(uuid.UUID(int=5), str(uuid.UUID(int=5))), Given(Decimal("1.10"), Decimal("1.10")), Given(Decimal("1E+3"), Decimal("1E+3")), Given(Decimal("-0.00"), Decimal("-0.00")), Given(Decimal("NaN"), None), Given(Decimal(10) ** 60 + 1, Decimal(10) ** 60 + 1),
        Given(Decimal("0.0000001"), Decimal("0.0000001")), Given(bytearray(b"\x00\xff"), b"\x00\xff"), Given(memoryview(b"ab"), b"ab"), Given(b"", b""),
        Given({1, 2}, Odd("set")), Given(1j, Odd("complex")), Given(pd.Period("2020-01"), Odd("period")), Given(pd.Interval(0, 1), Odd("interval")), Given(object(), Odd("object")), Given(Decimal("Infinity"), Decimal("Infinity")),
        Given({1: "a", "b": 2}, {"1": "a", "b": 2}), Given({1: "a", "1": 2}, Odd("two keys")), Given({None: 1}, Odd("key")), Given({(1, 2): 1}, Odd("key")), Given({"\ud800": 1}, Odd("key")), Given({Colour.RED: 1}, {"red": 1}),
        Given(range(3), Odd("range")), Given({"a": {"b": [np.int64(2**63 - 1), {"c": pd.NA}]}}, {"a": {"b": [2**63 - 1, {"c": None}]}}),
    ]  # fmt: skip


SINGLES = singles()
_GOOD = [one for one in SINGLES if not refused(one.cell)]
_BAD = [one for one in SINGLES if refused(one.cell)]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    integers(64, True),
    st.sampled_from(INTEGERS + HUGE),
    st.integers(),
    floats,
    texts,
    st.binary(max_size=4),
)
_leaves = st.one_of(*[scalars] * 6, *[st.sampled_from(_GOOD)] * 3)
_nested = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)


def one_cell() -> st.SearchStrategy[Any]:
    """Return cells of any kind: mostly good ones."""
    return st.one_of(*[_nested] * 60, st.sampled_from(_BAD), st.sampled_from([float("inf"), *HALF]))


ARROW = arrow_kinds()
PANDAS = pandas_kinds()
