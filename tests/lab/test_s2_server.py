"""The embedded S2 at the level of bytes: REST, events, frames, conditions, hostile input, faults, durability."""

import asyncio
import base64
import contextlib
import gzip
import json
import os
import random
import resource
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from contextlib import closing

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
import zstandard

import kit
from kit.lab.s2.records import chunks, cipher, inputs
from kit.s2.checks import metered_bytes
from kit.s2.errors import S2ServerError
from kit.s2.positions import StreamPosition
from kit.s2.types import AppendInput, CommandRecord, Record
from kit.s2.wire.frames import FrameReader, encode_frame
from kit.s2.wire.messages import ack_of, encode_input, read_batch_of
from tests.pace import slowness

from .s2house import BASIN, S2S, TOKEN, code, framed, house, input_bytes, made

pytestmark = pytest.mark.lab

HERE = {"s2-basin": BASIN}
JSON = {"content-type": "application/json"}
PROTO = {"content-type": "application/protobuf", "accept": "application/protobuf"}
EVENTS = {"accept": "text/event-stream"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with house(tmp_path_factory.mktemp("s2"), heartbeat_least=0.2, heartbeat_most=0.4) as made:
        with made.client() as client:
            assert client.post("/v1/basins", json={"basin": BASIN}).status_code == 201
        yield made


names = iter(range(10**6))


@pytest.fixture(params=["http1", "http2"])
def http(server, request):
    with server.client(two=request.param == "http2", s2_basin=BASIN) as client:
        yield client
    server.plan.clear()


@pytest.fixture
def stream(server):
    """The path of a new stream's records."""
    return made(server)


def append(client, path, *bodies, headers=(), **more):
    answer = client.post(path, json={"records": [{"body": body} for body in bodies], **more}, headers=dict(headers))
    assert answer.status_code == 200, answer.text
    return answer.json()


def seqs(content):
    return [record.seq_num for frame in framed(content) for record in read_batch_of(frame.payload).records]


# --- REST, as with curl ---------------------------------------------------------------------------------------------


def test_the_examples_of_the_reference(server, http):
    name = f"story-{next(names)}"
    answer = http.post("/v1/streams", json={"stream": name})
    assert answer.status_code == 201
    assert answer.headers["s2-provision-result"] == "created"
    assert answer.json() == {
        "name": name,
        "created_at": answer.json()["created_at"],
        "deleted_at": None,
        "cipher": None,
    }
    config = http.get(f"/v1/streams/{name}").json()
    assert config == {
        "storage_class": "express",
        "retention_policy": {"age": 604800},
        "timestamping": {"mode": "client-prefer", "uncapped": False},
        "delete_on_empty": {"min_age_secs": 0},
    }
    path = f"/v1/streams/{name}/records"
    assert http.get(f"{path}/tail").json() == {"tail": {"seq_num": 0, "timestamp": 0}}
    given = [{"body": "é", "timestamp": 7, "headers": [["k", "v"], ["k", ""]]}, {}, {"body": "b", "timestamp": None}]
    ack = http.post(path, json={"records": given, "match_seq_num": 0}).json()
    now = ack["end"]["timestamp"]
    assert ack == {
        "start": {"seq_num": 0, "timestamp": 7},
        "end": {"seq_num": 3, "timestamp": now},
        "tail": {"seq_num": 3, "timestamp": now},
    }
    assert http.get(path, params={"seq_num": 0}).json() == {
        "records": [
            {"seq_num": 0, "timestamp": 7, "headers": [["k", "v"], ["k", ""]], "body": "é"},
            {"seq_num": 1, "timestamp": now},
            {"seq_num": 2, "timestamp": now, "body": "b"},
        ]
    }
    coded = http.get(path, params={"timestamp": 0, "count": 1}, headers={"s2-format": "base64"}).json()
    assert coded["records"][0] == {
        "seq_num": 0,
        "timestamp": 7,
        "headers": [["aw==", "dg=="], ["aw==", ""]],
        "body": "w6k=",
    }
    posted = {"records": [{"body": "/wA=", "headers": [["gA==", ""]]}]}
    assert http.post(path, json=posted, headers={"s2-format": "base64"}).status_code == 200
    raw = http.get(path, params={"tail_offset": 1}, headers={"accept": "application/protobuf"})
    assert raw.headers["content-type"] == "application/protobuf"
    [record] = read_batch_of(raw.content).records
    assert (record.seq_num, record.body, record.headers) == (3, b"\xff\x00", [(b"\x80", b"")])
    gone = http.delete(f"/v1/streams/{name}")
    assert (gone.status_code, gone.content) == (202, b"")


def test_curl_itself(server, stream):
    def curl(*arguments, body=None):
        found = subprocess.run(
            ["curl", "-sS", "-H", f"authorization: Bearer {TOKEN}", "-H", f"s2-basin: {BASIN}", *arguments],
            input=body,
            capture_output=True,
            timeout=20,
        )
        assert found.returncode == 0, found.stderr
        return found.stdout

    if subprocess.run(["which", "curl"], capture_output=True).returncode:
        pytest.skip("curl is not installed")
    url = server.url + stream
    body = json.dumps({"records": [{"body": "x" * 2000}] * 500}) + " " * 500_000  # so large that curl asks first
    sent = curl("--data-binary", "@-", "-H", "content-type: application/json", url, body=body.encode())
    assert json.loads(sent)["end"]["seq_num"] == 500
    assert len(json.loads(curl("--compressed", f"{url}?seq_num=0&bytes=20080"))["records"]) == 10
    told = curl("-N", "-H", "accept: text/event-stream", f"{url}?seq_num=499&count=1").decode()
    assert told.startswith("event: batch\nid: 499,1,2008\ndata: {")
    assert told.endswith("\n\ndata: [DONE]\n\n")
    assert json.loads(curl("--http2-prior-knowledge", f"{url}/tail"))["tail"]["seq_num"] == 500
    assert json.loads(curl("--http2", f"{url}/tail"))["tail"]["seq_num"] == 500  # asks for an upgrade, gets none


BAD = [
    ("GET", "/v1/streams/s/records?seq_num=x", None, {}, 400, "bad_query"),
    ("GET", "/v1/streams/s/records?seq_num=99999999999999999999", None, {}, 400, "bad_query"),
    ("GET", "/v1/streams/s/records?seq_num=1&seq_num=2", None, {}, 400, "bad_query"),
    ("GET", "/v1/streams/s/records?wait=4294967296", None, {}, 400, "bad_query"),
    ("GET", "/v1/streams/s/records?clamp=1", None, {}, 400, "bad_query"),
    ("GET", "/v1/streams/s/records?seq_num=1&tail_offset=2", None, {}, 422, "invalid"),
    ("GET", "/v1/streams/s/records?timestamp=5&until=5", None, {}, 422, "invalid"),
    ("GET", "/v1/streams/s/records?seq_num=0", None, {"s2-format": "hex"}, 400, "bad_header"),
    ("GET", "/v1/streams/s/records?seq_num=0", None, {"s2-basin": "no"}, 400, "bad_header"),
    ("GET", "/v1/streams/s/records?seq_num=0", None, {"s2-encryption-key": "k" * 45}, 400, "bad_header"),
    ("GET", "/v1/streams/s/records?seq_num=0", None, {**EVENTS, "last-event-id": "1,2"}, 400, "bad_header"),
    ("GET", "/v1/streams/%FF/records", None, {}, 400, "bad_path"),
    ("GET", "/v1/streams/" + "x" * 513, None, {}, 400, "bad_path"),
    ("GET", "/v1/streams/..", None, {}, None, None),
    ("GET", "/v1/streams/nowhere", None, {}, 404, "stream_not_found"),
    ("GET", "/v1/streams?limit=-1", None, {}, 400, "bad_query"),
    ("GET", "/v1/streams?prefix=" + "x" * 513, None, {}, 400, "bad_query"),
    ("GET", "/v1/streams", None, {"s2-basin": "nowhere-at-all"}, 404, "basin_not_found"),
    ("POST", "/v1/streams", b"{", JSON, 400, "bad_json"),
    ("POST", "/v1/streams", b"[" * 100_000, JSON, 400, "bad_json"),
    ("POST", "/v1/streams", b'{"stream":"a\\u0000"}', JSON, 400, "bad_json"),
    ("POST", "/v1/streams", b'{"stream":"\\ud800"}', JSON, 400, "bad_json"),
    ("POST", "/v1/streams", b'{"stream":"a"}', {}, 400, "bad_json"),
    ("POST", "/v1/streams", b'{"stream":"a","config":{"retention_policy":{"age":0}}}', JSON, 422, "invalid"),
    ("POST", "/v1/streams", b'{"stream":"a","config":{"retention_policy":"infinite"}}', JSON, 400, "bad_json"),
    ("POST", "/v1/streams", b'{"stream":"a","config":{"timestamping":{"mode":"never"}}}', JSON, 400, "bad_json"),
    ("POST", "/v1/streams", b'{"stream":"a"}', {**JSON, "s2-request-token": "x" * 37}, 400, "bad_header"),
    ("PATCH", "/v1/basins/test-basin", b'{"create_stream_on_append":null}', JSON, 400, "bad_json"),
    ("POST", "/v1/basins", b'{"basin":"Test-Basin"}', JSON, 400, "bad_json"),
    ("POST", "/v1/basins", b'{"basin":"test-basin-2\\n"}', JSON, 400, "bad_json"),
    ("POST", "/v1/basins", b'{"basin":"test-basin-2","location":"moon"}', JSON, 422, "invalid"),
    ("POST", "/v1/streams/s/records", b'{"records":[]}', JSON, 422, "invalid"),
    ("POST", "/v1/streams/s/records", b'{"records":[{"body":1}]}', JSON, 400, "bad_json"),
    ("POST", "/v1/streams/s/records", b'{"records":[{"headers":[["",""],["a",""]]}]}', JSON, 422, "invalid"),
    ("POST", "/v1/streams/s/records", b'{"records":[{"headers":[["","jump"]]}]}', JSON, 422, "invalid"),
    ("POST", "/v1/streams/s/records", b'{"records":[{"headers":[["","trim"]],"body":"1"}]}', JSON, 422, "invalid"),
    ("POST", "/v1/streams/s/records", b'{"records":[{"body":"YQ"}]}', {**JSON, "s2-format": "base64"}, 422, "invalid"),
    ("POST", "/v1/streams/s/records", b'{"records":[{}],"fencing_token":"%s"}' % (b"x" * 37), JSON, 400, "bad_json"),
    ("POST", "/v1/streams/s/records", b'{"records":[%s]}' % b",".join([b"{}"] * 1001), JSON, 422, "invalid"),
    ("POST", "/v1/streams/s/records", b'{"records":[{"body":"%s"}]}' % (b"x" * 1048569), JSON, 422, "invalid"),
    ("POST", "/v1/streams/s/records", b"x" * 2097153, JSON, 400, "bad_json"),
    ("POST", "/v1/streams/s/records", b"\x0a\xff", PROTO, 400, "bad_proto"),
    ("POST", "/v1/streams/s/records", b"\x0a\x02\x1a\x05", PROTO, 400, "bad_proto"),
    ("POST", "/v1/streams/s/records", input_bytes(b"a", fencing_token="x" * 37), PROTO, 422, "invalid"),
    ("POST", "/v1/streams/s/records", b"\x0a\x00" * 1_000_000 + b"\x78\x01", PROTO, 422, "invalid"),
    (
        "POST",
        "/v1/streams/s/records",
        gzip.compress(bytes(100_000_000)),
        {**PROTO, "content-encoding": "gzip"},
        400,
        "bad_proto",
    ),
    (
        "POST",
        "/v1/streams/s/records",
        zstandard.compress(bytes(10**8)),
        {**JSON, "content-encoding": "zstd"},
        400,
        "bad_json",
    ),
    ("POST", "/v1/streams/s/records", b"junk", {**JSON, "content-encoding": "gzip"}, 400, "bad_json"),
    ("POST", "/v1/streams/s/records", b"{}", {**JSON, "content-encoding": "br"}, 415, None),
    ("POST", "/v1/streams/nowhere/records", b'{"records":[{}]}', JSON, 404, "stream_not_found"),
    ("POST", "/v1/streams/nowhere/records", b"", S2S, 404, "stream_not_found"),
    ("GET", "/v1/streams/nowhere/records", None, S2S, 404, "stream_not_found"),
    ("POST", "/v1/access-tokens", b'{"id":"t","scope":{}}', JSON, 422, "invalid"),
    ("POST", "/v1/access-tokens", b'{"id":"t","scope":{"ops":["fly"]}}', JSON, 400, "bad_json"),
    (
        "POST",
        "/v1/access-tokens",
        b'{"id":"t","auto_prefix_streams":true,"scope":{"ops":["read"]}}',
        JSON,
        422,
        "invalid",
    ),
    (
        "POST",
        "/v1/access-tokens",
        b'{"id":"t","expires_at":"2999-01-01T00:00:00","scope":{"ops":["read"]}}',
        JSON,
        400,
        "bad_json",
    ),
    (
        "POST",
        "/v1/access-tokens",
        b'{"id":"t","expires_at":"1999-01-01T00:00:00Z","scope":{"ops":["read"]}}',
        JSON,
        422,
        "invalid",
    ),
    ("DELETE", "/v1/access-tokens/nobody", None, {}, 404, "access_token_not_found"),
    ("GET", "/v1/metrics", None, {}, 400, "bad_query"),
    ("GET", "/v1/metrics?set=weather", None, {}, 400, "bad_query"),
    ("GET", "/v1/metrics?set=account-ops&interval=week", None, {}, 400, "bad_query"),
    ("GET", "/v1/metrics/nowhere-at-all?set=storage", None, {}, 404, "basin_not_found"),
    ("GET", "/v1/nothing", None, {}, 404, None),
    ("GET", "/", None, {}, 404, None),
    ("DELETE", "/v1/basins", None, {}, 405, None),
    ("PUT", "/v1/locations/default", b"null", JSON, 400, "bad_json"),
]


@pytest.mark.parametrize(("method", "path", "body", "headers", "status", "said"), BAD, ids=range(len(BAD)))
def test_bad_input(server, http, method, path, body, headers, status, said):
    if not getattr(server, "has_s", False):
        made(server, "s")
        server.has_s = True
    answer = http.request(method, path, content=body, headers=headers)
    if status is None:
        return  # the client resolves the dots itself
    assert answer.status_code == status, answer.text[:200]
    if said is not None:
        assert answer.json()["code"] == said
        assert answer.json()["message"]
        assert answer.headers["content-type"] == "application/json"
    # The connection goes on, whatever was wrong with the request.
    assert http.get("/v1/streams/s").status_code == 200


def test_conditions_and_reads_beyond_the_tail_tell_the_state(http, stream):
    append(http, stream, "a", "b")
    answer = http.post(stream, json={"records": [{}], "match_seq_num": 0})
    assert (answer.status_code, answer.json()) == (412, {"seq_num_mismatch": 2})
    fence = {"records": [{"headers": [["", "fence"]], "body": "me"}]}
    tail = http.post(stream, json=fence).json()["tail"]
    answer = http.post(stream, json={"records": [{}], "match_seq_num": 0, "fencing_token": ""})
    assert (answer.status_code, answer.json()) == (412, {"fencing_token_mismatch": "me"})
    for query in (
        "seq_num=3",
        "seq_num=99",
        "seq_num=99&clamp=true",
        "tail_offset=0",
        "timestamp=99999999999999",
        "wait=0",
    ):
        answer = http.get(f"{stream}?{query}")
        assert (answer.status_code, answer.json()) == (416, {"tail": tail}), query
    assert http.get(f"{stream}?seq_num=99&wait=1").status_code == 416
    started = time.monotonic()
    answer = http.get(f"{stream}?seq_num=99&wait=1&clamp=true")
    assert (answer.status_code, answer.json()) == (200, {"records": []})
    assert 0.9 < time.monotonic() - started < 3


def test_bodies_are_packed_where_it_pays(http, stream):
    posted = {"records": [{"body": "x" * 2000}] * 10}
    headers = {**JSON, "content-encoding": "zstd"}
    packed = zstandard.ZstdCompressor(write_content_size=False).compress(json.dumps(posted).encode())
    assert http.post(stream, content=packed, headers=headers).status_code == 200
    for encoding in ("zstd", "gzip"):
        answer = http.get(f"{stream}?seq_num=0", headers={"accept-encoding": f"br, {encoding};q=0.5"})
        assert answer.headers["content-encoding"] == encoding
        assert len(answer.json()["records"]) == 10
    assert "content-encoding" not in http.get(f"{stream}/tail", headers={"accept-encoding": "zstd"}).headers
    events = http.get(f"{stream}?seq_num=0&count=10", headers={**EVENTS, "accept-encoding": "zstd"})
    assert "content-encoding" not in events.headers
    session = http.get(f"{stream}?seq_num=0&count=10", headers={**S2S, "accept-encoding": "gzip, zstd"})
    assert "content-encoding" not in session.headers
    assert session.content[3] == 0x20
    assert seqs(session.content) == list(range(10))


# --- frames ---------------------------------------------------------------------------------------------------------


def test_the_bytes_of_frames(http, server):
    path = made(server, timestamping={"mode": "client-require", "uncapped": True})
    records = [Record(b"", timestamp=0), Record(b"a", [(b"k", b"v")], timestamp=300)]
    answer = http.post(path, content=encode_frame(encode_input(AppendInput(records))), headers=S2S)
    assert answer.headers["content-type"] == "s2s/proto"
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.content.hex(" ") == "00 00 12 00 0a 00 12 05 08 02 10 ac 02 1a 05 08 02 10 ac 02".replace(
        "00 00 12 00", "00 00 11 00"
    )
    answer = http.get(f"{path}?seq_num=0&count=1", headers=S2S)
    # A record whose number and time are zero, without a body, is nothing but its length.
    assert answer.content.hex(" ") == "00 00 03 00 0a 00"
    answer = http.get(f"{path}?seq_num=1&wait=0", headers=S2S)
    record = "0a 10 08 01 10 ac 02 1a 06 0a 01 6b 12 01 76 22 01 61"
    assert answer.content.hex(" ") == f"00 00 1a 00 {record} 12 05 08 02 10 ac 02"
    empty = made(server)
    assert http.get(f"{empty}?wait=1", headers=S2S).content.startswith(b"\x00\x00\x03\x00\x12\x00")
    assert http.get(f"{empty}?wait=0", headers=S2S).content == b""


HOSTILE = {
    "a length of zero": b"\x00\x00\x00\x00",
    "a length beyond the limit": b"\xff\xff\xff\x00",
    "a length that lies": b"\x00\x10\x00\x00abc",
    "half a head": b"\x00\x00",
    "no such packing": encode_frame(input_bytes(b"a"))[:3] + b"\x60" + input_bytes(b"a"),
    "a terminal frame": b"\x00\x00\x05\x80\x01\x90{}",
    "no protobuf": encode_frame(b"\x0a\xff\xff"),
    "protobuf cut short": encode_frame(input_bytes(b"a" * 100)[:-5]),
    "text that is no UTF-8": encode_frame(input_bytes(b"a") + b"\x1a\x01\xff"),
    "broken zstd": b"\x00\x00\x05\x20abcd",
    "broken gzip": b"\x00\x00\x05\x40abcd",
    "a zstd bomb": b"".join([(len(b := zstandard.compress(bytes(1 << 30))) + 1).to_bytes(3, "big"), b"\x20", b]),
    "a gzip bomb": b"".join([(len(b := gzip.compress(bytes(1 << 27))) + 1).to_bytes(3, "big"), b"\x40", b]),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_frames_end_the_session_after_what_was_good(http, stream, hostile):
    good = encode_frame(input_bytes(b"a", b"b"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = http.post(stream, content=good + good + HOSTILE[hostile] + good, headers=S2S)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert answer.status_code == 200
    first, second, last = framed(answer.content)
    assert (ack_of(first.payload).end.seq_num, ack_of(second.payload).end.seq_num) == (2, 4)
    assert last.terminal
    assert (last.error().status_code, last.error().code) == (400, "bad_frame")
    assert http.get(f"{stream}/tail").json()["tail"]["seq_num"] == 4
    assert after - before < 100_000  # KiB


def test_a_refused_input_ends_a_session(http, stream):
    one, two = encode_frame(input_bytes(b"a")), encode_frame(input_bytes(b"b", match_seq_num=5))
    answer = http.post(stream, content=one + two + one, headers=S2S)
    ack, last = framed(answer.content)
    assert ack_of(ack.payload).end.seq_num == 1
    assert last.payload == b'\x01\x9c{"seq_num_mismatch":1}'
    answer = http.post(stream, content=encode_frame(b""), headers=S2S)
    [last] = framed(answer.content)
    assert (last.error().status_code, last.error().code) == (422, "invalid")


def test_acknowledgements_come_while_input_goes_on(server, stream):
    """Full duplex over HTTP/1.1, which the lab allows as the service does."""
    with socket.create_connection(server.address) as sock:
        sock.settimeout(5)
        sock.sendall(
            f"POST {stream} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\ns2-basin: {BASIN}\r\n"
            "content-type: s2s/proto\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        )
        told = b""
        while b"\r\n\r\n" not in told:
            told += sock.recv(65536)
        assert told.startswith(b"HTTP/1.1 200")
        for number in range(1, 4):
            frame = encode_frame(input_bytes(b"x"))
            sock.sendall(b"%x\r\n%b\r\n" % (len(frame), frame))
            chunk = sock.recv(65536)
            [ack] = framed(chunk.partition(b"\r\n")[2][:-2])
            assert ack_of(ack.payload).end.seq_num == number
        sock.sendall(b"0\r\n\r\n")
        assert sock.recv(65536) == b"0\r\n\r\n"


def test_any_way_of_writing_an_append_is_understood():
    """Fields in another order, twice, unknown, or written though empty: as protobuf has it."""
    canonical = input_bytes(b"one", b"two", match_seq_num=3, fencing_token="t")
    odd = (
        b"\x10\x09"  # replaced below: the last one counts
        b"\x0a\x08\x1a\x03zzz\x1a\x01o"[:0]
        + b"\x1a\x01t"
        + b"\x0a\x0a\x1a\x01x\x28\x07\x1a\x03one\x1a"[:0]
        + b"\x0a\x0c\x28\x07\x1a\x03zzz\x1a\x03one"
        + b"\x0a\x05\x1a\x03two"
        + b"\x10\x83\x00"
        + b"\x7a\x02hi"
    )
    assert inputs.draft_of(odd) == inputs.draft_of(canonical)
    explicit = b"\x0a\x08\x12\x04\x0a\x00\x12\x00\x1a\x00"
    assert inputs.draft_of(b"\x0a\x02\x1a\x00") == inputs.draft_of(b"\x0a\x00")
    with pytest.raises(S2ServerError, match="unknown command"):
        inputs.draft_of(explicit)


def test_what_is_stored_is_what_protobuf_would_write():
    rng = random.Random(5)

    def some(*sizes):
        return rng.randbytes(rng.choice(sizes))

    for _ in range(400):
        records = [
            Record(
                some(0, 1, 127, 128, 300),
                [(some(1, 3, 130), some(0, 1, 200)) for _ in range(rng.choice((0, 0, 1, 2)))],
                rng.choice((None, None, 0, 5, 2**64 - 1)),
            )
            for _ in range(rng.choice((1, 2, 7)))
        ]
        if rng.random() < 0.3:
            records.insert(rng.randrange(len(records)), CommandRecord.trim(rng.randrange(9)))
        input = AppendInput(records, rng.choice((None, 0, 2**64 - 1)), rng.choice((None, "", "tök")))
        draft = inputs.draft_of(encode_input(input))
        assert draft == inputs.draft_of_input(input)
        assert draft.size == metered_bytes(records)
        first = rng.choice((0, 1, 120, 2**40))
        times = [rng.choice((0, 1, 2**63)) for _ in records]
        data = chunks.placed(draft.parts, first, times)
        read = read_batch_of(data)
        told = [(one.seq_num, one.timestamp, one.headers, one.body) for one in read.records]
        assert told == [(first + n, times[n], one.headers, one.body) for n, one in enumerate(records)]
        found = list(chunks.places(data))
        assert [chunks.metered(data, place) for place in found] == [metered_bytes([one]) for one in records]
        orders = {command.index for command in draft.commands}
        assert {n for n, place in enumerate(found) if chunks.is_command(data, place)} == orders
        key = rng.randbytes(32)
        hidden = [p if n in orders else cipher.encrypted(p, key, 1, first + n) for n, p in enumerate(draft.parts)]
        sealed = chunks.placed(hidden, first, times)
        assert cipher.decrypted(sealed, key, 1) == data
        if len(orders) < len(records):
            for wrong in ((rng.randbytes(32), 1), (key, 2)):
                with pytest.raises(S2ServerError, match="decryption failed"):
                    cipher.decrypted(sealed, *wrong)


# --- reading on -----------------------------------------------------------------------------------------------------


def test_batches_end_where_limits_say(http, stream):
    for count in (300, 300, 300, 300):
        append(http, stream, *("x" * 92 for _ in range(count)))

    def sizes(query):
        answer = http.get(f"{stream}?{query}", headers=S2S)
        return [len(read_batch_of(frame.payload).records) for frame in framed(answer.content)]

    assert sum(sizes("seq_num=0&wait=0")) == 1200
    assert max(sizes("seq_num=0&wait=0")) <= 1000
    assert sum(sizes("seq_num=150&count=700")) == 700
    assert sum(sizes("seq_num=0&bytes=50099")) == 500
    assert sum(sizes("seq_num=1199&count=5")) == 1
    assert sizes("seq_num=0&bytes=99") == []
    assert sizes("seq_num=0&count=0") == []
    assert len(http.get(f"{stream}?seq_num=100&count=5000").json()["records"]) == 1000
    assert len(http.get(f"{stream}?seq_num=100&bytes=65000").json()["records"]) == 650
    frames = framed(http.get(f"{stream}?seq_num=0&wait=0", headers=S2S).content)
    tails = [read_batch_of(frame.payload).tail is not None for frame in frames]
    assert tails == [False] * (len(frames) - 1) + [True]


def test_a_session_shows_signs_of_life_and_waits_from_the_last_record(http, stream, server):
    append(http, stream, "a")
    with server.client(s2_basin=BASIN) as writer:
        late = threading.Timer(0.7, lambda: append(writer, stream, "b"))
        late.start()
        started = time.monotonic()
        answer = http.get(f"{stream}?seq_num=0&wait=1", headers=S2S)
        took = time.monotonic() - started
        late.join()
    assert 1.6 < took < 3  # the wait began again with "b"
    batches = [read_batch_of(frame.payload) for frame in framed(answer.content)]
    assert [record.body for batch in batches for record in batch.records] == [b"a", b"b"]
    assert all(batch.records or batch.tail for batch in batches)
    beats = [batch.tail.seq_num for batch in batches if not batch.records]
    assert len(beats) >= 4
    assert set(beats) == {1, 2}


def events(text):
    return [dict(line.split(": ", 1) for line in event.split("\n")) for event in text.strip("\n").split("\n\n")]


def test_events(http, stream):
    append(http, stream, "a", "b", "c")
    answer = http.get(f"{stream}?seq_num=0&count=2", headers=EVENTS)
    assert answer.headers["content-type"] == "text/event-stream"
    batch, done = events(answer.text)
    assert (batch["event"], batch["id"]) == ("batch", "1,2,18")
    assert [record["body"] for record in json.loads(batch["data"])["records"]] == ["a", "b"]
    assert done == {"data": "[DONE]"}
    resumed, _ = events(http.get(f"{stream}?seq_num=0&count=3", headers={**EVENTS, "last-event-id": "1,2,18"}).text)
    assert resumed["id"] == "2,3,27"
    assert json.loads(resumed["data"])["records"] == [
        {"seq_num": 2, "timestamp": json.loads(resumed["data"])["records"][0]["timestamp"], "body": "c"}
    ]
    answer = http.get(f"{stream}?seq_num=0&count=3", headers={**EVENTS, "last-event-id": "2,3,27"})
    assert (answer.status_code, events(answer.text)) == (200, [{"data": "[DONE]"}])
    ping = events(http.get(f"{stream}?tail_offset=0&wait=1", headers=EVENTS).text)[0]
    assert ping["event"] == "ping"
    assert json.loads(ping["data"])["tail"]["seq_num"] == 3
    assert code(http.get("/v1/streams/nowhere/records", headers=EVENTS)) == (404, "stream_not_found")


def test_events_tell_of_a_failure(server, http):
    with server.client() as root:
        root.put(
            "/v1/basins/secret-basin", json={"config": {"stream_cipher": "aegis-256", "create_stream_on_append": True}}
        )
    name = f"s{next(names)}"
    key = base64.b64encode(b"k" * 32).decode()
    there = {"s2-basin": "secret-basin", "s2-encryption-key": key}
    append(http, f"/v1/streams/{name}/records", "a", headers=there)
    other = {**there, "s2-encryption-key": base64.b64encode(b"o" * 32).decode(), **EVENTS}
    [failure] = events(http.get(f"/v1/streams/{name}/records?seq_num=0&wait=0", headers=other).text)
    assert failure["event"] == "error"
    assert json.loads(failure["data"])["code"] == "decryption_failed"


def test_a_hundred_sessions_on_one_connection(server):
    async def go():
        headers = {"authorization": f"Bearer {TOKEN}", **HERE}
        how = {"base_url": server.url, "headers": headers, "http1": False, "http2": True, "timeout": 20}
        how["limits"] = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(**how) as client, httpx.AsyncClient(**how) as writer:
            paths = [f"/v1/streams/hundred-{n}/records" for n in range(100)]
            await asyncio.gather(*(client.put(path.removesuffix("/records")) for path in paths))

            async def follow(path):
                reader, bodies = FrameReader(), []
                async with client.stream("GET", f"{path}?seq_num=0", headers=S2S) as answer:
                    async for piece in answer.aiter_raw():
                        for frame in reader.feed(piece):
                            bodies += [record.body for record in read_batch_of(frame.payload).records]
                        if len(bodies) == 20:
                            return bodies
                raise AssertionError("it ended")

            tasks = [asyncio.create_task(follow(path)) for path in paths]
            for number in range(20):
                body = encode_frame(input_bytes(b"%d" % number))
                await asyncio.gather(*(writer.post(path, content=body, headers=S2S) for path in paths))
            for bodies in await asyncio.gather(*tasks):
                assert bodies == [b"%d" % number for number in range(20)]

    asyncio.run(go())


# --- HTTP/2 by hand -------------------------------------------------------------------------------------------------


class Two:
    """A small client that does as it is told."""

    def __init__(self, address, window=65535):
        self.sock = socket.create_connection(address)
        self.sock.settimeout(5)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.bodies, self.heads, self.ended, self.reset, self.over = {}, {}, set(), set(), False
        self.acknowledge = True
        self.flush()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def request(self, method, path, end=True, **headers):
        id = self.h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", path)]
        told = {"authorization": f"Bearer {TOKEN}", **HERE, **{k.replace("_", "-"): v for k, v in headers.items()}}
        self.h2.send_headers(id, [*pseudo, *told.items()], end_stream=end)
        self.flush()
        return id

    def step(self):
        data = self.sock.recv(1 << 20)
        if not data:
            self.over = True
            return
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.heads[event.stream_id] = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self.bodies.setdefault(event.stream_id, bytearray()).extend(event.data)
                if self.acknowledge:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.reset.add(event.stream_id)
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.over = True
        self.flush()

    def until(self, wanted):
        while not wanted():
            assert not self.over, "the connection ended"
            self.step()

    def whole(self, id):
        self.until(lambda: id in self.ended)
        return int(self.heads[id][":status"]), self.bodies.get(id, b"")

    def close(self):
        self.sock.close()


@pytest.fixture
def two(server):
    client = Two(server.address)
    yield client
    client.close()


def test_the_head_of_a_session_comes_before_any_input(two, stream):
    id = two.request("POST", stream, end=False, content_type="s2s/proto")
    two.until(lambda: id in two.heads)
    assert two.heads[id][":status"] == "200"
    frame = encode_frame(input_bytes(b"a"))
    for number in range(1, 4):
        two.h2.send_data(id, frame)
        two.flush()
        two.until(lambda number=number: len(two.bodies.get(id, b"")) and len(framed(two.bodies[id])) == number)
    two.h2.end_stream(id)
    two.flush()
    _, body = two.whole(id)
    assert [ack_of(frame.payload).end.seq_num for frame in framed(body)] == [1, 2, 3]


def test_input_to_an_exchange_that_is_over_harms_no_other(two, stream):
    follow = two.request("GET", f"{stream}?seq_num=0", content_type="s2s/proto")
    lost = two.request("POST", "/v1/streams/nowhere/records", end=False, content_type="s2s/proto")
    assert two.whole(lost)[0] == 404
    for _ in range(300):  # far more than any window
        two.until(lambda: two.h2.local_flow_control_window(lost) >= 16384)
        two.h2.send_data(lost, bytes(16384))
        two.flush()
        if two.h2.local_flow_control_window(lost) < 65536:
            two.step()
    two.h2.end_stream(lost)
    one = two.request("POST", stream, end=False, content_type="application/protobuf")
    two.h2.send_data(one, input_bytes(b"a"), end_stream=True)
    two.flush()
    assert two.whole(one)[0] == 200
    two.until(lambda: b"a" in two.bodies.get(follow, b""))
    two.h2.reset_stream(follow)
    two.flush()
    assert two.whole(two.request("GET", f"{stream}/tail"))[0] == 200


def test_one_who_does_not_read_holds_up_only_himself(two, server, stream):
    with server.client(s2_basin=BASIN) as client:
        for _ in range(30):
            append(client, stream, *("x" * 1000 for _ in range(1000)))
    two.acknowledge = False
    slow = two.request("GET", f"{stream}?seq_num=0", content_type="s2s/proto")
    two.until(lambda: len(two.bodies.get(slow, b"")) == 65535)  # its window, and no more
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    two.h2.increment_flow_control_window(1 << 20)
    two.flush()
    for _ in range(20):
        status, body = two.whole(two.request("GET", f"{stream}/tail"))
        assert (status, json.loads(body)["tail"]["seq_num"]) == (200, 30_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    two.acknowledge = True
    two.h2.acknowledge_received_data(65535, slow)
    two.flush()
    two.until(lambda: len(two.bodies[slow]) > 30_000_000)
    assert seqs_so_far(two.bodies[slow])[-1] > 28_000


def seqs_so_far(content):
    return [record.seq_num for frame in FrameReader().feed(content) for record in read_batch_of(frame.payload).records]


def test_a_protocol_error_ends_the_connection_and_only_that(server, two):
    with socket.create_connection(server.address) as sock:
        sock.settimeout(5)
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 200)
        while sock.recv(65536):
            pass
    with socket.create_connection(server.address) as sock:
        sock.settimeout(5)
        sock.sendall(b"\x00\x01\x02 nonsense\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 400")
        assert sock.recv(65536) == b""
    with socket.create_connection(server.address) as sock:
        sock.settimeout(5)
        sock.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 70_000 + b"\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 431")
    assert two.whole(two.request("GET", "/health"))[0] == 200


def test_requests_that_were_sent_ahead_are_answered_in_turn(server, stream):
    request = (
        f"GET {stream}/tail HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\ns2-basin: {BASIN}\r\n\r\n"
    )
    with socket.create_connection(server.address) as sock:
        sock.settimeout(5)
        sock.sendall(request.encode() * 20)
        told = b""
        while told.count(b'{"tail"') < 20:
            told += sock.recv(65536)
        assert told.count(b"HTTP/1.1 200") == 20


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path):
    with house(tmp_path, patience=0.3) as server:
        with socket.create_connection(server.address) as sock:
            sock.settimeout(5)
            head = f"POST /v1/basins HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n"
            sock.sendall(f"{head}content-length: 100\r\n\r\n{{".encode())
            told = sock.recv(65536)
            assert told.startswith(b"HTTP/1.1 408")
            assert b"request_timeout" in told


def test_one_who_never_reads_is_let_go(tmp_path):
    with house(tmp_path, stall=0.4) as server, server.client(s2_basin=BASIN) as client:
        client.post("/v1/basins", json={"basin": BASIN})
        path = made(server)
        for _ in range(20):
            append(client, path, *("x" * 1000 for _ in range(1000)))
        with socket.create_connection(server.address) as sock:
            sock.settimeout(5)
            head = f"GET {path}?seq_num=0 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\ns2-basin: {BASIN}\r\n"
            sock.sendall(f"{head}content-type: s2s/proto\r\n\r\n".encode())
            time.sleep(1)
            got = 0
            while piece := sock.recv(1 << 20):
                got += len(piece)
                assert not piece.endswith(b"\r\n0\r\n\r\n")
            assert got < 20_000_000
        with closing(Two(server.address)) as two:
            two.acknowledge = False
            id = two.request("GET", f"{path}?seq_num=0", content_type="s2s/proto")
            two.until(lambda: id in two.reset)
            two.h2.increment_flow_control_window(65535)
            assert two.whole(two.request("GET", "/health"))[0] == 200


# --- faults ---------------------------------------------------------------------------------------------------------


def test_statuses_garbage_and_delays_on_request(server, http, stream):
    server.fault("503", f"{stream}/tail", retry_after=0.25)
    answer = http.get(f"{stream}/tail")
    assert code(answer) == (503, "unavailable")
    assert answer.headers["retry-after-ms"] == "250"
    for status, said in ((429, "rate_limited"), (409, "transaction_conflict"), (500, "other"), (502, "hot_server")):
        server.fault(str(status), f"{stream}/tail")
        assert code(http.get(f"{stream}/tail")) == (status, said)
    server.fault("garbage", f"{stream}/tail")
    assert http.get(f"{stream}/tail").text.startswith("<html>")
    server.fault("delay", f"{stream}/tail", seconds=0.3)
    started = time.monotonic()
    assert http.get(f"{stream}/tail").status_code == 200
    assert time.monotonic() - started > 0.3


def read_into(got, http, path):
    with http.stream("GET", path, headers={**S2S, "accept-encoding": "identity"}) as answer:
        for piece in answer.iter_raw():
            got += piece


@pytest.mark.parametrize("kind", ["drop", "reset", "truncate", "stall"])
@pytest.mark.parametrize("after", [0, 5, 2000])
def test_cut_answers_are_seen_as_cut(server, http, stream, kind, after):
    append(http, stream, *("x" * 100 for _ in range(100)))
    server.fault(kind, stream, after=after, seconds=0.1)
    got = bytearray()
    with pytest.raises(httpx.TransportError):
        read_into(got, http, f"{stream}?seq_num=0&wait=0")
    if kind != "drop":
        assert len(got) <= after
        assert len(got) == after or kind == "reset"
    assert len(seqs(http.get(f"{stream}?seq_num=0&wait=0", headers=S2S).content)) == 100
    server.fault(kind, f"{stream}/tail", after=after, seconds=0.1)
    if after < 40:
        with pytest.raises(httpx.TransportError):
            http.get(f"{stream}/tail")
    server.plan.clear()


def test_an_append_whose_answer_is_cut_was_made(server, http, stream):
    server.fault("truncate", stream, method="POST")
    with pytest.raises(httpx.TransportError):
        http.post(stream, json={"records": [{"body": "a"}]})
    assert http.get(f"{stream}/tail").json()["tail"]["seq_num"] == 1


# --- time passes ----------------------------------------------------------------------------------------------------


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def stored(server, sql, *values):
    with sqlite3.connect(server.folder / "s2.sqlite") as db:
        return db.execute(sql, values).fetchall()


def test_records_expire_by_what_held_when_they_came(tmp_path):
    with house(tmp_path) as server, server.client(s2_basin=BASIN) as client:
        client.post("/v1/basins", json={"basin": BASIN})
        short = made(server, retention_policy={"age": 100})
        kept = made(server, retention_policy={"infinite": {}})
        long = made(server, retention_policy={"age": 2**63})
        for path in (short, kept, long):
            append(client, path, "a", "b")
        client.patch(short.removesuffix("/records"), json={"retention_policy": {"age": 10_000}})
        append(client, short, "c")
        server.ahead = 101_000
        wait_until(lambda: len(stored(server, "select 1 from chunks")) == 3)
        assert [one["seq_num"] for one in client.get(f"{short}?seq_num=0").json()["records"]] == [2]
        assert len(client.get(f"{kept}?seq_num=0").json()["records"]) == 2
        server.ahead = 20_000_000
        wait_until(lambda: len(stored(server, "select 1 from chunks")) == 2)
        answer = client.get(f"{short}?seq_num=0")
        assert (answer.status_code, answer.json()) == (200, {"records": []})
        assert append(client, short, "d")["start"]["seq_num"] == 3
        gauge = client.get(f"/v1/metrics/{BASIN}/{short.split('/')[3]}?set=storage").json()["values"][0]["gauge"]
        assert gauge["values"][-1][1] == 9


def test_streams_go_when_they_are_empty(tmp_path):
    with house(tmp_path, deletion=0.05) as server, server.client(s2_basin=BASIN) as client:
        client.post("/v1/basins", json={"basin": BASIN})
        doe = {"delete_on_empty": {"min_age_secs": 60}}
        never = made(server, "never", **doe)
        full = made(server, "full", **doe)
        made(server, "stays")
        append(client, full, "a")

        def there():
            return [one["name"] for one in client.get("/v1/streams").json()["streams"]]

        time.sleep(0.2)
        assert there() == ["full", "never", "stays"]
        server.ahead = 61_000
        wait_until(lambda: there() == ["full", "stays"])
        assert code(client.get(f"{never}/tail")) == (404, "stream_not_found")
        trim = {"records": [{"headers": [["", "trim"]], "body": "\x7f" * 8}]}
        assert client.post(full, json=trim).status_code == 200
        time.sleep(0.3)
        assert there() == ["full", "stays"]  # young again
        server.ahead = 122_000
        wait_until(lambda: there() == ["stays"])


def test_a_trim_cuts_inside_what_was_appended_together(tmp_path):
    with house(tmp_path) as server, server.client(s2_basin=BASIN) as client:
        client.post("/v1/basins", json={"basin": BASIN, "config": {"stream_cipher": "aes-256-gcm"}})
        key = {"s2-encryption-key": base64.b64encode(os.urandom(32)).decode()}
        path = made(server, "cut")
        append(client, path, *("x" * n for n in range(100)), headers=key)
        trim = CommandRecord.trim(61)
        told = {"records": [{"headers": [["", "dHJpbQ=="]], "body": base64.b64encode(trim.body).decode()}]}
        assert client.post(path, json=told, headers={**key, "s2-format": "base64"}).status_code == 200
        wait_until(lambda: client.get(f"{path}?seq_num=0", headers=key).json()["records"][0]["seq_num"] == 61)
        records = client.get(f"{path}?seq_num=0", headers=key).json()["records"]
        assert [(one["seq_num"], len(one["body"])) for one in records[:-1]] == [(n, n) for n in range(61, 100)]
        size = sum(8 + n for n in range(61, 100)) + 8 + 2 + 4 + 8
        assert stored(server, "select size from streams") == [(size,)]
        assert stored(server, "select sum(size) from chunks") == [(size,)]


def test_deletion_takes_a_while_and_then_the_name_is_free(tmp_path):
    with house(tmp_path, deletion=0.5) as server, server.client(s2_basin=BASIN) as client:
        client.post("/v1/basins", json={"basin": BASIN})
        path = made(server, "s")
        append(client, path, "a")
        assert client.delete("/v1/streams/s").status_code == 202
        assert client.delete("/v1/streams/s").status_code == 202
        [info] = client.get("/v1/streams").json()["streams"]
        assert info["deleted_at"] >= info["created_at"]
        pending = (409, "stream_deletion_pending")
        assert code(client.get(f"{path}/tail")) == pending
        assert code(client.get("/v1/streams/s")) == pending
        assert code(client.patch("/v1/streams/s", json={})) == pending
        assert code(client.put("/v1/streams/s")) == pending
        assert code(client.post(path, json={"records": [{}]})) == pending
        wait_until(lambda: client.get("/v1/streams").json()["streams"] == [])
        assert code(client.get("/v1/streams/s")) == (404, "stream_not_found")
        made(server, "s")
        assert client.get(f"{path}/tail").json()["tail"] == {"seq_num": 0, "timestamp": 0}
        append(client, path, "b")
        assert client.delete(f"/v1/basins/{BASIN}").status_code == 202
        assert client.delete(f"/v1/basins/{BASIN}").status_code == 202
        assert client.get("/v1/basins").json()["basins"][0]["state"] == "deleting"
        assert client.get(f"/v1/basins/{BASIN}").status_code == 200
        pending = (409, "basin_deletion_pending")
        assert code(client.patch(f"/v1/basins/{BASIN}", json={})) == pending
        assert code(client.put(f"/v1/basins/{BASIN}")) == pending
        assert code(client.post("/v1/streams", json={"stream": "t"})) == pending
        assert code(client.get(f"{path}/tail")) == (409, "stream_deletion_pending")
        wait_until(lambda: client.get("/v1/basins").json()["basins"] == [])
        assert stored(server, "select count(*) from chunks") == [(0,)]
        assert client.put(f"/v1/basins/{BASIN}").status_code == 201


# --- what is on the disk --------------------------------------------------------------------------------------------


def test_encrypted_records_cannot_be_read_from_the_disk(tmp_path):
    key = os.urandom(32)
    header = {"s2-encryption-key": base64.b64encode(key).decode()}
    with (
        house(tmp_path) as server,
        server.client(s2_basin=BASIN, **{"s2_encryption_key": header["s2-encryption-key"]}) as client,
    ):
        client.post("/v1/basins", json={"basin": BASIN, "config": {"stream_cipher": "aegis-256"}})
        path = made(server, "s")
        append(client, path, *["a very secret body"] * 50)
        client.post(path, json={"records": [{"headers": [["secret-name", "x"]], "body": "y"}]})
        assert len(client.get(f"{path}?seq_num=0").json()["records"]) == 51
    held = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for secret in (b"very secret", b"secret-name", key, header["s2-encryption-key"].encode()):
        assert secret not in held


def test_what_was_told_survives_a_restart(tmp_path):
    with house(tmp_path) as server, server.client(s2_basin=BASIN) as client:
        config = {"create_stream_on_append": True, "default_stream_config": {"retention_policy": {"age": 99}}}
        client.post("/v1/basins", json={"basin": BASIN, "config": config}, headers={"s2-request-token": "r"})
        append(client, "/v1/streams/s/records", "a", "b")
        client.post("/v1/streams/s/records", json={"records": [{"headers": [["", "fence"]], "body": "f"}]})
        made(server, "gone")
        client.delete("/v1/streams/gone")
        token = client.post(
            "/v1/access-tokens", json={"id": "t", "scope": {"basins": {"prefix": ""}, "ops": ["list-basins"]}}
        )
        before = client.get("/v1/streams/s/records?seq_num=0").json()
        listed = client.get("/v1/basins").json()
    with house(tmp_path) as server, server.client(s2_basin=BASIN) as client:
        assert client.get("/v1/basins").json() == listed
        assert client.get("/v1/streams/s").json()["retention_policy"] == {"age": 99}
        assert client.get("/v1/streams/s/records?seq_num=0").json() == before
        answer = client.post("/v1/streams/s/records", json={"records": [{}], "fencing_token": "x"})
        assert answer.json() == {"fencing_token_mismatch": "f"}
        assert append(client, "/v1/streams/s/records", "c", match_seq_num=3)["end"]["seq_num"] == 4
        wait_until(lambda: [one["name"] for one in client.get("/v1/streams").json()["streams"]] == ["s"])
        again = client.post("/v1/basins", json={"basin": BASIN, "config": config}, headers={"s2-request-token": "r"})
        assert (again.status_code, again.headers["s2-provision-result"]) == (201, "noop")
        with server.client(token=token.json()["access_token"]) as limited:
            assert limited.get("/v1/basins").status_code == 200
        ops = client.get("/v1/metrics?set=account-ops").json()["values"]
        totals = {one["accumulation"]["name"]: sum(v for _, v in one["accumulation"]["values"]) for one in ops}
        assert (totals["append"], totals["create-basin"], totals["create-stream"]) == (3, 2, 1)


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    counts = []
    for _ in range(3):
        with kit.Lab("s2", path=tmp_path / "data", join=False, demo=False) as lab:
            env = lab.env()
            headers = {"authorization": f"Bearer {env['S2_ACCESS_TOKEN']}", **HERE}
            with httpx.Client(base_url=env["S2_BASIN_ENDPOINT"], headers=headers, timeout=20) as client:
                client.put(f"/v1/basins/{BASIN}")
                client.put("/v1/streams/s")
                path = "/v1/streams/s/records"
                start = client.get(f"{path}/tail").json()["tail"]["seq_num"]
                if counts:
                    assert start >= counts[-1]
                    bodies = [one["body"] for one in client.get(f"{path}?tail_offset={start}").json()["records"]]
                    assert bodies == [str(n) for n in range(len(bodies))]
                killer = threading.Timer(0.4, os.kill, (lab._described["pid"], signal.SIGKILL))
                killer.start()
                acked = start
                try:
                    while acked < 990:
                        acked = append(client, path, str(acked))["end"]["seq_num"]
                except httpx.TransportError:
                    pass
                killer.join()
                counts.append(acked)
    assert counts[0] > 20


def test_a_disk_that_takes_no_more_is_told_and_recovered_from(tmp_path):
    with house(tmp_path) as server, server.client(s2_basin=BASIN) as client:
        client.post("/v1/basins", json={"basin": BASIN})
        path = made(server, "s")
        append(client, path, "a")

        async def full(yes):
            await server.server._store.write(
                lambda db: (
                    db.execute(
                        "create trigger full before insert on chunks begin select raise(abort, 'disk full'); end"
                        if yes
                        else "drop trigger full"
                    )
                    and None
                )
            )

        server.on_loop(full(True))
        content = b"".join(encode_frame(input_bytes(b"x")) for _ in range(3))
        answer = client.post(path, content=content, headers=S2S)
        [last] = framed(answer.content)
        assert (last.error().status_code, last.error().code) == (500, "storage")
        assert code(client.post(path, json={"records": [{"headers": [["", "fence"]], "body": "f"}]})) == (
            500,
            "storage",
        )
        assert client.get(f"{path}/tail").json()["tail"]["seq_num"] == 1
        server.on_loop(full(False))
        assert append(client, path, "b", fencing_token="")["start"]["seq_num"] == 1


def test_it_stops_while_sessions_are_open(tmp_path):
    with contextlib.ExitStack() as stack:
        with house(tmp_path) as server:
            client = stack.enter_context(server.client(s2_basin=BASIN))
            client.post("/v1/basins", json={"basin": BASIN})
            path = made(server)
            two = stack.enter_context(closing(Two(server.address)))
            ids = [two.request("GET", f"{path}?seq_num=0", content_type="s2s/proto") for _ in range(5)]
            ids += [two.request("POST", path, end=False, content_type="s2s/proto") for _ in range(5)]
            two.until(lambda: set(ids) <= set(two.heads))
            started = time.monotonic()
        assert time.monotonic() - started < 3
        while not two.over:
            two.step()


# --- the shop -------------------------------------------------------------------------------------------------------


def test_the_demo_is_the_same_everywhere_and_quick(tmp_path):
    shops = []
    for name in "ab":
        started = time.monotonic()
        folder = tmp_path / name
        folder.mkdir()
        with house(folder, demo=True) as server, server.client(s2_basin="demo-shop") as client:
            assert time.monotonic() - started < 2 * slowness()
            orders = client.get("/v1/streams/orders/records?seq_num=0").json()["records"]
            shops.append([json.loads(order["body"]) for order in orders])
            tails = {
                stream: client.get(f"/v1/streams/{stream}/records/tail").json()["tail"]["seq_num"]
                for stream in ("orders", "clicks", "sensors%2Fboiler-1")
            }
            assert tails == {"orders": 5000, "clicks": 20000, "sensors%2Fboiler-1": 3000}
            now = time.time() * 1000
            assert now - 73 * 3_600_000 < orders[0]["timestamp"] < now - 70 * 3_600_000
            yesterday = client.get(f"/v1/streams/orders/records?timestamp={int(now) - 86_400_000}&count=1").json()[
                "records"
            ]
            assert 3000 < yesterday[0]["seq_num"] < 3700
            reading = client.get("/v1/streams/sensors%2Fboiler-1/records?tail_offset=1").json()["records"][0]
            assert dict(reading["headers"])["unit"] == "celsius,bar"
            client.delete("/v1/basins/demo-shop")
        with house(folder, demo=True) as server, server.client() as client:
            wait_until(lambda client=client: client.get("/v1/basins").json()["basins"] == [])
    assert shops[0] == shops[1]


def test_positions_are_told_in_protobuf_too(http, stream):
    answer = http.post(stream, content=input_bytes(b"a"), headers=PROTO)
    ack = ack_of(answer.content)
    assert ack.start.seq_num == 0 and ack.end == ack.tail == StreamPosition(1, ack.start.timestamp)
