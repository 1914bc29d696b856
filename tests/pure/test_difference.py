"""`kit.diff`: what differs between two records, or two reads."""

import json
import random
from decimal import Decimal

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest

import kit
from kit.core.errors import InputError


def told(found):
    return [tuple(row) for row in found.df.astype(object).where(found.df.notna(), None).values.tolist()]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, [("$.a", "changed", "1", "true")]),
        ({"a": 1}, {"a": "1"}, [("$.a", "changed", "1", '"1"')]),
        ({"a": 1, "b": 2}, {"b": 2, "c": None}, [("$.a", "removed", "1", None), ("$.c", "added", None, "null")]),
        ({"x y": {"z": [1]}}, {"x y": {"z": [2]}}, [('$["x y"].z[0]', "changed", "1", "2")]),
        ([1, 2, 3, 4], [0, 1, 2, 4], [("$[0]", "added", None, "0"), ("$[2]", "removed", "3", None)]),
        ([{"a": 1}, {"b": 1}], [{"a": 2}, {"b": 1}], [("$[0].a", "changed", "1", "2")]),
        (b'{"a": 1}', '{"a": 2}', [("$.a", "changed", "1", "2")]),
        (
            "one\ntwo\nthree",
            "one\n2\nthree\nfour",
            [("line 2", "changed", "two", "2"), ("line 4", "added", None, "four")],
        ),
        (
            "a\nb\nc\nd\ne",
            "x\ny\nz\nd\nq\nr",
            [
                ("line 1", "changed", "a", "x"),
                ("line 2", "changed", "b", "y"),
                ("line 3", "changed", "c", "z"),
                ("line 5", "changed", "e", "q"),
                ("line 6", "added", None, "r"),
            ],
        ),
        ("a\nb\nc\nd", "a\nx\nd", [("line 2", "changed", "b", "x"), ("line 3", "removed", "c", None)]),
        ("a\nb\nc", "c", [("line 1", "removed", "a", None), ("line 2", "removed", "b", None)]),
        ("", "a", [("line 1", "changed", "", "a")]),
        (
            [1, 2, 3, 9],
            [4, 5, 9],
            [("$[0]", "changed", "1", "4"), ("$[1]", "changed", "2", "5"), ("$[2]", "removed", "3", None)],
        ),
        (
            [9, 1],
            [9, 4, 5, 6],
            [("$[1]", "changed", "1", "4"), ("$[2]", "added", None, "5"), ("$[3]", "added", None, "6")],
        ),
        (float("nan"), float("nan"), []),
        (None, 0, [("$", "changed", "null", "0")]),
        ({"a": [1]}, {"a": 5}, [("$.a", "changed", "[1]", "5")]),
        ({"a": 5}, {"a": [1]}, [("$.a", "changed", "5", "[1]")]),
        ({"a": {"b": 1}}, {"a": 5}, [("$.a", "changed", '{"b": 1}', "5")]),
        ({"a": 5}, {"a": {"b": 1}}, [("$.a", "changed", "5", '{"b": 1}')]),
    ],
)
def test_records(a, b, expected):
    found = kit.diff(a, b)
    assert told(found) == expected and found.equal is (not expected) and bool(found) is bool(expected)
    assert sum(found.counts.values()) == len(expected)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({(1, 2): 1}, {(1, 2): 2}), ({1: "a"}, {"1": "a"}), (Decimal("1"), "1"), (b"a", "b'a'"), ([1], [True]),
        (pd.Timestamp("2026-01-01"), "2026-01-01 00:00:00"),
    ],
)  # fmt: skip
def test_what_json_cannot_tell_apart_is_told_apart_in_lists_too(one, other):
    for a, b in ((one, other), ([0, one], [0, other]), ({"k": [[one]]}, {"k": [[other]]})):
        assert not kit.diff({"x": a}, {"x": b}).equal and kit.diff({"x": a}, {"x": a}).equal


