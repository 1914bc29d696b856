"""What a feed and its view have in common: rows, figures, waiting for rows, and iterating over them as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Self

from ...core.errors import InputError, KitError
from ...core.processes import OfOneProcess
from ...core.tables.into import GivesFrames
from .source import waker
from .state import STEP, FeedState, State

if TYPE_CHECKING:
    import pandas as pd

    from .problems import Problem


def _counted(name: str, doc: str) -> property:
    def read(rows: Rows) -> int:
        count: int = getattr(rows.shared, name)
        return count

    return property(read, doc=doc)


class Rows(GivesFrames, OfOneProcess):
    """The verbs that read the state of a feed."""

    _elsewhere = "make another one there; feed.df is a DataFrame, which can be sent"

    def __init__(self, state: FeedState) -> None:
        self.shared = state
        """The state that the feed's engine writes, and that feed, views and plots read."""

    @property
    def df(self) -> pd.DataFrame:
        """The rows in the buffer, oldest first; `df.attrs["dropped"]` counts the rows that have left it."""
        frame: pd.DataFrame = self.shared.frame()
        return frame

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Return the rows in the buffer as they are now, in Arrow."""
        table, _ = self.shared.source.shape(self.shared.batches()[1])
        return table.__arrow_c_stream__(requested_schema)

    def tail(self, n: int = 10) -> pd.DataFrame:
        """Return the newest `n` rows."""
        from ...core.tables.frames import to_frame

        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise InputError(f"n={n!r}: ask for a number of rows from 0 up")
        state = self.shared
        table, attrs = state.source.shape(state.batches(max(0, state.buffer.next - n))[1])
        return to_frame(table, attrs)

    @property
    def state(self) -> State:
        """Its state: connecting, live, paused, reconnecting, closed or failed."""
        return self.shared.word

    @property
    def ended(self) -> bool:
        """Whether no more rows will come."""
        return self.shared.ended

    @property
    def total(self) -> int:
        """How many rows were taken, including those that have left the buffer; for a result, how many it has."""
        return self.shared.total

    came = _counted("came", "How many rows came, including those that were filtered out or skipped.")
    filtered = _counted("filtered", "How many rows did not pass the filters.")
    skipped = _counted("skipped", "How many rows came while it was paused and were not kept by the service.")
    dropped = _counted("dropped", "How many rows have left the full buffer.")
    reconnects = _counted("reconnects", "How often it reconnected after a lost connection.")
    gaps = _counted("gaps", "How often a connection was lost so that rows may be missing.")

    @property
    def version(self) -> int:
        """A number that grows with every change that a view would show."""
        return self.shared.version

    @property
    def error(self) -> BaseException | None:
        """The error that ended the feed, if it failed; otherwise the last error after which it continued."""
        return self.shared.error

    @property
    def problems(self) -> list[Problem]:
        """Errors of callbacks and filters, each with the line it came from."""
        return self.shared.problems

    @property
    def lag(self) -> int | None:
        """How many rows the service is ahead; None where the service does not say."""
        return self.shared.lag

    @property
    def caught_up(self) -> bool | None:
        """Whether the newest row of the service has come; None where the service does not say."""
        return self.shared.caught_up

    def stats(self) -> dict[str, Any]:
        """Return figures as a dict: state, total, rates over 1, 10 and 60 seconds, bytes, rows left out, lag and more.

        `dropped` rows have left the full buffer, `skipped` rows came during a pause and were not kept by the service,
        `filtered` rows did not pass the filter. `gaps` counts lost connections after which rows may be missing. `lag`
        is how many rows the service is ahead, None where the service does not say.
        """
        return self.shared.stats()

    def throughput(self) -> pd.DataFrame:
        """Return a frame with one row for each second of the last hour in which rows came: time, rows, bytes."""
        import pyarrow as pa

        from ...core.tables.frames import TIME, to_frame

        state = self.shared
        with state.changed:
            seconds = state.rates.seconds()
        began = int(state.rates.began_at)
        columns = [list(column) for column in zip(*seconds, strict=True)] if seconds else [[], [], []]
        times = pa.array([int((began + second) * 1000) for second in columns[0]], pa.int64()).cast(TIME)
        rows, sizes = (pa.array([int(value) for value in column], pa.int64()) for column in columns[1:])
        return to_frame(pa.table({"time": times, "rows": rows, "bytes": sizes}), {"source": state.source.label})

    def __len__(self) -> int:
        return len(self.shared.buffer)

    def __bool__(self) -> bool:
        return True

    # --- waiting ----------------------------------------------------------------------------------------------------

    def wait(self, n: int | None = None, *, until: Any = None, timeout: float | None = None) -> Self:
        """Wait until `n` rows have come in all, or `until(feed)` is true; without both, until the end. Return the feed.

        `until="caught_up"` waits for the newest row of the service. A `TimeoutError` is raised after `timeout` seconds,
        and the error of the feed if it ends before. Interrupting the cell leaves the feed running.
        """
        if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 0):
            raise InputError(f"n={n!r}: wait for a number of rows from 0 up")
        if until is not None and until != "caught_up" and not callable(until):
            raise InputError(f"until={until!r}", hint='give a function of the feed, or "caught_up"')
        state = self.shared
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            state.check_process()
            with state.changed:
                version = state.version
            if self._reached(n, until):
                return self
            if state.ended:
                if n is None and until is None and state.word == "closed":
                    return self
                raise self._end_error(n)
            left = STEP if deadline is None else min(STEP, deadline - time.monotonic())
            if left <= 0:
                goal = f"{n:,} rows" if n is not None else "what was waited for"
                message = f"{goal} did not come within {timeout:g} s; {self.total:,} rows did: {self!r}"
                raise TimeoutError("\n".join([message, *map(str, state.problems[-1:])]))
            with state.changed:
                if state.version == version:
                    state.changed.wait(left)

    def _reached(self, n: int | None, until: Any) -> bool:
        if until == "caught_up":
            return bool(self.shared.caught_up)
        if until is not None and until(self):
            return True
        return n is not None and self.total >= n

    def _end_error(self, n: int | None) -> BaseException:
        state = self.shared
        if state.word == "failed" and state.error is not None:
            return state.error
        goal = f"{n:,} rows" if n is not None else "that"
        return KitError(f"the feed of {state.source.label} ended after {self.total:,} rows, before {goal}")

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Yield frames of rows as they come, from the oldest one in the buffer on. `frame.attrs["missed"]` counts rows
        that left the buffer before this loop took them. Of a result, yield all rows each time it changes."""
        from ...core.tables.frames import to_frame

        cursor = 0
        state = self.shared
        while (taken := state.take_from(cursor)) is not None:
            cursor, table, attrs = taken
            yield to_frame(table, attrs)
        if state.word == "failed" and state.error is not None:
            raise state.error

    async def __aiter__(self) -> AsyncIterator[pd.DataFrame]:
        """Yield the same frames with `async for`, on any loop."""
        from ...core.tables.frames import to_frame

        changed = asyncio.Event()
        wake = waker(changed)
        state = self.shared
        state.check_process()
        state.watch(wake)
        cursor = 0
        try:
            while True:
                changed.clear()
                over = state.ended
                if state.news > cursor:
                    taken = state.take_from(cursor)
                    assert taken is not None
                    cursor, table, attrs = taken
                    yield to_frame(table, attrs)
                elif over:
                    break
                else:
                    await changed.wait()
        finally:
            state.unwatch(wake)
        if state.word == "failed" and state.error is not None:
            raise state.error
