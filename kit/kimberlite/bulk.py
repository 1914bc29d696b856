"""Many events at once, as columns; and frames as events."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from .appending import CHUNK, batches_of
from .blobs import Blobs
from .columns import blobs_from_arrow
from .errors import KimberliteInputError
from .reading import Page, Run

if TYPE_CHECKING:
    import pandas as pd

TIME = pa.timestamp("ms", "UTC")
_ROWS = 32_768


class Part(NamedTuple):
    """A page as a column of bytes. It holds nothing of what was received, which takes as much memory again."""

    first: int
    bodies: pa.Array


def part(page: Page) -> tuple[Part]:
    """A page as a column: what `reading.pages` is to make of each as it comes."""
    return (Part(page.first, page.events.to_arrow()),)


def event_table(parts: Sequence[Part], runs: Sequence[Run]) -> tuple[pa.Table, pa.ChunkedArray]:
    """`offset` and `time` (missing where the server does not tell it), and the bodies."""
    bodies = pa.chunked_array([one.bodies for one in parts], pa.binary())
    spans = [np.arange(first, first + len(bodies), dtype=np.uint64) for first, bodies in parts]
    offsets = spans[0] if len(spans) == 1 else np.concatenate(spans or [np.empty(0, np.uint64)])
    if runs:
        times = np.repeat([run.time // 1_000_000 for run in runs], [run.length for run in runs])
        known = len(times) == len(offsets)
    else:
        known = False
    column = pa.array(times, pa.int64()).cast(TIME) if known else pa.nulls(len(offsets), TIME)
    return pa.table({"offset": pa.array(offsets), "time": column}), bodies


def batches(data: Any, body: str | None = None) -> Iterable[Blobs]:
    """What a notebook has at hand, as batches to append: a frame, bytes, texts, dicts, one or many."""
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return _frame_batches(data, body)
    if body is not None:
        raise KimberliteInputError("body= names a column of a DataFrame")
    if isinstance(data, pd.Series):
        return _series_batches(data)
    if isinstance(data, pa.Array | pa.ChunkedArray):
        return blobs_from_arrow(data, CHUNK)
    if isinstance(data, bytes | bytearray | memoryview | str | dict):
        data = [data]
    if not isinstance(data, Iterable):
        raise KimberliteInputError(f"a DataFrame or events are needed, not {type(data).__name__}")
    return batches_of([_encoded(one) for one in data])


def _frame_batches(frame: pd.DataFrame, body: str | None) -> Iterable[Blobs]:
    if body is None and list(frame.columns) == ["body"]:
        body = "body"
    if body is not None:
        if body not in frame.columns:
            raise KimberliteInputError(f"the frame has no column {body!r}", hint=f"it has {_names(frame.columns)}")
        return _series_batches(frame[body])
    if frame.empty:
        return []
    lines = frame.to_json(orient="records", lines=True, date_format="iso", date_unit="us", force_ascii=False)
    return batches_of([line.encode() for line in lines.splitlines()])


def _series_batches(series: pd.Series[Any]) -> Iterable[Blobs]:
    """Objects that are all bytes become a column some at a time, while those before are written: nothing can be wrong
    with the later ones. Of all others the whole column is made first, as that may fail."""
    import pandas as pd

    if series.dtype != object or pd.api.types.infer_dtype(series, skipna=False) != "bytes":
        return blobs_from_arrow(_column(series), CHUNK)
    parts = (series.iloc[at : at + _ROWS] for at in range(0, len(series), _ROWS))
    return (batch for some in parts for batch in blobs_from_arrow(_column(some), CHUNK))


def _column(series: pd.Series[Any]) -> pa.ChunkedArray:
    try:
        column = pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise KimberliteInputError(f"the column is not all bytes or all text: {error}") from None
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def _encoded(one: Any) -> bytes:
    if isinstance(one, str):
        return one.encode()
    if isinstance(one, dict):
        return json.dumps(one, default=str, ensure_ascii=False).encode()
    if isinstance(one, bytes | bytearray | memoryview):
        return bytes(one)
    raise KimberliteInputError(f"an event is bytes, text or a dict, not {type(one).__name__}")


def _names(names: Collection[Any]) -> str:
    return ", ".join(map(str, names))
