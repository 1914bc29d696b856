"""The one pair of drivers: they do the steps of operations, one in the caller's thread, one on the running loop.

A transport derives from one of the two and says in `do` what its own steps mean: a request or a frame sent, an answer
received. A step may stand for several smaller ones; then `do` returns an operation of those, whose result is that of
the step. Waiting and emitting mean the same everywhere, and are done here.

What a transport raises as an error of ours goes into the operation, at the step that failed. Tracebacks that leave here
hold none of the transport's frames: their variables contain the request's headers.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Generator
from types import GeneratorType
from typing import Any, TypeVar

from .errors import KitError
from .operations import Emit, Pause
from .processes import check_process

T = TypeVar("T")
Held = list[Any]
"""What an operation holds open, to be given back when it ends, however it ends."""


class BlockingDriver:
    """Does the steps of an operation one after the other, in the caller's thread."""

    closed = False

    def do(self, step: Any, held: Held) -> Any:
        """Return what comes of one step."""
        raise NotImplementedError

    def release(self, held: Any) -> None:
        """Give back what an operation has left open."""

    def run(self, operation: Generator[Any, Any, T]) -> T:
        """Return the operation's result."""
        try:
            next(self.walk(operation))
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        raise AssertionError("an operation that emits items is walked, not run")

    def walk(self, operation: Generator[Any, Any, Any]) -> Generator[Any, None, Any]:
        """Return the items that the operation emits; closing the iterator gives back what it held."""
        outer: list[Generator[Any, Any, Any]] = []
        held: Held = []
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
                failure = result = None  # an answer is not to be held while the next one is received
                if isinstance(step, Emit):
                    yield step.item
                    check_process(pid, "an answer that is being read")
                elif isinstance(step, Pause):
                    time.sleep(step.seconds)
                else:
                    try:
                        result = self.do(step, held)
                    except KitError as error:
                        failure = error  # goes in outside of the handler, or it would be chained to what comes of it
                    if isinstance(result, GeneratorType):
                        outer.append(operation)
                        operation, result = result, None
        except KeyboardInterrupt as interrupt:
            raise interrupt.with_traceback(None)  # noqa: B904
        finally:
            for one in (operation, *reversed(outer)):
                one.close()
            for one in held:
                self.release(one)


class LoopDriver:
    """Does the steps of an operation on the running event loop."""

    closed = False

    async def do(self, step: Any, held: Held) -> Any:
        """Return what comes of one step."""
        raise NotImplementedError

    async def release(self, held: Any) -> None:
        """Give back what an operation has left open."""

    async def run(self, operation: Generator[Any, Any, T]) -> T:
        """Return the operation's result."""
        returned: list[T] = []
        async for _ in self._walk(operation, returned):
            raise AssertionError("an operation that emits items is walked, not run")
        return returned[0]

    def walk(self, operation: Generator[Any, Any, Any]) -> AsyncGenerator[Any, None]:
        """Return the items that the operation emits; closing the iterator gives back what it held."""
        return self._walk(operation, [])

    async def _walk(self, operation: Generator[Any, Any, Any], returned: list[Any]) -> AsyncGenerator[Any, None]:
        import asyncio  # with TLS behind it, an eighth of what a first call takes: those that block do without

        outer: list[Generator[Any, Any, Any]] = []
        held: Held = []
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
                failure = result = None  # an answer is not to be held while the next one is received
                if isinstance(step, Emit):
                    yield step.item
                elif isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                else:
                    try:
                        result = await self.do(step, held)
                    except KitError as error:
                        failure = error  # goes in outside of the handler, or it would be chained to what comes of it
                    if isinstance(result, GeneratorType):
                        outer.append(operation)
                        operation, result = result, None
        except (KeyboardInterrupt, asyncio.CancelledError) as interrupt:
            raise interrupt.with_traceback(None)  # noqa: B904
        finally:
            for one in (operation, *reversed(outer)):
                one.close()
            for one in held:
                await self.release(one)
