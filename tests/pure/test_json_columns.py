"""JSON to columns: the fast path and the plain one give the same, whatever comes."""

import itertools
import json
import random
import time

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.core.tables.json import columns as json_columns
from kit.core.tables.json import reading as json_reading
from kit.core.tables.json.columns import ObjectColumns, TooManyKeys
from kit.core.tables.json.reading import Lines
from kit.core.tables.json.values import type_of, widen

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=5,
)
rows = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c", "é", ""]), values, max_size=4), max_size=40)


def lines_of(objects: list[dict]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n" for row in objects)


def table_of(objects: list[dict], *, fast: bool, repeat: int = 1) -> pa.Table:
    collected = ObjectColumns(fast=fast)
    for _ in range(repeat):
        collected.add_lines(lines_of(objects), len(objects))
    assert collected.rows == len(objects) * repeat
    assert not collected.bad
    return collected.table()


def plain(value: object, column: pa.DataType) -> object:
    """A value as a column of that type must show it."""
    if value is None or pa.types.is_null(column):
        return None
    if pa.types.is_string(column):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if pa.types.is_list(column):
        return [plain(item, column.value_type) for item in value]
    if pa.types.is_struct(column):
        return {field.name: plain(value.get(field.name), field.type) for field in column}
    return float(value) if pa.types.is_floating(column) else value


@settings(max_examples=300, deadline=None)
@given(rows)
def test_both_paths_give_equal_tables(objects):
    assert table_of(objects, fast=True).equals(table_of(objects, fast=False))


@settings(max_examples=200, deadline=None)
@given(rows)
def test_nothing_is_lost(objects):
    table = table_of(objects, fast=True)
    names = {name for row in objects for name in row}
    assert set(table.column_names) == names
    for name in names:
        column = table.column(name)
        if pa.types.is_nested(column.type):
            continue  # inner values widen with their neighbours; held to the plain path above
        shown = [plain(row.get(name), column.type) for row in objects]
        assert [float(v) if isinstance(v, float) else v for v in column.to_pylist()] == shown


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=30))
def test_garbage_is_told_and_never_raises(lines):
    lines = [line.replace(b"\n", b"") for line in lines]
    collected = ObjectColumns()
    collected.add_lines(b"".join(line + b"\n" for line in lines), len(lines))
    assert collected.rows == len(lines)
    for number, line in enumerate(lines):
        try:
            good = isinstance(json.loads(line), dict)
        except ValueError:
            good = False
        assert (number in collected.bad) != good


def test_one_row_that_does_not_fit_leaves_the_others_fast(monkeypatch):
    objects = [{"id": n, "name": f"n{n}"} for n in range(20_000)]
    objects[10_000] = {"id": "odd", "new": 1}
    slow_rows = []
    original = json_columns.parsed_object
    monkeypatch.setattr(json_columns, "parsed_object", lambda line: (slow_rows.append(1), original(line))[1])
    table = table_of(objects, fast=True)
    assert 0 < sum(slow_rows) <= 600
    assert table.column("id").to_pylist()[9_999:10_002] == ["9999", "odd", "10001"]
    assert table.column("new").null_count == 19_999


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (pa.int64(), pa.float64(), "double"),
        (pa.int64(), pa.uint64(), "uint64"),
        (pa.int64(), pa.bool_(), "string"),
        (pa.null(), pa.bool_(), "bool"),
        (pa.list_(pa.int64()), pa.list_(pa.float64()), "list<item: double>"),
        (pa.struct([("a", pa.int64())]), pa.struct([("b", pa.string())]), "struct<a: int64, b: string>"),
        (pa.struct([("a", pa.int64())]), pa.list_(pa.int64()), "string"),
    ],
)
def test_widening_is_as_stated_and_does_not_depend_on_order(a, b, expected):
    assert str(widen(a, b)) == expected
    assert str(widen(b, a)).count(",") == expected.count(",")


def test_what_looks_like_a_time_stays_text():
    table = table_of([{"t": "2026-01-01"}, {"t": "2026-01-01 10:00:00"}], fast=True)
    assert table.column("t").type == pa.string()


def test_large_integers_keep_every_digit():
    big = [2**63 - 1, 2**64 - 1, 2**53 + 1]
    table = table_of([{"n": n} for n in big], fast=True)
    assert table.column("n").type == pa.uint64()
    assert table.column("n").to_pylist() == big
    assert table_of([{"n": 2**53 + 1}, {"n": 0.5}], fast=True).column("n").to_pylist() == ["9007199254740993", "0.5"]


