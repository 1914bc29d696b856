"""Bodies, answers, refusals, prices, batches: without any server."""

import builtins
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kit.claude as claude
from kit.claude import types
from kit.claude.client import tasks
from kit.claude.client.batches import batching
from kit.claude.client.batches.journal import Journal, key_of
from kit.claude.client.client import ClaudeClient
from kit.claude.client.guard import Guard
from kit.claude.client.spend_log import SpendLog
from kit.claude.wire import json_messages as wire
from kit.claude.wire import prices
from kit.core.errors import InputError, KitError, Lost, Silent, Unreachable
from kit.core.faces import state_of
from kit.core.http.operations import Pause, Request, Response


def answer(status, value, **headers):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Response(status, {name.replace("_", "-"): text for name, text in headers.items()}, body)


def refused(status, detail, **more):
    body = detail if isinstance(detail, bytes) else {"detail": detail}
    return wire.refusal(answer(status, body, **more.pop("headers", {})), "complete", **more)


@pytest.mark.parametrize(
    ("status", "detail", "kind"),
    [
        (401, "Invalid API key", claude.AuthenticationError),
        (401, "Not authenticated", claude.AuthenticationError),
        (403, "Not authenticated", claude.AuthenticationError),
        (403, "Invalid authentication credentials", claude.AuthenticationError),
        (403, "Permission denied: Tool 'Bash' is explicitly blocked", claude.PermissionError),
        (403, "Budget exceeded for project p", claude.BudgetExceededError),
        (429, "Budget exceeded for project p", claude.BudgetExceededError),
        (429, "Rate limit exceeded. Please try again later.", claude.RateLimitError),
        (429, "Process exited with code 1\nStderr: rate limit", claude.RateLimitError),
        (504, "Task timed out after 2.0 seconds", claude.TimeoutError),
        (408, "", claude.TimeoutError),
        (500, "Task failed: Task timed out after 2.0 seconds", claude.TimeoutError),
        (500, "Task failed: other", claude.ClaudeAPIError),
        (500, b"Internal Server Error", claude.ClaudeAPIError),
        (502, b"<html>bad gateway</html>", claude.ClaudeAPIError),
        (503, "Worker pool overloaded", claude.ClaudeAPIError),
        (404, "Not Found", claude.ClaudeAPIError),
        (422, [{"loc": ["body", "timeout"], "msg": "too long"}], claude.ClaudeAPIError),
    ],
)
def test_refusals(status, detail, kind):
    error = refused(status, detail)
    assert type(error) is kind
    assert error.status_code == error.status == status
    assert isinstance(error, KitError)


def test_a_task_out_of_time_is_known_by_the_clock():
    lost = "Task execution failed: object of type 'NoneType' has no len()"
    assert type(refused(500, lost, elapsed=5.0, task_timeout=5)) is claude.TimeoutError
    assert type(refused(500, lost, elapsed=1.0, task_timeout=5)) is claude.ClaudeAPIError


@pytest.mark.parametrize(
    ("given_answer", "nothing", "again"),
    [
        (answer(429, {"detail": "x"}), True, False),
        (answer(422, {"detail": []}), True, False),
        (answer(503, {"detail": "Worker pool overloaded"}), True, True),
        (answer(503, b"<html>no backend</html>"), False, False),
        (answer(503, []), False, False),
        (answer(503, {"detail": []}), False, False),
        (answer(499, {"detail": "x"}), True, False),
        (answer(400, {"detail": "x"}), True, False),
        (answer(399, {"detail": "x"}), False, False),
        (answer(502, b"<html>bad gateway</html>"), False, False),
        (answer(502, {"detail": "x"}, x_error_category="upstream_error"), True, True),
        (answer(502, {"detail": "x"}, x_error_category="auth_error"), True, False),
        (answer(500, {"detail": "x"}), False, False),
        (answer(504, {"detail": "Task timed out"}), False, False),
        (answer(408, {"detail": "x"}), False, False),
    ],
)
def test_what_proves_that_nothing_was_charged_and_what_is_repeated(given_answer, nothing, again):
    assert wire.nothing_ran(given_answer) is nothing
    assert wire.worth_repeating(given_answer) is again


