"""A process that runs SQL for the server, one query at a time.

The engine itself is locked: its database is open for reading only, and it cannot touch files, the network, extensions
or its own settings. This process adds the limits that the engine lacks: memory beyond the limit ends it, and the server
starts another one. It reads orders as lines of JSON and answers in frames: one letter, the length in eight bytes
(big-endian), the payload.

    S   started: sent once, when it can take orders
    R   rows: JSON objects, each with a comma after it
    F   firm: rows sent so far count and more will follow; A will not be sent
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import duckdb
import pyarrow as pa

from ...common.worker_limits import watch_memory
from . import interactions
from .columns import columns_of, described, row_sql, size_sql
from .gate import Refused, one_select

HEAD = struct.Struct(">cQ")
_FETCH = 2048
_CHUNK = 1 << 20
_FIRM_AFTER = 16 << 20
"""Bytes of rows that are held back, so that an error until then can still be an answer of its own."""
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


def open_locked(file: Path) -> duckdb.DuckDBPyConnection:
    """Return the database, for reading and for nothing else."""
    connection = duckdb.connect(file, read_only=True, config=dict(_LOCKED))
    connection.execute("set lock_configuration = true")
    return connection


def without_semicolons(sql: str) -> str:
    """Return a statement without the semicolons before and after it; the text is known to be one statement.

    >>> without_semicolons("; select ';' -- a;b" + chr(10) + "; -- done")
    "select ';' -- a;b\\n"
    """
    sql = sql.strip("; \t\r\n")
    if ";" not in sql:
        return sql
    text = sql.encode()
    start, begun = 0, False
    # The engine's own tokens, as only it knows what is text and what is a comment.
    for at, kind in duckdb.tokenize(sql):
        if kind == duckdb.token_type.operator and text[at : at + 1] == b";":
            if begun:
                return text[start:at].decode()
            start = at + 1
        elif kind != duckdb.token_type.comment:
            begun = True
    return text[start:].decode()


class Worker:
    """Runs the orders of one server."""

    def __init__(self, file: Path, out: IO[bytes]) -> None:
        self.busy = threading.Event()
        self._connection = open_locked(file)
        self._out = out
        self._late = False

    def run(self, order: dict[str, Any]) -> None:
        """Run one query and send the result."""
        cursor, beside = self._connection.cursor(), self._connection.cursor()
        self._late = False
        self.busy.set()
        timer = threading.Timer(order["seconds"], self._interrupt, (cursor, beside))
        timer.daemon = True
        timer.start()
        try:
            done = self._query(cursor, beside, order)
        except Refused as refused:
            self._send(b"E", json.dumps({"message": str(refused)}).encode())
        except duckdb.Error as error:
            self._send(b"E", json.dumps({"message": self._message_of(error, order)}).encode())
        else:
            self._send(b"D", json.dumps(done).encode())
        finally:
            timer.cancel()
            self.busy.clear()
            cursor.close()
            beside.close()

    def _query(
        self, cursor: duckdb.DuckDBPyConnection, beside: duckdb.DuckDBPyConnection, order: dict[str, Any]
    ) -> dict[str, Any]:
        one_select(cursor, order["sql"])
        sql, limit = without_semicolons(order["sql"]), order["limit"]
        relation = cursor.sql(sql)
        columns = columns_of(relation.columns, relation.types)
        if order.get("check"):
            return {"rowCount": 0, "truncated": False, "columns": described(columns, None)}
        deadline = time.monotonic() + order["seconds"] / 4

        def sizes_of() -> list[int] | None:
            """Return how large the integers get, or None where finding out would take too much of the time there is."""
            if time.monotonic() > deadline:
                return None
            measured = _start(beside, size_sql(columns, sql, limit + 1)).fetchall()
            return list(measured[0])

        sizes = [0] * len(columns)
        rows, beyond = self._rows(_start(cursor, row_sql(columns, sql, limit + 1, None)), limit, sizes_of)
        if beyond:
            # Run again, as some integers are too large for JSON numbers.
            self._send(b"A", b"")
            deadline = float("inf")
            sizes = sizes_of() or sizes
            rows, _ = self._rows(_start(cursor, row_sql(columns, sql, limit + 1, sizes)), limit, lambda: [0])
        return {"rowCount": min(rows, limit), "truncated": rows > limit, "columns": described(columns, sizes)}

    def _rows(
        self, relation: duckdb.DuckDBPyRelation, limit: int, sizes_of: Callable[[], list[int] | None]
    ) -> tuple[int, bool]:
        """Send the rows; how many there were, one beyond the limit included, and whether to start over."""
        count, sent, firm, known = 0, 0, False, False
        waiting, size = list[memoryview](), 0
        for batch in _batches(relation):
            if batch.column(1).true_count:
                if firm:
                    raise Refused("the query's integers are not the same each time it runs, and some are beyond 2^53")
                return count, True
            text = _text(batch.slice(0, max(0, limit - count)).column(0))
            count += batch.num_rows
            waiting.append(text)
            size += len(text)
            if size > _CHUNK:
                self._send(b"R", b"".join(waiting))
                sent += size
                waiting, size = [], 0
            if sent > _FIRM_AFTER and not known:
                known = True
                sizes = sizes_of()
                if sizes is not None and any(sizes):
                    return count, True
                if firm := sizes is not None:
                    self._send(b"F", b"")
        if size:
            self._send(b"R", b"".join(waiting))
        return count, False

    def _interrupt(self, *cursors: duckdb.DuckDBPyConnection) -> None:
        self._late = True
        for cursor in cursors:
            cursor.interrupt()

    def _message_of(self, error: duckdb.Error, order: dict[str, Any]) -> str:
        if self._late:
            return f"the query took longer than {order['seconds']:g} s and was stopped"
        if isinstance(error, duckdb.OutOfMemoryException) or str(error).startswith("Out of Memory Error"):
            return "the query needs more memory than it is allowed"
        return shortened(str(error))

    def _send(self, letter: bytes, payload: bytes) -> None:
        self._out.write(HEAD.pack(letter, len(payload)) + payload)


def _start(cursor: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation:
    statements = cursor.extract_statements(sql)
    # The query is the client's text with ours around it, so it is checked by the same rule.
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise Refused("the SQL is not one SELECT statement")
    return cursor.sql(statements[0])


def _batches(relation: duckdb.DuckDBPyRelation) -> Iterator[pa.RecordBatch]:
    """Return the result while it is made; as Arrow, whose texts need not become Python objects."""
    reader = relation.to_arrow_reader(_FETCH)
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (pa.ArrowException, OSError) as error:
            raise duckdb.Error(str(error)) from None
        yield batch


def _text(column: pa.StringArray) -> memoryview:
    """Return all values of a column without nulls, one behind the other, where they are."""
    _, offsets, data = column.buffers()
    if data is None or not len(column):
        return memoryview(b"")
    ends = memoryview(offsets).cast("i")
    return memoryview(data)[ends[column.offset] : ends[column.offset + len(column)]]


_PATH = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?(?:[/\\][\w.@+ -]*[\w.@+-])+[/\\]?")


def shortened(message: str) -> str:
    """Return the engine's message without its picture of the query, and without the names of files.

    >>> shortened('IO Error: Cannot open "/data/x.duckdb"' + chr(10) * 2 + 'LINE 1: select')
    'IO Error: Cannot open "<path>"'
    """
    head = re.split(r"\n+LINE \d+:", message.strip(), maxsplit=1)[0]
    return _PATH.sub("<path>", " ".join(head.split()))[:500]


def ready_file(file: Path, demo: bool) -> None:
    """Make the database unless a good one is there. It appears whole or not at all."""
    if file.exists():
        try:
            open_locked(file).close()
            return
        except duckdb.Error:
            pass  # for example of another version of the engine
    draft = file.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    connection = duckdb.connect(draft, config={"threads": "2"})
    try:
        interactions.make(connection, demo)
    finally:
        connection.close()
    draft.replace(file)


def _read(orders: queue.SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        orders.put(line)
    # The server is gone, so a running query is useless.
    os._exit(0)


def _background(target: Callable[..., None], *args: Any) -> None:
    threading.Thread(target=target, args=args, daemon=True).start()


def main() -> None:
    """Run the worker that the sandbox starts: the file, whether with demo rows, and the memory limit in bytes."""
    settings = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.setrecursionlimit(20_000)  # a parsed query is as deep as its longest chain of operators
    if hasattr(os, "nice"):
        os.nice(5)  # answering requests has priority
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    _background(_read, orders)
    file = Path(settings["file"])
    if settings["make"]:
        ready_file(file, settings["demo"])
    worker = Worker(file, out)
    out.write(HEAD.pack(b"S", 0))
    _background(watch_memory, worker.busy, settings["memory"])
    while True:
        worker.run(json.loads(orders.get()))


if __name__ == "__main__":
    main()
