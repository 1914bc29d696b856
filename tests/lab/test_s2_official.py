"""The official, unmodified S2 client over every operation it has, against the embedded server, under each packing."""

import asyncio
import gc
import os
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

import kit

sdk = pytest.importorskip("s2_sdk", reason="the official client is not installed (pip install s2-sdk)")

from s2_sdk import (  # noqa: E402
    AccessTokenScope,
    AccountMetricSet,
    Accumulation,
    AppendConditionError,
    AppendInput,
    AppendRetryPolicy,
    BasinConfig,
    BasinMetricSet,
    Batching,
    CommandRecord,
    Compression,
    Encryption,
    Endpoints,
    EnsureStatus,
    ExactMatch,
    FencingTokenMismatchError,
    Gauge,
    Label,
    Operation,
    OperationGroupPermissions,
    Permission,
    PrefixMatch,
    ReadLimit,
    ReadUnwrittenError,
    Record,
    Retry,
    S2ClientError,
    S2ServerError,
    SeqNum,
    SeqNumMismatchError,
    StreamConfig,
    StreamMetricSet,
    TailOffset,
    TimeseriesInterval,
    Timestamp,
    Timestamping,
    TimestampingMode,
    append_inputs,
    metered_bytes,
)

# A connection that the official client has given up is left to the collector; that is no failure of this server.
pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]


@pytest.fixture(autouse=True)
def what_it_leaves_is_collected_here():
    yield
    gc.collect()


S2 = sdk.S2
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def lab(_own_runtime_folder):
    """One that sweeps often, so that what takes a while takes a short while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_S2_SWEEP", "0.1")
        patch.setenv("KIT_S2_DELETION", "0.3")
        with kit.Lab("s2", join=False) as lab:
            yield lab


@pytest.fixture(scope="module", params=list(Compression), ids=lambda packing: packing.value)
def packing(request):
    return request.param


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as runner:
        yield runner


def client(lab, token=None, **options):
    env = lab.env()
    endpoints = Endpoints(env["S2_ACCOUNT_ENDPOINT"], env["S2_BASIN_ENDPOINT"])
    return S2(token or env["S2_ACCESS_TOKEN"], endpoints=endpoints, **options)


@pytest.fixture(scope="module")
def s2(lab, runner, packing):
    async def opened():
        return await client(lab, compression=packing).__aenter__()

    opened_client = runner.run(opened())
    yield opened_client
    runner.run(opened_client.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def basin(s2, runner):
    name = unique()
    runner.run(s2.create_basin(name))
    yield s2.basin(name)
    runner.run(s2.delete_basin(name))


@pytest.fixture
def run(runner):
    """Runs a coroutine; every test has the same loop, as the client's connections live on it."""

    def within(coroutine, seconds=30):
        async def bounded():
            async with asyncio.timeout(seconds):
                return await coroutine

        return runner.run(bounded())

    return within


@pytest.fixture
def stream(basin, run):
    name = f"stream/{uuid.uuid4().hex}"
    run(basin.create_stream(name))
    return basin.stream(name)


def unique(prefix="off"):
    return f"{prefix}-{uuid.uuid4().hex[:16]}"


def records(*bodies):
    return [Record(body if isinstance(body, bytes) else body.encode()) for body in bodies]


async def until(ask, wanted, seconds=10):
    """Asks again and again until the answer is as wanted."""
    deadline = time.monotonic() + seconds
    while not wanted(await ask()):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


def code(info):
    return info.value.code, info.value.status_code


# --- the account ----------------------------------------------------------------------------------------------------


def test_a_basin_from_creation_to_deletion(s2, run):
    async def go():
        name = unique()
        info = await s2.create_basin(name)
        assert (info.name, info.deleted_at) == (name, None)
        assert abs(datetime.now(UTC) - info.created_at) < timedelta(minutes=1)
        with pytest.raises(S2ServerError) as told:
            await s2.create_basin(name)
        assert code(told) == ("resource_already_exists", 409)
        assert await s2.get_basin_config(name) == BasinConfig(None, None, False, False)
        await s2.delete_basin(name)
        with pytest.raises(S2ServerError) as told:
            await s2.create_basin(name)
        assert code(told) == ("basin_deletion_pending", 409)
        listed = [item async for item in s2.list_all_basins(prefix=name, include_deleted=True)]
        assert listed == [] or listed[0].deleted_at is not None
        await until(lambda: s2.list_basins(prefix=name), lambda page: not page.items)
        with pytest.raises(S2ServerError) as told:
            await s2.delete_basin(name)
        assert code(told) == ("basin_not_found", 404)
        await s2.delete_basin(name, ignore_not_found=True)
        await s2.create_basin(name)
        await s2.delete_basin(name)

    run(go())


