"""What there is, to be called for a frame of all, and indexed, with Tab, for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from ..core.completion import Keyed, Names

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


class Listing(Keyed, Generic[T]):
    """All queues, rooms or topics: call it for a frame of all, index it for one."""

    def __init__(self, what: str, frame: Callable[[], pd.DataFrame], one: Callable[[str], T], names: Names) -> None:
        self._what, self._frame, self._one, self._names = what, frame, one, names
        self.__doc__ = frame.__doc__

    def __call__(self) -> pd.DataFrame:
        """One row for each."""
        return self._frame()

    def __getitem__(self, name: str) -> T:
        return self._one(name)

    def __repr__(self) -> str:
        return f"<all {self._what}: call it for a frame, index it for one>"
