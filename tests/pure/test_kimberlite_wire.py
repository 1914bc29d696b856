"""Kimberlite's wire: captured frames byte for byte, round trips of everything, and bytes that are no message."""

from __future__ import annotations

import dataclasses
import struct
import tracemalloc
import typing
import zlib
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.kimberlite.errors import CODES, KimberliteInputError, WireError
from kit.kimberlite.types import Timestamp
from kit.kimberlite.wire.framing import frame_of
from kit.kimberlite.wire.protocol import postcard, requests, responses, structs
from kit.kimberlite.wire.protocol.codec import (
    PUSH,
    RESPONSE,
    FrameReader,
    Push,
    Request,
    Response,
    SubscriptionClosed,
    SubscriptionEvents,
    decode,
    encode,
    encode_request,
    encode_response,
    event_count,
    frame,
    payload_of,
    peek,
    read_header,
)
from kit.kimberlite.wire.protocol.enums import CloseReason, DataClass
from kit.kimberlite.wire.protocol.schema import Unread, kind_of

STREAM = 4294967303
SUBSCRIPTION = 5871781006564002453

CAPTURED: dict[str, tuple[str, Any]] = {
    "handshake without token": (
        "56444220 0005 00000007 1627d12e 00 01 01 00 00 05 00",
        Request(1, 1, requests.Handshake(5, None)),
    ),
    "handshake with token": (
        "56444220 0005 00000015 7d00ea1c 00 01 ac02 00 00 05 01 0c 7365637265742d746f6b656e",
        Request(1, 300, requests.Handshake(5, "secret-token")),
    ),
    "handshake response": (
        "56444220 0005 0000001d 501f403f 01 01 01 05 01 03 05 7175657279 06 617070656e64 09 737562736372696265",
        Response(1, responses.Handshake(5, True, ["query", "append", "subscribe"])),
    ),
    "create stream": (
        "56444220 0005 0000000e 1aff5f08 00 02 01 00 01 06 6576656e7473 00 01",
        Request(2, 1, requests.CreateStream("events", DataClass.PHI, structs.Global())),
    ),
    "create stream response": (
        "56444220 0005 00000008 5a4126c3 01 02 02 8780808010",
        Response(2, responses.CreateStream(STREAM)),
    ),
    "create stream in a region": (
        "56444220 0005 00000017 bb1ad4b7 00 0f 01 00 01 01 73 07 00 02 0c 65752d63656e7472616c2d31",
        Request(
            15,
            1,
            requests.CreateStream("s", DataClass.PUBLIC, structs.Regional(structs.CustomRegion("eu-central-1"))),
        ),
    ),
    "append": (
        "56444220 0005 0000001c a04453c7 00 10 01 00 02 8780808010 03 06 6576656e7431 06 6576656e7432 00 ac02",
        Request(16, 1, requests.AppendEvents(STREAM, [b"event1", b"event2", b""], 300)),
    ),
    "append response": (
        "56444220 0005 00000006 7396dd56 01 10 03 ac02 03",
        Response(16, responses.AppendEvents(300, 3)),
    ),
    "read": (
        "56444220 0005 0000000d 082ff803 00 11 01 00 05 8780808010 00 8008",
        Request(17, 1, requests.ReadEvents(STREAM, 0, 1024)),
    ),
    "read response": (
        "56444220 0005 00000011 9f359b55 01 11 06 03 06 6576656e7431 00 02 00ff 01 03",
        Response(17, responses.ReadEvents([b"event1", b"", b"\0\xff"], 3)),
    ),
    "query with parameters": (
        "56444220 0005 0000003f ddd39dad 00 12 01 00 03 21"
        "53454c454354202a2046524f4d207573657273205748455245206964203d202431"
        "05 01 53 02 05 68656c6c6f 03 01 00 04 8080e087afa7f9d52c 00",
        Request(
            18,
            1,
            requests.Query(
                "SELECT * FROM users WHERE id = $1", [-42, "hello", True, None, Timestamp(1609459200000000000)]
            ),
        ),
    ),
    "query response": (
        "56444220 0005 0000003d 2ed75b09 01 12 04 05 02 6964 04 6e616d65 02 6f6b 02 7473 01 6e"
        "02 05 01 09 02 03 416461 03 01 04 8080e087afa7f9d52c 00"
        "05 01 feffffffffffffffff01 02 00 03 00 04 01 00",
        Response(
            18,
            responses.Query(
                ["id", "name", "ok", "ts", "n"],
                [
                    (-5, "Ada", True, Timestamp(1609459200000000000), None),
                    (2**63 - 1, "", False, Timestamp(-1), None),
                ],
            ),
        ),
    ),
    "query at": (
        "56444220 0005 00000024 496c714d 00 13 01 00 04 1a"
        "53454c45435420434f554e54282a292046524f4d207573657273 00 ac02 00",
        Request(19, 1, requests.QueryAt("SELECT COUNT(*) FROM users", [], 300)),
    ),
    "query at response": (
        "56444220 0005 0000000a 3180eb4f 01 13 05 01 01 63 01 01 01 12",
        Response(19, responses.QueryAt(["c"], [(9,)])),
    ),
    "execute response": (
        "56444220 0005 00000024 f17d467e 01 15 04 02 0d 726f77735f6166666563746564"
        "0a 6c6f675f6f6666736574 01 02 01 06 01 9a01",
        Response(21, responses.Query(["rows_affected", "log_offset"], [(3, 77)])),
    ),
    "query with audit": (
        "56444220 0005 00000036 03a640ac 00 16 01 01 01 05 616c696365 01 03 776879 01 04 636f7272 01 02 7271"
        "03 18 494e5345525420494e544f20742056414c554553202831 29 00 00",
        Request(22, 1, requests.Query("INSERT INTO t VALUES (1)"), structs.Audit("alice", "why", "corr", "rq")),
    ),
    "subscribe": (
        "56444220 0005 0000000d 22c5eda1 00 02 01 00 07 8780808010 00 10 00",
        Request(2, 1, requests.Subscribe(STREAM, 0, 16)),
    ),
    "subscribe response": (
        "56444220 0005 0000000e 13c394a2 01 02 08 959588b9f2b6b0be51 00 10",
        Response(2, responses.Subscribe(SUBSCRIPTION, 0, 16)),
    ),
    "push": (
        "56444220 0005 00000014 f51b3a5e 02 00 959588b9f2b6b0be51 00 03 01 61 01 62 01 63 0d",
        Push(SubscriptionEvents(SUBSCRIPTION, 0, [b"a", b"b", b"c"], 13)),
    ),
    "credit": (
        "56444220 0005 0000000f 3cb2fb80 00 04 01 00 09 959588b9f2b6b0be51 05",
        Request(4, 1, requests.SubscribeCredit(SUBSCRIPTION, 5)),
    ),
    "credit response": (
        "56444220 0005 0000000d fe543d3a 01 04 0a 959588b9f2b6b0be51 06",
        Response(4, responses.SubscriptionAck(SUBSCRIPTION, 6)),
    ),
    "unsubscribe": (
        "56444220 0005 0000000e 88d44381 00 05 01 00 0a 959588b9f2b6b0be51",
        Request(5, 1, requests.Unsubscribe(SUBSCRIPTION)),
    ),
    "push closed": (
        "56444220 0005 0000000c 721ce3c3 02 01 959588b9f2b6b0be51 00",
        Push(SubscriptionClosed(SUBSCRIPTION, CloseReason.CLIENT_CANCELLED)),
    ),
    "unsubscribe response": (
        "56444220 0005 0000000d 8c92d460 01 05 0a 959588b9f2b6b0be51 00",
        Response(5, responses.SubscriptionAck(SUBSCRIPTION, 0)),
    ),
    "push closed by shutdown": (
        "56444220 0005 0000000c 051bd355 02 01 959588b9f2b6b0be51 01",
        Push(SubscriptionClosed(SUBSCRIPTION, CloseReason.SERVER_SHUTDOWN)),
    ),
    "query": (
        "56444220 0005 00000010 d1b30544 00 24 01 00 03 08 53454c4543542031 00 00",
        Request(36, 1, requests.Query("SELECT 1")),
    ),
    "error": (
        "56444220 0005 0000000a f2899114 01 24 00 05 05 6d73672d35",
        Response(36, responses.Error(5, "msg-5")),
    ),
    "stream info": (
        "56444220 0005 0000000a e96afe26 00 03 01 00 06 8780808010",
        Request(3, 1, requests.StreamInfo(STREAM)),
    ),
    "stream info response": ("56444220 0005 00000004 4df6c15d 01 03 07 03", Response(3, responses.StreamInfo(3))),
    "sync": ("56444220 0005 00000005 4659824f 00 04 01 00 08", Request(4, 1, requests.Sync())),
    "sync response": ("56444220 0005 00000004 38349b7a 01 04 09 01", Response(4, responses.Sync(True))),
    "list tables": ("56444220 0005 00000005 fa3b8c29 00 02 01 00 0b", Request(2, 1, requests.ListTables())),
    "server info": ("56444220 0005 00000005 993de0f0 00 02 01 00 16", Request(2, 1, requests.GetServerInfo())),
}


