"""Columns decided before the first batch: what fits is in them, what does not is kept beside them."""

import datetime
import json
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.core.errors import InputError
from kit.core.tables.json.kinds import Kind
from kit.core.tables.json.shape import Wider, shape_of

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=5,
)
ROWS = st.lists(
    st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3).map(lambda row: json.dumps(row).encode())
    | st.sampled_from([b"", b"[1]", b"{", b"\xff", b'{"a":1}\n{"a":2}', b"null", b'{"seq_num": 1}']),
    max_size=12,
)


def shaped(sample, **options):
    return shape_of(pa.chunked_array([pa.array(sample, pa.binary())]), "json", ("seq_num",), **options)


@settings(max_examples=300, deadline=None)
@given(ROWS, ROWS)
def test_every_row_is_in_its_columns_or_whole_in_the_raw_one(sample, rows):
    shape = shaped(sample)
    decoded = shape.decode(pa.array(rows, pa.binary()))
    table = pa.table(decoded.columns)
    assert table.schema.equals(shape.schema)
    for row, found in zip(rows, table.to_pylist(), strict=True):
        if found["body"] is not None:
            assert found["body"] == row
            continue
        value = json.loads(row)
        assert isinstance(value, dict) and set(value) <= set(shape.types)
        for key, kind in shape.types.items():
            held = found[shape.names[key]]
            if value.get(key) is None:
                assert held is None
            elif pa.types.is_string(kind) and not isinstance(value[key], str):
                assert json.loads(held) == value[key]
            elif not pa.types.is_nested(kind):
                assert held == value[key]


@settings(max_examples=200, deadline=None)
@given(ROWS, ROWS)
def test_the_wider_types_hold_everything(sample, rows):
    shape = shaped(sample)
    bodies = pa.array(rows, pa.binary())
    for _ in range(6):
        decoded = shape.decode(bodies)
        if not decoded.wider:
            break
        shape = shape.widened(decoded.wider)
    assert not decoded.misfits and decoded.unfit == 0


@pytest.mark.parametrize(("count", "odd"), [(400, [300]), (400, [3]), (3000, [0, 1500, 2999])])
@pytest.mark.parametrize("longest", [None, 0, 200, -1])
def test_rows_that_do_not_fit_leave_the_others_of_a_large_batch_in_their_places(count, odd, longest):
    rows = [b'{"a":%d,"b":"row %d"}' % (n, n) for n in range(count)]
    for n in odd:
        rows[n] = b'{"a":"odd","b":"row %d"}' % n
    if longest is not None:
        rows[longest] = rows[longest][:-2] + b"x" * 200_000 + b'"}'
    decoded = shaped([b'{"a":1,"b":"x"}']).decode(pa.array(rows, pa.binary()))
    assert decoded.unfit == len(odd)
    assert decoded.columns["a"].to_pylist() == [None if n in odd else n for n in range(count)]
    assert decoded.columns["b"].to_pylist() == [json.loads(row)["b"] for row in rows]
    assert decoded.columns["body"].to_pylist() == [row if n in odd else None for n, row in enumerate(rows)]


@settings(max_examples=100, deadline=None)
@given(ROWS, ROWS, st.sets(st.sampled_from(["a", "b"]), min_size=1))
def test_some_columns_are_what_they_are_among_all(sample, rows, wanted):
    shape = shaped(sample)
    bodies = pa.array(rows, pa.binary())
    whole, some = shape.decode(bodies).columns, shape.decode(bodies, wanted).columns
    assert set(some) == wanted & set(whole)
    for name, column in some.items():
        assert column.equals(whole[name])


def test_a_key_that_is_new_inside_a_value_is_not_lost_where_few_columns_are_read():
    """Arrow leaves other keys aside inside values too, if it is let."""
    rows = [b'{"a":{"x":%d},"b":1}' % n for n in range(300)]
    rows[150] = b'{"a":{"x":1,"y":2},"b":1}'
    found = shaped(rows[:1]).decode(pa.array(rows, pa.binary()), {"a"})
    assert found.columns["a"].to_pylist() == [None if n == 150 else {"x": n} for n in range(300)]
    assert (found.unfit, found.misfits) == (1, {"a"})


def test_what_columns_lack_is_true_whatever_it_is():
    assert not Wider()
    for lacking in (Wider({"a": Kind()}), Wider(raw=True), Wider(binary=True)):
        assert lacking and (Wider() | lacking)


def test_text_bytes_and_types_of_the_callers():
    bodies = pa.array([b"a", b"\xff"], pa.binary())
    assert shape_of(pa.chunked_array([bodies[:1]])).decode(bodies).columns["body"].to_pylist() == ["a", "\\xff"]
    assert shape_of(pa.chunked_array([bodies])).mode == "bytes"
    binary = pa.chunked_array([bodies[1:]])
    assert (shape_of(binary).mode, shape_of(binary, "text").mode) == ("bytes", "text")
    assert shape_of(pa.chunked_array([], pa.binary())).mode == "bytes"
    typed = shape_of(pa.chunked_array([], pa.binary()), "auto", types={"n": pa.float64()})
    assert typed.decode(pa.array([b'{"n":1}'], pa.binary())).columns["n"].to_pylist() == [1.0]
    with pytest.raises(InputError, match="body='xml'"):
        shape_of(pa.chunked_array([bodies]), "xml")


