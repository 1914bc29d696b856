"""Kimberlite's client against a small server that misbehaves on request, and against the embedded one."""

import asyncio
import builtins
import os
import re
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import kit
from kit.kimberlite import (
    AsyncClient,
    Audit,
    Client,
    KimberliteInputError,
    NetworkError,
    OffsetMismatchError,
    Position,
    StreamId,
    StreamNotFoundError,
    TenantId,
    TimeoutError,
    UnauthorizedError,
    WireError,
)
from kit.kimberlite.wire.protocol.codec import requests, responses

from .kimberlitelite import KimberliteLab
from .smallkimberlite import Cut, Silence, SmallServer

pytestmark = pytest.mark.lab
T, S = TenantId(1), StreamId(1, 100)


@pytest.fixture
def small():
    with SmallServer() as server:
        yield server


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    lab = KimberliteLab(tmp_path_factory.mktemp("kimberlite"))
    yield lab
    lab.close()


@pytest.fixture
def client(small):
    with Client(small.address) as client:
        yield client


def appends(server):
    return [request.payload for request in server.seen if isinstance(request.payload, requests.AppendEvents)]


def only_first(kind, error):
    """A hook that fails the first request of a kind."""
    left = [1]

    def hook(request):
        if isinstance(request.payload, kind) and left and left.pop():
            raise error

    return hook


def test_append_and_read(client):
    assert client.append(T, S, b"a") == Position(0)
    assert client.append_batch(T, S, [b"b", b"", b"c"]) == [Position(1), Position(2), Position(3)]
    events = client.read_stream(T, S)
    assert [event.data for event in events] == [b"a", b"b", b"", b"c"]
    assert {(event.tenant_id, event.stream_id) for event in events} == {(T, S)}
    assert {event.timestamp_source for event in events} == {"appended"}
    assert all(event.timestamp.tzinfo for event in events)
    assert [event.data for event in client.iter_stream(T, S, from_position=1, limit=2)] == [b"b", b""]
    assert [event.data for event in client.read_stream(T, S, from_position=1, limit=np.int64(2))] == [b"b", b""]
    assert client.stream_length(T, S) == Position(4)


def test_no_events_are_never_sent(client, small):
    assert client.append_batch(T, S, []) == []
    assert small.ops() == ["Handshake"]


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.append(TenantId(2), S, b"x"),
        lambda client: client.append(T, S, "text"),
        lambda client: client.append_batch(T, S, b"bytes"),
        lambda client: client.append(T, 1.5, b"x"),
        lambda client: client.read_stream(T, S, from_position=-1),
        lambda client: client.read_from_position("x"),
        lambda client: client.query(""),
        lambda client: client.execute("select 1"),
        lambda client: client.subscribe(T, S, credits=0),
    ],
)
def test_bad_input_is_refused_before_anything_is_sent(client, small, call):
    with pytest.raises(KimberliteInputError):
        call(client)
    assert not {"AppendEvents", "ReadEvents", "Query", "Subscribe"} & {*small.ops()}


def test_two_writers_follow_each_other(client, small):
    with Client(small.address) as other:
        for n in range(20):
            (client, other)[n % 2].append(T, S, b"%d" % n)
    assert [event.data for event in client.read_stream(T, S)] == [b"%d" % n for n in range(20)]


def test_an_expected_length_is_kept(client, small):
    client.append(T, S, b"a", expected_offset=0)
    with pytest.raises(OffsetMismatchError) as caught:
        client.append(T, S, b"b", expected_offset=Position(5))
    assert (caught.value.expected, caught.value.actual, caught.value.code) == (5, 1, 16)
    assert caught.value.request_id is not None
    assert len(client.read_stream(T, S)) == 1


def test_a_lost_answer_is_no_second_write(client, small):
    client.append(T, S, b"before")
    small.after = only_first(requests.AppendEvents, Cut())
    assert client.append(T, S, b"once") == Position(1)
    assert [event.data for event in client.read_stream(T, S)] == [b"before", b"once"]


def test_a_lost_request_is_written_behind_what_came_between(client, small):
    client.append(T, S, b"before")

    def hook(request):
        if isinstance(request.payload, requests.AppendEvents) and not done:
            done.append(1)
            small.streams[request.payload.stream_id].append(b"of another")
            raise Cut

    done = []
    small.hook = hook
    assert client.append(T, S, b"mine") == Position(2)
    assert [event.data for event in client.read_stream(T, S)] == [b"before", b"of another", b"mine"]


