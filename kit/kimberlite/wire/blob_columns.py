"""Slices of a buffer as an Arrow column of byte strings, without a Python object for each."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_INT32 = 2**31 - 1


def blobs_to_arrow(data: bytes, bounds: array[int], count: int) -> pa.Array:
    """Return the events between these positions as a column of bytes; see `Blobs.to_arrow`."""
    if not count:
        return pa.array([], pa.binary())
    places = np.frombuffer(bounds, np.dtype(bounds.typecode), 2 * count + 1)
    if (alike := _alike(data, places, count)) is not None:
        return alike
    wide = int(places[-1]) > _INT32
    offsets = places.astype(np.int64 if wide else np.int32)
    pieces = pa.Array.from_buffers(
        pa.large_binary() if wide else pa.binary(), 2 * count, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )
    return pieces.take(pa.array(np.arange(1, 2 * count, 2)))


def _alike(data: bytes, places: npt.NDArray[np.unsignedinteger[Any]], count: int) -> pa.Array | None:
    """Return the column if all the events are of one size: they are copied as a block, into memory of just that size.
    Arrow's own way reserves for what an entry has on average, lengths included, and so moves everything once more."""
    starts, stops = places[1::2], places[2::2]
    size, step = int(stops[0] - starts[0]), int(stops[0] - places[0])
    if not 0 < size * count <= _INT32 or (stops - starts != size).any() or (np.diff(places[::2]) != step).any():
        return None
    block = np.frombuffer(data, np.uint8, count * step, int(places[0])).reshape(count, step)
    events = block[:, step - size :].copy()
    offsets = np.arange(0, count * size + 1, size, dtype=np.int32)
    return pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(events)])
