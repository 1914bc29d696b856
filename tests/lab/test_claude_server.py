"""The embedded Claude Code API service as its protocol is written down: routes, order of checks, bodies, limits."""

import asyncio
import concurrent.futures
import json
import re
import time
import uuid
from functools import partial

import pytest
from websockets.sync.client import connect

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
def project():
    return f"p-{uuid.uuid4().hex[:8]}"


def ask(prompt, **more):
    return {"messages": [{"role": "user", "content": prompt}], **more}


def chat(lab, prompt="hello", key="", **more):
    return lab.raw("POST", "/v1/chat/completions", ask(prompt, **more), key)


def test_keys_have_the_services_form(lab):
    assert re.fullmatch(r"cc_[0-9a-f]{40}", lab.key)
    assert set(lab.env) == {"CLAUDE_API_URL", "CLAUDE_API_KEY"}


def test_a_completion(lab):
    answer = chat(lab, "What is Python?", model="haiku", unknown=1, temperature=0.5, stream=True, project_id=None)
    assert answer.status_code == 200
    told = answer.json()
    assert set(told) == {"id", "model", "content", "usage", "cost", "project_id"}
    assert set(told["usage"]) == {"input_tokens", "output_tokens", "total_tokens"}
    used = told["usage"]
    assert used["input_tokens"] == 4
    assert used["output_tokens"] == len(told["content"].split())
    assert used["total_tokens"] == used["input_tokens"] + used["output_tokens"]
    assert told["cost"] == pytest.approx(used["input_tokens"] * 0.25e-6 + used["output_tokens"] * 1.25e-6)
    assert told["project_id"] == "lab" and told["model"] == "haiku"
    uuid.UUID(told["id"])
    again = chat(lab, "What is Python?", model="haiku").json()
    assert again["content"] == told["content"] and again["id"] != told["id"]
    assert chat(lab, "What is Python?", model="opus").json()["content"] != told["content"]


@pytest.mark.parametrize(
    ("prompt", "model"),
    [
        ("What is Python?", "sonnet"),
        ("Count to 5", "haiku"),
        ("list and analyze", "haiku"),
        ("address book", "haiku"),
        ("Write a haiku", "sonnet"),
        ("analyze the design", "sonnet"),
    ],
)
def test_models_are_chosen_as_the_service_does(lab, prompt, model):
    assert chat(lab, prompt).json()["model"] == model
    assert lab.raw("POST", "/v1/route", {"prompt": prompt}).json()["recommended_model"] == model


def test_a_large_context_wants_opus(lab):
    assert chat(lab, "hello", max_tokens=10_001).json()["model"] == "opus"
    told = lab.raw("POST", "/v1/route", {"prompt": "hi", "context_size": 10_001}).json()
    assert told["recommended_model"] == "opus" and "Large context requires Opus" in told["reasoning"]


def test_an_unknown_model_is_taken_and_costs_nothing(lab):
    told = chat(lab, "hello", model="auto").json()
    assert (told["model"], told["cost"]) == ("auto", 0.0)


def test_the_order_of_checks(lab, project):
    key = lab.make_key(project, rate_limit=2)
    bad = {"messages": 5}
    path = "/v1/chat/completions"
    assert lab.raw("POST", path, bad, "cc_wrong").status_code == 401
    assert lab.raw("POST", path, bad, None).status_code == 401
    # A body that is refused counts.
    assert [lab.raw("POST", path, bad, key).status_code for _ in range(3)] == [422, 422, 429]
    answer = lab.raw("GET", "/v1/usage", key=key)
    assert answer.status_code == 429
    assert answer.json() == {"detail": "Rate limit exceeded. Please try again later."}
    assert "retry-after" not in answer.headers


def test_rate_limits_really_limit_and_start_anew(tmp_path):
    lab = ClaudeLab(tmp_path, window=1)
    try:
        key, other = lab.make_key("a", rate_limit=5), lab.make_key("a", rate_limit=5)
        while True:
            began = time.time() // 1
            with concurrent.futures.ThreadPoolExecutor(12) as pool:
                statuses = [answer.status_code for answer in pool.map(partial(chat, lab, key=key), map(str, range(12)))]
            if time.time() // 1 == began and statuses.count(429) != 12:
                break  # all in one window
            # The clock's own boundary is what is waited for.
            time.sleep(1 - time.time() % 1 + 0.02)
            key = lab.make_key("a", rate_limit=5)
        assert sorted(statuses) == [200] * 5 + [429] * 7
        assert chat(lab, key=other).status_code == 200
        time.sleep(1 - time.time() % 1 + 0.02)
        assert chat(lab, key=key).status_code == 200
        assert len(lab.rows()) >= 7
    finally:
        lab.close()


