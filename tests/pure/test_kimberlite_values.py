"""Numbers, lists, events and rows as they are in a message."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kit.kimberlite.errors import WireError
from kit.kimberlite.wire.blobs import Blobs
from kit.kimberlite.wire.protocol import postcard, requests, structs
from kit.kimberlite.wire.protocol.enums import ClusterMode
from kit.kimberlite.wire.protocol.postcard import Reader
from kit.kimberlite.wire.protocol.schema import kind_of
from kit.kimberlite.wire.values import Rows, read_rows


@pytest.mark.parametrize(
    ("number", "raw"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (16384, "808001"),
        (2**32, "8080808010"),
        (2**64 - 1, "ffffffffffffffffff01"),
    ],
)
def test_numbers(number: int, raw: str) -> None:
    assert postcard.varint(number).hex() == raw
    assert Reader(bytes.fromhex(raw)).varint() == number


@pytest.mark.parametrize(
    ("number", "raw"),
    [
        (0, "00"),
        (-1, "01"),
        (1, "02"),
        (-42, "53"),
        (42, "54"),
        (2**63 - 1, "feffffffffffffffff01"),
        (-(2**63), "ffffffffffffffffff01"),
    ],
)
def test_signed_numbers(number: int, raw: str) -> None:
    assert postcard.varint(postcard.zigzag(number)).hex() == raw
    assert Reader(bytes.fromhex(raw)).signed() == number


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(str, id="text"),
        pytest.param(list[str], id="texts"),
        pytest.param(requests.Cell, id="cell"),
        *(pytest.param(one, id=name) for name, one in vars(structs).items() if dataclasses.is_dataclass(one)),
    ],
)
def test_items_of_a_list_may_be_as_small_as_they_can_be(item: Any) -> None:
    """All bytes 0 are the smallest value of each type."""
    alone = Reader(bytes(1000))
    smallest = kind_of(item).read(alone)
    whole = postcard.varint(40) + bytes(40 * alone.at)
    reader = Reader(whole)
    assert kind_of(list[item]).read(reader) == [smallest] * 40 and reader.at == len(whole)
    with pytest.raises(WireError):
        kind_of(list[item]).read(Reader(whole[:-1]))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=80))
@example([b"abc"] * 100)
@example([bytes(n) for n in range(100)])
def test_blobs(items: list[bytes]) -> None:
    blobs = Blobs.of(items)
    again = Blobs.from_raw(blobs.raw, len(items))
    assert blobs == again == items and list(again) == items and len(again) == len(items)
    assert again.content_bytes == sum(map(len, items)) and again.nbytes == len(again.raw)
    later = again[1:]
    assert later.content_bytes == sum(map(len, items[1:])) and later.nbytes == len(later.raw)
    for n in range(len(items)):
        assert again[n] == items[n] and again[n - len(items)] == items[n]
    cut = again[1:5]
    assert cut == items[1:5] and Blobs.from_raw(cut.raw, len(cut)) == items[1:5]
    assert again[::2] == items[::2] and again[5:2] == []


@pytest.mark.parametrize("size", [0, 1, 127, 128, 20_000])
def test_blobs_of_one_size(size: int) -> None:
    items = [bytes([n]) * size for n in range(100)]
    blobs = Blobs.from_raw(Blobs.of(items).raw, 100)
    assert blobs == items and blobs[40:60] == items[40:60]


def test_a_page_is_cut_at_a_size() -> None:
    blobs = Blobs.of([b"a" * 10] * 10)
    assert [blobs.fitting(size) for size in (0, 10, 11, 22, 109, 110, 999)] == [0, 0, 1, 2, 9, 10, 10]
    assert [blobs.before(size) for size in (0, 1, 10, 11, 99, 100, 999)] == [0, 1, 1, 2, 10, 10, 10]
    part = blobs[3:]
    assert [part.fitting(size) for size in (0, 11, 22, 77)] == [0, 1, 2, 7]


def test_equal_events_however_their_lengths_are_written() -> None:
    assert Blobs.from_raw(b"\x81\x00a\x01b", 2) == Blobs.of([b"a", b"b"])
    for other in ([b"a", b"c"], [b"a"], [b"a", b"b", b""], [b"b", b"a"], []):
        assert Blobs.from_raw(b"\x81\x00a\x01b", 2) != Blobs.of(other) and Blobs.of([b"a", b"b"]) != Blobs.of(other)


def test_rows_are_a_sequence() -> None:
    rows = Rows.of([(1, "a"), (2, None), (3, "c")])
    assert rows[-1] == (3, "c") and rows[1:] == [(2, None), (3, "c")] and len(rows) == 3 and rows != [(1, "a")]
    assert repr(rows) == "<3 rows of 2>" and Rows.of([]) == []
    with pytest.raises(IndexError):
        rows[3]
    assert ClusterMode(1) is ClusterMode.CLUSTERED


def test_rows_without_cells_are_rows():
    assert list(read_rows(Reader(b"\x02\x00\x00"))) == [(), ()]
    assert list(read_rows(Reader(b"\x00"))) == []
