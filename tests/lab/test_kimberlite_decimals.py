"""Decimals in the lab's Kimberlite: stored, compared, added up and handed over with all their digits."""

import random
import uuid
from decimal import Decimal

import pytest

from kit.kimberlite import KimberliteError

pytestmark = pytest.mark.lab

LONG = ["99999999999999.9999", "-99999999999999.9999", "0.0001", "12345678901234.5678", "1.50", "-2", "0", "100"]


@pytest.fixture
def k(lab):
    return lab.kimberlite


@pytest.fixture
def table(k):
    name = f"d_{uuid.uuid4().hex[:10]}"
    k.execute(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, price DECIMAL(18,4), qty BIGINT, name TEXT, x REAL)")
    rows = ", ".join(f"({n}, {text}, {n}, '0{n}.50', {n}.5)" for n, text in enumerate(LONG))
    k.execute(f"INSERT INTO {name} (id, price, qty, name, x) VALUES {rows}")
    k.execute(f"INSERT INTO {name} (id) VALUES (100)")
    return name


def one(k, text, *params):
    frame = k.query(text, *params)
    assert frame.shape == (1, 1)
    return frame.iloc[0, 0]


def test_what_goes_in_comes_out(k, table):
    frame = k.query(f"SELECT * FROM {table} WHERE id < 100 ORDER BY id")
    assert str(frame["price"].dtype) == "decimal128(18, 4)[pyarrow]"
    assert frame["price"].tolist() == [Decimal(text) for text in LONG]
    rows = k.client.query(f"SELECT price FROM {table} WHERE id < 100 ORDER BY id").rows
    # As the real server writes them: texts, without zeros at their end.
    assert [row[0] for row in rows] == [*LONG[:4], "1.5", *LONG[5:]]
    assert frame["name"].tolist()[1] == "01.50"
    assert len(k.query(f"SELECT price FROM {table} WHERE price IS NULL")) == 1
    k.execute(f"UPDATE {table} SET price = -0.1234567890123456 WHERE id = $1", 0)
    k.execute(f"UPDATE {table} SET price = $1 WHERE id = 1", "12345678901234.9999")
    k.execute(f"UPDATE {table} SET price = $1 WHERE id = 2", 7)
    rows = k.client.query(f"SELECT price FROM {table} WHERE id < 3 ORDER BY id").rows
    assert [row[0] for row in rows] == ["-0.1234567890123456", "12345678901234.9999", "7"]


def test_they_compare_and_sort_as_numbers(k, table):
    ordered = sorted(map(Decimal, LONG))
    assert k.query(f"SELECT price FROM {table} WHERE id < 100 ORDER BY price")["price"].tolist() == ordered
    for limit in (
        "1.5",
        "99999999999999.9999",
        "99999999999999.99985",
        "-99999999999999.9999",
        "0",
        "1e2",
        "12345678901234.5678",
    ):
        for sign, judge in (
            ("<", Decimal.__lt__),
            (">=", Decimal.__ge__),
            ("=", Decimal.__eq__),
        ):
            wanted = [value for value in ordered if judge(value, Decimal(limit))]
            found = k.query(f"SELECT price FROM {table} WHERE price {sign} {limit} ORDER BY price")["price"].tolist()
            assert found == wanted, (sign, limit)
            found = k.query(f"SELECT price FROM {table} WHERE price {sign} $1 ORDER BY price", limit)["price"].tolist()
            assert found == wanted, (sign, limit)
    assert (
        one(k, f"SELECT COUNT(*) FROM {table} WHERE 100 = price OR price IN (1.50, 0) OR price BETWEEN -2 AND -1.5")
        == 4
    )
    assert one(k, f"SELECT COUNT(*) FROM {table} WHERE price = qty - 3") == 0
    assert k.query(f"SELECT a.id FROM {table} a JOIN {table} b ON a.price = b.price WHERE b.id = 0")["id"].tolist() == [
        0
    ]
    assert len(k.query(f"SELECT price, COUNT(*) FROM {table} GROUP BY price")) == len(LONG) + 1
    assert one(k, f"SELECT COUNT(*) FROM {table} WHERE COALESCE(price, 0) > 99") == 3


