"""Bodies as columns, the same way for as long as a feed lives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import InputError
from ..core.frames import BodyMode, choose_mode, is_text
from ..core.tables.typed import checked

Shape = Callable[[Sequence[pa.RecordBatch], BodyMode, Any], tuple[pa.Table, dict[str, Any]]]


class Bodies:
    """The form of a feed's bodies: what `auto` found in the first of them holds for all that follow."""

    def __init__(self, mode: BodyMode, types: Mapping[str, Any] | None = None) -> None:
        if mode not in get_args(BodyMode):
            raise InputError(f"body={mode!r}", hint='choose one of "auto", "bytes", "text", "json"')
        self._types = None if types is None else checked(types)
        self._asked: BodyMode = "json" if mode == "auto" and types else mode
        self._mode: BodyMode = self._asked

    def shape(
        self, batches: Sequence[pa.RecordBatch], column: str, shape: Shape, longest: int | None
    ) -> tuple[pa.Table, dict[str, Any]]:
        """The rows as `shape` makes them; bodies longer than `longest` are cut, and are no JSON then."""
        if longest is not None:
            batches = [cut(batch, column, longest) for batch in batches]
        bodies = pa.chunked_array([batch.column(column) for batch in batches], pa.binary())
        if self._mode == "auto":
            # Bytes is also what nothing at all looks like.
            if not len(bodies):
                return shape(batches, "auto", None)
            self._mode = choose_mode(bodies)
        if self._asked == "auto" and self._mode == "text" and not is_text(bodies):
            return shape(batches, "bytes", None)  # as a read of the same rows has it
        return shape(batches, self._mode, self._types)


def cut(batch: pa.RecordBatch, column: str, longest: int) -> pa.RecordBatch:
    """The rows, with the values of a column of bytes cut where they are longer."""
    values = batch.column(column)
    long = pc.greater(pc.binary_length(values), longest)
    if not pc.any(long).as_py():
        return batch
    many = np.asarray(pc.fill_null(long, False))
    kept = [
        value.as_py() if not n else bytes(memoryview(value.as_buffer())[:longest])
        for value, n in zip(values, many, strict=True)
    ]
    at = batch.schema.get_field_index(column)
    return batch.set_column(at, batch.schema.field(at), pa.array(kept, values.type))
