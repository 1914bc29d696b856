"""Where to start and end: the same forms for every log, and the same records for each of them."""

import time
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import kit
from kit.core.errors import InputError
from kit.core.log.places import At, Moment, place_of


@pytest.fixture(scope="module")
def lab():
    with kit.Lab("s2", "kimberlite", "synap", join=False, demo=False) as lab:
        yield lab


@pytest.fixture(scope="module", params=["s2", "kimberlite", "synap"])
def log(request, lab):
    """Ten records, a pause longer than any clock's step, ten more."""
    name = "places"
    if request.param == "s2":
        log = lab.s2.create_basin("places-basin").create(name)
        append = log.append
    elif request.param == "kimberlite":
        log = lab.kimberlite[name]
        append = log.append
    else:
        lab.synap.client.stream.create(name)
        log = lab.synap[name]
        append = log.publish
    append(pd.DataFrame({"n": range(10)}))
    time.sleep(2.2)
    log.between = datetime.now(UTC) - timedelta(seconds=1)
    append(pd.DataFrame({"n": range(10, 20)}))
    return log


def numbers(frame):
    return frame["n"].tolist() if len(frame) else []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, range(20)),
        ({"start": np.uint64(5)}, range(5, 20)),
        ({"start": np.int64(18), "limit": np.int64(1)}, [18]),
        ({"start": "earliest", "until": 3}, range(3)),
        ({"start": "tail-3"}, [17, 18, 19]),
        ({"start": "tail-3", "until": "tail-1"}, [17, 18]),
        ({"start": "latest"}, []),
        ({"start": 4, "until": np.uint64(6)}, [4, 5]),
        ({"start": 4, "until": 4}, []),
        ({"start": 8, "until": 100, "limit": 5}, range(8, 13)),
        ({"start": "-1h"}, range(20)),
        ({"start": "1h ago", "until": "-59m"}, []),
        ({"start": "yesterday"}, range(20)),
        ({"start": pd.Timedelta("1h")}, range(20)),
        ({"start": timedelta(hours=1)}, range(20)),
        ({"start": date(2020, 1, 1)}, range(20)),
        ({"start": np.datetime64("2020-01-01")}, range(20)),
        ({"start": "2020-01-01", "until": "2020-01-02"}, []),
    ],
    ids=str,
)
def test_every_form_means_the_same_in_every_log(log, options, expected):
    assert numbers(log.read(**options)) == list(expected)
    assert numbers(pa.table(log.arrow(**options)).to_pandas()) == list(expected)


def test_times_divide_what_came_before_from_what_came_after(log):
    moment = log.between
    assert numbers(log.read(moment)) == list(range(10, 20))
    assert numbers(log.read(until=pd.Timestamp(moment))) == list(range(10))
    assert numbers(log.read(moment.isoformat())) == list(range(10, 20))
    assert numbers(log.read(2, until=moment, limit=3)) == [2, 3, 4]
    assert numbers(kit.sql("select n from t where n < 15", t=log.arrow(moment))) == list(range(10, 15))


def test_the_position_after_the_last_row_goes_on(log):
    frame = log.read(limit=7)
    assert numbers(log.read(frame.iloc[:, 0].max() + 1)) == list(range(7, 20))


def test_live_starts_at_the_same_places(log):
    for start, expected in ((np.uint64(15), range(15, 20)), ("tail-2", [18, 19]), ("earliest", range(20))):
        with kit.Feed(log, start=start) as feed:
            feed.wait(n=len(expected), timeout=10)
            assert numbers(feed.df) == list(expected)
    with kit.Feed(log, start=log.between) as feed:
        feed.wait(n=10, timeout=10)
        assert numbers(feed.df) == list(range(10, 20))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (datetime(2026, 1, 1), "no zone"),
        (pd.Timestamp("2026-01-01"), "no zone"),
        ("1h", 'write "-1h"'),
        ("earlyest", "did you mean 'earliest'"),
        ("somewhere", "not a position in a log"),
        (1.5, "not a position in a log"),
        (True, "not a position in a log"),
        (-5, "tail-5"),
        (pd.NaT, "not a position in a log"),
        (None, "not a position in a log"),
    ],
    ids=str,
)
def test_what_is_no_place_is_refused_with_the_way_out(log, given, words):
    calls = [lambda: log.read(given)]
    if given is not None:  # which means "to the end", and "from now on"
        calls += [lambda: log.read(0, until=given), lambda: kit.Feed(log, start=given)]
    for call in calls:
        with pytest.raises(InputError, match=words) as caught:
            call()
        assert type(caught.value) is not InputError, "a refusal is an error of the service too"


