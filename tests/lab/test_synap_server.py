"""The embedded Synap as raw HTTP and raw SynapRPC show it: shapes, quirks, refusals, and what outlives it."""

import asyncio
import json
import random
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from kit.synap.wire import frames as wire

from .synaplite import Raw, SynapLab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def synap(tmp_path_factory):
    lab = SynapLab(tmp_path_factory.mktemp("synap"), sweep=0.05, events=50, unread=80, idle=0.4)
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def http(synap):
    with httpx.Client(base_url=synap.url, headers={"authorization": f"Bearer {synap.key}"}) as client:
        yield client


@pytest.fixture
def command(http):
    def command_(asked, /, **payload):
        response = http.post("/api/v1/command", json={"command": asked, "request_id": "r1", "payload": payload})
        assert response.status_code == 200
        told = response.json()
        assert list(told) == ["success", "request_id", "payload", "error"]
        assert told["request_id"] == "r1"
        return told["payload"] if told["success"] else told["error"]

    return command_


@pytest.fixture
def rpc(synap):
    raw = Raw(synap, synap.key)
    yield raw
    raw.close()


# --- the command endpoint -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", {}, 415),
        (b"{", {"content-type": "application/json"}, 400),
        (b"[" * 100_000, {"content-type": "application/json"}, 400),
        (b'{"command": "kv.get", "payload": {}}', {"content-type": "application/json"}, 422),
        (b'{"command": 5, "request_id": "a", "payload": {}}', {"content-type": "application/json"}, 422),
        (b"[1]", {"content-type": "application/json"}, 422),
        (b" " * (2 * 1024 * 1024 + 1), {"content-type": "application/json"}, 413),
    ],
)
def test_what_is_no_command(http, body, headers, status):
    response = http.post("/api/v1/command", content=body, headers=headers)
    assert response.status_code == status
    assert response.content


def test_errors_come_with_status_200(http, command):
    assert command("kv.incrby", key="a") == "Unknown command: kv.incrby"
    assert command("queue.stats", queue="nowhere") == "Queue not found: nowhere"
    assert command("stream.stats", room="nowhere") == "Invalid request: Room 'nowhere' not found"
    assert "Missing" in command("kv.set", key="a")
    raw = b'{"command":"kv.set","request_id":"r","payload":{"key":"a","value":"\\ud800"}}'
    told = http.post("/api/v1/command", content=raw, headers={"content-type": "application/json"}).json()
    assert "surrogate" in told["error"]


def test_texts_are_stored_differently_by_different_commands(command):
    command("kv.set", key="s:a", value="abc")
    command("kv.set", key="s:n", value="42")
    assert command("kv.mget", keys=["s:a", "s:n", "s:x"]) == {"values": [None, 42, None]}
    command("kv.mset", pairs=[{"key": "s:a", "value": "abc"}])
    assert command("kv.get", key="s:a") == '"abc"'
    assert command("kv.mget", keys=["s:a"]) == {"values": ["abc"]}
    assert command("kv.get", key="s:a", type="bytes") == list(b'"abc"')
    assert command("kv.get", key="s:nothing") is None


def test_ttl(command):
    command("kv.set", key="t", value="v", ttl=100)
    assert command("kv.ttl", key="t") in ({"ttl": 99}, {"ttl": 100})
    command("kv.incr", key="t:n")
    command("kv.expire", key="t:n", ttl=100)
    command("kv.incr", key="t:n")
    assert command("kv.ttl", key="t:n")["ttl"] >= 99  # counting keeps the end
    command("kv.set", key="t", value="v")
    assert command("kv.ttl", key="t") == {"ttl": None}  # setting does not
    command("kv.set", key="t", value="v", ttl=-1)
    assert command("kv.ttl", key="t") == {"ttl": None}  # overlooked
    command("kv.set", key="t", value="v", ttl=0)
    assert command("kv.get", key="t") is None
    assert command("kv.ttl", key="t") == "Key not found: t"
    assert command("kv.persist", key="t:n") == {"result": True}


