"""Results over the logs of the lab: live queries of handles, several streams as one feed, folds of views."""

import time
import uuid

import pytest

import kit

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]
PATIENCE = 30


@pytest.fixture(scope="module")
def lab():
    with kit.Lab("s2", "kimberlite", "amdahl", join=False) as lab:
        yield lab


@pytest.fixture
def basin(lab):
    return lab.s2.create_basin(f"results-{uuid.uuid4().hex[:8]}")


def test_a_live_query_over_handles_of_two_services(lab, basin):
    orders, name = basin.create("orders"), f"claims-{uuid.uuid4().hex[:8]}"
    orders.append([{"id": n, "city": ("Oslo", "Rome")[n % 2], "total": n} for n in range(10)])
    lab.kimberlite.create(name)
    claims = lab.kimberlite[name]
    claims.append([{"id": 3, "amount": 7}])
    query = (
        "select city, sum(total)::int as total, coalesce(sum(amount), 0)::int as claimed"
        " from orders left join claims using (id) group by 1 order by 1"
    )
    with kit.live_sql(query, every=0.1, orders=orders, claims=claims) as found:
        found.wait(until=lambda feed: len(feed.df) and feed.df["claimed"].tolist() == [0, 7], timeout=PATIENCE)
        assert found.df["total"].tolist() == [20, 25]
        orders.append([{"id": 10, "city": "Lima", "total": 5}])
        claims.append([{"id": 10, "amount": 2}])
        found.wait(until=lambda feed: feed.df["claimed"].tolist() == [2, 0, 7], timeout=PATIENCE)
        with kit.LiveView(found) as view:
            assert "Lima" in view._repr_mimebundle_()["text/html"]
    # The feeds that it made of the handles end with it.
    deadline = time.monotonic() + PATIENCE
    while any(not feed.ended for feed in found.source._feeds.values()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert all(feed.ended for feed in found.source._feeds.values())


def test_streams_of_a_prefix_as_one_view(basin):
    for name in ("orders/eu", "orders/us", "other"):
        basin.create(name).append([{"of": name, "n": n} for n in range(50)])
    with basin.live("orders/", start="earliest", tolerance=0.5) as view:
        view.wait(100, timeout=PATIENCE)
        frame = view.df
        assert frame["time"].is_monotonic_increasing and view.stats()["disordered"] == 0
        assert frame["source"].value_counts().to_dict() == {
            f"{basin.name}/orders/eu": 50, f"{basin.name}/orders/us": 50,
        }  # fmt: skip
        counts = view.per("of", n="count")
        counts.wait(until=lambda feed: feed.df["n"].sum() == 100, timeout=PATIENCE)
        basin["orders/eu"].append([{"of": "late", "n": 1}])
        counts.wait(until=lambda feed: "late" in feed.df["of"].tolist(), timeout=PATIENCE)
        told = view.checkpoint()
    basin["orders/us"].append([{"of": "later", "n": 1}])
    with basin.live("orders/", from_checkpoint=told) as view:
        assert view.wait(1, timeout=PATIENCE).df["of"].tolist() == ["later"]
        counts = view.per("of", n="count").wait(
            until=lambda feed: feed.df["n"].sum() == 102 if len(feed.df) else False, timeout=PATIENCE
        )
        assert counts.df["of"].tolist() == ["orders/eu", "orders/us", "late", "later"]
    with pytest.raises(kit.KitError, match="has no stream that starts"):
        basin.live("nothing/")


def test_verbs_of_a_view(lab, basin):
    stream = basin.create("numbers")
    calls = []
    with stream.live() as view:
        view.when("n > 3", call=lambda frame: calls.append(frame["n"].tolist()))
        newest, last = view.newest_by("k"), view.rolling(n=2, total="sum:n")
        stream.append([{"k": n % 2, "n": n} for n in range(6)])
        newest.wait(2, timeout=PATIENCE)
        last.wait(until=lambda feed: len(feed) and feed.df["total"].tolist() == [9], timeout=PATIENCE)
        assert newest.df["n"].tolist() == [4, 5]
        deadline = time.monotonic() + PATIENCE
        while not calls and time.monotonic() < deadline:
            time.sleep(0.02)
        assert calls == [[4]]


def test_events_of_a_session_are_counted_once_over_cuts_and_a_checkpoint(lab):
    lab.faults("amdahl", "reset", path="*/stream", count=3, after=700)
    session = lab.amdahl.start("researcher", "look at churn", seconds=1.5)
    with kit.Feed(session) as feed:
        counts = feed.per("type", n="count", first="first:id")
        feed.wait(3, timeout=PATIENCE)
        told = counts.checkpoint()
    with kit.Feed(session, from_checkpoint=told) as feed:
        counts = feed.per("type", n="count", first="first:id").wait(timeout=PATIENCE).df
    lab.faults(clear=True)
    events = session.events()
    assert dict(zip(counts["type"], counts["n"], strict=True)) == events["type"].value_counts().to_dict()
    assert counts["first"].tolist() == events.groupby("type", sort=False)["id"].first()[counts["type"]].tolist()


def test_results_are_plotted(lab, basin):
    stream = basin.create("readings")
    stream.append([{"value": n} for n in range(50)])
    with kit.Feed(stream, start=0) as feed:
        windows = feed.per(every="1s", mean="mean:value").wait(1, timeout=PATIENCE)
        axes = kit.plots.over_time(windows, "mean")
        assert axes.get_lines()
