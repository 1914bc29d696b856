"""The Claude explorer: answers, batches that go on where they were, tasks, usage, limits, live answers."""

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import numpy as np
import pandas as pd
import pytest

from kit.claude import BudgetExceededError, ClaudeAPIError, RateLimitError, TimeoutError
from kit.claude.explore.explorer import connect
from kit.core.errors import InputError, SetupError
from tests.lab.claudelite import ClaudeLab

pytestmark = pytest.mark.lab

COLUMNS = ["prompt", "status", "content", "tokens", "cost", "error"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = ClaudeLab(tmp_path_factory.mktemp("claude"), demo=True)
    yield lab
    lab.close()


@pytest.fixture
def c(lab):
    with lab.explorer() as explorer:
        yield explorer


def counting(numbers):
    return [f"Count to {n}" for n in numbers]


def test_what_is_missing_is_told():
    with pytest.raises(SetupError, match=r"api_key=.*CLAUDE_API_KEY"):
        connect({})
    with pytest.raises(InputError):
        connect({"CLAUDE_API_KEY": "cc_0", "CLAUDE_API_URL": "nonsense"})
    with connect({"CLAUDE_API_KEY": "cc_00000secret"}) as explorer:
        assert "secret" not in repr(explorer) + explorer._repr_html_() + repr(vars(explorer))
        assert "8006" in repr(explorer)


def test_ask(c):
    response = c.ask("What is Python?", "haiku")
    html = response._repr_html_()
    assert response.content in html and "haiku" in html and "tokens" in html and "$0.0000" in html
    assert c.ledger()["cost"].tolist() == [response.cost]


def test_a_batch_over_a_list(c):
    frame = c.batch(["Count to 2", "x [lab fail=cli_error]", "Count to 3"], model="haiku")
    assert list(frame.columns) == COLUMNS
    assert frame["status"].tolist() == ["completed", "failed", "completed"]
    assert frame["content"].tolist()[0] == "1, 2" and pd.isna(frame["content"][1])
    assert "the command failed" in frame["error"][1] and pd.isna(frame["tokens"][1]) and pd.isna(frame["cost"][1])
    assert frame["cost"].sum() == pytest.approx(c.client.spent.cost) == pytest.approx(frame.attrs["total_cost"])
    empty = c.batch([])
    assert list(empty.columns) == COLUMNS and empty.dtypes.tolist() == frame.dtypes.tolist()


def test_a_batch_over_a_column_keeps_its_index(c):
    df = pd.DataFrame({"prompt": counting(range(1, 8))}, index=[f"row{n}" for n in range(7)])
    df["answer"] = c.batch(df["prompt"], model="haiku")["content"]
    assert df["answer"]["row2"] == "1, 2, 3"
    with pytest.raises(InputError, match="column"):
        c.batch(df)
    with pytest.raises(InputError):
        c.batch("one prompt")
    with pytest.raises(InputError, match="prompt 1"):
        c.batch(["a", None])


def test_a_batch_is_sent_in_parts_with_one_model_for_all(c):
    frame = c.batch([*counting(range(1, 6)), "analyze the design of it"])
    assert (frame["status"] == "completed").all() and frame.attrs["model"] == "haiku"
    rows = c.calls()
    assert rows["op"].tolist()[-5:] == ["route", "get_usage", "health", "batch", "batch"]


@pytest.fixture
def own_lab(tmp_path):
    """For what leaves a slow prompt behind at the server."""
    lab = ClaudeLab(tmp_path / "server")
    yield lab
    lab.close()


def test_an_interrupt_keeps_what_is_paid_for(own_lab, tmp_path):
    """In a process of its own, as Ctrl-C comes: while the third of five parts is under way, one at a time."""
    code = f"""
    import sys, os
    import kit.claude.explore.explorer as explorer
    c = explorer.connect(os.environ)
    prompts = [f"Count to {{n}}" + (" [lab delay=20]" if n == 11 else "") for n in range(1, 26)]
    try:
        print("started", flush=True)
        c.batch(prompts, model="haiku", keep=r"{tmp_path / "kept.jsonl"}", side_by_side=1)
    except KeyboardInterrupt:
        frame = c.last_batch.frame()
        print(frame["status"].value_counts().to_dict(), frame["cost"].sum() == c.client.spent.cost, flush=True)
        print(c.last_batch)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **own_lab.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _until_active(own_lab, child, tmp_path / "kept.jsonl")
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert "{'completed': 10, 'not run': 10, 'unknown': 5} True" in out
    assert "interrupted: 25 prompts" in err and "Traceback" not in err
    _goes_on(own_lab, tmp_path / "kept.jsonl")


def test_a_crash_keeps_what_is_paid_for(own_lab, tmp_path):
    code = f"""
    import os
    import kit.claude.explore.explorer as explorer
    c = explorer.connect(os.environ)
    prompts = [f"Count to {{n}}" + (" [lab delay=20]" if n == 11 else "") for n in range(1, 26)]
    c.batch(prompts, model="haiku", keep=r"{tmp_path / "kept.jsonl"}", side_by_side=1)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env={**os.environ, **own_lab.env})
    _until_active(own_lab, child, tmp_path / "kept.jsonl")
    child.kill()
    child.wait()
    _goes_on(own_lab, tmp_path / "kept.jsonl")


