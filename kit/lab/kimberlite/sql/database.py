"""A tenant's database, open for one statement at a time, with all access closed that the statement does not need."""

from __future__ import annotations

import math
import re
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from ....kimberlite.types import Timestamp
from ..refusal import DUPLICATE, EXECUTION, STORAGE, SYNTAX, TABLE_NOT_FOUND, Refusal
from . import schema
from .dialect import Statement
from .functions import BUILT_IN, Functions
from .stamps import stamp
from .tokens import Token, place, syntax_error

T = TypeVar("T")
_EVERY = 2000
"""Steps of SQLite between two checks of the time."""
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 16 * 1024 * 1024,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 4 * 1024 * 1024,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 500,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 10,
}
_READING = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE)
_CHANGING = (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE)


class Database:
    """The tables of one tenant."""

    def __init__(self, path: Path | None, *, writes: bool = False) -> None:
        """Open the database at `path`; None is one without tables, for a tenant that never made one."""
        address = f"{path.resolve().as_uri()}?mode={'rwc' if writes else 'rw'}" if path else ":memory:"
        self.db = sqlite3.connect(address, uri=path is not None, isolation_level=None, timeout=10)
        self.functions = Functions()
        if writes:
            self.db.execute("pragma journal_mode=wal")
            # In WAL mode this loses nothing when the process dies; only a power cut can undo the newest commits.
            self.db.execute("pragma synchronous=normal")
        if writes or path is None:
            # In one transaction: a reader finds all of it or none.
            self.db.executescript(f"begin immediate; {schema.SQL} commit;")
        self.db.execute("pragma trusted_schema=off")
        self.db.execute("pragma recursive_triggers=on")  # so that rows removed by INSERT OR REPLACE are recorded too
        self.db.execute("pragma case_sensitive_like=on")
        self.db.execute("pragma temp_store=file")
        for limit, value in _LIMITS.items():
            self.db.setlimit(limit, value)
        # SQLite creates these tables on first use, which looks like a statement that changes the schema.
        self.db.execute("select * from json_each('[]'), json_tree('[]')").fetchall()
        self._allowed = BUILT_IN | self.functions.install(self.db)
        self._deadline = math.inf
        self._tables: frozenset[str] = frozenset()
        self._queries: frozenset[str] = frozenset()
        self._changes = self._views = False
        self._denied = ""
        self.db.set_progress_handler(lambda: time.monotonic() > self._deadline, _EVERY)

    def close(self) -> None:
        self.db.close()

    @property
    def made(self) -> bool:
        """Whether the writer has made the server's own tables."""
        return bool(self.db.execute("select 1 from main.sqlite_master limit 1").fetchone())

    def undo(self) -> None:
        """Roll a transaction back, unless SQLite has done so itself, as it does on a full disk."""
        if self.db.in_transaction:
            self.db.execute("rollback")

    def run(
        self,
        statement: Statement,
        params: list[Any],
        seconds: float,
        tables: Iterable[str],
        use: Callable[[sqlite3.Cursor], T],
        *,
        changes: bool = False,
        views: bool = False,
    ) -> T:
        """Run the statement of a user, and gives what `use` makes of its rows.

        It may name these tables and no others, change them if `changes`, and with `views` only what stands in their
        place for a time that is past.
        """
        given = {number: _value(params, number, statement) for number in statement.params}
        values = [given.get(number) for number in range(1, max(given, default=0) + 1)]
        self._tables = frozenset(name.lower() for name in tables)
        self._queries = statement.queries()
        self._changes, self._views, self._denied = changes, views, ""
        self.functions.failure = ""
        self._deadline = time.monotonic() + seconds
        sql = statement.sql
        self.db.set_authorizer(self._authorize)
        try:
            return use(self.db.execute(sql, values))
        except sqlite3.Error as error:
            raise self._refusal(error, statement, seconds) from None
        except UnicodeError:
            raise Refusal(EXECUTION, "a text is not UTF-8") from None
        finally:
            self.db.set_authorizer(None)
            self._deadline = math.inf

    def _authorize(self, action: int, one: str | None, two: str | None, base: str | None, through: str | None) -> int:
        if action in _READING:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION:
            if (two or "").lower() in self._allowed:
                return sqlite3.SQLITE_OK
            self._denied = f"no such function: {two}"
            return sqlite3.SQLITE_DENY
        name = (one or "").lower()
        # Only triggers and views use the server's own tables; no statement can write their names.
        if name.startswith("~") and through is not None and action in (sqlite3.SQLITE_READ, *_CHANGING):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and name in self._tables and not (self._views and base == "main"):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and name in ("json_each", "json_tree"):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and base is None and not two and name in self._queries:
            return sqlite3.SQLITE_OK
        if action in _CHANGING and self._changes and name in self._tables and base == "main":
            return sqlite3.SQLITE_OK
        if action in _CHANGING and not self._changes:
            self._denied = f"a statement that reads cannot change {one}"
        self._denied = self._denied or f"no such table: {one}"
        return sqlite3.SQLITE_DENY

    def _refusal(self, error: sqlite3.Error, statement: Statement, seconds: float) -> Refusal:
        message = str(error)
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_INTERRUPT":
            return Refusal(EXECUTION, f"the statement took longer than {seconds:g} s and was stopped")
        if name == "SQLITE_AUTH" or "prohibited" in message or "not authorized" in message:
            message = self._denied or message
        if message.startswith("CHECK constraint failed: "):
            return Refusal(EXECUTION, message.removeprefix("CHECK constraint failed: "))
        if name in ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"):
            columns = message.partition("failed: ")[2].split(", ")
            table = columns[0].partition(".")[0]
            key = ", ".join(column.partition(".")[2] for column in columns)
            return Refusal(DUPLICATE, f"duplicate primary key in table '{table}': [{key}]")
        if name.startswith("SQLITE_CONSTRAINT"):
            return Refusal(EXECUTION, message)
        if of_disk(error):
            return Refusal(STORAGE, message)
        return self._located(message, statement)

    def _located(self, message: str, statement: Statement) -> Refusal:
        """Return a message of SQLite with the place in the statement that it is about."""
        source = statement.source
        if message.startswith("near "):
            word = message[len("near ") : -len(": syntax error")].strip('"')
            token = self._culprit(statement, word)
            word = f"${word[1:]}" if token.kind == "param" else word
            return syntax_error(f"found: {word}", source, token.at)
        if message == "incomplete input":
            return syntax_error("Expected more, found: the end", source, len(source.rstrip().rstrip(";")))
        for beginning, code in (
            ("no such table: ", EXECUTION if statement.reads else TABLE_NOT_FOUND),
            ("no such column: ", EXECUTION),
            ("ambiguous column name: ", EXECUTION),
            ("no such function: ", EXECUTION),
        ):
            if message.startswith(beginning):
                thing = message.removeprefix(beginning)
                what = beginning.removesuffix(": ").removeprefix("no such ")
                last = thing.removeprefix("main.").split(".")[-1].lower()
                at = next((token.at for token in statement.words if token.name.lower() == last), None)
                message = f"{what}: {thing}" if what.startswith("ambiguous") else f"{what} '{thing}' not found"
                return Refusal(code, message if at is None else f"{message} at {place(source, at)}")
        if statement.verb == "INSERT" and (match := re.fullmatch(r"table .* has no column named (.*)", message)):
            return Refusal(SYNTAX, f"parse error: column '{match[1]}' does not exist in table")
        if "user-defined function raised exception" in message:
            return Refusal(EXECUTION, self.functions.failure or "a function failed")
        return Refusal(SYNTAX if "syntax" in message or "token" in message else EXECUTION, message)

    def _culprit(self, statement: Statement, word: str) -> Token:
        """Return the token that SQLite stumbled over, the first of its spelling up to which the text is wrong."""
        prefix = ""
        matches = [token for token in statement.words if token.text == word] or statement.words[:1]
        if len(matches) > 1:
            for token in statement.tokens:
                prefix += token.text
                if token.text != word:
                    continue
                try:
                    self.db.execute("explain " + prefix)
                except sqlite3.Error as error:
                    if str(error).startswith("near "):
                        return token
        return matches[0]

    def declared(self, statement: Statement) -> list[str]:
        """Return the declared types of a SELECT's columns; "" for those that are computed."""
        sql = "".join("null" if token.kind == "param" else token.text for token in statement.tokens)
        try:
            # A view asks SQLite for the types of columns without running the statement.
            self.db.execute(f'create temp view "~types" as {sql}')
            try:
                return [row[2] for row in self.db.execute('pragma temp.table_info("~types")')]
            finally:
                self.db.execute('drop view temp."~types"')
        except sqlite3.Error:
            return []


def of_disk(error: sqlite3.Error) -> bool:
    """Return whether the storage failed, and not the statement."""
    name = getattr(error, "sqlite_errorname", "")
    return name in ("SQLITE_FULL", "SQLITE_CORRUPT", "SQLITE_NOMEM") or name.startswith("SQLITE_IOERR")


def _value(params: list[Any], number: int, statement: Statement) -> Any:
    if not 1 <= number <= len(params):
        # The values of an INSERT are read with the statement, conditions only when it runs.
        code = SYNTAX if statement.verb == "INSERT" else EXECUTION
        raise Refusal(code, f"parameter ${number} is missing: {len(params)} were given")
    value = params[number - 1]
    return stamp(value.nanoseconds) if isinstance(value, Timestamp) else value
