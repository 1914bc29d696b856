"""Columns to pandas: the promised dtypes, empty or full, and bodies in every form."""

import json
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.core.errors import InputError
from kit.core.tables.frames import FIRST_TIME, TIME, choose_mode, empty, expand_bodies, from_rows, times, to_frame

SCHEMA = pa.schema(
    [
        ("seq_num", pa.uint64()),
        ("time", TIME),
        ("text", pa.string()),
        ("n", pa.int64()),
        ("x", pa.float64()),
        ("ok", pa.bool_()),
        ("raw", pa.binary()),
        ("many", pa.list_(pa.int64())),
    ]
)
DTYPES = {
    "seq_num": "uint64",
    "time": "datetime64[ms, UTC]",
    "text": "str",
    "n": "int64",
    "x": "float64",
    "ok": "bool",
    "raw": "binary[pyarrow]",
    "many": "list<item: int64>[pyarrow]",
}


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def test_dtypes_are_as_promised_and_the_same_when_empty():
    full = pa.Table.from_pylist(
        [{"seq_num": 2**64 - 1, "time": 0, "text": "a", "n": 1, "x": 0.5, "ok": True, "raw": b"\xff", "many": [1]}],
        SCHEMA,
    )
    assert dtypes(to_frame(full)) == DTYPES
    assert dtypes(empty(SCHEMA)) == DTYPES
    assert to_frame(full)["seq_num"].iloc[0] == 2**64 - 1


@pytest.mark.parametrize("gaps", [False, True])
def test_a_small_frame_is_like_a_large_one_and_both_can_be_written_to(gaps):
    row = {"seq_num": 7, "time": 1_000, "text": "a", "n": 1, "x": 0.5, "ok": True, "raw": b"\xff", "many": [1]}
    rows = [row, dict.fromkeys(row) if gaps else row]
    few, many = (pa.Table.from_pylist(rows * times, SCHEMA) for times in (2, 6_000))
    small, large = to_frame(few), to_frame(many)
    assert dtypes(small) == dtypes(large)
    pd.testing.assert_frame_equal(small, large.head(4))
    for name in ("seq_num", "time", "text", "n", "x", "ok", "raw"):
        for frame in (small, large):
            frame.loc[3, name] = frame.loc[0, name]
            assert frame[name].iloc[3] == frame[name].iloc[0]
    assert few.equals(pa.Table.from_pylist(rows * 2, SCHEMA)), "what the frame was made of is as it was"


def test_gaps_keep_integers_integers():
    table = pa.table(
        {"n": pa.array([2**53 + 1, None]), "u": pa.array([None, 2**64 - 1], pa.uint64()), "b": [True, None]}
    )
    frame = to_frame(table)
    assert dtypes(frame) == {"n": "Int64", "u": "UInt64", "b": "boolean"}
    assert frame["n"].iloc[0] == 2**53 + 1
    assert frame["u"].iloc[1] == 2**64 - 1


def test_a_table_without_columns_keeps_its_rows():
    table = pa.table({"a": [1, 2, 3]}).select([])
    assert len(to_frame(table)) == 3


def test_times_keep_all_their_digits():
    kinds = [pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in ("UTC", None, "Asia/Tokyo")]
    values = [-1, None, 1_000_001]
    frame = to_frame(pa.table({str(kind): pa.array(values, kind) for kind in kinds}))
    for kind in kinds:
        column = frame[str(kind)]
        assert str(column.dtype) == f"datetime64[{kind.unit}{', ' if kind.tz else ''}{kind.tz or ''}]"
        assert pa.array(column, kind).cast(pa.int64()).to_pylist() == values
    days = to_frame(pa.table({"d": pa.array([-1, 1], pa.date32())}))["d"]
    assert str(days.dtype) == "datetime64[ms]" and days.dt.strftime("%F").tolist() == ["1969-12-31", "1970-01-02"]


def test_listed_times_are_rounded_down_also_before_1970():
    frame = from_rows(
        [{"at": "1969-12-31T23:59:59.999999Z"}, {"at": None}, {"at": "2026-01-02T03:04:05.678999Z"}],
        pa.schema([("at", TIME)]),
    )
    found = [None if pd.isna(one) else one.isoformat() for one in frame["at"]]
    assert found == ["1969-12-31T23:59:59.999000+00:00", None, "2026-01-02T03:04:05.678000+00:00"]


