"""The S2 client in both colours, against the lab and against the real self-hosted server where it is installed."""

import asyncio
import inspect
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from kit import s2
from kit.s2 import (
    AccessTokenScope,
    AccountMetricSet,
    AppendInput,
    BasinConfig,
    BasinMetricSet,
    CommandRecord,
    Compression,
    Encryption,
    Endpoints,
    EnsureStatus,
    FencingTokenMismatchError,
    OperationGroupPermissions,
    Permission,
    PrefixMatch,
    ReadLimit,
    ReadUnwrittenError,
    Record,
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
)
from tests.real import ABSENT, running_s2, s2_program

pytestmark = pytest.mark.lab

LEFT_OUT_BY_LITE = "the self-hosted server answers 501: access tokens, locations, metrics"


@pytest.fixture(scope="module", params=["lab", "lite"])
def server(request):
    if request.param == "lab":
        yield {**os.environ, **request.getfixturevalue("lab").env()}
        return
    if s2_program() is None:
        pytest.skip(ABSENT)
    with running_s2() as environment:
        yield environment


@pytest.fixture
def on_lab(server, lab):
    if server["S2_ACCOUNT_ENDPOINT"] != lab.env()["S2_ACCOUNT_ENDPOINT"]:
        pytest.skip(LEFT_OUT_BY_LITE)


class Face:
    """One way to write a test for both colours."""

    def __init__(self, colour, server, **options):
        endpoints = Endpoints(server["S2_ACCOUNT_ENDPOINT"], server["S2_BASIN_ENDPOINT"])
        self.loop = asyncio.new_event_loop() if colour == "async" else None
        self.client = (s2.S2 if self.loop else s2.SyncS2)(server["S2_ACCESS_TOKEN"], endpoints=endpoints, **options)

    def do(self, result):
        return self.loop.run_until_complete(result) if inspect.isawaitable(result) else result

    def items(self, iterator):
        if isinstance(iterator, Iterator):
            return list(iterator)
        assert isinstance(iterator, AsyncIterator)

        async def gather():
            return [item async for item in iterator]

        return self.do(gather())

    def close(self):
        self.do(self.client.close())
        if self.loop:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()


@pytest.fixture(params=["sync", "async"])
def colour(request):
    return request.param


@pytest.fixture
def face(colour, server):
    face = Face(colour, server)
    yield face
    face.close()


def fresh(kind="test"):
    return f"{kind}-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def basin(face):
    name = fresh()
    face.do(face.client.create_basin(name))
    return face.client[name]


@pytest.fixture
def stream(face, basin):
    face.do(basin.create_stream("st/ream ü"))
    return basin["st/ream ü"]


def records(*bodies):
    return AppendInput([Record(body) for body in bodies])


def test_every_name_of_the_reference_is_there():
    names = """S2 S2Basin S2Stream AppendSession BatchSubmitTicket Producer RecordSubmitTicket Endpoints Timeout Retry
        Batching Record AppendInput AppendAck IndexedAppendAck StreamPosition ReadLimit ReadBatch SequencedRecord SeqNum
        Timestamp TailOffset Page CommandRecord metered_bytes append_record_batches append_inputs Compression
        AppendRetryPolicy Encryption StorageClass TimestampingMode Timestamping StreamConfig BasinConfig LocationInfo
        BasinInfo StreamInfo EnsuredBasinInfo EnsuredStreamInfo EnsureStatus ExactMatch PrefixMatch Permission Operation
        OperationGroupPermissions AccessTokenScope AccessTokenInfo MetricUnit TimeseriesInterval AccountMetricSet
        BasinMetricSet StreamMetricSet Scalar Accumulation Gauge Label S2Error S2ClientError S2ServerError
        AppendConditionError FencingTokenMismatchError SeqNumMismatchError ReadUnwrittenError ReadSession"""
    for name in names.split():
        assert name in s2.__all__, name
        assert getattr(s2, name).__doc__, name


