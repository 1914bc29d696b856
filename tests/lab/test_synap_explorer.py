"""Synap in a notebook: what comes as a frame, against the embedded server."""

import threading
import uuid

import pandas as pd
import pytest

import kit
from kit.synap import SynapClient, SynapError, SynapInputError
from kit.synap.explore.explorer import connect

from .synaplite import SynapLab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def synap(tmp_path_factory):
    lab = SynapLab(tmp_path_factory.mktemp("synap"), demo=True, events=5000)
    yield lab
    lab.close()


@pytest.fixture(scope="module", params=["with SynapRPC", "over HTTP alone"])
def syn(request, synap):
    env = dict(synap.env)
    if request.param == "over HTTP alone":
        del env["SYNAP_RPC_URL"]
    with connect(env) as explorer:
        yield explorer


def test_keys(syn):
    frame = syn.keys("van:")
    assert list(frame.columns) == ["key"] and len(frame) == 40 and frame["key"].is_monotonic_increasing
    assert len(syn.keys("van:", limit=3)) == 3
    empty = syn.keys("nothing:")
    assert empty.dtypes.equals(frame.dtypes) and len(empty) == 0


def test_get(syn):
    frame = syn.get(syn.keys("van:")["key"])
    assert list(frame.columns) == ["key", "type", "ttl", "plate", "city", "parcels", "electric"]
    assert frame["parcels"].dtype == "int64" and frame["electric"].dtype == "bool"
    assert frame.attrs["body"] == "json" and frame.attrs["undecoded"] == 0
    one = syn.get("session:demo")
    assert one["value"].tolist() == ["signed in"] and 3000 < one["ttl"][0] <= 3600
    mixed = syn.get(["delivered:gent", "none", "depot:gent"])
    assert mixed["type"].tolist() == ["integer", "missing", "text"]
    assert mixed["value"].isna().tolist() == [False, True, False]
    assert str(mixed["ttl"].dtype) == "Int64"
    assert "ttl" not in syn.get("depot:gent", ttl=False)
    assert len(syn.get([])) == 0
    assert syn.get("logo")["type"].tolist() == ["bytes"]


def test_queues(syn):
    frame = syn.queues().set_index("queue")
    assert frame.loc["jobs", "depth"] + frame.loc["jobs", "in_flight"] >= 50
    assert {"dead_letters", "consumers", "published"} <= set(frame.columns)
    assert str(frame["time"].dtype) == "datetime64[ms, UTC]"
    message = syn.client.queue.consume("mails", "w")
    assert syn.queues().set_index("queue").loc["mails", "in_flight"] == 1
    syn.client.queue.ack("mails", message.message_id)
    assert syn.queues().set_index("queue").loc["mails", "in_flight"] == 0


def test_drain(syn):
    frame = syn.drain("jobs", 2)
    assert frame["priority"].tolist() == [9, 9]
    assert {"message_id", "retries", "job", "kind", "van", "weight"} <= set(frame.columns)
    with pytest.raises(SynapError, match="Queue not found"):
        syn.drain("no such queue", 1)


def test_streams_and_read(syn):
    rooms = syn.streams().set_index("room")
    assert rooms.loc["vans", "events"] == 2000 and str(rooms["created"].dtype) == "datetime64[ms, UTC]"
    frame = syn.read("vans")
    assert list(frame.columns[:4]) == ["offset", "time", "event", "id"]
    assert len(frame) == 2000 and frame["offset"].is_monotonic_increasing
    assert frame["speed"].dtype == "float64" and str(frame["time"].dtype) == "datetime64[ms, UTC]"
    assert frame.attrs["body"] == "json" and frame.attrs["missed"] == 0
    part = syn.read("vans", start=1990, limit=3)
    assert part["offset"].tolist() == [1990, 1991, 1992]
    raw = syn.read("vans", start=5, limit=1, decode="bytes")
    assert raw["data"][0].startswith(b"{")
    empty = syn.read("vans", start=10**9, decode="bytes")
    assert len(empty) == 0 and list(empty.columns) == list(raw.columns) and empty.dtypes.equals(raw.dtypes)
    texts = syn["alerts"].tail(2)
    assert texts["data"].str.startswith("van ").all() and len(texts) == 2
    with pytest.raises(SynapError, match="not found") as caught:
        syn.read("nowhere")
    assert caught.value.status_code == 400


def test_a_read_takes_one_transport(request, syn):
    assert len(syn.read("vans", limit=3)) == 3
    native = "SynapRPC" in request.node.name
    assert kit.calls()["op"].tolist()[-2:] == (["SSTATS", "SREAD"] if native else ["stream.stats", "stream.consume"])


def test_what_is_gone_is_counted(syn):
    syn.client.stream.create("overflow")
    if len(syn["overflow"]) == 0:
        syn.publish("overflow", [{"n": n} for n in range(6000)])
    frame = syn.read("overflow", start=10)
    assert frame["offset"].iloc[0] == 1000 and frame.attrs["missed"] == 990
    assert frame["n"].tolist() == list(range(1000, 6000))