FULL = BasinConfig(
    default_stream_config=StreamConfig(
        storage_class="standard",
        retention_policy=86400,
        timestamping=Timestamping(mode=TimestampingMode.ARRIVAL, uncapped=True),
        delete_on_empty_min_age=3600,
    ),
    stream_cipher=Encryption.AES_256_GCM,
    create_stream_on_append=True,
    create_stream_on_read=True,
)


def test_the_settings_of_a_basin_come_back_as_they_went(s2, run):
    async def go():
        name = unique()
        await s2.create_basin(name, config=FULL, location="aws:eu-central-1")
        assert await s2.get_basin_config(name) == FULL
        ensured = await s2.ensure_basin(name, config=FULL)
        assert ensured.status is EnsureStatus.CONFIG_UNCHANGED
        assert ensured.basin.location == "aws:eu-central-1"
        changed = await s2.reconfigure_basin(
            name,
            config=BasinConfig(
                create_stream_on_read=False, default_stream_config=StreamConfig(retention_policy="infinite")
            ),
        )
        assert changed.create_stream_on_read is False and changed.create_stream_on_append is True
        assert changed.default_stream_config.retention_policy == "infinite"
        assert changed.default_stream_config.storage_class == "standard"
        assert (await s2.ensure_basin(name)).status is EnsureStatus.CONFIG_UPDATED
        assert await s2.get_basin_config(name) == BasinConfig(None, None, False, False)
        assert (await s2.ensure_basin(unique())).status is EnsureStatus.CREATED
        await s2.delete_basin(name)

    run(go())


def test_listings_go_by_prefix_and_in_pages(s2, run):
    async def go():
        prefix = unique("page")[:16]
        names = [f"{prefix}-{number}" for number in range(5)]
        for name in names:
            await s2.create_basin(name)
        page = await s2.list_basins(prefix=prefix, limit=2)
        assert ([item.name for item in page.items], page.has_more) == (names[:2], True)
        page = await s2.list_basins(prefix=prefix, start_after=names[1], limit=3)
        assert ([item.name for item in page.items], page.has_more) == (names[2:], False)
        assert len((await s2.list_basins(prefix=prefix, limit=0)).items) == 5
        assert [item.name async for item in s2.list_all_basins(prefix=prefix)] == names
        assert (await s2.list_basins(prefix=prefix, start_after=names[-1])).items == []
        for name in names:
            await s2.delete_basin(name)

    run(go())


def test_locations(s2, run):
    async def go():
        listed = await s2.list_locations()
        names = {location.name for location in listed}
        before = await s2.get_default_location()
        assert before.name in names
        assert any(location.is_private for location in listed)
        told = await s2.set_default_location("lab:here")
        assert (told.name, told.is_private) == ("lab:here", True)
        name = unique()
        assert (await s2.create_basin(name)).location == "lab:here"
        await s2.delete_basin(name)
        await s2.set_default_location(before.name)
        assert await s2.get_default_location() == before
        with pytest.raises(S2ServerError) as info:
            await s2.set_default_location("moon:sea-1")
        assert code(info) == ("invalid", 422)

    run(go())


def test_tokens_are_issued_listed_and_revoked(s2, lab, run, packing):
    async def go():
        prefix = unique("tok")
        scope = AccessTokenScope(
            basins=PrefixMatch(""),
            streams=ExactMatch("only"),
            access_tokens=PrefixMatch(prefix),
            op_groups=OperationGroupPermissions(account=Permission.READ, stream=Permission.READ_WRITE),
            ops=[Operation.CREATE_STREAM],
        )
        expires = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
        token = await s2.issue_access_token(f"{prefix}/a", scope=scope, expires_at=expires)
        await s2.issue_access_token(f"{prefix}/b", scope=scope)
        with pytest.raises(S2ServerError) as info:
            await s2.issue_access_token(f"{prefix}/a", scope=scope)
        assert code(info) == ("resource_already_exists", 409)
        page = await s2.list_access_tokens(prefix=prefix, limit=1)
        assert page.has_more and page.items[0].expires_at == expires
        told = page.items[0].scope
        assert (told.basins, told.streams, told.ops) == (scope.basins, scope.streams, scope.ops)
        assert told.op_groups == scope.op_groups
        assert [item.id async for item in s2.list_all_access_tokens(prefix=prefix)] == [f"{prefix}/a", f"{prefix}/b"]

        basin = unique()
        await s2.create_basin(basin)
        async with client(lab, token, compression=packing) as limited:
            assert basin in [item.name async for item in limited.list_all_basins()]
            await limited[basin].create_stream("only")
            assert (await limited[basin]["only"].append(AppendInput(records("x")))).end.seq_num == 1
            for refused in (
                limited.create_basin(unique()),
                limited[basin].create_stream("other"),
                limited[basin].list_streams(),
                limited[basin]["other"].check_tail(),
                limited.issue_access_token(f"{prefix}/c", scope=scope),
            ):
                with pytest.raises(S2ServerError) as info:
                    await refused
                assert code(info) == ("permission_denied", 403)
            await s2.revoke_access_token(f"{prefix}/a")
            with pytest.raises(S2ServerError) as info:
                await limited.list_basins()
            assert code(info) == ("authn", 401)
        await s2.revoke_access_token(f"{prefix}/b")
        with pytest.raises(S2ServerError) as info:
            await s2.revoke_access_token(f"{prefix}/b")
        assert code(info) == ("access_token_not_found", 404)
        await s2.delete_basin(basin)

    run(go())


