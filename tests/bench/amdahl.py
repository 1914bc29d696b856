"""Amdahl against the guide's own `requests` code, on one lab in one run. Run: python -m tests.bench.amdahl

The guide's side is what its page shows: a `requests.Session` with the headers set once, the body's text through
`json.loads`, and for a frame `pandas.DataFrame(result["rows"])`.
"""

from __future__ import annotations

import argparse
import json
import os
import time

from .measure import compare, peak_mb, show
from .replay import Replay

CALLS = 400
ROWS = 1_000_000
SQL = f"select i.* exclude (tags) from interactions i cross join range(20) limit {ROWS}"


def ours_get() -> dict[str, float]:
    from kit.amdahl import AmdahlClient

    client = AmdahlClient()
    return timed(lambda: client.get("/me"))


def guide_get() -> dict[str, float]:
    client = guide_client()
    return timed(lambda: client("GET", "/me"))


def timed(call) -> dict[str, float]:
    for _ in range(50):
        call()
    # The quiet half of the calls: what else the machine does falls on single ones.
    took = []
    for _ in range(CALLS):
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
    return {"time": sum(sorted(took)[: CALLS // 2]) / (CALLS // 2)}


def ours_query() -> dict[str, float]:
    import kit
    import kit.core.frames  # what the guide's side does with `import pandas`: loading is not what is timed

    amdahl = kit.connect("amdahl", timeout=120)
    started = time.perf_counter()
    frame = amdahl.query(SQL, limit=ROWS)
    took = time.perf_counter() - started
    assert len(frame) == ROWS
    return {"time": took, "peak memory": peak_mb()}


def guide_query() -> dict[str, float]:
    import pandas

    client = guide_client()
    started = time.perf_counter()
    result = client("POST", "/data/query", {"sql": SQL, "limit": ROWS})
    frame = pandas.DataFrame(result["rows"])
    took = time.perf_counter() - started
    assert len(frame) == ROWS
    return {"time": took, "peak memory": peak_mb()}


def drain_query() -> dict[str, float]:
    """The same answer read and thrown away: what the server and the loopback take by themselves."""
    import httpx

    started = time.perf_counter()
    headers = {"Authorization": f"Bearer {os.environ['API_KEY']}", "Accept-Encoding": "identity"}
    body = {"sql": SQL, "limit": ROWS}
    url = f"{os.environ['AMDAHL_URL']}/api/platform/v1/data/query"
    with httpx.stream("POST", url, json=body, headers=headers, timeout=120) as answer:
        size = sum(len(piece) for piece in answer.iter_raw())
    return {"time": time.perf_counter() - started, "bytes": size}


def guide_client(whole: bool = False):
    import requests

    base = f"{os.environ['AMDAHL_URL']}/api/platform/v1"
    session = requests.Session()
    session.headers.update({"Authorization": f"Bearer {os.environ['API_KEY']}", "Content-Type": "application/json"})

    def request(method, path, json_body=None):
        response = session.request(method, base + path, json=json_body, timeout=120)
        response.raise_for_status()
        if whole:
            return response.content
        text = response.text
        return json.loads(text) if text else None

    return request


SIDES = {side.__name__: side for side in (ours_get, guide_get, ours_query, guide_query, drain_query)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    if chosen.side:
        print(json.dumps(SIDES[chosen.side]()))
        return
    import kit

    # The lab's limits are real; these are not what is measured here.
    os.environ |= {"KIT_AMDAHL_RATE_LIMIT": "1e9", "KIT_AMDAHL_QUERY_SECONDS": "120"}
    here = __spec__.name
    goals = {"time": 1 / 3, "peak memory": 0.5}
    with kit.Lab("amdahl", join=False) as lab:
        env = lab.env()
        rows = compare(here, "GET /me", "ours_get", "guide_get", {"time": 1.0}, env, chosen.rounds + 4)
        name = f"query of {ROWS:,} rows to a frame"
        rows += compare(here, f"{name}, on the lab", "ours_query", "guide_query", goals, env, chosen.rounds)
        rows += compare(here, "ours against reading its bytes only", "ours_query", "drain_query", {"time": 2.0}, env, 3)
        # The lab takes as long to make the answer as a quick client to read it; this leaves that out for both.
        os.environ |= env
        recorded = Replay(guide_client(whole=True)("POST", "/data/query", {"sql": SQL, "limit": ROWS}))
    env = {**env, "AMDAHL_URL": recorded.url}
    rows += compare(here, f"{name}, answer from memory", "ours_query", "guide_query", goals, env, chosen.rounds)
    recorded.close()
    show(rows)


if __name__ == "__main__":
    main()
