"""What is sent for a request, what is told of a failure, and whose connections are used: without any server."""

import asyncio
import os

import pytest

from kit.core.errors import InputError, KitError, Lost, Silent, Unreachable
from kit.core.http.exchange import AsyncDriver, Driver, Settings
from kit.core.http.operations import Request, Timeouts
from kit.core.secrets import Secret


def driver(url="http://127.0.0.1:9/below/", **options):
    return Driver(Settings("Service", url, **options))


def sent(request, **options):
    built = driver(**options).build(request)
    first, *lines = built.head().decode().rstrip("\r\n").split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines), built


def test_what_stands_before_a_body():
    first, headers, built = sent(Request("GET", "/a b"), credential=Secret("key"))
    assert first == "GET /below/a%20b HTTP/1.1"
    assert headers == {
        "host": "127.0.0.1:9", "accept-encoding": "gzip", "user-agent": "kit-notebook", "authorization": "Bearer key",
    }  # fmt: skip
    assert built.body == b""


@pytest.mark.parametrize(
    ("method", "body", "length", "kind"),
    [
        ("GET", None, None, None),
        ("GET", b"{}", "2", "application/json"),
        ("POST", None, "0", None),
        ("PUT", b"", "0", "application/json"),
        ("PATCH", b"abc", "3", "application/json"),
        ("DELETE", None, None, None),
    ],
)
@pytest.mark.parametrize("more", [None, {"X-One": "1", "Content-Length": "77", "transfer-encoding": "chunked"}])
def test_where_a_body_ends_is_said_once(method, body, length, kind, more):
    _, headers, built = sent(Request(method, "/", body=body, headers=more))
    assert headers.get("content-length") == length
    assert headers.get("content-type") == kind
    assert headers.get("x-one") == (more and "1")
    assert "transfer-encoding" not in headers
    assert built.body == (body or b"")


def test_a_requests_own_waits_and_kind_of_body():
    own = Request("POST", "/", body=b"x", headers={"Content-Type": "text/plain"}, timeouts=Timeouts(1, 2), deadline=5.0)
    _, headers, built = sent(own)
    assert headers["content-type"] == "text/plain"
    assert (built.connect, built.read, built.until) == (1, 2, 5.0)
    _, _, built = sent(Request("GET", "/"), timeouts=Timeouts(3, 4))
    assert (built.connect, built.read, built.until) == (3, 4, None)


def test_failures_say_where_and_how_long():
    request = Request("GET", "/x", "look", timeouts=Timeouts(1, 2))
    for error, kind, words in (
        (Unreachable(""), Unreachable, "no connection within 1 s"),
        (Silent(""), Silent, "no answer within 2 s"),
        (Lost("cut"), Lost, "cut"),
        (ValueError("odd"), Lost, "the connection broke: odd"),
    ):
        failure = driver().fail(request, error)
        assert type(failure) is kind
        assert failure.args[0] == f"Service: GET http://127.0.0.1:9/below/x: {words}"
        assert (failure.service, failure.op, failure.resource) == ("Service", "look", "/x")


@pytest.mark.parametrize(
    "url",
    [
        "http://host/x?password=word",
        "http://host/#x",
        "ftp://host",
        "host:80",
        "http://",
        "http://user@host",
        "http://user:word@host/x",
        "http://host:99999",
    ],
)
def test_what_is_no_address(url):
    with pytest.raises(InputError) as raised:
        Settings("Service", url)
    assert "word" not in str(raised.value).replace("password", "")
    assert Settings("Service", "https://host/a@b").context() is not None
    assert Settings("Service", "http://host").context() is None


def test_connections_are_kept_and_closed():
    one = driver()
    pool = one._connected()
    assert pool is not None
    assert one._connected() is pool
    child = os.fork()
    if child == 0:
        # A parent's connections are not its child's, even where the child closes.
        os._exit(0 if one._connected() is not pool else 1)
    assert os.waitpid(child, 0)[1] == 0
    one.close()
    assert one.closed


def test_connections_belong_to_a_loop():
    one = AsyncDriver(Settings("Service", "http://127.0.0.1:9"))

    async def twice():
        pool = one._connected()
        return pool, one._connected()

    first, again = asyncio.run(twice())
    assert first is not None
    assert first is again
    other, again = asyncio.run(twice())
    assert other is again
    assert other is not first
    asyncio.run(one.close())
    assert one.closed


def test_environment_chooses_the_way(monkeypatch):
    def ways():
        async def on_a_loop():
            return AsyncDriver(Settings("Service", "http://127.0.0.1:9"))._connected()

        return type(driver()._connected()).__name__, type(asyncio.run(on_a_loop())).__name__

    monkeypatch.setenv("KIT_HTTP", "smoke")
    with pytest.raises(KitError, match="names no way to speak HTTP"):
        ways()
    monkeypatch.setenv("KIT_HTTP", "httpx")
    assert ways() == ("HttpxPool", "HttpxLoopPool")
    for way in ("direct", ""):
        monkeypatch.setenv("KIT_HTTP", way)
        assert ways() == ("Pool", "LoopPool")


@pytest.mark.parametrize("proxy", ["", "http://127.0.0.1:1"])
def test_a_proxy_is_used_with_and_without_await(monkeypatch, proxy):
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy)

    async def awaited():
        return AsyncDriver(Settings("Service", "http://service.example"))._connected()

    kinds = [type(pool).__name__ for pool in (driver("http://service.example")._connected(), asyncio.run(awaited()))]
    assert kinds == (["HttpxPool", "HttpxLoopPool"] if proxy else ["Pool", "LoopPool"])


@pytest.mark.parametrize(
    "request_", [Request("GET", "/a\ud800"), Request("GET", "/", params={"prefix": "\ud800"})], ids=["path", "query"]
)
def test_half_a_character_in_a_target_is_refused(request_):
    with pytest.raises(InputError, match=r"half of a character"):
        driver().build(request_)