def test_an_answer_that_cannot_be_read_is_told_with_what_it_had():
    error = wire.unreadable("complete", "no JSON object", answer(200, b"x" * 600, x_request_id="r-1"))
    assert (error.status_code, error.request_id, error.detail) == (200, "r-1", "x" * 500)
    error = wire.unreadable("complete", "nothing")
    assert (error.status_code, error.request_id, error.detail) == (None, None, None)


def test_lost_answers():
    assert wire.failure(Unreachable("no"), "complete").paid is False
    assert wire.failure(Lost("cut"), "complete").paid is None
    assert "get_usage() tells" in str(wire.failure(Lost("cut"), "complete"))
    assert "get_usage" not in str(wire.failure(Unreachable("no"), "complete"))
    late = wire.failure(Silent("late"), "complete", 40)
    assert isinstance(late, claude.TimeoutError) and isinstance(late, builtins.TimeoutError)
    assert late.paid is None


def test_the_errors_are_what_their_names_say():
    with pytest.raises(builtins.TimeoutError):
        raise claude.TimeoutError("late")
    with pytest.raises(builtins.PermissionError):
        raise claude.PermissionError("no")
    assert not issubclass(claude.BudgetExceededError, claude.RateLimitError)
    assert claude.BudgetExceededError("over").estimated_cost is None
    for name in claude.__all__:
        kind = getattr(claude, name)
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert issubclass(kind, claude.ClaudeAPIError) and issubclass(kind, KitError)
            error = kind("it failed", status_code=418, hint="try tea", paid=False)
            again = pickle.loads(pickle.dumps(error))
            assert type(again) is kind
            assert (str(again), again.status_code, again.paid) == ("it failed\n  try tea", 418, False)


COMPLETION = {
    "id": "1",
    "model": "haiku",
    "content": "Hello",
    "usage": {"input_tokens": 3, "output_tokens": 12, "total_tokens": 15},
    "cost": 1.575e-05,
    "project_id": "p",
}


def test_a_completion():
    response = wire.response_of(answer(200, {**COMPLETION, "extra": 1}))
    assert response == types.Response("1", "haiku", "Hello", types.Usage(3, 12, 15), 1.575e-05, "p")


def test_tokens_are_added_where_the_service_tells_no_sum():
    assert wire.usage_of({"input_tokens": 3, "output_tokens": 12}) == types.Usage(3, 12, 15)
    assert wire.usage_of({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}) == types.Usage(0, 0, 0)
    assert wire.usage_of({"input_tokens": 3, "output_tokens": 12, "total_tokens": 16}) == types.Usage(3, 12, 16)
    for none in ({"input_tokens": 3}, {"output_tokens": 3}, {"input_tokens": True, "output_tokens": 1}, [], None):
        assert wire.usage_of(none) is None


@pytest.mark.parametrize(
    "broken",
    [b"", b"[]", b"null", b"[" * 100_000, b"{", b"\xff", json.dumps({**COMPLETION, "content": None}).encode()]
    + [
        json.dumps({**COMPLETION, name: value}).encode()
        for name, value in (("usage", 1), ("cost", "much"), ("cost", True))
    ]
    + [json.dumps({**COMPLETION, "usage": {"input_tokens": -1, "output_tokens": 2}}).encode()]
    + [json.dumps(COMPLETION).replace("1.575e-05", "NaN").encode()],
)
def test_answers_that_are_none(broken):
    with pytest.raises(claude.ClaudeAPIError, match="not one that this service gives"):
        wire.response_of(answer(200, broken))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*COMPLETION, "results", "by_model", "total_tokens", "total_cost"]), anything))
def test_no_answer_breaks_a_decoder(value):
    given_answer = Response(200, {}, json.dumps(value).encode())
    for decode in (wire.response_of, wire.stats_of, lambda one: wire.batch_results(one, [("0", "a"), ("1", "b")])):
        try:
            decode(given_answer)
        except claude.ClaudeAPIError:
            pass


