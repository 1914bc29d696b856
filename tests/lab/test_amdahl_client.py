"""The client of the reference, in both colours, against the embedded server."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Iterator

import pytest

import kit
from kit import amdahl
from kit.amdahl import AmdahlClient, AmdahlError, AsyncAmdahlClient
from kit.core.errors import InputError, Silent

pytestmark = pytest.mark.lab


class Face:
    """One way to write a test for both colours: `do` gives a call's result, `items` what an iterator gives."""

    def __init__(self, colour, lab, **options):
        env = lab.env()
        make = AmdahlClient if colour == "sync" else AsyncAmdahlClient
        self.client = make(env["AMDAHL_URL"], options.pop("api_key", env["API_KEY"]), **options)
        self.loop = asyncio.new_event_loop() if colour == "async" else None

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
            self.loop.close()


@pytest.fixture(params=["sync", "async"])
def face(request, quiet_lab):
    face = Face(request.param, quiet_lab)
    yield face
    face.close()


SPEC = {"type": "Section", "children": [{"type": "Table", "data": {"$query": "by_channel"}}]}
QUERIES = [{"name": "by_channel", "sql": "SELECT channel, COUNT(*) AS events FROM interactions GROUP BY channel"}]


def test_every_name_of_the_reference_is_there():
    for name in [
        "query_data",
        "list_pages",
        "get_page",
        "create_page",
        "update_page",
        "archive_page",
        "start_agent",
        "get_agent_status",
        "resume_agent",
        "wait_for_agent",
        "stream_agent",
        "register_webhook",
        "list_webhooks",
        "update_webhook",
        "delete_webhook",
        "verify_webhook_signature",
        "with_retry",
        "iter_pages",
        "AmdahlClient",
        "AsyncAmdahlClient",
        "AmdahlError",
        "TERMINAL",
    ]:
        assert name in amdahl.__all__
        assert getattr(amdahl, name).__doc__


def test_signatures_are_those_of_the_reference():
    def parameters(function):
        return [str(p).split(":")[0].split("=")[0].strip() for p in inspect.signature(function).parameters.values()]

    assert parameters(amdahl.query_data)[:2] == ["client", "sql"]
    assert parameters(amdahl.start_agent) == ["client", "profile_id", "task", "input_params"]
    assert parameters(amdahl.wait_for_agent) == ["client", "session_id", "interval_s", "timeout_s"]
    assert parameters(amdahl.resume_agent) == ["client", "session_id", "input_value"]
    assert parameters(amdahl.with_retry) == ["fn", "max_attempts", "base_s"]
    assert parameters(amdahl.verify_webhook_signature) == ["raw_body", "signature_header", "secret"]
    assert parameters(amdahl.AmdahlClient)[:3] == ["base_url", "api_key", "timeout"]
    assert inspect.signature(amdahl.wait_for_agent).parameters["timeout_s"].default == 600.0


def test_the_plain_verbs(face):
    me = face.do(face.client.get("/me"))
    assert {"business_id", "scopes", "expires_at"} <= set(me)
    assert face.do(face.client.request("get", "/me", params={"x": 1}))["business_id"] == me["business_id"]
    with pytest.raises(InputError, match="must start with /"):
        face.do(face.client.get("me"))
    with pytest.raises(InputError, match="cannot be sent as JSON"):
        face.do(face.client.post("/pages", {"name": object()}))


def test_query(face):
    result = face.do(amdahl.query_data(face.client, "SELECT channel, COUNT(*) AS events FROM interactions GROUP BY 1"))
    assert result["rowCount"] == len(result["rows"])
    assert result["truncated"] is False
    assert sum(row["events"] for row in result["rows"]) == 50_000


