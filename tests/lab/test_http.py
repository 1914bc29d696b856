"""The transport: what a broken, hostile or slow server gets, in both colours."""

import asyncio
import contextlib
import functools
import gc
import gzip
import http.server
import os
import resource
import signal
import socket
import ssl
import threading
import time
import zlib
from pathlib import Path

import pytest

from kit.core import calls
from kit.core.errors import AnswerError, InputError, Lost, SetupError, Silent, TransportError, Unreachable
from kit.core.http.exchange import AsyncDriver, Driver, Settings
from kit.core.http.operations import Emit, Next, Open, Pause, Request, Timeouts, call, read_rest
from kit.core.http.retry import Policy
from kit.core.secrets import Secret

from .proxies import tunnel
from .rawserver import RawServer, endless, plain
from .test_left_early import sockets

pytestmark = pytest.mark.lab


@pytest.fixture
def serve():
    servers = []

    def start(script):
        servers.append(RawServer(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


OWN = {
    "test_what_comes_fast_is_taken_in_large_pieces": "it takes pieces of 64 KB",
    "test_a_host_of_several_addresses_has_one_time_limit": "it gives the whole time to each address",
    "test_a_slow_upload_is_no_silence": "with asyncio it gives a whole body as long as one piece",
    "test_what_stands_behind_a_body_is_no_answer": "it takes what stands behind an answer for the next one",
    "test_what_follows_an_answer_is_not_taken_for_the_next_one": "it takes what stands behind an answer for the next one",
}
"""What only the connections that kit makes itself do."""


@pytest.fixture(params=["sync", "async", "sync by httpx", "async by httpx"])
def run(request, monkeypatch):
    """Runs an operation against an address in one colour or the other, on a connection of its own."""
    if "httpx" in request.param:
        if request.function.__name__ in OWN:
            pytest.skip(f"httpx does otherwise: {OWN[request.function.__name__]}")
        monkeypatch.setenv("KIT_HTTP", "httpx")

    def sync(url, operation, **options):
        driver = Driver(Settings("test", url, **options))
        try:
            return driver.run(operation)
        finally:
            driver.close()

    def through_asyncio(url, operation, **options):
        async def main():
            driver = AsyncDriver(Settings("test", url, **options))
            try:
                return await driver.run(operation)
            finally:
                await driver.close()

        return asyncio.run(main())

    return sync if request.param.startswith("sync") else through_asyncio


def get(path="/x", **options):
    return call(Request("GET", path, op="get", safe=True, **options))


def test_an_answer(serve, run):
    server = serve(lambda head: [plain(b"hello", x_a="1")])
    response = run(server.url, get(), credential=Secret("key_1"))
    assert (response.status, bytes(response.body), response.headers["X-A"]) == (200, b"hello", "1")
    assert b"authorization: Bearer key_1" in server.requests[0]
    assert b"accept-encoding: gzip" in server.requests[0]


def test_connections_are_kept(serve):
    server = serve(lambda head: [plain(b"{}")])
    driver = Driver(Settings("test", server.url))
    for _ in range(20):
        driver.run(get())
    driver.close()
    assert server.connections == 1


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_bodies_of_any_size_on_a_connection_that_was_used(colour):
    server = RawServer(lambda head: [plain(b"{}")], bodies=True)
    edge = 64 * 1024
    sizes = [1, edge - 200, edge - 1, edge, edge + 1, 5 * edge, 1_500_000, 1, 0, edge + 1]
    posts = [call(Request("POST", "/x", op="post", body=b"a" * size)) for size in sizes]
    if colour == "sync":
        driver = Driver(Settings("test", server.url))
        for post in posts:
            assert bytes(driver.run(post).body) == b"{}"
        driver.close()
    else:

        async def main():
            driver = AsyncDriver(Settings("test", server.url))
            for post in posts:
                assert bytes((await driver.run(post)).body) == b"{}"
            await driver.close()

        asyncio.run(main())
    server.close()
    assert [len(body) for body in server.bodies] == sizes and server.connections == 1


def test_nothing_there(run):
    with pytest.raises(Unreachable) as caught:
        run("http://127.0.0.1:9", get())
    assert caught.value.maybe_received is False
    assert "kit.Lab()" in str(caught.value)


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ([None], Lost),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", None], Lost),
        ([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", None], Lost),
        ([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"], Lost),
        ([b"220 smtp ready\r\n", None], Lost),
        ([plain(b"xx", content_encoding="zstd")], AnswerError),
        ([plain(b"not gzip", content_encoding="gzip")], AnswerError),
        ([plain(gzip.compress(b"x" * 1000)[:-8], content_encoding="gzip")], Lost),
        ([b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 200_000], Lost),
    ],
    ids=range(9),
)
def test_broken_answers(serve, run, pieces, error):
    server = serve(lambda head: pieces)
    with pytest.raises(error) as caught:
        run(server.url, get())
    assert server.url in str(caught.value)
    assert caught.value.service == "test"
    assert caught.value.__cause__ is None
    assert not type(caught.value.__context__).__module__.startswith("http")


def test_a_silent_server(serve, run):
    server = serve(lambda head: time.sleep(2) or [None])
    started = time.monotonic()
    with pytest.raises(Silent, match=r"no answer within 0\.2 s"):
        run(server.url, get(), timeouts=Timeouts(1, 0.2))
    assert time.monotonic() - started < 1.5


def test_an_answer_that_stops_tells_how_long_it_was_waited_for(serve, run):
    def stopping(head):
        yield b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab"
        time.sleep(2)

    server = serve(stopping)
    with pytest.raises(Silent, match=r"the answer stopped for 0\.2 s"):
        run(server.url, get(timeouts=Timeouts(1, 30.0, 0.2)))
    with pytest.raises(Silent, match="the answer was not complete in time"):
        run(server.url, get(timeouts=Timeouts(1, 30.0), deadline=time.monotonic() + 0.3))
    silent = serve(lambda head: time.sleep(2) or [None])
    with pytest.raises(Silent, match="no answer in time"):
        run(silent.url, get(timeouts=Timeouts(1, 30.0), deadline=time.monotonic() + 0.3))


def test_a_slow_upload_is_no_silence(run):
    body = bytes(32 * 1024 * 1024)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)  # little is on its way at once
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def slow():
            connection, _ = listener.accept()
            with connection:
                left = len(body)
                while left > 0:
                    left -= len(connection.recv(256 * 1024))
                    time.sleep(0.02)
                connection.sendall(plain(b"ok"))
                connection.recv(1)

        serving = threading.Thread(target=slow, daemon=True)
        serving.start()
        began = time.monotonic()
        request = Request("POST", "/x", op="post", body=body, timeouts=Timeouts(5, 1.5))
        assert bytes(run(f"http://127.0.0.1:{listener.getsockname()[1]}", call(request)).body) == b"ok"
        assert time.monotonic() - began > 1.6, "too fast to show anything"
        serving.join(5)


def test_a_host_of_several_addresses_has_one_time_limit(run, many_example):
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"no connection within 0\.5 s"):
        run(f"http://many.example:{many_example}", get(timeouts=Timeouts(0.5, 5)))
    assert time.monotonic() - began < 1.5


def test_a_time_limit_may_be_longer_than_the_system_can_count(serve, run):
    server = serve(lambda head: [plain(b"ok")])
    assert bytes(run(server.url, get(timeouts=Timeouts(1e10, 1e10, 1e10))).body) == b"ok"


@pytest.mark.parametrize(
    ("verify", "error", "message"),
    [
        ("/nowhere.pem", SetupError, "certificates cannot be loaded, verify='/nowhere.pem'"),
        (Path("/nowhere.pem"), SetupError, "certificates cannot be loaded, verify='/nowhere.pem'"),
        (5, InputError, "verify must be True, False, a file of certificates or an ssl.SSLContext, not int"),
    ],
)
def test_what_certificates_cannot_be_checked_with(run, verify, error, message):
    with pytest.raises(error, match=message):
        run("https://127.0.0.1:1", get(), verify=verify)


def test_a_file_of_certificates_that_the_environment_names_wrongly(run, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(SetupError, match="certificates cannot be loaded, SSL_CERT_FILE='/nowhere"):
        run("https://127.0.0.1:1", get())


def test_a_context_that_serves_another_protocol_too(run, certificate):
    chosen = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            chosen.append(self.connection.selected_alpn_protocol())
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    context.set_alpn_protocols(["h2", "http/1.1"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    shared = ssl.create_default_context(cafile=str(certificate / "cert.pem"))

    def twice():
        yield from get()
        shared.set_alpn_protocols(["h2"])  # as an append session of S2 does
        return (yield from get())

    try:
        assert bytes(run(f"https://127.0.0.1:{server.server_port}", twice(), verify=shared).body) == b"ok"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
    assert chosen == ["http/1.1", "http/1.1"]


def test_certificates_are_checked(run, certificate, monkeypatch):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        url = f"https://127.0.0.1:{server.server_port}"
        with pytest.raises(Unreachable, match="CERTIFICATE") as caught:
            run(url, get())
        assert "verify=ssl.SSLContext" in caught.value.hint
        for verify in (ssl.create_default_context(cafile=str(certificate / "cert.pem")), False):
            assert bytes(run(url, get(), verify=verify).body) == b"ok"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))  # set after it was refused
        assert bytes(run(url, get()).body) == b"ok"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def test_redirects_are_not_followed(serve, run):
    server = serve(lambda head: [plain(b"", "302 Found", location="http://127.0.0.1:9/steal")])
    assert run(server.url, get()).status == 302
    assert len(server.requests) == 1


def memory_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@functools.cache
def gibibyte_packed():
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(1024)) + packer.flush()


@pytest.mark.parametrize("kind", ["declared", "endless", "packed"])
def test_a_huge_answer_is_refused_within_bounded_memory(serve, run, kind):
    def script(head):
        if kind == "declared":
            yield b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n"
            for _ in range(1024):
                yield b" " * 2**20
        elif kind == "endless":
            yield from endless(b" " * 2**20)
        else:
            yield plain(packed, content_encoding="gzip")

    packed = gibibyte_packed() if kind == "packed" else b""  # here, as it takes longer than a call waits
    server = serve(script)
    before = memory_mb()
    with pytest.raises(AnswerError, match="larger than the limit of 10,000,000 bytes"):
        run(server.url, get(limit=10_000_000))
    assert memory_mb() - before < 150


def test_gzip_is_undone(serve, run):
    body = os.urandom(100_000) + b"x" * 1_000_000
    server = serve(lambda head: [plain(gzip.compress(body), content_encoding="gzip")])
    assert bytes(run(server.url, get()).body) == body


def test_retries_follow_the_policy_and_the_log_shows_each(serve, run):
    answers = [plain(b"", "503 No"), plain(b"", "429 Slow", retry_after="0.05"), plain(b"ok")]
    server = serve(lambda head: [answers[len(server.requests) - 1]])
    calls.forget()
    response = run(server.url, call(Request("GET", "/x", op="get", safe=True), Policy(base=0.01)))
    assert bytes(response.body) == b"ok"
    log = calls.calls()
    assert log["status"].tolist() == [503, 429, 200]
    assert log["retries"].tolist() == [0, 1, 2]
    assert log["bytes_in"].tolist() == [0, 0, 2]


def test_an_unsafe_request_is_not_repeated_once_it_may_have_arrived(serve, run):
    server = serve(lambda head: [None])
    with pytest.raises(Lost):
        run(server.url, call(Request("POST", "/x", body=b"{}"), Policy(base=0.01)))
    assert len(server.requests) == 1
    with pytest.raises(Lost):
        run(server.url, call(Request("GET", "/x", safe=True), Policy(attempts=3, base=0.01)))
    assert len(server.requests) == 4


def test_streams_come_piece_by_piece(serve, run):
    def script(head):
        yield b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        for n in range(3):
            yield b"1\r\n%d\r\n" % n
            time.sleep(0.05)
        yield b"0\r\n\r\n"

    def operation():
        stream = yield Open(Request("GET", "/x"))
        pieces = []
        while piece := (yield Next(stream)):
            pieces.append(piece)
        return pieces

    assert run(serve(script).url, operation()) == [b"0", b"1", b"2"]


def test_the_rest_of_a_refused_stream_is_bounded(serve, run):
    def operation():
        stream = yield Open(Request("GET", "/x"))
        return (yield from read_rest(stream, limit=5000))

    response = run(serve(lambda head: endless(b"y" * 1000)).url, operation())
    assert len(response.body) == 5000


def _walk(path="/x"):
    stream = yield Open(Request("GET", path))
    while piece := (yield Next(stream)):
        yield Emit(piece)


def test_closing_an_iterator_closes_its_connection(serve):
    closed = threading.Event()

    def script(head):
        try:
            for piece in endless(b"x" * 1000):
                yield piece
                time.sleep(0.002)
        except GeneratorExit:
            closed.set()
            raise

    server = serve(script)
    driver = Driver(Settings("test", server.url))
    for _ in driver.walk(_walk()):
        break
    assert closed.wait(5)
    closed.clear()

    async def main():
        driver = AsyncDriver(Settings("test", server.url))
        walk = driver.walk(_walk())
        async for _ in walk:
            break
        await walk.aclose()
        assert await asyncio.to_thread(closed.wait, 5)
        await driver.close()

    asyncio.run(main())
    driver.close()


def _slow_then_quick(head):
    if b"/slow" in head.split(b"\r\n")[0]:
        yield b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"
        time.sleep(5)
    else:
        yield plain(b"quick")


def test_an_interrupt_leaves_the_client_usable(serve):
    server = serve(_slow_then_quick)
    driver = Driver(Settings("test", server.url, credential=Secret("amdhl_0123456789")))
    for _ in range(3):
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt) as caught:
            driver.run(get("/slow"))
        assert time.monotonic() - started < 2
        # The transport's frames hold the request's headers; they must not be in what a notebook prints.
        assert not [one for one in caught.traceback if str(one.path).endswith(("connections.py", "core/http.py"))]
        assert bytes(driver.run(get("/quick")).body) == b"quick"
    driver.close()


def test_a_cancelled_task_leaves_the_client_usable(serve):
    server = serve(_slow_then_quick)

    async def main():
        driver = AsyncDriver(Settings("test", server.url))
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await driver.run(get("/slow"))
            assert bytes((await driver.run(get("/quick"))).body) == b"quick"
        await driver.close()

    asyncio.run(main())


def test_calls_cancelled_at_any_moment_give_their_connections_back(serve):
    server = serve(lambda head: [plain(b"quick")])

    async def main():
        driver = AsyncDriver(Settings("test", server.url))
        for n in range(150):
            task = asyncio.ensure_future(driver.run(get()))
            await asyncio.sleep(n % 30 * 0.0002)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await asyncio.sleep(0.1)
        left = sockets()
        await driver.close()
        await asyncio.sleep(0.1)
        return left - sockets()

    # One is kept for the next call, and both ends are counted, as the server is here too; with those that were given back
    # by half it would be dozens.
    assert asyncio.run(main()) <= 4


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # sockets of loops that ended
def test_one_async_client_over_several_loops(serve):
    server = serve(lambda head: [plain(b"ok")])
    driver = AsyncDriver(Settings("test", server.url))
    for _ in range(3):
        assert asyncio.run(driver.run(get())).status == 200
    del driver
    gc.collect()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_opens_connections_of_its_own(serve):
    server = serve(lambda head: [plain(b"ok")])
    driver = Driver(Settings("test", server.url))
    driver.run(get())
    child = os.fork()
    if child == 0:
        os._exit(0 if driver.run(get()).status == 200 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert driver.run(get()).status == 200
    assert server.connections == 2
    driver.close()


def test_parameters_are_quoted(serve, run):
    server = serve(lambda head: [plain(b"")])
    run(server.url, call(Request("GET", "/a%2Fb", params={"q": "a b&c", "on": True, "none": None})))
    assert server.requests[0].startswith(b"GET /a%2Fb?q=a+b%26c&on=true HTTP/1.1")


def test_line_ends_in_headers_are_refused_before_traffic(serve, run):
    server = serve(lambda head: [plain(b"")])
    with pytest.raises((InputError, TransportError)):
        run(server.url, call(Request("GET", "/x", headers={"x-a": "1\r\nx-b: 2"})))
    assert not server.requests


def test_a_callers_headers_do_not_say_where_the_body_ends(run):
    server = RawServer(lambda head: [plain(b"{}")], bodies=True)
    headers = {"Content-Length": "999", "Transfer-Encoding": "chunked", "Content-Type": "text/plain", "X-A": "1"}
    assert run(server.url, call(Request("POST", "/x", headers=headers, body=b"five!"))).status == 200
    server.close()
    lines = server.requests[0].lower().split(b"\r\n")
    assert [line for line in lines if b"length" in line or b"encoding" in line] == [
        b"accept-encoding: gzip", b"content-length: 5",
    ]  # fmt: skip
    assert b"content-type: text/plain" in lines and b"x-a: 1" in lines
    assert server.bodies == [b"five!"]


def test_what_comes_fast_is_taken_in_large_pieces(serve, run):
    size = 64 * 1024 * 1024
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size
    server = serve(lambda _: [head, bytes(size)])

    def reading():
        stream = yield Open(Request("GET", "/x", op="get", safe=True))
        sizes = []
        while piece := (yield Next(stream)):
            sizes.append(len(piece))
        return sizes

    sizes = run(server.url, reading())
    assert sum(sizes) == size
    assert max(sizes) > 128 * 1024


def test_what_runs_here_is_not_reached_through_a_proxy(serve, run, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server = serve(lambda head: [plain(b"here")])
    assert bytes(run(server.url, get()).body) == b"here"


def test_what_runs_elsewhere_is_reached_through_the_proxy_of_the_environment(serve, run, monkeypatch):
    proxy = serve(lambda head: [plain(b"through")])
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert bytes(run("http://far.example", get()).body) == b"through"
    assert proxy.requests[0].startswith(b"GET http://far.example/x ")


@pytest.mark.parametrize(
    ("proxy", "error", "message"),
    [
        ("ftp://me:word@host:1", SetupError, "proxy by an address that is none"),
        ("http://[::1", SetupError, "proxy by an address that is none"),
        ("http://me:word@127.0.0.1:1", Unreachable, "could not connect"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_as_the_cause(run, monkeypatch, proxy, error, message):
    for name in ("http_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(error, match=message) as caught:
        run("http://far.example", get())
    assert "is the proxy right that the environment names" in caught.value.hint
    assert "word" not in str(caught.value)


def test_tls_through_the_proxy_of_the_environment(run, certificate, monkeypatch):
    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    listener, asked = tunnel(server.server_port)
    monkeypatch.setenv("https_proxy", f"http://user:pass@127.0.0.1:{listener.getsockname()[1]}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    try:
        post = call(Request("POST", "/x", op="post", body=b"there and back"))
        answer = run("https://far.example", post, verify=False, credential=Secret("key_1"))
        assert bytes(answer.body) == b"there and back"
        assert asked[0].startswith(b"CONNECT far.example:443 ") and b"Basic dXNlcjpwYXNz" in asked[0]
        assert b"key_1" not in asked[0]  # the credential is for the service alone
        with pytest.raises(Unreachable, match="CERTIFICATE"):
            run("https://far.example", get())
    finally:
        listener.close()
        server.shutdown()
        serving.join()
        server.server_close()


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_chunks_cut_anywhere(serve, run, size):
    body = os.urandom(5000)
    whole = CHUNKED + b"".join(b"%x;e=1\r\n%s\r\n" % (len(p), p) for p in (body[:1], body[1:3000], body[3000:]))
    whole += b"0\r\nx-sum: 1\r\n\r\n"
    server = serve(lambda head: [whole[n : n + size] for n in range(0, len(whole), size)])
    assert bytes(run(server.url, get()).body) == body


def test_a_connection_is_kept_after_a_body_in_chunks(serve, run):
    server = serve(lambda head: [CHUNKED + b"5\r\nhello\r\n", b"0\r\n\r\n"])

    def several():
        for _ in range(10):
            response = yield from call(Request("GET", "/x", op="get", safe=True))
            assert bytes(response.body) == b"hello"

    run(server.url, several())
    assert server.connections == 1


def test_a_large_body_of_a_told_length_and_what_comes_after(serve, run):
    size = 20 * 1024 * 1024
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + bytes(size)
    server = serve(lambda head: [whole])

    def twice():
        for _ in range(2):
            response = yield from call(Request("GET", "/x", op="get", safe=True))
            assert len(response.body) == size

    run(server.url, twice())
    assert server.connections == 1


def test_what_stands_behind_a_body_is_no_answer(serve, run):
    bodies = [CHUNKED + b"5\r\nfirst\r\n0\r\n\r\n" + plain(b"smuggled"), plain(b"second")]
    server = serve(lambda head: [bodies.pop(0)])

    def twice():
        answers = []
        for _ in range(2):
            answers.append(bytes((yield from call(Request("GET", "/x", op="get", safe=True))).body))
        return answers

    assert run(server.url, twice()) == [b"first", b"second"]


def test_a_provisional_answer_is_passed_over(serve, run):
    server = serve(lambda head: [b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + CHUNKED + b"2\r\nok\r\n0\r\n\r\n"])
    assert bytes(run(server.url, get()).body) == b"ok"


def test_a_head_in_tiny_pieces(serve, run):
    whole = CHUNKED + b"2\r\nok\r\n0\r\n\r\n"
    server = serve(lambda head: [whole[n : n + 1] for n in range(len(whole))])
    assert bytes(run(server.url, get()).body) == b"ok"


def test_a_silent_peer_in_the_middle_of_chunks(serve, run):
    gate = threading.Event()

    def script(head):
        yield CHUNKED + b"5\r\nhe"
        gate.wait(30)

    server = serve(script)
    with pytest.raises(Silent):
        run(server.url, get(timeouts=Timeouts(1, 0.3)))
    gate.set()


IN_CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "whole", [plain(b"first"), plain(b"first" * 20_000), plain(b""), b"HTTP/1.1 204 No Content\r\n\r\n", IN_CHUNKS]
)
@pytest.mark.parametrize("apart", [False, True])
def test_what_follows_an_answer_is_not_taken_for_the_next_one(serve, run, whole, apart):
    """A server, or somebody between, that says an answer twice must not have the second call get the first's."""
    answers = iter([whole, plain(b"second"), plain(b"third")])

    def script(head):
        answer = next(answers)
        more = answer if answer is whole else b""
        return [answer, more] if apart else [answer + more]

    def asks():
        bodies = []
        for _ in range(3):
            bodies.append((yield from call(Request("GET", "/", op="ask"))).body)
            yield Pause(0.02)  # what comes late is there before the connection is used again
        return bodies

    server = serve(script)
    assert run(server.url, asks())[1:] == [b"second", b"third"]
    assert server.connections == 2


def test_a_body_that_ends_with_its_connection(serve, run):
    server = serve(lambda head: [b"HTTP/1.0 200 OK\r\n\r\nuntil ", b"the end", None])
    assert bytes(run(server.url, get()).body) == b"until the end"


def test_many_threads_share_a_client(serve):
    server = serve(lambda head: [plain(head.split(b" ")[1])])
    driver = Driver(Settings("test", server.url))
    wrong = []

    def asks(n):
        for m in range(50):
            if bytes(driver.run(get(f"/{n}/{m}")).body) != b"/%d/%d" % (n, m):
                wrong.append((n, m))

    threads = [threading.Thread(target=asks, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    driver.close()
    assert not wrong and server.connections <= 8


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_call_that_finds_no_place_for_its_connection_says_so(serve, monkeypatch, colour):
    gate = threading.Event()

    def script(head):
        yield b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n"
        gate.wait(20)
        yield b"x"

    server = serve(script)

    def reading():
        stream = yield Open(Request("GET", "/x"))
        yield Emit(stream.status)

    monkeypatch.setattr("kit.core.http.connections.MOST", 2)
    monkeypatch.setattr("kit.core.http.loop_connections.MOST", 2)
    late = get(timeouts=Timeouts(0.1, 5))
    if colour == "sync":
        driver = Driver(Settings("test", server.url))
        walks = [driver.walk(reading()) for _ in range(2)]
        assert [next(walk) for walk in walks] == [200, 200]
        with pytest.raises(Unreachable, match=r"no connection within 0\.1 s"):
            driver.run(late)
        for walk in walks:
            walk.close()
        gate.set()
        assert driver.run(get()).status == 200
        driver.close()
    else:

        async def main():
            driver = AsyncDriver(Settings("test", server.url))
            walks = [driver.walk(reading()) for _ in range(2)]
            assert [await anext(walk) for walk in walks] == [200, 200]
            with pytest.raises(Unreachable, match=r"no connection within 0\.1 s"):
                await driver.run(late)
            for walk in walks:
                await walk.aclose()
            gate.set()
            assert (await driver.run(get())).status == 200
            await driver.close()

        asyncio.run(main())


def test_closing_a_client_ends_the_calls_of_other_threads(serve):
    gate = threading.Event()
    server = serve(lambda head: (gate.wait(20) and [plain(b"late")]) or [None])
    driver = Driver(Settings("test", server.url))
    threading.Timer(0.3, driver.close).start()
    started = time.monotonic()
    with pytest.raises(Lost):
        driver.run(get(timeouts=Timeouts(1, 10)))
    assert time.monotonic() - started < 5
    gate.set()