def test_who_is_refused(lab, quirky):
    for server, status in ((lab, 401), (quirky, 403)):
        answer = chat(server, key=None)
        assert answer.status_code == status and answer.json() == {"detail": "Not authenticated"}
        answer = server.raw("GET", "/v1/usage", key=None, authorization="Basic abc")
        assert answer.status_code == status and answer.json() == {"detail": "Invalid authentication credentials"}
        answer = chat(server, key="cc_" + "0" * 40)
        assert answer.status_code == 401 and answer.json() == {"detail": "Invalid API key"}
    assert lab.raw("GET", "/v1/usage", key=None, authorization=f"bEaReR {lab.key}").status_code == 200


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/v1/providers", "/v1/providers/claude/models"])
def test_what_anybody_may_see(lab, path):
    answer = lab.raw("GET", path, key=None)
    assert answer.status_code == 200 and answer.headers["x-request-id"]


def test_nothing_else_is_there(lab):
    for path in ("/v1/tasks", "/v1/task/123", "/v2/usage"):
        answer = lab.raw("GET", path)
        assert answer.status_code in (404, 405)
    assert lab.raw("GET", "/nothing").json() == {"detail": "Not Found"}
    assert lab.raw("GET", "/v1/batch").json() == {"detail": "Method Not Allowed"}
    assert lab.raw("GET", "/v1/providers/other/models").status_code == 404


def test_requests_have_ids(lab):
    assert lab.raw("GET", "/health", x_request_id="mine") is not None
    answer = lab.raw("GET", "/health", **{"x-request-id": "mine"})
    assert answer.headers["x-request-id"] == "mine"
    uuid.UUID(lab.raw("GET", "/health").headers["x-request-id"])
    assert chat(lab, key=None).headers["x-request-id"]
    plain = chat(lab, "x [lab fail=null]")
    assert (plain.status_code, plain.text) == (500, "Internal Server Error")
    assert plain.headers["content-type"].startswith("text/plain") and "x-request-id" not in plain.headers


@pytest.mark.parametrize(
    ("body", "where", "kind"),
    [
        ({}, ["body", "messages"], "missing"),
        ({"messages": "hi"}, ["body", "messages"], "list_type"),
        ({"messages": [5]}, ["body", "messages", 0], "dict_type"),
        (ask("x", timeout=0.5), ["body", "timeout"], "greater_than_equal"),
        (ask("x", timeout=301), ["body", "timeout"], "less_than_equal"),
        (ask("x", timeout="soon"), ["body", "timeout"], "float_type"),
        (ask("x", timeout=None), ["body", "timeout"], "float_type"),
        (ask("x", model=5), ["body", "model"], "string_type"),
        (ask("x", model="\ud800"), ["body", "model"], "string_unicode"),
        (b'{"messages": {"x": NaN}}', ["body", "messages"], "list_type"),
        (b"{", ["body", 1], "json_invalid"),
        (b"[]", ["body"], "model_attributes_type"),
        (b"[" * 100_000, ["body", 0], "json_invalid"),
    ],
)
def test_bodies_that_are_wrong(lab, body, where, kind):
    answer = lab.raw("POST", "/v1/chat/completions", body)
    assert answer.status_code == 422
    (wrong,) = answer.json()["detail"]
    assert (wrong["loc"], wrong["type"]) == (where, kind)
    assert wrong["msg"] and "input" in wrong


def test_messages_as_the_service_reads_them(lab):
    blocks = [{"type": "text", "text": "Count to"}, {"type": "image"}, {"type": "text", "text": "3"}]
    assert lab.raw("POST", "/v1/chat/completions", {"messages": [{"content": blocks}]}).json()["content"] == "1, 2, 3"
    assert lab.raw("POST", "/v1/chat/completions", {"messages": []}).status_code == 200


