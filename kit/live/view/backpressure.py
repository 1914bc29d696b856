"""A heartbeat through the front end: once a second a number is sent after the frames, and comes back after them.

A link in the front end copies the number from one model to another, which the front end sends back. All of that is
plain ipywidgets. Messages are handled in order, so when the number returns, all earlier messages were handled.
"""

from __future__ import annotations

import threading
import time

from ipywidgets import CoreWidget, Widget, jsdlink
from traitlets import Int, Unicode

EVERY = 1.0
"""Seconds between two beats: each answer makes the kernel busy for a moment, which its indicator shows. The frames of
one second may be unconfirmed; a page that answers late gets fewer frames."""
PATIENCE = 5.0
"""Seconds without an answer after which frames are sent once more."""
_BUSY = 0.12
"""The same while a cell runs, in a kernel that receives no answers meanwhile."""
_GIVEN_UP = 30.0
_PROMPT = 0.15
"""Answers within this number of seconds do not slow down frames."""
_REMADE_AFTER = 1.5


class Beat(CoreWidget):  # type: ignore[misc]
    """The number that is sent."""

    _model_name = Unicode("IntTextModel").tag(sync=True)
    value = Int(0).tag(sync=True)


class Echo(CoreWidget):  # type: ignore[misc]
    """The number that comes back; it is not sent to the front end again."""

    _model_name = Unicode("IntTextModel").tag(sync=True)
    value = Int(0).tag(sync=True, echo_update=False)


class Backpressure:
    """Knows whether the front end is ready for more messages."""

    def __init__(self) -> None:
        from ..ipython import detached

        self._sent = self._back = 0
        self._sent_at = 0.0
        self._missed = 0
        self._took = 0.0
        """Seconds that the last answer took."""
        self.came = threading.Event()
        """Set when a number has come back."""
        self._aside: bool | None = None
        """Whether answers come in another thread than the main one; None before the first answer."""
        self._models: list[Widget] = []
        self._remakes = 3
        self._made_at = 0.0
        detached(self._make)

    def _make(self) -> None:
        self._made_at = time.monotonic()
        # They begin with the last number: no answer to earlier numbers is needed.
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
        """Send the next number, if it is time for one."""
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
        """Seconds between two rounds of frames: longer for a page that answers late, because it is slow or not on the
        screen."""
        return min(EVERY, max(0.0, self._took - _PROMPT))

    @property
    def _late(self) -> bool:
        return time.monotonic() - self._sent_at >= EVERY

    def free(self) -> bool:
        """Return whether the front end has answered, or the wait for an answer was long enough."""
        if self._back >= self._sent or not (self._late or self._missed):
            return True
        waited = time.monotonic() - self._sent_at
        if self._aside is not True and _busy():
            self._remake()
            return waited >= _BUSY
        if waited < (PATIENCE if self._missed < 3 else _GIVEN_UP):
            return False
        self._missed += 1
        return True

    def forgive(self) -> None:
        """Stop waiting for earlier numbers, which a new page does not know."""
        self._back, self._missed = self._sent, 0
        self.came.set()

    def _remake(self) -> None:
        """Make new models, which a page answers in a subshell. Its answers for the old models may wait in the main
        shell until the cell ends."""
        if self._aside is None and self._remakes and time.monotonic() - self._made_at > _REMADE_AFTER:
            self._remakes -= 1
            self.close()
            self._make()

    def close(self) -> None:
        """Free the models."""
        models, self._models = self._models, []
        for model in reversed(models):
            model.close()


def _busy() -> bool:
    """Return whether a cell is running, so that the main shell reads no messages."""
    from ..ipython import kernel

    here = kernel()
    lock = getattr(here, "_main_asyncio_lock", None)
    return bool(lock.locked()) if lock is not None else False