@pytest.mark.parametrize("depth", [150, 200, 250, 990, 5000])
@pytest.mark.parametrize("inside", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_records_are_compared_however_deep_they_are(depth, inside):
    def deep(value):
        for _ in range(depth):
            value = inside(value)
        return value

    assert kit.diff(deep(1), deep(1.0)).equal
    ((path, change, _, _),) = told(kit.diff(deep(1), deep(2)))
    step = ".a" if isinstance(inside(0), dict) else "[0]"
    assert (path, change) == ("$" + step * min(depth, 200), "changed")  # what is deeper is told as a whole
    for other in (deep([1]), deep({"b": 1}), deep({}), deep([1, 1])):
        assert not kit.diff(deep(1), other).equal and not kit.diff(other, deep(1)).equal


def test_a_record_that_contains_itself():
    a, b, c = [1], [1], [2]
    for one in (a, b, c):
        one.append(one)
    assert kit.diff(a, b).equal and not kit.diff(a, c).equal


def test_lists_of_up_to_two_thousand_are_aligned():
    for count, changes in ((2000, 2), (2001, 2001)):
        a = list(range(count))
        assert len(told(kit.diff(a, [-1, *a[:-1]]))) == changes


def test_long_lists_are_compared_place_by_place():
    a, b = list(range(3000)), [7, *range(1, 3000)]
    assert told(kit.diff(a, b)) == [("$[0]", "changed", "0", "7")]
    assert told(kit.diff(a, [*a, 5])) == [("$[3000]", "added", None, "5")]
    assert told(kit.diff(a, a[:-1])) == [("$[2999]", "removed", "2999", None)]


def test_rows_by_key():
    a = pd.DataFrame({"id": [1, 2, 3], "city": ["Oslo", "Bergen", None], "n": pd.array([1, None, 3], "Int64")})
    b = pd.DataFrame({"id": [3, 1, 4], "city": [None, "Molde", "Bodø"], "n": pd.array([None, 1, 4], "Int64")})
    found = kit.diff(a, b, "id")
    assert found.counts == {"added": 1, "removed": 1, "changed": 2} and not found.equal
    assert told(found) == [
        (3, "changed", "n", "3", None),
        (2, "removed", None, '{"id": 2, "city": "Bergen", "n": null}', None),
        (1, "changed", "city", "Oslo", "Molde"),
        (4, "added", None, None, '{"id": 4, "city": "Bodø", "n": 4}'),
    ]
    assert repr(found).splitlines()[1:] == [
        "  ~ 3 n: 3 -> ",
        '  \N{MINUS SIGN} 2: {"id": 2, "city": "Bergen", "n": null}',
        "  ~ 1 city: Oslo -> Molde",
        '  + 4: {"id": 4, "city": "Bodø", "n": 4}',
    ]
    assert kit.diff(a, a, "id").equal and kit.diff(a, a.iloc[::-1], "id").equal


def test_what_is_shown_of_numbers_and_of_what_is_missing():
    a = pd.DataFrame({"id": [1, 2], "n": [0.5, float("nan")]})
    b = pd.DataFrame({"id": [1, 2], "n": [1.5, 7.0]})
    shown = kit.diff(a, b, "id")._repr_html_()
    assert "0.5" in shown and "1.5" in shown and "7.0" in shown and "nan" not in shown.lower()
    assert (shown.count('<td class="v gone">'), shown.count('<td class="v new">'), shown.count('<td class="v">')) == (
        2,
        2,
        0,
    )
    shown = kit.diff(a, b.iloc[1:].assign(n=float("nan")), "id")._repr_html_()
    assert (shown.count('<td class="v gone">'), shown.count('<td class="v new">'), shown.count('<td class="v">')) == (
        1,
        0,
        1,
    )


def test_a_text_shows_a_third_of_the_rows_that_a_page_shows():
    found = kit.diff(pd.DataFrame({"id": range(99), "n": 1}), pd.DataFrame({"id": range(99), "n": 2}), "id")
    assert len(found) == 99
    assert len(repr(found).splitlines()) == 1 + 20
    assert found._repr_html_().count('<td class="v gone">') == 60


def test_numbers_of_two_types_are_compared_to_the_last_digit():
    a = pd.DataFrame({"id": [1, 2], "n": [2**53 + 1, 7]})
    b = pd.DataFrame({"id": [1, 2], "n": [2.0**53, 7.0]})
    assert kit.diff(a, b, "id").counts["changed"] == 1
    assert kit.diff(a, pd.DataFrame({"id": [1, 2], "n": [0, 7]}), "id").counts["changed"] == 1


def test_rows_without_a_key():
    a, b = pd.DataFrame({"n": [1, 1, 2]}), pd.DataFrame({"n": [2, 1, 3]})
    assert told(kit.diff(a, b)) == [("removed", '{"n": 1}', None), ("added", None, '{"n": 3}')]


def test_other_libraries_and_columns():
    a = pa.table({"seq_num": [1, 2], "id": ["a", "b"], "old": [1, 1]})
    b = polars.DataFrame({"seq_num": [7, 8], "id": ["a", "b"], "new": [1, 1]})
    found = kit.diff(a, b, "id", ignore="seq_num")
    assert found.notes == ["columns only in a: old", "columns only in b: new"] and len(found) == 0 and not found.equal
    assert kit.diff(a, b, "id").counts["changed"] == 2


def test_wrong_questions():
    a = pd.DataFrame({"id": [1, 1], "l": [[1], [2]]})
    for options, words in (
        ({"key": "idd"}, "there is no column 'idd'"),
        ({"key": "id"}, "repeat a key: 1"),
        ({"key": "l"}, "cannot be keys"),
        ({"ignore": "nothing"}, "there is no column 'nothing'"),
    ):
        with pytest.raises(InputError, match=words):
            kit.diff(a, a, **options)
    with pytest.raises(InputError, match="a frame and a dict"):
        kit.diff(a, {})
    with pytest.raises(InputError, match="key= is only for comparing two frames"):
        kit.diff({}, {}, "id")


@pytest.mark.parametrize(("count", "place"), [(2000, "line 8"), (2001, "$")])
def test_long_texts_are_compared_as_a_whole(count, place):
    lines = [f"line {n}" for n in range(count)]
    other = [*lines[:7], "other", *lines[8:]]
    assert [row[0] for row in told(kit.diff("\n".join(lines), "\n".join(other)))] == [place]
    assert [row[0] for row in told(kit.diff(lines, [lines[-1], *lines[:-1]]))][1:] == (
        ["$[1999]"] if count == 2000 else [f"$[{n}]" for n in range(1, count)]
    )


def test_it_equals_a_plain_comparison(seed):
    for n in range(seed, seed + 40):
        chance = random.Random(n)
        frames = []
        for _ in range(2):
            ids = chance.sample(range(30), chance.randrange(25))
            frames.append(
                pd.DataFrame(
                    {
                        "id": ids,
                        "v": [chance.choice((1, 2, None)) for _ in ids],
                        "t": [chance.choice("ab") for _ in ids],
                    }
                )
            )
        a, b = ({row["id"]: row for row in frame.to_dict("records")} for frame in frames)
        found = kit.diff(*frames, key="id")
        # A column of nothing but None keeps it, where one with numbers too has NaN: both are missing.
        same = lambda x, y: x == y or (pd.isna(x) and pd.isna(y))  # noqa: E731
        changed = {(n, c) for n in a.keys() & b.keys() for c in ("v", "t") if not same(a[n][c], b[n][c])}
        rows = found.df
        assert set(rows[rows["change"] == "added"]["id"]) == b.keys() - a.keys()
        assert set(rows[rows["change"] == "removed"]["id"]) == a.keys() - b.keys()
        assert {tuple(one) for one in rows[rows["change"] == "changed"][["id", "column"]].values.tolist()} == changed


def test_whole_numbers_beside_floats_keep_all_their_digits():
    large = 2**53 + 1
    a, b = (pd.DataFrame({"id": [large], "x": [0.5], "v": [value]}) for value in (1, 2))
    found = kit.diff(a, b, key=["id", "x"])
    assert told(found) == [(large, 0.5, "changed", "v", "1", "2")] and found.df["id"].dtype == np.int64
    found = kit.diff(a, b.assign(id=large + 1), key="id")
    assert [json.loads(one)["id"] for one in (found.df["a"][0], found.df["b"][1])] == [large, large + 1]


def test_arrays_of_numpy_are_compared_item_by_item():
    """Parquet files give lists as such; equal ones were told to differ, and long ones to be equal."""
    items = np.arange(3000)
    other = items.copy()
    other[1500] = -1
    a, same, b = (pd.DataFrame({"id": [1], "v": [one], "w": [{"in": one}]}) for one in (items, items.copy(), other))
    for key in ("id", None):
        assert kit.diff(a, same, key).equal and not kit.diff(a, b, key).equal
    assert list(kit.diff(a, b, "id").df["column"]) == ["v", "w"]
    assert told(kit.diff({"v": items}, {"v": other})) == [("$.v[1500]", "changed", "1500", "-1")]
    assert kit.diff({"v": items}, {"v": items.tolist()}).equal


def test_two_columns_of_one_name_are_refused():
    """One of the two was left aside, and what differed in it."""
    a, b = (pd.DataFrame([[value, 2]], columns=["n", "n"]) for value in (1, 3))
    for one, two, which in ((a, b, "first"), (b[["n"]].iloc[:, :1], b, "second")):
        with pytest.raises(InputError, match=f"two columns of the {which} frame are called 'n'"):
            kit.diff(one, two)


def test_a_page_is_escaped_and_bounded():
    marked = "<img src=x onerror=alert(1)>"
    deep = json.loads('{"a":' * 500 + "1" + "}" * 500)
    page = kit.diff({marked: marked, "d": deep}, {marked: "</td><script>", "d": {}})._repr_html_()
    assert "<img" not in page and "<script" not in page and "&lt;img" in page
    frame = pd.DataFrame({"id": range(5000), marked: ["x" * 5000] * 5000})
    other = frame.assign(**{marked: np.full(5000, "y" * 5000)})
    page = kit.diff(frame, other, "id")._repr_html_()
    assert len(page) < 600_000 and "and 4,940 more" in page and "<img" not in page
    assert "\x1b" not in repr(kit.diff({"a": "\x1b[31m"}, {"a": "\u202e"}))
