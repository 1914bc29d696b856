"""Reading many streams at once, in bounded memory, as one frame."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ...core import progress
from ...core.errors import KitError, warn
from ...core.html import one_line
from ...core.log.places import Place, count_of
from ...core.log.source import Pages, Ranged
from ...core.tables.frames import to_frame
from ...core.tables.json.typed import checked
from ..errors import S2InputError
from ..wire.columns import record_table

if TYPE_CHECKING:
    import pandas as pd

    from ...core.tables.frames import BodyMode
    from .handle import Stream


class _Room:
    """How many bytes all readers together may still hold."""

    def __init__(self, most: int) -> None:
        self._left, self._lock = most, threading.Lock()
        self.refused = False
        """Whether the service has refused the credential: nothing more is asked then."""
        self.over = threading.Event()
        self.most = most

    def take(self, size: int) -> bool:
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True


class _Reading:
    """The records of one stream, and why reading it ended."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.batches: list[pa.RecordBatch] = []
        self.error: str | None = None

    def run(self, pages: Callable[[], Pages], room: _Room) -> None:
        if room.refused:
            self.error = "not read: the service had refused the access token by then"
            return
        try:
            for batch in pages().batches:
                if room.over.is_set():
                    return
                if not room.take(batch.nbytes):
                    self.error = (
                        f"max_bytes={room.most:,} are held already; its records from {self._next()} on were left"
                    )
                    return
                self.batches.append(batch)
        except KitError as error:
            room.refused = room.refused or error.status == 401
            self.error = f"{str(error).splitlines()[0]} (its records from {self._next()} on were not read)"

    def _next(self) -> Any:
        full = [batch for batch in self.batches if batch.num_rows]
        return full[-1].column(0)[-1].as_py() + 1 if full else "the start"


def read_many(
    streams: Sequence[Stream],
    start: Any,
    limit: int | None,
    until: Any,
    body: BodyMode,
    types: Mapping[str, Any] | None,
    commands: bool,
    at_once: int,
    max_bytes: int,
    attrs: dict[str, Any],
) -> pd.DataFrame:
    """See `Basin.read_many`."""
    for name, value in (("at_once", at_once), ("max_bytes", max_bytes)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise S2InputError(f"{name}={value!r}: give a number from 1 up")
    room, typed = _Room(max_bytes), checked(types or {})
    readings = [_Reading(stream) for stream in streams]
    for reading in readings[:1]:
        _places(reading.stream.source(), start, limit, until)  # a wrong argument raises once, before any traffic
    lock = threading.Lock()
    with progress.bar(len(readings), what="read streams", unit=" streams") as bar:

        def ended(_: Future[None]) -> None:
            with lock:
                bar.update(1)

        with ThreadPoolExecutor(min(at_once, max(1, len(readings))), "kit-read-many") as pool:
            try:
                for one in readings:
                    pages = _pager(one.stream.source(commands=commands), start, limit, until)
                    pool.submit(one.run, pages, room).add_done_callback(ended)
                pool.shutdown(wait=True)
            except BaseException:
                room.over.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    failed = {one.stream.name: one.error for one in readings if one.error is not None}
    if failed:
        name, error = next(iter(failed.items()))
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        warn(one_line(f"some could not be read: {name}: {error}{more}; df.attrs['failed'] lists all of them"))
    table, notes = record_table([batch for one in readings for batch in one.batches], body, typed)
    counts = [sum(batch.num_rows for batch in one.batches) for one in readings]
    places = pa.array(np.repeat(np.arange(len(readings), dtype=np.int32), counts))
    names = pa.array([one.stream.name for one in readings], pa.string())
    column = pa.DictionaryArray.from_arrays(places, names).cast(pa.string())
    at = "stream" if "stream" not in table.column_names else "body.stream"
    if at != "stream":
        table = table.rename_columns([at if name == "stream" else name for name in table.column_names])
    return to_frame(
        table.add_column(0, "stream", column), {**attrs, "streams": len(readings), "failed": failed, **notes}
    )


def _places(source: Ranged, start: Any, limit: int | None, until: Any) -> tuple[Place, int | None, Place | None]:
    place = source.placed(start)
    return place, count_of(limit, "limit", source.refuse), None if until is None else source.placed(until, "until")


def _pager(source: Ranged, start: Any, limit: int | None, until: Any) -> Callable[[], Pages]:
    return lambda: source.pages(*_places(source, start, limit, until))
