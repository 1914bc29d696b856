"""Many events at once, as columns; and frames as events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ...core.tables.encode import bodies_of, chunks
from ..client.appending import CHUNK, batches_of
from ..client.reading import Page, Run
from ..errors import KimberliteInputError
from ..wire.blobs import Blobs
from ..wire.columns import blobs_from_arrow

TIME = pa.timestamp("ms", "UTC")
SCHEMA = pa.schema([("offset", pa.uint64()), ("time", TIME), ("body", pa.binary())])
_ROWS = 32_768


def part(page: Page) -> tuple[pa.RecordBatch]:
    """Return a page as columns, without times: what `reading.pages` is to make of each as it comes.

    It holds nothing of what was received, which takes as much memory again.
    """
    offsets = pa.array(np.arange(page.first, page.first + len(page.events), dtype=np.uint64))
    times = pa.nulls(len(offsets), TIME)
    return (pa.RecordBatch.from_arrays([offsets, times, page.events.to_arrow()], schema=SCHEMA),)


def timed(parts: Sequence[pa.RecordBatch], runs: Sequence[Run]) -> list[pa.RecordBatch]:
    """Return pages with the times of their events, or without times if some are unknown."""
    times = np.repeat([run.time // 1_000_000 for run in runs], [run.length for run in runs])
    if not runs or len(times) != sum(one.num_rows for one in parts):
        return [*parts]
    pieces, at, column = [], 0, pa.array(times, pa.int64()).cast(TIME)
    for one in parts:
        offsets, _, bodies = one.columns
        pieces.append(pa.RecordBatch.from_arrays([offsets, column.slice(at, len(bodies)), bodies], schema=SCHEMA))
        at += len(bodies)
    return pieces


def batches(data: Any, body: str | None = None) -> Iterable[Blobs]:
    """Return a table, bytes, texts or dicts, one or many, as batches to append."""
    bodies = bodies_of(data, KimberliteInputError, body=body).bodies
    if isinstance(bodies, list):
        return batches_of(bodies)
    if isinstance(bodies, np.ndarray):
        # Objects become columns piece by piece while earlier ones are written; all of them are bytes.
        parts = (pa.chunked_array([pa.array(some, pa.binary())]) for some in chunks(bodies, _ROWS))
        return (batch for some in parts for batch in blobs_from_arrow(some, CHUNK))
    if not (_is_bytes(bodies.type) or pa.types.is_string(bodies.type) or pa.types.is_large_string(bodies.type)):
        raise KimberliteInputError(f"the column is {bodies.type}, not all bytes or all text")
    return blobs_from_arrow(bodies, CHUNK)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))
