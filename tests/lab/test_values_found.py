"""Values that were changed, lost or refused without a reason once: each as it was found."""

import datetime as dt
import json
import uuid
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import kit
from tests.values.paths import Services, of_frame, of_table

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def services(lab):
    return Services(lab.s2, lab.kimberlite, lab.synap)


@pytest.fixture(params=["s2", "kimberlite", "synap"])
def log(services, request):
    found = services.log(request.param)
    yield found
    found.drop()


def bodies(log):
    return of_frame(log.read(body="bytes"))[log.raw][1]


def seen(log, *columns):
    """The same columns by every path; all must be equal."""
    query = f'select * from t order by "{log.position}"'
    with kit.Feed(log.handle, start=0) as feed:
        feed.wait(n=len(log.read(body="bytes")), timeout=20)
        found = [
            of_frame(log.read()),
            of_table(log.handle.arrow().read_all()),
            of_frame(kit.sql(query, t=log.handle)),
            of_frame(feed.df),
        ]
    parts = [{name: one[name] for name in one if name not in log.taken} for one in found]
    assert all(repr(part) == repr(parts[0]) for part in parts), parts
    return parts[0] if not columns else [parts[0][name] for name in columns]


@pytest.mark.parametrize("char", ["\u2028", "\u2029", "\x85", "\n", "\r", "\x1e"])
def test_no_character_ends_a_record(log, char):
    given = pd.DataFrame({"x": [f"a{char}b", "plain", char]})
    log.append(given)
    assert seen(log, "x") == [("string", given["x"].tolist())]


def test_floats_come_back_bit_by_bit(log):
    given = [1 / 3, 1.23456789e-9, 0.1 + 0.2, 1.7976931348623157e308, 5e-324, -0.0, 1.0, 1e22]
    log.append(pd.DataFrame({"x": given}))
    assert [repr(value) for value in seen(log)["x"][1]] == [repr(value) for value in given]


def test_infinities_are_refused_with_their_place(log):
    with pytest.raises(kit.KitError, match="row 1, column 'x': inf"):
        log.append(pd.DataFrame({"x": [1.0, float("inf")]}))
    for value in (float("inf"), float("-inf"), np.float64("inf")):
        with pytest.raises(kit.KitError, match="record 1 at a: "):
            log.append([{"a": 1}, {"a": value}])
    assert not len(log.read())
    log.append([{"a": float("nan")}])
    assert bodies(log) == [b'{"a":null}']


def test_integers_with_gaps_stay_integers(log):
    table = pa.table(
        {
            "a": pa.array([2**53 + 1, None, 7]),
            "u": pa.array([2**64 - 1, None, 0], pa.uint64()),
            "l": pa.array([[2**53 + 1, None], None, []], pa.list_(pa.int64())),
        }
    )
    log.append(table)
    assert seen(log) == {
        "a": ("int64", [2**53 + 1, None, 7]),
        "u": ("uint64", [2**64 - 1, None, 0]),
        "l": ("list<int64>", [[2**53 + 1, None], None, []]),
    }