def one(raw: bytes) -> bytes:
    """The one payload in these bytes."""
    reader = FrameReader()
    (found,) = reader.feed(raw)
    reader.finish()
    return found


# --- captured -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CAPTURED)
def test_captured_frames_decode_and_encode_to_the_same_bytes(name: str) -> None:
    raw, message = bytes.fromhex(CAPTURED[name][0]), CAPTURED[name][1]
    assert decode(one(raw)) == message
    assert encode(message) == raw
    assert encode(decode(one(raw))) == raw


def test_the_numbering_of_the_sheet() -> None:
    names = [kind.__name__ for kind in requests.ALL]
    assert len(names) == len(responses.ALL) == 43
    for number, name in {0: "Handshake", 6: "StreamInfo", 9: "SubscribeCredit", 22: "GetServerInfo"}.items():
        assert names[number] == name
    for number, name in {34: "AuditQuery", 36: "ExportSubject", 42: "MaskingPolicyList"}.items():
        assert names[number] == responses.ALL[number].__name__ == name
    for number in range(9):
        assert names[number] == responses.ALL[number + 1].__name__
    for number in range(11, 43):
        assert names[number] == responses.ALL[number].__name__


def test_a_table_of_error_codes() -> None:
    assert list(CODES) == list(range(32))
    assert CODES[16].name == "OffsetMismatch" and CODES[29].name == "UniqueConstraintViolation"


