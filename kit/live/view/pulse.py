"""A heart beat through the front end: once a second a number is sent after frames, and comes back once they were taken.

A link in the front end copies the number from one model to another, which the front end sends home. All of that is
plain ipywidgets; messages are handled in order, so the number has everything before it behind it.
"""

from __future__ import annotations

import threading
import time

from ipywidgets import CoreWidget, Widget, jsdlink
from traitlets import Int, Unicode

EVERY = 1.0
"""Seconds between two beats: each answer makes the kernel busy for a moment, which its indicator shows. Frames of so
long may be on their way; a page that answers late gets them as much slower."""
PATIENCE = 5.0
"""Seconds without an answer after which one more lot is sent all the same."""
_BUSY = 0.12
"""The same while a cell runs in a kernel that answers nothing meanwhile."""
_GIVEN_UP = 30.0
_PROMPT = 0.15
"""An answer within that many seconds is as quick as any."""
_ANEW = 1.5


class Beat(CoreWidget):  # type: ignore[misc]
    """A number on its way out."""

    _model_name = Unicode("IntTextModel").tag(sync=True)
    value = Int(0).tag(sync=True)


class Echo(CoreWidget):  # type: ignore[misc]
    """The number when it comes back; it is not told to the front end again."""

    _model_name = Unicode("IntTextModel").tag(sync=True)
    value = Int(0).tag(sync=True, echo_update=False)


class Pulse:
    """Says whether the front end is ready for more."""

    def __init__(self) -> None:
        from ..kernel import detached

        self._sent = self._back = 0
        self._sent_at = 0.0
        self._missed = 0
        self._took = 0.0
        """Seconds that the last answer took."""
        self.came = threading.Event()
        """Set when a number has come back."""
        self._aside: bool | None = None
        """Whether answers come in a thread of their own; None before the first."""
        self._models: list[Widget] = []
        self._anew = 3
        self._made_at = 0.0
        detached(self._make)

    def _make(self) -> None:
        self._made_at = time.monotonic()
        # They begin with the last number: what was sent before needs no answer any more.
        out, back = Beat(value=self._sent), Echo(value=self._sent)
        self._out = out
        self._models = [out, back, jsdlink((out, "value"), (back, "value"))]
        back.observe(self._came, "value")

    def _came(self, change: object) -> None:
        self._back = self._models[1].value
        if self._back >= self._sent:
            self._took = time.monotonic() - self._sent_at
        self._missed = 0
        self._aside = threading.current_thread() is not threading.main_thread()
        self.came.set()

    def beat(self) -> None:
        """Send the next number, where it is time for one."""
        if self._back < self._sent and not self._missed and not self._late:
            return
        if self._back >= self._sent and time.monotonic() - self._sent_at < EVERY:
            return
        self._sent += 1
        self.came.clear()
        self._sent_at = time.monotonic()
        self._out.value = self._sent

    @property
    def pace(self) -> float:
        """Seconds that there should be between two lots of frames: a page that is slow, or not on the screen, takes
        its time to answer."""
        return min(EVERY, max(0.0, self._took - _PROMPT))

    @property
    def _late(self) -> bool:
        return time.monotonic() - self._sent_at >= EVERY

    def free(self) -> bool:
        """Return whether what was sent was taken, or has been waited for long enough."""
        if self._back >= self._sent or not (self._late or self._missed):
            return True
        waited = time.monotonic() - self._sent_at
        if self._aside is not True and _busy():
            self._try_anew()
            return waited >= _BUSY
        if waited < (PATIENCE if self._missed < 3 else _GIVEN_UP):
            return False
        self._missed += 1
        return True

    def forgive(self) -> None:
        """Wait no more for what was sent before: a page that has just come may not know of it."""
        self._back, self._missed = self._sent, 0
        self.came.set()

    def _try_anew(self) -> None:
        """Ask a page anew, with new models, now that it has a shell of its own for them: its first answer may have
        gone to the main shell, where it waits for the cell, and the next ones wait behind it."""
        if self._aside is None and self._anew and time.monotonic() - self._made_at > _ANEW:
            self._anew -= 1
            self.close()
            self._make()

    def close(self) -> None:
        """Free the models."""
        models, self._models = self._models, []
        for model in reversed(models):
            model.close()


def _busy() -> bool:
    """Return whether a cell runs now, so that the main shell reads no messages."""
    from ..kernel import kernel

    here = kernel()
    lock = getattr(here, "_main_asyncio_lock", None)
    return bool(lock.locked()) if lock is not None else False
