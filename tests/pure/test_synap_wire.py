"""SynapRPC on the wire, and events as columns: good bytes, and every kind of bad ones."""

import json
import tracemalloc
import uuid

import msgpack
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from thunder_rpc import Value
from thunder_rpc.wire import Request as TheirRequest

from kit.synap.errors import SynapInputError, SynapWireError
from kit.synap.wire import columns, fast_values
from kit.synap.wire import frames as wire
from kit.synap.wire.event_template import encoded_event

VECTORS = [
    (wire.request(1, "PING"), "080000009301a450494e4790"),
    (wire.answer(1, "PONG"), "10000000920181a24f6b81a3537472a4504f4e47"),
    (wire.answer(2, None), "0b000000920281a24f6ba44e756c6c"),
    (wire.request(4, "SET", ["k", b"\xff", 60]), "1e000000"
     "9304a35345549381a3537472a16b81a54279746573c401ff81a3496e743c"),
]  # fmt: skip


def sized(first, width, size, content):
    return bytes([first]) + size.to_bytes(width, "big") + content


FORMS = [
    *[(sized(first, width, 3, b"abc"), b"abc") for first, width in ((0xC4, 1), (0xC5, 2), (0xC6, 4))],
    *[(sized(first, width, 3, b"abc"), "abc") for first, width in ((0xD9, 1), (0xDA, 2), (0xDB, 4))],
    *[(sized(first, width, 2, b"\x01\xc0"), [1, None]) for first, width in ((0xDC, 2), (0xDD, 4))],
    *[(sized(first, width, 1, b"\xa1a\x01"), {"a": 1}) for first, width in ((0xDE, 2), (0xDF, 4))],
    *[(msgpack.packb(value), value) for value in (
        0, 127, 128, 255, 256, 2**16, 2**32, 2**64 - 1, -1, -32, -33, -128, -129, -(2**15), -(2**15) - 1, -(2**31) - 1, -(2**63),
        0.5, None, True, False, "", "a" * 31, "a" * 32, [], [1] * 15, [1] * 16, {}, {str(n): n for n in range(15)}, {str(n): n for n in range(16)},
    )],
    (b"\xca\x3f\x00\x00\x00", 0.5),
    (b"\x81\xa0\xc0", {"": None}),
]  # fmt: skip


@pytest.mark.parametrize(("data", "value"), FORMS, ids=lambda one: repr(one)[:30])
def test_every_form_of_a_value_is_read_in_small_messages_and_in_large_ones(data, value):
    found = wire.unpack(data)
    assert found == value and type(found) is type(value)
    # A large message is read by a reader of its own, which takes no length on trust.
    filler = b"\x00" * 5000
    found = wire.unpack(b"\x92" + data + sized(0xC6, 4, len(filler), filler))
    assert found == [value, filler] and type(found[0]) is type(value)
    assert wire.unpack(b"\x92" + sized(0xC6, 4, len(filler), filler) + data) == [filler, value]
    with pytest.raises(wire.Refused):
        wire.unpack(b"\x92" + sized(0xC6, 4, len(filler), filler) + data[:-1])


@pytest.mark.parametrize("length", [0, 1, 15, 16, 65535, 65536, 2**32 - 1])
def test_an_array_begins_as_the_library_writes_it(length):
    assert wire.array_head(length) == msgpack.packb("Array").join((b"\x81", msgpack.Packer().pack_array_header(length)))


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, 256, 65535, 65536, 2**31, 2**32 - 1])
def test_a_packed_answer_has_its_number(number):
    packed = wire.answer_packed(number, wire.array_head(1), b"\xa4Null")
    assert int.from_bytes(packed[:4], "little") == len(packed) - 4
    assert msgpack.unpackb(packed[4:]) == [number, {"Ok": {"Array": ["Null"]}}]
    assert wire.peek(packed[4:])[0] == number


def test_requests_have_numbers_that_fit():
    for number in (0, 1, wire.PUSH):
        assert wire.read_request(msgpack.packb([number, "PING", []])) == (number, "PING", [])
        assert wire.read_request(msgpack.packb({"id": number, "command": "GET", "args": [{"Str": "k"}]})) == (
            number,
            "GET",
            ["k"],
        )
    for wrong in (
        [-1, "PING", []],
        [wire.PUSH + 1, "PING", []],
        [True, "PING", []],
        [1, b"PING", []],
        [1, "PING", {}],
        [1, "PING"],
        5,
    ):
        with pytest.raises(wire.Refused, match="not a request"):
            wire.read_request(msgpack.packb(wrong))


@pytest.mark.parametrize(("frame", "told"), VECTORS)
def test_frames_are_those_of_the_protocol(frame, told):
    assert frame.hex() == told


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
    max_leaves=60,
)


