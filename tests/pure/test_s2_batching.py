"""Batches end when they are full, when their first record has waited long enough, and when the source ends."""

import asyncio
import contextlib
import itertools
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.s2 import Batching, Record, S2ClientError, append_inputs, append_record_batches, metered_bytes
from kit.s2.client.sessions.batching import Accumulator

NEVER = timedelta(0)


async def source(records, *, pause=0.0):
    for record in records:
        yield record
        if pause:
            await asyncio.sleep(pause)


def collect(records, batching=None, **options):
    async def gathered():
        return [batch async for batch in append_record_batches(source(records, **options), batching=batching)]

    return asyncio.run(gathered())


def sized(size: int) -> Record:
    return Record(bytes(size - 8))


@pytest.mark.parametrize(
    ("sizes", "batching", "batches"),
    [
        ([], Batching(), []),
        ([10], Batching(), [1]),
        ([10] * 5, Batching(max_records=2), [2, 2, 1]),
        ([10] * 4, Batching(max_records=2), [2, 2]),
        ([10] * 5, Batching(max_bytes=20), [2, 2, 1]),
        # A record that would overshoot begins the next batch.
        ([10, 10, 10], Batching(max_bytes=25), [2, 1]),
        ([10, 20, 10], Batching(max_bytes=25), [1, 1, 1]),
        # One that is too large for any batch makes its own, and ends the one before.
        ([10, 50, 10, 10], Batching(max_bytes=25), [1, 1, 2]),
        ([50, 50], Batching(max_bytes=25), [1, 1]),
        ([8] * 3, Batching(max_bytes=8), [1, 1, 1]),
        ([600_000, 500_000, 1_048_576, 10], Batching(), [1, 1, 1, 1]),
        ([10] * 2500, Batching(), [1000, 1000, 500]),
    ],
)
def test_where_batches_end(sizes, batching, batches):
    batching.linger = NEVER
    records = [sized(size) for size in sizes]
    assert [len(batch) for batch in append_record_batches(records, batching=batching)] == batches
    assert [len(batch) for batch in collect(records, batching)] == batches


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(8, 300), max_size=30),
    st.builds(Batching, st.integers(1, 5), st.integers(8, 400), st.just(NEVER)),
)
def test_nothing_is_lost_and_no_batch_is_too_large(sizes, batching):
    records = [sized(size) for size in sizes]
    batches = list(append_record_batches(records, batching=batching))
    assert [record for batch in batches for record in batch] == records
    for batch, following in itertools.zip_longest(batches, batches[1:]):
        assert 1 <= len(batch) <= batching.max_records
        assert len(batch) == 1 or metered_bytes(batch) <= batching.max_bytes
        if following is not None:
            full = len(batch) == batching.max_records or metered_bytes([*batch, following[0]]) > batching.max_bytes
            assert full or metered_bytes(batch) == batching.max_bytes


def test_the_accumulator_knows_when_a_batch_must_leave():
    now = 100.0
    gathered = Accumulator(Batching(max_records=3, linger=timedelta(seconds=2)), clock=lambda: now)
    assert gathered.deadline is None and len(gathered) == 0
    assert gathered.add(sized(10)) == []
    assert gathered.deadline == 102.0
    now = 101.0
    assert gathered.add(sized(20)) == []
    assert gathered.deadline == 102.0
    assert (len(gathered), gathered.metered_bytes) == (2, 30)
    assert [len(batch) for batch in gathered.add(sized(10))] == [3]
    assert gathered.deadline is None and gathered.metered_bytes == 0
    gathered.add(sized(10))
    assert gathered.deadline == 103.0
    assert len(gathered.flush()) == 1
    assert gathered.deadline is None and gathered.flush() == []


def test_without_linger_a_batch_may_wait_for_ever():
    gathered = Accumulator(Batching(linger=NEVER))
    gathered.add(sized(10))
    assert gathered.deadline is None