def test_a_token_with_a_prefix_sees_only_what_is_below_it(s2, lab, run, packing, basin):
    async def go():
        tenant = unique("tenant")
        scope = AccessTokenScope(
            basins=ExactMatch(basin.name),
            streams=PrefixMatch(f"{tenant}/"),
            op_groups=OperationGroupPermissions(basin=Permission.READ_WRITE, stream=Permission.READ_WRITE),
        )
        token = await s2.issue_access_token(tenant, scope=scope, auto_prefix_streams=True)
        async with client(lab, token, compression=packing) as limited:
            mine = limited[basin.name]
            assert (await mine.create_stream("a")).name == "a"
            assert (await mine.ensure_stream("b")).stream.name == "b"
            assert [item.name async for item in mine.list_all_streams()] == ["a", "b"]
            assert [item.name for item in (await mine.list_streams(start_after="a")).items] == ["b"]
            await mine["a"].append(AppendInput(records("x")))
            async with mine["a"].read_session(start=SeqNum(0), limit=ReadLimit(count=1)) as session:
                assert [record.body async for batch in session for record in batch.records] == [b"x"]
            await mine.delete_stream("b")
        names = [item.name async for item in basin.list_all_streams(prefix=tenant)]
        assert names == [f"{tenant}/a"]
        await s2.revoke_access_token(tenant)

    run(go())


# --- streams --------------------------------------------------------------------------------------------------------


def test_a_stream_from_creation_to_deletion(basin, run):
    async def go():
        name = f"dir/{unique()} ü%2F"
        info = await basin.create_stream(name)
        assert (info.name, info.deleted_at, info.cipher) == (name, None, None)
        with pytest.raises(S2ServerError) as told:
            await basin.create_stream(name)
        assert code(told) == ("resource_already_exists", 409)
        assert await basin.get_stream_config(name) == StreamConfig(
            "express", 604800, Timestamping(TimestampingMode.CLIENT_PREFER, False), 0
        )
        await basin.delete_stream(name)
        await basin.delete_stream(name)
        for refused in (basin.create_stream(name), basin[name].check_tail(), basin.get_stream_config(name)):
            with pytest.raises(S2ServerError) as told:
                await refused
            assert code(told) == ("stream_deletion_pending", 409)
        await until(lambda: basin.list_streams(prefix=name), lambda page: not page.items)
        await basin.delete_stream(name, ignore_not_found=True)
        with pytest.raises(S2ServerError) as told:
            await basin[name].check_tail()
        assert code(told) == ("stream_not_found", 404)
        await basin.create_stream(name)
        assert (await basin[name].check_tail()).seq_num == 0

    run(go())


def test_the_settings_of_a_stream(basin, run):
    async def go():
        name = unique()
        config = StreamConfig("standard", "infinite", Timestamping(TimestampingMode.CLIENT_REQUIRE, True), 60)
        await basin.create_stream(name, config=config)
        assert await basin.get_stream_config(name) == config
        assert (await basin.ensure_stream(name, config=config)).status is EnsureStatus.CONFIG_UNCHANGED
        changed = await basin.reconfigure_stream(name, config=StreamConfig(timestamping=Timestamping(uncapped=False)))
        assert changed.timestamping == Timestamping(TimestampingMode.CLIENT_REQUIRE, False)
        assert changed.retention_policy == "infinite"
        assert (await basin.ensure_stream(name)).status is EnsureStatus.CONFIG_UPDATED
        assert (await basin.get_stream_config(name)).retention_policy == 604800
        assert (await basin.ensure_stream(unique())).status is EnsureStatus.CREATED
        with pytest.raises(S2ServerError) as told:
            await basin.create_stream(unique(), config=StreamConfig(retention_policy=0))
        assert code(told) == ("invalid", 422)

    run(go())