def test_basins(face):
    name = fresh()
    made = face.do(face.client.create_basin(name, config=BasinConfig(create_stream_on_append=True)))
    assert made.name == name
    assert made.created_at.tzinfo is not None
    assert face.do(face.client.get_basin_config(name)).create_stream_on_append is True
    with pytest.raises(S2ServerError) as caught:
        face.do(face.client.create_basin(name))
    assert (caught.value.code, caught.value.status_code) == ("resource_already_exists", 409)
    ensured = face.do(face.client.ensure_basin(name, config=BasinConfig(create_stream_on_append=True)))
    assert ensured.status is EnsureStatus.CONFIG_UNCHANGED
    ensured = face.do(face.client.ensure_basin(name, config=BasinConfig(create_stream_on_read=True)))
    assert ensured.status is EnsureStatus.CONFIG_UPDATED
    config = face.do(face.client.reconfigure_basin(name, config=BasinConfig(create_stream_on_append=True)))
    assert (config.create_stream_on_append, config.create_stream_on_read) == (True, True)
    page = face.do(face.client.list_basins(prefix=name))
    assert ([info.name for info in page.items], page.has_more) == ([name], False)
    assert name in [info.name for info in face.items(face.client.list_all_basins())]
    face.do(face.client.delete_basin(name))
    face.do(face.client.delete_basin(fresh(), ignore_not_found=True))
    with pytest.raises(S2ServerError, match="basin_not_found"):
        face.do(face.client.delete_basin(fresh()))


def test_streams(face, basin):
    info = face.do(basin.create_stream("a/b", config=StreamConfig(retention_policy=3600)))
    assert info.name == "a/b"
    config = face.do(basin.get_stream_config("a/b"))
    assert config.retention_policy == 3600
    assert config.timestamping.mode is TimestampingMode.CLIENT_PREFER
    again = face.do(basin.ensure_stream("a/b", config=StreamConfig(retention_policy=3600)))
    assert again.status is EnsureStatus.CONFIG_UNCHANGED
    changed = face.do(basin.reconfigure_stream("a/b", config=StreamConfig(retention_policy="infinite")))
    assert changed.retention_policy == "infinite"
    for n in range(5):
        face.do(basin.create_stream(f"many/{n}"))
    page = face.do(basin.list_streams(prefix="many/", limit=2))
    assert ([one.name for one in page.items], page.has_more) == (["many/0", "many/1"], True)
    assert len(face.items(basin.list_all_streams(prefix="many/"))) == 5
    face.do(basin.delete_stream("a/b"))
    with pytest.raises(S2ServerError, match="stream_not_found"):
        face.do(basin.get_stream_config("missing"))


def test_append_and_read(face, stream):
    ack = face.do(stream.append(AppendInput([Record(b"one"), Record(b"", [(b"k", b"\xff")]), Record(b"\x00" * 10)])))
    assert (ack.start.seq_num, ack.end.seq_num, ack.tail.seq_num) == (0, 3, 3)
    assert face.do(stream.check_tail()).seq_num == 3
    batch = face.do(stream.read(start=SeqNum(0)))
    assert [(one.seq_num, one.body, one.headers) for one in batch.records] == [
        (0, b"one", []),
        (1, b"", [(b"k", b"\xff")]),
        (2, b"\x00" * 10, []),
    ]
    assert [one.body for one in face.do(stream.read(start=TailOffset(1))).records] == [b"\x00" * 10]
    assert len(face.do(stream.read(start=SeqNum(0), limit=ReadLimit(count=2))).records) == 2
    assert len(face.do(stream.read(start=SeqNum(0), limit=ReadLimit(bytes=11))).records) == 1


def test_reading_at_the_tail(face, stream):
    with pytest.raises(ReadUnwrittenError) as caught:
        face.do(stream.read(start=SeqNum(0)))
    assert caught.value.tail.seq_num == 0
    assert caught.value.status_code == 416
    assert face.do(stream.read(start=SeqNum(0), wait=1)).records == []
    with pytest.raises(ReadUnwrittenError):
        face.do(stream.read(start=SeqNum(7), clamp_to_tail=True))


def test_timestamps(face, basin):
    config = StreamConfig(timestamping=Timestamping(mode=TimestampingMode.CLIENT_REQUIRE, uncapped=True))
    face.do(basin.create_stream("timed", config=config))
    stream = basin["timed"]
    face.do(
        stream.append(
            AppendInput([Record(b"a", timestamp=1000), Record(b"b", timestamp=2000), Record(b"c", timestamp=3000)])
        )
    )
    found = face.do(stream.read(start=Timestamp(1500), until_timestamp=3000))
    assert [(one.body, one.timestamp) for one in found.records] == [(b"b", 2000)]
    with pytest.raises(S2ServerError, match="422 invalid"):
        face.do(stream.append(records(b"none")))


def test_conditions(face, stream):
    face.do(stream.append(AppendInput([Record(b"a")], match_seq_num=0)))
    with pytest.raises(SeqNumMismatchError) as caught:
        face.do(stream.append(AppendInput([Record(b"a")], match_seq_num=0)))
    assert caught.value.expected_seq_num == 1
    face.do(stream.append(AppendInput([CommandRecord.fence("mine")])))
    with pytest.raises(FencingTokenMismatchError) as fenced:
        face.do(stream.append(AppendInput([Record(b"b")], fencing_token="theirs")))
    assert fenced.value.expected_fencing_token == "mine"
    face.do(stream.append(AppendInput([Record(b"b")], fencing_token="mine")))
    face.do(stream.append(AppendInput([CommandRecord.trim(1)])))
    found = face.do(stream.read(start=SeqNum(0), ignore_command_records=True))
    assert [one.body for one in found.records][-1:] == [b"b"]


