"""Synap's client in both colours, over HTTP alone, over HTTP with SynapRPC beside it, and over SynapRPC alone."""

import asyncio
import contextlib
import gc
import inspect
import socket
import threading
import time
import uuid
import warnings
from contextlib import contextmanager

import pytest

import kit
from kit.core.faces import state_of
from kit.synap import (
    AsyncSynapClient,
    SynapClient,
    SynapError,
    SynapInputError,
    SynapTimeoutError,
    SynapTransportError,
    SynapWireError,
    TopicMessage,
    inputs,
)
from kit.synap.client import subscription
from kit.synap.wire import frames as wire

from .synaplite import SynapLab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def synap(tmp_path_factory):
    lab = SynapLab(tmp_path_factory.mktemp("synap"), sweep=0.05, events=500, unread=500)
    yield lab
    lab.close()


@pytest.fixture(autouse=True)
def _no_faults(synap):
    yield
    synap.plan.clear()


def made(synap, kind, way, **options):
    url = synap.rpc_url if way == "rpc" else synap.url
    beside = {"rpc_url": synap.rpc_url} if way == "both" else {}
    return kind(url, api_key=synap.key, **beside, **options)


class Blocking:
    """A client of coroutines on a loop of its own, used as if it blocked: both colours go through one suite."""

    def __init__(self, client):
        self._client, self._loop = client, asyncio.new_event_loop()

    def __getattr__(self, name):
        return _Part(getattr(self._client, name), self._loop)

    def close(self):
        self._loop.run_until_complete(self._client.close())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


class _Part:
    def __init__(self, part, loop):
        self._part, self._loop = part, loop

    def __getattr__(self, name):
        return _Part(getattr(self._part, name), self._loop)

    def __call__(self, *args, **kwargs):
        result = self._part(*args, **kwargs)
        return self._loop.run_until_complete(result) if inspect.isawaitable(result) else result


@pytest.fixture(params=["http", "both", "rpc"])
def way(request):
    return request.param


@pytest.fixture(params=["sync", "async"])
def c(request, synap, way):
    kind = SynapClient if request.param == "sync" else AsyncSynapClient
    client = made(synap, kind, way)
    client = client if kind is SynapClient else Blocking(client)
    yield client
    client.close()


@pytest.fixture
def name():
    return f"t-{uuid.uuid4().hex[:8]}"


# --- keys and values ------------------------------------------------------------------------------------------------


def test_values_come_back_as_they_are(c, name):
    assert c.kv.get(name) is None
    for value in ("text", "42", "true", '"quoted"', "", "käse\n\x00", "<binary data: 5 bytes>"):
        assert c.kv.set(name, value) is True
        assert c.kv.get(name) == value
    c.kv.set(name, {"a": [1, None]})
    assert c.kv.get(name) == '{"a": [1, null]}'
    assert c.kv.get_json(name) == {"a": [1, None]}
    c.kv.set(name, b"utf-8 \xc3\xa4")
    assert c.kv.get(name) == "utf-8 ä"
    assert c.kv.exists(name) is True
    assert c.kv.delete(name) is True
    assert c.kv.delete(name) is False


def test_bytes_that_are_no_text(c, way, name):
    if way == "http":
        with pytest.raises(SynapInputError, match="UTF-8"):
            c.kv.set(name, b"\xff")
        return
    c.kv.set(name, b"\xff\xfe")
    assert c.kv.get(name) == b"\xff\xfe"
    assert c.kv.mget([name, name]) == [b"\xff\xfe"] * 2
    assert c.kv.mget({name: 1}) == [b"\xff\xfe"]


def test_many_keys(c, name):
    pairs = [(f"{name}:{n}", f"value {n}" if n % 2 else {"n": n}) for n in range(50)]
    c.kv.mset(pairs)
    values = c.kv.mget([key for key, _ in pairs] + [f"{name}:none"])
    assert values[1] == "value 1" and values[2] == '{"n": 2}' and values[-1] is None
    assert c.kv.scan(f"{name}:") == sorted(key for key, _ in pairs)
    assert len(c.kv.scan(f"{name}:", limit=7)) == 7
    assert c.kv.mget([]) == [] and c.kv.mset([]) is True
    assert c.kv.stats()["total_keys"] >= 50