@pytest.mark.parametrize("depth", [10, 300, 200_000])
def test_depth_is_bounded(depth):
    line = b'{"a":' + b"[" * depth + b"]" * depth + b"}\n"
    collected = ObjectColumns()
    collected.add_lines(line, 1)
    assert collected.rows == 1
    if collected.bad:
        assert depth == 200_000
    else:
        assert str(collected.types["a"]).count("list") <= 5


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("depth", [4, 5, 9])
def test_a_type_of_the_callers_may_be_deeper_than_that(depth, fast):
    kind, value = pa.int64(), 1
    for level in range(depth):
        kind, value = (pa.list_(kind), [value]) if level % 2 else (pa.struct([("x", kind)]), {"x": value})
    collected = ObjectColumns(fast=fast, given={"a": kind})
    collected.add_lines(lines_of([{"a": value}, {"a": None}, {"a": [value]}]), 3)
    assert collected.bad == [2]
    assert collected.table().column("a").to_pylist() == [value, None, None]


def test_thousands_of_keys_are_refused_early():
    collected = ObjectColumns()
    objects = [{f"k{n}": 1} for n in range(5000)]
    with pytest.raises(TooManyKeys):
        collected.add_lines(lines_of(objects), len(objects))


def test_sparse_columns_do_not_blow_up():
    wide = [{f"k{n}": 1 for n in range(500)}]
    collected = ObjectColumns()
    collected.add_lines(lines_of(wide), 1)
    with pytest.raises(TooManyKeys, match="nearly all empty"):
        collected.add_lines(b"{}\n" * 2_000_000, 2_000_000)


def test_types_of_single_values():
    assert type_of(True) == pa.bool_()
    assert type_of({}) == pa.string()
    assert type_of([[[[[1]]]]]) == pa.list_(pa.list_(pa.list_(pa.list_(pa.string()))))


def one_key_each(n):
    return b'{"a":[' + b",".join(b'{"k%d":1}' % i for i in range(n)) + b"]}\n"


def few_keys_many_items(n):
    return b'{"a":[' + b",".join(b'{"k%d":1}' % (i % 512) for i in range(n)) + b"]}\n"


def wide_then_empty(n):
    return b'{"a":[' + b",".join(b'{"k%d":1}' % i for i in range(500)) + b",{}" * (4 * n) + b"]}\n"


def later_keys(n):
    return b"".join(b'{"a":{"k%d":%d}}\n' % (i, i) for i in range(n))


