"""Numbers for demo data that look random and are the same in every lab."""

from __future__ import annotations


def mixed(*numbers: int) -> int:
    """Return a number that looks random and is the same everywhere.

    >>> mixed(1, 2) == mixed(1, 2) != mixed(2, 1)
    True
    """
    value = 0x9E3779B97F4A7C15
    for number in numbers:
        value = ((value ^ number) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        value ^= value >> 29
    return value
