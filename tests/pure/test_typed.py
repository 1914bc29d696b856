"""Columns of the types that a caller asks for: what fits is exact, what does not is told and missing."""

from __future__ import annotations

import random
from base64 import b64encode
from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from kit.core.errors import InputError
from kit.core.tables.json.typed import carrier, checked, convert

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
FIRST, LAST = -(2**63) + 1, 2**63 - 1
"""The ends of what 64 bits hold; the number before the first stands for a missing one."""


def told(texts, kind, source=None):
    """Values and what is told as wrong, once for all at once and once with a text among them that nothing is made of."""
    alone, wrong = convert(pa.array(texts, source), kind)
    assert alone.type == kind
    mask = [False] * len(texts) if wrong is None else wrong.tolist()
    if source is None:
        beside, also = convert(pa.array(["?", None, *texts]), kind)
        assert beside.type == kind and also.tolist() == [True, False, *mask]
        assert beside.slice(2).equals(alone) and beside[:2].to_pylist() == [None, None]
    return counts(alone), mask


def counts(array):
    kind = array.type
    if pa.types.is_temporal(kind):
        return array.cast(pa.int32() if kind.bit_width == 32 else pa.int64()).to_pylist()
    return array.to_pylist()


def clock(seconds, part, unit):
    digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[unit]
    fraction = f".{part:0{digits}d}" if part else ""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"


def moment(count, unit):
    """The text of a time, by plain arithmetic."""
    seconds, part = divmod(count, PER_SECOND[unit])
    days, seconds = divmod(seconds, 86_400)
    return f"{date.fromordinal(date(1970, 1, 1).toordinal() + days)}T{clock(seconds, part, unit)}"


@pytest.mark.parametrize("unit", PER_SECOND)
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Oslo"])
def test_times_are_exact_to_the_ends_of_what_the_type_holds(unit, zone, seed):
    per = PER_SECOND[unit]
    first, last = max(FIRST, -62_135_596_800 * per), min(LAST, 253_402_300_800 * per - 1)
    chance = random.Random(seed)
    given = [first, last, 0, -1, 1, per, -per, *(chance.randint(first, last) for _ in range(30))]
    texts = [moment(count, unit) + ("Z" if zone and n % 2 else "") for n, count in enumerate(given)]
    assert told(texts, pa.timestamp(unit, zone)) == (given, [False] * len(given))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("2020-02-29", 1_582_934_400),
        ("2020-02-29T01:02", 1_582_938_120),
        ("2020-02-29 01:02:03", 1_582_938_123),
        ("2020-02-29T01:02:03Z", 1_582_938_123),
        ("2020-02-29T01:02:03+00:00", 1_582_938_123),
        ("2020-02-29T01:02:03+05:30", 1_582_938_123 - 19_800),
        ("2020-02-29T01:02:03-0330", 1_582_938_123 + 12_600),
        ("2020-02-29T23:59:59-23:59", 1_583_020_799 + 86_340),
        ("2020-02-29T00:00:00.000", 1_582_934_400),
    ],
)
def test_forms_of_times(text, count):
    for unit, per in PER_SECOND.items():
        assert told([text], pa.timestamp(unit, "UTC")) == ([count * per], [False])
    zoned = text[10:].endswith("Z") or "+" in text or "-" in text[10:]
    assert told([text], pa.timestamp("s")) == ([None] if zoned else [count], [zoned])


@pytest.mark.parametrize(
    "text",
    ["", "2020", "2020-02-30", "2020-13-01", "2020-01-01T24:00:00Z", "2020-01-01T00:60:00Z", "2020-01-01T00:00:60Z", "x2020-01-01",
     "2020-01-01T00:00:00.1234567890Z", "2020-01-01T00:00:00ZZ", "1677-09-21T00:12:43.145224192Z", "2262-04-11T23:47:16.854775808Z"],
)  # fmt: skip
def test_what_is_no_time(text):
    assert told([text], pa.timestamp("ns", "UTC")) == ([None], [True])


def test_the_last_moments_of_a_day_are_times():
    assert told(["2020-01-01T23:59:59Z"], pa.timestamp("s", "UTC")) == ([1_577_923_199], [False])


def test_a_time_that_is_finer_than_its_type_is_not_rounded():
    assert told(["1970-01-01T00:00:00.5Z", "1970-01-01T00:00:01Z"], pa.timestamp("s", "UTC"))[0] == [None, 1]
    assert told(["1970-01-01T00:00:00.0005Z"], pa.timestamp("ms", "UTC"))[0] == [None]
    assert told(["1970-01-01T00:00:00.0005Z"], pa.timestamp("us", "UTC"))[0] == [500]


