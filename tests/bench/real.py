"""S2 and Kimberlite on their real servers, `s2 lite` and the published program. Run: python -m tests.bench.real

The same sides as in `tests.bench.s2` and `tests.bench.kimberlite`, of fewer records: these servers take longer to be
filled. They run where they are built (`python -m tests.real build`); without them there are no rows.
"""

from __future__ import annotations

import sys

from tests.real import kimberlite_program, running_kimberlite, running_s2, s2_program

from . import kimberlite, s2
from .measure import Pairs, Side
from .measure import main as run

RECORDS = 100_000
APPENDED = 20_000
TENANT = 1

SIDES: dict[str, Side] = {}


def rows(pairs: Pairs) -> None:
    if s2_program() is None or kimberlite_program() is None:
        print("no real server is built here: python -m tests.real build", file=sys.stderr)
    if s2_program() is not None:
        on_s2(pairs.of("tests.bench.s2"))
    if kimberlite_program() is not None:
        on_kimberlite(pairs.of("tests.bench.kimberlite"))


def on_s2(pairs: Pairs) -> None:
    import kit
    from kit.s2 import Endpoints

    with running_s2() as env:
        ends = Endpoints(env["S2_ACCOUNT_ENDPOINT"], env["S2_BASIN_ENDPOINT"])
        stream = kit.connect("s2", access_token="any", endpoints=ends).create_basin(s2.BASIN).create("read")
        count = pairs.size(RECORDS)
        for start in range(0, count, 10_000):
            stream.append([s2.body(n) for n in range(start, min(start + 10_000, count))])
        name = "S2 lite: read 100,000 x 200 B to a frame"
        pairs.compare(name, "ours_read", "official_read", env, size=RECORDS)
        pairs.compare(f"{name}, against its bytes only", "ours_read", "drain_read", env, size=RECORDS)
        pairs.compare("S2 lite: read 100 records to a frame", "ours_small", "official_small", env, size=300)
        pairs.compare("S2 lite: one small call", "ours_unary", "official_unary", env, size=500)
        pairs.compare("S2 lite: append a frame of 20,000", "ours_append", "official_append", env, size=APPENDED)


def on_kimberlite(pairs: Pairs) -> None:
    import kit

    with running_kimberlite() as address:
        env = {"KIMBERLITE_ADDRESS": address, "KIMBERLITE_TENANT": str(TENANT), "KIMBERLITE_API_KEY": ""}
        with kit.connect("kimberlite", address=address, tenant_id=TENANT) as k:
            events = pairs.size(APPENDED)
            for start in range(0, events, 5000):
                k.append("read", [kimberlite.body(n) for n in range(start, min(start + 5000, events))])
            env["BENCH_STREAM"] = str(k["read"].source().packed)
            env["BENCH_PAGE"] = "120000"  # the official client breaks off at larger answers of this server
        name = "Kimberlite's own server: read 20,000 x 200 B to a frame"
        pairs.compare(name, "ours_read", "official_read", env, size=APPENDED)
        name = "Kimberlite's own server: read 100 events to a frame"
        pairs.compare(name, "ours_small", "official_small", env, size=300)
        name = "Kimberlite's own server: append a frame of 20,000"
        pairs.compare(name, "ours_append", "official_append", env, size=APPENDED)


if __name__ == "__main__":
    run(__spec__.name, rows, SIDES, __doc__)
