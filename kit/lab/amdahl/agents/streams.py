"""Answers sent in several pieces, and noticing that the client is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..answers import Refusal
from ..sql.flow import Flow
from .records import TERMINAL
from .sessions import Sessions

T = TypeVar("T")
_BATCH = 500


class Gone(Exception):
    """The client closed the connection; there is no answer to send."""


async def _gone(receive: Callable[[], Any]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what comes of the work, which is cancelled when the client goes away. The body must have been read."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_gone(request.receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Gone
        return task.result()
    finally:
        watch.cancel()
        task.cancel()


class Pieces(Response):
    """JSON in pieces that are never joined, as they may be hundreds of megabytes."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        super().__init__(media_type="application/json")
        self.headers["content-length"] = str(sum(map(len, pieces)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Growing(Response):
    """A large result while it is produced. Its head has stated success, so a late failure can only cut it short."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        super().__init__(media_type="application/json")
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async with aclosing(self._flow.body()) as pieces:
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        except Refusal:
            return  # the missing last chunk tells the client that the answer is incomplete
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class EventStream(Response):
    """A session's events as server-sent events: past ones, then each as it happens, until the last one."""

    def __init__(self, sessions: Sessions, session_id: str, after: int, ping: float) -> None:
        super().__init__(media_type="text/event-stream")
        self.headers["cache-control"] = "no-cache"
        self.headers["x-accel-buffering"] = "no"
        del self.headers["content-length"]
        self._sessions = sessions
        self._id = session_id
        self._last = after
        self._ping = ping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        watch = asyncio.ensure_future(_gone(receive))
        try:
            await self._send(send, b"retry: 1000\n\n")
            while not watch.done() and scope["method"] != "HEAD":
                # Both before reading, so that nothing written in between is missed.
                bell = self._sessions.bell(self._id)
                ended = self._sessions.ended(self._id)
                events = self._sessions.events(self._id, self._last, _BATCH)
                if events:
                    await self._send(send, b"".join(frame for _, _, frame in events))
                    self._last, kind, _ = events[-1]
                    if kind in TERMINAL:
                        break
                    continue
                if ended:
                    break
                rung = asyncio.ensure_future(bell.wait())
                await asyncio.wait({rung, watch}, timeout=self._ping, return_when=asyncio.FIRST_COMPLETED)
                if not rung.done():
                    rung.cancel()
                    await self._send(send, b": ping\n\n")
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            watch.cancel()

    @staticmethod
    async def _send(send: Send, data: bytes) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": True})
