"""Several sources as one: their rows in the order of their times, each with the name of its source.

Each source has an engine of its own, which reconnects. Rows wait here until every source has sent a later row, or until
the tolerance is over; rows that come later are out of order, and counted.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...core.errors import InputError, KitError
from ...core.tables.frames import TIME
from ...core.tables.names import distinct
from ..columns import unified
from ..times import Moments
from .buffer import Buffer
from .engine import Engine
from .gate import Gate
from .source import Chunk, Position, Source, waker
from .state import FeedState

SOURCE = "source"
_MOST_BYTES = 32 * 1024 * 1024
_GATHERED = 0.04
_EARLIEST = -(2**62)
_NONE = pa.record_batch({SOURCE: pa.array([], pa.string()), "time": pa.array([], TIME)})


@dataclass(slots=True)
class _Piece:
    """Rows that wait, with their times in ascending order; `position` is the position of the last row."""

    table: pa.Table
    times: npt.NDArray[np.int64]
    position: Position
    came: float
    taken: int = 0


class _Lane:
    """One of the sources: its state, its engine, and its rows that wait."""

    key = "merged"

    def __init__(self, source: Source, name: str, position: Position, skip: int) -> None:
        self.name, self.source = name, source
        self.state = FeedState(source, Gate([], source), Buffer(1, 1), position)
        self.state.taps.append(self)
        self.engine = Engine(self.state)
        self.position, self.skip = position, skip
        """Where the rows end that were handed on: `skip` rows after a position."""
        self.newest = _EARLIEST
        self.pieces: deque[_Piece] = deque()
        self._moments = Moments(None)
        self._came: deque[tuple[pa.RecordBatch, Position, float]] = deque()
        self._bytes = 0
        self._to_skip = skip

    def put(self, batch: pa.RecordBatch) -> None:
        """Add rows; called under the lock of the state."""
        self._came.append((batch, self.state.position, time.monotonic()))
        self._bytes += batch.nbytes

    def mark(self) -> Any:
        """Raise: a merged source has no folds of its own."""
        raise NotImplementedError

    @property
    def full(self) -> bool:
        """Whether its engine should wait."""
        return self._bytes > _MOST_BYTES

    def look(self) -> None:
        """Decode the rows that came."""
        while self._came:
            batch, position, came = self._came.popleft()
            table, _ = self.source.shape([batch])
            if self._to_skip:
                some = min(self._to_skip, table.num_rows)
                table, self._to_skip = table.slice(some), self._to_skip - some
            if not table.num_rows:
                if not self.pieces and not self._to_skip:
                    self.position, self.skip = position, 0
                continue
            moments, known = self._moments.of(table)
            moments = np.where(known, moments, self.newest)
            # The order of a log is kept: a row that seems older than its predecessor gets the same time.
            moments = np.maximum.accumulate(np.maximum(moments, self.newest))
            self.newest = int(moments[-1])
            self.pieces.append(_Piece(table, moments, position, came))

    def until(self, moment: int) -> list[tuple[npt.NDArray[np.int64], pa.Table]]:
        """Remove and return the rows up to a time."""
        rows = []
        while self.pieces:
            piece = self.pieces[0]
            stop = int(np.searchsorted(piece.times, moment, side="right"))
            if stop > piece.taken:
                rows.append((piece.times[piece.taken : stop], piece.table.slice(piece.taken, stop - piece.taken)))
                self.skip += stop - piece.taken
                piece.taken = stop
            if stop < len(piece.times):
                break
            self.pieces.popleft()
            self.position, self.skip = piece.position, 0
        with self.state.changed:
            was_full, self._bytes = self.full, sum(arrival[0].nbytes for arrival in self._came)
            self._bytes += sum(piece.table.nbytes for piece in self.pieces)
        if was_full and not self.full:
            self.state.on_room()
        return rows


class Merged(Source):
    """The rows of several sources in the order of their times."""

    begins: ClassVar[bool] = True

    def __init__(self, sources: Sequence[Source], tolerance: float = 1.0) -> None:
        if not sources:
            raise InputError("there is nothing to merge", hint="give two handles or more")
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance <= 3600:
            raise InputError(f"tolerance={tolerance!r}: give a number of seconds from 0 to 3600")
        if any(source.replaces for source in sources):
            raise InputError("a result cannot be merged as a log", hint="join it in kit.live_sql")
        self._sources, self._tolerance = list(sources), float(tolerance)
        self._names = distinct(source.label for source in sources)
        services = {source.service for source in sources}
        self.service = services.pop() if len(services) == 1 else ""
        self.label = ", ".join(self._names[:3]) + (f" and {len(self._names) - 3} more" if len(self._names) > 3 else "")
        self.resumes = all(source.resumes for source in sources)  # type: ignore[misc]
        self.holds = all(source.holds for source in sources)  # type: ignore[misc]
        self._lanes: list[_Lane] = []
        self._last = _EARLIEST
        self._disordered = 0

    @property
    def key(self) -> str:
        """The keys of all sources, as JSON."""
        return json.dumps(["merged", *(source.key for source in self._sources)])

    async def open(self, after: Position) -> AsyncIterator[Chunk]:
        """Yield the rows of all sources, as soon as their order is known."""
        came = asyncio.Event()
        places = _places(after, len(self._sources))
        self._lanes = [
            _Lane(source, name, *place) for source, name, place in zip(self._sources, self._names, places, strict=True)
        ]
        wake = waker(came)
        for lane in self._lanes:
            lane.state.watch(wake)
            lane.engine.start()
        reconnects = gaps = 0
        reported: Any = None
        try:
            while True:
                came.clear()
                over = all(lane.state.ended for lane in self._lanes)
                caught_up = _caught_up(self._lanes)
                for lane in self._lanes:
                    lane.look()
                moment, wait = self._settled(over)
                batch = self._batch([(lane, *rows) for lane in self._lanes for rows in lane.until(moment)])
                waiting = any(lane.pieces for lane in self._lanes)
                again = sum(lane.state.reconnects for lane in self._lanes) - reconnects
                lost = sum(lane.state.gaps for lane in self._lanes) - gaps
                now = (self._place(), caught_up and not waiting, all(lane.state.begun for lane in self._lanes))
                if batch.num_rows or again or lost or (now[2] and now != reported):
                    reconnects, gaps, reported = reconnects + again, gaps + lost, now
                    yield Chunk(batch, now[0], None, now[1], again, lost)
                if over and not waiting:
                    break
                try:
                    async with asyncio.timeout(wait):
                        await came.wait()
                except TimeoutError:
                    continue
                await asyncio.sleep(_GATHERED)
            for lane in self._lanes:
                if lane.state.word == "failed":
                    raise KitError(f"{lane.name} failed: {type(lane.state.error).__name__}: {lane.state.error}")
        finally:
            await self.close()

    def _settled(self, over: bool) -> tuple[int, float | None]:
        """Return the time up to which the order of rows is known, and the seconds until more will be known."""
        now = time.monotonic()
        known, oldest, expired = 2**62, None, _EARLIEST
        for lane in self._lanes:
            if not lane.state.ended:
                known = min(known, lane.newest)
            for piece in lane.pieces:
                if now - piece.came >= self._tolerance:
                    expired = max(expired, int(piece.times[-1]))
                else:
                    oldest = piece.came if oldest is None else min(oldest, piece.came)
        # Rows that are known to come are waited for; rows that may come, only within the tolerance.
        behind = [lane for lane in self._lanes if _behind(lane.state)]
        if behind and not over:
            expired = min([expired, *(lane.newest for lane in behind)])
        wait = None if oldest is None else max(0.0, oldest + self._tolerance - now)
        return max(known, expired), wait

    def _batch(self, pieces: Sequence[tuple[_Lane, npt.NDArray[np.int64], pa.Table]]) -> pa.RecordBatch:
        if not pieces:
            return _NONE
        moments = np.concatenate([times for _, times, _ in pieces])
        order = np.argsort(moments, kind="stable")
        moments = moments[order]
        self._disordered += int(np.searchsorted(moments, self._last, side="left"))
        self._last = max(self._last, int(moments[-1]))
        tables = [_named(lane.name, table) for lane, _, table in pieces]
        whole = unified([batch for table in tables for batch in table.to_batches()])
        return whole.take(pa.array(order)).combine_chunks().to_batches()[0]

    def _place(self) -> str:
        return json.dumps([[lane.position, lane.skip] for lane in self._lanes])

    async def close(self) -> None:
        """End the engines, which close their sources."""
        lanes, self._lanes = self._lanes, []
        for lane in lanes:
            lane.engine.stop()

    def figures(self) -> dict[str, Any]:
        """Return the number of sources, and how many rows came too late to be put in order."""
        return {"sources": len(self._sources), "disordered": self._disordered}

    def notes(self) -> list[str]:
        """Return the sources that are not connected, and the number of rows out of order."""
        notes = [f"{lane.name} is {lane.state.word}" for lane in self._lanes if lane.state.word == "reconnecting"]
        late = f"{self._disordered:,} came more than {self._tolerance:g} s late, out of order"
        return [*notes, late] if self._disordered else notes

    def shape(self, batches: Sequence[pa.RecordBatch], *, preview: bool = False) -> tuple[pa.Table, dict[str, Any]]:
        """Return the rows as each source shows them, after its name."""
        return unified(batches or [_NONE]), {}

    def temporary(self, error: BaseException) -> bool:
        """Return False: each source reconnects by itself."""
        return False


def _behind(state: FeedState) -> bool:
    """Return whether rows are known to be on the way."""
    if state.ended or state.word == "reconnecting":
        return False
    return not state.begun or state.caught_up is False


def _caught_up(lanes: Sequence[_Lane]) -> bool | None:
    each = [True if lane.state.ended else lane.state.caught_up for lane in lanes]
    return None if None in each else all(each)


def _named(name: str, table: pa.Table) -> pa.Table:
    names = distinct([SOURCE, *table.column_names])
    return pa.table([pa.array([name] * table.num_rows, pa.string()), *table.columns], names=names)


def _places(after: Position, count: int) -> list[tuple[Position, int]]:
    if after is None:
        return [(None, 0)] * count
    try:
        places = [(position, int(skip)) for position, skip in json.loads(str(after))]
    except (ValueError, TypeError):
        places = []
    if len(places) != count or any(skip < 0 or not isinstance(at, int | str | None) for at, skip in places):
        raise InputError(f"the checkpoint's position is {str(after)[:80]!r}")
    return places
