"""The notebook face: frames, handles, a run that pauses, deliveries."""

import json
import socket
import threading
import time
import urllib.request

import pandas as pd
import pytest

import kit
from kit.amdahl import AmdahlError, verify_webhook_signature
from kit.core.errors import InputError, SetupError

pytestmark = pytest.mark.lab


@pytest.fixture
def a(quiet_lab):
    return quiet_lab.amdahl


def test_query_has_types_from_the_server(a):
    frame = a.query(
        "select id, occurred_at, channel, sentiment, amount, duration_s, resolved from interactions limit 50"
    )
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert kinds["occurred_at"] == "datetime64[ms, UTC]"
    assert kinds["channel"] == "str"
    assert kinds["sentiment"] == "float64"
    assert kinds["amount"] == "float64"
    assert kinds["resolved"] == "boolean"
    assert kinds["duration_s"] == "Int64"
    assert frame.attrs["truncated"] is False


def test_an_empty_result_has_the_same_columns_and_types(a):
    columns = "id, occurred_at, channel, sentiment, resolved"
    full = a.query(f"select {columns} from interactions limit 5")
    none = a.query(f"select {columns} from interactions where false")
    assert len(none) == 0
    assert none.dtypes.to_dict() == full.dtypes.to_dict()


def test_a_cut_result_says_so(a):
    with pytest.warns(UserWarning, match="cut at 1,000 rows"):
        frame = a.query("select id from interactions")
    assert len(frame) == 1000
    assert frame.attrs["truncated"] is True
    assert len(a.query("select id from interactions", limit=50_000)) == 50_000


def test_values_survive(a):
    frame = a.query(
        'select 9007199254740993::bigint as n, 12.50::decimal(10,2) as d, null as nothing, \'a"},{"n":\' as t, '
        "[1,2] as many, {'x': 1} as deep, date '2026-01-02' as day"
    )
    row = frame.iloc[0]
    assert (row["n"], row["d"], row["t"]) == (9007199254740993, 12.5, 'a"},{"n":')
    assert list(row["many"]) == [1, 2]
    assert row["deep"] == {"x": 1}
    assert row["day"] == pd.Timestamp("2026-01-02")


@pytest.mark.parametrize(
    "sql",
    [
        "copy interactions to '/tmp/$x.csv'",
        "attach ':memory:' as other",
        "select * from read_csv('/etc/passwd')",
        "install httpfs",
        "select 1; select 2",
        "drop table interactions",
        "selec 1",
    ],
)
def test_what_is_not_one_select_is_refused(a, sql):
    before = a.query("select count(*) as n, sum(hash(id)) as h from interactions").values.tolist()
    with pytest.raises(AmdahlError) as caught:
        a.query(sql)
    assert (caught.value.status, caught.value.code) == (400, "invalid_argument")
    assert a.query("select count(*) as n, sum(hash(id)) as h from interactions").values.tolist() == before


def test_bad_arguments_are_told_before_traffic(a):
    for arguments in ({"sql": ""}, {"sql": "select 1", "limit": 0}):
        with pytest.raises(InputError):
            a.query(**arguments)


def test_a_query_is_repeated_where_the_service_is_short_of_breath(a, quiet_lab):
    quiet_lab.faults("amdahl", 503, path="*/data/query", count=2)
    quiet_lab.faults("amdahl", "reset", path="*/data/query", after=3)
    assert a.query("select 1 as one")["one"].tolist() == [1]


def test_explore_pages_webhooks(a):
    schema = a.explore()
    assert {"name", "type"} <= set(schema.columns)
    assert "sentiment" in schema["name"].tolist()
    pages = a.pages()
    assert str(pages["created_at"].dtype) == "datetime64[ms, UTC]"
    assert len(pages) >= 2
    assert len(a.pages(q="no page is called this")) == 0
    assert list(a.webhooks().columns)[:2] == ["id", "url"]


