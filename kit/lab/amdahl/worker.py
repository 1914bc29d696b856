"""A process that runs SQL for the server, one query at a time.

The engine itself is locked: its database is open for reading only, and it cannot touch files, the network, extensions
or its own settings. What an engine does not bound, this process does: memory beyond the limit ends it, and the server
starts another one. It reads orders as lines of JSON and answers in frames: one letter, the length in eight bytes
(big-endian), the payload.

    S   started: sent once, when orders can be taken
    R   rows: JSON objects, each with a comma after it
    D   done: {"rowCount", "truncated", "columns"}
    E   refused: {"message"}
    A   again: rows sent so far do not count, the same query starts over
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import duckdb

from . import interactions
from .columns import columns_of, described, row_sql, size_sql

HEAD = struct.Struct(">cQ")
OUT_OF_MEMORY = 77
"""The exit status that says so."""
_FETCH = 2048
_CHUNK = 1 << 20
_LOCKED = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
    "memory_limit": "512MB",
    "threads": "2",
}


class Refused(Exception):
    """A query that is not run, or not to its end; the message is for the client."""


def open_locked(file: Path) -> duckdb.DuckDBPyConnection:
    """The database, for reading and for nothing else."""
    connection = duckdb.connect(file, read_only=True, config=dict(_LOCKED))
    connection.execute("set lock_configuration = true")
    return connection


def one_select(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The text of the one SELECT that `sql` must be, without a semicolon at its end."""
    statements = connection.extract_statements(sql)
    if not statements:
        raise Refused("the SQL is empty")
    if len(statements) > 1:
        raise Refused(f"one SELECT statement is allowed, found {len(statements)} statements")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise Refused(f"only SELECT (or WITH ... SELECT) is allowed, found {kind.name}")
    return without_semicolon(sql)


_TOKENS = re.compile(
    r"""--[^\n]*|(?<!\w)[eE]'(?:[^'\\]|''|\\.)*'|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$([A-Za-z_]\w*|)\$.*?\$\1\$|;|.""",
    re.DOTALL,
)


def without_semicolon(sql: str) -> str:
    """The statement before its semicolon, if it has one; the text is known to be one statement.

    >>> without_semicolon("select ';' -- a;b" + chr(10) + "; -- done")
    "select ';' -- a;b\\n"
    """
    for token in _TOKENS.finditer(sql):
        if token[0] == ";":
            return sql[: token.start()]
    return sql


