"""Columns: four decoders that give the same, the same as objects, and nothing but declared errors on hostile bytes."""

import os
import subprocess
import sys
from collections import Counter

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kit.core.tables.frames import to_frame
from kit.s2 import ReadBatch, S2ClientError, SequencedRecord, StreamPosition, metered_bytes
from kit.s2.errors import WireError
from kit.s2.wire import columns, decoding
from kit.s2.wire.columns import RecordColumns, columns_of, command_mask, record_table
from kit.s2.wire.messages import encode_record, encode_tail, read_batch_of, varint
from kit.s2.wire.proto import messages
from tests.s2json import encode_batch

DECODERS = ["objects", "layout", "small", *(["ptars"] if decoding.compiled() else [])]
U64 = st.sampled_from([0, 1, 127, 128, 16383, 2**32, 2**56 - 1, 2**56, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
BYTES = st.binary(max_size=12) | st.sampled_from([b"", b"x" * 127, b"x" * 128, b"y" * 17_000])
HEADER = st.tuples(BYTES, BYTES) | st.just((b"", b"fence")) | st.just((b"", b""))
ANY_RECORD = st.builds(SequencedRecord, U64, BYTES, st.lists(HEADER, max_size=3), U64)
PLAIN_RECORD = st.builds(SequencedRecord, st.integers(0, 2**55), BYTES, st.just([]), st.integers(0, 2**55))
TAIL = st.none() | st.builds(StreamPosition, U64, U64)
BATCHES = st.builds(ReadBatch, st.lists(ANY_RECORD, max_size=8) | st.lists(PLAIN_RECORD, max_size=8), TAIL)


def objects_of(found: RecordColumns) -> ReadBatch:
    """The records as objects, by way of the columns."""
    assert found.batch.schema.equals(decoding.SCHEMA)
    found.batch.validate(full=True)
    rows = found.batch.to_pylist()
    return ReadBatch(
        [
            SequencedRecord(
                row["seq_num"],
                row["body"],
                [(pair["name"], pair["value"]) for pair in row["headers"]],
                row["timestamp"],
            )
            for row in rows
        ],
        found.tail,
    )


def outcome(read, *payloads):
    try:
        return objects_of(read(*payloads))
    except WireError:
        return "refused"


def ways(decoder):
    return lambda *payloads: columns_of(*payloads, decoder=decoder)


# --- equal ----------------------------------------------------------------------------------------------------------


@settings(max_examples=250, deadline=None)
@given(BATCHES)
@example(ReadBatch([], None))
@example(ReadBatch([], StreamPosition(0, 0)))
@example(ReadBatch([SequencedRecord(0, b"", [], 0)], None))
@example(
    ReadBatch([SequencedRecord(0, b"", [], 0), SequencedRecord(1, b"", [(b"", b"trim")], 0)], StreamPosition(0, 0))
)
def test_all_ways_give_the_same(batch):
    payload = encode_batch(batch)
    for decoder in (*DECODERS, None):
        assert objects_of(columns_of(payload, decoder=decoder)) == batch, decoder
    assert read_batch_of(payload) == batch
    found = columns_of(payload)
    assert len(found) == len(batch.records)
    assert found.metered_bytes == metered_bytes(batch.records)
    assert found.last_seq_num == (batch.records[-1].seq_num if batch.records else None)
    commands = [record.is_command_record() for record in batch.records]
    mask = command_mask(found.batch)
    assert (commands == mask.to_pylist()) if mask is not None else not any(commands)
    kept = [record for record in batch.records if not record.is_command_record()]
    assert objects_of(found.without_commands()).records == kept
    part = found.batch.slice(1)
    mask = command_mask(part)
    assert (commands[1:] == mask.to_pylist()) if mask is not None else not any(commands[1:])


@settings(max_examples=80, deadline=None)
@given(st.lists(BATCHES, min_size=1, max_size=4))
def test_several_batches_at_once(batches):
    payloads = [encode_batch(batch) for batch in batches]
    records = [record for batch in batches for record in batch.records]
    tails = [batch.tail for batch in batches if batch.tail is not None]
    for decoder in (*DECODERS, None):
        assert objects_of(columns_of(*payloads, decoder=decoder)) == ReadBatch(records, tails[-1] if tails else None)


@pytest.mark.parametrize("tail", [None, (0, 0), (5, 0), (0, 5), (127, 128), (16_384, 2**63 - 1)])
def test_what_is_laid_out_as_usual_is_read_without_a_detour(tail):
    """What a quick way gives up is read by a slower one, to the same: so ask the quick one itself."""
    for size in [0, 1, *range(100, 130), *range(16_350, 16_386), 20_000]:
        batch = ReadBatch(
            [SequencedRecord(n, b"x" * size, [], 1_700_000_000_000) for n in range(3)], tail and StreamPosition(*tail)
        )
        walked = decoding.by_walking(encode_batch(batch))
        assert walked is not None, size
        assert objects_of(RecordColumns(*walked)) == batch
        assert decoding.by_walking(encode_batch(batch) + b"\x00") is None


@pytest.mark.parametrize("sizes", [(1, 1), (127, 128), (2**14 - 1, 2**14), (2**49 - 1, 2**49), (1, 2**55)])
def test_numbers_of_several_lengths_are_read_without_a_detour(sizes):
    few, many = sizes
    records = [SequencedRecord(a, b"x", [], b) for a, b in ((few, few), (many, few), (few, many), (many, many))]
    walked = decoding.by_walking(encode_batch(ReadBatch(records, None)))
    assert walked is not None and objects_of(RecordColumns(*walked)).records == records


def plain(count: int, first: int = 0, size: int = 100) -> bytes:
    return b"".join(
        encode_record(first + n, 1_700_000_000_000 + n, (), os.urandom((size + n) % 300)) for n in range(count)
    )


@pytest.mark.parametrize("count", [1, 31, 32, 33, 179, 180, 181, 1000])
def test_however_many_records(count):
    payload = plain(count) + encode_tail(StreamPosition(count, 7))
    expected = read_batch_of(payload)
    for decoder in (*DECODERS, None):
        assert objects_of(columns_of(payload, decoder=decoder)) == expected


def test_without_the_compiled_decoder(monkeypatch):
    payload = plain(500)
    with_headers = payload + encode_record(500, 5, [(b"a", b"b")], b"c")
    given_payloads = (payload, with_headers, plain(3))
    expected = [objects_of(columns_of(data)) for data in given_payloads]
    monkeypatch.setattr(columns, "compiled", lambda: None)
    monkeypatch.setattr(columns, "_SMALL", -1)
    used = Counter()
    for way in ("by_objects", "by_layout", "by_ptars"):
        call = getattr(columns, way)
        monkeypatch.setattr(columns, way, lambda *a, call=call, way=way: (used.update([way]), call(*a))[1])
    assert [objects_of(columns_of(data)) for data in given_payloads] == expected
    # The plain one by its layout; the one with headers tried so, then by objects; the few by objects at once.
    assert used == {"by_layout": 2, "by_objects": 2}


def test_no_batch_at_all():
    assert objects_of(columns_of()) == ReadBatch([], None)


def test_more_at_once_than_columns_hold():
    payload = bytes(200 * 1024 * 1024)
    with pytest.raises(
        S2ClientError, match="1,258,291,200 bytes of batches at once; a column holds at most 1,073,741,824"
    ):
        columns_of(*[payload] * 6)


def test_records_without_headers_share_their_empty_lists():
    found = columns_of(plain(1000)).batch.column("headers")
    assert found.null_count == 0 and len(found) == 1000
    assert found.buffers()[1].address == columns_of(plain(900)).batch.column("headers").buffers()[1].address


# --- hostile --------------------------------------------------------------------------------------------------------


def record(content: bytes) -> bytes:
    return b"\x0a" + varint(len(content)) + content


ODD = {
    "a field that is not known": record(bytes.fromhex("0801 2a03616263 100222 0178")),
    "one in the batch": record(b"\x08\x01") + bytes.fromhex("1a0161") + record(b"\x08\x02"),
    "fields in another order": record(bytes.fromhex("22 0178 10 02 08 01")),
    "a field twice": record(bytes.fromhex("0801 0802 220178 220179")),
    "a long way to write a number": record(bytes.fromhex("08 8180808000 10 8200 22 8100 78")),
    "a long way to write a length": bytes.fromhex("0a 8280 00 08 01") + record(b"\x08\x02"),
    "a number of ten bytes": record(b"\x08" + b"\xff" * 9 + b"\x01") + record(b"\x08" + b"\x80" * 9 + b"\x00"),
    "a number of ten bytes with more than 64 bits": record(b"\x08" + b"\xff" * 9 + b"\x7f"),
    "the tail first": encode_tail(StreamPosition(9, 9)) + record(b"\x08\x01") + record(b"\x08\x02"),
    "the tail in the middle": record(b"\x08\x01") + encode_tail(StreamPosition(9, 9)) + record(b"\x08\x02"),
    "the tail twice": bytes.fromhex("12020801 12021002"),
    "a tail that looks like a record": record(b"") + bytes.fromhex("1204 0a020801"),
    "a body that looks like records": record(b"\x22\x06" + record(b"\x08\x07") + b"\x0a\x00"),
    "groups that are not known": record(bytes.fromhex("0801 2b 0805 2c 220178")),
    "a group with field zero in it": record(bytes.fromhex("0801 2b 0001 2c 220178")),
    "a field of another type": record(bytes.fromhex("0a01ff 1500000000 220178")),
    "a record that is empty": record(b"") * 3,
}
BROKEN = {
    "a record cut short": record(b"\x08\x01")[:-1],
    "no length": b"\x0a",
    "a length past the end": b"\x0a\x7f\x08\x01",
    "the longest length": b"\x0a" + b"\xff" * 9 + b"\x01" + b"\x08\x01",
    "a body past the end of its record": record(b"\x22\x05ab") + record(b"\x08\x01") * 3,
    "a body of the longest length": record(b"\x22" + b"\xff" * 9 + b"\x01" + b"ab"),
    "a body whose length leads back": record(b"\x2a" + varint(2**64 - 11)),
    "a number without end": record(b"\x08" + b"\xff" * 12),
    "a number cut short": record(b"\x08\xff"),
    "field zero": record(b"\x00\x01"),
    "the end of a group": record(b"\x0c"),
    "a group without end": record(b"\x0b\x08\x01"),
    "a group with another's end": bytes.fromhex("3324"),
    "a header cut short": record(b"\x1a\x05\x0a\x01a"),
    "a type that does not exist": record(b"\x0f"),
    "a tail cut short": b"\x12\x05\x08\x01",
    "noise": b"\xff" * 50,
}


@pytest.mark.parametrize("name", ODD)
def test_odd_but_legal(name):
    payload = ODD[name]
    try:
        expected = read_batch_of(payload)
    except WireError:
        # What is legal inside a group that nobody knows has changed between releases of the protobuf runtime.
        assert name == "a group with field zero in it"
        with pytest.raises(WireError):
            columns_of(payload)
        return
    for decoder in (*DECODERS, None):
        for around in (b"", plain(200)):
            found = objects_of(columns_of(around, payload, around, decoder=decoder))
            assert found.records == [*read_batch_of(around).records, *expected.records, *read_batch_of(around).records]
            assert found.tail == expected.tail


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name):
    for decoder in (*DECODERS, None):
        for before in (b"", plain(200)):
            with pytest.raises(WireError, match="message"):
                columns_of(before + BROKEN[name], decoder=decoder)
            with pytest.raises(WireError, match="message"):
                columns_of(before, BROKEN[name], decoder=decoder)
    with pytest.raises(WireError):
        read_batch_of(BROKEN[name])


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_damaged_batches_are_read_alike_or_refused_alike(data):
    whole = bytearray(encode_batch(data.draw(BATCHES)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole)))
        how = data.draw(st.sampled_from(["change", "insert", "remove"]))
        octet = data.draw(st.sampled_from([0, 8, 10, 16, 18, 26, 34, 127, 128, 255]) | st.integers(0, 255))
        if how == "insert":
            whole.insert(at, octet)
        elif at < len(whole):
            whole[at : at + 1] = b"" if how == "remove" else bytes([octet])
    payload = bytes(whole)
    try:
        expected = read_batch_of(payload)
    except WireError:
        expected = "refused"
    for decoder in (*DECODERS, None):
        assert outcome(ways(decoder), payload) == expected, decoder


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_alike_or_refused_alike(payload):
    outcomes = [outcome(ways(decoder), payload) for decoder in (*DECODERS, None)]
    assert all(one == outcomes[0] for one in outcomes)