def _until_active(lab, child, kept):
    """Until the slow prompt, alone of its part, runs."""
    deadline = time.monotonic() + 30
    with lab.client() as client:
        while True:
            sent = kept.read_text().count('"sent"') if kept.exists() else 0
            if sent == 3 and client.health()["services"]["worker_pool"]["detail"]["active_workers"] == 1:
                return
            assert time.monotonic() < deadline and child.poll() is None
            time.sleep(0.01)


def _goes_on(lab, kept):
    """What a new kernel makes of the file that the one before it kept."""
    # The same prompts but for the slow one's: a prompt that was changed is another prompt.
    prompts = [f"Count to {n}" + (" [lab delay=20]" if n == 11 else "") for n in range(1, 26)]
    with lab.explorer() as c:
        frame = c.batch(prompts, model="haiku", keep=kept)
        assert frame["status"].value_counts().to_dict() == {"completed": 20, "unknown": 5}
        assert frame["error"][10:15].str.contains("may have run and been paid for").all()
        assert frame["content"][24].endswith("25")
        # Only what had not been sent was paid for here.
        assert c.client.spent.calls == 10
        again = c.batch(prompts, model="haiku", keep=kept)
        assert again["status"].tolist() == frame["status"].tolist() and c.client.spent.calls == 10
    with lab.explorer() as c:
        shorter = [prompt.replace(" [lab delay=20]", "") for prompt in prompts]
        frame = c.batch(shorter, model="haiku", keep=kept)
        assert frame["status"].value_counts().to_dict() == {"completed": 21, "unknown": 4}
        whole = c.resume(unknown=True)
        assert (whole["status"] == "completed").all() and c.client.spent.calls == 5


