"""Synap's clients where they are shared: by several loops, by calls that wait together, with servers that do not read."""

import asyncio
import socket
import threading
import time

import pandas as pd
import pytest

import kit
from kit.core import loop
from kit.core.faces import state_of
from kit.synap import (
    AsyncSynapClient,
    SynapClient,
    SynapInputError,
    SynapTimeoutError,
    SynapTransportError,
    SynapWireError,
)
from kit.synap.wire import frames as wire

from .rawserver import RawServer
from .synaplite import SynapLab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def synap(tmp_path_factory):
    lab = SynapLab(tmp_path_factory.mktemp("synap"), sweep=0.05, events=500, unread=500)
    yield lab
    lab.close()


@pytest.fixture(params=["http", "both", "rpc"])
def c(request, synap):
    beside = {"rpc_url": synap.rpc_url} if request.param == "both" else {}
    with SynapClient(synap.rpc_url if request.param == "rpc" else synap.url, api_key=synap.key, **beside) as client:
        yield client


@pytest.fixture
def deaf():
    """A server that accepts connections and never reads."""
    held = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"synap://127.0.0.1:{server.getsockname()[1]}"
        for one in held:
            one.close()
        server.shutdown(socket.SHUT_RDWR)


def test_a_server_that_reads_nothing_is_waited_for_no_longer_than_the_time_limit(deaf):
    async def store():
        client = AsyncSynapClient(deaf, timeout=0.5)
        try:
            await asyncio.wait_for(client.kv.set("k", "x" * 40_000_000), 10)
        finally:
            await client.close()

    with pytest.raises(SynapTimeoutError, match=r"no answer within 0.5 s"):
        asyncio.run(store())


def test_a_lost_answer_is_missed_on_a_connection_that_others_keep_busy():
    async def serve(reader, writer):
        frames = wire.Frames()
        while data := await reader.read(65536):
            for body in frames.feed(data):
                number, *_ = wire.read_request(body)
                if b"lost" not in body:
                    writer.write(wire.answer(number, "v"))
        writer.close()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = AsyncSynapClient(f"synap://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.4)
        missed = asyncio.ensure_future(client.kv.get("lost"))
        others = 0
        while not missed.done():
            assert await client.kv.get("there") == "v"
            others += 1
            await asyncio.sleep(0.01)
        connection = state_of(client).driver._connection.connection
        with pytest.raises(SynapTimeoutError, match=r"no answer within 0.4 s"):
            await missed
        assert connection.open and others > 20, "the connection serves the others"
        await client.close()
        server.close()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_each_loop_keeps_its_connection_and_close_ends_all(synap):
    client = AsyncSynapClient(synap.rpc_url, api_key=synap.key)

    async def there():
        await client.kv.get("k")
        return state_of(client).driver._connection.connection

    async def main():
        here = await there()
        beside = await asyncio.to_thread(loop.call, there)
        assert here is not beside
        for _ in range(5):
            assert await there() is here
            assert await asyncio.to_thread(loop.call, there) is beside
        await client.close()
        return here, beside

    here, beside = asyncio.run(main())
    until = time.monotonic() + 5
    while beside.open and time.monotonic() < until:
        time.sleep(0.01)
    assert not here.open and not beside.open


def test_calls_that_wait_for_one_connection_get_errors_of_their_own():
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"synap://127.0.0.1:{server.getsockname()[1]}"

    async def both():
        connection = state_of(AsyncSynapClient(place)).driver._connection
        return await asyncio.gather(connection.connect(), connection.connect(), return_exceptions=True)

    first, second = asyncio.run(both())
    assert isinstance(first, SynapTransportError) and str(first) == str(second)
    assert first is not second and first.maybe_received is second.maybe_received is False


def test_a_call_that_was_given_up_is_no_answer_in_the_log(deaf):
    async def left():
        client = AsyncSynapClient(deaf)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.kv.get("k"), 0.2)
        await client.close()

    asyncio.run(left())
    row = kit.calls().iloc[-1]
    assert (row["op"], row["error"]) == ("GET", "interrupted")
    assert pd.isna(row["status"])


def test_topics_with_a_comma_beside_others(synap):
    async def transports():
        client = AsyncSynapClient(synap.url, api_key=synap.key, rpc_url=synap.rpc_url)
        found = []
        for topics in (["x,y"], ["a"], ["x,y"]):
            subscription = client.pubsub.subscribe(topics)
            batches = subscription.batches()
            assert await anext(batches) == []
            found.append(subscription.transport)
            await batches.aclose()
        await client.close()
        return found

    assert asyncio.run(transports()) == ["synaprpc", "websocket", "synaprpc"]


