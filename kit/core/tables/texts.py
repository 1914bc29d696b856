"""Columns as texts, for files of text."""

from __future__ import annotations

from base64 import b64encode

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import InputError
from .encode import Table
from .frames import is_utf8


def texts(column: pa.Array) -> pa.Array:
    """Return a column as texts: what is nested as JSON, bytes as text, or in base64 where they are none."""
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        try:
            text = column.cast(pa.string())
            text.validate(full=True)
        except pa.ArrowInvalid:
            raw = column.to_pylist()
            return pa.array([None if one is None else text_of_bytes(one) for one in raw], pa.string())
        return text
    # Of {"v":...} the value; times and decimals without the quotes that they have in JSON.
    inner = pc.utf8_slice_codeunits(objects(pa.RecordBatch.from_arrays([column], names=["v"])), 5, -1)
    if not pa.types.is_nested(kind):
        inner = pc.if_else(pc.starts_with(inner, '"'), pc.utf8_slice_codeunits(inner, 1, -1), inner)
    return pc.if_else(column.is_valid(), inner, pa.scalar(None, inner.type)).cast(pa.string())


def objects(batch: pa.RecordBatch) -> pa.Array:
    """Return a JSON object for each row."""
    columns = [pa.chunked_array([column]) for column in batch.columns]
    encoded = Table(batch.schema.names, columns, batch.num_rows, InputError).objects()
    return encoded.combine_chunks() if encoded.num_chunks != 1 else encoded.chunk(0)


def text_of_bytes(value: bytes) -> str:
    """Return bytes as the text that they are, or in base64."""
    return value.decode() if is_utf8(value) else f"base64:{b64encode(value).decode()}"
