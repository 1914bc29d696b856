"""Subscriptions: events as they are appended, each once and in order, also when connections break.

A subscription has a connection of its own on the background loop. The server may send as many events as it has been
granted credits; more are granted as events are taken, so the number that wait here is bounded. After a lost connection
it subscribes again from the event after the last one that arrived.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import os
from collections.abc import Callable, Generator
from typing import Any, Self

from ...core import loop
from ...core.dropped import close_when_dropped
from ...core.http import retry
from ...core.processes import OfOneProcess
from ..errors import (
    BusyError,
    KimberliteError,
    KimberliteInputError,
    NetworkError,
    SubscriptionError,
    TimeoutError,
)
from ..types import Event, Position, StreamId, TenantId
from ..wire.extensions import BATCH_GROUP
from ..wire.protocol.codec import requests
from ..wire.protocol.enums import CloseReason
from ..wire.protocol.messages import SubscriptionClosed, SubscriptionEvents
from .address import Settings
from .appending import length
from .async_connection import AsyncConnection, across
from .operations import Operation, Post, Tries, asked, responses
from .stream_registry import StreamRegistry

CREDITS = 256
_NUDGE = 0.1
"""Seconds of silence before something is sent to the real server: it pushes new events only then."""
_HEARTBEAT = 20.0
"""The same for a server that pushes by itself; it closes connections that are silent for 300 seconds."""
_PROGRESS = 0.05


class Flow:
    """A subscription's side on the background loop."""

    def __init__(
        self,
        settings: Settings,
        registry: StreamRegistry,
        find: Callable[[], Operation[int]],
        start: int | None,
        credits: int,
        group: str | None,
    ) -> None:
        _check_credits(credits)
        self.registry, self._find, self._group, self._window = registry, find, group, credits
        self.connection = AsyncConnection(settings, self._pushed, self._lost)
        self._settings = settings
        self.next = start
        """The offset of the event that comes next; None while that is not known."""
        self.packed = 0
        self.balance = 0
        self.reconnects = 0
        self.closed = False
        self.error: KimberliteError | None = None
        self._id: int | None = None
        self._early: list[Any] = []
        self._events: list[tuple[int, bytes]] = []
        self._waiters: set[asyncio.Future[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._broken: asyncio.Event | None = None
        self.pid = os.getpid()
        self._progress = False
        self._refilling: asyncio.Task[None] | None = None

    @property
    def first(self) -> int | None:
        """The offset of the first event that waits here, else of the one that comes next."""
        waiting = self._events[:1]
        return waiting[0][0] if waiting else self.next

    async def open(self) -> None:
        """Subscribe, and follows from then on."""
        if self._task is None and not self.closed:
            self._broken = asyncio.Event()
            try:
                await self._begin(first=True)
            except BaseException:
                # The error may be kept for long, and what it was raised from with it.
                await self.connection.drop()
                raise
            self._task = asyncio.get_running_loop().create_task(self._follow())

    async def take(self, after: int, timeout: float | None = None) -> list[tuple[int, bytes]]:
        """Return the events from `after` on, once there are some; none at the end, or when the time is over.

        They are kept until a later call names a later place: who is interrupted on the way here loses none.
        """
        if self.pid != os.getpid():
            raise KimberliteInputError("a subscription cannot be used in a forked process; make a new one")
        await self.open()
        gone = 0
        while gone < len(self._events) and self._events[gone][0] < after:
            gone += 1
        del self._events[:gone]
        self._refill()
        while not self._events:
            if self.error is not None:
                raise self.error
            if self.closed:
                return []
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                done, _ = await asyncio.wait([waiter], timeout=timeout)
            finally:
                self._waiters.discard(waiter)
            if not done and not self._events:
                return []
        return list(self._events)

    async def grant(self, credits: int) -> int:
        """Grant more events than the window; the balance then."""
        _check_credits(credits)
        await self.open()
        balance = await self._credit(credits)
        self._window += credits
        return balance

    async def close(self) -> None:
        """Unsubscribe and closes; may be called twice."""
        if self.closed:
            return
        self.closed = True
        self._wake()
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
            if self._id is not None and self.connection.connected:
                post = Post("unsubscribe", requests.Unsubscribe(self._id), self.packed >> 32)
                operation = asked(self._quick(), post, responses.SubscriptionAck)
                with contextlib.suppress(KimberliteError, asyncio.TimeoutError):
                    async with asyncio.timeout(1):
                        await self.connection.run(operation)
        finally:  # also where it is interrupted: there is no second time
            await self.connection.close()

    def _quick(self) -> Settings:
        from dataclasses import replace

        return replace(self._settings, policy=retry.ONCE)

    async def _begin(self, first: bool = False) -> None:
        """Subscribe from the next event on."""
        connection, quick = self.connection, self._settings if first else self._quick()
        self._id, self._early = None, []
        await connection.connect()
        if not self.packed:
            self.packed = await connection.run(self._find())
        if self.next is None:
            self.next = await connection.run(length(self.registry, self.packed))
        group = self._group
        if group is None and connection.extensions.batches:
            group = BATCH_GROUP
        room = max(1, self._window - len(self._events))
        payload = requests.Subscribe(self.packed, self.next, room, group)
        generation = connection.generation
        post = Post("subscribe", payload, self.packed >> 32, resource=str(self.packed), retries=self.reconnects)
        answer = await connection.run(asked(quick, post, responses.Subscribe))
        if connection.generation != generation:
            raise connection.lost("it was replaced while a subscription was being made", post)
        self.balance = answer.credits
        self._id = answer.subscription_id
        early, self._early = self._early, []
        for push in early:
            self._pushed(push)

    async def _follow(self) -> None:
        """Keep the connection awake, and makes another when it breaks."""
        assert self._broken is not None
        batching = self.connection.extensions.batches
        try:
            while not self.closed:
                try:
                    async with asyncio.timeout(_HEARTBEAT if batching else _NUDGE):
                        await self._broken.wait()
                except builtins.TimeoutError:
                    try:
                        await self._credit(0)
                        continue
                    except (NetworkError, TimeoutError, BusyError, SubscriptionError):
                        pass
                self._broken.clear()
                await self._again()
        except KimberliteError as error:
            self.error = error
            await self.connection.close()
        self._wake()

    async def _again(self) -> None:
        tries, clock = Tries(self._settings.policy), self._settings.clock
        if not self._progress:
            await clock.wait(_PROGRESS)  # a server that accepts subscriptions and drops them must not be flooded
        self._progress = False
        while True:
            self.reconnects += 1
            await self.connection.drop()
            try:
                return await self._begin()
            except (NetworkError, TimeoutError, BusyError) as error:
                # Requesting an event twice is harmless, so every such error may be retried.
                pause = tries.pause(retry.Outcome())
                if pause is None:
                    raise error
                await clock.wait(pause)

    async def _credit(self, credits: int) -> int:
        if self._id is None:
            raise self.connection.lost("it is being made again")
        post = Post("credit", requests.SubscribeCredit(self._id, credits), self.packed >> 32)
        await self.connection.run(asked(self._quick(), post, responses.SubscriptionAck))
        # The balance in the answer may be older than pushes that arrived after it.
        self.balance += credits
        return self.balance

    def _refill(self) -> None:
        """Grant what was used up, once that is half of it."""
        used = self._window - self.balance - len(self._events)
        if used * 2 < self._window or self._id is None or self.closed:
            return
        if self._refilling is None or self._refilling.done():
            self._refilling = asyncio.get_running_loop().create_task(self._more(used))

    async def _more(self, used: int) -> None:
        try:
            await self._credit(used)
        except (NetworkError, TimeoutError, BusyError, SubscriptionError):
            self._lost()  # another connection has new credits
        else:
            self._refill()

    def _pushed(self, push: Any) -> None:
        """Take what the server sent."""
        if self._id is None:
            self._early.append(push)  # it may arrive before the answer with the subscription's number
            return
        if push.subscription_id != self._id or self.closed:
            return
        if isinstance(push, SubscriptionClosed):
            self._ended(push.reason)
            return
        assert isinstance(push, SubscriptionEvents)
        assert self.next is not None
        if push.start_offset > self.next:
            self._id = None  # events are missing, so the rest of this connection is useless
            self._lost()
            return
        self.balance -= len(push.events)
        for offset, data in enumerate(push.events, push.start_offset):
            if offset >= self.next:
                self._events.append((offset, data))
                self.next = offset + 1
                self._progress = True
        self._wake()

    def _ended(self, reason: CloseReason) -> None:
        self._id = None
        if reason in (CloseReason.STREAM_DELETED, CloseReason.PROTOCOL_ERROR):
            words = reason.name.lower().replace("_", " ")
            self.error = SubscriptionError(f"the server ended the subscription: {words}", 18)
            self._wake()
        else:
            self._lost()

    def _lost(self) -> None:
        if self._broken is not None:
            self._broken.set()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


def _check_credits(credits: Any) -> None:
    if isinstance(credits, bool) or not isinstance(credits, int) or not 0 < credits < 2**32:
        raise KimberliteInputError(f"credits={credits!r}: give a number of events from 1 up")


class _Face(OfOneProcess):
    """What blocking and async subscriptions share. `timestamp` of an event is when it arrived here."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        close_when_dropped(self, flow.close, loop.running_loop())
        self._ready: list[Event] = []
        self._after = flow.next or 0

    @property
    def position(self) -> Position | None:
        """The position of the next event."""
        if self._ready:
            return self._ready[-1].position
        known = self._after or self._flow.first
        return None if known is None else Position(known)

    @property
    def credits(self) -> int:
        """How many events the server may still send."""
        return self._flow.balance

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._flow.closed or self._flow.error is not None

    @property
    def reconnects(self) -> int:
        """How often the connection was lost and made again."""
        return self._flow.reconnects

    def _keep(self, events: list[tuple[int, bytes]]) -> None:
        flow = self._flow
        stream = flow.registry.used.get(flow.packed) or StreamId.from_u64(flow.packed)
        tenant, now = TenantId(stream.tenant_id), flow.registry.settings.now()
        if events:
            self._after = events[-1][0] + 1
        # Reversed, as the next one is popped from the end.
        self._ready = [Event(Position(n), tenant, stream, now, data) for n, data in reversed(events)]

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"next is {self.position and self.position.value}"
        return f"<{type(self).__name__} to {StreamId.from_u64(self._flow.packed)}, {state}>"


class Subscription(_Face):
    """New events of a stream, one after the other: `for event in subscription`. Made by `client.subscribe()`.

    Close it, or use it in a `with` block. The protocol does not carry the time when an event was stored.
    """

    def __init__(self, flow: Flow) -> None:
        super().__init__(flow)
        loop.call(flow.open)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        event = self.next_event()
        if event is None:
            raise StopIteration
        return event

    def next_event(self, timeout: float | None = None) -> Event | None:
        """Return the next event; None at the end, or if none comes within `timeout` seconds."""
        if not self._ready:
            if self._flow.closed:
                return None
            self._keep(loop.call(self._flow.take, self._after, timeout))
        if self._flow.closed:
            self._ready.clear()
        return self._ready.pop() if self._ready else None

    def grant_credits(self, credits: int) -> int:
        """Allow the server to send `credits` more events; return the new balance."""
        return loop.call(self._flow.grant, credits)

    def close(self) -> None:
        """End it. May be called twice, and inside the loop over its events."""
        if self._flow.pid == os.getpid():
            loop.call(self._flow.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncSubscription(_Face):
    """New events of a stream: `async for event in subscription`. Made by `await client.subscribe()`, or without the
    `await`; then it begins when the first event is requested."""

    def __await__(self) -> Generator[Any, None, Self]:
        yield from across(self._flow.open).__await__()
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self.next_event()
        if event is None:
            raise StopAsyncIteration
        return event

    async def next_event(self, timeout: float | None = None) -> Event | None:
        """Return the next event; None at the end, or if none comes within `timeout` seconds."""
        if not self._ready:
            if self._flow.closed:
                return None
            self._keep(await across(self._flow.take, self._after, timeout))
        if self._flow.closed:
            self._ready.clear()
        return self._ready.pop() if self._ready else None

    async def grant_credits(self, credits: int) -> int:
        """Allow the server to send `credits` more events; return the new balance."""
        balance: int = await across(self._flow.grant, credits)
        return balance

    async def close(self) -> None:
        """End it. May be called twice, and inside the loop over its events."""
        if self._flow.pid == os.getpid():
            await across(self._flow.close)

    async def __aenter__(self) -> Self:
        return await self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