class Worker:
    """Runs the orders of one server."""

    def __init__(self, file: Path, out: IO[bytes]) -> None:
        self.busy = threading.Event()
        self._connection = open_locked(file)
        self._out = out
        self._late = False

    def run(self, order: dict[str, Any]) -> None:
        """Runs one query and sends what came of it."""
        cursor = self._connection.cursor()
        self._late = False
        self.busy.set()
        timer = threading.Timer(order["seconds"], self._interrupt, (cursor,))
        timer.daemon = True
        timer.start()
        try:
            done = self._query(cursor, order)
        except Refused as refused:
            self._send(b"E", json.dumps({"message": str(refused)}).encode())
        except duckdb.Error as error:
            self._send(b"E", json.dumps({"message": self._told(error, order)}).encode())
        else:
            self._send(b"D", json.dumps(done).encode())
        finally:
            timer.cancel()
            self.busy.clear()
            cursor.close()

    def _query(self, cursor: duckdb.DuckDBPyConnection, order: dict[str, Any]) -> dict[str, Any]:
        sql, limit = one_select(cursor, order["sql"]), order["limit"]
        relation = cursor.sql(sql)
        columns = columns_of(relation.columns, relation.types)
        if order.get("check"):
            return {"rowCount": 0, "truncated": False, "columns": described(columns, None)}
        sizes = None
        # A second time only where integers turned out too large for JSON numbers.
        for attempt in range(2):
            if attempt:
                self._send(b"A", b"")
                found = self._start(cursor, size_sql(columns, sql, limit + 1)).fetchone()
                assert found is not None
                sizes = list(found)
            rows, beyond = self._rows(self._start(cursor, row_sql(columns, sql, limit + 1, sizes)), limit)
            if not beyond:
                break
        return {"rowCount": min(rows, limit), "truncated": rows > limit, "columns": described(columns, sizes)}

    def _start(self, cursor: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyConnection:
        statements = cursor.extract_statements(sql)
        # What is run is the client's text with ours around it: it is held to the same rule.
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise Refused("the SQL is not one SELECT statement")
        return cursor.execute(statements[0])

    def _rows(self, cursor: duckdb.DuckDBPyConnection, limit: int) -> tuple[int, bool]:
        """Sends the rows; how many there were, one beyond the limit included, and whether to start over."""
        count, waiting, size = 0, list[bytes](), 0
        while batch := cursor.fetchmany(_FETCH):
            if any(beyond for _, beyond in batch):
                return count, True
            kept = batch[: limit - count]
            count += len(batch)
            text = "".join([text for text, _ in kept]).encode()
            waiting.append(text)
            size += len(text)
            if size > _CHUNK:
                self._send(b"R", b"".join(waiting))
                waiting, size = [], 0
        if size:
            self._send(b"R", b"".join(waiting))
        return count, False

    def _interrupt(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._late = True
        cursor.interrupt()

    def _told(self, error: duckdb.Error, order: dict[str, Any]) -> str:
        if self._late:
            return f"the query took longer than {order['seconds']:g} s and was stopped"
        if isinstance(error, duckdb.OutOfMemoryException):
            return "the query needs more memory than it is allowed"
        return shortened(str(error))

    def _send(self, letter: bytes, payload: bytes) -> None:
        self._out.write(HEAD.pack(letter, len(payload)) + payload)


_PATH = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?(?:[/\\][\w.@+ -]*[\w.@+-])+[/\\]?")


def shortened(message: str) -> str:
    """The engine's message without its picture of the query, and without the names of files.

    >>> shortened('IO Error: Cannot open "/data/x.duckdb"' + chr(10) * 2 + 'LINE 1: select')
    'IO Error: Cannot open "<path>"'
    """
    head = re.split(r"\n+LINE \d+:", message.strip(), maxsplit=1)[0]
    return _PATH.sub("<path>", " ".join(head.split()))[:500]


def ready_file(file: Path, demo: bool) -> None:
    """Makes the database unless a good one is there. It appears whole or not at all."""
    if file.exists():
        try:
            open_locked(file).close()
            return
        except duckdb.Error:
            pass  # of another version of the engine, say
    draft = file.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    connection = duckdb.connect(draft, config={"threads": "2"})
    try:
        interactions.make(connection, demo)
    finally:
        connection.close()
    draft.replace(file)


def resident() -> int:
    """Bytes of memory this process holds; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _watch_memory(busy: threading.Event, limit: int) -> None:
    while busy.wait():
        if resident() > limit:
            os._exit(OUT_OF_MEMORY)
        time.sleep(0.02)


def _read(orders: queue.SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        orders.put(line)
    # The server is gone; a query that runs would be for nobody.
    os._exit(0)


def _background(target: Callable[..., None], *args: Any) -> None:
    threading.Thread(target=target, args=args, daemon=True).start()


def main() -> None:
    """What the sandbox starts: the file, whether with demo rows, and the memory limit in bytes."""
    settings = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(5)  # what answers requests comes first
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    _background(_read, orders)
    file = Path(settings["file"])
    if settings["make"]:
        ready_file(file, settings["demo"])
    worker = Worker(file, out)
    out.write(HEAD.pack(b"S", 0))
    _background(_watch_memory, worker.busy, settings["memory"])
    while True:
        worker.run(json.loads(orders.get()))


if __name__ == "__main__":
    main()
