"""A prompt over the rows of a feed: answers beside them, bounded in rate and money, and a feed that never waits."""

import threading
import time

import pandas as pd
import pytest

import kit
from kit.core.errors import InputError

from .claudelite import exploring, served

pytestmark = pytest.mark.lab

ASKED = "topic: billing|delivery|praise, score: float 0..1, tags: list[str]"


lab = pytest.fixture(scope="module")(served)
c = pytest.fixture(exploring)


def rows(count, pause=0.0, after=None, words=""):
    texts = ["I was charged twice", "My parcel is late", "Thanks, that is lovely"]
    for n in range(count):
        if after is not None and n == count // 2:
            after.wait(20)
        yield {"n": n, "body": f"{n} {texts[n % 3]} {words}" if n != 5 else None}
        if pause:
            time.sleep(pause)


def until(asked, count):
    deadline = time.monotonic() + 20
    while asked.total < count and not asked.ended and time.monotonic() < deadline:
        time.sleep(0.02)
    return asked.df


def test_answers_stand_beside_the_rows_as_they_come(lab, c):
    go = threading.Event()
    with kit.Feed(lambda: rows(12, after=go)) as feed:
        with feed.ask("What is it? {body}", ASKED, on=c, model="haiku", every=0.1) as asked:
            assert until(asked, 6)["n"].tolist() == list(range(6))
            go.set()
            df = until(asked, 12)
            assert list(df.columns) == ["n", "body", "topic", "score", "tags", "status", "error", "cost"]
            assert df["n"].tolist() == list(range(12))
            assert df["status"].tolist() == ["completed"] * 5 + ["skipped"] + ["completed"] * 6
            assert df["topic"].tolist()[:3] == ["billing", "delivery", "praise"] and pd.isna(df["topic"][5])
            assert df.attrs["asked"] == 11 and df.attrs["skipped"] == 1
            assert df.attrs["cost"] == pytest.approx(df["cost"].sum()) == pytest.approx(c.client.spent.cost)
            deadline = time.monotonic() + 10
            while not asked.ended and time.monotonic() < deadline:
                time.sleep(0.02)
            assert asked.state == "closed"


def test_what_comes_too_fast_is_skipped_and_counted_and_the_feed_never_waits(lab, c):
    def many():
        for at in range(0, 20_000, 1000):
            yield pd.DataFrame({"n": range(at, at + 1000), "body": ["My parcel is late [lab delay=0.5]"] * 1000})

    with kit.Feed(many) as feed:
        began = time.monotonic()
        with feed.ask("What is it? {body}", ASKED, on=c, model="haiku", every=0.5, most=5) as asked:
            feed.wait(n=20_000, timeout=20)
            assert asked.total < 20_000, "the feed has waited for answers"
            df = until(asked, 20_000)
            rounds = (time.monotonic() - began) / 0.5 + 2
            assert len(df) == 20_000 and 0 < (df["status"] == "completed").sum() <= 5 * rounds
            assert df.attrs["asked"] + df.attrs["skipped"] == 20_000 and df["n"].is_monotonic_increasing
            assert df["status"].iloc[-1] == "completed"


def test_money_ends_the_asking_and_not_the_rows(lab, c):
    before = c.client.spent.cost
    with kit.Feed(lambda: rows(40, pause=0.02)) as feed:
        with feed.ask("{body}", "topic: billing|delivery", on=c, model="haiku", every=0.1, max_cost=0.0002) as asked:
            df = until(asked, 40)
            assert len(df) == 40 and (df["error"] == "over budget").any() and (df["status"] == "completed").any()
            assert c.client.spent.cost - before <= 0.0002 and df.attrs["cost"] <= 0.0002


def test_failures_are_told_row_by_row(lab, c):
    lab.fault(503, "/v1/batch", count=1)
    with kit.Feed(lambda: rows(6, words="[lab shape=cut]")) as feed:
        with feed.ask("{body}", "topic: billing|delivery", on=c, model="haiku", every=0.1) as asked:
            df = until(asked, 6)
            assert df["error"].tolist()[:5] == ["not json"] * 5 and df["topic"].isna().all()
    with kit.Feed(lambda: rows(3)) as feed:
        with feed.ask("{bdy}", on=c) as asked:
            until(asked, 1)
            assert asked.state == "failed" and "did you mean 'body'" in str(asked.error)


def test_what_cannot_be_asked_is_refused_at_once(lab, c):
    with kit.Feed(lambda: rows(3)) as feed:
        for wrong in (
            lambda: feed.ask("no column", on=c),
            lambda: feed.ask("{body}", "a: nothing", on=c),
            lambda: feed.ask("{body}", on=5),
            lambda: feed.ask("{body}", on=c, every=0),
            lambda: feed.ask("{body}", on=c, most=0),
            lambda: feed.ask("{body}", on=c, max_cost=float("nan")),
            lambda: feed.ask("{body}", on=c, model="gpt"),
        ):
            with pytest.raises(InputError):
                wrong()


def test_rows_without_a_value_are_skipped_however_they_arrive(lab, c):
    gates = [threading.Event(), threading.Event()]

    def some():
        yield {"x": 1.5}
        yield {"x": float("nan")}
        gates[0].wait(20)
        yield {"other": 1}
        gates[1].wait(20)
        yield {"x": 2.5}

    with kit.Feed(some) as feed:
        with feed.ask("Which? {x}", "topic: a|b", on=c, model="haiku", every=0.1) as asked:
            assert until(asked, 2)["status"].tolist() == ["completed", "skipped"]
            gates[0].set()
            assert until(asked, 3)["status"].tolist()[2] == "skipped"
            gates[1].set()
            assert until(asked, 4)["status"].tolist()[3] == "completed"
            assert asked.df.attrs["asked"] == 2 and asked.df.attrs["skipped"] == 2


def test_where_the_feed_fails_its_answers_do_not_seem_to_be_all(lab, c):
    def broken():
        yield {"x": "a"}
        raise ValueError("the source broke")

    with kit.Feed(broken) as feed:
        with feed.ask("Which? {x}", "topic: a|b", on=c, model="haiku", every=0.1) as asked:
            assert until(asked, 1)["status"].tolist() == ["completed"]
            deadline = time.monotonic() + 10
            while not asked.ended and time.monotonic() < deadline:
                time.sleep(0.02)
            assert asked.state == "failed" and "the source broke" in str(asked.error)