def test_counting(command):
    assert command("kv.incr", key="c", amount="5") == {"value": 1}  # overlooked
    assert command("kv.incr", key="c", amount=2**62) == {"value": 2**62 + 1}
    assert "overflow" in command("kv.incr", key="c", amount=2**62)
    command("kv.set", key="c:w", value="1_0")
    assert command("kv.incr", key="c:w") == "Invalid value: Value is not a valid integer"


def test_queue_settings_count_only_where_the_service_reads_them(command):
    command("queue.create", name="flat", max_depth=1)
    for _ in range(2):
        assert "message_id" in command("queue.publish", queue="flat", payload=[1])
    command("queue.create", name="nested", config={"max_depth": 1})
    command("queue.create", name="nested", config={"max_depth": 100})  # keeps what it has
    command("queue.publish", queue="nested", payload=[1, 2, "x", 300])
    assert command("queue.publish", queue="nested", payload=[1]) == "Queue is full: nested"
    assert command("queue.consume", queue="nested", consumer_id="w")["message"]["payload"] == [1, 2, 44]
    assert "Missing 'payload'" in command("queue.publish", queue="nested", payload="text")
    assert command("queue.consume", queue="no such queue", consumer_id="w") == {"message": None}


def test_a_message_comes_again_when_its_deadline_has_passed(command):
    command("queue.create", name="late", config={"ack_deadline_secs": 0, "default_max_retries": 1})
    told = command("queue.publish", queue="late", payload=[7])
    seen = []
    stop = time.monotonic() + 10
    while command("queue.stats", queue="late")["dead_lettered"] == 0 and time.monotonic() < stop:
        message = command("queue.consume", queue="late", consumer_id="w")["message"]
        if message:
            seen.append((message["id"], message["retry_count"]))
    assert seen == [(told["message_id"], 0), (told["message_id"], 1)]
    assert command("queue.ack", queue="late", message_id=told["message_id"]).startswith("Message not found")


def test_requeued_messages_go_behind_all(command):
    command("queue.create", name="order")
    for n, priority in enumerate((9, 5, 1)):
        command("queue.publish", queue="order", payload=[n], priority=priority)
    first = command("queue.consume", queue="order", consumer_id="w")["message"]
    command("queue.nack", queue="order", message_id=first["id"])
    got = [command("queue.consume", queue="order", consumer_id="w")["message"]["payload"] for _ in range(3)]
    assert got == [[1], [2], [0]]


def test_prefetch_purge_and_dropped_messages(command):
    command("queue.create", name="pre", config={"prefetch_limit": 1})
    for n in range(3):
        command("queue.publish", queue="pre", payload=[n])
    first = command("queue.consume", queue="pre", consumer_id="a")["message"]
    assert command("queue.consume", queue="pre", consumer_id="a")["message"] is None
    assert command("queue.consume", queue="pre", consumer_id="b")["message"]["payload"] == [1]
    assert command("queue.stats", queue="pre")["consumers"] == 2
    command("queue.nack", queue="pre", message_id=first["id"], requeue=False)
    assert command("queue.purge", queue="pre") == {"purged": 1}
    told = command("queue.stats", queue="pre")
    assert (told["depth"], told["nacked"], told["dead_lettered"]) == (0, 1, 0)