def test_read_sessions(face, stream):
    for n in range(5):
        face.do(stream.append(records(*(b"%d" % (n * 100 + i) for i in range(100)))))
    batches = face.items(stream.read_session(start=SeqNum(0), limit=ReadLimit(count=450)))
    bodies = [int(one.body) for batch in batches for one in batch.records]
    assert bodies == list(range(450))
    none = face.items(stream.read_session(start=SeqNum(500), wait=0))
    assert none == []
    until_the_end = face.items(stream.read_session(start=SeqNum(490), wait=1))
    assert [int(one.body) for batch in until_the_end for one in batch.records] == list(range(490, 500))
    with pytest.raises(ReadUnwrittenError):
        face.items(stream.read_session(start=SeqNum(501), limit=ReadLimit(count=1)))


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("compression", list(Compression))
def test_compression(server, colour, compression):
    face = Face(colour, server, compression=compression)
    name = fresh()
    face.do(face.client.create_basin(name))
    basin = face.client[name]
    face.do(basin.create_stream("s"))
    bodies = [b"x" * 5000, b"small", bytes(range(256)) * 20]
    face.do(basin["s"].append(records(*bodies)))
    assert [one.body for one in face.do(basin["s"].read(start=SeqNum(0))).records] == bodies
    batches = face.items(basin["s"].read_session(start=SeqNum(0), limit=ReadLimit(count=3)))
    assert [one.body for batch in batches for one in batch.records] == bodies
    face.close()


@pytest.mark.parametrize("cipher", list(Encryption))
def test_encryption(face, cipher):
    name = fresh()
    face.do(face.client.create_basin(name, config=BasinConfig(stream_cipher=cipher)))
    basin = face.client[name]
    assert face.do(basin.create_stream("s")).cipher is cipher
    key, other = b"k" * 32, b"o" * 32
    face.do(basin.stream("s", encryption_key=key).append(records(b"secret")))
    assert face.do(basin.stream("s", encryption_key=key).read(start=SeqNum(0))).records[0].body == b"secret"
    with pytest.raises(S2ServerError, match="decryption_failed"):
        face.do(basin.stream("s", encryption_key=other).read(start=SeqNum(0)))
    with pytest.raises(S2ServerError, match="bad_header") as caught:
        face.do(basin["s"].read(start=SeqNum(0)))
    assert cipher.value in str(caught.value)
    assert face.do(basin["s"].check_tail()).seq_num == 1


def test_streams_made_on_the_way(face):
    name = fresh()
    face.do(
        face.client.create_basin(name, config=BasinConfig(create_stream_on_append=True, create_stream_on_read=True))
    )
    assert face.do(face.client[name]["new"].append(records(b"a"))).end.seq_num == 1
    assert face.do(face.client[name]["newer"].check_tail()).seq_num == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda c: c["UPPER-case"],
        lambda c: c["short"],
        lambda c: c["good-name\n"],
        lambda c: c["good-name"]["x" * 513],
        lambda c: c["good-name"].stream("s", encryption_key=b"short"),
        lambda c: c["good-name"]["s"].append(AppendInput([])),
        lambda c: c["good-name"]["s"].append(AppendInput([Record(b"")] * 1001)),
        lambda c: c["good-name"]["s"].append(AppendInput([Record(b"x" * 1048576)])),
        lambda c: c["good-name"]["s"].append(AppendInput([Record(b"x")], fencing_token="x" * 37)),
        lambda c: c["good-name"]["s"].append(AppendInput([Record(b"x", timestamp=-1)])),
        lambda c: c["good-name"]["s"].read(start=SeqNum(-1)),
        lambda c: c["good-name"]["s"].read(start=5),
        lambda c: c["good-name"]["s"].read(start=SeqNum(0), limit=ReadLimit(count=-1)),
    ],
    ids=range(13),
)
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_bad_input_is_told_before_any_traffic(colour, wrong):
    face = Face(
        colour,
        {
            "S2_ACCESS_TOKEN": "t",
            "S2_ACCOUNT_ENDPOINT": "http://127.0.0.1:9",
            "S2_BASIN_ENDPOINT": "http://127.0.0.1:9",
        },
    )
    with pytest.raises(S2ClientError) as caught:
        face.do(wrong(face.client))
    assert "could not connect" not in str(caught.value)
    face.close()


