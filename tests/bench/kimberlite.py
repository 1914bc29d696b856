"""Kimberlite against the official client, on one embedded server in one run. Run: python -m tests.bench.kimberlite

The official client (`kimberlite==0.9.1`) is looked for in this Python, or in the one that OFFICIAL_PYTHON names. It is
used as its documentation says: `read` in a loop of pages to a DataFrame, `append` in batches of 500 from the same frame,
`query` in pages by the primary key, as it receives no answer of more than 128 KiB. Both sides do one small thing first, so that neither connecting nor loading is in the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

from .measure import Row, show

EVENTS = 500_000
BODY = 200
ROWS = 100_000
BATCH = 500


def body(n: int) -> bytes:
    return (b"%09d" % n) + b"x" * (BODY - 9)


def ours_read(times: bool = False) -> float:
    import kit.kimberlite.explorer

    with kit.kimberlite.explorer.connect(os.environ) as k:
        k.read("read", limit=1, body="bytes", times=times)
        started = time.perf_counter()
        frame = k.read("read", body="bytes", times=times)
        took = time.perf_counter() - started
    assert len(frame) == EVENTS
    return took


def ours_read_with_times() -> float:
    return ours_read(times=True)


def ours_query() -> float:
    import kit.kimberlite.explorer

    with kit.kimberlite.explorer.connect(os.environ) as k:
        k.query("SELECT * FROM bench LIMIT 1")
        started = time.perf_counter()
        frame = k.query("SELECT * FROM bench")
        took = time.perf_counter() - started
    assert len(frame) == ROWS
    return took


def ours_append() -> float:
    import pandas

    import kit.kimberlite.explorer

    with kit.kimberlite.explorer.connect(os.environ) as k:
        frame = pandas.DataFrame({"body": [body(n) for n in range(EVENTS // 2)]})
        name = f"append-{os.getpid()}"
        k.append(name, b"first")
        started = time.perf_counter()
        told = k.append(name, frame)
        took = time.perf_counter() - started
    assert told["count"].sum() == len(frame)
    return took


OFFICIAL = f"""
import json, os, sys, time
import pandas
from kimberlite import Client, DataClass, Value

def body(n): return (b"%09d" % n) + b"x" * ({BODY} - 9)

def read(client):
    stream = int(os.environ["BENCH_STREAM"])
    client.read(stream, 0, 1)
    started = time.perf_counter()
    offsets, bodies, at = [], [], 0
    while True:
        page = client.read(stream, at)
        if not page: break
        for event in page:
            offsets.append(int(event.offset)); bodies.append(event.data)
        at = offsets[-1] + 1
    frame = pandas.DataFrame({{"offset": offsets, "body": bodies}})
    took = time.perf_counter() - started
    assert len(frame) == {EVENTS}
    return took

def query(client):
    client.query("SELECT * FROM bench LIMIT 1")
    started = time.perf_counter()
    rows, at = [], -1
    while True:
        result = client.query("SELECT * FROM bench WHERE id > $1 ORDER BY id LIMIT 3000", [Value.bigint(at)])
        if not result.rows: break
        rows += [[cell.data for cell in row] for row in result.rows]
        at = rows[-1][0]
    frame = pandas.DataFrame(rows, columns=result.columns)
    took = time.perf_counter() - started
    assert len(frame) == {ROWS}
    return took

def append(client):
    frame = pandas.DataFrame({{"body": [body(n) for n in range({EVENTS} // 2)]}})
    stream = client.create_stream(f"official-{{os.getpid()}}", DataClass.PUBLIC)
    client.append(stream, [b"first"], 0)
    started = time.perf_counter()
    at = 1
    for start in range(0, len(frame), {BATCH}):
        events = frame["body"].iloc[start : start + {BATCH}].tolist()
        client.append(stream, events, at)
        at += len(events)
    return time.perf_counter() - started

env = os.environ
with Client.connect([env["KIMBERLITE_ADDRESS"]], int(env["KIMBERLITE_TENANT"]), env["KIMBERLITE_API_KEY"]) as client:
    print(json.dumps({{"time": globals()[sys.argv[1]](client)}}))
"""

SIDES = {side.__name__: side for side in (ours_read, ours_read_with_times, ours_query, ours_append)}


def once(side: str, env: dict[str, str]) -> float:
    """Seconds of one side, in a process of its own."""
    if side in SIDES:
        command = [sys.executable, "-m", __spec__.name, "--side", side]
    else:
        command = [os.environ.get("OFFICIAL_PYTHON", sys.executable), "-c", OFFICIAL, side]
    done = subprocess.run(command, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["time"])


def compare(name: str, ours: str, theirs: str, goal: float, env: dict[str, str], rounds: int) -> Row:
    """The two sides in turn, who goes first changing, after one round that is thrown away."""
    once(ours, env)
    once(theirs, env)
    pairs = []
    for number in range(rounds):
        order = (ours, theirs) if number % 2 == 0 else (theirs, ours)
        took = {side: once(side, env) for side in order}
        pairs.append((took[ours], took[theirs]))
    a, b = (sorted(times)[len(pairs) // 2] for times in zip(*pairs, strict=True))
    return Row(name, [one / other for one, other in pairs], goal, "time", a, b)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    if chosen.side:
        print(json.dumps({"time": SIDES[chosen.side]()}))
        return
    import kit

    with kit.Lab("kimberlite", demo=False, join=False) as lab:
        k = lab.kimberlite
        for start in range(0, EVENTS, 100_000):
            k.append("read", [body(n) for n in range(start, start + 100_000)])
        k.execute("CREATE TABLE bench (id BIGINT PRIMARY KEY, name TEXT, amount BIGINT, active BOOLEAN)")
        for start in range(0, ROWS, 1000):
            rows = ", ".join(
                f"({n}, 'name {n}', {n * 7}, {str(n % 2 == 0).lower()})" for n in range(start, start + 1000)
            )
            k.execute(f"INSERT INTO bench VALUES {rows}")
        env = {**lab.env(), "BENCH_STREAM": str(k.client.create_stream("read").to_u64())}
        n = chosen.rounds
        rows = [
            compare("read 500 k x 200 B to a frame", "ours_read", "read", 1 / 5, env, n),
            compare("the same with the server's times", "ours_read_with_times", "read", 1.0, env, n),
            compare("query 100 k rows to a frame", "ours_query", "query", 1 / 3, env, n),
            compare("append a frame of 250 k", "ours_append", "append", 1.0, env, n),
        ]
    show(rows)


if __name__ == "__main__":
    main()
