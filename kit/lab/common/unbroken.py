"""Changes that go on to their end, also where who asked for them has left."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Unbroken:
    """Carries changes out to their end."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Future[Any]] = set()

    async def run(self, change: Coroutine[Any, Any, T]) -> T:
        """Return what comes of a change. Where the caller is cancelled, the change is not."""
        task = asyncio.ensure_future(change)
        self._under_way.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: asyncio.Future[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # told to the caller, if it is still there

    async def close(self) -> None:
        """Wait for changes that are under way."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
