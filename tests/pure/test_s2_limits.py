"""What cannot be is refused before anything is sent, with the limit and the value."""

import base64
from array import array
from datetime import timedelta
from enum import IntEnum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.core.errors import InputError
from kit.core.secrets import Secret, fit
from kit.s2 import (
    AppendInput,
    Batching,
    Endpoints,
    ReadLimit,
    Record,
    Retry,
    S2ClientError,
    S2Error,
    Timeout,
    checks,
    limits,
)
from kit.s2.errors import S2InputError


def refused(message: str):
    return pytest.raises(S2ClientError, match=message)


@pytest.mark.parametrize("name", ["abcdefgh", "12345678", "a" * 48, "a-b-c-d-e", "a--------b"])
def test_basin_names(name):
    assert limits.check_basin_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "abcdefg",
        "a" * 49,
        "-bcdefgh",
        "abcdefg-",
        "Abcdefgh",
        "abcdefgh\n",
        "abcd.fgh",
        "abcdéfgh",
        "abcd efgh",
        None,
        5,
        b"abcdefgh",
    ],
)
def test_names_that_no_basin_has(name):
    with refused("8 to 48 lowercase") as caught:
        limits.check_basin_name(name)
    assert repr(name) in str(caught.value)
    assert isinstance(caught.value, InputError)


