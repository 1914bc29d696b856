"""Kimberlite against the official client, on one embedded server in one run. Run: python -m tests.bench.kimberlite

The official client (`kimberlite`) is used as its documentation says: `read` in a loop of pages to a DataFrame, `append` in
batches of 500 from the same frame, `query` in pages by the primary key, as it receives no answer of more than 128 KiB.
Both sides do one small thing first, so that neither connecting nor loading is in the figures. "Against its bytes only"
compares with a bare socket on which the same requests are made and the answers thrown away: what the server and the
loopback take by themselves.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import contextmanager

from .measure import Figures, Pairs, Side, peak_mb, resident_mb, size, small_frame, timed
from .measure import main as run

EVENTS = 500_000
BODY = 200
BATCH = 500
HEADER = 14


def body(n: int) -> bytes:
    return (b"%09d" % n) + b"x" * (BODY - 9)


@contextmanager
def ours():
    import kit.core.tables.frames
    import kit.kimberlite.explore.explorer

    with kit.kimberlite.explore.explorer.connect(os.environ) as k:
        yield k


@contextmanager
def official():
    from kimberlite import Client

    env = os.environ
    with Client.connect(
        [env["KIMBERLITE_ADDRESS"]], int(env["KIMBERLITE_TENANT"]), env["KIMBERLITE_API_KEY"]
    ) as client:
        yield client


def ours_read(times: bool = False) -> Figures:
    with ours() as k:
        k.read("read", limit=1, body="bytes", times=times)
        before = resident_mb()
        started = time.perf_counter()
        frame = k.read("read", limit=size(), body="bytes", times=times)
        took = time.perf_counter() - started
    assert len(frame) == size()
    result = frame.memory_usage(deep=False).sum() / 2**20
    return {"time": took, "memory / frame": (peak_mb() - before) / result}


def ours_read_with_times() -> Figures:
    return ours_read(times=True)


def official_read() -> Figures:
    import pandas

    with official() as client:
        stream = int(os.environ["BENCH_STREAM"])
        client.read(stream, 0, 1)
        started = time.perf_counter()
        offsets, bodies, at, most = [], [], 0, int(os.environ.get("BENCH_PAGE", 2**20))
        while len(offsets) < size() and (page := client.read(stream, at, most)):
            for event in page:
                offsets.append(int(event.offset))
                bodies.append(event.data)
            at = offsets[-1] + 1
        frame = pandas.DataFrame({"offset": offsets[: size()], "body": bodies[: size()]})
        took = time.perf_counter() - started
    assert len(frame) == size()
    return {"time": took}


@contextmanager
def bare():
    """A socket after its handshake, with a way to take an answer: its bytes are received and thrown away."""
    host, port = os.environ["KIMBERLITE_ADDRESS"].rsplit(":", 1)
    held = memoryview(bytearray(2**20))
    with socket.create_connection((host, int(port)), timeout=60) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def drained() -> int:
            head = b""
            while len(head) < HEADER:
                head += sock.recv(HEADER - len(head))
            left = length = int.from_bytes(head[6:10], "big")
            while left:
                left -= sock.recv_into(held[: min(left, len(held))])
            return length

        from kit.kimberlite.wire.protocol.codec import requests

        sock.sendall(asked(1, requests.Handshake(5, os.environ["KIMBERLITE_API_KEY"])))
        drained()
        yield sock, drained


def asked(number: int, payload: object) -> bytes:
    from kit.kimberlite.wire.protocol.codec import encode_request

    return encode_request(number, int(os.environ["KIMBERLITE_TENANT"]), payload)


def drain_read() -> Figures:
    """The same pages, each asked for when the one before it has come, their bytes received and thrown away."""
    from kit.kimberlite.client.reading import PAGE
    from kit.kimberlite.wire.protocol.codec import requests

    stream, per_page = int(os.environ["BENCH_STREAM"]), -(-PAGE // BODY)
    pages = [
        asked(2 + n, requests.ReadEvents(stream, first, min(PAGE, (size() - first) * (BODY + 16))))
        for n, first in enumerate(range(0, size(), per_page))
    ]
    with bare() as (sock, drained):
        started = time.perf_counter()
        received = 0
        for page in pages:
            sock.sendall(page)
            received += drained()
        took = time.perf_counter() - started
    assert received > size() * BODY
    return {"time": took}


def ours_small() -> Figures:
    with ours() as k:
        return timed(lambda: k.read("read", limit=100, body="bytes", times=False), size())


def bare_small() -> Figures:
    """The same page, received and thrown away."""
    from kit.kimberlite.wire.protocol.codec import requests

    return thrown_away(asked(2, requests.ReadEvents(int(os.environ["BENCH_STREAM"]), 0, 100 * (BODY + 8))))


def bare_call() -> Figures:
    """The same row, received and thrown away."""
    from kit.kimberlite.wire.protocol.codec import requests

    return thrown_away(asked(2, requests.Query(ONE_ROW, [])))


def thrown_away(request: bytes) -> Figures:
    with bare() as (sock, drained):

        def ask() -> None:
            sock.sendall(request)
            drained()

        return timed(ask, size())


def official_small() -> Figures:
    import pandas

    def read():
        # As many bytes as hold a hundred such events: it has no limit by number.
        page = client.read(stream, 0, 100 * BODY)
        return pandas.DataFrame({"offset": [int(one.offset) for one in page], "body": [one.data for one in page]})

    with official() as client:
        stream = int(os.environ["BENCH_STREAM"])
        assert len(read()) >= 100
        return timed(read, size())


ONE_ROW = "SELECT id FROM bench WHERE id = 1"


def ours_call() -> Figures:
    """One row of SQL, as an object."""
    with ours() as k:
        assert len(k.client.query(ONE_ROW).rows) == 1
        return timed(lambda: k.client.query(ONE_ROW), size())


def official_call() -> Figures:
    with official() as client:
        assert len(client.query(ONE_ROW).rows) == 1
        return timed(lambda: client.query(ONE_ROW), size())


def ours_query() -> Figures:
    with ours() as k:
        k.query("SELECT * FROM bench LIMIT 1")
        started = time.perf_counter()
        frame = k.query("SELECT * FROM bench")
        took = time.perf_counter() - started
    assert len(frame) == size()
    return {"time": took}


def official_query() -> Figures:
    import pandas
    from kimberlite import Value

    with official() as client:
        client.query("SELECT * FROM bench LIMIT 1")
        started = time.perf_counter()
        rows, at = [], -1
        while True:
            result = client.query("SELECT * FROM bench WHERE id > $1 ORDER BY id LIMIT 3000", [Value.bigint(at)])
            if not result.rows:
                break
            rows += [[cell.data for cell in row] for row in result.rows]
            at = rows[-1][0]
        frame = pandas.DataFrame(rows, columns=result.columns)
        took = time.perf_counter() - started
    assert len(frame) == size()
    return {"time": took}


def frame_to_append():
    import pandas

    return pandas.DataFrame({"body": [body(n) for n in range(size())]})


def ours_append() -> Figures:
    with ours() as k:
        frame, name = frame_to_append(), f"append-{os.getpid()}"
        k.append(name, b"first")
        started = time.perf_counter()
        told = k.append(name, frame)
        took = time.perf_counter() - started
    assert told["count"].sum() == len(frame)
    return {"time": took}


def official_append() -> Figures:
    from kimberlite import DataClass

    with official() as client:
        frame = frame_to_append()
        stream = client.create_stream(f"official-{os.getpid()}", DataClass.PUBLIC)
        client.append(stream, [b"first"], 0)
        started = time.perf_counter()
        at = 1
        for start in range(0, len(frame), BATCH):
            events = frame["body"].iloc[start : start + BATCH].tolist()
            client.append(stream, events, at)
            at += len(events)
        return {"time": time.perf_counter() - started}


def drain_append() -> Figures:
    """The same batches, one request after the other, encoded beforehand; the answers are thrown away."""
    from kit.kimberlite.explore.bulk import batches
    from kit.kimberlite.wire.protocol.codec import requests

    with ours() as k:
        name = f"bytes-{os.getpid()}"
        stream = k.create(name).to_u64()
        k.append(name, b"first")
        at, frames = 1, list[bytes]()
        for number, batch in enumerate(batches(frame_to_append()), 2):
            frames.append(asked(number, requests.AppendEvents(stream, batch, at)))
            at += len(batch)
        with bare() as (sock, drained):
            started = time.perf_counter()
            for frame in frames:
                sock.sendall(frame)
                drained()
            took = time.perf_counter() - started
        assert len(k[name]) == size() + 1
    return {"time": took}


SIDES: dict[str, Side] = {
    side.__name__: side
    for side in (
        ours_read,
        ours_read_with_times,
        official_read,
        drain_read,
        ours_small,
        official_small,
        bare_small,
        small_frame,
        ours_call,
        bare_call,
        official_call,
        ours_query,
        official_query,
        ours_append,
        official_append,
        drain_append,
    )
}


def rows(pairs: Pairs) -> None:
    import kit

    with kit.Lab("kimberlite", demo=False, join=False) as lab:
        k = lab.kimberlite
        events, table = pairs.size(EVENTS), pairs.size(100_000)
        for start in range(0, events, 100_000):
            k.append("read", [body(n) for n in range(start, min(start + 100_000, events))])
        k.execute("CREATE TABLE bench (id BIGINT PRIMARY KEY, name TEXT, amount BIGINT, active BOOLEAN)")
        for start in range(0, table, 1000):
            values = ", ".join(
                f"({n}, 'name {n}', {n * 7}, {str(n % 2 == 0).lower()})" for n in range(start, min(start + 1000, table))
            )
            k.execute(f"INSERT INTO bench VALUES {values}")
        env = {**lab.env(), "BENCH_STREAM": str(k.client.create_stream("read").to_u64())}
        for some in pairs.growth(1_000, 10_000, 100_000):
            pairs.compare(f"Kimberlite: read {some:,} x 200 B to a frame", "ours_read", "official_read", env, size=some)
        name = "Kimberlite: read 500 k x 200 B to a frame"
        pairs.compare(name, "ours_read", "official_read", env, goal=1 / 8, size=EVENTS)
        pairs.compare(f"{name}, against its bytes only", "ours_read", "drain_read", env, size=EVENTS)
        pairs.compare(
            f"{name}, with the server's times", "ours_read_with_times", "official_read", env, goal=1.0, size=EVENTS
        )
        pairs.alone(name, "ours_read", env, {"memory / frame": 2.0}, size=EVENTS)
        pairs.compare("Kimberlite: read 100 events to a frame", "ours_small", "official_small", env, goal=0.6, size=300)
        pairs.compare("Kimberlite: one small call, the server alone", "bare_call", "official_call", env, size=500)
        pairs.compare("Kimberlite: one small call", "ours_call", "official_call", env, goal=0.8, size=500)
        name = "Kimberlite: read 100 events, the server alone"
        pairs.compare(name, "bare_small", "official_small", env, size=300)
        name = "Kimberlite: read 100 events, a frame of them by pandas alone"
        pairs.compare(name, "small_frame", "official_small", env, size=300)
        pairs.compare(
            "Kimberlite: 100 k rows of SQL to a frame", "ours_query", "official_query", env, goal=1 / 3, size=100_000
        )
        name = "Kimberlite: append a frame of 250 k"
        pairs.compare(name, "ours_append", "official_append", env, goal=1 / 3, size=250_000)
        pairs.compare(f"{name}, against its bytes only", "ours_append", "drain_append", env, size=250_000)


if __name__ == "__main__":
    run(__spec__.name, rows, SIDES, __doc__)
