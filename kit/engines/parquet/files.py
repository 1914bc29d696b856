"""Parquet files whose columns differ, as one table with the widest types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from ...core.tables.json.values import recast, widest
from ...core.tables.moments import UNITS
from .partitions import KEYS, condition, from_path, unpacked
from .store import Store

_YEARS = (1677, 2262)
"""Nanoseconds reach from the one to the other."""


def of_file(path: Any, file: str, schema: pa.Schema, own: list[str]) -> pa.Table:
    """Return one file of a scan, with the columns of all."""
    one = plain(dataset([file], Store(path), own).to_table())
    columns = []
    for field in schema:
        n = one.schema.get_field_index(field.name)
        column = pa.nulls(one.num_rows, field.type) if n < 0 else one.column(n)
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        columns.append(pa.chunked_array([recast(chunk, field.type) for chunk in chunks], field.type))
    return pa.table(columns, schema=schema)


def value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


@dataclass(frozen=True)
class _File:
    """A file, its columns, and the values of its partition if known."""

    path: str
    schema: pa.Schema
    keys: pa.RecordBatch | None

    @classmethod
    def read(cls, path: str, store: Store, own: list[str]) -> _File:
        schema = pq.read_schema(path, filesystem=store.filesystem)
        encoded = (schema.metadata or {}).get(KEYS)
        keys = unpacked(encoded) if encoded is not None else from_path(path, own) if own else None
        return cls(path, schema.remove_metadata(), keys)


def dataset(paths: list[str], store: Store, own: list[str]) -> Any:
    """Return files as one table; `own` names the partition columns of those that do not tell them themselves."""
    if not paths:
        return ds.dataset(pa.table({}))
    files = [_File.read(path, store, own) for path in paths]
    merged = pa.schema(_exact(field, files, store) for field in _merged([file.schema for file in files]))
    if any(file.keys is not None for file in files):
        return _partitioned(files, merged, store)
    options = {"filesystem": store.filesystem, "format": "parquet", "partition_base_dir": store.root}
    if not store.is_file():
        options["partitioning"] = ds.HivePartitioning.discover(infer_dictionary=False)
    whole = ds.dataset(paths, **options)
    if all(_same(file.schema, merged) for file in files):
        return whole
    return Widened(whole, pa.schema([*merged, *(f for f in whole.schema if f.name not in merged.names)]), {})


def _partitioned(files: list[_File], merged: pa.Schema, store: Store) -> Any:
    none = pa.table([[0]], names=["none"]).select([]).to_batches()[0]
    keys = {file.path: none if file.keys is None else file.keys for file in files}
    fields = _merged([key.schema for key in keys.values()])
    whole = pa.schema([*merged, *(field for field in fields if field.name not in merged.names)])
    form, place = ds.ParquetFileFormat(), store.filesystem
    fragments = [form.make_fragment(path, place, partition_expression=condition(key)) for path, key in keys.items()]
    table = ds.FileSystemDataset(fragments, whole, form, place)
    same = all(_same(file.schema, whole) and _same(keys[file.path].schema, whole) for file in files)
    return table if same else Widened(table, whole, keys)


def _same(schema: pa.Schema, merged: pa.Schema) -> bool:
    """Return whether Arrow itself shows the file with these columns: missing ones are nulls to it."""
    return all(merged.field(field.name).type.equals(field.type) for field in schema)


def _merged(schemas: list[pa.Schema]) -> list[pa.Field]:
    types: dict[str, list[pa.DataType]] = {}
    for schema in schemas:
        for field in schema:
            types.setdefault(field.name, []).append(field.type)
    last = [name for name in types if name in ("body", "data")]
    names = [name for name in types if name not in last] + last
    return [pa.field(name, _widest(types[name])) for name in names]


def _exact(field: pa.Field, files: list[_File], store: Store) -> pa.Field:
    """Return the column in a type that holds the numbers and times of all files, by what the files say of them."""
    kind = field.type
    fine = pa.types.is_timestamp(kind) and kind.unit == "ns"
    if not (pa.types.is_floating(kind) or kind == pa.uint64() or fine):
        return field
    own = [(file, file.schema.field(field.name).type) for file in files if field.name in file.schema.names]
    if not any(other != kind and (fine or pa.types.is_integer(other)) for _, other in own):
        return field
    ends = [end for file, other in own if other != kind or not fine for end in _ends(file, field.name, store)]
    if fine:
        return field if all(_YEARS[0] < end.year < _YEARS[1] for end in ends) else field.with_type(pa.string())
    whole = [end for end in ends if isinstance(end, int)]
    if pa.types.is_floating(kind):
        return field if all(abs(end) <= 2**53 for end in whole) else field.with_type(pa.string())
    if all(end >= 0 for end in whole):
        return field
    return field.with_type(pa.int64() if all(end < 2**63 for end in whole) else pa.string())


def _ends(file: _File, name: str, store: Store) -> Iterator[Any]:
    """Yield the least and the greatest value of a column in each part of a file, where the file states them."""
    parts = pq.read_metadata(file.path, filesystem=store.filesystem)
    for n in range(parts.num_row_groups):
        for place in range(parts.num_columns):
            column = parts.row_group(n).column(place)
            if column.path_in_schema == name and column.is_stats_set and column.statistics.has_min_max:
                yield from (column.statistics.min, column.statistics.max)


def _widest(types: list[pa.DataType]) -> pa.DataType:
    if all(kind.equals(types[0]) for kind in types):
        return types[0]
    if all(pa.types.is_timestamp(kind) and kind.tz == types[0].tz for kind in types):
        return max(types, key=lambda kind: UNITS.index(kind.unit))
    return pa.float64() if all(pa.types.is_floating(kind) for kind in types) else widest(types)


class Widened(ds.Dataset):  # type: ignore[misc]
    """Files whose columns differ, each converted to the widest types as it is read."""

    def __new__(cls, *_: Any) -> Widened:
        made: Widened = ds.Dataset.__new__(cls)
        return made

    def __init__(self, whole: Any, schema: pa.Schema, keys: Mapping[str, pa.RecordBatch]) -> None:
        self._whole, self._schema, self._keys = whole, schema, keys

    @property
    def schema(self) -> pa.Schema:
        return self._schema

    def scanner(self, columns: Any = None, filter: Any = None, **_: Any) -> Any:
        """Return some columns of the rows for which a filter is true."""
        schema = self._schema
        reader = pa.RecordBatchReader.from_batches(schema, self._batches())
        return ds.Scanner.from_batches(reader, columns=columns, filter=filter)

    def to_table(self, columns: Any = None, filter: Any = None, **_: Any) -> pa.Table:
        return self.scanner(columns, filter).to_table()

    def head(self, num_rows: int, columns: Any = None, filter: Any = None, **_: Any) -> pa.Table:
        return self.scanner(columns, filter).head(num_rows)

    def count_rows(self, filter: Any = None, **_: Any) -> int:
        return int(self._whole.count_rows() if filter is None else self.scanner([], filter).count_rows())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for fragment in self._whole.get_fragments():
            keys = self._keys.get(fragment.path)
            if keys is None:
                keys = pa.RecordBatch.from_pylist([ds.get_partition_keys(fragment.partition_expression)])
            for batch in fragment.to_batches():
                yield pa.RecordBatch.from_arrays(
                    [_column(batch, keys, field) for field in self._schema], schema=self._schema
                )


def _column(batch: pa.RecordBatch, keys: pa.RecordBatch, field: pa.Field) -> pa.Array:
    if (n := batch.schema.get_field_index(field.name)) >= 0:
        return recast(batch.column(n), field.type)
    if (n := keys.schema.get_field_index(field.name)) >= 0:
        return recast(pa.repeat(keys.column(n)[0], batch.num_rows), field.type)
    return pa.nulls(batch.num_rows, field.type)


def plain(table: pa.Table) -> pa.Table:
    """Return dictionary-encoded columns as plain ones."""
    for n, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(n, field.name, table.column(n).cast(field.type.value_type))
    return table