@pytest.mark.parametrize(
    ("fail", "status", "detail", "category"),
    [
        ("rate_limited", 429, "Process exited with code 1\nStderr: ", "rate_limited"),
        ("overloaded", 503, "Process exited with code 1\nStderr: ", "overloaded"),
        ("upstream_error", 502, "Process exited", "upstream_error"),
        ("auth_error", 502, "Process exited", "auth_error"),
        ("cli_error", 502, "Process exited", "cli_error"),
        ("json", 500, "Failed to parse JSON output: ", None),
        ("budget", 429, "Budget exceeded for project lab", None),
        ("timeout", 504, "Task timed out after 1.0 seconds", None),
        ("nonsense", 502, "Process exited with code 1\nStderr: no directive 'fail=nonsense'", "cli_error"),
    ],
)
def test_failures_on_request(lab, fail, status, detail, category):
    before = len(lab.rows())
    answer = chat(lab, f"x [lab fail={fail}]", timeout=1.0)
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(detail)
    assert answer.headers.get("x-error-category") == category
    assert len(lab.rows()) == before


def test_length_delay_and_tokens_on_request(lab):
    told = chat(lab, "x [lab words=200 tokens=1000000/1000000]", model="opus").json()
    assert len(told["content"].split()) == 200
    assert told["cost"] == pytest.approx(90.0)
    started = time.monotonic()
    assert chat(lab, "x [lab delay=0.3]").status_code == 200
    assert time.monotonic() - started >= 0.3


def test_choices_are_made_by_words(lab):
    said = chat(lab, "Answer with one of: billing, delivery, praise. My parcel never arrived", model="haiku").json()
    assert said["content"] == "delivery"
    assert len(chat(lab, "Pick one of: red, green").json()["content"].split()) == 1


def batch(lab, prompts, key="", **more):
    body = {"prompts": [{"prompt": text, "id": str(n)} for n, text in enumerate(prompts)], **more}
    return lab.raw("POST", "/v1/batch", body, key)


def test_a_batch(lab):
    told = batch(lab, ["Count to 3", "x [lab fail=cli_error]", "Count to 2"], model="haiku").json()
    assert (told["total"], told["completed"], told["failed"]) == (3, 2, 1)
    assert [item["id"] for item in told["results"]] == ["0", "1", "2"]
    assert [item["content"] for item in told["results"]] == ["1, 2, 3", None, "1, 2"]
    keys = {"id", "prompt", "status", "content", "usage", "cost", "error"}
    assert all(set(item) == keys for item in told["results"])
    assert told["total_tokens"] == sum(item["usage"]["total_tokens"] for item in told["results"] if item["usage"])
    # Prompts go as they are, without a role before them.
    assert told["results"][0]["usage"]["input_tokens"] == 3
    without_id = lab.raw("POST", "/v1/batch", {"prompts": [{"prompt": "x"}]}).json()
    assert without_id["results"][0]["id"] is None


def test_batches_that_are_none(lab):
    answer = batch(lab, [])
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert batch(lab, [], model="haiku").json()["results"] == []
    assert lab.raw("POST", "/v1/batch", {"prompts": ["plain"]}).status_code == 422
    too_many = batch(lab, ["x"] * 56, model="haiku")
    assert too_many.status_code == 503
    assert too_many.json()["detail"].startswith("Worker pool overloaded: 0 active workers")
    assert batch(lab, ["x"] * 55, model="haiku").json()["completed"] == 55


def test_five_run_at_once(lab):
    started = time.monotonic()
    told = batch(lab, [f"{n} [lab delay=0.2]" for n in range(10)], model="haiku").json()
    took = time.monotonic() - started
    assert told["completed"] == 10
    assert 0.4 <= took < 1.9  # in turn they would take 2 s


def usage(lab, key="", **params):
    query = "&".join(f"{name}={value}" for name, value in params.items())
    return lab.raw("GET", f"/v1/usage?{query}", key=key).json()


def test_usage_adds_up_by_key_and_project(lab, project):
    key, other = lab.make_key(project), lab.make_key(f"{project}-other")
    costs = [chat(lab, f"prompt {n}", key, model=model).json() for n, model in enumerate(("haiku", "opus", "haiku"))]
    items = batch(lab, ["a", "b"], key, model="sonnet").json()
    assert chat(lab, "elsewhere", other).status_code == 200
    told = usage(lab, key)
    assert (told["project_id"], told["period"], told["limit"], told["remaining"]) == (project, "month", None, None)
    assert told["total_tokens"] == sum(one["usage"]["total_tokens"] for one in costs) + items["total_tokens"]
    assert told["total_cost"] == pytest.approx(sum(one["cost"] for one in costs) + items["total_cost"])
    assert set(told["by_model"]) == {"haiku", "sonnet", "opus"}
    assert usage(lab, other)["total_tokens"] < told["total_tokens"]
    for period in ("week", "day"):
        assert usage(lab, key, period=period)["total_tokens"] == told["total_tokens"]
    answer = lab.raw("GET", "/v1/usage?period=year")
    assert answer.status_code == 400
    assert answer.json() == {"detail": "Invalid period: year. Use 'month', 'week', or 'day'"}


