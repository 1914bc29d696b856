"""The Claude client in both colours, on the embedded server over real sockets."""

import asyncio
import builtins
import json
import logging
import ssl
import threading
import uuid
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from websockets.sync.server import serve

import kit
from kit.claude import (
    AsyncClaudeClient,
    AuthenticationError,
    BudgetExceededError,
    ClaudeAPIError,
    ClaudeClient,
    PermissionError,
    RateLimitError,
    TimeoutError,
)
from kit.claude.client import streaming as streams
from kit.core.errors import InputError
from tests.lab.claudelite import ClaudeLab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = ClaudeLab(tmp_path_factory.mktemp("claude"))
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def quirky(tmp_path_factory):
    lab = ClaudeLab(tmp_path_factory.mktemp("claude-quirky"), quirks=1)
    yield lab
    lab.close()


@pytest.fixture
def client(lab):
    with lab.client() as client:
        yield client


class Both:
    """The client of one colour, called as if it blocked."""

    def __init__(self, lab, colour, **options):
        kind = ClaudeClient if colour == "sync" else AsyncClaudeClient
        self.client = kind(lab.url, options.pop("api_key", lab.key), **{"retry_delay": 0.001, **options})
        self._loop = None if colour == "sync" else asyncio.new_event_loop()

    def __getattr__(self, name):
        verb = getattr(self.client, name)
        if self._loop is None or not callable(verb):
            return verb
        return lambda *args, **options: self._loop.run_until_complete(verb(*args, **options))

    def stream(self, *args, **options):
        found = self.client.stream(*args, **options)
        if self._loop is None:
            return list(found)

        async def all_of_it():
            return [piece async for piece in found]

        return self._loop.run_until_complete(all_of_it())

    def done(self):
        self.close()
        if self._loop is not None:
            self._loop.close()


@pytest.fixture(params=["sync", "async"])
def both(request, lab):
    made = []

    def make(server=lab, **options):
        made.append(Both(server, request.param, **options))
        return made[-1]

    yield make
    for each in made:
        each.done()


def test_every_verb(both):
    client = both()
    response = client.complete("What is Python?", model="haiku")
    assert response.content and response.cost > 0 and response.project_id == "lab" and response.model == "haiku"
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert "".join(client.stream("What is Python?", "haiku")) == response.content
    results = client.batch(["Count to 2", "Count to 3"], model="haiku", parallel=True)
    assert [one.content for one in results.results] == ["1, 2", "1, 2, 3"] and results.completed == 2
    report = client.agentic_task("Count files", allow_tools=["Bash"])
    assert report["status"] == "completed" and report["artifacts"] and report["execution_log"]
    assert client.get_usage("day").total_tokens >= client.spent.tokens > 0
    assert client.health()["status"] == "ok"
    assert client.route("Count to 5") == "haiku"
    assert client.capabilities()["agents_count"] > 0
    assert client.batch([]).total == 0
    assert client.spent.calls == 5 and client.spent.unknown == 0


def test_what_a_batch_has_paid_for_outlives_an_interrupt(lab):
    async def main():
        client = AsyncClaudeClient(lab.url, lab.key)
        assert client.last_batch.total == 0
        prompts = [f"Count to {n}" + (" [lab delay=20]" if n == 60 else "") for n in range(1, 61)]
        batch = asyncio.ensure_future(client.batch(prompts, model="haiku", timeout=30))
        for _ in range(2000):
            if client.last_batch.total:
                break
            await asyncio.sleep(0.01)
        batch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await batch
        kept = client.last_batch
        assert (kept.total, kept.completed) == (50, 50) and kept.total_cost == pytest.approx(client.spent.cost)
        assert [result.prompt for result in kept.results] == prompts[:50]
        await client.close()

    asyncio.run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("transport", ["http", "ws"])
def test_streams_give_the_same_text_by_both_ways(both, transport):
    client = both()
    pieces = client.stream("Tell me about tides", "haiku", transport=transport)
    assert len(pieces) >= 20
    assert "".join(pieces) == client.complete("Tell me about tides", "haiku").content
    assert client.spent.calls == 2
    # The service wants a name for a model there; without one it is asked for its choice.
    assert client.stream("Count to 3", transport=transport) == [*"1, 2, 3"]
    row = kit.calls()
    row = row[row["op"] == "stream"].iloc[-1]
    assert row["status"] == (101 if transport == "ws" else 200) and row["bytes_in"] > 0


@pytest.mark.parametrize("transport", ["http", "ws"])
def test_streams_that_are_refused(both, lab, transport):
    client = both()
    with pytest.raises(BudgetExceededError) as caught:
        client.stream("x [lab fail=budget]", "haiku", transport=transport)
    assert caught.value.paid is False
    with pytest.raises(ClaudeAPIError):
        client.stream("x [lab fail=cli_error]", "haiku", transport=transport)
    with pytest.raises(AuthenticationError):
        both(api_key="cc_no").stream("x", "haiku", transport=transport)
    with pytest.raises(InputError):
        client.stream("x", transport="pigeon")


