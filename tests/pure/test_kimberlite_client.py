"""The mapping of the reference's shape onto the protocol, the mock client, and what is read from metrics."""

from datetime import UTC, datetime, timedelta, timezone

import pandas as pd
import pytest

import kit.kimberlite
from kit.core.prometheus import parse
from kit.kimberlite import (
    Event,
    KimberliteError,
    KimberliteInputError,
    NetworkError,
    Position,
    StreamId,
    TenantId,
    TimeoutError,
    Timestamp,
)
from kit.kimberlite.client.address import Place, Settings, place_of
from kit.kimberlite.client.sql import is_read, statement
from kit.kimberlite.client.stream_registry import StreamRegistry
from kit.kimberlite.explore.tables import capped, metric_frame
from kit.kimberlite.testing import MockClient

TENANT, STREAM = TenantId(1), StreamId(1, 100)


def test_every_public_name_is_there():
    for name in kit.kimberlite.__all__:
        assert getattr(kit.kimberlite, name).__name__ == name
    with pytest.raises(AttributeError, match="did you mean Client"):
        _ = kit.kimberlite.Clientt


def test_errors_can_be_caught_as_the_reference_says_and_as_python_does():
    import builtins

    assert issubclass(TimeoutError, builtins.TimeoutError) and issubclass(TimeoutError, KimberliteError)
    assert issubclass(NetworkError, ConnectionError) and issubclass(NetworkError, KimberliteError)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("localhost:3000", Place("localhost", 3000)),
        ("db.example", Place("db.example", 5432)),
        ("[::1]:3000", Place("::1", 3000)),
        ("::1", Place("::1", 5432)),
        ("kimberlite://127.0.0.1:5", Place("127.0.0.1", 5)),
    ],
)
def test_addresses(given, place):
    assert place_of(given) == place


@pytest.mark.parametrize("given", ["", ":5", "host:", "host:x", "host:0", "host:65536", "me:pw@host:5", "host/x", None])
def test_what_is_no_address(given):
    with pytest.raises(KimberliteInputError):
        place_of(given)


def settings(**given):
    wanted = {"address": "h", "tenant_id": 1, "api_key": None, "timeout": 1, "connect_timeout": 1, "max_retries": 3}
    return Settings.of(**{**wanted, **given})


@pytest.mark.parametrize(
    "wrong",
    [{"timeout": 0}, {"timeout": True}, {"connect_timeout": float("nan")}, {"max_retries": -1}, {"address": []}],
)
def test_wrong_settings(wrong):
    with pytest.raises(KimberliteInputError):
        settings(**wrong)


def test_settings_do_not_show_the_key():
    assert "hush" not in repr(settings(api_key="hush"))


def test_the_tenant_of_a_call_is_that_of_the_stream():
    book = StreamRegistry(settings())
    assert book.tenant(None, StreamId(2, 5)) == 2
    assert book.tenant(TenantId(2), StreamId(2, 5)) == 2
    assert book.tenant(None, "orders") == 1
    with pytest.raises(KimberliteInputError, match="tenant_id is 3"):
        book.tenant(TenantId(3), StreamId(2, 5))


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        ("select 1", True),
        ("  -- hm\n/* */ SELECT 1", True),
        ("show tables", True),
        ("selector", False),
        ("insert into t select 1", False),
        ("/* select */ delete from t", False),
    ],
)
def test_what_only_reads(sql, reads):
    assert is_read(sql) is reads


