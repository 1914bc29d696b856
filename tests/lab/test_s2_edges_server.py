"""The embedded S2 where several things meet: slow readers, clients that leave, failing disks, odd bytes."""

import asyncio
import contextlib
import json
import socket
import sqlite3
import threading
import time
import tracemalloc
from contextlib import closing

import pytest

from kit.lab.s2.records import appends
from kit.lab.s2.records.chunk_cache import ChunkCache
from kit.lab.s2.records.chunks import Chunk
from kit.lab.s2.records.cursor import Cursor, Limits
from kit.lab.s2.records.inputs import draft_of
from kit.lab.s2.records.stream import Stream
from kit.s2.positions import StreamPosition
from kit.s2.wire.frames import FrameReader, encode_frame
from kit.s2.wire.messages import read_batch_of

from .s2house import BASIN, S2S, TOKEN, code, framed, house, input_bytes, made
from .test_s2_server import JSON, PROTO, Two, append, stored, wait_until

pytestmark = pytest.mark.lab


@pytest.fixture
def server(tmp_path):
    with house(tmp_path) as made, made.client() as client:
        assert client.post("/v1/basins", json={"basin": BASIN}).status_code == 201
        yield made


@pytest.fixture
def http(server):
    with server.client(s2_basin=BASIN) as client:
        yield client


@pytest.fixture
def stream(server):
    return made(server)


def read(http, path, query="seq_num=0"):
    return [record["seq_num"] for record in http.get(f"{path}?{query}").json()["records"]]


def raw(server, head, *, last=b""):
    """What the server answers to a request that no client would send."""
    with socket.create_connection(server.address) as sock:
        sock.settimeout(5)
        sock.sendall(head + f"host: localhost\r\nauthorization: Bearer {TOKEN}\r\ns2-basin: {BASIN}\r\n\r\n".encode())
        told = sock.recv(65536)
        if last:
            sock.sendall(last)
            told += sock.recv(65536)
        return told


# --- odd bytes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"\0", b"\0" * 5000, b"\x0a\x07\x12\x05\x0a\x01k\x12\x00\0", b"\x0a\x02\x1a\0\0"])
def test_bytes_that_are_no_message_are_refused_at_once(http, stream, content):
    assert code(http.post(stream, content=content, headers=PROTO)) == (400, "bad_proto")
    [last] = framed(http.post(stream, content=encode_frame(content), headers=S2S).content)
    assert (last.error().status_code, last.error().code) == (400, "bad_frame")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/streams/s/records", rb'{"records":[{}],"fencing_token":"\ud800"}'),
        ("POST", "/v1/streams/s/records", rb'{"records":[{"body":"\udfff"}]}'),
        ("POST", "/v1/streams", rb'{"stream":"half","config":{"storage_class":"\uD83D"}}'),
        ("POST", "/v1/streams", b'{"stream":"half","config":{"storage_class":"\xed\xa0\x80"}}'),
        ("POST", "/v1/streams", b'{"stream":"half","more":NaN}'),
        ("POST", "/v1/access-tokens", b'{"id":"t","scope":{"ops":["read"],"more":-Infinity}}'),
        ("POST", "/v1/access-tokens", b'{"id":"t","expires_at":"9999-12-31T23:00:00-14:00","scope":{"ops":["read"]}}'),
    ],
)
def test_what_is_not_json_of_text_and_numbers_is_refused(http, method, path, body):
    answer = http.request(method, path, content=body, headers=JSON)
    assert code(answer) == (400, "bad_json")
    assert http.get("/v1/streams").json()["streams"] == []
    assert [token["id"] for token in http.get("/v1/access-tokens").json()["access_tokens"]] == ["lab"]


def test_whole_pairs_are_text(http, stream):
    append(http, stream, "x")
    body = rb'{"records":[{"body":"\ud83d\ude00"}]}'
    assert http.post(stream, content=body, headers=JSON).status_code == 200
    assert http.get(f"{stream}?seq_num=1").json()["records"][0]["body"] == "😀"


