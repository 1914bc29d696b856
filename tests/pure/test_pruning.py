"""Bounds found in a filter: never narrower than the rows for which it is true."""

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.core.tables.pruning import mentions, narrowed

SCHEMA = pa.schema([("n", pa.uint64()), ("time", pa.timestamp("ms", "UTC")), ("s", pa.string())])
BIG = 2**64 - 1
position = pc.field("n")


def value(number):
    return pa.scalar(number, pa.uint64())


NUMBERS = st.integers(0, 30)
LEAVES = st.one_of(
    NUMBERS.map(lambda x: position < value(x)),
    NUMBERS.map(lambda x: position >= value(x)),
    NUMBERS.map(lambda x: position == value(x)),
    NUMBERS.map(lambda x: position != value(x)),
    st.lists(NUMBERS, max_size=3).map(lambda xs: position.isin(pa.array(xs, pa.uint64()))),
    st.sampled_from([position.is_null(), position.is_valid(), pc.field("s") == "x"]),
)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: p[0] & p[1]),
        st.tuples(inner, inner).map(lambda p: p[0] | p[1]),
        inner.map(lambda e: ~e),
    ),
    max_leaves=6,
)
TABLE = pa.table(
    {
        "n": pa.array(range(31), pa.uint64()),
        "time": pa.nulls(31, SCHEMA.field("time").type),
        "s": pa.array(["x", "y"] * 15 + ["x"]),
    }
)


@settings(max_examples=300, deadline=None)
@given(FILTERS)
def test_no_row_is_outside(filter):
    low, high = narrowed(filter, SCHEMA, "n", 0, 31)
    assert all(low <= n < high for n in TABLE.filter(filter)["n"].to_pylist())


def test_bounds_are_exact_up_to_the_largest_position():
    for at in (0, 1, 2**53 + 1, BIG - 1):
        assert narrowed(position == value(at), SCHEMA, "n", 0, BIG) == (at, at + 1)
        assert narrowed(position >= value(at), SCHEMA, "n", 0, BIG) == (at, BIG)
    assert narrowed(None, SCHEMA, "n", 3, 9) == (3, 9)
    for at in (0, 7, BIG):
        assert narrowed(position == value(7), SCHEMA, "n", at, at) == (at, at)
    low, high = narrowed((position < value(3)) & (position > value(5)), SCHEMA, "n", 0, 99)
    assert low == high


def test_times_in_other_units_and_times_that_are_missing():
    time, at = pc.field("time"), pa.scalar(1_700_000_000_000_500, pa.timestamp("us", "UTC"))
    assert narrowed(time > at, SCHEMA, "time", 0, 10**13, nullable=True) == (1_700_000_000_000, 10**13)
    assert narrowed((time > at) | time.is_null(), SCHEMA, "time", 0, 10**13, nullable=True)[0] == 0
    assert narrowed(pc.field("s") == "x", SCHEMA, "time", 0, 10**13, nullable=True) == (0, 10**13)


def test_what_a_filter_looks_at():
    filter = (position > value(1)) | (pc.field("s") == "x")
    assert [mentions(filter, SCHEMA, name) for name in SCHEMA.names] == [True, False, True]