def test_a_project_per_call(lab, quirky, project):
    for server, charged in ((lab, project), (quirky, "lab")):
        assert chat(server, "x", project_id=project).json()["project_id"] == charged
        assert usage(server, project_id=project)["project_id"] == charged
    assert usage(lab, project_id=project)["total_tokens"] > 0


def test_budgets_stop(lab, project):
    key = lab.make_key(project)
    lab.limit(project, 100)
    # The estimate is twice the words: "user:" and three more.
    told = chat(lab, "one two three [lab tokens=50/43]", key).json()
    assert told["usage"]["total_tokens"] == 93
    assert usage(lab, key)["remaining"] == 7
    answer = chat(lab, "one two three", key)
    assert (answer.status_code, answer.json()) == (429, {"detail": f"Budget exceeded for project {project}"})
    assert chat(lab, "one two [lab tokens=3/3]", key).status_code == 429
    assert chat(lab, "one", key, model="haiku").status_code == 200
    assert batch(lab, ["word " * 10], key, model="haiku").status_code == 429
    told = lab.raw("POST", "/v1/process", {"provider": "openai", "model_name": "gpt-4", "content": "x " * 9}, key)
    assert told.status_code == 403
    lab.limit(project, None)
    assert chat(lab, "one two three", key).status_code == 200


def test_a_budget_holds_under_many_at_once(lab, project):
    key = lab.make_key(project)
    lab.limit(project, 40)
    body = "a [lab delay=0.05 tokens=4/6]"  # estimated at 10, and 10 in the end
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: chat(lab, body, key).status_code, range(8)))
    assert statuses.count(200) == 4
    assert usage(lab, key)["remaining"] == 0


def test_the_real_service_lets_a_batch_pass_any_budget(quirky, project):
    key = quirky.make_key(project)
    quirky.limit(project, 1)
    assert batch(quirky, ["some words"], key, model="haiku").status_code == 200
    assert usage(quirky, key)["remaining"] < 0


def task(lab, description="do it", key="", **more):
    return lab.raw("POST", "/v1/task", {"description": description, **more}, key)


def test_a_task(lab, project):
    key = lab.make_key(project)
    told = task(lab, "Count files", key, allow_tools=["Bash", "Glob"], allow_agents=["security-auditor"]).json()
    assert set(told) == {"task_id", "status", "result", "execution_log", "artifacts", "usage"}
    assert told["status"] == "completed"
    assert set(told["result"]) == {"summary", "full_output", "workspace_directory"}
    assert set(told["usage"]) == {
        "input_tokens", "output_tokens", "total_tokens", "total_cost", "model_used", "duration_seconds"
    }  # fmt: skip
    actions = [entry["action"] for entry in told["execution_log"]]
    assert actions == ["thinking", "agent_spawn", "tool_call", "tool_call", "result", "task_completed"]
    assert [entry["step"] for entry in told["execution_log"]] == [1, 2, 3, 4, 5, 6]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}", entry["timestamp"]) for entry in told["execution_log"])
    (artifact,) = told["artifacts"]
    assert artifact["type"] == "file" and artifact["size_bytes"] > 0
    assert usage(lab, key)["total_cost"] == pytest.approx(told["usage"]["total_cost"])


def test_a_task_on_the_real_service(quirky, project):
    key = quirky.make_key(project)
    told = task(quirky, "Count files", key).json()
    (entry,) = told["execution_log"]
    assert entry["action"] == "task_completed" and told["artifacts"] == []
    assert usage(quirky, key)["total_tokens"] == 0
    assert [row["project_id"] for row in quirky.rows()][-1] == "default"
    answer = task(quirky, "x [lab fail=timeout]", key, timeout=1)
    assert answer.status_code == 500
    assert answer.json() == {"detail": "Task execution failed: object of type 'NoneType' has no len()"}


