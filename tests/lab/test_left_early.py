"""Whoever leaves an iterator early, or loses a session, gets its connection back, without a word on the way."""

import asyncio
import contextlib
import gc
import logging
import os
import threading
import time

import pytest

import kit
from kit.amdahl import AsyncAmdahlClient, start_agent, stream_agent
from kit.claude import AsyncClaudeClient
from kit.core.faces import state_of
from kit.kimberlite import AsyncClient, DataClass, KimberliteError
from kit.s2 import S2, AppendInput, Record, SeqNum
from kit.synap import AsyncSynapClient

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux to count connections"),
]
MANY = 12


@pytest.fixture(scope="module")
def filled(lab):
    """One of each kind to follow."""
    lab.s2.create_basin("basin-left-early").create("s").append(["a"] * 10)
    stream = lab.kimberlite.client.create_stream("left_early", DataClass.PUBLIC)
    lab.kimberlite.append("left_early", ["a"] * 10)
    lab.synap.client.stream.create("left-early")
    lab.synap.client.stream.publish_many("left-early", [("e", n) for n in range(10)])
    going = start_agent(
        lab.amdahl.client, profile_id="researcher", task="look", input_params={"seconds": 0.2, "steps": 500}
    )
    return {"stream": stream, "session": going["session_id"]}


def sockets():
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return found


def settled(before, seconds=5):
    deadline = time.monotonic() + seconds
    while True:
        gc.collect()
        now = sockets()
        if now <= before or time.monotonic() > deadline:
            return now - before
        time.sleep(0.05)


async def asettled(before, seconds=5):
    deadline = time.monotonic() + seconds
    while True:
        gc.collect()
        now = sockets()
        # Closing takes its time, and a loop that ends meanwhile would cut it short.
        if (now <= before and len(asyncio.all_tasks()) == 1) or time.monotonic() > deadline:
            return now - before
        await asyncio.sleep(0.05)


# --- blocking -------------------------------------------------------------------------------------------------------


def s2_read(lab, filled):
    for _ in lab.s2.client.basin("basin-left-early").stream("s").read_session(start=SeqNum(0)):
        break


def s2_append(lab, filled):
    session = lab.s2.client.basin("basin-left-early").stream("s").append_session()
    session.submit(AppendInput([Record(b"x")])).result()


def s2_producer(lab, filled):
    producer = lab.s2.client.basin("basin-left-early").stream("s").producer()
    producer.submit(Record(b"x")).result()


def kimberlite_subscribe(lab, filled):
    for _ in lab.kimberlite.client.subscribe(None, filled["stream"], from_position=0):
        break


def synap_subscribe(lab, filled):
    messages = iter(lab.synap.client.pubsub.subscribe(["left.*"]))
    with publishing(lab):
        next(messages)


def claude_stream(lab, filled):
    for _ in lab.claude.client.stream("words please", "haiku", transport="ws"):
        break


def amdahl_stream(lab, filled):
    for _ in stream_agent(lab.amdahl.client, filled["session"]):
        break


@contextlib.contextmanager
def publishing(lab):
    """Within it, something is published again and again, as nobody is told who has subscribed."""
    over = threading.Event()

    def publish():
        while not over.wait(0.02):
            lab.synap.client.pubsub.publish("left.early", 1)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


BLOCKING = [s2_read, s2_append, s2_producer, kimberlite_subscribe, synap_subscribe, claude_stream, amdahl_stream]


@pytest.mark.parametrize("leave", BLOCKING, ids=lambda one: one.__name__)
def test_blocking(lab, filled, leave, caplog):
    caplog.set_level(logging.WARNING, "asyncio")
    leave(lab, filled)
    time.sleep(0.3)
    gc.collect()
    before = sockets() + 1
    for _ in range(MANY):
        leave(lab, filled)
        gc.collect()
    assert settled(before) <= 0
    assert not caplog.records


# --- awaited --------------------------------------------------------------------------------------------------------


async def as2_read(lab, filled, clients):
    s2 = clients["s2"]
    async for _ in s2.basin("basin-left-early").stream("s").read_session(start=SeqNum(0)):
        break


async def as2_append(lab, filled, clients):
    session = clients["s2"].basin("basin-left-early").stream("s").append_session()
    await (await session.submit(AppendInput([Record(b"x")])))


async def as2_producer(lab, filled, clients):
    producer = clients["s2"].basin("basin-left-early").stream("s").producer()
    await (await producer.submit(Record(b"x")))


async def akimberlite_subscribe(lab, filled, clients):
    async for _ in clients["kimberlite"].subscribe(None, filled["stream"], from_position=0):
        break


async def asynap_subscribe(lab, filled, clients):
    messages = aiter(clients["synap"].pubsub.subscribe(["left.*"]))
    with publishing(lab):
        await anext(messages)


async def asynap_follow(lab, filled, clients):
    async for _ in clients["synap"].stream.follow("left-early", 0):
        break


async def aclaude_stream(lab, filled, clients):
    async for _ in clients["claude"].stream("words please", "haiku", transport="ws"):
        break


