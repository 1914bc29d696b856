"""A disk that is full: what is refused has not happened, for anyone, and work goes on once there is room again.

The server's own process may write no byte more to any file, as the kernel sees to; nothing in it is replaced.
"""

import contextlib
import os
import resource
import signal
import threading
import time
from pathlib import Path

import pytest

import kit
from kit.amdahl import (
    AmdahlError,
    archive_page,
    create_page,
    delete_webhook,
    list_pages,
    list_webhooks,
    register_webhook,
    start_agent,
    stream_agent,
    update_page,
    wait_for_agent,
)
from kit.claude import ClaudeAPIError
from kit.kimberlite.wire.protocol import requests
from kit.synap import SynapClient, SynapError

from .kimberliteraw import Raw

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs the limits of Linux"),
]


def process_of(lab):
    """The lab's own process."""
    return lab._described["pid"]


@contextlib.contextmanager
def full_disk(lab, *, workers=True):
    """Within it, no process of the lab can write to a file; or only its workers can."""
    pids = [process_of(lab)]
    if workers:
        pids += map(int, Path(f"/proc/{pids[0]}/task/{pids[0]}/children").read_text().split())
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        for pid, limits in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@pytest.fixture(params=["http", "rpc"])
def synap(request, tmp_path):
    with kit.Lab("synap", join=False, demo=False, path=tmp_path) as lab:
        env = lab.env()
        url = env["SYNAP_URL" if request.param == "http" else "SYNAP_RPC_URL"]
        with SynapClient(url, api_key=env["SYNAP_API_KEY"]) as client:
            yield lab, client


def refused(call, *args, **options):
    with pytest.raises(SynapError) as caught:
        call(*args, **options)
    return str(caught.value)


def test_what_synap_refuses_has_not_happened(synap):
    lab, client = synap
    kv, queue, stream = client.kv, client.queue, client.stream
    kv.set("count", "7")
    kv.set("name", "old")
    queue.create("jobs")
    for n in range(3):
        queue.publish("jobs", f"job {n}".encode())
    held = queue.consume("jobs", "me")
    stream.create("room")
    stream.publish("room", "e", {"n": 0})

    def everything():
        figures = {name: queue.stats("jobs")[name] for name in ("depth", "published", "consumed", "acked", "nacked")}
        room = {name: stream.stats("room")[name] for name in ("message_count", "total_published", "subscriber_count")}
        events = [event.data for event in stream.consume("room", "reader", 0)]
        keys = {key: kv.get(key) for key in kv.scan("", 100)}
        return keys, queue.list(), figures, stream.list(), room, events

    stream.consume("room", "reader", 0)
    before = everything()
    with full_disk(lab):
        refused(kv.incr, "count")
        refused(kv.set, "name", "new")
        refused(kv.set, "another", "new")
        refused(kv.delete, "name")
        refused(kv.expire, "name", 100)
        for n in range(5):
            refused(queue.publish, "jobs", f"refused {n}".encode())
        refused(queue.consume, "jobs", "me")
        refused(queue.ack, "jobs", held.message_id)
        refused(queue.nack, "jobs", held.message_id)
        refused(queue.purge, "jobs")
        refused(queue.create, "more")
        refused(queue.delete, "jobs")
        refused(stream.publish, "room", "e", {"n": 1})
        refused(stream.create, "more")
        refused(stream.delete, "room")
        during = everything()
    assert during == before
    queue.ack("jobs", held.message_id)
    assert [queue.consume("jobs", "me").payload for _ in range(2)] == [b"job 1", b"job 2"]
    assert queue.consume("jobs", "me") is None
    assert int(kv.incr("count")) == 8
    assert stream.publish("room", "e", {"n": 1}) == 1