def test_pages_from_making_to_archiving(face):
    page = face.do(amdahl.create_page(face.client, {"name": "Weekly", "declared_queries": QUERIES, "spec": SPEC}))
    assert face.do(amdahl.get_page(face.client, page["id"]))["name"] == "Weekly"
    assert face.do(amdahl.update_page(face.client, page["id"], {"name": "Daily"}))["name"] == "Daily"
    assert page["id"] in [item["id"] for item in face.do(amdahl.list_pages(face.client))["items"]]
    assert face.do(amdahl.archive_page(face.client, page["id"])) is None
    assert page["id"] not in [item["id"] for item in face.items(amdahl.iter_pages(face.client, "/pages"))]


def test_a_broken_spec_is_refused_with_a_verdict(face):
    with pytest.raises(AmdahlError) as caught:
        face.do(amdahl.create_page(face.client, {"name": "Broken", "spec": {"type": "Nonsense"}}))
    assert (caught.value.status, caught.value.code) == (400, "invalid_argument")
    assert caught.value.body["error"]["details"]


def test_walking_a_list_in_small_pages(face):
    made = [
        face.do(amdahl.create_page(face.client, {"name": f"Walk {n}", "spec": {"type": "Section"}}))["id"]
        for n in range(7)
    ]
    for walk in (
        amdahl.iter_pages(face.client, "items", "/pages", limit=3),
        amdahl.iter_pages(face.client, "/pages", limit=2),
        face.client.iter_pages("/pages", limit=200),
    ):
        found = [item["id"] for item in face.items(walk)]
        assert len(found) == len(set(found))
        assert set(made) <= set(found)
    for page_id in made:
        face.do(amdahl.archive_page(face.client, page_id))


def test_an_agent_from_start_to_end(face):
    session = face.do(
        amdahl.start_agent(
            face.client, profile_id="researcher", task="Why did complaints rise?", input_params={"seconds": 0.3}
        )
    )
    status = face.do(amdahl.wait_for_agent(face.client, session["session_id"], interval_s=0.05))
    assert status["status"] == "complete"
    events = face.items(amdahl.stream_agent(face.client, session["session_id"]))
    assert events[-1]["type"] == "session.completed"
    assert all("type" in event for event in events)


def test_an_agent_that_pauses(face):
    session_id = face.do(
        amdahl.start_agent(
            face.client, profile_id="copilot", task="Draft it", input_params={"ask": True, "seconds": 0.2}
        )
    )["session_id"]
    assert face.do(amdahl.wait_for_agent(face.client, session_id, interval_s=0.05))["status"] == "awaiting_input"
    face.do(amdahl.resume_agent(face.client, session_id, {"action": "continue"}))
    assert face.do(amdahl.wait_for_agent(face.client, session_id, interval_s=0.05))["status"] == "complete"
    with pytest.raises(AmdahlError, match="409 conflict"):
        face.do(amdahl.resume_agent(face.client, session_id, {"action": "continue"}))


def test_an_agent_that_fails(face):
    session_id = face.do(
        amdahl.start_agent(
            face.client, profile_id="researcher", task="x", input_params={"fail": "no data", "seconds": 0.1}
        )
    )["session_id"]
    assert face.do(amdahl.wait_for_agent(face.client, session_id, interval_s=0.05))["status"] == "failed"
    assert face.items(amdahl.stream_agent(face.client, session_id))[-1]["type"] == "session.failed"


def test_waiting_has_a_deadline(face):
    session_id = face.do(
        amdahl.start_agent(face.client, profile_id="researcher", task="slow", input_params={"seconds": 5})
    )["session_id"]
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="timed out"):
        face.do(amdahl.wait_for_agent(face.client, session_id, interval_s=0.1, timeout_s=0.3))
    assert time.monotonic() - started < 2


def test_waiting_survives_refusals_of_the_status_call(face, quiet_lab):
    session_id = face.do(
        amdahl.start_agent(face.client, profile_id="researcher", task="x", input_params={"seconds": 0.5})
    )["session_id"]
    quiet_lab.faults("amdahl", 503, path="*/status", count=2)
    quiet_lab.faults("amdahl", 429, path="*/status", count=1, retry_after=0.05)
    quiet_lab.faults("amdahl", "drop", path="*/status", count=1)
    assert face.do(amdahl.wait_for_agent(face.client, session_id, interval_s=0.05))["status"] == "complete"


