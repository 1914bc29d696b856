"""The service's JSON: every envelope, every error shape, both paging styles, signatures."""

import hashlib
import hmac
import json
import time

import pytest

from kit.amdahl import AmdahlError, verify_webhook_signature, with_retry
from kit.amdahl.client import paging
from kit.amdahl.client.client import settings_of
from kit.amdahl.client.http_session import Answer
from kit.amdahl.wire import json_messages as wire
from kit.core.environment import Environment
from kit.core.errors import AnswerError, InputError, SetupError
from kit.core.http.operations import Emit, Request, Response, Stream, asked_pause


def answer(payload, status=200, **headers):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Response(status, headers, body)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"a": 1}, {"a": 1}),
        ({"data": {"a": 1}}, {"a": 1}),
        ({"data": [1, 2]}, [1, 2]),
        ({"data": None}, None),
        ({"data": {"a": 1}, "next": 2}, {"data": {"a": 1}, "next": 2}),
        ({"data": {"success": False}}, {"success": False}),
        ({"success": False, "error": None}, {"success": False, "error": None}),
        ([1], [1]),
        ("text", "text"),
        (b"", None),
    ],
)
def test_success(payload, expected):
    assert wire.judge(answer(payload)) == expected


@pytest.mark.parametrize(
    ("status", "payload", "code", "message"),
    [
        (404, {"error": {"code": "not_found", "message": "gone", "details": {}}}, "not_found", "gone"),
        (404, {"data": {"error": {"code": "not_found", "message": "gone"}}}, "not_found", "gone"),
        (400, {"error": "invalid_argument", "message": "no task"}, "invalid_argument", "no task"),
        (400, {"error": "The task is empty", "code": "invalid_argument"}, "invalid_argument", "The task is empty"),
        (400, {"error": "bad thing", "message": "why"}, "bad thing", "why"),
        (400, {"error": "oops"}, "oops", "HTTP 400"),
        (409, {"code": "conflict", "message": "busy"}, "conflict", "busy"),
        (500, b"<html>oops</html>", "unknown", "<html>oops</html>"),
        (502, b"x" * 1000, "unknown", "x" * 200),
        (503, b"", "unknown", "HTTP 503"),
        (500, [1, 2], "unknown", "HTTP 500"),
        (500, {"error": {"code": 5, "message": None}}, "unknown", "HTTP 500"),
        (500, {"error": {"code": "c", "message": ["m"]}}, "c", "HTTP 500"),
        (500, {"error": {"code": "", "message": ""}}, "unknown", "HTTP 500"),
        (500, {"error": None}, "unknown", "HTTP 500"),
        (200, {"data": {"success": False, "error": {"code": "internal", "message": "no"}}}, "internal", "no"),
        (200, {"success": False, "error": {"code": "internal", "message": "no"}}, "internal", "no"),
        (200, b"<html>It works!</html>", "unknown", "the answer is not JSON: '<html>It works!</html>'"),
        (200, b"[" * 100_000, "unknown", None),
    ],
)
def test_refusals(status, payload, code, message):
    with pytest.raises(AmdahlError) as caught:
        wire.judge(answer(payload, status))
    error = caught.value
    assert (error.status, error.code) == (status, code)
    assert message is None or error.message == message
    assert str(error).startswith(f"[{status} {code}] ")


def test_the_whole_body_is_kept_whatever_it_is():
    for body in ([1], "text", {"error": {"code": "c", "message": "m"}, "extra": 1}):
        with pytest.raises(AmdahlError) as caught:
            wire.judge(answer(body, 500))
        assert caught.value.body == body


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"retry-after": "3"}, {"retry_after": 9}, 3.0),
        ({}, {"retry_after": 9}, 9.0),
        ({}, {"error": {"code": "rate_limited", "details": {"retry_after": 2.5}}}, 2.5),
        ({}, {"data": {"error": {"details": {"retry_after": 4}}}}, 4.0),
        ({}, {"retry_after": True}, None),
        ({}, {"retry_after": "soon"}, None),
        ({}, b"no json", None),
    ],
)
def test_what_a_429_asks_for(headers, body, expected):
    assert asked_pause(answer(body, 429, **headers)) == expected


