"""Read sessions: records as they arrive, across broken connections, each once and in order. No I/O.

A session starts again after the last record that was decoded, or at the last known tail, with the rest of its limits.
A clean end of the service's answer is the end of the session; a terminal frame reports an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from ....core.clock import SYSTEM, Clock
from ....core.errors import KitError, Lost
from ....core.http.operations import Emit, Next, Open, Pause, Request, Shut, Stream, Walk, read_rest
from ....core.secrets import Secret
from ...checks import check_read, metered_bytes
from ...configs import StreamConfig
from ...errors import ReadUnwrittenError, S2Error, S2InputError, as_client_error
from ...limits import MAX_U64, check_u64
from ...positions import SeqNum, StreamPosition, TailOffset, Timestamp
from ...settings import Compression
from ...types import ReadBatch, ReadLimit
from ...wire.frames import CONTENT_TYPE, FrameReader
from ...wire.json_messages import error_of
from ...wire.messages import read_batch_of
from ..state import StreamState
from ..transport import Transport, named

T = TypeVar("T")
U = TypeVar("U")

SILENCE = 20.0
"""Seconds without a byte after which the connection counts as lost; the service sends something at least every 15."""
_ADVISED_EVERY = 60.0

Start = SeqNum | Timestamp | TailOffset


class Taken(NamedTuple, Generic[T]):
    """A frame's records in the requested form, and what the session must know of them."""

    item: T | None
    """None if there is nothing to hand on."""
    records: int
    bytes: int
    last: int
    """Sequence number of the last record, -1 where there is none."""
    tail: StreamPosition | None


@dataclass(slots=True)
class Plan:
    """What a session still has to read, and its position."""

    start: Start
    count: int | None = None
    bytes: int | None = None
    until: int | None = None
    clamp: bool = False
    wait: int | None = None
    caught_up: StreamPosition | None = None
    """The tail, if everything before it was read."""
    next_seq: int | None = None
    on_moved: Callable[[], object] = lambda: None
    """Called whenever `caught_up` may have changed."""
    clock: Clock = SYSTEM
    _tail_seen: float | None = field(default=None)

    def params(self) -> dict[str, Any]:
        """Return the query of the next connection."""
        params: dict[str, Any] = {"count": self.count, "bytes": self.bytes, "until": self.until}
        params["clamp"] = True if self.clamp else None
        params |= start_params(SeqNum(self.next_seq) if self.next_seq is not None else self.start)
        if self.wait is not None:
            waited = 0 if self._tail_seen is None else math.ceil(self.clock.monotonic() - self._tail_seen)
            params["wait"] = max(0, self.wait - waited)
        return params

    def repeats(self, taken: Taken[Any]) -> bool:
        """Return whether a frame has records that were read before: something on the way has sent bytes twice."""
        return bool(taken.records) and self.next_seq is not None and taken.last - taken.records + 1 < self.next_seq

    def took(self, taken: Taken[Any]) -> None:
        """Move on after a frame."""
        self._moved_by(taken)
        self.on_moved()

    def _moved_by(self, taken: Taken[Any]) -> None:
        if taken.records:
            self.next_seq = min(taken.last + 1, MAX_U64)
            if self.count is not None:
                self.count = max(0, self.count - taken.records)
            if self.bytes is not None:
                self.bytes = max(0, self.bytes - taken.bytes)
        if taken.tail is None:
            self.caught_up = None
            return
        if taken.records:
            self._tail_seen = self.clock.monotonic()
            self.caught_up = taken.tail if taken.last + 1 == taken.tail.seq_num else None
        else:
            self.next_seq = taken.tail.seq_num
            self.caught_up = taken.tail

    @property
    def done(self) -> bool:
        """Whether the limits are used up, so that asking again would be an error."""
        return self.count == 0 or self.bytes == 0