def test_locations(face, on_lab):
    found = face.do(face.client.list_locations())
    assert found
    assert face.do(face.client.set_default_location(found[-1].name)) == found[-1]
    assert face.do(face.client.get_default_location()) == found[-1]
    face.do(face.client.set_default_location(found[0].name))


def test_access_tokens(face, on_lab, server):
    basin = fresh()
    face.do(face.client.create_basin(basin))
    face.do(face.client[basin].create_stream("open/a"))
    face.do(face.client[basin].create_stream("shut/a"))
    scope = AccessTokenScope(
        basins=PrefixMatch(basin),
        streams=PrefixMatch("open/"),
        op_groups=OperationGroupPermissions(stream=Permission.READ_WRITE),
    )
    token_id = fresh("token")
    token = face.do(
        face.client.issue_access_token(token_id, scope=scope, expires_at=datetime.now(UTC) + timedelta(hours=1))
    )
    assert token_id in [info.id for info in face.items(face.client.list_all_access_tokens())]
    other = Face("async" if face.loop else "sync", {**server, "S2_ACCESS_TOKEN": token})
    assert other.do(other.client[basin]["open/a"].append(records(b"a"))).end.seq_num == 1
    for refused in (
        lambda: other.client[basin]["shut/a"].append(records(b"a")),
        lambda: other.client.create_basin(fresh()),
        lambda: other.client[basin].create_stream("open/b"),
    ):
        with pytest.raises(S2ServerError, match="permission_denied"):
            other.do(refused())
    face.do(face.client.revoke_access_token(token_id))
    with pytest.raises(S2ServerError) as caught:
        other.do(other.client[basin]["open/a"].check_tail())
    assert caught.value.status_code in (401, 403)
    other.close()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client, basin: client.get_basin_config(""), "'' cannot be the name of a basin"),
        (lambda client, basin: client.delete_basin(None), "None cannot be the name of a basin"),
        (lambda client, basin: client.reconfigure_basin(b"basin-one", config=BasinConfig()), "cannot be the name"),
        (lambda client, basin: client.revoke_access_token(""), "id of an access token must have 1 to 96 bytes"),
        (lambda client, basin: basin.delete_stream(""), "name of a stream must have 1 to 512 bytes"),
        (lambda client, basin: basin.get_stream_config(b"a"), "name of a stream must be text, not bytes"),
        (lambda client, basin: basin.reconfigure_stream("..", config=StreamConfig()), "'..' cannot be the name"),
        (lambda client, basin: basin.reconfigure_stream("a", config={}), "must be kit.s2.StreamConfig, not dict"),
        (
            lambda client, basin: client.reconfigure_basin("basin-one", config={}),
            "must be kit.s2.BasinConfig, not dict",
        ),
        (
            lambda client, basin: client.ensure_basin("basin-one", config=BasinConfig(stream_cipher="aegis-256")),
            "must be kit.s2.Encryption, not 'aegis-256'\n  give kit.s2.Encryption.AEGIS_256",
        ),
        (
            lambda client, basin: basin.create_stream("a", config=StreamConfig(timestamping=Timestamping("arrival"))),
            "must be kit.s2.TimestampingMode, not 'arrival'",
        ),
        (lambda client, basin: client.list_basins(prefix=b"a"), "prefix must be str, not bytes"),
        (lambda client, basin: basin.list_streams(start_after=5), "start_after must be str, not 5"),
        (lambda client, basin: client.list_access_tokens(limit=True), "limit must be an int, not bool"),
        (lambda client, basin: client.account_metrics(set="account-ops"), "give kit.s2.AccountMetricSet.ACCOUNT_OPS"),
        (lambda client, basin: client.basin_metrics("", set=BasinMetricSet.STORAGE), "cannot be the name of a basin"),
        (
            lambda client, basin: client.basin_metrics(
                "basin-one", set=BasinMetricSet.STORAGE, start=datetime.now(UTC)
            ),
            "start, in seconds since 1970, must be an int, not datetime",
        ),
        (
            lambda client, basin: client.stream_metrics("basin-one", "", set=StreamMetricSet.STORAGE),
            "name of a stream must have",
        ),
        (
            lambda client, basin: client.issue_access_token("a", scope=AccessTokenScope(), expires_at="2030-01-01"),
            "expires_at must be datetime, not '2030-01-01'",
        ),
        (lambda client, basin: basin["a"].append([Record(b"x")]), "must be an AppendInput, not list"),
        (lambda client, basin: basin["a"].read(start=SeqNum(0), limit=5), "limit must be kit.s2.ReadLimit, not 5"),
    ],
)
def test_a_wrong_argument_is_refused_in_words_of_the_caller(colour, call, message):
    nobody = "http://127.0.0.1:1"  # there is no traffic
    face = Face(colour, dict.fromkeys(("S2_ACCOUNT_ENDPOINT", "S2_BASIN_ENDPOINT"), nobody) | {"S2_ACCESS_TOKEN": "x"})
    with pytest.raises(S2ClientError, match=message):
        face.do(call(face.client, face.client["basin-one"]))
    face.close()


