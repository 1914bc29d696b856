"""S2 against the official client, on one lab in one run. Run: python -m tests.bench.s2

The official side is used as its documentation says, without compression: `read_session` to lists that become a
DataFrame, `append_session` fed from the same frame in batches of 1000. Both sides read and write the same records, and
each does so with a few records first, so that neither connecting nor loading libraries is in the figures.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from typing import Any

from .measure import Figures, Pairs, Side, asked_bare, peak_mb, resident_mb, size, small_frame, timed
from .measure import main as run

RECORDS = 1_000_000
BODY = 200
BASIN = "bench-basin"


def body(n: int) -> bytes:
    return (b"%09d" % n) + b"x" * (BODY - 9)


# --- reading --------------------------------------------------------------------------------------------------------


def ours_read() -> Figures:
    import kit
    import kit.core.tables.frames

    stream = kit.connect("s2")[BASIN]["read"]
    stream.read(limit=min(size(), 2000), body="bytes")  # a read of a few loads no decoder of many
    before, count = resident_mb(), size()
    started = time.perf_counter()
    frame = stream.read(limit=count, body="bytes")
    took = time.perf_counter() - started
    assert len(frame) == count
    result = frame.memory_usage(deep=False).sum() / 2**20
    return {"time": took, "peak memory": peak_mb(), "memory / frame": (peak_mb() - before) / result}


def official_read() -> Figures:
    import pandas
    import s2_sdk

    async def main() -> float:
        async with official() as s2:
            await s2[BASIN]["read"].read(start=s2_sdk.SeqNum(0), limit=s2_sdk.ReadLimit(count=1))
            started = time.perf_counter()
            seq_num, timestamp, bodies = [], [], []
            limit = s2_sdk.ReadLimit(count=size())
            async for batch in s2[BASIN]["read"].read_session(start=s2_sdk.SeqNum(0), limit=limit):
                for record in batch.records:
                    seq_num.append(record.seq_num)
                    timestamp.append(record.timestamp)
                    bodies.append(record.body)
            frame = pandas.DataFrame({"seq_num": seq_num, "time": timestamp, "body": bodies})
            frame["time"] = pandas.to_datetime(frame["time"], unit="ms", utc=True)
            took = time.perf_counter() - started
            assert len(frame) == size()
            return took

    return {"time": asyncio.run(main()), "peak memory": peak_mb()}


def drain_read() -> Figures:
    """The same bytes received and thrown away."""
    return received(lambda piece: None)


def keep_read() -> Figures:
    """The same bytes received and copied once, to memory that nobody has used before, as a frame's must be."""
    memory, at = bytearray(size() * (BODY + 40)), 0

    def keep(piece: bytes) -> None:
        nonlocal at
        memory[at : at + len(piece)] = piece
        at += len(piece)

    return received(keep)


def received(take) -> Figures:
    import httpx

    headers = {
        "Authorization": f"Bearer {os.environ['S2_ACCESS_TOKEN']}",
        "content-type": "s2s/proto",
        "s2-basin": BASIN,
        "accept-encoding": "identity",
    }
    url = f"{os.environ['S2_BASIN_ENDPOINT']}/v1/streams/read/records"
    with httpx.Client(headers=headers, timeout=60) as client:
        client.get(url, params={"seq_num": 0, "count": 1})
        started = time.perf_counter()
        with client.stream("GET", url, params={"seq_num": 0, "count": size()}) as answer:
            count = 0
            for piece in answer.iter_raw():
                take(piece)
                count += len(piece)
        took = time.perf_counter() - started
    assert count > size() * BODY
    return {"time": took}


# --- a few records --------------------------------------------------------------------------------------------------


def ours_small() -> Figures:
    import kit

    stream = kit.connect("s2")[BASIN]["read"]
    return timed(lambda: stream.read(limit=100, body="bytes"), size())


def official_small() -> Figures:
    import pandas
    import s2_sdk

    async def main() -> float:
        async with official() as s2:
            stream, took = s2[BASIN]["read"], []
            for _ in range(size() + 20):
                started = time.perf_counter()
                batch = await stream.read(start=s2_sdk.SeqNum(0), limit=s2_sdk.ReadLimit(count=100))
                records = batch.records
                frame = pandas.DataFrame(
                    {
                        "seq_num": [record.seq_num for record in records],
                        "time": pandas.to_datetime([record.timestamp for record in records], unit="ms", utc=True),
                        "body": [record.body for record in records],
                    }
                )
                assert len(frame) == 100
                took.append(time.perf_counter() - started)
            return statistics.median(took[20:])

    return {"time": asyncio.run(main())}


def bare_small() -> Figures:
    """The same answer, received and thrown away."""
    return bare("?seq_num=0&count=100", "application/protobuf")


def bare_unary() -> Figures:
    return bare("/tail", "application/json")