def test_run_to_the_end(a):
    session = a.run("researcher", "Summarise the week", seconds=0.2)
    assert session.state["status"] == "complete"
    assert session.result
    log = session.events()
    assert log["type"].iloc[-1] == "session.completed"
    assert str(log["time"].dtype) == "datetime64[ms, UTC]"
    assert a.events(session.id).equals(log)
    known = a.sessions()
    assert session.id in known["session_id"].tolist()
    assert a.sessions[session.id] is session
    assert session.id in a.sessions._ipython_key_completions_()


@pytest.mark.parametrize("answer", [{"action": "continue"}, "go on", lambda asked: {"action": "continue"}])
def test_run_answers_a_pause(a, answer):
    assert a.run("copilot", "Draft", answer=answer, ask=True, seconds=0.2).state["status"] == "complete"


def test_a_pause_nobody_can_answer_is_handed_back(a, monkeypatch):
    monkeypatch.setattr("kit.amdahl.explore.sessions._can_ask_user", lambda: False)
    session = a.run("copilot", "Draft", ask=True, seconds=0.2)
    assert session.state["status"] == "awaiting_input"
    assert "awaiting" in session.events()["type"].iloc[-1] or "input" in session.events()["type"].iloc[-1]
    assert session.resume({"action": "finish"}).wait(10).state["status"] == "complete"


def test_deliveries_are_verified_and_listed(a):
    with a.deliveries(events=["session.completed"]) as deliveries:
        assert deliveries.url in a.webhooks()["url"].tolist()
        session = a.run("researcher", "x", seconds=0.1)
        frame = deliveries.wait(1, timeout=10)
        assert frame["event"].tolist() == ["session.completed"]
        assert frame["verified"].tolist() == [True]
        assert json.loads(frame["body"].iloc[0])["session_id"] == session.id
        assert str(frame["received_at"].dtype) == "datetime64[ms, UTC]"
    assert deliveries.url not in a.webhooks()["url"].tolist()
    deliveries.close()


def post(url, body, **headers):
    request = urllib.request.Request(url, body, {k.replace("_", "-"): v for k, v in headers.items()}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_forged_delivery_is_refused_and_listed(a):
    import hashlib
    import hmac

    with a.deliveries(register=False, secret="s3cret") as deliveries:
        body = b'{"event": "session.completed", "x": "\xc3\xa9"}'
        good = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
        assert verify_webhook_signature(body, good, "s3cret")
        assert post(deliveries.url, body, X_Webhook_Signature=good) == (202, {"received": True})
        assert post(deliveries.url, body, X_Amdahl_Signature="sha256=" + good)[0] == 202
        for signature in (good[:-1] + "x", "", good[:10], "sha256=" + "0" * 64):
            assert post(deliveries.url, body, X_Webhook_Signature=signature) == (401, {"error": "invalid_signature"})
        assert post(deliveries.url, body + b" ", X_Webhook_Signature=good)[0] == 401
        assert post(deliveries.url, body)[0] == 401
        frame = deliveries.df
        assert frame["verified"].tolist() == [True, True] + [False] * 6
        assert frame["event"].iloc[0] == "session.completed"
        assert (deliveries.total, deliveries.refused) == (8, 6)
        assert "s3cret" not in repr(deliveries) + deliveries._repr_html_()


def test_a_flood_of_forged_deliveries_takes_no_memory_and_pushes_out_none(a):
    import hashlib
    import hmac
    import tracemalloc

    import kit.amdahl.explore.receiver as receiver

    def genuine(n):
        body = json.dumps({"event": "session.completed", "n": n}).encode()
        return body, hmac.new(b"s", body, hashlib.sha256).hexdigest()

    large = b"x" * receiver.MAX_BODY
    with a.deliveries(register=False, secret="s") as deliveries:
        assert post(deliveries.url, genuine(0)[0], X_Webhook_Signature=genuine(0)[1])[0] == 202
        tracemalloc.start()
        try:
            for n in range(30):
                unsigned = {} if n % 2 else {"Origin": "https://evil.example", "X_Webhook_Signature": "0" * 64}
                try:
                    assert post(deliveries.url, large, **unsigned)[0] == 401
                except (OSError, urllib.error.URLError):
                    pass  # the answer came, and the connection was closed, while the body was being sent
            for _ in range(3):
                assert post(deliveries.url, large, X_Webhook_Signature="0" * 64)[0] == 401
            time.sleep(0.3)  # the last one's connection is closed after its answer
            grown = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        for _ in range(receiver.REFUSED_KEPT + 20):
            assert post(deliveries.url, b"{}")[0] == 401
        assert post(deliveries.url, genuine(1)[0], X_Webhook_Signature=genuine(1)[1])[0] == 202
        frame = deliveries.df
        assert grown < 1_000_000
        assert [json.loads(body)["n"] for body in frame[frame["verified"]]["body"]] == [0, 1]
        assert (~frame["verified"]).sum() == receiver.REFUSED_KEPT
        assert frame["body"][~frame["verified"]].str.len().max() <= receiver.REFUSED_HEAD
        assert deliveries.refused == 33 + receiver.REFUSED_KEPT + 20
        assert deliveries.total == deliveries.refused + 2


def test_the_receiver_bears_hostile_peers(a):
    with a.deliveries(register=False, secret="s") as deliveries:
        host, port = "127.0.0.1", deliveries.port
        for said in (
            b"\x00\xff" * 1000,
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 5_000_000,
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST / HTTP/1.1\r\n" + b"a: b\r\n" * 100_000,
        ):
            with socket.create_connection((host, port), timeout=5) as peer:
                try:
                    peer.sendall(said)
                    peer.shutdown(socket.SHUT_WR)
                    while peer.recv(65536):
                        pass
                except OSError:
                    pass
        idle = [socket.create_connection((host, port)) for _ in range(150)]
        for peer in idle:
            peer.close()
        deadline = time.monotonic() + 5
        while True:
            try:
                assert post(deliveries.url, b"{}")[0] == 401
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)


