"""What Synap's client tells without a server."""

import json
import pickle

import pandas as pd
import pyarrow as pa
import pytest

from kit.core.environment import Environment
from kit.core.errors import InputError, KitError, SetupError
from kit.core.faces import state_of
from kit.synap import AsyncSynapClient, Stats, SynapClient, SynapError, SynapInputError, SynapTransportError
from kit.synap.client.settings import settings
from kit.synap.errors import code_of, refusal
from kit.synap.explore.bulk import values_of
from kit.synap.explore.explorer import connect
from kit.synap.explore.tables import queue_frame, queue_table

SECRET = "sk_live_0123456789"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Key not found: a", 404),
        ("Queue not found: q", 404),
        ("Invalid value: Value is not a valid integer", 400),
        ("Invalid request: Room 'x' not found", 400),
        ("Queue is full: q", 507),
        ("Unauthorized: no", 401),
        ("NOAUTH Authentication required.", 401),
        ("WRONGPASS invalid username-password pair or user is disabled.", 401),
        ("Quota exceeded: x", 429),
        ("Unknown command: kv.incrby", 400),
    ],
)
def test_codes_follow_from_the_words(text, code):
    assert code_of(text) == code
    error = refusal(text)
    assert (error.message, error.status_code, error.status) == (text, code, code)


def test_errors_are_of_the_family_and_survive_pickling():
    error = refusal("Queue not found: q", op="queue.stats", resource="q")
    again = pickle.loads(pickle.dumps(error))
    assert (again.message, again.status_code, str(again)) == (error.message, 404, str(error))
    assert isinstance(error, KitError) and issubclass(SynapTransportError, ConnectionError)


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("localhost:15500", {}, "not an address"),
        ("ftp://localhost", {}, "not an address"),
        ("resp3://localhost:6379", {}, "RESP3"),
        ("http://localhost:99999999", {}, "not an address"),
        ("http://a:b@localhost", {}, "user or password"),
        (15500, {}, "text"),
        ("http://localhost", {"api_key": SECRET, "username": "a", "password": "b"}, "both"),
        ("http://localhost", {"username": "a"}, "together"),
        ("http://localhost", {"timeout": 0}, "timeout"),
        ("http://localhost", {"rpc_url": "http://localhost:15501"}, "SynapRPC"),
        ("http://localhost", {"api_key": "a b"}, "ASCII"),
    ],
)
@pytest.mark.parametrize("kind", [SynapClient, AsyncSynapClient])
def test_bad_settings_are_told_before_any_traffic(kind, url, options, words):
    with pytest.raises(InputError, match=words) as caught:
        kind(url, **options)
    assert SECRET not in str(caught.value)


def test_where_synaprpc_is_looked_for():
    def rpc(url, rpc_url=None, environment=None):
        return settings(url, None, None, None, rpc_url, 1, 1, Environment(environment or {})).rpc

    assert str(rpc("http://h:15500")) == "h:15501"
    assert rpc("http://h:8080") is None  # the usual port there may be another server's
    assert rpc("https://h") is None
    assert str(rpc("http://h:8080", "synap://h:1")) == "h:1"
    announced = {"SYNAP_URL": "http://h:8080", "SYNAP_RPC_URL": "synap://h:2"}
    assert str(rpc("http://h:8080/", environment=announced)) == "h:2"
    assert rpc("http://other:8080", environment=announced) is None
    assert str(rpc("synap://h")) == "h:15501"
    assert str(rpc("synap://[::1]:5")) == "[::1]:5"


