"""Streams of the embedded Kimberlite that are made and removed while others read them or have gone away."""

from __future__ import annotations

import asyncio
import select
import sqlite3
import time

import pytest

from kit.kimberlite.wire.blobs import Blobs
from kit.kimberlite.wire.framing import MAX_PAYLOAD
from kit.kimberlite.wire.protocol.codec import requests
from kit.kimberlite.wire.protocol.enums import CloseReason, ConsentPurpose
from kit.kimberlite.wire.protocol.structs import Audit
from kit.lab.kimberlite.accounts import audit
from tests.lab.kimberliteraw import Served, fresh, refused, stream_of

pytestmark = pytest.mark.lab

LARGE = b"x" * 400_000
"""More than the server keeps in memory for subscribers."""


@pytest.fixture
def served(tmp_path):
    served = Served(tmp_path)
    yield served
    served.close()


@pytest.fixture
def raw(served):
    with served.raw() as raw:
        yield raw


def _left(served, coroutine):
    """Runs something of the server whose caller goes away."""

    async def leave():
        task = asyncio.ensure_future(coroutine)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    served.run(leave())


def test_a_stream_is_there_though_its_maker_has_gone(served, raw):
    first = stream_of(raw)
    _left(served, served.server._streams.create(1, fresh(), 0))
    third = stream_of(raw)
    assert [raw.ask(requests.StreamInfo(id)).length for id in range(first, third + 1)] == [0, 0, 0]


def test_streams_are_removed_though_the_caller_has_gone(served, raw):
    id = stream_of(raw, LARGE)
    with served.raw() as sub:
        sub.ask(requests.Subscribe(id, 1, 9))
        _left(served, served.server._streams.drop_tenant(1))
        assert sub.push().reason is CloseReason.STREAM_DELETED
    assert refused(raw, requests.StreamInfo(id)).code == 5
    assert stream_of(raw, b"a") == id


def test_streams_are_removed_by_two_at_once(served, raw):
    id = stream_of(raw)
    streams = served.server._streams

    async def both():
        await asyncio.gather(streams.drop_tenant(1), streams.drop_tenant(1))

    served.run(both())
    assert refused(raw, requests.StreamInfo(id)).code == 5


def test_a_subscriber_of_what_is_just_being_removed_holds_nobody_up(served, raw):
    id = stream_of(raw, LARGE)
    # What is on disk goes first, and what is in memory a moment later.
    served.run(served.server._store.write(lambda db: db.execute("delete from chunks")))
    with served.raw() as sub:
        sub.ask(requests.Subscribe(id, 0, 9))
        assert raw.ask(requests.StreamInfo(id)).length == 1
        raw.ask(requests.TenantDelete(1))
        assert sub.push().reason is CloseReason.STREAM_DELETED


def test_a_stream_that_was_made_anew_is_another(served, raw):
    id = stream_of(raw, b"a", b"b")
    streams, store, name = served.server._streams, served.server._store, fresh()

    async def anew():
        # In one commit, with an append that was on its way to the old one.
        old, busy = streams.get(id), asyncio.ensure_future(store.write(lambda db: time.sleep(0.2)))
        await asyncio.sleep(0.1)
        steps = streams.drop_tenant(1), streams.create(1, name, 0), streams.append(old, Blobs.of([b"late"]), 0)
        found = await asyncio.gather(*steps, return_exceptions=True)
        await busy
        return found

    with served.raw() as sub:
        sub.ask(requests.Subscribe(id, 2, 9))
        _, made, late = served.run(anew())
        assert made.id == id and late.code == 5
        assert sub.push().reason is CloseReason.STREAM_DELETED
    assert raw.ask(requests.StreamInfo(id)).length == 0
    assert raw.ask(requests.AppendEvents(id, [b"first"], 0)).first_offset == 0