def bare(rest: str, accept: str) -> Figures:
    from urllib.parse import urlsplit

    url = urlsplit(os.environ["S2_BASIN_ENDPOINT"])
    head = (
        f"GET /v1/streams/read/records{rest} HTTP/1.1\r\nhost: {url.netloc}\r\ns2-basin: {BASIN}\r\n"
        f"authorization: Bearer {os.environ['S2_ACCESS_TOKEN']}\r\naccept: {accept}\r\n\r\n"
    )

    def whole(data: bytes) -> bool:
        start, gap, body = data.partition(b"\r\n\r\n")
        return bool(gap) and len(body) == int(start.lower().partition(b"content-length:")[2].split()[0])

    return asked_bare((str(url.hostname), int(url.port or 80)), head.encode(), whole)


def ours_unary() -> Figures:
    from kit.s2 import S2

    return asyncio.run(unary(S2))


def official_unary() -> Figures:
    from s2_sdk import S2

    return asyncio.run(unary(S2))


async def unary(make) -> Figures:
    """The smallest call there is: where a stream ends."""
    async with connected(make) as s2:
        stream, took = s2[BASIN]["read"], []
        for _ in range(size() + 20):
            started = time.perf_counter()
            await stream.check_tail()
            took.append(time.perf_counter() - started)
        return {"time": statistics.median(took[20:])}


def ours_objects() -> Figures:
    from kit.s2 import S2, ReadLimit, SeqNum

    return {"time": asyncio.run(objects(S2, SeqNum, ReadLimit))}


def official_objects() -> Figures:
    from s2_sdk import S2, ReadLimit, SeqNum

    return {"time": asyncio.run(objects(S2, SeqNum, ReadLimit))}


async def objects(make, seq_num, limit) -> float:
    async with connected(make) as s2:
        await s2[BASIN]["read"].read(start=seq_num(0), limit=limit(count=1))
        started = time.perf_counter()
        count = 0
        async for batch in s2[BASIN]["read"].read_session(start=seq_num(0), limit=limit(count=size())):
            count += len(batch.records)
        assert count == size()
        return time.perf_counter() - started


# --- appending ------------------------------------------------------------------------------------------------------


FIRST = 1_500
"""Records that both sides append beforehand, in the way that is timed: a session that has two batches."""


def frame_to_append(rows: int | None = None):
    import pandas

    return pandas.DataFrame({"body": [body(n) for n in range(size() if rows is None else rows)]})


def ours_append() -> Figures:
    import kit

    stream = kit.connect("s2")[BASIN].create(f"append-{os.getpid()}")
    frame = frame_to_append()
    sessions_loaded()
    stream.append(frame_to_append(FIRST))
    started = time.perf_counter()
    ack = stream.append(frame)
    took = time.perf_counter() - started
    assert ack.end.seq_num == len(frame) + FIRST
    return {"time": took}


def bytes_append() -> Figures:
    """The same messages, encoded beforehand, in a session of ours: what the server and the way to it leave."""
    import kit
    from kit.s2.client.appending import append_encoded
    from kit.s2.wire.inputs import encode_inputs

    stream = kit.connect("s2")[BASIN].create(f"bytes-{os.getpid()}")
    messages = list(encode_inputs(frame_to_append()["body"].to_numpy()))
    sessions_loaded()
    stream.append(frame_to_append(FIRST))
    started = time.perf_counter()
    ack = append_encoded(stream.client, messages).ack
    took = time.perf_counter() - started
    assert ack.end.seq_num == size() + FIRST
    return {"time": took}


def sessions_loaded() -> None:
    """What speaks HTTP/2 loads when it is first used: loading is not what is timed."""
    import kit.s2.client.sessions.connect
    import kit.s2.client.sessions.http2_exchange
    from kit.core import loop

    assert kit.s2.client.sessions.connect and kit.s2.client.sessions.http2_exchange and loop.portal()


def official_append() -> Figures:
    import s2_sdk

    frame = frame_to_append()

    async def main() -> float:
        async with official() as s2:
            name = f"append-{os.getpid()}"
            await s2[BASIN].create_stream(name)

            async def append(given: Any) -> int:
                tickets = []
                async with s2[BASIN][name].append_session() as session:
                    for start in range(0, len(given), 1000):
                        records = [s2_sdk.Record(body=one) for one in given["body"].iloc[start : start + 1000]]
                        tickets.append(await session.submit(s2_sdk.AppendInput(records=records)))
                return [await ticket for ticket in tickets][-1].end.seq_num

            await append(frame_to_append(FIRST))
            started = time.perf_counter()
            end = await append(frame)
            took = time.perf_counter() - started
            assert end == len(frame) + FIRST
            return took

    return {"time": asyncio.run(main())}


# --- latency of a tailing session -----------------------------------------------------------------------------------


def ours_tail() -> Figures:
    from kit.s2 import S2, AppendInput, Record, SeqNum

    return asyncio.run(tail(S2, AppendInput, Record, SeqNum))


