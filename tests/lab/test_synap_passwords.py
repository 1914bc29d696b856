"""Synap with user and password: the server hashes them for each request over HTTP, and once over SynapRPC."""

import asyncio
import contextlib
import itertools
import socket
import threading
import time

import httpx
import pytest

from kit.synap import AsyncSynapClient, SynapClient, SynapError, SynapTransportError

from .rawserver import RawServer
from .synaplite import SynapLab

pytestmark = pytest.mark.lab
_names = itertools.count()


@pytest.fixture(scope="module")
def synap(tmp_path_factory):
    lab = SynapLab(tmp_path_factory.mktemp("synap"), sweep=0.05)
    yield lab
    lab.close()


@pytest.fixture
def name():
    return f"p{next(_names)}"


@pytest.fixture
def quick(synap):
    with SynapClient(synap.url, username="root", password=synap.key, rpc_url=synap.rpc_url) as client:
        yield client
    synap.do(synap.plan.clear)


@pytest.fixture
def plain(synap):
    with SynapClient(synap.url, api_key=synap.key) as client:
        yield client


def asked(synap):
    """How many requests came over HTTP and how many calls over SynapRPC; this look is not among them."""
    text = httpx.get(f"{synap.url}/metrics").text
    calls = [line for line in text.splitlines() if line.startswith("synap_rpc_commands_total")]
    return sum(int(float(line.rpartition(" ")[2])) for line in calls)


def same_calls(client, name):
    """What a client answers to all that SynapRPC does as well as HTTP."""
    yield client.kv.set(name, "42")
    yield client.kv.get(name)
    yield client.kv.set(f"{name}:t", {"a": [1, None]}, ttl=100)
    yield client.kv.get_json(f"{name}:t")
    yield client.kv.incrby(name, 5), client.kv.decr(name)
    yield client.kv.exists(name), client.kv.delete(name), client.kv.exists(name), client.kv.get(name)
    yield client.kv.mset({f"{name}:1": "a", f"{name}:2": "b"}), client.kv.mget([f"{name}:1", f"{name}:no", f"{name}:2"])
    yield client.queue.create(name), name in client.queue.list()
    yield type(client.queue.publish(name, b"\x00\xff", priority=9, max_retries=1))
    yield client.queue.stats(name)
    message = client.queue.consume(name, "w")
    yield message.payload, message.priority, message.retry_count, message.max_retries, message.headers
    yield client.queue.ack(name, message.message_id), client.queue.purge(name)
    yield client.stream.create(name), name in client.stream.list()
    yield client.stream.publish(name, "e", {"x": 1}), client.stream.publish(name, "e", "text")
    yield [(e.offset, e.event, e.data, e.room, dict(e.metadata)) for e in client.stream.consume(name, "s")]
    yield sorted(client.stream.stats(name)), client.stream.delete(name), client.queue.delete(name)
    yield client.pubsub.publish(name, {"x": 1}), sorted(client.pubsub.stats()), client.pubsub.topics()


def test_answers_are_the_same_on_both_ways(quick, plain, name):
    assert list(same_calls(quick, name)) == list(same_calls(plain, name))


@pytest.mark.parametrize(
    "refused",
    [
        lambda c, name: c.queue.publish(f"{name}-no", b"x"),
        lambda c, name: c.queue.ack(name, "no-such-id"),
        lambda c, name: c.stream.consume(f"{name}-no", "s"),
        lambda c, name: c.stream.publish(f"{name}-no", "e", 1),
        lambda c, name: c.kv.incr(name),
    ],
)
def test_refusals_are_the_same_on_both_ways(quick, plain, name, refused):
    plain.kv.set(name, "no number")
    plain.queue.create(name)
    told = []
    for client in (quick, plain):
        with pytest.raises(SynapError) as caught:
            refused(client, name)
        told.append((caught.value.status_code, caught.value.message.removeprefix("Invalid request: ")))
    assert told[0] == told[1]