async def aamdahl_stream(lab, filled, clients):
    async for _ in stream_agent(clients["amdahl"], filled["session"]):
        break


AWAITED = [
    as2_read,
    as2_append,
    as2_producer,
    akimberlite_subscribe,
    asynap_subscribe,
    asynap_follow,
    aclaude_stream,
    aamdahl_stream,
]


@contextlib.asynccontextmanager
async def clients_of(lab):
    env = lab.env()
    async with contextlib.AsyncExitStack() as stack:
        yield {
            "s2": await stack.enter_async_context(
                S2(env["S2_ACCESS_TOKEN"], endpoints=state_of(lab.s2.client).transport.endpoints)
            ),
            "kimberlite": await stack.enter_async_context(
                AsyncClient(
                    env["KIMBERLITE_ADDRESS"],
                    int(env["KIMBERLITE_TENANT"]),
                    env["KIMBERLITE_API_KEY"],
                    numbering="native",
                )
            ),
            "synap": await stack.enter_async_context(
                AsyncSynapClient(env["SYNAP_URL"], rpc_url=env["SYNAP_RPC_URL"], api_key=env["SYNAP_API_KEY"])
            ),
            "claude": await stack.enter_async_context(AsyncClaudeClient(env["CLAUDE_API_URL"], env["CLAUDE_API_KEY"])),
            "amdahl": await stack.enter_async_context(AsyncAmdahlClient(env["AMDAHL_URL"], env["API_KEY"])),
        }


@pytest.mark.filterwarnings(
    "ignore:.*close it before:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("cancelled", [False, True], ids=["break", "cancelled"])
@pytest.mark.parametrize("leave", AWAITED, ids=lambda one: one.__name__)
def test_awaited(lab, filled, leave, cancelled, caplog):
    caplog.set_level(logging.WARNING, "asyncio")

    async def once(clients):
        if not cancelled:
            return await leave(lab, filled, clients)
        task = asyncio.ensure_future(leave(lab, filled, clients))
        await asyncio.sleep(0.03)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def main():
        async with clients_of(lab) as clients:
            await leave(lab, filled, clients)
            await asyncio.sleep(0.3)
            gc.collect()
            before = sockets() + 2  # kept for the next call
            for _ in range(MANY):
                await once(clients)
                gc.collect()
            return await asettled(before)

    assert asyncio.run(main()) <= 0
    assert not caplog.records
    gc.collect()  # here, where it is expected that the end of the loop leaves what was closed a moment before


def test_an_append_session_dropped_with_work_to_do_does_it_and_warns(lab, filled):
    stream = lab.s2["basin-left-early"].create("dropped")
    client = lab.s2.client.basin("basin-left-early").stream("dropped")

    def dropped(make, item):
        before = len(stream.read(0))
        for _ in range(50):
            make().submit(item)
        deadline = time.monotonic() + 10
        while len(stream.read(0)) < before + 50:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    for make, item in ((client.append_session, AppendInput([Record(b"x")])), (client.producer, Record(b"x"))):
        with pytest.warns(ResourceWarning, match="close it before"):
            dropped(make, item)


def test_a_feed_that_nobody_holds_is_closed(lab, filled):
    stream = lab.s2["basin-left-early"]["s"]
    kit.Feed(stream).close()
    before = sockets()

    def dropped():
        for _ in range(MANY):
            kit.Feed(stream)
            gc.collect()

    with pytest.warns(ResourceWarning, match="feed of basin-left-early/s"):
        dropped()
    assert settled(before) <= 0


def test_a_subscription_that_cannot_be_made_keeps_no_connection(lab, filled):
    client = lab.kimberlite.client
    kept = []
    client.subscribe(None, filled["stream"], from_position=0).close()
    lab.faults()
    before = sockets()
    for _ in range(MANY):
        with lab_fault(lab, "403", path="Subscribe*"), pytest.raises(KimberliteError) as caught:
            client.subscribe(None, filled["stream"], from_position=0)
        kept.append(caught.value)  # as a notebook does, and what it was raised from with it
    deadline = time.monotonic() + 5
    while sockets() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sockets() <= before
    assert len(kept) == MANY


def test_a_subscription_whose_end_is_interrupted_keeps_no_connection(lab, filled):
    async def main():
        async with clients_of(lab) as clients:
            client = clients["kimberlite"]
            await client.stream_length(None, filled["stream"])
            before = sockets()
            with lab_fault(lab, "delay", path="Unsubscribe*", seconds=20, count=MANY):
                for _ in range(MANY):
                    subscription = await client.subscribe(None, filled["stream"], from_position=0)
                    closing = asyncio.ensure_future(subscription.close())
                    await asyncio.sleep(0.05)
                    closing.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await closing
                    del subscription, closing
                return await asettled(before)

    assert asyncio.run(main()) <= 0


@contextlib.contextmanager
def lab_fault(lab, kind, **details):
    """Within, something goes wrong with Kimberlite."""
    lab.faults("kimberlite", kind, **details)
    try:
        yield
    finally:
        lab.faults("kimberlite", clear=True)