def test_a_time_to_travel_to():
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert statement("select 1 -- x", [], moment).sql == "select 1 -- x\nFOR SYSTEM_TIME AS OF '2026-01-31T12:00:00Z'"
    assert statement("select 1", [], Position(7)).position == 7
    for wrong in ("yesterday", datetime(2026, 1, 1), 1.5, True):
        with pytest.raises(KimberliteInputError):
            statement("select 1", [], wrong)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (Timestamp(1_700_000_000_123_456_789), "2023-11-14T22:13:20.123456789Z"),
        (Timestamp(1_700_000_000_000_000_001), "2023-11-14T22:13:20.000000001Z"),
        (Timestamp(-1), "1969-12-31T23:59:59.999999999Z"),
        (Timestamp(1_700_000_000_000_000_000), "2023-11-14T22:13:20Z"),
        ("2026-01-31T12:00:00.1234567Z", "2026-01-31T12:00:00.1234567Z"),
        ("2026-01-31T12:00:00.123456789+02:00", "2026-01-31T12:00:00.123456789+02:00"),
        ("2026-01-31T12:00:00.5Z", "2026-01-31T12:00:00.500000Z"),
        (pd.Timestamp(1_700_000_000_123_456_789, tz="UTC"), "2023-11-14T22:13:20.123456789Z"),
        (datetime(2020, 1, 1, tzinfo=timezone(timedelta(seconds=3601))), "2019-12-31T22:59:59Z"),
    ],
)
def test_a_time_to_travel_to_keeps_its_digits(at, text):
    assert statement("select 1", [], at).sql == f"select 1\nFOR SYSTEM_TIME AS OF '{text}'"


def test_the_real_servers_caps_are_told():
    assert "may be more" in capped(100_000)
    assert capped(99_999) is None


def test_mock_as_in_the_reference():
    client = MockClient()
    client.expect_append(TENANT, STREAM, b"data").returns(Position(1))
    assert client.append(TENANT, STREAM, b"data") == Position(1)
    client.verify()


def test_mock_fails_loudly():
    with pytest.raises(AssertionError, match="never called"), MockClient() as client:
        client.expect_append(TENANT, STREAM, b"data").returns(Position(1))
    client = MockClient()
    with pytest.raises(AssertionError, match="not expected"):
        client.append(TENANT, STREAM, b"data")
    client.expect_append(TENANT, STREAM, b"1").returns(Position(1))
    client.expect_read_stream(TENANT, STREAM).returns([])
    with pytest.raises(AssertionError, match="expected next: append"):
        client.read_stream(TENANT, STREAM)
    with pytest.raises(AssertionError, match="expected next: append"):
        client.append(TENANT, STREAM, b"other")
    client = MockClient()
    client.expect_query("select 1")
    with pytest.raises(AssertionError, match="returns"):
        client.query("select 1")


def test_mock_raises_and_subscribes():
    event = Event(Position(0), TENANT, STREAM, datetime.now(UTC), b"x")
    client = MockClient()
    client.expect_append(TENANT, STREAM, b"x").raises(NetworkError("down"))
    client.expect_subscribe(TENANT, STREAM).returns([event, event])
    with pytest.raises(NetworkError):
        client.append(TENANT, STREAM, b"x")
    subscription = client.subscribe(TENANT, STREAM)
    assert next(subscription) == event
    subscription.close()
    assert list(subscription) == []
    client.close()


def test_metrics_are_tidy_rows():
    text = (
        "# HELP a b\n# TYPE requests_total counter\n"
        'requests_total{method="Query",status="ok"} 3\n'
        'took_seconds_bucket{le="+Inf"} 4\nsize_bytes{metric="m \\"q\\" \\n"} +Inf 1700000000000\n'
    )
    frame = metric_frame(text, 1.5)
    assert list(frame.columns) == ["time", "metric", "value", "unit", "method", "status", "le", "label.metric"]
    assert frame["unit"].tolist() == ["count", "count", "bytes"]
    assert frame["label.metric"].tolist()[2] == 'm "q" \n'
    empty = metric_frame("", 0)
    assert str(empty["time"].dtype) == "datetime64[ms, UTC]" and len(empty) == 0


@pytest.mark.parametrize(
    "line",
    ["x", "x{", "x{a=}", 'x{a="', 'x{a="b"', "{} 1", "x one", "x 1 2 3", 'x{a="b"c="d"} 1', "x 1 " + "9" * 30, "\x00"],
)
def test_lines_that_are_no_metrics_are_counted(line):
    found = parse(f"fine 1\n{line}\nfine 2")
    assert [row[2] for row in found.rows] == [1, 2] and found.unread == 1


def test_hostile_metrics_are_bounded():
    text = "\n".join(f'x{{l{n}="v"}} 1' for n in range(1000))
    found = parse(text)
    assert len(found.labels) == 50 and found.unread == 950
    assert parse("x{" + 'a="' * 100_000).unread == 1
    assert parse('x{a="' + "\\" * 100_000).unread == 1
