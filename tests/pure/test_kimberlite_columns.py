"""Events and results as Arrow columns: the same as their objects, whatever the bytes."""

from __future__ import annotations

import datetime as dt
import tracemalloc
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.core.tables.frames import to_frame
from kit.kimberlite.client.reading import Page
from kit.kimberlite.client.sql import QueryResult
from kit.kimberlite.errors import KimberliteError, KimberliteInputError, StreamNotFoundError, WireError
from kit.kimberlite.explore.bulk import SCHEMA, batches, part
from kit.kimberlite.types import Timestamp
from kit.kimberlite.wire.blobs import Blobs
from kit.kimberlite.wire.cells import WireCells, scan
from kit.kimberlite.wire.columns import blobs_from_arrow
from kit.kimberlite.wire.protocol.codec import Request, Response, decode, payload_of, peek, requests, responses
from kit.kimberlite.wire.protocol.postcard import Reader
from kit.kimberlite.wire.results import _TYPES, TYPES_MARK, WIRE_TEXT, result_columns
from kit.kimberlite.wire.sqltypes import MOST_DIGITS, Type, declared_of_column, digits_of, type_of

BLOBS = st.lists(st.binary(max_size=300), max_size=100)


def answer(columns: list[str], rows: list[tuple[Any, ...]]) -> bytes:
    return payload_of(Response(1, responses.Query(columns, rows)))


# --- events ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [None, 5, b""])
def test_a_large_frame_is_refused_before_anything_of_it_is_sent(wrong: Any) -> None:
    bodies: list[Any] = [b"%d" % n for n in range(100_000)]
    assert [one for blobs in batches(pd.Series(bodies)) for one in blobs] == bodies
    bodies[90_000] = wrong
    frame = pd.DataFrame({"body": pd.Series(bodies, dtype=object)})
    if wrong == b"":
        assert [one for blobs in batches(frame) for one in blobs] == bodies
        return
    with pytest.raises(KimberliteInputError):
        next(iter(batches(frame)))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 200), st.integers(0, 199), st.integers(0, 199))
def test_events_of_one_size_become_columns(event: bytes, count: int, start: int, stop: int) -> None:
    items = [bytes([n]) + event for n in range(count)]
    page = decode(payload_of(Response(300, responses.ReadEvents(items, None)))).payload.events
    for blobs, wanted in ((page, items), (page[start:stop], items[start:stop]), (page[:1], items[:1])):
        column = blobs.to_arrow()
        column.validate(full=True)
        assert column.type == pa.binary() and column.to_pylist() == wanted
    # Of one size, but two lengths of it are not written alike, or one event is another size.
    raw = page.raw + b"".join((bytes([len(items[0]) & 127 | 128, len(items[0]) >> 7 | 128, 0]), items[0], b"\x01x"))
    for more in (1, 2):
        mixed = Blobs.from_raw(raw[: len(raw) - (2 - more) * 2], count + more)
        assert mixed.to_arrow().to_pylist() == [*items, items[0], b"x"][: count + more]


def test_events_of_one_size_take_no_memory_beside_their_column() -> None:
    page, before = Blobs.from_raw((b"\x64" + bytes(100)) * 50_000, 50_000), pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        column = page.to_arrow()
        taken = tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes() - before
    finally:
        tracemalloc.stop()
    assert column.nbytes == 50_000 * 104 and taken < 1.1 * column.nbytes


