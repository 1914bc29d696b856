"""S2 under faults: a reader sees every record once and in order, a writer loses nothing and writes nothing twice.

`KIT_FAULTS=500 python -m pytest tests/lab/test_s2_faults.py` runs them longer than CI does.
"""

import asyncio
import os
import random
import threading
import time
import uuid
from datetime import timedelta

import pytest

import kit
from kit.s2 import (
    S2,
    AppendInput,
    AppendRetryPolicy,
    Endpoints,
    Record,
    Retry,
    S2Error,
    SeqNum,
    SyncS2,
    Timeout,
)

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

# Nearly every request is hit, most of them before a whole frame is through.
PATIENT = Retry(
    max_attempts=10_000, min_base_delay=timedelta(milliseconds=1), max_base_delay=timedelta(milliseconds=20)
)
QUICK = Timeout(request=timedelta(seconds=1), connection=timedelta(seconds=1))


@pytest.fixture(scope="module")
def faulty_lab():
    """A lab of its own: its faults would hit the requests of others."""
    with kit.Lab("s2", demo=False, join=False) as lab:
        yield lab


def connection(lab, kind=SyncS2, **options):
    env = lab.env()
    endpoints = Endpoints(env["S2_ACCOUNT_ENDPOINT"], env["S2_BASIN_ENDPOINT"])
    return kind(env["S2_ACCESS_TOKEN"], endpoints=endpoints, timeout=QUICK, retry=PATIENT, **options)


def new_stream(lab, name):
    basin = f"faulty-{uuid.uuid4().hex[:8]}"
    lab.s2.create_basin(basin).create(name)
    return basin


FAULTY = int(os.environ.get("KIT_FAULTS", "60"))
"""Faults that each test meets at least."""
BATCHES = 20 * FAULTY


def body(n):
    return b"%08d" % n + b"." * (n % 300)


FAULTS = ("reset", "truncate", "drop", "stall", 503, 429)


def plague(lab, stop, *, method, seed, most=FAULTY, after=(0, 1, 3, 4, 5, 50, 500, 5000, 50_000)):
    """Keeps some fault waiting for the next request, until told to stop; gives how many there were."""
    chance = random.Random(seed)
    sent = 0
    while not stop.is_set() and sent < most:
        kind = chance.choice(FAULTS)
        details = {"after": chance.choice(after), "seconds": 0.3, "method": method}
        lab.faults("s2", kind, path="*/records", **details)
        sent += 1
        while len(lab.faults()) and not stop.is_set():
            time.sleep(0.002)
    lab.faults(clear=True)
    return sent


def test_a_reader_under_faults_sees_every_record_once_and_in_order(faulty_lab):
    lab, total = faulty_lab, 60 * FAULTY
    basin = new_stream(lab, "s")
    stop, faults = threading.Event(), []

    def write():
        with connection(lab) as s2:
            for start in range(0, total, 300):
                s2[basin]["s"].append(AppendInput([Record(body(n)) for n in range(start, start + 300)]))
                time.sleep(0.01)

    writer = threading.Thread(target=write)
    plaguer = threading.Thread(target=lambda: faults.append(plague(lab, stop, method="GET", seed=1)))
    writer.start()
    plaguer.start()
    seen = []
    connections = 0
    with connection(lab) as s2:
        while len(seen) < total:
            # Many short sessions as well as long ones, so that faults meet every phase of them.
            connections += 1
            with s2[basin]["s"].read_session(start=SeqNum(len(seen)), wait=5) as session:
                for batch in session:
                    for record in batch.records:
                        assert record.seq_num == len(seen)
                        assert record.body == body(record.seq_num)
                        seen.append(record.seq_num)
                    if len(seen) >= total or len(seen) > connections * total // 100:
                        break
        while not faults and plaguer.is_alive():
            stream = s2[basin]["s"]
            assert sum(len(batch.records) for batch in stream.read_session(start=SeqNum(total - 1000), wait=0)) == 1000
    stop.set()
    writer.join()
    plaguer.join()
    assert seen == list(range(total))
    assert faults[0] >= FAULTY


