"""SQL over feeds that runs again when new rows came: its result is a feed, whose rows are replaced."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from ...core.errors import InputError
from ...core.html import one_line
from ...core.tables.into import Into, checked
from ...core.words import nearest
from ...engines.joining import Answer, engine, named_tables, query
from ...engines.sql_tables import takes
from ..feed.adapters import can_follow, options_of
from ..feed.feed import RESULT_BYTES, RESULT_ROWS, Feed
from ..feed.rows import Rows
from ..feed.source import Chunk, Position, waker
from .derived import Derived, in_thread
from .ring import ring_of

_SHORTEST = 0.05
_SHARE = 2.0
"""A query runs at most for one half of the time."""
_LABEL = 60
_WHERE = "the query"


def live_sql(
    sql: str,
    every: float = 1.0,
    into: Into | None = None,
    *,
    params: Sequence[Any] | Mapping[str, Any] = (),
    **tables: Any,
) -> Feed:
    """Return a feed with the result of a query that runs again when new rows came, at most once in `every` seconds.

    >>> import kit
    >>> feed = kit.Feed([{"city": "Oslo", "total": 2}, {"city": "Rome", "total": 3}, {"city": "Oslo", "total": 5}])
    >>> with kit.live_sql("select city, sum(total) as total from orders group by all order by 1", orders=feed) as found:
    ...     found.wait(2, timeout=10).df
       city  total
    0  Oslo      7
    1  Rome      3

    A table can be a feed or a live view: the query sees the rows in its buffer. It can be a handle of a stream, which
    is followed from its earliest record on until the result is closed. And it can be what `kit.sql` takes, which is
    read each time. Tables are given by name, or are variables of the caller. The query does not see rows that have left
    a buffer; notes beside the result count them. To count whole streams, use `feed.per(...)`.

    The result is a feed: it has `df`, `wait(until=...)`, `on`, plots and `kit.LiveView(result)`, and can be a table of
    another query. All its rows are replaced each time. The query runs in a thread of its own, for at most half of the
    time: a slow query runs less often, and a note says so. If it fails, the error is in `problems` and in the view, and
    the last good result stays, marked stale. `into="polars"` or `"arrow"` makes `df` a table of that library.
    """
    frame = sys._getframe(1)  # noqa: SLF001 - as kit.sql finds tables
    namespace = {**frame.f_globals, **frame.f_locals}
    del frame
    if isinstance(every, bool) or not isinstance(every, int | float) or not every >= _SHORTEST:
        raise InputError(f"every={every!r}: give a number of seconds from {_SHORTEST} up")
    library = checked("pandas" if into is None else into)
    used = _tables(sql, tables, namespace)
    source = Query(sql, float(every), params, used)
    source.into = library
    return Feed(source, max_rows=RESULT_ROWS, max_bytes=RESULT_BYTES)


def _tables(text: str, tables: Mapping[str, Any], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables that the query uses, by name."""
    for name, value in tables.items():
        if not takes(value) and not _followed(value):
            raise InputError(
                f"{name}= is {type(value).__name__}, which is no table",
                hint="give a feed, a live view, a handle like s2[basin][stream], or a frame",
            )
    names = {name.lower(): name for name, value in namespace.items() if takes(value) or _followed(value)}
    names |= {name.lower(): name for name in tables}
    used: dict[str, Any] = {}
    for table_name in named_tables(text):
        if (called := names.get(table_name.lower())) is not None:
            used[called] = tables[called] if called in tables else namespace[called]
        elif table_name.isidentifier():
            hint = nearest(table_name, [known for known in names.values() if not known.startswith("_")])
            raise InputError(
                f"there is no table {table_name!r}", hint=hint or f"give it by name: live_sql(sql, {table_name}=feed)"
            )
    if not any(_followed(value) for value in used.values()):
        raise InputError(
            "no table of this query moves", hint="kit.sql runs it once; give a feed or a handle on a stream"
        )
    return used


def _followed(value: Any) -> bool:
    return isinstance(value, Rows) or can_follow(value)


def _feed(handle: Any) -> Feed:
    """Return a feed of a handle, from its earliest record on."""
    return Feed(handle, start="earliest") if "start" in options_of(handle) else Feed(handle)


