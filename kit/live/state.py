"""What is known of a feed: its newest rows, its counters, what went wrong. The engine writes it; all others read."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..core.processes import check_process
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
"""Seconds after which a wait looks up, so that an interrupt is noticed on every system."""
_log = logging.getLogger("kit.live")


class Reader(Protocol):
    """What is given each lot of rows that is taken in, once and in order."""

    key: str

    def put(self, batch: pa.RecordBatch) -> None:
        """Put rows aside, of which the last is at the state's position; called under its lock."""

    def mark(self) -> Answer:
        """Ask what was made of the rows so far; called under the lock of the state."""

    @property
    def full(self) -> bool:
        """Whether so much waits here that no more should be taken in for now."""


class Noted(Protocol):
    """What is said of an alert."""

    @property
    def note(self) -> str:
        """How it stands."""


class Answer(Protocol):
    """What a reader will tell."""

    def wait(self, seconds: float) -> Any:
        """Return it."""


class FeedState:
    """The state of one feed. `changed` guards all of it, and is told of every change."""

    def __init__(self, source: Source, gate: Gate, buffer: Buffer, position: Position) -> None:
        self.source = source
        self.changed = threading.Condition()
        self.buffer = buffer
        self.rates = Rates()
        self.taps: list[Reader] = []
        self.alerts: list[Noted] = []
        self.on_room: Callable[[], None] = lambda: None
        """To be called by a reader that was full and is so no more."""
        self.came = self.filtered = self.skipped = self.dropped = self.reconnects = self.gaps = self.bytes = 0
        self.paused = False
        self.position = position
        """Of the last row that came, whether it passed the filters or not."""
        self.tail: int | None = None
        self.caught_up: bool | None = None
        self.error: BaseException | None = None
        """What ended it, where it failed; else the last error that it got over."""
        self.version = 0
        """Grows with everything that a view would show."""
        self.pid = os.getpid()
        self._gate = gate
        self._word: State = "connecting"
        self._problems = Problems()
        self._watchers: list[Callable[[], None]] = []
        self._shown: tuple[tuple[int, int, int], pd.DataFrame] | None = None

    # --- what there is ----------------------------------------------------------------------------------------------

    @property
    def word(self) -> State:
        """connecting, live, paused, reconnecting, closed or failed."""
        if self.paused and self._word in ("connecting", "live", "reconnecting"):
            return "paused"
        return self._word

    @property
    def begun(self) -> bool:
        """Whether the source has told anything yet."""
        return self._word != "connecting"

    @property
    def ended(self) -> bool:
        """Whether no more rows will come."""
        return self._word in ("closed", "failed")

    @property
    def total(self) -> int:
        """How many rows were taken in, those that have left the buffer included; of a result, how many it has."""
        return len(self.buffer) if self.source.replaces else self.buffer.next

    @property
    def news(self) -> int:
        """A place for `take_from`: what comes after it is new."""
        return self.buffer.replaced if self.source.replaces else self.buffer.next

    @property
    def lag(self) -> int | None:
        """How many rows the service is ahead, as far as it told; None where it does not tell."""
        if self.tail is None or not isinstance(self.position, int):
            return 0 if self.caught_up else None
        return max(0, self.tail - self.position - 1)

    @property
    def problems(self) -> list[Problem]:
        """What callbacks and filters raised, each with the line it came from."""
        with self.changed:
            return self._problems.all()

    @property
    def notes(self) -> list[str]:
        """What one should know of the rows, in a few words each."""
        return [*self.source.notes(), *(alert.note for alert in self.alerts)]

    @property
    def crowded(self) -> bool:
        """Whether somebody who must see every row is behind, so that the source should wait."""
        return any(tap.full for tap in self.taps)

    def batches(self, start: int = 0, stop: int | None = None) -> tuple[int, list[pa.RecordBatch]]:
        """Return the rows from number `start` on as they came, and the number of the first that is still kept."""
        with self.changed:
            return self.buffer.rows(start, stop)

    def frame(self) -> Any:
        """Return the rows in the buffer as the notebook shows them; made once for as long as they stay the same."""
        from ..core.frames import to_frame
        from ..core.into import shown

        with self.changed:
            mark = (self.buffer.first, self.buffer.next, self.buffer.replaced)
            if self._shown is not None and self._shown[0] == mark:
                return self._shown[1].copy(deep=False)
            _, batches = self.buffer.rows(0)
            attrs = {"source": self.source.label, "dropped": self.dropped}
        found, told = self.source.shape(batches)
        if self.source.into != "pandas":
            return shown(found, self.source.into, {**attrs, **told})
        frame = to_frame(found, {**attrs, **told})
        self._shown = (mark, frame)
        return frame.copy(deep=False)

    def stats(self) -> dict[str, Any]:
        """Return the figures of all of it."""
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

    # --- what others do ---------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Tell everybody who waits that something is different."""
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
        """Call it no more."""
        with self.changed, contextlib.suppress(ValueError):
            self._watchers.remove(watcher)

    @property
    def watched(self) -> bool:
        """Whether anybody is told of changes, and so would see an error."""
        return bool(self._watchers)

    def problem(self, where: str, error: BaseException, *, wake: bool = True) -> None:
        """Keep an error of a user's own code, to be shown; where that is what failed, without asking for it."""
        with self.changed:
            self._problems.add(where, error)
        if wake:
            self.wake()

    def told(self, where: str, error: BaseException | None) -> None:
        """Keep an error of a user's own code, or forget those that are none any more."""
        if error is None:
            self.solved(where)
        else:
            self.problem(where, error)

    def solved(self, where: str, kind: type[BaseException] | None = None) -> None:
        """Forget errors that are none any more, of one kind or of any."""
        with self.changed:
            self._problems.solved(where, kind)

    def clear(self) -> None:
        """Empty the buffer; total and position stay."""
        with self.changed:
            self.buffer.clear()
            self._problems.clear()
        self.wake()

    def check_process(self) -> None:
        """Refuse to wait in a fork for what comes in its parent."""
        if not self.ended:
            check_process(self.pid, f"the feed of {self.source.label}")

    def take_from(
        self, cursor: int, most: int = 65_536, stopped: Callable[[], bool] = lambda: False
    ) -> tuple[int, pa.Table, dict[str, Any]] | None:
        """Return the place behind the next rows, waited for, them, and what is told of them; None at the end.

        Of a result that is replaced, all of it, each time that there is another one.
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
            found, told = self.source.shape(batches)
            return after, found, {**told, **({"missed": missed} if missed else {})}

    # --- what the engine tells --------------------------------------------------------------------------------------

    def took(self, chunk: Chunk, *, skipped: bool) -> None:
        """Take in what came; where it was `skipped` it is only counted."""
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
        """Take the service's word on how far it is."""
        with self.changed:
            self.tail, self.caught_up = tail, caught_up
        self.wake()

    def lost(self, error: BaseException) -> None:
        """Say that the connection is gone, and is being made anew."""
        with self.changed:
            if not self.source.resumes and self.came:
                self.gaps += 1
            self._word, self.error, self.caught_up = "reconnecting", error, None
        self.wake()

    def end(self, error: BaseException | None = None) -> None:
        """Say that no more rows will come, and what it failed with, where it did."""
        if error is not None and not self.watched:
            # Before the state says so: who waits for the end finds it in the log.
            _log.warning("the feed of %s failed: %s: %s", self.source.label, type(error).__name__, error)
        with self.changed:
            self._word = "closed" if error is None else "failed"
            if error is not None:
                self.error = error.with_traceback(None)
        self.wake()