def test_rooms_keep_so_many_and_more_for_slow_readers(command):
    command("stream.create", room="short")
    for n in range(60):
        command("stream.publish", room="short", event="e", data=n)
    assert command("stream.consume", room="short", subscriber_id="s", from_offset=0) == (
        "Invalid request: Stream offset 0 out of range; earliest retained offset is 10"
    )
    told = command("stream.consume", room="short", subscriber_id="s", from_offset=10, limit=2)
    assert [event["offset"] for event in told["events"]] == [10, 11] and told["next_offset"] == 12
    for n in range(60, 80):
        command("stream.publish", room="short", event="e", data=n)
    assert command("stream.stats", room="short")["min_offset"] == 12  # not read yet
    for n in range(80, 140):
        command("stream.publish", room="short", event="e", data=n)
    stats = command("stream.stats", room="short")
    assert (stats["min_offset"], stats["max_offset"]) == (60, 139)  # there is an end to patience
    assert command("stream.consume", room="short", subscriber_id="s", from_offset=500)["events"] == []
    before = stats["generation"]
    command("stream.delete", room="short")
    command("stream.create", room="short")
    assert command("stream.stats", room="short")["generation"] > before


@pytest.mark.parametrize("pattern", ["a.#.b", "#.#", "a#"])
def test_patterns_that_are_none(command, pattern):
    assert command("pubsub.subscribe", topics=[pattern]).startswith("Invalid value")


# --- REST -----------------------------------------------------------------------------------------------------------


def test_rest_shapes(http):
    def ask(method, path, body=None):
        response = http.request(method, path, json=body) if body is not None else http.request(method, path)
        return response.status_code, response.json() if response.headers.get(
            "content-type"
        ) == "application/json" else response.text

    assert ask("POST", "/kv/set", {"key": "r", "value": 5, "ttl": 60}) == (
        200, {"success": True, "key": "r", "written": True})  # fmt: skip
    assert ask("POST", "/kv/set", {"key": "r", "value": 6, "nx": True, "get": True})[1]["written"] is False
    assert ask("GET", "/kv/get/r") == (200, "5")
    assert ask("GET", "/kv/get/r?type=bytes") == (200, [53])
    assert ask("GET", "/kv/get/nothing") == (200, {"error": "Key not found"})
    assert ask("DELETE", "/kv/del/r") == (200, {"deleted": True, "key": "r"})
    assert ask("POST", "/kv/set", {"key": "r", "value": 1, "ttl": -1})[0] == 422
    assert ask("POST", "/queue/a%2Fb", {}) == (200, {"success": True, "queue": "a/b"})
    assert ask("POST", "/queue/a%2Fb/publish", {"payload": [256]})[0] == 422
    assert ask("POST", "/queue/a%2Fb/publish", {"payload": [0, 255]})[0] == 200
    message = ask("GET", "/queue/a%2Fb/consume/w")[1]
    assert message["payload"] == [0, 255] and message["headers"] == {}
    assert ask("POST", "/queue/a%2Fb/nack", {"message_id": message["message_id"]})[0] == 422
    assert ask("POST", "/queue/a%2Fb/ack", {"message_id": message["message_id"]}) == (200, {"success": True})
    assert ask("GET", "/queue/a%2Fb/consume/w")[1] == dict.fromkeys(
        ("message_id", "payload", "priority", "retry_count", "max_retries", "headers")
    )
    assert ask("GET", "/queue/none/stats") == (404, {"error": "Queue not found: none", "code": 404})
    assert ask("POST", "/queue/list", {})[0] == 405
    assert ask("POST", "/stream/rest") == (200, {"success": True, "room": "rest"})
    assert ask("POST", "/stream/rest")[0] == 400
    assert ask("PUT", "/stream/rest")[1]["created"] is False
    assert ask("POST", "/stream/rest/publish", {"event": "e", "data": "x"})[1] == {"offset": 0, "room": "rest"}
    events = ask("GET", "/stream/rest/consume/s?from_offset=what&limit=1")[1]["events"]
    assert bytes(events[0]["data"]) == b'"x"' and events[0]["room"] == "rest"
    assert ask("POST", "/pubsub/a.b/publish", {"message": 1})[0] in (200, 422)
    assert ask("POST", "/pubsub/subscribe", {"topics": ["a.#.b"]})[1]["error"].startswith("Invalid value")
    assert ask("GET", "/nothing/here")[0] == 404
    assert ask("GET", "/kv/set")[0] == 405
    assert set(ask("GET", "/info")[1]) == {"server", "memory", "stats", "replication", "keyspace", "cluster"}
    assert set(ask("GET", "/info?section=memory")[1]) == {"memory"}


