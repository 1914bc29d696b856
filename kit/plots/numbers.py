"""Formatting numbers and names for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.ticker import Formatter

from ..core.html import visible

COUNTED = frozenset({"", "count", "value", "label"})
"""Units of plain counts."""
MEASURED = frozenset({"bytes", "bytes/s", "USD", "s", "ms"})
"""Units that are written after numbers; values of one such unit are of the same kind."""
_WORDLESS = COUNTED | MEASURED
"""Units that need no word, as the numbers show them or they say nothing."""
_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SUBSECOND = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_DURATIONS = ((172_800.0, 86_400.0, "d"), (7200.0, 3600.0, "h"), (120.0, 60.0, "min"))


def human(value: float, unit: str = "", digits: int = 3) -> str:
    """Return a number of a unit in few characters; `digits` are those that count.

    >>> human(1_512_345, "bytes"), human(0.0125, "USD"), human(12_000, "tokens"), human(0.25, "ms"), human(7300, "s")
    ('1.51 MB', '$0.0125', '12 k', '250 µs', '2.03 h')
    """
    value = float(value)
    if unit == "USD":
        return _dollars(value, digits)
    if unit in ("s", "ms"):
        return _duration(value / 1000 if unit == "ms" else value, digits)
    suffix = {"bytes": "B", "bytes/s": "B/s"}.get(unit, "")
    if not value:
        return f"0 {suffix}".strip()
    scale, prefix = next((pair for pair in _PREFIXES if abs(value) >= pair[0] * 0.9995), (1.0, ""))
    return f"{_digits(value / scale, digits)} {prefix}{suffix}".strip()


def word(unit: str) -> str:
    """Return the unit as a word beside numbers, empty where the numbers show it themselves."""
    return "" if unit in _WORDLESS else unit


def counted(number: int, noun: str) -> str:
    """Return a count with its noun.

    >>> counted(1, "row"), counted(12_000, "row")
    ('1 row', '12,000 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


class Numbers(Formatter):
    """Ticks of an axis: readable numbers with as many digits as needed to distinguish them."""

    def __init__(self, unit: str = "") -> None:
        self.unit = unit

    def __call__(self, x: float, pos: int | None = None) -> str:
        return escaped(human(x, self.unit))

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        labels: list[str] = []
        for digits in range(3, 9):
            labels = [escaped(human(value, self.unit, digits)) if value else "0" for value in values]
            if len({*labels}) == len({*map(float, values)}):
                break
        return labels


def clean(value: Any, longest: int = 60) -> str:
    """Return a text from data as a label: harmless, on one line, short, and no formula."""
    text = visible(value).replace("\n", " ")
    return escaped(text if len(text) <= longest else text[: longest - 1] + "…")


def escaped(text: str) -> str:
    """Return a text that matplotlib does not read as a formula."""
    return text.replace("$", r"\$")


def _digits(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    return text if "e" not in text else f"{value:,.0f}" if 1 <= abs(value) < 1e15 else text


def _duration(seconds: float, digits: int) -> str:
    if not seconds:
        return "0 s"
    for least, scale, name in _DURATIONS:
        if abs(seconds) >= least:
            return f"{_digits(seconds / scale, digits)} {name}"
    scale, name = next((pair for pair in _SUBSECOND if abs(seconds) >= pair[0] * 0.9995), _SUBSECOND[-1])
    return f"{_digits(seconds / scale, digits)} {name}"


def _dollars(value: float, digits: int) -> str:
    sign, size = ("-" if value < 0 else ""), abs(value)
    if size and size < 0.01:
        return f"{sign}${size:.{digits - 1}g}"
    if 0 < size < 0.1:
        return f"{sign}${size:,.4f}".rstrip("0").rstrip(".")
    if size >= 1e6:
        scale, prefix = next(pair for pair in _PREFIXES if size >= pair[0])
        return f"{sign}${_digits(size / scale, digits)} {prefix}"
    return f"{sign}${size:,.{max(2, digits - 1)}f}"