@pytest.mark.parametrize(("check", "limit"), [(limits.check_stream_name, 512), (limits.check_token_id, 96)])
def test_names_counted_in_bytes(check, limit):
    for name in ("a", "a/b c%2F", "é" * (limit // 2), "x" * limit, "...", "\n", "a\x01"):
        assert check(name) == name
    for name in ("", "x" * (limit + 1), "é" * (limit // 2 + 1)):
        with refused(f"1 to {limit} bytes of UTF-8; .* has {len(name.encode())}"):
            check(name)
    for name in (".", "..", "a\0b"):
        with refused("cannot be"):
            check(name)
    for name in (None, 5, b"a"):
        with refused("must be text"):
            check(name)
    with refused("UTF-8 can encode"):
        check("\ud800")


def test_locations():
    for name in ("aws:us-east-1", "a" * 64, "A.b-9"):
        assert limits.check_location(name) == name
    for name in ("", "a" * 65, "aws us", "aws\n", "é", None):
        with refused("1 to 64 ASCII"):
            limits.check_location(name)


def test_appends():
    assert checks.check_input(AppendInput([Record(b"x" * 92)] * 1000)) == 100_000
    assert checks.check_input(AppendInput([Record(b"x" * (1024 * 1024 - 8))])) == 1024 * 1024
    with refused("1 to 1000 records, not 0"):
        checks.check_input(AppendInput([]))
    with refused("1 to 1000 records, not 1001"):
        checks.check_input(AppendInput([Record(b"")] * 1001))
    with refused("1,048,576 metered bytes, not 1,048,577"):
        checks.check_input(AppendInput([Record(b"x" * (1024 * 1024 - 7))]))
    with refused("1,048,576 metered bytes, not 1,048,580"):
        checks.check_input(AppendInput([Record(b"x" * (1024 * 1024 - 8), [(b"a", b"b")])]))
    with refused("match_seq_num must be 0 to 18446744073709551615, not -1"):
        checks.check_input(AppendInput([Record(b"")], match_seq_num=-1))
    with refused("at most 36 bytes"):
        checks.check_input(AppendInput([Record(b"")], fencing_token="x" * 37))
    with refused("timestamp of a record must be 0 to 18446744073709551615, not 18446744073709551616"):
        checks.check_input(AppendInput([Record(b"", timestamp=2**64)]))
    with refused("timestamp of a record must be an int, not float"):
        checks.check_input(AppendInput([Record(b"", timestamp=1.5)]))


@pytest.mark.parametrize(
    ("append", "message"),
    [
        ([Record(b"x")], "must be an AppendInput, not list"),
        (AppendInput(record for record in [Record(b"x")]), "must be a list, not generator\n  append_inputs"),
        (AppendInput(None), "must be a list, not NoneType"),
        (AppendInput([Record(b"x"), b"y"]), "record 1 must be a Record, not bytes"),
        # Their lengths are not those of the bytes that would be sent.
        (AppendInput([Record(memoryview(array("i", [1, 2])))]), "body of record 0 must be bytes, not memoryview"),
        (AppendInput([Record(np.array([1.0]))]), "body of record 0 must be bytes, not ndarray"),
        (AppendInput([Record(memoryview(b"abcd")[::2])]), "body of record 0 must be bytes, not memoryview"),
        (AppendInput([Record(b"x", [(b"a", memoryview(array("i", [1])))])]), "pairs of bytes"),
        (AppendInput([Record(b"x", [("", b"")])]), "pairs of bytes"),
    ],
)
def test_what_is_no_append(append, message):
    with refused(message):
        checks.check_input(append)


def test_bytes_of_any_kind_can_be_appended():
    for body in (b"ab", bytearray(b"ab"), memoryview(b"ab"), np.array([97, 98], np.uint8)):
        assert checks.check_input(AppendInput([Record(body, [(body, body)])])) == 16


class Number(IntEnum):
    FIVE = 5


def test_whole_numbers_of_any_kind():
    for number in (5, np.int64(5), np.uint64(5), Number.FIVE):
        assert limits.check_u64("n", number) == 5
    assert limits.check_u64("n", np.uint64(2**64 - 1)) == 2**64 - 1
    for number in (True, 5.0, "5", None):
        with refused("n must be an int"):
            limits.check_u64("n", number)
    with refused("n must be 0 to 18446744073709551615, not -5"):
        limits.check_u64("n", np.int64(-5))


@pytest.mark.parametrize(
    ("batching", "message"),
    [
        (Batching(max_records=0), "max_records must be 1 to 1000, not 0"),
        (Batching(max_records=1001), "max_records must be 1 to 1000, not 1001"),
        (Batching(max_bytes=7), "max_bytes must be 8 to 1048576, not 7"),
        (Batching(max_bytes=1048577), "max_bytes must be 8 to 1048576, not 1048577"),
        (Batching(linger=timedelta(milliseconds=-1)), "linger must not be negative; it is -0.001 s"),
        (Batching(linger=5), "linger must be a timedelta, not int"),
        (5, "batching must be kit.s2.Batching, not 5"),
    ],
)
def test_batching(batching, message):
    with refused(message):
        checks.check_batching(batching)
    assert checks.check_batching(Batching(1, 8, timedelta())) == Batching(1, 8, timedelta())


@pytest.mark.parametrize(
    ("retry", "message"),
    [
        (Retry(max_attempts=0), "max_attempts.* must be 1 to"),
        (Retry(min_base_delay=timedelta(seconds=-1)), "min_base_delay must not be negative"),
        (Retry(max_base_delay=None), "max_base_delay must be a timedelta"),
        # A text would be neither of the two policies, and so the other one.
        (Retry(append_retry_policy="all"), "append_retry_policy must be kit.s2.AppendRetryPolicy, not 'all'\n  .*ALL"),
        (5, "retry must be kit.s2.Retry, not 5"),
    ],
)
def test_retry(retry, message):
    with refused(message):
        checks.check_retry(retry)
    assert checks.check_retry(Retry(max_attempts=1)) == Retry(max_attempts=1)


@pytest.mark.parametrize(
    ("timeout", "message"),
    [
        (5, "timeout must be kit.s2.Timeout, not 5"),
        (Timeout(request=5), "Timeout.request must be a timedelta, not int"),
        (Timeout(request=timedelta()), "Timeout.request must be more than 0"),
        (Timeout(connection=timedelta(-1)), "Timeout.connection must not be negative"),
        (Timeout(connection=timedelta.max), "Timeout.connection must be .* at most 24 days"),
    ],
)
def test_timeouts(timeout, message):
    with refused(message):
        checks.check_timeout(timeout)
    longest = Timeout(timedelta(days=24), timedelta(microseconds=1))
    assert checks.check_timeout(longest) is longest


def test_bounds_of_sessions_and_reads():
    with refused("limit must be kit.s2.ReadLimit, not 5"):
        checks.check_read(5, None, None)
    limits.check_unacked(1024 * 1024, None)
    limits.check_unacked(5 * 1024 * 1024, 1)
    with refused("max_unacked_bytes must be 1048576 to 18446744073709551615, not 1048575"):
        limits.check_unacked(1048575, None)
    with refused("max_unacked_batches must be 1 to 18446744073709551615, not 0"):
        limits.check_unacked(1048576, 0)
    checks.check_read(None, None, None)
    checks.check_read(ReadLimit(0, 2**64 - 1), 0, 0)
    for limit, until, wait in (
        (ReadLimit(-1), None, None),
        (ReadLimit(bytes=2**64), None, None),
        (None, -1, None),
        (None, None, 2**32),
    ):
        with refused("must be 0 to"):
            checks.check_read(limit, until, wait)


def test_encryption_keys():
    key = bytes(range(32))
    told = base64.b64encode(key).decode()
    for given_key in (key, bytearray(key), told, f" {told}\n", Secret(told)):
        secret = limits.encryption_key(given_key)
        assert isinstance(secret, Secret)
        assert secret.reveal() == told
    assert limits.encryption_key(None) is None


@pytest.mark.parametrize("key", [b"", b"x" * 31, b"x" * 33, base64.b64encode(b"SECRETSECRET").decode(), ""])
def test_keys_of_another_size(key):
    with refused("has 32 bytes; this one has") as caught:
        fit(limits.encryption_key(key), S2InputError)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("key", ["SECRET!!" * 4, "SECRÉT", "abc", "SECRETab=c"])
def test_keys_that_are_no_base64(key):
    with refused("must be base64") as caught:
        fit(limits.encryption_key(key), S2InputError)
    assert "SECR" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__context__ is None


# --- endpoints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_url", "origin"),
    [
        ("https://a.s2.dev", "https://a.s2.dev"),
        ("a.s2.dev", "https://a.s2.dev"),
        ("a.s2.dev:443", "https://a.s2.dev"),
        ("https://a.s2.dev/", "https://a.s2.dev"),
        (" https://a.s2.dev:8443 ", "https://a.s2.dev:8443"),
        ("HTTPS://a.s2.dev", "https://a.s2.dev"),
        ("localhost:80", "https://localhost:80"),
        ("https://[::1]:9", "https://[::1]:9"),
        ("https://[::1]", "https://[::1]"),
    ],
)
def test_addresses(given_url, origin):
    endpoints = Endpoints(given_url, given_url)
    assert (endpoints.account, endpoints.basin) == (origin, origin)
    assert endpoints.is_direct
    assert endpoints.basin_headers("my-basin") == {"s2-basin": "my-basin"}


def test_plain_http_keeps_its_port_where_it_is_another():
    assert Endpoints("http://localhost:80", "http://127.0.0.1:8080").account == "http://localhost"
    assert Endpoints("http://localhost:80", "http://127.0.0.1:8080").basin == "http://127.0.0.1:8080"


def test_the_cloud_has_a_host_for_each_basin():
    endpoints = Endpoints.default()
    assert (endpoints.account, endpoints.basin) == ("https://a.s2.dev", "https://{basin}.b.s2.dev")
    assert endpoints.basin_url("my-basin") == "https://my-basin.b.s2.dev"
    assert endpoints.basin_headers("my-basin") == {}
    assert Endpoints("https://x", "{basin}.y:99").basin_url("my-basin") == "https://my-basin.y:99"
    assert endpoints == Endpoints.default() and hash(endpoints) == hash(Endpoints.default())
    assert endpoints != Endpoints("https://x", "https://y")
    assert "a.s2.dev" in repr(endpoints)


@pytest.mark.parametrize(
    "url",
    ["", "ftp://x", "https://", "https://x/v1", "https://x?a=b", "https://x?", "https://x#f", "https://x:99999",
     "https://x:port", "https://x y", "https://x\ny", "http//x", "https://[::1", "::1", "https://ex{a}mple", None, 5,
     "https://x\u2100"],
)  # fmt: skip
def test_what_is_no_address(url):
    for pair in ((url, "https://x"), ("https://x", url)):
        with pytest.raises(S2Error) as caught:
            Endpoints(*pair)
        assert isinstance(caught.value, S2ClientError)


def test_addresses_must_agree():
    with refused("both must be https, or both http"):
        Endpoints("http://localhost", "localhost")
    with refused("only the basin endpoint"):
        Endpoints("https://{basin}.a", "https://{basin}.b")
    for url in ("https://me:PASSWORD@x", "https://PASSWORD@x", "https://:PASSWORD@x"):
        with refused("user or password") as caught:
            Endpoints(url, "https://x")
        assert "PASSWORD" not in str(caught.value)


def test_addresses_from_the_environment(monkeypatch):
    monkeypatch.delenv("S2_ACCOUNT_ENDPOINT", raising=False)
    monkeypatch.setenv("S2_BASIN_ENDPOINT", "http://localhost:2")
    with refused("S2_ACCOUNT_ENDPOINT not set") as caught:
        Endpoints.from_env()
    assert "S2_BASIN_ENDPOINT" not in str(caught.value)
    monkeypatch.setenv("S2_ACCOUNT_ENDPOINT", "http://localhost:1")
    assert Endpoints.from_env() == Endpoints("http://localhost:1", "http://localhost:2")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text):
    try:
        endpoints = Endpoints(f"https://{text}", "https://x")
    except S2ClientError:
        return
    host = endpoints.account.removeprefix("https://")
    assert host.isascii() and not set(host) & set("/?#@ \t\r\n\\")
