"""Frames into tables of Kimberlite: every value exact in a column that holds it, and refused in one that does not."""

import datetime as dt
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import kit
from kit.kimberlite import Timestamp
from kit.kimberlite.errors import KimberliteError, KimberliteInputError
from tests.real import ABSENT, kimberlite_program, running_kimberlite

pytestmark = pytest.mark.lab

SERVERS = [
    "lab",
    pytest.param(
        "real",
        marks=pytest.mark.skipif(kimberlite_program() is None, reason=ABSENT),
    ),
]


@pytest.fixture(scope="module")
def real():
    with running_kimberlite() as address:
        explorer = kit.connect("kimberlite", address=address, tenant_id=7)
        yield explorer
        explorer.close()


@pytest.fixture(params=SERVERS)
def k(request, lab):
    return lab.kimberlite if request.param == "lab" else request.getfixturevalue("real")


def made(k, columns):
    name = f"t{uuid.uuid4().hex[:12]}"
    k.execute(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, {columns})")
    return name


def test_a_frame_becomes_rows_and_comes_back_equal(k):
    name = made(
        k,
        'n BIGINT, tiny TINYINT, "Order" TEXT, b BOOLEAN, at TIMESTAMP, d DATE, t TIME, u UUID, p DECIMAL(18,4), r REAL',
    )
    at = pd.Series([1, 1_600_000_000_123_456_789, None], dtype="Int64").astype("datetime64[ns]").dt.tz_localize("UTC")
    frame = pd.DataFrame(
        {
            "id": np.arange(3),
            "n": pd.array([2**53 + 1, -(2**63), None], dtype="Int64"),
            "tiny": [-128.0, 127.0, np.nan],
            "Order": ["a\u2028b", "'; drop table x --", None],
            "b": pd.array([True, False, None], dtype="boolean"),
            "at": at,
            "d": [dt.date(1, 1, 1), dt.date(9999, 12, 31), None],
            "t": [dt.time(23, 59, 59, 999999), dt.time(0), None],
            "u": [uuid.UUID(int=5), str(uuid.UUID(int=6)), None],
            "p": [Decimal("1234567890.1230"), Decimal("-0.5"), None],
            "r": [1.0, -5.0, None],
        }
    )
    told = k.insert(name, frame)
    assert told.attrs["inserted"] == 3 and told["rows"].tolist() == [3]
    found = k.query(f"SELECT * FROM {name} ORDER BY id")
    for column in ("n", "tiny", "b", "Order"):
        assert found[column].isna().tolist() == [False, False, True]
        assert found[column][:2].tolist() == frame[column][:2].tolist()
    raw = k.client.query(f"SELECT at, d, t, u, p FROM {name} ORDER BY id").rows
    assert [row[0] for row in raw] == [Timestamp(1), Timestamp(1_600_000_000_123_456_789), None]
    assert [row[1] for row in raw] == ["Date(-719162)", "Date(2932896)", None]
    assert [row[2] for row in raw] == ["Time(86399999999000)", "Time(0)", None]
    assert [row[3] for row in raw] == [str(uuid.UUID(int=5)), str(uuid.UUID(int=6)), None]
    assert [None if row[4] is None else Decimal(row[4]) for row in raw] == [
        Decimal("1234567890.123"),
        Decimal("-0.5"),
        None,
    ]
    assert found["r"][:2].tolist() == [1.0, -5.0]


@pytest.mark.parametrize(
    ("declared", "value", "why"),
    [
        ("TINYINT", 128, "8 bits"),
        ("INTEGER", 2**31, "32 bits"),
        ("BIGINT", 2**63, "64 bits"),
        ("BIGINT", 1.5, "whole number"),
        ("BIGINT", True, "whole number"),
        ("BIGINT", "5", "whole number"),
        ("TEXT", 5, "not a text"),
        ("TEXT", "\ud800", "half of a character"),
        ("BOOLEAN", 1, "not a boolean"),
        ("REAL", float("inf"), "not finite"),
        ("REAL", 2**53 + 1, "more digits|cannot store"),
        ("DECIMAL(6,2)", Decimal("1.005"), "more digits"),
        ("DECIMAL(6,2)", Decimal("12345"), "more digits"),
        ("DECIMAL(6,2)", 1.5, "not a decimal"),
        ("DATE", dt.datetime(2020, 1, 1, 5), "not a date"),
        ("TIMESTAMP", pd.Timestamp("2020-01-01"), "no time zone"),
        ("TIMESTAMP", pd.Timestamp("2500-01-01", tz="UTC"), "64 bits of nanoseconds"),
        ("TIMESTAMP", dt.date(2020, 1, 1), "not a time"),
        ("UUID", "x", "not a UUID"),
    ],
)
def test_what_a_column_cannot_hold_is_refused_with_its_place_and_nothing_is_written(k, declared, value, why):
    name = made(k, f"v {declared}")
    frame = pd.DataFrame({"id": [1, 2], "v": pd.Series([None, value], dtype=object)})
    with pytest.raises(KimberliteInputError, match=rf"row 1, column 'v'.*({why})"):
        k.insert(name, frame)
    assert len(k.client.query(f"SELECT * FROM {name}").rows) == 0


