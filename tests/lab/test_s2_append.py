"""Append sessions and producers: against a server that breaks in every way, against the lab and the real one."""

import asyncio
import base64
import gc
import os
import random
import signal
import socket
import ssl
import sys
import threading
import time
import uuid
from datetime import timedelta

import pytest

from kit import s2
from kit.core import calls
from kit.core.errors import Lost, Silent, Unreachable
from kit.s2 import (
    S2,
    AppendInput,
    AppendRetryPolicy,
    Batching,
    CommandRecord,
    Compression,
    Endpoints,
    FencingTokenMismatchError,
    ReadLimit,
    Record,
    Retry,
    S2ClientError,
    S2Error,
    S2ServerError,
    SeqNum,
    SeqNumMismatchError,
    SyncS2,
    Timeout,
)
from kit.s2.client.appending import append_encoded
from kit.s2.wire.messages import encode_input
from tests.real import ABSENT, running_s2, s2_program

from .h2server import Cutter, H2Server, ack_of, working
from .rawserver import RawServer, plain

pytestmark = pytest.mark.lab

NO_SIDE_EFFECTS = AppendRetryPolicy.NO_SIDE_EFFECTS


def settings(url, *, request=2.0, connection=1.0, attempts=3, policy=AppendRetryPolicy.ALL, **more):
    return {
        "endpoints": Endpoints(url, url),
        "timeout": Timeout(timedelta(seconds=request), timedelta(seconds=connection)),
        "retry": Retry(attempts, timedelta(milliseconds=1), timedelta(milliseconds=5), policy),
        **more,
    }


def stream(url, **more):
    return S2("tok-secret", **settings(url, **more))["basin-one"]["a/b"]


def run(main):
    """Runs it, and proves that it left no task behind and that the loop had nothing to complain about."""
    complaints = []

    async def watched():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        try:
            return await main
        finally:
            await asyncio.sleep(0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, left

    result = asyncio.run(watched())
    gc.collect(1)  # the youngest objects; what they leave unclosed is told of
    assert not complaints, complaints
    return result


def one(n, **conditions):
    return AppendInput([Record(b"%d" % n)], **conditions)


def many(n, size=100, count=1, **conditions):
    return AppendInput([Record(b"%d-%d-" % (n, i) + b"." * size) for i in range(count)], **conditions)


async def until(there):
    """Waits for another thread, or for what has no event."""
    while not there():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def appended(session, *inputs):
    tickets = [await session.submit(inp) for inp in inputs]
    return [await ticket for ticket in tickets]


@pytest.fixture
def serve():
    """Starts a server with a script; at the end all its connections must be gone, and nothing have gone wrong in it."""
    started = []

    def start(script=working, **options):
        server = H2Server(script, **options)
        server.__enter__()
        started.append(server)
        return server

    yield start
    for server in started:
        assert server.wait_closed(), "the client left a connection open"
        server.__exit__()
        assert not server.faults, server.faults


# --- a session that works ---------------------------------------------------------------------------------------------


def test_batches_are_acknowledged_in_order(serve):
    server = serve()
    key = bytes(range(32))

    async def main():
        handle = S2("tok-secret", **settings(server.url))["basin-one"].stream("a/b", encryption_key=key)
        async with handle.append_session() as session:
            acks = await appended(session, one(0), many(1, count=3), one(2))
        assert [(ack.start.seq_num, ack.end.seq_num) for ack in acks] == [(0, 1), (1, 4), (4, 5)]
        with pytest.raises(S2ClientError, match="the session is closed"):
            await session.submit(one(0))

    run(main())
    assert [body[:2] for body in server.log.bodies] == [b"0", b"1-", b"1-", b"1-", b"2"]
    [headers] = server.requests
    assert headers == {
        ":method": "POST",
        ":scheme": "http",
        ":authority": server.url[7:],
        ":path": "/v1/streams/a%2Fb/records",
        "authorization": "Bearer tok-secret",
        "content-type": "s2s/proto",
        "accept": "s2s/proto",
        "user-agent": "kit-notebook",
        "s2-basin": "basin-one",
        "s2-encryption-key": base64.b64encode(key).decode(),
    }


def test_it_connects_at_once_and_ends_without_a_batch(serve):
    server = serve()

    async def main():
        session = stream(server.url).append_session()
        await until(lambda: server.requests)
        assert "open" in repr(session)
        await session.close()
        await session.close()
        assert "closed" in repr(session)
        assert "tok" not in repr(session)

    run(main())
    assert server.resets == 0, "it ended its side, and was not broken off"


def test_a_session_needs_a_loop(serve):
    with pytest.raises(S2ClientError, match="needs a running event loop"):
        stream("http://127.0.0.1:1").append_session()
    with pytest.raises(S2ClientError, match="needs a running event loop"):
        stream("http://127.0.0.1:1").producer()


@pytest.mark.parametrize("compression", Compression)
def test_frames_are_packed_as_the_client_is_set(serve, compression):
    sizes = []

    async def script(exchange):
        await working(exchange)
        sizes.append(exchange.received)

    server = serve(script)

    async def main():
        async with stream(server.url, compression=compression).append_session() as session:
            await appended(session, many(0, size=5000), one(1))
        await until(lambda: sizes)

    run(main())
    assert len(server.log.bodies[0]) == 5004
    assert (sizes[0] < 500) == (compression is not Compression.NONE)


def test_settings_for_a_stream_that_is_made_travel_along(serve):
    server = serve()

    async def main():
        config = s2.StreamConfig(retention_policy=60)
        async with stream(server.url).append_session(stream_config=config):
            pass
        async with stream(server.url).producer(stream_config=config):
            pass

    run(main())
    assert [r["s2-stream-config"] for r in server.requests] == ['{"retention_policy":{"age":60}}'] * 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"max_unacked_bytes": 1000}, "max_unacked_bytes must be 1048576"),
        ({"max_unacked_batches": 0}, "max_unacked_batches must be 1"),
    ],
)
def test_bounds_are_checked_before_any_traffic(serve, arguments, reason):
    server = serve()

    async def main():
        with pytest.raises(S2ClientError, match=reason):
            stream(server.url).append_session(**arguments)

    run(main())
    assert server.connections == 0


def test_input_is_checked_and_the_session_lives_on(serve):
    server = serve()

    async def main():
        async with stream(server.url).append_session() as session:
            for wrong, reason in [
                (AppendInput([]), "1 to 1000 records, not 0"),
                (AppendInput([Record(b"")] * 1001), "not 1001"),
                (AppendInput([Record(bytes(1024 * 1024))]), "1,048,576 metered bytes, not 1,048,584"),
                (one(0, match_seq_num=-1), "match_seq_num"),
                (one(0, fencing_token="x" * 37), "37"),
            ]:
                with pytest.raises(S2ClientError, match=reason):
                    await session.submit(wrong)
            with pytest.raises(S2ClientError, match="not 1001"):
                await session.submit_encoded(b"", 1001, 8)
            with pytest.raises(S2ClientError, match="not 1,048,577"):
                await session.submit_encoded(b"", 1, 1024 * 1024 + 1)
            await (await session.submit(one(1)))
            payload = encode_input(one(2))
            await (await session.submit_encoded(payload, 1, 9))

    run(main())
    assert server.log.bodies == [b"1", b"2"]


