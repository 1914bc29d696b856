"""What `kit.sql` gives back is what the tables hold: times, numbers and names, all of them."""

import decimal
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

import kit
from kit.core.errors import InputError
from kit.engines.joining import QueryError

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def basin(lab):
    return lab.s2.create_basin(f"sql-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def stream(basin):
    return basin.create(f"s/{uuid.uuid4().hex}")


# --- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_times_come_back_in_their_own_unit_and_zone_and_none_is_rounded(unit, zone):
    early = pd.Timestamp("1969-12-31 23:59:59.999999999").as_unit(unit)
    times = pd.Series([early, early - pd.Timedelta("1h"), pd.NaT]).dt.tz_localize(zone).dt.as_unit(unit)
    for table in (pd.DataFrame({"t": times}), pa.table({"t": pa.array(times)})):
        found = kit.sql("select t, count(distinct t) over () as n from x", x=table)
        pd.testing.assert_series_equal(found["t"], times, check_names=False)
        assert found["n"][0] == found["t"].nunique() == 2


def test_times_of_several_tables_lose_nothing():
    fine = pd.DataFrame({"t": pd.to_datetime([1], unit="us", utc=True).as_unit("us")})
    coarse = pd.DataFrame({"s": pd.to_datetime([1], unit="ms", utc=True).as_unit("ms")})
    found = kit.sql("select t, s, greatest(t, s) as g, s + interval 1 microsecond as s2 from a, b", a=fine, b=coarse)
    assert [str(kind) for kind in found.dtypes] == [f"datetime64[{unit}, UTC]" for unit in ("us", "ms", "us", "us")]
    assert found["s2"].astype("int64").tolist() == [1001]
    far = pd.DataFrame({"t": pd.Series(["9999-12-31"], dtype="datetime64[us]").dt.tz_localize("UTC"), "n": 1})
    assert str(kit.sql("select t from x", x=far)["t"][0]) == "9999-12-31 00:00:00+00:00"


def test_durations_that_sql_would_cut_are_refused():
    short = pd.DataFrame({"d": pd.to_timedelta([1500], unit="ns")})
    with pytest.raises(InputError, match="digits below a microsecond"):
        kit.sql("select d from t", t=short)
    whole = pd.DataFrame({"d": pd.to_timedelta([1000, None], unit="ns")})
    assert kit.sql("select d from t", t=whole)["d"].tolist() == [pd.Timedelta(microseconds=1), pd.NaT]


def test_differences_of_times_are_timedeltas(stream):
    stream.append([{"n": n} for n in range(3)])
    found = kit.sql("select max(time) - min(time) as d, max(time) - timestamptz '1000-01-01' as far from t", t=stream)
    assert repr(found) and found.dtypes.astype(str).tolist() == ["timedelta64[us]"] * 2
    assert pd.Timedelta(0) <= found["d"][0] < pd.Timedelta("1min")
    assert repr(kit.sql("select interval 14 months as m"))


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_integers_of_128_bits_and_decimals_are_exact():
    large = 2**63 - 1
    t = pa.table({"n": [large, large], "small": [1, 2], "u": pa.array([2**64 - 1, 0], pa.uint64())})
    t = t.append_column("d", pa.array([Decimal("99999999999999.9999"), None], pa.decimal128(18, 4)))
    t = t.append_column("whole", pa.array([Decimal("7"), None], pa.decimal128(5, 0)))
    found = kit.sql(
        "select sum(small) as s, sum(n) as big, sum(u) as u, any_value(d) as d, sum(d) as sd, any_value(whole) as whole,"
        " 340282366920938463463374607431768211455::uhugeint as top, 5::uhugeint as five, avg(small) as mean,"
        " 170141183460469231731687303715884105727::hugeint as huge, sum(small) filter (small > 5) as none from t"
    )
    assert found.dtypes.astype(str).to_dict() == {
        "s": "int64",
        "big": "decimal128(38, 0)[pyarrow]",
        "u": "decimal128(38, 0)[pyarrow]",
        "d": "decimal128(18, 4)[pyarrow]",
        "sd": "decimal128(38, 4)[pyarrow]",
        "whole": "decimal128(5, 0)[pyarrow]",
        "top": "decimal256(76, 0)[pyarrow]",
        "five": "int64",
        "mean": "float64",
        "huge": "decimal256(76, 0)[pyarrow]",
        "none": "Int64",
    }
    row = found.iloc[0]
    assert (row["s"], row["big"], row["u"]) == (3, 2 * large, 2**64 - 1)
    assert row["d"] == row["sd"] == Decimal("99999999999999.9999") and row["five"] == 5
    with decimal.localcontext(prec=60):
        assert (row["top"], row["huge"]) == (2**128 - 1, 2**127 - 1)
    stream = kit.sql("select 340282366920938463463374607431768211455::uhugeint as top, $1 as a", params=[1], arrow=True)
    assert stream.read_all().to_pylist() == [{"top": Decimal(2**128 - 1), "a": 1}]


# --- names ------------------------------------------------------------------------------------------------------------


def tables(stream):
    names = ["a", "b", "A", "n\0l", "n\0m"]
    rows = [{"a": 1, "b": 2, "A": 3, "n\0l": 4, "n\0m": 5}] * 2
    stream.append(rows)
    arrow = pa.table({name: [rows[0][name]] * 2 for name in names})
    yield names, arrow.to_pandas()
    yield names, arrow
    yield names, ds.dataset(arrow)
    yield names, arrow.to_batches()[0]
    yield stream.arrow().schema.names, stream


def test_names_that_sql_does_not_tell_apart_are_kept(stream, tmp_path):
    for names, table in [*tables(stream)]:
        found = kit.sql("select * from t", t=table)
        assert list(found.columns) == names
        assert found[["a", "b", "A", "n\0l", "n\0m"]].iloc[1].tolist() == [1, 2, 3, 4, 5]
        found = kit.sql(
            'select sum("A_2") as s, sum(a_1) as "a_1", "n\\x00l" from t where "A_2" > 2 group by 3', t=table
        )
        assert found.iloc[0].tolist() == [6, 2, 4] and list(found.columns) == ["s", "a", "n\0l"]
        for wrong in ('select "A" from t', "select b from t where a = 3", "select n from t"):
            with pytest.raises(QueryError, match=r"(?s)have others in a query: .*'A' is \"A_2\""):
                kit.sql(wrong, t=table)
        assert kit.sql("select * from t", t=table, arrow=True).schema.names == names
    scan = stream.to_parquet(tmp_path / "s")
    assert kit.sql('select seq_num, "A_2" from t where b = 2', t=scan).columns.tolist() == ["seq_num", "A"]
    reader = pa.table([[1], [2]], names=["x", "X"]).to_reader()
    assert kit.sql("select * from t", t=reader).to_dict("list") == {"x": [1], "X": [2]}
    assert kit.sql("select * from few", few=pd.DataFrame({"Ä": [1], "ä": [2], "": [3]})).columns.tolist() == [
        "Ä",
        "ä",
        "",
    ]


def test_names_inside_of_objects_are_kept_too(stream):
    value = {"a": 1, "A": 2, "n\0l": [{"": "x", "k\0": None}, None]}
    stream.append([{"s": value}, {"s": None}, {"s": value}])
    arrow = pa.table({"s": [value, None, value]})
    for table in (stream, arrow, arrow.to_reader(), stream.read(), stream.arrow()):
        found = kit.sql('select s, s.a_1 as one, s."A_2" as two from t where s."A_2" = 2', t=table)
        assert [dict(one) for one in found["s"]] == [value, value]
        assert found["one"].tolist() == [1, 1] and found["two"].tolist() == [2, 2]
    assert kit.sql("select [s] as many from t where s is not null", t=arrow)["many"][0][0] == value
    assert kit.sql("select s from t", t=stream, arrow=True).read_all().to_pylist() == [
        {"s": value},
        {"s": None},
        {"s": value},
    ]
    with pytest.raises(QueryError, match=r"(?s)have others in a query: .*'A' is \"A_2\""):
        kit.sql("select s.a from t", t=stream)


def test_conditions_bound_the_read_also_where_names_were_changed(stream):
    stream.append([{"a": n, "A": -n} for n in range(3000)])
    kit.core.calls.forget()
    found = kit.sql('select "A_2" from t where seq_num between 2998 and 2999', t=stream)
    assert found["A"].tolist() == [-2998, -2999]
    few = int(kit.calls()["bytes_in"].sum())
    kit.core.calls.forget()
    found = kit.sql('select "A_2" from t where "A_2" < -2997 and seq_num >= 10', t=stream)
    assert found["A"].tolist() == [-2998, -2999] and few < int(kit.calls()["bytes_in"].sum())


def test_two_columns_of_one_name_are_both_kept():
    assert kit.sql("select 1 as a, 2 as a, 3 as a_2").to_dict("list") == {"a": [1], "a_2": [2], "a_2_2": [3]}
    assert kit.sql("select 1 as a, 2 as a", arrow=True).read_all().column_names == ["a", "a_2"]
    twice = pd.DataFrame([[1, 2]], columns=["x", "x"])
    assert kit.sql("select * from t", t=twice).to_dict("list") == {"x": [1], "x_2": [2]}
    twice = pa.table([[1], [2]], names=["x", "x"])
    assert kit.sql("select * from t", t=twice).to_dict("list") == {"x": [1], "x_2": [2]}
    number = pd.DataFrame([[1, 2]], columns=[1, "1"])
    assert kit.sql("select * from t", t=number).to_dict("list") == {"1": [1], "1_2": [2]}


# --- parameters, statements, drift ------------------------------------------------------------------------------------


def test_parameters_of_numpy_and_of_the_wrong_form():
    given = [np.int64(5), np.uint64(2**64 - 1), np.float32(0.5), np.bool_(True), np.str_("x"), pd.NaT, [1, 2]]
    found = kit.sql("select $1 as a, $2::ubigint as b, $3 as c, $4 as d, $5 as e, $6 as f, $7 as g", params=given)
    row = found.iloc[0]
    assert [row["a"], row["b"], row["c"], row["d"], row["e"]] == [5, 2**64 - 1, 0.5, True, "x"] and pd.isna(row["f"])
    when = np.datetime64("2026-01-02T03:04:05")
    assert kit.sql("select $t as t, $d as d", params={"t": when, "d": np.timedelta64(5, "s")}).iloc[0].tolist() == [
        pd.Timestamp(when),
        pd.Timedelta("5s"),
    ]
    assert kit.sql("select $1 + $2 as a", params=np.array([1, 2]))["a"].tolist() == [3]
    for one in (100, "text", b"x", 1.5, None):
        with pytest.raises(InputError, match=r"is a single value\n.*give a list"):
            kit.sql("select $1", params=one)
    for fine in (pd.Timestamp("2020-01-01 00:00:00.000000001"), np.timedelta64(1, "ns")):
        with pytest.raises(InputError, match="digits below a microsecond"):
            kit.sql("select $1", params=[fine])


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("create table x as select 1 as a", "CREATE"),
        ("insert into x values (1)", "INSERT"),
        ("select 1; drop table x", "DROP"),
        ("update x set a = 1", "UPDATE"),
        ("attach ':memory:' as z", "ATTACH"),
    ],
)
def test_statements_that_would_leave_nothing_behind_are_refused(statement, kind):
    with pytest.raises(InputError, match=rf"kit.sql only reads, and this is {kind}(?s:.*)keep a result under a name"):
        kit.sql(statement)


