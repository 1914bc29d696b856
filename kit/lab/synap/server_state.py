"""What HTTP, SynapRPC and WebSockets share."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .data.journal import Journal
from .data.kv_store import KvStore
from .data.queues import Queues
from .data.rooms import Rooms
from .data.topics import Topics

if TYPE_CHECKING:
    from ..common.faults import FaultPlan
    from .access import Access
    from .tuning import Tuning

VERSION = "1.3.1"
"""The version of the service that the lab imitates."""
WATCH = {"value": "__watch@0__:", "notify": "__watch_notify@0__:"}
_LARGEST_SHOWN = 64 * 1024


@dataclass(slots=True)
class ServerState:
    """The parts of the server."""

    journal: Journal
    kv_store: KvStore
    queues: Queues
    rooms: Rooms
    topics: Topics
    access: Access
    faults: FaultPlan
    tuning: Tuning
    ports: Callable[[], tuple[int, int]]
    started: float = field(default_factory=time.monotonic)
    run_id: str = field(default_factory=lambda: hashlib.sha256(str(time.time_ns()).encode()).hexdigest()[:40])
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Counts of commands over SynapRPC, by name and outcome."""
    seconds: dict[str, tuple[int, float]] = field(default_factory=dict)
    connections: int = 0
    refused: int = 0
    sockets: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The number of open WebSockets."""
    watchers: Counter[str] = field(default_factory=Counter)
    """The number of watchers of values and of watchers of changes only."""

    def __post_init__(self) -> None:
        self.kv_store.changed = self._changed

    def _changed(self, key: str, event: str, version: int, value: bytes | None) -> None:
        """Tell those who watch a key."""
        if not self.watchers.total():
            return
        import json

        plain = {"key": key, "event": event, "version": version}
        self.topics.publish(WATCH["notify"] + key, plain, json.dumps(plain))
        full: dict[str, Any] = dict(plain)
        if value is not None:
            try:
                text = value.decode() if len(value) <= _LARGEST_SHOWN else None
            except UnicodeDecodeError:
                text = None
            if text is None:
                full["truncated"] = True
            else:
                full["value"] = text
        self.topics.publish(WATCH["value"] + key, full, json.dumps(full))
