"""Errors of a user's own code, kept and shown with the line they came from, while the feed continues."""

from __future__ import annotations

import linecache
import os
import traceback
from dataclasses import dataclass

from ...core.html import visible

_LONGEST = 500
_HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
"""This package: its lines are not the user's."""


@dataclass(slots=True)
class Problem:
    """An error of a callback or filter, and how often it occurred."""

    where: str
    message: str
    line: str
    error: BaseException
    count: int = 1

    def __str__(self) -> str:
        again = f" ({self.count} times)" if self.count > 1 else ""
        lines = [
            line for line in self.message.splitlines() if line.strip(" ^")
        ]  # messages of SQL engines may have several lines
        return visible(f"{self.where} failed{again}: " + " — ".join([*lines, *([self.line] if self.line else [])]))


class Problems:
    """The last few errors, each kind once."""

    KEPT = 20

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], Problem] = {}

    def add(self, where: str, error: BaseException) -> None:
        """Keep an error, or count it if it is the same again."""
        line = line_of(error)
        message = f"{type(error).__name__}: {error}"[:_LONGEST]
        kind = where, line, type(error).__name__
        if kind in self._known:
            self._known[kind].count += 1
            self._known[kind].message = message
            return
        if len(self._known) >= self.KEPT:
            del self._known[next(iter(self._known))]
        # Without its traceback, whose frames would keep rows in memory.
        self._known[kind] = Problem(where, message, line, error.with_traceback(None))

    def all(self) -> list[Problem]:
        """Return the problems, oldest first."""
        return list(self._known.values())

    def solved(self, where: str, kind: type[BaseException] | None = None) -> None:
        """Forget errors that no longer occur, of one kind or of any."""
        for known in [key for key in self._known if key[0] == where and (kind is None or key[2] == kind.__name__)]:
            del self._known[known]

    def clear(self) -> None:
        """Forget all errors."""
        self._known.clear()


def line_of(error: BaseException) -> str:
    """Return the line of the user's code that an error came from: the last one outside of libraries."""
    line = ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        if name.startswith(_HERE) or "site-packages" in name or f"{os.sep}lib{os.sep}python" in name:
            continue
        source = linecache.getline(name, number).strip()
        where = "cell" if "ipykernel" in name or name.startswith("<") else os.path.basename(name)
        line = f"{where}, line {number}: {source}"[:_LONGEST]
    return line