# --- backpressure -----------------------------------------------------------------------------------------------------


async def on_demand(exchange):
    """Acknowledges as many batches as `exchange.server.allow` says."""
    exchange.head()
    while (inp := await exchange.input()) is not None:
        await until(lambda: exchange.server.allow > 0)
        exchange.server.allow -= 1
        exchange.ack(exchange.log.append(inp))
    exchange.end()


async def settled(*tasks):
    await asyncio.sleep(0.05)
    return [task.done() for task in tasks]


@pytest.mark.parametrize("bound", ["batches", "bytes"])
def test_submits_wait_their_turn(serve, bound):
    server = serve(on_demand)
    server.allow = 0

    async def main():
        size = 10 if bound == "batches" else 512 * 1024 - 20
        bounds = {"max_unacked_batches": 2} if bound == "batches" else {"max_unacked_bytes": 1024 * 1024}
        async with stream(server.url).append_session(**bounds) as session:
            tasks = [asyncio.create_task(session.submit(many(n, size))) for n in range(6)]
            assert await settled(*tasks) == [True, True, False, False, False, False]
            tasks[2].cancel()
            tasks[4].cancel()
            assert await settled(*tasks) == [True, True, True, False, True, False]
            server.allow = 1
            assert await settled(*tasks) == [True, True, True, True, True, False]
            server.allow = 100
            for n in (0, 1, 3, 5):
                await (await tasks[n])

    run(main())
    assert [body[:1] for body in server.log.bodies] == [b"0", b"1", b"3", b"5"], "what was cancelled is not appended"


def test_a_late_submit_does_not_overtake(serve):
    server = serve(on_demand)
    server.allow = 0

    async def main():
        async with stream(server.url).append_session(max_unacked_batches=1) as session:
            order = []

            async def submit(n):
                await session.submit(one(n))
                order.append(n)

            tasks = [asyncio.create_task(submit(n)) for n in range(20)]
            await settled()
            server.allow = 100
            await asyncio.gather(*tasks, *(submit(n) for n in range(20, 30)))
            assert order == list(range(30))

    run(main())
    assert server.log.bodies == [b"%d" % n for n in range(30)]


def test_those_who_wait_learn_that_the_session_failed_or_was_closed(serve):
    server = serve(on_demand)
    server.allow = 0

    async def main():
        session = stream(server.url, request=0.2, attempts=1).append_session(max_unacked_batches=1)
        first = await session.submit(one(0))
        waiting = [asyncio.create_task(session.submit(one(n))) for n in (1, 2)]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert results[0] is results[1]
        assert isinstance(results[0].__cause__, Silent)
        with pytest.raises(S2ClientError):
            await first
        session = stream(server.url).append_session(max_unacked_batches=1)
        await session.submit(one(3))
        waiting = [asyncio.create_task(session.submit(one(n))) for n in (4, 5)]
        await settled()
        server.allow = 10
        closing = asyncio.create_task(session.close())
        for task in waiting:
            with pytest.raises(S2ClientError, match="closed"):
                await task
        await closing

    run(main())
    assert server.log.bodies[-1] == b"3"


# --- errors that the service tells ------------------------------------------------------------------------------------


def test_a_terminal_frame_fails_everything_that_is_open(serve):
    async def script(exchange):
        exchange.head()
        exchange.ack(exchange.log.append(await exchange.input()))
        await exchange.input()
        exchange.terminal(SeqNumMismatchError("unknown", "", 412, 77))

    server = serve(script)

    async def main():
        session = stream(server.url).append_session()
        tickets = [await session.submit(one(n)) for n in range(4)]
        await tickets[0]
        errors = await asyncio.gather(*tickets[1:], return_exceptions=True)
        assert isinstance(errors[0], SeqNumMismatchError)
        assert errors[0].expected_seq_num == 77
        assert errors[0] is errors[1] is errors[2]
        assert errors[0].op == "append_session"
        with pytest.raises(SeqNumMismatchError) as later:
            await session.submit(one(9))
        assert later.value is errors[0]
        with pytest.raises(SeqNumMismatchError) as closing:
            await session.close()
        assert closing.value is errors[0]
        await session.close()
        assert "failed" in repr(session)
        assert [repr(ticket)[20:-1] for ticket in tickets] == ["appended", "failed", "failed", "failed"]

    run(main())
    assert server.connections == 1
    assert server.log.bodies == [b"0"]


def test_tickets_that_nobody_awaits_make_no_noise(serve):
    async def script(exchange):
        exchange.head()
        exchange.terminal(S2ServerError("invalid", "no", 422))

    server = serve(script)

    async def main():
        session = stream(server.url).append_session()
        for n in range(3):
            await session.submit(one(n))
        with pytest.raises(S2ServerError):
            await session.close()

    run(main())


def test_the_error_of_the_block_is_the_one_that_is_seen(serve):
    async def script(exchange):
        exchange.head()
        exchange.terminal(S2ServerError("invalid", "no", 422))

    server = serve(script)

    async def main():
        async def fails():
            async with stream(server.url).append_session() as session:
                await session.submit(one(0))
                await asyncio.sleep(0.05)
                raise KeyError

        with pytest.raises(KeyError):
            await fails()
        with pytest.raises(S2ServerError, match="no"):
            async with stream(server.url).append_session() as session:
                await session.submit(one(0))

    run(main())


@pytest.mark.parametrize(
    ("status", "body", "connections"),
    [
        (404, b'{"code":"stream_not_found","message":"gone"}', 1),
        (400, b'{"code":"bad_header","message":"no key"}', 1),
        (503, b'{"code":"unavailable","message":"later"}', 3),
        (429, b'{"code":"rate_limited","message":"slower"}', 3),
        (502, b"<html>", 3),
    ],
)
@pytest.mark.parametrize("policy", AppendRetryPolicy)
def test_a_refusal_is_told_and_repeated_where_that_helps(serve, status, body, connections, policy):
    async def script(exchange):
        exchange.refuse(status, body)

    server = serve(script)

    async def main():
        session = stream(server.url, policy=policy).append_session()
        ticket = await session.submit(one(0))
        with pytest.raises(S2ServerError) as failure:
            await ticket
        assert failure.value.status_code == status
        with pytest.raises(S2ServerError):
            await session.close()

    run(main())
    assert server.connections == connections


def test_a_pause_that_the_service_asks_for_is_made(serve):
    async def script(exchange):
        if exchange.number == 0:
            exchange.refuse(503, b"{}", retry_after_ms="200")
        else:
            await working(exchange)

    server = serve(script)

    async def main():
        started = time.monotonic()
        async with stream(server.url).append_session() as session:
            await appended(session, one(0))
        assert 0.2 <= time.monotonic() - started < 1

    run(main())


@pytest.mark.parametrize(
    ("ack", "reason"),
    [
        ((0, 2), "acknowledged 2 records"),
        ((5, 3), "acknowledged -2 records"),
        ((0, 0), "acknowledged 0 records"),
    ],
)
def test_an_answer_that_cannot_be_ends_the_session(serve, ack, reason):
    async def script(exchange):
        exchange.head()
        await exchange.input()
        exchange.ack(ack_of(*ack))
        await exchange.gone.wait()

    server = serve(script)

    async def main():
        session = stream(server.url).append_session()
        ticket = await session.submit(one(0))
        with pytest.raises(S2ClientError, match=reason):
            await ticket
        with pytest.raises(S2ClientError, match=reason):
            await session.close()

    run(main())
    assert server.connections == 1


