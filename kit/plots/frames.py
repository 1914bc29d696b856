"""The inputs of plots: frames of any library, Arrow, handles, feeds and views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..core.errors import InputError
from ..core.words import nearest

SHOWN = 20
"""The number of names that an error lists."""


def feed_of(source: Any) -> Any:
    """Return the feed that is given, or that a view shows; None where it is neither."""
    if isinstance(source, pd.DataFrame):
        return None
    from ..live.feed.feed import Feed

    feed = source if isinstance(source, Feed) else getattr(source, "feed", None)
    return feed if isinstance(feed, Feed) else None


def frame_of(source: Any, plot: str, such: str) -> pd.DataFrame:
    """Return the input as a DataFrame; times in the index become a column."""
    if isinstance(source, pd.Series):
        source = source.to_frame(source.name if source.name is not None else "value")
    if isinstance(source, pd.DataFrame):
        frame = source
    elif (feed := feed_of(source)) is not None:
        frame = feed.df
    elif hasattr(source, "__arrow_c_stream__"):
        import pyarrow as pa

        from ..core.tables.frames import to_frame

        frame = to_frame(pa.table(source))
    else:
        raise InputError(
            f"{plot} takes a frame (pandas, polars, Arrow), a handle, a feed or a view, not {type(source).__name__}",
            hint=f"give it {such}",
        )
    if isinstance(frame.index, pd.DatetimeIndex):
        name = frame.index.name or "time"
        frame = frame.reset_index(drop=name in frame.columns, names=None if name in frame.columns else name)
    return frame


def need(frame: pd.DataFrame, columns: tuple[str, ...], plot: str, such: str) -> None:
    """Raise where a column is missing."""
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(f"{plot}: the frame has no column {', '.join(map(repr, missing))}", hint=f"give it {such}")


def time_column(frame: pd.DataFrame, time: str | None) -> str:
    """Return the name of the column of times: the one asked for, else the first that has a zone, else the first."""
    name = time or next((column for column, kind in frame.dtypes.items() if isinstance(kind, pd.DatetimeTZDtype)), None)
    name = name or next(
        (column for column, kind in frame.dtypes.items() if pd.api.types.is_datetime64_any_dtype(kind)), None
    )
    if name is None or name not in frame.columns:
        raise InputError(
            f"time={time!r}: there is no such column" if time else "the frame has no column of times",
            hint=f"name one with time=; there are: {listed(frame.columns)}",
        )
    return _one_of(frame, name, "time")


def times_of(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    """Return a column as times in UTC."""
    try:
        return pd.to_datetime(frame[name], utc=True).dt.as_unit("ns")
    except pd.errors.OutOfBoundsDatetime:
        raise InputError(
            f"time={name!r}: it has times before 1678 or after 2262, which no plot reaches",
            hint=f"leave these rows out: df[df[{name!r}].dt.year.between(1678, 2261)]",
        ) from None
    except (ValueError, TypeError) as error:
        raise InputError(f"time={name!r}: the column does not hold times: {error}") from None


def column_of(frame: pd.DataFrame, name: Any, argument: str) -> str:
    """Return the name of a column; raise with the nearest names if it does not exist."""
    if not isinstance(name, str) or name not in frame.columns:
        near = nearest(str(name), [str(column) for column in frame.columns])
        raise InputError(
            f"{argument}={name!r}: there is no such column",
            hint=(f"{near} " if near else "") + f"there are: {listed(frame.columns)}",
        )
    return _one_of(frame, name, argument)


def _one_of(frame: pd.DataFrame, name: Any, argument: str) -> str:
    if list(frame.columns).count(name) > 1:
        raise InputError(f"{argument}={name!r}: several columns have this name", hint="rename all but one")
    own: str = name
    return own


def numbers_of(frame: pd.DataFrame, name: str, argument: str) -> pd.Series[Any]:
    """Return a column as floats, missing ones as NaN."""
    column = frame[name]
    if str(column.dtype).startswith("decimal"):
        column = column.astype("double[pyarrow]")
    elif column.dtype == object:
        column = pd.to_numeric(column, errors="coerce").where(column.notna())
        if column.isna().sum() > frame[name].isna().sum():
            raise InputError(f"{argument}={name!r}: the column does not hold numbers")
    if not pd.api.types.is_numeric_dtype(column):
        raise InputError(f"{argument}={name!r}: the column holds {column.dtype}, not numbers")
    return pd.Series(column.to_numpy(dtype=float, na_value=float("nan")), index=frame.index)


def texts_of(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column as names of series; a missing value is "(none)"."""
    try:
        codes, values = pd.factorize(column)
    except (TypeError, NotImplementedError):  # lists and objects have no hash
        codes, values = pd.factorize(column.map(str, na_action="ignore").astype(object))
    names = np.array([*(str(value) or '""' for value in values), NONE], dtype=object)
    return pd.Series(names[codes], index=column.index, dtype=object)  # a missing value has the code -1: the last name


def listed(names: Any) -> str:
    """Return names for an error, as many as can be read."""
    shown = [str(name) for name in names]
    return (", ".join(shown[:SHOWN]) + (", ..." if len(shown) > SHOWN else "")) or "none"


NONE = "(none)"
"""The name of the series of rows without a label, if other rows have one."""