@pytest.mark.parametrize(
    ("profile", "more", "reason"),
    [
        (None, {}, "No permission profile found for API key"),
        ("free", {"allow_tools": ["Bash"]}, "Tool 'Bash' is explicitly blocked"),
        ("free", {"allow_tools": ["Grep"]}, "Tool 'Grep' is not in allowed list"),
        ("free", {"allow_agents": ["a"]}, "Agent 'a' is not in allowed list"),
        ("pro", {"allow_skills": ["semantic-text-matcher"]}, "Skill 'semantic-text-matcher' is not in allowed list"),
        ("free", {}, "Requested timeout (300s) exceeds limit (60s)"),
        ("free", {"timeout": 60}, "Requested max cost ($1.0) exceeds limit ($0.1)"),
        ("enterprise", {"timeout": 601}, "Requested timeout (601s) exceeds limit (600s)"),
        ("enterprise", {"max_cost": 11}, "Requested max cost ($11.0) exceeds limit ($10.0)"),
    ],
)
def test_permissions(lab, profile, more, reason):
    key = lab.make_key("permissions", profile)
    answer = task(lab, "x", key, **more)
    assert (answer.status_code, answer.json()) == (403, {"detail": f"Permission denied: {reason}"})
    assert chat(lab, key=key).status_code == 200


def test_outcomes_of_tasks(lab, project):
    key = lab.make_key(project)
    told = task(lab, "x [lab tokens=1000000/1000000]", key, model="opus", max_cost=0.5).json()
    assert told["status"] == "cost_exceeded"
    assert told["result"]["error"] == "Cost $90.0000 exceeded limit $0.5000"
    assert set(told["usage"]) == {"input_tokens", "output_tokens", "total_cost", "model_used"}
    assert usage(lab, key)["total_cost"] == pytest.approx(90)
    late = task(lab, "x [lab fail=timeout]", key, timeout=1).json()
    assert late["status"] == "timeout" and late["usage"] == {}
    failed = task(lab, "x [lab fail=cli_error]", key).json()
    assert failed["status"] == "failed" and "the command failed" in failed["result"]["error"]
    lab.limit(project, 10)
    poor = task(lab, "a b c", key, allow_tools=["Read"]).json()
    assert poor["status"] == "failed" and poor["result"] == {"error": "Insufficient budget"}
    assert poor["usage"] == {"estimated_tokens": int(3 * (4.5 + 500))}
    for body, why in (
        ({"description": ""}, "Description is required"),
        ({"description": "x", "allow_agents": ["nobody"]}, "Unknown agents requested: nobody"),
    ):
        answer = lab.raw("POST", "/v1/task", body)
        assert (answer.status_code, answer.json()) == (500, {"detail": f"Task execution failed: {why}"})
    assert task(lab, timeout=1.5).status_code == 422
    assert task(lab, allow_tools=None).status_code == 422
    assert task(lab, timeout=30.0).status_code == 200


def test_other_providers_names(lab):
    told = lab.raw("POST", "/v1/process", {"provider": "openai", "model_name": "gpt-4", "content": "Count to 2"}).json()
    assert told["content"] == "1, 2" and told["metadata"]["actual_model"] == "sonnet"
    assert told["metadata"]["mapped_from"] == "openai:gpt-4 → claudecode:sonnet"
    base = {"provider": "p", "model_name": "m"}
    assert lab.raw("POST", "/v1/process", base).json() == {"detail": "No messages provided"}
    assert lab.raw("POST", "/v1/process", {**base, "content": "x", "stream": True}).status_code == 501
    assert lab.raw("POST", "/v1/process", {"content": "x"}).status_code == 422


def test_capabilities_and_health(lab):
    told = lab.raw("GET", "/v1/capabilities").json()
    assert told["agents_count"] == len(told["agents"]) and "security-auditor" in [one["name"] for one in told["agents"]]
    health = lab.raw("GET", "/health").json()
    assert set(health) == {"status", "version", "uptime_seconds", "services"}
    assert all(set(service) == {"status", "detail"} for service in health["services"].values())


def talk(lab, *messages, key=True, until=("done", "error", "result")):
    headers = {"authorization": f"Bearer {lab.key}"} if key else {}
    frames = []
    with connect(f"ws{lab.url[4:]}/v1/stream", additional_headers=headers) as socket:
        for message in messages:
            socket.send(message if isinstance(message, str | bytes) else json.dumps(message))
            while True:
                frames.append(json.loads(socket.recv(5)))
                if frames[-1]["type"] in until:
                    break
    return frames


