"""What a magic's text says: options, names, and expressions in a prompt."""

import numpy as np
import pandas as pd
import pytest

from kit.core.errors import InputError
from kit.notebook.magic_text import filled, order_of


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
        ("--limit", "select 1", "--limit needs a value"),
        ("select 2", "select 1", "'select 2' is not understood"),
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
    ("prompt", "text"),
    [
        ("{name}: {x}", "it's: 5"),
        ('{"a": 1} and { } stay', '{"a": 1} and { } stay'),
        ("{{x}} {not valid code} {", "{x} {not valid code} {"),
    ],
)
def test_prompts(prompt, text):
    assert filled(prompt, value_of) == text
