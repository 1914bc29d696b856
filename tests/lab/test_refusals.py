"""After a refusal of the credential nothing more is sent, and what was done is told."""

import asyncio

import pytest

import kit
from kit.claude import AuthenticationError, ClaudeClient
from kit.s2 import Endpoints, SyncS2
from kit.s2.explore.explorer import S2Explorer
from kit.synap import AsyncSynapClient, SynapClient, SynapError

pytestmark = pytest.mark.lab

MANY = 5000


def asked_since(before, service):
    calls = kit.calls()
    return len(calls[(calls["service"] == service) & (calls["started"] > before)])


def last_call():
    calls = kit.calls()
    return calls["started"].max()


@pytest.fixture
def web(quiet_lab, monkeypatch):
    """Synap's address over HTTP, with the usual port of SynapRPC out of reach."""
    monkeypatch.delenv("SYNAP_RPC_URL", raising=False)
    return quiet_lab.url("synap")


def pairs(name):
    return {f"{name}-{n}": "v" for n in range(MANY)}


def test_a_wrong_key_is_sent_a_few_times_only(web):
    quiet = kit.connect("synap", url=web, api_key="wrong")
    for write in (
        lambda: quiet.client.kv.mset(pairs("wrong")),
        lambda: quiet.client.kv.mget(list(pairs("wrong"))),
        lambda: quiet.get(list(pairs("wrong"))),
        lambda: quiet.publish("nowhere", ["x"] * MANY, "queue"),
        lambda: quiet.publish("nowhere", ["x"] * MANY, "room"),
        lambda: quiet.publish("nowhere", ["x"] * MANY, "topic"),
    ):
        before = last_call()
        with pytest.raises(SynapError) as caught:
            write()
        assert caught.value.status_code == 401
        assert asked_since(before, "synap") <= 10
    quiet.close()


def test_what_was_stored_before_the_refusal_is_told(quiet_lab, web):
    key = quiet_lab.env()["SYNAP_API_KEY"]
    with SynapClient(web, api_key=key) as client:
        quiet_lab.faults("synap", 401, path="/api/v1/command", count=10 * MANY, skip=40)
        before = last_call()
        with pytest.raises(SynapError, match=r"\d+ of 5,000 were stored") as caught:
            client.kv.mset(pairs("later"))
        quiet_lab.faults(clear=True)
        assert asked_since(before, "synap") <= 60
        assert caught.value.done == len(client.kv.scan("later-")) == 40
    assert caught.value.status_code == 401


def test_coroutines_stop_too(web):
    async def main():
        async with AsyncSynapClient(web, api_key="wrong") as client:
            await client.kv.mset(pairs("async"))

    before = last_call()
    with pytest.raises(SynapError, match=r"0 of 5,000 were stored"):
        asyncio.run(main())
    assert asked_since(before, "synap") <= 10


def test_synaprpc_without_a_credential_stops(quiet_lab):
    rpc = quiet_lab.env()["SYNAP_RPC_URL"]

    async def main():
        async with AsyncSynapClient(rpc) as client:
            await client.queue.publish_many("nowhere", ["x" * 1000] * MANY)

    with SynapClient(rpc) as client:
        for run in (lambda: client.queue.publish_many("nowhere", ["x" * 1000] * MANY), lambda: asyncio.run(main())):
            with pytest.raises(SynapError, match="NOAUTH") as caught:
                run()
            assert caught.value.status_code == 401


def test_reading_many_streams_stops(quiet_lab):
    url = quiet_lab.url("s2")
    quiet_lab.s2.create_basin("stops-basin")
    for n in range(40):
        quiet_lab.s2["stops-basin"].create(f"s{n}")
    names = [f"s{n}" for n in range(40)]
    stranger = S2Explorer(SyncS2("wrong", endpoints=Endpoints(url, url)))
    before = last_call()
    with pytest.warns(UserWarning, match="some could not be read"):
        found = stranger["stops-basin"].read_many(streams=names, at_once=4)
    assert len(found.attrs["failed"]) == 40
    assert "refused the access token" in found.attrs["failed"]["s39"]
    assert asked_since(before, "s2") <= 8
    stranger.close()


def test_a_batch_of_prompts_stops(quiet_lab):
    before = last_call()
    with ClaudeClient(quiet_lab.url("claude"), "cc_wrong") as client:
        with pytest.raises(AuthenticationError):
            client.batch(["x"] * 500, model="haiku")
        with pytest.raises(AuthenticationError):
            client.batch(["x"] * 500, model="haiku", parallel=False)
    assert asked_since(before, "claude") <= 4
