"""Names of a result's columns: what the real server was seen to tell, and what the statement asks for."""

import pytest

from kit.kimberlite.wire.naming import arranged, grouped

SEEN = [
    ("SELECT COUNT(*) AS n FROM t", ["COUNT(*)"], ["n"]),
    ("SELECT COUNT(*) n FROM t", ["COUNT(*)"], ["n"]),
    ("select count( * ) as n from t -- so\n;", ["COUNT(*)"], ["n"]),
    ("SELECT v, COUNT(*) AS n FROM t GROUP BY v", ["v", "COUNT(*)"], ["v", "n"]),
    ("SELECT v AS x, SUM(n) AS s, AVG(n) FROM t GROUP BY v", ["v", "SUM(n)", "AVG(n)"], ["x", "s", "AVG(n)"]),
    ("SELECT COUNT(DISTINCT v) AS d FROM t", ["COUNT(v)"], ["d"]),
    ("SELECT COUNT(*) FILTER (WHERE n > (5)) AS big FROM t", ["COUNT(*)"], ["big"]),
    ("SELECT COUNT(*) FILTER (WHERE n > 5) big FROM t", ["COUNT(*)"], ["big"]),
    ('SELECT MIN(v) AS "lowest ""one""", sum("n") FROM t', ["MIN(v)", "SUM(n)"], ['lowest "one"', "SUM(n)"]),
    ("SELECT DISTINCT v AS w FROM t", ["v"], ["w"]),
    ("SELECT COUNT(*) AS a, COUNT(*) AS b FROM t", ["COUNT(*)", "COUNT(*)"], ["a", "b"]),
    ("SELECT t.v AS x, COUNT(t.n) AS n FROM t GROUP BY t.v", ["v", "COUNT(n)"], ["x", "n"]),
    ("SELECT v, COUNT(*) AS n FROM t GROUP BY 1 ORDER BY n DESC LIMIT 3", ["v", "COUNT(*)"], ["v", "n"]),
]


@pytest.mark.parametrize(("sql", "told", "shown"), SEEN)
def test_aliases_that_the_server_forgot(sql, told, shown):
    assert [name for _, name in arranged(sql, told)] == shown


def test_columns_come_in_the_order_of_the_select():
    sql = "SELECT COUNT(*) AS n, v AS x FROM t GROUP BY v"
    assert arranged(sql, ["v", "COUNT(*)"]) == [(1, "n"), (0, "x")]
    # Also those that nobody selected are told, and names that change places keep their values.
    assert arranged("SELECT COUNT(*) AS c, n FROM t GROUP BY v, n", ["v", "n", "COUNT(*)"]) == [(2, "c"), (1, "n")]
    assert arranged("SELECT n AS v, v AS n FROM t GROUP BY v, n", ["v", "n"]) == [(1, "v"), (0, "n")]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT COUNT(*) AS n FROM t", ["n"]),
        ("SELECT COUNT(*) AS n FROM t", ["COUNT(*)", "other"]),
        ("SELECT SUM(a) + 1 AS n FROM t", ["SUM(a)"]),
        ("SELECT SUM(a * b) AS n FROM t", ["SUM(a)"]),
        ("SELECT *, COUNT(*) AS n FROM t", ["a", "COUNT(*)"]),
        ("SELECT a AS b FROM t", ["a"]),
        ("SELECT COUNT(*) OVER (ORDER BY a) AS n FROM t", ["COUNT(*)"]),
        ("SELECT COUNT(*) AS n FROM t UNION ALL SELECT COUNT(*) FROM z", ["COUNT(*)"]),
        ("SELECT COUNT(*) AS n FROM t WHERE a IN (1, 2) UNION ALL SELECT COUNT(*) FROM z", ["COUNT(*)"]),
        ("WITH a AS (SELECT 1) SELECT COUNT(*) AS n FROM a", ["COUNT(*)"]),
        ("SELECT NULL AS a, COUNT(*) AS n FROM t", ["NULL", "COUNT(*)"]),
        ("SELECT v AS x FROM t GROUP BY LOWER(v)", ["v"]),
        ("SELECT COUNT(*) AS n", ["COUNT(*)"]),
        ("SHOW TABLES", ["table_name"]),
        ("SELECT 'it''s, FROM' AS a, COUNT(*) AS n FROM t", ["a", "COUNT(*)"]),
        ("SELECT (", []),
        ("", []),
    ],
)
def test_anything_else_is_left_as_it_came(sql, told):
    assert arranged(sql, told) is None


def test_a_group_is_a_column_or_else_the_name_that_one_is_shown_under():
    found = grouped("SELECT a AS x, b AS y, COUNT(*) FROM t GROUP BY Y, x")
    assert found.groups == ("b", "a") and found.in_server_order() == [1, 0, 2]
    found = grouped("SELECT n AS v, v AS n FROM t GROUP BY v, n")
    assert found.groups == ("v", "n") and found.in_server_order() == [1, 0]


def test_a_comma_or_a_from_inside_does_not_end_an_item():
    found = grouped(
        "SELECT COUNT(*) FILTER (WHERE v IN ('a', 'b') AND EXISTS (SELECT 1 FROM z)) AS n, v FROM t GROUP BY v"
    )
    assert [(item.server_name, item.shown) for item in found.items] == [("COUNT(*)", "n"), ("v", "v")]
    assert found.in_server_order() == [1, 0]
