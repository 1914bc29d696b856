"""The embedded Kimberlite server, over raw sockets."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import signal
import socket
import struct
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from kit.kimberlite.errors import server_error
from kit.kimberlite.types import MAX_U32, MAX_U64, Timestamp
from kit.kimberlite.wire.protocol.codec import Response, encode_request, frame, requests, responses
from kit.kimberlite.wire.protocol.enums import CloseReason, ClusterMode, ConsentPurpose, DataClass
from kit.kimberlite.wire.protocol.structs import Audit
from kit.kimberlite.wire.results import result_columns
from kit.lab.kimberlite.sql.workers import Workers
from tests.lab.kimberliteraw import Raw, Refused, Served, fresh, in_child, read_all, refused, stream_of

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
    served.plan.clear()


# --- streams --------------------------------------------------------------------------------------------------------


def test_create_append_read(raw):
    name = fresh()
    id = raw.ask(requests.CreateStream(name, DataClass.PHI)).stream_id
    assert id >> 32 == 1 and raw.ask(requests.CreateStream(name)).stream_id == id
    assert raw.ask(requests.StreamInfo(id)).length == 0 and read_all(raw, id) == []
    assert raw.ask(requests.AppendEvents(id, [b"event1", b"", b"\0\xff"], 0)) == responses.AppendEvents(0, 3)
    assert raw.ask(requests.AppendEvents(id, [b"four"], 3)) == responses.AppendEvents(3, 1)
    assert read_all(raw, id) == [b"event1", b"", b"\0\xff", b"four"]
    assert read_all(raw, id, start=2) == [b"\0\xff", b"four"]
    assert raw.ask(requests.StreamInfo(id)).length == 4 and raw.ask(requests.Sync()).success


def test_appends_expect_the_length(raw):
    id = stream_of(raw, b"a", b"b")
    for expected in (0, 1, 3, MAX_U64):
        error = refused(raw, requests.AppendEvents(id, [b"x"], expected))
        assert (error.code, error.message) == (16, f"offset mismatch for stream {id}: expected {expected}, actual 2")
    known = server_error(error.code, error.message)
    assert (known.expected, known.actual) == (MAX_U64, 2)
    assert read_all(raw, id) == [b"a", b"b"]


def test_what_cannot_be_appended_or_read(served, raw):
    id = stream_of(raw, b"a")
    assert refused(raw, requests.AppendEvents(id, [], 1)).code == 2
    error = refused(raw, requests.AppendEvents(id + 100_000, [b"x"], 0))
    assert (error.code, error.message) == (5, f"stream {id + 100_000} not found")
    assert refused(raw, requests.StreamInfo(id + 100_000)).code == 5
    assert raw.ask(requests.ReadEvents(id + 100_000)) == responses.ReadEvents([], None)
    assert raw.ask(requests.ReadEvents(id, MAX_U64)) == responses.ReadEvents([], None)
    assert raw.ask(requests.ReadEvents(id, 0, 0)) == responses.ReadEvents([], None)
    with served.raw(2) as other:
        theirs = stream_of(other, b"theirs")
    for payload in (requests.ReadEvents(theirs), requests.AppendEvents(theirs, [b"x"], 1)):
        assert refused(raw, payload).code == 3


@pytest.mark.parametrize("size", [1, 9, 10, 11, 25, 26, 1000])
def test_a_page_takes_events_while_it_is_smaller_than_was_asked(raw, size):
    events = [b"x" * 10, b"", b"y" * 5, b"z" * 10, b"w"]
    id = stream_of(raw, *events)
    expected, total = [], 0
    for event in events:
        if total >= size:
            break
        expected.append(event)
        total += len(event)
    page = raw.ask(requests.ReadEvents(id, 0, size))
    assert page == responses.ReadEvents(expected, len(expected))


def test_pages_over_many_chunks(raw):
    rng = random.Random(5)
    events = [rng.randbytes(rng.choice((0, 1, 50, 300, 3000))) for _ in range(3000)]
    id = raw.ask(requests.CreateStream(fresh())).stream_id
    at = 0
    while at < len(events):
        count = rng.choice((1, 1, 7, 800))
        raw.ask(requests.AppendEvents(id, events[at : at + count], at))
        at += len(events[at : at + count])
    assert read_all(raw, id) == events
    assert read_all(raw, id, 8 << 20) == events
    assert read_all(raw, id, 1) == events
    for start in (1, 799, 800, 801, 2999):
        assert read_all(raw, id, 70_000, start) == events[start:]


def test_pages_fit_the_official_client(raw):
    id = stream_of(raw, *[bytes([n]) * 100_000 for n in range(30)])
    raw.send(requests.ReadEvents(id, 0, 1 << 20))
    assert len(raw.payload()) + 14 <= 131_072
    raw.send(requests.ReadEvents(id, 0, (1 << 20) + 1))
    assert len(raw.payload()) > 1 << 20
    many = stream_of(raw, *[b"ab"] * 100_000)
    raw.send(requests.ReadEvents(many, 0, 1 << 20))
    assert 131_000 < len(raw.payload()) + 14 <= 131_072


def test_the_largest_append_and_page(raw):
    big = 16_777_216 - 100
    id = stream_of(raw, bytes(200))
    assert raw.ask(requests.AppendEvents(id, [bytes(big)], 1)).count == 1
    page = raw.ask(requests.ReadEvents(id, 1, 16 << 20))
    assert len(page.events) == 1 and len(page.events[0]) == big
    assert len(raw.ask(requests.ReadEvents(id, 0, MAX_U64)).events) == 1


def test_numbered_streams(raw):
    raw.become(9001)
    ids = [raw.ask(requests.CreateStream(name)).stream_id & MAX_U32 for name in ("a", "stream_100", "b", "stream_2")]
    assert ids == [1, 100, 101, 2]
    more = ("stream_101", "stream_0", "stream_4294967295", "after", "stream_4294967296")
    ids = [raw.ask(requests.CreateStream(name)).stream_id & MAX_U32 for name in more]
    assert ids == [102, 103, MAX_U32, 3, 4]


def test_two_writers_take_turns(served):
    with served.raw() as one, served.raw() as two:
        id = stream_of(one)
        done = []

        def work(raw: Raw, letter: bytes) -> None:
            at = wrote = 0
            while wrote < 100:
                try:
                    at = raw.ask(requests.AppendEvents(id, [letter], at)).first_offset + 1
                    wrote += 1
                except Refused as error:
                    at = server_error(error.code, error.message).actual
            done.append(letter)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, (one, two), (b"1", b"2")))
        events = read_all(one, id)
        assert sorted(events) == [b"1"] * 100 + [b"2"] * 100 and sorted(done) == [b"1", b"2"]


def test_pipelined_requests_are_answered_in_order(raw):
    id = stream_of(raw)
    sent = [raw.send(requests.AppendEvents(id, [b"%d" % n], n)) for n in range(200)]
    sent.append(raw.send(requests.Query("SELECT 1")))
    sent.append(raw.send(requests.StreamInfo(id)))
    assert [raw.next().request_id for _ in sent] == sent
    assert read_all(raw, id) == [b"%d" % n for n in range(200)]


# --- subscriptions --------------------------------------------------------------------------------------------------


def test_a_subscription_has_credits(raw, served):
    id = stream_of(raw, *[b"%d" % n for n in range(10)])
    with served.raw() as sub:
        made = sub.ask(requests.Subscribe(id, 2, 3))
        assert (made.start_offset, made.credits) == (2, 3)
        for n, left in ((2, 2), (3, 1), (4, 0)):
            push = sub.push()
            assert (push.subscription_id, push.start_offset, push.events, push.credits_remaining) == (
                made.subscription_id,
                n,
                [b"%d" % n],
                left,
            )
        assert sub.ask(requests.SubscribeCredit(made.subscription_id, 0)).credits_remaining == 0
        assert sub.ask(requests.Sync()).success and not sub.pushed
        assert sub.ask(requests.SubscribeCredit(made.subscription_id, 2)).credits_remaining == 2
        assert [sub.push().start_offset for _ in range(2)] == [5, 6]
        sub.ask(requests.SubscribeCredit(made.subscription_id, MAX_U32))
        assert sub.ask(requests.SubscribeCredit(made.subscription_id, MAX_U32)).credits_remaining >= MAX_U32 - 3
        assert [sub.push().start_offset for _ in range(3)] == [7, 8, 9]
        raw.ask(requests.AppendEvents(id, [b"live"], 10))
        assert list(sub.push().events) == [b"live"]
        assert sub.ask(requests.Unsubscribe(made.subscription_id)).credits_remaining == 0
        assert sub.pushed.pop().reason is CloseReason.CLIENT_CANCELLED
        for payload in (requests.Unsubscribe(made.subscription_id), requests.SubscribeCredit(made.subscription_id, 1)):
            assert refused(sub, payload).code == 17


def test_the_ids_of_subscriptions(served):
    with served.raw() as sub:
        made = sub.ask(requests.Subscribe(4294967303, 0, 1))
        assert made.subscription_id == 5871781010858969757
        assert sub.ask(requests.Subscribe(4294967303, 0, 1)).subscription_id == 5871781010858969758


def test_the_closing_push_comes_before_the_answer(served):
    with served.raw() as sub:
        id = sub.ask(requests.Subscribe(stream_of(sub), 0, 1)).subscription_id
        sub.send(requests.Unsubscribe(id))
        kinds = [type(sub.next()).__name__ for _ in range(2)]
        assert kinds == ["Push", "Response"]


def test_a_stream_that_is_not_there_yet(served, raw):
    raw.become(9002)
    with served.raw(9002) as sub:
        sub.ask(requests.Subscribe(9002 << 32 | 1, 0, 5))
        id = stream_of(raw, b"first")
        assert id == 9002 << 32 | 1
        assert list(sub.push().events) == [b"first"]


def test_batches_for_who_asks(served, raw):
    events = [b"%d" % n for n in range(5000)]
    id = stream_of(raw, *events)
    with served.raw() as sub:
        sub.ask(requests.Subscribe(id, 0, 4000, "kit-batch"))
        found: list[bytes] = []
        pushes = 0
        while len(found) < 4000:
            push = sub.push()
            assert push.start_offset == len(found)
            found += push.events
            pushes += 1
        assert found == events[:4000] and pushes < 50 and push.credits_remaining == 0


def test_many_subscriptions_see_everything_in_order(served, raw):
    id = stream_of(raw)
    subs = [served.raw() for _ in range(8)]
    for n, sub in enumerate(subs):
        sub.ask(requests.Subscribe(id, 0, MAX_U32, "kit-batch" if n % 2 else None))
    at = 0
    for count in (1, 5, 200, 1, 1500):
        raw.ask(requests.AppendEvents(id, [b"%d" % n for n in range(at, at + count)], at))
        at += count
    for sub in subs:
        found: list[bytes] = []
        while len(found) < at:
            push = sub.push()
            assert push.start_offset == len(found) and len(push.events)
            found += push.events
        assert found == [b"%d" % n for n in range(at)]
        sub.close()


def test_a_slow_subscriber_holds_nobody_up(served, raw):
    id = stream_of(raw, *[bytes(100_000)] * 100)
    with served.raw() as sub:
        sub.ask(requests.Subscribe(id, 0, MAX_U32))
        started = time.monotonic()
        for n in range(50):
            raw.ask(requests.AppendEvents(id, [b"x"], 100 + n))
        assert time.monotonic() - started < 5
        assert raw.ask(requests.StreamInfo(id)).length == 150
        count = 0
        while count < 150:
            count += len(sub.push().events)


# --- SQL ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(raw):
    """A table of three rows."""
    name = fresh("t")
    raw.sql(
        f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, name TEXT, ok BOOLEAN, at TIMESTAMP, amount DECIMAL(10,2),"
        " rate REAL, day DATE, doc JSON)"
    )
    raw.sql(
        f"INSERT INTO {name} (id, name, ok, at, amount, rate, day, doc) VALUES ($1, $2, $3, $4, 10.50, 2, 19737, $5),"
        " (2, 'Bob', false, NULL, 3, 0.25, NULL, NULL), (3, '', NULL, $4, NULL, NULL, NULL, NULL)",
        1,
        "Ada",
        True,
        Timestamp(1609459200000000123),
        '{"a": {"b": [1, 2]}}',
    )
    return name


def test_execute_tells_rows_and_offset(raw):
    name = fresh("t")
    made = raw.ask(requests.Query(f"CREATE TABLE {name} (id INT PRIMARY KEY, v TEXT NOT NULL)"))
    assert made.columns == ["rows_affected", "log_offset"] and list(made.rows) == [(0, 0)]
    assert raw.sql(f"INSERT INTO {name} VALUES (1, 'a'), (2, 'b')") == [(2, 2)]
    assert raw.sql(f"UPDATE {name} SET v = $1", "c") == [(2, 4)]
    assert raw.sql(f"DELETE FROM {name} WHERE id = 1 RETURNING v") == [(1, 5)]
    assert raw.sql(f"INSERT INTO {name} VALUES (2, 'd') ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v") == [(1, 6)]
    assert raw.sql(f"INSERT INTO {name} VALUES (2, 'e') ON CONFLICT (id) DO NOTHING") == [(0, 6)]
    assert raw.sql(f"SELECT * FROM {name}") == [(2, "d")]


def test_values_come_back_as_they_are(raw, table):
    assert raw.sql(f"SELECT * FROM {table} ORDER BY id") == [
        (1, "Ada", True, Timestamp(1609459200000000123), "10.5", "2", "Date(19737)", '{"a": {"b": [1, 2]}}'),
        (2, "Bob", False, None, "3", "0.25", None, None),
        (3, "", None, Timestamp(1609459200000000123), None, None, None, None),
    ]


def test_types_are_told_behind_the_rows(raw, table):
    raw.send(requests.Query(f"SELECT id, ok, at, amount, day, avg(rate) AS mean, count(*) FROM {table} WHERE 1 = 0"))
    kinds = [str(kind) for kind in result_columns(raw.payload()).table.schema.types]
    assert kinds == ["int64", "bool", "timestamp[ns, tz=UTC]", "decimal128(10, 2)", "date32[day]", "double", "int64"]


@pytest.mark.parametrize(
    ("sql", "columns", "rows"),
    [
        ("SELECT 1", ["1"], [(1,)]),
        ("SELECT count( * ), Sum(id) FROM {t}", ["COUNT(*)", "SUM(id)"], [(3, 6)]),
        (
            "SELECT max(t.at), AVG(t.id) mean FROM {t} t",
            ["MAX(at)", "AVG(id)"],
            [(Timestamp(1609459200000000123), "2")],
        ),
        ("WITH x AS (SELECT id FROM {t}) SELECT id FROM x WHERE id > $1", ["id"], [(3,)]),
        ("SELECT a.id, b.name FROM {t} a JOIN {t} b ON a.id = b.id + 1 ORDER BY 1", None, [(2, "Ada"), (3, "Bob")]),
        ("SELECT ok, count(*) AS n FROM {t} GROUP BY ok HAVING count(*) > 0 ORDER BY n, ok", ["ok", "COUNT(*)"], None),
        ("SELECT name FROM {t} WHERE name ILIKE 'a%'", None, [("Ada",)]),
        ("SELECT name FROM {t} WHERE name LIKE 'a%'", None, []),
        ("SELECT doc->'a'->>'b' AS b FROM {t} WHERE doc @> '{{\"a\": {{}}}}'", None, [("[1,2]",)]),
        ("SELECT EXTRACT(YEAR FROM at) FROM {t} WHERE id = 1", ["EXTRACT(YEAR FROM at)"], [(2021,)]),
        ("SELECT date_trunc('month', at) AS m FROM {t} WHERE id = 1", None, [(Timestamp(1609459200000000000),)]),
        ("SELECT CAST(amount AS BIGINT), CAST(id AS TEXT) FROM {t} WHERE id = 1", None, [(10, "1")]),
        ("SELECT row_number() OVER (ORDER BY id DESC) AS n, id FROM {t} LIMIT 1", None, [(1, 3)]),
        ("SELECT id FROM {t} WHERE at >= $2", None, [(1,), (3,)]),
        ("SELECT coalesce(name, 'none') || '!' AS x FROM {t} WHERE id IN (2, 9)", ["x"], [("Bob!",)]),
        ("select id from {t} union all select 9 order by 1 desc limit 2", None, [(9,), (3,)]),
        ("SELECT CASE WHEN ok THEN 'yes' ELSE 'no' END FROM {t} WHERE id = 1", None, [("yes",)]),
        ("/* note */ -- more\n SELECT id FROM {t} WHERE id = 2;", None, [(2,)]),
        ("SELECT CONCAT(name, 1, NULL) FROM {t} WHERE id = 1", None, [("Ada1",)]),
        ('SELECT "id" FROM {t} WHERE "name" = \'Bob\'', ["id"], [(2,)]),
    ],
)
def test_selects(raw, table, sql, columns, rows):
    found = raw.ask(requests.Query(sql.format(t=table), [2, Timestamp(1609459200000000000)]))
    if columns is not None:
        assert found.columns == columns
    if rows is not None:
        assert list(found.rows) == rows


def test_large_results_are_as_small_ones(raw):
    name = fresh("t")
    raw.sql(f"CREATE TABLE {name} (id INT PRIMARY KEY, v TEXT, ok BOOLEAN, at TIMESTAMP, r REAL, m INT)")
    expected = []
    for start in range(0, 6000, 1000):
        values, params = [], []
        for n in range(start, start + 1000):
            time = Timestamp((n - 3000) * 10**14)
            params.append(time)
            text = "NULL" if n % 5 == 0 else f"'é{n}'"
            values.append(f"({n}, {text}, {'true' if n % 3 else 'false'}, ${len(params)}, {n / 8}, NULL)")
            shown = str(n // 8) if n % 8 == 0 else str(n / 8)
            expected.append((n, None if n % 5 == 0 else f"é{n}", bool(n % 3), time, shown, None))
        assert raw.sql(f"INSERT INTO {name} VALUES {', '.join(values)}", *params)[0][0] == 1000
    assert raw.sql(f"SELECT * FROM {name} ORDER BY id") == expected
    mixed = raw.sql(f"SELECT CASE id % 3 WHEN 0 THEN id WHEN 1 THEN v ELSE r END AS x FROM {name} ORDER BY id")
    assert mixed == [((n, v, r)[n % 3],) for n, v, _, _, r, _ in expected]


def test_aggregates_have_the_types_of_their_columns(raw):
    name = "kinds_of_aggregates"
    raw.sql(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, s TEXT, b BOOLEAN)")
    raw.sql(f"INSERT INTO {name} VALUES (1, 'x', TRUE), (2, 'y', FALSE)")
    assert raw.sql(f"SELECT MIN(b), MAX(b) AS top, MAX(k.b), MAX(s) FROM {name} k") == [(False, True, True, "y")]
    for wrong in ("SUM(s)", "AVG(b)", "SUM(k.s)"):
        with pytest.raises(Refused, match="type mismatch") as raised:
            raw.sql(f"SELECT {wrong} FROM {name} k")
        assert raised.value.code == 8


def test_show_explain_and_information_schema(raw, table):
    assert (table,) in raw.sql("SHOW TABLES") and ("invoices",) in raw.sql("SHOW TABLES")
    shown = raw.ask(requests.Query(f"SHOW COLUMNS FROM {table}"))
    assert shown.columns == ["column_name", "data_type", "nullable"] and ("amount", "DECIMAL(10,2)") in [
        r[:2] for r in shown.rows
    ]
    plan = raw.ask(requests.Query(f"EXPLAIN SELECT * FROM {table} WHERE id = 1"))
    assert plan.columns == ["plan"] and "SEARCH" in plan.rows[0][0]
    assert (table,) in raw.sql("SELECT table_name FROM information_schema.tables")
    types = raw.sql("SELECT data_type FROM information_schema.columns WHERE table_name = $1", table)
    assert ("TIMESTAMP",) in types and len(types) == 8


def test_listing_tables(raw, table):
    listed = {one.name: one.column_count for one in raw.ask(requests.ListTables()).tables}
    assert listed[table] == 8 and listed["accounts"] == 5
    described = raw.ask(requests.DescribeTable(table.upper()))
    assert described.table_name == table
    first = described.columns[0]
    assert (first.name, first.data_type, first.nullable, first.primary_key) == ("id", "BIGINT", False, True)
    assert raw.ask(requests.ListIndexes(table)).indexes == []
    raw.sql(f"CREATE INDEX by_{table} ON {table} (name, ok)")
    (index,) = raw.ask(requests.ListIndexes(table)).indexes
    assert (index.name, index.columns) == (f"by_{table}", ["name", "ok"])
    for payload in (requests.DescribeTable("nix"), requests.ListIndexes("nix")):
        assert refused(raw, payload).code == 6


@pytest.mark.parametrize(
    ("code", "sql", "words"),
    [
        (7, "SELEC 1", "found: SELEC at Line: 1, Column: 1"),
        (7, "SELECT * FROM {t}\nWHERE id == == 1", "Line: 2, Column: 13"),
        (7, "SELECT id,, name FROM {t}", "found: , at Line: 1, Column: 11"),
        (7, "SELECT 'abc", "not closed at Line: 1, Column: 8"),
        (7, "SELECT 1; SELECT 2", "single statement"),
        (7, "SELECT id FROM {t} WHERE id = ?", "not \\? at"),
        (7, "", "found nothing"),
        (7, "-- only this", "found nothing"),
        (7, "SELECT 1 \x00", "NUL"),
        (7, "SELECT " + "(" * 60 + "1" + ")" * 60, "nested too deeply"),
        (7, "CREATE TABLE x (id INT)", "needs a PRIMARY KEY"),
        (8, "CREATE TABLE x (id BLURB PRIMARY KEY)", r"unsupported data type .BLURB. of id"),
        (7, "CREATE TABLE kit_x (id INT PRIMARY KEY)", "reserved"),
        (7, 'CREATE TABLE "~v1" (id INT PRIMARY KEY)', "found"),
        (7, 'SELECT * FROM "~v1"', "found"),
        (7, "SELECT * FROM main.{t}", "found: main"),
        (7, "SELECT id FROM {t} AS OF 'soon'", "RFC 3339"),
        (8, "SELECT nope FROM {t}", "column 'nope' not found at Line: 1, Column: 8"),
        (8, "SELECT *\nFROM nix", "table 'nix' not found at Line: 2, Column: 6"),
        (8, "SELECT nix(id) FROM {t}", "function 'nix' not found"),
        (8, "SELECT id FROM {t} WHERE id = $3", "parameter \\$3 is missing"),
        (8, "SELECT id FROM {t} WHERE id = $0", "parameter \\$0 is missing"),
        (8, "SELECT id FROM {t} WHERE id = $999999999", "parameter \\$999999999 is missing"),
        (7, "SELECT id FROM {t} WHERE id = $" + "9" * 5000, "found: '\\$'"),
        (7, "SELECT id FROM {t} AT OFFSET " + "9" * 5000, "Expected a position"),
        (8, "INSERT INTO {t} (id, name) VALUES ('x', 'y')", "type mismatch: column id is BIGINT"),
        (8, "INSERT INTO {t} (id, at) VALUES (9, '2020-01-01')", "type mismatch: column at is TIMESTAMP"),
        (8, "INSERT INTO {t} (id, ok) VALUES (9, 2)", "type mismatch"),
        (8, "INSERT INTO {t} (id) VALUES (NULL)", "NOT NULL"),
        (7, "INSERT INTO {t} (id, nope) VALUES (1, 2)", "nope"),
        (8, "BEGIN", "not supported"),
        (8, "GRANT SELECT ON {t} TO bob", "not supported"),
        (8, "CREATE MASK m ON {t}", "not supported"),
        (8, "CREATE TABLE x (id INT PRIMARY KEY, n INT UNIQUE)", "not supported"),
        (8, "WITH x AS (SELECT 1) DELETE FROM {t}", "cannot change"),
        (8, "SELECT CAST('zz' AS TIMESTAMP)", "isoformat"),
        (6, "INSERT INTO nix VALUES (1)", "table 'nix' not found at Line: 1, Column: 13"),
        (6, "UPDATE nix SET a = 1", "'nix' not found"),
        (6, "DELETE FROM nix", "'nix' not found"),
        (6, "DROP TABLE nix", "'nix' not found"),
        (6, "SHOW COLUMNS FROM nix", "'nix' not found"),
        (9, "SELECT id FROM {t} AT OFFSET 999999999", "position 999999999 is ahead of current log position \\d+"),
        (10, "CREATE TABLE {t} (id INT PRIMARY KEY)", "already exists"),
        (29, "INSERT INTO {t} (id) VALUES (1)", "duplicate primary key in table '{t}': "),
    ],
)
def test_statements_that_are_refused(raw, table, code, sql, words):
    with pytest.raises(Refused, match=words.replace("{t}", table)) as raised:
        raw.sql(sql.replace("{t}", table))
    assert raised.value.code == code
    assert len(raw.sql(f"SELECT * FROM {table}")) == 3


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM sqlite_master",
        "SELECT count(*) FROM sqlite_schema",
        "WITH sqlite_master AS (SELECT 1) SELECT count(*) FROM sqlite_temp_master",
        "WITH x AS (SELECT * FROM sqlite_master) SELECT * FROM x",
        "SELECT * FROM pragma_table_info('invoices')",
        "SELECT * FROM pragma_database_list",
        "SELECT load_extension('x')",
        "SELECT readfile('/etc/passwd')",
        "SELECT fts3_tokenizer('x')",
        "SELECT sqlite_compileoption_get(1)",
        "ATTACH 'x' AS y",
        "PRAGMA writable_schema = 1",
        "VACUUM INTO 'x'",
        "INSERT INTO sqlite_master VALUES (1)",
        "UPDATE sqlite_master SET sql = ''",
        "DELETE FROM sqlite_sequence",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TRIGGER x AFTER INSERT ON invoices BEGIN SELECT 1; END",
        "CREATE TEMP TABLE x (id INT PRIMARY KEY)",
        "CREATE VIRTUAL TABLE x USING fts5(a)",
        "DROP TABLE sqlite_master",
        "ALTER TABLE sqlite_master ADD COLUMN x INT",
        "SELECT * FROM [~tables]",
        "SELECT * FROM `~tables`",
        "SELECT * FROM temp.kit_events",
    ],
)
def test_what_is_not_the_tenants_stays_out_of_reach(raw, sql):
    with pytest.raises(Refused) as raised:
        raw.sql(sql)
    assert raised.value.code in (6, 7, 8)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c",
        "SELECT count(*) FROM invoices a, invoices b, invoices c, invoices d, invoices e",
        "SELECT printf('%.15000000d', 1), " + ", ".join(f"printf('%.15000000d', {n})" for n in range(150)),
        "WITH RECURSIVE c(n, t) AS (SELECT 1, printf('%.1000000d', 1) UNION ALL SELECT n + 1, t FROM c)"
        " SELECT * FROM c",
    ],
)
def test_statements_that_would_never_end_or_eat_the_memory(tmp_path, sql):
    served = Served(tmp_path, demo=True, statement=1.5)
    try:
        with served.raw() as raw, served.raw() as other:
            other.sql("SELECT 1")
            raw.send(requests.Query(sql))
            started = time.monotonic()
            assert other.sql("SELECT count(*) FROM invoices") == [(400,)]
            other.sql("UPDATE invoices SET status = 'void' WHERE id = 5000")
            assert time.monotonic() - started < 2.5
            with pytest.raises(Refused, match=r"took longer|memory|larger than|too big") as raised:
                raw.answer()
            assert raised.value.code == 8 and time.monotonic() - started < 6
            assert raw.sql("SELECT 1") == [(1,)]
    finally:
        served.close()


# --- time travel ----------------------------------------------------------------------------------------------------


def now_of(raw: Raw) -> int:
    """The newest position, as it is asked for on any server."""
    error = refused(raw, requests.QueryAt("SELECT 1", [], MAX_U64))
    assert error.code == 9
    return server_error(error.code, error.message).current


def at(raw: Raw, position: int, sql: str, *params: Any) -> list[tuple[Any, ...]]:
    return list(raw.ask(requests.QueryAt(sql, list(params), position)).rows)


def test_tables_as_they_were(raw, table):
    rows = f"SELECT id, name FROM {table} ORDER BY id"
    first = now_of(raw)
    raw.sql(f"UPDATE {table} SET name = 'Ann' WHERE id = 1")
    second = now_of(raw)
    raw.sql(f"DELETE FROM {table} WHERE id = 2")
    third = now_of(raw)
    raw.sql(f"INSERT INTO {table} (id, name) VALUES (1, 'new') ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name")
    assert first < second < third
    assert at(raw, first, rows) == [(1, "Ada"), (2, "Bob"), (3, "")]
    assert at(raw, second, rows) == [(1, "Ann"), (2, "Bob"), (3, "")]
    assert at(raw, third, rows) == [(1, "Ann"), (3, "")]
    assert raw.sql(rows) == [(1, "new"), (3, "")]
    assert raw.sql(f"{rows} AT OFFSET {second}") == at(raw, second, rows)
    assert at(raw, third, f"SELECT name FROM {table} WHERE id = $1", 3) == [("",)]
    raw.send(requests.QueryAt(f"SELECT * FROM {table} WHERE 1 = 0", [], first))
    kinds = [str(kind) for kind in result_columns(raw.payload()).table.schema.types]
    assert kinds[1:5] == ["string", "bool", "timestamp[ns, tz=UTC]", "decimal128(10, 2)"]


def test_tables_that_were_made_changed_and_dropped(raw):
    name = fresh("t")
    before = now_of(raw)
    raw.sql(f"CREATE TABLE {name} (id INT PRIMARY KEY, a TEXT)")
    raw.sql(f"INSERT INTO {name} VALUES (1, 'x')")
    made = now_of(raw)
    raw.sql(f"ALTER TABLE {name} ADD COLUMN b INT")
    raw.sql(f"UPDATE {name} SET b = 5")
    wide = now_of(raw)
    raw.sql(f"ALTER TABLE {name} DROP COLUMN a")
    narrow = now_of(raw)
    raw.sql(f"DROP TABLE {name}")
    dropped = now_of(raw)
    raw.sql(f"CREATE TABLE {name} (other TEXT PRIMARY KEY)")
    for position in (before, dropped):
        # A table of that name is there now, which had no rows then.
        answer = raw.ask(requests.QueryAt(f"SELECT * FROM {name}", [], position))
        assert (answer.columns, list(answer.rows)) == (["other"], [])
    assert at(raw, made, f"SELECT * FROM {name}") == [(1, "x")]
    assert at(raw, wide, f"SELECT * FROM {name}") == [(1, "x", 5)]
    assert at(raw, narrow, f"SELECT * FROM {name}") == [(1, 5)]
    assert at(raw, made, "SHOW TABLES").count((name,)) == 1 and (name,) not in at(raw, dropped, "SHOW TABLES")
    assert raw.sql(f"SELECT count(*) FROM {name}") == [(0,)]
    for sql in (f"INSERT INTO {name} VALUES ('x')", "UPDATE invoices SET status = 'x'"):
        with pytest.raises(Refused) as raised:
            at(raw, dropped, sql)
        assert raised.value.code == 8


@pytest.mark.parametrize("form", ["AS OF TIMESTAMP '{}'", "AS OF '{}'", "FOR SYSTEM_TIME AS OF '{}'"])
def test_tables_as_they_were_at_a_time(raw, form):
    paid = "SELECT count(*) FROM invoices WHERE status = 'paid' "
    counts = [
        raw.sql(paid + form.format(time))[0][0]
        for time in ("2025-01-10T00:00:00Z", "2025-01-20T12:00:00Z", "2025-02-10T00:00:00+01:00")
    ]
    assert counts[0] == 0 < counts[1] < counts[2] <= raw.sql(paid)[0][0]
    with pytest.raises(Refused, match=r"before the first that is retained") as raised:
        raw.sql(paid + form.format("2024-01-01T00:00:00Z"))
    assert raised.value.code == 8


def test_how_things_were_stays_as_it_was(served, raw):
    name = fresh("t")
    raw.sql(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY)")
    slow = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 3000000) SELECT n FROM c"
    with served.raw() as writer:
        writer.send(requests.Query(f"INSERT INTO {name} SELECT count(*) FROM ({slow})"))
        time.sleep(0.2)
        # The row is on its way.
        sql = f"SELECT count(*) FROM {name} AS OF '{datetime.now(UTC).isoformat()}'"
        before = raw.sql(sql)
        writer.answer()
    assert raw.sql(f"SELECT count(*) FROM {name}") == [(1,)]
    assert raw.sql(sql) == before


# --- what this server has beyond the real one -----------------------------------------------------------------------


def test_events_as_a_table(raw):
    raw.become(9100)
    started = time.time_ns()
    one, two = stream_of(raw, b"a", b"b"), stream_of(raw, b"c")
    raw.ask(requests.AppendEvents(one, [b"d"], 2))
    rows = raw.sql(
        "SELECT position, tenant_id, stream_id, stream_offset, ts, data_b64 FROM kit_events ORDER BY position"
    )
    assert [row[1:4] + row[5:] for row in rows] == [
        (9100, one, 0, "YQ=="),
        (9100, one, 1, "Yg=="),
        (9100, two, 0, "Yw=="),
        (9100, one, 2, "ZA=="),
    ]
    positions = [row[0] for row in rows]
    assert positions == sorted(set(positions))
    assert all(started <= row[4].nanoseconds <= time.time_ns() for row in rows)
    part = "SELECT stream_offset FROM kit_events WHERE position >= $1 AND stream_id = $2 ORDER BY position"
    assert raw.sql(part, positions[1], one) == [(1,), (2,)]
    assert raw.sql("SELECT count(*) FROM kit_events WHERE stream_offset < 1") == [(2,)]
    assert raw.sql("SELECT count(*) FROM kit_events WHERE NOT (stream_offset < 1)") == [(2,)]
    assert raw.sql("SELECT count(*) FROM kit_events e JOIN kit_streams s ON s.stream_id = e.stream_id") == [(4,)]
    streams = raw.sql("SELECT stream_id, stream_number, length, bytes, data_class FROM kit_streams")
    assert streams == [(one, 1, 3, 3, "PUBLIC"), (two, 2, 1, 1, "PUBLIC")]


def test_bounds_never_change_what_a_query_finds(raw):
    raw.become(9101)
    id = stream_of(raw)
    for n in range(40):
        raw.ask(requests.AppendEvents(id, [b"%d" % n] * 5, n * 5))
    first = raw.sql("SELECT min(position) FROM kit_events")[0][0]
    rng = random.Random(3)
    for _ in range(60):
        parts, expected = [], range(200)
        for _ in range(rng.randint(1, 3)):
            sign, n = rng.choice([">=", ">", "<", "<=", "="]), rng.randint(-3, 203)
            name = rng.choice(["position", "stream_offset"])
            parts.append(f"{name} {sign} {n + first if name == 'position' else n}")
            compare = {">=": n.__le__, ">": n.__lt__, "<": n.__gt__, "<=": n.__ge__, "=": n.__eq__}[sign]
            expected = [one for one in expected if compare(one)]
        if rng.random() < 0.5:
            parts.insert(rng.randint(0, len(parts)), f"stream_id = {id}")
        found = raw.sql(f"SELECT stream_offset FROM kit_events WHERE {' AND '.join(parts)} ORDER BY position")
        assert [row[0] for row in found] == list(expected), parts
    for other in (id + 1, id + (1 << 32)):
        assert raw.sql("SELECT stream_offset FROM kit_events WHERE stream_id = $1", other) == []


def test_the_demo(raw):
    (claims, _, name, *_), *_ = raw.sql("SELECT * FROM kit_streams ORDER BY stream_number")
    assert name == "claims"
    events = [json.loads(event) for event in read_all(raw, claims)]
    assert len(events) > 1500 and {event["event"] for event in events} == {"submitted", "approved", "rejected", "paid"}
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    total = raw.sql("SELECT count(*) FROM invoices i JOIN accounts a ON a.id = i.account_id")
    assert total == [(400,)]


def test_the_demo_is_the_same_everywhere(tmp_path_factory):
    seen = set()
    for _ in range(2):
        other = Served(tmp_path_factory.mktemp("other"), demo=True)
        with other.raw() as raw:
            events = b"".join(read_all(raw, 1 << 32 | 1) + read_all(raw, 1 << 32 | 2))
            rows = raw.sql("SELECT * FROM invoices ORDER BY id") + raw.sql("SELECT * FROM accounts ORDER BY id")
            seen.add((events, str(rows)))
        other.close()
    assert len(seen) == 1


# --- the server, tenants, records -----------------------------------------------------------------------------------


def test_server_info(raw):
    info = raw.ask(requests.GetServerInfo())
    assert info.build_version.startswith("kit ") and info.protocol_version == 5
    assert info.cluster_mode is ClusterMode.STANDALONE and info.tenant_count >= 1


def test_tenants(served, raw):
    made = raw.ask(requests.TenantCreate(501, "north"))
    assert made.created and made.tenant.name == "north" and made.tenant.table_count == 0
    assert not raw.ask(requests.TenantCreate(501, "north")).created
    assert refused(raw, requests.TenantCreate(501, "south")).code == 21
    raw.become(501)
    raw.sql("CREATE TABLE t (id INT PRIMARY KEY)")
    id = stream_of(raw, b"x")
    assert raw.ask(requests.TenantGet(501)).tenant.table_count == 1
    assert 501 in {tenant.tenant_id for tenant in raw.ask(requests.TenantList()).tenants}
    with served.raw(501) as sub:
        sub.ask(requests.Subscribe(id, 0, 1))
        assert list(sub.push().events) == [b"x"]
        deleted = raw.ask(requests.TenantDelete(501))
        assert (deleted.deleted, deleted.tables_dropped) == (True, 1)
        assert sub.push().reason is CloseReason.STREAM_DELETED
    assert refused(raw, requests.TenantGet(501)).code == 4 and refused(raw, requests.StreamInfo(id)).code == 5
    assert not raw.ask(requests.TenantDelete(501)).deleted


def test_audit_fields_are_recorded(raw):
    name, mark = fresh("t"), fresh("mark")
    audit = Audit("alice", "because", mark, "key-1")
    raw.ask(requests.Query(f"CREATE TABLE {name} (id INT PRIMARY KEY)"), audit)
    raw.ask(requests.AppendEvents(stream_of(raw), [b"x"], 0), audit)
    raw.ask(requests.Query(f"WITH BREAK_GLASS REASON='er' SELECT * FROM {name}"), audit)
    events = [one for one in raw.ask(requests.AuditQuery(actor="alice")).events if one.correlation_id == mark]
    assert [one.action for one in events] == ["Create", "StreamAppend", "BreakGlass"]
    assert {(one.reason, one.request_id, one.tenant_id) for one in events} == {("because", "key-1", 1)}
    assert raw.ask(requests.AuditQuery(action_type="StreamAppend", actor="alice", limit=1)).events[0].action
    assert raw.ask(requests.AuditQuery(time_from_nanos=time.time_ns() + 10**12)).events == []
    chain = raw.ask(requests.VerifyAuditChain())
    assert chain.ok and chain.event_count >= 3 and len(chain.chain_head_hex) == 64


def test_consents(raw):
    subject = fresh("subject")
    made = raw.ask(requests.ConsentGrant(subject, ConsentPurpose.RESEARCH, terms_version="v2"))
    assert raw.ask(requests.ConsentCheck(subject, ConsentPurpose.RESEARCH)).is_valid
    assert not raw.ask(requests.ConsentCheck(subject, ConsentPurpose.MARKETING)).is_valid
    (record,) = raw.ask(requests.ConsentList(subject)).consents
    assert (record.consent_id, record.terms_version, record.accepted) == (made.consent_id, "v2", True)
    raw.ask(requests.ConsentWithdraw(made.consent_id))
    assert refused(raw, requests.ConsentWithdraw(made.consent_id)).code == 22
    assert raw.ask(requests.ConsentList(subject, True)).consents == []
    assert len(raw.ask(requests.ConsentList(subject)).consents) == 1


def get(url: str, key: str | None = None) -> tuple[int, str]:
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=10) as found:
            return found.status, found.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics(served, raw):
    stream_of(raw, b"12345")
    refused(raw, requests.StreamInfo(1 << 32 | 99_999))
    raw.ask(requests.Subscribe(1 << 32 | 1, 0, 0))
    raw.sql("SELECT 1")
    url = served.env["KIMBERLITE_METRICS_URL"]
    status, text = get(url, served.env["KIMBERLITE_API_KEY"])
    assert status == 200
    for line in (
        r'kimberlite_requests_total{method="AppendEvents",status="ok"} ',
        'kimberlite_request_duration_seconds_bucket{method="AppendEvents",le="+Inf"} ',
        "kimberlite_connections_active ",
        "kimberlite_storage_records_total ",
        'kimberlite_errors_total{type="StreamNotFound"} ',
        'kimberlite_auth_attempts_total{method="api_key",result="success"} ',
        "# TYPE kimberlite_request_duration_seconds histogram",
        "kimberlite_requests_in_flight 0",
        'kimberlite_connections_by_state{state="subscribed"} 1',
    ):
        assert line in text, line
    assert get(url)[0] == 401 and get(url, "wrong")[0] == 401
    base = url.removesuffix("/metrics")
    assert get(f"{base}/ready")[0] == 200 and json.loads(get(f"{base}/health")[1])["status"] == "ok"
    assert get(f"{base}/nope")[0] == 404


# --- durability -----------------------------------------------------------------------------------------------------


def test_requests_that_do_not_wait_are_answered_in_their_order(raw):
    id, other = stream_of(raw, b"first"), stream_of(raw)
    large = [bytes([n]) * 1000 for n in range(200)] * 2
    audit = Audit(actor="someone")
    raw.send(requests.AppendEvents(id, large, 1))  # read in a thread, as it is large
    raw.send(requests.AppendEvents(id, [b"a", b"b"], 401), audit)  # writes to the log too before it is answered
    raw.send(requests.AppendEvents(id, [b"never"], 99))
    raw.send(requests.AppendEvents(other, [b"x"], 0))
    raw.send(requests.AppendEvents(id, [b"c"], 403))
    raw.send(requests.StreamInfo(id))
    raw.send(requests.ReadEvents(id, 400, 1 << 20))
    answers = [raw.next() for _ in range(7)]
    first = answers[0].request_id
    assert [answer.request_id for answer in answers] == list(range(first, first + 7))
    told = [answer.payload for answer in answers]
    assert [(one.first_offset, one.count) for one in (told[0], told[1], told[3], told[4])] == [
        (1, 400),
        (401, 2),
        (0, 1),
        (403, 1),
    ]
    assert "expected 99, actual" in told[2].message
    assert told[5].length == 404 and list(told[6].events) == [large[-1], b"a", b"b", b"c"]


def test_many_small_appends_at_once_are_all_stored(raw):
    id = stream_of(raw)
    for n in range(500):
        raw.send(requests.AppendEvents(id, [b"%d" % n], n))
    assert [raw.answer().first_offset for _ in range(500)] == list(range(500))
    assert read_all(raw, id) == [b"%d" % n for n in range(500)]


def test_what_is_written_when_its_writer_has_gone_is_there_for_others(served, raw):
    id, length, page = stream_of(raw), 0, [b"x" * 1000] * 100
    for _ in range(30):
        with served.raw() as gone:
            gone.send(requests.AppendEvents(id, page, length))
            gone.send(requests.AppendEvents(id, page, length + 100))
            time.sleep(random.random() / 200)
        # What the store says is what others are told: no event is there and not seen.
        actual = int(refused(raw, requests.AppendEvents(id, [b"y"], MAX_U64)).message.rpartition(" ")[2])
        length = raw.ask(requests.StreamInfo(id)).length
        assert length >= actual and length % 100 == 0
        assert len(read_all(raw, id)) >= length


def test_what_was_acknowledged_survives_kill(tmp_path):
    acknowledged: list[bytes] = []
    rows = 0
    with in_child(tmp_path) as (child, env):
        with Raw(env) as raw, Raw(env) as other:
            id = stream_of(raw)
            other.sql("CREATE TABLE t (id INT PRIMARY KEY, v TEXT)")
            stop = threading.Timer(0.7, child.send_signal, (signal.SIGKILL,))
            stop.start()
            try:
                while True:
                    event = b"%d" % len(acknowledged)
                    raw.ask(requests.AppendEvents(id, [event] * 3, len(acknowledged)))
                    acknowledged += [event] * 3
                    other.sql("INSERT INTO t VALUES ($1, 'x')", rows)
                    rows += 1
            except (OSError, EOFError):
                child.wait()
    assert rows > 5
    with in_child(tmp_path) as (_, env):
        with Raw(env) as raw:
            found = read_all(raw, id)
            assert found[: len(acknowledged)] == acknowledged
            assert len(found) - len(acknowledged) in (0, 3)
            assert raw.ask(requests.StreamInfo(id)).length == len(found)
            assert raw.sql("SELECT count(*) FROM t")[0][0] - rows in (0, 1)
            position = now_of(raw)
            assert at(raw, position, "SELECT count(*) FROM t") == raw.sql("SELECT count(*) FROM t")
            raw.sql("INSERT INTO t VALUES (-1, 'after')")
            assert now_of(raw) > position


def test_what_was_acknowledged_without_waiting_survives_kill(tmp_path):
    acknowledged = 0
    with in_child(tmp_path) as (child, env):
        with Raw(env) as raw:
            id = stream_of(raw)
            stop = threading.Timer(0.5, child.send_signal, (signal.SIGKILL,))
            stop.start()
            try:
                sent = 0
                while True:
                    if sent - acknowledged > 30 * 3:
                        assert raw.answer().first_offset == acknowledged
                        acknowledged += 3
                    raw.send(requests.AppendEvents(id, [b"%d" % sent] * 3, sent))
                    sent += 3
            except (OSError, EOFError):
                child.wait()
    assert acknowledged > 100
    with in_child(tmp_path) as (_, env), Raw(env) as raw:
        found = read_all(raw, id)
        assert acknowledged <= len(found) <= sent + 3 and len(found) % 3 == 0
        assert found == [b"%d" % n for n in range(0, len(found), 3) for _ in range(3)]
        assert raw.ask(requests.StreamInfo(id)).length == len(found)


def test_the_catalogue_survives_a_restart(tmp_path):
    served = Served(tmp_path)
    with served.raw() as raw:
        id = stream_of(raw, b"a", name="kept")
        raw.sql("CREATE TABLE t (id INT PRIMARY KEY, v TEXT)")
        raw.sql("INSERT INTO t VALUES (1, 'one')")
        position = now_of(raw)
        raw.sql("UPDATE t SET v = 'two'")
        key = raw.ask(requests.ApiKeyRegister("bob", 1, ["User"])).key
        raw.ask(requests.TenantCreate(5, "five"))
    served.close()
    served = Served(tmp_path)
    try:
        with served.raw(1, key) as raw:
            assert raw.ask(requests.CreateStream("kept")).stream_id == id and read_all(raw, id) == [b"a"]
            assert raw.ask(requests.CreateStream("next")).stream_id == id + 1
            assert raw.sql("SELECT v FROM t") == [("two",)] and at(raw, position, "SELECT v FROM t") == [("one",)]
        with served.raw() as raw:
            assert raw.ask(requests.TenantGet(5)).tenant.name == "five"
    finally:
        served.close()


def test_a_server_that_stops_while_a_reader_starts_leaves_nothing_behind(tmp_path):
    async def brief(seconds):
        workers = Workers(tmp_path, 5)
        await workers.start()
        workers.warm()
        await asyncio.sleep(seconds)
        await workers.close()

    for turn in range(12):
        asyncio.run(brief(turn * 0.01))
        gc.collect()  # what was left open says so now, and pytest fails


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "code"), [("429", 14), ("503", 14), ("404", 5), ("401", 3), ("500", 1), ("418", 2)])
def test_statuses_are_error_answers(served, raw, kind, code):
    served.faults(kind, "StreamInfo/*")
    id = stream_of(raw, b"x")
    assert refused(raw, requests.StreamInfo(id)).code == code
    assert raw.ask(requests.StreamInfo(id)).length == 1


def test_delay_and_drop(served, raw):
    id = stream_of(raw)
    served.faults("delay", "AppendEvents/*", seconds=0.3)
    started = time.monotonic()
    raw.ask(requests.AppendEvents(id, [b"a"], 0))
    assert time.monotonic() - started >= 0.3
    served.faults("drop", f"AppendEvents/{id}")
    raw.send(requests.AppendEvents(id, [b"b"], 1))
    with pytest.raises(EOFError):
        raw.next()
    with served.raw() as again:
        assert read_all(again, id) == [b"a"]


@pytest.mark.parametrize(
    ("kind", "error"), [("reset", ConnectionResetError), ("truncate", EOFError), ("stall", EOFError)]
)
@pytest.mark.parametrize("after", [0, 5, 16])
def test_answers_cut_short(served, raw, kind, error, after):
    id = stream_of(raw)
    served.faults(kind, "AppendEvents/*", after=after, seconds=0.1)
    raw.send(requests.AppendEvents(id, [b"x"], 0))
    got = raw.sock.recv(after, socket.MSG_WAITALL) if after else b""
    assert len(got) == after
    with pytest.raises(error):
        raw.payload()
    with served.raw() as again:
        assert read_all(again, id) == [b"x"]


def test_garbage(served, raw):
    served.faults("garbage", "GetServerInfo*")
    raw.send(requests.GetServerInfo())
    assert raw.sock.recv(100).startswith(b"<html>")
    assert raw.sock.recv(100) == b""


def test_faults_fall_on_pushes(served, raw):
    id = stream_of(raw, *[b"%d" % n for n in range(20)])
    served.faults("truncate", f"Push/{id}", skip=4, after=3)
    with served.raw() as sub:
        sub.ask(requests.Subscribe(id, 0, 100))
        assert [sub.push().start_offset for _ in range(4)] == [0, 1, 2, 3]
        with pytest.raises(EOFError):
            sub.push()


# --- hostile --------------------------------------------------------------------------------------------------------


def closed(sock: socket.socket) -> bool:
    """Whether the other side closes without a word."""
    sock.settimeout(10)
    try:
        return sock.recv(1000) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        struct.pack(">IHII", 0x56444220, 4, 0, 0),
        struct.pack(">IHII", 0x56444220, 5, 0xFFFFFFFF, 0),
        struct.pack(">IHII", 0x56444220, 5, 16_777_217, 0),
        struct.pack(">IHII", 0x56444220, 5, 3, 0) + b"abc",
        frame(b""),
        frame(b"\x03"),
        frame(b"\x00\x01\x01\x00\x2b"),
        frame(b"\x00\x01\x01\x02\x00"),
        frame(bytes.fromhex("01 01 07 03")),
        frame(bytes.fromhex("02 01 01 00")),
        frame(bytes.fromhex("00 80808080808080808080 00 01 00 06 01")),
    ],
    ids=lambda data: data[:24].hex(),
)
def test_bad_frames_close_the_connection_without_a_word(served, data):
    for token in (None, ""):
        with served.raw(token=token) as raw:
            raw.sock.sendall(data)
            assert closed(raw.sock)


def test_strangers_get_little_room(served):
    with served.raw(token=None) as raw:
        raw.sock.sendall(struct.pack(">IHII", 0x56444220, 5, 70_000, 0))
        assert closed(raw.sock)
    with served.raw(token=None) as raw:
        # Also in one go with the handshake that would allow more.
        hello = encode_request(1, 1, requests.Handshake(5, served.env["KIMBERLITE_API_KEY"]))
        with served.raw() as other:
            id = stream_of(other)
        raw.sock.sendall(hello + encode_request(2, 1, requests.AppendEvents(id, [bytes(1_000_000)], 0)))
        assert raw.answer().authenticated and raw.answer().count == 1


def test_frames_in_small_pieces(served, raw):
    data = b"".join(encode_request(n, 1, requests.GetServerInfo()) for n in range(50))
    for start in range(0, len(data), 7):
        raw.sock.sendall(data[start : start + 7])
    assert [raw.next().request_id for _ in range(50)] == list(range(50))


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """A message with some damage, in a frame that is whole."""
    raw = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(raw) + 1)
        kind = rng.randrange(5)
        if kind == 0 and at < len(raw):
            raw[at] = rng.randrange(256)
        elif kind == 1:
            raw[at:at] = rng.randbytes(rng.randint(1, 4))
        elif kind == 2:
            del raw[at : at + rng.randint(1, 6)]
        elif kind == 3:
            raw[at:at] = rng.choice([b"\xff\xff\xff\xff\x0f", b"\xff" * 9 + b"\x01", b"\x80" * 12])
        elif at < len(raw):
            raw[at] ^= 1 << rng.randrange(8)
    whole = frame(bytes(raw))
    if rng.random() < 0.1:
        whole = bytearray(whole)
        # A length that is too large only makes the server wait for what does not come.
        at = rng.choice([0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13])
        whole[at] = whole[at] // 2 if at == 9 else whole[at] ^ 1 << rng.randrange(8)
    return bytes(whole)


def seeds_of(raw: Raw) -> list[bytes]:
    id = stream_of(raw, b"seed")
    asked = [
        requests.CreateStream("mutant"),
        requests.AppendEvents(id, [b"one", b"two", b""], 1),
        requests.ReadEvents(id, 0, 4096),
        requests.StreamInfo(id),
        requests.Subscribe(id, 0, 5),
        requests.SubscribeCredit(5871781006564002453, 3),
        requests.Unsubscribe(5871781006564002453),
        requests.Sync(),
        requests.GetServerInfo(),
        requests.ConsentGrant("x", ConsentPurpose.SECURITY),
        requests.AuditQuery("x", "y", 1, 2, "z", 3),
        requests.ALL[40](b"\x01x"),
        requests.DescribeTable("invoices"),
        requests.Query("SELECT id FROM invoices WHERE id = $1", [1, "x", None, True, Timestamp(5)]),
    ]
    return [encode_request(n, 1, payload)[14:] for n, payload in enumerate(asked, 1)]


def survive(served: Served, count: int, seed: int) -> tuple[int, int]:
    """Sends so many damaged frames, each of which is answered or ends its connection; how many did which."""
    rng = random.Random(seed)
    with served.raw() as raw:
        seeds = seeds_of(raw)
        # An administrator's key would let some of them remove the tenant, as they then ask for.
        key = raw.ask(requests.ApiKeyRegister("mutant", 1, ["User", "Auditor"])).key
    answered = ended = 0
    frames: list[bytes] = []
    while answered + ended < count:
        frames = frames or [mutated(rng, seeds) for _ in range(30)]
        with served.raw(1, key) as raw:
            last = 10**9
            taken = 0
            try:
                raw.sock.sendall(b"".join(frames) + encode_request(last, 1, requests.Sync()))
                while (message := raw.next()) and getattr(message, "request_id", 0) != last:
                    taken += isinstance(message, Response)
            except (EOFError, ConnectionError):
                ended += 1
                answered += taken
                frames = frames[taken + 1 :]
            else:
                answered += taken
                frames = []
    with served.raw() as raw:
        assert raw.sql("SELECT count(*) FROM invoices") == [(400,)]
    return answered, ended


def test_damaged_frames_harm_nobody(served):
    answered, ended = survive(served, 3000, 1)
    assert answered > 300 and ended > 300


def test_subscriptions_end_with_connections_that_end_badly(served):
    with served.raw() as raw:
        id = stream_of(raw, b"x")
    watchers = served.server._streams._watchers
    for n in range(300):
        raw = served.raw()
        ask = [encode_request(10 + m, 1, requests.Subscribe(id, 0, 5)) for m in range(20)]
        # What is no frame ends the connection from one side, and a reset from the other, at about the same time.
        raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.sock.sendall(b"".join(ask) + b"garbage" * 10)
        time.sleep(n % 10 / 5000)
        raw.close()
    until = time.monotonic() + 10
    while watchers.get(id) and time.monotonic() < until:
        time.sleep(0.05)
    assert not watchers.get(id)


def test_many_connections(served):
    connections = [served.raw() for _ in range(200)]
    for connection in connections:
        connection.send(requests.GetServerInfo())
    for connection in connections:
        assert connection.answer().protocol_version == 5
        connection.close()


def test_a_client_that_does_not_read_its_answers(tmp_path):
    served = Served(tmp_path, stall=1)
    try:
        with served.raw() as raw, served.raw() as other:
            id = stream_of(raw, bytes(8_000_000))
            for _ in range(8):
                raw.send(requests.ReadEvents(id, 0, 16 << 20))
            assert other.ask(requests.StreamInfo(id)).length == 1
            time.sleep(2.5)
            raw.sock.settimeout(10)
            with pytest.raises((EOFError, ConnectionResetError)):
                [raw.payload() for _ in range(9)]
    finally:
        served.close()


def test_idle_connections_are_closed(tmp_path):
    served = Served(tmp_path, idle=0.4)
    try:
        with served.raw() as raw:
            assert closed(raw.sock)
        with served.raw(token=None) as raw:
            raw.sock.sendall(struct.pack(">IHII", 0x56444220, 5, 1000, 0))
            assert closed(raw.sock)
    finally:
        served.close()


def test_a_client_that_leaves_in_the_middle_of_a_query(tmp_path):
    served = Served(tmp_path, demo=True, statement=3)
    try:
        for _ in range(3):
            raw = served.raw()
            raw.send(requests.Query("SELECT count(*) FROM invoices a, invoices b, invoices c, invoices d"))
            time.sleep(0.2)
            raw.close()
        with served.raw() as other:
            started = time.monotonic()
            assert other.sql("SELECT 1") == [(1,)]
            assert time.monotonic() - started < 2
    finally:
        served.close()
