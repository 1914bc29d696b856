"""Folds: the same result as a query over all rows, however the rows are cut, stopped and resumed."""

import json
import math
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

import kit
from kit.core.errors import InputError, KitError
from kit.live.columns import unified
from kit.live.feed.source import Chunk, Source
from kit.live.results.newest import Newest
from kit.live.results.per import Per
from kit.live.results.rolling import Rolling
from kit.live.results.sketches import Quantiles, Registers, mixed

PATIENCE = 20
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def rows_of(count, seed, *, shuffled=0.0):
    """Rows as a log has them: some fields missing, one that drifts from int to float, times with a little disorder."""
    dice = random.Random(seed)
    rows = []
    for n in range(count):
        late = dice.random() < shuffled
        row = {
            "n": n,
            "at": BEGAN + timedelta(milliseconds=n * 10 - (dice.randrange(60_000) if late else dice.randrange(50))),
            "city": dice.choice(["Oslo", "Rome", "Lima", None, "Kyiv"]),
            "kind": dice.randrange(3),
            "qty": dice.randrange(-5, 2**40),
            "price": dice.randrange(4000) / 4,
            "user": dice.randrange(count // 3 + 1),
        }
        if dice.random() < 0.1:
            row["qty"] = None
        rows.append(row)
    return rows


def cut(rows, seed):
    """The rows as tables of random sizes."""
    dice, at, tables = random.Random(seed), 0, []
    while at < len(rows):
        size = dice.choice([1, 2, 7, 100, 1000])
        some = rows[at : at + size]
        tables.append(pa.Table.from_pylist(some))
        at += size
    return tables


def fed(fold, tables, every=None):
    """What a fold makes of the tables; with `every` it goes through a checkpoint after so many."""
    current = fold()
    for n, table in enumerate(tables, 1):
        current.add(table)
        if every and n % every == 0:
            blob = json.loads(json.dumps(current.dump()))
            current = fold()
            current.load(blob)
    return current


def sorted_rows(table, *names):
    return sorted(table.to_pylist(), key=lambda row: tuple(str(row[name]) for name in names))


PLAIN = {
    "rows": "count", "some": "count:qty", "total": "sum:qty", "spent": "sum:price", "mean": "mean:qty",
    "low": "min:price", "high": "max:at", "first": "first:n", "last": "last:qty",
}  # fmt: skip
SQL = """select {keys}, count(*) as rows, count(qty) as some, sum(qty)::int64 as total, sum(price) as spent,
    avg(qty) as mean, min(price) as low, max("at") as high, arg_min(n, n) as first,
    arg_max(qty, n) filter (qty is not null) as last from log group by all"""


@pytest.mark.parametrize("keys", [(), ("city",), ("city", "kind")])
@pytest.mark.parametrize("n", range(3))
def test_per_equals_the_query_over_all_rows(keys, n, seed):
    rows = rows_of(5000, seed + n)
    log = unified([batch for table in cut(rows, 1) for batch in table.to_batches()])
    expected = kit.sql(SQL.format(keys=", ".join(keys) or "1 as one"), log=log, into="arrow")
    found = fed(lambda: Per(keys, None, None, None, 10_000, PLAIN), cut(rows, seed + n), 50 if n else None).result()
    expected = expected.drop_columns("one") if not keys else expected
    assert found.column_names == expected.column_names
    for one, other in zip(sorted_rows(found, *keys), sorted_rows(expected, *keys), strict=True):
        assert one["mean"] == pytest.approx(other.pop("mean"), rel=1e-12)
        del one["mean"]
        assert one == other


@pytest.mark.parametrize("late", [None, "5s", "0s"])
def test_windows_hold_each_row_once_or_count_it_as_late(late):
    rows = rows_of(6000, 5, shuffled=0.3)
    results = []
    for seed in range(4):
        fold = fed(
            lambda: Per("city", "2s", "at", late, 10**6, {"n": "count", "ids": "sum:n"}), cut(rows, seed), seed * 20
        )
        results.append((fold.result().to_pylist(), fold.figures()))
    assert all(result == results[0] for result in results)
    found, figures = results[0]
    assert sum(row["n"] for row in found) + figures["late"] == len(rows) == figures["folded"]
    # By the definition, one row at a time.
    newest, expected, behind = None, Counter(), 0
    for row in rows:
        moment = int((row["at"] - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
        newest = moment if newest is None else max(newest, moment)
        start = moment // 2_000_000
        if late is not None and (start + 1) * 2_000_000 + int(late[:-1]) * 1_000_000 <= newest:
            behind += 1
        else:
            expected[(start, row["city"])] += 1
    counted = {(int(row["window"].timestamp()) // 2, row["city"]): row["n"] for row in found}
    assert counted == dict(expected) and behind == figures["late"] and (behind > 0) == (late is not None)
    assert [row["window"] for row in found] == sorted(row["window"] for row in found)


@pytest.mark.parametrize(("every", "unit"), [("2s", "ms"), ("1ms", "ms"), (timedelta(microseconds=1500), "us")])
def test_windows_begin_in_the_coarsest_unit_that_is_exact(every, unit):
    found = fed(lambda: Per(None, every, "at", None, 9, {"n": "count"}), [pa.table({"at": [BEGAN]})]).result()
    assert found.schema.field("window").type == pa.timestamp(unit, "UTC")
    behind = BEGAN - found["window"][0].as_py()
    assert found["n"].to_pylist() == [1] and timedelta(0) <= behind <= timedelta(seconds=2)
    assert unit == "ms" or behind == timedelta(microseconds=int(BEGAN.timestamp()) * 10**6 % 1500)


def test_hashes_and_buckets_are_those_of_earlier_checkpoints():
    one = np.zeros(1, np.int64)
    quantiles = Quantiles()
    quantiles.add(np.zeros(6, np.int64), np.array([1.0, -1.0, 0.0, 1.7976931348623157e308, 5e-324, 100.0]))
    assert quantiles.dump(one) == [[0] * 6, [95071, 131072, 131073, 167073, 167304, 202561], [1] * 6]
    assert np.isnan(Quantiles().at(one, 0.5)).all()
    some = Quantiles()
    some.add(np.zeros(3, np.int64), np.array([1.0, 5.0, 100.0]))
    assert some.at(np.arange(2), 1.0) == pytest.approx([100.0, np.nan], rel=0.011, nan_ok=True)
    for count, about, kept in ((0, 0, 0), (1000, 998, 1735), (100_000, 101_245, 14_250)):
        registers = Registers()
        registers.grow(1)
        registers.add(np.zeros(count, np.int64), mixed(np.arange(count, dtype=np.uint64)))
        assert (registers.counts(one).tolist(), int(registers._all[0].sum())) == ([about], kept)
    told = mixed(np.array([0, 1, 1234567, 2**64 - 1], np.uint64)).tolist()
    assert told == [16294208416658607535, 10451216379200822465, 6457827717110365317, 16490336266968443936]


def test_old_windows_leave_a_full_result_at_the_same_row_in_any_cut():
    rows = rows_of(6000, 7, shuffled=0.2)
    found = [
        fed(lambda: Per("user", "1s", "at", None, 300, {"n": "count"}), cut(rows, seed), seed * 10) for seed in range(4)
    ]
    results = [(fold.result().to_pylist(), fold.figures()) for fold in found]
    assert all(one == results[0] for one in results)
    figures = results[0][1]
    assert figures["groups"] <= 300 and figures["windows_gone"] > 10 and figures["late"] > 0
    assert any("old windows left" in note for note in found[0].notes())
    with pytest.raises(KitError, match="more than 300 groups"):
        fed(lambda: Per("user", None, None, None, 300, {"n": "count"}), cut(rows, 0))


def test_of_a_full_result_the_oldest_windows_leave_until_a_quarter_is_free():
    moments = [BEGAN + timedelta(seconds=n) for n in range(9)]
    fold = Per(None, "1s", "at", None, 8, {"n": "count"})
    fold.add(pa.table({"at": moments[:8]}))
    assert fold.result()["window"].to_pylist() == moments[:8] and fold.figures()["windows_gone"] == 0
    fold.add(pa.table({"at": moments[8:]}))
    assert fold.result()["window"].to_pylist() == moments[2:] and fold.figures()["windows_gone"] == 2


def test_rows_without_a_time_are_counted_and_in_no_window():
    rows = [
        {"at": "2026-01-01T00:00:01Z"},
        {"at": None},
        {"at": "soon"},
        {"at": "2026-01-01T00:00:01.5+00:00"},
        {"b": 1},
    ]
    fold = fed(lambda: Per(None, "1s", "at", None, 9, {"n": "count"}), [pa.Table.from_pylist([row]) for row in rows])
    assert fold.result().to_pylist() == [{"window": datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC), "n": 2}]
    assert fold.figures()["untimed"] == 3 and "3 without a time in 'at'" in list(fold.notes())


def test_integers_and_decimals_are_added_exactly():
    big = 2**62
    tables = [pa.table({"n": [big, big, -3], "d": [Decimal("0.10")] * 3, "f": [0.5, 0.25, 2.0]}) for _ in range(50)]
    asked = {"n": "sum:n", "d": "sum:d", "f": "sum:f", "m": "mean:d"}
    (row,) = fed(lambda: Per(None, None, None, None, 9, asked), tables, 7).result().to_pylist()
    assert row == {"n": 50 * (2 * big - 3), "d": Decimal("15.00"), "f": 137.5, "m": 0.1}
    mixed = [pa.table({"n": [1]}), pa.table({"n": [0.5]}), pa.table({"n": ["seven"]}), pa.table({"n": [True]})]
    fold = fed(lambda: Per(None, None, None, None, 9, {"n": "sum:n"}), mixed)
    assert fold.result().to_pylist() == [{"n": 2.5}]
    assert list(fold.notes()) == ["n: 1 values of another kind left out (types= fixes a column)"]


def test_keys_are_told_apart_as_values_are():
    values = [True, 1, 1.0, 0.0, -0.0, math.nan, math.nan, None, "1", b"1", [1], Decimal("1")]
    tables = [pa.table({"k": pa.array([value])}) for value in values]
    fold = fed(lambda: Per("k", None, None, None, 99, {"n": "count"}), tables, 1)
    assert [row["n"] for row in fold.result().to_pylist()] == [1, 3, 2, 2, 1, 1, 1, 1]
    assert pa.types.is_string(fold.result().schema.field("k").type)
    floats = pa.table({"k": [0.0, -0.0, math.nan, float("nan"), 2.5]})
    assert [
        row["n"] for row in fed(lambda: Per("k", None, None, None, 9, {"n": "count"}), [floats]).result().to_pylist()
    ] == [2, 2, 1]


def test_rows_without_a_time_are_counted():
    table = pa.table({"at": [BEGAN, None, BEGAN, None, None]})
    for fold in (
        lambda: Rolling(None, None, 5, "at", {"n": "count"}),
        lambda: Per(None, "1s", "at", None, 9, {"n": "count"}),
    ):
        found = fed(fold, [table, table.slice(0, 3)])
        assert found.figures()["untimed"] == 4 and sum(found.result()["n"].to_pylist()) == 4


def test_equal_numbers_of_all_types_are_one_value():
    kinds = [pa.int8(), pa.int64(), pa.uint64(), pa.float64(), pa.decimal128(9, 2)]
    tables = [pa.table({"x": pa.array([1, 2, None], kind)}) for kind in kinds] + [
        pa.table({"x": pa.array([2**63, 1], pa.uint64())})
    ]
    found = fed(lambda: Per(None, None, None, None, 9, {"d": "distinct:x", "n": "count:x"}), tables, 1).result()
    assert found.to_pylist() == [{"d": 3, "n": 12}]
    ends = [2**53 + 2, 2**62, 2**63 - 1024, -(2**63)]
    tables = [pa.table({"x": pa.array([made(one) for one in ends])}) for made in (int, float, Decimal)]
    tables.append(pa.table({"x": pa.array([*ends[:3], 2**63], pa.uint64())}))
    assert fed(lambda: Per(None, None, None, None, 9, {"d": "distinct:x"}), tables).result().to_pylist() == [{"d": 5}]
    parts = [["0.5", "0.10"], ["0.50", "0.1", "0.123456789"]]
    tables = [pa.table({"x": pa.array(map(Decimal, some))}) for some in parts] + [pa.table({"x": [0.5, 2.0**63]})]
    tables.append(pa.table({"x": pa.array([2**63, 2**63 + 1], pa.uint64())}))
    assert fed(lambda: Per(None, None, None, None, 9, {"d": "distinct:x"}), tables).result().to_pylist() == [{"d": 5}]


def test_quantiles_leave_out_what_is_no_number():
    values = [1.0, math.nan, None, 100.0, 0.0, -5.0, math.nan]
    asked = {"low": "p1:x", "mid": "median:x", "high": "p99:x"}
    found = fed(lambda: Per(None, None, None, None, 9, asked), [pa.table({"x": values})]).result().to_pylist()[0]
    assert found["low"] == pytest.approx(-5, rel=0.02) and found["high"] == pytest.approx(1, rel=0.02)
    assert found["mid"] == 0.0
    none = fed(lambda: Per(None, None, None, None, 9, asked), [pa.table({"x": [math.nan]})]).result().to_pylist()[0]
    assert [none[name] for name in ("low", "mid", "high")] == [None] * 3
    two = pa.table({"k": [1, 2], "x": values[:2]})
    for q in ("p0:x", "p1:x", "p99:x"):
        found = fed(lambda q=q: Per("k", None, None, None, 9, {"q": q}), [two]).result()
        assert found["q"].to_pylist() == [pytest.approx(1, rel=0.02), None]


@pytest.mark.parametrize("value", [1.7976931348623157e308, 1.78e308, math.inf, 2.3e-308])
def test_quantiles_at_the_ends_of_floats(value):
    for sign in (1, -1):
        found = fed(lambda: Per(None, None, None, None, 9, {"mid": "median:x"}), [pa.table({"x": [sign * value] * 3})])
        assert found.result().to_pylist()[0]["mid"] == pytest.approx(sign * value, rel=0.0101)


@pytest.mark.parametrize("kind", ["int", "float", "text"])
def test_distinct_and_quantiles_are_near_and_the_same_in_any_cut(kind):
    dice = np.random.default_rng(3)
    ids = dice.integers(0, 20_000, 60_000)
    column = {"int": ids, "float": ids.astype(float), "text": [f"user-{n}" for n in ids]}[kind]
    spread = dice.lognormal(3, 2, 60_000) * np.where(dice.random(60_000) < 0.3, -1, 1)
    table = pa.table({"key": ids % 3, "id": column, "x": spread})
    asked = {"users": "distinct:id", "p99": "p99:x", "mid": "median:x", "low": "p1:x"}
    whole = fed(lambda: Per("key", None, None, None, 9, asked), [table]).result()
    parts = [table.slice(at, 777) for at in range(0, 60_000, 777)]
    assert fed(lambda: Per("key", None, None, None, 9, asked), parts, 20).result().sort_by("key") == whole.sort_by(
        "key"
    )
    for row in whole.to_pylist():
        mine = ids % 3 == row["key"]
        assert row["users"] == pytest.approx(len(np.unique(ids[mine])), rel=0.07)
        for name, share in (("p99", 0.99), ("mid", 0.5), ("low", 0.01)):
            exact = np.quantile(spread[mine], share, method="lower")
            assert row[name] == pytest.approx(exact, rel=0.0101)
    few = fed(lambda: Per(None, None, None, None, 9, {"d": "distinct:x"}), [pa.table({"x": [1, 2, 2, None]})])
    assert few.result().to_pylist() == [{"d": 2}]


def test_newest_by_is_the_last_row_of_each_key():
    dice = random.Random(11)
    rows = [{"id": dice.randrange(200), "op": dice.choice("uuuud"), "v": n} for n in range(5000)]
    results = []
    for seed in range(4):
        fold = fed(lambda: Newest("id", {"op": "d"}, 10_000), cut(rows, seed), seed * 9)
        results.append((fold.result().to_pylist(), fold.figures()))
    expected, deleted = {}, 0
    for row in rows:
        deleted += row["op"] == "d" and row["id"] in expected
        expected.pop(row["id"], None)
        if row["op"] != "d":
            expected[row["id"]] = row
    figures = {"folded": 5000, "groups": len(expected), "deleted": deleted, "missed": 0}
    assert all(one == (list(expected.values()), figures) for one in results)


def test_rolling_is_of_the_last_rows():
    rows = rows_of(3000, 13, shuffled=0.1)
    for seed in range(3):
        last = fed(lambda: Rolling("city", 500, None, None, {"n": "count", "t": "sum:qty"}), cut(rows, seed), seed * 9)
        counts = Counter(row["city"] for row in rows[-500:])
        assert {row["city"]: row["n"] for row in last.result().to_pylist()} == counts
        recent = fed(lambda: Rolling(None, None, 5, "at", {"n": "count"}), cut(rows, seed), seed * 9)
        newest, expected = max(row["at"] for row in rows), 0
        for at, row in enumerate(rows):
            seen = max(one["at"] for one in rows[: at + 1]) if row["at"] > newest - timedelta(seconds=5) else None
            expected += seen is not None and row["at"] > seen - timedelta(seconds=5)
        assert recent.result().to_pylist() == [{"n": expected}]


@pytest.mark.parametrize("n", [1, 10_000_000])
def test_rolling_is_of_one_row_or_of_ten_million(n):
    fold = fed(lambda: Rolling(None, n, None, None, {"n": "count", "t": "sum:x"}), [pa.table({"x": [1, 2, 3]})])
    assert fold.result().to_pylist() == [{"n": 1, "t": 3} if n == 1 else {"n": 3, "t": 6}]
    with pytest.raises(InputError, match="a number of rows from 1 to 10,000,000"):
        Rolling(None, 0 if n == 1 else n + 1, None, None, {"n": "count"})


@pytest.mark.parametrize("every", [None, 1])
@pytest.mark.parametrize(
    ("given", "sums", "left_out"),
    [
        ([["1", "x"], [1, 2], [None, None], ["x"], [3, 4]], 10, 3), ([[1, 2], [2.5], [3]], 8.5, 0), ([[True], [5, 6]], 12, 0),
        ([[2**53 + 1], [0.5], [2]], 2.0**53 + 4, 0), ([[2**64 - 1], [-5]], 2**64 - 6, 0), ([[2**53 + 1], [1, None]], 2**53 + 2, 0),
    ],
)  # fmt: skip
def test_what_came_in_columns_of_other_types_is_in_rolling_figures(given, sums, left_out, every):
    """A batch of texts beside numbers had made all of them texts, and a sum of none."""
    numbers = [pa.uint64() if values[0] == 2**64 - 1 else None for values in given]
    # Where a batch has no values, JSON gives a column of text.
    kinds = [pa.string() if values[0] is None else kind for values, kind in zip(given, numbers, strict=True)]
    tables = [pa.table({"x": pa.array(values, kind)}) for values, kind in zip(given, kinds, strict=True)]
    asked = {"t": "sum:x", "n": "count:x", "least": "min:x", "first": "first:x"}
    rolling, whole = (
        fed(lambda: Rolling(None, 100, None, None, asked), tables, every),
        Per(None, None, None, None, 10, asked),
    )
    for table in tables:
        whole.add(table)
    assert rolling.result().to_pylist() == whole.result().to_pylist() and rolling.result().to_pylist()[0]["t"] == sums
    notes = [note for note in rolling.notes() if note.startswith("t:")]
    assert notes == ([f"t: {left_out} values of another kind left out (types= fixes a column)"] if left_out else [])
    some = fed(lambda: Rolling(None, 2, None, None, {"t": "sum:x"}), tables, every)
    last = [value for values in given for value in values][-2:]
    assert some.result().to_pylist() == [{"t": sum(value or 0 for value in last)}]


def test_the_two_hours_in_which_clocks_are_set_back_are_two():
    zone, first = pa.timestamp("s", "Europe/Berlin"), 1_698_539_400  # half past two, and once more an hour later
    table = pa.table({"t": pa.array([first + 3600, first, first + 3600], zone)})
    keys, newest = Per("t", None, None, None, 10, {"n": "count"}), Newest("t", None, 10)
    bounds = Per(None, None, None, None, 10, {"least": "min:t", "most": "max:t"})
    for fold in (keys, newest, bounds):
        fold.add(table)
        fold.load(fold.dump())
        fold.add(table)
    assert keys.result()["t"].type == zone == bounds.result()["most"].type
    assert keys.result()["t"].cast(pa.int64()).to_pylist() == [first + 3600, first]
    assert keys.result()["n"].to_pylist() == [4, 2]
    assert newest.result()["t"].cast(pa.int64()).to_pylist() == [first, first + 3600]
    assert [bounds.result()[name].cast(pa.int64())[0].as_py() for name in ("least", "most")] == [first, first + 3600]


def test_the_newest_rows_keep_their_types_where_the_last_ones_have_no_value():
    fold = Newest("id", None, 10)
    for key, value in (("a", 5), ("b", None), ("c", 7)):
        fold.add(pa.table({"id": [key], "x": pa.array([value], pa.string() if value is None else None)}))
    assert fold.result()["x"].to_pylist() == [5, None, 7]


def test_a_whole_number_keeps_its_digits_where_a_later_one_is_a_float():
    large = 2**53 + 1
    asked = {"first": "first:x", "last": "last:x", "least": "min:x", "most": "max:x", "total": "sum:x"}
    fold = Per("g", None, None, None, 10, asked)
    keys = Per("x", None, None, None, 10, {"n": "count"})
    for table in (pa.table({"g": ["a"], "x": [large]}), pa.table({"g": ["b"], "x": [0.5]})):
        fold.add(table)
        keys.add(table)
    for row, value in zip(fold.result().to_pylist(), (large, 0.5), strict=True):
        assert {row[name] for name in ("first", "last", "least", "most")} == {str(value)}
        assert row["total"] == float(value)
    assert keys.result()["x"].to_pylist() == [str(large), "0.5"]


class Numbers(Source):
    """Numbers from a position on, in chunks; it breaks now and then."""

    service, label = "test", "numbers"
    position_column = "n"

    def __init__(self, count, breaks=0, hold=False):
        self.count, self.breaks, self.hold = count, breaks, hold

    async def open(self, after):
        import asyncio

        at = 0 if after is None else after + 1
        while at < self.count:
            stop = min(self.count, at + 97)
            numbers = np.arange(max(0, at - 5) if self.breaks else at, stop)  # some twice, as after a lost connection
            yield Chunk(pa.record_batch({"n": numbers, "k": numbers % 7}), stop - 1, self.count, stop == self.count)
            at = stop
            await asyncio.sleep(0)
            if self.breaks and at % 3 == 0:
                self.breaks -= 1
                raise ConnectionResetError("cut")
        if self.hold:
            await asyncio.Event().wait()


def test_a_feed_per_key_over_cuts_pauses_and_checkpoints(tmp_path):
    expected = {k: sum(range(k, 20_000, 7)) for k in range(7)}
    with kit.Feed(Numbers(20_000, breaks=5)) as feed:
        found = feed.per("k", total="sum:n", n="count")
        feed.pause()
        feed.resume()
        frame = found.wait(timeout=PATIENCE).df
        assert dict(zip(frame["k"], frame["total"], strict=True)) == expected and frame["n"].sum() == 20_000
        assert feed.stats()["reconnects"] == 5 and found.stats()["folded"] == 20_000
    with kit.Feed(Numbers(9_999, hold=True)) as feed:
        found, newest = feed.per("k", total="sum:n"), feed.newest_by("k")
        found.wait(until="caught_up", timeout=PATIENCE)
        told = found.checkpoint(tmp_path / "c.json")
        assert len(told["folds"]) == 2 and told["position"] == 9_998 and newest.wait(7, timeout=PATIENCE).total == 7
    with kit.Feed(Numbers(20_000), from_checkpoint=tmp_path / "c.json") as feed:
        found, newest = feed.per("k", total="sum:n").wait(timeout=PATIENCE), feed.newest_by("k").wait(timeout=PATIENCE)
        assert dict(zip(found.df["k"], found.df["total"], strict=True)) == expected
        assert sorted(newest.df["n"]) == list(range(19_993, 20_000)) and feed.total == 10_001
        # A closed feed still tells where its folds stood.
        assert found.checkpoint()["position"] == 19_999
    for damage in ("x", told["folds"][next(iter(told["folds"]))][:-20], 7):
        folds = dict.fromkeys(told["folds"], damage)
        with kit.Feed(Numbers(10), from_checkpoint={**told, "folds": folds}) as feed:
            with pytest.raises(InputError, match="damaged"):
                feed.per("k", total="sum:n")
            feed.per("k", other="sum:n").close()  # of which the checkpoint knows nothing


def test_what_a_result_stands_on_is_told():
    with kit.Feed(Numbers(500, hold=True), max_rows=100) as feed:
        feed.wait(500, timeout=PATIENCE)
        found = feed.per("kk", n="count").wait(until="caught_up", timeout=PATIENCE)
        notes = found.df.attrs["notes"]
        assert found.df["n"].tolist() == [100] and found.df.attrs["missed"] == 400
        assert any("without the 400 rows" in note for note in notes) and any("did you mean 'k'" in one for one in notes)
        html = kit.LiveView(found)._repr_mimebundle_()["text/html"]
        assert "without the 400 rows" in html and "</b>/s" not in html
        with pytest.raises(InputError, match="are a result"):
            found.per("n", m="count")
        assert "ab" in kit.Feed([{"a": "ab"}]).newest_by("a").wait(timeout=PATIENCE).tail(1).to_string()

    def broken():
        yield {"n": 1}
        raise ValueError("not today")

    with kit.Feed(broken) as feed:
        found = feed.per(n="count")
        with pytest.raises(KitError, match="not today"):
            found.wait(timeout=PATIENCE)
        assert found.state == "failed" and found.df["n"].tolist() == [1]


def test_too_many_groups_end_the_result_and_not_the_feed():
    with kit.Feed(Numbers(20_000)) as feed:
        found = feed.per("n", most=1000, c="count")
        with pytest.raises(KitError, match="more than 1,000 groups"):
            found.wait(timeout=PATIENCE)
        assert feed.wait(timeout=PATIENCE).total == 20_000


def test_a_closed_result_leaves_its_feed_alone():
    with kit.Feed(Numbers(300_000), max_rows=100) as feed:
        found = feed.per("k", n="count")
        found.pause()
        found.close()
        assert feed.wait(timeout=PATIENCE).total == 300_000 and not feed.shared.taps


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"n": "som:total"}, "did you mean 'sum'"), ({"n": "sum"}, "names no column"), ({"n": 3}, "is not an aggregate"),
        ({}, "nothing to compute"), ({"n": "count", "every": "soon"}, "not a length of time"), ({"n": "count", "every": 10}, "not a length"),
        ({"n": "count", "late": "1s"}, "are of windows"), ({"k": "count"}, "the name of a key"), ({"n": "count", "most": 0}, "most=0"),
        ({"evry": "10s"}, "is not an aggregate"), ({"n": "p100:x"}, "is not an aggregate"),
    ],
)  # fmt: skip
def test_what_per_refuses(wrong, told):
    with kit.Feed([{"k": 1}]) as feed, pytest.raises(InputError, match=told):
        feed.per("k", **wrong)


