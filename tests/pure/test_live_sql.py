"""Live queries: a result that keeps itself true, from feeds of the test's own."""

import contextlib
import hmac
import threading
import time

import httpx
import pandas as pd
import pyarrow as pa
import pytest

import kit
from kit.amdahl.client.webhooks import SIGNATURE_HEADERS
from kit.amdahl.explore.receiver import Deliveries
from kit.core.errors import InputError, KitError
from kit.live.results.ring import Ring

PATIENCE = 20


def until(found, test):
    return found.wait(until=lambda feed: test(feed.df), timeout=PATIENCE).df


def test_the_result_is_replaced_as_rows_come(given):
    orders = given()
    with kit.live_sql(
        "select city, count(*) n, sum(total) t from orders group by 1 order by 1", every=0.2, orders=orders.feed
    ) as found:
        assert found.wait(until=lambda feed: feed.state == "live", timeout=PATIENCE).df.empty
        assert found.df.attrs["notes"] == ["waits for rows of orders"]
        orders.put({"city": "Oslo", "total": 2}, {"city": "Rome", "total": 3})
        until(found, lambda df: len(df) == 2)
        orders.put({"city": "Oslo", "total": 2**62})
        frame = until(found, lambda df: df["n"].sum() == 3)
        assert (
            frame["t"].tolist() == [2**62 + 2, 3] and found.total == len(found) == 2 and "waits" not in str(frame.attrs)
        )
        runs = found.stats()["runs"]
        time.sleep(0.4)
        assert found.stats()["runs"] == runs  # nothing came
        html = kit.LiveView(found)._repr_mimebundle_()["text/html"]
        assert html.index("Oslo") < html.index("Rome") and "2</b> rows" in html
        orders.end()
        assert found.wait(timeout=PATIENCE).state == "closed"


@pytest.mark.parametrize("first", ["numbers", "nothing"])
def test_rows_without_a_value_do_not_make_the_numbers_of_others_texts(first):
    """JSON's nulls alone are a column of text, of which there is no sum."""
    tables = {
        "numbers": pa.table({"x": [1, 2], "y": ["a", None]}),
        "nothing": pa.table({"x": pa.nulls(1, pa.string())}),
    }
    order, more = sorted(tables, key=lambda name: name != first), threading.Event()

    def rows():
        yield tables[order[0]]
        assert more.wait(PATIENCE)
        yield tables[order[1]]

    feed = kit.Feed(rows())
    with kit.live_sql("select count(*) n, count(x) known, any_value(x) x from t", every=0.1, t=feed) as found:
        until(found, lambda df: len(df) and df["n"][0] == tables[first].num_rows)
        more.set()
        until(found, lambda df: df["n"][0] == 3)
        with kit.live_sql("select sum(x) total from t", every=0.1, t=feed) as sums:
            assert until(sums, lambda df: len(df))["total"].tolist() == [3] and not sums.problems
    feed.close()