def test_credentials_in_the_query_and_foreign_pages(synap):
    assert httpx.get(f"{synap.url}/queue/list?api_key={synap.key}").status_code == 200
    wrong = {"authorization": "Bearer wrong"}
    assert httpx.get(f"{synap.url}/queue/list?api_key={synap.key}", headers=wrong).status_code == 401
    assert httpx.get(f"{synap.url}/queue/list", headers={"authorization": f"bearer {synap.key}"}).status_code == 401
    assert httpx.get(f"{synap.url}/health", headers={"host": "evil.example"}).status_code == 403
    assert httpx.get(f"{synap.url}/metrics", headers={"origin": "http://evil.example"}).status_code == 403


# --- SynapRPC -------------------------------------------------------------------------------------------------------


def test_numbers_sent_as_text_are_overlooked(rpc):
    assert rpc("SET", "x", "v", "EX", 60) == "OK"
    assert rpc("TTL", "x") == -1
    assert rpc("SET", "x", "v", 60) == "OK"
    assert rpc("TTL", "x") in (59, 60)
    rpc("QCREATE", "xq", "1", "30")
    rpc("QPUBLISH", "xq", b"\xff", "9")
    assert rpc("QCONSUME", "xq", "w")["priority"] == 5
    assert rpc("TTL", "none") == "! ERR key does not exist"
    assert rpc("NONSENSE") == "! ERR unknown command 'NONSENSE'"
    assert rpc("GET") == "! ERR missing argument 0"
    assert rpc("SREAD", "none", "s", 0) == "! Room 'none' not found"
    assert rpc("get", "x") == b"v"
    assert rpc("PING", number=wire.PUSH).startswith("! ERR request id")
    assert rpc("PING") == "PONG"
    assert rpc("QUIT") == "OK"
    assert rpc.answer() is None


def test_a_stranger_may_ping(synap):
    raw = Raw(synap)
    assert raw("PING", "hi") == "hi"
    assert raw("GET", "x") == "! NOAUTH Authentication required."
    assert raw("AUTH", "nobody", synap.key).startswith("! WRONGPASS")
    raw.sock.sendall((64 * 1024 + 1).to_bytes(4, "little"))
    assert raw.answer() is None
    raw.close()


@pytest.mark.parametrize(
    "junk",
    [
        b"\xff\xff\xff\xff",
        wire.frame(b"\xc1"),
        wire.frame(b"\x91" * 9000),
        wire.frame(b"\x93\x01\x05\x90"),
        wire.frame(b""),
    ],
)
def test_junk_closes_its_own_connection_only(synap, rpc, junk):
    raw = Raw(synap, synap.key)
    raw.sock.sendall(junk)
    assert raw.answer() is None
    raw.close()
    assert rpc("PING") == "PONG"


def test_a_listener_without_a_sign_of_life_is_cut(synap):
    raw = Raw(synap, synap.key)
    assert raw("SUBSCRIBE", "idle")["subscription_count"] == 1
    assert raw.answer() is None  # after 0.4 s here, 300 s there
    raw.close()


def test_the_metrics_tell_of_every_queue_and_room(synap, command):
    command("queue.create", name='odd "name"')
    page = httpx.get(f"{synap.url}/metrics", headers={"authorization": f"Bearer {synap.key}"}).text
    assert 'synap_queue_depth{queue="odd \\"name\\""} 0' in page
    assert "synap_host_load_average" in page


# --- WebSockets -----------------------------------------------------------------------------------------------------