def test_webhooks_are_managed(face):
    hook = face.do(
        amdahl.register_webhook(face.client, url="http://127.0.0.1:9/x", events=["session.completed"], description="d")
    )
    assert len(hook["secret"]) == 64
    listed = {item["id"]: item for item in face.do(amdahl.list_webhooks(face.client))["items"]}
    assert "secret" not in listed[hook["id"]]
    assert face.do(amdahl.update_webhook(face.client, hook["id"], {"active": False}))["active"] is False
    assert face.do(amdahl.delete_webhook(face.client, hook["id"])) is None
    with pytest.raises(AmdahlError, match="404 not_found"):
        face.do(amdahl.update_webhook(face.client, hook["id"], {"active": True}))


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_wrong_key_is_refused_and_not_shown(lab, colour):
    face = Face(colour, lab, api_key="amdhl_wrong_0123456789")
    with pytest.raises(AmdahlError) as caught:
        face.do(face.client.get("/me"))
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")
    assert "wrong_0123" not in repr((caught.value, caught.value.body, str(caught.value)))
    face.close()


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_the_version_pin_travels(lab, colour):
    face = Face(colour, lab, api_version="2026-01-01")
    assert face.do(face.client.get("/me"))
    face.close()
    face = Face(colour, lab, api_version="latest")
    with pytest.raises(AmdahlError, match="invalid_argument"):
        face.do(face.client.get("/me"))
    face.close()


def test_the_rate_limit_is_remembered(face):
    assert face.client.rate_limit is None
    face.do(face.client.get("/me"))
    first = face.client.rate_limit.remaining
    face.do(face.client.get("/me"))
    assert face.client.rate_limit.remaining < first


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (503, {}, "503"),
        (429, {"retry_after": 1}, "429 rate_limited"),
        ("garbage", {}, "not JSON"),
        ("drop", {}, "connection broke"),
        ("reset", {"after": 10}, "connection broke"),
        ("truncate", {"after": 10}, "connection broke"),
    ],
)
def test_faults_become_clear_errors_and_the_client_goes_on(face, quiet_lab, kind, options, words):
    quiet_lab.faults("amdahl", kind, path="*/me", **options)
    with pytest.raises(kit.KitError, match=words):
        face.do(face.client.get("/me"))
    assert face.do(face.client.get("/me"))


def test_a_timeout_is_told(quiet_lab):
    client = AmdahlClient(quiet_lab.env()["AMDAHL_URL"], quiet_lab.env()["API_KEY"], timeout=0.2)
    quiet_lab.faults("amdahl", "delay", seconds=1)
    with pytest.raises(Silent, match=r"no answer within 0\.2 s"):
        client.get("/me")
    with pytest.raises(InputError, match="seconds above 0"):
        AmdahlClient("http://127.0.0.1", "k", timeout=0)
    client.close()


def test_many_at_once(lab):
    async def main():
        async with AsyncAmdahlClient(lab.env()["AMDAHL_URL"], lab.env()["API_KEY"]) as client:
            return await asyncio.gather(*(client.get("/me") for _ in range(200)))

    assert len(asyncio.run(main())) == 200


def test_ids_are_quoted_in_paths(face):
    for strange in ("../me", "a/b", "a?b=c", "é", "%2e%2e"):
        with pytest.raises(AmdahlError, match="404 not_found"):
            face.do(amdahl.get_agent_status(face.client, strange))


def test_arguments_come_from_the_environment(lab, monkeypatch):
    for name, value in lab.env().items():
        monkeypatch.setenv(name, value)
    with AmdahlClient() as client:
        assert client.get("/me")
