"""Intervals of months, days and nanoseconds, as engines of SQL give them, for pandas, which has no such type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

_PARTS = np.dtype([("months", np.int32), ("days", np.int32), ("nanos", np.int64)])
_DAY = 86_400


def timedeltas(column: pa.Array) -> Any:
    """Return intervals as timedeltas, in microseconds or, where one is finer, in nanoseconds.

    Where one has months, whose length varies, or is too long for that, all of them are ISO 8601 texts.

    >>> timedeltas(pa.array([(0, 1, 500_000)], pa.month_day_nano_interval()))
    array([86400000500], dtype='timedelta64[us]')
    """
    parts = np.frombuffer(column.buffers()[1] or b"", _PARTS)[column.offset : column.offset + len(column)]
    missing = np.asarray(column.is_null())
    parts = np.where(missing, np.zeros(1, _PARTS), parts)
    days, nanos = parts["days"].astype(np.int64), parts["nanos"]
    unit, size, longest = ("ns", 1, 10**5) if (nanos % 1000).any() else ("us", 1000, 10**8)
    most, counts = _DAY * 10**12 // size, nanos // size
    far = (np.abs(days) > longest) | (counts > most) | (counts < -most)  # the least number has no absolute value
    if parts["months"].any() or far.any():
        texts = [None if value is None else iso_duration(*value) for value in column.to_pylist()]
        return pd.array(pa.array(texts, pa.string()), dtype="str")
    durations = (days * (_DAY * 10**9 // size) + nanos // size).view(f"timedelta64[{unit}]")
    durations[missing] = np.timedelta64("NaT")
    return durations


def iso_duration(months: int, days: int, nanos: int) -> str:
    """Write an interval by ISO 8601, each part with its sign.

    >>> iso_duration(14, 3, 3_661_500_000_000), iso_duration(-1, 0, -1), iso_duration(0, 0, 0)
    ('P1Y2M3DT1H1M1.5S', 'P-1MT-0.000000001S', 'PT0S')
    """
    seconds, rest = divmod(abs(nanos), 10**9)
    date = _part(months, abs(months) // 12, "Y") + _part(months, abs(months) % 12, "M") + _part(days, abs(days), "D")
    time = _part(nanos, seconds // 3600, "H") + _part(nanos, seconds // 60 % 60, "M")
    time += _part(nanos, f"{seconds % 60}.{rest:09d}".rstrip("0") if rest else seconds % 60, "S")
    return f"P{date}T{time}" if time else f"P{date}" if date else "PT0S"


def _part(whole: int, size: int | str, letter: str) -> str:
    return f"{'-' if whole < 0 else ''}{size}{letter}" if size else ""