def test_a_connection_that_breaks_midway(lab, c):
    lab.fault("reset", "/v1/batch", skip=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = c.batch(counting(range(1, 16)), model="haiku", side_by_side=1)
    assert "the batch stopped" in str(caught[0].message)
    assert frame["status"].tolist() == ["completed"] * 5 + ["unknown"] * 5 + ["not run"] * 5
    assert frame["error"][12].startswith("not sent")
    assert c.client.spent.unknown == 5
    rest = c.resume()
    assert rest["status"].tolist() == ["completed"] * 5 + ["unknown"] * 5 + ["completed"] * 5
    assert (c.resume(unknown=True)["status"] == "completed").all()
    assert "15 completed" in c.last_batch._repr_html_()


def test_a_batch_that_fails_at_once_raises(lab):
    with lab.explorer(api_key="cc_no") as c, pytest.raises(ClaudeAPIError, match="Invalid API key"):
        c.batch(["a", "b"], model="haiku")
    with lab.explorer() as c, pytest.raises(SetupError):
        c.resume()


def test_past_the_rate_limit_a_batch_waits(tmp_path):
    lab = ClaudeLab(tmp_path, window=1)
    try:
        key = lab.make_key("p", rate_limit=2)
        with lab.explorer(api_key=key) as c:
            frame = c.batch(counting(range(1, 26)), model="haiku")
            assert (frame["status"] == "completed").all()
            assert (c.calls()["status"].tail(10) == 429).any()
            with pytest.raises(RateLimitError):
                [c.batch(["x"], model="haiku", patience=0) for _ in range(20)]
    finally:
        lab.close()


def test_a_dear_batch_is_held_until_it_has_a_limit(c):
    prompts = ["Write about tides. " * 20] * 100
    before = len(c.calls())
    with pytest.raises(BudgetExceededError, match="100 prompts are likely to cost") as caught:
        c.batch(prompts, model="opus")
    assert len(c.calls()) == before and caught.value.estimated_cost > 1 and "max_cost=" in str(caught.value)
    estimate = c.estimate(prompts, "opus")
    assert estimate["cost"][0] == pytest.approx(caught.value.estimated_cost, rel=0.01)
    assert c.estimate(prompts)["model"].tolist() == ["haiku", "sonnet", "opus"]
    with pytest.warns(UserWarning, match=r"stopped at max_cost=0.5, with \d+ of 100"):
        frame = c.batch(prompts, model="opus", max_cost=0.5)
    done = frame["status"].value_counts()
    assert 0 < done["completed"] < 100 and done["not run"] == 100 - done["completed"]
    assert frame["cost"].sum() <= 0.5
    assert frame["error"].iloc[-1].startswith("not sent: max_cost=0.5")
    assert (c.resume(max_cost=100)["status"] == "completed").all()


def test_a_limit_for_everything(c):
    c.budget(max_cost=0.002)
    c.ask("hello", "haiku")
    with pytest.raises(BudgetExceededError, match="nothing was sent"):
        [c.ask("hello", "sonnet") for _ in range(100)]
    assert c.budget.spent <= 0.002
    with pytest.raises(BudgetExceededError):
        c.live("hello", "opus")
    with pytest.raises(BudgetExceededError):
        c.task("do it", max_cost=1.0)
    before = len(c.calls())
    with pytest.warns(UserWarning, match="stopped"):
        assert c.batch(["Write " * 500] * 3, model="opus")["status"].tolist() == ["not run"] * 3
    assert len(c.calls()) == before
    assert "of $0.0020" in repr(c.budget)
    c.budget(max_cost=None)
    assert c.ask("hello", "opus").content


def test_a_limit_counts_what_is_under_way_and_what_was_lost(c):
    c.ask("hello", "haiku")
    likely = c.budget.likely("hello", "haiku")
    c.budget(max_cost=likely * 2.5)
    for _ in range(2):
        c.live("hello", "haiku").wait(20)
    with pytest.raises(BudgetExceededError, match="nothing was sent"):
        c.live("hello", "haiku")
    c.budget(max_cost=likely * 2.5)
    together = [threading.Thread(target=lambda: told.append(attempted(c))) for _ in range(5)]
    told: list[str] = []
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert sorted(told) == ["BudgetExceededError"] * 3 + ["sent"] * 2
    c.budget(max_cost=likely * 1.5)
    with pytest.raises(TimeoutError):
        c.ask("hello [lab delay=30]", "haiku", timeout=1)
    assert c.budget.spent == pytest.approx(c.budget.uncertain) and c.budget.uncertain > 0
    with pytest.raises(BudgetExceededError):
        c.ask("hello", "haiku")
    c.budget(max_cost=1.5)
    with pytest.raises(ClaudeAPIError):
        c.ask("x [lab fail=budget]", "haiku")
    assert c.budget.spent == 0
    c.task("Count files", max_cost=1.2)
    assert 0 < c.budget.spent < 0.5


def attempted(c):
    try:
        c.ask("hello [lab delay=1]", "haiku")
    except BudgetExceededError as error:
        return type(error).__name__
    return "sent"


def test_a_limit_that_is_not_named_stays(c):
    c.budget(max_cost=5)
    c.budget(estimate_above=0.5)
    assert (c.budget.max_cost, c.budget.estimate_above) == (5, 0.5)
    c.budget(max_cost=np.int64(3))
    assert (c.budget.max_cost, c.budget.estimate_above) == (3, 0.5)
    with pytest.raises(InputError, match="estimate_above"):
        c.budget(max_cost=1, estimate_above="much")
    assert (c.budget.max_cost, c.budget.estimate_above) == (3, 0.5)
    c.budget(max_cost=None, estimate_above=None)
    assert (c.budget.max_cost, c.budget.estimate_above) == (None, None)


def test_a_live_answer_does_not_need_its_screen(c):
    class Gone:
        def show(self, html, plain=""):
            raise RuntimeError("the front end is gone")

    answer = c.live("Count to 3 [lab delay=0.5]", "haiku")
    answer._screen = Gone()
    assert answer.wait(20).content


def test_a_task(c):
    result = c.task("Count files", ["Bash", "Glob"])
    assert result["status"] == result.status == "completed"
    log = result.log
    assert list(log.columns) == ["step", "time", "action", "details"]
    assert str(log["time"].dtype) == "datetime64[ms, UTC]" and log["action"].tolist()[-1] == "task_completed"
    assert abs((log["time"].iloc[-1] - pd.Timestamp.now("UTC")).total_seconds()) < 60
    files = result.artifacts
    assert list(files.columns) == ["path", "type", "size_bytes", "created_at"] and files["path"][0].endswith(
        "report.md"
    )
    assert result.summary in result._repr_html_() and "completed" in repr(result)
    with pytest.raises(TimeoutError):
        c.task("x [lab fail=timeout]", timeout=1)
    nothing = type(result)({**result, "execution_log": [{"action": "x"}, 5], "artifacts": []})
    assert nothing.log["action"].tolist() == ["x"] and len(nothing.artifacts) == 0
    assert nothing.artifacts.dtypes.astype(str)["created_at"] == "datetime64[ms, UTC]"


def test_usage_and_metrics(lab, c):
    c.ask("hello", "opus")
    usage = c.usage("day")
    assert list(usage.columns) == ["model", "tokens", "cost", "token_share", "cost_share"]
    assert usage["cost_share"].sum() == pytest.approx(1) and usage.attrs["period"] == "day"
    assert usage.attrs["total_cost"] == pytest.approx(usage["cost"].sum())
    with pytest.raises(InputError):
        c.usage("year")
    nothing = c.usage(project_id="nobody")
    assert len(nothing) == 0 and nothing.dtypes.tolist() == usage.dtypes.tolist()
    metrics = c.metrics()
    assert list(metrics.columns) == ["time", "metric", "value", "unit", "model", "project_id", "period"]
    assert set(metrics["metric"]) == {"usage_tokens", "usage_cost", "budget_limit", "budget_remaining"}
    assert set(c.metrics("day")["metric"]) == {"usage_tokens", "usage_cost"}
    assert str(metrics["time"].dtype) == "datetime64[ms, UTC]"
    assert list(c.models().columns) == ["model", "input_per_million", "output_per_million"]
    assert set(c.capabilities()["kind"]) == {"agent", "skill"}
    assert c.health()["status"] == "ok"


@pytest.mark.parametrize("transport", ["http", "ws"])
def test_a_live_answer(c, transport):
    answer = c.live("Tell me about tides", "haiku", transport=transport)
    response = answer.wait(20)
    assert answer.text == response.content == "".join(answer) and answer.done
    assert c.client.spent.calls == 1 and "done" in repr(answer)
    assert response.content in answer._html()
    answer.close()
    failed = c.live("x [lab fail=cli_error]", "haiku", transport=transport)
    with pytest.raises(ClaudeAPIError):
        failed.wait(20)
    with pytest.raises(ClaudeAPIError):
        list(failed)


def test_a_live_answer_that_is_closed(c):
    answer = c.live("x [lab delay=30]", "haiku")
    with pytest.raises(TimeoutError, match="it continues"):
        answer.wait(0.05)
    answer.close()
    assert answer.done
    with pytest.raises(ClaudeAPIError, match="closed"):
        answer.wait(5)
    assert c.client.spent.unknown == 1
    assert c.ask("Count to 2").content == "1, 2"


class Screen:
    def __init__(self):
        self.shown, self.final, self.ended = [], None, threading.Event()

    def show(self, html, plain=None):
        if plain is None:
            self.shown.append((time.monotonic(), html))
        else:
            self.final = html
            self.ended.set()


def test_a_live_answer_is_painted_at_most_ten_times_a_second(tmp_path):
    lab = ClaudeLab(tmp_path, token_seconds=0.02)
    try:
        with lab.explorer() as c:
            answer = c.live("long [lab words=200 delay=0.3]", "haiku", transport="ws")
            answer._screen = screen = Screen()
            started = time.monotonic()
            answer.wait(20)
            assert screen.ended.wait(5)
        times = [at for at, _ in screen.shown]
        assert times and times[0] - started > 0.3  # nothing before the first piece
        assert all(later - at > 0.08 for at, later in itertools.pairwise(times))
        assert all(">" in html and answer.text[:10] in html for _, html in screen.shown)
        assert len(screen.shown) <= 8 < 20 and answer.text.split()[-1] in screen.final
    finally:
        lab.close()
