"""Bodies as columns, in the same form for the whole life of a feed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import InputError
from ..core.tables.frames import BodyMode, choose_mode, is_text
from ..core.tables.json.typed import checked

FEW = 64
"""Up to this number, rows are decoded faster one by one than all at once."""
PREVIEW = 32 * 1024
"""Bytes of a value that are decoded for a preview, as in a view."""


class Table(Protocol):
    """Returns rows as the notebook shows them, and what was decided about them."""

    def __call__(
        self, batches: Sequence[pa.RecordBatch], body: BodyMode, types: Any, *, fast: bool
    ) -> tuple[pa.Table, dict[str, Any]]: ...


class Bodies:
    """The form of a feed's bodies, the column `raw`. What `auto` chooses for the first rows stays."""

    def __init__(self, mode: BodyMode, types: Mapping[str, Any] | None, raw: str, table: Table) -> None:
        if mode not in get_args(BodyMode):
            raise InputError(f"body={mode!r}", hint='choose one of "auto", "bytes", "text", "json"')
        self._types = None if types is None else checked(types)
        self._requested: BodyMode = "json" if mode == "auto" and types else mode
        self._mode: BodyMode = self._requested
        self._raw, self._table = raw, table

    def shape(self, batches: Sequence[pa.RecordBatch], *, preview: bool) -> tuple[pa.Table, dict[str, Any]]:
        """Return the rows as the notebook shows them. In a preview long bodies are cut, and not parsed."""
        fast = not preview or sum(batch.num_rows for batch in batches) > FEW
        if preview:
            batches = [cut(batch, self._raw, PREVIEW) for batch in batches]
        bodies = pa.chunked_array([batch.column(self._raw) for batch in batches], pa.binary())
        if self._mode == "auto":
            # Without any body, the mode would be "bytes".
            if not len(bodies):
                return self._table(batches, "auto", None, fast=fast)
            self._mode = choose_mode(bodies)
        if self._requested == "auto" and self._mode == "text" and not is_text(bodies):
            return self._table(batches, "bytes", None, fast=fast)  # as `read` returns the same rows
        return self._table(batches, self._mode, self._types, fast=fast)


def cut(batch: pa.RecordBatch, column: str, longest: int) -> pa.RecordBatch:
    """Return the rows with the values of a column of bytes cut to a length."""
    values = batch.column(column)
    long = pc.greater(pc.binary_length(values), longest)
    if not pc.any(long).as_py():
        return batch
    many = np.asarray(pc.fill_null(long, False))
    shortened = [
        value.as_py() if not n else bytes(memoryview(value.as_buffer())[:longest])
        for value, n in zip(values, many, strict=True)
    ]
    at = batch.schema.get_field_index(column)
    return batch.set_column(at, batch.schema.field(at), pa.array(shortened, values.type))
