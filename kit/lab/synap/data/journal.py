"""Writes changes in memory to disk, and holds answers back until they are written.

Only the newest state of each row is written: a message that is published, consumed and acknowledged within one commit
costs nothing. While one commit is under way the next one gathers.

If a commit fails, it is undone in memory, together with all later changes, as they may depend on it: the server shows
what is on disk, and every client whose change was undone gets an error.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, Protocol, TypeVar

from ...common.store import Store

T = TypeVar("T")
Row = tuple[Any, ...]


class Rowed(Protocol):
    """An object that makes its row when the commit begins, so that many changes cost as much as one."""

    def row(self) -> Row: ...


Entry = Row | Rowed | None
Undo = tuple[Callable[..., Any], tuple[Any, ...]]
_TABLES = {
    "pairs": ("key", 3),
    "queues": ("name", 7),
    "messages": ("id", 9),
    "marks": ("name", 2),
    "rooms": ("generation", 5),
    "events": ("", 6),
}
_LOT = 256
_FIRST = 3
"""The index of the oldest offset in the row of a room."""
_EVERY = 2**63 - 1


class Journal:
    """Rows that wait to be written, by table and by their first column."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._rows: dict[str, dict[Any, Entry]] = {name: {} for name in _TABLES}
        self._undo: list[Undo] = []
        self._waiting: list[Callable[[Exception | None], None]] = []
        self._under_way: asyncio.Task[None] | None = None
        self._scheduled = False
        self.kv_store = self._rows["pairs"]
        self.queues = self._rows["queues"]
        self.messages = self._rows["messages"]
        self.marks = self._rows["marks"]
        self.rooms = self._rows["rooms"]
        self.events = self._rows["events"]

    def changed(self, undo: Callable[..., Any], *args: Any) -> None:
        """Write what was put into the tables soon; `undo` is called with the arguments if that fails.

        Changes are undone in the reverse of their order, so each finds things as it left them.
        """
        self._undo.append((undo, args))
        self.touch()

    def touch(self) -> None:
        """Write the changed rows soon, for changes that are valid whether or not they are written."""
        if not self._scheduled and self._under_way is None:
            self._scheduled = True
            # At the end of this turn of the loop, with all changes of the turn.
            self._loop.call_soon(self._begin)

    @property
    def clean(self) -> bool:
        """Whether all is on disk."""
        return not self._scheduled and self._under_way is None

    def when_kept(self, then: Callable[[Exception | None], None]) -> None:
        """Call back when all changes so far are on disk; at once if they are."""
        if self.clean:
            then(None)
        else:
            self._waiting.append(then)

    async def kept(self) -> None:
        """Wait until all changes so far are on disk."""
        if self.clean:
            return
        done: asyncio.Future[None] = self._loop.create_future()

        def then(error: Exception | None) -> None:
            if done.cancelled():
                return
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        self._waiting.append(then)
        await done

    async def stands(self) -> bool:
        """Return whether all changes so far are on disk, once that is known; if not, they are undone."""
        try:
            await self.kept()
        except Exception:
            return False
        return True

    async def close(self) -> None:
        """Write the remaining rows."""
        if self._scheduled:
            self._begin()
        while self._under_way is not None:
            await asyncio.wait([self._under_way])

    def _begin(self) -> None:
        self._scheduled = False
        batch = {
            name: {key: row if row is None or isinstance(row, tuple) else row.row() for key, row in rows.items()}
            for name, rows in self._rows.items()
            if rows
        }
        for rows in self._rows.values():
            rows.clear()
        waiting, self._waiting = self._waiting, []
        undo, self._undo = self._undo, []
        self._under_way = self._loop.create_task(self._commit(batch, waiting, undo))

    async def _commit(
        self,
        batch: dict[str, dict[Any, Row | None]],
        waiting: list[Callable[[Exception | None], None]],
        undo: list[Undo],
    ) -> None:
        failure: Exception | None = None
        try:
            await self._store.write(lambda db: _write(db, batch))
        except Exception as error:
            # A full disk, or a value that SQLite refuses: no caller may wait forever.
            failure = error
            self._take_back(undo)
            waiting, self._waiting = waiting + self._waiting, []
        finally:
            self._under_way = None
        for then in waiting:
            then(failure)
        # A called function may have made a change, which starts its own commit.
        if not self._scheduled and self._under_way is None and (self._waiting or any(self._rows.values())):
            self._begin()

    def _take_back(self, undo: list[Undo]) -> None:
        """Reset the state in memory to the state on disk."""
        newer, self._undo = self._undo, []
        for function, args in reversed(undo + newer):
            function(*args)
        for rows in self._rows.values():
            rows.clear()


def _write(db: sqlite3.Connection, batch: dict[str, dict[Any, Row | None]]) -> None:
    for name, rows in batch.items():
        column, width = _TABLES[name]
        gone = [key for key, row in rows.items() if row is None]
        for keys in _lots(gone):
            places = ", ".join("?" * len(keys))
            db.execute(f"delete from {name} where {column} in ({places})", keys)  # noqa: S608
        new = [row for row in rows.values() if row is not None]
        for some in _lots(new):
            places = ", ".join([f"({', '.join('?' * width)})"] * len(some))
            db.execute(f"insert or replace into {name} values {places}", list(chain.from_iterable(some)))  # noqa: S608
    # After the rows of events, as some of these may already have left their rooms.
    for generation, room in batch.get("rooms", {}).items():
        first = _EVERY if room is None else room[_FIRST]
        db.execute("delete from events where generation = ? and offset < ?", (generation, first))


def _lots(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield some at a time: with each statement the interpreter is handed to the server's loop and asked back."""
    for at in range(0, len(rows), _LOT):
        yield rows[at : at + _LOT]
