"""Many requests of one batch under way; what is kept of them; and what this client knows of its spending."""

import asyncio
import gc
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import pandas as pd
import pytest

from kit.claude import AsyncClaudeClient
from kit.claude.client.batches.cache import Cache, age_of
from kit.claude.client.batches.pace import Pace
from kit.core.errors import InputError
from kit.plots import usage as usage_plot
from tests import prompts as fire

from .claudelite import ClaudeLab, exploring

pytestmark = pytest.mark.lab

COLUMNS = "topic: billing|delivery|praise"


@pytest.fixture
def lab(tmp_path):
    lab = ClaudeLab(tmp_path / "lab")
    yield lab
    lab.close()


c = pytest.fixture(exploring)


@pytest.fixture
def kept(tmp_path):
    cache = Cache(tmp_path / "kept" / "answers.sqlite")
    yield cache
    cache.close()


def mail(count, words=""):
    return pd.DataFrame({"body": [f"{n} charged twice {words}" for n in range(count)]})


# --- side by side -----------------------------------------------------------------------------------------------------


def test_a_health_that_is_not_readable_stops_no_batch(lab, c):
    lab.fault("garbage", "/health")
    assert set(c.batch([f"Count to {n}" for n in range(30)], "haiku")["status"]) == {"completed"}


def test_the_places_of_the_service_are_used_and_rows_stay_in_order(c):
    began = time.monotonic()
    frame = c.batch([f"Count to {n + 1} [lab delay=0.1]" for n in range(40)], "haiku")
    took = time.monotonic() - began
    assert [text.split(", ")[-1] for text in frame["content"]] == [str(n + 1) for n in range(40)]
    assert took < 40 * 0.1 / 5 * 1.8
    sent = c.calls().query("op == 'batch'").tail(8)
    ends = sent["started"] + pd.to_timedelta(sent["ms"], unit="ms")
    assert (sent["started"].iloc[1:].to_numpy() < ends.iloc[:-1].to_numpy()).any()


def test_the_pace_grows_shrinks_and_waits():
    pace = Pace()
    pace.adjust({"services": {"worker_pool": {"detail": {"max_workers": 4, "max_queue": 40, "active_workers": 2}}}})
    assert (pace.workers, pace.most, pace.places) == (4, 42, 8)
    pace.succeeded(5)
    assert pace.places == 13 and pace.room(8, 5)
    assert pace.full(100.0, 165.0) == 0.5 and pace.places == 6
    assert pace.room(0, 5) and not pace.room(1, 1) and pace.opens == 100.5
    pace.succeeded(5)
    assert pace.refusals == 0 and pace.room(5, 5)
    assert pace.limited(200.0, 265.0, date="Sun, 29 Nov 2026 14:00:59 GMT") == 0.5
    waits = [pace.limited(200.0, 265.0, date="Sun, 29 Nov 2026 14:00:57 GMT") for _ in range(5)]
    assert waits[-1] == pytest.approx(3.1)
    assert pace.limited(200.0, 265.0, pause=12.0) == 12.0 and pace.opens == 212.0
    assert pace.full(300.0, 300.0) is None
    for hostile in (
        {},
        {"services": 5},
        {"services": {"worker_pool": {"detail": {"max_workers": True, "max_queue": -1}}}},
    ):
        before = pace.places
        pace.adjust(hostile)
        assert pace.places == before


def test_a_full_service_is_asked_less_and_again(lab, c):
    lab.fault(503, "/v1/batch", count=2, skip=1)
    frame = c.batch(mail(30)["body"], "haiku", columns=COLUMNS)
    assert (frame["status"] == "completed").all()
    # Two at least: a quick client meets places that are still taken, too.
    assert 2 <= (c.calls().query("op == 'batch'")["status"] == 503).sum() < 10
    assert len(lab.rows()) == 30


