"""Joins chunks with different columns into one table, and turns Python objects into chunks of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import InputError
from ..core.tables.json.values import array_of, recast, text_of, widen
from ..core.tables.names import distinct
from ..core.tables.texts import texts
from .objects import objects_array, rows_table


def unified(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """Return one table of all rows. Where a chunk lacks a column, it has nulls; of several types, the widest is used.

    >>> a, b = pa.record_batch({"n": [1]}), pa.record_batch({"n": [2.5], "x": ["later"]})
    >>> unified([a, b]).to_pylist()
    [{'n': 1.0, 'x': None}, {'n': 2.5, 'x': 'later'}]
    """
    if not batches:
        return pa.table({})
    if all(batch.schema.equals(batches[0].schema) for batch in batches):
        return pa.Table.from_batches(batches)
    kinds: dict[str, pa.DataType] = {}
    nothing: dict[str, pa.DataType] = {}
    for batch in batches:
        for field, column in zip(batch.schema, batch.columns, strict=True):
            if len(column) and column.null_count == len(column):
                nothing.setdefault(field.name, field.type)  # JSON's nulls alone are a column of text, and say nothing
                kinds.setdefault(field.name, pa.null())
            else:
                kinds[field.name] = wider(kinds.get(field.name, pa.null()), field.type)
    kinds = {name: nothing.get(name, kind) if pa.types.is_null(kind) else kind for name, kind in kinds.items()}
    columns = {}
    for name, kind in kinds.items():
        columns[name] = _column(
            [batch.column(name) if name in batch.schema.names else len(batch) for batch in batches], kind
        )
    return pa.table(columns)


def _column(pieces: Sequence[Any], kind: pa.DataType) -> pa.ChunkedArray:
    chunks = [pa.nulls(piece, kind) if isinstance(piece, int) else _brought(piece, kind) for piece in pieces]
    if any(not chunk.type.equals(kind) for chunk in chunks):
        chunks = [_as_text(chunk) for chunk in chunks]
        kind = pa.string()
    return pa.chunked_array(chunks, kind)


def wider(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    """Return the wider of two types, as `widen` does for the types of JSON, and for all others of Arrow."""
    if a.equals(b) or pa.types.is_null(b):
        return a
    if pa.types.is_null(a):
        return b
    if pa.types.is_dictionary(a) or pa.types.is_dictionary(b):
        return wider(*(kind.value_type if pa.types.is_dictionary(kind) else kind for kind in (a, b)))
    if pa.types.is_timestamp(a) and pa.types.is_timestamp(b) and a.tz == b.tz:
        return max(a, b, key=lambda kind: ("s", "ms", "us", "ns").index(kind.unit))
    if pa.types.is_duration(a) and pa.types.is_duration(b):
        return max(a, b, key=lambda kind: ("s", "ms", "us", "ns").index(kind.unit))
    if pa.types.is_decimal(a) and pa.types.is_decimal(b):
        scale = max(a.scale, b.scale)
        digits = max(a.precision - a.scale, b.precision - b.scale) + scale
        return (
            pa.string()
            if digits > 76
            else pa.decimal128(digits, scale)
            if digits <= 38
            else pa.decimal256(digits, scale)
        )
    if pa.types.is_integer(a) and pa.types.is_integer(b):
        # Of the unsigned types, only uint64 does not fit into int64.
        unsigned = all(pa.types.is_unsigned_integer(kind) for kind in (a, b))
        return pa.uint64() if unsigned or pa.uint64() in (a, b) else pa.int64()
    numbers = [kind for kind in (a, b) if pa.types.is_integer(kind) or pa.types.is_floating(kind)]
    if len(numbers) == 2:
        return pa.float64()
    if all(_is_bytes(kind) for kind in (a, b)):
        return pa.large_binary()
    return widen(a, b)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _brought(chunk: pa.Array, kind: pa.DataType) -> pa.Array:
    if chunk.type.equals(kind):
        return chunk
    if pa.types.is_string(kind):
        return _as_text(chunk)
    try:
        return recast(chunk, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return _as_text(chunk)


def _as_text(chunk: pa.Array) -> pa.Array:
    if pa.types.is_string(chunk.type):
        return chunk
    if pa.types.is_floating(chunk.type):
        return chunk.cast(pa.string())
    if pa.types.is_temporal(chunk.type) or pa.types.is_decimal(chunk.type) or _is_bytes(chunk.type):
        return texts(chunk)
    return pa.array([text_of(value) for value in recast(chunk, pa.string()).to_pylist()], pa.string())


def batches_of(item: Any) -> list[pa.RecordBatch]:
    """Return what a user's source yields as columns: a DataFrame, Arrow, dicts or texts, one or a list of them.

    >>> batches_of([{"a": 1}, {"a": 2, "b": "x"}])[0].to_pylist()
    [{'a': 1, 'b': None}, {'a': 2, 'b': 'x'}]
    """
    if isinstance(item, pa.RecordBatch):
        return batches_of(pa.Table.from_batches([item]))
    if isinstance(item, pa.Table):
        named = item.rename_columns(distinct(item.column_names))
        return [batch for batch in named.to_batches() if batch.num_rows]
    if isinstance(item, Mapping):
        if item and all(_is_column(value) for value in item.values()):
            return [pa.record_batch({str(name): _values(value) for name, value in item.items()})]
        return batches_of([item])
    if type(item).__module__.partition(".")[0] == "pandas" and hasattr(item, "columns"):
        return [_frame_batch(item)]
    if isinstance(item, list | tuple):
        if not item:
            return []
        if all(isinstance(row, Mapping) for row in item):
            return _whole(rows_table(item), len(item))
        return [pa.record_batch({"value": _values(item)})]
    if isinstance(item, str | bytes | int | float | bool):
        return [pa.record_batch({"value": _values([item])})]
    raise InputError(
        f"a source gave {type(item).__name__}, which is no rows",
        hint="yield a DataFrame, an Arrow table, a dict, a text, or a list of dicts or texts",
    )


def _whole(table: pa.Table, rows: int) -> list[pa.RecordBatch]:
    if not table.num_columns:
        return [pa.record_batch({"value": pa.nulls(rows, pa.string())})]
    return [table.combine_chunks().to_batches()[0]]


def _is_column(value: Any) -> bool:
    module = type(value).__module__.split(".")[0]
    return isinstance(value, list | tuple | pa.Array) or (module in ("numpy", "pandas") and hasattr(value, "__len__"))


def _values(values: Any) -> pa.Array:
    if isinstance(values, list | tuple) or str(getattr(values, "dtype", "")) == "object":
        return objects_array(list(values))
    try:
        array = pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, UnicodeEncodeError, OverflowError):
        return array_of([value if not isinstance(value, bytes) else repr(value) for value in values], pa.string())
    return pc.cast(array, array.type) if isinstance(array, pa.Array) else array.combine_chunks()


def _frame_batch(frame: Any) -> pa.RecordBatch:
    return pa.record_batch(
        [_values(frame.iloc[:, n]) for n in range(frame.shape[1])], names=distinct(str(c) for c in frame.columns)
    )


def plain_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column as one array of its values, without a dictionary."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if isinstance(column, pa.ChunkedArray):
        combined = column.combine_chunks()
        return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)
    return column