def test_sockets(synap, command):
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    base = synap.url.replace("http", "ws")
    headers = {"authorization": f"Bearer {synap.key}"}
    with pytest.raises(InvalidStatus, match="401"):
        connect(f"{base}/pubsub/ws?topics=a")
    with pytest.raises(InvalidStatus, match="400"):
        connect(f"{base}/pubsub/ws?topics=", additional_headers=headers)
    with connect(f"{base}/pubsub/ws?topics=a.%23.b", additional_headers=headers) as socket:
        assert "error" in json.loads(socket.recv(5))
    with connect(f"{base}/kv/ws?keys=w:*", additional_headers=headers) as socket:
        assert json.loads(socket.recv(5))["topics"] == ["__watch@0__:w:*"]
        command("kv.set", key="w:1", value="v")
        assert json.loads(socket.recv(5))["payload"] == {"key": "w:1", "event": "set", "version": 1, "value": "v"}
    command("queue.create", name="ws")
    command("queue.publish", queue="ws", payload=[1])
    with connect(f"{base}/queue/ws/ws/me", additional_headers=headers) as socket:
        assert json.loads(socket.recv(5))["type"] == "connected"
        message = json.loads(socket.recv(5))
        assert message["payload"] == [1]
        socket.send("nonsense")
        socket.send(json.dumps({"command": "ack", "message_id": message["message_id"]}))
        stop = time.monotonic() + 5
        while command("queue.stats", queue="ws")["acked"] == 0 and time.monotonic() < stop:
            pass
    assert command("queue.stats", queue="ws")["acked"] == 1
    command("stream.create", room="ws")
    command("stream.publish", room="ws", event="e", data={"a": 1})
    with connect(f"{base}/stream/ws/ws/me?from_offset=0", additional_headers=headers) as socket:
        assert json.loads(socket.recv(5))["from_offset"] == 0
        event = json.loads(socket.recv(5))
        assert (event["offset"], event["data"]) == (0, {"a": 1})
        command("stream.delete", room="ws")
        assert json.loads(socket.recv(5))["type"] == "error"


# --- what outlives the server ---------------------------------------------------------------------------------------


def test_values_queues_and_rooms_outlive_it(tmp_path):
    def start():
        lab = SynapLab(tmp_path)
        return lab, Raw(lab, lab.key)

    lab, raw = start()
    raw("SET", "k", b"\xff", 1000)
    raw("SET", "gone", "v", 0)
    raw("QCREATE", "q")
    ids = [raw("QPUBLISH", "q", f"m{n}", priority) for n, priority in enumerate((1, 9, 5))]
    held = raw("QCONSUME", "q", "w")
    raw("QNACK", "q", held["id"], True)
    raw("QCONSUME", "q", "w")
    raw("SCREATE", "r")
    assert [raw("SPUBLISH", "r", "e", f"{n}") for n in range(3)] == [0, 1, 2]
    generation = raw("SSTATS", "r")["generation"]
    events = raw("SREAD", "r", "me", 0)
    raw("SCREATE", "gone")
    raw("SPUBLISH", "gone", "e", "0")
    raw("SDELETE", "gone")
    raw.close()
    lab.close()
    lab, raw = start()
    assert raw("GET", "k") == b"\xff" and raw("TTL", "k") > 990 and raw("GET", "gone") is None
    stats = raw("QSTATS", "q")
    assert (stats["depth"], stats["published"], stats["consumed"] - stats["acked"] - stats["nacked"]) == (3, 3, 0)
    got = [raw("QCONSUME", "q", "w") for _ in range(3)]
    assert [one["id"] for one in got] == [ids[2], ids[0], ids[1]]  # what was given back stays behind all
    assert [one["retry_count"] for one in got] == [0, 0, 1]
    assert raw("SLIST") == ["r"]
    assert raw("SSTATS", "r")["generation"] == generation
    assert raw("SREAD", "r", "me", 0) == events
    assert raw("SPUBLISH", "r", "e", "3") == 3
    raw("SDELETE", "r")
    raw("SCREATE", "r")
    assert raw("SREAD", "r", "me", 0) == []
    assert raw("SSTATS", "r")["generation"] > generation
    raw.close()
    lab.close()


