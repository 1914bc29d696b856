"""Columns as JSON, as all that is appended goes: against the encoder of single values."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings

from kit.core.errors import InputError
from kit.core.tables.encode import bodies_of, column_of
from kit.core.tables.texts import texts
from tests.values.given import appends
from tests.values.model import parsed, problem

INF = float("inf")


def test_single_columns_and_what_is_none():
    for one in (pa.array([1, 2]), pa.chunked_array([[1], [2]]), pl.Series([1, 2])):
        assert isinstance(column_of(one), pa.ChunkedArray) and column_of(one).to_pylist() == [1, 2]
    series = pd.Series([1, 2])
    assert column_of(series) is series and column_of(pd.Index([1])) is not None
    for none in (
        [1, 2],
        "text",
        pd.DataFrame({"a": [1]}),
        pl.DataFrame({"a": [1]}),
        pa.table({"a": [1]}),
        pd.Timestamp(0),
        None,
        5,
    ):
        assert column_of(none) is None


def test_what_json_has_no_form_for_is_refused_with_its_row():
    for one in (pd.Series([1j]), pd.DataFrame({"a": [1j]}), pd.Index([1j]), pd.DataFrame({"a": pd.array([1j])})):
        with pytest.raises(InputError, match=r"^row 0, column '(a|body)': .* is a complex number"):
            rows_of(bodies_of(one, InputError).bodies)


@pytest.mark.parametrize("many", [pa.list_, pa.large_list, lambda kind: pa.list_(kind, 2)])
def test_what_is_in_a_list_of_any_kind_is_written_as_in_a_column(many):
    kind = pa.duration("ms")
    alone = pa.table({"a": pa.array([1500, None], kind)})
    assert rows_of(bodies_of(alone, InputError).bodies) == [b'{"a":"P0DT0H0M1.500S"}', b'{"a":null}']
    table = pa.table({"a": pa.array([[1500, None], None], many(kind))})
    assert rows_of(bodies_of(table, InputError).bodies) == [b'{"a":["P0DT0H0M1.500S",null]}', b'{"a":null}']


@pytest.mark.parametrize(
    "values",
    [
        [0.5, None, INF], [[0.5, 1.0], [], [None, INF]], [[[0.5]], None, [[1.0], [2.0, INF]]],
        [{"x": 0.5}, None, {"x": INF}], [[{"x": 0.5}], [], [{"x": None}, {"x": INF}]],
    ],
)  # fmt: skip
def test_a_refused_value_is_told_with_the_row_that_it_is_inside_of(values):
    column = pa.array(values)
    for one in (column, pa.chunked_array([column[:1], column[1:]]), pa.concat_arrays([column, column]).slice(3)):
        with pytest.raises(InputError, match=r"^row 2, column 'a': inf cannot be written as JSON"):
            bodies_of(pa.table({"a": one}), InputError)
    if isinstance(values[0], dict):
        with pytest.raises(InputError, match=r"^row 2, column 'body': inf cannot be written as JSON"):
            bodies_of(column, InputError)


def test_levels_of_an_index_are_columns_if_they_have_names():
    frame = pd.DataFrame({"a": [1]}, index=pd.Index([5], name="i"))
    assert rows_of(bodies_of(frame, InputError).bodies) == [b'{"i":5,"a":1}']
    assert rows_of(bodies_of(frame.rename_axis(None), InputError).bodies) == [b'{"a":1}']
    two = pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(5, 6)], names=["i", None]))
    with pytest.raises(InputError, match="level 1 of the index has no name"):
        bodies_of(two, InputError)
    assert rows_of(bodies_of(two.rename_axis(["i", "j"]), InputError).bodies) == [b'{"i":5,"j":6,"a":1}']


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(2)])
def test_bytes_in_a_file_of_text_are_the_text_that_they_are(kind):
    assert texts(pa.array([b"ab", None, "\u00fc".encode()], kind)).to_pylist() == ["ab", None, "\u00fc"]
    assert texts(pa.array([b"ab", None, b"\xff\xfe"], kind)).to_pylist() == ["ab", None, "base64://4="]


def test_a_category_that_no_row_has_is_not_sent_and_another_is_told_with_its_row():
    column = pd.Categorical([1.0, 1.0, INF, None])
    frame = pd.DataFrame({"c": column})
    assert rows_of(bodies_of(frame.iloc[[0, 3]], InputError).bodies) == [b'{"c":1.0}', b'{"c":null}']
    nested = pa.table({"c": pa.array([[1.0], [1.0, INF]], pa.list_(pa.float64()))})
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 3], pa.int32()), nested["c"].chunk(0).values.dictionary_encode())
    for data, row in ((frame, 2), (pa.table({"c": lists}), 1)):
        with pytest.raises(InputError, match=f"row {row}, column 'c': inf cannot be written as JSON"):
            bodies_of(data, InputError)


def test_a_map_with_a_key_twice_is_refused_with_its_row():
    kind = pa.map_(pa.string(), pa.int64())
    table = pa.table({"m": pa.array([[("a", 1)], None, [("a", 1), ("a", 2)]], kind)})
    assert rows_of(bodies_of(table.slice(0, 2), InputError).bodies) == [b'{"m":{"a":1}}', b'{"m":null}']
    with pytest.raises(InputError, match="row 2, column 'm': two keys of the map are the same"):
        bodies_of(table, InputError)


def rows_of(bodies):
    """The bodies as bytes: they are an Arrow column or a list."""
    found = bodies.to_pylist() if isinstance(bodies, pa.ChunkedArray | pa.Array) else list(bodies)
    return [one.encode() if isinstance(one, str) else one for one in found]


@settings(max_examples=200, deadline=None)
@given(appends())
def test_bodies_are_those_of_the_model(batches):
    """All that can be appended, as `python -m tests.values` gives it to the services: no service is asked here."""
    for batch in batches:
        try:
            rows = rows_of(bodies_of(batch.data, InputError, **batch.options).bodies)
        except InputError:
            assert batch.refused or not batch.bodies, batch
            continue
        if any(row is None for row in rows):
            continue  # a missing body is refused by the service's wing
        assert not batch.refused and len(rows) == len(batch.bodies)
        for row, meant in zip(rows, batch.bodies, strict=True):
            if isinstance(meant, dict):
                assert problem(meant, parsed(row)) is None, (batch, row)
            else:
                assert row == (meant.encode() if isinstance(meant, str) else meant)