def test_nothing_is_asked_over_http_that_synaprpc_can(synap, quick, name):
    synap.faults("500", "/api/v1/command", count=100)
    quick.kv.set(name, "v")
    assert quick.kv.get(name) == "v" and quick.kv.mget([name]) == ["v"] and quick.queue.create(name)
    quick.queue.publish(name, b"x")
    assert quick.queue.stats(name).depth == 1 and quick.stream.create(name) and quick.pubsub.publish(name, 1) == 0
    # What SynapRPC tells less of is asked over HTTP.
    for only_http in (lambda: quick.stream.stats(name), lambda: quick.queue.create(f"{name}-2", max_depth=3)):
        with pytest.raises(SynapError):
            only_http()


def test_so_do_coroutines(synap, name):
    synap.faults("500", "/api/v1/command", count=100)

    async def main():
        async with AsyncSynapClient(synap.url, username="root", password=synap.key, rpc_url=synap.rpc_url) as client:
            await client.kv.set(name, "v")
            return await client.kv.get(name)

    try:
        assert asyncio.run(main()) == "v"
    finally:
        synap.do(synap.plan.clear)


def test_a_key_goes_over_http_as_before(synap, plain, name):
    before = asked(synap)
    with SynapClient(synap.url, api_key=synap.key, rpc_url=synap.rpc_url) as client:
        client.kv.set(name, "v")
    assert asked(synap) == before


def test_where_synaprpc_is_not_there_http_does_it_all(synap, name):
    # Nothing listens on the discard port of this machine.
    with SynapClient(synap.url, username="root", password=synap.key, rpc_url="synap://127.0.0.1:9") as client:
        client.kv.set(name, "v")
        assert client.kv.get(name) == "v"
    with SynapClient(synap.url, username="root", password="wrong", rpc_url=synap.rpc_url) as client:
        with pytest.raises(SynapError) as caught:
            client.kv.get(name)
        assert caught.value.status_code == 401


class Passage:
    """A port that leads to another one, until it is shut."""

    def __init__(self, url):
        host, _, port = url.removeprefix("synap://").rpartition(":")
        self._to = (host, int(port))
        self._sock = socket.create_server(("127.0.0.1", 0))
        self._ends = []
        self.url = f"synap://127.0.0.1:{self._sock.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                one, _ = self._sock.accept()
                other = socket.create_connection(self._to)
                self._ends += [one, other]
                for source, target in ((one, other), (other, one)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)

    def shut(self):
        self._sock.shutdown(socket.SHUT_RDWR)  # ends the waiting for another connection, which closing alone does not
        self._sock.close()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def test_where_synaprpc_goes_away_http_goes_on(synap, name):
    passage = Passage(synap.rpc_url)
    with SynapClient(synap.url, username="root", password=synap.key, rpc_url=passage.url) as client:
        client.kv.set(name, "v")
        synap.faults("500", "/api/v1/command", count=100)
        assert client.kv.get(name) == "v"
        synap.do(synap.plan.clear)
        passage.shut()
        time.sleep(1.1)  # a connection is looked at again after a second
        client.kv.set(name, "w")
        assert client.kv.get(name) == "w"


REFUSED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize("colour", ["blocking", "async"])
def test_a_server_without_websockets_on_another_port_points_at_rpc_url(colour):
    server = RawServer(lambda head: [REFUSED])

    async def main():
        async with AsyncSynapClient(server.url) as client:
            await anext(aiter(client.pubsub.subscribe(["a"])))

    def first():
        with SynapClient(server.url) as client:
            next(iter(client.pubsub.subscribe(["a"])))

    with pytest.raises(SynapTransportError, match="status 500") as caught:
        first() if colour == "blocking" else asyncio.run(main())
    server.close()
    assert "rpc_url=synap://host:port" in str(caught.value) and "do not work" in str(caught.value)
