"""Synap against the official SDK, on one embedded server in one run. Run: python -m tests.bench.synap

The official SDK (`synap-sdk`) is used over `synap://`, which its authors recommend, and as its documentation says: `read`
from offset to offset to a DataFrame, `get` key by key, `publish` message by message; and once more with 100 calls under
way at once, which is the most that can be got out of it. Both sides do one small thing first, so that neither
connecting nor loading is in the figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import threading
import time
from contextlib import contextmanager

from kit.core.faces import state_of

from .measure import Figures, Pairs, Side, peak_mb, resident_mb, size, timed
from .measure import main as run

EVENTS = 200_000
AT_ONCE = 100


def body(n: int) -> str:
    """An event of 200 bytes."""
    pad = "x" * (200 - 16 - len(str(n)))
    return f'{{"n":{n},"pad":"{pad}"}}'


@contextmanager
def ours():
    import kit.core.tables.frames
    import kit.synap.explore.explorer

    with kit.synap.explore.explorer.connect(os.environ) as syn:
        yield syn


def official(work) -> Figures:
    from synap_sdk import SynapClient, SynapConfig

    async def main() -> float:
        config = SynapConfig(os.environ["SYNAP_RPC_URL"], auth_token=os.environ["SYNAP_API_KEY"])
        async with SynapClient(config) as client:
            return await work(client)

    return {"time": asyncio.run(main())}


# --- reading a room -------------------------------------------------------------------------------------------------


def ours_read() -> Figures:
    with ours() as syn:
        syn.read("read", limit=10, decode="bytes")
        before = resident_mb()
        started = time.perf_counter()
        frame = syn.read("read", limit=size(), decode="bytes")
        took = time.perf_counter() - started
    assert len(frame) == size()
    result = frame.memory_usage(deep=False).sum() / 2**20
    return {"time": took, "memory / frame": (peak_mb() - before) / result}


def ours_read_json() -> Figures:
    with ours() as syn:
        syn.read("read", limit=10)
        started = time.perf_counter()
        frame = syn.read("read", limit=size())
        took = time.perf_counter() - started
    assert frame["n"].iloc[-1] == size() - 1
    return {"time": took}


def official_read() -> Figures:
    import pandas

    async def read(client) -> float:
        await client.stream.read("read", 0)
        started = time.perf_counter()
        rows, at = [], 0
        while len(rows) < size() and (page := await client.stream.read("read", at)):
            rows += [(event.offset, event.timestamp, event.event, event.data) for event in page]
            at = page[-1].offset + 1
        frame = pandas.DataFrame(rows[: size()], columns=["offset", "timestamp", "event", "data"])
        took = time.perf_counter() - started
        assert len(frame) == size()
        return took

    return official(read)


# --- keys -----------------------------------------------------------------------------------------------------------


def ours_keys() -> Figures:
    with ours() as syn:
        syn.get("key:0", body="text", ttl=False)
        started = time.perf_counter()
        frame = syn.get([f"key:{n}" for n in range(size())], body="text", ttl=False)
        took = time.perf_counter() - started
    assert frame["value"].iloc[-1] == f"value {size() - 1}"
    return {"time": took}


def official_keys(at_once: int = 1) -> Figures:
    import pandas

    async def keys(client) -> float:
        await client.kv.get("key:0")
        started = time.perf_counter()
        names = [f"key:{n}" for n in range(size())]
        values: list[object] = []
        for n in range(0, len(names), at_once):
            part = names[n : n + at_once]
            values += (
                [await client.kv.get(part[0])] if at_once == 1 else await asyncio.gather(*map(client.kv.get, part))
            )
        frame = pandas.DataFrame({"key": names, "value": values})
        took = time.perf_counter() - started
        assert len(frame) == size()
        return took

    return official(keys)


def official_keys_at_once() -> Figures:
    return official_keys(AT_ONCE)


def ours_get() -> Figures:
    from kit.synap import SynapClient

    with SynapClient(os.environ["SYNAP_RPC_URL"], api_key=os.environ["SYNAP_API_KEY"]) as client:
        return timed(lambda: client.kv.get("key:1"), size())


def bare_get() -> Figures:
    """The same request, its answer received and thrown away."""
    from kit.synap.wire import frames as wire

    with ours() as syn:
        syn.client.kv.get("key:1")
        sock = state_of(syn.client).driver._connection.connect()
        request = wire.request(1, "GET", ("key:1",))

        def ask() -> None:
            sock.sendall(request)
            assert sock.recv(65536)

        return timed(ask, size())


def official_get() -> Figures:
    async def get(client) -> float:
        took = []
        for _ in range(size() + 20):
            started = time.perf_counter()
            await client.kv.get("key:1")
            took.append(time.perf_counter() - started)
        return statistics.median(took[20:])

    return official(get)


# --- publishing -----------------------------------------------------------------------------------------------------


def ours_publish() -> Figures:
    with ours() as syn:
        name = f"ours-{os.getpid()}"
        syn.client.queue.create(name)
        syn.client.queue.publish_many(name, ["first", "second"])
        messages = [body(n) for n in range(size())]
        started = time.perf_counter()
        told = syn.client.queue.publish_many(name, messages)
        took = time.perf_counter() - started
        assert len(set(told)) == size()
        syn.client.queue.delete(name)
    return {"time": took}


def bytes_publish() -> Figures:
    """The same requests, encoded beforehand and sent as the connection takes them; the answers are thrown away."""
    from kit.synap.wire import frames as wire

    with ours() as syn:
        name = f"bytes-{os.getpid()}"
        syn.client.queue.create(name)
        frames = b"".join(wire.request(n, "QPUBLISH", (name, body(n).encode())) for n in range(size()))
        sock = state_of(syn.client).driver._connection.connect()
        held, heads = memoryview(bytearray(2**20)), 0
        started = time.perf_counter()
        sender = threading.Thread(target=sock.sendall, args=(frames,))
        sender.start()
        rest = b""
        while heads < size():
            data = memoryview(rest + held[: sock.recv_into(held)])
            at = 0
            while len(data) - at >= 4 and len(data) - at >= (end := 4 + int.from_bytes(data[at : at + 4], "little")):
                at += end
                heads += 1
            rest = bytes(data[at:])
        took = time.perf_counter() - started
        sender.join()
        syn.client.queue.delete(name)
    return {"time": took}


def official_publish(at_once: int = 1) -> Figures:
    async def publish(client) -> float:
        name = f"official-{os.getpid()}"
        await client.queue.create_queue(name)
        await client.queue.publish(name, "first")
        messages = [body(n) for n in range(size())]
        started = time.perf_counter()
        if at_once == 1:
            for message in messages:
                await client.queue.publish(name, message)
        else:
            for n in range(0, len(messages), at_once):
                await asyncio.gather(*(client.queue.publish(name, one) for one in messages[n : n + at_once]))
        took = time.perf_counter() - started
        await client.queue.delete_queue(name)
        return took

    return official(publish)


def official_publish_at_once() -> Figures:
    return official_publish(AT_ONCE)


SIDES: dict[str, Side] = {
    side.__name__: side
    for side in (
        ours_read,
        ours_read_json,
        official_read,
        ours_keys,
        official_keys,
        official_keys_at_once,
        ours_get,
        bare_get,
        official_get,
        ours_publish,
        bytes_publish,
        official_publish,
        official_publish_at_once,
    )
}


def rows(pairs: Pairs) -> None:
    import kit

    # The service keeps 100 000 events of a room at most; the lab's limit can be raised.
    os.environ["KIT_SYNAP_EVENTS"] = os.environ["KIT_SYNAP_UNREAD"] = str(2 * EVENTS)
    with kit.Lab("synap", demo=False, join=False) as lab:
        client, events = lab.synap.client, pairs.size(EVENTS)
        client.stream.create("read")
        for start in range(0, events, 20_000):
            some = [("tick", json.loads(body(n))) for n in range(start, min(start + 20_000, events))]
            client.stream.publish_many("read", some)
        client.kv.mset([(f"key:{n}", f"value {n}") for n in range(10_000)])
        env = lab.env()
        for some in pairs.growth(1_000, 10_000):
            pairs.compare(f"Synap: read {some:,} events to a frame", "ours_read", "official_read", env, size=some)
        name = "Synap: read 200 k events x 200 B to a frame"
        pairs.compare(name, "ours_read", "official_read", env, goal=1 / 8, size=EVENTS)
        pairs.alone(name, "ours_read", env, {"memory / frame": 2.0}, size=EVENTS)
        pairs.compare(f"{name}, a column per JSON key", "ours_read_json", "official_read", env, goal=1 / 5, size=EVENTS)
        name = "Synap: read 10 k keys to a frame"
        pairs.compare(name, "ours_keys", "official_keys", env, goal=1 / 5, size=10_000)
        pairs.compare(f"{name}, theirs 100 at once", "ours_keys", "official_keys_at_once", env, goal=1 / 5, size=10_000)
        pairs.compare("Synap: one key, the server alone", "bare_get", "official_get", env, size=500)
        pairs.compare("Synap: one key", "ours_get", "official_get", env, goal=0.8, size=500)
        name = "Synap: publish 50 k messages x 200 B"
        pairs.compare(name, "ours_publish", "official_publish", env, goal=1 / 3, size=50_000)
        pairs.compare(
            f"{name}, theirs 100 at once", "ours_publish", "official_publish_at_once", env, goal=1 / 3, size=50_000
        )
        pairs.compare(f"{name}, against its bytes only", "ours_publish", "bytes_publish", env, size=50_000)


if __name__ == "__main__":
    run(__spec__.name, rows, SIDES, __doc__)
