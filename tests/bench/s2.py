"""S2 against the official client, on one lab in one run. Run: python -m tests.bench.s2

The official side is used as its documentation says, without compression: `read_session` to lists that become a
DataFrame, `append_session` fed from the same frame in batches of 1000. Both sides read and write the same records, and
each does so with one record first, so that neither connecting nor loading libraries is in the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time

from .measure import compare, peak_mb, show

RECORDS = 1_000_000
BODY = 200
BASIN = "bench-basin"


def body(n: int) -> bytes:
    return (b"%09d" % n) + b"x" * (BODY - 9)


# --- reading --------------------------------------------------------------------------------------------------------


def ours_read() -> dict[str, float]:
    import kit
    import kit.core.frames

    stream = kit.connect("s2")[BASIN]["read"]
    stream.read(limit=1, body="bytes")
    started = time.perf_counter()
    frame = stream.read(body="bytes")
    took = time.perf_counter() - started
    assert len(frame) == RECORDS
    memory = frame.memory_usage(deep=False).sum() / 1e6
    return {"time": took, "peak memory": peak_mb(), "frame": memory}


def official_read() -> dict[str, float]:
    import pandas
    import s2_sdk

    async def main() -> float:
        async with official() as s2:
            await s2[BASIN]["read"].read(start=s2_sdk.SeqNum(0), limit=s2_sdk.ReadLimit(count=1))
            started = time.perf_counter()
            seq_num, timestamp, bodies = [], [], []
            limit = s2_sdk.ReadLimit(count=RECORDS)
            async for batch in s2[BASIN]["read"].read_session(start=s2_sdk.SeqNum(0), limit=limit):
                for record in batch.records:
                    seq_num.append(record.seq_num)
                    timestamp.append(record.timestamp)
                    bodies.append(record.body)
            frame = pandas.DataFrame({"seq_num": seq_num, "time": timestamp, "body": bodies})
            frame["time"] = pandas.to_datetime(frame["time"], unit="ms", utc=True)
            took = time.perf_counter() - started
            assert len(frame) == RECORDS
            return took

    return {"time": asyncio.run(main()), "peak memory": peak_mb()}


def drain_read() -> dict[str, float]:
    """The same bytes received and thrown away."""
    import httpx

    headers = {
        "Authorization": f"Bearer {os.environ['S2_ACCESS_TOKEN']}",
        "content-type": "s2s/proto",
        "s2-basin": BASIN,
        "accept-encoding": "identity",
    }
    url = f"{os.environ['S2_BASIN_ENDPOINT']}/v1/streams/read/records"
    started = time.perf_counter()
    with httpx.stream("GET", url, params={"seq_num": 0, "count": RECORDS}, headers=headers, timeout=60) as answer:
        size = sum(len(piece) for piece in answer.iter_raw())
    assert size > RECORDS * BODY
    return {"time": time.perf_counter() - started}


def ours_objects() -> dict[str, float]:
    from kit.s2 import S2, ReadLimit, SeqNum

    return {"time": asyncio.run(objects(S2, SeqNum, ReadLimit))}


def official_objects() -> dict[str, float]:
    from s2_sdk import S2, ReadLimit, SeqNum

    return {"time": asyncio.run(objects(S2, SeqNum, ReadLimit))}


async def objects(make, seq_num, limit) -> float:
    async with connected(make) as s2:
        await s2[BASIN]["read"].read(start=seq_num(0), limit=limit(count=1))
        started = time.perf_counter()
        count = 0
        async for batch in s2[BASIN]["read"].read_session(start=seq_num(0), limit=limit(count=RECORDS // 4)):
            count += len(batch.records)
        assert count == RECORDS // 4
        return time.perf_counter() - started


# --- appending ------------------------------------------------------------------------------------------------------


def frame_to_append():
    import pandas

    return pandas.DataFrame({"body": [body(n) for n in range(RECORDS // 4)]})


def ours_append() -> dict[str, float]:
    import kit

    stream = kit.connect("s2")[BASIN].create(f"append-{os.getpid()}")
    frame = frame_to_append()
    stream.append(b"first")
    started = time.perf_counter()
    ack = stream.append(frame)
    took = time.perf_counter() - started
    assert ack.end.seq_num == len(frame) + 1
    return {"time": took}


def official_append() -> dict[str, float]:
    import s2_sdk

    frame = frame_to_append()

    async def main() -> float:
        async with official() as s2:
            name = f"append-{os.getpid()}"
            await s2[BASIN].create_stream(name)
            await s2[BASIN][name].append(s2_sdk.AppendInput(records=[s2_sdk.Record(body=b"first")]))
            started = time.perf_counter()
            tickets = []
            async with s2[BASIN][name].append_session() as session:
                for start in range(0, len(frame), 1000):
                    records = [s2_sdk.Record(body=one) for one in frame["body"].iloc[start : start + 1000]]
                    tickets.append(await session.submit(s2_sdk.AppendInput(records=records)))
            acks = [await ticket for ticket in tickets]
            assert acks[-1].end.seq_num == len(frame) + 1
            return time.perf_counter() - started

    return {"time": asyncio.run(main())}


# --- latency of a tailing session -----------------------------------------------------------------------------------


def ours_tail() -> dict[str, float]:
    from kit.s2 import S2, AppendInput, Record, SeqNum

    return asyncio.run(tail(S2, AppendInput, Record, SeqNum))


def official_tail() -> dict[str, float]:
    from s2_sdk import S2, AppendInput, Record, SeqNum

    return asyncio.run(tail(S2, AppendInput, Record, SeqNum))


async def tail(make, append_input, record, seq_num) -> dict[str, float]:
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
        for n in range(400):
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


SIDES = {
    side.__name__: side
    for side in (
        ours_read,
        official_read,
        drain_read,
        ours_objects,
        official_objects,
        ours_append,
        official_append,
        ours_tail,
        official_tail,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    if chosen.side:
        print(json.dumps(SIDES[chosen.side]()))
        return
    import kit

    here = __spec__.name
    with kit.Lab("s2", demo=False, join=False) as lab:
        stream = lab.s2.create_basin(BASIN).create("read")
        for start in range(0, RECORDS, 100_000):
            stream.append([body(n) for n in range(start, start + 100_000)])
        n = chosen.rounds
        rows = compare(here, "read 1 M x 200 B to a frame", "ours_read", "official_read", {"time": 1 / 8}, lab.env(), n)
        rows += compare(here, "the same against its bytes only", "ours_read", "drain_read", {"time": 2.0}, lab.env(), n)
        rows += compare(
            here, "read_session to objects", "ours_objects", "official_objects", {"time": 1 / 1.5}, lab.env(), n
        )
        rows += compare(here, "append a frame of 250 k", "ours_append", "official_append", {"time": 0.5}, lab.env(), n)
        rows += compare(here, "append to seen", "ours_tail", "official_tail", {"p50": 1.0, "p99": 1.0}, lab.env(), n)
    show(rows)


if __name__ == "__main__":
    main()
