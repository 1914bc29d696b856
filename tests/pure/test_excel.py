"""`df.kit.excel()`: a frame as Excel takes it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import kit.core.tables.accessor  # noqa: F401  # makes `df.kit`

MOST = 32_767


def cells(values, dtype=object):
    return pd.DataFrame({"x": pd.Series(values, dtype=dtype)}).kit.excel()["x"].tolist()


@pytest.mark.parametrize("dtype", ["int64", "uint64", "Int64"])
def test_numbers_that_excel_would_round_are_texts(dtype):
    assert cells([10**15 - 1, 5], dtype) == [10**15 - 1, 5]
    assert cells([10**15, 5], dtype) == ["1000000000000000", "5"]


def test_negative_and_missing_numbers():
    assert cells([-(10**15), 1], "int64") == ["-1000000000000000", "1"]
    assert cells([-(10**15) + 1, 1], "int64") == [-(10**15) + 1, 1]
    found = cells([10**16, None], "Int64")
    assert found[0] == "10000000000000000" and pd.isna(found[1])
    assert cells([0.5, 1e300], "float64") == [0.5, 1e300] and cells([True], "bool") == [True]


def test_numbers_that_excel_would_round_are_texts_in_any_column():
    assert cells([-(2**63), 1], "int64") == [str(-(2**63)), "1"]
    assert cells([2**70, "x", -(10**15), 5, True]) == [str(2**70), "x", "-1000000000000000", 5, True]
    assert cells([2**60, 2], "category") == [str(2**60), 2]


def test_cells_that_made_the_whole_frame_fail():
    assert cells([np.array([1, 2]), {"a": np.array([3]), "b": np.int8(4)}]) == ["[1, 2]", '{"a": [3], "b": 4}']
    at = pd.Timestamp("2026-01-02T03:04:05+01:00")
    assert cells([at, "x", at.to_pydatetime()]) == [
        at.tz_convert("UTC").tz_localize(None),
        "x",
        at.to_pydatetime().replace(hour=2, tzinfo=None),
    ]
    assert cells([at], pd.ArrowDtype(pa.timestamp("us", "UTC"))) == [pd.Timestamp("2026-01-02T02:04:05")]


def test_two_columns_of_one_name_stay_two():
    frame = pd.DataFrame([[1, 2**60]], columns=["n", "n"])
    found = frame.kit.excel()
    assert list(found.columns) == ["n", "n"] and found.iloc[0].tolist() == [1, str(2**60)]


def test_texts_are_as_long_as_a_cell_holds():
    frame = pd.DataFrame({"x": ["a" * MOST, "b" * (MOST + 1), None]}, dtype=object)
    frame.attrs["kept"] = 1
    found = frame.kit.excel()
    assert [text and len(text) for text in found["x"]] == [MOST, MOST, None]
    assert found["x"][0][-1] == "a" and found["x"][1][-2:] == "b\u2026"
    assert found.attrs == {"kept": 1, "cut": 1} and found.index.equals(frame.index)


def test_cells_of_other_kinds():
    given = [
        b"abc",
        b"\xff",
        [1, b"x", None],
        {"a": (1,)},
        (1, 2),
        None,
        pd.NA,
        pd.NaT,
        float("nan"),
        5,
        "a\x00b\x1f \n\t\x7f",
    ]
    assert cells(given) == [
        "abc", "base64:/w==", '[1, "x", null]', '{"a": [1]}', "[1, 2]", None, None, None, None, 5, "a\\x00b\\x1f \n\t\x7f",
    ]  # fmt: skip


def test_times_are_those_of_utc():
    at = pd.Timestamp("2026-01-02T03:04:05+01:00")
    assert cells([at], "datetime64[ns, Europe/Oslo]") == [pd.Timestamp("2026-01-02T02:04:05")]
    assert cells([pd.Timestamp("2026-01-02")], "datetime64[ns]") == [pd.Timestamp("2026-01-02")]
    assert cells([pd.Timedelta("1s")], "timedelta64[ns]") == [pd.Timedelta("1s")]
    assert cells(["a", "b"], "category") == ["a", "b"] and cells(np.array(["a"]), "str") == ["a"]