@pytest.mark.parametrize(
    "junk", [b"\xff\xff\xff\x00", b"\x00\x00\x00\x00", b"\x00\x00\x03\x00\xff\xff", b"\0\0\2\x60\0"]
)
def test_a_broken_frame_ends_the_session(serve, junk):
    async def script(exchange):
        exchange.head()
        await exchange.input()
        exchange.data(junk)
        await exchange.gone.wait()

    server = serve(script)

    async def main():
        session = stream(server.url).append_session()
        ticket = await session.submit(one(0))
        with pytest.raises(S2ClientError):
            await ticket
        with pytest.raises(S2ClientError):
            await session.close()

    run(main())
    assert server.connections == 1


def test_an_answer_nobody_asked_for_ends_the_session(serve):
    async def script(exchange):
        exchange.head()
        exchange.ack(ack_of(0, 1))
        await exchange.gone.wait()

    server = serve(script)

    async def main():
        with pytest.raises(S2ClientError, match="was not sent"):
            async with stream(server.url).append_session():
                await asyncio.sleep(0.05)

    run(main())


@pytest.mark.parametrize("batches", [0, 2])
def test_an_end_that_comes_too_early_is_an_error_and_not_repeated(serve, batches):
    async def script(exchange):
        exchange.head()
        for _ in range(batches):
            await exchange.input()
        exchange.end()

    server = serve(script)

    async def main():
        session = stream(server.url).append_session()
        tickets = [await session.submit(one(n)) for n in range(batches)]
        await until(lambda: "failed" in repr(session))
        for ticket in tickets:
            with pytest.raises(S2ClientError, match="2 batches not acknowledged"):
                await ticket
        with pytest.raises(S2ClientError, match="the service ended the session"):
            await session.close()

    run(main())
    assert server.connections == 1


# --- connections that break -------------------------------------------------------------------------------------------


async def flaky(exchange):
    """Appends one batch on each connection, and acknowledges it; appends another, and breaks off."""
    exchange.head()
    inp = await exchange.input()
    if inp is None:
        exchange.end()
        return
    exchange.ack(exchange.log.append(inp))
    inp = await exchange.input()
    if inp is None:
        exchange.end()
        return
    if not exchange.server.careful:
        exchange.log.append(inp)
    exchange.server.how(exchange)


BREAKS = {
    "reset of the stream": lambda exchange: exchange.reset(),
    "cut": lambda exchange: exchange.cut(),
    "GOAWAY with an error": lambda exchange: exchange.goaway(1, 2),
    "GOAWAY, then an end": lambda exchange: (exchange.goaway(1, 2), exchange.connection.transport.close()),
    "unavailable": lambda exchange: exchange.terminal(S2ServerError("unavailable", "later", 503)),
    "half a frame": lambda exchange: exchange.data(b"\0\0\x22\0\x0a", end=True),
}


@pytest.mark.parametrize("how", BREAKS)
def test_what_was_not_acknowledged_is_sent_again_in_order(serve, how):
    server = serve(flaky)
    server.careful = True
    server.how = BREAKS[how]

    async def main():
        async with stream(server.url, attempts=2).append_session() as session:
            acks = await appended(session, *(one(n) for n in range(30)))
        assert [ack.start.seq_num for ack in acks] == list(range(30)), (
            "each acknowledgement begins a new count of tries"
        )

    run(main())
    assert server.log.bodies == [b"%d" % n for n in range(30)]
    assert server.connections >= 30


@pytest.mark.parametrize("how", BREAKS)
def test_without_side_effects_nothing_is_sent_twice(serve, how):
    server = serve(flaky)
    server.careful = False
    server.how = BREAKS[how]

    async def main():
        session = stream(server.url, policy=NO_SIDE_EFFECTS).append_session()
        tickets = [await session.submit(one(n)) for n in range(3)]
        assert (await tickets[0]).start.seq_num == 0
        with pytest.raises(S2Error) as failure:
            await tickets[1]
        assert s2.errors.retryable(failure.value), "another policy would have tried again"
        with pytest.raises(S2Error):
            await session.close()

    run(main())
    assert server.log.bodies == [b"0", b"1"]
    assert server.connections == 1


HARMLESS = {
    "refused stream": lambda exchange: exchange.reset(7),
    "GOAWAY that leaves it out": lambda exchange: exchange.goaway(0, 0),
    "rate limited": lambda exchange: exchange.terminal(S2ServerError("rate_limited", "slower", 429)),
    "hot": lambda exchange: exchange.terminal(S2ServerError("hot_server", "hot", 502)),
    "draining": lambda exchange: exchange.terminal(S2ServerError("server_draining", "bye", 503)),
}


@pytest.mark.parametrize("how", HARMLESS)
def test_without_side_effects_what_proves_that_nothing_happened_is_repeated(serve, how):
    async def script(exchange):
        if exchange.number == 0:
            exchange.head()
            await exchange.input()
            HARMLESS[how](exchange)
        else:
            await working(exchange)

    server = serve(script)

    async def main():
        async with stream(server.url, policy=NO_SIDE_EFFECTS).append_session() as session:
            await appended(session, *(one(n) for n in range(5)))

    run(main())
    assert server.log.bodies == [b"%d" % n for n in range(5)]
    assert server.connections == 2


def test_without_side_effects_a_break_before_anything_was_sent_is_repeated(serve):
    async def script(exchange):
        if exchange.number == 0:
            exchange.cut()
        elif exchange.number == 1:
            exchange.head()
            exchange.cut()
        else:
            await working(exchange)

    server = serve(script)

    async def main():
        async with stream(server.url, policy=NO_SIDE_EFFECTS).append_session() as session:
            await asyncio.sleep(0.1)  # it is idle while it breaks
            await appended(session, one(0))

    run(main())
    assert server.log.bodies == [b"0"]


def test_a_missing_answer_is_noticed_and_the_batch_sent_again(serve):
    async def script(exchange):
        if exchange.number == 0:
            exchange.head()
            exchange.ack(exchange.log.append(await exchange.input()))
            exchange.log.append(await exchange.input())
            await exchange.gone.wait()
        else:
            await working(exchange)

    server = serve(script)

    async def main():
        started = time.monotonic()
        async with stream(server.url, request=0.2).append_session() as session:
            await appended(session, one(0), one(1))
        assert 0.2 <= time.monotonic() - started < 1.5

    run(main())
    assert server.log.bodies == [b"0", b"1", b"1"], "at least once, says the policy"
    assert server.connections == 2


def test_a_loop_that_stood_still_is_no_silence_of_the_service(serve):
    """A cell that takes long keeps a session in the same loop from reading its answers."""
    server = serve()

    async def main():
        async with stream(server.url, request=0.1, attempts=1).append_session() as session:
            await appended(session, one(0))
            ticket = await session.submit(one(1))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            time.sleep(0.4)  # noqa: ASYNC251
            await ticket

    run(main())
    assert server.log.bodies == [b"0", b"1"]


