"""What a magic's text says: options, names, expressions in braces, and literals that cannot be read in another way."""

import datetime as dt
import decimal

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.core.errors import InputError
from kit.magic_text import bound, filled, literal, order_of


@pytest.mark.parametrize(
    ("line", "cell", "expected"),
    [
        ("", "select 1\n", ("select 1", None, {})),
        ("found <<", "select 1", ("select 1", "found", {})),
        ("found << --limit 5", "select 1", ("select 1", "found", {"limit": "5"})),
        ("--limit=5 --on my_lab", "select 1", ("select 1", None, {"limit": "5", "on": "my_lab"})),
        ("--limit 5 select a << 2", None, ("select a << 2", None, {"limit": "5"})),
        ("x << select 1", None, ("select 1", "x", {})),
        ("select 1 -- --limit 5", None, ("select 1 -- --limit 5", None, {})),
        ("--on 'a b'", "q", ("q", None, {"on": "a b"})),
    ],
)
def test_orders(line, cell, expected):
    order = order_of("amdahl", line, cell, ("limit", "on"))
    assert (order.text, order.name, order.options) == expected


@pytest.mark.parametrize(
    ("line", "cell", "words"),
    [
        ("", "  \n", "nothing to run"),
        ("", None, "nothing to run"),
        ("--rows 5", "select 1", "no option --rows"),
        ("--limit", "select 1", "--limit wants a value"),
        ("select 2", "select 1", "what is 'select 2' for"),
    ],
)
def test_orders_that_are_wrong(line, cell, words):
    with pytest.raises(InputError, match=words):
        order_of("amdahl", line, cell, ("limit", "on"))


@pytest.mark.parametrize("given", ["1e3", "\u00b2", "-1", "9" * 4400])
def test_a_whole_number_is_asked_for(given):
    with pytest.raises(InputError, match=f"--limit {given[:40]}: give a whole number"):
        order_of("amdahl", f"--limit {given}", "select 1", ("limit",)).whole("limit")


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
    ],
)  # fmt: skip
def test_literals_are_their_values(value):
    assert duckdb.sql(f"select {literal(value)}").fetchall() == [(value,)]


def test_negative_numbers_stand_behind_a_minus():
    assert duckdb.sql(f"select 1 -{literal(-5)}").fetchall() == [(6,)]


def test_times_of_a_zone_are_utc():
    value = dt.datetime(2026, 1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert literal(value) == "TIMESTAMP '2026-01-02 01:00:00.000000'"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"x"])
def test_values_without_a_literal_are_refused(value):
    with pytest.raises(InputError):
        literal(value)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("{name}: {x}", "it's: 5"),
        ('{"a": 1} and { } stay', '{"a": 1} and { } stay'),
        ("{{x}} {not valid code} {", "{x} {not valid code} {"),
    ],
)
def test_prompts(prompt, text):
    assert filled(prompt, value_of) == text