def test_rate_limit_headers():
    assert wire.rate_limit({}, 0) is None
    limit = wire.rate_limit({"x-ratelimit-remaining": "7", "x-ratelimit-reset": "12.5"}, 99.0)
    assert (limit.remaining, limit.reset, limit.seen_at) == (7, 12.5, 99.0)
    for told in ("many", "-1", "\u00b2", "1" * 20, "9" * 5000):
        assert wire.rate_limit({"x-ratelimit-remaining": told}, 0).remaining is None
    assert wire.rate_limit({"x-ratelimit-remaining": "9" * 19}, 0).remaining == 10**19 - 1


# --- signatures ---------------------------------------------------------------------------------------------------

BODY = b'{"event": "session.completed"}'
GOOD = hmac.new(b"secret", BODY, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("body", "header", "expected"),
    [
        (BODY, GOOD, True),
        (BODY, "sha256=" + GOOD, True),
        (BODY, GOOD.upper(), True),
        (BODY + b" ", GOOD, False),
        (BODY[:-1] + b"]", GOOD, False),
        (BODY, None, False),
        (BODY, "", False),
        (BODY, "sha256=", False),
        (BODY, GOOD[:-1], False),
        (BODY, GOOD + "0", False),
        (BODY, "sha256=sha256=" + GOOD, False),
        (BODY, "sha512=" + GOOD, False),
        (BODY, "g" * 64, False),
        (BODY, "é" * 64, False),
        (BODY, " " + GOOD, False),
        (BODY, GOOD[:-1] + ("0" if GOOD[-1] != "0" else "1"), False),
    ],
)
def test_signatures(body, header, expected):
    assert verify_webhook_signature(body, header, "secret") is expected


# --- paging, driven by hand: an operation does no I/O of its own -------------------------------------------------


class Listing:
    """Stands where a client stands; the pages are handed in below."""

    rate_limit = None


def walk(pages, **options):
    asked, items = [], []
    steps = paging.items(Listing(), "/things", **options)
    result = None
    try:
        while True:
            step = steps.send(result)
            result = None
            if isinstance(step, Emit):
                items.append(step.item)
                continue
            assert isinstance(step, Request)
            asked.append({k: v for k, v in step.params.items() if k != "limit"})
            result = answer(pages[len(asked) - 1])
    except StopIteration:
        return items, asked


def test_paging_by_cursor():
    pages = [
        {"items": [{"n": 1}], "next_cursor": "a"},
        {"items": [], "next_cursor": "b"},
        {"items": [{"n": 2}], "next_cursor": None},
    ]
    assert walk(pages) == ([{"n": 1}, {"n": 2}], [{}, {"cursor": "a"}, {"cursor": "b"}])


def test_paging_by_offset_steps_by_what_came():
    pages = [
        {"items": [{"n": 1}, {"n": 2}], "limit": 2, "offset": 0, "total": 3, "has_more": True},
        {"items": [{"n": 3}], "limit": 2, "offset": 2, "total": 3, "has_more": False},
    ]
    assert walk(pages) == ([{"n": 1}, {"n": 2}, {"n": 3}], [{}, {"offset": 2}])


def test_a_list_in_one_piece_and_one_in_an_envelope():
    assert walk([{"things": [{"n": 1}]}], items_key="things")[0] == [{"n": 1}]
    assert walk([{"data": {"items": [{"n": 1}]}}])[0] == [{"n": 1}]
    assert walk([[{"n": 1}]])[0] == [{"n": 1}]


