"""The two drivers of operations: one carries out their steps in the caller's thread, one on the running loop.

A transport derives from one of the two, and defines in `do` what its own steps mean: to send a request or a frame, to
receive an answer. A step may consist of several smaller ones; then `do` returns an operation, whose result becomes the
result of the step. Waiting and emitting mean the same everywhere, and are done here.

A `KitError` of a transport is thrown into the operation, at the step that failed. Tracebacks that leave here contain no
frames of the transport, because their variables contain the request's headers.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator
from types import GeneratorType
from typing import Any, TypeVar

from ..clock import SYSTEM, Clock
from ..errors import KitError
from ..processes import check_process
from .operations import Emit, Pause

T = TypeVar("T")
OpenHandles = list[Any]
"""What an operation has opened and not closed yet. All of it is released when the operation ends."""


class BlockingDriver:
    """Carries out the steps of an operation one after the other, in the caller's thread."""

    closed = False
    clock: Clock = SYSTEM

    def do(self, step: Any, open_handles: OpenHandles) -> Any:
        """Carry out one step, and return its result."""
        raise NotImplementedError

    def release(self, handle: Any) -> None:
        """Close what an operation has left open."""

    def run(self, operation: Generator[Any, Any, T]) -> T:
        """Run an operation to its end, and return its result."""
        try:
            next(self.walk(operation))
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        raise AssertionError("an operation that emits items is walked, not run")

    def walk(self, operation: Generator[Any, Any, Any]) -> Generator[Any, None, Any]:
        """Return an iterator over the items that an operation emits; closing it closes what the operation opened."""
        outer: list[Generator[Any, Any, Any]] = []
        open_handles: OpenHandles = []
        pid = os.getpid()
        failure: KitError | None = None
        result: Any = None
        try:
            while True:
                try:
                    step = operation.send(result) if failure is None else operation.throw(failure.with_traceback(None))
                except StopIteration as done:
                    if not outer:
                        return done.value
                    operation, result, failure = outer.pop(), done.value, None
                    continue
                except KitError as error:
                    if not outer:
                        raise
                    operation, failure = outer.pop(), error
                    continue
                failure = result = None  # free an answer before the next one is received
                if isinstance(step, Emit):
                    yield step.item
                    check_process(pid, "an answer that is being read")
                elif isinstance(step, Pause):
                    self.clock.sleep(step.seconds)
                else:
                    try:
                        result = self.do(step, open_handles)
                    except KitError as error:
                        failure = error  # thrown outside of this handler, so that later errors are not chained to it
                    if isinstance(result, GeneratorType):
                        outer.append(operation)
                        operation, result = result, None
        except KeyboardInterrupt as interrupt:
            raise interrupt.with_traceback(None)  # noqa: B904
        finally:
            for generator in (operation, *reversed(outer)):
                generator.close()
            for generator in open_handles:
                self.release(generator)


class LoopDriver:
    """Carries out the steps of an operation on the running event loop."""

    closed = False
    clock: Clock = SYSTEM

    async def do(self, step: Any, open_handles: OpenHandles) -> Any:
        """Carry out one step, and return its result."""
        raise NotImplementedError

    async def release(self, handle: Any) -> None:
        """Close what an operation has left open."""

    async def run(self, operation: Generator[Any, Any, T]) -> T:
        """Run an operation to its end, and return its result."""
        returned: list[T] = []
        async for _ in self._walk(operation, returned):
            raise AssertionError("an operation that emits items is walked, not run")
        return returned[0]

    def walk(self, operation: Generator[Any, Any, Any]) -> AsyncGenerator[Any, None]:
        """Return an iterator over the items that an operation emits; closing it closes what the operation opened."""
        return self._walk(operation, [])

    async def _walk(self, operation: Generator[Any, Any, Any], returned: list[Any]) -> AsyncGenerator[Any, None]:
        import asyncio  # with ssl, an eighth of the time of a first call, which blocking clients need not spend

        outer: list[Generator[Any, Any, Any]] = []
        open_handles: OpenHandles = []
        failure: KitError | None = None
        result: Any = None
        try:
            while True:
                try:
                    step = operation.send(result) if failure is None else operation.throw(failure.with_traceback(None))
                except StopIteration as done:
                    if not outer:
                        returned.append(done.value)
                        return
                    operation, result, failure = outer.pop(), done.value, None
                    continue
                except KitError as error:
                    if not outer:
                        raise
                    operation, failure = outer.pop(), error
                    continue
                failure = result = None  # free an answer before the next one is received
                if isinstance(step, Emit):
                    yield step.item
                elif isinstance(step, Pause):
                    await self.clock.wait(step.seconds)
                else:
                    try:
                        result = await self.do(step, open_handles)
                    except KitError as error:
                        failure = error  # thrown outside of this handler, so that later errors are not chained to it
                    if isinstance(result, GeneratorType):
                        outer.append(operation)
                        operation, result = result, None
        except (KeyboardInterrupt, asyncio.CancelledError) as interrupt:
            raise interrupt.with_traceback(None)  # noqa: B904
        finally:
            for generator in (operation, *reversed(outer)):
                generator.close()
            for generator in open_handles:
                await self.release(generator)
