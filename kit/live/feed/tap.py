"""Each row of a feed, once and in order, for readers that must see all: put in by the engine, taken by the reader.

A reader that is behind makes the engine wait, so that nothing is lost and memory stays bounded.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from ...core.errors import KitError

if TYPE_CHECKING:
    from .state import FeedState

FULL_BYTES = 32 * 1024 * 1024
FULL_LOTS = 10_000


class Mark:
    """A place between two rows, at which the reader reports its state after all rows before."""

    def __init__(self) -> None:
        self._answered = threading.Event()
        self._answer: Any = None

    def tell(self, answer: Any) -> None:
        """Give the answer; None if there is none any more."""
        self._answer = answer
        self._answered.set()

    def wait(self, seconds: float) -> Any:
        """Return the answer."""
        if not self._answered.wait(seconds):
            raise KitError(
                f"what is computed on the feed did not get to this place within {seconds:g} s",
                hint="pause the feed and take the checkpoint again",
            )
        return self._answer


Item: TypeAlias = pa.RecordBatch | Mark


class Tap:
    """The rows that wait for one reader. `key` names what the reader computes, in a checkpoint too."""

    def __init__(self, state: FeedState, key: str, dump: Callable[[], Any]) -> None:
        self.key = key
        self.missed = 0
        """How many rows had left the buffer before the tap was made."""
        self.wake: Callable[[], None] = lambda: None
        """Called after rows or a mark were put here, under the lock of the state."""
        self._state, self._dump = state, dump
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._ended = False
        with state.changed:
            self.missed, batches = state.buffer.rows(0)
            for batch in batches:
                self.put(batch)
            state.taps.append(self)

    def put(self, batch: pa.RecordBatch) -> None:
        """Add rows; call it under the lock of the state."""
        if batch.num_rows:
            self._items.append(batch)
            self._bytes += batch.nbytes
            self.wake()

    @property
    def full(self) -> bool:
        """Whether too many rows wait here, so that the engine should wait."""
        return self._bytes > FULL_BYTES or len(self._items) > FULL_LOTS

    def mark(self) -> Mark:
        """Ask for the reader's state after all rows so far; call it under the lock of the state."""
        mark = Mark()
        if self._ended and not self._items:
            mark.tell(self._dump())
        else:
            self._items.append(mark)
            self.wake()
        return mark

    def take(self) -> list[Item]:
        """Return all rows and marks that wait, in order."""
        with self._state.changed:
            was_full = self.full
            items = list(self._items)
            self._items.clear()
            self._bytes = 0
        if was_full:
            self._state.on_room()
        return items

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._items

    def rest(self) -> bool:
        """Return whether all rows were taken after the feed ended. From then on marks are answered at once."""
        with self._state.changed:
            self._ended = not self._items
            return self._ended

    def close(self) -> None:
        """Stop taking rows."""
        with self._state.changed:
            if self in self._state.taps:
                self._state.taps.remove(self)
            items = list(self._items)
            self._items.clear()
            self._bytes = 0
        for item in items:
            if isinstance(item, Mark):
                item.tell(None)
        self._state.on_room()
