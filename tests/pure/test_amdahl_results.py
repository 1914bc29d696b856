"""Results of queries as columns: any rows, cut anywhere, of the types that the server states."""

import json
import time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.amdahl import AmdahlError
from kit.amdahl.wire import results
from kit.core.http.operations import Response
from kit.core.tables.frames import to_frame


def answer(payload):
    return Response(200, {}, payload if isinstance(payload, bytes) else json.dumps(payload).encode())


cells = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(max_size=10)
tricky = st.sampled_from(
    ['},{"a":', '}, {"a": 1', "]}", '],"rowCount":1}', "]", '"rows":[', "\\", '"', "\n", "\u2028", "{}"]
)
flat_rows = st.lists(st.fixed_dictionaries({"a": cells | tricky, "b": cells | tricky}), max_size=12)
result_rows = st.lists(
    st.fixed_dictionaries(
        {"a": cells | tricky, "b": cells | tricky | st.lists(st.fixed_dictionaries({"a": cells}), max_size=3)}
    ),
    max_size=12,
)


@settings(max_examples=400, deadline=None)
@given(
    result_rows,
    st.sampled_from([(",", ":"), (", ", ": ")]),
    st.booleans(),
    st.sampled_from(
        [{}, {"columns": [{"name": "a", "type": ""}, {"name": "b", "type": ""}]}, {"notes": ["]", [1], {"rows": [1]}]}]
    ),
    st.booleans(),
)
def test_rows_are_found_and_read_like_a_full_reading(rows, separators, wrapped, extra, extra_first):
    payload = {"rows": rows, "rowCount": len(rows), "truncated": bool(rows)}
    payload = {**extra, **payload} if extra_first else {**payload, **extra}
    whole = {"data": payload} if wrapped else payload
    body = json.dumps(whole, separators=separators).encode()
    result = results.result_of(Response(200, {}, body))
    assert (result.row_count, result.truncated) == (len(rows), bool(rows))
    plain = _plain(rows)
    assert result.table.select(plain.column_names).to_pylist() == plain.to_pylist()


def _plain(rows):
    from kit.core.tables.json.columns import ObjectColumns

    collected = ObjectColumns(fast=False)
    collected.add_rows(rows)
    return collected.table()


_KINDS = {
    "STRING": st.text(max_size=3),
    "TIMESTAMP": st.sampled_from(["2026-01-02T03:04:05Z", "1969-12-31T23:59:59.999999Z", 1.5, "soon"]),
    "NUMERIC": st.sampled_from(["1.5", "12345678901234567.5", 3]),
    "INT64": st.sampled_from([0, -1, 2**53 + 1, 2**63 - 1, 2**64, "7"]),
    "FLOAT64": st.sampled_from([0, -0.0, 0.5, 1e300, 2**53 + 1, -(2**70), "NaN"]),
    "BOOL": st.booleans(),
    "BYTES": st.sampled_from(["AQI=", "no bytes"]),
    "JSON": st.sampled_from([{"a": 1}, [1], "x", 1]),
}


@st.composite
def stated(draw):
    """Columns with their types, and rows of them; some values are of other types, and some keys are others."""
    kinds = draw(st.lists(st.sampled_from([*_KINDS]), min_size=1, max_size=4))
    odd = draw(st.booleans())
    rows = []
    for _ in range(draw(st.integers(0, 40))):
        row = {f"c{n}": draw(st.none() | _KINDS[kind]) for n, kind in enumerate(kinds)}
        if odd and draw(st.integers(0, 9)) == 0:
            row[draw(st.sampled_from(["c0", "more"]))] = draw(cells)
        rows.append(row)
    if odd and rows and draw(st.booleans()):
        del rows[draw(st.integers(0, len(rows) - 1))]["c0"]
    return rows, [{"name": f"c{n}", "type": kind} for n, kind in enumerate(kinds)]


