"""Synap's string commands, and what it does not know, over the command endpoint and over SynapRPC."""

import httpx
import pytest

from .synaplite import Raw, SynapLab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def synap(tmp_path_factory):
    lab = SynapLab(tmp_path_factory.mktemp("synap"), sweep=0.05)
    yield lab
    lab.close()


@pytest.fixture
def command(synap):
    with httpx.Client(base_url=synap.url, headers={"authorization": f"Bearer {synap.key}"}) as http:

        def command_(asked, /, **payload):
            body = {"command": asked, "request_id": "r", "payload": payload}
            told = http.post("/api/v1/command", json=body).json()
            return told["payload"] if told["success"] else f"! {told['error']}"

        yield command_


@pytest.fixture
def rpc(synap):
    raw = Raw(synap, synap.key)
    yield raw
    raw.close()


def test_strings_over_http_store_json_as_the_service_does(command):
    command("kv.set", key="s", value="ab", ttl=600)
    assert command("kv.append", key="s", value=12) == {"length": 4}
    assert command("kv.get", key="s") == "ab12" and command("kv.ttl", key="s")["ttl"] > 500
    assert command("kv.append", key="new", value="x") == {"length": 3}
    assert command("kv.get", key="new") == '"x"'
    assert command("kv.append", key="s") == "! Invalid request: Missing 'value' field"
    assert command("kv.strlen", key="s") == {"length": 4} and command("kv.strlen", key="none") == {"length": 0}
    assert command("kv.getset", key="s", value=[1]) == "ab12"
    assert command("kv.get", key="s") == "[1]" and command("kv.ttl", key="s") == {"ttl": None}
    assert command("kv.getset", key="nothing", value=1) is None
    command("kv.set", key="r", value="Hello World")
    for start, end, part in ((0, 4, "Hello"), (-5, -1, "World"), (6, 99, "World"), (0, -1, "Hello World")):
        assert command("kv.getrange", key="r", start=start, end=end) == part
    for start, end in ((5, 2), (99, 100), (0, -99)):
        assert command("kv.getrange", key="r", start=start, end=end) is None
    assert command("kv.getrange", key="r", start="0", end=1) == "! Invalid request: Missing 'start' field"
    assert command("kv.setrange", key="r", offset=6, value=7) == {"length": 11}
    assert command("kv.get", key="r") == "Hello 7orld"
    assert command("kv.setrange", key="pad", offset=2, value=1) == {"length": 3}
    assert command("kv.get", key="pad", type="bytes") == [0, 0, 49]
    assert command("kv.setrange", key="r", value=7) == "! Invalid request: Missing 'offset' field"
    assert "at most 64 MiB" in command("kv.setrange", key="r", offset=2**40, value=7)
    pairs = [{"key": "m1", "value": 1}, {"key": "m2", "value": "b"}]
    assert command("kv.msetnx", pairs=pairs) == {"success": True}
    assert command("kv.msetnx", pairs=[{"key": "m3", "value": 1}, *pairs]) == {"success": False}
    assert command("kv.get", key="m3") is None and command("kv.mget", keys=["m1", "m2"]) == {"values": [1, "b"]}


def test_keys_are_renamed_copied_and_picked_over_http(command):
    command("kv.set", key="a", value="1", ttl=600)
    there = {"success": True, "source": "a", "destination": "b"}
    assert command("key.copy", source="a", destination="b") == there
    assert command("kv.get", key="b") == "1" and 500 < command("kv.ttl", key="b")["ttl"] <= 600
    taken = "! Invalid request: Destination key already exists and replace=false"
    assert command("key.copy", source="a", destination="b") == taken
    command("kv.set", key="a", value="2")
    assert command("key.copy", source="a", destination="b", replace=True) == there
    assert command("kv.get", key="b") == "2" and command("kv.ttl", key="b") == {"ttl": None}
    assert command("key.renamenx", source="a", destination="b") == "! Invalid request: Destination key already exists"
    assert command("key.renamenx", source="a", destination="c") == {**there, "destination": "c"}
    command("kv.expire", key="c", ttl=600)
    assert command("key.rename", source="c", destination="b") == {**there, "source": "c"}
    assert command("kv.get", key="c") is None and command("kv.ttl", key="b")["ttl"] > 500
    # A key that is given its own name is still there.
    for verb in ("key.rename", "key.renamenx", "key.copy"):
        assert command(verb, source="b", destination="b")["success"] and command("kv.get", key="b") == "2"
        assert command(verb, source="none", destination="z") == "! Key not found: none"
        assert command(verb, source="none") == "! Invalid request: Missing 'destination' field"
    assert command("key.type", key="b") == {"key": "b", "type": "string"}
    assert command("key.exists", key="none") == {"key": "none", "exists": False}
    keys = command("kv.keys")
    assert keys["count"] == len(keys["keys"]) and command("key.randomkey")["key"] in keys["keys"]


