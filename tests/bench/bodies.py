"""JSON bodies to columns: how many a second on one core, and what rows of other types cost. Run: python -m tests.bench.bodies

No server: the bodies are in memory. Time is that of the processor, over all threads, so that rates are those of one
core. "Clean" bodies are flat and alike; the others are the same but for one record in a thousand, or, where it says so,
from the middle on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from .measure import Figures, Pairs, Side, size
from .measure import main as run

RECORDS = 1_000_000
RATE = 1_200_000
"""Records a second on one core, for flat records."""
EVERY = 1000
BATCH = 50_000


def body(n: int) -> bytes:
    truth = b"true" if n % 3 else b"false"
    return b'{"n":%d,"city":"city-%d","total":%d.%02d,"ok":%s}' % (n, n % 50, n % 1000, n % 97 + 1, truth)


def float_for_int(n: int, body: bytes) -> bytes:
    return body.replace(b'"n":%d' % n, b'"n":%d.5' % n)


def text_for_int(n: int, body: bytes) -> bytes:
    return body.replace(b'"n":%d' % n, b'"n":"no %d"' % n)


def text_for_float(n: int, body: bytes) -> bytes:
    return b'{"n":%d,"city":"city-%d","total":"none","ok":true}' % (n, n % 50)


def all_three(n: int, body: bytes) -> bytes:
    return (float_for_int, text_for_int, text_for_float)[n // EVERY % 3](n, body)


def late_key(n: int, body: bytes) -> bytes:
    return body[:-1] + b',"late":1}' if n > size() // 2 else body


def broken(n: int, body: bytes) -> bytes:
    return b'{"n": oops}' if n % BATCH == 500 else body


def timed(change: Callable[[int, bytes], bytes] | None) -> Figures:
    import pyarrow as pa

    from kit.core.tables.frames import expand_bodies

    found = []
    for n in range(size()):
        one = body(n)
        found.append(change(n, one) if change is not None and n % EVERY == EVERY // 2 else one)
    column = pa.chunked_array([pa.array(found[n : n + BATCH], pa.binary()) for n in range(0, len(found), BATCH)])
    expand_bodies(column.slice(0, 2000), "json")
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        expand_bodies(column, "json")
        best = min(best, time.process_time() - started)
    return {"CPU time": best, f"of {RATE:,} records/s": RATE / (size() / best)}


def clean() -> Figures:
    return timed(None)


def floats() -> Figures:
    return timed(float_for_int)


def texts() -> Figures:
    return timed(text_for_int)


def texts_for_floats() -> Figures:
    return timed(text_for_float)


def drift() -> Figures:
    return timed(all_three)


def late() -> Figures:
    return timed(late_key)


def damaged() -> Figures:
    return timed(broken)


def wide_bodies() -> list[bytes]:
    """Records of 200 keys: a hundred numbers and a hundred texts."""
    return [
        json.dumps({f"key{k}": n * k if k % 2 else f"text {n % (k + 1)}" for k in range(200)}).encode()
        for n in range(size())
    ]


def wide() -> Figures:
    import pyarrow as pa

    from kit.core.tables.frames import expand_bodies, to_frame

    bodies = pa.array(wide_bodies(), pa.binary())
    expand_bodies(bodies.slice(0, 300), "json")
    started = time.perf_counter()
    frame = to_frame(pa.table(expand_bodies(bodies, "json").columns))
    took = time.perf_counter() - started
    assert frame.shape == (size(), 200)
    return {"time": took}


def wide_pandas() -> Figures:
    """What a careful user writes: `json.loads` on each, and a frame of the dicts."""
    import pandas

    bodies = wide_bodies()
    started = time.perf_counter()
    frame = pandas.DataFrame([json.loads(one) for one in bodies])
    took = time.perf_counter() - started
    assert frame.shape == (size(), 200)
    return {"time": took}


SIDES: dict[str, Side] = {
    side.__name__: side for side in (clean, floats, texts, texts_for_floats, drift, late, damaged, wide, wide_pandas)
}


def rows(pairs: Pairs) -> None:
    rate = f"of {RATE:,} records/s"
    pairs.alone("JSON bodies: flat records to columns on one core, inverted", "clean", {}, {rate: 1.0}, size=RECORDS)
    for what, side in (
        ("a float for an integer", "floats"),
        ("a text for an integer", "texts"),
        ("a text for a float", "texts_for_floats"),
        ("a float or a text for a number", "drift"),
        ("a key that comes late", "late"),
    ):
        name = f"JSON bodies: one in 1 000 has {what}, against none"
        pairs.compare(name, side, "clean", {}, figures={"CPU time": 2.0}, size=RECORDS)
    name = "JSON bodies: one in each batch is broken, against none"
    pairs.compare(name, "damaged", "clean", {}, figures={"CPU time": 2.0}, size=RECORDS)
    name = "JSON bodies: 20,000 records of 200 keys to a frame, against json.loads"
    pairs.compare(name, "wide", "wide_pandas", {}, goal=0.5, size=20_000)


if __name__ == "__main__":
    run(__spec__.name, rows, SIDES, __doc__)
