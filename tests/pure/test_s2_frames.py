"""Frames and packing: the layout byte for byte, any cut of the bytes, and every lie refused within bounds."""

import gzip
import itertools
import os
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kit.s2 import Compression, S2ClientError, S2ServerError
from kit.s2.errors import CutOff, SeqNumMismatchError, WireError
from kit.s2.wire.compression import compress, decompress
from kit.s2.wire.frames import MAX_FRAME, MAX_PAYLOAD, Frame, FrameReader, encode_frame, encode_terminal

PACKINGS = [Compression.NONE, Compression.ZSTD, Compression.GZIP]
MIB = 1024 * 1024


def read(data: bytes, *cuts: int) -> list[Frame]:
    reader = FrameReader()
    edges = [0, *sorted(cuts), len(data)]
    frames = [frame for a, b in itertools.pairwise(edges) for frame in reader.feed(data[a:b])]
    reader.finish()
    return frames


def streamed_zstd(data: bytes, **options) -> bytes:
    packer = zstandard.ZstdCompressor(**options).compressobj()
    return packer.compress(data) + packer.flush()


def raw_frame(flag: int, payload: bytes) -> bytes:
    return (len(payload) + 1).to_bytes(3, "big") + bytes([flag]) + payload


# --- layout ---------------------------------------------------------------------------------------------------------


def test_layout():
    assert encode_frame(b"").hex() == "00000100"
    assert encode_frame(b"abc").hex() == "00000400616263"
    assert encode_frame(b"abc", reconnect=True).hex() == "00000410616263"
    assert encode_frame(b"x" * 65536)[:4].hex() == "01000100"
    assert encode_terminal(412, b'{"seq_num_mismatch":7}')[:6].hex() == "00001980019c"


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 5000, MIB, MAX_PAYLOAD])
def test_there_and_back(packing, size):
    payload = (b"some record body " * (size // 17 + 1))[:size]
    frame = encode_frame(payload, packing)
    packed = size >= 1024 and packing is not Compression.NONE
    assert frame[3] == ({"zstd": 0x20, "gzip": 0x40}[packing.value] if packed else 0)
    assert (len(frame) < size) == packed
    assert int.from_bytes(frame[:3], "big") == len(frame) - 3
    assert read(frame) == [Frame(payload)]


@pytest.mark.parametrize("packing", PACKINGS)
def test_what_packing_does_not_make_smaller_travels_as_it_is(packing):
    payload = os.urandom(MAX_PAYLOAD)
    frame = encode_frame(payload, packing)
    assert len(frame) == MAX_FRAME + 3 and frame[3] == 0
    assert read(frame) == [Frame(payload)]


def test_a_message_that_no_frame_holds():
    for packing in PACKINGS:
        with pytest.raises(S2ClientError, match="2,097,151 bytes, not 2,097,152"):
            encode_frame(bytes(MAX_FRAME), packing)
    assert len(encode_terminal(500, bytes(MAX_FRAME - 3))) == MAX_FRAME + 3
    with pytest.raises(S2ClientError, match="at most 2,097,149 bytes, not 2,097,150"):
        encode_terminal(500, bytes(MAX_FRAME - 2))


def test_flags():
    for flag in (0x01, 0x0F):
        assert read(raw_frame(flag, b"x")) == [Frame(b"x")]
    assert read(raw_frame(0x10, b"x")) == [Frame(b"x", reconnect=True)]
    packed = zstandard.ZstdCompressor().compress(b"x" * 2000)
    assert read(raw_frame(0x30, packed)) == [Frame(b"x" * 2000, reconnect=True)]
    # Small payloads may be packed too, and as a stream that does not tell its size.
    assert read(raw_frame(0x20, streamed_zstd(b"x"))) == [Frame(b"x")]
    assert read(raw_frame(0x20, zstandard.ZstdCompressor().compress(b""))) == [Frame(b"")]
    assert read(raw_frame(0x40, gzip.compress(b"x"))) == [Frame(b"x")]


def test_terminal_frames():
    frames = read(encode_frame(b"a") + encode_terminal(412, b'{"seq_num_mismatch":7}'))
    assert frames[0] == Frame(b"a")
    assert frames[1].terminal
    error = frames[1].error()
    assert isinstance(error, SeqNumMismatchError) and error.expected_seq_num == 7
    # Nothing follows one; neither advice nor packing is looked at.
    reader = FrameReader()
    frames = list(reader.feed(raw_frame(0xF0, b"\x01\xf7<html>") + encode_frame(b"late")))
    assert [frame.terminal for frame in frames] == [True]
    assert frames[0].error().status_code == 503 and frames[0].error().code == "unknown"
    assert not frames[0].reconnect
    assert list(reader.feed(b"more")) == []
    reader.finish()
    for payload in (b"", b"\x01"):
        with pytest.raises(WireError, match="no room for its status"):
            read(raw_frame(0x80, payload))
    assert isinstance(read(raw_frame(0x80, b"\x01\x94"))[0].error(), S2ServerError)


# --- any cut --------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.binary(max_size=40) | st.just(b"z" * 3000), st.sampled_from(PACKINGS)), max_size=5),
    st.lists(st.integers(0, 4000), max_size=8),
)
def test_however_the_bytes_arrive(payloads, cuts):
    data = b"".join(encode_frame(payload, packing) for payload, packing in payloads)
    assert [frame.payload for frame in read(data, *(min(cut, len(data)) for cut in cuts))] == [p for p, _ in payloads]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 4095, 4096, 4097, 65536, 100_000])