def test_a_large_batch_in_pieces_under_cuts_is_whole(small):
    events = [b"%06d" % n + bytes(1000) for n in range(5000)]
    left = [3, 7, 9]

    def after(request):
        if isinstance(request.payload, requests.AppendEvents) and len(appends(small)) in left:
            left.remove(len(appends(small)))
            raise Cut

    small.after = after
    with Client(small.address, max_retries=5) as client:
        positions = client.append_batch(T, S, events)
        assert positions == [Position(n) for n in range(5000)]
        assert [event.data for event in client.read_stream(T, S)] == events
    assert len(left) < 3


def test_execute_is_not_sent_twice_and_says_that_it_may_have_happened(client, small):
    small.sql = lambda query: responses.Query(["rows_affected", "log_offset"], [(1, 1)])
    assert client.execute("insert into t values ($1)", [1]).rows_affected == 1
    small.hook = only_first(requests.Query, Cut())
    with pytest.raises(NetworkError, match="may have happened") as caught:
        client.execute("insert into t values (1)")
    assert caught.value.maybe_received and caught.value.op == "execute"
    assert small.ops().count("Query") == 2
    assert client.execute("insert into t values (1)").rows_affected == 1


def test_a_read_is_repeated(client, small):
    client.append(T, S, b"a")
    small.hook = only_first(requests.ReadEvents, Cut())
    assert len(client.read_stream(T, S)) == 1


def test_a_busy_server_is_asked_again(client, small):
    busy = [responses.Error(14, "busy")]
    small.hook = lambda request: busy.pop() if busy and isinstance(request.payload, requests.Query) else None
    assert list(client.query("select 1").rows) == [(1,)]


def test_silence(small):
    with Client(small.address, timeout=0.2, max_retries=0) as client:
        small.hook = only_first(requests.Query, Silence())
        with pytest.raises(TimeoutError) as caught:
            client.query("select 1")
        assert isinstance(caught.value, builtins.TimeoutError) and caught.value.maybe_received
        assert len(client.query("select 1")) == 1


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with pytest.raises(NetworkError) as caught:
        Client(f"127.0.0.1:{port}")
    assert not caught.value.maybe_received


def test_several_addresses_are_tried(small):
    with Client(["127.0.0.1:1", small.address]) as client:
        assert len(client.query("select 1")) == 1


def test_a_server_of_another_protocol():
    with socket.create_server(("127.0.0.1", 0)) as sock:

        def serve():
            connection, _ = sock.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(WireError, match="address"):
            Client(f"127.0.0.1:{sock.getsockname()[1]}")


@pytest.mark.parametrize("key", ["wrong", None])
def test_a_wrong_key(key):
    with SmallServer(key="right") as server:
        with pytest.raises(UnauthorizedError) as caught:
            Client(server.address, T, key)
        assert "wrong" not in str(caught.value)
        with Client(server.address, T, "right") as client:
            assert "right" not in repr(client)


def test_an_interrupt_leaves_the_client_usable(client, small):
    small.hook = only_first(requests.Query, Silence())
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        client.query("select 1")
    assert len(client.query("select 1")) == 1


