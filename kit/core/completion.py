"""Names to complete with Tab, from a listing that is cached for a while; Tab never waits long for it."""

from __future__ import annotations

import threading
import time
from collections import UserDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from .errors import KitError
from .tables.into import GivesFrames
from .words import nearest

KEPT = 10.0
"""Seconds for which a cached listing is used."""
PATIENCE = 1.0
"""Seconds that pressing Tab may take; a listing that comes later is used the next time."""


if TYPE_CHECKING:
    import pandas as pd

K = TypeVar("K")
V = TypeVar("V")


class Keyed(GivesFrames):
    """Things by name: `name in x` and `list(x)` ask the service, Tab completes from a recent listing."""

    _names: Names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names.all())

    def __contains__(self, name: object) -> bool:
        return name in self._names.all()

    def _ipython_key_completions_(self) -> list[str]:
        return self._names.get()


class Handles(Keyed, Generic[K, V]):
    """Handles by name, which index further without asking the service: Tab completes `x["one"]["` too.

    Before the last bracket, IPython calls `__getitem__` only on Python's own collections, unless a user allows more. So
    this class uses that of `UserDict`, which calls `__missing__` for each name that is not in its `data`.
    """

    data: ClassVar[tuple[()]] = ()

    if TYPE_CHECKING:

        def __getitem__(self, name: K) -> V: ...

    else:
        __getitem__ = UserDict.__getitem__

    def __missing__(self, name: K) -> V:
        """Return the handle of that name."""
        raise NotImplementedError

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__()} - {"data"})


class Listing(Keyed, Generic[V]):
    """All queues, rooms, topics or tables: call it for a frame of all of them, index it (Tab completes) for one."""

    def __init__(self, what: str, frame: Callable[[], pd.DataFrame], one: Callable[[str], V], names: Names) -> None:
        self._what, self._frame, self._one, self._names = what, frame, one, names
        self.__doc__ = frame.__doc__

    def __call__(self) -> pd.DataFrame:
        """Return one row for each thing listed."""
        return self._frame()

    def __getitem__(self, name: str) -> V:
        return self._one(name)

    def __repr__(self) -> str:
        return f"<all {self._what}: call it for a frame, index it for one>"

    def forget(self) -> None:
        """Drop the cached names, after something was created or deleted."""
        self._names.forget()


class Names:
    """The names that `fetch` lists; it is called when they are needed and the cached ones are too old."""

    def __init__(self, fetch: Callable[[], list[str]]) -> None:
        self._fetch = fetch
        self._names: list[str] = []
        self._until = 0.0
        self._forgotten = 0
        """How often the names were dropped: a listing that was under way then may lack the newest."""
        self._thread: threading.Thread | None = None

    def get(self) -> list[str]:
        """Return the names as known by now; an error of the service gives those known before, or none."""
        if time.monotonic() >= self._until:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._refresh, name="kit-names", daemon=True)
                self._thread.start()
            self._thread.join(PATIENCE)
        return list(self._names)

    def all(self) -> list[str]:
        """Return the current names; an error of the service is raised."""
        self._names = self._fetch()
        self._until = time.monotonic() + KEPT
        return list(self._names)

    def nearest(self, name: str) -> str | None:
        """Return a question that suggests the nearest name for a missing one, or None without any."""
        return nearest(name, self.get())

    @contextmanager
    def explained(self, name: str, listing: str, *codes: str) -> Iterator[None]:
        """Return a hint for a missing name: the nearest one, or the explorer's verb that lists them."""
        try:
            yield
        except KitError as error:
            if getattr(error, "code", None) in codes or any(code in str(error.args[0]) for code in codes):
                error.hint = self.nearest(name) or f"{listing} lists those there are"
            raise

    def forget(self) -> None:
        """Drop the cached names, after something was created or deleted."""
        self._until = 0.0
        self._forgotten += 1

    def _refresh(self) -> None:
        forgotten = self._forgotten
        try:
            self._names = self._fetch()
        except Exception:
            return  # completion must not fail; the next call will raise the error
        if forgotten == self._forgotten:
            self._until = time.monotonic() + KEPT