def test_a_stream_that_is_left_early_is_written_down_and_closed(lab):
    with lab.client() as client:
        pieces = client.stream("Tell me about tides", "haiku", transport="ws")
        next(pieces)
        pieces.close()
        assert client.spent.unknown == 1


def test_a_silent_websocket_does_not_wait_for_ever(lab, quirky, monkeypatch):
    monkeypatch.setattr(streams, "CONNECT_TIMEOUT", 0.5)
    with lab.client() as client:
        with pytest.raises(TimeoutError):
            list(client.stream("x [lab delay=30]", "haiku", timeout=1, transport="ws"))
        assert client.spent.unknown == 1


def test_no_server_at_all():
    with ClaudeClient("http://127.0.0.1:9", "cc_0", max_retries=2, retry_delay=0.001) as client:
        for call in (
            lambda: client.complete("x"),
            lambda: list(client.stream("x", "haiku", transport="ws")),
            lambda: client.batch(["x"]),
        ):
            with pytest.raises(ClaudeAPIError) as caught:
                call()
            assert caught.value.paid is False
        assert client.spent.unknown == 0


def test_each_refusal_has_its_exception(lab, client):
    with pytest.raises(AuthenticationError, match="Invalid API key") as caught:
        lab.client(api_key="cc_wrong").complete("x")
    assert caught.value.status_code == 401 and caught.value.request_id and "CLAUDE_API_KEY" in str(caught.value)
    with pytest.raises(AuthenticationError):
        ClaudeClient(lab.url).complete("x")
    free = lab.client(api_key=lab.make_key("f", "free"))
    with pytest.raises(PermissionError, match="Tool 'Bash' is explicitly blocked"):
        free.agentic_task("x", allow_tools=["Bash"], timeout=60, max_cost=0.1)
    with pytest.raises(builtins.PermissionError):
        free.agentic_task("x")
    with pytest.raises(TimeoutError) as caught:
        client.complete("x [lab fail=timeout]", timeout=1)
    assert isinstance(caught.value, builtins.TimeoutError) and caught.value.status_code == 504
    with pytest.raises(RateLimitError) as caught:
        client.complete("x [lab fail=rate_limited]")
    assert caught.value.paid is False
    with pytest.raises(BudgetExceededError, match="Budget exceeded for project lab"):
        client.complete("x [lab fail=budget]")
    with pytest.raises(BudgetExceededError) as caught:
        client.agentic_task("x [lab tokens=1000000/1000000]", model="opus", max_cost=0.5)
    assert caught.value.estimated_cost == pytest.approx(90.0) and caught.value.paid is True
    with pytest.raises(BudgetExceededError, match="Insufficient budget"):
        client.agentic_task("x [lab fail=budget]")
    with pytest.raises(TimeoutError, match="timed out"):
        client.agentic_task("x [lab fail=timeout]", timeout=1)
    with pytest.raises(ClaudeAPIError) as caught:
        client.complete("x [lab fail=null]")
    assert caught.value.status_code == 500 and caught.value.paid is None
    for one in (lab.client(api_key="cc_wrong"), free):
        one.close()


def test_the_real_services_ways_are_understood(quirky):
    key = quirky.make_key("mine")
    with quirky.client(api_key=key) as client:
        with pytest.raises(TimeoutError):
            client.agentic_task("x [lab fail=timeout]", timeout=1)
        with pytest.raises(ClaudeAPIError) as caught:
            client.agentic_task("x [lab fail=cli_error]", timeout=60)
        assert type(caught.value) is ClaudeAPIError
        report = client.agentic_task("Count files")
        assert report["artifacts"] == [] and report["result"]["summary"]
        # It would charge "default"; the client names the key's own project.
        assert client.get_usage().total_cost == pytest.approx(report["usage"]["total_cost"])
    with ClaudeClient(quirky.url) as nobody, pytest.raises(AuthenticationError):
        nobody.complete("x")
    report = quirky.client().agentic_task("x [lab tokens=3/3]", model="haiku", max_cost=10)
    assert f"{report['usage']['total_cost']:.4f}" == "0.0000"


def test_a_project_that_the_service_ignores_is_told(quirky, caplog):
    with quirky.client(project_id="wanted") as client, caplog.at_level(logging.WARNING, "client"):
        assert client.complete("x").project_id == "lab"
        client.complete("x")
    assert len(caplog.records) == 1 and "'wanted'" in caplog.text