@given(anything, anything)
def test_no_report_of_a_task_breaks_the_reader(result, used):
    try:
        report = wire.task_outcome({"status": "failed", "result": result, "usage": used})
    except claude.ClaudeAPIError:
        return
    assert isinstance(report["result"]["summary"], str)
    assert f"{report['usage']['total_cost']:.4f}"
    assert report["artifacts"] == []


def test_outcomes_of_tasks_inside_a_good_status():
    with pytest.raises(claude.BudgetExceededError) as caught:
        wire.task_outcome({"status": "cost_exceeded", "result": {"error": "Cost $90"}, "usage": {"total_cost": 90.0}})
    assert caught.value.estimated_cost == 90.0 and caught.value.paid is True and caught.value.status_code == 200
    with pytest.raises(claude.BudgetExceededError) as caught:
        wire.task_outcome({"status": "failed", "result": {"error": "Insufficient budget"}, "usage": {}})
    assert caught.value.paid is False
    assert caught.value.status_code == 200
    with pytest.raises(claude.TimeoutError, match="too long") as late:
        wire.task_outcome({"status": "timeout", "result": {"error": "too long"}})
    assert late.value.status_code == 200


def test_bodies_leave_out_what_the_service_would_misread():
    assert "model" not in wire.chat("hi", wire.chosen_model("auto"), 30, None)
    assert wire.chat("hi", "haiku", 30, "p") == {
        "messages": [{"role": "user", "content": "hi"}],
        "timeout": 30,
        "model": "haiku",
        "project_id": "p",
    }
    several = {"prompts": [{"id": "a", "prompt": "hi"}], "timeout": 30}
    assert wire.batch([("a", "hi")], None, 30, None) == several
    assert wire.batch([("a", "hi")], "haiku", 30, "p") == {**several, "model": "haiku", "project_id": "p"}
    assert json.loads(wire.body({"prompt": "\ud800"})) == {"prompt": "\ud800"}
    assert wire.limited(1000) == 300 and wire.limited(0.1) == 1


@pytest.mark.parametrize("bad", ["gpt-4", "hiku", "", 5])
def test_models_that_are_none(bad):
    with pytest.raises(InputError, match="model"):
        wire.chosen_model(bad)


def test_prices():
    vectors = [
        ("haiku", 3, 12, 1.575e-05),
        ("sonnet", 3, 12, 0.000189),
        ("sonnet", 4, 12, 0.000192),
        ("opus", 1, 12, 0.000915),
    ]
    for model, into, out, cost in vectors:
        assert prices.cost_of(model, into, out) == pytest.approx(cost, rel=1e-12)


def drive(operation, answers):
    """Runs an operation on prepared answers; gives its requests and its result."""
    asked, sent = iter(answers), []
    try:
        step = next(operation)
        while True:
            if isinstance(step, Pause):
                step = operation.send(None)
                continue
            assert isinstance(step, Request)
            sent.append(step)
            given_answer = next(asked)
            step = (
                operation.throw(given_answer) if isinstance(given_answer, Exception) else operation.send(given_answer)
            )
    except StopIteration as done:
        return sent, done.value


@pytest.fixture
def client():
    with ClaudeClient("http://127.0.0.1:1", "cc_0", retry_delay=0) as client:
        yield client


def batch_answer(request):
    items = json.loads(request.body)["prompts"]
    return answer(
        200, {"results": [{**COMPLETION, "status": "completed", "content": item["prompt"].upper()} for item in items]}
    )


def run_batch(client, count, parallel=True, fail_at=None, **options):
    operation = batching.batch(state_of(client), [f"p{n}" for n in range(count)], "haiku", parallel, 30.0, None)
    sent = []
    try:
        request = next(operation)
        while True:
            sent.append(request)
            if fail_at is not None and len(sent) == fail_at:
                request = operation.send(answer(429, {"detail": "Rate limit exceeded."}))
            else:
                request = operation.send(batch_answer(request))
    except StopIteration as done:
        return sent, done.value


