"""A clock of one's own: what is tried again waits by it, in all clients of both kinds, and no time passes."""

import asyncio
import time

import pytest

import kit
from kit.core.errors import InputError
from kit.testing import Clock, private_lab

pytestmark = pytest.mark.lab
LONG = 200.0
"""Seconds that a service asks for; no test may wait them."""

CALLS = {
    "s2": (LONG, lambda explorer: explorer.basins()),
    "synap": (LONG, lambda explorer: explorer.client.health()),
    "claude": (12, lambda explorer: explorer.client.get_usage("day")),  # all of its tries may take 30 s
    "amdahl": (LONG, lambda explorer: explorer.query("select 1 as one")),
}


@pytest.fixture(scope="module")
def clock():
    return Clock()


@pytest.fixture(scope="module")
def lab(clock):
    with private_lab("s2", "kimberlite", "synap", "claude", "amdahl", clock=clock) as lab:
        yield lab


@pytest.fixture(autouse=True)
def _fresh(lab, clock):
    lab.faults(clear=True)
    clock.pauses.clear()


@pytest.mark.parametrize("service", CALLS)
def test_a_pause_that_a_service_asks_for_takes_no_time(lab, clock, service):
    asked, call = CALLS[service]
    explorer = getattr(lab, service)
    call(explorer)
    began, at, of_day = time.monotonic(), clock.monotonic(), clock.time()
    lab.faults(service, 503, count=2, retry_after=asked)
    call(explorer)
    assert len(clock.pauses) == 2 and min(clock.pauses) >= asked
    assert time.monotonic() - began < asked
    assert clock.monotonic() - at == pytest.approx(sum(clock.pauses)) == pytest.approx(clock.time() - of_day)


def test_a_server_that_ends_connections(lab, clock):
    explorer = lab.kimberlite
    explorer.client.create_stream("resets")
    clock.pauses.clear()
    lab.faults("kimberlite", "reset", count=3)
    assert explorer.query("SELECT 1 AS one")["one"].tolist() == [1]
    assert len(clock.pauses) == 3 and max(clock.pauses) <= 2


def _async_s2(lab, clock):
    from kit.s2 import S2, Endpoints

    env = lab.env()
    where = Endpoints(env["S2_ACCOUNT_ENDPOINT"], env["S2_BASIN_ENDPOINT"])
    return S2(env["S2_ACCESS_TOKEN"], endpoints=where, clock=clock), lambda client: client.list_basins()


def _async_synap(lab, clock):
    from kit.synap import AsyncSynapClient

    env = lab.env()
    client = AsyncSynapClient(env["SYNAP_URL"], api_key=env["SYNAP_API_KEY"], clock=clock)
    return client, lambda client: client.health()


def _async_claude(lab, clock):
    from kit.claude import AsyncClaudeClient

    env = lab.env()
    client = AsyncClaudeClient(env["CLAUDE_API_URL"], env["CLAUDE_API_KEY"], clock=clock)
    return client, lambda client: client.get_usage("day")


@pytest.mark.parametrize("make", [_async_s2, _async_synap, _async_claude])
def test_awaited(lab, make):
    clock = Clock()

    async def go():
        client, call = make(lab, clock)
        async with client:
            await call(client)
            lab.faults("*", 503, count=2, retry_after=12)
            await call(client)

    began = time.monotonic()
    asyncio.run(go())
    assert len(clock.pauses) == 2 and min(clock.pauses) >= 12 and time.monotonic() - began < 12


def test_a_limit_of_time_is_counted_by_it(lab, clock):
    from kit.claude import ClaudeAPIError

    lab.faults("claude", 503, count=9, retry_after=20)
    with pytest.raises(ClaudeAPIError):
        lab.claude.client.get_usage("day")  # 30 s in all: a second pause would be beyond
    assert [round(pause) for pause in clock.pauses] == [20]


def test_an_append_session_waits_by_it(lab, clock):
    from kit.s2 import AppendInput, Record

    lab.s2.create_basin("clock-basin").create("events")
    clock.pauses.clear()
    lab.faults("s2", 503, path="*/records", count=2, retry_after=LONG)
    began = time.monotonic()
    with lab.s2.client.basin("clock-basin").stream("events").append_session() as session:
        assert session.submit(AppendInput([Record(b"one")])).result().start.seq_num == 0
    assert len(clock.pauses) == 2 and min(clock.pauses) >= LONG and time.monotonic() - began < LONG / 4


def test_a_batch_waits_by_it(lab, clock):
    lab.faults("claude", 503, path="*/batch", count=2, retry_after=12)
    began = time.monotonic()
    answers = lab.claude.batch(["one", "two"], model="haiku")
    assert answers["status"].tolist() == ["completed"] * 2
    assert sum(clock.pauses) >= 12 and time.monotonic() - began < 12


def test_only_what_was_given_it_goes_by_it(lab, clock):
    with kit.connect("amdahl", environment=lab.env()) as other:
        lab.faults("amdahl", 503, count=1, retry_after=0.3)
        began = time.monotonic()
        other.query("select 1 as one")
        assert time.monotonic() - began > 0.25 and not clock.pauses


@pytest.mark.parametrize("service", ["s2", "kimberlite", "synap", "claude", "amdahl"])
def test_what_is_no_clock(lab, service):
    with pytest.raises(InputError, match=r"clock=5 is no clock\s+give a kit\.testing\.Clock"):
        kit.connect(service, environment=lab.env(), clock=5)


def test_a_lab_refuses_it_before_it_starts():
    with pytest.raises(InputError, match="clock='now' is no clock"):
        private_lab("s2", clock="now")