def test_pieces_of_one_size(size):
    payloads = [os.urandom(n) for n in (0, 1, 5, 4096, 70_000, 3, 200_000, 0, 0, 9)]
    data = b"".join(map(encode_frame, payloads))
    assert [frame.payload for frame in read(data, *range(0, len(data), size))] == payloads


def test_every_cut_is_reported():
    data = encode_frame(b"abc") + encode_frame(b"d" * 300)
    edges = {0, 7, len(data)}
    for cut in range(len(data) + 1):
        reader = FrameReader()
        frames = list(reader.feed(data[:cut]))
        assert len(frames) == (cut >= 7) + (cut == len(data))
        if cut in edges:
            reader.finish()
        else:
            with pytest.raises(CutOff, match="ended inside a frame"):
                reader.finish()


def test_frames_not_taken_are_given_later():
    reader = FrameReader()
    data = encode_frame(b"1") + encode_frame(b"2") + encode_frame(b"3")
    assert next(reader.feed(data)).payload == b"1"
    assert [frame.payload for frame in reader.feed(b"")] == [b"2", b"3"]
    reader.finish()


def test_payloads_are_bytes_whatever_they_came_in():
    frame = encode_frame(b"abc")
    for piece in (frame, bytearray(frame), memoryview(frame)):
        (given_back,) = FrameReader().feed(piece)
        assert type(given_back.payload) is bytes


# --- lies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("00000000", "a length of 0"),
        ("20000100", "a length of 2,097,153"),
        ("ffffff00", "a length of 16,777,215"),
        ("00000560", "an unknown compression: flag 0x60"),
        ("00000570", "an unknown compression: flag 0x70"),
    ],
)
def test_heads_are_judged_before_anything_is_awaited(head, message):
    reader = FrameReader()
    with pytest.raises(WireError, match=message):
        list(reader.feed(bytes.fromhex(head)))


def test_frames_before_a_broken_one_come_first():
    frames = FrameReader().feed(encode_frame(b"good") + bytes.fromhex("00000000"))
    assert next(frames).payload == b"good"
    with pytest.raises(WireError):
        next(frames)