def test_names_may_come_as_utf8_in_a_path(server, http):
    """HTTP/2 carries the bytes as they are, while HTTP/1.1 refuses them."""
    assert http.post("/v1/streams", json={"stream": "café"}).status_code == 201
    with closing(Two(server.address)) as two:
        status, body = two.whole(two.request("GET", "/v1/streams/café/records/tail"))
        assert (status, json.loads(body)) == (200, {"tail": {"seq_num": 0, "timestamp": 0}})
        _, body = two.whole(two.request("GET", "/v1/streams?prefix=café"))
        assert [one["name"] for one in json.loads(body)["streams"]] == ["café"]
        for path, refused in (
            (b"/v1/streams/caf\xff/records/tail", b"bad_path"),
            (b"/v1/streams?prefix=\xff", b"bad_query"),
        ):
            status, body = two.whole(two.request("GET", path))
            assert status == 400
            assert refused in body


def test_methods_that_want_no_body_get_none(server, http):
    answer = http.head("/health")
    assert (answer.status_code, answer.headers["content-length"]) == (200, "2")
    told = raw(server, b"HEAD /health HTTP/1.1\r\n", last=b"HEAD /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert told.count(b"HTTP/1.1 200") == 2
    assert b"OK" not in told.replace(b"200 OK", b"")
    assert raw(server, b"OPTIONS * HTTP/1.1\r\n").startswith(b"HTTP/1.1 404")


def test_requests_for_an_upgrade_are_answered_as_others_however_many(server):
    count = 2000
    asked = b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    with socket.create_connection(server.address) as sock:
        sock.settimeout(5)
        threading.Thread(target=sock.sendall, args=(asked * count,), daemon=True).start()
        told = b""
        while told.count(b"HTTP/1.1 200") < count:
            piece = sock.recv(1 << 20)
            assert piece, told[-200:]
            told += piece


# --- slow readers ---------------------------------------------------------------------------------------------------


def test_a_sign_of_life_tells_no_position_that_was_not_reached(server, http, stream):
    """A client whose connection is lost goes on from there."""
    append(http, stream, *("x" * 1000 for _ in range(200)))
    with closing(Two(server.address)) as two:
        two.acknowledge = False
        id = two.request("GET", f"{stream}?seq_num=0", content_type="s2s/proto")
        two.until(lambda: len(two.bodies.get(id, b"")) == 65535)  # the rest waits for its window
        append(http, stream, "late", "later")
        two.acknowledge = True
        two.h2.acknowledge_received_data(65535, id)
        two.flush()
        two.until(lambda: b"later" in two.bodies[id])
        append(http, stream, "last")
        two.until(lambda: b"last" in two.bodies[id])
        reached, beats = 0, 0
        for frame in FrameReader().feed(bytes(two.bodies[id])):
            batch = read_batch_of(frame.payload)
            if batch.records:
                assert batch.records[0].seq_num == reached
                reached = batch.records[-1].seq_num + 1
            else:
                beats += 1
                assert batch.tail.seq_num == reached
        assert (reached, beats) == (203, 1)


def test_one_who_takes_no_acknowledgements_is_not_heard_for_ever(server, http, stream, monkeypatch):
    """Small inputs count for what they take in memory, not for their few bytes."""
    monkeypatch.setattr(appends, "MAX_UNACKED", 64 * 1024)
    with closing(Two(server.address, window=0)) as two:
        id = two.request("POST", stream, end=False, content_type="s2s/proto")
        two.until(lambda: id in two.heads)
        for _ in range(40):
            two.h2.send_data(id, encode_frame(input_bytes(b"x")) * 100)
            two.flush()
            time.sleep(0.01)
        time.sleep(0.3)
        assert http.get(f"{stream}/tail").json()["tail"]["seq_num"] < 1500
        two.h2.end_stream(id)
        two.h2.increment_flow_control_window(1 << 20, id)
        two.flush()
        _, body = two.whole(id)
        assert len(framed(body)) == 4000


def test_many_small_chunks_do_not_fill_the_memory(tmp_path):
    with house(tmp_path):
        pass
    tracemalloc.start()
    try:
        cache = ChunkCache(tmp_path / "s2.sqlite", 1 << 20)
        for first in range(20_000):
            cache.keep(Chunk(1, first, 1, 1, 1, 9, b"x" * 12))
        assert tracemalloc.get_traced_memory()[0] < 2 << 20
        assert cache.at(1, 19_999)
        assert not cache.at(1, 0)
        cache.close()
    finally:
        tracemalloc.stop()


def test_what_is_not_durable_yet_is_read_once_it_is(server, http, stream, tmp_path):
    """Also where the records before it are gone meanwhile."""
    for body in "abc":
        append(http, stream, body)
    with closing(sqlite3.connect(tmp_path / "s2.sqlite")) as db:
        db.row_factory = sqlite3.Row
        db.execute("delete from chunks where first = 0")
        db.commit()
        following = Stream(db.execute("select * from streams").fetchone(), BASIN, {})
    cache = ChunkCache(tmp_path / "s2.sqlite")
    cursor = Cursor(cache, following, 0, Limits(), None)
    end, following.tail = following.tail, StreamPosition(1, 0)
    assert cursor.next(whole=False) is None
    following.tail = end
    batch = cursor.next(whole=False)
    assert [record.body for record in read_batch_of(batch.data).records] == [b"b", b"c"]
    cache.close()


# --- clients that leave ---------------------------------------------------------------------------------------------


def left(server, method, path, body=b""):
    """A client sends a request and leaves before the server could write anything."""
    with closing(sqlite3.connect(server.folder / "s2.sqlite", isolation_level=None)) as db:
        db.execute("begin immediate")
        with socket.create_connection(server.address) as sock:
            head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n"
            head += f"s2-basin: {BASIN}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            sock.sendall(head.encode() + body)
            time.sleep(0.2)
        time.sleep(0.2)
        db.execute("rollback")


def test_settings_that_were_stored_hold_though_the_client_left(server, http, stream):
    append(http, stream, "a")
    path = stream.removesuffix("/records")
    patch = {"timestamping": {"mode": "client-require"}}
    left(server, "PATCH", path, json.dumps(patch).encode())
    wait_until(lambda: http.get(path).json()["timestamping"]["mode"] == "client-require")
    assert code(http.post(stream, json={"records": [{}]})) == (422, "invalid")


def test_a_deletion_is_told_though_the_client_left(tmp_path):
    with house(tmp_path, deletion=3) as server, server.client(s2_basin=BASIN) as http:
        http.post("/v1/basins", json={"basin": BASIN})
        stream = made(server)
        append(http, stream, "a")
        ends = []

        def follow():
            with server.client(s2_basin=BASIN) as client:
                ends.append(framed(client.get(f"{stream}?seq_num=0", headers=S2S).content)[-1].error().code)

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        time.sleep(0.2)
        left(server, "DELETE", stream.removesuffix("/records"))
        wait_until(lambda: stored(server, "select 1 from streams where deleted is not null"))
        follower.join(5)
        assert ends == ["unavailable"]
        assert code(http.post(stream, json={"records": [{}]})) == (409, "stream_deletion_pending")


def test_a_revoked_token_is_refused_though_the_client_left(server, http):
    scope = {"ops": ["list-basins"], "basins": {"prefix": ""}}
    token = http.post("/v1/access-tokens", json={"id": "t", "scope": scope}).json()["access_token"]
    with server.client(token=token) as other:
        assert other.get("/v1/basins").status_code == 200
        left(server, "DELETE", "/v1/access-tokens/t")
        wait_until(lambda: not stored(server, "select 1 from tokens"))
        assert code(other.get("/v1/basins")) == (401, "authn")


# --- failing disks --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def failing(server, when):
    """Within it, the database refuses this kind of change, as on a disk that is full."""

    def run(sql):
        server.on_loop(server.server._store.write(lambda db: db.execute(sql) and None))

    run(f"create trigger full before {when} begin select raise(abort, 'disk full'); end")
    try:
        yield
    finally:
        run("drop trigger full")


def test_a_trim_that_could_not_be_made_is_made_later(server, http, stream):
    append(http, stream, "a", "b", "c")
    trim = {"records": [{"headers": [["", "trim"]], "body": "\0\0\0\0\0\0\0\3"}]}
    with failing(server, "delete on chunks"):
        assert http.post(stream, json=trim).status_code == 200
        time.sleep(0.5)  # some rounds of the sweeper
        assert read(http, stream) == [0, 1, 2, 3]
    wait_until(lambda: read(http, stream) == [3])


def test_what_could_not_be_counted_is_counted_later(server, http, stream):
    metric = f"/v1/metrics/{BASIN}?set=append-ops"
    with failing(server, "insert on usage"):
        append(http, stream, "a")
        append(http, stream, "b")
        time.sleep(0.3)
        assert http.get(metric).status_code == 500
    [told] = http.get(metric).json()["values"]
    assert sum(value for _, value in told["accumulation"]["values"]) == 2


def test_a_count_that_is_being_written_is_waited_for(server):
    async def both():
        usage = server.server.usage
        usage.count("append", BASIN, "s")
        first = asyncio.ensure_future(usage.flush())
        await asyncio.sleep(0)
        await usage.flush()
        return first.done()

    assert server.on_loop(both())


# --- what is removed ------------------------------------------------------------------------------------------------


def test_a_round_removes_all_that_has_expired(tmp_path):
    with house(tmp_path, sweep=1000) as server, server.client(s2_basin=BASIN) as http:
        http.post("/v1/basins", json={"basin": BASIN})
        stream = made(server, retention_policy={"age": 100})
        append(http, stream, "a")

        def more(db):
            for n in range(1, 1200):
                db.execute("insert into chunks select stream, ?, 1, first_time, last_time, 0, expires, data from chunks"
                           " where first = 0", (n,))  # fmt: skip

        server.on_loop(server.server._store.write(more))
        server.ahead = 101_000
        server.on_loop(server.server.sweeper.sweep())
        assert stored(server, "select count(*) from chunks") == [(0,)]


def test_what_expires_before_anyone_comes_is_out_of_the_metrics(tmp_path):
    with house(tmp_path) as server, server.client(s2_basin=BASIN) as http:
        http.post("/v1/basins", json={"basin": BASIN})
        stream = made(server, "s", retention_policy={"age": 100})
        append(http, stream, "a")
    with house(tmp_path) as server, server.client() as http:
        server.ahead = 101_000
        wait_until(lambda: stored(server, "select count(*) from chunks") == [(0,)])
        gauge = http.get(f"/v1/metrics/{BASIN}/s?set=storage").json()["values"][0]["gauge"]
        assert [size for _, size in gauge["values"]][-1] == 0


def test_a_trim_of_much_takes_little_memory(tmp_path):
    with house(tmp_path, sweep=1000) as server, server.client(s2_basin=BASIN) as http:
        http.post("/v1/basins", json={"basin": BASIN})
        stream = made(server)
        body = b"".join(encode_frame(input_bytes(b"x" * 1_000_000)) for _ in range(24))
        assert len(framed(http.post(stream, content=body, headers=S2S).content)) == 24
        trim = {"records": [{"headers": [["", "trim"]], "body": "\x7f" * 8}]}
        assert http.post(stream, json=trim).status_code == 200
        tracemalloc.start()
        try:
            server.on_loop(server.server.sweeper.sweep())
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()
        assert stored(server, "select count(*) from chunks") == [(0,)]


def test_a_basin_of_the_demos_name_is_no_reason_not_to_start(tmp_path):
    with house(tmp_path) as server, server.client() as http:
        assert http.post("/v1/basins", json={"basin": "demo-shop"}).status_code == 201
    with house(tmp_path, demo=True) as server, server.client(s2_basin="demo-shop") as http:
        assert http.get("/v1/streams").json()["streams"] == []


def test_records_stay_as_long_as_was_said_when_they_came(tmp_path):
    """Also where the next ones, stored together with them, may go sooner."""
    with house(tmp_path) as server, server.client(s2_basin=BASIN) as http:
        http.post("/v1/basins", json={"basin": BASIN})
        path = made(server, "s")
        append(http, path, "a")

        async def both():
            stream = server.server.sweeper._catalog.stream(BASIN, "s")
            first = server.server._log.append(stream, draft_of(input_bytes(b"b")), None)
            stream.config = {**stream.config, "retention": 100}
            await asyncio.gather(first, server.server._log.append(stream, draft_of(input_bytes(b"c")), None))

        server.on_loop(both())
        assert read(http, path) == [0, 1, 2]
        server.ahead = 101_000
        wait_until(lambda: 2 not in read(http, path))
        assert read(http, path) == [0, 1]
