"""Feeds over each service, under cuts and resets: every position once and in order, or the gap is told.

`KIT_FEED_ROWS=1000000 python -m pytest tests/lab/test_live_feeds.py` runs them with a million rows.
"""

import asyncio
import json
import os
import threading
import time
import uuid

import numpy as np
import pytest

import kit
from kit.core.errors import InputError, KitError
from kit.s2 import S2ServerError

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

ROWS = int(os.environ.get("KIT_FEED_ROWS", "20000"))
PATIENCE = 60 + ROWS / 2000


@pytest.fixture(scope="module")
def faulty_lab():
    """A lab of its own: its faults would hit the requests of others. Its rooms hold as much as is written here."""
    kept = {"KIT_SYNAP_EVENTS": str(2 * ROWS), "KIT_SYNAP_UNREAD": str(2 * ROWS)}
    before = {name: os.environ.get(name) for name in kept}
    os.environ.update(kept)
    with kit.Lab("s2", "kimberlite", "amdahl", "synap", "claude", join=False) as lab:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        yield lab


@pytest.fixture
def lab(faulty_lab):
    yield faulty_lab
    faulty_lab.faults(clear=True)


@pytest.fixture
def stream(lab):
    basin = lab.s2.create_basin(f"feeds-{uuid.uuid4().hex[:8]}")
    return basin.create("numbers")


def bodies(first, count):
    return [b'{"n":%d}' % n for n in range(first, first + count)]


def write(append, count, most=2000):
    """Appends numbered rows from another thread, while the feed follows."""

    def run():
        for first in range(0, count, most):
            append(bodies(first, min(most, count - first)))

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def positions(feed, name):
    return np.concatenate([batch.column(name).to_numpy() for batch in feed.batches()[1]])


def test_s2_under_cuts_every_record_once_and_in_order(lab, stream):
    # Cuts in the middle of a frame, before the first one, and no answer at all; most after some progress.
    for n, kind in enumerate(["reset", "drop", "truncate", "503", "reset", "truncate", "429", "reset", "truncate"]):
        lab.faults("s2", kind, path="*/records", method="GET", after=40_000 + 11_111 * n if n else 300)
    with kit.Feed(stream, start=0, max_rows=2 * ROWS, max_bytes=2**31) as feed:
        writer = write(stream.append, ROWS)
        feed.wait(ROWS, timeout=PATIENCE)
        writer.join()
        feed.wait(until="caught_up", timeout=20)
        assert np.array_equal(positions(feed, "seq_num"), np.arange(ROWS))
        assert feed.df["n"].to_numpy().tolist() == list(range(ROWS))
        stats = feed.stats()
        assert stats["reconnects"] >= 5 and stats["total"] == ROWS and stats["dropped"] == 0
        assert stats["lag"] == 0 and stats["gaps"] == 0


def test_kimberlite_under_resets_every_event_once_and_in_order(lab):
    k = lab.kimberlite
    name = f"feed-{uuid.uuid4().hex[:8]}"
    k.create(name)
    lab.faults("kimberlite", "reset", path="Push/*", count=10, skip=2, after=20)
    with kit.Feed(k[name], start=0, max_rows=2 * ROWS, max_bytes=2**31) as feed:
        writer = write(lambda events: k.append(name, events), ROWS)
        feed.wait(ROWS, timeout=PATIENCE)
        writer.join()
        assert np.array_equal(positions(feed, "offset"), np.arange(ROWS))
        assert feed.df["n"].to_numpy().tolist() == list(range(ROWS))
        assert feed.stats()["reconnects"] >= 1
        feed.wait(until="caught_up", timeout=20)
        assert feed.lag == 0


def test_amdahl_under_cuts_every_event_once_and_in_order(lab):
    a = lab.amdahl
    lab.faults("amdahl", "reset", path="*/stream", count=4, after=700)
    session = a.start("researcher", "look at churn", seconds=1.5)
    with kit.Feed(session) as feed:
        feed.wait(timeout=30)
        assert feed.state == "closed"
        assert feed.df["id"].tolist() == session.events()["id"].tolist()
        assert feed.df["type"].iloc[-1] == "session.completed"
        assert feed.stats()["reconnects"] >= 1


def test_synap_under_drops_every_event_once_and_in_order(lab):
    syn = lab.synap
    room = f"feed-{uuid.uuid4().hex[:8]}"
    syn.client.stream.create(room)
    lab.faults("synap", "drop", path="/rpc/SREAD", count=3, skip=5)
    with kit.Feed(syn[room], start=0, max_rows=2 * ROWS, max_bytes=2**31) as feed:
        writer = write(lambda events: syn.publish(room, [event.decode() for event in events], "room"), ROWS, 500)
        feed.wait(ROWS, timeout=PATIENCE)
        writer.join()
        assert np.array_equal(positions(feed, "offset"), np.arange(ROWS))
        assert feed.stats()["gaps"] == 0 and not len(lab.faults())