def test_nobody_takes_what_synap_refuses(synap):
    """Publishers and consumers at the same time, with the disk full now and then."""
    lab, client = synap
    client.queue.create("jobs")
    acknowledged, refusals, taken, over = [], [], [], threading.Event()
    env = lab.env()

    def publish(part):
        with SynapClient(env["SYNAP_URL"], api_key=env["SYNAP_API_KEY"]) as mine:
            for n in range(300):
                try:
                    mine.queue.publish("jobs", f"{part}-{n}".encode())
                    acknowledged.append(f"{part}-{n}")
                except SynapError:
                    refusals.append(f"{part}-{n}")

    def consume():
        with SynapClient(env["SYNAP_URL"], api_key=env["SYNAP_API_KEY"]) as mine:
            while True:
                done = over.is_set()
                try:
                    message = mine.queue.consume("jobs", "me")
                    if message is not None:
                        mine.queue.ack("jobs", message.message_id)
                        taken.append(message.payload.decode())
                    elif done:
                        return
                except SynapError:
                    pass

    publishers = [threading.Thread(target=publish, args=(part,)) for part in range(3)]
    consumer = threading.Thread(target=consume)
    for thread in (*publishers, consumer):
        thread.start()
    while any(thread.is_alive() for thread in publishers):
        with full_disk(lab):
            publishers[0].join(0.05)
        publishers[0].join(0.05)
    over.set()
    consumer.join()
    assert refusals
    assert set(taken) <= set(acknowledged)
    stats = client.queue.stats("jobs")
    assert (stats["published"], stats["depth"]) == (len(acknowledged), 0)


def ask(client, **more):
    return client.complete("count the words", model="haiku", **more)


def test_what_claude_refuses_is_not_in_its_books(tmp_path):
    with kit.Lab("claude", join=False, demo=False, path=tmp_path) as lab:
        client = lab.claude.client
        ask(client)
        before = client.get_usage("day")
        with full_disk(lab):
            for _ in range(3):
                with pytest.raises(ClaudeAPIError):
                    ask(client)
            with pytest.raises(ClaudeAPIError):
                client.batch(["one", "two"], model="haiku")
            with pytest.raises(ClaudeAPIError):
                client.agentic_task("look around", max_cost=1.0)
            assert client.get_usage("day") == before
        assert client.get_usage("day") == before
        assert not list(tmp_path.glob("agentic_tasks/*"))
        tokens = ask(client).usage.total_tokens
        after = client.get_usage("day")
        assert after.total_tokens == before.total_tokens + tokens


def test_what_claude_acknowledged_is_there_after_a_kill(tmp_path):
    spent = 0
    for _ in range(3):
        with kit.Lab("claude", join=False, demo=False, path=tmp_path) as lab:
            client = lab.claude.client
            assert client.get_usage("day").total_tokens >= spent
            killer = threading.Timer(0.4, os.kill, (process_of(lab), signal.SIGKILL))
            killer.start()
            spent = client.get_usage("day").total_tokens
            done = 0
            with contextlib.suppress(ClaudeAPIError):
                while True:
                    spent += ask(client).usage.total_tokens
                    done += 1
            killer.join()
            assert done > 5


def test_what_amdahl_refuses_has_not_happened(tmp_path):
    with kit.Lab("amdahl", join=False, demo=False, path=tmp_path) as lab:
        client = lab.amdahl.client
        page = create_page(client, {"name": "kept", "spec": {"type": "Section"}})
        hook = register_webhook(client, url="http://127.0.0.1:9/x", events=["session.completed"])
        going = start_agent(client, profile_id="researcher", task="look", input_params={"seconds": 0.05, "steps": 10})[
            "session_id"
        ]

        def everything():
            return (
                list_pages(client)["items"],
                [one["id"] for one in list_webhooks(client)["items"]],
                lab.amdahl.sessions()["session_id"].tolist(),
            )

        before = everything()
        with full_disk(lab):
            for call in (
                lambda: create_page(client, {"name": "refused", "spec": {"type": "Section"}}),
                lambda: update_page(client, page["id"], {"name": "refused"}),
                lambda: archive_page(client, page["id"]),
                lambda: start_agent(client, profile_id="researcher", task="refused"),
                lambda: register_webhook(client, url="http://127.0.0.1:9/y", events=["session.completed"]),
                lambda: delete_webhook(client, hook["id"]),
            ):
                with pytest.raises(AmdahlError):
                    call()
                assert everything() == before
        assert everything() == before
        # What was under way goes on where it was.
        assert wait_for_agent(client, going, interval_s=0.05, timeout_s=20)["status"] == "complete"
        events = list(stream_agent(client, going))
        steps = [event["data"]["index"] for event in events if event["type"] == "step.completed"]
        assert steps == list(range(10))


