"""Kimberlite's values and errors, as tables."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone
from enum import EnumType

import pandas as pd
import pytest

import kit
from kit.core.errors import AnswerError, InputError, TransportError
from kit.kimberlite import errors
from kit.kimberlite.errors import CODES, KimberliteError, ServerError, server_error
from kit.kimberlite.types import MAX_U32, MAX_U64, Position, StreamId, TenantId, Timestamp
from kit.kimberlite.wire.protocol import enums


def test_ids_and_positions():
    assert TenantId(1).value == 1 and int(Position(1000)) == 1000
    stream = StreamId(tenant_id=1, stream_number=7)
    assert (stream.tenant_id, stream.stream_number, stream.to_u64()) == (1, 7, 4294967303)
    assert StreamId.from_u64(4294967303) == stream and hash(StreamId(1, 7)) == hash(stream)
    assert StreamId(MAX_U32, MAX_U32).to_u64() == MAX_U64
    assert StreamId(TenantId(1), 7) == stream
    assert sorted([Position(3), Position(1)]) == [Position(1), Position(3)]
    assert StreamId(1, 9) < StreamId(2, 1) and TenantId(1) <= TenantId(1)
    assert repr(stream) == "StreamId(tenant_id=1, stream_number=7)"
    assert list(range(5))[Position(2)] == 2
    with pytest.raises(AttributeError):
        stream.tenant_id = 2
    with pytest.raises(TypeError):
        _ = Position(1) < TenantId(2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TenantId(-1), "from 0 to 4294967295, not -1"),
        (lambda: TenantId(2**32), "a tenant's id must be from 0"),
        (lambda: TenantId("1"), "a whole number, not '1'"),
        (lambda: TenantId(True), "whole number"),
        (lambda: TenantId(1.0), "whole number"),
        (lambda: StreamId(1, 2**32), "a stream's number"),
        (lambda: StreamId.from_u64(2**64), "packed"),
        (lambda: Position(-1), "a position"),
        (lambda: Timestamp(2**63), "64 bits"),
        (lambda: Timestamp(True), "64 bits"),
        (lambda: Timestamp.of(datetime(2020, 1, 1)), "no time zone"),
    ],
)
def test_values_out_of_range(make, words):
    with pytest.raises(ValueError, match=words) as raised:
        make()
    assert isinstance(raised.value, KimberliteError) and isinstance(raised.value, InputError)


def test_timestamps():
    time = datetime(2021, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    assert Timestamp.of(time) == Timestamp(1609459200000001000)
    assert Timestamp.of(time).datetime() == time
    assert Timestamp.of(time.astimezone(timezone(timedelta(hours=5)))).datetime() == time
    assert Timestamp.of(pd.Timestamp(1609459200000000123, tz="UTC")).nanoseconds == 1609459200000000123
    assert Timestamp(-1).datetime() < datetime(1970, 1, 1, tzinfo=UTC) and Timestamp(1) < Timestamp(2)


def test_the_tree_of_errors():
    for name, kinds in {
        "UnauthorizedError": (ServerError, KimberliteError, kit.KitError),
        "NetworkError": (KimberliteError, TransportError, ConnectionError),
        "TimeoutError": (KimberliteError, TransportError, TimeoutError),
        "WireError": (errors.NetworkError, AnswerError),
        "KimberliteInputError": (KimberliteError, InputError, ValueError),
    }.items():
        assert issubclass(getattr(errors, name), kinds)
    assert not issubclass(errors.UnauthorizedError, errors.NetworkError)


@pytest.mark.parametrize("code", CODES)
def test_every_code(code):
    error = server_error(code, "words", 7)
    assert (error.code, error.message, error.request_id, error.service) == (code, "words", 7, "kimberlite")
    assert error.code_name == CODES[code].name and f"[{code} {CODES[code].name}] words" in str(error)
    assert error.is_retryable() == (code in (13, 14, 15))


def test_codes_that_are_newer_than_this_package():
    error = server_error(99, "what")
    assert isinstance(error, errors.InternalError) and str(error) == "[99 unknown code] what"


def test_what_messages_hold():
    mismatch = server_error(16, "offset mismatch for stream 4294967303: expected 5, actual 12")
    assert (mismatch.expected, mismatch.actual) == (5, 12)
    ahead = server_error(9, "position 9 is ahead of current log position 7")
    assert ahead.current == 7
    assert server_error(15, "not leader, leader hint: 10.0.0.1:5432").leader == "10.0.0.1:5432"
    syntax = server_error(7, "sql parser error: Expected x, found: y at Line: 2, Column: 13")
    assert (syntax.line, syntax.column) == (2, 13)
    for code in (7, 9, 15, 16):
        bare = server_error(code, "")
        found = [getattr(bare, name, None) for name in ("line", "column", "current", "leader", "expected", "actual")]
        assert set(found) == {None}


def test_where_it_happened():
    error = server_error(5, "stream 7 not found")
    error.op, error.resource = "append", "stream 7"
    assert str(error).startswith("append stream 7: [5 StreamNotFound] stream 7 not found\n")


def test_errors_can_be_copied():
    error = server_error(16, "expected 1, actual 2", 9)
    error.op = "append"
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(other), str(other), other.request_id, other.op) == (type(error), str(error), 9, "append")


def test_retryable():
    assert errors.NetworkError("gone").is_retryable() and errors.TimeoutError("late").is_retryable()
    assert not errors.KimberliteInputError("wrong").is_retryable()
    assert errors.NetworkError("gone").maybe_received
    assert not errors.NetworkError("refused", maybe_received=False).maybe_received


@pytest.mark.parametrize("kind", [kind for kind in vars(enums).values() if isinstance(kind, EnumType) and len(kind)])
def test_members_of_enums_are_counted_from_zero(kind):
    """Postcard writes the place of a member, so numbers have no gaps and none stands twice."""
    assert [member.value for member in kind] == list(range(len(kind.__members__)))
