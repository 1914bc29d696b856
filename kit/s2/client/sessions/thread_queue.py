"""A queue from a blocking thread to a coroutine on the background loop, many items at a time."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class ThreadQueue(Generic[T]):
    """A bounded queue: `put` blocks a thread while too much is held, `take` is awaited on the loop.

    `settle` is how many seconds `take` waits for more after the first item: waking the loop from another thread costs
    more than handling an item.
    """

    def __init__(self, limit: int, settle: float = 0.0) -> None:
        self._limit = limit
        self._settle = settle
        self._items: deque[T] = deque()
        self._held = 0
        self._taken = 0
        """What the items that were taken last weigh; they count until the next ones are asked for."""
        self._over = False
        self._changed = threading.Condition()
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None

    def put(self, item: T, weight: int = 1) -> bool:
        """Hand an item over; return False if the other side has ended. One without weight does not wait for room."""
        with self._changed:
            while weight and self._held >= self._limit and not self._over:
                self._changed.wait()
            if self._over:
                return False
            self._items.append(item)
            self._held += weight
            self._wake()
        return True

    def end(self) -> None:
        """End the handover; waiting items can still be taken."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
            self._wake()

    async def take(self) -> list[T]:
        """Return all waiting items, once there are any; empty at the end."""
        while True:
            with self._changed:
                self._held -= self._taken
                self._taken = 0
                self._changed.notify_all()
                if self._items or self._over:
                    break
                loop = asyncio.get_running_loop()
                waiter: asyncio.Future[None] = loop.create_future()
                self._waiting = loop, waiter
            await waiter
            if self._settle and not self._over:
                await asyncio.sleep(self._settle)
        with self._changed:
            items = list(self._items)
            self._items.clear()
            self._taken = self._held
        return items

    def _wake(self) -> None:
        if self._waiting is not None:
            loop, waiter = self._waiting
            self._waiting = None
            loop.call_soon_threadsafe(_settle, waiter)


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
