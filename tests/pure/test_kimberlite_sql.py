"""The lab's SQL for Kimberlite, without a server: statements, tables as they were, rows as the wire has them."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.kimberlite.types import Timestamp
from kit.kimberlite.wire.protocol.codec import decode
from kit.kimberlite.wire.results import result_columns
from kit.lab.kimberlite import schema as streams_schema
from kit.lab.kimberlite.refusal import Refusal
from kit.lab.kimberlite.sql import functions, stamps
from kit.lab.kimberlite.sql.dialect import parse
from kit.lab.kimberlite.sql.helpers import bounds_of
from kit.lab.kimberlite.sql.rows import column_name
from kit.lab.kimberlite.sql.tenants import Tenants
from kit.lab.kimberlite.sql.tokens import cut


class Tables:
    """The tables of all tenants in a folder, written and read."""

    def __init__(self, folder: Path) -> None:
        db = sqlite3.connect(folder / "kimberlite.sqlite")
        db.executescript(streams_schema.SQL)
        db.close()
        self._writer, self._reader = Tenants(folder, writes=True), Tenants(folder, writes=False)
        self.position = 0

    def payload(self, sql: str, *params: Any, at: int | None = None, tenant: int = 1) -> bytes:
        body = self._reader.query(tenant, sql, list(params), position=at, current=self.position, now=10**18, seconds=5)
        return b"\x01\x01\x04" + body

    def rows(self, sql: str, *params: Any, **more: Any) -> list[tuple[Any, ...]]:
        return list(decode(self.payload(sql, *params, **more)).payload.rows)

    def run(self, sql: str, *params: Any, tenant: int = 1) -> tuple[int, int]:
        body = self._writer.execute(
            tenant, sql, list(params), position=self.position + 1, now=(self.position + 1) * 10**9, seconds=5
        )
        self.position += 1
        return decode(b"\x01\x01\x04" + body).payload.rows[0]

    def fill(self, name: str, rows: list[tuple[Any, ...]]) -> None:
        """Adds rows past the statements, which would take a while."""
        db = self._writer._database(1).db
        db.execute("begin")
        db.executemany(
            f"insert into {name} values ({', '.join('?' * len(rows[0]))})",
            [[stamps.stamp(v.nanoseconds) if isinstance(v, Timestamp) else v for v in row] for row in rows],
        )
        db.execute("commit")

    def close(self) -> None:
        for tenants in (self._writer, self._reader):
            tenants.close()


@pytest.fixture
def tables(tmp_path):
    made = Tables(tmp_path)
    yield made
    made.close()


# --- statements -----------------------------------------------------------------------------------------------------


WORDS = ("SELECT", "FROM", "t1", "(", ")", ",", ";", "'", '"', "--", "/*", "*/", "$1", "1.5", "x'00'", "ILIKE", "@>")
OTHERS = (
    "AS",
    "OF",
    "CAST",
    "EXTRACT",
    "WITH",
    "INSERT",
    "\n",
    "\\",
    "é",
    "?",
    "~",
    "[",
    "]",
    "MAIN",
    ".",
    "AT",
    "OFFSET",
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from((*WORDS, *OTHERS)), max_size=14))
def test_any_text_is_a_statement_or_refused(words):
    try:
        parse(" ".join(words))
        code = 7
    except Refusal as refusal:
        code = refusal.code
    assert code in (7, 8)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_tokens_hold_the_whole_text(sql):
    try:
        tokens = cut(sql)
    except Refusal:
        return
    assert "".join(token.text for token in tokens) == sql.replace(";", "") or ";" in sql
    assert all(sql.startswith(token.text, token.at) for token in tokens)


@pytest.mark.parametrize(
    "sql", ["/*" * 200_000, "'" * 200_001, "-" * 400_000, "(" * 300_000, "a " * 200_000, "$" * 99_999]
)
def test_long_nonsense_is_quick(sql):
    with pytest.raises(Refusal):
        parse(sql)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT a ILIKE 'x'", "SELECT a REGEXP 'x'"),
        ("SELECT 'ILIKE' AS \"a b\"", "SELECT 'ILIKE' AS [a b]"),
        ("SELECT a @> b", "SELECT a MATCH b"),
        ("SELECT CAST(a AS DECIMAL(10, 2))", "SELECT kit_cast(a , 'DECIMAL ( 10 , 2 )')"),
        ("SELECT CAST((SELECT x AS y FROM t) AS TEXT) AS z", "SELECT kit_cast((SELECT x AS y FROM t) , 'TEXT') AS z"),
        ("SELECT EXTRACT(year FROM at) AS y", "SELECT extract('year', at) AS y"),
        ("SELECT CURRENT_DATE", "SELECT today()"),
        ("SELECT x FROM information_schema.Tables", "SELECT x FROM [information_schema.tables]"),
        ("SELECT 1 AT OFFSET 5", "SELECT 1 "),
        ("SELECT 1 LIMIT 2 OFFSET 5", "SELECT 1 LIMIT 2 OFFSET 5"),
        ("WITH BREAK_GLASS REASON='x' SELECT 1", " SELECT 1"),
    ],
)
def test_what_sqlite_is_told(sql, expected):
    assert parse(sql).sql == expected


@pytest.mark.parametrize(
    ("sql", "time"),
    [
        ("SELECT 1 AS OF TIMESTAMP '2001-09-09T01:46:40Z'", 10**18),
        ("SELECT 1 AS OF '2001-09-09T03:46:40+02:00'", 10**18),
        ("SELECT 1 FOR SYSTEM_TIME AS OF '2001-09-09 01:46:40.5' ;", 10**18 + 500_000_000),
    ],
)
def test_times_of_statements(sql, time):
    found = parse(sql)
    assert found.time == time + 999 and found.sql.strip() == "SELECT 1"


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2001-09-09T01:46:40.000000001Z", 10**18 + 1),
        ("2001-09-09T01:46:40.000000000Z", 10**18),
        ("2262-04-11T23:47:16.854775Z", 2**63 - 1),
    ],
)
def test_times_of_statements_to_the_nanosecond(text, time):
    assert parse(f"SELECT 1 AS OF '{text}'").time == time


@pytest.mark.parametrize("text", ["9999-12-31T00:00:00Z", "0001-01-01T00:00:00Z", "1677-01-01", "2262-04-12"])
def test_times_that_64_bits_do_not_reach(text):
    with pytest.raises(Refusal, match="between 1678 and 2262") as refused:
        parse(f"SELECT 1 AS OF '{text}'")
    assert refused.value.code == 7


def test_a_statement_that_breaks_off():
    assert parse("SELECT * FROM information_schema.").verb == "SELECT"


def test_names_of_columns():
    for text, name in {
        "count( * )": "COUNT(*)",
        "Sum(o.amount)": "SUM(amount)",
        "COUNT(DISTINCT o.x)": "COUNT(DISTINCT x)",
        "avg( x + 1 )": "AVG(x + 1)",
        "counter": "counter",
        "max(x) - 1": "max(x) - 1",
    }.items():
        assert column_name(text) == name


# --- tables as they were --------------------------------------------------------------------------------------------

STEP = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 5), st.integers(0, 99)),
    st.tuples(st.just("set"), st.integers(0, 5), st.integers(0, 99)),
    st.tuples(st.just("del"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("move"), st.integers(0, 5), st.integers(0, 5)),
    st.tuples(st.just("replace"), st.integers(0, 5), st.integers(0, 99)),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEP, max_size=25))
def test_every_position_shows_what_was_there(tmp_path_factory, steps):
    tables = Tables(tmp_path_factory.mktemp("t"))
    tables.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)")
    rows: dict[int, int] = {}
    states = [dict(rows)]
    for kind, id, value in steps:
        try:
            if kind == "put":
                sql = "INSERT INTO t VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v"
                tables.run(sql, id, value)
                rows[id] = value
            elif kind == "set":
                assert tables.run("UPDATE t SET v = $2 WHERE id <= $1", id, value)[0] == sum(n <= id for n in rows)
                rows = {n: value if n <= id else v for n, v in rows.items()}
            elif kind == "del":
                assert tables.run("DELETE FROM t WHERE id = $1", id)[0] == (id in rows)
                rows.pop(id, None)
            elif kind == "replace":
                tables.run("INSERT OR REPLACE INTO t VALUES ($1, $2)", id, value)
                rows[id] = value
            else:
                tables.run("UPDATE t SET id = $2 WHERE id = $1", id, value)
                if id in rows:
                    rows[value] = rows.pop(id)
        except Refusal as refusal:
            refused = refusal.code
            if (refused, kind, value in rows) == (29, "move", True):
                continue
            raise
        states.append(dict(rows))
    for position, state in enumerate(states, 1):
        assert dict(tables.rows("SELECT * FROM t", at=position)) == state
        assert tables.rows("SELECT count(*), sum(v) FROM t", at=position) == [
            (len(state), sum(state.values()) if state else None)
        ]
    assert dict(tables.rows("SELECT * FROM t")) == rows
    tables.close()


def test_a_statement_that_fails_leaves_nothing(tables):
    tables.run("CREATE TABLE t (id INT PRIMARY KEY)")
    for sql in ("INSERT INTO t VALUES (1), (2), (1)", "INSERT INTO t VALUES (1), ('x')", "DROP TABLE nix"):
        before = tables.position
        with pytest.raises(Refusal):
            tables.run(sql)
        assert tables.position == before and tables.rows("SELECT * FROM t") == []
    tables.run("INSERT INTO t VALUES (1)")
    assert tables.rows("SELECT * FROM t", at=tables.position - 1) == []


def test_tenants_have_tables_of_their_own(tables):
    for tenant in (1, 2):
        tables.run("CREATE TABLE t (id INT PRIMARY KEY)", tenant=tenant)
        tables.run("INSERT INTO t VALUES ($1)", tenant, tenant=tenant)
    assert [tables.rows("SELECT * FROM t", tenant=tenant) for tenant in (1, 2)] == [[(1,)], [(2,)]]
    with pytest.raises(Refusal, match="not found"):
        tables.rows("SELECT * FROM t", tenant=3)


def test_limits_of_integers(tables):
    tables.run("CREATE TABLE t (id BIGINT PRIMARY KEY, a TINYINT, b SMALLINT, c INT)")
    tables.run("INSERT INTO t VALUES ($1, -128, 32767, $2)", -(2**63), 2**31 - 1)
    for sql in ("(1, 128, 0, 0)", "(1, 0, 32768, 0)", "(1, 0, 0, 2147483648)", "(9223372036854775808, 0, 0, 0)"):
        with pytest.raises(Refusal, match="type mismatch"):
            tables.run(f"INSERT INTO t VALUES {sql}")


def test_a_key_is_never_made_up(tables):
    for kind in ("INTEGER", "INT", "BIGINT"):
        tables.run(f"CREATE TABLE t_{kind} (id {kind} PRIMARY KEY, x TEXT)")
        for sql in ("(x) VALUES ('a')", "VALUES (NULL, 'a')"):
            with pytest.raises(Refusal, match="NOT NULL") as refused:
                tables.run(f"INSERT INTO t_{kind} {sql}")
            assert refused.value.code == 8
        tables.run(f"INSERT INTO t_{kind} VALUES (7, 'b')")
        table = result_columns(tables.payload(f"SELECT id FROM t_{kind}")).table
        assert str(table.schema.types[0]) == "int64" and table.column(0).to_pylist() == [7]
        assert ("id", kind, False) in tables.rows(f"SHOW COLUMNS FROM t_{kind}")


def test_a_column_may_have_the_name_of_the_number_of_a_row(tables):
    tables.run("CREATE TABLE t (rowid BIGINT, oid TEXT PRIMARY KEY)")
    for number, key in ((5, "a"), (5, "b"), (None, "c")):
        tables.run("INSERT INTO t VALUES ($1, $2)", number, key)
    filled = tables.position
    tables.run("UPDATE t SET rowid = 6 WHERE oid = 'c'")
    tables.run("DELETE FROM t WHERE oid = 'a'")
    assert sorted(tables.rows("SELECT oid, rowid FROM t")) == [("b", 5), ("c", 6)]
    assert sorted(tables.rows("SELECT oid, rowid FROM t", at=filled)) == [("a", 5), ("b", 5), ("c", None)]
    with pytest.raises(Refusal, match="reserved"):
        tables.run("CREATE TABLE u (_rowid_ BIGINT PRIMARY KEY)")


def test_an_index_is_made_or_refused(tables):
    for name in ("t", "u"):
        tables.run(f"CREATE TABLE {name} (id INT PRIMARY KEY, a INT)")
    tables.run("CREATE INDEX by_a ON t (a)")
    with pytest.raises(Refusal, match="already exists") as refused:
        tables.run("CREATE INDEX By_A ON u (a)")
    assert refused.value.code == 10
    tables.run("CREATE INDEX IF NOT EXISTS by_a ON t (a)")
    tables.run("CREATE INDEX u_by_a ON u (a)")


def test_a_full_disk_is_no_fault_of_the_statement(tables):
    tables.run("CREATE TABLE t (id INT PRIMARY KEY)")
    db = tables._writer._database(1).db
    pages = db.execute("pragma page_count").fetchone()[0]
    db.execute(f"pragma max_page_count={pages}")
    for sql in (f"CREATE TABLE u (id INT PRIMARY KEY, {', '.join(f'c{n} TEXT' for n in range(400))})",):
        with pytest.raises(Refusal, match="full") as refused:
            tables.run(sql)
        assert refused.value.code == 12
    db.execute("pragma max_page_count=100000")
    tables.run("INSERT INTO t VALUES (1)")
    assert tables.rows("SHOW TABLES") == [("t",)]


def test_tables_that_are_just_being_made(tables, tmp_path):
    (tmp_path / "kimberlite-5.sqlite").touch()
    assert tables.rows("SHOW TABLES", tenant=5) == []
    tables.run("CREATE TABLE t (id INT PRIMARY KEY)", tenant=5)
    assert tables.rows("SHOW TABLES", tenant=5) == [("t",)]


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("at > '2025-01-01'", []),
        ("'2025-01-01' <= at", []),
        ("t.at = $1", ["2025-01-01"]),
        ("\"at\" NOT BETWEEN $1 AND '2025-01-01'", [Timestamp(5)]),
        ("id = 1 AND at IN ('2025-01-01', '2025-01-02')", []),
        ("day >= '2025-01-01'", []),
        ("clock < '10:00'", []),
        ("at LIKE '2025%'", []),
        ("at NOT ILIKE '2025%'", []),
    ],
)
def test_times_are_not_compared_with_texts(tables, sql, params):
    tables.run("CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMP, day DATE, clock TIME)")
    tables.run("INSERT INTO t VALUES (1, $1, 20000, 5)", Timestamp(10**18))
    with pytest.raises(Refusal, match="type mismatch"):
        tables.rows("SELECT id FROM t GROUP BY id HAVING MAX(t.at) > '2025-01-01'")
    for statement in (f"SELECT id FROM t WHERE {sql}", f"SELECT id FROM t x WHERE {sql.replace('t.', 'x.')}"):
        with pytest.raises(Refusal, match=r"type mismatch: column .* at Line: 1") as refused:
            tables.rows(statement, *params)
        assert refused.value.code == 8
    with pytest.raises(Refusal, match="type mismatch"):
        tables.run(f"DELETE FROM t WHERE {sql}", *params)
    assert tables.rows("SELECT id FROM t") == [(1,)]


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT id FROM t WHERE at = $1", [Timestamp(10**18)]),
        ("SELECT id FROM t WHERE at >= CAST('2001-09-09' AS TIMESTAMP) AND name > 'a'", []),
        ("SELECT id FROM t WHERE at BETWEEN $1 AND $1", [Timestamp(10**18)]),
        ("SELECT id FROM (SELECT id, CAST(at AS TEXT) AS at FROM t) x WHERE at = '2001-09-09T01:46:40Z'", []),
        ("SELECT id FROM t WHERE 'b' = name AND at IS NOT NULL", []),
        ("SELECT t.id FROM t JOIN words w ON w.id = t.id WHERE w.at = 'then'", []),
    ],
)
def test_what_is_compared_with_times(tables, sql, params):
    tables.run("CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMP, name TEXT)")
    tables.run("CREATE TABLE words (id INT PRIMARY KEY, at TEXT)")
    tables.run("INSERT INTO t VALUES (1, $1, 'b')", Timestamp(10**18))
    tables.run("INSERT INTO words VALUES (1, 'then')")
    assert tables.rows(sql, *params) == [(1,)]


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("CAST('9007199254740993.0' AS BIGINT)", 9007199254740993),
        ("CAST(' -9223372036854775808 ' AS BIGINT)", -(2**63)),
        ("CAST(CAST('9007199254740993.25' AS DECIMAL) AS BIGINT)", 9007199254740993),
        ("CAST(2.6 AS BIGINT)", 3),
        ("CAST('2021-01-01T00:00:00.123456789Z' AS TIMESTAMP)", Timestamp(1609459200123456789)),
        ("CAST('2021-01-01 00:00:00.1234567' AS TIMESTAMP)", Timestamp(1609459200123456700)),
    ],
)
def test_casts_are_exact(tables, sql, value):
    assert tables.rows(f"SELECT {sql}") == [(value,)]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("CAST('1_000' AS BIGINT)", "'1_000' is not a number"),
        ("CAST(1e300 AS BIGINT)", "does not fit into 64 bits"),
        ("CAST('9223372036854775808' AS BIGINT)", "does not fit into 64 bits"),
        ("CAST('9999-12-31' AS TIMESTAMP)", "between 1677-09-21"),
        ("CAST('1e500' AS DECIMAL(10,2))", "too large for DECIMAL"),
        ("5 @> 6", "JSON"),
    ],
)
def test_functions_tell_what_they_cannot_do(tables, sql, words):
    with pytest.raises(Refusal, match=words) as refused:
        tables.rows(f"SELECT {sql}")
    assert refused.value.code == 8


def test_bytes_that_look_like_a_time_stay_bytes(tables):
    import base64

    value = stamps.stamp(10**18)
    tables.run("CREATE TABLE t (id INT PRIMARY KEY, b BYTES)")
    for n in range(300):
        tables.run(f"INSERT INTO t VALUES ({n}, x'{value.hex()}')")
    text = base64.b64encode(value).decode()
    assert tables.rows("SELECT b FROM t WHERE id < 2") == [(text,)] * 2
    assert tables.rows("SELECT b FROM t") == [(text,)] * 300


# --- rows -----------------------------------------------------------------------------------------------------------

VALUES = {
    "BIGINT": st.integers(-(2**63), 2**63 - 1),
    "TEXT": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    "BOOLEAN": st.booleans(),
    "TIMESTAMP": st.integers(-(2**63), 2**63 - 1).map(Timestamp),
}


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from([1, 199, 200, 201, 700]))
def test_values_survive_tables_and_the_wire(tmp_path_factory, data, count):
    tables = Tables(tmp_path_factory.mktemp("t"))
    kinds = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4))
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(kinds))
    tables.run(f"CREATE TABLE t (id INT PRIMARY KEY, {columns})")
    few = data.draw(st.lists(st.tuples(*[st.none() | VALUES[kind] for kind in kinds]), min_size=1, max_size=9))
    rows = [(n, *few[n % len(few)]) for n in range(count)]
    tables.fill("t", rows)
    assert tables.rows("SELECT * FROM t ORDER BY id") == rows
    found = result_columns(tables.payload("SELECT * FROM t ORDER BY id"))
    assert len(found) == count and not found.as_text
    assert found.table.column("id").to_pylist() == list(range(count))
    tables.close()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20))
def test_numbers_are_the_same_in_small_and_large_results(values):
    from kit.lab.kimberlite.sql.rows import _cells, write_cell

    few = []
    for value in values:
        out = bytearray()
        write_cell(out, value, None)
        few.append(bytes(out))
    assert _cells(values, None).to_pylist() == few


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_stamps_sort_as_times_do(one, two):
    assert (stamps.stamp(one) < stamps.stamp(two)) == (one < two)
    assert stamps.nanoseconds(stamps.stamp(one)) == one


@given(st.text(st.sampled_from("aAb%_"), max_size=12), st.text(st.sampled_from("aAbB"), max_size=14))
def test_ilike(pattern, text):
    import re

    expected = re.fullmatch(pattern.lower().replace("%", ".*").replace("_", "."), text.lower()) is not None
    assert functions.ilike(pattern, text) == expected


def test_ilike_takes_no_long_time():
    assert not functions.ilike("%a" * 200 + "b", "a" * 20_000)


@pytest.mark.parametrize(
    ("sql", "params", "bounds"),
    [
        ("WHERE position >= $1 AND position < 20", [5], {"position": (5, 19)}),
        ("WHERE stream_id = $1 AND stream_offset > 3", [7], {"stream_id": (7, 7), "stream_offset": (4, 2**63 - 1)}),
        ("WHERE position >= 5 OR 1 = 1", [], {}),
        ("WHERE NOT position >= 5", [], {}),
        ("WHERE (position >= 5 AND 1)", [], {}),
        ("WHERE coalesce(0 AND position >= 5 AND 0, 1)", [], {}),
        ("WHERE position >= 5 = 0", [], {}),
        ("WHERE position BETWEEN 1 AND 5", [], {}),
        ("WHERE position >= $2 AND position >= 'x'", [5], {}),
        (
            "WHERE position >= 9223372036854775807 AND position > 9223372036854775807",
            [],
            {"position": (2**63 - 1,) * 2},
        ),
        ("", [], {}),
    ],
)
def test_bounds(sql, params, bounds):
    found = bounds_of(parse(f"SELECT * FROM kit_events {sql} ORDER BY position LIMIT 5"), params)
    everything = bounds_of(parse("SELECT * FROM kit_events"), [])
    assert found == {**everything, **bounds}