def test_subscriptions_of_one_connection_have_ids_of_their_own(served, raw):
    one, two = stream_of(raw, b"one"), stream_of(raw, b"two")
    with served.raw() as sub:
        ids = [sub.ask(requests.Subscribe(id, 0, 9)).subscription_id for id in (two, one)]
        pushes = [sub.push() for _ in range(2)]
        assert {push.subscription_id: list(push.events) for push in pushes} == {ids[0]: [b"two"], ids[1]: [b"one"]}
        for id in ids:
            assert sub.ask(requests.Unsubscribe(id)).credits_remaining == 0


def test_a_subscription_that_cannot_go_on_closes_the_connection(served, raw, tmp_path):
    id = stream_of(raw, LARGE)
    db = sqlite3.connect(tmp_path / "kimberlite.sqlite")
    db.execute("drop table chunks")
    db.close()
    with served.raw() as sub:
        sub.ask(requests.Subscribe(id, 0, 9))
        with pytest.raises(EOFError):
            sub.push()


def test_what_is_taken_can_be_given_back(served, raw):
    id = stream_of(raw)
    # With the four bytes of its length, and 64 around it.
    most = MAX_PAYLOAD - 64 - 4
    error = refused(raw, requests.AppendEvents(id, [bytes(most + 1)], 0))
    assert error.code == 2 and "at most" in error.message
    assert raw.ask(requests.AppendEvents(id, [bytes(most)], 0)).count == 1
    assert len(raw.ask(requests.ReadEvents(id, 0, 1)).events[0]) == most
    with served.raw() as sub:
        sub.ask(requests.Subscribe(id, 0, 9))
        assert len(sub.push().events[0]) == most


def test_more_parameters_than_a_statement_can_have(raw):
    assert refused(raw, requests.Query("SELECT 1", [None] * 40_000)).code == 8


def test_what_is_done_for_who_has_gone_is_in_the_audit_log(served, raw):
    raw.sql("CREATE TABLE t (id BIGINT PRIMARY KEY)")
    id, store = stream_of(raw), served.server._store
    slow = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 500000) SELECT n FROM c"
    changes = [
        requests.Query(f"INSERT INTO t SELECT count(*) FROM ({slow})"),
        requests.AppendEvents(id, [b"a"], 0),
        requests.ConsentGrant("ada", ConsentPurpose.RESEARCH),
        requests.ApiKeyRegister("bob", 1, ["User"]),
    ]
    for change in changes:
        # The disk is busy, and the client goes away before the change is on it.
        busy = asyncio.run_coroutine_threadsafe(store.write(lambda db: time.sleep(0.4)), served.loop)
        gone = served.raw()
        gone.send(change, Audit(actor="gone"))
        while not served.server._metrics.in_flight and not busy.done():
            time.sleep(0.01)
        gone.close()
        busy.result(10)
    stop = time.monotonic() + 20
    while len(raw.ask(requests.AuditQuery(actor="gone")).events) < len(changes) and time.monotonic() < stop:
        time.sleep(0.05)
    actions = sorted(event.action for event in raw.ask(requests.AuditQuery(actor="gone")).events)
    assert actions == ["ApiKeyRegister", "ConsentGranted", "Insert", "StreamAppend"]
    assert raw.sql("SELECT * FROM t") == [(500000,)]


def test_a_check_of_a_long_audit_log_holds_nobody_up(served, raw):
    def fill(db):
        last = audit._START
        for n in range(20_000):
            entry = {**dict.fromkeys(audit._HASHED), "id": f"{n}", "at": n, "action": "Insert", "tenant": 1}
            last = audit._hash(last, entry)
            db.execute(
                "insert into audit (id, at, action, tenant, hash) values (:id, :at, :action, :tenant, :hash)",
                {**entry, "hash": last},
            )

    served.run(served.server._store.write(fill))
    with served.raw() as other:
        raw.send(requests.VerifyAuditChain())
        time.sleep(0.02)
        assert other.ask(requests.GetServerInfo()).protocol_version == 5
        assert select.select([raw.sock], [], [], 0)[0] == []
        answer = raw.answer()
    assert answer.ok and answer.event_count == 20_000
