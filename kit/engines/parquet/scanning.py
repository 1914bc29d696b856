"""Parquet files as one table that is read when it is used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ...core.errors import InputError
from ...core.html import one_line, text
from .files import dataset, plain, value_type
from .manifest import Manifest
from .store import Store

if TYPE_CHECKING:
    import pandas as pd


def scan(path: Any) -> Scan:
    """Return Parquet files as a table that is read when it is used: what `to_parquet` wrote, or any others.

    `path` is a folder, a file, or a pattern with `*`; on this machine, or wherever fsspec reaches. The table goes into
    `kit.sql` and into whatever takes Arrow; `.read()` is a DataFrame, `.to_dask()` a frame of Dask. Files whose columns
    differ are shown with the widest types.
    """
    return Scan(path)


class Scan:
    """Parquet files, read when they are used. Made by `kit.scan(path)`."""

    def __init__(self, path: Any) -> None:
        self.path = os.fspath(path) if hasattr(path, "__fspath__") else path
        self._store = Store(path)
        self._found: Any = None
        self._pattern = any(char in self.path for char in "*?[") and not self._store.exists()
        self.manifest = None if self._pattern else Manifest.read(self._store)
        """What the folder says of itself, where `to_parquet` wrote it."""

    def _files(self) -> list[str]:
        store = self._store
        if self.manifest is not None:
            return [store.where(part.name) for part in self.manifest.parts]
        if self._pattern:
            return store.matching()
        if store.is_file():
            return [store.root]
        hidden = ("_", ".")
        return [
            store.where(name)
            for name in store.names()
            if name.endswith(".parquet") and not any(step.startswith(hidden) for step in name.split("/"))
        ]

    def _dataset(self) -> Any:
        if self._found is None:
            files = self._files()
            if not files and self.manifest is None:
                raise InputError(f"there are no Parquet files at {self.path}")
            self._found = dataset(files, self._store, self.manifest.partition_by if self.manifest else [])
        return self._found

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        schema: pa.Schema = self._dataset().schema
        return schema

    def read(self, columns: list[str] | None = None, limit: int | None = None) -> pd.DataFrame:
        """Return the rows as a DataFrame, with some columns or up to a limit if requested."""
        from ...core.tables.frames import to_frame

        dataset = self._dataset()
        if columns is not None and (wrong := [name for name in columns if name not in dataset.schema.names]):
            raise InputError(f"there is no column {wrong[0]!r}", hint=f"there are {', '.join(dataset.schema.names)}")
        table = dataset.to_table(columns=columns) if limit is None else dataset.head(limit, columns=columns)
        return to_frame(plain(table), {"path": self.path})

    def arrow(self, columns: list[str] | None = None) -> pa.RecordBatchReader:
        """Return the rows as a stream of Arrow batches."""
        reader: pa.RecordBatchReader = self._dataset().scanner(columns=columns).to_reader()
        return reader

    @property
    def plain_schema(self) -> pa.Schema:
        """The columns, dictionaries shown as what they stand for."""
        return pa.schema(
            [field.with_type(value_type(field.type)) for field in self._dataset().schema]
        ).remove_metadata()

    def to_dask(self) -> Any:
        """Return a frame of Dask with a partition for each file, its dtypes known without reading."""
        from ..dasking.reading import of_files

        keys = self.manifest.partition_by if self.manifest is not None else []
        return of_files(self.path, self._files(), self.plain_schema, keys)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.arrow().__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        return self.manifest.rows if self.manifest is not None else int(self._dataset().count_rows())

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        if self.manifest is None:
            return one_line(f"<Scan of {self.path}: .read(), .arrow(), .to_dask()>")
        manifest = self.manifest
        return one_line(
            f"<Scan of {self.path}: {manifest.rows:,} rows in {len(manifest.parts)} files,"
            f" {manifest.source} from {manifest.start} to {manifest.next - 1}>"
            if manifest.rows
            else f"<Scan of {self.path}: no rows of {manifest.source} yet>"
        )

    def _repr_html_(self) -> str:
        return text(repr(self)[1:-1])
