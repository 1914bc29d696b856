"""Kimberlite's clients where they are shared or left early: forks, other writers, answers that nobody waits for."""

import asyncio
import gc
import os
import socket
import time

import numpy as np
import pytest

from kit.core.faces import state_of
from kit.kimberlite import (
    AsyncClient,
    Client,
    DataClass,
    KimberliteInputError,
    NetworkError,
    OffsetMismatchError,
    Position,
    StreamId,
    TenantId,
    TimeoutError,
)
from kit.kimberlite.client import appending
from kit.kimberlite.wire.protocol.codec import requests

from .smallkimberlite import Silence, SmallServer

pytestmark = pytest.mark.lab
T, S = TenantId(1), StreamId(1, 100)


@pytest.fixture
def small():
    with SmallServer() as server:
        yield server


@pytest.fixture
def client(small):
    with Client(small.address) as client:
        yield client


def forked(work):
    """Do something in a fork, and wait for its end."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_closing_a_client_in_a_fork_leaves_the_parents_connection_alone(client, small):
    client.append(T, S, b"before")
    forked(client.close)
    assert client.append(T, S, b"after") == Position(1)
    assert small.accepted == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_an_async_client_that_a_fork_uses_too_answers_its_parent(small):
    async def length():
        return (await client.stream_length(T, S)).value

    def there():
        assert asyncio.run(length()) == 0
        gc.collect()  # the parent's connection is collected, and closes itself

    client = AsyncClient(small.address, timeout=5)
    assert asyncio.run(length()) == 0
    forked(there)
    assert asyncio.run(asyncio.wait_for(length(), 4)) == 0
    asyncio.run(client.close())


def test_answers_that_nobody_waits_for_are_not_kept(client, small, monkeypatch):
    monkeypatch.setattr("kit.kimberlite.client.reading.PAGE", 100)
    client.append_batch(T, S, [b"x" * 60] * 50)
    for _ in range(5):
        reading = client.iter_stream(T, S)
        next(reading)
        reading.close()
    assert client.stream_length(T, S) == Position(50)
    connection = state_of(client).driver
    assert (connection._answers, connection._flights) == ({}, {})

    async def left():
        async with await AsyncClient.connect(small.address) as client:
            for _ in range(5):
                reading = client.iter_stream(T, S)
                await anext(reading)
                await reading.aclose()
            await client.stream_length(T, S)
            connection = state_of(client).driver.connection
            return dict(connection._answers), dict(connection._flights)

    assert asyncio.run(left()) == ({}, {})


def test_events_stay_in_order_where_another_writer_appends_as_many(client, small, monkeypatch):
    """The other writer is quicker once, by as many events as a request has; the requests behind it would fit."""
    monkeypatch.setattr(appending.batches_of, "__defaults__", (100,))
    others = [1]

    def hook(request):
        if isinstance(request.payload, requests.AppendEvents) and others:
            others.pop()
            small.streams[request.payload.stream_id] += [b"other"] * len(request.payload.events)

    client.append(T, S, b"first")
    small.hook = hook
    events = [b"%060d" % n for n in range(6)]
    places = client.append_batch(T, S, events)
    assert places == sorted(places)
    stored = [event.data for event in client.read_stream(T, S)]
    assert [data for data in stored if len(data) == 60] == events


def test_nothing_is_written_behind_a_place_that_was_taken(client, small, monkeypatch):
    monkeypatch.setattr(appending.batches_of, "__defaults__", (100,))
    client.append(T, S, b"other")
    with pytest.raises(OffsetMismatchError) as caught:
        client.append_batch(T, S, [b"%060d" % n for n in range(6)], expected_offset=0)
    assert caught.value.appended == 0
    assert [event.data for event in client.read_stream(T, S)] == [b"other"]


def test_the_position_of_a_subscription_is_that_of_the_next_event(client, small):
    client.append_batch(T, S, [b"a", b"b", b"c"])
    with client.subscribe(T, S, from_position=0) as events:
        until = time.monotonic() + 10
        while events._flow.next != 3 and time.monotonic() < until:
            time.sleep(0.01)
        assert events.position == Position(0)
        assert [next(events).position.value for _ in range(2)] == [0, 1]
        assert events.position == Position(2)


@pytest.mark.parametrize("credits", [2.5, "3", True, 0, -1, 2**32])
def test_credits_that_are_none_change_nothing(client, credits):
    client.append_batch(T, S, [b"%d" % n for n in range(60)])
    with client.subscribe(T, S, from_position=0, credits=4) as events:
        with pytest.raises(KimberliteInputError, match="number of events from 1 up"):
            events.grant_credits(credits)
        assert [events.next_event(timeout=5).data for _ in range(60)] == [b"%d" % n for n in range(60)]


def test_credits_while_the_connection_is_made_again(client):
    with client.subscribe(T, S, from_position=0) as events:
        events._flow._id = None
        with pytest.raises(ConnectionError, match="made again"):
            events.grant_credits(1)


@pytest.mark.parametrize("tenant", [True, 1.0, "1", float("nan")])
def test_a_tenant_is_a_whole_number(client, small, tenant):
    for use in (
        lambda: client.append(tenant, S, b"x"),
        lambda: client.list_tables(tenant_id=tenant),
        lambda: Client(small.address, tenant),
    ):
        with pytest.raises(KimberliteInputError, match="a tenant's id must be a whole number"):
            use()


def test_a_stream_may_be_a_number_of_numpy(client):
    client.append(T, StreamId(1, 100), b"x")
    [row] = client.list_streams(tenant_id=T)
    assert client.stream_length(np.int64(1), np.uint64(row.id)) == Position(1)
    for stream in (T, Position(1), 1.0, True):
        with pytest.raises(KimberliteInputError, match="a stream must be"):
            client.stream_length(T, stream)


@pytest.mark.parametrize("params", ["ab", b"ab", {"a": 1}, {1, 2}, 5, None])
def test_parameters_are_a_list(client, params):
    with pytest.raises(KimberliteInputError, match="params must be a list"):
        client.query("select $1, $2", params)


def test_arguments_of_a_wrong_type_are_told_in_words(client, small):
    for use, words in (
        (lambda: client.append_batch(T, S, None), "events must be a list of bytes, not NoneType"),
        (lambda: Client(5), "an address must be text, not int"),
        (lambda: Client(b"localhost:1"), "an address must be text, not bytes"),
        (lambda: Client(small.address, default_data_class="PHI"), "'PHI' is not a DataClass"),
    ):
        with pytest.raises(KimberliteInputError, match=words):
            use()
    with Client(small.address, default_data_class=DataClass.PHI) as other:
        assert other.append(T, StreamId(1, 9), b"x") == Position(0)


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_an_address_that_does_not_answer_is_not_the_last_one_tried(small, colour):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        place = f"127.0.0.1:{deaf.getsockname()[1]}"

        def length(addresses):
            if colour == "sync":
                with Client(addresses, timeout=0.3) as client:
                    return client.stream_length(T, S)

            async def awaited():
                async with await AsyncClient.connect(addresses, timeout=0.3) as client:
                    return await client.stream_length(T, S)

            return asyncio.run(awaited())

        assert length([place, small.address]) == Position(0)
        with pytest.raises(TimeoutError, match=r"no answer within 0\.3 s"):
            length(place)
        with pytest.raises(NetworkError, match=rf"{place}: no answer within 0\.3 s; 127.0.0.1:9: "):
            length([place, "127.0.0.1:9"])


def test_a_lost_answer_is_missed_on_a_connection_that_others_keep_busy(small):
    def no_answer_to_queries(request):
        if isinstance(request.payload, requests.Query):
            raise Silence

    small.hook = no_answer_to_queries

    async def main():
        async with await AsyncClient.connect(small.address, timeout=0.4, max_retries=0) as client:
            missed, others = asyncio.ensure_future(client.query("select 1")), 0
            while not missed.done():
                assert await client.stream_length(T, S) == Position(0)
                others += 1
                await asyncio.sleep(0.01)
            with pytest.raises(TimeoutError, match=r"no answer within 0\.4 s"):
                await missed
            assert others > 20
            assert await client.stream_length(T, S) == Position(0)

    asyncio.run(asyncio.wait_for(main(), 20))
    assert small.accepted == 1