@pytest.mark.skipif("ptars" not in DECODERS, reason="ptars is not installed")
def test_bytes_that_are_not_well_formed_never_reach_the_compiled_decoder(monkeypatch):
    seen = []
    monkeypatch.setattr(columns, "by_ptars", lambda payloads: seen.extend(payloads))
    for payload in BROKEN.values():
        with pytest.raises(WireError):
            columns_of(plain(200), payload, decoder="ptars")
    assert seen == []


# --- tables ---------------------------------------------------------------------------------------------------------


def table(*records: SequencedRecord, body: str = "auto"):
    return record_table([columns_of(encode_batch(ReadBatch(list(records))))], body)


def test_tables():
    found, attrs = table(
        SequencedRecord(0, b'{"a":1}', [], 0), SequencedRecord(1, b'{"a":2,"seq_num":5}', [], 1_700_000_000_000)
    )
    frame = to_frame(found, attrs)
    assert list(frame.columns) == ["seq_num", "time", "a", "body.seq_num"]
    assert frame["seq_num"].tolist() == [0, 1]
    assert [str(kind) for kind in frame.dtypes[:2]] == ["uint64", "datetime64[ms, UTC]"]
    assert frame["time"].tolist() == [pd.Timestamp(0, tz="UTC"), pd.Timestamp("2023-11-14T22:13:20Z")]
    assert attrs == {"body": "json", "undecoded": 0}


