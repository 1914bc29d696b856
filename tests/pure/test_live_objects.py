"""Python objects in the rows of a feed: kept as they are, or as text that says all of them."""

import datetime
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import kit
from kit.live.objects import objects_array, rows_table

NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
LATE = pd.Timestamp("2026-01-01T12:00:00.000000001Z")
EAST = datetime.datetime(2026, 1, 1, 14, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
BARE = datetime.datetime(2026, 1, 1, 12)
DAY = datetime.date(2026, 1, 1)

KEPT = {
    "times": ([NOON, None], pa.timestamp("us", "UTC"), [NOON, None]),
    "zones": ([EAST, NOON], pa.timestamp("us", "UTC"), [NOON, NOON]),
    "nanoseconds": ([NOON, LATE, pd.NaT], pa.timestamp("ns", "UTC"), [pd.Timestamp(NOON), LATE, None]),
    "without a zone": ([BARE], pa.timestamp("us"), [BARE]),
    "dates": ([DAY], pa.date32(), [DAY]),
    "durations": ([pd.Timedelta(1), datetime.timedelta(1)], pa.duration("ns"), [pd.Timedelta(1), pd.Timedelta(days=1)]),
    "decimals": ([Decimal("1.10"), 2], pa.decimal128(3, 2), [Decimal("1.10"), Decimal("2.00")]),
    "bytes": ([b"\xff", None], pa.binary(), [b"\xff", None]),
    "numpy's integers": ([np.int64(5), pd.NA, 7], pa.int64(), [5, None, 7]),
    "numpy's large ones": ([np.uint64(2**64 - 1)], pa.uint64(), [2**64 - 1]),
    "numpy's floats": ([np.float32(0.1), 1], pa.float64(), [float(np.float32(0.1)), 1.0]),
    "truth": ([np.bool_(True), False], pa.bool_(), [True, False]),
    "arrays": ([np.arange(2), [3]], pa.list_(pa.int64()), [[0, 1], [3]]),
    "inside objects": (
        [{"at": NOON, "raw": b"\xff", "n": np.int64(1)}],
        pa.struct({"at": pa.string(), "raw": pa.string(), "n": pa.int64()}),
        [{"at": "2026-01-01T12:00:00Z", "raw": "/w==", "n": 1}],
    ),
    # No type holds all of these without a loss.
    "with and without a zone": ([NOON, BARE], pa.string(), ["2026-01-01T12:00:00Z", "2026-01-01T12:00:00"]),
    "dates and times": ([DAY, NOON], pa.string(), ["2026-01-01", "2026-01-01T12:00:00Z"]),
    "beyond float64": ([2**53 + 1, np.float64(0.5)], pa.string(), ["9007199254740993", "0.5"]),
    "truth and numbers": ([np.int64(1), True], pa.string(), ["1", "true"]),
    "a mixture": ([1, b"\xff", "x", None], pa.string(), ["1", "base64:/w==", "x", None]),
    "identifiers": ([uuid.UUID(int=1)], pa.string(), ["00000000-0000-0000-0000-000000000001"]),
    "what has no form in JSON": ([{1}], pa.string(), ["{1}"]),
}


@pytest.mark.parametrize("name", KEPT)
def test_objects_are_kept(name):
    values, kind, wanted = KEPT[name]
    found = objects_array(values)
    assert found.type.equals(kind) and found.to_pylist() == wanted
    frame = pd.DataFrame({"v": pd.Series(values, dtype=object)})
    for rows in ([{"v": value} for value in values], frame):
        with kit.Feed([rows]) as feed:
            feed.wait(len(values), timeout=10)
            assert feed.shared.source.shape(feed.shared.batches()[1])[0].column("v").to_pylist() == wanted


def test_rows_of_json_and_of_other_values_keep_their_order():
    table = rows_table([{"b": 1, "a": NOON}, {"c": [1], "a": None, "b": 2**70}])
    assert table.column_names == ["b", "a", "c"]
    assert table.to_pylist()[1] == {"b": str(2**70), "a": None, "c": [1]} and table.column("a").to_pylist()[0] == NOON


def test_rows_that_come_one_by_one_are_kept_too():
    def rows():
        yield {"price": Decimal("1.10"), "took": datetime.timedelta(seconds=1), "at": NOON, "n": np.int64(1)}
        yield {"price": Decimal("1234.5"), "took": pd.Timedelta(1), "at": LATE, "n": None}
        yield {"price": None, "took": None, "at": None, "n": np.float32(0.5)}

    with kit.Feed(rows()) as feed:
        frame = feed.wait(3, timeout=10).df
    assert frame["n"].tolist()[::2] == [1.0, 0.5] and frame.pop("n").isna().tolist() == [False, True, False]
    assert frame.iloc[2].isna().all()
    frame = frame[:2]
    assert frame["price"].tolist() == [Decimal("1.10"), Decimal("1234.50")]
    assert frame["took"].tolist() == [pd.Timedelta(seconds=1), pd.Timedelta(1)]
    assert frame["at"].tolist() == [pd.Timestamp(NOON), LATE]


def test_what_has_no_type_in_common_with_later_rows_becomes_text():
    values = [NOON, Decimal("1.10"), b"\xff", "x", DAY, 5]
    with kit.Feed([{"v": value} for value in values]) as feed:
        found = feed.wait(len(values), timeout=10).df["v"].tolist()
    assert found == ["2026-01-01T12:00:00.000000Z", "1.10", "base64:/w==", "x", "2026-01-01", "5"]