class Query(Derived):
    """A query and its tables; it watches the tables that are feeds."""

    def __init__(
        self, text: str, every: float, params: Sequence[Any] | Mapping[str, Any], tables: Mapping[str, Any]
    ) -> None:
        super().__init__(_short(text))
        self._text, self._every, self._params = text, every, params
        query(text, {}, params, {})  # raises the errors of bad parameters at once
        self._fixed = {name: value for name, value in tables.items() if not _followed(value)}
        self._owned: list[Feed] = []
        self._feeds: dict[str, Rows] = {}
        for name, value in tables.items():
            if isinstance(value, Rows):
                self._feeds[name] = value
            elif name not in self._fixed:
                self._owned.append(_feed(value))
                self._feeds[name] = self._owned[-1]
        self._rings = {name: ring_of(feed.shared) for name, feed in self._feeds.items()}
        self._connection: Any = None
        self._answer: Answer | None = None
        self._table: pa.Table | None = None
        self._runs, self._took, self._stale = 0, 0.0, ""

    async def open(self, after: Position) -> AsyncIterator[Chunk]:
        """Yield the result as it is now, then again each time that new rows came."""
        came = asyncio.Event()
        wake = waker(came)
        states = [feed.shared for feed in self._feeds.values()]
        for state in states:
            state.watch(wake)
        try:
            while True:
                came.clear()
                over = all(state.ended for state in states)
                before = self._seen()
                caught_up = all(state.caught_up or state.ended for state in states)
                began = time.monotonic()
                yield Chunk(await in_thread(self._run), caught_up=caught_up)
                if over:
                    return
                await asyncio.sleep(max(0.0, began + self._pause - time.monotonic()))
                while self._seen() == before:
                    await came.wait()
                    came.clear()
        finally:
            for state in states:
                state.unwatch(wake)
            if self._answer is not None:
                self._answer.interrupt()

    async def close(self) -> None:
        """Close the feeds that were made from handles."""
        for feed in self._owned:
            feed.close()

    @property
    def _pause(self) -> float:
        return max(self._every, _SHARE * self._took)

    def _seen(self) -> list[Any]:
        states = [feed.shared for feed in self._feeds.values()]
        return [(state.news, state.buffer.first, state.caught_up, state.ended) for state in states]

    def _run(self) -> pa.RecordBatch:
        """Run the query once, in a thread."""
        tables = {name: ring.table() for name, ring in self._rings.items()}
        empty = [name for name, ring in self._rings.items() if not ring.columns and not self._feeds[name].ended]
        if empty:
            notes = [f"waits for rows of {', '.join(empty)}"]
            return self.settled(self._last(), [*notes, *self._own_notes()], self._counted())
        if self._connection is None:
            self._connection = engine()
            # It runs again and again while the user computes, so it takes few threads.
            self._connection.execute(f"SET threads = {max(1, (os.cpu_count() or 1) // 4)}")
        used = {**self._fixed, **tables}
        self._answer = answer = query(self._text, used, self._params, {}, self._connection)
        began = time.monotonic()
        try:
            result = answer.table()
        except Exception as error:
            self._stale = self._stale or f"{datetime.now().astimezone():%H:%M:%S}"
            self.tell(_WHERE, error)
            result = self._last()
        else:
            self._stale = ""
            self.tell(_WHERE, None)
        finally:
            self._answer = None
        self._took = time.monotonic() - began
        self._runs += 1
        self._table = result
        return self.settled(result, self._own_notes(), self._counted())

    def _last(self) -> pa.Table:
        return self._table if self._table is not None else pa.table({})

    def _own_notes(self) -> list[str]:
        notes = []
        if self._stale:
            notes.append(f"stale since {self._stale}, as the query fails")
        if self._pause > self._every:
            notes.append(f"runs every {self._pause:.1f} s, as it takes {self._took:.1f} s")
        for name, feed in self._feeds.items():
            state = feed.shared
            if state.dropped:
                notes.append(f"{name}: without the {state.dropped:,} rows that left its buffer")
            if state.skipped:
                notes.append(f"{name}: without the {state.skipped:,} rows skipped while paused")
            if state.gaps:
                notes.append(f"{name}: {state.gaps:,} gaps")
            if state.word == "failed":
                notes.append(f"{name}: failed: {one_line(str(state.error))[:200]}")
            notes += [f"{name}: {note}" for note in state.source.notes()]
        return notes

    def _counted(self) -> dict[str, Any]:
        return {"runs": self._runs, "took": self._took, "every": self._pause, "stale": bool(self._stale)}


def _short(text: str) -> str:
    line = " ".join(text.split()) if isinstance(text, str) else ""
    return line if len(line) <= _LABEL else line[: _LABEL - 1] + "…"
