"""Names and order of columns, and tables before they were made, at the embedded Kimberlite as at the real one."""

from __future__ import annotations

import pytest

from kit.kimberlite.explore.explorer import connect
from kit.kimberlite.wire.protocol.codec import requests
from tests.lab.kimberliteraw import Refused, Served, fresh

kimberlite = pytest.importorskip("kimberlite", reason="the official client is not installed: pip install kimberlite")
pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("kimberlite"))
    with served.raw() as raw:
        raw.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT, n BIGINT, ts TIMESTAMP)")
        raw.sql("INSERT INTO t (id, v, n) VALUES (1, 'a', 5), (2, 'b', 6)")
    yield served
    served.close()


@pytest.fixture
def raw(served):
    with served.raw() as raw:
        yield raw


# What the real server, 0.9.1, was seen to answer.
SEEN = [
    ("SELECT COUNT(*) AS n FROM t", ["COUNT(*)"], [(2,)]),
    ("SELECT v, COUNT(*) n FROM t GROUP BY v", ["v", "COUNT(*)"], [("a", 1), ("b", 1)]),
    ("SELECT COUNT(*) AS n, v AS x FROM t GROUP BY v", ["v", "COUNT(*)"], [("a", 1), ("b", 1)]),
    (
        "SELECT v AS x, SUM(n) AS s, AVG(n) AS a, MIN(n) AS lo, MAX(n) AS hi FROM t GROUP BY v",
        ["v", "SUM(n)", "AVG(n)", "MIN(n)", "MAX(n)"],
        [("a", 5, "5", 5, 5), ("b", 6, "6", 6, 6)],
    ),
    ("SELECT COUNT(*) AS a, COUNT(*) AS b FROM t", ["COUNT(*)", "COUNT(*)"], [(2, 2)]),
    ("SELECT COUNT(DISTINCT v) AS d FROM t", ["COUNT(v)"], [(2,)]),
    ("SELECT COUNT(*) FILTER (WHERE n > 5) AS big FROM t", ["COUNT(*)"], [(1,)]),
    ('SELECT sum("n") AS "the sum" FROM t', ["SUM(n)"], [(11,)]),
    ("SELECT DISTINCT v AS w FROM t", ["v"], [("a",), ("b",)]),
    ("SELECT n AS m FROM t", ["m"], [(5,), (6,)]),
]


@pytest.mark.parametrize(("sql", "columns", "rows"), SEEN)
def test_aggregates_are_named_after_their_calls(raw, sql, columns, rows):
    answer = raw.ask(requests.Query(sql, []))
    assert answer.columns == columns and sorted(answer.rows) == rows


@pytest.mark.parametrize(("sql", "columns", "rows"), SEEN)
def test_the_official_client_sees_the_same(served, sql, columns, rows):
    with kimberlite.Client.connect(
        [served.env["KIMBERLITE_ADDRESS"]], tenant_id=1, auth_token=served.env["KIMBERLITE_API_KEY"]
    ) as client:
        assert client.query(sql).columns == columns


def test_a_frame_has_the_names_and_the_order_that_were_asked_for(served):
    k = connect(served.env)
    found = k.query("SELECT COUNT(*) AS n, v AS x, AVG(n) AS mean FROM t GROUP BY v ORDER BY v")
    assert list(found.columns) == ["n", "x", "mean"]
    assert found.values.tolist() == [[1, "a", 5.0], [1, "b", 6.0]] and found["mean"].dtype == "float64"
    told = k.client.query("SELECT COUNT(*) AS n, v AS x FROM t GROUP BY v ORDER BY v")
    assert (told.columns, list(told.rows)) == (["n", "x"], [(1, "a"), (1, "b")])
    assert list(k.query("SELECT COUNT(*) AS a, COUNT(*) AS b FROM t").columns) == ["a", "b"]
    assert list(k.query("SELECT COUNT(*) AS n, n FROM t GROUP BY v, n").columns) == ["n", "n_2"]
    assert list(k.query("SELECT SUM(n) + 1 AS more FROM t").columns) == ["more"]
    assert list(k.query("SELECT MAX(ts) AS last FROM t WHERE id > 99").columns) == ["last"]
    k.client.close()


def test_a_table_before_it_was_made_has_its_columns_and_no_rows(served, raw):
    name = fresh("later")
    with pytest.raises(Refused) as told:
        raw.ask(requests.QueryAt("SELECT * FROM t", [], 2**63))
    before = int(told.value.message.rpartition(" ")[2])
    with pytest.raises(Refused, match="not found"):
        raw.ask(requests.QueryAt(f"SELECT * FROM {name}", [], before))
    raw.sql(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, v TEXT, at TIMESTAMP)")
    raw.sql(f"INSERT INTO {name} (id, v) VALUES (1, 'a')")
    for position in (0, before):
        answer = raw.ask(requests.QueryAt(f"SELECT * FROM {name}", [], position))
        assert (answer.columns, list(answer.rows)) == (["id", "v", "at"], [])
        assert list(raw.ask(requests.QueryAt(f"SELECT COUNT(*), MAX(id) FROM {name}", [], position)).rows) == [
            (0, None)
        ]
    assert raw.sql(f"SELECT v FROM {name} AT OFFSET {before}") == []
    with pytest.raises(Refused, match="'nope' not found"):
        raw.ask(requests.QueryAt("SELECT * FROM nope", [], before))
    # What the tables were is told as it was.
    assert (name,) not in list(raw.ask(requests.QueryAt("SHOW TABLES", [], before)).rows)
    k = connect(served.env)
    frame = k.query(f"SELECT * FROM {name}", at=before)
    assert len(frame) == 0 and list(frame.columns) == ["id", "v", "at"] and frame["id"].dtype == "int64"
    k.client.close()
