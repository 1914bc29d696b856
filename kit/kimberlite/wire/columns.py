"""Pages of events and results of SQL as Arrow columns and back, without a Python object per event or cell.

In a page, the length of each event precedes its contents. Read as one column of byte strings, that is length,
contents, length, contents: every second entry is an event, and Arrow takes those out at the speed of memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import KimberliteInputError
from .blobs import Blobs

_INT32 = 2**31 - 1


def blobs_from_arrow(column: pa.Array | pa.ChunkedArray, most: int = 8 * 1024 * 1024) -> Iterable[Blobs]:
    """Return a column of bytes or text as batches to append, each of at most `most` bytes on the wire (or one event).

    Rows that are missing are refused: an event is bytes, if only none.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    for chunk in chunks:
        if chunk.null_count:
            raise KimberliteInputError(
                f"{chunk.null_count} of the events are missing", hint="drop those rows, or fill them with b''"
            )
        if len(chunk):
            yield from _batches(_as_bytes(chunk), most)


def _as_bytes(chunk: pa.Array) -> pa.Array:
    """Return text or bytes, however Arrow keeps them, as `large_binary`."""
    kind, is_ = chunk.type, pa.types
    if is_.is_dictionary(kind):
        return _as_bytes(chunk.cast(kind.value_type))
    if is_.is_string(kind) or is_.is_string_view(kind):
        return chunk.cast(pa.large_string()).cast(pa.large_binary())
    if any(test(kind) for test in (is_.is_binary, is_.is_large_binary, is_.is_binary_view, is_.is_large_string)):
        return chunk.cast(pa.large_binary())
    raise KimberliteInputError(f"events must be bytes or text, not {kind}", hint="encode them first, e.g. as JSON")


def _batches(chunk: pa.Array, most: int) -> Iterable[Blobs]:
    """Yield the batches of a chunk, each made when it is asked for."""
    sizes = np.asarray(pc.binary_length(chunk)).astype(np.int64)
    ends = np.cumsum(sizes + _head_sizes(sizes.astype(np.uint64)))
    start = done = 0
    while start < len(chunk):
        stop = max(int(np.searchsorted(ends, done + most, side="right")), start + 1)
        yield _batch(chunk.slice(start, stop - start), sizes[start:stop])
        done, start = int(ends[stop - 1]), stop


def _batch(events: pa.Array, sizes: npt.NDArray[np.int64]) -> Blobs:
    kind = pa.large_binary()
    heads, head_sizes = varint_column(sizes.astype(np.uint64))
    # Arrow joins lengths and contents into one piece of memory: the wire form.
    joined = pc.binary_join_element_wise(heads, events, pa.scalar(b"", kind))
    offsets, data = contents(joined)
    bounds = array("Q", bytes(8 * (2 * len(joined) + 1)))
    places = np.frombuffer(bounds, np.uint64)
    places[::2] = offsets
    places[1::2] = offsets[:-1] + head_sizes
    return Blobs(data, bounds, len(joined))


def contents(column: pa.Array) -> tuple[npt.NDArray[np.int64], bytes]:
    """Return where the entries of a new `large_binary` column are, and all of them one after the other."""
    data = column.buffers()[2]
    return np.frombuffer(column.buffers()[1], np.int64, len(column) + 1), data.to_pybytes() if data else b""


def varint_column(values: npt.NDArray[np.uint64], before: bytes = b"") -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """Return numbers as they are written, each after the same bytes, as `large_binary`; and how many bytes each
    takes."""
    taken = np.full(len(values), len(before), np.int64) + _head_sizes(values)
    starts = np.cumsum(taken) - taken
    data = np.empty(int(taken.sum()), np.uint8)
    for n, byte in enumerate(before):
        data[starts + n] = byte
    for n in range(int(taken.max(initial=len(before) + 1)) - len(before)):
        has = taken > n + len(before)
        more = np.where(taken[has] > n + len(before) + 1, 128, 0)
        part = (values[has] >> np.uint64(7 * n) & np.uint64(127)).astype(np.int64)
        data[starts[has] + len(before) + n] = part | more
    offsets = np.append(starts, len(data)).astype(np.int64)
    column = pa.Array.from_buffers(pa.large_binary(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    return column, taken


def _head_sizes(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return how many bytes each number takes."""
    taken = np.ones(len(values), np.int64)
    for bits in range(7, 64, 7):
        larger = values >> np.uint64(bits) > 0
        if not larger.any():
            break
        taken += larger
    return taken