def test_it_gives_up_after_so_many_tries_with_the_cause(serve):
    async def script(exchange):
        exchange.head()
        await exchange.gone.wait()

    server = serve(script)
    calls.forget()

    async def main():
        session = stream(server.url, request=0.1, attempts=3).append_session()
        ticket = await session.submit(one(0))
        with pytest.raises(S2ClientError, match=r"a batch was not acknowledged within 0\.1 s") as failure:
            await ticket
        assert isinstance(failure.value.__cause__, Silent)
        assert "a%2Fb" in str(failure.value)
        with pytest.raises(S2ClientError):
            await session.close()

    run(main())
    assert server.connections == 3
    rows = calls.calls()
    assert rows["op"].tolist() == ["append_session"] * 3
    assert rows["retries"].tolist() == [0, 1, 2]
    assert rows["status"].tolist() == [200] * 3
    assert rows["error"].tolist() == ["Silent"] * 3
    assert (rows["bytes_out"] > 50).all() and (rows["bytes_in"] > 0).all()


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async def main():
        session = stream(f"http://127.0.0.1:{port}").append_session()
        with pytest.raises(S2ClientError, match="could not connect") as failure:
            await session.close()
        assert isinstance(failure.value.__cause__, Unreachable)
        assert failure.value.hint

    run(main())


def test_a_server_that_says_nothing_is_not_waited_for(serve):
    server = serve(mute=True)

    async def main():
        started = time.monotonic()
        session = stream(server.url, connection=0.1, attempts=2).append_session()
        with pytest.raises(S2ClientError, match=r"no word within 0\.1 s"):
            await session.close()
        assert time.monotonic() - started < 1

    run(main())
    assert server.connections == 2


def test_an_answer_that_does_not_come_is_not_waited_for(serve):
    async def script(exchange):
        await exchange.gone.wait()

    server = serve(script)

    async def main():
        session = stream(server.url, request=0.1, attempts=2).append_session()
        with pytest.raises(S2ClientError, match=r"no answer within 0\.1 s"):
            await (await session.submit(one(0)))
        with pytest.raises(S2ClientError):
            await session.close()

    run(main())
    assert server.connections == 2


def test_an_end_that_does_not_come_is_not_waited_for(serve):
    async def script(exchange):
        exchange.head()
        exchange.ack(exchange.log.append(await exchange.input()))
        await exchange.gone.wait()

    server = serve(script)

    async def main():
        async with stream(server.url, request=0.1).append_session() as session:
            await appended(session, one(0))

    run(main())
    assert server.connections == 1, "everything is acknowledged"


def test_a_server_without_room_for_a_request(serve):
    server = serve(max_streams=0)

    async def main():
        session = stream(server.url, attempts=2).append_session()
        with pytest.raises(S2ClientError, match="accepts no requests"):
            await session.close()

    run(main())
    assert not server.requests


def test_a_server_of_http_1_is_told_apart():
    server = RawServer(lambda head: [plain(b"what?", "400 Bad Request"), None])

    async def main():
        session = stream(server.url).append_session()
        with pytest.raises(S2ClientError, match="not HTTP/2"):
            await session.close()

    run(main())
    server.close()
    assert server.connections == 1


def test_a_broken_http_2_answer_is_a_broken_connection(serve):
    async def script(exchange):
        if exchange.number == 0:
            exchange.head()
            await exchange.input()
            exchange.raw(b"\0\0\4\3\0\0\0\0\0\0\0\0\0")  # a reset of stream 0, which is the connection itself
        else:
            await working(exchange)

    server = serve(script)

    async def main():
        async with stream(server.url).append_session() as session:
            await appended(session, one(0))

    run(main())
    assert server.connections == 2
    assert server.log.bodies == [b"0"]


def test_whatever_bytes_come_the_session_ends_in_time():
    settings_frame = b"\0\0\0\4\0\0\0\0\0"
    head = b"\0\0\1\1\4\0\0\0\1\x88"
    frames = [head, b"\0\0\5\0\0\0\0\0\1\0\0\2\0\0", b"\0\0\4\x08\0\0\0\0\1\0\0\1\0", b"\0\0\x08\6\0\0\0\0\0pingping"]
    frames += [b"\0\0\x0b\7\0\0\0\0\0\0\0\0\1\0\0\0\0bye", b"\0\0\4\3\0\0\0\0\1\0\0\0\7", settings_frame]
    rng = random.Random(1)

    def script(_):
        yield settings_frame
        time.sleep(0.003)
        said = bytearray(b"".join(rng.choices(frames, k=rng.randrange(1, 6))))
        for _ in range(rng.randrange(4)):
            said[rng.randrange(len(said))] = rng.randrange(256)
        yield bytes(said)
        yield None

    server = RawServer(script)

    async def main():
        for _ in range(150):
            session = stream(server.url, attempts=1, request=0.2).append_session()
            ticket = await session.submit(one(0))
            with pytest.raises(S2Error):
                await asyncio.wait_for(asyncio.shield(session.close()), 2)
            with pytest.raises(S2Error):
                await ticket

    run(main())
    server.close()
    assert server.connections == 150


def test_pings_are_answered(serve):
    async def script(exchange):
        exchange.head()
        for _ in range(5):
            exchange.ping()
        await exchange.serve()

    server = serve(script)

    async def main():
        async with stream(server.url).append_session() as session:
            await appended(session, one(0))

    run(main())
    assert server.pongs == 5


# --- connections that are to be left ----------------------------------------------------------------------------------


def test_advice_to_connect_again_is_followed_once_and_costs_nothing(serve):
    async def script(exchange):
        exchange.head()
        while (inp := await exchange.input()) is not None:
            exchange.ack(exchange.log.append(inp), reconnect=True)
        exchange.end()

    server = serve(script)

    async def main():
        async with stream(server.url, attempts=1, policy=NO_SIDE_EFFECTS).append_session() as session:
            await appended(session, *(many(n, 1000) for n in range(200)))

    run(main())
    assert [int(body.split(b"-")[0]) for body in server.log.bodies] == list(range(200))
    assert server.connections == 2
    assert server.resets == 0


def test_a_server_that_shuts_down_in_order_loses_and_repeats_nothing(serve):
    async def script(exchange):
        exchange.head()
        for n in range(10):
            inp = await exchange.input()
            if inp is None:
                exchange.end()
                return
            exchange.ack(exchange.log.append(inp))
            if n == 3:
                exchange.goaway()
        await exchange.serve()

    server = serve(script)

    async def main():
        async with stream(server.url, policy=NO_SIDE_EFFECTS).append_session() as session:
            for burst in range(5):
                await appended(session, *(many(40 * burst + n, 1000) for n in range(40)))

    run(main())
    assert [int(body.split(b"-")[0]) for body in server.log.bodies] == list(range(200))
    assert server.connections > 2
    assert server.resets == 0


def test_a_server_that_only_sends_away_is_given_up(serve):
    async def script(exchange):
        exchange.goaway()
        exchange.head()
        await exchange.serve()

    server = serve(script)

    async def main():
        session = stream(server.url).append_session()
        with pytest.raises(S2ClientError, match="keeps asking for a new connection"):
            await (await session.submit(one(0)))
        with pytest.raises(S2ClientError):
            await session.close()

    run(main())
    assert server.connections == 4, "one for free, and three tries"


