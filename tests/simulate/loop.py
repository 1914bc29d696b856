"""An event loop whose time is made up: where there is nothing to do, it goes to the next moment at which there is."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from .network import Listening, Network

_LONGEST = 3000.0
"""Seconds of made-up time after which a run is taken for one that never ends."""


class Stuck(AssertionError):
    """Nothing will ever happen any more, and somebody waits."""


class _Selector:
    """What the loop asks for events: there are none, but time goes on."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck("nothing is under way, and something is waited for")
        if timeout > 0:
            self._loop.now = max(self._loop.now, self._loop.wakes())
        return []

    def close(self) -> None:
        pass


class Loop(asyncio.BaseEventLoop):
    """asyncio's own loop over made-up time and a network in memory."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.now = 1000.0
        self._ends = self.now + _LONGEST
        self._selector = _Selector(self)
        self.network = Network(self, chance)
        self.interrupt: float | None = None
        """When who waits is interrupted."""
        self.problems: list[str] = []
        """What nobody caught."""
        self.set_exception_handler(self._unheard)

    def time(self) -> float:
        return self.now

    def wakes(self) -> float:
        """Return when the next thing happens."""
        # Exactly then: what the base class computes from it is off by what floats lose.
        return float(self._scheduled[0].when())  # type: ignore[attr-defined]

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def _unheard(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.problems.append(f"{context.get('message')}: {context.get('exception')!r}")

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        """Run it now: there is one thread."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    # --- the network ------------------------------------------------------------------------------------------------

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:  # type: ignore[override]
        return await self.network.connect(protocol_factory, port)

    async def create_server(self, protocol_factory: Any, *_: Any, sock: Listening, **__: Any) -> Any:  # type: ignore[override]
        return self.network.listen(protocol_factory, sock)

    # --- for callers that block -------------------------------------------------------------------------------------

    def until(self, met: Callable[[], bool], seconds: float | None = None) -> bool:
        """Let things happen until something is met, or so much time has gone; return whether it is met."""
        if self.is_running():
            raise AssertionError("a call that blocks was made by what runs on the loop, and would never end")
        end = None if seconds is None else self.now + max(0.0, seconds)
        timer = None if end is None else self.call_at(end, lambda: None)
        self._thread_id = threading.get_ident()
        asyncio._set_running_loop(self)
        try:
            while not met():
                if end is not None and self.now >= end:
                    return False
                if self.interrupt is not None and self.now >= self.interrupt:
                    self.interrupt = None
                    raise KeyboardInterrupt
                self._run_once()  # type: ignore[attr-defined]
                if self.now > self._ends:
                    self._ends = self.now + _LONGEST
                    raise Stuck("it never ends")
            return True
        finally:
            self._thread_id = None
            asyncio._set_running_loop(None)
            if timer is not None:
                timer.cancel()

    def settle(self, task: Any) -> Any:
        """Let things happen until a task is done; return its result."""
        self.until(task.done)
        return task.result()

    def started(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Start a coroutine function, as the background loop would for another thread."""
        given: Future[Any] = Future()
        task: asyncio.Task[Any] = self.create_task(function(*args))

        def over(done: asyncio.Task[Any]) -> None:
            if given.cancelled():
                if not done.cancelled():
                    done.exception()
            elif done.cancelled():
                given.cancel()
                given.set_running_or_notify_cancel()
            elif (error := done.exception()) is not None:
                given.set_exception(error)
            else:
                given.set_result(done.result())

        def cancelled(future: Future[Any]) -> None:
            if future.cancelled():
                task.cancel()

        task.add_done_callback(over)
        given.add_done_callback(cancelled)
        return given

    def called(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a coroutine function, as the background loop would for another thread, and wait for its end."""
        given = self.started(function, *args)
        try:
            return given.result()
        except BaseException:
            given.cancel()
            raise
