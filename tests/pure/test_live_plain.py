"""Values of groups in a checkpoint: each comes back as it was."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from kit.live.results.plain import array_of_plain, grown, objects, plain, unplain

OSLO = ZoneInfo("Europe/Oslo")
VALUES = [
    None, True, 0, -(2**70), "", "a\0", 0.1, -0.0, math.inf, Decimal("1.50"), b"", b"\x00\xff", date(2020, 2, 29), time(1, 2, 3, 4),
    datetime(2020, 1, 2, 3, 4, 5), datetime(2020, 1, 2, 3, 4, 5, 678901), datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC),
    datetime(2020, 7, 2, 3, 4, 5, 6, tzinfo=OSLO), pd.Timestamp("2020-01-02T03:04:05.123456789"),
    pd.Timestamp("2020-07-02T03:04:05.123456789", tz=OSLO), pd.Timestamp("2020-01-02T03:04:05.123456", tz="UTC"),
    timedelta(days=-1, microseconds=5), timedelta(0), pd.Timedelta(1_234_567, "ns"), [1, [b"x", None]], {"a": {"b": Decimal(1)}, "c": []},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back(value):
    told = json.loads(json.dumps(plain(value)))
    back = unplain(told)
    assert back == value and str(back) == str(value) and isinstance(value, type(back))
    if isinstance(value, datetime) and value.tzinfo is not None:
        assert back.utcoffset() == value.utcoffset()
    if isinstance(value, float):
        assert math.copysign(1, back) == math.copysign(1, value)


def test_tuples_come_back_as_lists_and_others_as_texts():
    assert unplain(plain((1, (2,)))) == [1, [2]] and unplain(plain({1: 2})) == {"1": 2}
    assert unplain(plain(1j)) == "1j" and math.isnan(unplain(plain(math.nan)))


@pytest.mark.parametrize(
    "told",
    [
        [],
        ["float"],
        ["float", 5],
        ["float", "x"],
        ["none", "x"],
        ["list", "x"],
        ["dict", 5],
        ["span", "x"],
        1.5,
        {},
        ["span", None],
    ],
)
def test_what_tells_of_no_value(told):
    with pytest.raises(ValueError):
        unplain(told)


def test_arrays_grow_in_steps_and_keep_what_they_have():
    array = np.arange(3)
    assert grown(array, 3) is array and grown(array, 2) is array
    assert grown(array, 4, -1).tolist() == [0, 1, 2, *[-1] * 61]
    assert (
        len(grown(np.zeros(64), 65)) == 128
        and len(grown(np.zeros(64), 200)) == 200
        and len(grown(np.zeros(33), 34)) == 66
    )
    assert grown(np.zeros((2, 5)), 3).shape == (64, 5) and grown(array, 4).tolist()[3:] == [0] * 61
    assert objects([[1], (2, 3), None]).tolist() == [[1], (2, 3), None]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([2**63 - 1, -(2**63), None], pa.int64()), ([2**63], pa.decimal128(38, 0)), ([-(2**63) - 1], pa.decimal128(38, 0)),
        ([2**63, 1], pa.decimal128(38, 0)), ([10**40], pa.decimal256(76, 0)), ([10**80], pa.string()), ([Decimal("1e-3000000000")], pa.string()),
        ([Decimal("1.5"), None], pa.decimal128(38, 1)), ([Decimal("NaN"), None, Decimal("-Infinity")], pa.string()),
        ([1, Decimal("1.50")], pa.decimal128(38, 2)),
        ([Decimal(1), 0.5], pa.float64()), ([1, 0.5, None], pa.float64()), ([True, 1], pa.string()), ([True, None], pa.bool_()), ([None], pa.null()),
        ([], pa.null()), (["a", 1], pa.string()), ([2**53 + 1, 0.5], pa.string()), ([10**400, 0.5], pa.string()), ([2**53, 0.5], pa.float64()), ([[1], [2]], pa.list_(pa.int64())),
    ],
)  # fmt: skip
def test_columns_of_values_are_as_narrow_as_is_exact(values, kind):
    found = array_of_plain(values)
    assert found.type == kind
    if not pa.types.is_string(kind):
        assert found.to_pylist() == values


def test_an_earlier_type_is_kept_where_it_holds_the_values():
    assert (
        array_of_plain([1, None], pa.int8()).type == pa.int8() and array_of_plain([None], pa.int8()).type == pa.int8()
    )
    assert array_of_plain([300], pa.int8()).type == pa.int64() and array_of_plain([1], pa.null()).type == pa.int64()
