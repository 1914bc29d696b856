"""Appends, acknowledgements, batches and resources, as protobuf and as JSON, both ways, byte for byte."""

import contextlib
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.s2 import (
    AccessTokenInfo,
    AccessTokenScope,
    Accumulation,
    AppendAck,
    AppendInput,
    BasinConfig,
    BasinInfo,
    CommandRecord,
    Encryption,
    EnsureStatus,
    ExactMatch,
    Gauge,
    Label,
    LocationInfo,
    MetricUnit,
    Operation,
    OperationGroupPermissions,
    Page,
    Permission,
    PrefixMatch,
    ReadBatch,
    Record,
    S2ClientError,
    Scalar,
    SequencedRecord,
    StorageClass,
    StreamConfig,
    StreamInfo,
    StreamPosition,
    TimeseriesInterval,
    Timestamping,
    TimestampingMode,
)
from kit.s2.checks import check_input
from kit.s2.errors import WireError
from kit.s2.wire import json_messages as wire
from kit.s2.wire import messages, resources, tokens
from kit.s2.wire.fields import dumps, loads, time, time_json
from kit.s2.wire.metrics import metrics_from_json
from kit.s2.wire.proto import messages as kinds
from tests import s2json

U64 = st.sampled_from([0, 1, 127, 128, 16383, 16384, 2**32, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
BYTES = st.binary(max_size=20) | st.sampled_from([b"", b"x" * 127, b"x" * 128, b"y" * 20_000])
HEADERS = st.lists(st.tuples(BYTES, BYTES), max_size=3)
POSITIONS = st.builds(StreamPosition, U64, U64)
INPUTS = st.builds(
    AppendInput,
    st.lists(st.builds(Record, BYTES, HEADERS, st.none() | U64), max_size=4),
    st.none() | U64,
    st.none() | st.text(max_size=5),
)
BATCHES = st.builds(
    ReadBatch, st.lists(st.builds(SequencedRecord, U64, BYTES, HEADERS, U64), max_size=4), st.none() | POSITIONS
)
ACKS = st.builds(AppendAck, POSITIONS, POSITIONS, POSITIONS)


# --- protobuf -------------------------------------------------------------------------------------------------------

T = 1_700_000_000_000
TIME = "80d095ffbc31"


@pytest.mark.parametrize(
    ("input", "expected"),
    [
        (AppendInput([]), ""),
        (AppendInput([Record(b"")]), "0a00"),
        (AppendInput([Record(b"hi")]), "0a041a026869"),
        (AppendInput([Record(b"", [(b"", b"")])]), "0a021200"),
        (AppendInput([CommandRecord.fence("a")]), "0a0c1207120566656e63651a0161"),
        (AppendInput([Record(b"", timestamp=0)]), "0a020800"),
        (AppendInput([Record(b"a", timestamp=T)], 0, ""), f"0a0a08{TIME}1a016110001a00"),
        (AppendInput([Record(b"")], 300, "é"), "0a0010ac021a02c3a9"),
    ],
)
def test_appends_byte_for_byte(input, expected):
    assert messages.encode_input(input).hex() == expected
    assert messages.input_of(bytes.fromhex(expected)) == input


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (ReadBatch([]), ""),
        (ReadBatch([], StreamPosition(0, 0)), "1200"),
        (ReadBatch([], StreamPosition(5, 0)), "12020805"),
        (ReadBatch([SequencedRecord(0, b"", [], 0)]), "0a00"),
        (ReadBatch([SequencedRecord(0, b"hi", [], T)]), f"0a0b10{TIME}22026869"),
        (ReadBatch([SequencedRecord(1, b"", [(b"", b"fence")], 2)]), "0a0d080110021a07120566656e6365"),
        (
            ReadBatch([SequencedRecord(2**64 - 1, b"", [], 2**64 - 1)], StreamPosition(1, 1)),
            "0a1608ffffffffffffffffff0110ffffffffffffffffff01120408011001",
        ),
    ],
)
def test_batches_byte_for_byte(batch, expected):
    assert s2json.encode_batch(batch).hex() == expected
    assert messages.read_batch_of(bytes.fromhex(expected)) == batch


