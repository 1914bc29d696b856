"""Bulk appends from a blocking thread: batches that are encoded already, many under way at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import wait
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from ...core import loop
from ...core.faces import state_of
from ..errors import S2InputError
from ..types import AppendAck
from .sessions.thread_queue import ThreadQueue
from .sessions.unacked import Packed, check_size, pack
from .stream import append_message

if TYPE_CHECKING:
    from .stream import SyncS2Stream

UNACKED_BYTES = 16 * 1024 * 1024
"""More than a session's default, as bulk appends are made for throughput."""
_AHEAD = 4 * 1024 * 1024
"""Bytes that are encoded ahead of the session."""
_TICK = 0.1
"""Seconds between looks at the progress while the last acknowledgements come in."""


class Appended(NamedTuple):
    """The result of appending many batches."""

    first: AppendAck
    last: AppendAck
    records: int

    @property
    def ack(self) -> AppendAck:
        """As of one batch: from the first record of the first to the last record of the last."""
        return AppendAck(self.first.start, self.last.end, self.last.tail)


def append_encoded(
    stream: SyncS2Stream,
    inputs: Iterable[tuple[bytes, int, int]],
    progress: Callable[[int], object] | None = None,
    *,
    max_unacked_bytes: int = UNACKED_BYTES,
) -> Appended:
    """Append all batches in order; return the positions of the records.

    Each input is the protobuf message of an append, how many records it holds, and their metered bytes. They are
    taken and packed in the calling thread, while earlier ones travel on the background loop. `progress` is called
    with how many more records were acknowledged. The first error ends it; what was acknowledged by then is appended.
    """
    source = iter(inputs)
    first = next(source, None)
    if first is None:
        # Checked before a connection is made.
        raise S2InputError("there are no records to append")
    tell = progress or (lambda count: None)
    second = next(source, None)
    if second is None:
        return _alone(stream, *first, tell)
    return _Bulk(stream, max_unacked_bytes).run(chain([first, second], source), tell)


def _alone(
    stream: SyncS2Stream, message: bytes, records: int, metered: int, progress: Callable[[int], object]
) -> Appended:
    """Return a single append, which a connection that is there already carries in less time than a session takes to
    begin."""
    check_size(records, metered)
    ack = state_of(stream).driver.run(append_message(state_of(stream), message))
    progress(records)
    return Appended(ack, ack, records)


class _Bulk:
    """One bulk append: the parts of the calling thread and of the loop."""

    def __init__(self, stream: SyncS2Stream, max_unacked_bytes: int) -> None:
        self._state = state_of(stream)
        self._max_unacked_bytes = max_unacked_bytes
        self._compression = self._state.transport.compression
        self._handover: ThreadQueue[Packed] = ThreadQueue(_AHEAD)
        self._acked = 0
        """Records; written on the loop, read by the calling thread."""

    def run(self, inputs: Iterable[tuple[bytes, int, int]], progress: Callable[[int], object]) -> Appended:
        future = loop.start(self._send)
        try:
            reported = 0
            for payload, records, metered in inputs:
                packed = pack(payload, records, metered, self._compression)
                if not self._handover.put(packed, len(packed.frame)):
                    break
                reported = self._tell(reported, progress)
            self._handover.end()
            while not future.done():
                wait([future], _TICK)
                reported = self._tell(reported, progress)
            first, last = future.result()
        except BaseException:
            future.cancel()
            self._handover.end()
            raise
        self._tell(reported, progress)
        return Appended(first, last, self._acked)

    def _tell(self, reported: int, progress: Callable[[int], object]) -> int:
        acked = self._acked
        if acked > reported:
            progress(acked - reported)
        return acked

    async def _send(self) -> tuple[AppendAck, AppendAck]:
        try:
            async with self._state.append_session(self._max_unacked_bytes) as session:
                first = last = None
                while batches := await self._handover.take():
                    for packed in batches:
                        last = await session.submit_frame(packed)
                        last.when_acked(partial(self._count, packed.records))
                        first = first or last
            assert first is not None
            assert last is not None
            return await first, await last
        finally:
            # A thread that hands over more must not wait for a session that has ended.
            self._handover.end()

    def _count(self, records: int, ack: AppendAck) -> None:
        self._acked += records