@settings(max_examples=400, deadline=None)
@given(stated(), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_rows_read_as_what_the_server_states_are_what_a_full_reading_gives(given, separators):
    rows, columns = given
    body = json.dumps({"rows": rows, "columns": columns}, separators=separators).encode()
    result = results.result_of(Response(200, {}, body))
    notes = []
    plain = results.typed(_plain(rows), len(rows), {one["name"]: one["type"] for one in columns}, notes, {})
    assert result.table.schema == plain.schema
    assert repr(result.table.to_pylist()) == repr(plain.to_pylist())  # 0.0 is not -0.0
    assert result.notes == notes


@settings(max_examples=300, deadline=None)
@given(flat_rows, st.sampled_from([(",", ":"), (", ", ": ")]), st.integers(1, 40), st.integers(1, 200))
def test_pieces_and_blocks_of_any_size_give_the_same(rows, separators, size, block):
    # In a column of several kinds a number is text; next to floats 0 may have become 0.0 before that.
    payload = {"data": {"rows": rows * 3, "rowCount": len(rows) * 3, "columns": ["a", "b"]}}
    body = json.dumps(payload, separators=separators).encode()
    before, results._BLOCK = results._BLOCK, block
    reader = results.ResultReader()
    try:
        reader.feed(b"what came of an earlier try")
        reader.start()
        for start in range(0, len(body), size):
            reader.feed(body[start : start + size])
        result = reader.finish(Response(200, {}, b""))
    finally:
        results._BLOCK = before
        reader.close()
    assert result.row_count == len(rows) * 3
    plain = _plain(rows * 3)
    for name in plain.column_names:
        pairs = zip(result.table.column(name).to_pylist(), plain.column(name).to_pylist(), strict=True)
        assert all(a == b or float(a) == float(b) for a, b in pairs)


@settings(max_examples=100, deadline=None)
@given(result_rows.filter(len), st.integers(0, 10_000))
def test_an_answer_that_ends_early_is_never_taken_for_whole(rows, cut):
    body = json.dumps({"rows": rows * 3, "rowCount": 1}, separators=(",", ":")).encode()
    before, results._BLOCK = results._BLOCK, 20
    try:
        with pytest.raises(AmdahlError):
            results.result_of(Response(200, {}, body[: cut % len(body)] or b"{"))
    finally:
        results._BLOCK = before


def test_many_blocks(monkeypatch):
    monkeypatch.setattr(results, "_BLOCK", 1000)
    rows = [{"id": n, "text": 'a},{"id":' if n % 7 == 0 else f"row {n}"} for n in range(2000)]
    for separators in ((",", ":"), (", ", ": ")):
        body = json.dumps({"rows": rows, "rowCount": 2000, "truncated": False}, separators=separators).encode()
        assert results.result_of(Response(200, {}, body)).table.to_pylist() == rows


def test_rows_are_read_while_they_come(monkeypatch):
    """Otherwise an answer is in memory as a whole, and is read only when its last byte is there."""
    monkeypatch.setattr(results, "_BLOCK", 1000)
    body = json.dumps({"rows": [{"id": n} for n in range(5000)], "rowCount": 5000, "truncated": False}).encode()
    reader = results.ResultReader()
    try:
        for at in range(0, len(body), 100):
            reader.feed(body[at : at + 100])
            assert len(reader._buffer) < 2100
        assert reader.finish(Response(200, {}, b"")).table["id"].to_pylist() == list(range(5000))
    finally:
        reader.close()


def test_declared_types_decide_and_nothing_is_guessed():
    payload = {
        "rows": [
            {
                "n": "9007199254740993",
                "x": "1.5",
                "t": "2026-01-02T03:04:05.678Z",
                "d": "2026-01-02",
                "s": "007",
                "b": "AQI=",
                "u": "5",
            }
        ],
        "rowCount": 1,
        "truncated": False,
        "schema": {
            "fields": [
                {"name": "n", "type": "INT64"},
                {"name": "x", "type": "NUMERIC"},
                {"name": "t", "type": "TIMESTAMP"},
                {"name": "d", "type": "DATE"},
                {"name": "s", "type": "STRING"},
                {"name": "b", "type": "BYTES"},
            ]
        },
    }
    frame = to_frame(results.result_of(answer(payload)).table)
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "n": "int64",
        "x": "float64",
        "t": "datetime64[ms, UTC]",
        "d": "datetime64[ms]",
        "s": "str",
        "b": "binary[pyarrow]",
        "u": "str",
    }
    assert frame["n"].iloc[0] == 9007199254740993
    assert frame["s"].iloc[0] == "007"
    assert frame["b"].iloc[0] == b"\x01\x02"