def test_past_the_rate_limit_all_wait_together_and_are_told_so(tmp_path):
    lab = ClaudeLab(tmp_path / "limited", window=2)
    try:
        key = lab.make_key("p", rate_limit=4)
        with lab.explorer(api_key=key) as c:
            seen = set()
            over = threading.Event()

            def look():
                while not over.wait(0.01):
                    seen.add("waiting" if c.last_batch is not None and c.last_batch._runner.waiting else "")

            looking = threading.Thread(target=look)
            looking.start()
            frame = c.batch(mail(40)["body"], "haiku", columns=COLUMNS)
            over.set()
            looking.join()
            assert (frame["status"] == "completed").all() and "waiting" in seen
            refused = c.calls().query("op == 'batch' and status == 429")
            assert 1 <= len(refused) < 40
    finally:
        lab.close()


def test_an_interrupt_loses_nothing_that_is_under_way(lab, c, capsys):
    over = mail(20, "[lab delay=0.3]")
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        c.batch("{body}", "haiku", over=over, columns=COLUMNS)
    before = c.last_batch.frame()["status"].value_counts()
    assert before["unknown"] > 0 and before["not run"] > 0
    assert "interrupted: 20 prompts" in capsys.readouterr().err
    whole = c.batch("{body}", "haiku", over=over, columns=COLUMNS)
    assert (whole["status"] == "completed").all() and len(lab.rows()) == 20 and c.client.spent.unknown == 0


def test_the_bill_has_what_lost_answers_did_cost(lab, c):
    lab.fault("reset", "/v1/batch", skip=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = c.batch(mail(30)["body"], "haiku", columns=COLUMNS)
    bill = frame.attrs["bill"]
    assert bill["unknown"] == 5 and bill["unknown_cost"] > 0
    assert bill["cost"] == pytest.approx(sum(row["cost"] for row in lab.rows()), abs=1e-9)
    assert "for lost answers, as the service counts" in repr(frame)
    whole = c.resume(unknown=True)
    assert whole.attrs["bill"]["cost"] == pytest.approx(sum(row["cost"] for row in lab.rows()), abs=1e-9)
    assert (whole["status"] == "completed").all()


def test_a_cancelled_batch_of_the_async_colour_goes_on(lab):
    async def main():
        async with AsyncClaudeClient(lab.url, lab.key) as client:
            batch = client.over(mail(20, "[lab delay=0.2]"), "{body}", columns=COLUMNS, model="haiku")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await batch.run()
            frame = await batch.resume()
            return frame, batch.bill

    frame, bill = asyncio.run(main())
    assert set(frame["status"]) == {"completed", "unknown"}
    assert bill["cost"] == pytest.approx(sum(row["cost"] for row in lab.rows()), abs=1e-9)


def test_a_call_that_is_cancelled_while_it_connects_leaves_no_socket():
    async def main(url):
        async with AsyncClaudeClient(url, "cc_00") as client:
            for n in range(60):
                call = asyncio.ensure_future(client.health())
                for _ in range(n % 30):
                    await asyncio.sleep(0)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)

    with socket.create_server(("127.0.0.1", 0), backlog=500) as listening:
        gc.collect()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            asyncio.run(main(f"http://127.0.0.1:{listening.getsockname()[1]}"))
            gc.collect()
    assert not [str(one.message) for one in caught if "unclosed" in str(one.message)]


# --- the cache --------------------------------------------------------------------------------------------------------


def test_a_changed_prompt_runs_only_changed_rows(lab, c, kept):
    over = mail(20)
    first = c.batch("{body}", "haiku", over=over, columns=COLUMNS, cache=kept)
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600 and len(lab.rows()) == 20
    over.loc[3, "body"] = "something else"
    again = c.batch("{body}", "haiku", over=over, columns=COLUMNS, cache=kept)
    assert len(lab.rows()) == 21 and again.attrs["bill"]["from_cache"] == 19
    assert again.attrs["bill"]["saved"] == pytest.approx(first["cost"].drop(3).sum())
    assert "19 from cache, saved $" in repr(again) and again["cost"].drop(3).sum() == 0
    for other in (
        {"columns": COLUMNS + ", n: int"},
        {"columns": COLUMNS, "model": "sonnet"},
        {"columns": COLUMNS, "repeats": 2},
    ):
        before = len(lab.rows())
        c.batch("{body}", over=over.head(2), cache=kept, **{"model": "haiku", **other})
        assert len(lab.rows()) > before
    before = len(lab.rows())
    c.batch("{body}", "haiku", over=over, columns=COLUMNS, cache=kept, max_age="1h")
    assert len(lab.rows()) == before
    c.batch("{body}", "haiku", over=over.head(2), columns=COLUMNS, cache=kept, max_age=0)
    assert len(lab.rows()) == before + 2