def test_synap_topics(lab):
    syn = lab.synap
    with syn.live(topics=["orders.*"]) as view:
        view.wait(until=lambda feed: feed.state == "live", timeout=10)
        syn.publish("orders.new", [{"n": 1}, {"n": 2}], "topic")
        view.wait(2, timeout=10)
        assert view.df["n"].tolist() == [1, 2] and view.df.columns[:2].tolist() == ["time", "topic"]
    with pytest.raises(InputError):
        syn.live()
    with pytest.raises(InputError):
        syn.live(topics=["a"], start=1)


def test_what_is_written_once_a_feed_is_there_is_seen(lab, stream):
    k, syn = lab.kimberlite, lab.synap
    name = f"now-{uuid.uuid4().hex[:8]}"
    k.create(name)
    syn.client.stream.create(name)
    for n in range(5):
        with (
            kit.Feed(stream) as records,
            kit.Feed(k[name]) as events,
            kit.Feed(syn[name]) as room,
            syn.live(topics=[name]) as topic,
        ):
            one = b'{"n":%d}' % n
            stream.append(one)
            k.append(name, [one])
            syn.publish(name, [{"n": n}], "room")
            syn.publish(name, [{"n": n}], "topic")
            for feed in (records, events, room, topic):
                assert feed.wait(1, timeout=10).df["n"].tolist() == [n]


def test_a_feed_of_a_silent_service_is_there_at_once(lab, stream):
    lab.faults("s2", "delay", seconds=5, count=3)
    began = time.monotonic()
    with kit.Feed(stream) as feed:
        assert time.monotonic() - began < 3 and feed.state == "connecting"


def test_a_feed_from_the_tail_misses_nothing_that_comes_before_its_first_record(lab, stream):
    stream.append(bodies(0, 10))
    lab.faults("s2", "reset", path="*/records", method="GET", count=5)
    with kit.Feed(stream) as feed:
        stream.append(bodies(10, 5))
        feed.wait(5, timeout=20)
        assert positions(feed, "seq_num").tolist() == list(range(10, 15))


def test_deliveries(lab):
    with lab.amdahl.deliveries(events=["session.completed"]) as deliveries:
        with kit.Feed(deliveries, verified=True) as feed:
            session = lab.amdahl.run("researcher", "x", seconds=0.1)
            feed.wait(1, timeout=10)
            assert json.loads(feed.df["body"].iloc[0])["session_id"] == session.id
            feed.pause()
            lab.amdahl.run("researcher", "x", seconds=0.1)
            deliveries.wait(2, timeout=10)
            feed.wait(until=lambda feed: feed.skipped == 1, timeout=10)
            feed.resume()
            lab.amdahl.run("researcher", "x", seconds=0.1)
            feed.wait(2, timeout=10)
            assert feed.df["n"].tolist() == [0, 2]
            assert feed.stats()["skipped"] == 1
            deliveries.close()
            feed.wait(timeout=10)
            assert feed.state == "closed"


def test_a_permanent_error_ends_in_failed(lab, stream):
    with kit.Feed(lab.s2["demo-shop"]["nowhere"], start=0) as feed:
        with pytest.raises(S2ServerError, match="stream_not_found"):
            feed.wait(1, timeout=20)
        assert feed.state == "failed" and isinstance(feed.error, S2ServerError)
        with pytest.raises(S2ServerError):
            next(iter(feed))
        assert len(feed.df) == 0 and "seq_num" in feed.df.columns
    assert feed.state == "failed"


def test_pausing_holds_the_service_back(lab, stream):
    with kit.Feed(stream, start=0) as feed:
        stream.append(bodies(0, 100))
        feed.wait(100, timeout=10)
        feed.pause()
        assert feed.state == "paused"
        for n in range(20):
            stream.append(bodies(100 + 1000 * n, 1000))
        assert feed.total == 100
        with pytest.raises(TimeoutError, match="101 rows"):
            feed.wait(101, timeout=0.3)
        feed.resume()
        feed.wait(20_100, timeout=20)
        assert feed.stats()["skipped"] == 0
        assert positions(feed, "seq_num").tolist() == list(range(20_100))


def test_a_checkpoint_goes_on_in_another_feed(lab, stream, tmp_path):
    stream.append(bodies(0, 50))
    with kit.Feed(stream, start=0) as feed:
        feed.wait(50, timeout=10)
        told = feed.checkpoint(tmp_path / "here.json")
        assert told["position"] == 49
    stream.append(bodies(50, 50))
    for given in (told, tmp_path / "here.json", str(tmp_path / "here.json")):
        with kit.Feed(stream, from_checkpoint=given) as feed:
            feed.wait(50, timeout=10)
            assert positions(feed, "seq_num").tolist() == list(range(50, 100))
    with kit.Feed(stream) as feed:
        feed.wait(until="caught_up", timeout=10)
        assert feed.checkpoint()["position"] == 99  # known before the first record has come
    with pytest.raises(InputError, match="is of"):
        kit.Feed(lab.s2["demo-shop"]["orders"], from_checkpoint=told)