@pytest.mark.parametrize(
    ("flag", "payload"),
    [
        (0x20, b""),
        (0x20, b"not zstd"),
        (0x20, streamed_zstd(b"x" * 5000)[:-1]),
        (0x20, streamed_zstd(b"x" * 5000) + b"x"),
        (0x20, streamed_zstd(b"x" * 5000) * 2),
        (0x20, zstandard.ZstdCompressor().compress(b"x" * 5000) + b"x"),
        (0x20, b"\x50\x2a\x4d\x18\x04\0\0\0skip"),
        (0x20, b"\x28\xb5\x2f\xfd"),
        (0x20, b"\x28\xb5\x2f\xfd\x20\x00\x29\0\0hello"),  # it says that it holds nothing
        (0x20, b"\x28\xb5\x2f\xfd\x20\x07\x29\0\0hello"),
        (0x20, streamed_zstd(b"x", compression_params=zstandard.ZstdCompressionParameters(window_log=27))),
        (0x40, b""),
        (0x40, b"not gzip"),
        (0x40, zlib.compress(b"x")),
        (0x40, gzip.compress(b"x" * 5000, mtime=0)[:-1]),
        (0x40, gzip.compress(b"x", mtime=0) + b"x"),
        (0x40, gzip.compress(b"x", mtime=0) * 2),
    ],
)
def test_broken_packing(flag, payload):
    with pytest.raises(WireError, match=r"(gzip|zstd) data"):
        read(raw_frame(flag, payload))


BOMBS = {
    "zstd that tells its size": (Compression.ZSTD, zstandard.ZstdCompressor().compress(bytes(64 * MIB))),
    "zstd that does not": (Compression.ZSTD, streamed_zstd(bytes(64 * MIB))),
    "gzip": (Compression.GZIP, gzip.compress(bytes(64 * MIB))),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_go_off_within_bounds(bomb):
    packing, data = BOMBS[bomb]
    tracemalloc.start()
    try:
        with pytest.raises(WireError, match="more than the limit of 2,097,151"):
            decompress(data, packing, MAX_PAYLOAD)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packing", PACKINGS)
def test_the_limit_is_exact(packing):
    for data in (b"", b"x", bytes(5000), os.urandom(5000), bytes(400_000)):  # the last has blocks of one byte
        for pack in (
            compress,
            lambda data, how: streamed_zstd(data) if how is Compression.ZSTD else compress(data, how),
        ):
            packed = pack(data, packing)
            assert decompress(packed, packing, len(data)) == data
            if data:
                with pytest.raises(WireError):
                    decompress(packed, packing, len(data) - 1)


def test_a_lying_length_takes_no_memory():
    tracemalloc.start()
    try:
        reader = FrameReader()
        assert list(reader.feed(bytes.fromhex("1fffff00"))) == []
        for _ in range(1000):
            list(reader.feed(b"xy"))
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_tiny_pieces_do_not_pile_up():
    # Every piece ends inside a frame, so that something is always left over.
    data = encode_frame(b"abc") * 50_000
    reader, count = FrameReader(), 0
    tracemalloc.start()
    try:
        for at in range(0, len(data), 9):
            count += len(list(reader.feed(data[at : at + 9])))
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
    assert count == 50_000


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 60))
@example(b"\0\0\1\x80", 4)
def test_any_bytes_are_frames_or_refused(data, cut):
    try:
        frames = read(data, min(cut, len(data)))
    except (WireError, CutOff):
        return
    assert all(len(frame.payload) <= MAX_PAYLOAD for frame in frames)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_frames_are_frames_or_refused(data):
    packing = data.draw(st.sampled_from([Compression.ZSTD, Compression.GZIP]))
    whole = encode_frame(b"some text, over and over " * 60, packing) + encode_frame(b"next")
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    try:
        frames = read(bytes(damaged))
    except (WireError, CutOff):
        return
    assert all(len(frame.payload) <= MAX_PAYLOAD for frame in frames)
