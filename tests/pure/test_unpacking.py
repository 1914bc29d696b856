"""Packed bodies, piece by piece, with a bound."""

from __future__ import annotations

import gzip
import zlib

import pytest

from kit.core.errors import AnswerError, Lost
from kit.core.http.unpacking import Unpacker

BODY = bytes(range(256)) * 4
PACKED = {"content-encoding": " GZIP "}


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_body_is_the_same_in_any_pieces(step):
    for headers, sent in (({}, BODY), ({"content-encoding": "identity"}, BODY), (PACKED, gzip.compress(BODY))):
        unpacker = Unpacker(headers, len(BODY))
        assert b"".join(unpacker.feed(sent[at : at + step]) for at in range(0, len(sent), step)) == BODY
        unpacker.finish()
        assert unpacker.total == len(BODY)


@pytest.mark.parametrize(("headers", "sent"), [({}, BODY), (PACKED, gzip.compress(BODY))])
def test_a_body_may_be_as_long_as_the_limit_and_no_longer(headers, sent):
    assert Unpacker(headers, len(BODY)).feed(sent) == BODY
    with pytest.raises(AnswerError, match="larger than the limit of 1,023 bytes"):
        Unpacker(headers, len(BODY) - 1).feed(sent)
    unpacker = Unpacker({}, 10)
    assert unpacker.feed(b"x" * 10) == b"x" * 10 and unpacker.feed(b"") == b""
    with pytest.raises(AnswerError, match="larger"):
        unpacker.feed(b"x")


@pytest.mark.parametrize("step", [1, 10, 10_000])
def test_what_is_packed_a_thousandfold_is_never_unpacked_past_the_limit(step):
    unpacker, packed = Unpacker(PACKED, 5000), gzip.compress(bytes(10**7))
    with pytest.raises(AnswerError, match="larger"):
        b"".join(unpacker.feed(packed[at : at + step]) for at in range(0, len(packed), step))
    assert unpacker.total == 5001


def test_a_told_length_is_believed_before_anything_comes():
    assert Unpacker({"content-length": "10"}, 10).feed(b"") == b""
    with pytest.raises(AnswerError, match="larger"):
        Unpacker({"content-length": "11"}, 10)
    Unpacker({"content-length": "-11"}, 10)
    Unpacker({"content-length": "x"}, 10)


def test_what_is_broken_or_was_not_asked_for():
    with pytest.raises(AnswerError, match="'br'"):
        Unpacker({"content-encoding": "br"}, 10)
    with pytest.raises(AnswerError, match="damaged"):
        Unpacker(PACKED, 10).feed(b"no gzip at all")
    with pytest.raises(AnswerError, match="damaged"):
        Unpacker(PACKED, len(BODY)).feed(zlib.compress(BODY))  # packed the same way, but not in the form of gzip
    unpacker = Unpacker(PACKED, 10_000)
    unpacker.feed(gzip.compress(BODY)[:-1])
    with pytest.raises(Lost, match="ends too early"):
        unpacker.finish()
    Unpacker(PACKED, 10).finish()
    plain = Unpacker({"content-encoding": ""}, 10)
    plain.feed(b"x")
    plain.finish()


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_packed_data_may_have_several_members(step):
    sent = gzip.compress(BODY) + gzip.compress(b"") + gzip.compress(b"end")
    unpacker = Unpacker(PACKED, len(BODY) + 3)
    assert b"".join(unpacker.feed(sent[at : at + step]) for at in range(0, len(sent), step)) == BODY + b"end"
    unpacker.finish()
    with pytest.raises(AnswerError, match="larger"):
        b"".join(map(Unpacker(PACKED, len(BODY) + 2).feed, [sent[:50], sent[50:]]))
    with pytest.raises(AnswerError, match="damaged"):
        b"".join(map(Unpacker(PACKED, 10_000).feed, [sent, b"and more that is not packed"]))


@pytest.mark.parametrize("length", ["\N{SUPERSCRIPT TWO}", "9" * 5000, "-1", "five", ""])
def test_a_length_that_is_none_is_left_to_who_reads_the_body(length):
    unpacker = Unpacker({"content-length": length}, 10)
    assert unpacker.feed(b"ok") == b"ok"


def test_packed_data_that_ends_in_its_head_is_cut_too():
    unpacker = Unpacker(PACKED, 10_000)
    assert unpacker.feed(gzip.compress(BODY)[:10]) == b""
    with pytest.raises(Lost, match="too early"):
        unpacker.finish()
    Unpacker(PACKED, 10).finish()  # no body at all, as of HEAD
