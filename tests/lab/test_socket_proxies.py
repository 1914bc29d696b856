"""WebSockets take the proxy that requests take: none to this machine, that of the environment to others."""

import asyncio

import pytest

from kit.core.http.http1 import origin_of
from kit.core.http.proxies import proxy_of, socket_proxy
from kit.synap import AsyncSynapClient, SynapTransportError

from .claudelite import ClaudeLab
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