@pytest.mark.parametrize("count", [1, 49, 50, 51, 120])
def test_batches_are_bounded_and_in_order(client, count):
    sent, result = run_batch(client, count)
    assert [len(json.loads(request.body)["prompts"]) for request in sent] == [
        min(50, count - start) for start in range(0, count, 50)
    ]
    assert [one.content for one in result.results] == [f"P{n}" for n in range(count)]
    assert [one.id for one in result.results] == [str(n) for n in range(count)]
    assert (result.total, result.completed, result.failed, result.total_tokens) == (count, count, 0, 15 * count)
    assert client.spent.tokens == 15 * count


def test_one_by_one(client):
    sent, result = run_batch(client, 3, parallel=False)
    assert len(sent) == 3 and result.completed == 3


def test_no_prompts_no_request(client):
    sent, result = run_batch(client, 0)
    assert not sent and result.total == 0 and result.results == []


def test_what_was_paid_for_is_given_back_when_a_later_request_fails(client):
    sent, result = run_batch(client, 120, fail_at=2)
    assert len(sent) == 2
    assert (result.completed, result.failed) == (50, 70)
    assert result.results[60].error.startswith("batch: Rate limit") and result.results[60].paid is False
    assert "not sent" in result.results[110].error
    with pytest.raises(claude.RateLimitError):
        run_batch(client, 120, fail_at=1)


def test_an_answer_with_too_few_results(client):
    operation = batching.batch(state_of(client), ["a", "b"], "haiku", True, 30.0, None)
    _, result = drive(operation, [answer(200, {"results": [{**COMPLETION, "status": "completed"}]})])
    assert [one.status for one in result.results] == ["completed", "failed"]
    assert client.spent.unknown == 1


def test_an_automatic_model_is_chosen_once_for_all(client):
    operation = batching.batch(state_of(client), ["p"] * 60, None, True, 30.0, None)
    requests, _ = drive(
        operation,
        [answer(200, {"recommended_model": "haiku"})]
        + [answer(200, {"results": [{**COMPLETION, "status": "completed"}] * n}) for n in (50, 10)],
    )
    assert requests[0].path == "/v1/route"
    assert {json.loads(request.body)["model"] for request in requests[1:]} == {"haiku"}


@pytest.mark.parametrize("bad", ["text", {"prompt": "x"}, [1], [{"id": "x"}]])
def test_prompts_that_are_none(bad):
    with pytest.raises(InputError):
        batching.listed(bad)


def completes(client, *answers):
    return drive(ClaudeClient.complete.operation(client, "hi", "haiku", 30, None), answers)


def test_a_full_service_is_asked_again_and_a_lost_answer_is_not(client):
    full, good = answer(503, {"detail": "Worker pool overloaded"}), answer(200, COMPLETION)
    sent, response = completes(client, full, Unreachable("down"), good)
    assert len(sent) == 3 and response.content == "Hello"
    assert [request.retries for request in sent] == [0, 1, 2]
    assert client.spent.calls == 1 and client.spent.unknown == 0
    for last in (Lost("cut"), Silent("late"), answer(500, b"Internal Server Error"), answer(504, {"detail": "late"}),
                 answer(503, b"<html>"), answer(502, b"<html>")):  # fmt: skip
        before = client.spent.unknown
        with pytest.raises(claude.ClaudeAPIError) as caught:
            completes(client, last)
        assert caught.value.paid is None
        assert client.spent.unknown == before + 1
    with pytest.raises(claude.RateLimitError):
        completes(client, answer(429, {"detail": "Rate limit exceeded."}))
    with pytest.raises(claude.ClaudeAPIError):
        completes(client, full, full, full)
    assert client.spent.calls == 1 + 6


def test_a_call_that_is_left_in_the_middle_is_written_down(client):
    operation = ClaudeClient.complete.operation(client, "hi")
    next(operation)
    operation.close()
    assert client.spent.unknown == 1


def test_reading_is_repeated(client):
    stats = {"project_id": "p", "period": "day", "total_tokens": 1, "total_cost": 0.1, "by_model": {}}
    sent, got = drive(
        ClaudeClient.get_usage.operation(client, "day"), [answer(500, b"x"), Lost("cut"), answer(200, stats)]
    )
    assert len(sent) == 3 and got.total_tokens == 1


