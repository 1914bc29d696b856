"""The tables that a query of `kit.sql` may name, as the engine sees them, and the real names of their columns.

DuckDB ignores the case of names and ends them at a NUL, so it would confuse columns that differ only in these. Such
columns get other names for the engine, and the answer has the real names again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds

from ..core.errors import InputError
from ..core.log.dataset import View
from ..core.log.log import Log
from ..core.tables.moments import UNITS
from ..core.tables.names import distinct, for_sql
from ..core.tables.pruning import mentions

if TYPE_CHECKING:
    import pandas as pd


def takes(value: Any) -> bool:
    """Return whether a value can be a table of a query."""
    return (
        _opener(value) is not None
        or hasattr(type(value), "__arrow_c_stream__")
        or any(
            kind.__module__.partition(".")[0] in ("pandas", "pyarrow", "polars", "duckdb", "numpy")
            for kind in type(value).__mro__
        )
    )


class Tables:
    """The tables that a query may name; `space` maps their names to what the engine reads."""

    def __init__(self, text: str, namespace: Mapping[str, Any]) -> None:
        self.views: list[View] = []
        self._names: dict[str, set[str]] = {}
        self._fields: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
        self._times: dict[str, set[pa.DataType]] = {}
        lowered = text.lower()
        words = {*re.findall(r"\w+", lowered)}
        self.space = {
            # Other letters than those of ASCII may become several signs, of which not all are letters.
            name: self._seen(
                name, value, name.lower() in (words if name.isascii() and name.isidentifier() else lowered)
            )
            for name, value in namespace.items()
        }

    def real_names(self, names: Sequence[str]) -> list[str]:
        """Return the names of an answer's columns: the real ones, and each only once."""
        return distinct(self._real(name) for name in names)

    def real_type(self, kind: pa.DataType) -> pa.DataType:
        """Return the type of an answer's column, with the real names of its fields."""
        if pa.types.is_struct(kind):
            safe = tuple(field.name for field in kind)
            reals = self._fields.get(safe, ())
            [names] = reals if len(reals) == 1 else [safe]
            return pa.struct([(name, self.real_type(field.type)) for name, field in zip(names, kind, strict=True)])
        return _within(kind, self.real_type)

    def in_own_unit(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return times with a zone in the tables' own unit; the engine turns most of them into microseconds in UTC."""
        if not pa.types.is_timestamp(column.type) or column.type.tz is None:
            return column
        known = self._times.get(name) or set().union(*self._times.values())
        if not known:
            return column
        unit = max((kind.unit for kind in known), key=UNITS.index)
        zones = {kind.tz for kind in known}
        target = pa.timestamp(unit, zones.pop() if len(zones) == 1 else column.type.tz)
        try:
            return column.cast(target)
        except pa.ArrowInvalid:
            return column  # they have more digits or a larger range

    @property
    def hint(self) -> str | None:
        """Which names are others in a query, where some are."""
        named = [(name, real) for name, reals in self._names.items() for real in sorted(reals)]
        for safe, all_reals in self._fields.items():
            for reals in sorted(all_reals):
                named += [pair for pair in zip(safe, reals, strict=True) if pair[0] != pair[1]]
        renamed = [f'{real!r} is "{name}"' for name, real in dict.fromkeys(named)]
        if not renamed:
            return None
        return f"names that SQL cannot distinguish have others in a query: {', '.join(renamed[:20])}"

    def _real(self, name: str) -> str:
        reals = self._names.get(name, ())
        return next(iter(reals)) if len(reals) == 1 else name

    def safe(self, schema: pa.Schema, keep: Collection[str] = ()) -> pa.Schema:
        """Return the columns of a table under the names that the query must use; what they are really called is
        kept."""
        names = for_sql(schema.names, keep)
        for field, name in zip(schema, names, strict=True):
            if name != field.name:
                self._names.setdefault(name, set()).add(field.name)
            if pa.types.is_timestamp(field.type) and field.type.tz is not None:
                self._times.setdefault(name, set()).add(field.type)
        return pa.schema([(name, self._safe_type(field.type)) for name, field in zip(names, schema, strict=True)])

    def _safe_type(self, kind: pa.DataType) -> pa.DataType:
        if not pa.types.is_struct(kind):
            return _within(kind, self._safe_type)
        real = [field.name for field in kind]
        safe = for_sql(real)
        if safe != real:
            self._fields.setdefault(tuple(safe), set()).add(tuple(real))
        return pa.struct([(name, self._safe_type(field.type)) for name, field in zip(safe, kind, strict=True)])

    def _seen(self, name: str, value: Any, mentioned: bool) -> Any:
        """Return what the engine is given in place of a value."""
        make = _opener(value)
        if make is not None:
            made = make()
            if isinstance(made, View):
                self.views.append(made)
            return Named(self, made)
        if not mentioned:
            return value
        if isinstance(value, pa.Table | pa.RecordBatch):
            table = value if isinstance(value, pa.Table) else pa.Table.from_batches([value])
            for field, column in zip(table.schema, table.columns, strict=True):
                if (
                    pa.types.is_duration(field.type)
                    and field.type.unit == "ns"
                    and _are_fine(column.drop_null().cast(pa.int64()))
                ):
                    raise _too_fine(name, field.name, "cast it to pa.duration('us')")
            safe = self.safe(table.schema)
            return ds.dataset(pa.Table.from_batches([shown_as(batch, safe) for batch in table.to_batches()], safe))
        if isinstance(value, pa.RecordBatchReader):
            safe = self.safe(value.schema)
            return value if value.schema.equals(safe) else _renamed(value, safe)
        package = type(value).__module__.partition(".")[0]
        if package == "pandas" and hasattr(value, "columns"):
            return self._pandas(name, value)
        if package == "polars" and hasattr(value, "collect_schema"):
            real = value.collect_schema().names()
            names = self.safe(pa.schema([(one, pa.null()) for one in real])).names
            return value if names == real else value.rename(dict(zip(real, names, strict=True)))
        return value

    def _pandas(self, table: str, frame: pd.DataFrame) -> Any:
        real = [str(name) for name in frame.columns]
        kinds = [_kind(dtype) for dtype in frame.dtypes]
        schema = pa.schema(list(zip(real, kinds, strict=True)))
        safe = self.safe(schema)
        names = safe.names
        if names != real:
            frame = frame.set_axis(names, axis=1)
        fine = [n for n, kind in enumerate(kinds) if _is_moment(kind) and _has_nanoseconds(frame.iloc[:, n])]
        if not fine and safe.types == kinds:
            return frame
        # The engine would truncate them to microseconds; from Arrow it accepts nanoseconds, but not durations.
        short = [names[n] for n in fine if pa.types.is_duration(kinds[n])]
        if short:
            raise _too_fine(table, short[0], f'for example {table}["{short[0]}"].dt.floor("us")')
        try:
            arrow = pa.Table.from_pandas(frame, preserve_index=False)
            safe = pa.schema(
                [(name, self._safe_type(field.type)) for name, field in zip(names, arrow.schema, strict=True)]
            )
            return ds.dataset(pa.Table.from_batches([shown_as(batch, safe) for batch in arrow.to_batches()], safe))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise InputError(
                f"{table} has times with digits below a microsecond, or objects with names that SQL does not tell"
                f" apart; such frames go through Arrow, which cannot hold all of this one: {error}",
                hint="leave out the columns that it cannot hold, or round the times",
            ) from None


class Named(ds.Dataset):  # type: ignore[misc]
    """A table that is made when a query names it, with columns whose names the engine can distinguish."""

    def __new__(cls, *_: Any) -> Named:
        made: Named = ds.Dataset.__new__(cls)
        return made

    def __init__(self, tables: Tables, made: Any) -> None:
        self._tables, self._table = tables, made

    @property
    def schema(self) -> pa.Schema:
        """The columns under their names in queries; computed on each access, as those of a view may widen."""
        # The log's own columns keep their names; a key of the records is renamed.
        own = self._table.beside.names if isinstance(self._table, View) else ()
        return self._tables.safe(self._table.schema, own)

    def scanner(self, columns: Any = None, filter: Any = None, **_: Any) -> Any:
        """Return some columns of the rows for which a filter is true."""
        schema, table = self.schema, self._table.schema
        real = dict(zip(schema.names, table.names, strict=True))
        pairs = zip(schema, table, strict=True)
        other = [safe.name for safe, own in pairs if safe.name != own.name or safe.type != own.type]
        if not other:
            return self._table.scanner(columns=columns, filter=filter)
        selected = schema.names if columns is None else list(columns)
        filtered = [] if filter is None else [name for name in other if mentions(filter, schema, name)]
        # The table does not know the names in such a filter, so it is applied here.
        needed = selected
        if filtered:
            needed = [*selected, *(n for n in schema.names if n not in selected and mentions(filter, schema, n))]
        inner = self._table.scanner(columns=[real[name] for name in needed], filter=None if filtered else filter)
        reader = _renamed(inner.to_reader(), pa.schema([schema.field(name) for name in needed]))
        return ds.Scanner.from_batches(reader, columns=selected, filter=filter if filtered else None)


class Later(ds.Dataset):  # type: ignore[misc]
    """A table that is made when a query names it: then the files of a scan are opened, or the rows of a feed copied."""

    def __new__(cls, make: Callable[[], Any]) -> Later:
        later: Later = ds.Dataset.__new__(cls)
        return later

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> Any:
        return self._make()

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return self._made.schema

    def scanner(self, columns: Any = None, filter: Any = None, **_: Any) -> Any:
        """Return some columns of the rows for which a filter is true."""
        return self._made.scanner(columns=columns, filter=filter)


def _opener(value: Any) -> Callable[[], Any] | None:
    """Return what makes a table of a handle, a scan, a feed or a dataset; None for anything else."""
    if isinstance(value, Log):
        return lambda: View(value.source(), strict=True)
    kind = type(value)
    if kind.__module__.startswith("kit."):
        if hasattr(kind, "_dataset"):
            return lambda: Later(value._dataset)  # noqa: SLF001 - a scan gives it to SQL, not to Tab
        if kind.__module__.startswith("kit.live.") and hasattr(kind, "df"):
            return lambda: Later(lambda: _table(value.df))
    if isinstance(value, ds.Dataset):
        return lambda: value
    return None


def _table(frame: pd.DataFrame) -> Any:
    return ds.dataset(pa.Table.from_pandas(frame, preserve_index=False))


def called(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return the same values in a type that differs in the names inside of it alone."""
    if array.type == kind:
        return array
    if pa.types.is_struct(kind):
        fields = [called(array.field(n), field.type) for n, field in enumerate(kind)]
        return pa.StructArray.from_arrays(fields, fields=list(kind), mask=array.is_null())
    # Not by its offsets, which do not say which lists of a sliced array are missing.
    own, values = array.buffers()[:2], called(array.values, kind.value_type)
    return pa.Array.from_buffers(kind, len(array), own, offset=array.offset, children=[values])


def shown_as(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the same columns under other names, including nested ones."""
    pairs = zip(batch.columns, schema.types, strict=True)
    return pa.RecordBatch.from_arrays([called(column, kind) for column, kind in pairs], schema=schema)


def _renamed(reader: pa.RecordBatchReader, schema: pa.Schema) -> pa.RecordBatchReader:
    def batches() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            yield shown_as(batch, schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _within(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """Return the type with that of its items changed."""
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(change(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(change(kind.value_type)))
    return kind


def _kind(dtype: Any) -> pa.DataType:
    """Return the type of a column that Arrow holds, or of times or durations; null for all others."""
    arrow_type = getattr(dtype, "pyarrow_dtype", None)
    if arrow_type is not None:
        return arrow_type
    unit = getattr(dtype, "unit", None)
    if unit in UNITS and getattr(dtype, "tz", None) is not None:
        return pa.timestamp(unit, str(dtype.tz))
    if getattr(dtype, "kind", "") == "m":
        import numpy as np

        return pa.duration(np.datetime_data(dtype)[0])
    return pa.null()


def _is_moment(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_duration(kind))


def _has_nanoseconds(column: pd.Series[Any]) -> bool:
    """Return whether times or durations have digits below a microsecond."""
    if getattr(column.dt, "unit", "") != "ns":
        return False
    return _are_fine(column.dropna().astype("int64"))


def _are_fine(numbers: Any) -> bool:
    return bool((numbers.to_numpy() % 1000).any())


def _too_fine(table: str, column: str, how: str) -> InputError:
    return InputError(
        f"{table}: the durations in {column!r} have digits below a microsecond, which SQL does not store",
        hint=f"round them first, {how}, or give nanoseconds",
    )