def test_the_websocket_streams(lab, project):
    message = {"type": "chat", "model": "haiku", **ask("Tell me about tides"), "project_id": project}
    frames = talk(lab, message, message)
    whole = chat(lab, "Tell me about tides", model="haiku").json()
    done = [place for place, frame in enumerate(frames) if frame["type"] == "done"]
    assert len(done) == 2 and done[0] >= 20
    assert "".join(frame["content"] for frame in frames[: done[0]]) == whole["content"]
    assert frames[-1] == {"type": "done", "usage": whole["usage"], "cost": whole["cost"], "model": "haiku"}
    assert usage(lab, project_id=project)["total_tokens"] == 2 * whole["usage"]["total_tokens"]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("{", "Invalid JSON format"),
        ("[" * 50_000, "Invalid JSON format"),
        ({"type": "dance"}, "Unknown message type: dance"),
        ({"type": "chat", "messages": []}, "No messages provided"),
        ({"type": "chat", "model": "auto", **ask("x")}, "Invalid model: auto. Must be haiku, sonnet, or opus"),
        ({"type": "chat", "model": None, **ask("x")}, "Invalid model: None. Must be haiku, sonnet, or opus"),
        ({"type": "chat", **ask("x [lab fail=budget]")}, "Budget exceeded for project lab"),
        ({"type": "chat", "api_key": "\ud800", **ask("x")}, "Invalid API key"),
        (
            {"type": "chat", "project_id": "\ud800", **ask("x")},
            "project_id contains half of a surrogate pair, which is not text",
        ),
        ({"type": "chat", **ask("x [lab fail=cli_error]")}, "Streaming error: Claude CLI exited with code 1"),
        (
            {"type": "agentic_task", "description": ""},
            "Task execution error: Task execution failed: Description is required",
        ),
    ],
)
def test_what_the_websocket_refuses(lab, message, said):
    assert talk(lab, message)[-1] == {"type": "error", "error": said}


def test_the_websocket_wants_a_key(lab, quirky):
    chatting = {"type": "chat", **ask("x")}
    assert talk(lab, chatting, key=False)[-1]["error"].startswith("api_key required")
    assert talk(lab, {**chatting, "api_key": "cc_no"}, key=False)[-1]["error"] == "Invalid API key"
    assert talk(lab, {**chatting, "api_key": lab.key}, key=False)[-1]["type"] == "done"
    assert talk(quirky, chatting, key=False)[-1]["type"] == "done"
    assert (
        talk(quirky, {"type": "agentic_task", "description": "x"}, key=False)[-1]["error"]
        == "api_key required for agentic tasks"
    )


def test_a_task_by_websocket(lab):
    frames = talk(lab, {"type": "agentic_task", "description": "Count files", "api_key": lab.key}, key=False)
    assert frames[0] == {"type": "thinking", "content": "Starting task execution..."}
    assert frames[1]["status"] == "completed" and "task_id" not in frames[1]
    free = lab.make_key("f", "free")
    refused = talk(lab, {"type": "agentic_task", "description": "x", "api_key": free}, key=False)
    assert refused[-1]["error"].startswith("Permission denied: ")


def test_only_this_machine_is_answered(lab):
    for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
        assert lab.raw("GET", "/health", **headers).status_code == 403
    with pytest.raises(Exception, match="403"):
        connect(f"ws{lab.url[4:]}/v1/stream", origin="https://evil.example").__enter__()


def test_the_controls_want_the_main_key(lab):
    other = lab.make_key("x")
    for method, path in (("POST", "/lab/keys"), ("PUT", "/lab/budgets")):
        for key in (other, None, "cc_no"):
            assert lab.raw(method, path, {"project_id": "x"}, key).status_code == 401
    assert lab.raw("POST", "/lab/keys", {"project_id": "x", "profile": "royal"}).status_code == 422


def test_what_was_answered_is_there_after_a_restart(tmp_path):
    first = ClaudeLab(tmp_path)
    key = first.make_key("kept", "pro", 50)
    first.limit("kept", 500)
    before = chat(first, "hello", key).json()
    # The file as it is now, without the server's goodbye.
    told = usage(first, key)
    first.close()
    second = ClaudeLab(tmp_path)
    try:
        assert usage(second, key) == told
        assert told["total_tokens"] == before["usage"]["total_tokens"] and told["limit"] == 500
        assert task(second, "x", key, allow_tools=["Write"]).status_code == 403
    finally:
        second.close()


