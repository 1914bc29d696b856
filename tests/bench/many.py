"""Many of one thing: streams listed, profiled and read side by side, feeds left open. Run: python -m tests.bench.many

The official client lists all streams to a frame, and reads one stream after the other; a thousand feeds are measured in
a process of their own while nothing is appended, and the lab they follow is another process.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import time
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from .measure import Figures, Pairs, Side, resident_mb, round_number, size
from .measure import main as run

BASIN = "bench-many"
STREAMS = 10_000
SIDE_BY_SIDE = 64
RECORDS = 10_000
FEEDS = 1_000
FEED_KB = 300
IDLE_PERCENT = 2.0


def body(n: int) -> bytes:
    return b'{"n":%d,"city":"city-%d","total":%d.5,"note":"%s"}' % (n, n % 50, n % 997, b"x" * 150)


def basin() -> Any:
    import kit
    import kit.core.tables.frames

    return kit.connect("s2")[BASIN]


# --- listed and profiled --------------------------------------------------------------------------------------------


def ours_listed() -> Figures:
    found = basin()
    found.streams("none-")
    started = time.perf_counter()
    frame = found.streams("few-")
    took = time.perf_counter() - started
    assert len(frame) == size()
    return {"time": took}


def official_listed() -> Figures:
    import pandas

    async def main() -> float:
        async with official() as s2:
            async for _ in s2[BASIN].list_all_streams(prefix="none-"):
                pass
            started = time.perf_counter()
            found = [info async for info in s2[BASIN].list_all_streams(prefix="few-")]
            frame = pandas.DataFrame(
                {
                    "name": [info.name for info in found],
                    "created_at": [info.created_at for info in found],
                    "deleted_at": [info.deleted_at for info in found],
                }
            )
            took = time.perf_counter() - started
            assert len(frame) == size()
            return took

    return {"time": asyncio.run(main())}


def bare_listed() -> Figures:
    """The same pages, received and thrown away: the bound of a list."""
    pages = [f"/v1/streams?prefix=few-&limit=1000&start_after={name_of(n - 1)}" for n in range(1000, size(), 1000)]
    return thrown_away(["/v1/streams?prefix=few-&limit=1000", *pages], "/v1/streams?prefix=none-")


def thrown_away(paths: list[str], first: str) -> Figures:
    """Ask for each path on one connection, after a first one that is not timed, and throw the answers away."""
    url = urlsplit(os.environ["S2_BASIN_ENDPOINT"])
    headers = {
        "s2-basin": BASIN, "authorization": f"Bearer {os.environ['S2_ACCESS_TOKEN']}", "content-type": "s2s/proto",
    }  # fmt: skip
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=60)
    held = memoryview(bytearray(2**20))

    def drain(path: str) -> int:
        connection.request("GET", path, headers=headers)
        answer, received = connection.getresponse(), 0
        assert answer.status == 200, answer.status
        while count := answer.readinto(held):
            received += count
        return received

    drain(first)
    started = time.perf_counter()
    assert sum(map(drain, paths)) > 20 * size()
    took = time.perf_counter() - started
    connection.close()
    return {"time": took}


def share() -> range:
    """The streams that this round profiles: each round has others, five rounds have them all."""
    return range(round_number() * size(), (round_number() + 1) * size())


def ours_profiled() -> Figures:
    found = basin()
    found[name_of(0)].profile()
    started = time.perf_counter()
    for n in share():
        assert found[name_of(n)].profile().records == 10
    return {"time": time.perf_counter() - started}


def official_profiled() -> Figures:
    """What a careful user writes: the records of each as a frame of their keys, described."""
    import pandas
    import s2_sdk

    async def main() -> float:
        async with official() as s2:

            async def one(name: str) -> None:
                limit = s2_sdk.ReadLimit(count=1000)
                batch = await s2[BASIN][name].read(start=s2_sdk.SeqNum(0), limit=limit)
                frame = pandas.DataFrame([json.loads(record.body) for record in batch.records])
                assert len(frame.describe(include="all")) and len(frame) == 10

            await one(name_of(0))
            started = time.perf_counter()
            for n in share():
                await one(name_of(n))
            return time.perf_counter() - started

    return {"time": asyncio.run(main())}


def name_of(n: int) -> str:
    return f"few-{n:05d}"


# --- side by side ---------------------------------------------------------------------------------------------------


def side_by_side() -> Figures:
    found = basin()
    found["wide-00"].read(limit=1)
    found.read_many(streams=["wide-00", "wide-01"], limit=1)
    started = time.perf_counter()
    frame = found.read_many("wide-", body="bytes")
    took = time.perf_counter() - started
    assert len(frame) == size(), len(frame)
    return {"time": took}


def one_stream() -> Figures:
    found = basin()
    found["all"].read(limit=1)
    started = time.perf_counter()
    frame = found["all"].read(body="bytes")
    took = time.perf_counter() - started
    assert len(frame) == size(), len(frame)
    return {"time": took}


_SESSION = "/v1/streams/{}/records?seq_num=0&wait=0"


def bare_side_by_side() -> Figures:
    """The same sessions one after the other, received and thrown away."""
    names = [f"wide-{n:02d}" for n in range(SIDE_BY_SIDE)]
    return thrown_away([_SESSION.format(name) for name in names], _SESSION.format(names[0]))


def bare_one() -> Figures:
    return thrown_away([_SESSION.format("all")], _SESSION.format("wide-00"))


# --- feeds ----------------------------------------------------------------------------------------------------------


def open_feeds() -> Figures:
    import kit

    log = basin()["all"]
    first = [kit.Feed(log) for _ in range(20)]
    time.sleep(2)
    before = resident_mb()
    feeds = [kit.Feed(log) for _ in range(size())]
    deadline = time.monotonic() + 120
    while any(feed.state != "live" for feed in feeds) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert all(feed.state == "live" for feed in feeds), {feed.state for feed in feeds}
    time.sleep(3)
    memory = (resident_mb() - before) * 1024 / len(feeds)
    used, began = time.process_time(), time.perf_counter()
    time.sleep(15)
    idle = (time.process_time() - used) / (time.perf_counter() - began) * 100
    for feed in [*first, *feeds]:
        feed.close()
    return {f"of {FEED_KB} KB a feed": memory / FEED_KB, f"of {IDLE_PERCENT:g} % of a core": idle / IDLE_PERCENT}


def bare_feeds() -> Figures:
    """The same signs of life on as many bare sockets of one loop, thrown away: the bound of an idle feed."""

    class Idle(asyncio.Protocol):
        beats = 0

        def __init__(self, heard: asyncio.Event, request: bytes) -> None:
            self.heard, self.request = heard, request

        def connection_made(self, transport: Any) -> None:
            transport.write(self.request)

        def data_received(self, data: bytes) -> None:
            self.heard.set()
            Idle.beats += 1

    async def main() -> float:
        url = urlsplit(os.environ["S2_BASIN_ENDPOINT"])
        request = (
            f"GET /v1/streams/all/records?tail_offset=0 HTTP/1.1\r\nhost: {url.netloc}\r\ns2-basin: {BASIN}\r\n"
            f"authorization: Bearer {os.environ['S2_ACCESS_TOKEN']}\r\ncontent-type: s2s/proto\r\n\r\n"
        ).encode()
        loop, transports = asyncio.get_running_loop(), []
        for _ in range(size()):
            heard = asyncio.Event()
            transport, _ = await loop.create_connection(partial(Idle, heard, request), url.hostname, url.port)
            transports.append(transport)
            await asyncio.wait_for(heard.wait(), 20)
        await asyncio.sleep(3)
        Idle.beats, used, began = 0, time.process_time(), time.perf_counter()
        await asyncio.sleep(15)
        share = (time.process_time() - used) / (time.perf_counter() - began) * 100
        assert Idle.beats >= size(), Idle.beats
        for transport in transports:
            transport.close()
        return share

    return {f"of {IDLE_PERCENT:g} % of a core": asyncio.run(main()) / IDLE_PERCENT}


# --- set-up ---------------------------------------------------------------------------------------------------------


def official() -> Any:
    import s2_sdk

    return s2_sdk.S2(os.environ["S2_ACCESS_TOKEN"], endpoints=s2_sdk.Endpoints.from_env())


SIDES: dict[str, Side] = {
    side.__name__: side
    for side in (
        ours_listed, official_listed, ours_profiled, official_profiled, side_by_side, one_stream, open_feeds,
        bare_feeds, bare_listed, bare_side_by_side, bare_one,
    )
}  # fmt: skip


async def fill(env: dict[str, str], streams: int) -> None:
    """Make the streams that are listed, with ten records each."""
    from kit.s2 import S2, AppendInput, Endpoints, Record

    ends = Endpoints(env["S2_ACCOUNT_ENDPOINT"], env["S2_BASIN_ENDPOINT"])
    async with S2(env["S2_ACCESS_TOKEN"], endpoints=ends) as s2:
        found = s2[BASIN]
        ten = AppendInput(records=[Record(body=body(n)) for n in range(10)])
        for start in range(0, streams, 100):
            names = [name_of(n) for n in range(start, min(start + 100, streams))]
            await asyncio.gather(*(found.create_stream(name) for name in names))
            await asyncio.gather(*(found[name].append(ten) for name in names))


def rows(pairs: Pairs) -> None:
    import kit

    with kit.Lab("s2", demo=False, join=False) as lab:
        made, env = lab.s2.create_basin(BASIN), lab.env()
        asyncio.run(fill(env, pairs.size(STREAMS)))
        each = pairs.size(RECORDS)
        for n in range(SIDE_BY_SIDE):
            made.create(f"wide-{n:02d}").append([body(k) for k in range(each)])
        whole = made.create("all")
        for _ in range(SIDE_BY_SIDE):
            whole.append([body(k) for k in range(each)])
        pairs.compare(f"S2: {STREAMS:,} streams listed", "ours_listed", "official_listed", env, goal=0.8, size=STREAMS)
        name = f"S2: {STREAMS:,} streams listed, the server alone"
        pairs.compare(name, "bare_listed", "official_listed", env, size=STREAMS)
        name = f"S2: {STREAMS:,} streams profiled one after the other, {STREAMS // 5:,} a round"
        pairs.compare(name, "ours_profiled", "official_profiled", env, goal=1.5, size=STREAMS // 5, rounds=5)
        name = f"S2: {SIDE_BY_SIDE} streams of {RECORDS:,} records side by side, against one with as many"
        total = SIDE_BY_SIDE * each * (100 if pairs.quick else 1)  # `compare` does a hundredth where it is quick
        pairs.compare(name, "side_by_side", "one_stream", env, goal=1.3, size=total)
        name = f"S2: {SIDE_BY_SIDE} streams one after the other, against one with as many, both thrown away"
        pairs.compare(name, "bare_side_by_side", "bare_one", env, size=total)
        goals = {f"of {FEED_KB} KB a feed": 1.0, f"of {IDLE_PERCENT:g} % of a core": 1.0}
        pairs.alone(f"S2: {FEEDS:,} feeds open, none of them with news", "open_feeds", env, goals, size=FEEDS)
        name = f"S2: {FEEDS:,} bare sockets that get the same signs of life"
        pairs.alone(name, "bare_feeds", env, {f"of {IDLE_PERCENT:g} % of a core": None}, size=FEEDS)


if __name__ == "__main__":
    run(__spec__.name, rows, SIDES, __doc__)
