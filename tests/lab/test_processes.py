"""Other processes: forks, spawned ones, joblib's and Dask's workers. Each works, or says in a sentence what to do."""

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from datetime import timedelta

import pytest

import kit
from kit.kimberlite import DataClass
from kit.s2 import AppendInput, Batching, Record, SeqNum

pytestmark = [pytest.mark.lab, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]


def forked(work, seconds=20):
    """What a function gives in a fork, as JSON; or the error it raises, as its type and text."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        signal.alarm(seconds)
        try:
            told = {"result": work()}
        except BaseException as error:
            told = {"error": [type(error).__name__, str(error)]}
        os.write(writing, json.dumps(told).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0, "it hung"
    return json.loads(told)


VERBS = {
    "s2": lambda lab: len(lab.s2["demo-shop"]["orders"].read("tail-5")),
    "kimberlite": lambda lab: len(lab.kimberlite.query("SELECT 1 AS one")),
    "synap": lambda lab: len(lab.synap.queues()) > 0,
    "room": lambda lab: len(lab.synap["vans"].read(limit=5)),
    "claude": lambda lab: lab.claude.client.complete("hello", "haiku").model,
    "amdahl": lambda lab: len(lab.amdahl.query("select 1 as one")),
    "status": lambda lab: lab.status()["state"].tolist(),
}


@pytest.mark.parametrize("name", VERBS)
def test_explorers_work_in_a_fork_beside_those_of_its_parent(lab, name):
    there = VERBS[name](lab)
    assert forked(lambda: VERBS[name](lab)) == {"result": there}
    assert VERBS[name](lab) == there


def test_a_fork_neither_ends_the_lab_nor_needs_one_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def again():
        nonlocal lab
        lab.close()
        lab = kit.Lab("amdahl")
        return [lab.joined, len(lab.amdahl.query("select 1 as one"))]

    with kit.Lab("amdahl") as lab:
        held = lab
        assert forked(again) == {"result": [True, 1]}
        assert held.status()["state"].eq("up").all()


def test_feeds_are_made_anew_in_a_fork(lab):
    stream = lab.s2["demo-shop"]["orders"]

    def follow():
        with kit.Feed(stream, start="tail-5") as feed:
            return len(feed.wait(n=5, timeout=10).df)

    with kit.Feed(stream, start="tail-5") as feed:
        feed.wait(n=5, timeout=10)
        assert forked(follow) == {"result": 5}
        # What it had is there.
        assert forked(lambda: len(feed.df)) == {"result": 5}
        assert forked(feed.close) == {"result": None}
        assert feed.state == "live"
        for use in (lambda: feed.wait(n=6), lambda: next(iter(feed))):
            assert forked(use)["error"][0] == "NotShared"


def test_a_ticket_of_the_parent_is_not_waited_for_in_a_fork(lab):
    lab.s2.create_basin("basin-tickets").create("s")
    stream = lab.s2.client.basin("basin-tickets").stream("s")
    with stream.producer(batching=Batching(linger=timedelta())) as producer:
        ticket = producer.submit(Record(b"x"))
        with pytest.raises(TimeoutError):
            ticket.result(0.1)  # the producer has it, and waits for more records
        fresh = producer.submit(Record(b"y"))
        for one in (ticket, fresh):
            assert forked(one.result)["error"][0] == "NotShared"
    assert (ticket.result().seq_num, fresh.result().seq_num) == (0, 1)
    assert forked(lambda: ticket.result().seq_num) == {"result": 0}


def sessions(lab):
    stream = lab.s2.client.basin("basin-processes").stream("s")
    reading = stream.read_session(start=SeqNum(0))
    next(reading)
    yield reading, lambda: next(reading) and None
    appending = stream.append_session()
    yield appending, lambda: appending.submit(AppendInput([Record(b"x")])) and None
    producer = stream.producer()
    yield producer, lambda: producer.submit(Record(b"x")) and None
    events = lab.kimberlite.client.subscribe(None, "processes", from_position=0)
    next(events)
    yield events, lambda: next(events) and None


def test_sessions_of_the_parent_are_refused_in_a_fork(lab):
    lab.s2.create_basin("basin-processes").create("s").append(["a"] * 10)
    lab.kimberlite.client.create_stream("processes", DataClass.PUBLIC)
    lab.kimberlite.append("processes", ["a"])
    for session, use in sessions(lab):
        told = forked(use)
        assert "forked process" in told["error"][1], (session, told)
        assert "make a" in told["error"][1], (session, told)
        session.close()
    assert len(lab.s2["basin-processes"]["s"].read(0)) == 10


def test_nothing_is_pickled_and_each_says_what_to_do(lab):
    things = [lab, lab.s2["demo-shop"], lab.s2["demo-shop"]["orders"], lab.kimberlite["claims"], lab.synap["vans"]]
    for name in ("s2", "kimberlite", "synap", "claude", "amdahl"):
        things += [getattr(lab, name), getattr(lab, name).client]
    with kit.Feed(lab.s2["demo-shop"]["orders"]) as feed:
        for thing in (*things, feed):
            with pytest.raises(kit.KitError, match="cannot be sent to another process") as caught:
                pickle.dumps(thing)
            assert isinstance(caught.value, TypeError)
            assert "there" in str(caught.value)


def script(tmp_path, text):
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(text))
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", path],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing(tmp_path, method):
    told = script(
        tmp_path,
        f"""
        import multiprocessing
        import kit

        # Without a guard, as in a notebook: a spawned process runs this line too.
        lab = kit.Lab("s2", "amdahl")

        def work(n):
            here = kit.Lab("s2", "amdahl")
            return here.joined, len(here.s2["demo-shop"]["orders"].read("tail-5")), len(lab.amdahl.query("select 1 a"))

        def given(stream):
            return len(stream.read("tail-5"))

        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            with context.Pool(2) as pool:
                print(pool.map(work, range(4)) == [(True, 5, 1)] * 4)
                try:
                    pool.apply(given, (lab.s2["demo-shop"]["orders"],))
                except kit.KitError as error:
                    print(error)
            print(lab.status()["state"].eq("up").all())
            lab.close()
        """,
    )
    assert told[0] == "True"
    assert "cannot be sent to another process" in told[1]
    assert "kit.Lab()" in told[2]
    assert told[-1] == "True"


def test_joblib(tmp_path):
    pytest.importorskip("joblib")
    told = script(
        tmp_path,
        """
        import joblib
        import kit

        def work(n):
            return kit.Lab("s2", "amdahl").joined, len(kit.Lab("s2", "amdahl").s2["demo-shop"]["orders"].read("tail-5"))

        def given(stream):
            return len(stream.read("tail-5"))

        if __name__ == "__main__":
            with kit.Lab("s2", "amdahl") as lab:
                stream = lab.s2["demo-shop"]["orders"]
                for backend in ("loky", "threading", "multiprocessing"):
                    found = joblib.Parallel(2, backend=backend)(joblib.delayed(work)(n) for n in range(4))
                    print(found == [(True, 5)] * 4)
                print(joblib.Parallel(2, backend="threading")(joblib.delayed(given)(stream) for _ in range(4)))
                try:
                    joblib.Parallel(2)(joblib.delayed(given)(stream) for _ in range(4))
                except Exception as error:
                    while error is not None:
                        print(" ".join(str(error).split()))
                        error = error.__cause__
        """,
    )
    assert told[:4] == ["True", "True", "True", "[5, 5, 5, 5]"]
    assert "cannot be sent to another process" in " ".join(told[4:])


def test_dask_workers(tmp_path):
    pytest.importorskip("distributed")
    told = script(
        tmp_path,
        """
        import kit
        from distributed import Client, LocalCluster

        def work(n):
            return kit.Lab("s2", "amdahl").joined, len(kit.Lab("s2", "amdahl").s2["demo-shop"]["orders"].read("tail-5"))

        def given(stream):
            return len(stream.read("tail-5"))

        if __name__ == "__main__":
            with kit.Lab("s2", "amdahl") as lab:
                stream = lab.s2["demo-shop"]["orders"]
                with LocalCluster(2, processes=True, threads_per_worker=1, dashboard_address=None) as cluster:
                    with Client(cluster) as client:
                        print(client.gather(client.map(work, range(4))) == [(True, 5)] * 4)
                        print(len(stream.to_dask()) > 0)
                        try:
                            client.submit(given, stream).result()
                        except Exception as error:
                            while error is not None:
                                print(" ".join(str(error).split()))
                                error = error.__cause__
        """,
    )
    assert told[:2] == ["True", "True"]
    assert "cannot be sent to another process" in " ".join(told[2:])