@settings(max_examples=150, deadline=None)
@given(BLOBS, st.integers(0, 2**64 - 200))
def test_events_become_columns_and_columns_become_events(items: list[bytes], first: int) -> None:
    page = decode(payload_of(Response(1, responses.ReadEvents(items, None)))).payload.events
    [batch] = part(Page(first, page))
    assert batch.schema == SCHEMA
    assert batch.column("offset").to_pylist() == list(range(first, first + len(items)))
    assert batch.column("body").to_pylist() == items
    batch.validate(full=True)
    back = list(blobs_from_arrow(batch.column("body")))
    assert [one for blobs in back for one in blobs] == items
    for blobs in back:
        assert Blobs.from_raw(blobs.raw, len(blobs)) == list(blobs)
        message = Request(1, 1, requests.AppendEvents(7, blobs, 0))
        assert decode(payload_of(message)) == message


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384])
def test_lengths_of_every_width(size: int) -> None:
    items = [b"x" * size, b"", b"y" * size]
    (blobs,) = blobs_from_arrow(pa.array(items))
    assert blobs.raw == Blobs.of(items).raw and blobs.to_arrow().to_pylist() == items


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "bc", "", "a"]),
        pa.array(["a", "bc", "", "a"], pa.large_string()),
        pa.array([b"a", b"bc", b"", b"a"], pa.large_binary()),
        pa.array(["a", "bc", "", "a"]).dictionary_encode(),
        pa.chunked_array([["a"], [], ["bc", "", "a"]], pa.string()),
        pa.array(["zz", "a", "bc", "", "a", "zz"]).slice(1, 4),
        pa.array([b"a", b"bc", b"", b"a"], pa.binary_view()),
        pa.array(["a", "bc", "", "a"], pa.string_view()),
    ],
    ids=lambda column: str(column.type),
)
def test_columns_that_can_be_appended(column: Any) -> None:
    assert [one for blobs in blobs_from_arrow(column) for one in blobs] == [b"a", b"bc", b"", b"a"]


def test_columns_that_cannot() -> None:
    with pytest.raises(KimberliteInputError, match="1 of the events are missing"):
        list(blobs_from_arrow(pa.array([b"a", None])))
    with pytest.raises(KimberliteInputError, match="not int64"):
        list(blobs_from_arrow(pa.array([1, 2])))
    assert list(blobs_from_arrow(pa.array([], pa.binary()))) == []


def test_batches_keep_to_a_size() -> None:
    sizes = [10, 200, 5, 5, 5, 1000, 1]
    batches = list(blobs_from_arrow(pa.array([b"x" * size for size in sizes]), most=212))
    assert [[len(one) for one in blobs] for blobs in batches] == [[10], [200, 5], [5, 5], [1000], [1]]


# --- results --------------------------------------------------------------------------------------------------------

COLUMN = st.sampled_from(
    [
        st.integers(-(2**63), 2**63 - 1),
        st.text(st.characters(codec="utf-8"), max_size=200),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1).map(Timestamp),
        st.none(),
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_result_in_columns_is_the_result_in_objects(data: Any) -> None:
    kinds = data.draw(st.lists(COLUMN, max_size=5))
    rows = data.draw(st.lists(st.tuples(*[st.none() | kind for kind in kinds]), max_size=40))
    names = [f"c{n}" for n in range(len(kinds))]
    payload = answer(names, rows)
    found = result_columns(payload)
    found.table.validate(full=True)
    assert len(found) == len(rows) and found.table.column_names == names and not found.as_text
    for n, name in enumerate(names):
        column = found.table.column(name)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        expected = [row[n].nanoseconds if isinstance(row[n], Timestamp) else row[n] for row in rows]
        assert column.to_pylist() == expected


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_usual_rows_are_found_all_at_once(data: Any) -> None:
    """What this gives up is read cell by cell, to the same: so ask it itself."""
    kinds = data.draw(st.lists(COLUMN, min_size=1, max_size=5))
    rows = data.draw(st.lists(st.tuples(*[st.none() | kind for kind in kinds]), max_size=40))
    rows += [tuple(sign * 2**n for _ in kinds) for n in range(63) for sign in (1, -1)]
    payload = answer([""] * len(kinds), rows)
    reader = Reader(payload, peek(payload).body)
    _TYPES.read(reader)
    found = scan(reader, len(kinds))
    assert found is not None
    places, count = found
    assert count == len(rows) and reader.at == len(payload)
    for n in range(len(kinds)):
        cells = WireCells(payload, np.frombuffer(payload, np.uint8), places[n])
        expected = [row[n] for row in rows]
        assert cells.booleans().tolist() == [one is True for one in expected]
        assert cells.texts().to_pylist() == [one if isinstance(one, str) else "" for one in expected]
        numbers = [one.nanoseconds if isinstance(one, Timestamp) else one for one in expected]
        assert cells.integers().tolist() == [one if type(one) is int else 0 for one in numbers]


@pytest.mark.parametrize(
    ("declared", "digits"),
    [
        ("DECIMAL(1,1)", (1, 1)), ("DECIMAL(1,2)", None), ("DECIMAL(0,0)", None), ("DECIMAL(0)", None),
        (f"DECIMAL({MOST_DIGITS})", (MOST_DIGITS, 0)), (f"DECIMAL({MOST_DIGITS + 1})", None),
        (f"DECIMAL({MOST_DIGITS + 1},2)", None),
    ],
)  # fmt: skip
def test_how_many_digits_a_decimal_may_have(declared, digits):
    assert digits_of(declared) == digits


@pytest.mark.parametrize("last", [None, False, True])
def test_flags_end_where_the_message_ends(last: bool | None) -> None:
    flags = [None, True, False] * 20 + [last]
    assert result_columns(answer(["a"], [(flag,) for flag in flags])).table.column("a").to_pylist() == flags


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_results_are_results_or_wire_errors(data: Any) -> None:
    rows = [(n, f"n{n}" * (n % 70), n % 2 == 0, Timestamp(n * 10**15), None) for n in range(-4, 4)]
    raw = bytearray(answer(["a", "b", "c", "d", "e"], rows))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(3, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 1))] = data.draw(st.binary(max_size=4))
        if len(raw) < 8:
            return
    try:
        expected = decode(bytes(raw)).payload
    except WireError:
        expected = None
    try:
        found = result_columns(bytes(raw))
    except KimberliteError:
        assert not isinstance(expected, responses.Query)
        return
    found.table.validate(full=True)
    if expected is not None:
        assert len(found) == len(expected.rows)