# --- windows ----------------------------------------------------------------------------------------------------------


def test_narrow_windows_are_kept_to(serve):
    async def script(exchange):
        exchange.head()
        opening = asyncio.create_task(widen(exchange))
        try:
            await exchange.serve()
        finally:
            opening.cancel()

    async def widen(exchange):
        while True:
            await asyncio.sleep(0.0005)
            exchange.open_window(random.choice([1, 7, 1000, 20000]))

    server = serve(script, window=10)

    async def main():
        async with stream(server.url).append_session() as session:
            await appended(session, *(many(n, 3000) for n in range(50)))

    run(main())
    assert [int(body.split(b"-")[0]) for body in server.log.bodies] == list(range(50))
    assert all(len(body) >= 3000 for body in server.log.bodies)


def test_a_peer_that_takes_nothing_is_noticed(serve):
    async def script(exchange):
        exchange.head()
        await exchange.gone.wait()

    server = serve(script, window=100)

    async def main():
        session = stream(server.url, request=0.15, attempts=1).append_session()
        tickets = [await session.submit(many(n, 1000)) for n in range(3)]
        started = time.monotonic()
        with pytest.raises(S2ClientError, match="not acknowledged within"):
            await tickets[0]
        assert time.monotonic() - started < 1
        with pytest.raises(S2ClientError):
            await session.close()

    run(main())


def test_a_slow_peer_is_no_dead_one(serve):
    """A batch that takes long to leave has its time once it has left."""

    async def script(exchange):
        exchange.head()
        for _ in range(8):
            await asyncio.sleep(0.1)
            exchange.open_window(3000)
        await exchange.serve()

    server = serve(script, window=100)

    async def main():
        async with stream(server.url, request=0.3, attempts=1).append_session() as session:
            await appended(session, many(0, 20000))

    run(main())


def test_a_peer_that_stops_reading_is_noticed():
    """The kernel's buffers take some MiB; then nothing more leaves."""
    listening = socket.create_server(("127.0.0.1", 0))
    taken = []

    def accept():
        connection, _ = listening.accept()
        taken.append(connection)
        # Settings with a window of 1 GiB, and the same for the connection.
        connection.sendall(b"\0\0\x06\4\0\0\0\0\0" + b"\0\4\x40\0\0\0" + b"\0\0\4\x08\0\0\0\0\0\x3f\0\0\0")
        received, at, kind = b"", len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), None
        while kind != 1:  # the request
            while len(received) < at + 9:
                received += connection.recv(1000)
            kind, at = received[at + 3], at + 9 + int.from_bytes(received[at : at + 3], "big")
        connection.sendall(b"\0\0\1\1\4\0\0\0\1\x88")  # the head of an answer: 200

    thread = threading.Thread(target=accept)
    thread.start()

    async def main():
        handle = stream(f"http://127.0.0.1:{listening.getsockname()[1]}", request=0.3, attempts=1)
        session = handle.append_session(max_unacked_bytes=64 * 1024 * 1024)

        async def fill():
            while True:
                await session.submit(many(0, 1000 * 1000))

        with pytest.raises(S2ClientError, match="not acknowledged within"):
            await asyncio.wait_for(fill(), 5)
        with pytest.raises(S2ClientError):
            await session.close()

    try:
        run(main())
    finally:
        thread.join()
        taken[0].close()
        listening.close()


# --- leaving ----------------------------------------------------------------------------------------------------------


async def silent(exchange):
    exchange.head()
    await exchange.gone.wait()


@pytest.mark.parametrize("where", ["connecting", "in the block", "closing"])
def test_a_cancelled_session_leaves_nothing_behind(serve, where):
    server = serve(silent, mute=where == "connecting")

    async def main():
        session = stream(server.url).append_session()
        ticket = await session.submit(one(0))
        if where != "connecting":
            await until(lambda: server.requests)

        async def work():
            async with session:
                if where != "closing":
                    await asyncio.sleep(10)

        task = asyncio.create_task(work())
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.sleep(0.02)
        task.cancel()  # the block waits for what is on its way; whoever has no patience cancels again
        await asyncio.wait([task], timeout=1)
        assert task.cancelled()
        with pytest.raises(S2ClientError, match="abandoned"):
            await ticket
        with pytest.raises(S2ClientError, match="abandoned"):
            await session.submit(one(1))

    run(main())
    assert server.wait_closed()


def test_a_cancel_at_any_moment_leaves_nothing_behind(serve):
    server = serve()
    rng = random.Random(5)

    async def work():
        async with stream(server.url).producer(batching=Batching(max_records=2)) as producer:
            tickets = [await producer.submit(Record(b"%d" % n)) for n in range(20)]
            await tickets[-1]

    async def main():
        for n in range(120):
            task = asyncio.create_task(work())
            await asyncio.sleep(rng.random() * 0.012)
            task.cancel()
            await asyncio.sleep(rng.random() * 0.002)
            task.cancel()
            await asyncio.wait([task], timeout=1)
            assert task.done()
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 1, (n, asyncio.all_tasks())

    run(main())


def test_a_session_that_is_forgotten_goes_with_the_loop(serve):
    server = serve()

    async def main():
        session = stream(server.url).append_session()
        await appended(session, one(0))

    asyncio.run(main())
    gc.collect()
    assert server.wait_closed()


def test_giving_up_on_a_ticket_takes_it_from_nobody(serve):
    server = serve(on_demand)
    server.allow = 0

    async def main():
        async with stream(server.url).append_session() as session:
            ticket = await session.submit(one(0))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await ticket
            server.allow = 1
            assert (await ticket).end.seq_num == 1
            assert (await ticket).end.seq_num == 1
            assert ticket.done()

    run(main())


# --- each at most once, and nothing lost ------------------------------------------------------------------------------


def plan_of(seed, up, down):
    """Cuts at any byte of what goes up or comes down."""
    rng = random.Random(seed)

    def plan(n):
        return (rng.randrange(1, up), None) if rng.random() < 0.6 else (None, rng.randrange(1, down))

    return plan


def bodies_of(inputs):
    return [record.body for inp in inputs for record in inp.records]


async def write_through(url, batches, policy, conditions, checked):
    """Appends them all, through sessions that may fail: a new one goes on from the stream's end."""
    tries = 0
    acked = {}
    while True:
        tries += 1
        assert tries < 500
        start = checked()
        # Where the stream ends tells what is written already; each batch holds two records.
        done, rest = start // 2, start % 2
        assert rest == 0
        if done == len(batches):
            return acked
        tickets = {}
        try:
            async with stream(url, attempts=4, policy=policy).append_session(max_unacked_batches=6) as session:
                for n in range(done, len(batches)):
                    conditional = AppendInput(batches[n].records, match_seq_num=2 * n if conditions else None)
                    tickets[n] = await session.submit(conditional)
        except S2Error:
            pass
        for n, ticket in tickets.items():
            if ticket.done():
                try:
                    ack = await ticket
                except S2Error:
                    continue
                assert ack.start.seq_num == 2 * n
                acked[n] = ack


