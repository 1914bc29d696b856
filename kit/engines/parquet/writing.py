"""Writing a range of records to Parquet files, in constant memory.

Rows are gathered into row groups and row groups into files. If records no longer fit the columns, the file ends and the
next one has wider columns, by the rules of `core.json_columns`; `kit.scan` shows all files with the widest. The
metadata of each file also states its source and its range.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...core import progress
from ...core.errors import InputError
from .manifest import METADATA_KEY, Manifest, Part, is_ours, name_of
from .partitions import KEYS, check, folder, packed, parted
from .store import Store, StoreError

if TYPE_CHECKING:
    from ...core.log.dataset import Piece, View
    from ...core.tables.json.shape import Decoded

GROUP_ROWS = 122_880
GROUP_BYTES = 32 * 1024 * 1024
FILE_BYTES = 128 * 1024 * 1024
"""The size of a file's records in memory, in bytes; the file is smaller. A crash loses at most one file of progress."""
_PARTITIONED_BYTES = 64 * 1024 * 1024


def write(
    view: View, path: Any, partition_by: Sequence[str] | str = (), resume: bool = True, compression: str = "zstd"
) -> Manifest:
    """Write what the folder does not hold yet; what it holds afterwards."""
    store = Store(path)
    names = [partition_by] if isinstance(partition_by, str) else list(partition_by)
    manifest = _begun(view, store, names, resume)
    manifest.sweep(store)
    first, stop = manifest.next, max(manifest.next, view.range[1])
    check(names, view.schema)
    kind = _Partitioned if names else _Files
    with progress.bar(stop - first, what=f"to {store.path}"[-40:], unit=f" {view.source.unit}") as bar:
        with kind(store, manifest, view, compression) as files:
            for piece, decoded in _fitting(view, first, stop, files):
                files.add(piece, decoded)
                bar.update(piece.stop - piece.first)
            files.end()
            files.end_empty()
    return manifest


def _begun(view: View, store: Store, names: list[str], resume: bool) -> Manifest:
    first = view.range[0]
    manifest = Manifest.read(store)
    if manifest is None:
        if store.is_file() or not all(is_ours(name) for name in store.names() if name.endswith(".parquet")):
            raise InputError(f"{store.path} contains other files", hint="give a new or empty folder")
        return Manifest(view.source.label, first, first, names)
    if not resume:
        raise InputError(
            f"{store.path} holds {manifest.rows:,} rows already", hint="give resume=True to continue, or another folder"
        )
    if manifest.source != view.source.label:
        raise InputError(f"{store.path} holds {manifest.source}, not {view.source.label}", hint="give another folder")
    if manifest.partition_by != names:
        raise InputError(f"{store.path} is partitioned by {manifest.partition_by or 'nothing'}", hint="give the same")
    end = view.source.bounds()[1]
    if end < manifest.next:
        raise InputError(
            f"{view.source.label} ends at {end}, but {store.path} reaches to {manifest.next}: the stream was replaced",
            hint="give another folder",
        )
    # A file without rows has the columns of an empty source; the source may have others by now.
    for part in [part for part in manifest.parts if not part.rows]:
        store.remove(part.name)
        manifest.parts.remove(part)
    return manifest


def _fitting(view: View, first: int, stop: int, files: _Files) -> Iterator[tuple[Piece, Decoded]]:
    """Return the records, their columns widened where one does not hold them."""
    for piece, decoded in view.pieces(first, stop):
        wider = view.widening(piece, decoded)
        if wider is not None:
            before = view.schema
            view.widen(wider)
            if not view.schema.equals(before):
                files.end()
                decoded = view.shape.decode(piece.batch.column(view.source.body))
        yield piece, decoded