def test_an_append_tells_the_settings_of_the_stream_that_it_creates(face, on_lab):
    name = fresh()
    face.do(face.client.create_basin(name, config=BasinConfig(create_stream_on_append=True)))
    basin = face.client[name]
    made = AppendInput([Record(b"first")], stream_config=StreamConfig(retention_policy=77))
    face.do(basin["made"].append(made))
    assert face.do(basin.get_stream_config("made")).retention_policy == 77

    async def in_a_session():
        async with basin["made"].append_session() as session:
            await session.submit(made)

    def in_a_blocking_session():
        with basin["made"].append_session() as session:
            session.submit(made)

    with pytest.raises(S2ClientError, match=r"append_session\(stream_config="):
        face.do(in_a_session() if face.loop else in_a_blocking_session())
    assert face.do(basin["made"].check_tail()).seq_num == 1


def test_metrics(face, on_lab, basin, stream):
    face.do(stream.append(records(b"x" * 1000)))
    names = face.do(face.client.account_metrics(set=AccountMetricSet.ACTIVE_BASINS))
    assert basin.name in [value for one in names for value in one.values]
    ops = face.do(face.client.account_metrics(set=AccountMetricSet.ACCOUNT_OPS, interval=TimeseriesInterval.HOUR))
    assert sum(value for one in ops for _, value in one.values) >= 1
    assert face.do(
        face.client.basin_metrics(basin.name, set=BasinMetricSet.APPEND_THROUGHPUT, interval=TimeseriesInterval.MINUTE)
    )
    stored = face.do(face.client.stream_metrics(basin.name, stream.name, set=StreamMetricSet.STORAGE))
    assert max(value for one in stored for _, value in one.values) >= 1000
    with pytest.raises(S2ServerError, match="invalid"):
        face.do(face.client.account_metrics(set=AccountMetricSet.ACTIVE_BASINS, start=10, end=1))


def test_a_wrong_token(server, on_lab):
    face = Face("sync", {**server, "S2_ACCESS_TOKEN": "wrong_token_0123456789"})
    with pytest.raises(S2ServerError) as caught:
        face.client.list_basins()
    assert caught.value.status_code in (401, 403)
    assert "wrong_token_0123" not in str(caught.value)
    face.close()


# --- sessions that the task of the caller does not see the end of -------------------------------------------------------


def run_async(server, main):
    async def whole():
        endpoints = Endpoints(server["S2_ACCOUNT_ENDPOINT"], server["S2_BASIN_ENDPOINT"])
        async with s2.S2(server["S2_ACCESS_TOKEN"], endpoints=endpoints) as client:
            name = fresh()
            await client.create_basin(name)
            await client[name].create_stream("s")
            return await main(client[name]["s"])

    return asyncio.run(whole())


def test_a_session_follows_and_says_when_it_has_caught_up(server):
    async def main(stream):
        await stream.append(records(b"0", b"1"))
        seen = []
        async with stream.read_session(start=SeqNum(0)) as session:

            async def read():
                async for batch in session:
                    seen.extend(int(one.body) for one in batch.records)

            reader = asyncio.create_task(read())
            tail = await asyncio.wait_for(session.caught_up(), 10)
            assert tail.seq_num == 2
            assert session.is_caught_up()
            for n in range(2, 20):
                await stream.append(records(b"%d" % n))
            while len(seen) < 20:  # noqa: ASYNC110 - what is waited for is another task's list
                await asyncio.sleep(0.01)
            await session.close()
            await session.close()
            await asyncio.wait_for(reader, 5)
        assert seen == list(range(20))

    run_async(server, main)


def test_a_session_left_in_the_middle_closes_its_connection(server):
    async def main(stream):
        await stream.append(records(*[b"x"] * 500))
        for _ in range(20):
            async with stream.read_session(start=SeqNum(0)) as session:
                async for _ in session:
                    break
        return len([task for task in asyncio.all_tasks() if "ReadSession" in repr(task.get_coro())])

    assert run_async(server, main) == 0
