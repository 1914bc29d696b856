"""Append sessions, as callers use them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from ....core.dropped import close_when_dropped
from ....core.processes import OfOneProcess
from ...errors import S2Error
from ...types import AppendInput
from .append_engine import AppendEngine, BatchSubmitTicket
from .unacked import Packed


class AppendSession(OfOneProcess):
    """Appends batch after batch, in order, without waiting in between. Made by `stream.append_session()`, not by hand.

    Use it in an `async with` block, or `await close()` it: both wait until everything is appended. It connects at
    once. After a broken connection, what was not acknowledged is sent again as the client's `Retry` says. The first
    error ends the session; open tickets, later submits and `close` raise it. A session that nothing refers to is closed
    too, with a ResourceWarning if something was not acknowledged yet.
    """

    def __init__(self, engine: AppendEngine) -> None:
        self._engine = engine
        self._dropped = close_when_dropped(self, engine.close, warning=engine.unfinished)

    async def submit(self, inp: AppendInput) -> BatchSubmitTicket:
        """Send a batch, and return a ticket for it. Wait first while too much is unacknowledged."""
        return await self._engine.submit(inp)

    async def submit_encoded(self, payload: bytes, records: int, metered: int) -> BatchSubmitTicket:
        """Send a batch that is an encoded protobuf message, with its numbers of records and bytes; return a ticket."""
        return await self._engine.submit_encoded(payload, records, metered)

    async def submit_frame(self, packed: Packed) -> BatchSubmitTicket:
        """Send a batch that was packed by `pack`, and return a ticket for it."""
        return await self._engine.submit_frame(packed)

    async def close(self) -> None:
        """End the session after everything is appended. Raise the error that ended it earlier, if there was one."""
        self._dropped.detach()
        await self._engine.close()

    async def abort(self) -> None:
        """End the session at once; unacknowledged batches fail, though they may still be appended."""
        self._dropped.detach()
        await self._engine.abort()

    def when_over(self, call: Callable[[S2Error | None], None]) -> None:
        """Call a function when the session has ended, with the error that ended it, or None."""
        self._engine.when_over(call)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            await self.close()
        except S2Error:
            # The error of the block itself is the one that its author has to see.
            if kind is None:
                raise

    def __repr__(self) -> str:
        return f"<AppendSession, {self._engine.state}>"