def test_streams_are_listed(s2, run):
    async def go():
        basin = s2.basin(unique())
        await s2.create_basin(basin.name)
        names = sorted(f"s{number:04}" for number in range(12))
        await asyncio.gather(*(basin.create_stream(name) for name in names))
        assert [item.name async for item in basin.list_all_streams()] == names
        page = await basin.list_streams(prefix="s", start_after="s0003", limit=5)
        assert ([item.name for item in page.items], page.has_more) == (names[4:9], True)
        await s2.delete_basin(basin.name)
        with pytest.raises(S2ServerError) as told:
            await basin.create_stream("late")
        assert code(told) == ("basin_deletion_pending", 409)

    run(go())


def test_streams_make_themselves(s2, run):
    async def go():
        basin = s2.basin(unique())
        await s2.create_basin(
            basin.name,
            config=BasinConfig(
                StreamConfig(retention_policy=1000), create_stream_on_append=True, create_stream_on_read=True
            ),
        )
        await basin["a"].append(AppendInput(records("x")))
        assert (await basin["b"].check_tail()).seq_num == 0
        with pytest.raises(ReadUnwrittenError):
            await basin["c"].read(start=SeqNum(0))
        given = AppendInput(records("x"), stream_config=StreamConfig(retention_policy=77))
        await basin["d"].append(given)
        async with basin["e"].append_session(stream_config=StreamConfig(retention_policy=78)) as session:
            await (await session.submit(AppendInput(records("x"))))
        kept = {name: (await basin.get_stream_config(name)).retention_policy for name in "abcde"}
        assert kept == {"a": 1000, "b": 1000, "c": 1000, "d": 77, "e": 78}
        await s2.delete_basin(basin.name)

    run(go())


# --- records --------------------------------------------------------------------------------------------------------


def test_what_is_appended_is_read(stream, run):
    async def go():
        given = [
            Record(b""),
            Record(b"\x00\xff", [(b"n", b"v"), (b"n", b""), (b"\xff", b"\xfe")]),
            Record(b"z" * 5000, timestamp=1),
        ]
        before = time.time_ns() // 1_000_000
        ack = await stream.append(AppendInput(given))
        assert (ack.start.seq_num, ack.end.seq_num, ack.tail.seq_num) == (0, 3, 3)
        assert before - 1000 <= ack.start.timestamp <= time.time_ns() // 1_000_000
        batch = await stream.read(start=SeqNum(0))
        assert [record.seq_num for record in batch.records] == [0, 1, 2]
        assert [(record.body, record.headers) for record in batch.records] == [(one.body, one.headers) for one in given]
        assert len({record.timestamp for record in batch.records}) == 1
        assert await stream.check_tail() == ack.tail

    run(go())


def test_times_of_records(basin, run):
    async def times(mode, *given, uncapped=None):
        name = unique()
        await basin.create_stream(name, config=StreamConfig(timestamping=Timestamping(mode, uncapped)))
        await basin[name].append(AppendInput([Record(b"", timestamp=one) for one in given]))
        return [record.timestamp for record in (await basin[name].read(start=SeqNum(0))).records]

    async def go():
        now = time.time_ns() // 1_000_000
        assert await times(TimestampingMode.CLIENT_PREFER, 10, 5, 20) == [10, 10, 20]
        assert await times(TimestampingMode.CLIENT_REQUIRE, 10, 10) == [10, 10]
        assert all(now <= one <= now + 60_000 for one in await times(TimestampingMode.ARRIVAL, 10, 5))
        assert all(now <= one <= now + 60_000 for one in await times(TimestampingMode.CLIENT_PREFER, now * 2))
        assert await times(TimestampingMode.CLIENT_PREFER, 2**64 - 1, None, uncapped=True) == [2**64 - 1] * 2
        with pytest.raises(S2ServerError) as told:
            await times(TimestampingMode.CLIENT_REQUIRE, 10, None)
        assert code(told) == ("invalid", 422)

    run(go())