def test_keys_of_projects_really_switch(quirky):
    keys = {name: quirky.make_key(name) for name in ("project-a", "project-b")}
    with quirky.client(project_keys=keys) as client:
        for name in keys:
            assert client.complete("x", project_id=name).project_id == name
            assert client.get_usage(project_id=name).project_id == name
            assert client.batch(["x"], project_id=name).completed == 1
    assert all(key not in repr(client) + repr(vars(client)) for key in keys.values())


def test_a_project_per_call(lab, client):
    name = f"p-{uuid.uuid4().hex[:6]}"
    cost = client.complete("x", project_id=name).cost
    assert client.get_usage(project_id=name).total_cost == pytest.approx(cost)
    with lab.client(project_id=name) as other:
        other.complete("x")
        assert other.get_usage().total_cost == pytest.approx(2 * cost)


def test_debug_records_without_the_key(lab, client, both, caplog):
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "client"):
        client.complete("hello")
        list(client.stream("hello", "haiku", transport="ws"))
        both(api_key=lab.key).stream("hello", "haiku", transport="ws")
    assert "/v1/chat/completions" in caplog.text and "status 200" in caplog.text
    assert lab.key not in caplog.text


def test_what_cannot_have_run_is_repeated(lab, client):
    lab.fault(503, "/v1/chat/*", count=2)
    assert client.complete("x").content
    tail = kit.calls().tail(3)
    assert tail["status"].tolist() == [503, 503, 200] and tail["retries"].tolist() == [0, 1, 2]
    lab.fault("reset", "/v1/chat/*")
    with pytest.raises(ClaudeAPIError, match="may have run") as caught:
        client.complete("x")
    assert caught.value.paid is None and client.spent.unknown == 1
    lab.fault("drop", "/v1/usage*")
    assert client.get_usage().total_tokens > 0


def test_garbage_is_no_answer(lab, client):
    lab.fault("garbage", "/v1/chat/*")
    with pytest.raises(ClaudeAPIError, match="not one that this service gives"):
        client.complete("x")


@pytest.mark.parametrize("say", ["html", "escapes", "long"])
@pytest.mark.parametrize("transport", ["http", "ws"])
def test_hostile_answers_come_whole_and_are_shown_harmless(client, say, transport):
    response = client.complete(f"x [lab say={say}]", "haiku")
    assert "".join(client.stream(f"x [lab say={say}]", "haiku", transport=transport)) == response.content
    html = response._repr_html_()
    assert len(html) < 60_000 and not any(bad in html for bad in ("<script", "<img", "\x1b", "\x07", "\u202e"))
    if say == "long":
        assert len(response.content) > 290_000


def test_many_threads_share_a_client(client):
    def work(n):
        for m in range(5):
            assert client.complete(f"Count to {n + m + 1}").content.endswith(str(n + m + 1))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.spent.calls == 40


def test_many_tasks_share_an_async_client(lab):
    async def main():
        async with AsyncClaudeClient(lab.url, lab.key) as client:
            got = await asyncio.gather(*(client.complete(f"Count to {n}") for n in range(1, 30)))
            assert [response.content.split(", ")[-1] for response in got] == [str(n) for n in range(1, 30)]
            task = asyncio.ensure_future(client.complete("x [lab delay=30]"))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert client.spent.unknown == 1
            assert (await client.complete("Count to 1")).content == "1"

    asyncio.run(main())


def test_bad_input_is_told_before_any_traffic(client):
    before = len(kit.calls())
    for call in (
        lambda: client.complete(5),
        lambda: client.complete("x", model="gpt-4"),
        lambda: client.complete("x", timeout=-1),
        lambda: client.complete("x", timeout="project"),
        lambda: client.batch("x"),
        lambda: client.batch([None]),
        lambda: client.agentic_task(""),
        lambda: client.agentic_task("x", allow_tools="Bash"),
        lambda: client.agentic_task("x", max_cost=-1),
        lambda: client.agentic_task("x", max_cost=float("nan")),
        lambda: client.get_usage("year"),
    ):
        with pytest.raises(InputError):
            call()
    assert len(kit.calls()) == before


def test_a_service_that_counts_its_calls(lab):
    key = lab.make_key("limited", rate_limit=2)
    with lab.client(api_key=key) as client:
        # Among so many, three are in one minute.
        with pytest.raises(RateLimitError) as caught:
            [client.complete("x") for _ in range(10)]
        assert caught.value.paid is False and caught.value.status_code == 429


@contextmanager
def talking(*frames, context=None):
    """The address of a WebSocket server that answers each message with these frames."""

    def talk(socket):
        socket.recv()
        for frame in frames:
            socket.send(json.dumps(frame))

    with serve(talk, "127.0.0.1", 0, ssl=context) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        scheme, port = "http" if context is None else "https", server.socket.getsockname()[1]
        yield f"{scheme}://127.0.0.1:{port}"


