"""Waiting for a feed's rows, and going through them as they come."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

from ..core.errors import InputError, KitError
from ..core.processes import check_process

if TYPE_CHECKING:
    import pandas as pd

    from .buffer import Buffer
    from .source import Source

_STEP = 0.2
"""Seconds after which a wait looks up, so that an interrupt is noticed on every system."""


class Followed:
    """The part of a feed that others wait on. All of it is guarded by `_changed`, which is told of every change."""

    source: Source
    version: int
    error: BaseException | None
    _changed: threading.Condition
    _buffer: Buffer
    _state: str
    _pid: int
    _caught_up: bool | None

    if TYPE_CHECKING:

        @property
        def ended(self) -> bool: ...
        @property
        def total(self) -> int: ...
        def _watch(self, watcher: Callable[[], None]) -> None: ...
        def _unwatch(self, watcher: Callable[[], None]) -> None: ...

    def wait(self, n: int | None = None, *, until: Any = None, timeout: float | None = None) -> Self:
        """The feed, once `n` rows have come in all, or `until(feed)` is true, or it has ended where neither is given.

        `until="caught_up"` waits for the newest row. `TimeoutError` when it does not come about in time. Where the
        feed ends before, its error is raised. Interrupting the cell leaves the feed running.
        """
        if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 0):
            raise InputError(f"n={n!r}: wait for a number of rows from 0 up")
        if until is not None and until != "caught_up" and not callable(until):
            raise InputError(f"until={until!r}", hint='give a function of the feed, or "caught_up"')
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._check_process()
            with self._changed:
                seen = self.version
            if self._reached(n, until):
                return self
            if self.ended:
                if n is None and until is None and self._state == "closed":
                    return self
                raise self._end_error(n)
            left = _STEP if deadline is None else min(_STEP, deadline - time.monotonic())
            if left <= 0:
                wanted = f"{n:,} rows" if n is not None else "what was waited for"
                raise TimeoutError(f"{wanted} did not come within {timeout:g} s; {self.total:,} rows did: {self!r}")
            with self._changed:
                if self.version == seen:
                    self._changed.wait(left)

    def _reached(self, n: int | None, until: Any) -> bool:
        if until == "caught_up":
            return bool(self._caught_up)
        if until is not None and until(self):
            return True
        return n is not None and self.total >= n

    def _check_process(self) -> None:
        if not self.ended:
            check_process(self._pid, f"the feed of {self.source.label}")

    def _end_error(self, n: int | None) -> BaseException:
        if self._state == "failed" and self.error is not None:
            return self.error
        wanted = f"{n:,} rows" if n is not None else "that"
        return KitError(f"the feed of {self.source.label} ended after {self.total:,} rows, before {wanted}")

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Frames of rows, from the oldest one kept on, as they come; `frame.attrs["missed"]` counts rows that had
        left the buffer before they were asked for."""
        cursor = 0
        while (taken := self._take_from(cursor)) is not None:
            cursor, frame = taken
            yield frame
        if self._state == "failed" and self.error is not None:
            raise self.error

    async def __aiter__(self) -> AsyncIterator[pd.DataFrame]:
        """The same with `async for`, on any loop."""
        here = asyncio.get_running_loop()
        changed = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):
                here.call_soon_threadsafe(changed.set)

        self._check_process()
        self._watch(wake)
        cursor = 0
        try:
            while True:
                changed.clear()
                over = self.ended
                if self.total > cursor:
                    taken = self._take_from(cursor)
                    assert taken is not None
                    cursor, frame = taken
                    yield frame
                elif over:
                    break
                else:
                    await changed.wait()
        finally:
            self._unwatch(wake)
        if self._state == "failed" and self.error is not None:
            raise self.error

    def _take_from(
        self, cursor: int, most: int = 65_536, stopped: Callable[[], bool] = lambda: False
    ) -> tuple[int, pd.DataFrame] | None:
        """The next rows from a place on, waited for; and the place behind them. None where no more will come."""
        from ..core.frames import to_frame

        while True:
            self._check_process()
            with self._changed:
                over = self.ended
                start, batches = self._buffer.rows(cursor, max(cursor, self._buffer.first) + most)
                if not batches:
                    if over or stopped():
                        return None
                    self._changed.wait(_STEP)
                    continue
            found, told = self.source.shape(batches)
            missed = start - cursor
            return start + found.num_rows, to_frame(found, {**told, **({"missed": missed} if missed else {})})