@pytest.mark.parametrize(
    ("pages", "words"),
    [
        ([{"items": [{}], "next_cursor": "a"}, {"items": [{}], "next_cursor": "a"}], "same cursor twice"),
        ([{"items": [{}], "has_more": True}, {"items": [], "has_more": True}], "empty page"),
        (["text"], "did not return a list"),
    ],
)
def test_a_walk_always_ends(pages, words):
    with pytest.raises(AnswerError, match=words):
        walk(pages)


def test_a_wrong_items_key_is_told_with_the_right_one():
    with pytest.raises(InputError, match="it has pages"):
        walk([{"pages": []}])


# --- with_retry ----------------------------------------------------------------------------------------------------


def test_with_retry_repeats_429_and_5xx_only():
    def failing(*statuses):
        left = list(statuses)

        def fn():
            if left:
                raise AmdahlError(left.pop(0), "c", "m")
            return "done"

        return fn

    assert with_retry(failing(429, 500, 599), base_s=0) == "done"
    with pytest.raises(AmdahlError, match="404"):
        with_retry(failing(404), base_s=0)
    with pytest.raises(AmdahlError, match="503"):
        with_retry(failing(503, 503), max_attempts=2, base_s=0)


def test_with_retry_honours_what_was_asked():

    error = AmdahlError(429, "rate_limited", "slow down", {"retry_after": 0.15})
    tries = []

    def fn():
        tries.append(time.monotonic())
        if len(tries) == 1:
            raise error
        return 1

    with_retry(fn, base_s=0)
    assert tries[1] - tries[0] >= 0.15


def test_with_retry_counts_failures_before_and_after_an_await_together():
    import asyncio

    tries = []

    async def failing():
        raise AmdahlError(500, "internal", "m")

    def fn():
        tries.append(1)
        if len(tries) == 1:
            raise AmdahlError(503, "unavailable", "m")
        return failing()

    async def go():
        await with_retry(fn, max_attempts=3, base_s=0)

    with pytest.raises(AmdahlError, match="500"):
        asyncio.run(go())
    assert len(tries) == 3


def test_with_retry_on_an_async_function():
    import asyncio

    tries = []

    async def fn():
        tries.append(1)
        if len(tries) < 3:
            raise AmdahlError(500, "internal", "m")
        return "done"

    assert asyncio.run(with_retry(fn, base_s=0)) == "done"
    assert len(tries) == 3


# --- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://host", "http://host/api/platform/v1"),
        ("http://host/", "http://host/api/platform/v1"),
        ("https://host:8443/api/platform/v1/", "https://host:8443/api/platform/v1"),
        ("https://host/other", "https://host/other"),
    ],
)
def test_addresses(url, expected):
    assert settings_of(url, "key", 30).base_url == expected


@pytest.mark.parametrize(
    "url", ["host", "ftp://host", "http://", "https://user:pass@host", "http://[::1", "http://host:x"]
)
def test_bad_addresses_are_told_before_any_traffic(url):
    with pytest.raises(InputError) as caught:
        settings_of(url, "key", 30)
    assert "pass" not in str(caught.value).replace("password", "")


def test_what_is_missing_is_named():
    with pytest.raises(SetupError, match=r"api_key= or variable API_KEY"):
        settings_of("http://host", None, 30, environment=Environment({}))
    assert (
        settings_of(
            None, None, 30, environment=Environment({"AMDAHL_URL": "http://h", "API_KEY": "k"})
        ).credential.reveal()
        == "k"
    )


@pytest.mark.parametrize("size", [None, 1, 2, 3])
def test_a_letter_in_two_pieces_of_an_answer_is_one_letter(size):
    body = "zürich €".encode()
    head = Stream(200, {}, None)
    pieces = Answer(head, "/", iter([body[:2], body[2:9], body[9:]])).iter_content(size, decode_unicode=True)
    assert "".join(pieces) == "zürich €"
    assert "".join(Answer(head, "/", iter([body[:-1]])).iter_content(size, decode_unicode=True)) == "zürich \ufffd"