def test_what_is_kept_can_be_seen_and_let_go(lab, c, kept):
    c.batch("{body}", "haiku", over=mail(5), columns=COLUMNS, cache=kept)
    listed = kept.df
    assert list(listed.columns) == [
        "time",
        "model",
        "prompt",
        "columns",
        "content",
        "tokens",
        "cost",
        "state",
        "service",
    ]
    assert len(listed) == 5 and (listed["state"] == "answer").all() and (listed["service"] == lab.url).all()
    assert kept.clear(text="3 charged") == 1 and kept.clear(model="opus") == 0 and kept.clear(older_than="1h") == 0
    assert len(kept.df) == 4 and kept.clear() == 4
    assert [str(kind) for kind in kept.df.dtypes] == [str(kind) for kind in listed.dtypes]
    for wrong in ("soon", -1, True, [1]):
        with pytest.raises(InputError):
            age_of(wrong)


def test_questions_that_are_alike_are_asked_once(lab, c, kept):
    over = pd.DataFrame({"body": ["charged twice", "a parcel [lab shape=enum]", "lost [lab fail=cli_error]"] * 4})
    frame = c.batch("{body}", "haiku", over=over, columns=COLUMNS, cache=kept)
    assert frame["status"].tolist() == ["completed", "completed", "failed"] * 4 and len(lab.rows()) == 3
    assert frame.attrs["bill"]["cost"] == pytest.approx(sum(row["cost"] for row in lab.rows()))
    without = c.batch("{body}", "haiku", over=over.head(6), columns=COLUMNS, cache=False)
    assert len(lab.rows()) == 3 + 6 and without["topic"].tolist()[:2] == frame["topic"].tolist()[:2]


def test_a_cache_that_cannot_be_used_says_so_before_anything_is_sent(lab, c, tmp_path):
    (tmp_path / "no.sqlite").write_bytes(b"not a database at all" * 100)
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "no.sqlite", tmp_path / "file" / "below.sqlite"):
        with pytest.raises(InputError, match="cache"):
            c.batch("{body}", "haiku", over=mail(2), columns=COLUMNS, cache=path)
    assert not lab.rows()


def test_two_processes_that_ask_the_same_pay_once(lab, kept):
    """They ask at the same time, and share the answers of each other."""
    code = f"""
    import os
    import pandas as pd
    import kit.claude.explore.explorer as explorer
    c = explorer.connect(os.environ)
    over = pd.DataFrame({{"body": [f"{{n}} charged [lab delay=0.05]" for n in range(60)]}})
    print("begun", flush=True)
    frame = c.batch("{{body}}", "haiku", over=over, columns="{COLUMNS}", cache=r"{kept.path}")
    print(frame["status"].value_counts().to_dict(), flush=True)
    """
    env = {**os.environ, **lab.env}
    both = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [child.communicate(timeout=60)[0].splitlines()[-1] for child in both]
    assert told == ["{'completed': 60}"] * 2 and len(lab.rows()) == 60