def test_a_record_that_ends_one_batch_and_is_the_next():
    gathered = Accumulator(Batching(max_bytes=25))
    gathered.add(sized(10))
    assert [len(batch) for batch in gathered.add(sized(30))] == [1, 1]
    assert len(gathered) == 0 and gathered.deadline is None


def test_a_record_that_fits_nowhere():
    with pytest.raises(S2ClientError, match="1,048,576 metered bytes, not 1,048,577"):
        Accumulator().add(sized(1_048_577))
    with pytest.raises(S2ClientError, match="1,048,576 metered bytes"):
        collect([sized(10), sized(1_048_577)])


def test_wrong_settings():
    with pytest.raises(S2ClientError, match="max_records must be 1 to 1000, not 0"):
        collect([], Batching(max_records=0))
    with pytest.raises(S2ClientError):
        list(append_record_batches([], batching=Batching(max_bytes=1)))


def test_a_slow_source_is_not_waited_for():
    async def check():
        release = asyncio.Event()

        async def stuck():
            yield sized(10)
            yield sized(11)
            await release.wait()
            yield sized(12)

        batches = append_record_batches(stuck(), batching=Batching(linger=timedelta(milliseconds=20)))
        loop = asyncio.get_running_loop()
        started = loop.time()
        first = await asyncio.wait_for(anext(batches), 5)
        assert [len(record.body) for record in first] == [2, 3]
        assert loop.time() - started >= 0.015
        release.set()
        assert [len(batch) async for batch in batches] == [1]

    asyncio.run(check())


def test_the_source_is_read_ahead_by_no_more_than_a_batch():
    async def check():
        taken = 0

        async def counted():
            nonlocal taken
            while True:
                taken += 1
                yield sized(10)

        batches = append_record_batches(counted(), batching=Batching(max_records=10))
        for n in range(1, 6):
            assert len(await anext(batches)) == 10
            for _ in range(5):
                await asyncio.sleep(0)
            assert taken <= (n + 1) * 10
        await batches.aclose()

    asyncio.run(check())


def test_a_source_that_fails():
    async def failing():
        for _ in range(3):
            yield sized(10)
        raise LookupError("gone")

    async def check():
        batches = append_record_batches(failing(), batching=Batching(max_records=2, linger=NEVER))
        assert len(await anext(batches)) == 2
        with pytest.raises(LookupError, match="gone"):
            await anext(batches)

    asyncio.run(check())


def test_leaving_early_stops_the_source():
    async def check():
        ended = []

        async def watched():
            try:
                while True:
                    yield sized(10)
                    await asyncio.sleep(0.001)
            finally:
                ended.append(True)

        async with contextlib.aclosing(append_record_batches(watched(), batching=Batching(max_records=2))) as batches:
            async for _ in batches:
                break
        assert ended == [True]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(check())


def test_being_cancelled_while_waiting():
    async def check():
        async def silent():
            await asyncio.sleep(60)
            yield sized(10)

        async def use():
            async for _ in append_record_batches(silent()):
                pass

        task = asyncio.create_task(use())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(check())


def test_appends_follow_each_other():
    async def gathered(**options):
        records = source([sized(10)] * 5)
        return [item async for item in append_inputs(records, batching=Batching(max_records=2), **options)]

    inputs = asyncio.run(gathered(match_seq_num=7, fencing_token="t"))
    assert [(len(one.records), one.match_seq_num, one.fencing_token) for one in inputs] == [
        (2, 7, "t"),
        (2, 9, "t"),
        (1, 11, "t"),
    ]
    assert {one.match_seq_num for one in asyncio.run(gathered())} == {None}
    assert [one.match_seq_num for one in asyncio.run(gathered(match_seq_num=0))] == [0, 2, 4]
    with pytest.raises(S2ClientError, match="at most 36 bytes"):
        asyncio.run(gathered(fencing_token="x" * 37))