@pytest.mark.parametrize(
    ("policy", "conditions"),
    [(AppendRetryPolicy.ALL, True), (NO_SIDE_EFFECTS, False), (NO_SIDE_EFFECTS, True)],
    ids=["match_seq_num", "no side effects", "both"],
)
def test_over_many_cuts_nothing_is_written_twice_or_lost(serve, policy, conditions):
    server = serve()
    batches = [many(n, 40, count=2) for n in range(450)]
    with Cutter(server.port, plan_of(7, 1000, 300)) as cutter:

        def checked():
            # What a client sent before its connection was cut may still be on its way into the stream.
            assert server.wait_closed()
            return len(server.log.records)

        acked = run(write_through(cutter.url, batches, policy, conditions, checked))
        assert cutter.cuts >= 100, cutter.cuts
    assert server.log.bodies == bodies_of(batches)
    assert len(acked) > 20


def test_over_many_cuts_every_batch_arrives_at_least_once(serve):
    server = serve()
    batches = [many(n, 40, count=2) for n in range(300)]
    with Cutter(server.port, plan_of(3, 1000, 300)) as cutter:

        async def main():
            async with stream(cutter.url, attempts=100).append_session(max_unacked_batches=10) as session:
                return await appended(session, *batches)

        acks = run(main())
        assert cutter.cuts >= 100
    for batch, ack in zip(batches, acks, strict=True):
        at = server.log.records[ack.start.seq_num : ack.end.seq_num]
        assert [record.body for record in at] == bodies_of([batch]), "acknowledged is what is there"
    starts = [ack.start.seq_num for ack in acks]
    assert starts == sorted(starts)


@pytest.mark.parametrize("side", ["up", "down"])
def test_a_cut_at_any_byte_of_an_exchange(serve, side):
    server = serve()
    total = 420 if side == "up" else 200
    cuts = range(1, total, 5)
    with Cutter(
        server.port, lambda n: ((cuts[n], None) if side == "up" else (None, cuts[n])) if n < len(cuts) else (None, None)
    ) as cutter:

        async def main():
            async with stream(cutter.url, attempts=len(cuts) + 1).append_session() as session:
                return await appended(session, *(one(n) for n in range(3)))

        acks = run(main())
    records = server.log.bodies
    assert [records[ack.start.seq_num] for ack in acks] == [b"0", b"1", b"2"]


# --- producers --------------------------------------------------------------------------------------------------------


def test_records_are_told_their_places(serve):
    server = serve()

    async def main():
        async with stream(server.url).producer(batching=Batching(max_records=4)) as producer:
            tickets = [await producer.submit(Record(b"%d" % n)) for n in range(10)]
            acks = [await ticket for ticket in tickets]
        assert [ack.seq_num for ack in acks] == list(range(10))
        assert acks[0].batch is acks[3].batch
        assert acks[3].batch is not acks[4].batch
        assert [len({id(ack.batch) for ack in acks})] == [3]
        with pytest.raises(S2ClientError, match="the producer is closed"):
            await producer.submit(Record(b""))

    run(main())
    assert server.log.bodies == [b"%d" % n for n in range(10)]


def test_batches_leave_when_they_are_full_or_have_lingered(serve):
    sizes = []

    async def script(exchange):
        exchange.head()
        while (inp := await exchange.input()) is not None:
            sizes.append(len(inp.records))
            exchange.ack(exchange.log.append(inp))
        exchange.end()

    server = serve(script)

    async def main():
        linger = timedelta(milliseconds=30)
        async with stream(server.url).producer(batching=Batching(max_records=3, linger=linger)) as producer:
            started = time.monotonic()
            tickets = [await producer.submit(Record(b"x")) for _ in range(5)]
            await tickets[2]
            assert not tickets[4].done()
            await tickets[4]
            assert 0.03 <= time.monotonic() - started < 1
        assert sizes == [3, 2]
        sizes.clear()
        async with stream(server.url).producer(batching=Batching(linger=timedelta())) as producer:
            ticket = await producer.submit(Record(b"x"))
            await asyncio.sleep(0.05)
            assert not ticket.done(), "without linger, only what is full leaves"
            await producer.flush()
            assert ticket.done()
            await producer.submit(Record(b"y"))
            await producer.flush()
            await producer.flush()
            await producer.submit(Record(b"z"))
        assert sizes == [1, 1, 1]
        sizes.clear()
        async with stream(server.url).producer(batching=Batching(max_bytes=100)) as producer:
            sent = [Record(b"a" * 40), Record(b"b" * 40), Record(b"c" * 500), Record(b"d" * 20)]
            tickets = [await producer.submit(record) for record in sent]
            places = [(await ticket).seq_num for ticket in tickets]
        assert sizes == [2, 1, 1]
        assert [places[n] - places[0] for n in range(4)] == [0, 1, 2, 3]

    run(main())


def test_conditions_go_with_every_batch(serve):
    inputs = []

    async def script(exchange):
        exchange.head()
        while (inp := await exchange.input()) is not None:
            inputs.append((inp.match_seq_num, inp.fencing_token))
            try:
                exchange.ack(exchange.log.append(inp))
            except S2ServerError as error:
                exchange.terminal(error)
                return
        exchange.end()

    server = serve(script)
    server.log.fencing_token = "mine"

    async def main():
        batching = Batching(max_records=2)
        async with stream(server.url).producer(match_seq_num=0, fencing_token="mine", batching=batching) as producer:
            for n in range(5):
                await producer.submit(Record(b"%d" % n))
        assert inputs == [(0, "mine"), (2, "mine"), (4, "mine")]
        producer = stream(server.url).producer(match_seq_num=5, fencing_token="theirs", batching=batching)
        tickets = [await producer.submit(Record(b"%d" % n)) for n in range(5)]
        errors = await asyncio.gather(*tickets[:4], return_exceptions=True)
        assert isinstance(errors[0], FencingTokenMismatchError)
        assert errors[0].expected_fencing_token == "mine"
        assert all(error is errors[0] for error in errors), "what comes after a batch that failed fails too"
        with pytest.raises(FencingTokenMismatchError):
            await producer.submit(Record(b""))
        with pytest.raises(FencingTokenMismatchError):
            await tickets[4]
        with pytest.raises(FencingTokenMismatchError):
            await producer.flush()
        with pytest.raises(FencingTokenMismatchError):
            await producer.close()
        await producer.close()

    run(main())
    assert len(server.log.records) == 5


def test_a_producer_holds_back_too(serve):
    server = serve(on_demand)
    server.allow = 0

    async def main():
        async with stream(server.url).producer(
            batching=Batching(max_records=1), max_unacked_bytes=1024 * 1024
        ) as producer:
            record = Record(bytes(512 * 1024 - 8))
            tasks = [asyncio.create_task(producer.submit(record)) for _ in range(8)]
            done = await settled(*tasks)
            assert done == [True, True, True, False, False, False, False, False], "two on their way, one at the door"
            tasks[3].cancel()
            server.allow = 100
            await asyncio.gather(*tasks[4:])
        assert len(server.log.records) == 7

    run(main())


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Record("text"), "must be bytes, not str"),
        (b"bytes", "a record must be a Record, not bytes"),
        (Record(b"", [("name", "value")]), "headers of a record must be a list of pairs of bytes"),
        (Record(b"", [(1, 2)]), "headers of a record must be a list of pairs of bytes"),
        (Record(b"", None), "headers of a record must be a list of pairs of bytes"),
        (Record(b"", timestamp=-1), "timestamp of a record"),
        (Record(bytes(1024 * 1024)), "1,048,576 metered bytes, not 1,048,584"),
    ],
)
def test_a_record_is_checked_when_it_is_submitted(serve, record, reason):
    server = serve()

    async def main():
        async with stream(server.url).producer() as producer:
            await producer.submit(Record(b"before"))
            with pytest.raises(S2ClientError, match=reason):
                await producer.submit(record)
            await producer.submit(Record(b"after"))

    run(main())
    assert server.log.bodies == [b"before", b"after"]
    with SyncS2("x", **settings(server.url)) as client:
        with client["basin-one"]["a"].producer() as producer, pytest.raises(S2ClientError, match=reason):
            producer.submit(record)


