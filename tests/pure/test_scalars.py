"""Single values as JSON: every kind that has a form, and a reason for each that has none; both encoders alike."""

from __future__ import annotations

import datetime as dt
import enum
import json
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from kit.core.tables.json import scalars
from kit.core.tables.json.scalars import Refused, iso_duration, json_text, shown


class Colour(enum.Enum):
    RED = "red"
    TWO = 2


class Word(str):
    pass


class Many(list):
    pass


OSLO = dt.timezone(dt.timedelta(hours=1))
ODD = dt.timezone(dt.timedelta(hours=1, seconds=30))
VALUES = [
    (None, None),
    (True, True),
    (0, 0),
    (2**70, 2**70),
    (-(2**63), -(2**63)),
    (0.1, 0.1),
    (float("nan"), None),
    ("", ""),
    ("\u00fc\u2028\0", "\u00fc\u2028\0"),
    (Word("w"), "w"),
    (Colour.RED, "red"),
    (Colour.TWO, 2),
    ([1, [None, "a"]], [1, [None, "a"]]),
    (Many([1]), [1]),
    ((1, 2), [1, 2]),
    ({"a": {"b": [1.5]}}, {"a": {"b": [1.5]}}),
    ({1: "x", np.int8(2): "y", Colour.RED: "z", Colour.TWO.name: 0}, {"1": "x", "2": "y", "red": "z", "TWO": 0}),
    (pd.NA, None),
    (pd.NaT, None),
    (dt.date(2020, 2, 29), "2020-02-29"),
    (dt.time(1, 2, 3), "01:02:03"),
    (dt.datetime(2020, 1, 2, 3, 4, 5), "2020-01-02T03:04:05"),
    (dt.datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC), "2020-01-02T03:04:05.000006Z"),
    (dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=OSLO), "2020-01-02T03:04:05+01:00"),
    (dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=ODD), "2020-01-02T02:03:35Z"),
    (pd.Timestamp("2020-01-02T03:04:05.000000006Z"), "2020-01-02T03:04:05.000000006Z"),
    (dt.timedelta(days=1, hours=2, minutes=3, seconds=4, microseconds=5), "P1DT2H3M4.000005S"),
    (dt.timedelta(seconds=-1), "-P0DT0H0M1S"),
    (pd.Timedelta(1, "ns"), "P0DT0H0M0.000000001S"),
    (pd.Timedelta(1500, "ns"), "P0DT0H0M0.000001500S"),
    (pd.Timedelta(2000, "ns"), "P0DT0H0M0.000002S"),
    (pd.Timedelta(61_000_000_001, "ns"), "P0DT0H1M1.000000001S"),
    (Decimal("1.10"), "1.10"),
    (Decimal("NaN"), None),
    (b"\xff", "/w=="),
    (bytearray(b"abc"), "YWJj"),
    (memoryview(b"abc"), "YWJj"),
    (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    (np.int16(-5), -5),
    (np.uint64(2**64 - 1), 2**64 - 1),
    (np.float64("nan"), None),
    (np.float32(0.5), 0.5),
    (np.bool_(True), True),
    (np.str_("s"), "s"),
    (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    (np.array(["2020-01-01", "NaT"], "M8[D]"), ["2020-01-01", None]),
    (np.array([90_061, "NaT"], "m8[s]"), ["P1DT1H1M1S", None]),
    (np.datetime64("2020-01-01T00:00:00.000000001"), "2020-01-01T00:00:00.000000001"),
    (np.datetime64("NaT"), None),
    (np.timedelta64(1500, "ms"), "P0DT0H0M1.500S"),
    (np.timedelta64(1, "us"), "P0DT0H0M0.000001S"),
    (np.timedelta64(1, "ns"), "P0DT0H0M0.000000001S"),
    (np.timedelta64(61_000_000_001, "us"), "P0DT16H56M40.000001S"),
    (np.timedelta64(61_000_000_001, "ns"), "P0DT0H1M1.000000001S"),
    (np.timedelta64(2, "m"), "P0DT0H2M0S"),
    (np.timedelta64(25, "h"), "P1DT1H0M0S"),
    (np.timedelta64(-3, "D"), "-P3DT0H0M0S"),
    (np.timedelta64(2, "W"), "P14DT0H0M0S"),
    (np.timedelta64(3, "2s"), "P0DT0H0M6S"),
    (np.timedelta64(3, "2h"), "P0DT6H0M0S"),
    (pd.Series([1, 2]), [1, 2]),
    (pl.Series([1, None]), [1, None]),
    (pa.scalar(5), 5),
    (pa.array([1, None]), [1, None]),
    (pa.chunked_array([[1], [2]]), [1, 2]),
]


@pytest.fixture(params=["quick", "plain"])
def encoder(request, monkeypatch):
    """With orjson where it is there, and without."""
    if request.param == "plain":
        monkeypatch.setattr(scalars, "orjson", None)


@pytest.mark.parametrize(("value", "meant"), VALUES, ids=[type(value).__name__ for value, _ in VALUES])
def test_every_kind_has_its_form_alone_and_inside(encoder, value, meant):
    assert json.loads(json_text(value)) == meant
    assert json.loads(json_text({"in": [value, {"k": value}]})) == {"in": [meant, {"k": meant}]}
    assert json.loads(json_text({"in": value}, spaced=True)) == {"in": meant}


def test_what_is_text_is_written_as_it_is(encoder):
    assert json_text({"\u00fc": ["\u2028", 1, None]}) == '{"\u00fc":["\u2028",1,null]}'.encode()
    assert json_text({"a": [1, 2]}, spaced=True) == b'{"a": [1, 2]}'


REFUSED = [
    (float("inf"), "inf cannot be written", ""),
    ({"a": [0, float("-inf")]}, "-inf cannot", "a[1]"),
    (np.float64("inf"), "cannot be written", ""),
    ([Decimal("-Infinity")], "cannot be written", "[0]"),
    ({"a": {"b": "\ud800"}}, "half of a character", "a.b"),
    ({"\ud800": 1}, "half of a character", "\ud800"),
    ({1: 1, "1": 2}, "two keys are '1'", ""),
    ({None: 1}, "a key is None, a NoneType", ""),
    ({True: 1}, "a key is True, a bool", ""),
    ({np.bool_(True): 1}, "a key is", ""),
    ({1.5: 1}, "a key is 1.5, a float", ""),
    ({"a": {"b": {(1, 2): 1}}}, "a key is", "a.b"),
    ({1}, "is a set", ""),
    (frozenset({1}), "is a frozenset", ""),
    (1j, "is a complex", ""),
    (np.complex128(1j), "is a complex", ""),
    (pd.Period("2020"), "is a Period", ""),
    (pd.Interval(0, 1), "is an Interval", ""),
    (object, "is a type", ""),
    (pa.scalar(None, pa.month_day_nano_interval()).type, "is a", ""),
    (pa.MonthDayNano([1, 2, 3]), "is a MonthDayNano", ""),
    (np.datetime64(1, "ps"), "finer than nanoseconds", ""),
    (np.timedelta64(1, "M"), "not an exact length", ""),
    (np.timedelta64(1, "ps"), "not an exact length", ""),
]


@pytest.mark.parametrize(("value", "words", "path"), REFUSED, ids=lambda value: repr(value)[:40])
def test_what_has_no_form_is_refused_with_its_place(encoder, value, words, path):
    with pytest.raises(Refused, match=words) as caught:
        json_text(value)
    assert caught.value.path == path


def test_how_deep_values_may_be(encoder):
    def nested(depth):
        value = []
        for _ in range(depth):
            value = [value]
        return value

    assert json_text(nested(200)) == b"[" * 201 + b"]" * 201
    with pytest.raises(Refused, match="nested more than 200 deep"):
        json_text([nested(200), float("nan")])  # a missing number is none of the quick encoder's
    for step in (lambda inner: {"a": inner}, lambda inner: np.array([inner, None], object)):
        value = float("nan")
        for _ in range(300):
            value = step(value)
        with pytest.raises(Refused, match="nested more than 200 deep"):
            json_text(value)


def test_a_number_of_numpy_that_python_does_not_have_is_refused():
    """It had ended in a RecursionError."""
    for value in (np.longdouble(1.5), [np.array([1.5], np.longdouble)]):
        with pytest.raises(Refused, match="is a longdouble, which cannot be written as JSON"):
            json_text({"a": value})


def test_values_in_messages_are_cut():
    class Bad:
        def __repr__(self):
            raise RuntimeError

    assert shown("a" * 78) == repr("a" * 78) and len(shown("a" * 78)) == 80
    assert shown("a" * 79) == "'" + "a" * 76 + "..." and len(shown("a" * 79)) == 80
    assert shown(Bad()) == "a Bad"


@pytest.mark.parametrize(
    ("count", "per", "text"),
    [(0, 1, "P0DT0H0M0S"), (86_399, 1, "P0DT23H59M59S"), (86_400, 1, "P1DT0H0M0S"), (3600, 1, "P0DT1H0M0S"), (60, 1, "P0DT0H1M0S"),
     (-1, 1000, "-P0DT0H0M0.001S"), (1, 10**6, "P0DT0H0M0.000001S"), (10**9 + 10, 10**9, "P0DT0H0M1.000000010S")],
)  # fmt: skip
def test_lengths_of_time(count, per, text):
    assert iso_duration(count, per) == text
