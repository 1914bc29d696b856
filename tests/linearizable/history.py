"""What was asked when and what came of it: recorded, as JSON lines, and read back."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterable
from typing import Any

from .check import Operation

UNKNOWN = ("AppendIndefiniteFailure", "IndefiniteFailure")


class History:
    """The events of a run in their order; any thread may write."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: list[dict[str, Any]] = []
        self._late: list[dict[str, Any]] = []
        self._clients = 0
        self._ops = 0

    def client(self) -> int:
        """Return the number of a new client."""
        with self._lock:
            self._clients += 1
            return self._clients - 1

    def start(self, client: int, what: Any) -> int:
        """Note that a call begins; return its number."""
        with self._lock:
            self._ops += 1
            self._events.append({"event": {"Start": what}, "client_id": client, "op_id": self._ops - 1})
            return self._ops - 1

    def finish(self, client: int, op: int, what: Any) -> int:
        """Note what came of a call; return who goes on: a new client, where nobody knows what came of it."""
        event = {"event": {"Finish": what}, "client_id": client, "op_id": op}
        with self._lock:
            if what in UNKNOWN:
                # It may still take effect, so it ends with the history.
                self._late.append(event)
                self._clients += 1
                return self._clients - 1
            self._events.append(event)
            return client

    def lines(self) -> str:
        """Return the history as JSON lines."""
        return "".join(json.dumps(one) + "\n" for one in (*self._events, *self._late))


def operations(lines: Iterable[str]) -> list[Operation]:
    """Return the calls of a history."""
    began: dict[int, tuple[int, dict[str, Any]]] = {}
    found = []
    for n, line in enumerate(lines):
        told = json.loads(line)
        event, op, client = told["event"], told["op_id"], told["client_id"]
        if "Start" in event:
            began[op] = n, _named(event["Start"])
            continue
        at, start = began.pop(op)
        finish = _named(event["Finish"])
        if next(iter(finish)) in UNKNOWN:
            found.append(Operation(client, start, None, at, math.inf))
        else:
            found.append(Operation(client, start, finish, at, n))
    found += [Operation(-1, start, None, at, math.inf) for at, start in began.values()]
    return found


def _named(event: Any) -> dict[str, Any]:
    """Return an event with its fields; one that has none is its name alone in the file."""
    return {event: {}} if isinstance(event, str) else event
