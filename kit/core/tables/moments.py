"""Times as text, and columns of times in other units."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

Column = TypeVar("Column", "pa.Array", "pa.ChunkedArray")
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
UNITS = tuple(PER_SECOND)
"""The units of times, each a thousand times as fine as the one before."""


def moment(milliseconds: int) -> str:
    """Return a time since 1970 as people read it; numbers that cannot be such a time stay numbers.

    >>> moment(1_767_225_600_000), moment(7 * 10**18)
    ('2026-01-01 00:00:00 UTC', '7000000000000000000')
    """
    try:
        return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return str(milliseconds)


def in_unit(column: Column, unit: str) -> Column:
    """Bring times to another unit, "s", "ms", "us" or "ns"; to a coarser one they are rounded down, never up.

    >>> import pyarrow as pa
    >>> in_unit(pa.array([-1, 1999], pa.timestamp("us")), "ms").cast(pa.int64()).to_pylist()
    [-1, 1]
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    target = pa.timestamp(unit, kind.tz)
    if UNITS.index(kind.unit) <= UNITS.index(unit):
        return column.cast(target)
    # Arrow truncates, which moves a time before 1970 towards 1970.
    cut = column.cast(target, safe=False)
    later = pc.greater(cut.cast(kind), column)
    if not pc.any(later).as_py():
        return cut
    return pc.if_else(later, pc.subtract(cut, pa.scalar(1, pa.duration(unit))), cut)
