"""Calls of the references, and the clients' own twins of them, that stand in no other test of their wing."""

import asyncio
import json

import pytest

from kit.amdahl import AmdahlClient, AmdahlError
from kit.core.errors import InputError
from kit.core.faces import state_of
from kit.kimberlite import AsyncClient, Client, KimberliteError, Position, StreamId, TenantId
from kit.s2 import (
    AppendInput,
    Batching,
    Endpoints,
    Record,
    S2ServerError,
    SeqNum,
    StreamConfig,
    SyncS2,
    append_inputs,
    append_record_batches,
)
from kit.synap import AsyncSynapClient, SynapClient

pytestmark = pytest.mark.lab


@pytest.fixture
def env(lab, monkeypatch):
    """The lab's variables, as this process's own."""
    for name, value in lab.env().items():
        monkeypatch.setenv(name, value)
    return lab.env()


# --- Kimberlite ------------------------------------------------------------------------------------------------------


def test_kimberlite_connects_by_its_own_verb(env):
    with Client.connect(env["KIMBERLITE_ADDRESS"]) as client:
        position = client.append(TenantId(1), StreamId(1, 100), b"data")
        assert client.read_stream(TenantId(1), StreamId(1, 100))[position.value].data == b"data"

    async def main():
        client = await AsyncClient.connect(env["KIMBERLITE_ADDRESS"])
        found = await client.read_stream(TenantId(1), StreamId(1, 100))
        await client.close()
        return found

    assert asyncio.run(main())


def test_what_is_read_from_a_position_depends_on_the_arguments_alone(env):
    with Client(env["KIMBERLITE_ADDRESS"]) as client:
        before = client.read_from_position(Position(3))
        client.append(TenantId(1), StreamId(1, 4711), b"x")
        client.read_stream(TenantId(1), StreamId(1, 4711))
        after = client.read_from_position(Position(3))
        assert len(before) > 4 and [event.data for event in before] == [event.data for event in after]


def test_a_position_without_a_tenant_is_asked_about(env, monkeypatch):
    monkeypatch.delenv("KIMBERLITE_TENANT")
    with Client(env["KIMBERLITE_ADDRESS"]) as client:
        client.append(TenantId(1), StreamId(1, 4712), b"x")
        with pytest.raises(KimberliteError, match="stream_id="):
            client.read_from_position(Position(0))


# --- Synap -----------------------------------------------------------------------------------------------------------


def test_a_user_and_a_password_of_the_lab(env, monkeypatch):
    user, password = env["SYNAP_USERNAME"], env["SYNAP_PASSWORD"]
    for url in (env["SYNAP_URL"], env["SYNAP_RPC_URL"]):
        with SynapClient(url, username=user, password=password) as client:
            client.kv.set("key", "value")
            assert client.kv.get("key") == "value"
    monkeypatch.delenv("SYNAP_API_KEY")
    with SynapClient(env["SYNAP_URL"]) as client:
        assert client.kv.get("key") == "value"
    with SynapClient("http://127.0.0.1:1") as client:
        assert state_of(client).settings.password is None and state_of(client).settings.username is None


def test_the_references_own_room_is_made_without_a_warning(env, recwarn):
    with SynapClient(env["SYNAP_URL"]) as client:
        client.stream.create("a room of the reference", partitions=1, retention_hours=24)
        assert not recwarn.list
        for _ in range(2):
            client.stream.create("another room", partitions=2)
        client.stream.create("a third room", retention_hours=48)

        async def main():
            async with AsyncSynapClient(env["SYNAP_URL"]) as client:
                await client.stream.create("a fourth room", partitions=2)

        asyncio.run(main())
    assert [warning.filename for warning in recwarn.list] == [__file__] * 3


# --- S2 --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def s2(env):
    with SyncS2(env["S2_ACCESS_TOKEN"], endpoints=Endpoints.from_env()) as client:
        yield client