def test_conditions(stream, run):
    async def go():
        await stream.append(AppendInput(records("a"), match_seq_num=0))
        with pytest.raises(SeqNumMismatchError) as mismatch:
            await stream.append(AppendInput(records("b"), match_seq_num=0))
        assert mismatch.value.expected_seq_num == 1
        await stream.append(AppendInput([CommandRecord.fence("wärter")]))
        with pytest.raises(FencingTokenMismatchError) as fenced:
            await stream.append(AppendInput(records("b"), fencing_token=""))
        assert fenced.value.expected_fencing_token == "wärter"
        await stream.append(AppendInput(records("c"), fencing_token="wärter", match_seq_num=2))
        await stream.append(AppendInput(records("d")))
        await stream.append(AppendInput([CommandRecord.fence("")], fencing_token="wärter"))
        await stream.append(AppendInput(records("e"), fencing_token=""))
        batch = await stream.read(start=SeqNum(0), ignore_command_records=True)
        assert [record.body for record in batch.records] == [b"a", b"c", b"d", b"e"]
        batch = await stream.read(start=SeqNum(0))
        assert [record.seq_num for record in batch.records if record.is_command_record()] == [1, 4]
        for wrong in (Record(b"", [(b"", b"jump")]), Record(b"", [(b"", b""), (b"a", b"b")])):
            with pytest.raises(S2ServerError) as told:
                await stream.append(AppendInput([wrong]))
            assert code(told) == ("invalid", 422)

    run(go())


def test_a_trim_takes_records_away(stream, run):
    async def go():
        await stream.append(AppendInput(records(*"abcdefgh")))
        await stream.append(AppendInput([CommandRecord.trim(5)]))
        await until(lambda: stream.read(start=SeqNum(0)), lambda batch: batch.records[0].seq_num == 5)
        batch = await stream.read(start=SeqNum(0))
        assert [record.seq_num for record in batch.records] == [5, 6, 7, 8]
        assert (await stream.check_tail()).seq_num == 9
        await stream.append(AppendInput([CommandRecord.trim(2**64 - 1)]))
        await until(
            lambda: stream.read(start=SeqNum(0), limit=ReadLimit(count=1), wait=1), lambda batch: not batch.records
        )
        ack = await stream.append(AppendInput(records("i")))
        assert ack.start.seq_num == 10

    run(go())


def test_starts_and_limits(stream, run):
    async def go():
        with pytest.raises(ReadUnwrittenError) as empty:
            await stream.read(start=SeqNum(0))
        assert (empty.value.tail.seq_num, empty.value.tail.timestamp) == (0, 0)
        for base in (100, 200, 300):
            await stream.append(AppendInput([Record(b"%03d" % n, timestamp=base + n) for n in range(5)]))

        async def seqs(**how):
            return [record.seq_num for record in (await stream.read(**how)).records]

        assert await seqs(start=SeqNum(3), limit=ReadLimit(count=4)) == [3, 4, 5, 6]
        assert await seqs(start=Timestamp(201)) == list(range(6, 15))
        assert await seqs(start=Timestamp(150), until_timestamp=203) == [5, 6, 7]
        assert await seqs(start=TailOffset(2)) == [13, 14]
        assert await seqs(start=TailOffset(99), limit=ReadLimit(bytes=25)) == [0, 1]
        assert await seqs(start=SeqNum(0), limit=ReadLimit(bytes=5)) == []
        assert await seqs(start=SeqNum(0), limit=ReadLimit(count=0)) == []
        for start in (SeqNum(15), TailOffset(0), Timestamp(305)):
            with pytest.raises(ReadUnwrittenError) as beyond:
                await stream.read(start=start)
            assert beyond.value.tail.seq_num == 15
        with pytest.raises(ReadUnwrittenError):
            await stream.read(start=SeqNum(99), clamp_to_tail=True)
        assert await seqs(start=SeqNum(99), clamp_to_tail=True, wait=1) == []
        with pytest.raises(S2ServerError) as told:
            await stream.read(start=Timestamp(10), until_timestamp=10)
        assert code(told) == ("invalid", 422)

    run(go())


def test_the_largest_there_can_be(stream, run):
    async def go():
        await stream.append(AppendInput([Record(b"x" * (MIB - 8))]))
        await stream.append(AppendInput([Record(b"%d" % n) for n in range(1000)]))
        await stream.append(AppendInput([Record(b"%d" % n) for n in range(1000)]))
        assert len((await stream.read(start=SeqNum(0), limit=ReadLimit(count=5, bytes=2 * MIB))).records) == 1
        assert len((await stream.read(start=SeqNum(1), limit=ReadLimit(count=1500))).records) == 1000
        with pytest.raises(S2ClientError):
            await stream.append(AppendInput([Record(b"x" * (MIB - 7))]))

    run(go())


def test_waiting_for_what_is_to_come(stream, run):
    async def go():
        async def later():
            await asyncio.sleep(0.3)
            await stream.append(AppendInput(records("late")))

        started = time.monotonic()
        task = asyncio.create_task(later())
        batch = await stream.read(start=TailOffset(0), wait=4)
        assert [record.body for record in batch.records] == [b"late"]
        assert 0.2 < time.monotonic() - started < 2
        await task

    run(go())