def test_counters_and_ends(c, name):
    assert [c.kv.incr(name), c.kv.incrby(name, 5), c.kv.decr(name), c.kv.decrby(name, 3)] == [1, 6, 5, 2]
    assert c.kv.ttl(name) is None
    assert c.kv.expire(name, 100) is True
    assert c.kv.ttl(name) in (99, 100)
    assert c.kv.persist(name) is True and c.kv.persist(name) is False
    c.kv.set(name, "word", ttl=50)
    assert c.kv.ttl(name) in (49, 50)
    with pytest.raises(SynapError, match="not a valid integer") as caught:
        c.kv.incr(name)
    assert caught.value.status_code == 400
    with pytest.raises(SynapError) as caught:
        c.kv.ttl(f"{name}:none")
    assert caught.value.status_code == 404
    assert c.kv.expire(f"{name}:none", 5) is False


# --- queues ---------------------------------------------------------------------------------------------------------


def test_a_queue(c, way, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        c.queue.create(name, max_depth=3, ack_deadline_secs=30, default_max_retries=0, default_priority=1)
    identity = c.queue.publish(name, b"\x00\xff", priority=9, max_retries=3)
    message = c.queue.consume(name, "w")
    assert (message.message_id, message.id, message.payload) == (identity, identity, b"\x00\xff")
    assert (message.priority, message.retry_count) == (9, 0)
    assert message.max_retries == (None if way == "rpc" else 3)
    assert c.queue.nack(name, identity) is True
    assert c.queue.consume(name, "w").retry_count == 1
    assert c.queue.ack(name, identity) is True
    with pytest.raises(SynapError, match="Message not found") as caught:
        c.queue.ack(name, identity)
    assert caught.value.status_code == 404
    assert c.queue.consume(name, "w") is None
    stats = c.queue.stats(name)
    assert (stats.depth, stats["published"], stats.acked, stats.nacked) == (0, 1, 1, 1)
    c.queue.publish(name, {"job": 1})
    assert c.queue.consume(name, "w").json() == {"job": 1}
    c.queue.publish_many(name, ["a", "b"])
    if way != "rpc":
        c.queue.publish(name, "c")
        with pytest.raises(SynapError, match="full") as caught:
            c.queue.publish_many(name, ["d", "e"])
        assert caught.value.status_code == 507
        assert caught.value.published == [None, None]
    assert c.queue.purge(name) == (2 if way == "rpc" else 3)
    assert name in c.queue.list()
    assert c.queue.delete(name) is True and c.queue.delete(name) is False


def test_what_is_published_in_order_comes_in_order(c, name):
    c.queue.create(name)
    texts = [f"{n}".encode() for n in range(60)]
    c.queue.publish_many(name, texts[:30])
    c.queue.publish_many(name, texts[30:], ordered=True)
    assert [c.queue.consume(name, "w").payload for _ in texts] == texts
    c.stream.create(name)
    assert c.stream.publish_many(name, [("e", n) for n in range(30)], ordered=True) == list(range(30))


def test_an_unknown_queue_is_told_from_an_empty_one(c, name):
    for call in (
        lambda: c.queue.consume(name, "w"),
        lambda: c.queue.stats(name),
        lambda: c.queue.publish(name, b"x"),
        lambda: c.queue.publish_many(name, [b"x", b"y"]),
        lambda: c.queue.purge(name),
    ):
        with pytest.raises(SynapError, match="Queue not found") as caught:
            call()
        assert caught.value.status_code == 404


def test_what_is_not_acknowledged_comes_again(c, way, name):
    if way == "rpc":
        pytest.skip("over SynapRPC a queue has the server's own deadline")
    c.queue.create(name, ack_deadline_secs=0)
    identity = c.queue.publish(name, "again", max_retries=1)
    seen = []
    stop = time.monotonic() + 10
    while len(seen) < 2 and time.monotonic() < stop:
        message = c.queue.consume(name, "dies")
        if message:
            seen.append((message.message_id, message.retry_count))
    assert seen == [(identity, 0), (identity, 1)]


def test_large_messages(synap, name):
    large = bytes(range(256)) * 4000
    with made(synap, SynapClient, "http") as client:
        client.queue.create(name)
        with pytest.raises(SynapInputError, match=r"3,[\d,]+ bytes.* 2,097,152"):
            client.queue.publish(name, large)
    with made(synap, SynapClient, "both") as client:
        client.queue.publish(name, large)
        assert client.queue.consume(name, "w").payload == large


# --- rooms ----------------------------------------------------------------------------------------------------------


def test_a_room(c, way, name):
    assert c.stream.create(name) is True
    assert c.stream.create(name) is False
    data = ["text", {"a": 1}, [1, 2], None, 5, "käse"]
    assert [c.stream.publish(name, "e", one) for one in data] == list(range(6))
    events = c.stream.consume(name, "s", from_offset=0, limit=10)
    assert [event.data for event in events] == data
    assert [event.offset for event in events] == list(range(6))
    assert {event.room for event in events} == {name}
    assert c.stream.publish_many(name, [("f", n) for n in range(20)]) == list(range(6, 26))
    assert [event.data for event in c.stream.consume(name, "s", 10, 3)] == [4, 5, 6]
    assert c.stream.consume(name, "s", from_offset=500) == []
    assert c.stream.stats(name).total_published == 26
    assert name in c.stream.list()
    if way != "http":
        c.stream.publish(name, "bytes", b"\xff")
        assert c.stream.consume(name, "s", from_offset=26)[0].data == b"\xff"
    assert c.stream.delete(name) is True
    for call in (lambda: c.stream.consume(name, "s"), lambda: c.stream.publish(name, "e", 1)):
        with pytest.raises(SynapError, match="not found") as caught:
            call()
        assert caught.value.status_code == 400


def test_an_offset_that_is_gone(c, name):
    c.stream.create(name)
    c.stream.publish_many(name, [("e", n) for n in range(600)])
    with pytest.raises(SynapError, match="earliest retained offset is 100") as caught:
        c.stream.consume(name, "s", from_offset=3)
    assert caught.value.status_code == 400


def test_arguments_that_the_server_does_not_know_are_told_once(synap, name):
    inputs._WARNED.clear()
    with made(synap, SynapClient, "rpc") as client:
        with pytest.warns(UserWarning, match="keeps for an hour"):
            client.stream.create(name, partitions=1, retention_hours=48)
        with pytest.warns(UserWarning, match="synap://"):
            client.queue.create(name, max_depth=10)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            client.stream.create(name, retention_hours=48)
            client.queue.create(name, max_depth=10)


# --- topics ---------------------------------------------------------------------------------------------------------


def listeners(client):
    told = client.pubsub.stats()
    return told["total_subscribers"]


async def first_messages(client, topics, count, publish):
    """The first messages of a subscription; published as soon as it stands."""
    got = []
    live = client.pubsub.subscribe(topics)
    batches = live.batches()
    assert await anext(batches) == []
    publishing = asyncio.get_running_loop().run_in_executor(None, publish)
    while len(got) < count:
        got += await asyncio.wait_for(anext(batches), 10)
    await publishing
    await batches.aclose()
    return live, got


@pytest.mark.parametrize("kind", [SynapClient, AsyncSynapClient])
def test_subscriptions(synap, way, kind, name, caplog):
    caplog.set_level("DEBUG")

    def publish():
        with made(synap, SynapClient, way) as other:
            for message in ("text", {"a": [1]}, None, '"quoted"'):
                assert other.pubsub.publish(f"{name}.a", message) == 1
            other.pubsub.publish(f"{name}.a.b", "too deep")
            assert other.pubsub.publish(f"{name}.z", 5, metadata={"k": "v"} if way != "rpc" else None) == 1

    client = made(synap, kind, way)
    live, got = asyncio.run(first_messages(client, [f"{name}.*"], 5, publish))
    assert [one.message for one in got] == ["text", {"a": [1]}, None, '"quoted"', 5]
    assert got[0].topic == f"{name}.a" and got[0].payload == "text" and got[0].id
    assert live.transport == ("synaprpc" if way == "rpc" else "websocket")
    assert got[-1].metadata == (None if way == "rpc" else {"k": "v"})
    assert synap.key not in caplog.text
    if kind is SynapClient:
        client.close()


def test_topics_as_columns(synap, way, name):
    async def main():
        async with made(synap, AsyncSynapClient, way) as client:
            tables = client.pubsub.subscribe([name]).tables()
            first = await anext(tables)
            await client.pubsub.publish(name, {"a": "ä"})
            table = await asyncio.wait_for(anext(tables), 10)
            await tables.aclose()
            return first, table

    first, table = asyncio.run(main())
    assert first.num_rows == 0 and first.schema == table.schema
    assert table["topic"].to_pylist() == [name]
    assert table["data"].to_pylist() == ['{"a": "ä"}'.encode()]


def test_where_websockets_do_not_work_synaprpc_is_taken(synap, name):
    synap.faults("500", "/pubsub/ws", count=1)
    with made(synap, SynapClient, "both") as client:
        live, got = asyncio.run(first_messages(client, [name], 1, lambda: client.pubsub.publish(name, 1)))
        assert live.transport == "synaprpc"
        assert [one.message for one in got] == [1]
        again, _ = asyncio.run(first_messages(client, [name], 1, lambda: client.pubsub.publish(name, 2)))
        assert again.transport == "synaprpc"  # remembered
    synap.faults("500", "/pubsub/ws", count=1)
    with made(synap, SynapClient, "http") as client:
        with pytest.raises(SynapTransportError, match="WebSocket"):
            asyncio.run(first_messages(client, [name], 1, lambda: None))


def test_a_subscription_survives_its_connection(synap, way, name):
    async def main():
        client = made(synap, AsyncSynapClient, way)
        live = client.pubsub.subscribe([name])
        batches = live.batches()
        assert await anext(batches) == []
        for n in range(3):
            synap.do(cut, synap.server)
            assert await asyncio.wait_for(anext(batches), 10) == []  # it stands again
            await client.pubsub.publish(name, n)
            assert [one.message for one in await asyncio.wait_for(anext(batches), 10)] == [n]
        assert live.gaps == 3
        await batches.aclose()
        await client.close()

    asyncio.run(main())


def cut(server):
    for connection in list(server._connections):
        connection._transport.abort()
    for connection in list(server._web._state.connections):
        connection.transport.abort()


def test_a_plain_loop_receives_and_close_ends_it(synap, way, name):
    got = []
    with made(synap, SynapClient, way) as client:
        live = client.pubsub.subscribe([name])

        def receive():
            for message in live:
                got.append(message)
                if message.message == "stop":
                    live.close()

        thread = threading.Thread(target=receive)
        thread.start()
        stop = time.monotonic() + 10
        while client.pubsub.publish(name, "hello") == 0 and time.monotonic() < stop:
            pass
        client.pubsub.publish(name, "stop")
        thread.join(10)
        assert not thread.is_alive()
        assert isinstance(got[0], TopicMessage) and got[-1].message == "stop"
        while listeners(client) and time.monotonic() < stop:
            pass
        assert listeners(client) == 0  # nothing is left behind


def test_a_listener_stays_alive_beyond_the_idle_time(tmp_path, monkeypatch, name):
    monkeypatch.setattr(subscription, "PING_RPC", 0.1)
    lab = SynapLab(tmp_path, idle=0.5)
    try:

        async def main():
            client = AsyncSynapClient(lab.rpc_url, api_key=lab.key)
            live = client.pubsub.subscribe([name])
            batches = live.batches()
            await anext(batches)
            waiting = asyncio.ensure_future(anext(batches))
            await asyncio.wait([waiting], timeout=1.5)  # three times the server's patience
            await client.pubsub.publish(name, 1)
            assert [one.message for one in await asyncio.wait_for(waiting, 5)] == [1]
            assert live.gaps == 0
            await batches.aclose()
            await client.close()

        asyncio.run(main())
    finally:
        lab.close()


# --- following ------------------------------------------------------------------------------------------------------


def test_following_a_room(synap, way, name):
    async def main():
        client = made(synap, AsyncSynapClient, way)
        await client.stream.create(name)
        await client.stream.publish_many(name, [("e", n) for n in range(5)])
        follower = client.stream.follow(name, 2, quick=0.01)
        batches = aiter(follower)

        async def following():
            batch = await asyncio.wait_for(anext(batches), 10)
            return batch.events["offset"].to_pylist(), batch

        offsets, batch = await following()
        assert offsets == [2, 3, 4] and batch.next_offset == 5
        await client.stream.publish(name, "e", "x")
        assert (await following())[0] == [5]
        # So many at once that the beginning is gone before it is read: the room keeps 500.
        pending = asyncio.ensure_future(following())
        await client.stream.publish_many(name, [("e", n) for n in range(1500)])
        offsets, batch = await pending
        seen, missed = list(offsets), batch.missed
        while seen[-1] < 1505:
            offsets, batch = await following()
            missed += batch.missed
            seen += offsets
        assert seen == sorted(seen) and len(set(seen)) == len(seen)
        assert len(seen) + missed == 1500
        await client.stream.delete(name)
        await client.stream.create(name)
        await client.stream.publish_many(name, [("e", n) for n in range(3)])
        offsets, batch = await following()
        assert (offsets, batch.restarted, batch.missed) == ([0, 1, 2], True, 0)
        synap.do(cut, synap.server)
        with made(synap, SynapClient, way) as other:
            other.stream.publish(name, "e", "after the cut")
        assert (await following())[0] == [3]
        await batches.aclose()
        await client.close()

    asyncio.run(main())


def test_following_nothing(synap, name):
    async def main():
        async with made(synap, AsyncSynapClient, "both") as client:
            with pytest.raises(SynapError, match="not found"):
                await anext(aiter(client.stream.follow(name)))

    asyncio.run(main())


# --- refusals and failures ------------------------------------------------------------------------------------------


def test_a_wrong_key(synap):
    for url in (synap.url, synap.rpc_url):
        for options in ({"api_key": "sk_wrong"}, {"username": "root", "password": "wrong"}, {}):
            with SynapClient(url, **options) as client, pytest.raises(SynapError) as caught:
                client.kv.get("k")
            assert caught.value.status_code == 401
            assert caught.value.message and "wrong" not in caught.value.message.replace("wrong user", "")
    with SynapClient(synap.url, username="root", password=synap.key) as client:
        client.kv.set("k", "v")


@pytest.mark.parametrize("kind", ["drop", "reset", "truncate", "503", "garbage"])
@pytest.mark.parametrize("path", ["/api/v1/command", "/rpc/*"])
def test_reading_outlives_a_fault_and_consuming_is_never_repeated(synap, kind, path, name):
    way = "http" if path.startswith("/api") else "rpc"
    with made(synap, SynapClient, way) as client:
        client.kv.set(name, "v")
        client.queue.create(name)
        client.queue.publish_many(name, ["a", "b"])
        if kind not in ("garbage", "503", "truncate") or (way, kind) == ("http", "503"):
            synap.faults(kind, path, count=1, after=1)
            assert client.kv.get(name) == "v"
        synap.faults(kind, path, count=1, after=1)
        with pytest.raises(SynapError):
            client.queue.consume(name, "w")
        assert client.queue.stats(name).consumed <= 1


def test_publishing_many_tells_which_are_there(synap, name):
    with made(synap, SynapClient, "rpc") as client:
        client.queue.create(name)
        synap.faults("reset", "/rpc/QPUBLISH", skip=700, count=1, after=3)
        with pytest.raises(SynapTransportError) as caught:
            client.queue.publish_many(name, [f"{n}" for n in range(1000)])
        told = caught.value.published
        assert caught.value.maybe_received is True
        assert len(told) == 1000
        confirmed = {identity for identity in told if identity}
        there = set()
        while message := client.queue.consume(name, "w"):
            there.add(message.message_id)
        assert confirmed <= there


@contextmanager
def answering(*pieces):
    """A port that answers whatever comes first with these bytes, and then waits."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()

        def serve():
            with contextlib.suppress(OSError), listening.accept()[0] as connection:
                connection.recv(65536)
                for piece in pieces:
                    connection.sendall(piece)
                over.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        over.set()
        thread.join()


NONSENSE = (
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"\xff\xff\xff\xff",
    wire.frame(b"\xc1"),
    wire.frame(b"\x92\x01\x81\xa2Ok\xc0"),
    wire.answer(77, "an answer to nothing"),
    wire.frame(b"\x92\x01\x81\xa2Ok" + b"\x81\xa5Array\x91" * 9000),
)


@pytest.mark.parametrize("answer", NONSENSE)
@pytest.mark.parametrize("kind", [SynapClient, AsyncSynapClient])
def test_nonsense(kind, answer):
    with answering(answer) as port:
        client = kind(f"synap://127.0.0.1:{port}", timeout=0.5)
        client = client if kind is SynapClient else Blocking(client)
        with pytest.raises(SynapTransportError):
            client.kv.incr("k")
        client.close()


@pytest.mark.parametrize("kind", [SynapClient, AsyncSynapClient])
def test_silence(kind):
    with answering() as port:
        client = kind(f"synap://127.0.0.1:{port}", timeout=0.2)
        client = client if kind is SynapClient else Blocking(client)
        with pytest.raises(SynapTimeoutError, match=r"0\.2 s"):
            client.queue.consume("q", "w")
        client.close()


def test_another_service_at_the_address():
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull") as port:
        with SynapClient(f"http://127.0.0.1:{port}") as client, pytest.raises(SynapWireError, match="not one of Synap"):
            client.kv.get("k")


@pytest.mark.parametrize("kind", [SynapClient, AsyncSynapClient])
def test_half_a_greeting_does_not_spoil_the_connections_after_it(synap, kind):
    synap.faults("garbage", "/rpc/AUTH")
    client = kind(synap.rpc_url, api_key=synap.key)
    client = client if kind is SynapClient else Blocking(client)
    with pytest.raises(SynapTransportError):
        client.kv.incr("greeted")
    assert client.kv.incr("greeted") == 1
    client.kv.delete("greeted")
    client.close()


@pytest.mark.parametrize(
    ("write", "left"),
    [
        (lambda kv, key: kv.delete(key), None),
        (lambda kv, key: kv.set(key, "mine"), "theirs"),
        (lambda kv, key: kv.mset({key: "mine", f"{key}:2": "x"}), "theirs"),
    ],
    ids=["delete", "set", "mset"],
)
def test_a_write_whose_answer_is_lost_is_not_sent_again(synap, way, name, write, left):
    """A second try would undo what another client wrote meanwhile, or tell that what it deleted was never there."""
    with made(synap, SynapClient, way) as client, made(synap, SynapClient, "http") as other:
        client.kv.set(name, "before")
        client.kv.mset({f"{name}:2": "y", f"{name}:3": "z"})  # all its connections are open now
        synap.faults("reset", "*", count=1, after=1)
        with pytest.raises(SynapTransportError) as caught:
            write(client.kv, name)
        assert caught.value.maybe_received
        if left is not None:
            other.kv.set(name, left)
        assert other.kv.get(name) == left
        other.kv.delete(name)


def test_a_restart_between_calls_goes_unnoticed(tmp_path):
    lab = SynapLab(tmp_path)
    client = SynapClient(lab.rpc_url, api_key=lab.key)
    client.kv.set("k", "v")
    lab.do(cut, lab.server)
    state_of(client).driver._connection._used = 0.0  # as if it had been a while
    client.queue.create("q")
    assert client.queue.publish("q", "once")  # not safe to repeat, and not repeated: the end was seen before
    client.close()
    lab.close()


def test_many_threads_and_many_tasks(synap, way, name):
    with made(synap, SynapClient, way) as client:

        def work(n):
            for i in range(10):
                client.kv.set(f"{name}:{n}", f"{i}")
                assert client.kv.get(f"{name}:{n}") == f"{i}"

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert client.kv.mget([f"{name}:{n}" for n in range(8)]) == ["9"] * 8

    async def main():
        client = made(synap, AsyncSynapClient, way)
        assert await asyncio.gather(*(client.kv.incr(f"{name}:n") for _ in range(100)))
        assert await client.kv.get(f"{name}:n") == "100"
        await client.close()

    asyncio.run(main())


# What a loop has opened is left to the collector when the loop ends before the client does.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_client_on_one_loop_after_another(synap, way, name):
    client = made(synap, AsyncSynapClient, way)

    async def work(last):
        await client.kv.incr(name)
        if last:
            await client.close()

    for n in range(3):
        asyncio.run(work(n == 2))
    with pytest.raises(SynapError, match="the client is closed"):
        asyncio.run(work(True))
    with made(synap, SynapClient, way) as other:
        assert other.kv.get(name) == "3"
    client = None
    gc.collect()  # here, where its warnings are expected


def test_every_call_is_in_the_log(synap, name):
    with made(synap, SynapClient, "both") as client:
        client.kv.set(name, "v")
        client.kv.mget([name, name])
    ops = kit.calls().query("service == 'synap'")["op"].tolist()[-3:]
    assert "kv.set" in ops and "MGET" in ops


# --- interrupts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["http", "rpc"])
def test_an_interrupt_leaves_the_client_usable(synap, way, name):
    import signal

    with made(synap, SynapClient, way) as client:
        client.kv.set(name, "v")
        synap.faults("delay", "*", seconds=5)
        timer = threading.Timer(0.2, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            client.kv.get(name)
        timer.join()
        assert client.kv.get(name) == "v"


@pytest.mark.parametrize("way", ["http", "rpc"])
def test_a_cancelled_call_leaves_the_client_usable(synap, way, name):
    async def main():
        async with made(synap, AsyncSynapClient, way) as client:
            await client.kv.set(name, "v")
            synap.faults("delay", "*", seconds=0.4)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.kv.get(name), 0.1)
            assert await asyncio.gather(*(client.kv.get(name) for _ in range(10))) == ["v"] * 10

    asyncio.run(main())


def test_the_last_of_many_answers_does_not_come():
    """A server that answers all calls but the last: it is not waited for without end, nor asked for in a circle."""

    def serve(server):
        connection, _ = server.accept()
        with connection:
            frames, answers = wire.Frames(), []
            while len(answers) < 5:
                answers += [
                    wire.answer(wire.read_request(body)[0], "id") for body in frames.feed(connection.recv(65536))
                ]
            connection.sendall(b"".join(answers[:-1]))
            over.wait(20)

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        with SynapClient(f"synap://127.0.0.1:{server.getsockname()[1]}", timeout=0.5) as client:
            began, worked = time.monotonic(), time.process_time()
            with pytest.raises(SynapError) as caught:
                client.queue.publish_many("jobs", ["a", "b", "c", "d", "e"])
            over.set()
            assert time.monotonic() - began < 10
            assert time.process_time() - worked < 0.3, "it asked and asked while it waited"
    assert caught.value.published == ["id"] * 4 + [None]