def start_params(start: Start) -> dict[str, int]:
    """Return the query parameter of a start."""
    names = {SeqNum: "seq_num", Timestamp: "timestamp", TailOffset: "tail_offset"}
    if type(start) not in names:
        raise S2InputError(
            f"start={start!r} is unknown", hint="give SeqNum(n), Timestamp(milliseconds) or TailOffset(n)"
        )
    return {names[type(start)]: check_u64(f"start {names[type(start)]}", start.value)}


def plan_of(
    start: Start, limit: ReadLimit | None, until_timestamp: int | None, clamp_to_tail: bool, wait: int | None
) -> Plan:
    """Return the plan of a session, its bounds checked."""
    check_read(limit, until_timestamp, wait)
    start_params(start)
    limit = limit or ReadLimit()
    return Plan(start, limit.count, limit.bytes, until_timestamp, clamp_to_tail, wait)


def session(
    state: StreamState,
    plan: Plan,
    take: Callable[[bytes], Taken[T]],
    config: StreamConfig | None = None,
    *,
    opened: Sequence[U] = (),
) -> Walk[T | U]:
    """Return the items that `take` makes of the frames of a session, from its start to its end; and those of `opened`
    whenever it is connected, if silent."""
    transport, path = state.transport, state.path
    headers = state.headers(config)
    plan.clock = transport.clock
    tries = transport.tries()
    advised = -math.inf
    while True:
        stream: Stream | None = None
        again = False
        error: S2Error | None = None
        try:
            stream = yield Open(_request(transport, path, headers, plan, tries.made))
            if stream.status != 200:
                response = yield from read_rest(stream)
                stream = None
                raise named(error_of(response.status, response.body), "read_session", path)
            for batch in opened:
                yield Emit(batch)
            frames = FrameReader()
            while not again and (piece := (yield Next(stream))):
                for frame in frames.feed(piece):
                    if frame.terminal:
                        raise named(frame.error(), "read_session", path)
                    taken = take(frame.payload)
                    if plan.repeats(taken):
                        raise Lost(f"records before {plan.next_seq:,} came again")
                    plan.took(taken)
                    tries.made = 1
                    if taken.item is not None:
                        yield Emit(taken.item)
                    if frame.reconnect and (now := transport.clock.monotonic()) - advised > _ADVISED_EVERY:
                        advised, again = now, True
                        break
            if not again:
                frames.finish()
        except KitError as failure:
            error = as_client_error(failure)
            plan.caught_up = None
        if stream is not None:
            yield Shut(stream)
        if plan.done or (error is None and not again):
            return
        if isinstance(error, ReadUnwrittenError) and error.tail.seq_num == plan.next_seq:
            return  # all of it was read when the connection broke, before the service had said that this is the end
        if error is not None:
            pause = transport.pause(tries, error)
            if pause is None:
                raise error
            yield Pause(pause)


def _request(
    transport: Transport[Any], path: str, headers: Mapping[str, str | Secret], plan: Plan, tries: int
) -> Request:
    packing = "identity" if transport.compression is Compression.NONE else transport.compression.value
    return Request(
        "GET",
        path,
        op="read_session",
        params=plan.params(),
        headers={**headers, "content-type": CONTENT_TYPE, "accept-encoding": packing},
        timeouts=transport.timeouts_of(silence=SILENCE),
        limit=2**62,
        retries=tries - 1,
    )


def take_batch(plan: Plan, ignore_command_records: bool) -> Callable[[bytes], Taken[ReadBatch]]:
    """Make batches of record objects."""

    def take(payload: bytes) -> Taken[ReadBatch]:
        batch = read_batch_of(payload)
        records = batch.records
        size = metered_bytes(records) if plan.bytes is not None else 0
        last = records[-1].seq_num if records else -1
        count = len(records)
        if ignore_command_records:
            batch.records = [record for record in records if not record.is_command_record()]
        return Taken(batch if batch.records else None, count, size, last, batch.tail)

    return take