def test_threads_share_a_client(client):
    threads = [
        threading.Thread(target=lambda n=n: [client.append(T, S, b"%d" % n) for _ in range(50)]) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = [event.data for event in client.read_stream(T, S)]
    assert sorted(events) == sorted(b"%d" % n for n in range(4) for _ in range(50))


def test_a_forked_child_has_a_connection_of_its_own(client):
    client.append(T, S, b"parent")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if client.append(T, S, b"child") == Position(1) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [event.data for event in client.read_stream(T, S)] == [b"parent", b"child"]


def test_a_closed_client_says_so(client):
    client.close()
    client.close()
    with pytest.raises(NetworkError, match="closed"):
        client.query("select 1")


def test_every_request_is_in_the_log(client):
    client.query("select 1")
    with pytest.raises(StreamNotFoundError):
        client.stream_length(T, 1 << 32 | 77)
    rows = kit.calls().tail(2)  # the log is bounded: it need not have grown
    assert rows["op"].tolist() == ["query", "stream_info"] and rows["status"].tolist() == [200, 5]


def test_audit_fields_travel(client, small):
    client.append(T, S, b"x", audit=Audit("me", "because", "c-1", "key-1"))
    (request,) = [one for one in small.seen if isinstance(one.payload, requests.AppendEvents)]
    assert request.audit == Audit("me", "because", "c-1", "key-1")


def test_positions_are_per_stream(client):
    for stream in (S, StreamId(1, 7)):
        client.append_batch(T, stream, [b"%d" % n for n in range(5)])
    found = client.read_from_position(Position(3), limit=3, tenant_id=T)
    assert [(event.position.value, event.stream_id.stream_number) for event in found] == [(3, 100), (3, 7), (4, 100)]


def test_numbering(small):
    with Client(small.address, T) as client:
        orders = client.create_stream("orders")
        client.append(T, orders, b"o")
        client.append(T, StreamId(1, 5), b"five")
        assert small.names == {(1, "orders"): 1 << 32 | 1, (1, "stream_5"): 1 << 32 | 2}
        assert [(row.name, row.length) for row in client.list_streams()] == [("orders", 1), ("stream_5", 1)]
    with Client(small.address, T, numbering="native") as client:
        assert [event.data for event in client.read_stream(T, StreamId(1, 2))] == [b"five"]


# --- subscriptions ----------------------------------------------------------------------------------------------------


def test_a_subscription_sees_what_is_new(client):
    client.append(T, S, b"old")
    with client.subscribe(T, S) as subscription:
        client.append_batch(T, S, [b"%d" % n for n in range(1000)])
        got = [next(subscription).data for _ in range(1000)]
        assert subscription.next_event(timeout=0.05) is None
        assert subscription.position == Position(1001)
    assert got == [b"%d" % n for n in range(1000)]
    assert list(subscription) == [] and subscription.closed


def test_a_subscription_cut_200_times(small):
    small.cut_after = [60 + n * 37 % 500 for n in range(200)]
    count = 20_000
    with Client(small.address) as client:
        client.append_batch(T, S, [b"%d" % n for n in range(count)])
        with client.subscribe(T, S, from_position=0) as subscription:
            events = [event for _, event in zip(range(count), subscription, strict=False)]
            assert subscription.reconnects == 200
    assert [event.position.value for event in events] == list(range(count))
    assert [event.data for event in events] == [b"%d" % n for n in range(count)]


def test_credits_bound_what_is_sent(client, small):
    client.append_batch(T, S, [b"x"] * 100)
    with client.subscribe(T, S, from_position=0, credits=10) as subscription:
        time.sleep(0.3)
        assert len(subscription._flow._events) == 10
        assert sum(1 for _ in zip(range(100), subscription, strict=False)) == 100


def test_a_subscription_that_cannot_come_back_fails(small):
    with Client(small.address, max_retries=1) as client:
        subscription = client.subscribe(T, S)
        small.hook = only_first((), None)
        small.on_loop(close_listener(small))
        small.cut()
        with pytest.raises(NetworkError):
            next(subscription)
        subscription.close()


async def close_listener(server):
    server._server.close()


def test_an_interrupted_wait_loses_no_event(small):
    async def main():
        async with AsyncClient(small.address) as client:
            async with client.subscribe(T, S) as subscription:
                for n in range(20):
                    waiting = asyncio.ensure_future(subscription.next_event())
                    await asyncio.sleep(0.002 * (n % 3))
                    await client.append(T, S, b"%d" % n)
                    waiting.cancel()
                    await asyncio.gather(waiting, return_exceptions=True)
                    if not waiting.cancelled():
                        got.append(waiting.result().data)
                while len(got) < 20:
                    got.append((await subscription.next_event()).data)

    got = []
    asyncio.run(main())
    assert got == [b"%d" % n for n in range(20)]


# --- coroutines -------------------------------------------------------------------------------------------------------


def test_coroutines(small):
    async def main():
        client = await AsyncClient.connect(small.address)
        async with client:
            positions = await asyncio.gather(*[client.append(T, S, b"%d" % n) for n in range(100)])
            assert sorted(position.value for position in positions) == list(range(100))
            assert len(await client.read_stream(T, S)) == 100
            assert [event.position.value async for event in client.iter_stream(T, S, limit=3)] == [0, 1, 2]
            subscription = await client.subscribe(T, S, from_position=90)
            count = 0
            async for _ in subscription:
                count += 1
                if count == 10:
                    await subscription.close()
            assert count == 10
            small.hook = only_first(requests.Query, Silence())
            with pytest.raises(builtins.TimeoutError):
                await asyncio.wait_for(client.query("select 1"), 0.1)
            small.cut()
            assert len(await client.query("select 1")) == 1

    asyncio.run(main())


def test_a_client_outlives_its_loop(small):
    client = asyncio.run(AsyncClient.connect(small.address))
    assert asyncio.run(client.append(T, S, b"x")) == Position(0)
    asyncio.run(client.close())


# --- the embedded server ----------------------------------------------------------------------------------------------


def test_wrong_keys_and_tenants_are_refused(embedded):
    with pytest.raises(UnauthorizedError):
        Client(embedded.address, T, "kmb_live_" + "0" * 64)
    with pytest.raises(UnauthorizedError):
        Client(embedded.address, T)


def test_events_have_the_servers_time(embedded):
    with Client(embedded.address, T, embedded.key) as client:
        stream = client.create_stream("timed")
        client.append_batch(T, stream, [b"a", b"b"])
        client.append(T, stream, b"c")
        events = client.read_stream(T, stream)
    assert {event.timestamp_source for event in events} == {"server"}
    assert abs(events[0].timestamp.timestamp() - time.time()) < 30


def test_sql_and_time_travel(embedded):
    with Client(embedded.address, T, embedded.key) as client:
        client.execute("CREATE TABLE travel (id BIGINT PRIMARY KEY, name TEXT)")
        client.execute("INSERT INTO travel VALUES ($1, $2)", [1, "before"])
        bookmark = client.position()
        client.execute("UPDATE travel SET name = $1 WHERE id = 1", ["after"])
        assert list(client.query("SELECT name FROM travel").rows) == [("after",)]
        assert list(client.query("SELECT name FROM travel", at=bookmark).rows) == [("before",)]


@pytest.mark.parametrize("kind", ["drop", "reset", "truncate"])
def test_appends_under_faults_are_written_once(embedded, kind):
    with Client(embedded.address, T, embedded.key) as client:
        stream = client.create_stream(f"faulty-{kind}")
        for n in range(10):
            if n % 2:
                embedded.faults(kind, "AppendEvents/*", after=3)
            client.append(T, stream, b"%d" % n)
        embedded.plan.clear()
        assert [event.data for event in client.read_stream(T, stream)] == [b"%d" % n for n in range(10)]


@pytest.mark.parametrize("after", [0, 5, 14, 17])
def test_a_greeting_that_breaks_off_is_a_network_error(embedded, after):
    """Cut before, in and behind the head of its frame; a client of either colour says so, and works the next time."""
    embedded.faults("truncate", "Handshake/*", after=after)
    with pytest.raises(NetworkError, match="could not connect"):
        Client(embedded.address, T, embedded.key)
    embedded.faults("truncate", "Handshake/*", after=after)

    async def main():
        with pytest.raises(NetworkError, match="could not connect"):
            await AsyncClient.connect(embedded.address, T, embedded.key)
        assert not embedded.plan.rows()
        async with await AsyncClient.connect(embedded.address, T, embedded.key) as client:
            await client.list_tables()

    asyncio.run(main())


def test_a_live_subscription_under_faults(embedded):
    with Client(embedded.address, T, embedded.key) as client:
        stream = client.create_stream("live")
        embedded.faults("reset", "Push/*", count=20, after=20)
        with client.subscribe(T, stream) as subscription:
            for start in range(0, 10_000, 500):
                client.append_batch(T, stream, [b"%d" % n for n in range(start, start + 500)])
            got = [event.data for _, event in zip(range(10_000), subscription, strict=False)]
            assert subscription.reconnects >= 20
        embedded.plan.clear()
    assert got == [b"%d" % n for n in range(10_000)]


# --- the reference's own snippets -------------------------------------------------------------------------------------

GUIDES = sorted((Path(__file__).parents[3] / "shared" / "seeds").glob("000_*.txt"))
SNIPPETS = re.findall(r"```python\n(.*?)```", GUIDES[0].read_text(), re.DOTALL) if GUIDES else []
needs_guide = pytest.mark.skipif(not GUIDES, reason="the reference is not beside this checkout (shared/seeds)")


@needs_guide
def test_the_guide_has_the_snippets_that_are_run_here():
    assert len(SNIPPETS) == 15


@needs_guide
@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_a_snippet_of_the_reference(embedded, number):
    """Only its import line, its address and its key are changed."""
    snippet = SNIPPETS[number].replace("from kimberlite", "from kit.kimberlite")
    snippet = re.sub(
        r'"localhost:3000"(?!,\n    tenant_id)', f'"{embedded.address}", api_key="{embedded.key}"', snippet
    )
    snippet = snippet.replace('"localhost:3000"', f'"{embedded.address}"').replace("your-api-key", embedded.key)
    scope = {"__name__": "guide", "should_stop": True}
    exec("from kit.kimberlite import *", scope)
    client = scope["client"] = Client(embedded.address, api_key=embedded.key, tenant_id=T)
    scope.update(tenant=T, stream=S, data=b"data", event=None)
    if "event.position    #" in snippet:
        client.append(T, S, b"x")
        scope["event"] = client.read_stream(T, S)[-1]
    writer = threading.Timer(0.3, client.append, (T, S, b"new"))
    if "subscription" in snippet:
        writer.start()
    exec(snippet, scope)
    if writer.is_alive():
        writer.join()
    if "test_append" in scope:
        scope["test_append"]()
    if scope["client"] is not client:
        scope["client"].close()
    client.close()