@pytest.mark.parametrize("kind", [pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")])
def test_times_of_day(kind, seed):
    per = PER_SECOND[kind.unit]
    chance = random.Random(seed)
    given = [0, 86_400 * per - 1, per, *(chance.randrange(86_400 * per) for _ in range(20))]
    texts = [clock(*divmod(count, per), kind.unit) for count in given]
    assert told(texts, kind) == (given, [False] * len(given))
    assert told(["24:00:00", "00:60:00", "00:00:60", "1:00:00"], kind) == ([None] * 4, [True] * 4)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("P1D", 86_400), ("PT1H", 3600), ("PT2M", 120), ("PT3S", 3), ("P1DT2H3M4S", 93_784), ("-P1DT2H3M4S", -93_784),
        ("P-1DT1S", -86_399), ("P0DT0H0M0S", 0), ("PT90061S", 90_061),
    ],
)  # fmt: skip
def test_lengths_of_time(text, seconds):
    for unit, per in PER_SECOND.items():
        assert told([text], pa.duration(unit)) == ([seconds * per], [False])


def test_lengths_of_time_to_the_ends_and_never_rounded():
    assert told(["P0DT0H0M1.5S", "-PT0.000000001S", "PT1.000S"], pa.duration("ns"))[0] == [1_500_000_000, -1, 10**9]
    assert told(["PT0.001S", "PT0.0005S"], pa.duration("ms")) == ([1, None], [False, True])
    ends = ["PT9223372036.854775807S", "-PT9223372036.854775807S"]
    assert told(ends, pa.duration("ns")) == ([LAST, FIRST], [False, False])
    beyond = ["PT9223372036.854775808S", "-PT9223372036.854775808S", "-PT9223372036.854775809S"]
    assert told(beyond, pa.duration("ns")) == ([None] * 3, [True] * 3)
    for one in beyond:
        assert told([one], pa.duration("ns")) == ([None], [True])


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1DT", "-P", "1D", "P1H", "PT1D", "PT1.S", "PT.5S", "P1D ", "PT1.0000000001S"]
)
def test_what_is_no_length_of_time(text):
    assert told([text], pa.duration("ns")) == ([None], [True])


@pytest.mark.parametrize("kind", [pa.decimal128(5, 2), pa.decimal256(5, 2)])
def test_decimals_are_exact_or_told(kind):
    given = ["1.10", "-999.99", "0", "1E+2", "7.5"]
    assert told(given, kind) == ([Decimal(text) for text in given], [False] * 5)
    wrong = ["1000.00", "1.234", "x", "", "NaN", "Infinity", "-Infinity", "sNaN"]
    assert told(wrong, kind) == ([None] * 8, [True] * 8)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(3)])
def test_bytes_are_base64(kind):
    given = [b"\x00\xff\x7f", b"abc", bytes(3)]
    assert told([b64encode(one).decode() for one in given], kind) == (given, [False] * 3)
    assert told(["A", "A*==", "\u00fc"], kind) == ([None] * 3, [True] * 3)
    short = convert(pa.array(["AA==", "AAAA"]), kind)
    assert short[0].to_pylist() == ([None, bytes(3)] if kind == pa.binary(3) else [b"\0", bytes(3)])
    assert (short[1] is None) is (kind != pa.binary(3))


def test_numbers_that_the_type_does_not_hold_are_told():
    assert told([1, -128, 127, 128, -129, None], pa.int8(), pa.int64()) == (
        [1, -128, 127, None, None, None],
        [False, False, False, True, True, False],
    )
    assert told([0, 2**64 - 1], pa.uint64(), pa.uint64()) == ([0, 2**64 - 1], [False, False])
    assert told([0.5, 2.0**24 + 2], pa.float32(), pa.float64())[0] == [0.5, 2.0**24 + 2]
    assert told([5, -1], pa.uint32(), pa.int64()) == ([5, None], [False, True])
    for kind, largest in ((pa.float32(), float(np.finfo(np.float32).max)), (pa.float16(), 65504.0)):
        found, wrong = convert(pa.array([largest, -1e300, float("inf"), 0.1, None, 2 * largest]), kind)
        assert wrong.tolist() == [False, True, False, False, False, True]  # they had become infinite
        assert found.to_pylist()[:3] == [largest, None, float("inf")] and found[3].as_py() == pytest.approx(
            0.1, rel=1e-3
        )