def test_publish(syn):
    name = f"p-{uuid.uuid4().hex[:8]}"
    syn.client.stream.create(name)
    frame = pd.DataFrame({"event": ["a", "b"], "n": [1, 2], "at": pd.to_datetime(["2026-01-01T00:00:00Z", None])})
    told = syn.publish(name, frame)
    assert told["offset"].tolist() == [0, 1] and told.attrs == {"room": name, "published": 2}
    back = syn.read(name)
    assert back["event"].tolist() == ["a", "b"] and back["n"].tolist() == [1, 2]
    assert syn[name].publish(["text", "more"], event="note")["offset"].tolist() == [2, 3]
    syn.client.queue.create(name)
    with pytest.raises(SynapInputError, match="a room and a queue"):
        syn.publish(name, "x")
    told = syn.publish(name, pd.DataFrame({"job": [1, 2]}), kind="queue", priority=3)
    assert told["message_id"].nunique() == 2
    assert syn.drain(name, 5)["job"].tolist() == [1, 2]
    with pytest.warns(UserWarning, match="nothing has subscribed"):
        told = syn.publish("nobody.listens", [1, 2])
    assert told["subscribers"].tolist() == [0, 0]
    with pytest.raises(SynapInputError, match="kind"):
        syn.publish(name, "x", kind="drum")


def test_topics(synap, syn):
    with SynapClient(synap.url, api_key=synap.key) as client:
        live = iter(client.pubsub.subscribe(["demo.topic"]))
        syn.client.pubsub.stats()

        got = []
        thread = threading.Thread(target=lambda: got.append(next(live)))
        thread.start()
        while syn.publish("demo.topic", {"a": 1}, kind="topic")["subscribers"][0] == 0:
            pass
        thread.join(10)
        assert got[0].message == {"a": 1}
        frame = syn.topics().set_index("topic")
        assert frame.loc["demo.topic", "subscribers"] == 1 and frame.loc["demo.topic", "messages"] >= 1
        live.close()


def test_metrics(syn):
    frame = syn.metrics()
    assert list(frame.columns[:4]) == ["time", "metric", "value", "unit"]
    depth = frame[(frame["metric"] == "synap_queue_depth") & (frame["queue"] == "jobs")]
    assert depth["value"].tolist() == [float(syn.client.queue.stats("jobs").depth)]
    load = frame[frame["metric"] == "synap_host_load_average"]["value"]
    assert (load < 1000).all()
    assert {"synap_info_memory_used_memory", "synap_kv_total_keys", "synap_pubsub_messages_published"} <= set(
        frame["metric"]
    )
    assert frame.loc[frame["metric"] == "synap_info_memory_used_memory", "unit"].tolist() == ["bytes"]


def test_server_and_reprs(synap, syn):
    frame = syn.server()
    assert frame["version"].tolist() == ["1.3.1"] and frame["status"].tolist() == ["healthy"]
    for one in (syn, syn["vans"], syn.client):
        assert synap.key not in repr(one)
        assert synap.key not in getattr(one, "_repr_html_", lambda: "")()
    assert "vans" in syn._ipython_key_completions_()
    assert ".queues()" in syn._repr_html_()


def test_one_of_many(syn):
    assert {"jobs", "mails"} <= set(syn.queues._ipython_key_completions_())
    assert syn.queues["jobs"]["queue"].tolist() == ["jobs"]
    assert syn.queues["jobs"].dtypes.equals(syn.queues().dtypes)
    assert "vans" in syn.streams._ipython_key_completions_()
    assert len(syn.streams["vans"].tail(3)) == 3
    assert isinstance(syn.topics._ipython_key_completions_(), list)
    with pytest.raises(SynapError, match="Queue not found"):
        syn.queues["nothing"]
    with pytest.raises(SynapError) as caught:
        syn.topics["nothing"]
    assert caught.value.status_code == 404
    assert "queues" in repr(syn.queues) and "one row per queue" in syn.queues.__doc__


def test_a_drain_that_is_refused_takes_no_messages(syn):
    name = f"d-{uuid.uuid4().hex[:8]}"
    syn.client.queue.create(name)
    syn.publish(name, [{"job": 1}, {"job": 2}])
    with pytest.raises(kit.KitError, match="is not a type"):
        syn.drain(name, 2, types={"job": "nonsense"})
    with pytest.raises(kit.KitError, match="is not a mode"):
        syn.drain(name, 2, body="nonsense")
    assert syn.drain(name, 2)["job"].tolist() == [1, 2]


def test_a_drain_that_breaks_off_hands_over_what_it_took(tmp_path):
    lab = SynapLab(tmp_path)
    with connect(lab.env) as syn:
        syn.client.queue.create("jobs")
        syn.publish("jobs", [{"job": n} for n in range(5000)])

        def end():
            while lab_client.queue.stats("jobs")["depth"] > 4990:
                pass
            lab.close()

        with SynapClient(lab.url, api_key=lab.key) as lab_client:
            ending = threading.Thread(target=end)
            ending.start()
            with pytest.raises(SynapError) as caught:
                syn.drain("jobs", 5000)
            ending.join()
        taken = caught.value.partial["job"].tolist()
        assert len(taken) >= 10 and taken == list(range(len(taken)))


def test_bytes_that_are_no_text_are_no_message_of_a_topic(syn):
    with pytest.raises(SynapInputError, match="record 1 is not UTF-8"):
        syn.publish("images", [b"text", b"\xff\xfe"], kind="topic")


@pytest.mark.parametrize("keys", [b"abc", [b"abc"], ["a", None]], ids=["bytes", "in a list", "none"])
def test_bytes_and_none_are_no_keys(syn, keys):
    with pytest.raises(SynapInputError, match="a key must be text, not"):
        syn.get(keys)
    assert syn.get([1, "a"])["key"].tolist() == ["1", "a"]