def test_a_ticket_keeps_its_time_limit_while_the_producer_is_full(serve):
    server = serve(on_demand)
    server.allow = 0
    with SyncS2("x", **settings(server.url, request=20.0)) as client:
        producer = client["basin-one"]["a"].producer(batching=Batching(max_records=1), max_unacked_bytes=1024 * 1024)
        record = Record(bytes(512 * 1024 - 8))
        tickets = []
        submitting = threading.Thread(target=lambda: tickets.extend(producer.submit(record) for _ in range(12)))
        submitting.start()
        time.sleep(0.3)
        assert submitting.is_alive(), "the thread waits for room"
        for ticket in (tickets[0], tickets[-1]):
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                ticket.result(0.2)
            assert time.monotonic() - began < 2
        server.allow = 100
        submitting.join()
        producer.close()
        assert tickets[-1].result().seq_num == 11


@pytest.mark.parametrize(
    "arguments", [{"match_seq_num": -1}, {"fencing_token": "x" * 37}, {"batching": Batching(max_records=0)}]
)
def test_a_producer_is_checked_before_any_traffic(serve, arguments):
    server = serve()

    async def main():
        with pytest.raises(S2ClientError):
            stream(server.url).producer(**arguments)

    run(main())
    assert server.connections == 0


@pytest.mark.parametrize("where", ["in the block", "closing"])
def test_a_cancelled_producer_leaves_nothing_behind(serve, where):
    server = serve(silent)

    async def main():
        producer = stream(server.url).producer(batching=Batching(max_records=1))
        tickets = [await producer.submit(Record(b"x")) for _ in range(3)]

        async def work():
            async with producer:
                if where != "closing":
                    await asyncio.sleep(10)

        task = asyncio.create_task(work())
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task], timeout=1)
        assert task.cancelled()
        for ticket in tickets:
            with pytest.raises(S2ClientError, match="abandoned"):
                await ticket

    run(main())


# --- calls that block -------------------------------------------------------------------------------------------------


@pytest.fixture
def blocking():
    clients = []

    def make(url, **more):
        client = SyncS2("tok-secret", **settings(url, **more))
        clients.append(client)
        return client["basin-one"]["a/b"]

    yield make
    for client in clients:
        client.close()


def test_a_blocking_session(serve, blocking):
    server = serve()
    handle = blocking(server.url)
    with handle.append_session() as session:
        tickets = [session.submit(one(n)) for n in range(5)]
        tickets.append(session.submit_encoded(encode_input(one(5)), 1, 9))
        assert [ticket.result().start.seq_num for ticket in tickets] == list(range(6))
        assert tickets[0].done()
        assert repr(tickets[0]) == "<SyncBatchSubmitTicket, appended>"
        assert "SyncAppendSession, open" in repr(session)
    with pytest.raises(S2ClientError, match="closed"):
        session.submit(one(9))
    with pytest.raises(SeqNumMismatchError):
        with handle.append_session() as session:
            session.submit(one(9, match_seq_num=3)).result()
    with pytest.raises(S2ClientError):
        handle.append_session(max_unacked_batches=0)


def test_a_blocking_ticket_is_waited_for_so_long(serve, blocking):
    server = serve(on_demand)
    server.allow = 0
    with blocking(server.url).append_session() as session:
        ticket = session.submit(one(0))
        with pytest.raises(TimeoutError):
            ticket.result(timeout=0.02)
        server.allow = 1
        assert ticket.result(timeout=5).end.seq_num == 1


def interrupt_when_blocked():
    """As Ctrl-C does: the signal reaches the main thread, here while that waits for another one."""
    main = threading.main_thread().ident

    def send():
        blocked = 0
        while blocked < 3:
            time.sleep(0.01)
            blocked = blocked + 1 if sys._current_frames()[main].f_code.co_name == "wait" else 0
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=send).start()


def test_an_interrupt_leaves_a_blocking_session_usable(serve, blocking):
    server = serve(on_demand)
    server.allow = 0
    with blocking(server.url).append_session(max_unacked_batches=1) as session:
        first = session.submit(one(0))
        for blocked in (lambda: session.submit(one(1)), first.result):
            interrupt_when_blocked()
            with pytest.raises(KeyboardInterrupt):
                blocked()
        server.allow = 10
        assert first.result().start.seq_num == 0
        assert session.submit(one(2)).result().start.seq_num == 1
    assert server.log.bodies == [b"0", b"2"]


def test_a_blocking_producer(serve, blocking):
    server = serve()
    handle = blocking(server.url)
    batching = Batching(max_records=100, linger=timedelta(seconds=30))
    with handle.producer(match_seq_num=0, batching=batching) as producer:
        tickets = [producer.submit(Record(b"%d" % n)) for n in range(1000)]
        assert tickets[3].result().seq_num == 3
        producer.flush()
        assert all(ticket.done() for ticket in tickets)
        assert [ticket.result().seq_num for ticket in tickets[::100]] == list(range(0, 1000, 100))
        assert tickets[0].result().batch is tickets[99].result().batch
        late = producer.submit(Record(b"late"))
        assert "SyncProducer" in repr(producer)
    assert late.result().seq_num == 1000
    assert server.log.bodies == [b"%d" % n for n in range(1000)] + [b"late"]
    with pytest.raises(S2ClientError, match="closed"):
        producer.submit(Record(b""))
    producer.close()


def test_a_blocking_producer_tells_every_record_of_a_failure(serve, blocking):
    server = serve()
    producer = blocking(server.url).producer(match_seq_num=7)
    tickets = [producer.submit(Record(b"%d" % n)) for n in range(10)]
    errors = []
    for ticket in tickets:
        with pytest.raises(SeqNumMismatchError) as failure:
            ticket.result()
        errors.append(failure.value)
    assert len({id(error) for error in errors}) == 1
    with pytest.raises(SeqNumMismatchError):
        producer.submit(Record(b""))
    with pytest.raises(SeqNumMismatchError):
        producer.flush()
    with pytest.raises(SeqNumMismatchError):
        producer.close()
    producer.close()


def inputs(count, records=10):
    for n in range(count):
        inp = many(n, 100, count=records)
        yield encode_input(inp), records, s2.metered_bytes(inp.records)


@pytest.mark.parametrize("compression", Compression)
def test_bulk(serve, blocking, compression):
    server = serve()
    told = []
    done = append_encoded(blocking(server.url, compression=compression), inputs(300), told.append)
    assert done.records == 3000 == sum(told)
    assert done.first.start.seq_num == 0
    assert done.last.end.seq_num == 3000
    assert (done.ack.start, done.ack.end, done.ack.tail) == (done.first.start, done.last.end, done.last.tail)
    assert server.log.bodies == [b"%d-%d-" % (n, i) + b"." * 100 for n in range(300) for i in range(10)]


