"""Running the SQL of clients in separate processes.

An engine can be forbidden to touch files, but its memory cannot be bounded completely: `repeat('x', 100000000)` for a
thousand rows would take all memory and cannot be interrupted. So queries run in worker processes (see `worker.py`) that
are killed when they exceed a limit; the server loses nothing by it, and its event loop never waits for a query.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ....core.errors import SetupError
from ...common.sql_pool import GRACE, NOT_STARTED, START, STOPPING, Pool, started_with, too_long, why_ended
from ..answers import Refusal
from . import interactions
from .flow import Flow, Result

T = TypeVar("T")
WORKERS = 4
MEMORY = 1 << 30
LARGEST_RESULT = 1 << 30
DEFAULT_ROWS, MAX_ROWS = 1000, 1_000_000
_HEAD_SIZE = 9


class Sandbox:
    """Runs SELECT statements over the table, a few at a time; others wait their turn."""

    def __init__(self, folder: Path, demo: bool, seconds: float) -> None:
        self._file = folder / interactions.name_of_file(demo)
        self._demo = demo
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="sql")
        self._checked = False
        self._pool = Pool(self._process, WORKERS, Refusal, Refusal(503, STOPPING))

    def start(self) -> None:
        """Start the first worker, which makes the table; queries may come at once, and wait for it."""
        for old in self._file.parent.glob("interactions-*"):
            if old != self._file:
                old.unlink(missing_ok=True)
        self._pool.warm_soon()

    def _process(self) -> _Process:
        make, self._checked = not self._checked or not self._file.exists(), True
        return _Process(self._file, self._demo, make, self._threads)

    async def query(self, sql: str, limit: int = DEFAULT_ROWS) -> Result:
        """Return the rows of a SELECT, at most `limit`; refuses anything else, and what takes too long or too much."""
        return await self._order({"sql": sql, "limit": limit, "seconds": self._seconds})

    async def flow(self, sql: str, limit: int = DEFAULT_ROWS) -> Result | Flow:
        """Return the same; a large result comes while it is made."""
        flow = Flow()
        task = asyncio.ensure_future(self._order({"sql": sql, "limit": limit, "seconds": self._seconds}, flow))
        firm = asyncio.ensure_future(flow.firm.wait())
        try:
            await asyncio.wait({task, firm}, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            task.cancel()
            raise
        finally:
            firm.cancel()
        if task.done() and not flow.firm.is_set():
            return task.result()
        flow.goes_on_as(task)
        return flow

    async def check(self, sql: str) -> str | None:
        """Return the error of a query, or None, without running it."""
        try:
            await self._order({"sql": sql, "limit": 1, "seconds": self._seconds, "check": True})
        except Refusal as refusal:
            return refusal.message
        return None

    async def close(self) -> None:
        """End the workers."""
        await self._pool.close()
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)

    async def _order(self, order: dict[str, Any], flow: Flow | None = None) -> Result:
        if "\0" in order["sql"]:
            raise Refusal(400, "sql: a query cannot contain a NUL character", details={"field": "sql"})
        result: Result = await self._pool.run(lambda process: process.run(order, flow))
        return result


class _Process:
    """One worker, seen from the server. What it says is read in a thread: results are large."""

    def __init__(self, file: Path, demo: bool, make: bool, threads: ThreadPoolExecutor) -> None:
        settings = {"file": str(file), "demo": demo, "make": make, "memory": MEMORY}
        arguments, options = started_with("kit.lab.amdahl.sql.worker", settings)
        self._child: subprocess.Popen[bytes] = subprocess.Popen(arguments, **options)  # noqa: S603
        self._threads = threads
        self._late = False
        self._busy = False
        self._ended = False

    @property
    def alive(self) -> bool:
        return not self._ended and self._child.poll() is None

    @property
    def over(self) -> bool:
        return self._child.poll() is not None

    def end(self) -> None:
        self._ended = True
        self._child.kill()
        # A thread that still reads sees the end and cleans up; giving back gigabytes takes the system a moment.
        if not self._busy:
            self._clean_up()

    async def gone(self) -> None:
        await self._in_thread(self._child.wait)

    async def start(self) -> None:
        await self._in_thread(self._start)

    async def run(self, order: dict[str, Any], flow: Flow | None = None) -> Result:
        """Run one query and return its result, without what has gone into a flow."""
        return await self._in_thread(self._run, order, flow)

    async def _in_thread(self, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    def _start(self) -> None:
        # The time for making the table does not count for a query.
        with self._within(START):
            try:
                self._exactly(_HEAD_SIZE)
            except (OSError, EOFError, ValueError):
                raise Refusal(503, NOT_STARTED) from None

    def _run(self, order: dict[str, Any], flow: Flow | None) -> Result:
        assert self._child.stdin is not None
        with self._within(order["seconds"] + GRACE):
            try:
                self._child.stdin.write(json.dumps(order).encode() + b"\n")
                self._child.stdin.flush()
                return self._result(flow)
            except (OSError, EOFError, ValueError):
                raise self._failure(order) from None

    @contextlib.contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """Use the pipes, and kill the worker if that takes too long."""
        self._busy, self._late = True, False
        stop = threading.Timer(seconds, self._overdue)
        stop.daemon = True
        stop.start()
        try:
            yield
        finally:
            stop.cancel()
            self._busy = False
            if not self.alive:
                self._clean_up()

    def _clean_up(self) -> None:
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:
                pass

    def _result(self, flow: Flow | None) -> Result:
        pieces, size, firm = list[bytes](), 0, False
        while True:
            head = self._exactly(_HEAD_SIZE)
            letter, length = head[:1], int.from_bytes(head[1:], "big")
            size += length
            if size > LARGEST_RESULT:
                self._ended = True
                self._child.kill()
                raise Refusal(
                    400, f"the result is larger than {LARGEST_RESULT >> 20} MB; ask for fewer rows or columns"
                )
            payload = self._exactly(length)
            if letter == b"R":
                pieces.append(payload)
                if flow is not None and firm:
                    flow.take(pieces)
                    pieces = []
            elif letter == b"F":
                firm = True
            elif letter == b"A":
                pieces, size = [], 0
            elif letter == b"E":
                raise Refusal(400, json.loads(payload)["message"])
            else:
                done = json.loads(payload)
                return Result(pieces, done["rowCount"], done["truncated"], done["columns"])

    def _exactly(self, count: int) -> bytes:
        assert self._child.stdout is not None
        data = self._child.stdout.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def _overdue(self) -> None:
        self._late = self._ended = True
        self._child.kill()

    def _failure(self, order: dict[str, Any]) -> Exception:
        """Return why a worker ended in the middle of a query."""
        status = self._child.wait()
        if self._late:
            return Refusal(400, too_long("query", order["seconds"]))
        its_own, why = why_ended(status, "query")
        return Refusal(400 if its_own else 503, why)


def require_engine() -> None:
    """Tell what to install where DuckDB is missing."""
    import importlib.util

    if importlib.util.find_spec("duckdb") is None:
        raise SetupError(
            "the lab's Amdahl server needs duckdb", hint='install it with: pip install "kit-notebook[lab]"'
        )
