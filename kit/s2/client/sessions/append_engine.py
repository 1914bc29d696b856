"""The work of an append session: it sends batches while earlier ones are being acknowledged, and reconnects."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ....core import calls
from ....core.errors import KitError, Lost, Silent
from ....core.secrets import Secret
from ...checks import check_input
from ...errors import S2ClientError, S2Error, S2InputError, S2ServerError, as_client_error, no_side_effects, retryable
from ...limits import check_unacked
from ...settings import MAX_UNACKED_BYTES
from ...types import AppendAck, AppendInput
from ...wire.frames import CONTENT_TYPE, FrameReader, encode_frame
from ...wire.json_messages import error_of
from ...wire.messages import ack_of, encode_input
from ..transport import Transport, asked_pause, named
from .unacked import Batch, Packed, Unacked, pack

if TYPE_CHECKING:
    from .http2_exchange import Http2Exchange


_OP = "append_session"
_DRAINING = "server_draining"
_FREE_EVERY = 60.0
"""Seconds; a service that asks for a new connection more often than this counts as failing."""
_ERROR_BODY = 64 * 1024
_LATE = 0.05
"""Seconds by which a timer may be late on a busy loop."""


class BatchSubmitTicket:
    """The acknowledgement of a batch, once it is appended: `ack = await ticket`. Await it any number of times."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[AppendAck]) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, None, AppendAck]:
        # Shielded: a caller that gives up waiting must not take the answer from the others.
        return (self._future if self._future.done() else asyncio.shield(self._future)).__await__()

    def done(self) -> bool:
        """Return whether it is finished, so that awaiting it takes no time."""
        return self._future.done()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop that it can be awaited on."""
        return self._future.get_loop()

    def told(self) -> AppendAck:
        """Return the acknowledgement of a finished ticket, in any thread."""
        return self._future.result()

    def when_acked(self, call: Callable[[AppendAck], None]) -> None:
        """Call a function with the acknowledgement, on the loop. It is not called if the batch fails."""
        self._future.add_done_callback(lambda future: None if future.exception() else call(future.result()))

    def __repr__(self) -> str:
        if not self._future.done():
            return "<BatchSubmitTicket, on its way>"
        return f"<BatchSubmitTicket, {'failed' if self._future.exception() else 'appended'}>"


class AppendEngine:
    """Sends batches and receives their acknowledgements. Its task refers to this object, not to the caller's session.

    After a broken connection, what was not acknowledged is sent again as the client's `Retry` says.
    """

    def __init__(
        self,
        transport: Transport[Any],
        origin: str,
        path: str,
        headers: Mapping[str, str | Secret],
        max_unacked_bytes: int = MAX_UNACKED_BYTES,
        max_unacked_batches: int | None = None,
    ) -> None:
        check_unacked(max_unacked_bytes, max_unacked_batches)
        self._loop = _running_loop()
        self._transport = transport
        self._origin = origin
        self._path = path
        self._headers = headers
        self._timeout = transport.timeout.request.total_seconds()
        self._flight: Unacked[asyncio.Future[AppendAck]] = Unacked(
            max_unacked_bytes, max_unacked_batches, self._timeout
        )
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()
        """Submits that wait for room, first come first served."""
        self._exchange: Http2Exchange | None = None
        """The one that batches are sent on, once the service has accepted it."""
        self._accepted = False
        """Whether the service ever has."""
        self._retiring = False
        """Whether nothing more is to be sent on this one."""
        self._ended: float | None = None
        """When the request was ended."""
        self._freed = -math.inf
        """When the service last got a new connection just because it wanted one."""
        self._closing = False
        self._error: S2Error | None = None
        self._told_error = False
        """Whether `close` has raised it; the `async with` block around need not again."""
        self._over: list[Callable[[S2Error | None], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._looking = 0.0
        """When it is due."""
        self._task = self._loop.create_task(self._run())

    async def submit(self, inp: AppendInput) -> BatchSubmitTicket:
        self._check_open()
        metered = check_input(inp)
        if inp.stream_config is not None:
            raise S2InputError(
                "a session's appends have no settings of their own for the stream that they create",
                hint="give them to the session: append_session(stream_config=...)",
            )
        return await self._submit(
            encode_frame(encode_input(inp), self._transport.compression), len(inp.records), metered
        )

    async def submit_encoded(self, payload: bytes, records: int, metered: int) -> BatchSubmitTicket:
        self._check_open()
        return await self.submit_frame(pack(payload, records, metered, self._transport.compression))

    async def submit_frame(self, packed: Packed) -> BatchSubmitTicket:
        self._check_open()
        return await self._submit(*packed)

    async def close(self) -> None:
        self._closing = True
        self._admit()
        if self._exchange is not None:
            self._exchange.pump()
        try:
            await asyncio.wait([self._task])
        except asyncio.CancelledError:
            await self.abort()
            raise
        if self._error is not None and not self._told_error:
            self._told_error = True
            raise self._error.with_traceback(None)

    async def abort(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    def when_over(self, call: Callable[[S2Error | None], None]) -> None:
        self._over.append(call)

    def unfinished(self) -> str:
        """Return a description of the unfinished work when the session is dropped; empty if there is none."""
        if self._task.done() or not self._flight:
            return ""
        return f"an append session was dropped with {len(self._flight)} batches not acknowledged: close it before"

    @property
    def state(self) -> str:
        """How it stands, for people."""
        state = "failed" if self._error else "closed" if self._task.done() else "closing" if self._closing else "open"
        return f"{state}, {len(self._flight)} batches on their way"

    async def _submit(self, frame: bytes, records: int, metered: int) -> BatchSubmitTicket:
        if self._line or not self._flight.has_room(metered):
            await self._wait_for_room(metered)
        future: asyncio.Future[AppendAck] = self._loop.create_future()
        self._flight.add(Batch(frame, records, metered, future), self._loop.time())
        self._admit()
        if self._exchange is not None:
            self._exchange.pump()
            self._watch()
        return BatchSubmitTicket(future)

    async def _wait_for_room(self, metered: int) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._line.append((metered, waiter))
        try:
            await waiter
            self._check_open()
        except BaseException:
            self._line.remove((metered, waiter))
            self._admit()
            raise
        # Left the queue only now, so that later callers waited behind this one until here.
        self._line.remove((metered, waiter))

    def _admit(self) -> None:
        """Admit the first waiting caller if there is room; all of them if the session has ended."""
        over = self._closing or self._error is not None
        for metered, waiter in self._line:
            if not over and not self._flight.has_room(metered):
                return
            if not waiter.done():
                waiter.set_result(None)
            if not over:
                return

    def _check_open(self) -> None:
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._closing:
            raise S2ClientError("the session is closed")

    async def _run(self) -> None:
        error: S2Error | None = S2ClientError("the session was abandoned before everything was acknowledged")
        try:
            await self._serve()
            error = None
        except S2Error as failure:
            error = failure
        except Exception as failure:
            # Whatever the error is, no ticket may wait forever.
            error = S2ClientError(f"the session failed: {failure!r}")
            error.__cause__ = failure
        finally:
            self._end(error)

    def _end(self, error: S2Error | None) -> None:
        # Without the frames of the transport, which do not help the reader of the error.
        self._error = error and named(error.with_traceback(None), _OP, self._path)
        for batch in self._flight.drain():
            if error is not None and not batch.ticket.done():
                batch.ticket.set_exception(error)
                # Retrieved at once, so that an unawaited ticket causes no warning.
                batch.ticket.exception()
        self._closing = True
        self._admit()
        for call in self._over:
            call(self._error)

    async def _serve(self) -> None:
        """Make one exchange after the other, until everything is appended or there is no hope."""
        tries, unsure = self._transport.tries(), False
        while not (self._closing and self._accepted and not self._flight):
            attempt = _Attempt(retries=tries.made - 1)
            error: S2Error | None = None
            try:
                await self._attempt(attempt)
            except KitError as failure:
                error = self._as_error(failure)
            if attempt.acks:
                tries.made, unsure = 1, False
            if self._closing and not self._flight and (error is None or (self._accepted and retryable(error))):
                return  # errors while closing an unneeded connection do not matter
            now = self._loop.time()
            expected = error is None or (isinstance(error, S2ServerError) and error.code == _DRAINING)
            if expected and now - self._freed > _FREE_EVERY:
                # The service asked for another connection; this is not a failure.
                self._freed = now
                continue
            if error is None:
                again = Lost("the service keeps asking for a new connection", maybe_received=False)
                error = self._as_error(again)
            unsent = not self._flight.started or not attempt.wrote
            pause = self._transport.pause(tries, error, attempt.pause, appends=not unsent)
            if pause is None:
                error.tried_before = unsure
                raise error
            unsure = unsure or not (unsent or no_side_effects(error))
            await self._transport.clock.wait(pause)

    async def _attempt(self, attempt: _Attempt) -> None:
        """Make one exchange, to its end."""
        from .http2_exchange import Target, connect  # not at the top: reading needs no HTTP/2

        started, clock = calls.now(), time.perf_counter()
        status, outcome = 0, "interrupted"
        exchange: Http2Exchange | None = None
        self._retiring, self._ended = False, None
        connection = self._transport.timeout.connection.total_seconds()
        target = Target(self._origin, self._path, self._request_headers(), connection, self._transport.verify)
        try:
            exchange = await connect(target, self._next, self._retire)
            await exchange.begin(target)
            head = await exchange.head(self._timeout)
            status = head.status
            if status != 200:
                attempt.pause = asked_pause(head.headers)
                raise error_of(status, await self._rest(exchange))
            self._accepted = True
            self._flight.restart(self._loop.time())
            self._exchange = exchange
            exchange.pump()
            self._watch()
            await self._receive(exchange, attempt)
            outcome = ""
        except KitError as error:
            outcome = type(error).__name__
            raise
        finally:
            self._exchange = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            bytes_in = bytes_out = 0
            if exchange is not None:
                await exchange.close()
                attempt.wrote = exchange.wrote_data
                bytes_in, bytes_out = exchange.bytes_in, exchange.bytes_out
            calls.record(
                "s2",
                _OP,
                started,
                time.perf_counter() - clock,
                bytes_in=bytes_in,
                bytes_out=bytes_out,
                status=status,
                retries=attempt.retries,
                error=outcome,
            )

    async def _receive(self, exchange: Http2Exchange, attempt: _Attempt) -> None:
        reader = FrameReader()
        while piece := await exchange.read():
            for frame in reader.feed(piece):
                if frame.terminal:
                    raise frame.error()
                ack = ack_of(frame.payload)
                self._flight.acked(ack).ticket.set_result(ack)
                attempt.acks += 1
                self._admit()
                if frame.reconnect and self._loop.time() - self._freed > _FREE_EVERY:
                    self._retire()
        reader.finish()
        left = self._flight.started if self._retiring else len(self._flight)
        if left:
            raise S2ClientError(f"the service ended the session with {left} batches not acknowledged")
        if not (self._closing or self._retiring):
            raise S2ClientError("the service ended the session before it was complete")

    async def _rest(self, exchange: Http2Exchange) -> bytearray:
        """Return the body of a refusal, or what there is of it."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeout):
                while len(body) < _ERROR_BODY and (piece := await exchange.read()):
                    body += piece
        except (TimeoutError, KitError):
            pass  # the status is enough
        return body

    def _next(self) -> bytes | None:
        """Return the next bytes for the exchange to send."""
        if self._exchange is None:
            return None
        now = self._loop.time()
        self._flight.wrote(now)
        frame = None if self._retiring else self._flight.next(now)
        if frame is None and (self._retiring or self._closing):
            self._ended = now
            self._watch()
            return b""
        return frame

    def _retire(self) -> None:
        """Send nothing more on this connection; once the rest is acknowledged, the next one follows."""
        self._retiring = True
        if self._exchange is not None:
            self._exchange.pump()

    def _watch(self) -> None:
        """Look at the clock when the oldest batch must have been acknowledged."""
        if self._timer is None and self._exchange is not None and (due := self._due(self._exchange)) is not None:
            self._look_at(due)

    def _look_at(self, when: float) -> None:
        self._looking = when
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        self._timer = None
        exchange = self._exchange
        if exchange is None or (due := self._due(exchange)) is None:
            return
        late = self._loop.time() - self._looking
        if due > self._loop.time():
            self._watch()
        elif late > _LATE:
            # The loop was blocked, perhaps by a long cell: answers that arrived meanwhile are still to be read.
            self._look_at(self._loop.time() + min(late, self._timeout))
        elif self._flight:
            exchange.fail(Silent(f"a batch was not acknowledged within {self._timeout:g} s"))
        else:
            exchange.fail(Silent(f"the service did not end the session within {self._timeout:g} s"))

    def _due(self, exchange: Http2Exchange) -> float | None:
        due = self._flight.deadline(exchange.moved)
        if due is None and self._ended is not None:
            return self._ended + self._timeout
        return due

    def _request_headers(self) -> dict[str, str | Secret]:
        return {
            "authorization": self._transport.credential.after("Bearer "),
            "content-type": CONTENT_TYPE,
            "accept": CONTENT_TYPE,
            "user-agent": "kit-notebook",
            **self._headers,
        }

    def _as_error(self, failure: KitError) -> S2Error:
        """Return the failure for callers."""
        if not isinstance(failure, S2Error):
            failure.args = (f"s2: POST {self._origin}{self._path}: {failure.args[0]}",)
        return named(as_client_error(failure), _OP, self._path)


@dataclass(slots=True)
class _Attempt:
    """The outcome of one exchange."""

    retries: int
    wrote: bool = False
    """Whether any batch, or a part of one, was handed to the socket."""
    acks: int = 0
    pause: float = 0.0
    """Seconds that the service asks to wait."""


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    raise S2InputError(
        "a session that appends needs a running event loop",
        hint="call this in a coroutine; the sessions of SyncS2 run on a loop of their own",
    )
