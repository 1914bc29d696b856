"""S2 in a notebook: frames with the promised types, appends of whatever is at hand, handles without traffic."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import kit
from kit.core.errors import SetupError
from kit.s2 import (
    FencingTokenMismatchError,
    Record,
    S2ClientError,
    S2ServerError,
    SeqNum,
    SeqNumMismatchError,
    StreamConfig,
    Timestamp,
)
from kit.s2.explore.explorer import connect

pytestmark = pytest.mark.lab


@pytest.fixture
def s2(quiet_lab):
    return quiet_lab.s2


@pytest.fixture(scope="module")
def basin(lab):
    return lab.s2.create_basin(f"test-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def stream(basin):
    return basin.create(f"s/{uuid.uuid4().hex}")


def dtypes(frame):
    return {name: str(kind) for name, kind in frame.dtypes.items()}


def test_the_demo_reads_as_it_should(s2):
    orders = s2["demo-shop"]["orders"]
    frame = orders.read()
    assert len(frame) == 5000
    assert dtypes(frame) | {"seq_num": "uint64", "time": "datetime64[ms, UTC]", "customer": "str"} == dtypes(frame)
    assert frame["seq_num"].tolist() == list(range(5000))
    assert frame["time"].is_monotonic_increasing
    assert frame.attrs == {"stream": "orders", "body": "json", "undecoded": 0}


def test_starts_and_ends(s2):
    orders = s2["demo-shop"]["orders"]
    whole = orders.read()
    middle = whole["time"].iloc[2500]
    assert orders.read(4990)["seq_num"].tolist() == list(range(4990, 5000))
    assert orders.read("tail-3")["seq_num"].tolist() == [4997, 4998, 4999]
    assert orders.read(SeqNum(5), limit=2)["seq_num"].tolist() == [5, 6]
    for start in (middle, middle.to_pydatetime(), str(middle), Timestamp(int(middle.timestamp() * 1000))):
        assert orders.read(start)["time"].min() >= middle
    early = orders.read(until=middle)
    assert early["time"].max() < middle
    assert len(early) + len(orders.read(middle)) == 5000
    assert len(orders.read(0, limit=1500)) == 1500
    assert len(orders.read(0, limit=0)) == 0
    assert orders.read(0, limit=2**70)["seq_num"].tolist() == orders.read(0)["seq_num"].tolist()
    assert len(orders.read(10**9)) == 0
    tail = orders.tail(2)
    assert (tail["seq_num"].tolist(), tail.attrs["tail"]) == ([4998, 4999], 5000)


@pytest.mark.parametrize("start", ["yesteryear", "head", 1.5, None, -1, True, "tail--1"])
def test_a_wrong_start_is_told_before_traffic(s2, start):
    with pytest.raises(S2ClientError):
        s2["demo-shop"]["orders"].read(start)


def test_an_empty_read_has_the_same_types(stream):
    empty = stream.read(body="bytes")
    stream.append(b"x")
    assert dtypes(stream.read(body="bytes")) == dtypes(empty)
    assert dtypes(empty) == {"seq_num": "uint64", "time": "datetime64[ms, UTC]", "body": "binary[pyarrow]"}


def test_appending_a_frame_and_reading_it_back(stream):
    frame = pd.DataFrame(
        {
            "n": np.arange(2500),
            "x": np.linspace(0, 1, 2500),
            "name": [f'"{n}",\n\t{{é' for n in range(2500)],
            "when": pd.date_range("2026-01-01", periods=2500, freq="s", tz="UTC"),
            "maybe": [None if n % 3 else n for n in range(2500)],
        }
    )
    ack = stream.append(frame)
    assert (ack.start.seq_num, ack.end.seq_num) == (0, 2500)
    back = stream.read()
    assert back["n"].tolist() == frame["n"].tolist()
    assert np.allclose(back["x"], frame["x"])
    assert back["name"].tolist() == frame["name"].tolist()
    assert pd.to_datetime(back["when"]).tolist() == frame["when"].tolist()
    assert back["maybe"].isna().tolist() == frame["maybe"].isna().tolist()


def test_appending_with_columns_for_body_time_and_headers(basin):
    from kit.s2 import Timestamping

    config = StreamConfig(timestamping=Timestamping(uncapped=True))
    stream = basin.create(f"timed/{uuid.uuid4().hex}", config)
    times = pd.date_range("2026-03-01", periods=3, freq="h", tz="UTC")
    headers = [[{"name": b"k", "value": b"v"}], [], [{"name": b"a", "value": b""}]]
    frame = pd.DataFrame({"payload": [b"a", b"", b"\xff"], "at": times, "h": headers})
    stream.append(frame, body="payload", timestamp="at", headers="h")
    back = stream.read(body="bytes")
    assert back["body"].tolist() == [b"a", b"", b"\xff"]
    assert back["time"].tolist() == list(times)
    assert [[(p["name"], p["value"]) for p in one] for one in back["headers"]] == [[(b"k", b"v")], [], [(b"a", b"")]]


@pytest.mark.parametrize(
    "given",
    [
        b"one",
        "one",
        {"a": 1},
        [b"a", "b", {"c": 1}],
        [Record(b"a", [(b"k", b"v")]), Record(b"b")],
        pd.DataFrame({"body": ["a", "b"]}),
        pa.table({"a": [1, 2]}),
    ],
    ids=range(7),
)
def test_what_can_be_appended(stream, given):
    ack = stream.append(given)
    assert len(stream.read(body="bytes")) == ack.end.seq_num > 0


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        ([], {}, "no records"),
        (pd.DataFrame({"a": []}), {}, "no records"),
        (pd.DataFrame({"a": [1]}), {"body": "b"}, "no such column"),
        ([object()], {}, "record 0 is a object"),
        ([{"a": object()}], {}, "cannot be written as JSON"),
        (5, {}, "cannot be appended"),
        ([b"x" * 2**20], {}, "metered bytes"),
        ([b"x"], {"body": "b"}, "names a column of a table"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), {}, "same name"),
        ([b"x"], {"fencing_token": "x" * 37}, "36"),
    ],
    ids=range(10),
)
def test_what_cannot_be_appended_is_told_and_nothing_is(stream, given, options, words):
    with pytest.raises(S2ClientError, match=words):
        stream.append(given, **options)
    assert stream.position().seq_num == 0


def test_conditions_and_orders(stream):
    stream.append([b"a"] * 1500, match_seq_num=0)
    with pytest.raises(SeqNumMismatchError) as caught:
        stream.append([b"a"], match_seq_num=0)
    assert caught.value.expected_seq_num == 1500
    stream.fence("mine")
    with pytest.raises(FencingTokenMismatchError):
        stream.append(b"b", fencing_token="theirs")
    stream.append(b"b", fencing_token="mine")
    assert stream.read(1500)["seq_num"].tolist() == [1501]
    assert stream.read(1500, commands=True, body="bytes")["seq_num"].tolist() == [1500, 1501]
    stream.trim(100)
    assert stream.config().retention_policy == 604800
    assert stream.reconfigure(StreamConfig(retention_policy="infinite")).retention_policy == "infinite"


def test_bodies_that_are_no_json_keep_their_bytes(stream):
    stream.append([b'{"seq_num": 7, "a": 1}', b"\xff\xfe", b"[1]"])
    frame = stream.read(body="json")
    assert frame["body.seq_num"].tolist()[0] == 7
    assert frame["body"].tolist()[1:] == [b"\xff\xfe", b"[1]"]
    assert frame.attrs["undecoded"] == 2


def test_arrow_streams(s2):
    reader = s2["demo-shop"]["clicks"].arrow()
    assert reader.schema.names == ["seq_num", "time", "headers", "session", "page", "ms", "body"]
    first = reader.read_next_batch()
    rest = reader.read_all()
    assert first.num_rows + rest.num_rows == 20_000
    left = s2["demo-shop"]["clicks"].arrow()
    left.read_next_batch()
    left.close()


def test_listings_and_metrics(s2, basin, stream):
    stream.append(b"x" * 1000)
    assert basin.name in s2.basins()["name"].tolist()
    assert stream.name in s2.streams(basin.name)["name"].tolist()
    assert str(s2.basins()["created_at"].dtype) == "datetime64[ms, UTC]"
    assert {"name", "is_private"} == set(s2.locations().columns)
    assert str(s2.tokens()["expires_at"].dtype) == "datetime64[ms, UTC]"
    ops = s2.metrics("account-ops", interval="hour", start=datetime.now(UTC) - timedelta(hours=2))
    assert list(ops.columns) == ["time", "metric", "value", "unit", "interval", "basin", "stream", "label"]
    assert ops["value"].sum() > 0
    names = s2.metrics("active-basins")
    assert s2.metrics()["metric"].tolist() == names["metric"].tolist()
    assert s2.metrics(basin=basin.name)["metric"].unique().tolist() == ["storage"]
    assert basin.name in names["label"].tolist()
    stored = s2.metrics("storage", basin=basin.name, stream=stream.name)
    assert stored["value"].max() >= 1000
    assert stored["unit"].unique().tolist() == ["bytes"]
    for wrong in ({"set": "nonsense"}, {"set": "storage"}, {"set": "storage", "stream": "x"}):
        with pytest.raises(S2ClientError):
            s2.metrics(**wrong)
    with pytest.raises(S2ClientError, match="'minute'"):
        s2.metrics("account-ops", interval="second")


def test_handles_cost_no_traffic_and_complete_names(lab):
    from kit.core import calls

    s2 = connect(lab.env())
    calls.forget()
    handle = s2["demo-shop"]["orders"]
    repr((s2, s2["demo-shop"], handle))
    handle._repr_html_()
    assert len(calls.calls()) == 0
    assert "demo-shop" in s2._ipython_key_completions_()
    assert "orders" in s2["demo-shop"]._ipython_key_completions_()
    s2.close()
    gone = connect(
        {"S2_ACCESS_TOKEN": "t", "S2_ACCOUNT_ENDPOINT": "http://127.0.0.1:9", "S2_BASIN_ENDPOINT": "http://127.0.0.1:9"}
    )
    assert gone._ipython_key_completions_() == []


def test_connecting_names_what_is_missing():
    with pytest.raises(SetupError, match="S2_ACCESS_TOKEN"):
        connect({})
    with pytest.raises(SetupError, match="only one of"):
        connect({"S2_ACCESS_TOKEN": "t", "S2_BASIN_ENDPOINT": "http://h"})
    assert "a.s2.dev" in repr(connect({"S2_ACCESS_TOKEN": "t"}))
    assert "secret_token" not in repr(kit.connect("s2", access_token="secret_token"))


def test_an_unknown_stream_is_told_with_its_name(s2):
    with pytest.raises(S2ServerError, match="stream_not_found") as caught:
        s2["demo-shop"]["missing"].read()
    assert "missing" in str(caught.value)


def test_many_bodies_of_json_are_quick_and_right(stream):
    bodies = [json.dumps({"n": n, "kind": "abc"[n % 3], "v": n / 7}) for n in range(30_000)]
    stream.append(bodies)
    frame = stream.read()
    assert frame["n"].tolist() == list(range(30_000))
    assert frame.attrs["undecoded"] == 0