@given(VALUES, st.integers(0, wire.PUSH))
def test_what_is_written_is_read(value, number):
    body = wire.answer(number, value)[4:]
    assert wire.read_answer(body) == (number, True, value)
    reader = wire._Reader(body)
    assert reader.value(0) == msgpack.unpackb(body, strict_map_key=False)
    assert reader.at == len(body)


@given(st.lists(VALUES, max_size=5), st.text(max_size=20))
def test_the_official_library_reads_our_requests_and_writes_the_same(args, command):
    body = wire.request(7, command, args)[4:]
    assert wire.read_request(body) == (7, command, args)

    def theirs(value):
        if isinstance(value, bool):
            return Value.bool(value)
        match value:
            case None:
                return Value.null()
            case int():
                return Value.int(value)
            case float():
                return Value.float(value)
            case str():
                return Value.str(value)
            case bytes():
                return Value.bytes(value)
            case list():
                return Value.array([theirs(one) for one in value])
            case dict():
                return Value.map([(theirs(key), theirs(one)) for key, one in value.items()])

    written = TheirRequest(7, command, tuple(theirs(one) for one in args))
    from thunder_rpc import wire as their_wire

    assert their_wire.encode_frame(written) == wire.frame(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    for read in (wire.read_answer, wire.read_request, wire.peek, lambda body: columns.read_events(body, 0)):
        try:
            read(data)
        except SynapWireError:
            pass


@given(st.data())
def test_damaged_answers_are_read_or_refused(data):
    events = [encoded_event(n, "e", str(uuid.UUID(int=n)), b"x" * n, 1_700_000_000) for n in range(5)]
    body = bytearray(wire.answer_packed(1, wire.array_head(5), b"".join(events))[4:])
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(body[: data.draw(st.integers(0, len(body)))])
    for one in (bytes(body), cut):
        try:
            _, at = wire.peek(one)
            if at:
                columns.read_events(one, at)
        except SynapWireError:
            pass


@pytest.mark.parametrize(
    "body",
    [
        b"\x91" * 10_000,
        b"\xdd\x00\x01\x00\x00" * 2000,
        b"\x92\x01\x81\xa2Ok" + b"\x81\xa5Array\x91" * 10_000 + wire.NULL,
        b"\x92\x01\x81\xa2Ok\x81\xa5Array\xdd\xff\xff\xff\xff",
        b"\x92\x01\x81\xa2Ok\x81\xa5Bytes\xc6\xff\xff\xff\xff",
        b"\x92\x01\x81\xa2Ok\x81\xa3Str\xdb\x7f\xff\xff\xff" + b"a" * 5000,
        b"\x92\x01\x81\xa2Ok\x81\xa3Map\xdf\xff\xff\xff\xff" + b"a" * 5000,
    ],
    ids=["deep", "lying and deep", "deep values", "long array", "long bytes", "long text", "long map"],
)
def test_lying_lengths_and_depths_are_refused_in_little_memory(body):
    tracemalloc.start()
    try:
        for read in (wire.read_answer, wire.read_request):
            with pytest.raises(SynapWireError):
                read(body)
        with pytest.raises(SynapWireError):
            columns.read_events(body, body.index(b"\x81") if b"\x81" in body else 0)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_frame_that_is_too_long_is_refused_before_it_is_kept():
    frames = wire.Frames(1000)
    with pytest.raises(SynapWireError, match="1,001 bytes"):
        list(frames.feed((1001).to_bytes(4, "little")))


@given(st.lists(st.binary(max_size=40), max_size=10), st.data())
def test_frames_come_out_whole_however_they_are_cut(bodies, data):
    stream = b"".join(wire.frame(body) for body in bodies)
    frames, found, at = wire.Frames(), [], 0
    while at < len(stream):
        stop = data.draw(st.integers(at + 1, len(stream)))
        found += frames.feed(stream[at:stop])
        at = stop
    assert found == bodies
    assert frames.pending == 0


def test_what_has_no_form_is_told():
    with pytest.raises(SynapInputError, match="64 bits"):
        wire.request(1, "SET", [2**63])
    with pytest.raises(SynapInputError, match="object"):
        wire.request(1, "SET", [object()])
    with pytest.raises(SynapInputError, match="UTF-8"):
        wire.request(1, "SET", ["\ud800"])


EVENT_DATA = st.builds(lambda piece, times: piece * times, st.binary(max_size=20), st.sampled_from([1, 20, 4000]))


# --- many values ----------------------------------------------------------------------------------------------------


@given(st.lists(st.none() | st.text() | EVENT_DATA | st.integers(-5, 5), max_size=20))
def test_values_in_bulk_are_those_one_by_one(values):
    body = wire.answer(3, values)[4:]
    number, at = wire.peek(body)
    assert (number, fast_values.read_values(body, at)) == (3, values)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 255, 256, 65535, 65536, 70000])
