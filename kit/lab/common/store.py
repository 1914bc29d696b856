"""One SQLite database for each service: everything that was acknowledged survives `kill -9`.

All writes go through one thread that puts everything that waits into one commit, so a hundred small writes cost little
more than one.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ...core.errors import SetupError
from .unbroken import Unbroken

T = TypeVar("T")
_Job = tuple[Callable[[sqlite3.Connection], Any], "asyncio.Future[Any]"]
_BATCH = 1000
_ROOM_AGAIN = 0.25
"""Seconds after which background work is tried again on a full disk."""


class Store:
    """A database in WAL mode, with a reader for the event loop and a writer thread."""

    def __init__(self, path: Path, schema: str) -> None:
        try:
            self._writer = _connect(path)
            self._writer.executescript(schema)
            self._reader = _connect(path)
        except sqlite3.DatabaseError as error:
            raise SetupError(
                f"the lab's data in {path} cannot be used: {error}",
                hint="move that file away to start without it, or give another path=",
            ) from None
        self._reader.execute("pragma query_only=1")
        self._unbroken = Unbroken()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name=f"store-{path.stem}", daemon=True)
        self._thread.start()

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run the job in a transaction; returns when it is committed. A job that raises leaves no trace."""
        done: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((job, done))
        return await done

    async def write_then(self, job: Callable[[sqlite3.Connection], T], then: Callable[[T], Any]) -> T:
        """Run the job as `write` does, and after its commit `then`, with its result: also where the caller is
        cancelled in between, so that memory never differs from the disk."""

        async def both() -> T:
            result = await self.write(job)
            then(result)
            return result

        return await self._unbroken.run(both())

    async def write_once_possible(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run the job in a transaction as soon as the disk has room, for work without a caller that could be
        refused."""
        while True:
            try:
                return await self.write(job)
            except sqlite3.OperationalError:
                await asyncio.sleep(_ROOM_AGAIN)

    def read(self, sql: str, parameters: tuple[Any, ...] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        """Return rows as committed; for statements that are quick."""
        return self._reader.execute(sql, parameters).fetchall()

    async def close(self) -> None:
        """Finish what was handed in, then close."""
        self._jobs.put(None)
        await self._loop.run_in_executor(None, self._thread.join)
        self._writer.close()
        self._reader.close()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            batch = [job]
            ending = False
            while len(batch) < _BATCH:
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if job is None:
                    ending = True
                    break
                batch.append(job)
            results = self._commit(batch)
            self._loop.call_soon_threadsafe(_deliver, results)
            if ending:
                return

    def _commit(self, batch: list[_Job]) -> list[tuple[asyncio.Future[Any], Any, BaseException | None]]:
        results: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        try:
            self._writer.execute("begin immediate")
            for job, done in batch:
                self._writer.execute("savepoint job")
                try:
                    results.append((done, job(self._writer), None))
                except Exception as error:
                    if not self._writer.in_transaction:
                        raise  # SQLite has undone everything, as it does on a full disk
                    self._writer.execute("rollback to job")
                    results.append((done, None, error))
                self._writer.execute("release job")
            self._writer.execute("commit")
        except Exception as error:
            # For example, the disk is full: nothing of this batch was stored, and every caller in it must know.
            if self._writer.in_transaction:
                self._writer.execute("rollback")
            return [(done, None, error) for _, done in batch]
        return results


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.row_factory = sqlite3.Row
    connection.execute("pragma journal_mode=wal")
    # In WAL mode this loses nothing when the process dies; only a power cut can undo the newest commits.
    connection.execute("pragma synchronous=normal")
    return connection


def _deliver(results: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for done, result, error in results:
        if done.cancelled():
            continue
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)
