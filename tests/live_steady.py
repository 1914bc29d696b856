"""Ten results of one busy feed, for a while: their memory must stay flat, and what they tell must stay true.

    python -m tests.live_steady [--minutes 20] [--rate 5000]

Four live queries (one of them over another), figures per key, per window and of the last rows, and the latest row per
key; each is on show in a view whose page is made ten times a second. Prints the memory twice a minute; ends with status
1 where the last third of the time takes more than 30 MB above the third before, or where a figure is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pyarrow as pa

import kit
from kit.live.feed.source import Chunk, Source

from .bench.measure import resident_mb

GROWTH_MB = 30.0
RING = 200_000


class Paced(Source):
    """Rows at a steady rate, with times that go on."""

    service, label = "steady", "rows"
    position_column = "n"

    def __init__(self, rate: int) -> None:
        self.rate = rate

    async def open(self, after: Any) -> AsyncIterator[Chunk]:
        began, sent, dice = time.monotonic(), 0, np.random.default_rng(1)
        while True:
            due = int((time.monotonic() - began) * self.rate) - sent
            if due:
                numbers = np.arange(sent, sent + due)
                sent += due
                users = pa.array([f"u{n}" for n in dice.integers(0, 1000, due)])
                moments = pa.array(1_780_000_000_000 + numbers * 1000 // self.rate).cast(pa.timestamp("ms", "UTC"))
                columns = {"n": numbers, "time": moments, "user": users, "qty": dice.integers(0, 100, due)}
                yield Chunk(pa.record_batch(columns), sent - 1, sent, True)
            await asyncio.sleep(0.04)


def results(feed: kit.Feed) -> dict[str, kit.Feed]:
    """Ten of them."""
    users = kit.live_sql('select "user", count(*) as n, sum(qty)::int as qty from t group by 1', t=feed)
    return {
        "users": users,
        "best": kit.live_sql("select * from users order by qty desc limit 20", users=users),
        "last": kit.live_sql("select max(n) as n, count(*) as rows from t", t=feed),
        "seconds": kit.live_sql("select date_trunc('second', \"time\") as s, count(*) as n from t group by 1", t=feed),
        "per": feed.per("user", n="count", qty="sum:qty", most_="max:qty"),
        "minutes": feed.per(None, every="1min", n="count", users="distinct:user", p99="p99:qty"),
        "seconds_per": feed.per("user", every="10s", late="5s", most=20_000, n="count"),
        "newest": feed.newest_by("user"),
        "rolling": feed.rolling("user", n=50_000, n_="count"),
        "recent": feed.rolling(None, seconds=10, rows="count", mean="mean:qty"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=int, default=5000)
    given = parser.parse_args()
    bad = []
    with kit.Feed(Paced(given.rate), max_rows=RING) as feed:
        found = results(feed)
        views = {name: kit.LiveView(one) for name, one in found.items()}
        began, memory, told = time.monotonic(), [], 0.0
        while (now := time.monotonic() - began) < given.minutes * 60:
            for view in views.values():
                view._repr_mimebundle_()
            if now >= told:
                gc.collect()
                memory.append(resident_mb())
                print(f"{now / 60:5.1f} min  {memory[-1]:7.1f} MB  {feed.total:,} rows", flush=True)
                told += min(30.0, given.minutes * 60 / 30)
            time.sleep(0.1)
        feed.pause()
        feed.close()
        for one in found.values():
            one.wait(timeout=60)
        total = feed.total
        for name, figure in (
            ("per", found["per"].df["n"].sum()),
            ("minutes", found["minutes"].df["n"].sum()),
            ("last", found["last"].df["n"][0] + 1),
            ("seconds_per", found["seconds_per"].stats()["folded"]),
            ("newest", found["newest"].df["n"].max() + 1),
        ):
            if figure != total:
                bad.append(f"{name}: {figure:,}, and there were {total:,}")
        if found["users"].df["n"].sum() != len(feed):
            bad.append("users: not what the buffer holds")
        cpu = time.process_time() / (time.monotonic() - began)
        for one in [*views.values(), *found.values()]:
            one.close()
    third = len(memory) // 3
    grown = statistics.median(memory[-third:]) - statistics.median(memory[third : 2 * third])
    if grown > GROWTH_MB:
        bad.append(f"memory grew by {grown:.0f} MB")
    print(
        f"{given.minutes:g} minutes of {len(found)} results at {given.rate:,} rows/s: {total:,} rows, memory {grown:+.1f}"
        f" MB from the second third to the last, {cpu:.0%} of a core: {'WRONG' if bad else 'well'}",
        *bad,
        sep="\n  ",
    )
    sys.exit(int(bool(bad)))


if __name__ == "__main__":
    main()
