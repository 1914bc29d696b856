"""The two drivers that do an operation's steps: one that blocks, one for coroutines; each over HTTP and SynapRPC."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ..core import http
from ..core.errors import CLOSED, CLOSED_HINT, KitError
from ..core.steps import Emit, Response
from .asking import Bulk, Http, Operation, Rpc, Walk, work
from .channel import Channel
from .errors import SynapError, SynapInputError
from .line import Line
from .settings import Settings

T = TypeVar("T")
_AT_ONCE = 8
"""Requests over HTTP under way at once."""


def http_settings(settings: Settings) -> http.Settings:
    """Return the settings of the shared HTTP layer."""
    header = settings.header()
    return http.Settings(
        "synap",
        settings.url,
        headers={"accept-encoding": "identity"} | ({} if header is None else {"authorization": header}),
        timeouts=settings.timeouts,
    )


class Gate:
    """Shut as soon as the server has refused the credential: nothing more is sent of requests that belong together."""

    shut = False

    def passed(self, response: Response) -> Response:
        """Return the answer, after a look at it."""
        if response.status == 401:
            self.shut = True
        return response


class _Base:
    """What both drivers know: whether SynapRPC can be used beside HTTP."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bulk: bool | None = True if settings.native else None if settings.rpc is not None else False
        """None as long as nobody has tried."""
        self.closed = False
        self.why_not: SynapError | None = None
        self.sockets: bool | None = False if settings.native else None
        """Whether the server's WebSockets work."""

    def check_open(self) -> None:
        """Refuse what is asked of a client that was closed."""
        if self.closed:
            raise SynapInputError(CLOSED, hint=CLOSED_HINT)

    def judged(self, reason: SynapError | None) -> bool:
        self.bulk, self.why_not = reason is None, reason
        return self.bulk


class Driver(_Base):
    """Does the steps one after the other, in the caller's thread."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._http = None if settings.native else http.Driver(http_settings(settings))
        self._line = Line(settings, settings.rpc) if settings.rpc is not None else None
        self._pool: ThreadPoolExecutor | None = None
        self._pid = os.getpid()

    def run(self, operation: Operation[T]) -> T:
        """Return the operation's result."""
        try:
            next(self.walk(operation))
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        raise AssertionError("an operation that emits items is walked, not run")

    def walk(self, operation: Operation[Any] | Walk) -> Generator[Any, None, Any]:
        """Return the items that the operation emits."""
        try:
            step = next(operation)
            while True:
                if isinstance(step, Emit):
                    yield step.item
                    step = next(operation)
                    continue
                failure: KitError | None = None
                result: Any = None
                try:
                    self.check_open()
                    result = self._do(step)
                except KitError as error:
                    failure = error
                step = operation.send(result) if failure is None else operation.throw(failure)
        except StopIteration as done:
            return done.value
        finally:
            operation.close()

    def close(self) -> None:
        """Close the connections; a later call is an error."""
        self.closed = True
        if self._http is not None:
            self._http.close()
        if self._line is not None:
            self._line.close()
        pool, self._pool = self._pool, None
        if pool is not None and self._pid == os.getpid():
            pool.shutdown(wait=False)

    def _do(self, step: Any) -> Any:
        working = work(self.settings, step)
        try:
            want = next(working)
            while True:
                want = working.send(self._want(want))
        except StopIteration as done:
            return done.value

    def _want(self, want: Any) -> Any:
        if isinstance(want, Rpc):
            assert self._line is not None, "no SynapRPC"
            return self._line.calls(want.calls, want.safe)
        if isinstance(want, Http):
            if len(want.operations) == 1:
                return [self._get(want.operations[0], Gate())]
            if self._pool is None or self._pid != os.getpid():
                # The threads of a forked process's parent are not there.
                self._pool, self._pid = ThreadPoolExecutor(_AT_ONCE, "kit-synap"), os.getpid()
            gate = Gate()
            return list(self._pool.map(lambda one: self._get(one, gate), want.operations))
        assert isinstance(want, Bulk)
        if self.bulk is None:
            assert self._line is not None
            self.judged(self._line.try_it())
        return self.bulk

    def _get(self, operation: Any, gate: Gate) -> Any:
        assert self._http is not None
        if gate.shut:
            return None
        try:
            return gate.passed(self._http.run(operation))
        except KitError as error:
            return error


class AsyncDriver(_Base):
    """Does the steps on the running event loop."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._http = None if settings.native else http.AsyncDriver(http_settings(settings))
        self._channel = Channel(settings, settings.rpc) if settings.rpc is not None else None

    async def run(self, operation: Operation[T]) -> T:
        """Return the operation's result."""
        returned: list[Any] = []
        async for _ in self._drive(operation, returned):
            raise AssertionError("an operation that emits items is walked, not run")
        return returned[0]  # type: ignore[no-any-return]

    def walk(self, operation: Operation[Any] | Walk) -> AsyncIterator[Any]:
        """Return the items that the operation emits."""
        return self._drive(operation, [])

    async def _drive(self, operation: Operation[Any] | Walk, returned: list[Any]) -> AsyncIterator[Any]:
        try:
            step = next(operation)
            while True:
                if isinstance(step, Emit):
                    yield step.item
                    step = next(operation)
                    continue
                failure: KitError | None = None
                result: Any = None
                try:
                    self.check_open()
                    result = await self._do(step)
                except KitError as error:
                    failure = error
                step = operation.send(result) if failure is None else operation.throw(failure)
        except StopIteration as done:
            returned.append(done.value)
        finally:
            operation.close()

    async def close(self) -> None:
        """Close the connections; a later call is an error."""
        self.closed = True
        if self._http is not None:
            await self._http.close()
        if self._channel is not None:
            await self._channel.close()

    async def _do(self, step: Any) -> Any:
        working = work(self.settings, step)
        try:
            want = next(working)
            while True:
                want = working.send(await self._want(want))
        except StopIteration as done:
            return done.value

    async def _want(self, want: Any) -> Any:
        if isinstance(want, Rpc):
            assert self._channel is not None, "no SynapRPC"
            return await self._channel.calls(want.calls, want.safe)
        if isinstance(want, Http):
            if len(want.operations) == 1:
                return [await self._get(want.operations[0], Gate())]
            return await self._gather(want.operations)
        assert isinstance(want, Bulk)
        if self.bulk is None:
            assert self._channel is not None
            self.judged(await self._channel.try_it())
        return self.bulk

    async def _gather(self, operations: Sequence[Any]) -> list[Any]:
        found: list[Any] = [None] * len(operations)
        rest, gate = iter(enumerate(operations)), Gate()

        async def worker() -> None:
            for n, operation in rest:
                found[n] = await self._get(operation, gate)

        await asyncio.gather(*(worker() for _ in range(min(_AT_ONCE, len(operations)))))
        return found

    async def _get(self, operation: Any, gate: Gate) -> Any:
        assert self._http is not None
        if gate.shut:
            return None
        try:
            return gate.passed(await self._http.run(operation))
        except KitError as error:
            return error
