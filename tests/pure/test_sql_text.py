"""Expressions in the braces of SQL: found where they are, and values that cannot be read in another way."""

import datetime as dt
import decimal

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.core.errors import InputError
from kit.engines.sql_text import bound, literal
from kit.engines.sql_values import parameter

SPACE = {"x": 5, "name": "it's", "when": pd.Timestamp("2026-01-02"), "n": np.int64(7), "table": pd.DataFrame()}


def value_of(expression):
    return eval(expression, dict(SPACE))


@pytest.mark.parametrize(
    ("text", "made", "values"),
    [
        ("a = {x}", "a = $1", [5]),
        ("a = {x} or b = {x} or c = {name}", "a = $1 or b = $1 or c = $2", [5, "it's"]),
        ("a = {x + n * 2}", "a = $1", [19]),
        ("a = '{x}' and \"{x}\" = {x}", "a = '{x}' and \"{x}\" = $1", [5]),
        ("a = 'it''s {x}' -- {x}\nand /* {x} */ b = {x}", "a = 'it''s {x}' -- {x}\nand /* {x} */ b = $1", [5]),
        ("{'a': 1} {a: 1} {}", "{'a': 1} {a: 1} {}", []),
        ("$$ {x} $$ {n}", "$$ {x} $$ $1", [7]),
        ("t > {when}", "t > $1", [dt.datetime(2026, 1, 2)]),
    ],
)
def test_expressions_become_parameters(text, made, values):
    assert bound(text, value_of, lambda n, _: f"${n}") == (made, values)


def test_a_table_is_no_parameter():
    with pytest.raises(InputError, match="is a DataFrame: a parameter is one value"):
        bound("select * from {table}", value_of, lambda n, _: "?")


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50))
def test_any_text_is_itself_as_a_literal(text):
    made = literal(text)
    assert "\\" not in made.replace("chr(92)", "")
    assert duckdb.sql(f"select {made}").fetchall() == [(text,)]


@pytest.mark.parametrize(
    "value",
    [
        0, -5, 2**62, 2.5, -0.25, 1e300, True, False, None, "", "'; drop table x; --", "\\", "\\' or 1=1",
        dt.date(2026, 1, 2), dt.time(3, 4, 5), dt.datetime(2026, 1, 2, 3, 4, 5, 6), decimal.Decimal("12.50"),
        decimal.Decimal("1E+5"), dt.date(5, 1, 2), dt.datetime(5, 1, 2),
    ],
)  # fmt: skip
def test_literals_are_their_values(value):
    assert duckdb.sql(f"select {literal(value)}").fetchall() == [(value,)]


def test_negative_numbers_stand_behind_a_minus():
    assert duckdb.sql(f"select 1 -{literal(-5)}").fetchall() == [(6,)]


@pytest.mark.parametrize("value", [-0.0, decimal.Decimal("-0"), decimal.Decimal("-0.00")])
def test_a_negative_zero_behind_a_minus_begins_no_comment(value):
    assert duckdb.sql(f"select 1 -{literal(value)} + 4").fetchall() == [(5,)]


NANOSECONDS = "2026-01-02T00:00:00.000000001"


@pytest.mark.parametrize(
    "value", [np.datetime64(NANOSECONDS), np.array(NANOSECONDS, "M8[ns]"), pd.Timestamp(NANOSECONDS)]
)
def test_times_keep_their_nanoseconds(value):
    """An engine that knows them gets them, and any other refuses them."""
    _, [given] = bound("a = {x}", lambda _: value, "${0}".format)
    assert isinstance(given, pd.Timestamp) and given == pd.Timestamp(NANOSECONDS)
    with pytest.raises(InputError, match="digits below a microsecond"):
        parameter("$1", given)
    with pytest.raises(InputError, match="digits below a microsecond"):
        literal(given)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.datetime64("2026-01-02T00:00:00.000000000"), dt.datetime(2026, 1, 2)),
        (np.timedelta64(5_000, "ns"), dt.timedelta(microseconds=5)),
        (pd.Timedelta("1h"), dt.timedelta(hours=1)),
        (np.float64(2.5), 2.5),
        (pd.NaT, None),
        (pd.NA, None),
        (np.datetime64("NaT", "ns"), None),
    ],
)
def test_values_of_numpy_and_pandas_are_pythons_own(value, plain):
    assert bound("a = {x}", lambda _: value, "${0}".format)[1] == [plain]


@pytest.mark.parametrize("value", [dt.time(1, 2, tzinfo=dt.UTC), dt.timedelta(hours=1)])
def test_what_dialects_write_differently_has_no_literal(value):
    with pytest.raises(InputError):
        literal(value)


@pytest.mark.parametrize("text", ["1" * 39, "1E+38", "1E-38", f"1.{'1' * 38}"])
def test_a_decimal_that_the_engine_would_take_as_a_float_is_refused(text):
    with pytest.raises(InputError, match="at most 38 digits"):
        parameter("$1", decimal.Decimal(text))


