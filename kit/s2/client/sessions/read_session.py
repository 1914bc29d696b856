"""Read sessions, as callers use them: an async iterator with a task behind it, and its blocking counterpart."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any, Self

from ....core.dropped import close_when_dropped
from ....core.http.operations import Walk
from ....core.processes import OfOneProcess
from ...errors import S2ClientError
from ...positions import StreamPosition
from ...types import ReadBatch
from .reading import Plan


class _Reader:
    """The work of a session. Its task refers to this object, not to the caller's session."""

    def __init__(self, driver: Any, walk: Walk[ReadBatch], plan: Plan) -> None:
        self._driver = driver
        self._walk = walk
        self._plan = plan
        self._task: asyncio.Task[None] | None = None
        self._ready: asyncio.Queue[ReadBatch | None] = asyncio.Queue(1)
        self._moved = asyncio.Event()
        plan.on_moved = self._moved.set
        self._error: BaseException | None = None
        self._over = False

    @property
    def caught_up(self) -> StreamPosition | None:
        """The tail, where everything before it has been handed out."""
        return self._plan.caught_up if self._ready.empty() else None

    @property
    def over(self) -> bool:
        """Whether no more batches are read."""
        return self._over

    async def wait_caught_up(self) -> StreamPosition:
        self.start()
        while True:
            if (tail := self.caught_up) is not None:
                return tail
            if self._over:
                raise self._error or S2ClientError("the session ended before it reached the tail")
            self._moved.clear()
            await self._moved.wait()

    async def close(self) -> None:
        self._over = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        else:
            self._walk.close()
        self._wake()

    async def next(self) -> ReadBatch:
        self.start()
        if self._over and self._ready.empty():
            return self._end()
        batch = await self._ready.get()
        self._moved.set()
        return self._end() if batch is None else batch

    def start(self) -> None:
        if self._task is None and not self._over:
            self._task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        batches = self._driver.walk(self._walk)
        try:
            async for batch in batches:
                await self._ready.put(batch)
                self._moved.set()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._error = error
        finally:
            self._over = True
            await batches.aclose()
            self._moved.set()
        await self._ready.put(None)

    def _end(self) -> ReadBatch:
        error, self._error = self._error, None
        self._wake()
        if error is not None:
            raise error
        raise StopAsyncIteration

    def _wake(self) -> None:
        """Let every other waiter see that it is over."""
        if self._ready.empty():
            self._ready.put_nowait(None)
        self._moved.set()


class ReadSession(OfOneProcess):
    """Batches of records as they arrive: `async for batch in session`.

    Made by `stream.read_session(...)`, not by hand. It ends with the loop over it, with an `async with` block, with
    `await close()`, and when nothing refers to it any more. It reads one batch ahead, and waits until that is taken.
    """

    def __init__(self, driver: Any, walk: Walk[ReadBatch], plan: Plan) -> None:
        self._reader = _Reader(driver, walk, plan)
        self._watched: weakref.finalize[Any, Any] | None = None

    def is_caught_up(self) -> bool:
        """Return whether everything up to the last known tail has been handed out."""
        return self._reader.caught_up is not None

    def caught_up(self) -> Awaitable[StreamPosition]:
        """Return the tail, once everything before it has been handed out."""
        return self._begun().wait_caught_up()

    async def close(self) -> None:
        """End the session and close its connection. May be called twice, and while another task waits for a batch."""
        if self._watched is not None:
            self._watched.detach()
        await self._reader.close()

    def __aiter__(self) -> AsyncIterator[ReadBatch]:
        return self

    async def __anext__(self) -> ReadBatch:
        return await self._begun().next()

    async def __aenter__(self) -> Self:
        self._begun().start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self._reader.over else "caught up" if self.is_caught_up() else "reading"
        return f"<ReadSession, {state}>"

    def _begun(self) -> _Reader:
        if self._watched is None:
            self._watched = close_when_dropped(self, self._reader.close)
        return self._reader


class SyncReadSession(OfOneProcess):
    """Batches of records as they arrive: `for batch in session`. Made by `stream.read_session(...)`, not by hand."""

    def __init__(self, driver: Any, walk: Walk[ReadBatch], plan: Plan) -> None:
        self._batches: Iterator[ReadBatch] = driver.walk(walk)
        self._plan = plan

    def is_caught_up(self) -> bool:
        """Return whether everything up to the last known tail has been handed out."""
        return self._plan.caught_up is not None

    def close(self) -> None:
        """End the session and close its connection."""
        self._batches.close()  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[ReadBatch]:
        return self

    def __next__(self) -> ReadBatch:
        return next(self._batches)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
