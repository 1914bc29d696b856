"""A closed client says that it is closed: every verb of every service, in both colours, and the explorers too."""

import asyncio
import inspect

import pytest

import kit
from kit.amdahl import AmdahlClient, AsyncAmdahlClient
from kit.claude import AsyncClaudeClient, ClaudeClient
from kit.kimberlite import AsyncClient, Client
from kit.s2 import S2, Endpoints, SyncS2
from kit.synap import AsyncSynapClient, SynapClient

from .test_tracebacks import called, verbs_of

pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("ignore")]


def made(env):
    ends = Endpoints(env["S2_ACCOUNT_ENDPOINT"], env["S2_BASIN_ENDPOINT"])
    tenant = int(env["KIMBERLITE_TENANT"])
    yield from (kind(env["S2_ACCESS_TOKEN"], endpoints=ends) for kind in (SyncS2, S2))
    yield from (kind(env["AMDAHL_URL"], env["API_KEY"]) for kind in (AmdahlClient, AsyncAmdahlClient))
    yield from (kind(env["CLAUDE_API_URL"], env["CLAUDE_API_KEY"]) for kind in (ClaudeClient, AsyncClaudeClient))
    for url in (env["SYNAP_URL"], env["SYNAP_RPC_URL"]):
        yield from (kind(url, api_key=env["SYNAP_API_KEY"]) for kind in (SynapClient, AsyncSynapClient))
    yield from (kind(env["KIMBERLITE_ADDRESS"], tenant, env["KIMBERLITE_API_KEY"]) for kind in (Client, AsyncClient))


def parts_of(client):
    yield client
    for name in ("kv", "queue", "stream", "pubsub"):
        if not callable(getattr(client, name, lambda: None)):
            yield getattr(client, name)
    if isinstance(client, S2 | SyncS2):
        basin = client.basin("basin-name")
        yield from (basin, basin.stream("s"))


def close(client):
    closed = client.close()
    if inspect.isawaitable(closed):
        asyncio.run(_awaited(closed))


async def _awaited(one):
    return await one


def test_every_verb_of_a_closed_client_says_so(lab):
    count, wrong = 0, []
    for client in made(lab.env()):
        parts = list(parts_of(client))
        close(client)
        close(client)
        before = len(kit.calls())
        for part in parts:
            for name, verb in verbs_of(part):
                error = called(verb, name)
                if not isinstance(error, kit.KitError) or "the client is closed" not in str(error):
                    wrong.append(f"{type(part).__name__}.{name}: {error!r}")
                count += 1
        assert len(kit.calls()) == before
    assert not wrong, "\n".join(wrong)
    assert count > 200


@pytest.mark.parametrize("service", ["s2", "kimberlite", "synap", "claude", "amdahl"])
def test_the_explorer_of_a_closed_client_says_so(lab, service):
    with kit.connect(service, environment=lab.env()) as explorer:
        verb = {"s2": "basins", "kimberlite": "tables", "synap": "queues", "claude": "usage", "amdahl": "me"}[service]
        getattr(explorer, verb)()
    with pytest.raises(kit.KitError, match="the client is closed"):
        getattr(explorer, verb)()


def test_sessions_and_subscriptions_of_a_closed_client_say_so(lab):
    env = lab.env()
    s2, synap, kimberlite, claude = lab_clients(env)
    stream = s2["basin-name"]["s"]
    for client in (s2, synap, kimberlite, claude):
        client.close()
    for use in (
        lambda: stream.append_session(),
        lambda: stream.producer(),
        lambda: list(stream.read_session(start=kit.s2.SeqNum(0))),
        lambda: list(synap.pubsub.subscribe(["t"])),
        lambda: list(kimberlite.subscribe(1, "s")),
        lambda: list(claude.stream("x")),
        lambda: list(claude.stream("x", transport="ws")),
    ):
        with pytest.raises(kit.KitError, match="the client is closed"):
            use()
    assert claude.spent.unknown == 0


def lab_clients(env):
    found = list(made(env))
    return found[0], found[6], found[10], found[4]
