"""Blocking sessions and producers: they run on the background loop, and any thread may use them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, Self, TypeVar

from ....core import loop
from ....core.dropped import close_when_dropped
from ....core.processes import NotShared, OfOneProcess, check_process
from ...checks import check_record
from ...errors import S2ClientError, S2Error
from ...types import AppendAck, AppendInput, IndexedAppendAck, Record
from .append_engine import BatchSubmitTicket
from .append_session import AppendSession
from .producer import Producer, RecordSubmitTicket, failed_ticket
from .thread_queue import ThreadQueue

T = TypeVar("T")

_AHEAD = 1024 * 1024
"""Metered bytes that a thread may hand over ahead of the producer."""
_SETTLE = 0.001
"""Seconds; much less than records linger."""


class SyncBatchSubmitTicket:
    """The acknowledgement of a batch, once it is appended: `ack = ticket.result()`."""

    def __init__(self, ticket: BatchSubmitTicket) -> None:
        self._ticket = ticket

    def result(self, timeout: float | None = None) -> AppendAck:
        """Wait for the acknowledgement, and return it. Raise `TimeoutError` after `timeout` seconds."""
        ack: AppendAck = self._ticket.told() if self.done() else loop.call(_awaited, self._ticket, timeout)
        return ack

    def done(self) -> bool:
        """Return whether it is finished, so that `result` takes no time."""
        return self._ticket.done()

    def __repr__(self) -> str:
        return f"<Sync{repr(self._ticket)[1:]}"


class SyncAppendSession(OfOneProcess):
    """Appends batch after batch, in order, without waiting in between. Made by `stream.append_session()`, not by hand.

    It lives on the background loop. Use it in a `with` block, or `close()` it: both wait until everything is appended.
    """

    def __init__(self, make: Callable[[], AppendSession]) -> None:
        self._session = loop.call(_made, make)
        self._pid = os.getpid()

    def submit(self, inp: AppendInput) -> SyncBatchSubmitTicket:
        """Send a batch, and return a ticket for it. Block first while too much is unacknowledged."""
        check_process(self._pid, "an append session")
        return SyncBatchSubmitTicket(loop.call(self._session.submit, inp))

    def submit_encoded(self, payload: bytes, records: int, metered: int) -> SyncBatchSubmitTicket:
        """Send a batch that is an encoded protobuf message, with its numbers of records and bytes; return a ticket."""
        check_process(self._pid, "an append session")
        return SyncBatchSubmitTicket(loop.call(self._session.submit_encoded, payload, records, metered))

    def close(self) -> None:
        """End the session after everything is appended. Raise the error that ended it earlier, if there was one."""
        check_process(self._pid, "an append session")
        loop.call(self._session.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: Any) -> None:
        check_process(self._pid, "an append session")
        loop.call(self._session.__aexit__, *failure)

    def __repr__(self) -> str:
        # Not there yet where the constructor raises, and a traceback shows it.
        made = getattr(self, "_session", None)
        return f"<{type(self).__name__}, not made>" if made is None else f"<Sync{repr(made)[1:]}"


class SyncRecordSubmitTicket:
    """The acknowledgement of a record, once it is appended: `ack = ticket.result()`."""

    __slots__ = ("_catch_up", "_ticket")

    def __init__(self, catch_up: Callable[[float | None], None]) -> None:
        self._catch_up = catch_up
        self._ticket: RecordSubmitTicket | None = None

    def result(self, timeout: float | None = None) -> IndexedAppendAck:
        """Wait for the acknowledgement, and return it. Raise `TimeoutError` after `timeout` seconds."""
        if self._ticket is None:
            began = time.monotonic()
            self._catch_up(timeout)
            if timeout is not None:
                timeout = max(0.0, timeout - (time.monotonic() - began))
        if self._ticket is None:
            raise TimeoutError
        ack: IndexedAppendAck = self._ticket.told() if self.done() else loop.call(_awaited, self._ticket, timeout)
        return ack

    def settle(self, ticket: RecordSubmitTicket) -> None:
        """Note the ticket that the producer gave for the record."""
        self._ticket = ticket

    def done(self) -> bool:
        """Return whether it is finished, so that `result` takes no time."""
        return self._ticket is not None and self._ticket.done()

    def __repr__(self) -> str:
        return f"<SyncRecordSubmitTicket, {'done' if self.done() else 'on its way'}>"


class SyncProducer(OfOneProcess):
    """Appends records one by one, in order, many to a batch. Made by `stream.producer()`, not by hand.

    It lives on the background loop. Use it in a `with` block, or `close()` it: both wait until everything is appended.
    """

    def __init__(self, make: Callable[[], Producer]) -> None:
        self._producer = loop.call(_made, make)
        self._pid = os.getpid()
        # Records are handed over in groups; a marker tells when all records before it have arrived.
        self._handover = handover = ThreadQueue[_Handed](_AHEAD, _SETTLE)
        self._feeding = loop.start(_feed, handover, self._producer)
        self._dropped = close_when_dropped(
            self,
            partial(_ended, handover, self._feeding, self._producer),
            loop.running_loop(),
            warning=self._producer.unfinished,
        )

    def submit(self, record: Record) -> SyncRecordSubmitTicket:
        """Submit a record, and return a ticket for it. Block first while too much is unacknowledged."""
        check_process(self._pid, "a producer")
        self._producer.check_open()
        ticket = SyncRecordSubmitTicket(self._catch_up)
        if not self._handover.put((record, ticket), check_record(record)):
            self._producer.check_open()
            raise S2ClientError("the producer is closed")
        return ticket

    def flush(self) -> None:
        """Wait until all submitted records are appended."""
        self._catch_up()
        loop.call(self._producer.flush)

    def close(self) -> None:
        """End the producer after everything is appended. Raise the error that ended it earlier, if there was one."""
        check_process(self._pid, "a producer")
        self._dropped.detach()
        self._handover.end()
        wait([self._feeding])
        loop.call(self._producer.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.close()
        except S2Error:
            if kind is None:
                raise

    def __repr__(self) -> str:
        # Not there yet where the constructor raises, and a traceback shows it.
        made = getattr(self, "_producer", None)
        return f"<{type(self).__name__}, not made>" if made is None else f"<Sync{repr(made)[1:]}"

    def _catch_up(self, timeout: float | None = None) -> None:
        """Return when all records that were submitted have arrived on the loop."""
        check_process(self._pid, "a producer")
        mark: Future[None] = Future()
        if self._handover.put(mark, 0):
            mark.result(timeout)
        else:
            wait([self._feeding], timeout)


_Handed = tuple[Record, SyncRecordSubmitTicket] | Future[None]


async def _feed(handover: ThreadQueue[_Handed], producer: Producer) -> None:
    """Hand records on to a producer, each with its ticket, until there are no more."""
    failed: list[RecordSubmitTicket] = []
    try:
        while await _hand_on(handover, producer, failed):
            pass
    finally:
        handover.end()


async def _hand_on(handover: ThreadQueue[_Handed], producer: Producer, failed: list[RecordSubmitTicket]) -> bool:
    """Hand on the waiting records and drop them, as a ticket refers to its producer. False at the end."""
    items = await handover.take()
    for item in items:
        if isinstance(item, Future):
            item.set_result(None)
            continue
        record, ticket = item
        if not failed:
            try:
                ticket.settle(await producer.submit(record))
                continue
            except S2Error as error:
                failed.append(failed_ticket(error))
                handover.end()
        ticket.settle(failed[0])
    return bool(items)


async def _ended(handover: ThreadQueue[_Handed], feeding: Future[None], producer: Producer) -> None:
    """End a dropped producer, once its records are appended."""
    handover.end()
    await asyncio.wrap_future(feeding)
    await producer.close()


async def _made(make: Callable[[], T]) -> T:
    """Return what this makes, on the loop that runs it."""
    return make()


async def _awaited(ticket: BatchSubmitTicket | RecordSubmitTicket, timeout: float | None) -> Any:
    """Return what the ticket tells, within that many seconds."""
    if ticket.get_loop() is not asyncio.get_running_loop():
        # That of the process that submitted it, of which this is a fork.
        raise NotShared(
            "a ticket that is on its way cannot be used in a forked process",
            hint="wait in the process that submitted it",
        )
    async with asyncio.timeout(timeout):
        return await ticket
