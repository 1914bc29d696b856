"""Every answer that is a refusal becomes the right exception, which says what to do and whether to try again."""

import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.core.errors import AnswerError, InputError, KitError, Lost, Silent, TransportError, Unreachable
from kit.s2 import (
    AppendConditionError,
    FencingTokenMismatchError,
    ReadUnwrittenError,
    S2ClientError,
    S2Error,
    S2ServerError,
    SeqNumMismatchError,
    StreamPosition,
)
from kit.s2.errors import (
    CODES,
    CutOff,
    S2InputError,
    WireError,
    as_client_error,
    no_side_effects,
    retryable,
)
from kit.s2.wire.json_messages import error_json, error_of

# code: status, retryable, proves that nothing was written
TABLE = {
    "access_token_not_found": (404, False, True),
    "authn": (401, False, True),
    "bad_frame": (400, False, True),
    "bad_header": (400, False, True),
    "bad_json": (400, False, True),
    "bad_path": (400, False, True),
    "bad_proto": (400, False, True),
    "bad_query": (400, False, True),
    "basin_deletion_pending": (409, False, True),
    "basin_not_found": (404, False, True),
    "client_hangup": (499, False, False),
    "decryption_failed": (400, False, True),
    "hot_server": (502, True, True),
    "invalid": (422, False, True),
    "not_implemented": (501, False, True),
    "other": (500, True, False),
    "permission_denied": (403, False, True),
    "quota_exhausted": (403, False, True),
    "rate_limited": (429, True, True),
    "request_timeout": (408, True, False),
    "resource_already_exists": (409, False, True),
    "server_draining": (503, True, True),
    "storage": (500, True, False),
    "stream_deletion_pending": (409, False, True),
    "stream_not_found": (404, False, True),
    "transaction_conflict": (409, True, True),
    "unavailable": (503, True, False),
    "upstream_timeout": (504, True, False),
}


def test_the_tree():
    assert issubclass(S2Error, KitError)
    assert issubclass(S2ClientError, S2Error) and issubclass(S2ServerError, S2Error)
    assert issubclass(AppendConditionError, S2ServerError) and issubclass(ReadUnwrittenError, S2ServerError)
    assert issubclass(FencingTokenMismatchError, AppendConditionError)
    assert issubclass(SeqNumMismatchError, AppendConditionError)
    assert issubclass(S2InputError, S2ClientError) and issubclass(S2InputError, InputError)
    assert issubclass(WireError, S2ClientError) and issubclass(WireError, AnswerError)
    assert issubclass(CutOff, S2ClientError) and issubclass(CutOff, Lost)
    assert set(CODES) == set(TABLE)


@pytest.mark.parametrize("code", TABLE)
def test_codes(code):
    status, again, nothing_written = TABLE[code]
    error = error_of(status, json.dumps({"code": code, "message": "because"}).encode())
    assert type(error) is S2ServerError
    assert (error.code, error.message, error.status_code, error.status) == (code, "because", status, status)
    assert CODES[code].status == status
    assert retryable(error) is again
    assert no_side_effects(error) is nothing_written


@pytest.mark.parametrize(
    ("status", "again"),
    [(400, False), (404, False), (408, True), (409, False), (429, True), (500, True), (501, False), (502, True),
     (503, True), (504, True), (505, False), (200, False)],
)  # fmt: skip
def test_codes_that_are_not_known(status, again):
    for body in (b'{"code":"new_one","message":"m"}', b"<html>", b"", b"\xff\xfe"):
        error = error_of(status, body)
        assert retryable(error) is again
        assert not no_side_effects(error)


def test_failed_conditions():
    fenced = error_of(412, b'{"fencing_token_mismatch":"other"}')
    assert type(fenced) is FencingTokenMismatchError
    assert (fenced.expected_fencing_token, fenced.code, fenced.status_code) == ("other", "unknown", 412)
    moved = error_of(412, b'{"seq_num_mismatch":0}')
    assert type(moved) is SeqNumMismatchError
    assert moved.expected_seq_num == 0
    assert error_of(412, b'{"fencing_token_mismatch":""}').expected_fencing_token == ""
    for body in (b"{}", b'{"seq_num_mismatch":"7"}', b'{"seq_num_mismatch":true}', b"[]", b"", b'{"code":5}'):
        assert type(error_of(412, body)) is AppendConditionError
    for error in (fenced, moved):
        assert not retryable(error) and not no_side_effects(error)