def official_tail() -> Figures:
    from s2_sdk import S2, AppendInput, Record, SeqNum

    return asyncio.run(tail(S2, AppendInput, Record, SeqNum))


async def tail(make, append_input, record, seq_num) -> Figures:
    """Seconds from handing in a record to seeing it in a session that follows the stream."""
    took = []
    async with connected(make) as s2:
        name = f"tail-{os.getpid()}"
        await s2[BASIN].create_stream(name)
        stream = s2[BASIN][name]
        await stream.append(append_input(records=[record(body=b"first")]))
        handed_in = {}
        seen = asyncio.Event()

        async def follow() -> None:
            async for batch in stream.read_session(start=seq_num(1)):
                for one in batch.records:
                    took.append(time.perf_counter() - handed_in[int(one.body)])
                    seen.set()

        reader = asyncio.create_task(follow())
        await asyncio.sleep(0.3)
        for n in range(size()):
            seen.clear()
            handed_in[n] = time.perf_counter()
            await stream.append(append_input(records=[record(body=b"%d" % n)]))
            await asyncio.wait_for(seen.wait(), 10)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
    took.sort()
    return {"p50": took[len(took) // 2], "p99": took[int(len(took) * 0.99)]}


# --- set-up ---------------------------------------------------------------------------------------------------------


def connected(make):
    if make.__module__.startswith("kit"):
        from kit.s2 import Endpoints
    else:
        from s2_sdk import Endpoints
    return make(os.environ["S2_ACCESS_TOKEN"], endpoints=Endpoints.from_env())


def official():
    import s2_sdk

    return connected(s2_sdk.S2)


SIDES: dict[str, Side] = {
    side.__name__: side
    for side in (
        ours_read,
        official_read,
        drain_read,
        keep_read,
        ours_small,
        official_small,
        bare_small,
        bare_unary,
        small_frame,
        ours_unary,
        official_unary,
        ours_objects,
        official_objects,
        ours_append,
        bytes_append,
        official_append,
        ours_tail,
        official_tail,
    )
}


def rows(pairs: Pairs) -> None:
    import kit

    with kit.Lab("s2", demo=False, join=False) as lab:
        stream, env = lab.s2.create_basin(BASIN).create("read"), lab.env()
        count = pairs.size(RECORDS)
        for start in range(0, count, 100_000):
            stream.append([body(n) for n in range(start, min(start + 100_000, count))])
        for some in pairs.growth(1_000, 10_000, 100_000):
            pairs.compare(f"S2: read {some:,} x 200 B to a frame", "ours_read", "official_read", env, size=some)
        name = "S2: read 1 M x 200 B to a frame"
        pairs.compare(name, "ours_read", "official_read", env, figures={"time": 0.1, "peak memory": None}, size=RECORDS)
        pairs.compare(f"{name}, against its bytes only", "ours_read", "drain_read", env, goal=1.5, size=RECORDS)
        pairs.compare(f"{name}, against its bytes copied once", "ours_read", "keep_read", env, goal=1.3, size=RECORDS)
        pairs.compare(
            "S2: 1 M x 200 B copied once, against its bytes only", "keep_read", "drain_read", env, size=RECORDS
        )
        pairs.alone(f"{name}", "ours_read", env, {"memory / frame": 2.0}, size=RECORDS)
        pairs.compare("S2: read 100 records to a frame", "ours_small", "official_small", env, goal=0.6, size=300)
        name = "S2: read 100 records, the server alone"
        pairs.compare(name, "bare_small", "official_small", env, size=300)
        name = "S2: read 100 records, a frame of them by pandas alone"
        pairs.compare(name, "small_frame", "official_small", env, size=300)
        pairs.compare("S2: one small call, the server alone", "bare_unary", "official_unary", env, size=500)
        pairs.compare("S2: one small call", "ours_unary", "official_unary", env, goal=0.8, size=500)
        pairs.compare("S2: session to objects", "ours_objects", "official_objects", env, goal=1 / 1.5, size=250_000)
        for some in pairs.growth(1_000, 10_000):
            name = f"S2: append a frame of {some:,}"
            pairs.compare(name, "ours_append", "official_append", env, goal=0.7, size=some)
            pairs.compare(f"{name}, the server alone", "bytes_append", "official_append", env, size=some)
        pairs.compare("S2: append a frame of 250,000", "ours_append", "official_append", env, goal=0.3, size=250_000)
        name = "S2: append a frame of 250,000"
        pairs.compare(f"{name}, against its bytes only", "ours_append", "bytes_append", env, size=250_000)
        pairs.compare(f"{name}, the server alone", "bytes_append", "official_append", env, size=250_000)
        goals = {"p50": 1.0, "p99": 1.0}
        pairs.compare("S2: append to seen", "ours_tail", "official_tail", env, figures=goals, size=400)


if __name__ == "__main__":
    run(__spec__.name, rows, SIDES, __doc__)