def test_many_connections_publish_at_once(tmp_path):
    lab = SynapLab(tmp_path)  # the others' ends connections that are silent for less than this may take

    async def client(n):
        reader, writer = await asyncio.open_connection(*lab.rpc_url.removeprefix("synap://").split(":"))
        writer.write(wire.request(0, "AUTH", [lab.key]) + wire.request(1, "QCREATE", ["busy"]))
        writer.write(b"".join(wire.request(2 + i, "QPUBLISH", ["busy", f"{n}:{i}"]) for i in range(200)))
        frames, got = wire.Frames(), []
        while len(got) < 202:
            piece = await reader.read(65536)
            assert piece, f"the server ended the connection after {len(got)} answers"
            got += [wire.read_answer(body) for body in frames.feed(piece)]
        writer.close()
        await writer.wait_closed()
        return [value for number, good, value in got if number > 1 and good]

    async def main():
        return await asyncio.gather(*(client(n) for n in range(20)))

    try:
        ids = [one for part in asyncio.run(main()) for one in part]
    finally:
        lab.close()
    assert len(set(ids)) == 4000


def test_stopping_ends_what_is_open(tmp_path):
    lab = SynapLab(tmp_path)
    raw = Raw(lab, lab.key)
    told = []
    thread = threading.Thread(target=lambda: told.append(raw.answer()))
    thread.start()
    lab.close()
    thread.join(10)
    assert told == [None]
    raw.close()


CHILD = """
import asyncio, pathlib, sys
from kit.lab.common.faults import FaultPlan
from kit.lab.services import House
from kit.lab.synap.server import SynapServer

async def main():
    server = SynapServer(House(pathlib.Path(sys.argv[1]), "0123456789abcdef" * 3, FaultPlan(), False))
    await server.start()
    print(server.env()["SYNAP_RPC_URL"], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_what_was_confirmed_is_there_after_kill_9(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        address = child.stdout.readline().strip().removeprefix("synap://").split(":")
        sock = socket.create_connection(address, 10)
        key = "sk_" + ("0123456789abcdef" * 3)[:32]
        sock.sendall(wire.request(0, "AUTH", [key]) + wire.request(1, "QCREATE", ["q"]))
        calls = [wire.request(2 + n, "QPUBLISH", ["q", f"{n}"]) for n in range(20_000)]
        calls += [wire.request(30_000 + n, "SET", [f"k{n}", f"{n}"]) for n in range(20_000)]
        random.Random(3).shuffle(calls)
        sending = threading.Thread(target=_send, args=(sock, b"".join(calls)))
        sending.start()
        frames, confirmed, keys = wire.Frames(), set(), set()
        while data := sock.recv(65536):
            for body in frames.feed(data):
                number, good, value = wire.read_answer(body)
                if 2 <= number < 30_000 and good:
                    confirmed.add(value)
                elif number >= 30_000:
                    keys.add(number - 30_000)
            if len(confirmed) > 3000 and child.poll() is None:
                child.kill()  # whatever is still on its way is taken as well
    except ConnectionResetError:
        pass
    finally:
        child.kill()
        child.communicate()
    sending.join()
    sock.close()
    assert len(confirmed) > 3000 and keys
    lab = SynapLab(tmp_path)
    raw = Raw(lab, lab.key)
    there = set()
    while message := raw("QCONSUME", "q", "w"):
        there.add(message["id"])
    assert confirmed <= there
    wanted = sorted(keys)
    assert raw("MGET", *[f"k{n}" for n in wanted]) == [f"{n}".encode() for n in wanted]
    raw.close()
    lab.close()


def _send(sock, data):
    try:
        sock.sendall(data)
    except OSError:
        pass  # the server is gone