def test_many_columns_take_time_in_proportion_to_their_number():
    def seconds(count):
        payload = {"rows": [{f"c{n}": n for n in range(count)}], "rowCount": 1}
        taken = []
        for _ in range(3):
            began = time.perf_counter()
            table = results.result_of(answer(payload)).table
            taken.append(time.perf_counter() - began)
        assert table.num_columns == count
        return min(taken)

    seconds(100)
    assert seconds(8000) < 8 * 3 * seconds(1000) + 0.1


def test_decimals_with_more_digits_than_a_float_holds_are_exact():
    def read(kind, values):
        payload = {"rows": [{"x": value} for value in values], "columns": [{"name": "x", "type": kind}]}
        return to_frame(results.result_of(answer({**payload, "rowCount": len(values)})).table)["x"]

    assert read("NUMERIC", ["0.000123456789012345", "-12.50", None]).dtype == "float64"
    exact = read("NUMERIC", ["99999999999999.9999", "1.5", None])
    assert exact.tolist()[:2] == [Decimal("99999999999999.9999"), Decimal("1.5")]
    large = "12345678901234567890123456789012345678.00000000000000000000000000000000000001"
    assert str(read("BIGNUMERIC", [large])[0]) == large


def test_times_keep_their_digits_also_before_1970():
    def read(kind, values):
        payload = {"rows": [{"t": value} for value in values], "columns": [{"name": "t", "type": kind}]}
        return to_frame(results.result_of(answer({**payload, "rowCount": len(values)})).table)["t"]

    texts = ["1969-12-31T23:59:59.999999Z", "2026-01-02T03:04:05Z", None]
    found = read("TIMESTAMP", texts)
    assert str(found.dtype) == "datetime64[us, UTC]" and found.dropna().astype("int64").tolist() == [
        -1,
        1767323045 * 10**6,
    ]
    assert str(read("TIMESTAMP", texts[1:]).dtype) == "datetime64[ms, UTC]"
    assert read("TIMESTAMP", [-0.000001, 1767323045.5]).astype("int64").tolist() == [-1, 1767323045500000]
    assert read("TIMESTAMP", [-0.001]).astype("int64").tolist() == [-1]
    plain = read("DATETIME", ["1969-12-31T23:59:59.999999"])
    assert str(plain.dtype) == "datetime64[us]" and plain.astype("int64").tolist() == [-1]


def test_a_value_that_is_not_of_its_declared_type_is_kept_and_told():
    payload = {"rows": [{"n": "x"}], "rowCount": 1, "columns": [{"name": "n", "type": "INT64"}]}
    result = results.result_of(answer(payload))
    assert result.table.to_pylist() == [{"n": "x"}]
    assert "'n' is not all INT64" in result.notes[0]


@pytest.mark.parametrize(
    "columns", [["a", "b"], [{"name": "a", "type": "INT64"}, {"name": "b", "type": "STRING"}]], ids=["names", "types"]
)
def test_an_empty_result_has_its_columns(columns):
    frame = to_frame(
        results.result_of(answer({"rows": [], "rowCount": 0, "truncated": False, "columns": columns})).table
    )
    assert list(frame.columns) == ["a", "b"]
    assert len(frame) == 0
    assert len(to_frame(results.result_of(answer({"rows": [], "rowCount": 0})).table)) == 0