@pytest.mark.parametrize("limit", [-1, 1.5, "3", True])
def test_limits_are_numbers(log, limit):
    with pytest.raises(InputError, match="limit="):
        log.read(limit=limit)


def test_what_a_time_without_a_zone_means_does_not_depend_on_this_machine(monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert place_of("2026-01-02 00:00") == Moment(1_767_312_000_000)
        assert place_of(date(2026, 1, 2)) == Moment(1_767_312_000_000)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_clock_of_ones_own_decides_what_ago_means():
    assert place_of("15m ago", now=lambda: 900.0) == Moment(0)
    assert place_of("today", now=lambda: 90_000.0) == Moment(86_400_000)
    assert place_of("earliest") == At(0)
    assert place_of("2026-01-02T00:00:00Z") == Moment(1_767_312_000_000)


@pytest.mark.parametrize(
    ("given", "nanoseconds"),
    [
        (pd.Timestamp("2026-01-02T00:00:00.123456789Z"), 1_767_312_000_123_456_789),
        (pd.Timestamp("1969-12-31T23:59:59.999999999Z"), -1),
        ("2026-01-02T00:00:00.123456789+01:00", 1_767_308_400_123_456_789),
        ("2026-01-02T00:00:00,1234567Z", 1_767_312_000_123_456_700),
        (np.datetime64("1969-12-31T23:59:59.999999"), -1000),
        (np.datetime64(-1, "ns"), -1),
        (np.datetime64("9999-12-31"), 253_402_214_400 * 10**9),
        (datetime(1, 1, 1, tzinfo=UTC), -62_135_596_800 * 10**9),
    ],
    ids=str,
)
def test_a_time_keeps_all_its_digits(given, nanoseconds):
    assert place_of(given).nanoseconds == nanoseconds
    assert place_of(given).ceiling == -(-nanoseconds // 10**6)


def test_a_time_between_two_milliseconds_is_between_their_records(lab):
    stream = lab.s2["places-basin"].create("between")
    stream.append([kit.s2.Record(b"%d" % n, timestamp=1_767_312_000_000 + n) for n in range(4)])
    between = pd.Timestamp("2026-01-02T00:00:00.001500Z")
    assert stream.read(between)["seq_num"].tolist() == [2, 3]
    assert stream.read(until=between)["seq_num"].tolist() == [0, 1]
    assert stream.read(until=between, columns="seq_num")["seq_num"].tolist() == [0, 1]


def test_some_columns_and_the_oldest_records(log):
    assert numbers(log.head(3)) == [0, 1, 2]
    assert log.read(5, limit=3, columns=["n"]).columns.tolist() == ["n"]
    assert numbers(log.read(5, limit=3, columns="n")) == [5, 6, 7]
    with pytest.raises(InputError, match=r"did you mean 'n'|there are"):
        log.read(columns=["nn"])


def test_some_columns_are_what_they_are_among_all(lab):
    stream = lab.s2["places-basin"].create("drift")
    stream.append([{"a": n, "b": {"x": n}} for n in range(2500)])
    stream.append([{"a": 0.5, "b": {"y": [1]}}, {"a": "text"}])
    stream.append([{"a": n, "b": {"x": n}} for n in range(2500)])
    whole = stream.read()
    for columns in (["a"], ["b"], ["b", "a"], ["seq_num", "a"]):
        pd.testing.assert_frame_equal(stream.read(columns=columns), whole[columns], check_column_type=False)