def test_statements_that_do_are_run(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    kit.sql(f"copy (select * from t) to '{tmp_path}/x.parquet'", t=frame)
    assert kit.sql(f"from '{tmp_path}/x.parquet'")["a"].tolist() == [1, 2]
    assert (
        len(kit.sql("describe t", t=frame)) == 2
        and len(kit.sql("explain select 1"))
        and len(kit.sql("summarize t", t=frame))
    )
    assert kit.sql("pivot t on b using sum(a)", t=frame).columns.tolist() == ["x", "y"]
    assert kit.sql("create temp table y as select * from t; select sum(a) as n from y", t=frame)["n"].tolist() == [3]


def test_as_many_columns_may_drift_as_there_are(stream):
    # Far enough from each other to be in pages of their own.
    keys, apart = [f"k{n}" for n in range(12)], 300
    row = {**dict.fromkeys(keys, 1), "fill": "x" * 4000}
    rows = [row] * (2000 + len(keys) * apart)
    for n, key in enumerate(keys):
        rows[1000 + apart * n] = {**row, key: "odd"}
    stream.append(rows)
    found = kit.sql(f"select {', '.join(f'count(distinct {key}) as {key}' for key in keys)} from t", t=stream)
    assert found.iloc[0].tolist() == [2] * 12


# --- times of a log that are found by asking --------------------------------------------------------------------------


def test_times_outside_of_what_a_service_has_bound_nothing(lab):
    k = lab.kimberlite
    k.append("sql-far", [{"n": n} for n in range(5)])
    t = k["sql-far"]
    for where, count in (
        ("time between '2020-01-01' and '9999-12-31'", 5),
        ("time > '1500-01-01' and time < '2300-01-01'", 5),
        ("time < '1500-01-01'", 0),
        ("time > '2500-01-01'", 0),
        ("time >= '0001-01-01' or time is null", 5),
    ):
        assert kit.sql(f"select count(*) as n from t where {where}", t=t)["n"].tolist() == [count], where


def test_times_are_found_among_more_than_a_million_events(lab):
    k = lab.kimberlite
    for _ in range(3):
        k.append("sql-many", pa.chunked_array([pa.array([b"%d" % (n % 10) for n in range(400_000)])]).to_pandas())
    t = k["sql-many"]
    middle = t.read(600_000, limit=1)["time"][0]
    first = int(kit.sql('select min("offset") as o from t where time >= $1', t=t, params=[middle])["o"][0])
    assert 0 < first <= 600_000
    count = kit.sql("select count(*) as n from t where time > $1", t=t, params=[t.tail(1)["time"][0]])
    assert count["n"].tolist() == [0]
    count = kit.sql("select count(*) as n from t where time < $1", t=t, params=[middle])
    assert count["n"].tolist() == [first]


def test_a_frame_with_times_of_day_is_a_table_like_any_other():
    """Even one that a query does not mean stopped it, where its name is a part of the query's text."""
    f = kit.sql("select time '10:11:12.123456' as t, 1 as n")
    assert kit.sql("select t, n from f").equals(f)
    days = pd.DataFrame({"d": pd.Series(pa.array([1], pa.date32()), dtype=pd.ArrowDtype(pa.date32()))})
    assert kit.sql("select d from days where d = date '1970-01-02'", days=days)["d"].dt.strftime("%F").tolist() == [
        "1970-01-02"
    ]


def test_durations_that_would_be_rounded_are_refused_in_arrow_as_in_frames():
    fine = pa.table({"d": pa.array([1001, None], pa.duration("ns"))})
    for table in (fine, fine.to_batches()[0], fine.to_pandas()):
        with pytest.raises(InputError, match="x: the durations in 'd' have digits below a microsecond"):
            kit.sql("select d from x", x=table)
        assert kit.sql("select 'xx' as a", x=table)["a"].tolist() == ["xx"]  # it does not name the table
    whole = pa.table({"d": pa.array([1000, None], pa.duration("ns"))})
    assert kit.sql("select d from x", x=whole)["d"].tolist() == [pd.Timedelta("1us"), pd.NaT]


LARGEST = "340282366920938463463374607431768211455"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (f"[{LARGEST}::uhugeint, null]", [LARGEST, None]),
        (f"[{LARGEST}::uhugeint]::uhugeint[1]", [LARGEST]),
        (f"""{{'a': [{{'b "c"': {LARGEST}::uhugeint}}], 'n': 1}}""", {"a": [{'b "c"': LARGEST}], "n": 1}),
        (f"map {{7: {LARGEST}::uhugeint}}", [(7, LARGEST)]),
        ("[12345678901234567890123::bignum]", ["12345678901234567890123"]),
        ("'101'::bit", "101"),
        ("'10:00:00+02'::timetz", "10:00:00+02"),
    ],
)
def test_what_the_engine_hands_over_as_something_else_is_text(expression, value):
    query = f"select {expression} as a"
    assert kit.sql(query, into="arrow").to_pylist() == [{"a": value}]
    assert kit.sql(query, arrow=True).read_all().to_pylist() == [{"a": value}]
