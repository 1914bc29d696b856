"""Memory and time over streams larger than memory should hold. Run: python -m tests.bench.scale [--records 10000000]

The stream has records of about 300 bytes of JSON: ten million of them are 3 GB. Every figure is of a process of its own,
against one lab. Printed are the peak of resident memory, the rate beside that of a read into memory, how time grows with
ten times the records, and Dask with one and with two worker processes. `fixed` is what a single record takes: to open a
file, or to plan a query; growth is of the time beyond it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings

from .measure import peak_mb

BASIN, NAME = "bench-scale", "events"
KINDS = ("view", "click", "cart", "order", "refund")
MEMORY_MB, RATE, GROWTH, DASK = 500, 0.7, (9.0, 11.0), 1.5


def body(n: int) -> bytes:
    head = b'{"id":%d,"kind":"%s","total":%d.5,"note":"' % (n, KINDS[n * 7 % 5].encode(), n % 1000)
    return head + b"x" * (298 - len(head)) + b'"}'


def fill(records: int) -> None:
    import kit
    from kit.s2.client.appending import append_encoded
    from kit.s2.wire.inputs import encode_inputs

    stream = kit.connect("s2").create_basin(BASIN).create(NAME)
    for first in range(0, records, 100_000):
        append_encoded(stream.client, encode_inputs([body(n) for n in range(first, min(records, first + 100_000))]))


# --- sides: each prints its figures ---------------------------------------------------------------------------------


def side(what: str, records: int) -> dict[str, float]:
    import kit

    stream = kit.connect("s2")[BASIN][NAME]
    folder = tempfile.mkdtemp(prefix="kit-scale-")

    def deed(count: int, name: str) -> None:
        if what == "read":
            assert len(stream.read(limit=count)) == count
        elif what == "arrow":
            assert sum(batch.num_rows for batch in stream.arrow(limit=count)) == count
        elif what == "parquet":
            assert len(stream.to_parquet(os.path.join(folder, name), limit=count)) == count
        elif what == "sql":
            text = "select kind, count(*) as n from s where seq_num < $1 group by 1"
            assert kit.sql(text, s=stream, params=[count])["n"].sum() == count

    try:
        deed(50_000, "warm")  # libraries are loaded, the connection is there
        started = time.perf_counter()
        deed(1, "one")
        fixed = time.perf_counter() - started
        started = time.perf_counter()
        deed(records, "p")
        took = time.perf_counter() - started
    finally:
        shutil.rmtree(folder)
    return {"seconds": took, "fixed": fixed, "rate": records / took, "peak_mb": peak_mb()}


def dask_side(workers: int, records: int) -> dict[str, float]:
    import distributed

    import kit

    warnings.simplefilter("ignore")
    stream = kit.connect("s2")[BASIN][NAME]
    with distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        with distributed.Client(cluster) as client:
            lazy = stream.to_dask(partitions=16, limit=records)
            lazy.partitions[:workers].map_partitions(len).compute()  # libraries are loaded, connections known
            started = time.perf_counter()
            # What workers are for: the records are read and worked on where they are.
            ids = lazy.map_partitions(_work, meta=("id", "int64")).compute()
            took = time.perf_counter() - started
            assert int(ids.sum()) == records
            del client
    return {"seconds": took, "rate": records / took, "peak_mb": peak_mb()}


def _work(frame):  # type: ignore[no-untyped-def]
    """Enough for each record that reading it is the smaller part: the lab and the workers share the cores."""
    import hashlib

    import pandas as pd

    for note, number in zip(frame["note"], frame["id"], strict=True):
        hashlib.pbkdf2_hmac("sha256", note.encode(), b"%d" % number, 30)
    return pd.Series([len(frame)], name="id")


def once(order: str, env: dict[str, str]) -> dict[str, float]:
    """The figures of a side in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.scale", "--side", order]
    done = subprocess.run(command, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def often(order: str, env: dict[str, str], times: int) -> dict[str, float]:
    """The run of the median time: what takes a fraction of a second is easily disturbed."""
    return sorted((once(order, env) for _ in range(times)), key=lambda found: found["seconds"])[times // 2]


# --- the whole ------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--dask-records", type=int, default=1_000_000)
    parser.add_argument("--side")
    given = parser.parse_args()
    if given.side:
        what, _, count = given.side.partition(":")
        figures = dask_side(int(what[4:]), int(count)) if what.startswith("dask") else side(what, int(count))
        print(json.dumps(figures))
        return
    import kit

    path = tempfile.mkdtemp(prefix="kit-scale-lab-")
    try:
        with kit.Lab("s2", join=False, demo=False, path=path) as lab:
            env = dict(lab.env())
            os.environ.update(env)
            started = time.perf_counter()
            fill(given.records)
            size = given.records * 300 / 1e9
            print(f"filled {given.records:,} records, {size:.1f} GB, in {time.perf_counter() - started:.0f} s\n")
            report(given.records, given.dask_records, env)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def report(records: int, dask_records: int, env: dict[str, str]) -> None:
    sizes = [records // 100, records // 10, records]
    baseline = often(f"read:{sizes[1]}", env, 3)
    print("| what | records | seconds | fixed | records/s | of the read into memory | peak MB | grows by |")
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| read | {sizes[1]:,} | {baseline['seconds']:.2f} | {baseline['fixed']:.3f} | {baseline['rate']:,.0f} | 1 | {baseline['peak_mb']:.0f} | |"
    )
    missed = []
    for what in ("arrow", "parquet", "sql"):
        before = None
        for count, times in zip(sizes, (5, 3, 1), strict=True):
            found = often(f"{what}:{count}", env, times)
            ratio = found["rate"] / baseline["rate"]
            beyond = found["seconds"] - found["fixed"]
            grows = beyond / before if before else None
            told = f"{grows:.1f}x" if grows else ""
            row = f"| {what} | {count:,} | {found['seconds']:.2f} | {found['fixed']:.3f} | {found['rate']:,.0f} | {ratio:.0%} |"
            print(f"{row} {found['peak_mb']:.0f} | {told} |", flush=True)
            if grows is not None:
                missed += [f"{what}: grows by {grows:.1f}"] * (not GROWTH[0] <= grows <= GROWTH[1])
            if count == records:
                missed += [f"{what}: {found['peak_mb']:.0f} MB"] * (found["peak_mb"] > MEMORY_MB)
                missed += [f"{what}: {ratio:.0%} of the rate"] * (ratio < RATE)
            before = beyond
    one, two = (once(f"dask{workers}:{dask_records}", env) for workers in (1, 2))
    gain = one["seconds"] / two["seconds"]
    print(f"\nDask, {dask_records:,} records read and hashed: 1 worker {one['seconds']:.1f} s, 2 workers "
          f"{two['seconds']:.1f} s: {gain:.2f}x on {os.cpu_count()} cores, which the lab shares")  # fmt: skip
    missed += [f"dask: {gain:.2f}x"] * (gain < DASK)
    print("\nMISSED: " + "; ".join(missed) if missed else "\nall goals met")


if __name__ == "__main__":
    main()
