"""Appending batches to a log, each exactly once, also over failures; `copy.py` explains how."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from ...errors import KitError, TransportError
from ...http.retry import grown
from ..finding.find import whole
from ..finding.matching import total_bytes
from ..source import Moved, Ranged
from .copied import Copied

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_TRIES = 8
_MOVES = 64
"""How often one record is tried again because other writers appended first."""
_CROWDED = 4
"""How often a batch of several is; then half as many are tried, which are quicker to send."""
ROWS = 1000
"""The most records that are sent at once."""


class Sender:
    """Sends batches to a log; `note` is called with the state before each of them is sent."""

    def __init__(self, target: Ranged, copied: Copied, note: Callable[[Copied], Any] = lambda copied: None) -> None:
        self.target, self.copied, self._note = target, copied, note
        self.rows = ROWS
        """How many records should be sent at once; fewer beside a busy writer."""

    def send(self, page: pa.RecordBatch, stop: int, *, uncertain: bool = False) -> bool:
        """Put a batch, once; what it is and where the target ended is noted before it leaves.

        Return whether it is there. If not, others kept appending first: send at most `rows` of it.
        """
        copied, target = self.copied, self.target
        copied.pending = stop, page.num_rows
        self._note(copied)
        moves = tries = 0
        end, rest, low = copied.low, page, copied.low
        while True:
            try:
                if uncertain:
                    end, there = self._landed(rest, low if target.checks else end)
                    if there:
                        copied.recovered += there
                    if there == rest.num_rows:
                        break
                    rest, uncertain = rest.slice(there), False
                    if not target.checks:
                        copied.uncertain += 1
                    # Whatever may still arrive of it begins behind what was looked through.
                    low = max(low, end - rest.num_rows + 1)
                if moves >= _CROWDED and page.num_rows > 1:
                    self.rows = page.num_rows // 2
                    copied.pending = None  # it is not there, and an attempt for an earlier end is refused
                    return False
                first = target.put(rest, end)
                end = first + rest.num_rows
                break
            except Moved as moved:
                moves += 1
                if moves > _MOVES:
                    raise target.refuse(f"{target.label} kept changing: another writer is appending to it") from None
                uncertain = moved.unsure or moved.actual is None
                end = moved.actual if moved.actual is not None else end
            except KitError as error:
                if not (isinstance(error, TransportError) or error.status in _AGAIN) or tries >= _TRIES:
                    raise
                tries += 1
                time.sleep(grown(0.1, 5.0, tries))
                uncertain = True
        self._done(page, stop, end)
        if not moves:
            self.rows = min(ROWS, 2 * self.rows)
        return True

    def _done(self, page: pa.RecordBatch, stop: int, end: int) -> None:
        copied = self.copied
        copied.records += page.num_rows
        copied.bytes += total_bytes(page.column("body"))
        copied.next, copied.low, copied.pending = stop, end, None

    def _landed(self, page: pa.RecordBatch, low: int) -> tuple[int, int]:
        """Return where the target ends, and how many of the rows it has in sequence from a position on."""
        target, bodies = self.target, page.column("body").to_pylist()
        first, end = target.bounds()
        if first > low and target.checks:
            raise target.refuse(
                f"{target.label} now begins at {first:,}, so the records sent at {low:,} cannot be found any more",
                hint="check which records it has, and continue after them with start=",
            )
        stored: list[bytes] = []
        for piece in whole(target, max(first, low), end) if end > max(first, low) else ():
            stored += piece.batch.column(target.body).to_pylist()
        if target.checks:
            for at in range(len(stored) - len(bodies) + 1):
                if all(target.same(a, b) for a, b in zip(bodies, stored[at : at + len(bodies)], strict=True)):
                    return end, len(bodies)
            return end, 0
        there = 0
        for row in stored:
            if there < len(bodies) and target.same(bodies[there], row):
                there += 1
        return end, there
