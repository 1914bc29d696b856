"""The embedded Synap at its edges: what is no JSON, no number or no pattern, requests that come close together."""

import json
import time

import httpx
import pytest

from kit.synap.wire import frames as wire

from .synaplite import Raw, SynapLab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def synap(tmp_path_factory):
    lab = SynapLab(tmp_path_factory.mktemp("synap"), events=50, unread=80)
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def http(synap):
    with httpx.Client(base_url=synap.url, headers={"authorization": f"Bearer {synap.key}"}) as client:
        yield client


@pytest.fixture
def command(http):
    def command_(asked, /, **payload):
        told = http.post("/api/v1/command", json={"command": asked, "request_id": "r", "payload": payload}).json()
        return told["payload"] if told["success"] else told["error"]

    return command_


@pytest.fixture
def rpc(synap):
    raw = Raw(synap, synap.key)
    yield raw
    raw.close()


# --- JSON -----------------------------------------------------------------------------------------------------------


def _posted(http, value):
    body = f'{{"command": "kv.set", "request_id": "r", "payload": {{"key": "odd", "value": {value}}}}}'
    return http.post("/api/v1/command", content=body, headers={"content-type": "application/json"})


@pytest.mark.parametrize("value", ["NaN", "[-Infinity]", '{"a": Infinity}'])
def test_what_python_alone_takes_for_json_is_refused(http, value):
    assert _posted(http, value).status_code == 400


def test_other_encodings_are_refused(http):
    body = '{"command": "kv.dbsize", "request_id": "r", "payload": {}}'.encode("utf-16")
    response = http.post("/api/v1/command", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400


@pytest.mark.parametrize("value", ["1e400", "[-1e999]"])
def test_a_number_out_of_range_is_not_stored(http, command, value):
    command("kv.del", key="odd")
    assert _posted(http, value).json()["error"] == "Invalid request: number out of range"
    assert command("kv.get", key="odd") is None


def _strict(text):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_values_that_are_no_json_are_null_to_many(http, command, rpc):
    for key, value in {"n": "NaN", "i": "-Infinity", "e": "1e999", "u": "1\0", "b": "\ufeff1", "f": "1.5"}.items():
        assert rpc("SET", f"m:{key}", value) == "OK"
    payload = {"command": "kv.mget", "request_id": "r", "payload": {"keys": [f"m:{key}" for key in "niebuf"]}}
    told = _strict(http.post("/api/v1/command", json=payload).text)
    assert told["payload"]["values"] == [None, None, None, None, None, 1.5]


def test_sockets_carry_json(synap, rpc):
    from websockets.sync.client import connect

    base, headers = synap.url.replace("http", "ws"), {"authorization": f"Bearer {synap.key}"}
    with connect(f"{base}/pubsub/ws?topics=odd", additional_headers=headers) as socket:
        socket.recv(5)
        for payload in (b"NaN", b"1\0", b"2"):
            assert rpc("PUBLISH", "odd", payload)["subscribers_matched"] == 1
        assert [_strict(socket.recv(5))["payload"] for _ in range(3)] == ["NaN", "1\0", 2]
    rpc("SCREATE", "odd")
    for data in (b"NaN", b"[1e999]", b'"text"'):
        rpc("SPUBLISH", "odd", "e", data)
    with connect(f"{base}/stream/odd/ws/me", additional_headers=headers) as socket:
        socket.recv(5)
        assert [_strict(socket.recv(5))["data"] for _ in range(3)] == [None, None, "text"]


def test_either_all_pairs_are_stored_or_none(http, command):
    body = b'{"command": "kv.mset", "request_id": "r", "payload": {"pairs": [["p:a", 1], ["p:b", "\\ud800"]]}}'
    response = http.post("/api/v1/command", content=body, headers={"content-type": "application/json"})
    assert "surrogate" in response.json()["error"]
    assert command("kv.get", key="p:a") is None


# --- numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [2**32, 2**63, 2**64 - 1])
def test_retries_beyond_any_number_are_refused(http, command, rpc, number):
    command("queue.create", name="odd")
    assert command("queue.publish", queue="odd", payload=[1], max_retries=number).startswith("Invalid value: max_ret")
    if number < 2**63:
        assert rpc("QPUBLISH", "odd", b"x", 5, number).startswith("! Invalid value: max_retries")
    assert http.post("/queue/odd/publish", json={"payload": [1], "max_retries": number}).status_code == 422
    assert command("queue.stats", queue="odd")["published"] == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"expiry": 60},
        {"expiry": {"type": ["seconds"], "value": 60}},
        {"expiry": {"type": "hours", "value": 1}},
        {"expiry": {"type": "seconds", "value": -1}},
        {"expiry": {"value": 1}},
    ],
)
def test_an_end_that_is_none_makes_no_value_without_an_end(http, fields):
    response = http.post("/kv/set", json={"key": "end", "value": "v", **fields})
    assert response.status_code == 422 and "expiry" in response.text
    assert http.get("/kv/get/end").json() == {"error": "Key not found"}
    assert http.post("/queue/odd/publish", json={"payload": [1], "max_retries": -1}).status_code == 422