def objects_in_objects(n):
    inner = b",".join(b'"j%d":1' % i for i in range(100))
    return b'{"a":{' + b",".join(b'"k%d":{%s}' % (i, inner) for i in range(n // 80)) + b"}}\n"


@pytest.mark.parametrize("shape", [one_key_each, few_keys_many_items, wide_then_empty, later_keys, objects_in_objects])
def test_time_is_in_proportion_to_the_bytes(shape):
    def seconds(lines):
        best = 1e9
        for _ in range(3):
            before = time.process_time()
            collected = ObjectColumns()
            collected.add_lines(lines, lines.count(b"\n"))
            collected.table().validate(full=True)
            best = min(best, time.process_time() - before)
        return best

    small, large = shape(8_000), shape(32_000)
    took = seconds(large)
    assert took < 3 * (len(large) / len(small)) * seconds(small) + 0.05
    assert took < 0.2 + 5e-6 * len(large)


def test_a_column_that_would_be_far_larger_than_its_text_stays_text_and_says_so():
    collected = ObjectColumns()
    line = wide_then_empty(100_000)
    collected.add_lines(b'{"b":{"x":1}}\n' + line, 2)
    table = collected.table()
    assert collected.folded == ["a"]
    assert json.loads(table.column("a")[1].as_py()) == json.loads(line)["a"]
    assert table.column("b").to_pylist() == [{"x": 1}, None]


@settings(max_examples=200, deadline=None)
@given(rows, st.randoms(use_true_random=False), st.lists(st.integers(0, 40), max_size=4))
def test_types_do_not_depend_on_order_or_batches(objects, chance, cuts):
    whole = table_of(objects, fast=True)
    shuffled = list(objects)
    chance.shuffle(shuffled)
    collected = ObjectColumns()
    edges = sorted({0, len(shuffled), *(cut for cut in cuts if cut < len(shuffled))})
    for a, b in itertools.pairwise(edges):
        collected.add_lines(lines_of(shuffled[a:b]), b - a)

    def kinds(fields):
        """The types by name: the keys of objects stand in the order in which they were first seen."""
        return {field.name: kind(field.type) for field in fields}

    def kind(one):
        if pa.types.is_list(one):
            return [kind(one.value_type)]
        return kinds(one) if pa.types.is_struct(one) else str(one)

    assert kinds(collected.table().schema) == kinds(whole.schema)


def test_a_key_that_stands_twice_and_a_number_beyond_float64_are_not_guessed():
    collected = ObjectColumns()
    collected.add_lines(b'{"a":1}\n{"a":1,"a":2}\n{"a":{"x":1,"x":2}}\n', 3)
    assert collected.bad == [1, 2] and collected.table().column("a").to_pylist() == [1, None, None]
    huge = ObjectColumns()
    huge.add_lines(b'{"a":1.5}\n{"a":1e400}\n', 2)
    assert huge.table().column("a").to_pylist() == ["1.5", "1e400"]


EXCEPTIONS = {
    "float": b'{"n":1.5,"city":"a","total":2.5}',
    "text": b'{"n":"x","city":"a","total":2.5}',
    "text for a float": b'{"n":1,"city":"a","total":"none"}',
    "truth": b'{"n":true,"city":"a","total":2.5}',
    "huge": b'{"n":118059162071741130342401,"city":"a","total":2.5}',
    "rounded": b'{"n":9007199254740993,"city":"a","total":1e400}',
    "object": b'{"n":{"a":[1]},"city":"a","total":2.5}',
    "list": b'{"n":1,"city":["a",2],"total":null}',
    "late key": b'{"n":1,"city":"a","total":2.5,"late":7}',
    "other keys": b'{"other":"x","n":"y"}',
    "twice": b'{"n":1,"n":2,"city":"a","total":2.5}',
    "two objects": b'{"n":1} {"n":2}',
    "broken": b'{"n": oops}',
    "cut": b'{"n":1,"city":"a',
    "no UTF-8": b'{"n":1,"city":"\xff","total":2.5}',
    "lone surrogate": b'{"n":1,"city":"\\ud800","total":2.5}',
    "null": b"{}",
    "whole float": b'{"n":1,"city":"a","total":3}',
    "small and large": b'{"n":1,"city":"a","total":1.5e-9}',
}
TOTALS = (b"%d.5", b"%d.0", b"%d", b"%d.25e3", b"%de20", b"0.0000%d1", b"null")


def lines_with(kinds, chance, count, every):
    lines = []
    for n in range(count):
        total = chance.choice(TOTALS) if chance.random() < 0.02 else TOTALS[0]
        lines.append(b'{"n":%d,"city":"city %d","total":%b}' % (n, n % 7, total % n if b"%" in total else total))
    for n in range(chance.randrange(every), count, every) if kinds else ():
        lines[n] = EXCEPTIONS[chance.choice(kinds)]
    return lines


def both(lines, batches, given=None):
    found = []
    for fast in (True, False):
        collected = ObjectColumns(fast=fast, given=given)
        for start in range(0, len(lines), batches):
            some = lines[start : start + batches]
            text = b"".join(line + b"\n" for line in some)
            collected.add_lines(text, len(some), lambda text=text: pa.py_buffer(text))
        found.append((collected.table(), sorted(collected.bad)))
    return found


@pytest.mark.parametrize("kind", EXCEPTIONS)
@pytest.mark.parametrize("every", [40, 700])
def test_rows_that_do_not_fit_here_and_there_give_the_same_on_both_paths(kind, every):
    lines = lines_with([kind], random.Random(f"{kind} {every}"), 6000, every)
    (ours, bad), (plain_table, plain_bad) = both(lines, 2500)
    assert bad == plain_bad
    assert ours.schema.equals(plain_table.schema) and ours.equals(plain_table)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.sampled_from([*EXCEPTIONS]), min_size=1, max_size=4))
def test_mixtures_of_rows_that_do_not_fit(seed, kinds):
    chance = random.Random(seed)
    lines = lines_with(kinds, chance, 3000, chance.choice([90, 300, 1500]))
    given_types = chance.choice([None, {"n": pa.int64()}, {"total": pa.float64()}])
    (ours, bad), (plain_table, plain_bad) = both(lines, chance.choice([700, 3000]), given_types)
    assert bad == plain_bad
    assert ours.schema.equals(plain_table.schema) and ours.equals(plain_table)


