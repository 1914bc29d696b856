"""Suggestions for mistyped names: the nearest of those that exist."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(given: str, names: Iterable[str]) -> str | None:
    """Return a question that offers the name nearest to the one given; None where none is near.

    >>> nearest("strat", ["start", "limit"])
    "did you mean 'start'?"
    """
    from difflib import get_close_matches

    known = list(dict.fromkeys(names))
    matches = get_close_matches(given, known, n=1, cutoff=0.6)
    if not matches:
        matches = [name for name in known if name.lower() == given.lower()][:1]
    return f"did you mean {matches[0]!r}?" if matches else None


def is_slip(given: str, name: str) -> bool:
    """Return whether one slip of the keys makes one name of the other: a key too many, too few, wrong, or swapped.

    A plural is another word: `type` is no slip of `types`.

    >>> is_slip("strat", "start"), is_slip("bdy", "body"), is_slip("state", "start"), is_slip("type", "types")
    (True, True, False, False)
    """
    if given == name or min(len(given), len(name)) < 3 or given.rstrip("s") == name.rstrip("s"):
        return False
    short, long = sorted((given, name), key=len)
    if len(long) - len(short) > 1:
        return False
    at = next((n for n in range(len(short)) if short[n] != long[n]), len(short))
    if len(long) > len(short):
        return short[at:] == long[at + 1 :]
    rest = short[at + 1 :], long[at + 1 :]
    swapped = short[at : at + 2] == long[at : at + 2][::-1] and short[at + 2 :] == long[at + 2 :]
    return rest[0] == rest[1] or swapped
