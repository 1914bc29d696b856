"""A log to explore: a stream of S2 or Kimberlite, a room of Synap.

Every verb stands on the log's source, the `Ranged` that `log.source(...)` gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..processes import OfOneProcess
from .looking import Looking

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd
    import pyarrow as pa

    from ...parquet.scanning import Scan
    from ..frames import BodyMode
    from ..ranged import Ranged


class Log(Looking, OfOneProcess):
    """A log of records that have positions. polars, DuckDB and pyarrow take it as it is, as an Arrow stream."""

    def source(self, **kind: Any) -> Ranged:
        """Return what the records are read from, by position: for engines, and whatever looks through a log."""
        raise NotImplementedError

    def _ranged(self, **kind: Any) -> Ranged:
        return self.source(**kind)

    def read(self, start: Any = 0, limit: int | None = None) -> pd.DataFrame:
        raise NotImplementedError

    def head(self, n: int = 10, **options: Any) -> pd.DataFrame:
        """Return the oldest `n` records that the log still has; the options are those of `read`."""
        return self.read("earliest", n, **options)

    def _columns_of(
        self,
        columns: Sequence[str] | str | None,
        start: Any,
        limit: int | None,
        until: Any,
        body: BodyMode,
        types: Mapping[str, Any] | None,
        **kind: Any,
    ) -> pd.DataFrame:
        """Some columns of a range: the others are not decoded. Of no records, the columns that the log's have."""
        from ..frames import empty, to_frame
        from ..ranged import View

        if columns is None:
            whole = View(self.source(**kind), "earliest", None, None, body, types, strict=True)
            return empty(whole.schema, {"body": whole.shape.mode})
        view = View(self.source(**kind), start, limit, until, body, types, strict=True)
        return to_frame(view.collect([columns] if isinstance(columns, str) else [*columns]), {"body": view.shape.mode})

    def arrow(
        self,
        start: Any = 0,
        limit: int | None = None,
        until: Any = None,
        body: BodyMode = "auto",
        *,
        types: Mapping[str, pa.DataType] | None = None,
        **kind: Any,
    ) -> pa.RecordBatchReader:
        """The records as a stream of Arrow batches, read as they are taken, with the columns of `read`.

        The columns are decided before the first batch, on the first and the last thousand records. What a later record
        has beyond them is not lost: its raw bytes are then in the column of raw bodies, and a warning counts such
        records at the end. `types` names columns of your own: `types={"total": pa.float64()}`. S2 also takes
        `commands=True`, which shows orders to the service among the records.
        """
        from ..ranged import View

        return View(self.source(**kind), start, limit, until, body, types).reader()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.arrow().__arrow_c_stream__(requested_schema)

    def to_parquet(
        self,
        path: Any,
        partition_by: Sequence[str] | str = (),
        resume: bool = True,
        *,
        start: Any = 0,
        limit: int | None = None,
        until: Any = None,
        body: BodyMode = "auto",
        types: Mapping[str, pa.DataType] | None = None,
        compression: str = "zstd",
        **kind: Any,
    ) -> Scan:
        """The records up to the end as it is now, written to Parquet files; what `kit.scan(path)` gives.

        `path` is a folder of their own, on this machine or wherever fsspec reaches. The same call again writes what
        came since, and goes on where an earlier one was stopped, be it by `kill -9`: files appear whole, and
        their names say which records they hold. `partition_by` names columns, or `date` and `hour` of
        the time, that become folders. Memory does not grow with the records. Where later ones do not fit the columns,
        the next file has wider ones, and `kit.scan` shows all with the widest.
        """
        from ...parquet.scanning import Scan
        from ...parquet.writing import write
        from ..ranged import View

        write(View(self.source(**kind), start, limit, until, body, types), path, partition_by, resume, compression)
        return Scan(path)

    def to_dask(
        self,
        *,
        partitions: int | None = None,
        rows: int | None = None,
        every: Any = None,
        start: Any = 0,
        limit: int | None = None,
        until: Any = None,
        body: BodyMode = "auto",
        types: Mapping[str, pa.DataType] | None = None,
        **kind: Any,
    ) -> dd.DataFrame:
        """The records up to the end as it is now, as a frame of Dask: its partitions are ranges of positions.

        There are so many `partitions`, or so many `rows` in each, or each covers a time (`every="1h"`); without any of
        these a partition holds about 64 MB. Columns and dtypes are those of `.arrow()`, found on the first and the last
        records, integers and booleans with room for gaps. Whoever computes a partition reads it over a connection of
        its own, and reads the same again if it has to. Make a `distributed.Client` before this: its workers are handed
        the credential, which is in no graph, key or dashboard.
        """
        from ...dasking.reading import of_view
        from ..ranged import View

        found: dd.DataFrame = of_view(
            View(self.source(**kind), start, limit, until, body, types), partitions, rows, every
        )
        return found
