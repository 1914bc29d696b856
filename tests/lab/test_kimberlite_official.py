"""The official Kimberlite client, with its native library, on the embedded server."""

from __future__ import annotations

import datetime as dt
import itertools
import threading
import time

import pytest

from kit.lab.kimberlite import demo
from tests.lab.kimberliteraw import Served

kimberlite = pytest.importorskip("kimberlite", reason="the official client is not installed: pip install kimberlite")
pytestmark = pytest.mark.lab
Client, DataClass, Value = kimberlite.Client, kimberlite.DataClass, kimberlite.Value
errors = pytest.importorskip("kimberlite.errors")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("official"), demo=True)
    yield served
    served.close()


def connect(served: Served, tenant: int = 1, token: str | None = ""):
    key = served.env["KIMBERLITE_API_KEY"] if token == "" else token
    return Client.connect([served.env["KIMBERLITE_ADDRESS"]], tenant, auth_token=key)


@pytest.fixture
def client(served):
    with connect(served) as client:
        yield client


@pytest.fixture
def table(client, request):
    name = f"t{abs(hash(request.node.name)) % 10**9}"
    client.execute(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, name TEXT, ok BOOLEAN, at TIMESTAMP, amount DECIMAL)")
    return name


def test_create_append_read(client):
    stream = client.create_stream("official", DataClass.PHI)
    assert client.create_stream("official", DataClass.PHI) == stream
    assert client.append(stream, [b"event1", b"event2", b""]) == 0
    assert client.append(stream, [b"\0\xff"], expected_offset=3) == 3
    assert [(event.offset, event.data) for event in client.read(stream, from_offset=1)] == [
        (1, b"event2"),
        (2, b""),
        (3, b"\0\xff"),
    ]
    placed = client.create_stream("placed", DataClass.PII, kimberlite.Placement.CUSTOM, custom_region="eu-central-1")
    assert placed > stream and client.tenant_id == 1 and client.last_request_id > 0


def test_an_append_that_expects_another_length(client):
    stream = client.create_stream("conflict", DataClass.PUBLIC)
    client.append(stream, [b"a"])
    with pytest.raises(kimberlite.KimberliteError):
        client.append(stream, [b"b"])
    assert client.append(stream, [b"b"], expected_offset=1) == 1


def test_read_in_pages(client):
    stream = client.create_stream("pages", DataClass.PUBLIC)
    events = [b"%06d" % n + b"x" * 194 for n in range(5000)]
    client.append(stream, events)
    found, pages = [], 0
    while page := client.read(stream, from_offset=len(found)):
        assert page[0].offset == len(found)
        found += [event.data for event in page]
        pages += 1
    assert found == events and pages > 5
    assert [event.data for event in client.read(stream, 10, max_bytes=300)] == events[10:12]


def test_query_and_execute(client, table):
    moment = dt.datetime(2024, 5, 17, 12, 30, tzinfo=dt.UTC)
    for n, name in enumerate(("Ada", "Bob", None), 1):
        done = client.execute(
            f"INSERT INTO {table} (id, name, ok, at, amount) VALUES ($1, $2, $3, $4, 12.50)",
            [
                Value.bigint(n),
                Value.null() if name is None else Value.text(name),
                Value.boolean(n == 1),
                Value.from_datetime(moment),
            ],
        )
        assert done.rows_affected == 1
    found = client.query(f"SELECT * FROM {table} WHERE id >= $1 ORDER BY id", [Value.bigint(2)])
    assert found.columns == ["id", "name", "ok", "at", "amount"]
    assert [[cell.data for cell in row[:3]] for row in found.rows] == [[2, "Bob", False], [3, None, False]]
    assert found.rows[0][3].to_datetime() == moment.replace(tzinfo=None) and found.rows[0][4].data == "12.5"
    assert client.execute(f"UPDATE {table} SET name = 'Zoe' WHERE id > 1").rows_affected == 2
    assert client.execute(f"DELETE FROM {table} WHERE id = 3").rows_affected == 1
    totals = client.query(f"SELECT COUNT(*), SUM(id) FROM {table}")
    assert totals.columns == ["COUNT(*)", "SUM(id)"] and [cell.data for cell in totals.rows[0]] == [2, 3]
    joined = client.query(f"SELECT a.name FROM {table} a JOIN {table} b ON a.id = b.id + 1")
    assert [row[0].data for row in joined.rows] == ["Zoe"]
    assert len(client.query(f"SELECT * FROM {table} WHERE 1 = 0")) == 0
    assert "SCAN" in client.query_explain(f"SELECT * FROM {table}")
    assert len(client.query_break_glass("er", f"SELECT * FROM {table}").rows) == 2


def test_rows_as_objects(client):
    from dataclasses import dataclass

    @dataclass
    class Account:
        id: int
        name: str
        active: bool

    accounts = client.query_model("SELECT id, name, active FROM accounts ORDER BY id LIMIT 3", None, Account)
    assert [account.id for account in accounts] == [1, 2, 3] and all(account.name for account in accounts)


def test_errors_by_their_kind(served, client, table):
    with connect(served, 2) as other:
        theirs = other.create_stream("theirs", DataClass.PHI)
    client.execute(f"INSERT INTO {table} (id) VALUES (1)")
    for kind, call in (
        (errors.UniqueConstraintViolationError, lambda: client.execute(f"INSERT INTO {table} (id) VALUES (1)")),
        (errors.QuerySyntaxError, lambda: client.query("SELEC 1")),
        (errors.QueryExecutionError, lambda: client.query("SELECT * FROM nowhere")),
        (errors.StreamNotFoundError, lambda: client.append(1 << 32 | 99_999, [b"x"])),
        (errors.AuthenticationError, lambda: client.read(theirs)),
    ):
        with pytest.raises(kind):
            call()
    assert client.query("SELECT 1").rows[0][0].data == 1
    # Upstream's own suite: a stream that is not there has no events, whatever its number.
    assert client.read(9_999_999, from_offset=0, max_bytes=1024) == []


