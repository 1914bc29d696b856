"""HTTP/1.1: heads in any pieces, broken, hostile; and never another reading than that of a parser that many rely on."""

from itertools import pairwise

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kit.core.errors import InputError, Lost
from kit.core.http.chunked import Malformed
from kit.core.http.http1 import Incoming, head_lines, origin_of, parse_head, quoted


def read(pieces, method="GET", ended=False):
    """What comes of the pieces: the status, the headers, the body, whether it is over, whether the connection is
    reusable."""
    incoming, begun, body = Incoming(method), False, b""
    for piece in pieces:
        if not piece:
            continue
        if begun:
            incoming.take(piece)
        else:
            begun = incoming.begin(piece)
        if begun:
            body += b"".join(incoming.parts)
            if incoming.over:
                break
    if ended and begun and not incoming.over:
        incoming.take(b"")
    return (incoming.head.status, incoming.head.headers, body, incoming.over, incoming.reusable) if begun else None


def cut(data, places):
    edges = [0, *sorted({min(place, len(data)) for place in places}), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


ANSWERS = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nx: 1\r\n\r\n",
    b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nA:\t b \r\na: c\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!",
    b"HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 2\r\n\r\nok",
    b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 1\r\n\r\n.",
    b"HTTP/1.1 200 \xc3\xa9\r\nx: \xe9\r\ncontent-length: 1\r\n\r\n.",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
]
KEPT = [True, True, True, True, True, False, False, True, True, True, False]


@pytest.mark.parametrize(("answer", "kept"), list(zip(ANSWERS, KEPT, strict=True)))
@settings(deadline=None)
@given(places=st.lists(st.integers(0, 200), max_size=8))
def test_answers_in_any_pieces(answer, kept, places):
    whole = read([answer], ended=True)
    assert whole[3:] == (True, kept)
    assert read(cut(answer, places), ended=True) == whole
    assert read([bytes([one]) for one in answer], ended=True) == whole


def theirs(data, ended, method="GET"):
    """What h11 makes of it, as `read` tells it, without the last part; "refused" where it takes it for none."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    status, headers, body, over = 0, {}, b"", False
    try:
        client.receive_data(data)
        if ended:
            client.receive_data(b"")
        while True:
            event = client.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                break
            if isinstance(event, h11.Response):
                status = event.status_code
                for name, value in event.headers:
                    headers[name] = headers[name] + b", " + value if name in headers else value
            body += bytes(getattr(event, "data", b""))
            if isinstance(event, h11.EndOfMessage):
                over = True
                break
    except h11.RemoteProtocolError:
        return "refused"
    return (status, headers, body, over) if status else None


def agreed(data, ended=True):
    try:
        ours = read([data], ended=ended)
    except (Malformed, Lost):
        return  # more may be refused here than there
    others = theirs(data, ended)
    if ours is None:
        assert others in (None, "refused"), others
        return
    if others == "refused":
        # It refuses more of what stands in values and reasons; where a body ends is never read in two ways.
        return
    assert (ours[0], ours[2], ours[3]) == (others[0], others[2], others[3])


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_are_read_as_h11_reads_them(answer):
    agreed(answer)
    ours, others = read([answer], ended=True), theirs(answer, True)
    assert others != "refused"
    for name, value in others[1].items():
        found = ours[1][name.decode()]
        assert value in (found.encode(), found.encode("latin-1", "replace"))


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_damaged_answers_are_never_read_otherwise_than_by_h11(data):
    raw = bytearray(data.draw(st.sampled_from(ANSWERS)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b"\r", b"\n", b"\r\n", b"\0", b":", b" ", b"0", b"9", b",", b"a", b"\r\n\r\n"])
        )
    agreed(bytes(raw), data.draw(st.booleans()))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
@example(b"HTTP/1.1 200 OK\r\n\r\n")
def test_any_bytes(data):
    agreed(data)


@pytest.mark.parametrize(
    "head",
    [
        b"220 smtp ready", b"HTTP/2 200 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1  200 OK", b"http/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\nno colon", b"HTTP/1.1 200 OK\r\nspace : x", b"HTTP/1.1 200 OK\r\n: x",
        b"HTTP/1.1 200 OK\r\na: b\nc: d", b"HTTP/1.1 200 OK\r\na: b\rc", b"HTTP/1.1 200 OK\r\na: \0",
        b"HTTP/1.1 200 OK\nlength: 1",
    ],
)  # fmt: skip
def test_what_is_no_head(head):
    with pytest.raises(Malformed):
        parse_head(head)


@pytest.mark.parametrize(
    "headers",
    [
        b"transfer-encoding: chunked\r\ncontent-length: 5", b"content-length: 5\r\ncontent-length: 6",
        b"transfer-encoding: gzip, chunked", b"content-length: -1", b"content-length: 5, 6", b"content-length: +5",
        b"transfer-encoding: chunked\r\ntransfer-encoding: chunked",
    ],
)  # fmt: skip
def test_a_body_whose_end_is_not_clear_is_refused(headers):
    with pytest.raises(Malformed, match="where it ends"):
        read([b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n\r\n"])


def test_what_stands_behind_an_answer_makes_its_connection_useless():
    for answer in ANSWERS[:5]:
        assert read([answer + b"H"])[4] is False, answer
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"
    assert read([head], "HEAD")[2:] == (b"", True, True)
    unread = Incoming("GET")
    assert unread.begin(b"HTTP/1.1 204 No Content\r\n\r\nH")
    assert (unread.over, unread.reusable) == (True, False), "though nobody takes what came"
    assert read([head + b"0123456789"], "HEAD")[2:] == (b"", True, False)


def test_a_switch_to_another_protocol_is_refused():
    with pytest.raises(Malformed, match="another protocol"):
        read([b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"])


def test_a_head_without_end_is_refused_before_it_is_large():
    incoming = Incoming("GET")
    for _ in range(10):
        assert not incoming.begin(b"a: " + b"b" * 10_000)
    with pytest.raises(Malformed, match="too long"):
        incoming.begin(b"a: " + b"b" * 10_000)


@settings(deadline=None)
@given(st.text(max_size=20), st.text(max_size=30))
def test_headers_are_lines_or_are_refused(name, value):
    try:
        lines = head_lines({name: value})
    except InputError:
        return
    assert lines == f"{name}: {value}\r\n".encode()
    assert lines.count(b"\n") == lines.count(b"\r") == 1 and lines.isascii()


def test_a_refused_value_is_not_quoted_back():
    with pytest.raises(InputError, match="line end") as caught:
        head_lines({"authorization": "Bearer key_0123456789\n"})
    assert "key_" not in str(caught.value)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_targets_hold_no_line_end_and_no_space(text):
    found = quoted("/" + text)
    assert found.isascii() and all(" " < char < "\x7f" for char in found)
    assert quoted(found) == found


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://127.0.0.1:80/x", "127.0.0.1"), ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("https://HOST.example", "host.example"), ("https://host:443", "host"), ("https://[::1]:7/", "[::1]:7"),
        ("http://bücher.example", "xn--bcher-kva.example"), ("http://under_score.example:1", "under_score.example:1"),
    ],
)  # fmt: skip
def test_origins(url, name):
    assert origin_of(url).name == name


@pytest.mark.parametrize(
    "url",
    [
        "http://a:0",
        "http://a b",
        "http://a\r\nb",
        "http://a:b",
        "http://a:99999",
        "http://[::1",
        "http://a<b",
        "http://a\x7f",
    ],
)
def test_what_is_no_address(url):
    with pytest.raises(ValueError):
        origin_of(url)
    with pytest.raises(TypeError):
        origin_of(5)
