"""The official SDK, unmodified, against the embedded server on both transports."""

import asyncio

import httpx
import pytest
from synap_sdk import SynapClient, SynapConfig, SynapException

from .synaplite import SynapLab

pytestmark = [
    pytest.mark.lab,
    # The SDK closes connections of subscriptions in tasks that nobody waits for.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def synap(tmp_path_factory):
    lab = SynapLab(tmp_path_factory.mktemp("synap"), sweep=0.05)
    yield lab
    lab.close()


@pytest.fixture(params=["http", "synap"])
def run(request, synap):
    """Runs a coroutine function with a client of the transport."""
    url = synap.url if request.param == "http" else synap.rpc_url

    def run_(function):
        async def main():
            async with SynapClient(SynapConfig(url, auth_token=synap.key)) as client:
                return await asyncio.wait_for(function(client), 20)

        return asyncio.run(main())

    run_.transport = request.param
    return run_


def test_values(run):
    async def work(c):
        kv = c.kv
        await kv.set("o:a", "John Doe")
        await kv.set("o:j", {"x": [1, None]})
        await kv.set("o:t", "soon gone", ttl=3600)
        assert await kv.get("o:a") == "John Doe"
        assert await kv.get("o:j") == {"x": [1, None]}
        assert await kv.get("o:none") is None
        assert await kv.exists("o:a") is True
        await kv.delete("o:a")
        assert await kv.exists("o:a") is False
        assert {"o:j", "o:t"} <= set(await kv.scan("o:", limit=10_000))
        stats = await kv.stats()
        assert stats["total_keys"] >= 2

    run(work)


def test_strings(run):
    key = f"o:string:{run.transport}"

    async def work(c):
        await c.kv.set(key, "ab")
        assert await c.send_command("kv.strlen", {"key": key}) == {"length": 2}
        over_http = run.transport == "http"
        # Over HTTP the service appends the JSON of a value.
        length = (await c.send_command("kv.append", {"key": key, "value": "c"}))["length"]
        assert length == (5 if over_http else 3)
        before = await c.send_command("kv.getset", {"key": key, "value": 1 if over_http else "1"})
        assert (before if over_http else before["old_value"]) in ('ab"c"', b"abc", "abc")
        with pytest.raises(SynapException, match=r"(?i)unknown command"):
            await c.hash.set("h", "f", "v")

    run(work)


def test_counters(run):
    async def work(c):
        await c.kv.delete("o:n")
        assert await c.kv.incr("o:n") == 1
        assert await c.kv.incr("o:n", 10) == 11
        assert await c.kv.decr("o:n", 4) == 7
        await c.kv.set("o:word", "word")
        with pytest.raises(SynapException, match="not a valid integer"):
            await c.kv.incr("o:word")

    run(work)


def test_many_at_once(run):
    async def work(c):
        await c.kv.exists("o:m0")  # calls that find no connection would each make one
        await asyncio.gather(*(c.kv.set(f"o:m{n}", n) for n in range(200)))
        assert await asyncio.gather(*(c.kv.get(f"o:m{n}") for n in range(200))) == list(range(200))

    run(work)


def test_a_queue(run):
    name = f"o-{run.transport}"

    async def work(c):
        await c.queue.create_queue(name, max_size=5)
        assert name in await c.queue.list()
        identity = await c.queue.publish(name, b"\xff\x00")
        await c.queue.publish(name, {"action": "x"})
        first = await c.queue.consume(name, "w")
        assert (first.id, first.payload, first.retries) == (identity, b"\xff\x00", 0)
        await c.queue.ack(name, first.id)
        with pytest.raises(SynapException, match="Message not found"):
            await c.queue.ack(name, first.id)
        second = await c.queue.consume(name, "w")
        assert second.payload == {"action": "x"}
        for retries in (1, 2, 3):
            await c.queue.nack(name, second.id)
            second = await c.queue.consume(name, "w")
            assert second.retries == retries
        await c.queue.nack(name, second.id)
        assert await c.queue.consume(name, "w") is None
        stats = await c.queue.stats(name)
        assert (stats["depth"], stats["acked"], stats["nacked"], stats["dead_lettered"]) == (0, 1, 4, 1)
        await c.queue.delete_queue(name)
        with pytest.raises(SynapException, match="Queue not found"):
            await c.queue.stats(name)

    run(work)


def test_priorities_over_http(synap):
    async def work():
        async with SynapClient(SynapConfig(synap.url, auth_token=synap.key)) as c:
            await c.queue.create_queue("o-p")
            for priority in (0, 9, 5, 200):
                await c.queue.publish("o-p", f"p{priority}", priority=priority)
            return [(await c.queue.consume("o-p", "w")).payload for _ in range(4)]

    assert asyncio.run(work()) == ["p9", "p200", "p5", "p0"]


def test_a_room(run):
    room = f"o-{run.transport}"

    async def work(c):
        assert await c.stream.get_or_create_room(room) is True
        assert await c.stream.get_or_create_room(room) is False
        with pytest.raises(SynapException, match="already exists"):
            await c.stream.create_room(room)
        assert [await c.stream.publish(room, "e", {"n": n}) for n in range(3)] == [0, 1, 2]
        events = await c.stream.read(room, offset=1)
        assert [event.offset for event in events] == [1, 2]
        expected = list(b'{"n":1}') if run.transport == "http" else '{"n": 1}'
        assert events[0].data == expected
        assert (await c.stream.stats(room))["message_count"] == 3
        assert room in await c.stream.list_rooms()
        await c.stream.delete_room(room)
        with pytest.raises(SynapException, match="not found"):
            await c.stream.stats(room)

    run(work)


def test_topics(run):
    async def work(c):
        assert await c.pubsub.publish("o.nobody", "x") == 0
        await c.pubsub.subscribe_topics("me", ["o.somebody"])
        assert "o.somebody" in await c.pubsub.list_topics()
        assert await c.pubsub.publish("o.somebody", {"x": 1}) >= 1
        if run.transport == "http":
            assert (await c.pubsub.stats())["messages_published"] >= 2

    run(work)


def test_live_over_synaprpc(synap):
    async def work():
        async with SynapClient(SynapConfig(synap.rpc_url, auth_token=synap.key)) as c:
            got = []
            live = c.pubsub.observe(["o.live.*", "o.all.#"])
            first = asyncio.ensure_future(anext(live))
            while await c.pubsub.publish("o.live.a", "hello") == 0:
                await c.kv.exists("x")  # the subscription is on its way, on a connection of its own
            got.append(await first)
            await c.pubsub.publish("o.live.b.c", "too deep")
            await c.pubsub.publish("o.all.b.c", [1])
            while got[-1]["topic"] != "o.all.b.c":
                got.append(await anext(live))
            await live.aclose()
            watch = c.kv.watch("o:w*")
            told = asyncio.ensure_future(anext(watch))
            while not told.done():
                await c.kv.set("o:w1", "v")
            event = told.result()
            assert (event.key, event.event, event.value) == ("o:w1", "set", "v")
            await watch.aclose()
            return [(one["topic"], one["payload"]) for one in got]

    told = asyncio.run(work())
    assert told[0] == ("o.live.a", '"hello"')
    assert told[-1] == ("o.all.b.c", "[1]")
    assert "o.live.b.c" not in dict(told)


def test_credentials(synap):
    async def value(config):
        async with SynapClient(config) as c:
            await c.kv.set("o:k", "v")
            return await c.kv.get("o:k")

    for good in (
        SynapConfig(synap.url, auth_token=synap.key),
        SynapConfig(synap.url, username="root", password=synap.key),
        SynapConfig(synap.rpc_url, auth_token=synap.key),
        SynapConfig(synap.rpc_url, username="root", password=synap.key),
    ):
        assert asyncio.run(value(good)) == "v"
    for bad in (
        SynapConfig(synap.url),
        SynapConfig(synap.url, auth_token="sk_" + "0" * 32),
        SynapConfig(synap.url, username="root", password="wrong"),
        SynapConfig(synap.url, username="nobody", password=synap.key),
    ):
        with pytest.raises(SynapException, match="401"):
            asyncio.run(value(bad))
    for bad, words in (
        (SynapConfig(synap.rpc_url), "NOAUTH"),
        (SynapConfig(synap.rpc_url, auth_token="wrong"), "WRONGPASS"),
    ):
        with pytest.raises(SynapException, match=words):
            asyncio.run(value(bad))


def test_health_is_public_and_a_refusal_has_no_body(synap):
    async def health():
        async with SynapClient(SynapConfig(synap.url)) as c:
            return await c.health()

    assert asyncio.run(health()) == {"status": "healthy", "service": "synap", "version": "1.3.1"}
    refused = httpx.get(f"{synap.url}/info")
    assert (refused.status_code, refused.content) == (401, b"")
    assert "www-authenticate" not in refused.headers
