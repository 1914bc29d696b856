"""Objects that work in one process only and say so elsewhere: connections, sessions, feeds, credentials."""

from __future__ import annotations

import os
from typing import Any, ClassVar, SupportsIndex

from .errors import InputError


class NotShared(InputError, TypeError):
    """An object of one process was sent to another, or used in a fork."""


class OfOneProcess:
    """An object that cannot be pickled: it holds connections, and a credential that would be copied along."""

    _elsewhere: ClassVar[str] = (
        "make another one there: with kit.connect(...) and its credential from the environment, or with kit.Lab(), "
        "which joins the lab that runs here"
    )

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        raise NotShared(f"a {type(self).__name__} cannot be sent to another process", hint=self._elsewhere)


def check_process(pid: int, what: str) -> None:
    """Raise in a fork of the process that made the object, as the connection belongs to the parent."""
    if os.getpid() != pid:
        raise NotShared(f"{what} cannot be used in a forked process", hint="make another one there")
