"""A user's function, called with new rows in a thread of its own, so that a slow function delays nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...core.tables.frames import to_frame
from .alerts import Alert

if TYPE_CHECKING:
    from .state import FeedState

_AT_ONCE = 65_536
_CLOSING = 5.0


class Caller:
    """Calls one function with frames of new rows, in order, one call at a time. The feed keeps its errors."""

    def __init__(self, state: FeedState, function: Callable[[Any], Any] | Alert, owner: object) -> None:
        self._alert = function if isinstance(function, Alert) else None
        self.function = function.function if isinstance(function, Alert) else function
        """The user's function."""
        self._state = state
        self._owner = owner
        """The feed: this reference keeps it alive while a function listens to it."""
        self._stopped = threading.Event()
        # The present result may already meet a condition.
        self._cursor = 0 if self._alert is not None and state.source.replaces else state.news
        self._thread = threading.Thread(target=self._run, name="kit-feed-callback", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop calling."""
        self._stopped.set()
        if self._alert is not None:
            self._alert.stop()
            self._state.alerts.remove(self._alert)
        self._state.wake()

    def join(self, timeout: float = _CLOSING) -> None:
        """Wait until the function was called for all rows. Do nothing when called inside the function itself."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _run(self) -> None:
        name = getattr(self._alert or self.function, "__name__", type(self.function).__name__)
        while not self._stopped.is_set():
            taken = self._state.take_from(self._cursor, _AT_ONCE, self._stopped.is_set)
            if taken is None:
                return
            self._cursor, table, attrs = taken
            if not self._stopped.is_set():
                try:
                    if self._alert is not None:
                        self._alert.look(table, attrs)
                    else:
                        self.function(to_frame(table, attrs))
                except Exception as error:
                    self._state.problem(f"callback {name}", error)
            del table, taken  # free the memory while it waits for the next rows
