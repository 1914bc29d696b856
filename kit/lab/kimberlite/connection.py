"""One connection: it reads frames, answers them in order, and sends pushes between answers."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

from ...kimberlite.errors import KimberliteInputError, WireError
from ...kimberlite.wire.framing import VERSION, frame_of
from ...kimberlite.wire.protocol import requests, responses
from ...kimberlite.wire.protocol.codec import FrameReader, decode, encode_response
from ...kimberlite.wire.protocol.messages import RESPONSE, Request
from ...kimberlite.wire.protocol.postcard import varint
from ..common.faults import FaultPlan, Rule, reset
from .accounts.access import Identity, Keys
from .calls import HANDSHAKE, Call, Calls, Raw
from .metrics import Metrics
from .refusal import BUSY, EXISTS, INTERNAL, INVALID, STORAGE, STREAM_NOT_FOUND, UNAUTHORIZED, Refusal
from .streams import Streams
from .subscriptions import Subscriptions
from .tuning import Tuning

BEFORE_HANDSHAKE = 64 * 1024
"""The largest frame from a client that has not authenticated."""
_INCOMING = 1024 * 1024
"""Bytes that may wait to be processed before the client has to wait."""
_OUTGOING = 1024 * 1024
_LARGE = 256 * 1024
"""Messages of at least this size are decoded in a thread, as it may take a while."""
_UNDER_WAY = 64
_UNDER_WAY_BYTES = 16 * 1024 * 1024
"""The largest number of bytes in unanswered appends of one connection; a single append may exceed it."""
_GARBAGE = b"<html><body><h1>It works!</h1></body></html>"
_STATUSES = {401: UNAUTHORIZED, 403: UNAUTHORIZED, 404: STREAM_NOT_FOUND, 409: EXISTS, 429: BUSY, 503: BUSY}


class Home(Protocol):
    """What all connections share."""

    streams: Streams
    calls: Calls
    keys: Keys
    faults: FaultPlan
    metrics: Metrics
    tuning: Tuning
    largest: int

    def admit(self, connection: Connection) -> bool: ...

    def dismiss(self, connection: Connection) -> None: ...


class Closed(ConnectionError):
    """Closes the connection without an answer."""


class Connection(asyncio.Protocol):
    """A client's connection."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._incoming = bytearray()
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._paused = False
        self._transport: Any = None
        self._task: asyncio.Task[None] | None = None
        self._identity: Identity | None = None
        self._subscriptions = Subscriptions(home.streams, self._push, self._broken)
        self._frames = FrameReader(BEFORE_HANDSHAKE)
        self._appends: deque[tuple[asyncio.Task[None], int]] = deque()

    @property
    def subscribed(self) -> bool:
        """Whether events are pushed here."""
        return len(self._subscriptions) > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.set_write_buffer_limits(high=_OUTGOING)
        if not self._home.admit(self):
            self._transport.abort()
            return
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self._incoming += data
        self._news.set()
        if len(self._incoming) > _INCOMING and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._home.dismiss(self)
        self._writable.set()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def _serve(self) -> None:
        try:
            while True:
                data = await self._more()
                for payload in self._frames.feed(data):
                    await self._handle(payload)
        except (Closed, TimeoutError):
            pass
        except WireError:
            # As in the real server: the client is not told why.
            self._home.metrics.errors["WireError"] += 1
        finally:
            for task, _ in self._appends:
                task.cancel()
            stopped = self._subscriptions.stop_all()
            await asyncio.gather(*(task for task, _ in self._appends), return_exceptions=True)
            await asyncio.gather(*(worker.end() for worker in stopped))
            self._transport.close()

    async def end(self) -> None:
        """Close the connection; what was answered has left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._transport.close()

    async def _more(self) -> bytes:
        """Return the next bytes that arrive."""
        if not self._incoming:
            self._news.clear()
            await self._heard()
        data, self._incoming = bytes(self._incoming), bytearray()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def _heard(self) -> None:
        """Wait for bytes; a client that waits for an answer is not idle."""
        while not self._news.is_set():
            try:
                async with asyncio.timeout(self._home.tuning.idle):
                    await self._news.wait()
            except TimeoutError:
                if not self._appends or self._appends[-1][0].done():
                    raise

    async def _handle(self, payload: bytes) -> None:
        if len(payload) >= _LARGE:
            message = await asyncio.get_running_loop().run_in_executor(None, decode, payload)
        else:
            message = decode(payload)
        if not isinstance(message, Request):
            raise Closed  # a client must not send pushes or responses
        name = type(message.payload).__name__
        rule = self._home.faults.take("kimberlite", name, f"{name}/{_about(message.payload)}")
        if rule is None and isinstance(message.payload, requests.AppendEvents):
            # The next request is received while this one is written, and waiting appends share one commit. They are
            # stored and answered in order, each when it is committed.
            await self._settled(_UNDER_WAY - 1, _UNDER_WAY_BYTES - len(payload))
            before = self._appends[-1][0] if self._appends else None
            task = asyncio.get_running_loop().create_task(self._answer(message, None, before))
            task.add_done_callback(self._answered)
            self._appends.append((task, len(payload)))
            return
        await self._settled()
        await self._answer(message, rule)

    async def _settled(self, most: int = 0, most_bytes: int = 0) -> None:
        """Wait until at most that many appends, of that many bytes, are under way."""
        while self._appends and (
            len(self._appends) > most
            or sum(size for _, size in self._appends) > most_bytes
            or self._appends[0][0].done()
        ):
            await self._appends[0][0]
            self._appends.popleft()

    def _answered(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._broken()

    def _broken(self) -> None:
        """Close the connection, as it owes the client something that it cannot give."""
        self._transport.close()

    async def _answer(self, message: Request, rule: Rule | None, before: asyncio.Task[None] | None = None) -> None:
        """Handle the request; answer it after all earlier ones."""
        name = type(message.payload).__name__
        metrics, started = self._home.metrics, time.monotonic()
        metrics.in_flight += 1
        status = "error"
        try:
            if rule is not None:
                await self._before(rule)
            call: Call | None = None
            try:
                if rule is not None and rule.kind.isdigit():
                    raise _refused(int(rule.kind))
                if isinstance(message.payload, requests.Handshake):
                    answer: Any = self._handshake(message.payload, message.tenant_id)
                else:
                    if self._identity is None:
                        raise Refusal(UNAUTHORIZED, "must authenticate via Handshake first")
                    call = Call(message, self._identity, self._subscriptions, self._transport.write)
                    answer = await self._home.calls.answer(call)
                status = "ok"
            except Refusal as refusal:
                answer = responses.Error(refusal.code, refusal.message)
            except sqlite3.Error as error:
                answer = responses.Error(STORAGE, f"storage failed: {error}")
            frame = self._frame(message.id, answer)
            if isinstance(answer, responses.Error):
                metrics.errors[answer.exception().code_name] += 1
            if before is not None:
                await asyncio.wait([before])
            await self._send(frame, rule)
            if call is not None and call.after is not None:
                call.after()
        finally:
            metrics.in_flight -= 1
            metrics.requests[name, status] += 1
            metrics.took(name, time.monotonic() - started)

    def _handshake(self, request: requests.Handshake, tenant: int) -> responses.Handshake:
        auth = self._home.metrics.auth
        if request.client_version != VERSION:
            auth["api_key", "version"] += 1
            raise Refusal(INVALID, f"unsupported client version {request.client_version}; this server speaks {VERSION}")
        if request.auth_token is not None:
            self._identity = None
            identity = self._home.keys.identify(request.auth_token)
            if identity is None:
                auth["api_key", "failure"] += 1
                raise Refusal(UNAUTHORIZED, "authentication failed: the API key is not valid")
            # A key may be valid for every tenant; a client that names one is limited to it.
            self._identity = replace(identity, bound=tenant)
            auth["api_key", "success"] += 1
            self._frames.limit = self._home.largest
        capabilities = [*HANDSHAKE, *self._home.calls.extensions.names()]
        return responses.Handshake(VERSION, self._identity is not None, capabilities)

    def _frame(self, number: int, answer: Any) -> bytes:
        try:
            if isinstance(answer, Raw):
                head = b"%c%b%b" % (RESPONSE, varint(number), varint(answer.variant))
                return frame_of([head, *answer.pieces])
            return encode_response(number, answer)
        except KimberliteInputError as error:
            return encode_response(number, responses.Error(INTERNAL, f"the answer cannot be sent: {error.message}"))

    async def _send(self, frame: bytes, rule: Rule | None) -> None:
        if rule is not None and rule.kind in ("reset", "truncate", "stall", "garbage"):
            await self._spoil(frame, rule)
        self._transport.write(frame)
        await self._drained()

    async def _push(self, frames: list[bytes], stream: int) -> None:
        """Send what a subscription has; returns when there is room for more."""
        metrics = self._home.metrics
        for group in self._under_faults(frames, stream):
            if isinstance(group, tuple):
                rule, frame = group
                try:
                    await self._before(rule)
                    if rule.kind in ("reset", "truncate", "stall", "garbage"):
                        await self._spoil(frame, rule)
                    self._transport.write(frame)
                except Closed:
                    self._transport.close()
                    raise
            else:
                self._transport.write(group)
        metrics.pushed += len(frames)
        await self._drained()

    def _under_faults(self, frames: list[bytes], stream: int) -> Iterator[bytes | tuple[Rule, bytes]]:
        """Return the frames, together where no rule falls on one."""
        whole = list[bytes]()
        for frame in frames:
            rule = self._home.faults.take("kimberlite", "Push", f"Push/{stream}")
            if rule is None:
                whole.append(frame)
                continue
            if whole:
                yield b"".join(whole)
                whole = []
            yield rule, frame
        if whole:
            yield b"".join(whole)

    async def _drained(self) -> None:
        if self._transport.is_closing():
            raise Closed
        if not self._writable.is_set():
            try:
                async with asyncio.timeout(self._home.tuning.stall):
                    await self._writable.wait()
            except TimeoutError:
                self._transport.abort()
                raise Closed from None

    async def _before(self, rule: Rule) -> None:
        """Apply what a fault does before a request is looked at."""
        if rule.kind == "delay":
            await asyncio.sleep(rule.seconds)
        elif rule.kind == "drop":
            raise Closed

    async def _spoil(self, frame: bytes, rule: Rule) -> None:
        """Send a part of a frame, or something else, and end the connection as the rule says."""
        self._transport.write(_GARBAGE if rule.kind == "garbage" else frame[: int(rule.after)])
        if rule.kind == "stall":
            await asyncio.sleep(rule.seconds)
        if rule.kind == "reset":
            # Written bytes must be sent first, or the reset would drop them.
            await asyncio.sleep(0.01)
            reset(self._transport)
        raise Closed


def _about(payload: Any) -> str:
    """Return the stream or table that a request is about, for rules that name one."""
    for name in ("stream_id", "name", "table_name"):
        value = getattr(payload, name, None)
        if value is not None:
            return str(value)
    return ""


def _refused(status: int) -> Refusal:
    """Return the error that stands for an HTTP status."""
    code = _STATUSES.get(status, INVALID if status < 500 else INTERNAL)
    return Refusal(code, f"a fault was requested: status {status}")
