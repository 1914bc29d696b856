"""The log of requests: one row for each request that left this process, always on, bounded."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from .tables.into import with_into

if TYPE_CHECKING:
    import pandas as pd

KEPT = 10_000
_ring: deque[tuple[str, str, float, float, int, int, int, int, str]] = deque(maxlen=KEPT)


def record(
    service: str,
    op: str,
    started: float,
    seconds: float,
    *,
    bytes_in: int = 0,
    bytes_out: int = 0,
    status: int = 0,
    retries: int = 0,
    error: str = "",
) -> None:
    """Add one row. `started` is in epoch seconds; `status` 0 means that no status came back."""
    _ring.append((service, op, started, seconds, bytes_in, bytes_out, status, retries, error))


def now() -> float:
    """Return the clock of the `started` column."""
    return time.time()


def forget() -> None:
    """Empty the log."""
    _ring.clear()


@with_into
def calls() -> pd.DataFrame:
    """Return the requests this process made, oldest first, as a DataFrame: at most the last 10 000.

    One row for each request on the wire, so a call that was repeated shows each try;
    `retries` counts the tries before this one. `status` is missing where no answer came.

    >>> list(calls().columns)
    ['service', 'op', 'started', 'ms', 'bytes_in', 'bytes_out', 'status', 'retries', 'error']
    """
    import pyarrow as pa

    from .tables.frames import to_frame

    rows = list(_ring)
    columns = list(zip(*rows, strict=True)) if rows else [()] * 9
    service, op, started, seconds, bytes_in, bytes_out, status, retries, error = columns
    return to_frame(
        pa.table(
            {
                "service": pa.array(service, pa.string()),
                "op": pa.array(op, pa.string()),
                "started": pa.array([round(t * 1000) for t in started], pa.timestamp("ms", "UTC")),
                "ms": pa.array([s * 1000 for s in seconds], pa.float64()),
                "bytes_in": pa.array(bytes_in, pa.int64()),
                "bytes_out": pa.array(bytes_out, pa.int64()),
                "status": pa.array([s or None for s in status], pa.int64()),
                "retries": pa.array(retries, pa.int64()),
                "error": pa.array(error, pa.string()),
            }
        ),
        nullable=("status",),
    )