def test_durations_and_intervals_become_timedeltas():
    day = 86_400 * 10**9
    table = pa.table(
        {
            "d": pa.array([5, None], pa.duration("ms")),
            "i": pa.array([(0, 300_000, -1000), None], pa.month_day_nano_interval()),
            "fine": pa.array([(0, 1, 1), (0, -1, 0)], pa.month_day_nano_interval()),
            "months": pa.array([(14, 3, 1_500_000_000), (0, 0, 0)], pa.month_day_nano_interval()),
            "clock": pa.array([(1, 0, 82_800 * 10**9), (0, 0, -35_999_999 * 10**6)], pa.month_day_nano_interval()),
            "back": pa.array([(-14, 0, -1), None], pa.month_day_nano_interval()),
            "least": pa.array([(0, 0, -(2**63)), (0, 0, 5)], pa.month_day_nano_interval()),
            "none": pa.array([], pa.month_day_nano_interval()).take(pa.array([None, None], pa.int64())),
        }
    )
    frame = to_frame(table)
    assert repr(frame)
    assert {name: kind for name, kind in dtypes(frame).items() if name not in ("months", "clock", "back", "least")} == {
        "d": "timedelta64[ms]",
        "i": "timedelta64[us]",
        "fine": "timedelta64[ns]",
        "none": "timedelta64[us]",
    }
    assert frame["d"].iloc[0] == pd.Timedelta(milliseconds=5) and frame["d"].isna().tolist() == [False, True]
    assert frame["i"].to_numpy().astype("int64")[0] == 300_000 * 86_400 * 10**6 - 1 and pd.isna(frame["i"].iloc[1])
    assert frame["fine"].to_numpy().astype("int64").tolist() == [day + 1, -day]
    assert frame["months"].tolist() == ["P1Y2M3DT1.5S", "PT0S"]
    assert frame["clock"].tolist() == ["P1MT23H", "PT-9H-59M-59.999S"]
    assert frame["least"].tolist() == ["PT-2562047H-47M-16.854775808S", "PT0.000000005S"]
    assert frame["back"].iloc[0] == "P-1Y-2MT-0.000000001S" and pd.isna(frame["back"].iloc[1])


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (59, "PT59S"), (60, "PT1M"), (61, "PT1M1S"), (3599, "PT59M59S"), (3600, "PT1H"), (3661, "PT1H1M1S"), (-61, "PT-1M-1S"),
        (59.75, "PT59.75S"), (60.5, "PT1M0.5S"), (61.25, "PT1M1.25S"), (90_061, "PT25H1M1S"),
    ],
)  # fmt: skip
def test_intervals_beside_one_of_months_are_told_by_hours_minutes_and_seconds(seconds, told):
    column = pa.array([(1, 0, 0), (0, 0, int(seconds * 10**9))], pa.month_day_nano_interval())
    assert to_frame(pa.table({"i": column}))["i"].tolist() == ["P1M", told]


def test_rows_with_a_schema_first():
    frame = from_rows(
        [{"z": 1, "at": "2026-01-02T03:04:05.678Z", "id": 7}, {"id": "b", "at": None}],
        pa.schema([("id", pa.string()), ("at", TIME)]),
        note="x",
    )
    assert list(frame.columns) == ["id", "at", "z"]
    assert frame["id"].tolist() == ["7", "b"]
    assert frame["at"].iloc[0].isoformat() == "2026-01-02T03:04:05.678000+00:00"
    assert frame.attrs == {"note": "x"}
    assert list(from_rows([], pa.schema([("id", pa.string())])).columns) == ["id"]


def test_a_time_that_is_none_is_missing_and_the_others_stay():
    frame = from_rows([{"at": "2026-01-02T03:04:05Z"}, {"at": "yesterday"}], pa.schema([("at", TIME)]))
    assert frame["at"].isna().tolist() == [False, True]
    assert str(frame["at"].dtype) == "datetime64[ms, UTC]"


@pytest.mark.parametrize(
    ("bodies", "mode"),
    [
        ([b'{"a": 1}', b'{"b": 2}'], "json"),
        ([b"hello", b'{"a": 1}'], "text"),
        ([b"\xff\xfe"], "bytes"),
        ([], "bytes"),
        ([None, b""], "bytes"),
        ([b"", b'{"a":1}'], "json"),
        ([b"[1]"], "text"),
    ],
)
def test_auto_says_what_it_picked(bodies, mode):
    array = pa.chunked_array([pa.array(bodies, pa.binary())])
    assert choose_mode(array) == mode
    assert expand_bodies(array).attrs["body"] == mode