def test_strings_over_synaprpc_store_bytes_as_they_are(rpc):
    assert rpc("SET", "rs", b"ab", 600) == "OK"
    assert rpc("APPEND", "rs", b"\xff") == 3 and rpc("GET", "rs") == b"ab\xff" and rpc("TTL", "rs") > 500
    assert rpc("STRLEN", "rs") == 3 and rpc("STRLEN", "none") == 0
    assert rpc("GETRANGE", "rs", 1, -1) == b"b\xff" and rpc("GETRANGE", "none", 0, -1) == b""
    assert rpc("SETRANGE", "rs", 1, "XY") == 3 and rpc("GET", "rs") == b"aXY"
    assert rpc("SETRANGE", "rs", -1, "x") == "! ERR offset is out of range"
    assert rpc("GETSET", "rs", "new") == b"aXY" and rpc("GETSET", "rs2", "x") is None and rpc("TTL", "rs") == -1
    assert rpc("SETNX", "rs", "x") is False and rpc("SETNX", "rs3", "x") is True
    assert rpc("MSETNX", "n1", "a", "n2", b"b") is True and rpc("MSETNX", "n3", "a", "n2", "c") is False
    assert rpc("MGET", "n1", "n2", "n3") == [b"a", b"b", None]
    assert rpc("MSETNX", "n4") == "! ERR wrong number of arguments for 'MSETNX'"
    assert rpc("COPY", "rs", "copy") is True and rpc("COPY", "rs3", "copy") is False
    assert rpc("COPY", "rs3", "copy", "REPLACE") is True and rpc("GET", "copy") == b"x"
    assert rpc("RENAME", "copy", "moved") == "OK" and rpc("RENAMENX", "moved", "rs") is False
    assert rpc("RENAMENX", "moved", "again") is True and rpc("GET", "again") == b"x" and rpc("GET", "moved") is None
    assert rpc("RENAME", "none", "x") == "! Key not found: none"
    assert rpc("TYPE", "rs") == "string" and rpc("TYPE", "none") == "none" and rpc("RANDOMKEY") in rpc("KEYS")
    assert rpc("APPEND", "rs") == "! ERR missing argument 1"


def test_what_was_put_so_outlives_the_server(tmp_path):
    lab = SynapLab(tmp_path)
    rpc = Raw(lab, lab.key)
    rpc("SET", "a", "1")
    rpc("APPEND", "a", "2")
    rpc("COPY", "a", "b")
    rpc("RENAME", "a", "c")
    rpc("SETRANGE", "c", 3, "x")
    rpc.close()
    lab.close()
    lab = SynapLab(tmp_path)
    rpc = Raw(lab, lab.key)
    assert rpc("MGET", "a", "b", "c") == [None, b"12", b"12\0x"]
    rpc.close()
    lab.close()


def test_watchers_see_what_became_of_a_value(synap, rpc):
    watching = Raw(synap, synap.key)
    assert watching("KV.WATCH", "w")["mode"] == "value"
    rpc("SET", "w", "ab")
    rpc("APPEND", "w", "c")
    rpc("SETRANGE", "w", 0, "X")
    seen = [watching.answer()["payload"] for _ in range(3)]
    assert ['"set"' in seen[0], '"append"' in seen[1], '"setrange"' in seen[2]] == [True] * 3
    assert "abc" in seen[1] and "Xbc" in seen[2]
    watching.close()


def test_a_topic_needs_a_name(synap, command, rpc):
    assert command("pubsub.publish", topic="", payload=1) == "! Invalid value: Topic cannot be empty"
    assert rpc("PUBLISH", "", b"1") == "! Invalid value: Topic cannot be empty"
    answer = httpx.post(
        f"{synap.url}/pubsub//publish", json={"payload": 1}, headers={"authorization": f"Bearer {synap.key}"}
    )
    assert answer.json() == {"error": "Invalid value: Topic cannot be empty"}


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("hash.set", "HSET"),
        ("list.lpush", "LPUSH"),
        ("set.add", "SADD"),
        ("sortedset.zadd", "ZADD"),
        ("bitmap.setbit", "SETBIT"),
        ("geospatial.geoadd", "GEOADD"),
        ("hyperloglog.pfadd", "PFADD"),
        ("transaction.multi", "MULTI"),
        ("script.eval", "EVAL"),
    ],
)
def test_what_the_lab_leaves_out_is_refused_by_name(command, rpc, name, call):
    assert command(name, key="k", field="f", value="v") == f"! Unknown command: {name}"
    assert rpc(call, "k", "f", "v") == f"! ERR unknown command '{call}'"
