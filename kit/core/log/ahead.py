"""Reading ahead: a thread fetches the next pages while the caller works on the last one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Generic, TypeVar

T = TypeVar("T")

_PATIENCE = 2.0
"""Seconds that a reader who leaves early waits for the page under way; a service that hangs cannot hold it longer."""


def ahead(items: Iterator[T], size: Callable[[T], int], most: int = 8 * 1024 * 1024) -> Iterator[T]:
    """Yield the same items, in order; up to that many bytes of them wait. What `items` raises is raised here.

    >>> list(ahead(iter([1, 2, 3]), lambda item: 1, most=1))
    [1, 2, 3]
    """
    reading = _Reading(items, size, most)
    try:
        while (item := reading.next()) is not None:
            yield item
    finally:
        reading.leave()


class _Reading(Generic[T]):
    """What the fetching thread and the reader share."""

    def __init__(self, items: Iterator[T], size: Callable[[T], int], most: int) -> None:
        self._items, self._size, self._most = items, size, most
        self._ready: deque[tuple[T, int]] = deque()
        self._held = 0
        self._over = self._left = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        context = copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="kit-read-ahead", daemon=True)
        self._thread.start()

    def next(self) -> T | None:
        """Return the next item; None at the end."""
        with self._changed:
            while not self._ready and not self._over:
                self._changed.wait()
            if self._ready:
                item, size = self._ready.popleft()
                self._held -= size
                self._changed.notify_all()
                return item
        if self._error is not None:
            raise self._error
        return None

    def leave(self) -> None:
        """End the read-ahead: the page under way is read to its end and dropped."""
        with self._changed:
            self._left = True
            self._ready.clear()
            self._changed.notify_all()
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        try:
            for item in self._items:
                size = self._size(item)
                with self._changed:
                    while self._held and self._held + size > self._most and not self._left:
                        self._changed.wait()
                    if self._left:
                        break
                    self._ready.append((item, size))
                    self._held += size
                    self._changed.notify_all()
                del item
        except BaseException as error:
            self._error = error
        finally:
            closing = getattr(self._items, "close", None)
            if closing is not None:
                closing()
            with self._changed:
                self._over = True
                self._changed.notify_all()