def test_the_last_of_several_values_for_a_key_is_stored_alone(c):
    """Under way at once, any of them could arrive last."""
    before = c.kv.stats()["operations"]["sets"]
    c.kv.mset([("twice", str(n)) for n in range(40)])
    assert c.kv.get("twice") == "39"
    assert c.kv.stats()["operations"]["sets"] == before + 1


def test_a_message_is_not_dropped_by_a_value_that_is_no_truth_value(c):
    c.queue.create("flags")
    c.queue.publish("flags", b"kept")
    message = c.queue.consume("flags", "me")
    for wrong in (None, 0, "no"):
        with pytest.raises(SynapInputError, match="requeue must be True or False"):
            c.queue.nack("flags", message.message_id, wrong)
    c.queue.nack("flags", message.message_id, True)
    assert c.queue.consume("flags", "me").payload == b"kept"
    c.queue.purge("flags")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c: c.queue.publish_many("q", "abc"), "payloads must be a list, not str"),
        (lambda c: c.queue.publish_many("q", b"abc"), "payloads must be a list, not bytes"),
        (lambda c: c.queue.publish_many("q", {"a": 1}), "payloads must be a list, not dict"),
        (lambda c: c.queue.publish_many("q", None), "payloads must be a list, not NoneType"),
        (lambda c: c.stream.publish_many("r", ["ab"]), "pairs of event and data, not 'ab'"),
        (lambda c: c.stream.publish_many("r", [("a", 1), 5]), "pairs of event and data, not 5"),
        (lambda c: c.stream.publish_many("r", "ab"), "pairs must be a list, not str"),
        (lambda c: c.kv.mset(["ab"]), "pairs of key and value, not 'ab'"),
        (lambda c: c.kv.mset(5), "pairs must be a list, not int"),
        (lambda c: c.kv.mget(None), "keys must be a list, not NoneType"),
        (lambda c: c.kv.scan("\ud800"), "half of a character"),
        (lambda c: c.pubsub.subscribe(5), "topics must be a list, not int"),
        (lambda c: c.pubsub.publish("t", 1, {"a": 1}), "metadata must be texts by name"),
        (lambda c: c.pubsub.publish("t", 1, "ab"), "metadata must be texts by name"),
        (lambda c: c.pubsub.unsubscribe("me", []), "no topic is given"),
        (lambda c: c.info(5), "section must be text"),
    ],
)
def test_arguments_of_a_wrong_type_are_told_before_traffic(c, call, words):
    with pytest.raises(SynapInputError, match=words):
        call(c)


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("http://h", {"username": b"u", "password": "p"}, "not the name of a user"),
        ("http://h", {"username": 5, "password": "p"}, "not the name of a user"),
        ("http://h", {"username": "\ud800", "password": "p"}, "not the name of a user"),
        ("http://h", {"username": "a:b", "password": "p"}, "has a colon"),
        ("http://h", {"rpc_url": 5}, "an address must be text"),
        ("http://h", {"rpc_url": "synap://u:p@h"}, "contains a user or password"),
        ("http://h:5?x=1", {}, "more than a host, a port and a path"),
        ("synap://a", {"rpc_url": "synap://b"}, "not the server that the address names"),
    ],
)
def test_settings_that_contradict_or_are_no_text(url, options, words):
    with pytest.raises(SynapInputError, match=words):
        SynapClient(url, **options)


@pytest.mark.parametrize("content", [5, True, 10**9, {1: 2}, None, [256], ["a"]])
def test_bytes_are_a_list_of_numbers(content):
    with pytest.raises(wire.Refused):
        wire.as_bytes(content)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"subscriber_id": ""}, "a subscriber is empty"),
        ({"subscriber_id": 5}, "a subscriber must be text"),
        ({"quick": 0}, "quick=0 is not a pause"),
        ({"slow": "1"}, "slow='1' is not a pause"),
        ({"quick": float("nan")}, "quick=nan is not a pause"),
    ],
)
def test_settings_of_following_are_checked_before_traffic(synap, options, words):
    with pytest.raises(SynapInputError, match=words):
        AsyncSynapClient(synap.url, api_key=synap.key).stream.follow("r", **options)


@pytest.mark.parametrize("payload", ["null", "[]", "5", '{"ttl":"soon"}'])
def test_answers_that_are_no_figures_are_told(payload):
    body = b'{"success":true,"request_id":"kit","error":null,"payload":' + payload.encode() + b"}"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    server = RawServer(lambda _: [head + body], bodies=True)
    try:
        with SynapClient(server.url) as client:
            with pytest.raises(SynapWireError, match="unknown form"):
                client.kv.ttl("k")
            if not payload.startswith("{"):
                for call in (client.kv.stats, client.pubsub.stats, lambda: client.queue.stats("q")):
                    with pytest.raises(SynapWireError, match="unknown form"):
                        call()
    finally:
        server.close()
