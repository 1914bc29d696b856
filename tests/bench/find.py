"""Finding and profiling, against reading the same bytes and against a loop over the official client. Run: python -m tests.bench.find

Both sides look through the same records of one lab. "Its bytes only" receives what the service sends and throws it
away, without taking records apart; the official loop calls `json.loads` on each record of a read session.
"""

from __future__ import annotations

import asyncio
import json
import time

from . import s2
from .measure import Figures, Pairs, Side, peak_mb, resident_mb, size
from .measure import main as run

RECORDS = 1_000_000
BODY = 200
CITIES = ("Bergen", "Molde", "Tromsø", "Bodø")


def body(n: int) -> bytes:
    """A record of 200 bytes: one in ten thousand is from Oslo, and late."""
    city = "Oslo" if n % 10_000 == 5_000 else CITIES[n % 4]
    made = json.dumps(
        {"id": n, "customer": {"name": f"c{n % 1000}", "city": city}, "total": n % 997 / 4, "note": ""},
        ensure_ascii=False,
    )
    return (made[:-2] + "x" * (BODY - len(made.encode())) + '"}').encode()


def ours(**asked) -> Figures:
    import kit

    log = kit.connect("s2")[s2.BASIN]["read"]
    log.find("warm", until=100)
    log.read(limit=1)
    before, started = resident_mb(), time.perf_counter()
    frame = log.find(**asked, until=size())
    took = time.perf_counter() - started
    assert frame.kit.scan.complete and frame.kit.scan.records == size(), frame.kit.scan
    return {"time": took, "MB more": peak_mb() - before, "found": len(frame)}


def find_text() -> Figures:
    return ours(text="Oslo")


def find_nothing() -> Figures:
    return ours(text="nothing like it")


def find_path() -> Figures:
    return ours(path="$.customer.city == 'Oslo'")


def find_number() -> Figures:
    return ours(path="$.total > 248")


def find_where() -> Figures:
    return ours(where="total > 248")


def profile() -> Figures:
    import kit

    log = kit.connect("s2")[s2.BASIN]["read"]
    log.profile(until=100)
    started = time.perf_counter()
    told = log.profile(until=size())
    took = time.perf_counter() - started
    assert told.records == size()
    return {"time": took, "peak memory": peak_mb()}


def read_json() -> Figures:
    import kit

    log = kit.connect("s2")[s2.BASIN]["read"]
    log.read(limit=100)
    started = time.perf_counter()
    frame = log.read(limit=size())
    took = time.perf_counter() - started
    assert len(frame) == size() and "total" in frame
    return {"time": took, "peak memory": peak_mb()}


def read_bytes() -> Figures:
    import kit

    log = kit.connect("s2")[s2.BASIN]["read"]
    log.read(limit=1)
    started = time.perf_counter()
    frame = log.read(limit=size(), body="bytes")
    took = time.perf_counter() - started
    assert len(frame) == size()
    return {"time": took, "peak memory": peak_mb()}


def official(holds) -> Figures:
    import s2_sdk

    async def main() -> tuple[float, int]:
        async with s2.official() as client:
            await client[s2.BASIN]["read"].read(start=s2_sdk.SeqNum(0), limit=s2_sdk.ReadLimit(count=1))
            started = time.perf_counter()
            found = []
            limit = s2_sdk.ReadLimit(count=size())
            async for batch in client[s2.BASIN]["read"].read_session(start=s2_sdk.SeqNum(0), limit=limit):
                for record in batch.records:
                    if holds(json.loads(record.body)):
                        found.append(record)
            return time.perf_counter() - started, len(found)

    took, found = asyncio.run(main())
    return {"time": took, "found": found}


def official_path() -> Figures:
    return official(lambda value: value["customer"]["city"] == "Oslo")


def official_number() -> Figures:
    return official(lambda value: value["total"] > 248)


def drain_read() -> Figures:
    """The same bytes received and thrown away."""
    return s2.received(lambda piece: None)


SIDES: dict[str, Side] = {
    side.__name__: side
    for side in (
        find_text,
        find_nothing,
        find_path,
        find_number,
        find_where,
        profile,
        read_json,
        read_bytes,
        official_path,
        official_number,
        drain_read,
    )
}


def rows(pairs: Pairs) -> None:
    import kit

    with kit.Lab("s2", demo=False, join=False) as lab:
        stream, env = lab.s2.create_basin(s2.BASIN).create("read"), lab.env()
        count = pairs.size(RECORDS)
        for start in range(0, count, 100_000):
            stream.append([body(n) for n in range(start, min(start + 100_000, count))])
        name = "find(text=) in 1 M x 200 B"
        pairs.compare(f"{name}, against a read of the bytes", "find_text", "read_bytes", env, goal=1.3, size=RECORDS)
        pairs.compare(f"{name}, against its bytes only", "find_text", "drain_read", env, goal=1.3, size=RECORDS)
        pairs.compare(f"{name}, where nothing is", "find_nothing", "drain_read", env, size=RECORDS)
        pairs.alone(f"{name}, MB beside the frame", "find_text", env, {"MB more": 100.0}, size=RECORDS)
        name = "find(path=) in 1 M x 200 B, against the official client's loop"
        pairs.compare(name, "find_path", "official_path", env, goal=1 / 4, size=RECORDS)
        pairs.compare(f"{name}, a number", "find_number", "official_number", env, goal=1 / 4, size=RECORDS)
        pairs.compare('find(where="total > 248"), the same', "find_where", "official_number", env, size=RECORDS)
        pairs.compare("profile() of 1 M JSON records", "profile", "read_json", env, goal=2.5, size=RECORDS)


if __name__ == "__main__":
    run(__spec__.name, rows, SIDES, __doc__)
