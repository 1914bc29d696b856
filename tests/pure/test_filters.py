"""Filters: which rows a text, a mapping or a function asks for, against a plain loop."""

from __future__ import annotations

import operator
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from kit.core.errors import InputError
from kit.core.tables import filters
from kit.core.tables.filters import equals, matching, query, scalar_of

ROWS = pa.table(
    {
        "n": pa.array([1, 2, None, -3, 2], pa.int8()),
        "big": pa.array([0, 2**64 - 1, 5, None, 2**63], pa.uint64()),
        "x": [0.5, None, float("nan"), 2.0, -1.0],
        "s": ["Ann", "bob", None, "a=b", "10"],
        "b": pa.array([True, None, False, True, False]),
        "raw": pa.array([b"ann", b"\xff", None, b"B", b""]),
        "at": pa.array([datetime(2020, 1, n, tzinfo=UTC) if n != 3 else None for n in range(1, 6)]),
        "p": pa.array([Decimal("1.10"), None, Decimal("2.00"), Decimal("-1.00"), Decimal("0.00")], pa.decimal128(9, 2)),
        "mixed": [[1], None, [2], [], [1, 2]],
    }
)
SIGNS = {"=": operator.eq, "==": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@pytest.mark.parametrize("sign", [*SIGNS, "!="])
@pytest.mark.parametrize(
    ("column", "said", "value"),
    [
        ("n", "2", 2), ("n", "-3", -3), ("n", "+1", 1), ("n", "1.5", 1.5), ("n", "300", 300), ("n", str(2**70), 2**70),
        ("n", str(-(2**70)), -(2**70)), ("big", "5", 5), ("big", str(2**64 - 1), 2**64 - 1), ("big", str(2**63), 2**63), ("big", "-1", -1),
        ("x", "0.5", 0.5), ("x", "2", 2.0), ("s", "bob", "bob"), ("s", "'a=b'", "a=b"), ("s", "10", "10"), ("s", '"Ann"', "Ann"),
        ("p", "1.1", Decimal("1.1")), ("p", "0", 0),
    ],
)  # fmt: skip
def test_comparisons_are_those_of_python(column, sign, said, value):
    compare = SIGNS.get(sign, operator.eq)
    meant = [one is not None and one == one and compare(one, value) for one in ROWS[column].to_pylist()]
    if sign == "!=":
        meant = [not one for one in meant]
    for space in ("", " "):
        assert query(f"{column}{space}{sign}{space}{said}")(ROWS).tolist() == meant


def test_what_is_missing_true_or_a_time():
    for word in ("null", "None", "NULL"):
        assert query(f"n={word}")(ROWS).tolist() == [False, False, True, False, False]
        assert query(f"n!={word}")(ROWS).tolist() == [True, True, False, True, True]
        assert query(f"gone={word}")(ROWS).tolist() == [True] * 5
    words = pa.table({"s": ["null", None, "None"]})
    assert query("s='null'")(words).tolist() == [True, False, False] and query('s!="None"')(words).tolist() == [
        True,
        True,
        False,
    ]
    assert query("b=TRUE")(ROWS).tolist() == [True, False, False, True, False]
    assert query("b=false")(ROWS).tolist() == [False, False, True, False, True]
    assert query("b=1")(ROWS).tolist() == [False] * 5
    assert query("at>=2020-01-04T00:00:00+00:00")(ROWS).tolist() == [False, False, False, True, True]
    assert query("raw=ann")(ROWS).tolist() == [True, False, False, False, False]
    assert query("gone=1")(ROWS).tolist() == query("gone>1")(ROWS).tolist() == [False] * 5


def test_a_time_is_compared_with_all_its_digits():
    """They had been cut to those of the column, or to microseconds: what lay between was found, or was missed."""
    for unit, per in (("ms", 10**3), ("us", 10**6), ("ns", 10**9)):
        for zone, text in (("UTC", "Z"), (None, ""), ("Asia/Tokyo", "+00:00")):
            counts = [-1, 0, 1, 2, 1500]
            rows = pa.table({"at": pa.array([*counts, None], pa.timestamp(unit, zone))})
            for digits in ("", ".0", ".0005", ".0015", ".001", ".000001", ".000000002", ".0000000015", ".999999999"):
                said = Decimal(digits or 0).quantize(Decimal(10) ** -9, "ROUND_FLOOR")
                for sign, compare in SIGNS.items():
                    meant = [compare(Decimal(count) / per, said) for count in counts]
                    assert query(f"at {sign} 1970-01-01T00:00:00{digits}{text}")(rows).tolist() == [*meant, False], (
                        unit,
                        digits,
                        sign,
                    )
    far = pa.table({"at": pa.array([2**63 - 1], pa.timestamp("ns", "UTC"))})
    assert query("at < 9999-01-01T00:00Z")(far).tolist() == query("at > 0002-01-01T00:00Z")(far).tolist() == [True]
    kind = pa.timestamp("ms", "UTC")
    assert scalar_of("2020-01-01T00:00:00.120Z", kind).type == kind  # so that a search can skip by it


def test_numbers_and_objects_are_equal_by_their_values():
    """A whole number from 2**53 on had no equal in a column of floats, and a list or an object raised Arrow's error."""
    values = [2.0**53, 3.0, 2.0**60, 2.0**64, 1e300, float("nan"), None]
    rows = pa.table({"x": values})
    for said in (2**53, 2**53 + 1, 3, 2**60, 2**63, 2**64, int(1e300), 10**400, -1):
        assert equals("x", said)(rows).tolist() == [value is not None and value == said for value in values]
    nested = pa.table({"o": [{"a": 1}, {"a": 2}, None], "l": [[1], [2], None]})
    assert equals("o", {"a": 1})(nested).tolist() == equals("l", [[1]])(nested).tolist() == [True, False, False]


def test_texts_are_looked_for_in_all_columns_without_regard_to_case():
    assert query("ann")(ROWS).tolist() == query(" 'ANN' ")(ROWS).tolist() == [True, False, False, False, False]
    assert query("'a=b'")(ROWS).tolist() == [False, False, False, True, False]
    assert query("10")(ROWS).tolist() == [True, False, False, False, True]
    assert query("'")(ROWS).tolist() == [False] * 5 and query("''")(ROWS).tolist() == [True] * 5
    assert query("'a' = 'b'").columns == ("'a'",)  # two quoted texts are not one


def test_several_comparisons():
    both = query("n=2 AND s='10'")
    assert both(ROWS).tolist() == [False, False, False, False, True]
    assert both.columns == ("n", "s") and both.bounds == (("n", "=", "2"), ("s", "=", "10"))
    assert query("n > 1 and n != 5").bounds == (("n", ">", "1"),)
    assert query("n=null").bounds == () and query("n<null").bounds == (("n", "<", "null"),)


@pytest.mark.parametrize("text", ["a= =5", "a=<5", "=5", "a=1 and b", "a b=1", "a=!1", "a > > 1", "1 < a < 2 and = 3"])
def test_what_is_not_understood(text):
    with pytest.raises(InputError, match="cannot be understood at") as refused:
        query(text)
    assert str(refused.value.hint).startswith("write column=value")


def test_an_empty_value_is_one():
    assert query("s=")(ROWS).tolist() == [False] * 5 and query("s=''").bounds == (("s", "=", ""),)
    assert query("s='")(ROWS).tolist() == [False] * 5


def test_values_by_column():
    assert equals("n", [1, None, -3])(ROWS).tolist() == [True, False, True, True, False]
    assert (
        equals("n", (2,)).bounds == () and equals("n", None).bounds == () and equals("n", 2).bounds == (("n", "=", 2),)
    )
    assert equals("gone", [1, None])(ROWS).tolist() == [True] * 5 and equals("gone", 1)(ROWS).tolist() == [False] * 5
    assert equals("s", "bob")(ROWS).tolist() == [False, True, False, False, False]
    assert equals("b", True)(ROWS).tolist() == [True, False, False, True, False]
    assert equals("n", True)(ROWS).tolist() == equals("b", 1)(ROWS).tolist() == [False] * 5
    assert (
        equals("n", 2.0)(ROWS).tolist() == equals("n", np.int64(2))(ROWS).tolist() == [False, True, False, False, True]
    )
    assert equals("raw", b"\xff")(ROWS).tolist() == [False, True, False, False, False]
    assert equals("mixed", "[1]")(ROWS).tolist() == [True, False, False, False, False]


def test_all_that_a_caller_may_give():
    def wanted(frame):
        return frame["n"] > 1

    given = [{"n": 2, "s": "10"}, "x<0", wanted]
    assert [name for name, _ in filters.tests_of(given, {"b": False})] == [
        "filter n", "filter s", "filter 'x<0'", "filter wanted", "filter b",
    ]  # fmt: skip
    mask = np.logical_and.reduce([test(ROWS) for _, test in filters.tests_of(given, {"b": False})])
    assert mask.tolist() == [False] * 4 + [True] and matching(ROWS, mask)["s"].to_pylist() == ["10"]
    assert (
        filters.tests_of(None, {}) == []
        and len(filters.tests_of("n=1", {})) == len(filters.tests_of({"n": 1}, {})) == 1
    )
    for wrong in (5, [5], {"n": 1}.items()):
        with pytest.raises(InputError, match="is not a filter"):
            filters.tests_of(wrong, {})


def test_functions_tell_true_or_false_for_each_row():
    def told(answer):
        return filters.tests_of(lambda frame: answer, {})[0][1](ROWS).tolist()

    assert told(True) == [True] * 5 and told(0) == [False] * 5
    assert told([True, None, False, np.True_, 1]) == [True, False, False, True, False]
    assert told(np.array([1, 0, 1, 0, 1])) == [True, False, True, False, True]
    for wrong in ([True], [[True] * 5], []):
        with pytest.raises(InputError, match="for 5 rows"):
            told(wrong)


def test_columns_that_are_not_there_are_told_with_the_nearest():
    assert query("n=1 and s=2").missing(["n", "s"]) is None
    assert "did you mean 'total'" in str(query("n=1 and totl=2").missing(["n", "total"]))
    assert "there are a, b" in str(query("zzz=2").missing(["a", "b"]))


@pytest.mark.parametrize(
    ("value", "kind", "scalar"),
    [
        ("x", pa.bool_(), None), ("x", pa.int8(), None), (1, pa.bool_(), None), (True, pa.int8(), None), ("2020", pa.timestamp("s"), None),
        (127, pa.int8(), pa.scalar(127, pa.int8())), ("128", pa.int8(), pa.scalar(128)), (str(2**63 - 1), pa.int8(), pa.scalar(2**63 - 1)),
        (str(2**63), pa.int8(), pa.scalar(2.0**63)), (str(-(2**63)), pa.int8(), pa.scalar(-(2**63))), (1.5, pa.int8(), pa.scalar(1.5)),
        ("ab", pa.binary(), pa.scalar(b"ab")), ("ab", pa.large_binary(), pa.scalar(b"ab", pa.large_binary())), ("a", pa.string(), pa.scalar("a")),
        ("1.5", pa.float64(), pa.scalar(1.5)), ("2020-01-02", pa.timestamp("s"), pa.scalar(datetime(2020, 1, 2), pa.timestamp("s"))),
    ],
)  # fmt: skip
def test_values_as_those_of_a_column(value, kind, scalar):
    found = scalar_of(value, kind)
    assert found == scalar and (scalar is None or found.type == scalar.type)


def test_half_a_character_is_refused_before_anything_is_looked_at():
    for make in (
        lambda: equals("name", "\ud800"),
        lambda: equals("name", ["Ann", "\ud800"]),
        lambda: query("\ud800"),
        lambda: query("name = \ud800"),
        lambda: query("name > '\ud800'"),
    ):
        with pytest.raises(InputError, match=r"half of a character"):
            make()


def test_nanoseconds_are_compared_with_times_that_neither_python_nor_nanoseconds_have():
    far = 253_402_300_800 * 5
    rows = pa.table({"at": pa.array([0, far, None, -far], pa.timestamp("s", "UTC"))})
    assert query("at > 1970-01-01T00:00:00.123456789Z")(rows).tolist() == [False, True, False, False]
    assert query("at <= 1970-01-01T00:00:00.123456789Z")(rows).tolist() == [True, False, False, True]
    assert query("at = 1970-01-01T00:00:00.000000001Z")(rows).tolist() == [False] * 4


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_nanoseconds_of_times_that_nanoseconds_cannot_count(unit):
    rows = pa.table(
        {
            "at": pa.array([0, 4_133_980_800 * 3 + 18_000, None], pa.timestamp("s", "UTC")).cast(
                pa.timestamp(unit, "UTC")
            )
        }
    )
    assert query("at > 2300-01-01T00:00:00.123456789Z")(rows).tolist() == [False, True, False]
    assert query("at < 2300-01-01T00:00:00.123456789Z")(rows).tolist() == [True, False, False]
    assert query("at >= 2363-01-02T00:00:00.123456789Z")(rows).tolist() == [False, True, False]
    assert query("at != 2300-01-01T00:00:00.123456789Z")(rows).tolist() == [True] * 3