# --- append sessions ------------------------------------------------------------------------------------------------


def test_an_append_session_acknowledges_in_order(stream, run):
    async def go():
        async with stream.append_session() as session:
            tickets = [
                await session.submit(AppendInput(records(*(f"{n}-{m}" for m in range(n % 7 + 1))))) for n in range(300)
            ]
            acks = [await ticket for ticket in tickets]
        at = 0
        for number, ack in enumerate(acks):
            assert (ack.start.seq_num, ack.end.seq_num) == (at, at + number % 7 + 1)
            assert ack.tail.seq_num >= ack.end.seq_num
            at = ack.end.seq_num
        bodies = []
        async with stream.read_session(start=SeqNum(0), limit=ReadLimit(count=at)) as session:
            async for batch in session:
                bodies += [record.body.decode() for record in batch.records]
        assert bodies == [f"{n}-{m}" for n in range(300) for m in range(n % 7 + 1)]

    run(go())


def test_conditions_count_what_is_under_way(stream, run):
    async def go():
        async with stream.append_session() as session:
            tickets = [await session.submit(AppendInput(records("a", "b"), match_seq_num=2 * n)) for n in range(50)]
            assert [(await ticket).start.seq_num for ticket in tickets] == list(range(0, 100, 2))
        session = stream.append_session()
        good = await session.submit(AppendInput(records("a"), match_seq_num=100))
        bad = await session.submit(AppendInput(records("b"), match_seq_num=100))
        assert (await good).end.seq_num == 101
        with pytest.raises(SeqNumMismatchError) as told:
            await bad
        assert told.value.expected_seq_num == 101
        with pytest.raises(SeqNumMismatchError):
            await session.close()
        assert (await stream.check_tail()).seq_num == 101

    run(go())


def test_a_session_to_a_stream_that_is_not_there(basin, run):
    async def go():
        session = basin["nowhere"].append_session()
        with pytest.raises(S2ServerError) as told:
            await (await session.submit(AppendInput(records("x"))))
        assert code(told) == ("stream_not_found", 404)
        with pytest.raises(S2ServerError):
            await session.close()
        with pytest.raises(S2ServerError) as told:
            async for _ in basin["nowhere"].read_session(start=SeqNum(0)):
                pass
        assert code(told) == ("stream_not_found", 404)

    run(go())


def test_a_producer(stream, run):
    async def go():
        async with stream.producer(
            batching=Batching(max_records=100, linger=timedelta(milliseconds=5)), match_seq_num=0
        ) as producer:
            tickets = [await producer.submit(Record(b"%d" % n)) for n in range(1050)]
            await producer.flush()
            acks = [await ticket for ticket in tickets]
        assert [ack.seq_num for ack in acks] == list(range(1050))
        assert len({id(ack.batch) for ack in acks}) >= 11

    run(go())


def test_inputs_from_an_iterator(stream, run):
    async def go():
        async def source():
            for number in range(2500):
                yield Record(b"%d" % number, [(b"n", b"%d" % number)])

        async with stream.append_session() as session:
            tickets = [await session.submit(input) async for input in append_inputs(source(), match_seq_num=0)]
            assert (await tickets[-1]).end.seq_num == 2500

    run(go())


# --- read sessions --------------------------------------------------------------------------------------------------


def test_a_read_session_ends_where_it_is_bounded(stream, run):
    async def go():
        for _ in range(4):
            await stream.append(AppendInput([Record(os.urandom(300)) for _ in range(700)]))

        async def counts(**how):
            async with stream.read_session(**how) as session:
                return [len(batch.records) async for batch in session]

        assert sum(await counts(start=SeqNum(0), limit=ReadLimit(count=2000))) == 2000
        assert sum(await counts(start=SeqNum(100), limit=ReadLimit(count=9999))) == 2700
        assert sum(await counts(start=SeqNum(0), limit=ReadLimit(bytes=308 * 1500 + 1))) == 1500
        assert sum(await counts(start=SeqNum(2000), wait=0)) == 800
        assert sum(await counts(start=TailOffset(5), wait=1)) == 5
        assert max(await counts(start=SeqNum(0), wait=0)) <= 1000
        assert await counts(start=TailOffset(0), wait=0) == []
        with pytest.raises(ReadUnwrittenError):
            await counts(start=TailOffset(0), limit=ReadLimit(count=1))

    run(go())