def test_a_taken_port_is_told(a):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SetupError, match="cannot be used"):
        a.deliveries(port=taken.getsockname()[1])
    with pytest.raises(InputError, match="secret="):
        a.deliveries(register=False)


def test_waiting_for_deliveries_ends(a):
    with a.deliveries(register=False, secret="s") as deliveries:
        with pytest.raises(TimeoutError, match="0 of 1"):
            deliveries.wait(1, timeout=0.2)


def test_opened_and_closed_many_times_leaves_nothing(a):
    a.deliveries(register=False, secret="s").close()
    before = threading.active_count()
    for _ in range(30):
        a.deliveries(register=False, secret="s").close()
    assert threading.active_count() <= before + 1


def test_metrics_are_tidy(a):
    a.run("researcher", "x", seconds=0.1)
    metrics = a.metrics()
    assert list(metrics.columns[:4]) == ["time", "metric", "value", "unit"]
    assert str(metrics["time"].dtype) == "datetime64[ms, UTC]"
    assert {"rate_limit_remaining", "session_turns"} <= set(metrics["metric"])
    assert metrics["value"].dtype == float


def test_reprs_say_what_to_try_and_show_no_key(a, lab):
    key = lab.env()["API_KEY"]
    for thing in (a, a.sessions, a.client, lab, a.run("researcher", "<b>x</b>", seconds=0.1)):
        for shown in (repr(thing), getattr(thing, "_repr_html_", str)()):
            assert key[6:14] not in shown
            assert "<b>x" not in shown
    assert ".query(sql)" in repr(a)


def test_the_calls_are_in_the_log(a):
    a.query("select 1 as x")
    row = kit.calls().iloc[-1]
    assert (row["service"], row["op"], row["status"]) == ("amdahl", "query", 200)
    assert row["bytes_in"] > 0
    assert row["ms"] > 0
    assert len(a.calls()) <= len(kit.calls())


def test_an_interrupted_run_leaves_the_session_reachable(a):
    import os
    import signal

    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        a.run("researcher", "long", seconds=3)
    assert list(a.sessions)[-1].status()["status"] == "running"
    assert a.query("select 1 as one")["one"].tolist() == [1]