def test_a_frame_read_under_faults_is_whole(faulty_lab):
    lab = faulty_lab
    basin = new_stream(lab, "s")
    stream = kit.connect("s2", environment=lab.env(), timeout=QUICK, retry=PATIENT)[basin]["s"]
    stream.append([body(n) for n in range(20_000)])
    chance = random.Random(2)
    for _ in range(FAULTY // 6):
        for kind in chance.sample(FAULTS, 3):
            lab.faults("s2", kind, path="*/records", method="GET", after=chance.randrange(2_000_000), seconds=0.3)
        frame = stream.read(body="bytes")
        lab.faults(clear=True)
        assert frame["seq_num"].tolist() == list(range(20_000))
        assert all(one == body(n) for n, one in enumerate(frame["body"].tolist()[:50]))


ACKS = (0, 1, 4, 38, 40, 200, 400)
"""Bytes of acknowledgements that come through before a fault: none, some, part of one."""


async def write_under_faults(lab, basin, *, conditional, seed, batches):
    """Appends numbered batches in sessions that are cut; what was acknowledged, and what was tried."""
    policy = AppendRetryPolicy.ALL if conditional else AppendRetryPolicy.NO_SIDE_EFFECTS
    acknowledged, next_batch, position = [], 0, 0
    stop = threading.Event()
    faults = []
    plaguer = threading.Thread(
        target=lambda: faults.append(plague(lab, stop, method="POST", seed=seed, most=10_000, after=ACKS))
    )
    plaguer.start()
    await asyncio.sleep(0.1)
    try:
        env = lab.env()
        endpoints = Endpoints(env["S2_ACCOUNT_ENDPOINT"], env["S2_BASIN_ENDPOINT"])
        retry = Retry(10_000, timedelta(milliseconds=1), timedelta(milliseconds=20), policy)
        async with S2(env["S2_ACCESS_TOKEN"], endpoints=endpoints, timeout=QUICK, retry=retry) as s2:
            stream = s2[basin]["s"]
            while next_batch < batches:
                tickets = []
                try:
                    async with stream.append_session() as session:
                        # A session that got through without a fault would meet none at all: many short ones.
                        for _ in range(min(15, batches - next_batch)):
                            records = [Record(b"%d/%d" % (next_batch, n)) for n in range(20)]
                            match = position + 20 * len(tickets) if conditional else None
                            tickets.append(
                                (next_batch, await session.submit(AppendInput(records, match_seq_num=match)))
                            )
                            next_batch += 1
                            await asyncio.sleep(0.001)
                except S2Error:
                    pass  # what came of each batch is told by its ticket
                for number, ticket in tickets:
                    try:
                        await ticket
                    except S2Error:
                        continue
                    acknowledged.append(number)
                if conditional:
                    # After a doubtful end the stream says what was written; a careful writer goes on from there.
                    position = (await stream.check_tail()).seq_num
                    next_batch = position // 20
    finally:
        stop.set()
        await asyncio.to_thread(plaguer.join)
    assert faults[0] >= FAULTY, "the writer met too few faults for this to mean anything"
    return acknowledged


def written(lab, basin):
    frame = lab.s2[basin]["s"].read(body="text")
    return [tuple(map(int, text.split("/"))) for text in frame["body"]]


def test_a_conditional_writer_under_faults_writes_each_record_once_and_in_order(faulty_lab):
    basin = new_stream(faulty_lab, "s")
    asyncio.run(write_under_faults(faulty_lab, basin, conditional=True, seed=3, batches=BATCHES))
    assert written(faulty_lab, basin) == [(batch, n) for batch in range(BATCHES) for n in range(20)]


def test_a_writer_without_side_effects_never_writes_twice_and_loses_nothing_acknowledged(faulty_lab):
    basin = new_stream(faulty_lab, "s")
    acknowledged = asyncio.run(write_under_faults(faulty_lab, basin, conditional=False, seed=4, batches=BATCHES))
    found = written(faulty_lab, basin)
    assert len(found) == len(set(found))
    assert set(acknowledged) <= {batch for batch, _ in found}
    # A batch is there whole or not at all.
    assert len(found) == 20 * len({batch for batch, _ in found})
    assert acknowledged
