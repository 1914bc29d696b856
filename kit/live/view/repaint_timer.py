"""One timer for all views: at most ten frames a second for each, and a limited number of messages for all together.

Once a second the front end is asked whether it has handled all messages, and at most the frames of one second are sent
before it answers. A small model in the front end answers (see `backpressure.py`). So a slow page gets fewer frames,
and a closed page almost none.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Protocol

from ..ipython import detached

TICK = 0.1
PER_TICK = 8
"""Messages in a tick: with those that ask for answers, and of the controls, fewer than a hundred a second."""
_lock = threading.RLock()


class Painted(Protocol):
    """What the timer repaints: the visible part of a view."""

    due: float | None

    def repaint(self, most: int) -> int:
        """Paint what is new; return how many messages were sent."""


class RepaintTimer:
    """The thread of the timer. It runs while there are views, and sleeps while nothing changes."""

    def __init__(self) -> None:
        from .backpressure import Backpressure

        self.views: list[Painted] = []
        self._changed = threading.Event()
        self._stopped = False
        self._next = 0
        self.backpressure = Backpressure()
        self.sent = 0
        """The number of messages sent to front ends."""
        self._thread = threading.Thread(target=detached, args=(self._run,), name="kit-views", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Repaint soon."""
        self._changed.set()

    def look_up(self) -> None:
        """Stop waiting for old answers, after a message from a front end, and repaint soon."""
        self.backpressure.forgive()
        self._changed.set()

    def stop(self) -> None:
        """End the thread and free the models that ask the front end."""
        self._stopped = True
        self._changed.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(2)
        self.backpressure.close()

    def _run(self) -> None:
        while self._wait():
            while not self.backpressure.free() and not self._stopped:
                self.backpressure.came.wait(TICK / 4)
            began = time.monotonic()
            self._repaint()
            time.sleep(max(0.0, max(TICK, self.backpressure.pace) - (time.monotonic() - began)))

    def _wait(self) -> bool:
        """Wait until something has changed; return False at the end."""
        self._changed.wait(self._patience())
        self._changed.clear()
        return not self._stopped

    def _patience(self) -> float | None:
        """Return the seconds until a view must be repainted although nothing changed; None if there is none."""
        now = time.monotonic()
        waits = [view.due - now for view in list(self.views) if view.due is not None]
        return max(0.0, min(waits)) if waits else None

    def _repaint(self) -> None:
        """Repaint the views that have something new, beginning with the one where the last round ended."""
        views = list(self.views)
        left, sent = PER_TICK, 0
        for n in range(len(views)):
            view = views[(self._next + n) % len(views)]
            if left <= 0:
                self._next = (self._next + n) % len(views)
                self._changed.set()
                break
            done = view.repaint(left)
            left -= done
            sent += done
        if sent:
            self.backpressure.beat()
            self.sent += sent + 1


_timer: RepaintTimer | None = None
_pid = os.getpid()


def add(view: Painted) -> RepaintTimer:
    """Add a view, and return the timer."""
    global _timer, _pid
    with _lock:
        if _timer is None or _pid != os.getpid():
            _timer, _pid = RepaintTimer(), os.getpid()
        _timer.views.append(view)
        return _timer


def remove(view: Painted) -> None:
    """Remove a view; the timer ends with the last one."""
    global _timer
    with _lock:
        timer = _timer
        if timer is None or view not in timer.views:
            return
        timer.views.remove(view)
        if timer.views:
            return
        _timer = None
    timer.stop()
