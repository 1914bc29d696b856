"""A log to explore: a stream of S2 or Kimberlite, a room of Synap.

Every verb is here, once, and uses the log's source: `log.source()` returns the `Ranged` of the service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from .. import progress
from ..errors import Interrupted
from ..html import one_line, table, text
from ..processes import OfOneProcess
from .declared import READING, Declares, declare, own
from .looking import Looking
from .places import count_of

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd
    import pyarrow as pa

    from ...engines.parquet.scanning import Scan
    from ...live.feed.source import Source
    from ...live.view import LiveView
    from ..completion import Names
    from ..tables.frames import BodyMode
    from .dataset import View
    from .source import Ranged

Answer = TypeVar("Answer")


class Log(Declares, Looking, OfOneProcess, Generic[Answer]):
    """Records in order, each at a position; no traffic before a verb is called.

    `open` gives the source of the records; polars, DuckDB and pyarrow take a log as it is, as a stream of Arrow.
    The arguments that only this service's logs take (`extras`), the verbs that they lack (`lacks`) and what `append`
    gives are declared on the class.
    """

    word: ClassVar[str] = "stream"
    """What such a log is called in `df.attrs`."""
    shown: ClassVar[str] = ".read(limit=100), .tail(), .append(df), .live()"
    more: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Verbs that only this service has, and what they give, for the table of what to try."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        declare(cls, {name: verb for name, verb in vars(Log).items() if name in _VERBS})

    def __init__(self, name: Any, open: Callable[..., Ranged], names: Names | None = None) -> None:
        self.name = name
        self._open, self._names = open, names

    def source(self, **extras: Any) -> Ranged:
        """Return the source of the records by position, for engines and searches."""
        return self._open(**extras)

    def read(
        self,
        start: Any = 0,
        limit: int | None = None,
        until: Any = None,
        body: BodyMode = "auto",
        *,
        where: Any = None,
        columns: Sequence[str] | str | None = None,
        types: Mapping[str, Any] | None = None,
        **extras: Any,
    ) -> pd.DataFrame:
        """Return the records from `start` on, up to the end as it is now, as a DataFrame.

        `start` and `until` are places as every log has them: a position, "earliest", "latest", "tail-100", a time with
        a zone, or one from now like "-1h"; what is at `until` is not read, and `limit` is a number of records. Columns:
        the position, `time`, what else the service tells, then the bodies, as `body` says: "json" (a column per key),
        "text", "bytes", or "auto", which looks and tells in `df.attrs`. `types` gives the keys of JSON types of your
        own, as `{"price": pa.decimal128(18, 4)}`; `columns` names the columns to return; only these are decoded.
        `where` is a filter of records, as `find` takes it; `limit` then counts the records that pass it.
        """
        source = self._opened("read", extras)
        if where is None:
            return self._read(source, start, limit, until, body, columns, types)
        from .finding.find import Criteria, find

        frame = find(source, Criteria(where=where), start, until, limit, None, body, types)
        return frame if columns is None else frame[source.known(columns, [*frame.columns])]

    def head(
        self,
        n: int = 10,
        body: BodyMode = "auto",
        *,
        columns: Sequence[str] | str | None = None,
        types: Mapping[str, Any] | None = None,
        **extras: Any,
    ) -> pd.DataFrame:
        """Return the oldest `n` records that the log still has; the options are those of `read`."""
        return self._read(self._opened("head", extras), "earliest", n, None, body, columns, types)

    def tail(
        self,
        n: int = 10,
        body: BodyMode = "auto",
        *,
        columns: Sequence[str] | str | None = None,
        types: Mapping[str, Any] | None = None,
        **extras: Any,
    ) -> pd.DataFrame:
        """Return the newest `n` records; `df.attrs["tail"]` is the position that the next one will get."""
        source = self._opened("tail", extras)
        count = count_of(n, "n", source.refuse)
        stop = source.stop()
        start = 0 if count is None else max(0, stop - count)
        frame = self._read(source, start, count, stop, body, columns, types)
        frame.attrs["tail"] = stop
        return frame

    def append(self, data: Any, *, body: str | None = None, **extras: Any) -> Answer:
        """Append records, and return their positions. Takes a DataFrame, or bytes, texts and dicts, one or many.

        polars and Arrow, and whatever else is a stream of Arrow, count as DataFrames. A frame's rows become JSON
        objects, unless `body` names the column of the bodies (one called `body` alone is taken for that). What the log
        cannot keep is refused before anything is sent, naming row and column.

        A `Path` to a file of JSON lines, CSV or Parquet (or a folder of these) is appended some records at a time, in
        bounded memory; `core.log.export.Written` then says what was. In CSV a column is of numbers, or of truth values,
        where every value of it is written as one; `0150` is text.
        """
        if isinstance(data, Path):
            from .export import append_file

            return cast(Answer, append_file(self.source(), data, {"body": body, **extras}))
        source = self.source()
        outgoing = source.outgoing(data, body=body, **own(type(self), "append", extras))
        with progress.bar(outgoing.count, what=f"append to {self.name}"[:40], unit=f" {source.unit}") as bar:
            sent = outgoing.send(bar.update)
        if self._names is not None:
            self._names.forget()  # an append may have created the log
        answer: Answer = sent.answer
        return answer

    def live(
        self,
        start: Any = "tail",
        body: BodyMode = "auto",
        *,
        where: Any = None,
        types: Mapping[str, Any] | None = None,
        rows: int = 20,
        max_rows: int | None = None,
        max_bytes: int | None = None,
        from_checkpoint: Any = None,
        **columns: Any,
    ) -> LiveView:
        """Return a live view of the records from `start` on, by default of those that come from now on.

        It runs while other cells do: `view.df`, `view.wait(n=100)`, `view.pause()`, `view.close()`. `start`, `body` and
        `types` are those of `read`. `where`, or `column=value` here, filters the records; see `kit.Feed` for this and
        for the bounds. `from_checkpoint` continues where an earlier feed ended.
        """
        from ...live.view import live

        extras = {
            extra.name: columns.pop(extra.name)
            for extra in self.extras
            if "live" in extra.verbs and extra.name in columns
        }
        bounds = {"max_rows": max_rows, "max_bytes": max_bytes, "from_checkpoint": from_checkpoint}
        return live(self._source(start, body, types=types, **extras), rows, where, bounds, columns)

    def _source(
        self, start: Any = "tail", body: BodyMode = "auto", types: Mapping[str, Any] | None = None, **extras: Any
    ) -> Source:
        """Return the source of a feed of this log, for `kit.Feed(log, start=...)`."""
        source = self._opened("live", extras)
        follower: Source = source.follow(source.placed("tail" if start is None else start), body, types)
        follower.searched = self
        return follower

    def arrow(
        self,
        start: Any = 0,
        limit: int | None = None,
        until: Any = None,
        body: BodyMode = "auto",
        *,
        types: Mapping[str, pa.DataType] | None = None,
        **extras: Any,
    ) -> pa.RecordBatchReader:
        """Return the records as a stream of Arrow batches, read lazily, with the columns of `read`.

        The columns are decided before the first batch, on the first and the last thousand records. What a later record
        has beyond them is not lost: its raw bytes are then in the column of raw bodies, and a warning counts such
        records at the end. `types` names columns of your own: `types={"total": pa.float64()}`.
        """
        return self._view("arrow", extras, start, limit, until, body, types).reader()

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
        **extras: Any,
    ) -> Scan:
        """Write the records up to the current end to Parquet files; return `kit.scan(path)`.

        `path` is a folder of their own, on this machine or wherever fsspec reaches. The same call again writes what
        came since, and continues where an earlier one was stopped, even by `kill -9`: files appear whole, and
        their names say which records they hold. `partition_by` names columns, or `date` and `hour` of
        the time, that become folders. Memory does not grow with the records. Where later ones do not fit the columns,
        the next file has wider ones, and `kit.scan` shows all with the widest.
        """
        from ...engines.parquet.scanning import Scan
        from ...engines.parquet.writing import write

        view = self._view("to_parquet", extras, start, limit, until, body, types)
        write(view, path, partition_by, resume, compression)
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
        **extras: Any,
    ) -> dd.DataFrame:
        """Return the records up to the end as it is now as a frame of Dask: its partitions are ranges of positions.

        Give the number of `partitions`, or of `rows` in each, or a time that each covers (`every="1h"`); without any of
        these a partition holds about 64 MB. Columns and dtypes are those of `.arrow()`, found on the first and the last
        records, integers and booleans are nullable. The worker that computes a partition reads it over a connection of
        its own, and reads the same again if it has to. Make a `distributed.Client` before this: its workers are handed
        the credential, which is in no graph, key or dashboard.
        """
        from ...engines.dasking.reading import of_view

        frame: dd.DataFrame = of_view(
            self._view("to_dask", extras, start, limit, until, body, types), partitions, rows, every
        )
        return frame

    def __len__(self) -> int:
        """Return the position that the next record will get."""
        return self.source().stop()

    def __bool__(self) -> bool:
        return True  # makes no request

    def __repr__(self) -> str:
        return one_line(f"<{type(self).__name__} {self._title()}: {self.shown}>")

    def _repr_html_(self) -> str:
        return text(f"{type(self).__name__} {self._title()}") + table(("try", "to get"), (*_TRY, *self.more))

    def _title(self) -> str:
        return str(self.name)

    def _opened(self, verb: str, extras: Mapping[str, Any]) -> Ranged:
        """Return the source as a verb's own arguments have it."""
        return self.source(**own(type(self), verb, extras))

    def _view(
        self, verb: str, extras: Mapping[str, Any], start: Any, limit: Any, until: Any, body: BodyMode, types: Any
    ) -> View:
        from .dataset import View

        return View(self._opened(verb, extras), start, limit, until, body, types)

    def _read(
        self,
        source: Ranged,
        start: Any,
        limit: Any,
        until: Any,
        body: BodyMode,
        columns: Sequence[str] | str | None,
        types: Mapping[str, Any] | None,
    ) -> pd.DataFrame:
        from ..tables.frames import to_frame
        from ..tables.json.typed import checked

        if columns is not None:
            from .dataset import View

            view = View(source, start, limit, until, body, types, strict=True)
            return to_frame(view.collect(columns), {"body": view.shape.mode})
        typed = checked(types or {})
        begin, count = source.placed(start), count_of(limit, "limit", source.refuse)
        pages = source.pages(begin, count, None if until is None else source.placed(until, "until"))
        pieces_read, interrupted = [], False
        with progress.bar(pages.total(), what=f"read {self.name}"[:40], unit=f" {source.unit}") as bar:
            try:
                for batch in pages.batches:
                    pieces_read.append(batch)
                    bar.update(batch.num_rows)
            except KeyboardInterrupt:
                interrupted = True
        rows, attrs = source.shown(pieces_read, body, typed)
        if not rows.num_rows and not interrupted:  # it has the same columns as the log's reads
            from .dataset import View

            whole = View(source, "earliest", None, None, body, types, strict=True)
            rows, attrs = whole.schema.empty_table(), {**attrs, "body": whole.shape.mode}
        frame = to_frame(rows, {self.word: str(self.name), **attrs})
        if interrupted:
            raise Interrupted(frame, source.unit)
        return frame


_VERBS = (*READING, "tail", "append", "live")
_TRY = (
    (".read(limit=100)", "records as a DataFrame, from the beginning"),
    ('.read("tail-100"), .tail(), .head()', "the newest, the oldest"),
    (".live()", "records as they come"),
    (".append(df)", "rows appended as JSON"),
    (".arrow(), .to_dask()", "records as a stream of Arrow batches, as a frame of Dask"),
    (".to_parquet(path), kit.sql(query, s=stream)", "records in files; SQL over them"),
)
