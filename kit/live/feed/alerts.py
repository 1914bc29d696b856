"""Alerts: a function that is called once when a condition becomes true, and not again while it stays true."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ...core.errors import InputError
from ...core.tables.filters import Mask, matching, names, tests_of
from ...core.tables.frames import to_frame
from ..columns import unified

if TYPE_CHECKING:
    import pandas as pd

    from .state import FeedState


class Alert:
    """Watches for rows that meet a condition after rows that did not. A `Caller` gives it the new rows, in order."""

    def __init__(self, state: FeedState, where: Any, call: Callable[[pd.DataFrame], Any], every: float) -> None:
        if not callable(call):
            raise InputError(f"call={call!r} is nothing to call", hint="give a function of the rows: call=print")
        if isinstance(every, bool) or not isinstance(every, int | float) or not every >= 0:
            raise InputError(f"every={every!r}: give a number of seconds from 0 up")
        self._tests = tests_of(where, {})
        if not self._tests:
            raise InputError("there is no condition", hint='when("price > 3", call=print)')
        self._state, self.function, self._every = state, call, float(every)
        self.__name__ = f"when {names(self._tests)}"
        self._names: dict[str, None] = {}
        self._met: set[Any] = set()
        """For a result: the keys of the rows that meet the condition. For other rows: whether the last one met it."""
        self._waiting: list[tuple[pa.Table, Mapping[str, Any]]] = []
        self._called_at = float("-inf")
        self._timer: threading.Timer | None = None
        self._lock = threading.RLock()
        self.fired = self.missed = 0
        self.at: datetime | None = None

    @property
    def note(self) -> str:
        """How often it fired, and when last."""
        often = "once" if self.fired == 1 else f"{self.fired:,} times"
        last = f"{often}, last {self.at:%H:%M:%S}" if self.at is not None else "not yet"
        missed = f", without {self.missed:,} rows that left the buffer too soon" if self.missed else ""
        return f"{self.__name__}: {last}{missed}"

    def look(self, table: pa.Table, attrs: Mapping[str, Any]) -> None:
        """Check rows, and call the function with those that began to meet the condition."""
        if not self._state.source.replaces:
            self.missed += attrs.get("missed", 0)
        mask = np.ones(table.num_rows, bool)
        self._names.update(dict.fromkeys(table.column_names))
        for _, test in self._tests:
            if table.num_rows and (missing := test.missing(self._names)) is not None:
                raise missing
            mask &= test(table)
        crossed = self._of_result(table, mask) if self._state.source.replaces else self._of_rows(mask)
        if crossed.any():
            with self._lock:
                self._waiting.append((matching(table, crossed), attrs))
                self.fired += int(crossed.sum())
                self.at = datetime.now().astimezone()
            self._state.wake()
        self._deliver()

    def _of_rows(self, mask: Mask) -> Mask:
        """Return the rows that meet the condition although the row before did not."""
        if not len(mask):
            return mask
        before = np.concatenate([[bool(self._met)], mask[:-1]])
        self._met = {True} if mask[-1] else set()
        crossed: Mask = mask & ~before
        return crossed

    def _of_result(self, table: pa.Table, mask: Mask) -> Mask:
        """Return the rows whose key did not meet the condition in the previous result. Without keys, a result counts as
        one row."""
        keys = [name for name in self._state.source.keys if name in table.column_names]
        if not keys:
            met: set[Any] = {True} if mask.any() else set()
            crossed = mask if met and not self._met else np.zeros(len(mask), bool)
        else:
            rows = [tuple(map(repr, row.values())) for row in table.select(keys).to_pylist()]
            met = {row for row, meets in zip(rows, mask.tolist(), strict=True) if meets}
            crossed = mask & np.array([row not in self._met for row in rows], bool)
        self._met = met
        return crossed

    def _deliver(self) -> None:
        """Call the function with all rows that wait, unless it was called less than `every` seconds ago."""
        with self._lock:
            if not self._waiting:
                return
            left = self._called_at + self._every - time.monotonic()
            if left > 0:
                if self._timer is None:
                    self._timer = threading.Timer(left, self._later)
                    self._timer.daemon = True
                    self._timer.start()
                return
            waiting, self._waiting = self._waiting, []
            self._called_at = time.monotonic()
        # Not frames: to pandas a column of whole numbers and one of floats are floats, and digits are lost.
        whole = unified([batch for table, _ in waiting for batch in table.to_batches()])
        self.function(to_frame(whole, waiting[-1][1]))

    def _later(self) -> None:
        with self._lock:
            self._timer = None
        try:
            self._deliver()
        except Exception as error:
            self._state.problem(f"callback {self.__name__}", error)

    def stop(self) -> None:
        """Stop calling the function."""
        with self._lock:
            self._waiting = []
            if self._timer is not None:
                self._timer.cancel()