def test_rows_that_are_no_objects_keep_their_bytes():
    bodies = pa.array([b'{"a":1}', b"not json", b'{"a":\n2}', b"", None, b'{"a":"\xff"}', b' {"a":3} ', b"[1]"])
    out = expand_bodies(bodies, "json")
    frame = to_frame(pa.table(out.columns), out.attrs)
    assert frame.attrs["undecoded"] == 5
    assert frame["a"].tolist()[0] == 1
    assert frame["a"].tolist()[2] == 2
    assert frame["a"].tolist()[6] == 3
    assert frame["body"].tolist()[1] == b"not json"
    assert frame["body"].tolist()[5] == b'{"a":"\xff"}'
    assert frame["body"].isna().tolist() == [True, False, True, False, True, False, True, False]


@pytest.mark.parametrize(
    "bodies",
    [
        [b'{"a":1', b',"b":2}', b'{"c":1}{"d":2}'],
        [b'{"a":{}', b'{"b":2}}', b'{"c":1}\n{"d":2}'],
        [b'{"a":[{}', b'{"b":2}]}'],
        [b'{"a":"}', b'{"}'],
    ],
)
def test_bodies_are_never_read_as_one(bodies):
    for fast in (True, False):
        out = expand_bodies(pa.array(bodies, pa.binary()), "json", fast=fast)
        good = 0
        for body in bodies:
            try:
                good += isinstance(json.loads(body), dict)
            except ValueError:
                pass
        assert out.undecoded == len(bodies) - good


def test_keys_like_position_columns_are_renamed_visibly():
    out = expand_bodies(pa.array([b'{"seq_num":5,"body":6,"x":7}']), "json", taken={"seq_num", "time"})
    assert {name: column.to_pylist() for name, column in out.columns.items()} == {
        "body.seq_num": [5],
        "body.body": [6],
        "x": [7],
    }


def test_text_shows_foreign_bytes_as_escapes():
    out = expand_bodies(pa.array([b"ok", b"\xff!", None, b"fine"]), "text")
    assert out.columns["body"].to_pylist() == ["ok", "\\xff!", None, "fine"]
    assert out.undecoded == 1


def test_too_many_keys_stay_text():
    bodies = pa.array([json.dumps({f"k{n}": 1}).encode() for n in range(5000)])
    out = expand_bodies(bodies)
    assert list(out.columns) == ["body"]
    assert "not expanded" in out.attrs["note"]
    assert len(out.columns["body"]) == 5000


def test_an_unknown_mode_is_told():
    with pytest.raises(InputError, match="choose one of"):
        expand_bodies(pa.array([b""]), "xml")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.none()
        | st.binary(max_size=20)
        | st.dictionaries(st.sampled_from(["a", "seq", "body"]), st.none() | st.integers() | st.text(max_size=5)).map(
            lambda value: json.dumps(value).encode()
        ),
        max_size=30,
    ),
    st.booleans(),
)
def test_fast_and_plain_agree_on_any_bodies(bodies, split):
    array = (
        pa.chunked_array(
            [pa.array(bodies[: len(bodies) // 2], pa.binary()), pa.array(bodies[len(bodies) // 2 :], pa.binary())]
        )
        if split
        else pa.array(bodies, pa.binary())
    )
    fast, plain = (expand_bodies(array, "json", taken={"seq"}, fast=fast) for fast in (True, False))
    assert fast.undecoded == plain.undecoded
    assert pa.table(fast.columns).equals(pa.table(plain.columns))


def test_frames_of_one_schema_share_nothing_that_can_be_changed():
    table = pa.table({"a": [1, 2], "b": ["x", "y"]})
    first, second = to_frame(table), to_frame(table)
    assert first.columns.equals(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}).columns)
    first.columns.name = "changed"
    first["c"] = 1
    first.loc[0, "a"] = 5
    assert second.columns.name is None and [*second.columns] == ["a", "b"]
    assert to_frame(table).columns.name is None and to_frame(table)["a"].tolist() == [1, 2]


def test_a_text_that_is_no_time_does_not_cost_the_others_theirs():
    """Beside it, times before 1678 and after 2262 had become missing, such as the year 1 that services write for never."""
    known = {
        "0001-01-01T00:00:00Z": datetime(1, 1, 1, tzinfo=UTC),
        "1969-12-31T23:59:59.999999999Z": datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
        "2026-01-01T02:00:00.1234567+02:00": datetime(2026, 1, 1, 0, 0, 0, 123_000, tzinfo=UTC),
        "9999-12-31T23:59:59.999999Z": datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
    }
    for none in ([], ["never"], [None], ["now", "today", ""]):
        found = times(pa.array([*known, *none], pa.string()))
        assert found.type == TIME and found.to_pylist() == [*known.values(), *[None] * len(none)]
    early = times(pa.array(["0001-01-01T00:00:00+01:00", "x"])).cast(pa.int64()).to_pylist()
    assert early == [FIRST_TIME - 3_600_000, None]