@pytest.mark.parametrize("other", [b'{"d": 1, "n": 2}', b'{"n": "text"}'])
def test_types_of_the_callers_decide_beside_those_of_the_sample(other):
    """Also where a row that does not fit its sample has all of them read by hand."""
    types = {"d": pa.decimal128(20, 2), "t": pa.timestamp("ms")}
    good = b'{"d": "12.30", "t": "2026-01-02T03:04:05.006", "n": 1}'
    fine = b'{"d": "0.001", "t": "2026-01-02T03:04:05.0060001", "n": 3}'
    shape = shaped([good], types=types)
    table = pa.table(shape.decode(pa.array([good, other, fine], pa.binary())).columns)
    first, second, third = table.to_pylist()
    assert first == {
        "n": 1, "d": Decimal("12.30"), "t": datetime.datetime(2026, 1, 2, 3, 4, 5, 6000), "body": None,
    }  # fmt: skip
    assert second["d"] == (1 if b"d" in other else None)
    assert (second["n"], second["body"]) == ((2, None) if b"d" in other else (None, other))
    assert (third["n"], third["body"]) == (3, fine)
    assert (third["d"], third["t"]) == (None, None)


@pytest.mark.parametrize("sample", [b'{"a": null}', b'{"a": {}}'])
def test_a_column_that_is_text_for_want_of_values_tells_of_those_that_are_none(sample):
    """Otherwise a caller that reads on would never learn that the column could be one of numbers."""
    shape = shaped([sample])
    for value, held, fits in ((None, None, True), ("x", "x", True), (5, "5", False), ([1], "[1]", False)):
        decoded = shape.decode(pa.array([json.dumps({"a": value}).encode()], pa.binary()))
        assert decoded.columns["a"].to_pylist() == [held]
        assert (decoded.misfits, bool(decoded.wider)) == ((frozenset(), False) if fits else ({"a"}, True))


@pytest.mark.parametrize("odd", [[0], [700], [999], [3, 4, 500, 998], range(0, 1000, 7)])
def test_the_few_of_many_rows_that_do_not_fit_are_kept_raw(odd):
    rows = [b'{"a": "%s"}' % (b"x" * (n % 40)) if n in odd else b'{"a": %d}' % n for n in range(1000)]
    decoded = shaped([b'{"a": 1}']).decode(pa.array(rows, pa.binary()))
    assert decoded.columns["a"].to_pylist() == [None if n in odd else n for n in range(1000)]
    assert decoded.columns["body"].to_pylist() == [row if n in odd else None for n, row in enumerate(rows)]
    assert decoded.unfit == len(odd)


def test_what_a_sample_begins_with_does_not_decide_alone():
    late = pa.chunked_array([pa.array([b"text"] * 1000 + [b"\xff"], pa.binary())])
    assert (shape_of(late.slice(0, 1000)).mode, shape_of(late).mode, shape_of(late, "text").mode) == (
        "text",
        "bytes",
        "text",
    )
    some = pa.chunked_array([pa.array([b'{"n": 1}', b"\xff"], pa.binary())])
    assert (shape_of(some).mode, shape_of(some, types={"n": pa.int64()}).mode) == ("bytes", "json")


@pytest.mark.parametrize(
    ("other", "types", "raw"),
    [
        (b'{"a": 2}', None, False), (b"[2]", None, True), (b"", None, True), (b'{"a": }', None, True),
        (b'{"a": "x"}', None, False), (b'{"a": "x"}', {"a": pa.int64()}, True), (b'{"a": 300}', {"a": pa.int8()}, True),
    ],
)  # fmt: skip
def test_a_sample_with_a_row_that_has_no_columns_needs_raw_bodies(other, types, raw):
    for sample in ([other, b'{"a": 1}'], [b'{"a": 1}', other, b'{"a": 1}']):
        assert shaped(sample, types=types, raw=False).raw is raw


@pytest.mark.parametrize("raw", [True, False])
def test_a_row_is_kept_raw_where_that_column_is_asked_for(raw):
    sample = pa.chunked_array([pa.array([b'{"a": 1, "b": 2}'], pa.binary())])
    shape = shape_of(sample, "json", raw=raw)
    bodies = pa.array([b'{"a": 1, "b": 2}', b'{"a": 1, "c": 2}'], pa.binary())
    assert shape.raw is raw
    for names in (None, ["a"], ["a", "b"], ["body"], ["a", "body"], []):
        decoded = shape.decode(bodies, names)
        columns = ["a", "b", *(["body"] if raw else [])]
        assert sorted(decoded.columns) == [name for name in columns if names is None or name in names]
        if "body" in decoded.columns:
            assert decoded.columns["body"].to_pylist() == [None, b'{"a": 1, "c": 2}']
            assert decoded.unfit == 1
    assert shape.decode(bodies).wider.raw is not raw