def test_sums_are_exact(k, table):
    total = sum(map(Decimal, LONG))
    frame = k.query(
        f"SELECT SUM(price), SUM(price) AS total, MIN(t.price) AS low, MAX(price), AVG(price) mean, SUM(qty), COUNT(DISTINCT price)"
        f" FROM {table} t"
    )
    assert frame.iloc[0, :4].tolist() == [total, total, min(map(Decimal, LONG)), max(map(Decimal, LONG))]
    assert [str(kind) for kind in frame.dtypes[:5]] == [
        "decimal128(38, 4)[pyarrow]",
        "decimal128(38, 4)[pyarrow]",
        "decimal128(18, 4)[pyarrow]",
        "decimal128(18, 4)[pyarrow]",
        "float64",
    ]
    assert frame.iloc[0, 4] == pytest.approx(float(total) / len(LONG)) and frame.iloc[0, 5:].tolist() == [28, len(LONG)]
    assert (
        one(
            k, f"SELECT COUNT(*) FROM (SELECT id FROM {table} GROUP BY id HAVING SUM(price) > 99 AND MIN(price) > 99) q"
        )
        == 3
    )
    running = k.query(
        f"SELECT id, SUM(price) OVER (ORDER BY id ROWS 1 PRECEDING) AS s FROM {table} WHERE id < 3 ORDER BY id"
    )
    assert running["s"].tolist() == [
        Decimal(LONG[0]),
        Decimal(0),
        Decimal("-99999999999999.9998"),
    ]
    none = k.query(f"SELECT SUM(price) AS s, AVG(price) AS a, MIN(price) AS m FROM {table} WHERE id > 5000")
    assert none.isna().all(axis=None) and str(none["s"].dtype) == "decimal128(38, 4)[pyarrow]"
    some = k.query(
        f"SELECT COALESCE(price, 0) AS p, SUM(price) FILTER (WHERE id = 0) AS f FROM {table} WHERE id = 0 GROUP BY id"
    )
    assert some.iloc[0].tolist() == [Decimal(LONG[0])] * 2


def test_many_small_ones_add_up_without_noise(k, seed):
    name = f"m_{uuid.uuid4().hex[:10]}"
    k.execute(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, price DECIMAL(18,4), city TEXT)")
    chance = random.Random(seed)
    values = [Decimal(chance.randrange(-(10**9), 10**17)).scaleb(-4) for _ in range(3000)]
    for start in range(0, 3000, 500):
        rows = ", ".join(f"({n}, {values[n]}, 'c{n % 3}')" for n in range(start, start + 500))
        k.execute(f"INSERT INTO {name} VALUES {rows}")
    found = k.query(f"SELECT city, SUM(price) AS total FROM {name} GROUP BY city ORDER BY city")
    assert found["total"].tolist() == [sum(values[n::3]) for n in range(3)]
    assert k.query(f"SELECT id, price FROM {name} ORDER BY id")["price"].tolist() == values


def test_earlier_positions_and_new_columns(k, table):
    before = k.position()
    k.execute(f"UPDATE {table} SET price = 1 WHERE price > 99999999999999.9998")
    assert one(k, f"SELECT COUNT(*) FROM {table} WHERE price = 99999999999999.9999") == 0
    frame = k.query(f"SELECT price FROM {table} WHERE price >= 99999999999999.9999", at=before)
    assert frame["price"].tolist() == [Decimal(LONG[0])]
    k.execute(f"ALTER TABLE {table} ADD COLUMN fee DECIMAL(20,6)")
    k.execute(f"UPDATE {table} SET fee = 12345678901234.567890 WHERE id = 3")
    assert one(k, f"SELECT MAX(fee) FROM {table}") == Decimal("12345678901234.567890")
    k.execute(f"CREATE INDEX i_{table} ON {table} (price)")
    assert one(k, f"SELECT COUNT(*) FROM {table} WHERE price = 1.0") == 1


def test_as_a_key_and_what_is_none(k, table):
    name = f"k_{uuid.uuid4().hex[:10]}"
    k.execute(f"CREATE TABLE {name} (price DECIMAL(18,4) PRIMARY KEY, n BIGINT)")
    k.execute(f"INSERT INTO {name} VALUES (1.5, 1), (99999999999999.9999, 2)")
    with pytest.raises(KimberliteError, match="duplicate primary key"):
        k.execute(f"INSERT INTO {name} VALUES (1.50, 2)")
    k.execute(f"INSERT INTO {name} VALUES (1.50, 3) ON CONFLICT (price) DO UPDATE SET n = 3")
    assert one(k, f"SELECT n FROM {name} WHERE price = 1.5") == 3
    for wrong in ("'abc'", "'1-2'", "'1.2.3'", "''", "'1e'", "'e5'", "'nan'", "'+'", "' 1'", "'1 '"):
        with pytest.raises(KimberliteError, match=r"type mismatch|column price is DECIMAL"):
            k.execute(f"UPDATE {table} SET price = {wrong} WHERE id = 0")


def test_casts(k, table):
    text = (
        f"SELECT CAST('99999999999999.99994' AS DECIMAL(18,4)) AS d, CAST(price AS TEXT) AS t FROM {table} WHERE id = 0"
    )
    assert k.client.query(text).rows[0] == ("99999999999999.9999", "99999999999999.9999")
    with pytest.raises(KimberliteError, match="is not a number"):
        k.query(f"SELECT CAST('x' AS DECIMAL) FROM {table} WHERE id = 0")
