"""The framing of bodies: whole, in any pieces, broken, hostile; and the same as another parser's."""

from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.core.http.chunked import Chunked, Malformed, Sized, framing_of


def fed(framing, data, cuts=()):
    edges = [0, *sorted({min(cut, len(data)) for cut in cuts}), len(data)]
    return b"".join(b"".join(framing.feed(data[a:b])) for a, b in pairwise(edges))


def chunked(parts, extension=b"", trailer=b""):
    return b"".join(b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts) + b"0\r\n" + trailer + b"\r\n"


@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=8),
    st.sampled_from([b"", b";a=b", b" ; x"]),
    st.sampled_from([b"", b"x-sum: 1\r\n", b"a: b\r\nc: d\r\n"]),
    st.lists(st.integers(0, 3000), max_size=12),
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n"]),
)
def test_bodies_in_any_pieces(parts, extension, trailer, cuts, behind):
    framing = Chunked()
    data = chunked(parts, extension, trailer) + behind
    assert fed(framing, data, cuts) == b"".join(parts)
    assert framing.over and framing.rest == behind


@given(st.binary(max_size=100), st.lists(st.integers(0, 100), max_size=5), st.binary(max_size=20))
def test_bodies_of_a_told_length(body, cuts, behind):
    framing = Sized(len(body))
    assert fed(framing, body + behind, cuts) == body
    assert framing.over and framing.rest == behind


def others(data):
    """What h11 makes of it: the body, or None."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + data)
    body = b""
    try:
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                return body, False
            body += bytes(getattr(event, "data", b""))
    except h11.RemoteProtocolError:
        return None
    return body, True


@given(st.data())
def test_damaged_bodies_are_never_taken_for_more_than_another_parser_takes_them(data):
    raw = bytearray(chunked(data.draw(st.lists(st.binary(min_size=1, max_size=40), max_size=4))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + 1] = data.draw(st.binary(max_size=2))
        if not raw:
            return
    framing = Chunked()
    try:
        body = fed(framing, bytes(raw))
    except Malformed:
        return
    theirs = others(bytes(raw))
    if theirs is not None and theirs[1]:
        assert framing.over and body == theirs[0]
    elif theirs is not None:
        assert not framing.over


@pytest.mark.parametrize(
    "data",
    [
        b"zz\r\n", b"\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b"1_0\r\n", b"11111111111111111\r\n", b"5\nhello",
        b"3\r\nabcd\r\n", b"3\r\nabc\n", b"5" + b";" * 5000, b"0\r\n" + b"a: " + b"b" * 5000,
        b"0\r\n" + (b"a: " + b"b" * 1000 + b"\r\n") * 100,
    ],
    ids=range(13),
)  # fmt: skip
def test_what_is_no_framing(data):
    with pytest.raises(Malformed):
        fed(Chunked(), data)


def test_an_announced_length_is_not_allocated():
    framing = Chunked()
    assert fed(framing, b"ffffffffffffff\r\nabc") == b"abc"
    assert not framing.over


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"transfer-encoding": "chunked"}, Chunked), ({"transfer-encoding": "Chunked "}, Chunked),
        ({"content-length": "5"}, Sized), ({}, None), ({"transfer-encoding": "gzip, chunked"}, None),
        ({"transfer-encoding": "chunked", "content-length": "5"}, None), ({"content-length": "5, 5"}, None),
        ({"content-length": "-5"}, None), ({"content-length": "²"}, None), ({"content-length": "9" * 30}, None),
        ({"content-length": "9" * 18}, Sized), ({"content-length": "9" * 19}, None),
    ],
)  # fmt: skip
def test_which_framing(headers, kind):
    found = framing_of(headers)
    assert found is None if kind is None else isinstance(found, kind)