def test_live_verbs_give_views_with_filters(lab, stream):
    with stream.live(0, n=[3, 5], where=lambda frame: frame["n"] > 3) as view:
        stream.append(bodies(0, 10))
        view.wait(1, timeout=10)
        assert view.df["n"].tolist() == [5]
        assert "live" in repr(view) and "numbers" in repr(view)
        assert "1</b> rows" in view._repr_mimebundle_()["text/html"]
    assert view.state == "closed"
    with lab.kimberlite.live("claims", "tail-5") as view:
        view.wait(5, timeout=10)
        assert len(view.df) == 5
    with lab.amdahl.live(lab.amdahl.start("researcher", "x", seconds=0.1).id) as view:
        view.wait(timeout=20)
        assert view.df["type"].iloc[-1] == "session.completed"


@pytest.mark.parametrize("start", ["yesteryear", 1.5, -1])
def test_a_wrong_start_is_told_before_traffic(lab, stream, start):
    with pytest.raises(InputError):
        stream.live(start)
    with pytest.raises(InputError):
        lab.kimberlite.live("claims", start)


def sockets():
    return sum(
        os.readlink(f"/proc/self/fd/{n}").startswith("socket:") for n in os.listdir("/proc/self/fd") if exists(n)
    )


def exists(number):
    try:
        os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return False
    return True


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="counts open files as Linux shows them")
def test_feeds_opened_and_closed_leave_nothing(lab, stream):
    from kit.core import loop

    stream.append(bodies(0, 10))

    async def tasks():
        return len(asyncio.all_tasks())

    def round_of(count):
        feeds = [kit.Feed(stream, start=0) for _ in range(count)]
        feeds += [kit.Feed(lab.kimberlite["claims"], start="tail-3") for _ in range(count)]
        for feed in feeds:
            feed.wait(3, timeout=20)
        for feed in feeds:
            feed.close()
            feed.close()

    round_of(2)
    before = threading.active_count(), sockets(), loop.call(tasks)
    for _ in range(10):
        round_of(10)
    deadline = time.monotonic() + 5
    while (after := (threading.active_count(), sockets(), loop.call(tasks))) != before:
        assert time.monotonic() < deadline, (before, after)
        time.sleep(0.05)  # servers close their side when they get to it


def test_a_queue_as_it_fills_and_empties(lab):
    client = lab.synap.client
    name = f"watched-{os.urandom(4).hex()}"
    client.queue.create(name)
    with lab.synap.watch_queue(name, every=0.05) as view:
        view.wait(n=2, timeout=20)
        client.queue.publish(name, b"one")
        client.queue.publish(name, b"two")
        message = client.queue.consume(name, "w")
        view.wait(until=lambda feed: (feed.df["in_flight"] == 1).any(), timeout=20)
        client.queue.ack(name, message.message_id)
        view.wait(until=lambda feed: (feed.df["acked"] == 1).any(), timeout=20)
        frame = view.df
    assert list(frame["queue"].unique()) == [name]
    assert frame["published"].iloc[-1] == 2 and frame["depth"].iloc[-1] == 1 and frame["in_flight"].iloc[-1] == 0
    assert frame["time"].is_monotonic_increasing


@pytest.mark.parametrize("queues", [(), ("",)])
def test_queues_that_cannot_be_watched(lab, queues):
    with pytest.raises(KitError):
        lab.synap.watch_queue(*queues)


def test_an_answer_as_a_feed(lab):
    with kit.Feed(lab.claude, prompt="Tell a story [lab words=40 delay=0.1]", model="haiku", transport="ws") as feed:
        feed.wait(timeout=30)
        frame = feed.df
    assert list(frame.columns) == ["n", "time", "text"]
    assert len(frame) > 3 and list(frame["n"]) == list(range(len(frame)))
    assert feed.state == "closed"
    assert feed.source.response.content == "".join(frame["text"])


def test_an_answer_that_fails_is_not_asked_for_again(lab):
    before = lab.claude.usage("day").attrs["total_cost"]
    with kit.Feed(lab.claude, prompt="x [lab fail=cli_error]", model="haiku") as feed:
        with pytest.raises(KitError):
            feed.wait(timeout=30)
    assert feed.state == "failed" and feed.reconnects == 0
    assert lab.claude.usage("day").attrs["total_cost"] == before