@pytest.mark.parametrize("amount", [float("inf"), float("nan"), 3.7, "1_0", " 5", "٣", True, None])
def test_numbers_that_are_none(rpc, amount):
    rpc("DEL", "n")
    assert rpc("INCRBY", "n", amount) == "! ERR value is not an integer or out of range"
    assert rpc("GET", "n") is None
    assert rpc("INCRBY", "n", "5") == 5 and rpc("INCRBY", "n", b"-2") == 3


@pytest.mark.parametrize("value", [[b"x"], ["x"], {b"a": 1}, {"a": 1}])
def test_values_are_no_lists(rpc, value):
    assert rpc("SET", "n", value) == "! ERR argument 1 must be a string or bytes"
    assert rpc("PING") == "PONG"


def test_names_in_a_path_are_utf_8(http):
    for path in ("/queue/%FF/stats", "/kv/get/a%ED%A0%80"):
        response = http.get(path)
        assert (response.status_code, response.json()["code"]) == (400, 400)
    assert http.post("/queue/%C3%A9%2F%3F", json={}).json()["queue"] == "é/?"
    assert "é/?" in http.get("/queue/list").json()["queues"]


# --- keys, topics, rooms --------------------------------------------------------------------------------------------


def test_a_missing_key_is_not_renamed_to_itself(command, rpc):
    for name in ("key.rename", "key.renamenx", "key.copy"):
        assert command(name, source="missing", destination="missing") == "Key not found: missing"
    assert rpc("RENAME", "missing", "missing") == "! Key not found: missing"
    rpc("SET", "there", "v", 100)
    for name in ("RENAME", "RENAMENX", "COPY"):
        assert rpc(name, "there", "there") in ("OK", True)
    assert rpc("GET", "there") == b"v" and rpc("TTL", "there") >= 99


def test_only_a_star_stands_for_something(rpc, synap):
    listener = Raw(synap, synap.key)
    assert listener("SUBSCRIBE", "what?.*", "[ab].*")["subscription_count"] == 2
    for topic, matched in {"what?.1": 1, "whatx.1": 0, "[ab].1": 1, "a.1": 0}.items():
        assert rpc("PUBLISH", topic, "m")["subscribers_matched"] == matched
    listener.close()


def test_who_asks_beyond_the_end_has_read_nothing(command):
    command("stream.create", room="ahead")
    assert command("stream.consume", room="ahead", subscriber_id="s", from_offset=10**9)["events"] == []
    for n in range(70):
        command("stream.publish", room="ahead", event="e", data=n)
    assert command("stream.stats", room="ahead")["min_offset"] == 0


def test_what_is_over_takes_no_room(synap, rpc):
    state = synap.server._state
    rpc("QCREATE", "long")
    rpc("QPUBLISH", "long", "held")
    held = rpc("QCONSUME", "long", "w")
    for _ in range(3000):
        rpc("QPUBLISH", "long", "m")
        rpc("QACK", "long", rpc("QCONSUME", "long", "w")["id"])
        rpc("SET", "renewed", "v", 1000)
    assert synap.do(lambda: len(state.queues.get("long").deadlines)) < 1100
    assert synap.do(lambda: len(state.kv_store._heap)) < 1100
    assert rpc("QACK", "long", held["id"]) == "OK" and rpc("TTL", "renewed") >= 999


# --- requests that come close together ------------------------------------------------------------------------------


def test_farewell_comes_behind_what_was_asked_before(synap):
    for n in range(20):
        raw = Raw(synap, synap.key)
        raw.sock.sendall(
            wire.request(1, "SET", ["bye", f"{n}"]) + wire.request(2, "QUIT") + wire.request(3, "SET", ["bye", "late"])
        )
        assert [raw.answer(), raw.answer(), raw.answer()] == ["OK", "OK", None]
        raw.close()
    raw = Raw(synap, synap.key)
    assert raw("GET", "bye") == b"19"
    raw.close()


def test_what_comes_before_junk_is_answered(synap):
    raw = Raw(synap, synap.key)
    raw.sock.sendall(
        wire.request(1, "SET", ["junk", "v"]) + wire.frame(b"\xc1") + wire.request(2, "SET", ["junk", "w"])
    )
    assert raw.answer() == "OK" and raw.answer() is None
    raw.close()
    raw = Raw(synap, synap.key)
    assert raw("GET", "junk") == b"v"
    raw.close()


def test_a_large_frame_may_follow_the_password_at_once(synap):
    raw = Raw(synap)
    raw.sock.sendall(wire.request(1, "AUTH", [synap.key]) + wire.request(2, "SET", ["large", b"x" * 200_000]))
    assert [raw.answer(), raw.answer()] == ["OK", "OK"]
    raw.close()


def test_answers_wait_for_who_does_not_read_them(synap):
    value, count = b"v" * 1_000_000, 200
    raw = Raw(synap, synap.key)
    assert raw("SET", "large", value) == "OK"
    (connection,) = [
        one for one in synap.server._connections if one._transport.get_extra_info("peername") == raw.sock.getsockname()
    ]
    raw.sock.sendall(
        b"".join(wire.request(n, "INCR", ["seen"]) + wire.request(n, "GET", ["large"]) for n in range(count))
    )
    time.sleep(0.5)
    assert synap.do(lambda: connection._transport.get_write_buffer_size()) < 5_000_000
    got = [raw.answer() for _ in range(2 * count)]
    assert got[::2] == list(range(1, count + 1)) and got[1::2] == [value] * count
    assert raw("PING") == "PONG"
    raw.close()
