"""How connections are made that are not of HTTP: one time limit for all addresses of a host. WebSockets, and append
sessions of S2, take the proxy that requests take: none to this machine, that of the environment to others."""

import asyncio
import ssl
import time
from datetime import timedelta

import pytest

from kit.core.http.http1 import origin_of
from kit.core.http.proxies import proxy_of, socket_proxy
from kit.kimberlite import AsyncClient, Client, NetworkError
from kit.s2 import S2, AppendInput, Endpoints, Record, Retry, S2ClientError, Timeout
from kit.synap import AsyncSynapClient, SynapClient, SynapTransportError

from .claudelite import ClaudeLab
from .h2server import H2Server
from .proxies import tunnel
from .rawserver import RawServer
from .synaplite import SynapLab

pytestmark = pytest.mark.lab


@pytest.fixture
def proxy(monkeypatch):
    server = RawServer(lambda head: [b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"])
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, server.url)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    yield server
    server.close()


async def first(url, key="k"):
    client = AsyncSynapClient(url, api_key=key)
    subscription = client.pubsub.subscribe(["a"])
    batches = subscription.batches()
    try:
        assert await anext(batches) == []
        return subscription.transport
    finally:
        await batches.aclose()
        await client.close()


def test_a_subscription_to_this_machine_takes_no_proxy(proxy, tmp_path):
    synap = SynapLab(tmp_path)
    try:
        assert asyncio.run(first(synap.url, synap.key)) == "websocket"
    finally:
        synap.close()
    assert proxy.connections == 0


def test_an_answer_from_this_machine_takes_no_proxy(proxy, tmp_path):
    lab = ClaudeLab(tmp_path)
    try:
        with lab.client() as client:
            assert list(client.stream("x", "haiku", transport="ws"))
    finally:
        lab.close()
    assert proxy.connections == 0


def test_a_subscription_elsewhere_takes_the_proxy_of_the_environment(proxy, monkeypatch):
    with pytest.raises(SynapTransportError):
        asyncio.run(first("http://far.example:8000"))
    assert proxy.requests[0].startswith(b"CONNECT far.example:8000 ")
    monkeypatch.setenv("no_proxy", "far.example")
    origin = origin_of("http://far.example:8000")
    assert proxy_of(origin) is None and not socket_proxy(origin).get("proxy")


# --- a host of several addresses ---


def kimberlite(port):
    Client(f"many.example:{port}", connect_timeout=0.5, max_retries=0)


def kimberlite_async(port):
    asyncio.run(AsyncClient.connect(f"many.example:{port}", connect_timeout=0.5, max_retries=0))


def synap(port):
    with SynapClient(f"synap://many.example:{port}", connect_timeout=0.5) as client:
        client.kv.set("k", "v")


def synap_async(port):
    async def main():
        async with AsyncSynapClient(f"synap://many.example:{port}", connect_timeout=0.5) as client:
            await client.kv.set("k", "v")

    asyncio.run(main())


@pytest.mark.parametrize(("connect", "tries"), [(kimberlite, 1), (kimberlite_async, 1), (synap, 3), (synap_async, 3)])
def test_all_addresses_of_a_host_have_one_time_limit(many_example, connect, tries):
    began = time.monotonic()
    with pytest.raises((NetworkError, SynapTransportError), match="could not connect"):
        connect(many_example)
    assert time.monotonic() - began < tries * 0.5 + 1.5


# --- append sessions of S2 ---


async def appended(url, bodies, **options):
    """Append these, each in a batch of its own."""
    patience = Timeout(timedelta(seconds=5), timedelta(seconds=2))
    client = S2("tok-secret", endpoints=Endpoints(url, url), timeout=patience, retry=Retry(1), **options)
    async with client["basin-one"]["a/b"].append_session() as session:
        for body in bodies:
            await (await session.submit(AppendInput([Record(body)])))


@pytest.mark.parametrize("secure", [False, True])
def test_appends_elsewhere_go_through_the_proxy_of_the_environment(proxy, monkeypatch, certificate, secure):
    context = None
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
        context.set_alpn_protocols(["h2"])
    scheme, bodies = "https" if secure else "http", [b"%d" % n * 5000 for n in range(40)]
    with H2Server(tls=context) as server:
        listener, asked = tunnel(server.port)
        monkeypatch.setenv(f"{scheme}_proxy", f"http://me:p%40ss@127.0.0.1:{listener.getsockname()[1]}")
        asyncio.run(appended(f"{scheme}://far.example:8443", bodies, verify=False))
        assert server.log.bodies == bodies
        # The certificate is that of the other side, not of the proxy.
        if secure:
            with pytest.raises(S2ClientError, match="could not connect") as failure:
                asyncio.run(appended(f"{scheme}://far.example:8443", bodies))
            assert "not trusted" in failure.value.hint
        listener.close()
    assert asked[0].startswith(b"CONNECT far.example:8443 HTTP/1.1\r\nhost: far.example:8443\r\n")
    assert b"Basic bWU6cEBzcw==" in asked[0] and b"tok-secret" not in b"".join(asked)
    assert proxy.connections == 0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "it answered HTTP 407"),
        (b"no http at all\r\n\r\n", "the answer is not HTTP/1.1"),
        (b"HTTP/1.1 200 " + b"x" * 100_000, "has no end"),
        (b"", "no connection to http://far.example within 2 s"),
    ],
)
def test_a_proxy_that_makes_no_connection(monkeypatch, proxy, answer, message):
    server = RawServer(lambda head: [answer])
    monkeypatch.setenv("http_proxy", f"http://me:word@127.0.0.1:{server.url.rpartition(':')[2]}")
    try:
        with pytest.raises(S2ClientError, match=message) as failure:
            asyncio.run(appended("http://far.example", [b"x"]))
    finally:
        server.close()
    assert "HTTPS_PROXY" in failure.value.hint and "word" not in str(failure.value)


def test_a_proxy_that_is_none(monkeypatch, proxy):
    for address, message in [("socks5://h:1", "does not speak HTTP"), ("http://h:port", "cannot be read")]:
        monkeypatch.setenv("http_proxy", address)
        with pytest.raises(S2ClientError, match=message):
            asyncio.run(appended("http://far.example", [b"x"]))
