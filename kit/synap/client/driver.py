"""The drivers of operations over HTTP and SynapRPC, blocking and async."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...core.clock import Clock
from ...core.errors import CLOSED, CLOSED_HINT, KitError
from ...core.http import exchange as http
from ...core.http.drivers import BlockingDriver, LoopDriver, OpenHandles
from ...core.http.operations import Response
from ..errors import SynapInputError
from .async_connection import AsyncConnection
from .connection_base import Exchange, answered
from .operations import Bulk, Http, Rpc, work
from .settings import Settings
from .sync_connection import SyncConnection

_AT_ONCE = 8
"""HTTP requests under way at once."""


def http_settings(settings: Settings) -> http.Settings:
    """Return the settings of the shared HTTP layer."""
    header = settings.header()
    return http.Settings(
        "synap",
        settings.url,
        headers={"accept-encoding": "identity"} | ({} if header is None else {"authorization": header}),
        timeouts=settings.timeouts,
        clock=settings.clock,
    )


class Gate:
    """Stops the rest of a group of requests as soon as the server has refused the credential."""

    shut = False

    def passed(self, response: Response) -> Response:
        """Return the answer, after a look at it."""
        if response.status == 401:
            self.shut = True
        return response


class _Base:
    """What both drivers share: whether SynapRPC can be used beside HTTP."""

    closed: bool
    clock: Clock

    def __init__(self, settings: Settings) -> None:
        self.settings, self.clock = settings, settings.clock
        self.bulk: bool | None = True if settings.native else None if settings.rpc is not None else False
        """None until it was tried."""
        self.sockets: bool | None = False if settings.native else None
        """Whether the server's WebSockets work."""

    def check_open(self) -> None:
        """Raise if the client is closed."""
        if self.closed:
            raise SynapInputError(CLOSED, hint=CLOSED_HINT)


class Driver(_Base, BlockingDriver):
    """Carries out the steps one after the other, in the caller's thread."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._http = None if settings.native else http.Driver(http_settings(settings))
        self._connection = SyncConnection(settings, settings.rpc) if settings.rpc is not None else None
        self._pool: ThreadPoolExecutor | None = None
        self._pid = os.getpid()

    def close(self) -> None:
        """Close the connections; a later call is an error."""
        self.closed = True
        if self._http is not None:
            self._http.close()
        if self._connection is not None:
            self._connection.close()
        pool, self._pool = self._pool, None
        if pool is not None and self._pid == os.getpid():
            pool.shutdown(wait=False)

    def do(self, step: Any, open_handles: OpenHandles) -> Any:
        if self.closed:
            self.check_open()
        if isinstance(step, Exchange):
            assert self._connection is not None
            return self._connection.do(step, open_handles)
        if isinstance(step, Rpc):
            assert self._connection is not None, "no SynapRPC"
            return answered(step.calls, step.safe)
        if isinstance(step, Http):
            if len(step.operations) == 1:
                return [self._get(step.operations[0], Gate())]
            if self._pool is None or self._pid != os.getpid():
                # A forked process does not have its parent's threads.
                self._pool, self._pid = ThreadPoolExecutor(_AT_ONCE, "kit-synap"), os.getpid()
            gate = Gate()
            return list(self._pool.map(lambda one: self._get(one, gate), step.operations))
        if not isinstance(step, Bulk):
            return work(self.settings, step)
        if self.bulk is None:
            assert self._connection is not None
            self.bulk = self._connection.try_it() is None
        return self.bulk

    def _get(self, operation: Any, gate: Gate) -> Any:
        assert self._http is not None
        if gate.shut:
            return None
        try:
            return gate.passed(self._http.run(operation))
        except KitError as error:
            return error


class AsyncDriver(_Base, LoopDriver):
    """Carries out the steps on the running event loop."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._http = None if settings.native else http.AsyncDriver(http_settings(settings))
        self._connection = AsyncConnection(settings, settings.rpc) if settings.rpc is not None else None

    async def close(self) -> None:
        """Close the connections; a later call is an error."""
        self.closed = True
        if self._http is not None:
            await self._http.close()
        if self._connection is not None:
            await self._connection.close()

    async def do(self, step: Any, open_handles: OpenHandles) -> Any:
        if self.closed:
            self.check_open()
        if isinstance(step, Exchange):
            assert self._connection is not None
            return await self._connection.do(step, open_handles)
        if isinstance(step, Rpc):
            assert self._connection is not None, "no SynapRPC"
            return answered(step.calls, step.safe)
        if isinstance(step, Http):
            if len(step.operations) == 1:
                return [await self._get(step.operations[0], Gate())]
            return await self._gather(step.operations)
        if not isinstance(step, Bulk):
            return work(self.settings, step)
        if self.bulk is None:
            assert self._connection is not None
            self.bulk = await self._connection.try_it() is None
        return self.bulk

    async def _gather(self, operations: Sequence[Any]) -> list[Any]:
        answers: list[Any] = [None] * len(operations)
        rest, gate = iter(enumerate(operations)), Gate()

        async def worker() -> None:
            for n, operation in rest:
                answers[n] = await self._get(operation, gate)

        await asyncio.gather(*(worker() for _ in range(min(_AT_ONCE, len(operations)))))
        return answers

    async def _get(self, operation: Any, gate: Gate) -> Any:
        assert self._http is not None
        if gate.shut:
            return None
        try:
            return gate.passed(await self._http.run(operation))
        except KitError as error:
            return error
