"""What an insert makes of values, without a server."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from kit.kimberlite.errors import KimberliteInputError
from kit.kimberlite.explore.inserting import statements
from kit.kimberlite.wire.protocol.structs import ColumnInfo


def cells(declared: str, values: Any) -> list[Any]:
    """Return the parameters for a column of these values."""
    column = ColumnInfo(name="v", data_type=declared, nullable=True, primary_key=False)
    data = pa.table({"v": values}) if isinstance(values, pa.Array) else pd.DataFrame({"v": values})
    return [cell for made in statements("t", [column], data, lab=True) for cell in made.params]


def of_arrow(array: pa.Array) -> pd.Series:
    """Return a column of pandas that Arrow holds."""
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([array])))


def test_nanoseconds_of_times_of_day_are_kept():
    times = pa.array([123_456_789, None], pa.time64("ns"))
    assert cells("TIME", times) == cells("TIME", of_arrow(times)) == [123_456_789, None]


def test_maps_are_objects_in_json():
    maps = pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int64()))
    assert cells("JSON", maps) == cells("JSON", of_arrow(maps)) == ['{"a":1}', "{}", None]
    with pytest.raises(KimberliteInputError, match=r"row 1, .*two keys of the map are the same"):
        cells("JSON", pa.array([[("a", 1)], [("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64())))


@pytest.mark.parametrize(
    ("declared", "value", "why"),
    [
        ("REAL", 10**400, "more digits than a REAL"),
        ("REAL", -(10**5000), "more digits than a REAL"),
        ("BIGINT", 10**5000, "does not fit into 64 bits"),
        ("JSON", 10**5000, "too many digits"),
        ("JSON", "[NaN]", "is not JSON text"),
        ("JSON", "-Infinity", "is not JSON text"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "number",
)
def test_what_python_would_refuse_or_pass_is_refused_with_its_place(declared, value, why):
    with pytest.raises(KimberliteInputError, match=rf"row 1, column 'v'.*{why}"):
        cells(declared, pd.Series([None, value], dtype=object))


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        ("TIMESTAMP", pa.array([0, 253_402_300_800], pa.timestamp("s", "UTC"))),
        ("TIMESTAMP", pa.array([0, -(2**62)], pa.timestamp("s", "UTC"))),
        ("DATE", pa.array([0, 2_932_897], pa.date32())),
        ("DATE", pd.Series(np.array([0, 253_402_300_800], "datetime64[s]"))),
        ("TIMESTAMP", pd.Series(np.array([0, 253_402_300_800], "datetime64[s]")).dt.tz_localize("UTC")),
    ],
)
def test_times_after_the_year_9999_are_refused_with_their_place(declared, values):
    with pytest.raises(KimberliteInputError, match=r"row 1, column 'v'.* outside the years"):
        cells(declared, values)
