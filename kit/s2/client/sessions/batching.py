"""Gathering single records into batches within the service's limits."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Iterator
from contextlib import aclosing
from typing import Any, overload

from ...checks import check_batching, metered_bytes, wrong_record
from ...errors import S2InputError
from ...limits import MAX_BATCH_BYTES, check_conditions
from ...settings import Batching
from ...types import AppendInput, Record


class Accumulator:
    """Decides which records form a batch, by count, size and waiting time.

    It holds the current batch and does not wait itself: the caller watches `deadline`.

    >>> gathered = Accumulator(Batching(max_records=2))
    >>> [len(batch) for n in range(5) for batch in gathered.add(Record(b"x"))], len(gathered.flush())
    ([2, 2], 1)
    """

    def __init__(self, batching: Batching | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._batching = check_batching(batching or Batching())
        self._linger = self._batching.linger.total_seconds()
        self._clock = clock
        self._records: list[Record] = []
        self._bytes = 0
        self.deadline: float | None = None
        """When the current batch must be sent, by the clock; None while it is empty or may wait without limit."""

    def __len__(self) -> int:
        return len(self._records)

    @property
    def metered_bytes(self) -> int:
        """The size of the batch under way."""
        return self._bytes

    def add(self, record: Record) -> list[list[Record]]:
        """Return the batches that are complete now: none, one, or two where a large record ends one and makes the
        next."""
        try:
            size = metered_bytes((record,)) if record.headers else 8 + len(record.body)
        except (TypeError, ValueError, AttributeError):
            raise wrong_record((record,)) from None
        if size > MAX_BATCH_BYTES:
            raise S2InputError(f"a record has at most {MAX_BATCH_BYTES:,} metered bytes, not {size:,}")
        full = []
        if self._records and self._bytes + size > self._batching.max_bytes:
            full.append(self.flush())
        if not self._records and self._linger:
            self.deadline = self._clock() + self._linger
        self._records.append(record)
        self._bytes += size
        if len(self._records) >= self._batching.max_records or self._bytes >= self._batching.max_bytes:
            full.append(self.flush())
        return full

    def flush(self) -> list[Record]:
        """Return the batch under way, which may be empty; a new one begins."""
        records, self._records = self._records, []
        self._bytes = 0
        self.deadline = None
        return records


@overload
def append_record_batches(
    records: AsyncIterable[Record], *, batching: Batching | None = None
) -> AsyncGenerator[list[Record], None]: ...
@overload
def append_record_batches(
    records: Iterable[Record], *, batching: Batching | None = None
) -> Generator[list[Record], None, None]: ...
def append_record_batches(records: Any, *, batching: Batching | None = None) -> Any:
    """Group records into batches by count, by bytes, and by how long the first of a batch has waited.

    An async source gives an async iterator; any other source an iterator, whose batch leaves with the next record
    where it has waited long enough. A source that fails ends it with the source's error; records that were not in a
    batch yet are not given.

    >>> from kit.s2 import Batching, Record, append_record_batches
    >>> [len(batch) for batch in append_record_batches([Record(b"x")] * 5, batching=Batching(max_records=2))]
    [2, 2, 1]
    """
    if isinstance(records, AsyncIterable):
        return _awaited_batches(records, batching)
    return _blocking_batches(records, Accumulator(batching))


def _blocking_batches(records: Iterable[Record], gathered: Accumulator) -> Generator[list[Record], None, None]:
    for record in records:
        if gathered.deadline is not None and gathered.deadline <= time.monotonic():
            yield gathered.flush()
        yield from gathered.add(record)
    if rest := gathered.flush():
        yield rest


async def _awaited_batches(
    records: AsyncIterable[Record], batching: Batching | None
) -> AsyncGenerator[list[Record], None]:
    gathering = _Gathering(records, Accumulator(batching, clock=asyncio.get_running_loop().time))
    try:
        while batch := await gathering.next():
            yield batch
    finally:
        await gathering.stop()


@overload
def append_inputs(
    records: AsyncIterable[Record],
    *,
    match_seq_num: int | None = None,
    fencing_token: str | None = None,
    batching: Batching | None = None,
) -> AsyncGenerator[AppendInput, None]: ...
@overload
def append_inputs(
    records: Iterable[Record],
    *,
    match_seq_num: int | None = None,
    fencing_token: str | None = None,
    batching: Batching | None = None,
) -> Iterator[AppendInput]: ...
def append_inputs(
    records: Any,
    *,
    match_seq_num: int | None = None,
    fencing_token: str | None = None,
    batching: Batching | None = None,
) -> Any:
    """Group records into appends by count, by bytes, and by how long the first of an append has waited.

    An async source gives an async iterator, any other source an iterator; see `append_record_batches`.
    `match_seq_num` is for the first append; each later one is to follow on the one before.

    >>> import asyncio
    >>> from kit.s2 import Batching, Record, append_inputs, append_record_batches
    >>> async def source():
    ...     for n in range(5):
    ...         yield Record(b"%d" % n)
    >>> async def sizes():
    ...     batches = [len(batch) async for batch in append_record_batches(source(), batching=Batching(max_records=2))]
    ...     return batches, [len(one.records) async for one in append_inputs(source(), match_seq_num=0)]
    >>> asyncio.run(sizes())
    ([2, 2, 1], [5])
    """
    check_conditions(match_seq_num, fencing_token)
    batches = append_record_batches(records, batching=batching)
    following = _Following(match_seq_num, fencing_token)
    return _awaited_inputs(batches, following) if isinstance(records, AsyncIterable) else map(following.input, batches)


class _Following:
    """Makes appends whose expected sequence numbers follow on each other."""

    def __init__(self, match_seq_num: int | None, fencing_token: str | None) -> None:
        self._expected, self._token = match_seq_num, fencing_token

    def input(self, batch: list[Record]) -> AppendInput:
        made = AppendInput(batch, self._expected, self._token)
        if self._expected is not None:
            self._expected += len(batch)
        return made


async def _awaited_inputs(
    batches: AsyncGenerator[list[Record], None], following: _Following
) -> AsyncGenerator[AppendInput, None]:
    async with aclosing(batches):
        async for batch in batches:
            yield following.input(batch)


class _Gathering:
    """Reads a source in a task of its own, so that a batch can leave while the source is silent.

    The source is read ahead only until one batch is complete.
    """

    def __init__(self, records: AsyncIterable[Record], gathered: Accumulator) -> None:
        self._gathered = gathered
        self._ready: deque[list[Record]] = deque()
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()
        self._reading = asyncio.create_task(self._read(records))
        self._reading.add_done_callback(lambda _: self._changed.set())

    async def _read(self, records: AsyncIterable[Record]) -> None:
        try:
            async for record in records:
                await self._take(record)
        finally:
            # A generator that is left in the middle keeps its resources open.
            if isinstance(records, AsyncGenerator):
                await records.aclose()

    async def _take(self, record: Record) -> None:
        gathered = self._gathered
        if full := gathered.add(record):
            self._ready.extend(full)
            while self._ready:
                self._changed.set()
                self._taken.clear()
                await self._taken.wait()
        elif len(gathered) == 1:
            self._changed.set()

    async def next(self) -> list[Record]:
        """Return the next batch, or an empty one at the end."""
        gathered = self._gathered
        while True:
            if self._ready:
                self._taken.set()
                return self._ready.popleft()
            if self._reading.done():
                self._reading.result()
                return gathered.flush()
            if gathered.deadline is not None and gathered.deadline <= asyncio.get_running_loop().time():
                return gathered.flush()
            self._changed.clear()
            try:
                async with asyncio.timeout_at(gathered.deadline):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def stop(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        if not self._reading.cancelled():
            # An error that was not retrieved does not matter to a caller who left.
            self._reading.exception()