@pytest.mark.parametrize("kind", ["text", "text for a float", "huge", "object", "broken", "no UTF-8"])
def test_few_rows_that_do_not_fit_are_looked_at_alone(monkeypatch, kind):
    lines = lines_with([kind], random.Random(1), 20_000, 1000)
    looked = []
    original = json_columns.parsed_object
    monkeypatch.setattr(json_columns, "parsed_object", lambda line: (looked.append(1), original(line))[1])
    collected = ObjectColumns()
    for start in range(0, 20_000, 5000):
        collected.add_lines(b"".join(line + b"\n" for line in lines[start : start + 5000]), 5000)
    table = collected.table()
    assert table.num_rows == 20_000
    assert sum(looked) < 1200  # the sample, the exceptions, and numbers that may have been written in several ways


@pytest.mark.parametrize("window", [1024, 64])
def test_so_many_lines_are_set_apart_and_no_more(monkeypatch, window):
    """Each costs reading its window again; where they are many, another way is quicker."""
    monkeypatch.setattr(json_reading, "_WINDOW", window)
    lines = [b'{"n":%d}' % n for n in range(500)]
    for number in range(100, 108):
        lines[number] = b'{"n":"x"}'
    numbers, table = json_reading.read_most(Lines(pa.py_buffer(b"\n".join(lines))), {"n": pa.int64()})
    assert numbers == list(range(100, 108)) and table["n"].null_count == 8 and table.num_rows == 500
    lines[300] = b'{"n":"x"}'
    assert json_reading.read_most(Lines(pa.py_buffer(b"\n".join(lines))), {"n": pa.int64()}) is None


def test_two_objects_in_one_line_leave_the_other_lines_fast(monkeypatch):
    """Arrow takes them for two rows, and does not tell where: the lines are cut in halves around them."""
    lines = lines_with([], random.Random(5), 20_000, 20_001)
    lines[7000] = EXCEPTIONS["two objects"]
    looked = []
    original = json_columns.parsed_object
    monkeypatch.setattr(json_columns, "parsed_object", lambda line: (looked.append(1), original(line))[1])
    collected = ObjectColumns()
    collected.add_lines(b"".join(line + b"\n" for line in lines), len(lines))
    assert sum(looked) < 1200
    assert collected.bad == [7000]
    numbers = collected.table().column("n").to_pylist()
    assert numbers == [None if n == 7000 else n for n in range(20_000)]


@pytest.mark.parametrize("last", ["text", "broken", "other keys"])
def test_two_objects_in_one_line_move_the_row_that_arrow_tells(last):
    """Arrow counts objects, so it tells a row behind the last line."""
    lines = lines_with([], random.Random(6), 400, 401)
    lines[280], lines[399] = EXCEPTIONS["two objects"], EXCEPTIONS[last]
    (ours, bad), (plain_table, plain_bad) = both(lines, 400)
    assert bad == plain_bad and ours.equals(plain_table)


@pytest.mark.parametrize(("kind", "searched"), [("text", 1), ("text for a float", 1), ("truth", 1), ("huge", 4)])
def test_rows_like_those_that_did_not_fit_before_are_found_by_their_text(monkeypatch, kind, searched):
    lines = lines_with([kind], random.Random(2), 20_000, 1000)
    searches = []
    original = json_columns.read_most
    monkeypatch.setattr(json_columns, "read_most", lambda *given: (searches.append(1), original(*given))[1])
    (ours, _), (plain_table, _) = both(lines, 5000)
    assert ours.equals(plain_table)
    assert sum(searches) == searched  # a number with too many digits begins like the others


@pytest.mark.parametrize(("keys", "kept"), [(1, 1), (8, 8), (9, 0)])
def test_few_keys_are_looked_for_however_many_do_not_fit(keys, kept):
    """A row that is all texts is known by one of them; rows that differ in many keys are left to Arrow."""
    names = [f"k{n}" for n in range(20)]
    rows = [dict.fromkeys(names, n) for n in range(1000)]
    for n in range(keys):
        rows[500 + n] = {**rows[500 + n], names[n]: "x", names[-1]: "y"}
    collected = ObjectColumns()
    collected.add_lines(lines_of(rows), len(rows))
    assert len(collected._suspects) == kept
    assert collected.table().equals(table_of(rows, fast=False))


@pytest.mark.parametrize("inside", [b'{"n":"x"}', b'"\\"n\\": x"', b'[{"n" : [1]}]'])
def test_a_key_that_also_stands_elsewhere_misleads_nobody(inside):
    lines = [line[:-1] + b',"more":' + inside + b"}" for line in lines_with([], random.Random(3), 9000, 9001)]
    for n in (500, 4000, 7000):
        lines[n] = b'{"n":"text","city":"a","total":2.5,"more":null}'
    (ours, _), (plain_table, _) = both(lines, 3000)
    assert ours.equals(plain_table)