@pytest.mark.parametrize("width", [0, 1, 2, 127, 128, 200])
def test_results_of_any_width(width: int) -> None:
    rows = [tuple(range(n, n + width)) for n in range(50)]
    found = result_columns(answer([f"c{n}" for n in range(width)], rows))
    assert len(found) == 50
    for n in range(width):
        assert found.table.column(n).to_pylist() == [row[n] for row in rows]


def test_results_larger_than_what_is_followed_at_once() -> None:
    rows = [(n, "x" * (n % 300), n % 3 or None) for n in range(20_000)]
    payload = answer(["a", "b", "c"], rows)
    assert len(payload) > 3 * 512 * 1024
    found = result_columns(payload).table
    assert [found.column(n).to_pylist() for n in range(3)] == [list(column) for column in zip(*rows, strict=True)]
    for size in (len(payload) - 1, len(payload) // 2, 600_000):
        with pytest.raises(WireError):
            result_columns(payload[:size])


def test_a_row_that_is_one_cell_too_long_for_a_window() -> None:
    rows = [("y" * 700_000, 1), ("z", 2)]
    found = result_columns(answer(["a", "b"], rows)).table
    assert found.column("b").to_pylist() == [1, 2]


def test_numbers_written_longer_than_needed() -> None:
    raw = bytes.fromhex("01 01 04 01 01 63 02 01 01 8200 01 01 04")
    assert result_columns(raw).table.column("c").to_pylist() == [1, 2]
    unusual = bytes.fromhex("01 01 04 01 01 63 02 01 8100 8200 01 01 04")
    assert result_columns(unusual).table.column("c").to_pylist() == [1, 2]


def test_errors_are_raised() -> None:
    with pytest.raises(StreamNotFoundError, match="no such") as raised:
        result_columns(payload_of(Response(9, responses.Error(5, "no such"))))
    assert raised.value.request_id == 9
    with pytest.raises(WireError, match="the answer is StreamInfo"):
        result_columns(payload_of(Response(9, responses.StreamInfo(5))))


# --- types ----------------------------------------------------------------------------------------------------------

DECLARED = {
    "id": "BIGINT",
    "rate": "REAL",
    "amount": "DECIMAL(10,2)",
    "name": "TEXT",
    "raw": "BYTES",
    "ok": "BOOLEAN",
    "day": "DATE",
    "hour": "TIME",
    "at": "TIMESTAMP",
    "key": "UUID",
}
ROW = (1, "2.5", "10.25", "x", "AAE=", True, "Date(19737)", "Time(123)", Timestamp(10**18), "0a")
TYPES = [
    pa.int64(),
    pa.float64(),
    pa.decimal128(10, 2),
    pa.string(),
    pa.binary(),
    pa.bool_(),
    pa.date32(),
    pa.time64("ns"),
    pa.timestamp("ns", "UTC"),
    pa.string(),
]


@pytest.mark.parametrize("rows", [[], [ROW], [ROW, (None,) * 10], [(None,) * 10]], ids=["none", "one", "gaps", "nulls"])
def test_declared_types_hold_whatever_the_rows(rows: list[Any]) -> None:
    found = result_columns(answer(list(DECLARED), rows), DECLARED)
    assert found.table.schema.types == TYPES and not found.as_text
    found.table.validate(full=True)


def test_declared_values() -> None:
    found = result_columns(answer(list(DECLARED), [ROW, (None,) * 10]), DECLARED).table
    row = found.drop_columns(["hour", "at"]).to_pylist()[0]
    assert row == {
        "id": 1,
        "rate": 2.5,
        "amount": Decimal("10.25"),
        "name": "x",
        "raw": b"\0\1",
        "ok": True,
        "day": dt.date(2024, 1, 15),
        "key": "0a",
    }
    assert set(found.to_pylist()[1].values()) == {None}


def test_numbers_in_text_stay_text_where_nothing_says_otherwise() -> None:
    found = result_columns(answer(["n"], [("1.5",), ("2",)])).table
    assert found.column("n").to_pylist() == ["1.5", "2"]
    assert to_frame(result_columns(answer(["n"], [])).table).columns.tolist() == ["n"]


@pytest.mark.parametrize("cells", [[0, 1, None], ["false", "true", None], [False, True, None]])
def test_what_stands_for_booleans_in_a_column_of_them(cells: list[Any]) -> None:
    found = result_columns(answer(["ok"], [(cell,) for cell in cells]), {"ok": "BOOLEAN"})
    assert found.table.column("ok").to_pylist() == [False, True, None] and not found.as_text


def test_integers_in_a_column_of_fractions() -> None:
    found = result_columns(answer(["n"], [("1.5",), (2,), (None,)]), {"n": "REAL"})
    assert found.table.column("n").to_pylist() == [1.5, 2.0, None] and not found.as_text


@pytest.mark.parametrize(
    ("declared", "kind"),
    [("DECIMAL(18,4)", pa.decimal128(18, 4)), ("numeric( 20 , 4 )", pa.decimal128(20, 4)), ("DECIMAL", None)],
)
def test_decimals_are_exact(declared: str, kind: pa.DataType | None) -> None:
    texts = ["99999999999999.9999", "-0.0001", "3", "1e2", None]
    found = result_columns(answer(["d"], [(text,) for text in texts] + [(7,)]), {"d": declared})
    assert found.table.schema.types == [kind or pa.decimal128(38, 4)] and not found.as_text
    wanted = [None if text is None else Decimal(text) for text in texts]
    assert found.table.column("d").to_pylist() == [*wanted, Decimal(7)]


@pytest.mark.parametrize("texts", [["12", "-3", None], [None, None]])
def test_decimals_of_no_declared_form_have_the_digits_they_have(texts: list[str | None]) -> None:
    found = result_columns(answer(["d"], [(text,) for text in texts]), {"d": "DECIMAL"})
    assert found.table.schema.types == [pa.decimal128(38, 0)] and not found.as_text
    assert [None if one is None else str(one) for one in found.table.column("d").to_pylist()] == texts


@pytest.mark.parametrize("text", ["1" * 39, "340282366920938463463374607431768211455", "123456789", "1.005", "NaN"])
def test_decimals_that_do_not_fit_stay_texts(text: str) -> None:
    found = result_columns(answer(["d"], [(text,), ("1.5",)]), {"d": "DECIMAL(10,2)"})
    assert found.table.column("d").to_pylist() == [text, "1.5"] and "not all decimal" in found.as_text["d"]


@pytest.mark.parametrize(
    ("declared", "cell"),
    [
        ("REAL", "lots"),
        ("DATE", "soon"),
        ("DATE", "Date(x)"),
        ("TIME", "Date(5)"),
        ("BYTES", "?"),
        ("BOOLEAN", 7),
        ("BOOLEAN", 2),
        ("BOOLEAN", -1),
        ("BOOLEAN", "yes"),
        ("BIGINT", "1.5"),
        ("TIMESTAMP", "soon"),
    ],
)
def test_cells_that_are_not_what_is_declared_stay_what_they_are(declared: str, cell: Any) -> None:
    found = result_columns(answer(["c"], [(cell,), (None,)]), {"c": declared})
    assert found.table.column("c").to_pylist() == [cell, None]
    assert "not all" in found.as_text["c"]


def test_cells_of_several_kinds_become_text() -> None:
    rows = [(1,), ("two",), (True,), (Timestamp(10**18),), (None,)]
    found = result_columns(answer(["c"], rows))
    assert found.table.column("c").to_pylist() == ["1", "two", "true", "2001-09-09T01:46:40.000000000Z", None]
    assert found.as_text == {"c": "its cells are of 4 kinds"}


def test_aggregates_have_the_types_of_their_columns() -> None:
    names = ["COUNT(*)", "COUNT(name)", "SUM(id)", "SUM(amount)", "AVG(id)", "MAX(at)", "MIN(name)", "SUM(x)"]
    found = result_columns(answer(names, []), DECLARED).table.schema.types
    assert found == [
        pa.int64(),
        pa.int64(),
        pa.int64(),
        pa.decimal128(38, 2),
        pa.float64(),
        pa.timestamp("ns", "UTC"),
        pa.string(),
        pa.null(),
    ]


def test_types_told_behind_the_rows() -> None:
    payload = answer(["total", "when"], [("2.5", None)])
    told = bytearray(payload)
    WIRE_TEXT.write(told, TYPES_MARK)
    _TYPES.write(told, ["REAL", "TIMESTAMP"])
    assert decode(bytes(told)) == decode(payload)
    assert result_columns(bytes(told)).table.schema.types == [pa.float64(), pa.timestamp("ns", "UTC")]
    for tail in (b"\xff", b"\x0c" + TYPES_MARK.encode(), bytes([12]) + TYPES_MARK.encode() + b"\x01\x04REAL"):
        assert result_columns(payload + tail).table.schema.types == [pa.string(), pa.null()]


def test_names_that_occur_twice() -> None:
    found = result_columns(answer(["id", "id", "id_2", "id"], [(1, 2, 3, 4)])).table
    assert found.column_names == ["id", "id_2", "id_2_2", "id_3"]


def test_rows_that_were_read_become_a_table() -> None:
    rows = [
        (1, "a", None, True, Timestamp(5), 1),
        (-(2**63), None, None, None, None, "x"),
        (3, "c", None, False, Timestamp(7), None),
    ]
    table = pa.table(QueryResult(["n", "s", "none", "b", "at", "n"], rows))
    assert table.column_names == ["n", "s", "none", "b", "at", "n_2"]
    assert table.schema.types == [
        pa.int64(), pa.string(), pa.null(), pa.bool_(), pa.timestamp("ns", "UTC"), pa.string(),
    ]  # fmt: skip
    found = [column.to_pylist() for column in table.set_column(4, "at", table["at"].cast(pa.int64())).columns]
    assert found == [
        [1, -(2**63), 3],
        ["a", None, "c"],
        [None] * 3,
        [True, None, False],
        [5, None, 7],
        ["1", "x", None],
    ]


def test_frames() -> None:
    frame = to_frame(result_columns(answer(list(DECLARED), [ROW]), DECLARED).table)
    empty = to_frame(result_columns(answer(list(DECLARED), []), DECLARED).table)
    assert frame.dtypes.tolist() == empty.dtypes.tolist()
    assert (
        str(frame.dtypes["at"]) == "datetime64[ns, UTC]" and str(frame.dtypes["amount"]) == "decimal128(10, 2)[pyarrow]"
    )


@pytest.mark.parametrize(
    ("declared", "kind"),
    [("varchar(20)", Type.TEXT), (" double precision", Type.REAL), ("Int", Type.INTEGER), ("", None), ("()", None)],
)
def test_names_of_types(declared: str, kind: Type | None) -> None:
    assert type_of(declared) is kind


def test_names_of_columns() -> None:
    assert declared_of_column("sum( x )", {}) == ""
    assert declared_of_column("SUM(t.x)", {"x": "REAL"}) == "REAL"
    assert declared_of_column("COUNT(DISTINCT x)", {}) == "BIGINT"
    assert declared_of_column("COUNTRY", {"COUNTRY": "TEXT"}) == "TEXT"