def test_the_key_of_a_lab_ends_with_it(tmp_path):
    """The data may outlive the lab, and be used by one with another token."""
    first = ClaudeLab(tmp_path)
    issued = first.make_key("kept")
    first.close()
    second = ClaudeLab(tmp_path, token="another-token")
    try:
        assert second.raw("GET", "/v1/usage", key=first.key).status_code == 401
        assert second.raw("GET", "/v1/usage", key=issued).status_code == 200
    finally:
        second.close()


def test_limits_are_kept_to_the_last_token(lab, project):
    for limit in (2**53 + 1, 2**63 - 1, 0, None):
        lab.limit(project, limit)
        assert usage(lab, project_id=project)["limit"] == limit
    for wrong in (2**63, 10**400):
        answer = lab.raw("PUT", "/lab/budgets", {"project_id": project, "monthly_limit": wrong})
        assert (answer.status_code, answer.json()["detail"][0]["type"]) == (422, "less_than_equal")


@pytest.mark.parametrize(
    "line",
    [
        '"topic": one of the topics above',
        r'"a\x": a text',
        r'"topic": one of "a", "\x"',
        '"score": a number from 0 to 1e999',
        '"score": a whole number from -1e308 to 1e308',
    ],
)
def test_whatever_a_prompt_asks_for_is_answered(lab, line):
    answer = chat(lab, f"A review of a kettle.\nAnswer with one JSON object\n{line}\n")
    assert answer.status_code == 200, answer.text
    assert isinstance(json.loads(answer.json()["content"]), dict)


def test_a_client_that_leaves_has_still_been_charged(lab, project):
    """The hosted service goes on with what nobody waits for; so does this one."""
    key = lab.make_key(project)

    async def leave():
        _, writer = await asyncio.open_connection("127.0.0.1", int(lab.url.rpartition(":")[2]))
        body = json.dumps(ask("x [lab delay=0.2]")).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
        writer.write(head.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        await writer.wait_closed()

    asyncio.run(leave())
    deadline = time.monotonic() + 5
    while not usage(lab, key)["total_tokens"]:
        assert time.monotonic() < deadline


def test_demo_usage(tmp_path):
    lab = ClaudeLab(tmp_path, demo=True)
    try:
        told = usage(lab, period="week")
        assert set(told["by_model"]) >= {"haiku", "sonnet"} and told["total_tokens"] > 1000
    finally:
        lab.close()
    lab = ClaudeLab(tmp_path, demo=True)
    try:
        assert usage(lab, period="week")["total_tokens"] == told["total_tokens"]
    finally:
        lab.close()


# What the upstream client sends, as it sends it.


def test_the_upstream_clients_calls(lab, project):
    body = {"messages": [{"role": "user", "content": "Hello"}], "project_id": "default"}
    told = lab.raw("POST", "/v1/chat/completions", body, **{"content-type": "application/json"}).json()
    assert set(told["usage"]) == {"input_tokens", "output_tokens", "total_tokens"}
    assert all(isinstance(value, int) for value in told["usage"].values())
    told = lab.raw(
        "POST", "/v1/batch", {"prompts": [{"prompt": "a", "id": "0"}], "project_id": "default", "model": "haiku"}
    ).json()
    assert told["results"][0]["id"] == "0"
    told = lab.raw("GET", "/v1/usage?period=month&project_id=default").json()
    assert set(told) == {"project_id", "period", "total_tokens", "total_cost", "by_model", "limit", "remaining"}
    lab.limit(project, 1)
    answer = lab.raw("POST", "/v1/chat/completions", {**body, "project_id": project})
    assert "Budget exceeded" in answer.json()["detail"]
    other = {"description": "x", "allow_tools": [], "allow_agents": [], "allow_skills": [], "timeout": 300}
    other |= {"working_directory": "/project", "max_cost": 1.0, "model": None, "project_id": "default"}
    assert lab.raw("POST", "/v1/task", other).json()["status"] == "completed"
    assert (
        lab.raw("POST", "/v1/chat/completions", {"prompt": "x", "model": "haiku", "max_tokens": 5}).status_code == 422
    )
