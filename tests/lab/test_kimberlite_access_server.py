"""Who may do what at the embedded Kimberlite: keys, roles, and tenants that are kept apart."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import kit
from kit.kimberlite.types import MAX_U32, MAX_U64
from kit.kimberlite.wire.protocol.codec import requests
from kit.kimberlite.wire.protocol.schema import Unread
from tests.lab.kimberliteraw import Refused, Served, fresh, read_all, refused, stream_of

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("kimberlite"), demo=True)
    yield served
    served.close()


@pytest.fixture
def raw(served):
    with served.raw() as raw:
        yield raw


def test_handshake(raw):
    assert raw.hello.server_version == 5 and raw.hello.authenticated
    assert raw.hello.capabilities[:3] == ["query", "append", "subscribe"]
    assert {"kit.events.v1", "kit.types.v1", "kit.batch.v1", "kit.streams.v1"} <= set(raw.hello.capabilities)


def test_without_a_key_nothing_is_answered(served):
    with served.raw(token=None) as raw:
        assert not raw.ask(requests.Handshake()).authenticated
        for payload in (
            requests.CreateStream("x"),
            requests.ReadEvents(4294967297),
            requests.Subscribe(4294967297, 0, 5),
            requests.SubscribeCredit(1, 1),
            requests.Unsubscribe(1),
            requests.Query("SELECT 1"),
            requests.ListTables(),
            requests.DescribeTable("invoices"),
            requests.GetServerInfo(),
            requests.TenantList(),
            requests.ConsentList("x"),
            requests.Sync(),
        ):
            assert (refused(raw, payload).code, refused(raw, payload).message) == (
                3,
                "must authenticate via Handshake first",
            )


def test_a_wrong_key(served):
    with served.raw(token=None) as raw:
        assert refused(raw, requests.Handshake(5, "kmb_live_wrong")).code == 3
        assert refused(raw, requests.Handshake(4, "x")).code == 2
        assert refused(raw, requests.GetServerInfo()).code == 3


def test_keys_of_a_tenant(served, raw):
    mine = stream_of(raw, b"mine")
    made = raw.ask(requests.ApiKeyRegister("bob", 77, ["User"]))
    assert made.key.startswith("kmb_live_") and len(made.key) == 9 + 64 and made.info.subject == "bob"
    with served.raw(77, made.key) as bob:
        theirs = stream_of(bob, b"theirs")
        assert theirs >> 32 == 77 and read_all(bob, theirs) == [b"theirs"]
        for payload in (
            requests.ReadEvents(mine),
            requests.StreamInfo(mine),
            requests.AppendEvents(mine, [b"x"], 1),
            requests.Subscribe(mine, 0, 9),
            requests.TenantList(),
            requests.ApiKeyList(),
            requests.ApiKeyRegister("eve", 77, ["Admin"]),
        ):
            assert refused(bob, payload).code == 3
        for payload in (requests.ReadEvents(mine), requests.Query("SELECT * FROM invoices"), requests.ListTables()):
            assert refused(bob, payload, tenant=1).code == 3
        assert bob.ask(requests.ListTables()).tables == []
        assert refused(bob, requests.Query("SELECT * FROM invoices")).code == 8
    assert [key.subject for key in raw.ask(requests.ApiKeyList(77)).keys] == ["bob"]
    renewed = raw.ask(requests.ApiKeyRotate(made.key))
    with served.raw(token=None) as late:
        assert refused(late, requests.Handshake(5, made.key)).code == 3
        assert late.ask(requests.Handshake(5, renewed.new_key)).authenticated
    assert raw.ask(requests.ApiKeyRevoke(renewed.new_key)).revoked
    for payload in (requests.ApiKeyRevoke(renewed.new_key), requests.ApiKeyRotate("kmb_live_x")):
        assert refused(raw, payload).code == 20
    assert refused(raw, requests.ApiKeyRegister("x", 1, ["Root"])).code == 2


def test_an_expired_key(served, raw):
    made = raw.ask(requests.ApiKeyRegister("old", 1, ["User"], time.time_ns() - 1))
    with served.raw(token=None) as late:
        assert refused(late, requests.Handshake(5, made.key)).code == 3


def test_an_end_that_is_too_late(served, raw):
    for end in (2**63, 2**64 - 1):
        error = refused(raw, requests.ApiKeyRegister("long", 1, ["User"], end))
        assert error.code == 2 and "9223372036854775807" in error.message
    made = raw.ask(requests.ApiKeyRegister("long", 1, ["User"], 2**63 - 1))
    assert made.info.expires_at_nanos == 2**63 - 1
    with served.raw(1, made.key) as long:
        assert long.sql("SELECT 1") == [(1,)]


def test_an_auditor_waits_for_no_stream(served, raw):
    raw.become(9200)
    key = raw.ask(requests.ApiKeyRegister("look", 9200, ["Auditor"])).key
    with served.raw(9200, key) as auditor:
        # It may come to be under any name.
        assert refused(auditor, requests.Subscribe(9200 << 32 | 1, 0, 9)).code == 3
        audited = stream_of(raw, b"seen", name=fresh("audit_"))
        auditor.ask(requests.Subscribe(audited, 0, 9))
        assert list(auditor.push().events) == [b"seen"]


def test_roles(served, raw):
    name = fresh("audit_")
    open_, audited = stream_of(raw, b"x"), stream_of(raw, b"y", name=name)
    keys = {role: raw.ask(requests.ApiKeyRegister(role, 1, [role])).key for role in ("User", "Analyst", "Auditor")}
    with served.raw(1, keys["Analyst"]) as analyst:
        assert analyst.sql("SELECT count(*) FROM invoices") == [(400,)]
        assert read_all(analyst, open_) == [b"x"]
        assert refused(analyst, requests.Query("DELETE FROM invoices")).code == 3
        assert refused(analyst, requests.AppendEvents(open_, [b"x"], 1)).code == 3
    with served.raw(1, keys["Auditor"]) as auditor:
        assert read_all(auditor, audited) == [b"y"]
        for payload in (requests.ReadEvents(open_), requests.StreamInfo(open_), requests.Subscribe(open_, 0, 1)):
            assert refused(auditor, payload).code == 3
        assert refused(auditor, requests.Query("SELECT 1")).code == 3
        assert len(auditor.ask(requests.AuditQuery(limit=3)).events) <= 3
    with served.raw(1, keys["User"]) as user:
        assert user.sql("SELECT 1") == [(1,)] and refused(user, requests.AuditQuery()).code == 3


def test_large_tenants(served, raw):
    assert refused(raw, requests.CreateStream("x"), tenant=MAX_U32 + 1).code == 30
    assert refused(raw, requests.TenantCreate(MAX_U64)).code == 30
    with served.raw(MAX_U32) as large:
        id = large.ask(requests.CreateStream("x")).stream_id
        assert id == MAX_U32 << 32 | 1
        assert large.ask(requests.AppendEvents(id, [b"z"], 0)).count == 1
        assert read_all(large, id) == [b"z"]
        large.sql("CREATE TABLE t (id INT PRIMARY KEY)")
        assert large.sql("SELECT stream_id, tenant_id FROM kit_events") == [(id - 2**64, MAX_U32)]


def test_no_tenant_sees_the_tables_of_another(raw, served):
    secret = fresh("secret")
    raw.sql(f"CREATE TABLE {secret} (id INT PRIMARY KEY, v TEXT)")
    raw.sql(f"INSERT INTO {secret} VALUES (1, 'the secret text')")
    id = stream_of(raw, b"the secret event", name=secret)
    key = raw.ask(requests.ApiKeyRegister("eve", 666, ["User"])).key
    with served.raw(666, key) as eve:
        eve.sql("CREATE TABLE mine (id INT PRIMARY KEY)")
        told = ""
        for sql in (
            f"SELECT * FROM {secret}",
            "SHOW TABLES",
            "SELECT * FROM information_schema.tables",
            "SELECT * FROM information_schema.columns",
            "SELECT * FROM kit_events",
            "SELECT * FROM kit_streams",
            f"SELECT * FROM kit_events WHERE stream_id = {id}",
            "SELECT * FROM kit_events WHERE tenant_id = 1 OR 1 = 1",
            f"DELETE FROM {secret}",
            f"SELECT count(*) FROM {secret}",
            "SELECT * FROM '../kimberlite-1.sqlite'",
        ):
            try:
                told += str(eve.sql(sql))
            except Refused as error:
                told += error.message
        for payload in (requests.ListTables(), requests.DescribeTable(secret), requests.AuditQuery()):
            try:
                told += str(eve.ask(payload))
            except Refused as error:
                told += error.message
        assert "secret text" not in told and "secret event" not in told and "c2VjcmV0" not in told
        assert eve.sql("SHOW TABLES") == [("mine",)]
    assert raw.sql(f"SELECT v FROM {secret}") == [("the secret text",)]


def test_a_client_of_a_tenant_is_kept_to_it_though_its_key_is_good_for_all(served, raw):
    secret = fresh("secret")
    with served.raw(7) as seven:
        theirs = stream_of(seven, b"the secret event", name=secret)
        seven.sql(f"CREATE TABLE {secret} (id INT PRIMARY KEY)")
    for payload in (
        requests.ReadEvents(theirs),
        requests.StreamInfo(theirs),
        requests.AppendEvents(theirs, [b"x"], 1),
        requests.Subscribe(theirs, 0, 9),
        requests.Query(f"SELECT * FROM {secret}"),
        requests.Query("SELECT * FROM kit_events"),
        requests.QueryAt(f"SELECT * FROM {secret}", [], 1),
        requests.ListTables(),
        requests.DescribeTable(secret),
        requests.CreateStream("x"),
        requests.AuditQuery(),
        requests.ConsentList("x"),
    ):
        error = refused(raw, payload, tenant=7)
        assert error.code == 3 and "opened for tenant 1, and the request is for tenant 7" in error.message
    # Who names no tenant asks for one each time, and another handshake opens the connection anew.
    with served.raw(0) as any_tenant:
        assert len(any_tenant.ask(requests.ReadEvents(theirs), tenant=7).events) == 1
    raw.become(7)
    assert read_all(raw, theirs) == [b"the secret event"]


def test_a_refused_handshake_leaves_nobody_behind(served, raw):
    assert refused(raw, requests.Handshake(5, "kmb_live_wrong")).code == 3
    assert refused(raw, requests.ListTables()).message == "must authenticate via Handshake first"


@pytest.mark.parametrize("tenant", [0, 1, 7])
def test_a_stream_that_is_not_there_has_no_events(raw, tenant):
    unknown = tenant << 32 | 9_999_999
    page = raw.ask(requests.ReadEvents(unknown, 0, 1024))
    assert len(page.events) == 0 and page.next_offset is None
    for payload in (requests.StreamInfo(unknown), requests.AppendEvents(unknown, [b"x"], 0)):
        assert refused(raw, payload).code == 5


def test_a_stream_that_comes_to_be_later_is_not_pushed_to_another_tenant(served, raw):
    assert refused(raw, requests.Subscribe(8 << 32 | 1, 0, 9)).code == 3


LEFT_OUT = [kind(b"\x01x") for kind in requests.ALL if issubclass(kind, Unread)]


def test_as_many_as_there_are_are_left_out():
    assert len(LEFT_OUT) == 12


@pytest.mark.parametrize("payload", LEFT_OUT, ids=lambda payload: type(payload).__name__)
def test_what_the_lab_leaves_out_is_refused_by_name_and_listed(raw, payload):
    name, error = type(payload).__name__, refused(raw, payload)
    assert error.code == 8 and error.message == f"{name} is not supported by this server"
    assert f"`{name}`" in (Path(kit.__file__).parents[1] / "notebooks" / "reference.md").read_text("utf-8")


def test_what_there_is_none_of_is_listed_as_empty(raw):
    assert raw.ask(requests.MaskingPolicyList()).policies == [] and raw.ask(requests.ErasureList()).audit == []