def test_queries_over_queries_frames_and_two_feeds(given):
    orders, claims = given(), given()
    prices = pd.DataFrame({"item": ["tea", "cake"], "price": [2, 5]})  # noqa: F841  the query finds it
    spent = kit.live_sql(
        "select id, sum(price) as spent from orders join prices using (item) group by 1", every=0.2, orders=orders.feed
    )
    with spent, kit.live_sql(
        "select id, spent, claim from spent left join claims using (id) where spent > 4 order by 1",
        every=0.2, spent=spent, claims=claims.feed, into="arrow",
    ) as found:  # fmt: skip
        orders.put({"id": 1, "item": "tea"}, {"id": 2, "item": "cake"}, {"id": 1, "item": "cake"})
        claims.put({"id": 2, "claim": "cold"})
        found.wait(until=lambda feed: isinstance(feed.df, pa.Table) and feed.df.num_rows == 2, timeout=PATIENCE)
        assert found.df.to_pylist() == [{"id": 1, "spent": 7, "claim": None}, {"id": 2, "spent": 5, "claim": "cold"}]
        seen = []
        found.on(lambda frame: seen.append(len(frame)))
        orders.put({"id": 3, "item": "cake"})
        found.wait(3, timeout=PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while 3 not in seen and time.monotonic() < deadline:
            time.sleep(0.01)
        assert seen[-1] == 3
        assert kit.sql("select count(*) n from spent").n[0] == 3


def test_an_error_is_told_with_its_line_and_the_last_result_stays(given):
    orders = given()
    with kit.live_sql("select n,\n  10 / n::int as x from orders order by n", every=0.2, orders=orders.feed) as found:
        orders.put({"n": "1"}, {"n": "2"})
        until(found, lambda df: len(df) == 2)
        orders.put({"n": "three"})
        frame = until(found, lambda df: df.attrs.get("stale"))
        assert frame["n"].tolist() == ["1", "2"] and "stale since" in frame.attrs["notes"][0]
        (problem,) = found.problems
        assert "Could not convert" in str(problem) and "LINE 2" in str(problem)
        assert "stale since" in kit.LiveView(found)._repr_mimebundle_()["text/html"]
        orders.feed.clear()
        orders.put({"n": "4"})
        frame = until(found, lambda df: df["n"].tolist() == ["4"])
        assert not frame.attrs["stale"] and found.problems == [] and found.state == "live"


def test_rows_that_left_a_buffer_are_told(given):
    orders = given(max_rows=10)
    with kit.live_sql("select count(*) n, min(n) least from orders", every=0.2, orders=orders.feed) as found:
        with kit.live_sql("select * from found", every=0.2, found=found) as over:
            orders.put(*({"n": n} for n in range(25)))
            frame = until(over, lambda df: len(df) and df["least"][0] == 15)
            assert frame["n"][0] == 10 and "orders: without the 15 rows that left its buffer" in found.df.attrs["notes"]
            assert "found: orders: without the 15 rows that left its buffer" in frame.attrs["notes"]


def test_columns_that_come_later_and_types_that_widen(given):
    orders = given(max_rows=30)
    with kit.live_sql(
        "select count(*) n, count(extra) e, sum(v::double) v from orders", every=0.2, orders=orders.feed
    ) as found:
        orders.put({"v": 1})
        assert "extra" in str(found.wait(until=lambda feed: feed.problems, timeout=PATIENCE).problems[0])
        for n in range(50):
            orders.put({"v": n, "extra": n} if n % 2 else {"v": n + 0.5})
        frame = until(found, lambda df: len(df) and df["v"][0] == sum(range(20, 50)) + 7.5)
        assert frame["n"][0] == 30 and frame["e"][0] == 15 and found.problems == []


def test_a_slow_query_runs_less_often_and_can_be_closed(given):
    slow = "select count(*) n from orders, range(30_000) a, range(8_000) b where a.range * b.range % 7 = orders.n"
    orders = given()
    orders.put({"n": 1})
    with kit.live_sql(slow, every=0.2, orders=orders.feed) as found:
        stop = threading.Event()
        feeder = threading.Thread(
            target=lambda: [orders.put({"n": -1}) or time.sleep(0.02) for _ in iter(stop.is_set, True)]
        )
        feeder.start()
        found.wait(1, timeout=60)
        told = found.stats()
        assert told["every"] >= 2 * told["took"] and "runs every" in found.df.attrs["notes"][0]
        began = time.monotonic()
        found.close()
        stop.set()
        feeder.join()
        assert time.monotonic() - began < 6


def test_variables_of_the_caller_are_tables(given):
    orders = given()
    mine = orders.feed
    orders.put({"n": 1}, {"n": 2})
    with kit.live_sql(
        "with t as (select * from mine where n > $least) select sum(n) n from t", params={"least": 1}
    ) as found:
        assert until(found, lambda df: len(df) == 1)["n"].tolist() == [2]
    assert mine.state == "live"


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("selec 1", {}, "syntax error"), ("", {}, "no query"), ("select 1", {}, "no table of this query moves"),
        ("drop table t", {}, "asks for rows"), ("select * from t", {"every": 0}, "every=0"), ("select * from t", {"into": "list"}, "into="),
        ("select * from t", {"t": 5}, "no table"), ("select * from tt", {}, "did you mean 't'"), ("select * from t", {"params": 3}, "a single value"),
        ("copy t to 'x.csv'", {}, "asks for rows"),
    ],
)  # fmt: skip
def test_what_it_refuses(given, text, options, told):
    with pytest.raises(KitError, match=told):
        kit.live_sql(text, **{"t": given().feed, **options})


@pytest.mark.parametrize(("more", "cut"), [(0, False), (1, True), (100, True)])
def test_a_result_is_named_by_the_beginning_of_its_query(given, more, cut):
    start = "select n from t where n <> 123456789 and n <> 1234567890 --"
    text = start + "x" * (60 - len(start) + more)
    with kit.live_sql(text.replace(" from", "\n  from"), t=given().feed) as found:
        assert repr(found).startswith(f"<Feed of {text[:59] + '…' if cut else text}, ")


def test_a_table_can_be_deliveries():
    """They have no beginning to start from, as streams have."""
    with contextlib.closing(Deliveries("secret")) as hooks:
        with kit.live_sql("select event, verified from hooks", every=0.1, hooks=hooks) as found:
            body = b'{"event":"session.completed"}'
            signature = hmac.new(b"secret", body, "sha256").hexdigest()
            httpx.post(hooks.url, content=body, headers={SIGNATURE_HEADERS[0]: signature}, trust_env=False)
            assert until(found, len)["verified"].tolist() == [True]


def test_a_ring_is_what_the_feed_has():
    with kit.Feed(
        [
            [{"n": n, "x": "a" * n} if n % 7 else {"n": n + 0.5} for n in range(at, at + 37)]
            for at in range(0, 3700, 37)
        ],
        max_rows=900,
    ) as feed:
        ring = Ring(feed.shared)
        while not feed.ended:
            ring.table()
        feed.wait(timeout=PATIENCE)
        assert ring.table().to_pylist() == pa.table(feed).to_pylist() and ring.table().num_rows == 900
        feed.clear()
        assert ring.table().num_rows == 0
    with pytest.raises(InputError):
        kit.live_sql("select 1 from feed", every=True)


def test_frames_are_given_by_name_too(given):
    orders = given()
    orders.put({"n": 1}, {"n": 2})
    rates = pd.DataFrame({"n": [2], "rate": [0.5]})
    with kit.live_sql("select rate from o join r using (n)", every=0.2, o=orders.feed, r=rates) as found:
        assert until(found, lambda df: len(df) == 1)["rate"].tolist() == [0.5]


def test_a_ring_keeps_rows_while_columns_come_and_widen(given):
    orders = given()
    ring = Ring(orders.feed.shared)
    rows = [{"n": 1}, {"n": 2, "x": "a"}, {"n": 2.5}, {"x": "b"}, {"y": True}]
    for n, row in enumerate(rows, 1):
        orders.put(row)
        deadline = time.monotonic() + PATIENCE
        while ring.table().num_rows < n and time.monotonic() < deadline:
            time.sleep(0.01)
        names = ring.columns
        assert set(names) == {name for one in rows[:n] for name in one}
        assert ring.table().to_pylist() == [{name: one.get(name) for name in names} for one in rows[:n]]