def test_a_tailing_session_sees_what_comes_and_when_it_has_caught_up(stream, run):
    async def go():
        await stream.append(AppendInput(records("a", "b")))
        seen = []
        async with stream.read_session(start=SeqNum(0)) as session:

            async def follow():
                async for batch in session:
                    seen.extend(record.body for record in batch.records)
                    if len(seen) == 52:
                        return

            task = asyncio.create_task(follow())
            tail = await asyncio.wait_for(session.caught_up(), 5)
            assert tail.seq_num == 2
            assert session.is_caught_up()
            async with stream.append_session() as writer:
                for number in range(50):
                    await (await writer.submit(AppendInput(records(str(number)))))
            await asyncio.wait_for(task, 5)
        assert seen == [b"a", b"b", *(b"%d" % number for number in range(50))]

    run(go())


def test_many_sessions_at_once(basin, run):
    async def go():
        names = [f"many-{uuid.uuid4().hex}" for _ in range(40)]

        async def one(name):
            await basin.create_stream(name)
            stream = basin[name]

            async def write():
                async with stream.append_session() as session:
                    for number in range(20):
                        await session.submit(AppendInput(records(f"{name}-{number}")))

            async def follow():
                seen = []
                async with stream.read_session(start=SeqNum(0)) as session:
                    async for batch in session:
                        seen += [record.body.decode() for record in batch.records]
                        if len(seen) == 20:
                            return seen

            writing = asyncio.create_task(write())
            assert await follow() == [f"{name}-{number}" for number in range(20)]
            await writing

        await asyncio.gather(*(one(name) for name in names))

    run(go(), 60)


def test_who_follows_a_deleted_stream_is_told(basin, run, lab):
    async def go():
        name = unique()
        await basin.create_stream(name)
        await basin[name].append(AppendInput(records("a")))
        seen = []

        async def follow():
            async with basin[name].read_session(start=SeqNum(0)) as session:
                async for batch in session:
                    seen.extend(batch.records)
                    if len(seen) == 1:
                        await basin.delete_stream(name)

        with pytest.raises(S2ServerError) as told:
            await follow()
        assert told.value.code in ("stream_deletion_pending", "stream_not_found")
        assert seen[1].headers == [(b"", b"trim")]
        assert (seen[1].body, seen[1].timestamp) == (b"\xff" * 8, 2**64 - 1)

    run(go())


# --- encryption -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", list(Encryption), ids=lambda cipher: cipher.value)
def test_encrypted_streams(s2, run, cipher):
    async def go():
        basin = s2.basin(unique())
        await s2.create_basin(basin.name, config=BasinConfig(stream_cipher=cipher))
        assert (await basin.create_stream("s")).cipher is cipher
        key, other = os.urandom(32), os.urandom(32)
        stream = basin.stream("s", encryption_key=key)
        given = [Record(b"secret %d" % n, [(b"k", b"v" * n)]) for n in range(20)]
        await stream.append(AppendInput(given))
        async with stream.append_session() as session:
            await (await session.submit(AppendInput(given)))
        batch = await stream.read(start=SeqNum(0))
        assert [(record.body, record.headers) for record in batch.records] == [
            (one.body, one.headers) for one in given
        ] * 2
        assert metered_bytes(batch.records) == 2 * metered_bytes(given)
        some = await stream.read(start=SeqNum(3), limit=ReadLimit(bytes=metered_bytes(given[3:7])))
        assert [record.seq_num for record in some.records] == [3, 4, 5, 6]
        with pytest.raises(S2ServerError) as told:
            await basin.stream("s").append(AppendInput(given))
        assert code(told) == ("bad_header", 400) and cipher.value in told.value.message
        wrong = basin.stream("s", encryption_key=other)
        with pytest.raises(S2ServerError) as told:
            await wrong.read(start=SeqNum(0))
        assert code(told) == ("decryption_failed", 400)
        with pytest.raises(S2ServerError) as told:
            async for _ in wrong.read_session(start=SeqNum(0)):
                pass
        assert told.value.code == "decryption_failed"
        await wrong.append(AppendInput(records("other")))
        assert [record.body for record in (await wrong.read(start=TailOffset(1))).records] == [b"other"]
        await stream.append(AppendInput([CommandRecord.fence("f")]))
        assert (await wrong.read(start=TailOffset(1))).records[0].is_command_record()
        assert (await basin.stream("s").check_tail()).seq_num == 42
        await s2.delete_basin(basin.name)

    run(go())


# --- metrics --------------------------------------------------------------------------------------------------------


