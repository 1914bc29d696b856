"""The newest rows of a feed, in columns, bounded in rows and bytes; each row has a number, counted from 0."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

_MERGED_ROWS = 8192
_MERGED_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class _Piece:
    start: int
    batch: pa.RecordBatch
    bytes: int


class Buffer:
    """Batches of columns, oldest out first. Row numbers never change: row n is the n-th that was added.

    >>> kept = Buffer(max_rows=3, max_bytes=10**6)
    >>> kept.add(pa.record_batch({"n": [1, 2, 3, 4]}))
    1
    >>> kept.first, kept.next, [batch.column(0).to_pylist() for batch in kept.rows(2, 4)[1]]
    (1, 4, [[3, 4]])
    """

    def __init__(self, max_rows: int, max_bytes: int) -> None:
        self.max_rows, self.max_bytes = max_rows, max_bytes
        self.next = 0
        """The number of the next row, which is how many rows were added."""
        self.bytes = 0
        self.replaced = 0
        """How often all rows were replaced by others."""
        self._pieces: list[_Piece] = []

    @property
    def first(self) -> int:
        """The number of the oldest row that is kept."""
        return self._pieces[0].start if self._pieces else self.next

    def __len__(self) -> int:
        return self.next - self.first

    def add(self, batch: pa.RecordBatch) -> int:
        """Add rows, and return how many old ones had to leave."""
        if not batch.num_rows:
            return 0
        piece = _Piece(self.next, batch, batch.nbytes)
        self.next += batch.num_rows
        self.bytes += piece.bytes
        self._pieces.append(piece)
        self._merge()
        return self._shrink()

    def rows(self, start: int, stop: int | None = None) -> tuple[int, list[pa.RecordBatch]]:
        """Return the number of the first row that is still kept from `start` on, and the rows from there to `stop`."""
        stop = self.next if stop is None else min(stop, self.next)
        start = max(start, self.first)
        batches = []
        at = bisect_right(self._pieces, start, key=lambda piece: piece.start) - 1
        for piece in self._pieces[max(at, 0) :]:
            if piece.start >= stop:
                break
            low, high = max(start - piece.start, 0), min(stop - piece.start, piece.batch.num_rows)
            if low < high:
                whole = low == 0 and high == piece.batch.num_rows
                batches.append(piece.batch if whole else piece.batch.slice(low, high - low))
        return start, batches

    def replace(self, batches: Sequence[pa.RecordBatch]) -> int:
        """Replace all rows by these. Return how many of the first ones did not fit."""
        self.clear()
        self.replaced += 1
        return sum(self.add(batch) for batch in batches)

    def forget(self, before: int) -> None:
        """Remove the rows before a number."""
        while self._pieces and self._pieces[0].start < before:
            oldest = self._pieces[0]
            self.bytes -= oldest.bytes
            if oldest.start + oldest.batch.num_rows <= before:
                del self._pieces[0]
                continue
            rest = oldest.batch.slice(before - oldest.start)
            self._pieces[0] = _Piece(before, rest, rest.nbytes)
            self.bytes += rest.nbytes

    def skip_to(self, number: int) -> None:
        """Remove all rows; the next one gets this number."""
        self.clear()
        self.next = number

    def clear(self) -> int:
        """Remove all rows, and return how many there were."""
        gone = len(self)
        self._pieces.clear()
        self.bytes = 0
        return gone

    def _merge(self) -> None:
        """Join small batches at the end with others of about their size, so that a row is copied only a few times."""
        pieces = self._pieces
        while len(pieces) > 1:
            a, b = pieces[-2:]
            rows = a.batch.num_rows + b.batch.num_rows
            small = rows <= _MERGED_ROWS and a.bytes + b.bytes <= _MERGED_BYTES
            if not small or a.batch.num_rows > 2 * b.batch.num_rows or not a.batch.schema.equals(b.batch.schema):
                return
            joined = pa.Table.from_batches([a.batch, b.batch]).combine_chunks().to_batches()[0]
            self.bytes += joined.nbytes - a.bytes - b.bytes
            pieces[-2:] = [_Piece(a.start, joined, joined.nbytes)]

    def _shrink(self) -> int:
        gone = 0
        while self._pieces and (len(self) > self.max_rows or self.bytes > self.max_bytes):
            oldest = self._pieces[0]
            rows = oldest.batch.num_rows
            over = max(0, self.bytes - self.max_bytes)
            cut = max(len(self) - self.max_rows, -(-over * rows // max(oldest.bytes, 1)), 1)
            if cut >= rows:
                del self._pieces[0]
                self.bytes -= oldest.bytes
                gone += rows
                continue
            rest = oldest.batch.slice(cut)
            self.bytes += rest.nbytes - oldest.bytes
            self._pieces[0] = _Piece(oldest.start + cut, rest, rest.nbytes)
            gone += cut
        return gone
