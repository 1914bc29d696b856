"""The part of a range in which a filter can be true, found by Arrow's own reasoning about partitions.

Arrow is asked whether the filter could be true where a column is below some value; bisection finds the largest value
for which Arrow proves that it could not. What is not proven is read, so any filter is safe.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import fs


def narrowed(
    filter: Any, schema: pa.Schema, name: str, low: int, high: int, *, nullable: bool = False
) -> tuple[int, int]:
    """Return the part of [low, high) outside of which the filter is never true, for a column of integers, or of times
    in ms.

    >>> schema = pa.schema([("n", pa.uint64())])
    >>> narrowed((pc.field("n") >= 5) & (pc.field("n") < 7), schema, "n", 0, 100)
    (5, 7)
    """
    if filter is None or low >= high:
        return low, high
    field = pc.field(name)
    kind, scale = schema.field(name).type, 1
    if pa.types.is_timestamp(kind):
        # A condition in microseconds on a column of milliseconds becomes one on a cast, which proves nothing.
        kind, scale = pa.timestamp("us", kind.tz), 1000
        schema = pa.schema([one.with_type(kind) if one.name == name else one for one in schema])

    def value(at: int) -> Any:
        return pa.scalar(at * scale, kind)

    def could(guarantee: Any) -> bool:
        return satisfiable(filter, schema, guarantee | field.is_null() if nullable else guarantee)

    # The largest position with no match below it, then the smallest with no match from it on.
    first = _last(lambda at: not could(field < value(at)), low, high)
    if first >= high:
        return high, high
    stop = high - _last(lambda back: not could(field >= value(high - back)), 0, high - first)
    return first, max(first, stop)


def mentions(filter: Any, schema: pa.Schema, name: str) -> bool:
    """Return whether the filter looks at a column."""
    others = pa.schema([field for field in schema if field.name != name])
    try:
        list(ds.dataset(others.empty_table()).get_fragments(filter=filter))
    except pa.ArrowInvalid:
        return True
    return False


def satisfiable(filter: Any, schema: pa.Schema, guarantee: Any) -> bool:
    """Return whether the filter may be true for a row of which the guarantee is; False is proven, True may be doubt."""
    kind, files = _nowhere()
    fragment = kind.make_fragment("none", files, partition_expression=guarantee)
    return any(True for _ in ds.FileSystemDataset([fragment], schema, kind, files).get_fragments(filter=filter))


@cache
def _nowhere() -> tuple[Any, Any]:
    """Return a format and a file system for fragments that are reasoned about and never opened."""
    return ds.ParquetFileFormat(), fs.LocalFileSystem()


def _last(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Return the largest place in [low, high] up to which it holds; it does at `low`, where nothing is."""
    if not holds(low + 1):
        return low
    if holds(high):
        return high
    low += 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