def test_credentials_are_nowhere_to_be_seen():
    for client in (
        SynapClient("http://localhost:1", api_key=SECRET),
        AsyncSynapClient("synap://localhost:1", username="me", password=SECRET),
    ):
        for one in (
            client,
            state_of(client).settings,
            state_of(client).driver,
            client.kv,
            client.pubsub.subscribe(["a"]),
        ):
            assert SECRET not in repr(one) + str(vars(one) if hasattr(one, "__dict__") else "")


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.kv.set("", "v"),
        lambda c: c.kv.set(b"k", "v"),
        lambda c: c.kv.set("k", "v", ttl=1.5),
        lambda c: c.kv.set("k", "v", ttl=-1),
        lambda c: c.kv.set("k", "v", ttl=True),
        lambda c: c.kv.set("k", object()),
        lambda c: c.kv.set("k", float("nan")),
        lambda c: c.kv.set("k", "\ud800"),
        lambda c: c.kv.mget("k"),
        lambda c: c.kv.mset(["ab", "c"]),
        lambda c: c.kv.incrby("k", "5"),
        lambda c: c.kv.incrby("k", 2**63),
        lambda c: c.queue.publish("q", b"x", priority=10),
        lambda c: c.queue.publish("q", b"x", max_retries=-1),
        lambda c: c.queue.create("q", max_depth="many"),
        lambda c: c.stream.consume("r", "s", from_offset=-1),
        lambda c: c.stream.create("r", partitions=0),
        lambda c: c.pubsub.subscribe("topic"),
        lambda c: c.pubsub.subscribe([]),
        lambda c: c.pubsub.publish("t", b"\xff"),
    ],
)
def test_bad_input_is_told_before_any_traffic(call):
    with pytest.raises(SynapInputError):
        call(SynapClient("synap://127.0.0.1:1", connect_timeout=0.1))


def test_nobody_there():
    with SynapClient("synap://127.0.0.1:1", connect_timeout=1) as client:
        with pytest.raises(SynapTransportError, match="could not connect") as caught:
            client.kv.get("k")
        assert caught.value.maybe_received is False
        assert caught.value.status_code is None
    with SynapClient("http://127.0.0.1:1", connect_timeout=1) as client:
        with pytest.raises(SynapError, match="could not connect") as caught:
            client.kv.get("k")
        assert caught.value.status_code is None


def test_an_explorer_needs_an_address():
    with pytest.raises(SetupError, match=r"url=.*SYNAP_URL"):
        connect(Environment({}))


def test_the_environments_key_goes_to_its_own_address_only():
    environment = Environment({"SYNAP_URL": "http://a:1", "SYNAP_API_KEY": SECRET})
    assert state_of(connect(environment).client).settings.api_key is not None
    assert state_of(connect(environment, url="http://b:1").client).settings.api_key is None


def test_stats_are_read_by_key_and_by_attribute():
    stats = Stats({"depth": 3})
    assert stats["depth"] == stats.depth == 3
    assert dict(stats) == {"depth": 3}
    with pytest.raises(AttributeError, match="there are depth"):
        stats.other
    assert pickle.loads(pickle.dumps(stats)) == stats


def test_frames_become_values():
    frame = pd.DataFrame({"a": [1, 2], "t": pd.to_datetime(["2026-01-01", None], utc=True), "event": ["x", "y"]})
    values, events = values_of(frame)
    assert [json.loads(value) for value in values] == [
        {"a": 1, "t": "2026-01-01T00:00:00.000000Z"},
        {"a": 2, "t": None},
    ]
    assert events == ["x", "y"]
    assert values_of(pd.DataFrame({"body": ["a", b"\xff"]}))[0] == ["a", b"\xff"]
    assert values_of("one", event="e") == (["one"], ["e"])
    assert [json.loads(value) for value in values_of({"a": 1})[0]] == [{"a": 1}]
    with pytest.raises(SynapInputError, match="no such column"):
        values_of(frame, body="nothing")


def test_a_single_column_is_written_as_a_column_of_a_table_is():
    times = pa.array([123456789], pa.time64("ns"))
    assert values_of(times)[0] == ['"00:00:00.123456789"']
    assert values_of(pa.table({"body": pa.array([[1]], pa.list_(pa.time64("ns")))}))[0] == ['["00:00:00.000000001"]']
    assert values_of(pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([times]))))[0] == ['"00:00:00.123456789"']
    assert values_of(pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())))[0] == ['{"a":1}', "null"]
    with pytest.raises(SynapInputError, match="outside the years 1 to 9999"):
        values_of(pa.array([253402300800], pa.timestamp("s")))
    assert values_of(pa.chunked_array([], pa.int64())) == ([], [])


def test_figures_of_queues_that_the_server_does_not_state_are_missing():
    rows = [("whole", {"depth": 3, "consumed": 5, "acked": 3, "nacked": 1}), ("part", {"depth": 2, "consumed": 4})]
    frame = queue_frame(rows, 1.0).set_index("queue")
    assert frame["in_flight"].tolist()[0] == 1 and pd.isna(frame.loc["part", "in_flight"])
    assert frame["published"].isna().all() and frame["depth"].tolist() == [3, 2]
    assert queue_table(rows, 1.0)["in_flight"].to_pylist() == [1, None]
