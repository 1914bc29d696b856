"""The state of a feed: its newest rows, counters and errors. The engine writes it; all others read it."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ...core.processes import check_process
from .buffer import Buffer
from .gate import Gate
from .problems import Problem, Problems
from .rates import Rates
from .source import Chunk, Position, Source

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

State = Literal["connecting", "live", "paused", "reconnecting", "closed", "failed"]

STEP = 0.2
"""Seconds after which a wait wakes up, so that an interrupt is noticed on every system."""
_log = logging.getLogger("kit.live")


class Reader(Protocol):
    """Receives each batch of rows that the feed takes, once and in order."""

    key: str

    def put(self, batch: pa.RecordBatch) -> None:
        """Add rows, the last of which is at the state's position; called under its lock."""

    def mark(self) -> Answer:
        """Ask for the reader's state after all rows so far; called under the lock of the feed's state."""

    @property
    def full(self) -> bool:
        """Whether too many rows wait here, so that the engine should wait."""


class Noted(Protocol):
    """The part of an alert that a view shows."""

    @property
    def note(self) -> str:
        """How often it fired, and when last."""


class Answer(Protocol):
    """The state of a reader, which comes later."""

    def wait(self, seconds: float) -> Any:
        """Wait for the answer, and return it."""


class FeedState:
    """The state of one feed. The condition `changed` guards all of it, and is notified of every change."""

    def __init__(self, source: Source, gate: Gate, buffer: Buffer, position: Position) -> None:
        self.source = source
        self.changed = threading.Condition()
        self.buffer = buffer
        self.rates = Rates()
        self.taps: list[Reader] = []
        self.alerts: list[Noted] = []
        self.on_room: Callable[[], None] = lambda: None
        """Called by a reader that was full and has room again."""
        self.came = self.filtered = self.skipped = self.dropped = self.reconnects = self.gaps = self.bytes = 0
        self.paused = False
        self.position = position
        """The position of the last row that came, whether it passed the filters or not."""
        self.tail: int | None = None
        self.caught_up: bool | None = None
        self.error: BaseException | None = None
        """The error that ended the feed, if it failed; otherwise the last error after which it continued."""
        self.version = 0
        """Grows with everything that a view would show."""
        self.pid = os.getpid()
        self._gate = gate
        self._word: State = "connecting"
        self._problems = Problems()
        self._watchers: list[Callable[[], None]] = []
        self._shown: tuple[tuple[int, int, int], pd.DataFrame] | None = None

    # --- reading ----------------------------------------------------------------------------------------------------

    @property
    def word(self) -> State:
        """Its state: connecting, live, paused, reconnecting, closed or failed."""
        if self.paused and self._word in ("connecting", "live", "reconnecting"):
            return "paused"
        return self._word

    @property
    def begun(self) -> bool:
        """Whether a first chunk has come."""
        return self._word != "connecting"

    @property
    def ended(self) -> bool:
        """Whether no more rows will come."""
        return self._word in ("closed", "failed")

    @property
    def total(self) -> int:
        """How many rows were taken, including those that have left the buffer; for a result, how many it has."""
        return len(self.buffer) if self.source.replaces else self.buffer.next

    @property
    def news(self) -> int:
        """A cursor for `take_from`: rows after it are new."""
        return self.buffer.replaced if self.source.replaces else self.buffer.next

    @property
    def lag(self) -> int | None:
        """How many rows the service is ahead; None where the service does not say."""
        if self.tail is None or not isinstance(self.position, int):
            return 0 if self.caught_up else None
        return max(0, self.tail - self.position - 1)

    @property
    def problems(self) -> list[Problem]:
        """Errors of callbacks and filters, each with the line it came from."""
        with self.changed:
            return self._problems.all()

    @property
    def notes(self) -> list[str]:
        """What a reader should know about the rows, in a few words each."""
        return [*self.source.notes(), *(alert.note for alert in self.alerts)]

    @property
    def crowded(self) -> bool:
        """Whether a reader that must see every row is behind, so that the source should wait."""
        return any(tap.full for tap in self.taps)

    def batches(self, start: int = 0, stop: int | None = None) -> tuple[int, list[pa.RecordBatch]]:
        """Return the rows from number `start` on as they came, and the number of the first that is still kept."""
        with self.changed:
            return self.buffer.rows(start, stop)

    def frame(self) -> Any:
        """Return the rows in the buffer as the notebook shows them; a copy of the last frame if no row is new."""
        from ...core.tables.frames import to_frame
        from ...core.tables.into import shown

        with self.changed:
            mark = (self.buffer.first, self.buffer.next, self.buffer.replaced)
            if self._shown is not None and self._shown[0] == mark:
                return self._shown[1].copy(deep=False)
            _, batches = self.buffer.rows(0)
            attrs = {"source": self.source.label, "dropped": self.dropped}
        table, decided = self.source.shape(batches)
        if self.source.into != "pandas":
            return shown(table, self.source.into, {**attrs, **decided})
        frame = to_frame(table, {**attrs, **decided})
        self._shown = (mark, frame)
        return frame.copy(deep=False)

    def stats(self) -> dict[str, Any]:
        """Return all figures."""
        with self.changed:
            rates = {seconds: self.rates.over(seconds) for seconds in (1, 10, 60)}
            return {
                "state": self.word,
                "total": self.total,
                "kept": len(self.buffer),
                "rate_1s": rates[1][0],
                "rate_10s": rates[10][0],
                "rate_60s": rates[60][0],
                "bytes": self.bytes,
                "bytes_per_s": rates[10][1],
                "kept_bytes": self.buffer.bytes,
                "dropped": self.dropped,
                "skipped": self.skipped,
                "filtered": self.filtered,
                "reconnects": self.reconnects,
                "gaps": self.gaps,
                "lag": self.lag,
                "caught_up": self.caught_up,
                "position": self.position,
                "error": None if self.error is None else f"{type(self.error).__name__}: {self.error}",
                "problems": len(self._problems.all()),
                **self.source.figures(),
            }

    # --- changing ---------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Notify all waiting threads and all watchers of a change."""
        with self.changed:
            self.version += 1
            self.changed.notify_all()
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call a function after each change, in the thread that made it."""
        with self.changed:
            self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Stop calling a function."""
        with self.changed, contextlib.suppress(ValueError):
            self._watchers.remove(watcher)

    @property
    def watched(self) -> bool:
        """Whether a view or another watcher would show an error."""
        return bool(self._watchers)

    def problem(self, where: str, error: BaseException, *, wake: bool = True) -> None:
        """Keep an error of a user's own code. `wake=False` repaints no view: for errors of the painting itself."""
        with self.changed:
            self._problems.add(where, error)
        if wake:
            self.wake()

    def report(self, where: str, error: BaseException | None) -> None:
        """Keep an error of a user's own code, or with None forget its errors."""
        if error is None:
            self.solved(where)
        else:
            self.problem(where, error)

    def solved(self, where: str, kind: type[BaseException] | None = None) -> None:
        """Forget errors that no longer occur, of one kind or of any."""
        with self.changed:
            self._problems.solved(where, kind)

    def clear(self) -> None:
        """Empty the buffer; total and position stay."""
        with self.changed:
            self.buffer.clear()
            self._problems.clear()
        self.wake()

    def check_process(self) -> None:
        """Refuse to wait in a forked process: rows come only in its parent."""
        if not self.ended:
            check_process(self.pid, f"the feed of {self.source.label}")

    def take_from(
        self, cursor: int, most: int = 65_536, stopped: Callable[[], bool] = lambda: False
    ) -> tuple[int, pa.Table, dict[str, Any]] | None:
        """Wait for rows after a cursor; return the next cursor, the rows and their `attrs`, or None at the end.

        Of a result, return all rows, each time that there is a new one.
        """
        while True:
            self.check_process()
            with self.changed:
                over = self.ended
                if self.source.replaces:
                    start, after, missed = 0, self.buffer.replaced, 0
                    _, batches = self.buffer.rows(0)
                else:
                    start, batches = self.buffer.rows(cursor, max(cursor, self.buffer.first) + most)
                    after, missed = start + sum(batch.num_rows for batch in batches), start - cursor
                if after <= cursor or (not batches and not self.source.replaces):
                    if over or stopped():
                        return None
                    self.changed.wait(STEP)
                    continue
            table, decided = self.source.shape(batches)
            return after, table, {**decided, **({"missed": missed} if missed else {})}

    # --- for the engine ---------------------------------------------------------------------------------------------

    def took(self, chunk: Chunk, *, skipped: bool) -> None:
        """Take a chunk; if `skipped`, only count its rows."""
        rows = chunk.batch.num_rows
        batch = chunk.batch
        if rows and not skipped:
            batch = self._gate.passing(batch, self)
        with self.changed:
            if self._word == "reconnecting":
                self.reconnects += 1
            self.reconnects += chunk.reconnects
            self.gaps += chunk.gaps
            self._word = "live"
            self.came += rows
            if skipped:
                self.skipped += rows
            else:
                self.filtered += rows - batch.num_rows
                if self.source.replaces:
                    self.dropped = self.buffer.replace([batch, *chunk.more])
                else:
                    self.dropped += self.buffer.add(batch)
            if rows and not self.source.replaces:
                self.rates.add(rows, chunk.batch.nbytes)
                self.bytes += chunk.batch.nbytes
            if chunk.last is not None:
                self.position = chunk.last
            if chunk.tail is not None:
                self.tail = chunk.tail
            if chunk.caught_up is not None or rows:
                self.caught_up = chunk.caught_up
            if not skipped and not self.source.replaces:
                for tap in self.taps:
                    tap.put(batch)
        self.wake()

    def tail_is(self, tail: int, caught_up: bool) -> None:
        """Store the tail of the log, as the service sent it."""
        with self.changed:
            self.tail, self.caught_up = tail, caught_up
        self.wake()

    def lost(self, error: BaseException) -> None:
        """Note that the connection is lost and the engine reconnects."""
        with self.changed:
            if not self.source.resumes and self.came:
                self.gaps += 1
            self._word, self.error, self.caught_up = "reconnecting", error, None
        self.wake()

    def end(self, error: BaseException | None = None) -> None:
        """Note that no more rows will come, with the error if the feed failed."""
        if error is not None and not self.watched:
            # Before the state changes: a thread that waits for the end finds the error in the log.
            _log.warning("the feed of %s failed: %s: %s", self.source.label, type(error).__name__, error)
        with self.changed:
            self._word = "closed" if error is None else "failed"
            if error is not None:
                self.error = error.with_traceback(None)
        self.wake()