@pytest.mark.parametrize("text", ["1" * 38, "1E+37", "1E-37", f"1.{'1' * 37}", "-0", "0.00"])
def test_a_decimal_that_fits_comes_back_as_it_is(text):
    value = decimal.Decimal(text)
    assert duckdb.sql("select $1", params=[parameter("$1", value)]).fetchall() == [(value,)]


def test_times_of_a_zone_are_utc():
    value = dt.datetime(2026, 1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert literal(value) == "TIMESTAMP '2026-01-02 01:00:00.000000'"


NO_NUMBERS = [decimal.Decimal(text) for text in ("NaN", "sNaN", "Infinity", "1E+1000000")]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"x", *NO_NUMBERS])
def test_values_without_a_literal_are_refused(value):
    with pytest.raises(InputError):
        literal(value)


@pytest.mark.parametrize("value", NO_NUMBERS[:3])
def test_a_decimal_that_is_no_number_is_no_parameter(value):
    with pytest.raises(InputError, match=f"{{x}} is {value}: SQL has no such number"):
        bound("select {x}", lambda _: value, "${0}".format)


# --- where dialects differ --------------------------------------------------------------------------------------------


def as_literals(text, value):
    """The text as a service gets it that takes no parameters."""
    return bound(text, lambda _: value, lambda _, value: literal(value), any_dialect=True)[0]


UNCERTAIN = [
    "select 1 /* /* */ {x} */",
    "select E'it\\'s {x}'",
    "select e'\\\\\\'{x}'",
    "select '\\' {x} '",
    "select r'\\' , {x} , '",
    "select '''it's {x}'''",
    'select """it"s {x}"""',
    "select 1 # it's {x}",
    "select a$b$ ' , {x} , $b$ '",
    "select 1 -- it's\r {x} '",
    "select 1 -- it's\u2028 {x} '",
    "select {'a': '}'}, ' {x} ",
    "select 'a, {x}",
    "select 1 /* {x}",
    "select $$ {x}",
    "select $1, {x}",
]


@pytest.mark.parametrize("text", UNCERTAIN)
def test_a_text_that_dialects_read_differently_takes_no_values(text):
    for value in ("*/ drop table t; --", "'; drop table t; --"):
        with pytest.raises(InputError, match="is ambiguous"):
            as_literals(text, value)


def test_braces_that_are_surely_inside_are_the_querys_own():
    for text in ("select {'a': '}'}, ' {x} '", "select 'a' /* {x} */", "select '{x}' -- {x}", "select $a$ $b$ {x} $a$"):
        assert as_literals(text, "v") == text


@pytest.mark.parametrize("text", UNCERTAIN)
def test_without_values_every_text_stays(text):
    text = text.replace("{x}", "x")
    assert as_literals(text, "v") == text


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("select E'it\\'s {x}', {x}", "select E'it\\'s {x}', $1"),
        ("select '\\', {x}, '{x}'", "select '\\', $1, '{x}'"),
        ("select 1 /* /* */ {x} */ + {x}", "select 1 /* /* */ {x} */ + $1"),
        ("select $a$ $b$ {x} $a$, {x}", "select $a$ $b$ {x} $a$, $1"),
        ("select 'it''s {x}', {x}", "select 'it''s {x}', $1"),
        ("select #1, {x}", "select #1, $1"),
    ],
)
def test_parameters_read_the_text_as_duckdb_does(text, made):
    assert bound(text, lambda _: 1, lambda n, _: f"${n}") == (made, [1])


@pytest.mark.parametrize(
    "text",
    ["select t_{x}", "select {x}_t", "select 'a'{x}", "select 1{x}", "select {x}{x}", "select 1.{x}", "select {x}.5"],
)
def test_an_expression_stands_alone(text):
    with pytest.raises(InputError, match="is directly beside"):
        as_literals(text, "v")


SOUP = [
    "'",
    "''",
    '"',
    "`",
    "--",
    "\n",
    "\r",
    "/*",
    "*/",
    "$$",
    "$a$",
    "\\",
    "{x}",
    " ",
    "a",
    "E",
    "#",
    "{",
    "}",
    ";",
    "1",
    ":",
]


@given(st.lists(st.sampled_from(SOUP), max_size=14).map("".join))
def test_no_value_changes_how_a_text_is_cut(soup):
    """What the engine makes of the text is the same whatever the value holds: it landed in no string and no comment."""
    shapes = set()
    for value in ("v", "*/ ; select 2 /*", "' ; select 2 --", "\\' ; select 2 --", "$$ ; select 2 $$", "\n; select 2 "):
        try:
            made = as_literals(f"select 1 {soup}", value)
        except InputError:
            return
        # A literal is one token, or a call with such: calls are made alike, so that only the cut can differ.
        try:
            shapes.add(len(duckdb.extract_statements(made)))
        except duckdb.Error:
            shapes.add("refused")
    shapes.discard("refused")
    assert len(shapes) <= 1
