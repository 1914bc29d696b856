"""Matching rows of pages with some rows before and after each, up to a limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa


class Around:
    """Collects matching rows page by page in the order of the search, with some rows before and after each."""

    def __init__(self, context: int, limit: int | None) -> None:
        self._context, self._left = context, limit
        self._before: list[pa.RecordBatch] = []
        """The last rows that were not taken."""
        self._owed = 0
        """Rows after the last match that are still to come."""
        self.found = 0
        self.over = False
        """Whether no more rows are needed."""

    def take(self, batch: pa.RecordBatch, mask: Any) -> tuple[list[tuple[pa.RecordBatch, Any]], int | None]:
        """Return rows with the mask of matches; and the row of the last match if the limit is reached."""
        hits, rows, context = np.flatnonzero(mask), batch.num_rows, self._context
        following = rows
        cut = None
        if self._left is not None:
            if self._left == 0:
                following, hits = (int(hits[0]) if len(hits) else rows), hits[:0]
            elif len(hits) >= self._left:
                cut = int(hits[self._left - 1])
                following = int(hits[self._left]) if len(hits) > self._left else rows
                hits = hits[: self._left]
            self._left -= len(hits)
        self.found += len(hits)
        if not context:
            self.over = self._left == 0
            return ([(batch.take(pa.array(hits)), np.ones(len(hits), bool))] if len(hits) else []), cut
        steps = np.zeros(rows + 1, np.int64)
        np.add.at(steps, np.maximum(hits - context, 0), 1)
        np.add.at(steps, np.minimum(hits + context + 1, rows), -1)
        keep = np.cumsum(steps[:rows]) > 0
        keep[: self._owed] = True
        if self._left == 0:
            keep[following:] = False
        taken: list[tuple[pa.RecordBatch, Any]] = []
        if len(hits) and hits[0] < context and self._before:
            before = self._last(self._before, context - int(hits[0]))
            taken += [(one, np.zeros(one.num_rows, bool)) for one in before]
        shown = np.flatnonzero(keep)
        if len(shown):
            taken.append((batch.take(pa.array(shown)), np.isin(shown, hits)))
            self._before = []
        self._owed = max(0, int(hits[-1]) + context + 1 - rows) if len(hits) else max(0, self._owed - rows)
        self.over = self._left == 0 and (not self._owed or following < rows)
        rest = int(shown[-1]) + 1 if len(shown) else 0
        if rest < rows:
            some = np.arange(max(rest, rows - context), rows)
            self._before = self._last([*self._before, batch.take(pa.array(some))], context)
        return taken, cut

    @staticmethod
    def _last(batches: Sequence[pa.RecordBatch], count: int) -> list[pa.RecordBatch]:
        taken: list[pa.RecordBatch] = []
        for batch in reversed(batches):
            if count > 0 and batch.num_rows:
                taken.insert(0, batch.slice(max(0, batch.num_rows - count)))
                count -= batch.num_rows
        return taken
