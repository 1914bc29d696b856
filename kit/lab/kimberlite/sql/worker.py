"""A process that runs SQL for the server, one statement at a time.

The database is locked down as far as the engine allows (`database.py`): no file but the tenant's own, no statement
beyond its time. This process adds the limit that the engine lacks: memory beyond it ends the process, and the server
starts another.

An order is two pieces, each with its length in eight bytes (big-endian) before it: JSON that says what to do, and for
statements the request as it came. An answer is one letter and one piece:

    S   started: JSON {"position"}, the newest position; sent once, when it can take orders
    R   result: the body of the answer on the wire
    J   result: JSON
    E   refused: JSON {"code", "message"}
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from ....kimberlite.wire.extensions import EVERYTHING, Extensions
from ....kimberlite.wire.protocol.codec import decode
from ...common.worker_limits import watch_memory
from ..refusal import INTERNAL, STORAGE, Refusal
from .pipe import HEAD, LENGTH
from .tenants import Tenants


class Worker:
    """Carries out the orders of one server."""

    def __init__(self, folder: Path, out: IO[bytes], *, writes: bool, extensions: Extensions = EVERYTHING) -> None:
        self.busy = threading.Event()
        self._tenants = Tenants(folder, writes=writes, extensions=extensions)
        self._out = out
        self.send(b"S", json.dumps({"position": self._tenants.newest() if writes else 0}).encode())

    def run(self, order: dict[str, Any], body: bytes) -> None:
        """Carry an order out and send its result."""
        self.busy.set()
        try:
            result = self._result(order, body)
            if isinstance(result, bytes):
                self.send(b"R", result)
            else:
                self.send(b"J", json.dumps(result).encode())
        except Refusal as refusal:
            self._refuse(refusal.code, refusal.message)
        except sqlite3.Error as error:
            self._refuse(STORAGE, str(error))
        except Exception as error:
            # Whatever the error is, it does not affect the next order.
            self._refuse(INTERNAL, f"the server failed ({type(error).__name__})")
            if os.environ.get("KIT_LAB_DEBUG"):
                raise
        finally:
            self.busy.clear()

    def _result(self, order: dict[str, Any], body: bytes) -> Any:
        do, tenant = order.pop("do"), order.pop("tenant")
        if do in ("query", "execute"):
            request: Any = decode(body)
            call = self._tenants.query if do == "query" else self._tenants.execute
            return call(tenant, request.payload.sql, request.payload.params, **order)
        calls: dict[str, Callable[..., Any]] = {
            "tables": self._tenants.tables,
            "describe": self._tenants.describe,
            "indexes": self._tenants.indexes,
            "drop": self._tenants.drop_all,
        }
        return calls[do](tenant, **order)

    def _refuse(self, code: int, message: str) -> None:
        self.send(b"E", json.dumps({"code": code, "message": message[:2000]}).encode())

    def send(self, letter: bytes, payload: bytes) -> None:
        """Send one answer."""
        self._out.write(HEAD.pack(letter, len(payload)))
        self._out.write(payload)
        self._out.flush()


def _read(orders: queue.SimpleQueue[tuple[bytes, bytes]]) -> None:
    source = sys.stdin.buffer

    def piece() -> bytes:
        head = source.read(LENGTH.size)
        data = source.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""
        if len(head) < LENGTH.size or len(data) < LENGTH.unpack(head)[0]:
            # The server is gone, so a running statement is useless.
            os._exit(0)
        return data

    while True:
        orders.put((piece(), piece()))


def main() -> None:
    """Run the worker that the server starts: the folder, whether to write, the limit of memory, and extensions."""
    settings = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(5)  # answering requests has priority
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    orders: queue.SimpleQueue[tuple[bytes, bytes]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(orders,), daemon=True).start()
    extensions = Extensions.of(settings["extensions"])
    worker = Worker(Path(settings["folder"]), out, writes=settings["writes"], extensions=extensions)
    threading.Thread(target=watch_memory, args=(worker.busy, settings["memory"]), daemon=True).start()
    while True:
        order, body = orders.get()
        worker.run(json.loads(order), body)


if __name__ == "__main__":
    main()