def test_what_s2_refuses_has_not_happened(tmp_path):
    with kit.Lab("s2", join=False, demo=False, path=tmp_path) as lab:
        lab.s2.create_basin("basin-of-tests")
        basin = lab.s2["basin-of-tests"]
        stream = basin.create("s")
        stream.append(["a", "b"])
        with full_disk(lab):
            with pytest.raises(kit.KitError):
                stream.append(["refused"])
            with pytest.raises(kit.KitError):
                basin.create("refused")
            assert stream.read(0, body="text")["body"].tolist() == ["a", "b"]
            assert basin.streams()["name"].tolist() == ["s"]
        stream.append(["c"])
        assert stream.read(0, body="text")["body"].tolist() == ["a", "b", "c"]
        assert basin.streams()["name"].tolist() == ["s"]


@pytest.mark.parametrize("workers", [True, False], ids=["all", "records"])
def test_what_kimberlite_refuses_has_not_happened(tmp_path, workers):
    with kit.Lab("kimberlite", join=False, demo=False, path=tmp_path) as lab:
        explorer = lab.kimberlite
        explorer.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT)")
        explorer.execute("INSERT INTO t VALUES (1, 'a')")
        rows = [[1, "a"]]
        tables = ["t"]
        with full_disk(lab, workers=workers):
            for sql, then in (
                ("INSERT INTO t VALUES (2, 'b')", lambda: rows.append([2, "b"])),
                ("UPDATE t SET v = 'c' WHERE id = 1", lambda: rows[0].__setitem__(1, "c")),
                ("CREATE TABLE u (id BIGINT PRIMARY KEY)", lambda: tables.append("u")),
            ):
                try:
                    explorer.execute(sql)
                except kit.KitError:
                    assert workers
                else:
                    then()
                assert explorer.query("SELECT id, v FROM t ORDER BY id").values.tolist() == rows
                assert explorer.tables()["name"].tolist() == tables
            with pytest.raises(kit.KitError):
                explorer.append("s", ["refused"])
        assert explorer.query("SELECT id, v FROM t ORDER BY id").values.tolist() == rows
        explorer.execute("INSERT INTO t VALUES (3, 'd')")
        rows.append([3, "d"])
        assert explorer.query("SELECT id, v FROM t ORDER BY id").values.tolist() == rows
        # What was done is in the audit log, be it late.
        done = 1 + len(rows) + len(tables) - 1 + (not workers)
        deadline = time.monotonic() + 10
        while len(entries(lab)) < done:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(entries(lab)) == done


def entries(lab):
    with Raw(lab.env()) as raw:
        return raw.ask(requests.AuditQuery()).events


def test_what_synap_acknowledged_is_there_after_a_kill(tmp_path):
    with kit.Lab("synap", join=False, demo=False, path=tmp_path) as lab:
        client = lab.synap.client
        client.stream.create("room")
        generation = client.stream.stats("room")["generation"]
        client.stream.publish_many("room", [("e", {"n": n}) for n in range(12_000)])
        client.stream.create("gone")
        client.stream.publish("gone", "e", 1)
        client.stream.delete("gone")
        first = client.stream.stats("room")["min_offset"]
        client.kv.set("k", "v")
        os.kill(process_of(lab), signal.SIGKILL)
    with kit.Lab("synap", join=False, demo=False, path=tmp_path) as lab:
        client = lab.synap.client
        assert client.stream.list() == ["room"]
        stats = client.stream.stats("room")
        assert (stats["generation"], stats["min_offset"], stats["total_published"]) == (generation, first, 12_000)
        frame = lab.synap["room"].read()
        assert frame["n"].tolist() == list(range(first, 12_000))
        assert client.stream.publish("room", "e", {"n": 12_000}) == 12_000
        assert client.kv.get("k") == "v"