def test_acknowledgements_byte_for_byte():
    ack = AppendAck(StreamPosition(1, T), StreamPosition(3, T), StreamPosition(3, T))
    told = messages.encode_ack(ack)
    assert told.hex() == f"0a09080110{TIME}1209080310{TIME}1a09080310{TIME}"
    assert len(told) == 0x22 - 1
    assert messages.ack_of(told) == ack
    assert messages.ack_of(b"") == AppendAck(*[StreamPosition(0, 0)] * 3)


@settings(max_examples=150, deadline=None)
@given(INPUTS)
def test_appends_as_the_runtime_writes_them(input):
    theirs = kinds().AppendInput()
    for record in input.records:
        one = theirs.records.add(body=record.body, timestamp=record.timestamp)
        for name, value in record.headers:
            one.headers.add(name=name, value=value)
    if input.match_seq_num is not None:
        theirs.match_seq_num = input.match_seq_num
    if input.fencing_token is not None:
        theirs.fencing_token = input.fencing_token
    assert messages.encode_input(input) == theirs.SerializeToString()
    assert messages.input_of(messages.encode_input(input)) == input


@settings(max_examples=150, deadline=None)
@given(BATCHES)
def test_batches_as_the_runtime_writes_them(batch):
    theirs = kinds().ReadBatch()
    for record in batch.records:
        one = theirs.records.add(seq_num=record.seq_num, timestamp=record.timestamp, body=record.body)
        for name, value in record.headers:
            one.headers.add(name=name, value=value)
    if batch.tail is not None:
        theirs.tail.SetInParent()
        theirs.tail.seq_num, theirs.tail.timestamp = batch.tail.seq_num, batch.tail.timestamp
    payload = s2json.encode_batch(batch)
    assert payload == theirs.SerializeToString()
    assert messages.read_batch_of(payload) == batch
    seen = messages.read_batch_of(payload, ignore_command_records=True)
    assert seen.records == [record for record in batch.records if not record.is_command_record()]
    assert seen.tail == batch.tail


@settings(max_examples=100, deadline=None)
@given(ACKS)
def test_acknowledgements_there_and_back(ack):
    assert messages.ack_of(messages.encode_ack(ack)) == ack
    assert s2json.ack_from_json(json.loads(dumps(wire.ack_json(ack)))) == ack


@pytest.mark.parametrize(
    ("payload", "batch"),
    [
        # A field that is not known, in the batch and in a record; a field given twice; lengths in too many bytes.
        ("18050a04080128070a00", ReadBatch([SequencedRecord(1, b"", [], 0), SequencedRecord(0, b"", [], 0)])),
        ("0a06080108022201 61".replace(" ", ""), None),
        ("0a07080108022201 61".replace(" ", ""), ReadBatch([SequencedRecord(2, b"a", [], 0)])),
        ("0a8300220161", ReadBatch([SequencedRecord(0, b"a", [], 0)])),
        ("0a0622016108011a00", None),
        ("0a07220161080 11a00".replace(" ", ""), ReadBatch([SequencedRecord(1, b"a", [(b"", b"")], 0)])),
    ],
)
def test_other_ways_to_write_a_batch(payload, batch):
    if batch is None:
        with pytest.raises(WireError):
            messages.read_batch_of(bytes.fromhex(payload))
    else:
        assert messages.read_batch_of(bytes.fromhex(payload)) == batch


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_a_message_or_refused(data):
    for read in (messages.read_batch_of, messages.ack_of, messages.input_of):
        with contextlib.suppress(WireError):
            read(data)