@pytest.mark.parametrize(
    "body",
    [
        {"error": "syntax error at or near FROM"},
        {"rows": None, "error": "quota"},
        {"data": {"success": False, "error": {"code": "internal", "message": "m"}}},
        {"rows": {"a": 1}},
        {"rows": [1, 2]},
        b'{"rows":[{"a":1},{"a"',
        b"<html>",
        [],
    ],
)
def test_what_is_no_result_is_an_error(body):
    with pytest.raises(AmdahlError):
        results.result_of(answer(body))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_hostile_bytes_give_declared_errors_only(tail):
    for body in (tail, b'{"rows":[' + tail, b'{"rows":[{"a":1},{"a":' + tail + b"]}"):
        try:
            results.result_of(Response(200, {}, body))
        except AmdahlError:
            pass


@pytest.mark.parametrize("told", [None, True, "7", 1.5, []])
def test_a_number_of_rows_that_is_none_is_counted(told):
    rows = [{"a": 1}, {"a": 2}]
    assert results.result_of(answer({"rows": rows, "rowCount": told})).row_count == 2
    assert results.result_of(answer({"rows": rows})).row_count == 2
    assert results.result_of(answer({"rows": rows, "rowCount": 7})).row_count == 7


@pytest.mark.parametrize("rows", [[], [{}, {}], [dict.fromkeys("0123456789")]])
def test_columns_without_values_have_their_declared_types(rows):
    types = {
        "INT64": "int64", "FLOAT": "double", "BOOLEAN": "bool", "STRING": "string", "JSON": "string", "TIME": "string",
        "GEOGRAPHY": "string", "BYTES": "binary", "DATE": "date32[day]", "NUMERIC": "double",
    }  # fmt: skip
    columns = [{"name": str(n), "type": kind} for n, kind in enumerate(types)]
    nameless = [{"type": "INT64"}, {"name": 7, "type": "INT64"}, 5, None]
    table = results.result_of(answer({"rows": rows, "columns": columns + nameless})).table
    assert [str(kind) for kind in table.schema.types] == list(types.values())
    assert table.num_rows == len(rows)
    assert all(column.null_count == len(rows) for column in table.columns)


@pytest.mark.parametrize("mode", ["REPEATED", "repeated"])
def test_lists_and_objects_of_an_empty_result(mode):
    inside = [{"name": "x", "type": "FLOAT64"}, {"name": "t", "type": "TIMESTAMP"}, {"type": "INT64"}, 5]
    deep = {"name": "deep", "type": "INT64"}
    for _ in range(60):
        deep = {"name": "deep", "type": "ARRAY", "items": deep}
    columns = [
        {"name": "a", "type": "ARRAY", "items": {"type": "INT64"}},
        {"name": "b", "type": "INT64", "mode": mode},
        {"name": "c", "type": "RECORD", "fields": inside},
        {"name": "d", "type": "STRUCT", "fields": [{"name": "y", "type": "RECORD", "fields": inside, "mode": mode}]},
        {"name": "e", "type": "STRUCT", "fields": []},
        {"name": "f", "type": "INT64"},
        deep,
    ]
    result = results.result_of(answer({"rows": [], "columns": columns}))
    *types, innermost = result.table.schema.types
    plain = "struct<x: double, t: string>"
    assert [str(kind).replace("element: ", "item: ") for kind in types] == [
        "list<item: int64>", "list<item: int64>", plain, f"struct<y: list<item: {plain}>>", "null", "int64",
    ]  # fmt: skip
    assert str(innermost).count("list<") == 51  # what is deeper is text
    assert result.notes == []
    for told in ({"schema": columns}, {"schema": {"fields": columns}}, {"columns": {"fields": columns}}):
        assert results.result_of(answer({"rows": [], **told})).table.schema.equals(result.table.schema)
    rows = [{"b": [1, 2], "c": {"x": 0.5}}]
    found = results.result_of(answer({"rows": rows, "columns": columns[:3]}))
    assert found.notes == []
    assert found.table.to_pylist() == [{"a": None, "b": [1, 2], "c": {"x": 0.5}}]