def test_a_batch_in_a_notebook_keeps_its_answers_by_itself(lab, tmp_path):
    from .kernels import Notebook

    book = Notebook({**lab.env, "KIT_CACHE_DIR": str(tmp_path / "own")})
    try:
        book.run(
            "import kit, pandas as pd\nc = kit.connect('claude')\ndf = pd.DataFrame({'body': ['charged', 'late']})"
        )
        ask = "c.batch('{body}', 'haiku', over=df, columns='topic: billing|delivery')"
        assert "cost $" in book.text(ask) and "2 from cache, saved $" in book.text(ask)
        book.run("c.ask('hello', 'haiku')")
        assert book.text("print(c.ledger()['method'].tolist())") == "['batch', 'batch', 'complete']\n"
        book.run("c.close()")
        book.run("again = kit.connect('claude')")
        assert book.text("print(len(again.ledger()), len(again.ledger(kept=True)))") == "0 3\n"
        assert len(lab.rows()) == 3
    finally:
        book.close()


# --- the ledger -------------------------------------------------------------------------------------------------------


def test_the_ledger_by_time(lab, c):
    c.ask("hello", "haiku")
    c.batch(["Count to 2", "Count to 3"], "sonnet")
    with lab.client() as other:
        other.complete("from elsewhere", "opus")
    by_hour = c.ledger(over="hour")
    assert list(by_hour.columns) == ["time", "model", "calls", "tokens", "cost", "unknown"]
    assert by_hour.groupby("model")["calls"].sum().to_dict() == {"haiku": 1, "sonnet": 2}
    assert str(by_hour["time"].dtype) == "datetime64[ms, UTC]" and by_hour["cost"].sum() == pytest.approx(
        c.client.spent.cost
    )
    told = c.usage("month", over="day")
    assert (
        told["source"].tolist()[-1] == "service"
        and told["model"].tolist()[-1] == "opus"
        and told["time"].isna().sum() == 1
    )
    assert (
        told["cost"].sum()
        == pytest.approx(c.usage("month").attrs["total_cost"])
        == pytest.approx(told.attrs["service_cost"])
    )
    assert "this client knows of" in repr(told)
    assert "Cost" in usage_plot(told, over="day").get_title(loc="left")
    assert "Cost" in usage_plot(c.ledger(), over="hour").get_title(loc="left")
    with pytest.raises(InputError):
        c.ledger(over="week")
    assert [str(kind) for kind in c.ledger(over="day").dtypes] == [str(kind) for kind in by_hour.dtypes]


# --- did it work ------------------------------------------------------------------------------------------------------


def test_answers_against_labels(c):
    over = pd.DataFrame(
        {"body": ["charged twice", "parcel late", "thank you", "x [lab shape=enum!]"]}, index=list("abcd")
    )
    meant = pd.Series(["billing", "praise", "praise", "billing"], index=list("dcba"), name="meant")
    frame = c.batch("{body}", "haiku", over=over, columns=COLUMNS)
    found = c.compare(frame, meant)
    assert found.accuracy == 0.5 and found.right == 2 and found.column == "topic"
    assert found.confusion.loc["praise", "delivery"] == 1 and found.confusion.loc["billing", "(none)"] == 1
    assert found.classes.loc["billing", "precision"] == 1.0 and found.classes.loc["billing", "recall"] == 0.5
    assert found.wrong.index.tolist() == ["b", "d"]
    assert "2 of 4 are right" in found._repr_html_() and "2 of 4 are right" in repr(found)
    assert found.plot().get_title(loc="left") == "topic: labels and answers"
    both = c.batch("{body}", over=over, columns=COLUMNS, models=["haiku", "sonnet"])
    assert c.compare(both, meant)["model"].tolist() == ["haiku", "sonnet"]
    for wrong in (meant.head(2), ["billing"], meant.where(meant == "billing"), "nothing"):
        with pytest.raises(InputError):
            c.compare(frame, wrong)
    with pytest.raises(InputError, match="did you mean 'topic'"):
        c.compare(frame, meant, "topc")


# --- under fire, a little ---------------------------------------------------------------------------------------------


def test_faulty_answers_give_the_right_status_and_never_a_wrong_value():
    seen = fire.answers(400, seed=11)
    assert min(seen["completed"], seen["not json"], seen["wrong value"]) > 30


def test_interrupts_and_kills_pay_for_nothing_twice(capfd):
    assert fire.harried(6, 2, seed=5) >= (6, 2)
