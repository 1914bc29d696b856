"""Fewer points for the same line."""

from __future__ import annotations

from typing import Any

import numpy as np

MOST_POINTS = 2000
"""Points of one line; more would be drawn on top of each other."""


def thin(x: Any, y: Any, points: int = MOST_POINTS) -> tuple[Any, Any]:
    """Return fewer points of a line that looks the same: the lowest and the highest of each stretch, and both ends.

    >>> x, y = thin(np.arange(100_000), np.sin(np.arange(100_000)))
    >>> len(x) <= MOST_POINTS, float(y.max()) > 0.999
    (True, True)
    """
    x, y = np.asarray(x), np.asarray(y, dtype=float)
    if len(x) <= points:
        return x, y
    size = -(-len(y) // max(1, points // 2 - 1))
    stretches = -(-len(y) // size)
    padded = np.full(stretches * size, np.nan)
    padded[: len(y)] = y
    grid = padded.reshape(stretches, size)
    missing = np.isnan(grid)
    low = np.where(missing, np.inf, grid).argmin(axis=1)
    high = np.where(missing, -np.inf, grid).argmax(axis=1)
    starts = np.arange(stretches) * size
    kept = np.unique(np.concatenate([starts + low, starts + high, [0, len(y) - 1]]))
    return x[kept], y[kept]