DONE = {"type": "done", "usage": {"input_tokens": 3, "output_tokens": 4}, "cost": 0.25}


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_an_answer_without_text_is_in_the_book_at_its_cost(colour):
    with talking(DONE) as url:
        client = Both(SimpleNamespace(url=url, key="cc_1"), colour)
        with pytest.raises(ClaudeAPIError, match="without any text") as caught:
            client.stream("hello", "haiku", transport="ws")
        assert caught.value.paid is True
        spent = client.spent
        assert (spent.calls, spent.unknown, spent.cost, spent.tokens) == (1, 0, 0.25, 7)
        client.done()


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_certificates_are_checked_in_the_same_way_by_websocket(certificate, colour):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with talking({"type": "token", "content": "hi"}, DONE, context=context) as url:
        for verify in (False, str(certificate / "cert.pem")):
            client = Both(SimpleNamespace(url=url, key="cc_1"), colour, verify=verify)
            assert client.stream("hello", "haiku", transport="ws") == ["hi"]
            client.done()
        client = Both(SimpleNamespace(url=url, key="cc_1"), colour)
        with pytest.raises(ClaudeAPIError, match="certificate") as caught:
            client.stream("hello", "haiku", transport="ws")
        assert caught.value.paid is False and client.spent.calls == 0
        client.done()


def test_the_log_of_requests_tells_how_a_websocket_ended(both):
    client = both()
    client.stream("Zähle bis 3", "haiku", transport="ws")
    row = kit.calls().iloc[-1]
    assert row["error"] == "" and row["bytes_out"] > len("Zähle bis 3")
    with pytest.raises(BudgetExceededError):
        client.stream("x [lab fail=budget]", "haiku", transport="ws")
    assert kit.calls()["error"].iloc[-1] == "BudgetExceededError"
    with pytest.raises(ClaudeAPIError, match="could not connect"):
        list(ClaudeClient("http://127.0.0.1:1").stream("x", "haiku", transport="ws"))
    row = kit.calls().iloc[-1]
    assert row["error"] == "ClaudeAPIError" and row["bytes_out"] == 0


def test_arguments_of_wrong_kinds_are_refused_and_cost_nothing(both, lab):
    client = both()
    before = len(kit.calls())
    for refused, what in (
        (lambda: client.agentic_task("x", working_directory=Path("/tmp")), "working_directory"),
        (lambda: client.agentic_task("x", allow_tools=5), "allow_tools"),
        (lambda: client.agentic_task("x", allow_agents=iter([1])), "allow_agents"),
        (lambda: client.agentic_task("x", max_cost=-1), "max_cost"),
        (lambda: client.complete("x", project_id=5), "project_id"),
        (lambda: client.complete("x", project_id=0), "project_id"),
        (lambda: client.batch(["x"], project_id=object()), "project_id"),
        (lambda: client.stream("x", project_id=5), "project_id"),
        (lambda: client.get_usage(project_id=object()), "project_id"),
        (lambda: client.route("x", context_size="1"), "context_size"),
        (lambda: client.route("x", context_size=-1), "context_size"),
        (lambda: setattr(client.client, "timeout", "long"), "timeout"),
    ):
        with pytest.raises(InputError, match=what):
            refused()
    assert len(kit.calls()) == before and client.spent.calls == client.spent.unknown == 0
    assert client.complete("Count to 2", timeout=np.int64(20)).content == "1, 2"
    small = both(api_key=lab.make_key(f"p-{uuid.uuid4().hex[:8]}", "free"))
    with pytest.raises(PermissionError, match="Tool 'Bash'"):
        small.agentic_task("x", allow_tools=iter(["Bash"]), timeout=60, max_cost=0.1)  # read once, and not lost


def test_what_is_set_on_a_client_counts_on_the_background_loop_too(client):
    assert client.beside().timeout == client.timeout
    client.timeout, client.project_id = 7, "other"
    assert (client.beside().timeout, client.beside().project_id) == (7, "other")


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_closed_client_says_so_in_one_way_and_pays_nothing(lab, colour):
    client = Both(lab, colour)
    begun = [client.client.stream("hello", "haiku", transport=transport) for transport in ("http", "ws")]
    client.close()

    async def first(pieces):
        return await anext(pieces)

    def follow(pieces):
        return next(pieces) if colour == "sync" else asyncio.run(first(pieces))

    for refused in (
        lambda: client.complete("x"),
        lambda: client.agentic_task("x"),
        lambda: client.get_usage(),
        lambda: follow(begun[0]),
        lambda: follow(begun[1]),
    ):
        with pytest.raises(InputError, match="the client is closed") as caught:
            refused()
        assert isinstance(caught.value, ClaudeAPIError) and caught.value.paid is False
    assert client.client.spent.calls == 0
    client.done()