def test_what_a_log_gave_can_be_appended_and_is_the_same(log, services):
    log.append(pa.table({"a": pa.array([2**53 + 1, None, 7]), "x": pa.array(["a\u2028", None, ""])}))
    again = services.log(log.service)
    again.append(log.handle.arrow().read_all().select(["a", "x"]))
    assert bodies(again) == bodies(log)
    again.drop()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_keep_their_digits_also_before_1970(log, unit):
    per = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    counts = [-1, 0, 1, 1_600_000_000 * per + 1, None]
    given = pa.array(counts, pa.timestamp(unit, "UTC"))
    log.append(pa.table({"t": given}).to_pandas(types_mapper=pd.ArrowDtype))
    types = {"t": given.type}
    assert log.handle.arrow(types=types).read_all()["t"].combine_chunks().equals(given)
    assert pa.array(log.read(types=types)["t"]).cast(pa.int64()).to_pylist() == counts


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (np.arange(2000), list(range(2000))),
        (np.int64(5), 5),
        (np.bool_(True), True),
        (pd.NA, None),
        (pd.NaT, None),
        (b"\x00\xff", "AP8="),
        (dt.date(2020, 1, 1), "2020-01-01"),
        (dt.datetime(1, 1, 1), "0001-01-01T00:00:00"),
        (pd.Timedelta("0.5ms"), "P0DT0H0M0.000500S"),
        (Decimal("1.10"), "1.10"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_dicts_hold_values_and_not_their_reprs(log, value, written):
    log.append([{"a": value}])
    assert [json.loads(body) for body in bodies(log)] == [{"a": written}]


def test_dates_and_timedeltas_of_frames_are_no_numbers(log):
    log.append(
        pd.DataFrame(
            {"d": [dt.date(2020, 1, 1)], "t": pd.to_timedelta([1_500_000], unit="ns"), "old": [dt.datetime(1, 1, 1)]}
        )
    )
    assert json.loads(bodies(log)[0]) == {
        "d": "2020-01-01",
        "t": "P0DT0H0M0.001500000S",
        "old": "0001-01-01T00:00:00.000000",
    }


def test_columns_are_the_same_on_all_paths_whatever_they_are_called(log):
    log.append([{"price": 1, "PRICE": 1000000, "a\0": 1, "a": 2, "data": 5, "body": 6}])
    prefixed = "body." + log.raw
    found = seen(log)
    assert found["price"] == ("int64", [1]) and found["PRICE"] == ("int64", [1000000])
    assert found["a"] == ("int64", [2]) and found["a\0"] == ("int64", [1])
    assert found[prefixed] == ("int64", [5 if log.raw == "data" else 6]) and log.raw not in found


@pytest.mark.parametrize("text", ["plain", '"quoted"', "5", "{}x"])
def test_texts_are_shown_alike_on_all_paths(log, text):
    log.append([text, "more text"])
    assert seen(log) == {log.raw: ("string", [text, "more text"])}


@pytest.mark.parametrize(
    ("values", "kind", "shown"),
    [
        ([900, 0.5], "double", [900.0, 0.5]),
        ([900, "x"], "string", ["900", "x"]),
        ([900.0, "x", 900], "string", ["900.0", "x", "900"]),
        ([1, 2**64, 2], "string", ["1", str(2**64), "2"]),
        ([2**53 + 1, 0.5], "string", [str(2**53 + 1), "0.5"]),
        ([2**63, -1], "string", [str(2**63), "-1"]),
        ([None, None], "string", [None, None]),
        ([[], [1]], "list<int64>", [[], [1]]),
        ([{}, {"k": 1}], "struct<'k': int64>", [{"k": None}, {"k": 1}]),
    ],
    ids=repr,
)
def test_columns_whose_values_change_are_the_same_on_all_paths(log, values, kind, shown):
    log.append([{"x": value} for value in values[:1]])
    log.append([{"x": value} for value in values[1:]])
    assert seen(log, "x") == [(kind, shown)]


def test_more_keys_than_columns_are_useful_for_are_shown_alike(log):
    given = {f"k{n}": n for n in range(513)}
    log.append([given])
    ((name, (kind, values)),) = seen(log).items()
    assert (name, kind, [json.loads(value) for value in values]) == (log.raw, "string", [given])


def test_two_columns_of_one_name_are_refused(log):
    for frame in (pd.DataFrame([[1, 2]], columns=[1, "1"]), pd.DataFrame([[1, 2]], columns=["a", "a"])):
        with pytest.raises(kit.KitError, match="two columns have the same name"):
            log.append(frame)


def test_rows_without_columns_are_rows(log):
    log.append(pd.DataFrame(index=range(3)))
    assert bodies(log) == [b"{}"] * 3


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({1, 2}, "set"),
        ("a\ud800", "half of a character"),
        (pd.Period("2020-01"), "Period"),
        (pd.Interval(0, 1), "Interval"),
        (1j, "complex"),
        (object(), "object"),
    ],
    ids=["set", "half", "period", "interval", "complex", "object"],
)
def test_what_cannot_be_kept_is_refused_with_row_and_column_before_anything_is_sent(log, value, why):
    with pytest.raises(kit.KitError, match=rf"row 1, column 'x': .*{why}"):
        log.append(pd.DataFrame({"x": pd.Series([1, value], dtype=object)}))
    with pytest.raises(kit.KitError, match=rf"record 1 at a\.b\[0\]: .*{why}"):
        log.append([{"a": 1}, {"a": {"b": [value]}}])
    assert not len(log.read())


def test_narrow_and_wide_integers_in_a_feed_stay_numbers():
    import asyncio

    async def chunks():
        yield pa.record_batch({"n": pa.array([255], pa.uint8())})
        yield pa.record_batch({"n": pa.array([-(2**63)], pa.int64())})
        await asyncio.sleep(0)

    with kit.Feed(chunks) as feed, warnings.catch_warnings():
        feed.wait(n=2, timeout=10)
        assert feed.df["n"].tolist() == [255, -(2**63)]


def test_some_columns_are_read_as_among_all(log):
    log.append([{"a": None, "b": {"x": None}}, {"c": None, "b": {}}])
    whole = of_frame(log.read())
    some = of_table(kit.sql(f'select b from t order by "{log.position}"', arrow=True, t=log.handle).read_all())
    assert some == {"b": whole["b"]} == {"b": ("struct<'x': string>", [{"x": None}, {"x": None}])}


def test_wide_objects_take_time_in_proportion(services, log):
    import time

    def seconds(keys):
        """Of this process, at best."""
        one = services.log(log.service)
        one.append([{f"k{n}": n for n in range(keys)}] * 3)
        best = 60.0
        for _ in range(4):
            began = time.process_time()
            one.handle.arrow().read_all()
            best = min(best, time.process_time() - began)
        one.drop()
        return best

    assert seconds(512) < 5 * seconds(128)


def test_times_near_the_ends_of_nanoseconds_are_written_in_other_zones_too(log):
    ends = pa.array([2**63 - 1, -(2**63) + 1, -1], pa.timestamp("ns", "Asia/Kathmandu"))
    log.append(pa.table({"t": ends}))
    assert log.handle.arrow(types={"t": ends.type}).read_all()["t"].combine_chunks().equals(ends)


def test_bytes_in_utf_16_are_no_json(log):
    given = '{"a": 1}'.encode("utf-16-le")
    log.append([given])
    assert list(seen(log)) == [log.raw]
    if log.service != "synap":  # where it is valid text, a room keeps the JSON of it
        assert bodies(log) == [given]
