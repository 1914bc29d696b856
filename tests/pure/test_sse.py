"""Server-sent events, held against a second parser and cut at every place."""

import json

import httpx
import httpx_sse
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.core.errors import AnswerError
from kit.core.http.sse import EventParser


def parse(*pieces: bytes) -> list[tuple[str, str, str]]:
    parser = EventParser()
    return [(event.type, event.data, event.id) for piece in pieces for event in parser.feed(piece)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_all_line_ends(end):
    stream = end.join([b"id: 1", b"event: step", b"data: a", b"data:b", b": ping", b"", b"data", b"", b""])
    assert parse(stream) == [("step", "a\nb", "1"), ("message", "", "1")]


def test_a_piece_of_nothing_between_both_halves_of_a_line_end():
    assert [data for _, data, _ in parse(b"data: 1\r", b"", b"\ndata: 2\r", b"", b"", b"\n\r", b"", b"\n")] == ["1\n2"]
    for end in (b"\n", b"\r"):
        assert parse(b"data: 1", end, b"data: 2", end, end, b"\n") == [("message", "1\n2", "")]


STREAM = (
    'id: 1\r\ndata: {"text":"é€😀"}\r\n\r\n: ping\r\n\r\nretry: 250\r\nid: 2\r\ndata: x\r\ndata: y\r\n\r\n'.encode()
)


def test_a_cut_at_every_byte_changes_nothing():
    whole = parse(STREAM)
    assert whole == [("message", '{"text":"é€😀"}', "1"), ("message", "x\ny", "2")]
    for cut in range(len(STREAM) + 1):
        assert parse(STREAM[:cut], STREAM[cut:]) == whole
    assert parse(*(STREAM[n : n + 1] for n in range(len(STREAM)))) == whole


def test_an_event_is_given_as_soon_as_it_is_complete():
    # A parser that waits to see whether LF follows the last CR holds each event back until the next one.
    assert parse(b"data: now\r\r") == [("message", "now", "")]


def test_an_unfinished_event_is_not_given():
    assert parse(b"data: half\n") == []


def test_ids_stay_and_retry_is_kept():
    parser = EventParser("6")
    (first, second) = parser.feed(b"data: a\n\nid: 7\nretry: 1500\ndata: b\n\n")
    assert (first.id, first.named, second.id, second.named) == ("6", False, "7", True)
    assert parser.retry == 1.5
    parser.feed(b"id: with\0nul\ndata: c\n\nretry: soon\n\n")
    assert (parser.last_id, parser.retry) == ("7", 1.5)
    for told, seconds in (
        (b"0", 0),
        (b"0" * 20 + b"250", 0.25),
        (b"3600000", 3600),
        (b"3600001", 3600),
        (b"9" * 5000, 3600),
    ):
        parser.feed(b"retry: " + told + b"\n\n")
        assert parser.retry == seconds


def test_size_is_bounded():
    for line in (b"x" * 100, b"data: " + b"x" * 50 + b"\n"):
        parser = EventParser(max_event=1000)
        for _ in range(9):
            parser.feed(line)
        with pytest.raises(AnswerError, match="larger than"):
            parser.feed(line * 100)


def test_an_event_may_be_as_large_as_the_bound_whatever_came_before():
    for count in range(3):
        parser = EventParser(max_event=20)
        for _ in range(count):
            assert [event.data for event in parser.feed(b"data:" + b"x" * 15 + b"\n\n")] == ["x" * 15]
        parser.feed(b"data:12345\ndata:12345\n")
        with pytest.raises(AnswerError, match="larger than 20 bytes"):
            parser.feed(b"d")


texts = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=12)
fields = st.sampled_from(["data", "event", "id", "retry", "other", ""])
wire = st.lists(
    st.tuples(fields, st.sampled_from([":", ": ", ""]), texts).map("".join) | st.just(""), max_size=20
).flatmap(lambda lines: st.sampled_from(["\n", "\r\n"]).map(lambda end: (end.join(lines) + end).encode()))


@settings(max_examples=300, deadline=None)
@given(wire)
def test_the_same_as_another_parser(stream):
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    theirs = [(e.event or "message", e.data, e.id) for e in httpx_sse.EventSource(response).iter_sse() if e.data]
    assert [event for event in parse(stream) if event[1]] == theirs


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(1, 7))
def test_any_bytes_in_any_pieces(stream, size):
    assert parse(stream) == parse(*(stream[n : n + size] for n in range(0, len(stream), size)))


def test_many_events_at_once():
    stream = b"".join(b"id: %d\ndata: %s\n\n" % (n, json.dumps({"n": n}).encode()) for n in range(10_000))
    assert [int(event[2]) for event in parse(stream)] == list(range(10_000))
