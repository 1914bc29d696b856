"""Scans of Parquet files whose columns differ: every value is what its file has."""

from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import kit
from kit.engines.parquet.partitions import KEYS, folder, packed, parted


def scan_of(place, *columns):
    for n, column in enumerate(columns):
        pq.write_table(pa.table({"x": column}), place / f"{n}.parquet")
    return kit.scan(place)


LATE = 10**17  # microseconds: in the year 5138, which nanoseconds do not reach


@pytest.mark.parametrize(
    ("columns", "kind", "values"),
    [
        (([2**53], [0.5]), "double", [2.0**53, 0.5]),
        (([2**53 + 1], [0.5]), "string", [str(2**53 + 1), "0.5"]),
        ((pa.array([2**64 - 1], pa.uint64()), [-1]), "string", [str(2**64 - 1), "-1"]),
        ((pa.array([7], pa.uint64()), [-1]), "int64", [7, -1]),
        ((pa.array([7], pa.uint64()), [1, None]), "uint64", [7, 1, None]),
        ((pa.array([0.5], pa.float32()), [0.1]), "double", [0.5, 0.1]),
        (([1], pa.nulls(1)), "int64", [1, None]),
        (([Decimal("1.5")], [True]), "string", ['"1.5"', "true"]),
    ],
)
def test_numbers_of_all_files_are_what_they_are(tmp_path, columns, kind, values):
    scan = scan_of(tmp_path, *columns)
    assert str(scan.schema.field("x").type) == kind
    assert scan.arrow().read_all()["x"].to_pylist() == values
    assert kit.sql("select x from scan", into="arrow", scan=scan)["x"].to_pylist() == values


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_times_of_several_units_stay_times_where_one_unit_holds_them_all(tmp_path, zone):
    micro, nano = (pa.array([1, None], pa.timestamp(unit, zone)) for unit in ("us", "ns"))
    scan = scan_of(tmp_path, micro, nano)
    assert scan.schema.field("x").type == pa.timestamp("ns", zone)
    assert scan.arrow().read_all()["x"].cast(pa.int64()).to_pylist() == [1000, None, 1, None]
    late = scan_of(tmp_path, micro, nano, pa.array([LATE], pa.timestamp("us", zone)))
    assert late.schema.field("x").type == pa.string()
    assert "5138-11-16" in late.arrow().read_all()["x"][4].as_py()


def test_a_folder_may_have_the_signs_of_a_pattern_in_its_name(tmp_path):
    place = tmp_path / "orders [2026]*"
    place.mkdir()
    scan_of(place, [1, 2])
    assert kit.scan(place).read()["x"].tolist() == [1, 2]
    assert kit.scan(place / "0.parquet").read()["x"].tolist() == [1, 2]
    (tmp_path / "a1").mkdir()
    pd.DataFrame({"x": [3]}).to_parquet(tmp_path / "a1" / "0.parquet")
    assert kit.scan(tmp_path / "a[0-9]" / "*.parquet").read()["x"].tolist() == [3]


def test_a_partition_of_a_column_of_categories_is_read_with_those_without_a_value(tmp_path):
    table = pa.table({"k": pa.array(["x", None]).dictionary_encode(), "n": [1, 2]})
    for keys, rows in parted(table, ["k"])[1]:
        place = tmp_path / folder(keys) / "rows.parquet"
        place.parent.mkdir()
        pq.write_table(rows.replace_schema_metadata({KEYS: packed(keys)}), place)
    assert sorted(kit.scan(tmp_path).arrow().read_all().to_pylist(), key=str) == [
        {"n": 1, "k": "x"},
        {"n": 2, "k": None},
    ]