def test_time_travel(client, table):
    client.execute(f"INSERT INTO {table} (id, name) VALUES (1, 'before')")
    time.sleep(0.05)
    between = dt.datetime.now(dt.UTC)
    time.sleep(0.05)
    client.execute(f"UPDATE {table} SET name = 'after'")
    sql = f"SELECT name FROM {table}"
    assert client.query(sql).rows[0][0].data == "after"
    for moment in (between, between.isoformat()):
        assert client.query_at(sql, [], moment).rows[0][0].data == "before"
    names = []
    for position in range(1, 10**6):
        try:
            names.append([row[0].data for row in client.query_at(sql, [], position).rows])
        except kimberlite.KimberliteError:
            break
    # Before there was such a table it has no rows.
    assert [name for name, _ in itertools.groupby(names)] == [[], ["before"], ["after"]]


def test_the_demo(client):
    count = client.query("SELECT COUNT(*) FROM invoices").rows[0][0].data
    assert count == demo.INVOICES
    assert client.read(client.create_stream("claims", DataClass.PHI))[0].data.startswith(b'{"event":"submitted"')


def test_ten_thousand_events_live(served, client):
    stream = client.create_stream("live", DataClass.PUBLIC)
    seen: list[bytes] = []
    ready = threading.Event()

    def follow() -> None:
        with connect(served) as follower:
            with follower.subscribe(stream, initial_credits=64) as subscription:
                ready.set()
                for event in subscription:
                    assert event.offset == len(seen)
                    seen.append(event.data)
                    if len(seen) == 10_000:
                        return

    thread = threading.Thread(target=follow)
    thread.start()
    assert ready.wait(10)
    events = [b"%d" % n for n in range(10_000)]
    for start in range(0, 10_000, 250):
        client.append(stream, events[start : start + 250], expected_offset=start)
    thread.join(60)
    assert seen == events


def test_a_subscription_ends(served, client):
    stream = client.create_stream("ends", DataClass.PUBLIC)
    client.append(stream, [b"a", b"b"])
    subscription = client.subscribe(stream, from_offset=1, initial_credits=5)
    assert subscription.next_event().data == b"b"
    assert subscription.grant_credits(3) == 7
    subscription.unsubscribe()
    assert subscription.closed and subscription.close_reason == "ClientCancelled"
    assert client.query("SELECT 1").rows


def test_who_has_no_key_is_refused(served):
    with pytest.raises(errors.AuthenticationError):
        connect(served, token="kmb_live_wrong")
    with connect(served, token=None) as nobody:
        for call in (lambda: nobody.create_stream("x", DataClass.PHI), lambda: nobody.query("SELECT 1")):
            with pytest.raises(errors.AuthenticationError):
                call()


def test_tenants_are_apart(served, client):
    client.admin.create_tenant(42, "other")
    made = client.admin.issue_api_key("bob", 42, ["User"])
    mine = client.create_stream("private", DataClass.PHI)
    client.append(mine, [b"secret"])
    with connect(served, 42, made.key) as bob:
        assert bob.create_stream("private", DataClass.PHI) >> 32 == 42
        for call in (
            lambda: bob.read(mine),
            lambda: bob.append(mine, [b"x"], 1),
            lambda: bob.subscribe(mine),
            lambda: bob.admin.list_tenants(),
        ):
            with pytest.raises(errors.AuthenticationError):
                call()
        with pytest.raises(errors.QueryExecutionError):
            bob.query("SELECT * FROM accounts")
    with connect(served, 1, made.key) as intruder:
        with pytest.raises(errors.AuthenticationError):
            intruder.query("SELECT * FROM accounts")
    assert client.admin.revoke_api_key(made.key)
    with pytest.raises(errors.AuthenticationError):
        connect(served, 42, made.key)


def test_admin_and_compliance(client, table):
    assert table in {one.name for one in client.admin.list_tables()}
    columns = client.admin.describe_table(table).columns
    assert [(one.name, one.primary_key) for one in columns][:2] == [("id", True), ("name", False)]
    client.execute(f"CREATE INDEX by_{table} ON {table} (name)")
    assert client.admin.list_indexes(table)[0].columns == ["name"]
    assert client.admin.server_info().protocol_version == 5
    assert 1 in {tenant.tenant_id for tenant in client.admin.list_tenants()}
    consent = client.compliance.consent.grant("alice", "Marketing")
    assert client.compliance.consent.check("alice", "Marketing")
    client.compliance.consent.withdraw(consent.consent_id)
    assert not client.compliance.consent.check("alice", "Marketing")


def test_who_did_what(client, table):
    from kimberlite.audit_context import AuditContext, run_with_audit

    context = AuditContext(actor="alice", reason="why", request_id="r-1", correlation_id="c-1")
    with run_with_audit(context):
        client.execute(f"INSERT INTO {table} (id) VALUES (7)")
    found = [one for one in client.compliance.audit.query(actor="alice") if one.correlation_id == "c-1"]
    assert [(one.action, one.reason, one.request_id) for one in found] == [("Insert", "why", "r-1")]


def test_a_pool(served):
    pool = kimberlite.Pool(served.env["KIMBERLITE_ADDRESS"], 1, auth_token=served.env["KIMBERLITE_API_KEY"], max_size=3)
    try:
        with pool.acquire() as one, pool.acquire() as two:
            assert one.query("SELECT 1").rows and two.query("SELECT 2").rows
    finally:
        pool.shutdown()