def test_bodies_must_be_bytes():
    for body, timestamp in (("text", None), ("text", 5), (None, None), (5, None)):
        with pytest.raises(S2ClientError, match="must be bytes"):
            messages.encode_input(AppendInput([Record(b"fine"), Record(body, timestamp=timestamp)]))
    with pytest.raises(S2ClientError, match="body of record 0 must be bytes, not NoneType"):
        check_input(AppendInput([Record(None)]))
    for headers in ([("name", b"v")], [(b"n", "v")], [b"ab"], [(b"n",)], 5):
        with pytest.raises(S2ClientError, match="headers"):
            messages.encode_input(AppendInput([Record(b"fine", headers)]))


def test_messages_of_the_same_name_elsewhere_are_left_alone():
    code = """
from google.protobuf import descriptor_pool, descriptor_pb2
file = descriptor_pb2.FileDescriptorProto(name="s2/v1/s2.proto", package="s2.v1", syntax="proto3")
file.message_type.add(name="ReadBatch").field.add(name="other", number=9, type=9, label=1)
descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
from kit.s2.wire.messages import read_batch_of
assert len(read_batch_of(bytes.fromhex("0a00")).records) == 1
try:
    descriptor_pool.Default().FindMessageTypeByName("s2.v1.AppendInput")
except KeyError:
    print("apart")
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "apart"


# --- JSON of records ------------------------------------------------------------------------------------------------


def test_appends_as_json():
    input = AppendInput([Record(b"a"), Record(b"", [(b"k", b"")], 5)], 0, "")
    told = {
        "records": [{"body": "a"}, {"timestamp": 5, "headers": [["k", ""]]}],
        "match_seq_num": 0,
        "fencing_token": "",
    }
    assert s2json.input_json(input) == told
    assert wire.input_from_json(told) == input
    assert s2json.input_json(AppendInput([Record(b"\xff")]), as_base64=True) == {"records": [{"body": "/w=="}]}
    sparse = {"records": [{"timestamp": None, "unknown": 1}], "match_seq_num": None, "fencing_token": None}
    assert wire.input_from_json(sparse) == AppendInput([Record(b"")])


def test_batches_as_json():
    batch = ReadBatch([SequencedRecord(0, b"\xff", [], 2**64 - 1)], StreamPosition(1, 2))
    told = {
        "records": [{"seq_num": 0, "timestamp": 2**64 - 1, "body": "\ufffd"}],
        "tail": {"seq_num": 1, "timestamp": 2},
    }
    assert wire.batch_json(batch) == told
    assert s2json.batch_from_json(wire.batch_json(batch, as_base64=True), as_base64=True) == batch
    assert s2json.batch_from_json({"records": []}) == ReadBatch([])
    assert wire.tail_from_json({"tail": {"seq_num": 1, "timestamp": 2}}) == StreamPosition(1, 2)


@settings(max_examples=100, deadline=None)
@given(INPUTS, BATCHES)
def test_records_through_base64(input, batch):
    told = json.loads(dumps(s2json.input_json(input, as_base64=True)))
    assert wire.input_from_json(told, as_base64=True) == input
    told = json.loads(dumps(wire.batch_json(batch, as_base64=True)))
    assert s2json.batch_from_json(told, as_base64=True) == batch


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "append must be an object, not None"),
        ([], "append must be an object"),
        ({}, "records must be a list, not None"),
        ({"records": [5]}, "record must be an object, not 5"),
        ({"records": [{"body": 5}]}, "body must be a string, not 5"),
        ({"records": [{"body": None}]}, "body must be a string"),
        ({"records": [{"timestamp": -1}]}, r"timestamp must be a whole number from 0 to 2\^64 - 1, not -1"),
        ({"records": [{"timestamp": 2**64}]}, "timestamp must be"),
        ({"records": [{"timestamp": 1.0}]}, "timestamp must be"),
        ({"records": [{"timestamp": True}]}, "timestamp must be"),
        ({"records": [{"headers": {}}]}, "headers must be a list"),
        ({"records": [{"headers": [["a"]]}]}, "a header must be a list of a name and a value"),
        ({"records": [{"headers": [["a", 5]]}]}, "a header's value must be a string"),
        ({"records": [], "match_seq_num": "1"}, "match_seq_num must be"),
        ({"records": [], "fencing_token": 1}, "fencing_token must be a string"),
        ({"records": [{"body": "\ud800"}]}, "body cannot be read"),
    ],
)
def test_json_of_another_shape(value, message):
    with pytest.raises(WireError, match=message):
        wire.input_from_json(value)


def test_bad_base64():
    for body in ("a", "a===", "é", "ab\ncd=", "-_=="):
        with pytest.raises(WireError, match="body"):
            wire.input_from_json({"records": [{"body": body}]}, as_base64=True)


def test_text_that_is_no_json():
    for text in (b"", b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(WireError):
            loads(text)
    assert loads(b'{"a":1}') == {"a": 1}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["records", "tail", "seq_num", "timestamp", "headers", "body", "name", "values", "gauge", "config",
                         "scope", "id", "created_at", "retention_policy", "age", "ops", "op_groups", "basins", "exact"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
READERS = [
    wire.position_from_json, s2json.ack_from_json, wire.tail_from_json, wire.input_from_json, s2json.batch_from_json,
    resources.stream_config_from_json, resources.basin_config_from_json, resources.basin_info_from_json,
    resources.stream_info_from_json, resources.location_from_json, resources.locations_from_json,
    tokens.scope_from_json, tokens.token_info_from_json, metrics_from_json,
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_any_json_is_read_or_refused(value):
    told = []
    for read in READERS:
        try:
            read(value)
        except WireError as error:
            told.append(str(error))
    assert max(map(len, told), default=0) < 300


# --- JSON of resources ----------------------------------------------------------------------------------------------

FRESH = {
    "storage_class": "express",
    "retention_policy": {"age": 604800},
    "timestamping": {"mode": "client-prefer", "uncapped": False},
    "delete_on_empty": {"min_age_secs": 0},
}


def test_stream_configs():
    config = StreamConfig(StorageClass.EXPRESS, 604800, Timestamping(TimestampingMode.CLIENT_PREFER, False), 0)
    assert resources.stream_config_from_json(FRESH) == config
    assert resources.stream_config_json(config) == FRESH
    assert resources.stream_config_json(StreamConfig()) == {}
    assert resources.stream_config_json(StreamConfig(), nulls=True) == dict.fromkeys(FRESH)
    assert resources.stream_config_from_json(dict.fromkeys(FRESH)) == StreamConfig()
    assert resources.stream_config_from_json({}) == StreamConfig()
    assert resources.stream_config_json(StreamConfig("glacial", "infinite", Timestamping())) == {
        "storage_class": "glacial",
        "retention_policy": {"infinite": {}},
        "timestamping": {},
    }
    assert resources.stream_config_from_json({"storage_class": "glacial"}).storage_class == "glacial"
    assert resources.stream_config_from_json({"retention_policy": {"infinite": {}}}).retention_policy == "infinite"
    assert json.loads(dumps(resources.stream_config_json(config))) == FRESH
    for age in (-1, 1.5, "7d", True):
        with pytest.raises(S2ClientError, match="whole number of seconds"):
            resources.stream_config_json(StreamConfig(retention_policy=age))


def test_basin_configs():
    config = BasinConfig(StreamConfig("standard"), Encryption.AEGIS_256, True, False)
    told = {
        "default_stream_config": {"storage_class": "standard"},
        "stream_cipher": "aegis-256",
        "create_stream_on_append": True,
        "create_stream_on_read": False,
    }
    assert resources.basin_config_json(config) == told
    assert resources.basin_config_from_json(told) == config
    assert resources.basin_config_json(BasinConfig()) == {}
    assert resources.basin_config_json(BasinConfig(StreamConfig()), nulls=True) == {
        **dict.fromkeys(told),
        "default_stream_config": dict.fromkeys(FRESH),
    }
    assert resources.basin_config_from_json(dict.fromkeys(told)) == BasinConfig()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"storage_class": 5}, "storage_class must be a string"),
        ({"retention_policy": 5}, "retention_policy must be an object, not 5"),
        ({"retention_policy": {}}, "retention_policy.age must be a whole number"),
        ({"retention_policy": {"age": -1}}, "retention_policy.age must be"),
        ({"timestamping": {"mode": "never"}}, "timestamping.mode must be one of 'client-prefer', .* not 'never'"),
        ({"timestamping": {"mode": []}}, "timestamping.mode must be one of"),
        ({"timestamping": {"uncapped": 1}}, "timestamping.uncapped must be true or false, not 1"),
        ({"delete_on_empty": {"min_age_secs": "1"}}, "delete_on_empty.min_age_secs must be"),
        ({"delete_on_empty": []}, "delete_on_empty must be an object"),
    ],
)
def test_configs_of_another_shape(config, message):
    with pytest.raises(WireError, match=message):
        resources.stream_config_from_json(config)


AT = datetime(2026, 8, 1, 12, 30, 15, 123456, UTC)


def test_basins_streams_and_locations():
    told = {"name": "n", "location": "aws:x", "created_at": "2026-08-01T12:30:15.123456Z", "deleted_at": None}
    basin = BasinInfo("n", "aws:x", AT, None)
    assert resources.basin_info_from_json({**told, "state": "active"}) == basin
    assert s2json.basin_info_json(basin) == told
    del told["location"]
    stream = StreamInfo("n", AT, None, Encryption.AES_256_GCM)
    assert resources.stream_info_from_json({**told, "cipher": "aes-256-gcm"}) == stream
    assert s2json.stream_info_json(stream) == {**told, "cipher": "aes-256-gcm"}
    gone = StreamInfo("n", AT, AT + timedelta(days=1))
    assert resources.stream_info_from_json(s2json.stream_info_json(gone)) == gone
    places = [LocationInfo("a", False), LocationInfo("b", True, ["standard"], "standard")]
    told = [s2json.location_json(place) for place in places]
    assert told[0] == {"name": "a", "is_private": False}
    assert resources.locations_from_json(told) == places


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2026-08-01T12:30:15Z", 0),
        ("2026-08-01T12:30:15.123456789Z", 123456),
        ("2026-08-01T14:30:15.5+02:00", 500000),
        ("2026-08-01T12:30:15", 0),
    ],
)
def test_times(text, micros):
    assert time(text, "t") == AT.replace(microsecond=micros)


def test_times_that_cannot_be():
    for text in ("", "yesterday", "2026-13-01T00:00:00Z", 5, None):
        with pytest.raises(WireError, match="t must be"):
            time(text, "t")
    assert time_json(datetime(2026, 8, 1, 14, tzinfo=timezone(timedelta(hours=2))), "t") == "2026-08-01T12:00:00Z"
    with pytest.raises(S2ClientError, match="must have a time zone"):
        time_json(datetime(2026, 8, 1), "expires_at")


def test_pages():
    page = Page([LocationInfo("a", False)], True)
    told = s2json.page_json(page, "places", s2json.location_json)
    assert told == {"places": [{"name": "a", "is_private": False}], "has_more": True}
    assert resources.page_from_json(told, "places", resources.location_from_json) == page
    for other in ({}, {"places": []}, {"places": {}, "has_more": True}, []):
        with pytest.raises(WireError):
            resources.page_from_json(other, "places", resources.location_from_json)


def test_what_ensuring_did():
    for word, status in (
        ("created", EnsureStatus.CREATED),
        ("updated", EnsureStatus.CONFIG_UPDATED),
        ("noop", EnsureStatus.CONFIG_UNCHANGED),
    ):
        assert resources.ensure_status(word) is status
    for word in (None, "", "other"):
        with pytest.raises(WireError, match="s2-provision-result is"):
            resources.ensure_status(word)


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ("all", "scope must be kit.s2.AccessTokenScope, not 'all'"),
        # Neither READ nor WRITE, which would have allowed both.
        (
            AccessTokenScope(op_groups=OperationGroupPermissions("read")),
            "account must be kit.s2.Permission, not 'read'",
        ),
        (AccessTokenScope(op_groups="read"), "op_groups must be kit.s2.OperationGroupPermissions"),
        (AccessTokenScope(basins="all"), "basins must be an ExactMatch or a PrefixMatch, not str"),
        # It has a value too, and would have been a prefix.
        (AccessTokenScope(streams=Permission.READ), "streams must be an ExactMatch or a PrefixMatch, not Permission"),
        (AccessTokenScope(ops=["read"]), "ops must be kit.s2.Operation, not 'read'\n  give kit.s2.Operation.READ"),
    ],
)
def test_a_scope_allows_nothing_by_mistake(scope, message):
    with pytest.raises(S2ClientError, match=message):
        tokens.scope_json(scope)


def test_scopes():
    scope = AccessTokenScope(
        ExactMatch(""),
        PrefixMatch("a/"),
        None,
        OperationGroupPermissions(Permission.READ, None, Permission.READ_WRITE),
        [Operation.TRIM, Operation.CHECK_TAIL],
    )
    told = {
        "basins": {"exact": ""},
        "streams": {"prefix": "a/"},
        "op_groups": {"account": {"read": True, "write": False}, "stream": {"read": True, "write": True}},
        "ops": ["trim", "check-tail"],
    }
    assert tokens.scope_json(scope) == told
    assert tokens.scope_from_json(told) == scope
    assert tokens.scope_json(AccessTokenScope()) == {}
    nothing = {"basins": None, "streams": None, "access_tokens": None, "op_groups": None, "ops": None}
    assert tokens.scope_from_json(nothing) == AccessTokenScope()
    groups = {"account": {"write": True}, "basin": {}, "stream": None}
    assert tokens.scope_from_json({"op_groups": groups}).op_groups == OperationGroupPermissions(Permission.WRITE)
    for other in ({"ops": ["fly"]}, {"basins": {}}, {"basins": {"exact": 5}}, {"op_groups": {"account": {"read": 1}}}):
        with pytest.raises(WireError):
            tokens.scope_from_json(other)
    info = AccessTokenInfo("id", scope, AT, True)
    assert tokens.token_info_from_json(s2json.token_info_json(info)) == info
    assert tokens.token_info_from_json({"id": "x", "scope": {}}) == AccessTokenInfo(
        "x", AccessTokenScope(), None, False
    )


def test_metrics():
    metrics = [
        Scalar("storage", MetricUnit.BYTES, 5.0),
        Accumulation("append", MetricUnit.OPERATIONS, TimeseriesInterval.HOUR, [(0, 1.5), (3600, 2.0)]),
        Accumulation("usage", MetricUnit.USD, None, []),
        Gauge("storage", MetricUnit.BYTES, [(60, 1.0)]),
        Label("active", ["a", "b"]),
    ]
    told = json.loads(dumps(s2json.metrics_json(metrics)))
    assert told["values"][3] == {"gauge": {"name": "storage", "unit": "bytes", "values": [[60, 1.0]]}}
    assert metrics_from_json(told) == metrics
    for other in (
        {"values": [{}]},
        {"values": [{"histogram": {}}]},
        {"values": [{"gauge": {"name": "n", "unit": "parsecs", "values": []}}]},
        {"values": [{"gauge": {"name": "n", "unit": "bytes", "values": [[1]]}}]},
        {"values": [{"scalar": {"name": "n", "unit": "bytes", "value": "1"}}]},
        {},
    ):
        with pytest.raises(WireError):
            metrics_from_json(other)