def test_reads_make_streams_as_they_are_told(s2):
    from kit.s2 import BasinConfig, StorageClass

    s2.ensure_basin("made-by-reading", config=BasinConfig(create_stream_on_read=True))
    config = StreamConfig(storage_class=StorageClass.STANDARD)
    basin = s2["made-by-reading"]
    with pytest.raises(S2ServerError):
        basin["one"].read(start=SeqNum(0), stream_config=config)
    for _ in basin["two"].read_session(start=SeqNum(0), wait=0, stream_config=config):
        pass
    for name in ("one", "two"):
        assert basin.get_stream_config(name).storage_class == StorageClass.STANDARD


def test_records_are_gathered_for_callers_that_block(s2):
    s2.ensure_basin("gathered-records")
    s2["gathered-records"].ensure_stream("all")
    stream = s2["gathered-records"]["all"]
    records = [Record(b"%d" % n) for n in range(5)]
    made = list(append_inputs(records, match_seq_num=0, batching=Batching(max_records=2)))
    assert all(isinstance(one, AppendInput) for one in made)
    assert [stream.append(one).end.seq_num for one in made] == [2, 4, 5]
    assert [len(batch) for batch in append_record_batches(iter(records), batching=Batching(max_records=4))] == [4, 1]


def test_a_refusal_begins_with_what_failed_and_keeps_the_servers_words(s2):
    with pytest.raises(S2ServerError) as caught:
        s2["demo-shop"]["no-such-stream"].check_tail()
    assert str(caught.value).startswith("check_tail ")
    assert caught.value.message in str(caught.value) and not caught.value.message.startswith(("check_tail", "["))


# --- Amdahl ----------------------------------------------------------------------------------------------------------


def test_a_session_of_the_client_does_what_the_guides_code_needs(env):
    SSEClient = pytest.importorskip("sseclient").SSEClient
    with AmdahlClient() as client:
        client.session.headers.update({"Content-Type": "application/json"})
        answer = client.session.request(
            "POST", f"{client.base_url}/data/query", json={"sql": "SELECT 1 AS one"}, timeout=client.timeout
        )
        assert answer.ok and json.loads(answer.text)["rows"] == [{"one": 1}]
        assert answer.status_code == 200 and answer.json() == json.loads(answer.content)
        started = client.post("/agents/run", {"profile_id": "researcher", "task": "x", "async": True})
        url = f"{client.base_url}/agents/{started['session_id']}/stream"
        response = client.session.get(url, stream=True, timeout=None)
        response.raise_for_status()
        kinds = [json.loads(message.data)["type"] for message in SSEClient(response).events() if message.data]
        assert kinds[-1] == "session.completed"
        missing = client.session.get(f"{client.base_url}/pages/none")
        assert missing.status_code == 404 and not missing
        with pytest.raises(AmdahlError) as caught:
            missing.raise_for_status()
        assert caught.value.status == 404
        assert client.session.get("/pages", params={"limit": 1}).ok


def test_a_session_shows_no_credential_and_takes_it_nowhere_else(env):
    with AmdahlClient() as client:
        for shown in (repr(client.session), repr(vars(client.session)), str(client.session.headers)):
            assert env["API_KEY"] not in shown
        for url in ("http://127.0.0.1:1/x", f"{client.base_url}evil/x", "//evil.example/x", "pages"):
            with pytest.raises(AmdahlError, match="only to its own address") as caught:
                client.session.get(url)
            assert isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.get("pages"),
        lambda client: client.post("/pages", {1, 2}),
        lambda client: list(client.iter_pages("/pages", limit=0)),
        lambda client: AmdahlClient("nonsense", "key"),
        lambda client: AmdahlClient(timeout=-1),
        lambda client: AmdahlClient(api_key="two words"),
    ],
)
def test_what_amdahls_client_refuses_is_caught_as_the_services_own(env, call):
    with AmdahlClient() as client, pytest.raises(AmdahlError) as caught:
        call(client)
    assert isinstance(caught.value, InputError) and caught.value.status == 0
