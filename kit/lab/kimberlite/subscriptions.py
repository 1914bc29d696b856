"""Subscriptions of a connection: events are pushed as they are committed, up to the granted credits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ...kimberlite.types import MAX_U32, MAX_U64
from ...kimberlite.wire.blobs import Blobs
from ...kimberlite.wire.protocol.codec import encode
from ...kimberlite.wire.protocol.enums import CloseReason
from ...kimberlite.wire.protocol.messages import Push, SubscriptionClosed, SubscriptionEvents
from .streams import Stream, Streams

_SPREAD = 0x517CC1B727220A95
_SINGLE, _BATCH = 64, 2048
"""Events in one push."""
_SIZE = 1024 * 1024


class Subscription:
    """One subscription."""

    def __init__(
        self,
        id: int,
        stream: int,
        offset: int,
        credits: int,
        batch: bool,
        streams: Streams,
        send: Callable[[list[bytes], int], Awaitable[None]],
        broken: Callable[[], None],
    ) -> None:
        self.id = id
        self.stream = stream
        self.credits = credits
        self._offset = offset
        self._batch = batch
        self._streams = streams
        self._send = send
        self._broken = broken
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to push."""
        self._streams.watch(self.stream, self._news)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def grant(self, credits: int) -> int:
        """Add credits; what there are now."""
        self.credits = min(self.credits + credits, MAX_U32)
        self._news.set()
        return self.credits

    def stop(self) -> None:
        """End the subscription."""
        self._streams.unwatch(self.stream, self._news)
        if self._task is not None:
            self._task.cancel()

    async def end(self) -> None:
        """End it; nothing is pushed any more when this returns."""
        self.stop()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def closed(self, reason: CloseReason) -> bytes:
        """Return the frame that tells its end."""
        return encode(Push(SubscriptionClosed(self.id, reason)))

    async def _run(self) -> None:
        try:
            await self._pump()
        except ConnectionError:
            pass
        except Exception:
            # For example, the disk cannot be read: a subscriber that hears nothing would wait forever.
            self._broken()
            raise

    async def _pump(self) -> None:
        most = _BATCH if self._batch else _SINGLE
        known: Stream | None = None
        while True:
            self._news.clear()
            stream = self._streams.get(self.stream)
            if known is not None and stream is not known:
                # Removed; there may already be another of the same number.
                await self._send([self.closed(CloseReason.STREAM_DELETED)], self.stream)
                return
            known = stream
            if stream is not None and self.credits and self._offset < stream.length:
                events = self._streams.following(stream, self._offset, min(most, self.credits), _SIZE)
                if len(events):
                    frames = self._frames(events)
                    self._offset += len(events)
                    await self._send(frames, self.stream)
                    continue
                # Its events are removed from the disk, which is told here in a moment.
            await self._news.wait()

    def _frames(self, events: Blobs) -> list[bytes]:
        groups = [events] if self._batch else [events[n : n + 1] for n in range(len(events))]
        frames, offset = [], self._offset
        for group in groups:
            self.credits -= len(group)
            frames.append(encode(Push(SubscriptionEvents(self.id, offset, group, self.credits))))
            offset += len(group)
        return frames


class Subscriptions:
    """The subscriptions of one connection."""

    def __init__(
        self,
        streams: Streams,
        send: Callable[[list[bytes], int], Awaitable[None]],
        broken: Callable[[], None],
    ) -> None:
        self._streams = streams
        self._send = send
        self._broken = broken
        self._all: dict[int, Subscription] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._all)

    def add(self, tenant: int, stream: int, offset: int, credits: int, batch: bool) -> Subscription:
        """Return a new one, not yet started."""
        self._count += 1
        while (id := (tenant * _SPREAD + stream + self._count) & MAX_U64) in self._all:
            # Taken by another stream: a larger number with a smaller count.
            self._count += 1
        made = Subscription(id, stream, offset, credits, batch, self._streams, self._send, self._broken)
        self._all[id] = made
        return made

    def get(self, id: int) -> Subscription | None:
        return self._all.get(id)

    async def end(self, id: int) -> None:
        """End one."""
        await self._all.pop(id).end()

    def stop_all(self) -> list[Subscription]:
        """End all subscriptions at once, as a caller that waits for one end after the other may be cancelled."""
        everything = list(self._all.values())
        self._all.clear()
        for item in everything:
            item.stop()
        return everything