class _Files:
    """Writes the records, one file after the other."""

    most = FILE_BYTES

    def __init__(self, store: Store, manifest: Manifest, view: View, compression: str) -> None:
        self._store, self._manifest, self._view, self._compression = store, manifest, view, compression
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        self._written = 0
        self._file_bytes = 0
        self._stop = manifest.next
        self._open = ExitStack()
        self._writer: Any = None

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        # If the service fails, the open file is finished and counts, so that its rows are not lost.
        if error is not None and not isinstance(error, OSError | KeyboardInterrupt | InputError):
            try:
                self.end()
            except Exception as second:
                self._open.__exit__(type(second), second, None)
            return
        if error is not None:
            self._open.__exit__(kind, error, trace)

    def add(self, piece: Piece, decoded: Decoded) -> None:
        """Write the next records."""
        schema = self._view.schema
        names = schema.names
        arrays = [decoded.columns[n] if n in decoded.columns else piece.batch.column(n) for n in names]
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        if batch.num_rows:
            self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        self._file_bytes += batch.nbytes
        self._stop = piece.stop
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()
        if self._file_bytes >= self.most:
            self.end()

    def _table(self) -> pa.Table:
        table = pa.Table.from_batches(self._batches, self._batches[0].schema)
        self._batches, self._rows, self._bytes = [], 0, 0
        return table

    def _flush(self) -> None:
        if not self._batches:
            return
        table = self._table()
        if self._writer is None:
            self._writer = self._begin(table.schema)
        self._writer.write_table(table, row_group_size=GROUP_ROWS)
        self._written += table.num_rows

    def _begin(self, schema: pa.Schema) -> Any:
        name = f"part-{self._manifest.next:020d}"
        file = self._open.enter_context(self._store.writing(name, lambda: self._part(self._written).name))
        return self._open.enter_context(pq.ParquetWriter(file, schema, compression=self._compression))

    def _part(self, rows: int, folder: str = "", number: int = 1, count: int = 1) -> Part:
        first = self._manifest.next
        return Part(folder + name_of(first, self._stop, rows, number, count), first, self._stop, rows)

    def _metadata(self) -> dict[bytes | str, bytes | str]:
        manifest = self._manifest
        description = {"source": manifest.source, "first": manifest.next, "stop": self._stop}
        return {METADATA_KEY: json.dumps({**description, "partition_by": manifest.partition_by})}

    def end(self) -> None:
        """End the file and counts it. Records of which nothing is kept are counted with those after them."""
        self._flush()
        if self._writer is None:
            return
        self._alone()
        self._writer.add_key_value_metadata(self._metadata())
        self._open.close()
        self._count([self._part(self._written)])
        self._writer, self._written, self._open = None, 0, ExitStack()

    def end_empty(self) -> None:
        """Write a file with only the columns if there is no record at all."""
        if not self._manifest.parts and self._writer is None:
            self._writer = self._begin(self._view.schema)
            self.end()

    def _alone(self) -> None:
        if self._manifest.reaches(self._store) != self._manifest.next:
            raise StoreError(f"{self._store.path} is being written by another process", resource=self._store.path)

    def _count(self, parts: list[Part]) -> None:
        self._manifest.parts += parts
        self._manifest.next = self._stop
        self._file_bytes = 0


class _Partitioned(_Files):
    """The same with a file for each partition; the files of one range of records count together."""

    most = _PARTITIONED_BYTES

    def _flush(self) -> None:
        pass  # rows are split into partitions when a range is complete

    def end(self) -> None:
        if not self._batches:
            return
        self._alone()
        self._write(self._table())

    def end_empty(self) -> None:
        if not self._manifest.parts:
            schema = self._view.schema
            self._write(pa.table([pa.nulls(1, field.type) for field in schema], schema=schema), rows=0)

    def _write(self, table: pa.Table, rows: int | None = None) -> None:
        count, groups = parted(table, self._manifest.partition_by)
        parts = []
        for number, (keys, group) in enumerate(groups, 1):
            group = group.slice(0, rows)
            part = self._part(group.num_rows, folder(keys), number, count)
            schema = group.schema.with_metadata({**self._metadata(), KEYS: packed(keys)})
            with self._store.writing(part.name) as file:
                pq.write_table(group.cast(schema), file, compression=self._compression, row_group_size=GROUP_ROWS)
            parts.append(part)
        self._count(parts)
