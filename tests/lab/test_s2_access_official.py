"""Tokens, metrics and reads of nothing by the official client of S2, on the lab and, where it can, on s2-lite."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
import s2_sdk as sdk
from s2_sdk import (
    AccessTokenScope,
    AccountMetricSet,
    AppendInput,
    Endpoints,
    Operation,
    ReadLimit,
    Record,
    S2ServerError,
    SeqNum,
    TailOffset,
)

from tests.real import ABSENT, running_s2, s2_program

# A connection that the official client has given up is left to the collector; that is no failure of this server.
pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
SCOPE = AccessTokenScope(ops=[Operation.LIST_BASINS])


def client(env):
    endpoints = Endpoints(env["S2_ACCOUNT_ENDPOINT"], env["S2_BASIN_ENDPOINT"])
    return sdk.S2(env["S2_ACCESS_TOKEN"], endpoints=endpoints)


@pytest.fixture(params=["lab", "s2-lite"])
def env(request, lab):
    if request.param == "lab":
        yield lab.env()
        return
    if s2_program() is None:
        pytest.skip(ABSENT)
    with running_s2() as env:
        yield env


def test_a_read_of_no_records_is_empty_at_the_tail_and_beyond(env):
    async def go():
        async with client(env) as s2:
            basin = s2.basin(f"nothing-{time.time_ns()}")
            await s2.create_basin(basin.name)
            await basin.create_stream("s")
            await basin["s"].append(AppendInput([Record(body=b"a"), Record(body=b"b")]))
            for start in (SeqNum(0), SeqNum(2), SeqNum(99), TailOffset(0)):
                for limit in (ReadLimit(count=0), ReadLimit(bytes=0)):
                    assert (await basin["s"].read(start=start, limit=limit)).records == []
            await s2.delete_basin(basin.name)

    asyncio.run(go())


def test_tokens_as_upstream_has_them(lab):
    async def go():
        async with client(lab.env()) as s2:
            assert len((await s2.list_access_tokens(limit=1)).items) == 1
            id, expires = (
                f"fraction-{time.time_ns()}",
                datetime.now(UTC).replace(microsecond=123_457) + timedelta(hours=1),
            )
            await s2.issue_access_token(id, scope=SCOPE, expires_at=expires)
            assert [one.expires_at for one in (await s2.list_access_tokens(prefix=id)).items] == [expires]
            await s2.revoke_access_token(id)
            for scope, more, words in (
                (AccessTokenScope(ops=[]), {}, "Access token permissions cannot be empty"),
                (
                    SCOPE,
                    {"auto_prefix_streams": True},
                    "Auto prefixing is only allowed for streams with prefix matching",
                ),
            ):
                with pytest.raises(S2ServerError, match=words) as told:
                    await s2.issue_access_token(id, scope=scope, **more)
                assert told.value.code == "invalid"

    asyncio.run(go())


def test_metrics_end_ten_minutes_ahead_is_refused(lab):
    async def go():
        async with client(lab.env()) as s2:
            now = int(time.time())
            with pytest.raises(S2ServerError) as told:
                await s2.account_metrics(set=AccountMetricSet.ACCOUNT_OPS, start=now - 3600, end=now + 600)
            assert told.value.code == "invalid"

    asyncio.run(go())
