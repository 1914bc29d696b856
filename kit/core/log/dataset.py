"""Records with positions, read from one position to another as Arrow batches, for engines such as DuckDB and Dask.

Each service says how its records are read (`log.source.Ranged`). DuckDB, Arrow, Parquet files and Dask are given a
`View` of a range: its columns are decided before it is read, it can be read more than once, and it reads only the
columns and positions that are needed.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds

from ..errors import InputError, KitError, warn
from ..html import one_line
from ..tables.frames import FIRST_TIME, LAST_TIME
from ..tables.json.shape import Decoded, Shape, Wider, shape_of
from ..tables.json.typed import checked
from ..tables.pruning import mentions, narrowed
from .places import count_of
from .source import Piece as Piece
from .source import Ranged as Ranged

if TYPE_CHECKING:
    from ..tables.frames import BodyMode

SAMPLE = 1000
"""Records read at the beginning and at the end of a range to decide its columns."""


class MissingRange(KitError):
    """Records that should be there are gone: trimmed, or deleted with their stream, while they were being read.

    `missing` is their first position and the one after their last; what was read before them is whole.
    """

    missing: tuple[int, int] = (0, 0)


class Drift(KitError):
    """Records do not fit the columns that were decided; `wider` says which columns would, for `View.widen`."""

    wider: Widening


@dataclass(frozen=True)
class Widening:
    """The columns that a range would need, beside those that it has."""

    bodies: Wider
    columns: frozenset[str] = frozenset()
    """Columns that records have values for and the range lacks, apart from those of the bodies."""


class View(ds.Dataset):  # type: ignore[misc]
    """A range of records as a table that is read when it is used.

    Arrow, DuckDB and polars take it as a dataset; they ask `scanner` for the columns and the rows that they need.
    """

    def __new__(cls, *_: Any, **__: Any) -> View:
        view: View = ds.Dataset.__new__(cls)
        return view

    def __init__(
        self,
        source: Ranged,
        start: Any = 0,
        limit: int | None = None,
        until: Any = None,
        body: BodyMode = "auto",
        types: Mapping[str, pa.DataType] | None = None,
        *,
        strict: bool = False,
    ) -> None:
        limit = count_of(limit, "limit", source.refuse)
        self.source, self._given, self._body = source, (start, limit, until), body
        self._types = None if types is None else checked(types)
        self._strict = strict
        self._lock = threading.RLock()
        self._range: tuple[int, int] | None = None
        self._shape: Shape | None = None
        self._optional: frozenset[str] = frozenset(source.optional)
        """The optional columns that are shown."""
        self.failure: BaseException | None = None
        """What ended the last reading, where an engine in between tells only its text."""
        self.unfit = 0
        self._warned = False

    @classmethod
    def of(cls, source: Ranged, first: int, stop: int, like: Decided) -> View:
        """Return a range whose columns are decided already; no traffic."""
        view = cls(source)
        view._range, view._shape, view._optional = (first, stop), like.shape, like.optional
        return view

    @property
    def decided(self) -> Decided:
        """The columns, for other ranges of the same records."""
        return Decided(self.shape, self._optional)

    @property
    def range(self) -> tuple[int, int]:
        """The first position and the one after the last, as they were when first asked for."""
        with self._lock:
            if self._range is None:
                start, limit, until = self._given
                low, high = self.source.bounds()
                if until is not None:
                    high = min(high, self.source.until(until))
                first = max(low, 0 if start is None else self.source.start(start))
                if limit is not None:
                    high = min(high, first + limit)
                self._range = first, max(first, high)
            return self._range

    @property
    def shape(self) -> Shape:
        """What the bodies become; found on the first and the last records."""
        with self._lock:
            if self._shape is None:
                first, stop = self.range
                ends = {(first, min(stop, first + SAMPLE)), (max(first, stop - SAMPLE), stop)}
                sampled = [piece.batch for end in sorted(ends) for piece in self.source.pieces(*end) if end[0] < end[1]]
                bodies = pa.chunked_array([batch.column(self.source.body) for batch in sampled], pa.binary())
                # A query starts again if it meets other columns. A stream of batches cannot, so it has a column
                # for raw bodies, unless the sample is the whole range.
                every = not self._strict and stop - first > 2 * SAMPLE
                if not every:
                    self._optional = frozenset(
                        name for name in self.source.optional if any(_filled(batch.column(name)) for batch in sampled)
                    )
                taken = self.source.head.names
                self._shape = shape_of(bodies, self._body, taken, self.source.body, self._types, raw=every)
            return self._shape

    @property
    def beside(self) -> pa.Schema:
        """The columns beside the bodies."""
        self.shape  # noqa: B018  decides them
        hidden = set(self.source.optional) - self._optional
        return pa.schema([field for field in self.source.head if field.name not in hidden])

    @property
    def schema(self) -> pa.Schema:
        """The columns: position, time, what else the service tells, then the bodies."""
        return pa.schema([*self.beside, *self.shape.schema])

    def widen(self, wider: Widening) -> None:
        """Widen the columns so that they hold the new values too."""
        self._shape = self.shape.widened(wider.bodies)
        self._optional |= wider.columns

    def narrow(self, filter: Any) -> tuple[int, int]:
        """Return the range outside of which a filter is never true."""
        return within(self.source, filter, self.schema, *self.range)

    def scanner(self, columns: Any = None, filter: Any = None, **_: Any) -> Scan:
        """Return some columns of the rows for which a filter is true, read when they are taken."""
        return Scan(self, columns, filter)

    def reader(self, columns: Any = None, filter: Any = None) -> pa.RecordBatchReader:
        """Return the same as a stream of batches."""
        schema = self.schema
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema, filter))

    def to_batches(self, columns: Any = None, filter: Any = None, **_: Any) -> Iterator[pa.RecordBatch]:
        return iter(self.reader(columns, filter))

    def to_table(self, columns: Any = None, filter: Any = None, **_: Any) -> pa.Table:
        return self.reader(columns, filter).read_all()

    def collect(self, columns: Collection[str] | str, filter: Any = None) -> pa.Table:
        """Return some columns of all rows, with the types of a complete read; start again if a value does not fit."""
        names = self.source.known(columns, self.schema.names)
        while True:
            try:
                return self.to_table(names, filter)
            except Drift as drift:
                self.widen(drift.wider)

    def head(self, num_rows: int, columns: Any = None, filter: Any = None, **_: Any) -> pa.Table:
        batches, rows = [], 0
        reader = self.reader(columns, filter)
        for batch in reader:
            batches.append(batch)
            rows += batch.num_rows
            if rows >= num_rows:
                break
        return pa.Table.from_batches(batches, reader.schema).slice(0, num_rows)

    def count_rows(self, filter: Any = None, **_: Any) -> int:
        return sum(batch.num_rows for batch in self.reader([self.source.position], filter))

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.reader().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return one_line(f"<View of {self.source.label}>")

    def pieces(self, first: int, stop: int, names: Collection[str] | None = None) -> Iterator[tuple[Piece, Decoded]]:
        """Return the records of a part of the range with their decoded bodies."""
        shape = self.shape
        for piece in self._pieces(first, stop):
            decoded = shape.decode(piece.batch.column(self.source.body), names)
            if shape.mode == "text":
                texts = self.source.as_text(pa.chunked_array([decoded.columns[shape.body]]))
                decoded.columns[shape.body] = pa.concat_arrays(texts.chunks)
            yield piece, decoded

    def _batches(self, schema: pa.Schema, filter: Any) -> Iterator[pa.RecordBatch]:
        try:
            names, whole = schema.names, schema
            needed = names
            if filter is not None:
                whole, shown = self.schema, set(names)
                looked = [name for name in whole.names if name not in shown]
                needed = [*names, *(name for name in looked if mentions(filter, whole, name))]
            first, stop = self.narrow(filter)
            pieces = self.pieces(first, stop, needed)
            wider = pa.schema([whole.field(name) for name in needed]) if len(needed) > len(names) else schema
            for piece, decoded in pieces:
                self._judge(decoded, piece, needed, pieces)
                arrays = [_column(piece, decoded, name) for name in needed]
                batch = pa.RecordBatch.from_arrays(arrays, schema=wider) if needed else piece.batch.select([])
                if filter is not None:
                    for part in pa.Table.from_batches([batch]).filter(filter).select(names).to_batches():
                        if part.num_rows:
                            yield part
                elif batch.num_rows:
                    yield batch
            self._warn()
        except BaseException as error:
            if not isinstance(error, GeneratorExit):
                self.failure = error
            raise

    def _judge(
        self, decoded: Decoded, piece: Piece, needed: Collection[str], rest: Iterator[tuple[Piece, Decoded]]
    ) -> None:
        """Record what does not fit; if the query can start again, look at all other records first."""
        wider = self.widening(piece, decoded, needed)
        if wider is None:
            self.unfit += decoded.unfit
            return
        if not self._strict and self.shape.raw:
            self.unfit += decoded.unfit
            return
        if not self._strict and wider.bodies.binary:
            raise InputError(
                f"{self.source.label}: records from {piece.first} on hold bytes that are not text",
                hint='give body="bytes"',
            )
        misfits, begin = set(decoded.misfits) | wider.columns, piece.first
        for piece, decoded in rest:
            more = self.widening(piece, decoded, needed)
            if more is not None:
                misfits |= decoded.misfits | more.columns
                wider = Widening(wider.bodies | more.bodies, wider.columns | more.columns)
        names = ", ".join(sorted(misfits))
        raise Drift(
            f"{self.source.label}: records from {begin} on hold values that do not fit the columns ({names})",
            wider=wider,
        )

    def widening(self, piece: Piece, decoded: Decoded, needed: Collection[str] | None = None) -> Widening | None:
        """Return the columns that are needed and missing; None if there are none."""
        whole = needed is None or set(needed) >= set(self.schema.names)
        hidden = set(self.source.optional) - self._optional if whole else ()
        lacking = frozenset(name for name in hidden if _filled(piece.batch.column(name)))
        return Widening(decoded.wider, lacking) if decoded.wider or lacking else None

    def _warn(self) -> None:
        if self.unfit and not self._warned and not self._strict:
            self._warned = True
            warn(
                f"{one_line(self.source.label)}: {self.unfit:,} records hold keys or values that the columns, found on"
                f" a sample, do not; their bytes are in the column {self.source.body!r}. types= gives columns of your"
                " own"
            )

    def _pieces(self, first: int, stop: int) -> Iterator[Piece]:
        """Return the pieces of a range without a gap; an error says which records are missing."""
        at = first
        if first >= stop:
            return
        pieces = self.source.pieces(first, stop)
        try:
            for piece in pieces:
                if piece.first != at:
                    raise _missing(self.source, at, min(piece.first, stop), "they were trimmed or deleted")
                at = piece.stop
                yield piece
        except MissingRange:
            raise
        except KitError as error:
            error.hint = "\n  ".join(filter(None, (error.hint, _rest_of(self.source, at, stop))))
            error.missing = at, stop  # type: ignore[attr-defined]
            raise
        finally:
            pieces.close()  # type: ignore[attr-defined]
        if at < stop:
            raise _missing(self.source, at, stop, "the service does not have them any more")


def within(source: Ranged, filter: Any, schema: pa.Schema, first: int, stop: int) -> tuple[int, int]:
    """Return the part of a range outside of which a filter is never true."""
    first, stop = narrowed(filter, schema, source.position, first, stop)
    if filter is None or first >= stop or "time" not in schema.names:
        return first, stop
    begin, end = narrowed(filter, schema, "time", FIRST_TIME, LAST_TIME, nullable=True)
    if begin > FIRST_TIME and (at := source.place(begin)) is not None:
        first = max(first, at)
    if end < LAST_TIME and first < stop and (at := source.place(end, last=True)) is not None:
        stop = min(stop, at)
    return first, max(first, stop)


class Scan:
    """A scan that has not begun: what engines take from `View.scanner`."""

    def __init__(self, view: View, columns: Any, filter: Any) -> None:
        self._view, self._columns, self._filter = view, columns, filter

    @property
    def projected_schema(self) -> pa.Schema:
        """The columns that come."""
        schema = self._view.schema
        return schema if self._columns is None else pa.schema([schema.field(name) for name in self._columns])

    def to_reader(self) -> pa.RecordBatchReader:
        """Return the batches, read lazily."""
        return self._view.reader(self._columns, self._filter)

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """Return the same."""
        return iter(self.to_reader())

    def to_table(self) -> pa.Table:
        """Return all of it at once."""
        return self.to_reader().read_all()


@dataclass(frozen=True)
class Decided:
    """The columns of a range."""

    shape: Shape
    optional: frozenset[str]


def _filled(column: pa.Array) -> bool:
    """Return whether any of the lists has something in it."""
    return len(column.flatten()) > 0


def _column(piece: Piece, decoded: Decoded, name: str) -> pa.Array:
    return decoded.columns[name] if name in decoded.columns else piece.batch.column(name)


def _rest_of(source: Ranged, first: int, stop: int) -> str:
    return f"not read: {source.unit} {first} to {stop - 1} of {source.label}"


def _missing(source: Ranged, first: int, stop: int, why: str) -> MissingRange:
    return MissingRange(
        f"{source.unit} {first} to {stop - 1} of {source.label} are missing: {why}",
        hint="the records before them were read; start after them to read the rest",
        resource=source.label,
        missing=(first, stop),
    )