def test_as_many_values_as_there_are(count):
    values = [None] * count
    body = wire.answer(3, values)[4:]
    assert fast_values.read_values(body, wire.peek(body)[1]) == values
    for short in (body[:-5], body + wire.NULL):
        if count:
            with pytest.raises(wire.Refused):
                fast_values.read_values(short, wire.peek(short)[1])


@pytest.mark.parametrize("size", [0, 1, 31, 32, 255, 256, 65535, 65536])
def test_lengths_of_every_form(size):
    for value, widths in (("a" * size, fast_values._STR), (b"a" * size, fast_values._BIN)):
        packed = msgpack.packb(value)
        assert fast_values._size(b"\x00" + packed, 1, widths) == (size, 1 + len(packed) - size)
        if len(packed) - size > 1:  # one byte of head has no check of its own: what follows finds no room
            with pytest.raises(wire.Refused):
                fast_values._size(packed[:-1], 0, widths)


# --- events ---------------------------------------------------------------------------------------------------------

EVENT = st.tuples(
    st.integers(0, 2**62),
    st.text(max_size=40),
    st.uuids().map(str),
    EVENT_DATA,
    st.integers(0, 2**32),
)


def table_of(events):
    body = wire.answer_packed(9, wire.array_head(len(events)), b"".join(encoded_event(*one) for one in events))[4:]
    _, at = wire.peek(body)
    return body, columns.read_events(body, at)


@given(st.lists(EVENT, max_size=12))
def test_events_at_once_are_those_one_by_one(events):
    body, table = table_of(events)
    assert table.equals(columns.from_maps(wire.read_answer(body)[2]))
    if events:
        count, start = fast_values.array_length(body, wire.peek(body)[1])
        assert table.equals(columns._at_once(body, start, count))  # the quick way itself, not what stands in for it
    assert table.schema == columns.SCHEMA
    assert table["data"].to_pylist() == [data for _, _, _, data, _ in events]
    assert table["offset"].to_pylist() == [offset for offset, *_ in events]


@pytest.mark.parametrize("seconds", [-1, -33, -200, -40_000, -100_000, -(2**31), -(2**31) - 1])
def test_a_time_before_1970_is_that_time(seconds):
    events = [(n, "e", str(uuid.uuid4()), b"", stamp) for n, stamp in enumerate([7, seconds])]
    _, table = table_of(events)
    assert table["time"].cast(pa.timestamp("s", "UTC")).cast(pa.int64()).to_pylist() == [7, seconds]


@pytest.mark.parametrize("count", [1, 15, 16, 65_535, 65_536])
def test_an_answer_may_have_any_number_of_events(count):
    identity = str(uuid.uuid4())
    _, table = table_of([(n, "e", identity, b"", 7) for n in range(count)])
    assert table["offset"].to_pylist() == [*range(count)]
    values = [None] * count
    assert fast_values.read_values(wire.answer(1, values)[4:], wire.peek(wire.answer(1, values)[4:])[1]) == values


def test_the_template_inside_of_data_confuses_nobody():
    trap = encoded_event(5, "e", str(uuid.uuid4()), b"inner", 1)
    events = [(n, "e", str(uuid.uuid4()), trap * 3, 2) for n in range(4)]
    _, table = table_of(events)
    assert table["data"].to_pylist() == [trap * 3] * 4


def test_another_order_of_fields_and_older_forms_are_read():
    told = [{"data": [1, 2], "event": "e", "timestamp": 7, "offset": 3, "id": "short"}]
    body = msgpack.packb(
        [
            1,
            {
                "Ok": {
                    "Array": [
                        {
                            "Map": [
                                [{"Str": name}, {"Bytes": value} if name == "data" else wire.tagged(value)]
                                for name, value in told[0].items()
                            ]
                        }
                    ]
                }
            },
        ]
    )
    _, at = wire.peek(body)
    assert columns.read_events(body, at).to_pylist()[0]["data"] == b"\x01\x02"


@given(st.lists(EVENT.filter(lambda one: len(one[3]) < 401), max_size=5))
def test_both_transports_give_the_same_columns(events):
    told = [
        {"id": i, "offset": o, "room": "r", "event": e, "data": list(d), "timestamp": t, "metadata": {}}
        for o, e, i, d, t in events
    ]
    assert columns.from_maps(json.loads(json.dumps(told))).equals(table_of(events)[1])


@pytest.mark.parametrize("data", [[256], [-1], ["a"], 2**70, None, {"a": 1}])
def test_data_that_is_none_is_refused(data):
    with pytest.raises(SynapWireError):
        columns.from_maps([{"id": "i", "offset": 1, "event": "e", "data": data, "timestamp": 1}])
