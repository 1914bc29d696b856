"""Producers: records submitted one by one, gathered into batches, each record with a ticket of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Self

from ....core.dropped import close_when_dropped
from ....core.processes import OfOneProcess
from ...checks import check_record
from ...errors import S2ClientError, S2Error
from ...limits import check_conditions
from ...settings import Batching
from ...types import AppendAck, AppendInput, IndexedAppendAck, Record
from .append_engine import BatchSubmitTicket
from .append_session import AppendSession
from .batching import Accumulator

_Posted = asyncio.Future[BatchSubmitTicket]


class RecordSubmitTicket:
    """The acknowledgement of a record, once it is appended: `ack = await ticket`. Await it any number of times."""

    __slots__ = ("_index", "_posted")

    def __init__(self, posted: _Posted, index: int) -> None:
        self._posted = posted
        self._index = index

    def __await__(self) -> Generator[Any, None, IndexedAppendAck]:
        # Shielded: a caller that gives up waiting must not take the answer from the batch's other records.
        posted = self._posted if self._posted.done() else asyncio.shield(self._posted)
        return self._of((yield from (yield from posted.__await__()).__await__()))

    def done(self) -> bool:
        """Return whether it is finished, so that awaiting it takes no time."""
        return self._posted.done() and (self._posted.exception() is not None or self._posted.result().done())

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop that it can be awaited on."""
        return self._posted.get_loop()

    def told(self) -> IndexedAppendAck:
        """Return the acknowledgement of a finished ticket, in any thread."""
        return self._of(self._posted.result().told())

    def _of(self, ack: AppendAck) -> IndexedAppendAck:
        return IndexedAppendAck(ack.start.seq_num + self._index, ack)

    def __repr__(self) -> str:
        return f"<RecordSubmitTicket, {'done' if self.done() else 'on its way'}>"


class _Gathering:
    """The work of a producer. Its task refers to this object, not to the caller's producer."""

    def __init__(
        self,
        make_session: Callable[[], AppendSession],
        *,
        fencing_token: str | None = None,
        match_seq_num: int | None = None,
        batching: Batching | None = None,
    ) -> None:
        check_conditions(match_seq_num, fencing_token)
        self._records = Accumulator(batching, clock=lambda: self._loop.time())
        self._session = make_session()
        self._loop = asyncio.get_running_loop()
        self._fencing_token = fencing_token
        self._match_seq_num = match_seq_num
        self._posted: _Posted = self._loop.create_future()
        """The ticket of the batch under way, once it has one."""
        self._last: _Posted | None = None
        """That of the last batch that was cut."""
        self._linger: asyncio.TimerHandle | None = None
        self._outbox: deque[tuple[AppendInput, _Posted]] = deque()
        """Batches that wait for room in the session. While there are any, no record is taken."""
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._closing = False
        self._error: S2Error | None = None
        self._posting = self._loop.create_task(self._post())
        self._session.when_over(self._session_over)

    async def submit(self, record: Record) -> RecordSubmitTicket:
        self.check_open()
        check_record(record)
        while self._outbox:
            await self._emptied.wait()
            self.check_open()
        index = len(self._records)
        full = self._records.add(record)
        posted = self._posted
        for records in full:
            posted, index = self._cut(records), len(records) - 1
        if len(self._records):
            if full:
                posted, index = self._posted, 0
            if self._linger is None and self._records.deadline is not None:
                self._linger = self._loop.call_at(self._records.deadline, self._lingered)
        return RecordSubmitTicket(posted, index)

    async def flush(self) -> None:
        self.check_open()
        self._cut_rest()
        if self._last is not None:
            await (await asyncio.shield(self._last))

    async def close(self) -> None:
        closing = self._closing
        if not self._closing:
            self._cut_rest()
            self._closing = True
            self._filled.set()
        try:
            await asyncio.wait([self._posting])
        except asyncio.CancelledError:
            self._posting.cancel()
            await self._session.abort()
            raise
        await self._session.close()
        if self._error is not None and not closing:
            raise self._error.with_traceback(None)

    def unfinished(self) -> str:
        if self._closing or self._error is not None:
            return ""
        waiting = len(self._records) + len(self._outbox) + (self._last is not None and not _appended(self._last))
        return "a producer was dropped before all was appended: close it before" if waiting else ""

    @property
    def state(self) -> str:
        """How it stands, for people."""
        return f"{len(self._records)} records gathered, on {self._session!r}"

    def check_open(self) -> None:
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._closing:
            raise S2ClientError("the producer is closed")

    def _lingered(self) -> None:
        self._linger = None
        self._cut_rest()

    def _cut_rest(self) -> None:
        if records := self._records.flush():
            self._cut(records)

    def _cut(self, records: list[Record]) -> _Posted:
        """Send a batch off; the next one begins."""
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._last = posted = self._posted
        self._posted = self._loop.create_future()
        self._outbox.append((AppendInput(records, self._match_seq_num, self._fencing_token), posted))
        if self._match_seq_num is not None:
            self._match_seq_num += len(records)
        self._emptied.clear()
        self._filled.set()
        return posted

    async def _post(self) -> None:
        """Hand batches to the session, in order."""
        try:
            while True:
                while self._outbox:
                    inp, posted = self._outbox[0]
                    posted.set_result(await self._session.submit(inp))
                    self._outbox.popleft()
                self._emptied.set()
                if self._closing or self._error is not None:
                    return
                self._filled.clear()
                await self._filled.wait()
        except asyncio.CancelledError:
            self._fail(S2ClientError("the producer was abandoned before everything was appended"))
            raise
        except S2Error as error:
            self._fail(error)
        except Exception as error:
            # Whatever the error is, no ticket may wait forever.
            failure = S2ClientError(f"the producer failed: {error!r}")
            failure.__cause__ = error
            self._fail(failure)

    def _session_over(self, error: S2Error | None) -> None:
        if error is not None:
            self._fail(error)
            self._filled.set()

    def _fail(self, error: S2Error) -> None:
        """End it for all records that are in no batch of the session yet."""
        if self._error is not None:
            return
        self._error = error
        self._records.flush()
        for posted in [*(posted for _, posted in self._outbox), self._posted]:
            if not posted.done():
                posted.set_exception(error)
                # Retrieved at once, so that an unawaited ticket causes no warning.
                posted.exception()
        self._outbox.clear()
        self._emptied.set()