def test_windows_grow_and_shrink_around_rows_that_do_not_fit():
    lines = lines_with(["broken"], random.Random(4), 40_000, 9000)
    lines[20_000:20_010] = [EXCEPTIONS["cut"]] * 10
    lines[30_000] = b'{"n":' + b"9" * 5_000_000 + b"}"
    (ours, bad), (plain_table, plain_bad) = both(lines, 40_000)
    assert bad == plain_bad and ours.equals(plain_table)


@settings(max_examples=1000, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False) | st.floats(-1e11, 1e11) | st.floats(-1e-3, 1e-3))
def test_numbers_that_arrow_writes_as_python_does(value):
    column = json_columns._texts_of_floats(pa.array([value, *[0.5] * 20]), "a", lambda: pa.py_buffer(b'{"a":1}\n' * 21))
    assert column is not None
    looked_up = value == int(value) or not 1e-4 <= abs(value) < 1e10
    assert column[0].as_py() == ("1" if looked_up else json.dumps(value))


def test_what_is_expected_next_is_not_text_because_one_row_of_many_has_one():
    collected = ObjectColumns()
    rows = [{"a": n, "b": n} for n in range(1000)]
    collected.add_rows(rows)
    assert [str(kind) for kind in collected.expected.values()] == ["int64", "int64"]
    rows[500] = {"a": 0.5, "b": "text"}
    collected.add_lines("\n".join(map(json.dumps, rows)).encode(), 1000)
    assert [str(kind) for kind in collected.expected.values()] == ["double", "int64"]
    assert [str(kind) for kind in collected.types.values()] == ["double", "string"]


def test_lines_of_more_than_one_block_are_whole_whatever_comes_behind_them():
    """Arrow gives blocks of some megabytes as pieces of a column."""
    rows = [{"n": n, "x": n + 0.5, "pad": "p" * 2000} for n in range(3000)]
    collected = ObjectColumns()
    collected.add_lines("\n".join(map(json.dumps, rows)).encode(), 3000)
    collected.add_rows([{"n": 0.5, "x": "text"}])
    table = collected.table()
    assert table["n"].to_pylist() == [*map(float, range(3000)), 0.5]
    assert table["x"].to_pylist() == [*(f"{n}.5" for n in range(3000)), "text"]


@pytest.mark.parametrize("nested", [False, True])
def test_the_zero_of_an_integer_has_no_sign_among_floats(nested):
    bodies = ["-0", "0.0", "-0.0", "1.5"]
    lines = "".join(f'{{"a": {f"[{body}]" if nested else body}}}\n' for body in bodies).encode() * 100
    collected = ObjectColumns()
    collected.add_lines(lines, 400)
    values = collected.table().column("a").to_pylist()[:4]
    assert str([value[0] for value in values] if nested else values) == "[0.0, 0.0, -0.0, 1.5]"


def test_lists_of_objects_are_counted_before_they_are_read():
    """Each item takes a place for each key: 300 keys and a million items without any are 300 million places."""
    wide = {"a": pa.list_(pa.struct([(f"k{n}", pa.int64()) for n in range(300)]))}
    many = pa.py_buffer(b'{"a":[' + b"{}," * 10**6 + b"{}]}")
    assert json_columns._inflates(many, wide)
    assert not json_columns._inflates(pa.py_buffer(b'{"a":"' + b"x" * 3 * 10**6 + b'"}'), wide)
    assert not json_columns._inflates(many, {"a": wide["a"].value_type})
    assert not json_columns._inflates(many, {"a": pa.list_(pa.int64())})


@pytest.mark.parametrize("line", [b'{"a":{"k17\xc5":17}}', b'{"a":{"k17":1,"k17":2}}', b'{"a":{"\xc5":{}},"b":1}'])
@pytest.mark.parametrize("first", [0, 1, 3])
def test_a_line_that_is_no_object_is_a_row_of_nulls_when_its_columns_are_read_again(line, first):
    """Read for some keys alone, as its struct has more of them now, it would look like an object."""
    lines = [b'{"a":{"k%d":%d}}' % (n, n) for n in (63, 64, 65)]
    lines.insert(first, line)
    tables = []
    for fast in (True, False):
        collected = ObjectColumns(fast=fast)
        for part in (lines[:2], lines[2:]):
            collected.add_lines(b"\n".join(part) + b"\n", len(part))
        tables.append(collected.table())
        assert collected.bad == [first]
        assert tables[-1].slice(first, 1).to_pylist() == [dict.fromkeys(tables[-1].column_names)]
    assert tables[0].equals(tables[1])