def test_reads_past_the_tail():
    error = error_of(416, b'{"tail":{"seq_num":18446744073709551615,"timestamp":0}}')
    assert type(error) is ReadUnwrittenError
    assert error.tail == StreamPosition(2**64 - 1, 0)
    assert "wait=" in str(error)
    for body in (b"{}", b'{"tail":null}', b'{"tail":{"seq_num":-1,"timestamp":0}}', b"nginx", b'{"tail":[]}'):
        assert type(error_of(416, body)) is S2ServerError


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"<html>bad gateway</html>", "unknown", "<html>bad gateway</html>"),
        (b"", "unknown", "HTTP 502"),
        (b"   ", "unknown", "HTTP 502"),
        (b"x" * 10_000, "unknown", "x" * 500),
        (b"[" * 100_000, "unknown", "[" * 500),
        (b'{"code":""}', "unknown", '{"code":""}'),
        (b'{"code":"hot_server","message":5}', "hot_server", ""),
        (b'"text"', "unknown", '"text"'),
        (bytearray(b'{"code":"a","message":"b"}'), "a", "b"),
    ],
)
def test_bodies_that_are_no_error_of_the_service(body, code, message):
    error = error_of(502, body)
    assert (error.code, error.message) == (code, message)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 999), st.binary(max_size=200))
def test_any_body_is_some_error(status, body):
    assert isinstance(error_of(status, body), S2ServerError)


def test_messages_say_what_failed_where_and_what_to_do():
    error = error_of(404, b'{"code":"stream_not_found","message":"stream not found"}')
    assert str(error).startswith("[404 stream_not_found] stream not found\n  look it up with list_streams()")
    error.op, error.resource = "append to", "orders/2026"
    assert str(error).startswith("append to orders/2026: [404 stream_not_found] stream not found")


@pytest.mark.parametrize(
    "error",
    [
        S2ServerError("invalid", "m", 422),
        FencingTokenMismatchError("unknown", "m", 412, "t"),
        SeqNumMismatchError("unknown", "m", 412, 7),
        ReadUnwrittenError("unknown", "m", 416, StreamPosition(1, 2)),
        S2ClientError("m", hint="h", op="read"),
        S2InputError("m", hint="h"),
        WireError("m"),
    ],
)
def test_errors_travel_between_processes(error):
    error.resource = "there"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_errors_become_the_body_that_tells_them():
    for error in (
        S2ServerError("invalid", 'too "much" ☂', 422),
        FencingTokenMismatchError("unknown", "", 412, "é"),
        SeqNumMismatchError("unknown", "", 412, 2**64 - 1),
        ReadUnwrittenError("unknown", "", 416, StreamPosition(3, 4)),
    ):
        told = error_of(error.status_code, error_json(error))
        assert type(told) is type(error)
        assert told._arguments()[3:] == error._arguments()[3:]
    assert error_json(SeqNumMismatchError("unknown", "", 412, 7)) == b'{"seq_num_mismatch":7}'


def test_failures_of_the_transport():
    for kind, nothing_sent in ((Unreachable, True), (Lost, False), (Silent, False), (CutOff, False)):
        failure = kind("no answer", hint="look", op="append", resource="/v1")
        assert retryable(failure)
        assert no_side_effects(failure) is nothing_sent
        told = as_client_error(failure)
        assert isinstance(told, S2ClientError)
        assert (str(told), told.op, told.resource) == ("no answer\n  look", "append", "/v1")
        assert retryable(told) and no_side_effects(told) is nothing_sent
        if kind is not CutOff:
            assert type(told) is S2ClientError and told.__cause__ is failure and not isinstance(told, TransportError)


def test_other_failures_of_this_side():
    assert type(as_client_error(InputError("wrong"))) is S2InputError
    assert type(as_client_error(AnswerError("odd"))) is S2ClientError
    server = S2ServerError("invalid", "m", 422)
    assert as_client_error(server) is server
    for error in (S2InputError("m"), WireError("m"), S2ClientError("m"), ValueError(), None):
        assert not retryable(error) and not no_side_effects(error)