def test_an_empty_table_has_the_same_columns():
    for batches in ([], [columns_of()], [columns_of(encode_tail(StreamPosition(1, 2)))]):
        found, attrs = record_table(batches, "bytes")
        frame = to_frame(found, attrs)
        full = to_frame(*table(SequencedRecord(0, b"x", [], 0), body="bytes"))
        assert frame.dtypes.to_dict() == full.dtypes.to_dict()
        assert len(frame) == 0 and attrs == {"body": "bytes", "undecoded": 0}


@pytest.mark.parametrize("body", ["auto", "bytes", "text", "json"])
def test_bodies_in_every_form(body):
    found, attrs = table(SequencedRecord(0, b'{"a":1}', [], 0), SequencedRecord(1, b"\xff", [], 0), body=body)
    frame = to_frame(found, attrs)
    expected = {"auto": "bytes"}.get(body, body)
    assert attrs["body"] == expected
    assert attrs["undecoded"] == (expected != "bytes")
    assert frame["body"].tolist()[1] == ("\\xff" if body == "text" else b"\xff")


def test_headers_where_any_record_has_some():
    found, _ = table(
        SequencedRecord(0, b"x", [], 0), SequencedRecord(1, b"y", [(b"k", b"v"), (b"", b"")], 0), body="text"
    )
    frame = to_frame(found)
    assert list(frame.columns) == ["seq_num", "time", "headers", "body"]
    assert frame["headers"].tolist() == [[], [{"name": b"k", "value": b"v"}, {"name": b"", "value": b""}]]


