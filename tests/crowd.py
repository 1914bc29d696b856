"""Very many of one thing: feeds opened and closed, queues, rooms and streams listed.

    python -m tests.crowd [--feeds 10000] [--names 100000]

Prints what each takes. Feeds must leave no file, thread, task or memory behind; a listing must have every name, once.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import kit
from kit.core import loop
from kit.core.faces import state_of
from kit.kimberlite import AsyncClient, DataClass
from kit.s2 import S2
from kit.synap import AsyncSynapClient

AT_ONCE = 200
MEMORY_MB = 40


def standing() -> tuple[int, int, int]:
    """Open files, threads, and tasks on the background loop."""

    async def tasks() -> int:
        return len(asyncio.all_tasks())

    gc.collect()
    return len(os.listdir("/proc/self/fd")), threading.active_count(), loop.call(tasks)


def memory_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def feeds(lab: kit.Lab, count: int) -> None:
    """Opens and closes feeds of each log."""
    for label, log in (
        ("s2", lab.s2["demo-shop"]["clicks"]),
        ("kimberlite", lab.kimberlite["claims"]),
        ("synap", lab.synap["vans"]),
    ):
        for _ in range(20):
            kit.Feed(log).close()
        before, memory, started = standing(), memory_mb(), time.perf_counter()
        for _ in range(count // 3):
            kit.Feed(log).close()
        each = (time.perf_counter() - started) / (count // 3) * 1000
        after, grown = standing(), memory_mb() - memory
        print(
            f"{label}: {count // 3:,} feeds, {each:.1f} ms each; {after} as before, memory {grown:+.0f} MB", flush=True
        )
        assert after <= before, f"files, threads, tasks: {before}, then {after}"
        assert grown < MEMORY_MB


async def made(make: Callable[[str], Awaitable[Any]], names: list[str]) -> None:
    for start in range(0, len(names), AT_ONCE):
        await asyncio.gather(*(make(name) for name in names[start : start + AT_ONCE]))


async def fill(lab: kit.Lab, names: list[str]) -> None:
    """A queue, a room, a stream of S2 and one of Kimberlite of each name."""
    env = lab.env()
    async with AsyncSynapClient(env["SYNAP_RPC_URL"], api_key=env["SYNAP_API_KEY"]) as synap:
        await made(synap.queue.create, names)
        await made(synap.stream.create, names)
    async with S2(env["S2_ACCESS_TOKEN"], endpoints=state_of(lab.s2.client).transport.endpoints) as s2:
        await made(s2.basin("basin-of-many").create_stream, names)
    tenant = int(env["KIMBERLITE_TENANT"])
    async with AsyncClient(env["KIMBERLITE_ADDRESS"], tenant, env["KIMBERLITE_API_KEY"]) as kimberlite:
        await made(lambda name: kimberlite.create_stream(name, DataClass.PUBLIC), names)


def listings(count: int) -> None:
    """Lists very many names of each kind."""
    names = [f"name-{n:06d}" for n in range(count)]
    with kit.Lab("s2", "synap", "kimberlite", join=False, demo=False) as lab:
        lab.s2.create_basin("basin-of-many")
        started = time.perf_counter()
        asyncio.run(fill(lab, names))
        print(f"made four times {count:,} in {time.perf_counter() - started:.0f} s", flush=True)
        for label, listed in (
            ("queues", lambda: lab.synap.client.queue.list()),
            ("queues with their figures", lambda: lab.synap.queues()["queue"].tolist()),
            ("rooms", lambda: lab.synap.client.stream.list()),
            ("streams of S2", lambda: lab.s2["basin-of-many"].streams()["name"].tolist()),
            ("streams of Kimberlite", lambda: lab.kimberlite.streams()["name"].tolist()),
        ):
            started = time.perf_counter()
            found = sorted(listed())
            print(f"{label}: {len(found):,} in {time.perf_counter() - started:.1f} s, {memory_mb():.0f} MB", flush=True)
            assert found == names, label


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--feeds", type=int, default=10_000)
    parser.add_argument("--names", type=int, default=100_000)
    given = parser.parse_args()
    with kit.Lab(join=False) as lab:
        feeds(lab, given.feeds)
    listings(given.names)


if __name__ == "__main__":
    main()
