"""Which of many series are named, and their colours."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd

from .theme import MOST_SERIES, Look

MOST_RESTS = 100
"""The largest number of unnamed series that are drawn; more would be a smear."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Series in order of size: the named ones, and the rest."""

    named: list[str]
    rest: list[str]
    coloured: tuple[str, ...] = ()
    """The order of colours, if it differs from that of the names."""

    def place(self, name: str) -> int:
        """Return the index of a named series' colour."""
        return self.coloured.index(name) if self.coloured else self.named.index(name)

    def colour(self, name: str, look: Look) -> str:
        """Return the colour of a series."""
        return look.palette[self.place(name)] if name in self.named else look.rest

    def within(self, there: Collection[str]) -> Ranked:
        """Return the same for some of the series, each with its colour among all."""
        named, rest = ([key for key in keys if key in there] for keys in (self.named, self.rest))
        return Ranked(named, rest, tuple(self.named))


def ranked(sizes: pd.Series[float], most: int = MOST_SERIES) -> Ranked:
    """Return the names of series by their size, the largest first; those beyond `most` are the rest.

    >>> found = ranked(pd.Series({"a": 1.0, "b": 5.0, "c": 3.0}), most=2)
    >>> found.named, found.rest
    (['b', 'c'], ['a'])
    """
    order = list(sizes.abs().sort_values(ascending=False, kind="stable").index)
    return Ranked(order[:most], order[most:])


def others(rest: Sequence[str], names: dict[str, str]) -> str:
    """Return the name of the unnamed rest; a single series keeps its own.

    >>> others(["oslo"], {}), others(["oslo", "bonn"], {})
    ('oslo', '2 others')
    """
    return names.get(rest[0], rest[0]) if len(rest) == 1 else f"{len(rest):,} others"


_IDENTIFIER = re.compile(r"[0-9a-fA-F-]{16,}|[A-Za-z]+_[0-9A-Za-z]{16,}")


def shortened(names: Sequence[str]) -> dict[str, str]:
    """Return the text for each name: long identifiers are shortened as far as they stay different.

    >>> shortened(["0123456789abcdef0123", "sonnet"])
    {'0123456789abcdef0123': '01234567…', 'sonnet': 'sonnet'}
    """
    for length in (8, 12, 20):
        names_of = {name: _IDENTIFIER.sub(partial(_cut, length), name) for name in names}
        if len({*names_of.values()}) == len({*names}):
            return names_of
    return {name: name for name in names}


def _cut(length: int, match: re.Match[str]) -> str:
    return f"{match[0][:length]}…"