def test_placements() -> None:
    for placement, raw in {
        structs.Global(): "01",
        structs.Regional(structs.USEast1()): "00 00",
        structs.Regional(structs.APSoutheast2()): "00 01",
        structs.Regional(structs.CustomRegion("x")): "00 02 01 78",
    }.items():
        message = Request(1, 1, requests.CreateStream("s", DataClass.PHI, placement))
        assert payload_of(message).endswith(bytes.fromhex("01 73 00" + raw))
        assert decode(payload_of(message)) == message


def test_what_is_known_by_name_alone_keeps_its_fields() -> None:
    message = Request(1, 1, requests.ALL[38](b"\x04\xc8"))
    assert type(message.payload).__name__ == "BreachReportIndicator"
    assert payload_of(message).hex(" ") == "00 01 01 00 26 04 c8"
    assert decode(payload_of(message)) == message


# --- round trips ----------------------------------------------------------------------------------------------------

_U = {
    "u8": st.integers(0, 2**8 - 1),
    "u16": st.integers(0, 2**16 - 1),
    "u32": st.integers(0, 2**32 - 1),
    "u64": st.integers(0, 2**64 - 1),
}
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    TEXTS,
    st.integers(-(2**63), 2**63 - 1).map(Timestamp),
)
ROWS = st.integers(0, 4).flatmap(lambda width: st.lists(st.tuples(*[CELLS] * width), max_size=6))
BLOBS = st.lists(st.binary(max_size=300), max_size=80)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation, found in the way that the schema reads it."""
    if typing.get_origin(hint) is typing.Annotated:
        name = hint.__metadata__[0].name
        return {**_U, "value": CELLS, "[bytes]": BLOBS, "[[value]]": ROWS}[name]
    if hint is str:
        return TEXTS
    if hint is bool:
        return st.booleans()
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return st.sampled_from(list(hint))
    if isinstance(hint, type) and issubclass(hint, Unread):
        return st.builds(hint, st.binary(max_size=20))
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint, include_extras=True)
        return st.builds(hint, **{field.name: values(hints[field.name]) for field in dataclasses.fields(hint)})
    if hint is type(None):
        return st.none()
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is list:
        return st.lists(values(arguments[0]), max_size=3)
    return st.one_of(*(values(argument) for argument in arguments))


MESSAGES = st.one_of(
    st.builds(
        Request,
        _U["u64"],
        _U["u64"],
        st.one_of(*(values(kind) for kind in requests.ALL)),
        st.none() | values(structs.Audit),
    ),
    st.builds(Response, _U["u64"], st.one_of(*(values(kind) for kind in responses.ALL))),
    st.builds(Push, values(SubscriptionEvents) | values(SubscriptionClosed)),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(MESSAGES)
def test_every_message_survives_the_wire(message: Any) -> None:
    raw = encode(message)
    found = decode(one(raw))
    assert found == message
    assert encode(found) == raw


@settings(max_examples=100, deadline=None)
@given(st.data(), MESSAGES, MESSAGES)
def test_frames_in_any_pieces(data: Any, first: Any, second: Any) -> None:
    raw = encode(first) + encode(second)
    reader, found = FrameReader(), []
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        found += list(reader.feed(raw[:size]))
        raw = raw[size:]
    reader.finish()
    assert [decode(one) for one in found] == [first, second]


# --- bytes that are no message --------------------------------------------------------------------------------------


def response(body: str) -> bytes:
    return bytes.fromhex("01 01" + body)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "are not the start of a Kimberlite frame"),
        (struct.pack(">IHII", 0x56444220, 4, 0, 0), "version 4"),
        (struct.pack(">IHII", 0x56444220, 5, 0xFFFFFFFF, 0), "4,294,967,295"),
        (struct.pack(">IHII", 0x56444220, 5, 16_777_217, 0), "at most 16,777,216"),
        (struct.pack(">IHII", 0x56444220, 5, 1, zlib.crc32(b"x") ^ 1) + b"x", "checksum"),
        (struct.pack(">IHII", 0x56444220, 5, 0, 1), "checksum"),
    ],
)
def test_frames_that_are_refused(raw: bytes, words: str) -> None:
    reader = FrameReader()
    with pytest.raises(WireError, match=words):
        list(reader.feed(raw))
    with pytest.raises(WireError, match=words):
        list(reader.feed(b""))


def test_frames_before_a_broken_one_come_first() -> None:
    found = FrameReader().feed(frame(b"good") + b"x" * 14)
    assert next(found) == b"good"
    with pytest.raises(WireError):
        next(found)


def test_a_frame_that_does_not_end() -> None:
    reader = FrameReader()
    assert list(reader.feed(frame(b"abc")[:-1])) == [] and reader.pending == 1
    with pytest.raises(WireError, match="1 bytes before its end"):
        reader.finish()
    assert list(reader.feed(b"c")) == [b"abc"] and reader.pending == 0


def test_the_largest_frame() -> None:
    assert len(frame(bytes(16_777_216))) == 16_777_230
    with pytest.raises(KimberliteInputError, match="at most 16,777,216"):
        frame(bytes(16_777_217))
    assert read_header(frame(bytes(16_777_216))[:14]).length == 16_777_216
    assert frame_of([bytes(16_777_215), b"\0"]) == frame(bytes(16_777_216))
    with pytest.raises(KimberliteInputError, match="at most 16,777,216"):
        frame_of([bytes(16_777_216), b"\0"])


def test_a_list_of_the_shortest_structs_is_not_taken_for_one_that_was_cut() -> None:
    placements = kind_of(list[structs.Placement])
    out = bytearray()
    placements.write(out, [structs.Global()] * 3)
    assert len(out) == 4 and placements.read(postcard.Reader(bytes(out))) == [structs.Global()] * 3


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "ends inside"),
        ("2b", "no variant 43"),
        ("8080808010", "more than 32 bits"),
        ("01 05 02 00", "neither 0 nor 1"),
        ("01 05 01", "ends inside"),
        ("01 808004 01 00", "more than 16 bits"),
        ("01 80808000 01 00", "more than 3 bytes"),
        ("03 80808080808080808080 00 01", "more than 10 bytes"),
        ("03 ffffffffffffffffff02 01", "more than 64 bits"),
        ("03 00 8080808010", "more than 32 bits"),
        ("01 05 01 ffffffff0f", "items are stated"),
        ("01 05 01 ffffffffffffffffff01", "items are stated"),
        ("01 05 01 01 02 ff fe", "not UTF-8"),
        ("06 ffffffff0f", "items are stated"),
        ("06 02 01 61", "ends before the last"),
        ("06 02 ffffffffffffffffff01 61 00 00", "ends before|items"),
        ("06 01 05 61 62", "ends before the last"),
        ("06 01 00 02", "neither 0 nor 1"),
        ("04 01 01 63 01 01 05", "no value of kind 5"),
        ("04 01 01 63 01 01 ff ff ff ff 1f", "more than 32 bits"),
        ("04 01 01 63 02 01 00 00", "among rows of 1"),
        ("04 01 01 63 ffffffff0f 01 00", "items are stated"),
        ("04 01 01 63 03 02 00 00", "rows are stated"),
        ("04 01 01 63 01 01 03 02", "neither 0 nor 1"),
        ("04 01 01 63 01 01 02 05 61", "stated"),
        ("0b 05 00 00", "stated"),
        ("1a 01 00 00 0d 00 00 00 00 00 00 00 00 00", "ConsentPurpose has no variant 13"),
        ("1a 01 00 00 8080808010 00 00 00 00 00 00 00 00 00", "more than 32 bits"),
        ("2a 01 00 05 00 00 00 00 00 00", "no variant 5"),
        ("16 00 05 00 00 02 00", "ClusterMode has no variant 2"),
    ],
)
def test_messages_that_are_refused(body: str, words: str) -> None:
    with pytest.raises(WireError, match=words):
        decode(response(body))


def test_kinds_of_messages_that_are_refused() -> None:
    for raw in (b"", b"\x03", b"\x80\x00", b"\xff\xff\xff\xff\xff\x01", b"\x00\x01\x01\x02"):
        with pytest.raises(WireError):
            decode(raw)


@pytest.mark.parametrize("name", CAPTURED)
def test_every_cut_of_a_captured_message_is_an_error(name: str) -> None:
    whole = one(bytes.fromhex(CAPTURED[name][0]))
    for size in range(len(whole)):
        with pytest.raises(WireError):
            decode(whole[:size])


def test_bytes_after_a_message_are_ignored() -> None:
    assert decode(response("07 03 ff ff")) == Response(1, responses.StreamInfo(3))


def test_longer_forms_of_numbers_are_taken() -> None:
    assert decode(response("07 8100")) == Response(1, responses.StreamInfo(1))
    assert decode(response("07 81808080808080808000")) == Response(1, responses.StreamInfo(1))


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(sorted(CAPTURED)), st.data())
def test_damaged_messages_are_messages_or_wire_errors(name: str, data: Any) -> None:
    raw = bytearray(one(bytes.fromhex(CAPTURED[name][0])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        kind = data.draw(st.sampled_from(["set", "insert", "delete", "huge"]))
        if kind == "set":
            raw[at] = data.draw(st.integers(0, 255))
        elif kind == "insert":
            raw[at:at] = data.draw(st.binary(min_size=1, max_size=3))
        elif kind == "huge":
            raw[at:at] = b"\xff\xff\xff\xff\x0f"
        elif len(raw) > 1:
            del raw[at]
    try:
        message = decode(bytes(raw))
    except WireError:
        return
    decode(payload_of(message))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(raw: bytes) -> None:
    for head in (b"", b"\x01\x01", b"\x02\x00", b"\x00\x01\x01\x00"):
        try:
            decode(head + raw)
        except WireError:
            pass


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\x06" + postcard.varint(200_000) + b"\0" * 200_000 + b"\0", id="empty events"),
        pytest.param(b"\x06" + postcard.varint(100_000) + b"\1a" * 100_000 + b"\0", id="tiny events"),
        pytest.param(b"\x06" + postcard.varint(100_000) + b"\1a\0" * 50_000 + b"\0", id="uneven events"),
        pytest.param(b"\x04\x00" + postcard.varint(200_000) + b"\0" * 200_000, id="rows of nothing"),
        pytest.param(b"\x04\x01\x01c" + postcard.varint(100_000) + b"\1\0" * 100_000, id="rows of null"),
        pytest.param(b"\x01\x05\x01" + postcard.varint(200_000) + b"\0" * 200_000, id="empty texts"),
    ],
)
def test_memory_stays_in_proportion(body: bytes) -> None:
    tracemalloc.start()
    try:
        decode(b"\x01\x01" + body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * len(body)


@pytest.mark.parametrize(
    "body", ["06 ffffff07", "04 01 01 63 ffffff07 01 00", "01 05 01 ffffff07", "22 ffffff07", "06 01 ffffff07"]
)
def test_nothing_is_allocated_for_what_is_only_announced(body: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            decode(response(body))
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


# --- values that do not fit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (requests.Handshake(65536), "client_version: 65536 is not between"),
        (requests.Handshake(True), "whole number"),
        (requests.Handshake(5, "\ud800"), "auth_token.*UTF-8"),
        (requests.StreamInfo(-1), "stream_id: -1"),
        (requests.StreamInfo(2**64), "stream_id"),
        (requests.Query("x", [1.5]), r"params: .*not float"),
        (requests.Query("x", [2**63]), "params"),
        (requests.Query("x", [b"x"]), "not bytes"),
        (requests.Query(7), "sql: text is required"),
        (requests.AppendEvents(1, ["text"], 0), "an event must be bytes, not str"),
        (requests.AppendEvents(1, b"text", 0), "a list of bytes"),
        (requests.CreateStream("x", 8), "not a DataClass"),
        (requests.CreateStream("x", DataClass.PHI, "eu"), "not a Regional"),
        (responses.Sync(True), "not a request"),
        (requests.MaskingPolicyList(1), "True or False"),
    ],
)
def test_values_that_do_not_fit(made: Any, words: str) -> None:
    with pytest.raises(KimberliteInputError, match=words):
        encode_request(1, 1, made)


def test_rows_must_be_even() -> None:
    with pytest.raises(KimberliteInputError, match="the same width"):
        encode_response(1, responses.Query(["a"], [(1,), (1, 2)]))


# --- looking at the beginning ---------------------------------------------------------------------------------------


def test_peek() -> None:
    head = peek(payload_of(Response(300, responses.StreamInfo(3))))
    assert (head.kind, head.id, responses.ALL[head.variant]) == (RESPONSE, 300, responses.StreamInfo)
    head = peek(payload_of(Push(SubscriptionClosed(7, CloseReason.PROTOCOL_ERROR))))
    assert (head.kind, head.id, head.variant) == (PUSH, 0, 1)
    for raw in (b"", b"\x00\x01\x01", b"\x03\x01\x01", b"\x01\x80"):
        with pytest.raises(WireError):
            peek(raw)


def test_event_count() -> None:
    assert event_count(payload_of(Response(1, responses.ReadEvents([b"x"] * 500, None)))) == 500
    for payload in (responses.StreamInfo(3), responses.Error(5, "no")):
        with pytest.raises(WireError, match="not a page"):
            event_count(payload_of(Response(1, payload)))
    with pytest.raises(WireError):
        event_count(payload_of(Push(SubscriptionClosed(7, CloseReason.PROTOCOL_ERROR))))


def test_secrets_are_not_shown() -> None:
    key = "kmb_live_abc"
    assert key not in repr(requests.Handshake(5, key)) + repr(requests.ApiKeyRevoke(key))
    assert key not in repr(responses.ApiKeyRotate(key, structs.ApiKeyInfo("a", "b", 1, [], None)))
