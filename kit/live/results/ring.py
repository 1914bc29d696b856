"""The rows in a feed's buffer as a table; an update costs only the new rows."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from ..columns import unified
from ..feed.buffer import Buffer

if TYPE_CHECKING:
    from ..feed.state import FeedState

_AT_ONCE = 65_536
_ALL = 2**62


_rings: weakref.WeakKeyDictionary[FeedState, weakref.ref[Ring]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def ring_of(state: FeedState) -> Ring:
    """Return the ring of a feed; all queries on the feed share it."""
    with _lock:
        known = _rings.get(state)
        ring = None if known is None else known()
        if ring is None:
            ring = Ring(state)
            _rings[state] = weakref.ref(ring)
        return ring


class Ring:
    """The decoded rows of a feed's buffer. Each row is decoded once, and removed when it leaves the buffer."""

    def __init__(self, state: FeedState) -> None:
        self._state = state
        self._rows = Buffer(_ALL, _ALL)
        self._schema = pa.schema([])
        self._replaced = 0
        self._lock = threading.Lock()

    def table(self) -> pa.Table:
        """Return the rows as they are now; for a result, all rows of one state of it."""
        with self._lock:
            self._update()
            table = pa.Table.from_batches(self._rows.rows(0)[1], self._schema)
        for n, field in enumerate(table.schema):
            if pa.types.is_null(field.type):
                table = table.set_column(n, field.name, pa.nulls(table.num_rows, pa.string()))
        return table

    @property
    def columns(self) -> list[str]:
        """The columns that rows have had."""
        return list(self._schema.names)

    def _update(self) -> None:
        source = self._state.source
        with self._state.changed:
            buffer, replaced = self._state.buffer, self._state.buffer.replaced
            if source.replaces:
                first, batches = buffer.rows(0)
            else:
                first, batches = buffer.rows(self._rows.next)
                self._rows.forget(buffer.first)
        if source.replaces:
            if replaced == self._replaced:
                return
            self._replaced = replaced
            table, _ = source.shape(batches)
            self._schema = table.schema
            self._rows.replace(table.to_batches())
            return
        if first > self._rows.next:
            self._rows.skip_to(first)  # rows left the buffer before they were decoded
        for some in portions(batches):
            table, _ = source.shape(some)
            self._add(table)

    def _add(self, table: pa.Table) -> None:
        for n, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
            if len(column) and column.null_count == len(column) and pa.types.is_string(column.type):
                # A batch of JSON's nulls alone is a column of text, beside which numbers would become texts.
                table = table.set_column(n, name, pa.nulls(len(column)))
        if not table.schema.equals(self._schema):
            before, self._schema = self._schema, _both(self._schema, table.schema)
            if not before.equals(self._schema):
                start, batches = self._rows.rows(0)
                self._rows.skip_to(start)
                for batch in batches:
                    self._rows.add(self._fitted([batch]))
            table = pa.Table.from_batches([self._fitted(table.to_batches())])
        for batch in table.to_batches():
            self._rows.add(batch)

    def _fitted(self, batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
        """Return the rows with the columns of the schema."""
        fitted = unified([_none(self._schema), *batches]).combine_chunks().to_batches()
        return fitted[0] if fitted else _none(self._schema)


def portions(batches: Sequence[pa.RecordBatch]) -> list[list[pa.RecordBatch]]:
    """Return the same rows in smaller groups, because decoding takes memory."""
    groups: list[list[pa.RecordBatch]] = []
    rows = _AT_ONCE
    for batch in batches:
        for at in range(0, batch.num_rows, _AT_ONCE):
            some = batch.slice(at, _AT_ONCE)
            if rows + some.num_rows > _AT_ONCE:
                groups.append([])
                rows = 0
            groups[-1].append(some)
            rows += some.num_rows
    return groups


def _both(a: pa.Schema, b: pa.Schema) -> pa.Schema:
    return unified([_none(a), _none(b)]).schema


def _none(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