def test_a_key_has_the_name_of_the_column_of_windows_where_there_are_none():
    with kit.Feed([{"window": 1}, {"window": 1}]) as feed:
        with pytest.raises(InputError, match="a key cannot be called 'window'"):
            feed.per("window", every="1s", n="count")
        found = feed.per("window", n="count")
        found.wait(timeout=PATIENCE)
        assert found.df.to_dict("list") == {"window": [1], "n": [2]}


def test_what_the_others_refuse():
    with kit.Feed([{"k": 1}]) as feed:
        for call in (
            lambda: feed.newest_by(None), lambda: feed.newest_by([1]), lambda: feed.newest_by("k", most=0),
            lambda: feed.rolling(m="count"), lambda: feed.rolling(n=0, m="count"), lambda: feed.rolling(n=1, seconds=1, m="count"),
            lambda: feed.per(["a", "a"], n="count"),
        ):  # fmt: skip
            with pytest.raises(InputError):
                call()


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("kinds", lambda kinds: []), ("kinds", lambda kinds: kinds * 2), ("aggregates", lambda saved: []),
        ("aggregates", lambda saved: saved * 2), ("keys", lambda keys: [key * 2 for key in keys]), ("keys", lambda keys: [[]]),
        ("numbers", lambda numbers: numbers[1:]),
    ],
)  # fmt: skip
def test_a_state_of_another_number_of_columns_is_refused(name, changed):
    import base64
    import zlib

    def make():
        return Per("k", None, None, None, 9, {"n": "count"})

    state = json.loads(zlib.decompress(base64.b64decode(fed(make, [pa.table({"k": [1, 1]})]).dump())))
    fold, again = make(), make()
    again.load(base64.b64encode(zlib.compress(json.dumps(state).encode())).decode())
    assert again.result().to_pylist() == [{"k": 1, "n": 2}]
    state[name] = changed(state[name])
    with pytest.raises(InputError, match="is damaged"):
        fold.load(base64.b64encode(zlib.compress(json.dumps(state).encode())).decode())


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_state_is_refused_or_loaded_and_nothing_else(seed):
    import base64
    import zlib

    dice = random.Random(seed)
    table = pa.Table.from_pylist(rows_of(300, seed))
    asked = {**PLAIN, "users": "distinct:user", "p": "p90:price"}
    makes = [
        lambda: Per(["city", "kind"], "1s", "at", "5s", 10_000, asked), lambda: Newest("user", None, 10_000),
        lambda: Rolling("city", None, 2, "at", {"n": "count", "t": "sum:qty"}), lambda: Rolling(None, 50, None, None, {"n": "count"}),
    ]  # fmt: skip
    make = makes[seed]
    whole = zlib.decompress(base64.b64decode(fed(make, [table]).dump()))
    refused = []
    for n in range(300):
        bad = bytearray(whole)
        for _ in range(dice.choice((1, 1, 3))):
            at = dice.randrange(len(bad))
            if n % 3 == 0:
                del bad[at : at + dice.randrange(1, 30)]
            else:
                bad[at] = dice.choice(b'0123456789[]{},":anul-' if n % 3 == 1 else bytes(range(256)))
        fold = make()
        try:
            fold.load(base64.b64encode(zlib.compress(bytes(bad))).decode())
        except InputError as error:
            refused.append(str(error))
            continue
        try:
            fold.add(table)
            fold.result()
            fold.dump()
        except (KitError, OverflowError):
            pass
    assert len(refused) > 100 and all("is damaged" in told for told in refused)


def test_a_closed_result_leaves_no_task_behind():
    import asyncio
    import time

    from kit.core import loop

    async def standing():
        return len(asyncio.all_tasks())

    with kit.Feed(Numbers(100, hold=True)) as feed:
        feed.wait(100, timeout=PATIENCE)
        before = loop.call(standing)
        for _ in range(3):
            found = feed.per("k", n="count").wait(until="caught_up", timeout=PATIENCE)
            time.sleep(0.5)  # it waits for more now
            assert loop.call(standing) > before
            found.close()
        deadline = time.monotonic() + PATIENCE
        while loop.call(standing) > before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert loop.call(standing) == before
