"""Words for errors: the nearest name to one that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(given: str, names: Iterable[str]) -> str | None:
    """Return a question that offers the name nearest to the one given; None where none is near.

    >>> nearest("strat", ["start", "limit"])
    "did you mean 'start'?"
    """
    known = list(dict.fromkeys(names))
    found = get_close_matches(given, known, n=1, cutoff=0.6)
    if not found:
        found = [name for name in known if name.lower() == given.lower()][:1]
    return f"did you mean {found[0]!r}?" if found else None