def test_dates_texts_and_categories():
    assert told(["1970-01-02", "1969-12-31"], pa.date32())[0] == [1, -1]
    assert told(["2020-02-30"], pa.date32()) == ([None], [True])
    assert convert(pa.array(["a", None]), pa.large_string())[0].to_pylist() == ["a", None]
    column, wrong = convert(pa.array(["b", "a", None, "b"]), pa.dictionary(pa.int8(), pa.string()))
    assert (column.type, column.to_pylist(), wrong) == (
        pa.dictionary(pa.int8(), pa.string()),
        ["b", "a", None, "b"],
        None,
    )
    for number, most in ((pa.int8(), 128), (pa.uint8(), 256), (pa.int16(), 2**15)):
        kind = pa.dictionary(number, pa.string())
        given = [str(n) for n in range(most)]
        column, wrong = convert(pa.array(given), kind)
        assert (column.type, column.to_pylist(), wrong) == (kind, given, None)
        column, wrong = convert(pa.array([*given, None, "one more", "5"]), kind)  # the whole read had failed
        assert column.type == kind and column.to_pylist() == [*given, None, None, "5"]
        assert np.flatnonzero(wrong).tolist() == [most + 1]
    same = pa.array([1, 2])
    assert convert(same, pa.int64()) == (same, None)


@pytest.mark.parametrize("make", [pa.list_, pa.large_list])
def test_lists_are_wrong_where_one_of_them_is(make):
    kind = make(pa.duration("s"))
    given = pa.array([["PT1S", "PT2S"], [], None, ["PT3S", "x"], ["PT4S"], [None]], pa.list_(pa.string()))
    column, wrong = convert(given, kind)
    assert column.type == kind and wrong.tolist() == [False, False, False, True, False, False]
    assert column.cast(make(pa.int64())).to_pylist() == [[1, 2], [], None, None, [4], [None]]
    column, wrong = convert(given.slice(0, 3), kind)
    assert wrong is None and column.cast(make(pa.int64())).to_pylist() == [[1, 2], [], None]
    column, wrong = convert(given.slice(4), kind)
    assert wrong is None and column.cast(make(pa.int64())).to_pylist() == [[4], [None]]


def test_structs_are_wrong_where_one_of_their_fields_is():
    kind = pa.struct([("at", pa.timestamp("s", "UTC")), ("n", pa.int8()), ("s", pa.string())])
    source = pa.struct([("at", pa.string()), ("n", pa.int64()), ("s", pa.string())])
    rows = [
        {"at": "1970-01-01T00:00:01Z", "n": 1, "s": "a"},
        {"at": "x", "n": 2, "s": "b"},
        None,
        {"at": None, "n": 300, "s": "c"},
    ]
    column, wrong = convert(pa.array(rows, source), kind)
    assert column.type == kind and wrong.tolist() == [False, True, False, True]
    assert [row and row["n"] for row in column.to_pylist()] == [1, None, None, None]
    assert column.is_null().to_pylist() == [False, True, True, True]
    column, wrong = convert(pa.array(rows[:1], source), kind)
    assert wrong is None and column.null_count == 0


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        (pa.bool_(), pa.bool_()), (pa.string(), pa.string()), (pa.large_string(), pa.string()), (pa.int8(), pa.int64()),
        (pa.uint8(), pa.int64()), (pa.uint32(), pa.int64()), (pa.uint64(), pa.uint64()), (pa.float16(), pa.float64()),
        (pa.float64(), pa.float64()), (pa.timestamp("ns"), pa.string()), (pa.date64(), pa.string()), (pa.time32("s"), pa.string()),
        (pa.duration("s"), pa.string()), (pa.decimal128(5, 2), pa.string()), (pa.binary(), pa.string()), (pa.binary(4), pa.string()),
        (pa.large_binary(), pa.string()), (pa.list_(pa.int8()), pa.list_(pa.int64())), (pa.large_list(pa.binary()), pa.list_(pa.string())),
        (pa.struct([("a", pa.int8())]), pa.struct([("a", pa.int64())])), (pa.dictionary(pa.int8(), pa.int16()), pa.int64()),
    ],
)  # fmt: skip
def test_what_each_type_is_made_from(kind, source):
    assert carrier(kind, "x") == source


@pytest.mark.parametrize("kind", [pa.null(), pa.map_(pa.string(), pa.string()), pa.month_day_nano_interval()])
def test_types_that_are_made_from_nothing_in_json(kind):
    with pytest.raises(InputError, match="'x'"):
        checked({"x": kind})


def test_types_as_a_caller_may_give_them():
    schema = pa.schema([("a", pa.int8()), ("b", pa.string())])
    assert checked(schema) == {"a": pa.int8(), "b": pa.string()}
    given = {"a": "int32", "b": np.float32, "c": np.dtype("M8[ms]"), 4: pa.date32(), "e": "timestamp[us]"}
    assert checked(given) == {
        "a": pa.int32(), "b": pa.float32(), "c": pa.timestamp("ms"), "4": pa.date32(), "e": pa.timestamp("us"),
    }  # fmt: skip
    for wrong in ({"a": "int33"}, {"a": 5}, {"a": object()}, [("a", "int8")], "int8"):
        with pytest.raises(InputError):
            checked(wrong)


def test_half_a_character_is_no_name():
    with pytest.raises(InputError, match=r"half of a character"):
        checked({"a\ud800": "int64"})
