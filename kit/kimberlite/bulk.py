"""Many events at once, as columns; and frames as events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ..core.tables.encode import bodies_of, chunks
from .appending import CHUNK, batches_of
from .blobs import Blobs
from .columns import blobs_from_arrow
from .errors import KimberliteInputError
from .reading import Page, Run

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
    """Return what a notebook has at hand as batches to append: a table, bytes, texts, dicts, one or many."""
    bodies = bodies_of(data, KimberliteInputError, body=body).bodies
    if isinstance(bodies, list):
        return batches_of(bodies)
    if isinstance(bodies, np.ndarray):
        # Objects become a column some at a time, while those before are written: all of them are bytes.
        parts = (pa.chunked_array([pa.array(some, pa.binary())]) for some in chunks(bodies, _ROWS))
        return (batch for some in parts for batch in blobs_from_arrow(some, CHUNK))
    if not (_is_bytes(bodies.type) or pa.types.is_string(bodies.type) or pa.types.is_large_string(bodies.type)):
        raise KimberliteInputError(f"the column is {bodies.type}, not all bytes or all text")
    return blobs_from_arrow(bodies, CHUNK)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))
