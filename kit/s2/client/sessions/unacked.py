"""The batches of an append session that are not acknowledged: which are sent, and what each answer is for. No I/O.

Answers do not name the batch that they are for: the first is for the oldest batch under way, and so on. After a broken
connection all unanswered batches are sent again, in the same order.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from ...errors import S2ClientError, S2InputError
from ...limits import MAX_BATCH_BYTES, MAX_BATCH_RECORDS
from ...settings import Compression
from ...types import AppendAck
from ...wire.frames import encode_frame

T = TypeVar("T")


class Packed(NamedTuple):
    """A batch as the frame that appends it."""

    frame: bytes
    records: int
    metered: int


def pack(payload: bytes, records: int, metered: int, compression: Compression) -> Packed:
    """Return the batch of this protobuf message of an append; `records` and `metered` are those in it."""
    check_size(records, metered)
    return Packed(encode_frame(payload, compression), records, metered)


def check_size(records: int, metered: int) -> None:
    """Refuse what no append can hold."""
    if not 1 <= records <= MAX_BATCH_RECORDS:
        raise S2InputError(f"an append holds 1 to {MAX_BATCH_RECORDS} records, not {records}")
    if not 0 <= metered <= MAX_BATCH_BYTES:
        raise S2InputError(f"an append holds at most {MAX_BATCH_BYTES:,} metered bytes, not {metered:,}")


@dataclass(slots=True, eq=False)
class Batch(Generic[T]):
    """Records that are appended together, as a frame; encoded once, sent as often as necessary."""

    frame: bytes
    records: int
    metered: int
    ticket: T
    """The object that is notified when the batch is appended."""
    ready: float = 0.0
    """When it was ready to be sent."""
    sent: float | None = None
    """When its last byte was handed to the current connection."""


class Unacked(Generic[T]):
    """The batches that are not acknowledged, oldest first, within bounds.

    >>> flight = Unacked(100, None, timeout=5.0)
    >>> flight.add(Batch(b"...", 1, 60, None), now=0.0)
    >>> flight.has_room(60), flight.next(now=0.0)
    (False, b'...')
    """

    def __init__(self, max_bytes: int, max_batches: int | None, timeout: float) -> None:
        self._max_bytes = max_bytes
        self._max_batches = max_batches
        self._timeout = timeout
        self._started: deque[Batch[T]] = deque()
        self._waiting: deque[Batch[T]] = deque()
        self._leaving: Batch[T] | None = None
        """The one that is being handed over."""
        self._last_end = -1
        self.bytes = 0
        """Of all of them, as the service meters records."""

    def __len__(self) -> int:
        return len(self._started) + len(self._waiting)

    @property
    def started(self) -> int:
        """How many were sent on the connection that is in use, in full or in part."""
        return len(self._started)

    def has_room(self, metered: int) -> bool:
        """Return whether a batch of this size may join."""
        if self._max_batches is not None and len(self) >= self._max_batches:
            return False
        return self.bytes + metered <= self._max_bytes

    def add(self, batch: Batch[T], now: float) -> None:
        """Put a batch at the end of the line."""
        batch.ready = now
        self.bytes += batch.metered
        self._waiting.append(batch)

    def next(self, now: float) -> bytes | None:
        """Return the next frame to be sent, if any; the one before it has been sent in full."""
        self.wrote(now)
        if not self._waiting:
            return None
        self._leaving = batch = self._waiting.popleft()
        self._started.append(batch)
        return batch.frame

    def wrote(self, now: float) -> None:
        """Note that the frame that was given last has been sent in full."""
        if self._leaving is not None:
            self._leaving.sent = now
            self._leaving = None

    def restart(self, now: float) -> None:
        """Start on a new connection: all batches are to be sent on it."""
        self._started.extend(self._waiting)
        self._started, self._waiting = deque(), self._started
        for batch in self._waiting:
            batch.ready, batch.sent = now, None
        self._leaving = None
        self._last_end = -1

    def acked(self, ack: AppendAck) -> Batch[T]:
        """Return the batch that this acknowledges, and remove it; raise if the acknowledgement cannot be for that
        one."""
        batch = self._started[0] if self._started else None
        if batch is None or batch.sent is None:
            raise S2ClientError("the service acknowledged a batch that was not sent")
        start, end = ack.start.seq_num, ack.end.seq_num
        if end - start != batch.records:
            raise S2ClientError(
                f"the service acknowledged {end - start} records, from {start} to {end}; the batch has {batch.records}"
            )
        if end <= self._last_end:
            raise S2ClientError(
                f"the service acknowledged records up to {end} after those up to {self._last_end}, which is backwards"
            )
        self._last_end = end
        self._started.popleft()
        self.bytes -= batch.metered
        return batch

    def deadline(self, moved: float) -> float | None:
        """Return when the oldest batch must be acknowledged; `moved` is when the connection last took anything.

        One that is not sent in full yet is not late as long as the connection takes some of it.
        """
        batch = self._started[0] if self._started else self._waiting[0] if self._waiting else None
        if batch is None:
            return None
        since = batch.sent if batch.sent is not None else max(batch.ready, moved)
        return since + self._timeout

    def drain(self) -> list[Batch[T]]:
        """Return all of them; none is left."""
        all_of_them = [*self._started, *self._waiting]
        self._started.clear()
        self._waiting.clear()
        self._leaving = None
        self.bytes = 0
        return all_of_them
