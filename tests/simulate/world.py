"""What a process asks its system for, made up from a seed: time, chance, names, threads' waiting, and the background loop.

Connections, sessions and the lab ask the system for the time, so the system has another one while a run lasts. Nothing
of `kit` itself is replaced but the doors to the outside: sockets, threads, processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import secrets
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from tqdm import tqdm

from kit.core import loop as background
from kit.core.http import connections, loop_connections, retry
from kit.lab.amdahl import fields as amdahl_fields
from kit.lab.amdahl import limits as amdahl_limits
from kit.lab.claude import keys as claude_keys
from kit.lab.claude import usage_store
from kit.lab.claude.routes import tasks as claude_tasks
from kit.live.feed import rates
from kit.s2.client.sessions import batching
from kit.synap.client import sync_connection

from . import sockets
from .faults import MOMENTS, Fault
from .loop import Loop, Stuck

_DATED = (amdahl_fields, usage_store, claude_tasks)
_SLEEP = time.sleep
WALL = 1_790_000_000.0
"""The time of day at which each run begins."""


class _Moment(datetime):
    """Times of day as the world has them."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return datetime.fromtimestamp(time.time(), tz)


class World:
    """One thread's made-up surroundings, while the block lasts."""

    def __init__(self, seed: object) -> None:
        self.seed = str(seed)
        self._chance = random.Random(f"{seed}/names")
        self.loop = Loop(random.Random(f"{seed}/network"))
        self.jumped = 0.0
        self._thread = threading.get_ident()
        self._undo: list[tuple[Any, str, Any]] = []

    # --- the clock --------------------------------------------------------------------------------------------------

    def monotonic(self) -> float:
        return self.loop.now

    def wall(self) -> float:
        return WALL + self.loop.now + self.jumped

    def sleep(self, seconds: float) -> None:
        if threading.get_ident() != self._thread:
            _SLEEP(seconds)
        else:
            self.loop.until(lambda: False, seconds)

    def plan(self, faults: list[Fault]) -> None:
        """Let these go wrong, counted from now."""
        network = self.loop.network
        network.plan(faults)
        for fault in faults:
            if fault.kind in MOMENTS:
                self.loop.call_later(fault.at / 1000, self._moment, fault)

    def _moment(self, fault: Fault) -> None:
        if self.loop.network.quiet:
            return
        self.loop.network.hit(fault, "clock")
        if fault.kind == "jump":
            self.jumped += fault.seconds
        elif fault.kind == "outage":
            self.loop.network.outage(fault.seconds)
        else:
            self.loop.now += fault.seconds

    # --- what is replaced -------------------------------------------------------------------------------------------

    def _put(self, holder: Any, name: str, value: Any) -> None:
        self._undo.append((holder, name, holder.__dict__[name] if isinstance(holder, type) else getattr(holder, name)))
        setattr(holder, name, value)

    def __enter__(self) -> World:
        loop, put, chance = self.loop, self._put, self._chance
        self._random = random.getstate()
        random.seed(f"{self.seed}/chance")
        gc.disable()  # what it finds, and when, would be part of the run
        put(time, "monotonic", self.monotonic)
        put(time, "perf_counter", self.monotonic)
        put(time, "time", self.wall)
        put(time, "time_ns", lambda: round(self.wall() * 1e6) * 1000)
        put(time, "monotonic_ns", lambda: round(self.loop.now * 1e9))
        put(time, "sleep", self.sleep)
        put(threading, "_time", self.monotonic)
        put(threading.Condition, "wait", _waiting(loop))
        put(threading.Thread, "start", _no_thread)
        put(tqdm, "monitor_interval", 0)  # a thread that looks after bars
        put(uuid, "uuid4", lambda: uuid.UUID(int=chance.getrandbits(128), version=4))
        put(secrets, "token_hex", lambda size=32: chance.randbytes(size).hex())
        put(secrets, "token_bytes", lambda size=32: chance.randbytes(size))
        put(os, "urandom", chance.randbytes)
        # The defaults of arguments were read when the modules were.
        put(batching.Accumulator.__init__, "__kwdefaults__", {"clock": self.monotonic})
        put(rates.Rates.__init__, "__defaults__", (self.monotonic, self.wall))
        put(retry.retry_after, "__kwdefaults__", {"now": self.wall})
        put(amdahl_limits.RateLimit.__init__, "__defaults__", (self.monotonic,))
        put(claude_keys.RateLimit.__init__, "__defaults__", (self.wall,))
        for module in _DATED:
            put(module, "datetime", _Moment)
        put(socket, "create_connection", lambda address, timeout=None: sockets.Socket(loop, address[1], timeout))
        put(sync_connection, "select_ready", sockets.select_ready)
        for module in (connections, loop_connections):
            put(module, "readable", lambda sock: sock.readable)
        put(connections.Connection, "end", lambda connection: connection._socket.shutdown(socket.SHUT_RDWR))
        put(background, "portal", lambda: _Portal(loop))
        put(background, "call", loop.called)
        put(background, "start", loop.started)
        put(background, "running_loop", lambda: loop)
        put(background, "running", lambda: True)
        self._hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(loop._asyncgen_firstiter_hook, loop._asyncgen_finalizer_hook)
        asyncio.set_event_loop(loop)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._end()
        finally:
            sys.set_asyncgen_hooks(*self._hooks)
            for holder, name, value in reversed(self._undo):
                setattr(holder, name, value)
            asyncio.set_event_loop(None)
            random.setstate(self._random)
            gc.enable()

    def _end(self) -> None:
        """End what still runs, and the loop."""
        loop = self.loop
        for _ in range(5):
            left = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
            if not left:
                break
            for task in left:
                task.cancel()
            with contextlib.suppress(Exception, Stuck):
                loop.until(lambda left=left: all(task.done() for task in left), 60)
        gc.collect()
        loop.close()

    def run(self, awaitable: Any) -> Any:
        """Return what a coroutine gives."""
        return self.loop.settle(self.loop.create_task(awaitable))


class _Portal:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def start_task_soon(self, function: Callable[..., Any], *args: Any) -> Any:
        return self._loop.started(_awaited, function, args)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        return self._loop.called(_awaited, function, args)


async def _awaited(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    result = function(*args)
    return await result if asyncio.iscoroutine(result) else result


def _no_thread(thread: threading.Thread) -> None:
    raise AssertionError(f"a thread was started: {thread.name}")


def _waiting(loop: Loop) -> Callable[..., bool]:
    real, here = threading.Condition.wait, threading.get_ident()

    def wait(self: Any, timeout: float | None = None) -> bool:
        """As the library's own; while it waits, the loop runs. Threads from before the run wait as ever."""
        if threading.get_ident() != here:
            return real(self, timeout)
        mine = threading._allocate_lock()
        mine.acquire()
        self._waiters.append(mine)
        saved = self._release_save()
        woken = False
        try:
            woken = loop.until(lambda: mine.acquire(False), timeout)
            return woken
        finally:
            self._acquire_restore(saved)
            if not woken:
                with contextlib.suppress(ValueError):
                    self._waiters.remove(mine)

    return wait


@contextlib.contextmanager
def world(seed: object) -> Iterator[World]:
    """Within, a made-up world."""
    with World(seed) as there:
        yield there
