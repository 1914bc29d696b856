"""Amdahl against the guide's own `requests` code, on one lab in one run. Run: python -m tests.bench.amdahl

The guide's side is what its page shows: a `requests.Session` with the headers set once, the body's text through
`json.loads`, and for a frame `pandas.DataFrame(result["rows"])`. Both sides make a frame of 500 rows first, so that neither
connecting nor loading is in the figures.
"""

from __future__ import annotations

import json
import os
import time

from .measure import Figures, Pairs, Side, peak_mb, resident_mb, size, timed
from .measure import main as run
from .replay import Replay

ROWS = 1_000_000
FIRST = "select i.* exclude (tags) from interactions i limit 500"


def sql() -> str:
    return f"select i.* exclude (tags) from interactions i cross join range(20) limit {size()}"


def ours_get() -> Figures:
    from kit.amdahl import AmdahlClient

    client = AmdahlClient()
    return timed(lambda: client.get("/me"), size())


def guide_get() -> Figures:
    client = guide_client()
    return timed(lambda: client("GET", "/me"), size())


def ours_query() -> Figures:
    import kit
    import kit.core.tables.frames  # what the guide's side does with `import pandas`: loading is not what is timed

    amdahl = kit.connect("amdahl", timeout=120)
    amdahl.query(FIRST)
    before = resident_mb()
    started = time.perf_counter()
    frame = amdahl.query(sql(), limit=size())
    took = time.perf_counter() - started
    assert len(frame) == size()
    result = frame.memory_usage(deep=False).sum() / 2**20
    return {"time": took, "peak memory": peak_mb(), "memory / frame": (peak_mb() - before) / result}


def guide_query() -> Figures:
    import pandas

    client = guide_client()
    pandas.DataFrame(client("POST", "/data/query", {"sql": FIRST})["rows"])
    started = time.perf_counter()
    result = client("POST", "/data/query", {"sql": sql(), "limit": size()})
    frame = pandas.DataFrame(result["rows"])
    took = time.perf_counter() - started
    assert len(frame) == size()
    return {"time": took, "peak memory": peak_mb()}


def drain_query() -> Figures:
    """The same answer read and thrown away: what the server and the loopback take by themselves."""
    import httpx

    headers = {"Authorization": f"Bearer {os.environ['API_KEY']}", "Accept-Encoding": "identity"}
    url = f"{os.environ['AMDAHL_URL']}/api/platform/v1/data/query"
    with httpx.Client(headers=headers, timeout=120) as client:
        client.post(url, json={"sql": FIRST})
        started = time.perf_counter()
        with client.stream("POST", url, json={"sql": sql(), "limit": size()}) as answer:
            received = sum(len(piece) for piece in answer.iter_raw())
        took = time.perf_counter() - started
    return {"time": took, "bytes": received}


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


SIDES: dict[str, Side] = {side.__name__: side for side in (ours_get, guide_get, ours_query, guide_query, drain_query)}


def rows(pairs: Pairs) -> None:
    import kit

    # The lab's limits are real; these are not what is measured here.
    os.environ |= {"KIT_AMDAHL_RATE_LIMIT": "1e9", "KIT_AMDAHL_QUERY_SECONDS": "120"}
    with kit.Lab("amdahl", join=False) as lab:
        env = lab.env()
        pairs.compare("Amdahl: GET /me", "ours_get", "guide_get", env, goal=0.8, size=400, rounds=pairs.rounds + 2)
        for some in pairs.growth(1_000, 10_000, 100_000):
            goal = {1_000: 0.8, 10_000: 0.6}.get(some)
            name = f"Amdahl: {some:,} rows of SQL to a frame"
            pairs.compare(name, "ours_query", "guide_query", env, goal=goal, size=some)
            pairs.compare(f"{name}, the server alone", "drain_query", "guide_query", env, size=some)
        name = "Amdahl: 1 M rows of SQL to a frame"
        goals = {"time": 0.22, "peak memory": 0.5}
        pairs.compare(name, "ours_query", "guide_query", env, figures=goals, size=ROWS)
        pairs.alone(name, "ours_query", env, {"memory / frame": 2.0}, size=ROWS)
        pairs.compare(f"{name}, against its bytes only", "ours_query", "drain_query", env, goal=1.8, size=ROWS)
        pairs.compare(f"{name}, the server alone", "drain_query", "guide_query", env, size=ROWS)
        # The lab takes a good part of the time to make the answer; this leaves that out for both.
        os.environ |= {**env, "KIT_BENCH_SIZE": str(pairs.size(ROWS))}
        post = guide_client(whole=True)
        first = post("POST", "/data/query", {"sql": FIRST})
        answer = post("POST", "/data/query", {"sql": sql(), "limit": size()})
    recorded = Replay(first, answer)
    env = {**env, "AMDAHL_URL": recorded.url}
    pairs.compare(f"{name}, answer from memory", "ours_query", "guide_query", env, goal=1 / 4, size=ROWS)
    recorded.close()


if __name__ == "__main__":
    run(__spec__.name, rows, SIDES, __doc__)