def test_what_only_the_lab_takes_is_exact_there(lab):
    k = lab.kimberlite
    name = made(k, "r REAL, raw BYTES, j JSON, at TIMESTAMP, p DECIMAL(38,10)")
    early = pd.Timestamp("1969-12-31 23:59:59.999999999", tz="UTC")
    p = Decimal("9999999999999999999999999999.9999999999")
    table = pa.table(
        {
            "id": [1, 2, 3],
            "r": pa.array([1 / 3, 5e-324, 1.7976931348623157e308]),
            "raw": pa.array([b"\x00\xff", b"", None], pa.binary()),
            "j": pa.array([{"a": [1, None]}, None, {"a": []}]),
            "at": pa.array([early, None, early], pa.timestamp("ns", "UTC")),
            "p": pa.array([p, p.copy_negate(), None], pa.decimal128(38, 10)),
        }
    )
    k.insert(name, table)
    found = k.query(f"SELECT * FROM {name} ORDER BY id")
    assert found["r"].tolist() == table["r"].to_pylist()
    assert found["raw"].tolist()[:2] == [b"\x00\xff", b""] and found["j"].tolist()[0] == '{"a":[1,null]}'
    raw = k.client.query(f"SELECT at, p FROM {name} ORDER BY id").rows
    assert raw[0][0] == Timestamp(-1) and [None if one[1] is None else Decimal(one[1]) for one in raw] == [
        p,
        p.copy_negate(),
        None,
    ]


@pytest.mark.skipif(kimberlite_program() is None, reason=ABSENT)
@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("REAL", 0.1),
        ("DECIMAL(18,4)", Decimal("99999999999999.9999")),
        ("TIMESTAMP", pd.Timestamp("1969-12-31", tz="UTC")),
        ("JSON", {"a": 1}),
    ],
)
def test_what_the_real_server_would_change_is_refused(real, declared, value):
    name = made(real, f"v {declared}")
    with pytest.raises(KimberliteInputError, match=r"row 0, column 'v'.*this server"):
        real.insert(name, [{"id": 1, "v": value}])


def test_columns_are_found_by_name(k):
    name = made(k, "total BIGINT NOT NULL, note TEXT")
    with pytest.raises(KimberliteInputError, match=r"no column 'totl'(?s:.*)did you mean 'total'"):
        k.insert(name, [{"id": 1, "totl": 5}])
    with pytest.raises(KimberliteInputError, match=r"'total'.*needs values"):
        k.insert(name, [{"id": 1}])
    with pytest.raises(KimberliteInputError, match=r"row 1, column 'total'.*missing"):
        k.insert(name, [{"id": 1, "total": 5}, {"id": 2, "total": None}])
    k.insert(name, {"note": "n", "total": 5, "id": 1})
    assert k.client.query(f"SELECT id, total, note FROM {name}").rows == [(1, 5, "n")]
    assert k.insert(name, pd.DataFrame({"id": [], "total": []})).attrs["inserted"] == 0


def test_many_rows_go_in_several_statements_each_whole_or_not_at_all(lab):
    k = lab.kimberlite
    name = made(k, "n BIGINT")
    frame = pd.DataFrame({"id": np.arange(1200), "n": np.arange(1200)})
    assert k.insert(name, frame)["rows"].tolist() == [500, 500, 200]
    frame["id"] = [*range(2000, 2600), 5, *range(2600, 3199)]
    with pytest.raises(KimberliteError) as error:
        k.insert(name, frame)
    assert error.value.inserted == 500
    assert k.client.query(f"SELECT COUNT(*) FROM {name}").rows == [(1700,)]


def test_a_wide_frame_goes_in_as_well(lab):
    k, width = lab.kimberlite, 120
    name = made(k, ", ".join(f"c{n} BIGINT" for n in range(width)))
    frame = pd.DataFrame({"id": range(600), **{f"c{n}": np.arange(600) * n for n in range(width)}})
    k.insert(name, frame)
    back = k.query(f"SELECT * FROM {name} ORDER BY id")
    pd.testing.assert_frame_equal(back, frame, check_dtype=False)


def test_parameters_of_statements_may_be_of_numpy_pandas_and_arrow(k):
    name = made(k, "n BIGINT, at TIMESTAMP, s TEXT, p DECIMAL(9,2), u UUID, b BOOLEAN")
    at = pd.Timestamp("2020-01-01 00:00:00.000000001", tz="Asia/Tokyo")
    rows = [
        (np.int64(1), np.uint8(5), at, np.str_("x"), Decimal("1.10"), uuid.UUID(int=1), np.bool_(True)),
        (pa.scalar(2), pd.NA, pd.NaT, None, float("nan"), None, pd.NA),
    ]
    for row in rows:
        k.execute(f"INSERT INTO {name} (id, n, at, s, p, u, b) VALUES ($1, $2, $3, $4, $5, $6, $7)", *row)
    found = k.client.query(f"SELECT id, n, at, s, p, u, b FROM {name} ORDER BY id").rows
    assert found == [(1, 5, Timestamp(at.value), "x", "1.1", str(uuid.UUID(int=1)), True), (2, *[None] * 6)]
    for value in (b"x", dt.date(2020, 1, 1), dt.timedelta(1), 1.5, {1}):
        with pytest.raises(KimberliteInputError):
            k.execute(f"INSERT INTO {name} (id, s) VALUES (3, $1)", value)