def test_metrics_tell_what_happened(s2, run):
    async def go():
        basin = s2.basin(unique())
        await s2.create_basin(basin.name)
        await basin.create_stream("m")
        given = records("x" * 92, "y" * 92)
        for _ in range(3):
            await basin["m"].append(AppendInput(given))
        for _ in range(2):
            await basin["m"].read(start=SeqNum(0))
        now = int(time.time())
        span = {"start": now - 3600, "end": now + 1}

        [label] = await s2.account_metrics(set=AccountMetricSet.ACTIVE_BASINS, **span)
        assert isinstance(label, Label) and basin.name in label.values
        ops = await s2.account_metrics(set=AccountMetricSet.ACCOUNT_OPS, interval=TimeseriesInterval.MINUTE, **span)
        assert {metric.name for metric in ops} >= {"append", "read", "create-basin", "create-stream"}
        assert all(isinstance(metric, Accumulation) and metric.unit.value == "operations" for metric in ops)

        async def total(set):
            [metric] = await s2.basin_metrics(basin.name, set=set, interval=TimeseriesInterval.HOUR, **span)
            assert metric.interval is TimeseriesInterval.HOUR
            return sum(value for _, value in metric.values)

        assert await total(BasinMetricSet.APPEND_OPS) == 3
        assert await total(BasinMetricSet.READ_OPS) == 2
        assert await total(BasinMetricSet.APPEND_THROUGHPUT) == 600
        assert await total(BasinMetricSet.READ_THROUGHPUT) == 1200
        assert await s2.basin_metrics(basin.name, set=BasinMetricSet.BASIN_OPS, **span)
        [stored] = await s2.basin_metrics(basin.name, set=BasinMetricSet.STORAGE, **span)
        assert isinstance(stored, Gauge) and stored.values[-1][1] == 600
        [stored] = await s2.stream_metrics(basin.name, "m", set=StreamMetricSet.STORAGE, **span)
        assert stored.unit.value == "bytes" and stored.values[-1][1] == 600
        assert isinstance(await s2.account_metrics(set=AccountMetricSet.ACCOUNT_OPS, start=0, end=1), list)
        assert await s2.account_metrics(set=AccountMetricSet.ESTIMATED_BILLABLE_USAGE, **span)
        for wrong in ((now, now - 10), (now, now + 3600), (now - 40 * 86400, now)):
            with pytest.raises(S2ServerError) as told:
                await s2.account_metrics(set=AccountMetricSet.ACCOUNT_OPS, start=wrong[0], end=wrong[1])
            assert code(told) == ("invalid", 422)
        await s2.delete_basin(basin.name)

    run(go())


# --- when things go wrong -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["drop", "reset", "truncate", "503", "429"])
def test_reading_goes_on_after_a_fault(lab, run, s2, stream, kind):
    async def go():
        given = [Record(b"%d" % n + b"x" * 200) for n in range(3000)]
        for at in range(0, 3000, 500):
            await stream.append(AppendInput(given[at : at + 500]))
        lab.faults("s2", kind, path="*/records", method="GET", count=2, after=150_000)
        seqs = []
        async with stream.read_session(start=SeqNum(0), limit=ReadLimit(count=3000)) as session:
            async for batch in session:
                seqs += [record.seq_num for record in batch.records]
        assert seqs == list(range(3000))

    try:
        run(go())
    finally:
        lab.faults(clear=True)


@pytest.mark.parametrize("kind", ["drop", "reset", "stall", "503"])
def test_appending_goes_on_after_a_fault_and_writes_nothing_twice(lab, run, packing, basin, kind):
    async def go():
        retry = Retry(
            max_attempts=5, min_base_delay=timedelta(milliseconds=10), append_retry_policy=AppendRetryPolicy.ALL
        )
        async with client(lab, compression=packing, retry=retry) as other:
            name = unique()
            await basin.create_stream(name)
            stream = other[basin.name][name]
            lab.faults("s2", kind, path="*/records", method="POST", count=2, after=70, seconds=0.2)
            wanted = [f"{n}" for n in range(60)]
            session = stream.append_session()
            failed = None
            try:
                tickets = [
                    await session.submit(AppendInput(records(body), match_seq_num=n)) for n, body in enumerate(wanted)
                ]
                for ticket in tickets:
                    await ticket
            except (AppendConditionError, sdk.S2Error) as error:
                failed = error
            try:
                await session.close()
            except sdk.S2Error as error:
                failed = failed or error
            batch = await basin[name].read(start=SeqNum(0)) if (await basin[name].check_tail()).seq_num else None
            bodies = [record.body.decode() for record in batch.records] if batch else []
            assert bodies == wanted[: len(bodies)]
            assert failed is not None or bodies == wanted

    try:
        run(go())
    finally:
        lab.faults(clear=True)
