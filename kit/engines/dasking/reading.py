"""Ranges of positions as partitions, each read by the worker that computes it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ...core.errors import InputError, SetupError
from ...core.html import one_line
from ...core.log.dataset import SAMPLE, Decided, Ranged, View
from ...core.tables.frames import to_frame
from .credentials import held
from .handover import hold

PARTITION_BYTES = 64 * 1024 * 1024
"""The default size of a partition, in bytes of raw records."""
_MOST = 100_000


def frames() -> Any:
    """Return Dask's module of frames, or say what to install."""
    try:
        import dask.dataframe as dd
    except ImportError:
        raise SetupError("Dask is not installed", hint='pip install "kit-notebook[dask]"') from None
    return dd


class Elsewhere:
    """A source in a form that another process can open: it refers to credentials by name and contains none."""

    def __init__(self, source: Ranged) -> None:
        self._make, self._args, secrets = source.recipe()
        self.label = source.label
        self._credential = hold(secrets)

    def open(self) -> Ranged:
        """Return the source over a connection of its own; to be closed."""
        return self._make(*self._args, **held(self._credential, self.label))

    def __dask_tokenize__(self) -> Any:
        return self._make.__module__, repr(self._args)

    def __repr__(self) -> str:
        return one_line(f"<{self.label}>")


class RangeReader:
    """Reads one range as a frame; all ranges have the same columns and dtypes."""

    def __init__(self, source: Elsewhere, schema: pa.Schema, like: Decided) -> None:
        self._source, self._schema, self._like = source, schema, like

    def __call__(self, where: tuple[int, int]) -> pd.DataFrame:
        source = self._source.open()
        try:
            table = View.of(source, *where, self._like).to_table()
        finally:
            source.close()
        return self.frame(table)

    def frame(self, table: pa.Table) -> pd.DataFrame:
        """Return columns that may have gaps have the dtypes for it in every partition."""
        never = {self._schema.names[0]}
        return to_frame(table, nullable=[name for name in table.column_names if name not in never])

    @property
    def meta(self) -> pd.DataFrame:
        """A frame without rows."""
        return self.frame(self._schema.empty_table())

    def __dask_tokenize__(self) -> Any:
        return self._source.__dask_tokenize__(), str(self._schema)

    def __repr__(self) -> str:
        return one_line(f"<reader of {self._source.label}>")


def of_view(view: View, partitions: int | None, rows: int | None, every: Any) -> Any:
    """Return the frame of Dask of a range."""
    dd = frames()
    if sum(one is not None for one in (partitions, rows, every)) > 1:
        raise InputError("give one of partitions=, rows= and every=")
    ranges = _by_time(view, every) if every is not None else _by_count(view, partitions, rows)
    reader = RangeReader(Elsewhere(view.source), view.schema, view.decided)
    return dd.from_map(reader, ranges or [(view.range[0],) * 2], meta=reader.meta, label="kit-read")


def _by_count(view: View, partitions: int | None, rows: int | None) -> list[tuple[int, int]]:
    first, stop = view.range
    for name, value in (("partitions", partitions), ("rows", rows)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise InputError(f"{name}={value!r}: give a number from 1 up")
    if partitions is not None:
        cuts = [first + (stop - first) * n // partitions for n in range(partitions + 1)]
    else:
        step = rows or _fitting(view)
        cuts = [*range(first, stop, step), stop]
    if len(cuts) > _MOST:
        raise InputError(f"{len(cuts) - 1:,} partitions are too many", hint=f"at most {_MOST:,}; give larger rows=")
    return [(a, b) for a, b in pairwise(cuts) if a < b]


def _fitting(view: View) -> int:
    """Return how many records fill a partition, by the size of the first ones."""
    first, stop = view.range
    size = count = 0
    for piece in view.source.pieces(first, min(stop, first + SAMPLE)) if first < stop else ():
        size += piece.batch.nbytes
        count += piece.stop - piece.first
    return max(1000, min(2_000_000, PARTITION_BYTES * count // max(1, size))) if count else 1


def _by_time(view: View, every: Any) -> list[tuple[int, int]]:
    first, stop = view.range
    try:
        step = pd.Timedelta(every)
    except (ValueError, TypeError):
        step = pd.Timedelta(0)
    if not step > pd.Timedelta(0):
        raise InputError(f"every={every!r} is not a length of time", hint='give one like "1h" or "1D"')
    if first >= stop:
        return []
    ends = [
        pc.min_max(pa.chunked_array([piece.batch.column("time") for piece in view.source.pieces(*end)])).as_py()
        for end in ((first, first + 1), (stop - 1, stop))
    ]
    begin, end = ends[0]["min"], ends[-1]["max"]
    if begin is None or end is None or view.source.place(0) is None:
        raise InputError(
            f"{view.source.label} cannot be split by time: the service does not find records by time", hint="give rows="
        )
    moment = pd.Timestamp(begin).floor(step) + step
    if (pd.Timestamp(end) - moment) / step > _MOST:
        raise InputError(f"every={every!r} makes more than {_MOST:,} partitions")
    cuts = [first]
    while moment <= pd.Timestamp(end):
        at = view.source.place(int(moment.value // 1_000_000))
        assert at is not None
        if cuts[-1] < at < stop:
            cuts.append(at)
        moment += step
    return list(zip(cuts, [*cuts[1:], stop], strict=True))


class FileReader:
    """Reads one Parquet file as a frame with the columns of all files."""

    def __init__(self, path: Any, schema: pa.Schema, keys: list[str]) -> None:
        self._path, self._schema, self._keys = path, schema, keys

    def __call__(self, file: str) -> pd.DataFrame:
        from ..parquet.files import of_file

        return self.frame(of_file(self._path, file, self._schema, self._keys))

    def frame(self, table: pa.Table) -> pd.DataFrame:
        """Return columns that may have gaps have the dtypes for it in every partition."""
        return to_frame(table, nullable=table.column_names)

    def __dask_tokenize__(self) -> Any:
        return str(self._path), str(self._schema)


def of_files(path: Any, files: list[str], schema: pa.Schema, keys: list[str]) -> Any:
    """Return the frame of Dask of a scan: a partition for each file."""
    dd = frames()
    reader = FileReader(path, schema, keys)
    meta = reader.frame(schema.empty_table())
    if not files:
        return dd.from_pandas(meta, npartitions=1)
    return dd.from_map(reader, files, meta=meta, label="kit-scan")
