"""A stream as a feed's source: a read session that follows the tail, in columns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from ...core.errors import Lost
from ...core.faces import state_of
from ...core.http.exchange import AsyncDriver
from ...live.feed.source import Chunk, Position, Source, gathered
from ...live.shaping import Bodies
from ..client.sessions.reading import Plan, Start, Taken, session, start_params
from ..client.stream import S2Stream, SyncS2Stream
from ..client.transport import Transport
from ..errors import S2Error, retryable
from ..positions import SeqNum, StreamPosition, TailOffset
from ..settings import Retry
from ..wire.columns import Reading, RecordColumns, columns_of, record_table
from ..wire.decoding import SCHEMA

if TYPE_CHECKING:
    from ...core.tables.frames import BodyMode

_ONE_TRY = Retry(max_attempts=1)
_SMALL_FRAME = 64


class StreamSource(Source):
    """The records of a stream from `start` on. Each opening has its own connections, which close with it."""

    service = "s2"
    begins: ClassVar[bool] = True
    position_column: ClassVar[str | None] = "seq_num"

    def __init__(
        self,
        stream: SyncS2Stream,
        start: Start,
        body: BodyMode = "auto",
        types: Any = None,
        *,
        commands: bool = False,
    ) -> None:
        state = state_of(stream)
        transport = state.transport
        self.label = f"{state.basin}/{stream.name}"
        self._start = start
        start_params(start)  # refused here, before any traffic
        self._commands = commands
        self.bodies = Bodies(body, types, "body", record_table)
        # The feed does the retrying, so that its reader sees it.
        self._transport: Transport[AsyncDriver] = Transport(
            transport.credential,
            transport.endpoints,
            transport.timeout,
            _ONE_TRY,
            transport.compression,
            AsyncDriver,
            transport.verify,
            transport.clock,
        )
        self._stream = S2Stream(stream.name, state.basin, self._transport, state.key)

    @property
    def key(self) -> str:
        """The stream at its address."""
        return f"s2:{state_of(self._stream).url}:{self.label}"

    async def open(self, after: Position) -> AsyncIterator[Chunk]:
        """Return the records after a sequence number, or from the start that was asked for."""
        stream = self._stream
        if isinstance(after, int):
            start: Start = SeqNum(after + 1)
        elif isinstance(self._start, TailOffset):
            # As a number: a connection that breaks before the first record must not start at a later tail.
            newest_now = (await stream.check_tail()).seq_num
            first = max(0, newest_now - self._start.value)
            start = SeqNum(first)
            yield Chunk(_none(), first - 1, newest_now)
        else:
            start = self._start
        plan = Plan(start)
        state = state_of(stream)
        walk = session(state, plan, _take, opened=(None,))
        async for group in gathered(state.driver.walk(walk), _size):
            readings = [call for call in group if call is not None]
            if not readings:
                yield Chunk(_none())
                continue
            # A sign of life holds nothing: an idle feed is told of one every few seconds.
            columns = (
                columns_of(readings=readings) if any(map(len, readings)) else RecordColumns(_none(), _tail(readings))
            )
            last: int | None = columns.last_seq_num
            tail = None if columns.tail is None else columns.tail.seq_num
            newest = readings[-1].tail
            caught_up = newest is not None and (last is None or last + 1 >= newest.seq_num)
            if last is not None and not self._commands:
                columns = columns.without_commands()
            if last is None and newest is not None:
                last = newest.seq_num - 1
            yield Chunk(columns.batch, last, tail, caught_up)
        raise Lost(f"the service ended the read session of {self.label}")

    async def tail(self) -> int | None:
        """Return the sequence number that the next record will get."""
        return (await self._stream.check_tail()).seq_num

    async def close(self) -> None:
        """Close the connections."""
        for driver in self._transport.close():
            await driver.close()

    def temporary(self, error: BaseException) -> bool:
        """Return whether the failure may pass by itself, by the service's table of errors."""
        return retryable(error) if isinstance(error, S2Error) else super().temporary(error)


def _take(payload: bytes) -> Taken[Reading]:
    reading = Reading.of(payload)
    count = len(reading)
    return Taken(reading, count, 0, reading.last_seq_num if count else -1, reading.tail)


def _size(item: Reading | None) -> int:
    return len(item.payload) if isinstance(item, Reading) else _SMALL_FRAME


def _tail(readings: Sequence[Reading]) -> StreamPosition | None:
    return next((one.tail for one in reversed(readings) if one.tail is not None), None)


@cache
def _none() -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in SCHEMA], schema=SCHEMA)
