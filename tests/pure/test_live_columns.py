"""Chunks of a feed that differ, as one table: no number changes, and no column is lost."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from kit.live.columns import batches_of, unified


@pytest.mark.parametrize(
    ("pieces", "kind", "values"),
    [
        ([("uint8", 255), ("int64", -1)], "int64", [255, -1]),
        ([("int8", -1), ("uint32", 2**32 - 1)], "int64", [-1, 2**32 - 1]),
        ([("uint8", 255), ("uint16", 256)], "uint64", [255, 256]),
        ([("uint64", 2**64 - 1), ("int8", 1)], "uint64", [2**64 - 1, 1]),
        ([("uint64", 2**64 - 1), ("int8", -1)], "string", ["18446744073709551615", "-1"]),
        ([("int64", 2**53 + 1), ("float64", 0.5)], "string", ["9007199254740993", "0.5"]),
        ([("float32", 0.5), ("int64", 2**63 - 1)], "string", ["0.5", "9223372036854775807"]),
        ([("int32", 2**24 + 1), ("float32", 0.5)], "double", [2**24 + 1, 0.5]),
    ],
)
def test_numbers_of_several_types_stay_what_they_are(pieces: list[Any], kind: str, values: list[Any]) -> None:
    found = unified([pa.record_batch({"n": pa.array([value], getattr(pa, name)())}) for name, value in pieces])
    assert str(found.schema.field("n").type) == kind and found["n"].to_pylist() == values


def test_two_columns_of_one_name_are_both_kept() -> None:
    wanted = {"x": [1], "x_2": [2], "y": [3]}
    table = pa.table([[1], [2], [3]], names=["x", "x", "y"])
    for item in (table, table.to_batches()[0], pd.DataFrame([[1, 2, 3]], columns=["x", "x", "y"])):
        assert unified(batches_of(item)).to_pydict() == wanted


def test_a_piece_without_values_does_not_make_numbers_texts():
    """Such a piece of JSON is a column of text."""
    none, some = pa.record_batch({"x": pa.array([None], pa.string())}), pa.record_batch({"x": [1, 2]})
    for pieces, values in (([some, none], [1, 2, None]), ([none, some, none], [None, 1, 2, None])):
        found = unified(pieces)
        assert found["x"].type == pa.int64() and found["x"].to_pylist() == values
    assert unified([none, pa.record_batch({"y": [1]})])["x"].type == pa.string()
    assert unified([none.slice(0, 0), some])["x"].type == pa.string()  # a schema counts