def test_bulk_ends_with_the_first_error(serve, blocking):
    async def script(exchange):
        exchange.head()
        for _ in range(5):
            exchange.ack(exchange.log.append(await exchange.input()))
        exchange.terminal(S2ServerError("invalid", "enough", 422))

    server = serve(script)
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield encode_input(many(0, 100_000)), 1, 100_012

    told = []
    with pytest.raises(S2ServerError, match="enough"):
        append_encoded(blocking(server.url), endless(), told.append)
    assert sum(told) <= 5

    def broken():
        yield from inputs(3)
        raise KeyError

    server.script = working
    with pytest.raises(KeyError):
        append_encoded(blocking(server.url), broken())
    with pytest.raises(S2ClientError, match="no records"):
        append_encoded(blocking(server.url), [])
    with pytest.raises(S2ClientError, match="not 1001"):
        append_encoded(blocking(server.url), [(b"", 1001, 8)])


def test_bulk_can_be_interrupted(serve, blocking):
    server = serve(on_demand)
    server.allow = 3
    interrupt_when_blocked()
    with pytest.raises(KeyboardInterrupt):
        append_encoded(blocking(server.url), inputs(10_000, 1))
    assert server.wait_closed()


# --- TLS --------------------------------------------------------------------------------------------------------------


def secure(certificate, *protocols):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def test_over_tls(serve, certificate):
    server = serve(tls=secure(certificate, "h2"))
    url = server.url.replace("http:", "https:")
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))

    async def main(verify):
        async with stream(url, verify=verify, attempts=1).append_session() as session:
            await appended(session, *(many(n, 5000) for n in range(100)))

    for verify in (trusting, str(certificate / "cert.pem"), False):
        run(main(verify))
    assert len(server.log.records) == 300
    with pytest.raises(S2ClientError, match="could not connect") as failure:
        run(main(True))
    assert "not trusted" in failure.value.hint
    assert len(server.requests) == 3


def test_tls_without_http_2(serve, certificate):
    server = serve(tls=secure(certificate))

    async def main():
        async with stream(server.url.replace("http:", "https:"), verify=False).append_session():
            pass

    with pytest.raises(S2ClientError, match="chose no protocol, not h2"):
        run(main())
    assert server.connections == 1


# --- servers that are not made for tests ------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["lab", "lite"])
def real(request):
    if request.param == "lite":
        if s2_program() is None:
            pytest.skip(ABSENT)
        with running_s2() as environment:
            yield environment
        return
    environment = {**os.environ, **request.getfixturevalue("lab").env()}
    if "S2_BASIN_ENDPOINT" not in environment:
        pytest.skip("this lab has no S2")
    yield environment


@pytest.fixture
def client(real):
    def make(kind=S2, **more):
        url = real["S2_BASIN_ENDPOINT"]
        return kind(real["S2_ACCESS_TOKEN"], **settings(url, request=5.0, **more))

    return make


@pytest.fixture
def fresh(client):
    with client(SyncS2) as s2:
        s2.ensure_basin("append-tests")
        name = f"stream/{uuid.uuid4().hex[:8]}"
        s2["append-tests"].create_stream(name)
    return name


def read_all(client, name):
    with client(SyncS2) as s2:
        tail = s2["append-tests"][name].check_tail().seq_num
        batches = s2["append-tests"][name].read_session(start=SeqNum(0), limit=ReadLimit(count=tail)) if tail else []
        return [record.body for batch in batches for record in batch.records]


@pytest.mark.parametrize("compression", Compression)
def test_real_session(client, fresh, compression):
    async def main():
        async with client(compression=compression) as s2:
            async with s2["append-tests"][fresh].append_session() as session:
                acks = await appended(session, *(many(n, 300, count=20) for n in range(100)))
            assert [ack.start.seq_num for ack in acks] == list(range(0, 2000, 20))

    run(main())
    assert read_all(client, fresh) == bodies_of(many(n, 300, count=20) for n in range(100))


def test_real_conditions(client, fresh):
    async def main():
        async with client() as s2:
            handle = s2["append-tests"][fresh]
            await handle.append(AppendInput([CommandRecord.fence("mine")]))
            with pytest.raises(FencingTokenMismatchError) as fenced:
                async with handle.append_session() as session:
                    await (await session.submit(one(0, fencing_token="theirs")))
            assert fenced.value.expected_fencing_token == "mine"
            with pytest.raises(SeqNumMismatchError) as moved:
                async with handle.append_session() as session:
                    await (await session.submit(one(0, match_seq_num=9)))
            assert moved.value.expected_seq_num == 1
            with pytest.raises(S2ServerError) as missing:
                async with s2["append-tests"]["not-there"].append_session() as session:
                    await (await session.submit(one(0)))
            assert missing.value.code == "stream_not_found"

    run(main())


def test_real_producer(client, fresh):
    async def main():
        async with client() as s2:
            async with s2["append-tests"][fresh].producer(match_seq_num=0) as producer:
                tickets = [await producer.submit(Record(b"%d" % n, [(b"n", b"%d" % n)])) for n in range(5000)]
            assert [(await ticket).seq_num for ticket in tickets] == list(range(5000))

    run(main())
    assert read_all(client, fresh) == [b"%d" % n for n in range(5000)]


def test_real_bulk(client, fresh):
    with client(SyncS2) as s2:
        done = append_encoded(s2["append-tests"][fresh], inputs(200, 100))
    assert done.ack.end.seq_num == 20_000
    assert len(read_all(client, fresh)) == 20_000


def test_real_cuts(client, fresh, real):
    """With match_seq_num nothing is written twice, whatever breaks."""
    port = int(real["S2_BASIN_ENDPOINT"].rsplit(":", 1)[1])
    batches = [many(n, 40, count=2) for n in range(100)]
    with Cutter(port, plan_of(11, 2000, 600)) as cutter:

        def checked():
            # What was sent before a cut may still be appended; the stream's end must stand still first.
            with client(SyncS2) as s2:
                handle, before = s2["append-tests"][fresh], -1
                while (tail := handle.check_tail().seq_num) != before:
                    before = tail
                    time.sleep(0.03)
                return tail

        async def main():
            url = cutter.url
            tries = 0
            while (done := checked() // 2) < len(batches):
                tries += 1
                assert tries < 200
                try:
                    s2 = S2(real["S2_ACCESS_TOKEN"], **settings(url, request=5.0, attempts=4))
                    async with s2["append-tests"][fresh].append_session(max_unacked_batches=6) as session:
                        for n in range(done, len(batches)):
                            await session.submit(AppendInput(batches[n].records, match_seq_num=2 * n))
                except S2Error:
                    pass

        run(main())
        assert cutter.cuts >= 8, cutter.cuts
    assert read_all(client, fresh) == bodies_of(batches)


def test_the_kinds_of_loss_have_their_causes():
    """What callers may look at: the transport's own words are the cause."""
    error = s2.errors.as_client_error(Lost("x"))
    assert isinstance(error, S2ClientError)
    assert isinstance(error.__cause__, Lost)