class Producer(OfOneProcess):
    """Appends records one by one, in order, many to a batch. Made by `stream.producer()`, not by hand.

    Use it in an `async with` block, or `await close()` it: both wait until everything is appended. A batch that
    fails ends the producer: all records after it fail too. A producer that nothing refers to is closed too, with a
    ResourceWarning if something was not appended yet.
    """

    def __init__(
        self,
        make_session: Callable[[], AppendSession],
        *,
        fencing_token: str | None = None,
        match_seq_num: int | None = None,
        batching: Batching | None = None,
    ) -> None:
        self._work = work = _Gathering(
            make_session, fencing_token=fencing_token, match_seq_num=match_seq_num, batching=batching
        )
        self._dropped = close_when_dropped(self, work.close, warning=work.unfinished)

    async def submit(self, record: Record) -> RecordSubmitTicket:
        """Submit a record, and return a ticket for it. Wait first while too much is unacknowledged."""
        return await self._work.submit(record)

    async def flush(self) -> None:
        """Wait until all submitted records are appended."""
        await self._work.flush()

    async def close(self) -> None:
        """End the producer after everything is appended. Raise the error that ended it earlier, if there was one."""
        self._dropped.detach()
        await self._work.close()

    def check_open(self) -> None:
        """Raise the error that `submit` would raise."""
        self._work.check_open()

    def unfinished(self) -> str:
        """Return a description of the unfinished work when the producer is dropped; empty if there is none."""
        return self._work.unfinished()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            await self.close()
        except S2Error:
            # What went wrong in the block itself is what its author has to see.
            if kind is None:
                raise

    def __repr__(self) -> str:
        return f"<Producer, {self._work.state}>"


def _appended(posted: _Posted) -> bool:
    return posted.done() and (posted.exception() is not None or posted.result().done())


def failed_ticket(error: S2Error) -> RecordSubmitTicket:
    """Return the ticket of a record that no producer took."""
    posted: _Posted = asyncio.get_running_loop().create_future()
    posted.set_exception(error)
    posted.exception()
    return RecordSubmitTicket(posted, 0)