def test_times_that_no_date_can_be():
    last = 253_402_300_799_999
    stamps = [0, last, last + 1, 2**63 - 1, 2**63, 2**64 - 1]
    found, attrs = table(*(SequencedRecord(n, b"x", [], stamp) for n, stamp in enumerate(stamps)), body="text")
    assert attrs["times_out_of_range"] == 4
    frame = to_frame(found, attrs)
    assert list(frame.columns) == ["seq_num", "time", "timestamp", "body"]
    assert frame["time"].isna().tolist() == [False, False, True, True, True, True]
    assert frame["time"].iloc[1].isoformat() == "9999-12-31T23:59:59.999000+00:00"
    assert frame["timestamp"].tolist() == stamps
    assert "timestamp" not in table(SequencedRecord(0, b"x", [], last))[0].column_names


def test_many_batches():
    parts = [columns_of(plain(300, n * 300)) for n in range(20)]
    found, _ = record_table(parts, "bytes")
    assert found.num_rows == 6000
    assert to_frame(found)["seq_num"].tolist() == list(range(6000))
    rows = [
        columns_of(b"".join(encode_record(n, 5, (), b'{"n":%d}' % n) for n in range(k, k + 300)))
        for k in range(0, 60_000, 300)
    ]
    for body, types in (("auto", None), ("json", None), ("auto", {"n": pa.int64()})):
        found, attrs = record_table(rows, body, types)
        assert attrs["body"] == "json"
        assert to_frame(found)["n"].tolist() == list(range(60_000))
        assert found.column("n").num_chunks < 20


def test_import_loads_neither_pandas_nor_decoders():
    heavy = ("pandas", "google.protobuf", "ptars")
    code = f"import kit.s2.wire.columns, kit.s2.wire.inputs, sys; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_the_outline_of_a_batch_is_enough_to_place_its_records():
    payload = plain(5) + encode_tail(StreamPosition(5, 5))
    outline = messages().Outline.FromString(payload)
    found = decoding.by_layout([payload], [outline])
    assert isinstance(found, pa.RecordBatch) and found.num_rows == 5
    payloads = [payload, plain(3, first=5), plain(4, first=8)]
    several = decoding.by_layout(payloads, [messages().Outline.FromString(one) for one in payloads])
    assert several is not None and several.equals(columns_of(*payloads, decoder="objects").batch)
    assert decoding.by_layout([payload + b"\x1a\x00"], [outline]) is None


def test_a_first_small_read_does_without_the_protobuf_runtime():
    payload = (plain(100) + encode_tail(StreamPosition(100, 5))).hex()
    code = f"from kit.s2.wire.columns import columns_of; import sys; found = columns_of(bytes.fromhex({payload!r})); "
    code += "print(len(found), found.tail.seq_num, 'google.protobuf' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["100", "100", "False"]
