"""A subscription that runs on while cells run, with the newest rows in a bounded buffer."""

from __future__ import annotations

import atexit
import contextlib
import inspect
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Self

from ..core import loop
from ..core.dropped import close_when_dropped
from ..core.errors import InputError
from ..core.html import one_line, table, text
from ..core.into import GivesFrames
from ..core.processes import OfOneProcess
from . import checkpoint
from .adapters import source_of
from .followed import Followed
from .problems import Problem, Problems
from .rates import Rates
from .running import Engine
from .source import Chunk, Source

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from .callbacks import Caller

State = Literal["connecting", "live", "paused", "reconnecting", "closed", "failed"]

MAX_ROWS = 500_000
MAX_BYTES = 256 * 1024 * 1024
_STEP = 0.2
"""Seconds after which a wait looks up, so that an interrupt is noticed on every system."""
_CLOSING = 5.0
_BEGINNING = 1.0
"""Seconds; a service that takes longer to answer is waited for in the background."""
_log = logging.getLogger("kit.live")
_open: weakref.WeakSet[Feed] = weakref.WeakSet()


class Feed(Followed, GivesFrames, OfOneProcess):
    """The rows of a subscription as they come: `feed.df`, `feed.wait(n=...)`, `feed.pause()`, `feed.close()`.

    >>> with Feed([{"n": 1}, {"n": 2, "even": True}], where={"n": [1, 2]}) as feed:
    ...     feed.wait(n=2).df["n"].tolist()
    [1, 2]

    `source` is a handle of this package (`lab.s2["demo-shop"]["orders"]`, with the options of its `live()`), or a
    generator, async or not, of DataFrames, Arrow batches or lists of dicts. `where` says which rows are wanted: a
    function of a DataFrame that tells true or false for each row, `{"column": value}`, a text like "price > 3", or a
    list of these; a `column=value` here does the same. The newest rows are kept, up to `max_rows` and `max_bytes`;
    what had to go is counted in `stats()["dropped"]`. `from_checkpoint` goes on where another feed stood.

    Close it, or use it in a `with` block; one that nobody holds any more is closed, with a ResourceWarning.

    A feed of a service is given once it follows, so that what is written after this line is among its rows; a service
    that does not answer within a second is waited for in the background.
    """

    _elsewhere = "make another one there; feed.df is a DataFrame, which can be sent"

    def __init__(
        self,
        source: Any,
        *,
        where: Any = None,
        max_rows: int = MAX_ROWS,
        max_bytes: int = MAX_BYTES,
        from_checkpoint: Any = None,
        **options: Any,
    ) -> None:
        from .buffer import Buffer
        from .filters import refuse_misspelt, tests_of

        for name, value in (("max_rows", max_rows), ("max_bytes", max_bytes)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name}={value!r}: give a number from 1 up")
        taken, columns = _sorted(source, options)
        refuse_misspelt(columns, _ARGUMENTS)
        self._tests = tests_of(where, columns)
        self._names: dict[str, None] = {}
        """The columns that rows have had, where filters look for some."""
        self.source: Source = source_of(source, **taken)
        after = None
        if from_checkpoint is not None:
            after, _ = checkpoint.position_in(from_checkpoint, self.source.key)
        self.came = self.filtered = self.skipped = self.dropped = self.reconnects = self.gaps = 0
        self.error: BaseException | None = None
        """What ended it, where it failed; else the last error that it got over."""
        self._buffer = Buffer(max_rows, max_bytes)
        self._rates = Rates()
        self._bytes = 0
        self._problems = Problems()
        self._changed = threading.Condition()
        self._watchers: list[Callable[[], None]] = []
        self._callers: list[Caller] = []
        self._state: State = "connecting"
        self._paused = False
        self._position = after
        self._tail: int | None = None
        self._caught_up: bool | None = None
        self._shown: tuple[tuple[int, int], pd.DataFrame] | None = None
        self._pid = os.getpid()
        self.version = 0
        """Grows with everything that a view would show."""
        self._engine = Engine(self, self.source, after)
        _open.add(self)
        close_when_dropped(self, self._engine.stopped, loop.running_loop(), warning=self._engine.unfinished)
        loop.start(self._engine.main)
        self._begin()

    def _begin(self) -> None:
        """Waits a moment for the source to stand, so that what is written after this is among what it gives."""
        if not self.source.begins or threading.current_thread().name == "kit-loop":
            return
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._state != "connecting", _BEGINNING)
        except BaseException:
            self.close()
            raise

    # --- what there is ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """connecting, live, paused, reconnecting, closed or failed."""
        if self._paused and self._state in ("connecting", "live", "reconnecting"):
            return "paused"
        return self._state

    @property
    def ended(self) -> bool:
        """Whether no more rows will come."""
        return self._state in ("closed", "failed")

    @property
    def total(self) -> int:
        """How many rows were taken in, those that have left the buffer included."""
        return self._buffer.next

    position_of_next = total

    @property
    def df(self) -> pd.DataFrame:
        """The rows in the buffer, oldest first; `df.attrs["dropped"]` counts those that had to leave it."""
        from ..core.frames import to_frame

        with self._changed:
            mark = (self._buffer.first, self._buffer.next)
            if self._shown is not None and self._shown[0] == mark:
                return self._shown[1].copy(deep=False)
            _, batches = self._buffer.rows(0)
            attrs = {"source": self.source.label, "dropped": self.dropped}
        found, told = self.source.shape(batches)
        frame = to_frame(found, {**attrs, **told})
        self._shown = (mark, frame)
        return frame.copy(deep=False)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """The rows in the buffer as they are now, in Arrow."""
        found, _ = self.source.shape(self.batches()[1])
        return found.__arrow_c_stream__(requested_schema)

    def tail(self, n: int = 10) -> pd.DataFrame:
        """The newest `n` rows."""
        from ..core.frames import to_frame

        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise InputError(f"n={n!r}: ask for a number of rows from 0 up")
        found, told = self.source.shape(self.batches(max(0, self.total - n))[1])
        return to_frame(found, told)

    def batches(self, start: int = 0, stop: int | None = None) -> tuple[int, list[pa.RecordBatch]]:
        """The rows from number `start` on as they came, in Arrow; and the number of the first that is still kept."""
        with self._changed:
            return self._buffer.rows(start, stop)

    def stats(self) -> dict[str, Any]:
        """How it goes: state, total, rates over 1, 10 and 60 seconds, bytes, what was left out, lag, caught up or not.

        `dropped` rows had left the full buffer, `skipped` ones came while it was paused and could not be held back,
        `filtered` ones did not pass the filter; `gaps` counts losses of a connection after which rows may be missing.
        `lag` is how many rows the service is ahead, None where it does not tell.
        """
        with self._changed:
            rates = {seconds: self._rates.over(seconds) for seconds in (1, 10, 60)}
            return {
                "state": self.state,
                "total": self.total,
                "kept": len(self._buffer),
                "rate_1s": rates[1][0],
                "rate_10s": rates[10][0],
                "rate_60s": rates[60][0],
                "bytes": self._bytes,
                "bytes_per_s": rates[10][1],
                "kept_bytes": self._buffer.bytes,
                "dropped": self.dropped,
                "skipped": self.skipped,
                "filtered": self.filtered,
                "reconnects": self.reconnects,
                "gaps": self.gaps,
                "lag": self.lag,
                "caught_up": self._caught_up,
                "position": self._position,
                "error": None if self.error is None else f"{type(self.error).__name__}: {self.error}",
                "problems": len(self._problems.all()),
            }

    @property
    def lag(self) -> int | None:
        """How many rows the service is ahead, as far as it told; None where it does not tell."""
        if self._tail is None or not isinstance(self._position, int):
            return 0 if self._caught_up else None
        return max(0, self._tail - self._position - 1)

    @property
    def caught_up(self) -> bool | None:
        """Whether everything there is has come, None where the service does not tell."""
        return self._caught_up

    @property
    def problems(self) -> list[Problem]:
        """What callbacks and filters raised, each with the line it came from."""
        return self._problems.all()

    def throughput(self) -> pd.DataFrame:
        """Rows and bytes of each second of the last hour in which some came: time, rows, bytes."""
        import pyarrow as pa

        from ..core.frames import TIME, to_frame

        with self._changed:
            seconds = self._rates.seconds()
        began = int(self._rates.began_at)
        columns = [list(column) for column in zip(*seconds, strict=True)] if seconds else [[], [], []]
        times = pa.array([int((began + second) * 1000) for second in columns[0]], pa.int64()).cast(TIME)
        rows, sizes = (pa.array([int(value) for value in column], pa.int64()) for column in columns[1:])
        return to_frame(pa.table({"time": times, "rows": rows, "bytes": sizes}), {"source": self.source.label})

    # --- following -------------------------------------------------------------------------------------------------

    def on(self, callback: Callable[[pd.DataFrame], Any]) -> Callable[[pd.DataFrame], Any]:
        """Calls a function with a DataFrame of each lot of new rows, in a thread of its own; use it as a decorator too.

        What it raises is kept in `problems` with its line, and shown in the view; the feed goes on.
        """
        from .callbacks import Caller

        if not callable(callback):
            raise InputError(f"{callback!r} is nothing to call")
        self._callers.append(Caller(self, callback))
        return callback

    def off(self, callback: Callable[[pd.DataFrame], Any]) -> None:
        """Ends the calls of a function."""
        for caller in [one for one in self._callers if one.function == callback]:
            self._callers.remove(caller)
            caller.stop()

    # --- orders -----------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Takes nothing in for now. The service holds the rows back where it can; else they are counted as skipped."""
        self._set_paused(True)

    def resume(self) -> None:
        """Goes on where it was paused."""
        self._set_paused(False)

    def clear(self) -> None:
        """Empties the buffer; total and position stay."""
        with self._changed:
            self._buffer.clear()
            self._problems.clear()
        self._wake()

    def checkpoint(self, path: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """Where it stands, to go on from with `from_checkpoint=`, in another kernel too; written to a file if asked."""
        if not self.source.resumes:
            raise InputError(f"{self.source.label} has no positions to go on from")
        with self._changed:
            found = checkpoint.made(self.source.key, self._position, self.total)
        if path is not None:
            checkpoint.write(found, path)
        return found

    def close(self) -> None:
        """Ends it; what it has taken in stays. May be called twice."""
        self._stop()
        if self._pid == os.getpid() and threading.current_thread().name != "kit-loop" and loop.running():
            self._engine.over.wait(_CLOSING)
        if not self.ended:
            self._state = "closed"
            self._wake()
        for caller in list(self._callers):
            caller.join(_CLOSING)
        _open.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._buffer)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        rate = self._rates.over(10)[0]
        return one_line(f"<Feed of {self.source.label}, {self.state}: {self.total:,} rows, {rate:,.0f}/s>")

    def _repr_html_(self) -> str:
        return text(repr(self)[1:-1]) + table(("", ""), [(k, v) for k, v in self.stats().items() if v is not None])

    # --- what the engine and views do -------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Has the engine end, soon."""
        if self._pid == os.getpid() and not self._engine.over.is_set() and loop.running():
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the task with it
                loop.running_loop().call_soon_threadsafe(self._engine.stop)

    def _set_paused(self, paused: bool) -> None:
        if self.ended or self._paused == paused:
            return
        self._paused = paused
        if paused:
            self._engine.pause()
        else:
            self._engine.resume()
            with contextlib.suppress(RuntimeError):
                loop.portal().start_task_soon(self._engine.go_on)
        self._wake()

    def _took(self, chunk: Chunk, *, skipped: bool) -> None:
        rows = chunk.batch.num_rows
        batch = chunk.batch
        if rows and self._tests and not skipped:
            batch = self._passing(batch)
        with self._changed:
            if self._state == "reconnecting":
                self.reconnects += 1
            self.reconnects += chunk.reconnects
            self.gaps += chunk.gaps
            self._state = "live"
            self.came += rows
            if skipped:
                self.skipped += rows
            else:
                self.filtered += rows - batch.num_rows
                self.dropped += self._buffer.add(batch)
            if rows:
                self._rates.add(rows, chunk.batch.nbytes)
                self._bytes += chunk.batch.nbytes
            if chunk.last is not None:
                self._position = chunk.last
            if chunk.tail is not None:
                self._tail = chunk.tail
            if chunk.caught_up is not None or rows:
                self._caught_up = chunk.caught_up
        self._wake()

    def _passing(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows that pass the filters; a filter that fails lets them through and is told."""
        import pyarrow as pa

        for name, test in self._tests:
            try:
                shown = self.source.shape([batch])[0]
                self._names.update(dict.fromkeys(shown.column_names))
                lacking = test.missing(self._names)
                if lacking is not None:
                    self._problem(name, lacking)
                elif test.columns:
                    self._problems.solved(name, InputError)
                mask = test(shown)
            except Exception as error:
                self._problem(name, error)
            else:
                batch = batch if mask.all() else batch.filter(pa.array(mask))
            if not batch.num_rows:
                break
        return batch

    def _tail_is(self, tail: int, caught_up: bool) -> None:
        with self._changed:
            self._tail, self._caught_up = tail, caught_up
        self._wake()

    def _lost(self, error: BaseException) -> None:
        with self._changed:
            if not self.source.resumes and self.came:
                self.gaps += 1
            self._state, self.error, self._caught_up = "reconnecting", error, None
        self._wake()

    def _ended(self, error: BaseException | None) -> None:
        with self._changed:
            self._state = "closed" if error is None else "failed"
            if error is not None:
                self.error = error.with_traceback(None)
        if error is not None and not self._watchers:
            _log.warning("the feed of %s failed: %s: %s", self.source.label, type(error).__name__, error)
        self._wake()

    def _problem(self, where: str, error: BaseException) -> None:
        with self._changed:
            self._problems.add(where, error)
        self._wake()

    def _wake(self) -> None:
        with self._changed:
            self.version += 1
            self._changed.notify_all()
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher()

    def _watch(self, watcher: Callable[[], None]) -> None:
        with self._changed:
            self._watchers.append(watcher)

    def _unwatch(self, watcher: Callable[[], None]) -> None:
        with self._changed, contextlib.suppress(ValueError):
            self._watchers.remove(watcher)


_ARGUMENTS = [
    "start",
    "body",
    "types",
    "where",
    "rows",
    "max_rows",
    "max_bytes",
    "from_checkpoint",
    "commands",
    "label",
]
"""What a misspelt option may have been meant for."""


def _sorted(source: Any, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Which options are the source's own, and which are filters by column."""
    make = getattr(source, "_source", None)
    if isinstance(source, Source) or make is None or isinstance(source, type):
        own = {"label"} if not isinstance(source, Source) else set()
    else:
        own = set(inspect.signature(make).parameters)
    taken = {name: value for name, value in options.items() if name in own}
    return taken, {name: value for name, value in options.items() if name not in own}


@atexit.register
def _close_all() -> None:
    """Before the loop ends, so that services are told and nothing is left to complain."""
    for feed in list(_open):
        feed._stop()
    deadline = time.monotonic() + 1.0
    for feed in list(_open):
        if feed._pid == os.getpid():
            feed._engine.over.wait(max(0.0, deadline - time.monotonic()))