def test_a_task_is_charged_to_the_project_of_the_key(client):
    stats = {"project_id": "mine", "period": "day", "total_tokens": 1, "total_cost": 0.1, "by_model": {}}
    report = {
        "status": "completed",
        "result": {"summary": "s"},
        "usage": {"input_tokens": 1, "output_tokens": 2, "total_cost": 0.5},
    }
    operation = tasks.run(state_of(client), "do", [], [], [], 300, 1.0, None, None, None)
    sent, _ = drive(operation, [answer(200, stats), answer(200, report)])
    assert json.loads(sent[1].body)["project_id"] == "mine"
    assert client.spent.cost == 0.5


def test_settings(monkeypatch):
    for name in ("CLAUDE_API_URL", "CLAUDE_API_KEY", "CLAUDE_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    with ClaudeClient() as plain:
        assert plain.base_url == "http://localhost:8006" and plain.timeout == 300
    monkeypatch.setenv("CLAUDE_API_URL", "http://127.0.0.1:5/")
    monkeypatch.setenv("CLAUDE_API_KEY", "cc_secret")
    monkeypatch.setenv("CLAUDE_TIMEOUT", "12")
    with ClaudeClient() as client:
        assert client.base_url == "http://127.0.0.1:5" and client.timeout == 12
        assert "cc_secret" not in repr(client) + repr(vars(client))
    monkeypatch.setenv("CLAUDE_TIMEOUT", "soon")
    with pytest.raises(InputError, match="CLAUDE_TIMEOUT"):
        ClaudeClient()
    for bad in ({"timeout": 0}, {"timeout": float("nan")}, {"max_retries": -1}, {"retry_delay": -1}, {"project_id": 3}):
        with pytest.raises(InputError):
            ClaudeClient(**bad)


def test_a_response_shows_hostile_text_as_text():
    hostile = "<script>alert(1)</script>\x1b[2J\u202e" + "x" * 300_000
    response = types.Response("1", "haiku", hostile, types.Usage(1, 2, 3), 0.1)
    html = response._repr_html_()
    assert "<script>" not in html and "\x1b" not in html and "\u202e" not in html
    assert len(html) < 60_000 and "more characters" in html
    assert len(repr(response)) < 300 and "\x1b" not in repr(response)
    assert str(response) == hostile


def test_the_guard_holds_what_is_too_dear():
    book = SpendLog()
    guard = Guard(book)
    guard.check_prompts(10, 10 * guard.likely("short", "haiku"))
    with pytest.raises(claude.BudgetExceededError, match="about") as caught:
        guard.check_prompts(1000, 1000 * guard.likely("short", "opus"))
    assert caught.value.estimated_cost > 20 and caught.value.paid is False
    guard(max_cost=0.5)
    guard.check(0.4, "ask")
    book.completed("complete", "haiku", types.Usage(1, 10, 11), 0.3, None)
    with pytest.raises(claude.BudgetExceededError):
        guard.check(0.4, "ask")
    assert guard.likely("hi", "haiku") < guard.likely("hi", "opus")
    with pytest.raises(InputError):
        guard(max_cost=-1)


def test_a_journal_survives_a_cut_line(tmp_path):
    path = tmp_path / "kept.jsonl"
    done = types.BatchResult("0", "a", "completed", "A", types.Usage(1, 2, 3), 0.1)
    keys = [key_of(n, "a", "haiku") for n in range(3)]
    first = Journal(path)
    first.sending(keys)
    first.came(keys[0], done)
    first.came(keys[1], types.BatchResult("1", "a", "failed", error="full", paid=False))
    first.close()
    path.write_bytes(path.read_bytes() + b'{"key": "0:ab')
    second = Journal(path)
    assert second.done[keys[0]].content == "A" and second.sent >= {keys[2]} and keys[1] not in second.sent
    second.came(keys[2], done)
    second.close()
    assert set(Journal(path).done) == {keys[0], keys[2]}
    (tmp_path / "other").write_text("something else")
    with pytest.raises(InputError, match="not the file of this batch"):
        Journal(tmp_path / "other")
