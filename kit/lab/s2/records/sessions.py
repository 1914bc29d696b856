"""Read sessions: stored records, then new ones, with heartbeats in between."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Protocol

from ....s2.errors import S2ServerError
from ....s2.limits import MAX_U64
from ....s2.positions import StreamPosition
from ....s2.wire.fields import dumps
from ....s2.wire.frames import CONTENT_TYPE, encode_frame, encode_terminal
from ....s2.wire.json_messages import batch_json, error_json, position_json
from ....s2.wire.messages import encode_record, encode_tail, read_batch_of
from ..data_plane import DataPlane
from ..http.answers import accepted, refusal
from ..http.exchange import Exchange
from ..tuning import now
from .cursor import Batch, Cursor
from .stream import Stream

_HEADERS = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
_GATHERED = 256 * 1024
"""Bytes that are sent together."""


class Form(Protocol):
    """The encoding of a session."""

    content_type: str

    def batch(self, batch: Batch, tail: StreamPosition | None) -> bytes: ...
    def heartbeat(self, tail: StreamPosition) -> bytes: ...
    def failure(self, error: S2ServerError) -> bytes: ...
    def end(self) -> bytes: ...


class Frames:
    """A session as frames of protobuf."""

    content_type = CONTENT_TYPE

    def __init__(self, accept_encoding: str) -> None:
        self._packing = accepted(accept_encoding)

    def batch(self, batch: Batch, tail: StreamPosition | None) -> bytes:
        data = batch.data if tail is None else batch.data + encode_tail(tail)
        return encode_frame(data, self._packing)

    def heartbeat(self, tail: StreamPosition) -> bytes:
        return encode_frame(encode_tail(tail))

    def failure(self, error: S2ServerError) -> bytes:
        return encode_terminal(error.status_code, error_json(error))

    def end(self) -> bytes:
        return b""


class Events:
    """A session as server-sent events of JSON."""

    content_type = "text/event-stream"

    def __init__(self, as_base64: bool, count: int, size: int) -> None:
        self._as_base64 = as_base64
        self._count, self._size = count, size
        """Told so far, also by the connections before this one."""

    def batch(self, batch: Batch, tail: StreamPosition | None) -> bytes:
        self._count += batch.count
        self._size += batch.size
        message = read_batch_of(batch.data)
        message.tail = tail
        data = dumps(batch_json(message, as_base64=self._as_base64))
        return b"event: batch\nid: %d,%d,%d\ndata: %b\n\n" % (batch.last, self._count, self._size, data)

    def heartbeat(self, tail: StreamPosition) -> bytes:
        return b"event: ping\ndata: %b\n\n" % dumps({"timestamp": now(), "tail": position_json(tail)})

    def failure(self, error: S2ServerError) -> bytes:
        return b"event: error\ndata: %b\n\n" % error_json(error)

    def end(self) -> bytes:
        return b"data: [DONE]\n\n"


class Session:
    """One read session."""

    def __init__(
        self,
        data_plane: DataPlane,
        exchange: Exchange,
        stream: Stream,
        cursor: Cursor,
        form: Form,
        wait: int | None,
        endless: bool,
    ) -> None:
        self._data_plane = data_plane
        self._exchange = exchange
        self._stream = stream
        self._cursor = cursor
        self._form = form
        self._wait = wait
        self._endless = endless
        """Whether nothing but `wait` ends it."""
        self._news = asyncio.Event()

    async def run(self) -> None:
        await self._exchange.start(200, {"content-type": self._form.content_type, **_HEADERS})
        self._stream.watchers[self._news] = None
        try:
            await self._follow()
            last = self._form.end()
        except S2ServerError as error:
            last = self._form.failure(error)
        finally:
            self._stream.watchers.pop(self._news, None)
        if last:
            await self._exchange.send(last)
        await self._exchange.end()

    async def _follow(self) -> None:
        """Send batches until a limit, the tail or the end of patience."""
        following = False
        ends_at_tail = (self._wait is None and not self._endless) or self._wait == 0
        deadline: float | None = None
        while True:
            if await self._catch_up():
                deadline = None
            if self._cursor.done:
                return
            if self._cursor.at < self._stream.tail.seq_num and not ends_at_tail:
                # More came while the last was being sent. A heartbeat now would tell the client to go on behind it.
                continue
            if self._stream.deleted:
                await self._farewell()
            if ends_at_tail:
                return
            if deadline is None and self._wait is not None:
                deadline = time.monotonic() + self._wait
            if not following:
                following = True
                await self._exchange.send(self._form.heartbeat(self._stream.tail))
            if not await self._news_within(deadline):
                return

    async def _catch_up(self) -> bool:
        """Send what there is up to the tail; whether that was anything."""
        sent = False
        gathered: list[bytes] = []
        size = 0
        while True:
            try:
                batch = self._cursor.next(whole=False)
            except S2ServerError:
                if gathered:
                    await self._exchange.send(b"".join(gathered))
                raise
            if batch is None:
                break
            sent = True
            tail = self._stream.tail
            frame = self._form.batch(batch, tail if self._cursor.at >= tail.seq_num else None)
            self._data_plane.usage.count("read", self._stream.basin, self._stream.name)
            self._data_plane.usage.count("read-bytes", self._stream.basin, self._stream.name, batch.size)
            gathered.append(frame)
            size += len(frame)
            if size >= _GATHERED:
                await self._exchange.send(b"".join(gathered))
                gathered, size = [], 0
        if gathered:
            await self._exchange.send(b"".join(gathered))
        return sent

    async def _news_within(self, deadline: float | None) -> bool:
        """Wait for records, with signs of life; false where patience ends first."""
        tuning = self._data_plane.tuning
        while not self._news.is_set():
            pause = random.uniform(tuning.heartbeat_least, tuning.heartbeat_most)
            left = None if deadline is None else deadline - time.monotonic()
            try:
                async with asyncio.timeout(pause if left is None else max(0, min(pause, left))):
                    await self._news.wait()
            except TimeoutError:
                if self._news.is_set():
                    break
                if left is not None and left <= pause:
                    return False
                await self._exchange.send(self._form.heartbeat(self._stream.tail))
        self._news.clear()
        return True

    async def _farewell(self) -> None:
        """Tell followers of a stream that it is being deleted, as the service does: by a trim of everything."""
        at = self._stream.tail.seq_num
        record = encode_record(at, MAX_U64, [(b"", b"trim")], b"\xff" * 8)
        trim = Batch(record, 1, 18, at)
        await self._exchange.send(self._form.batch(trim, StreamPosition(at + 1, MAX_U64)))
        raise refusal("unavailable", f"stream `{self._stream.name}` is being deleted")
