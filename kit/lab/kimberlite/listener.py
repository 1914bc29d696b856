"""The port of the protocol, on loopback, and the state that its connections share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ...kimberlite.wire.framing import MAX_PAYLOAD
from ..common.faults import FaultPlan
from ..common.web import HOST, OnLoopback, listening_socket
from .accounts.access import Keys
from .calls import Calls
from .connection import Connection
from .metrics import Metrics
from .streams import Streams
from .tuning import Tuning

MAX_CONNECTIONS = 1024


@dataclass(slots=True)
class Listener(OnLoopback):
    """Accepts connections."""

    streams: Streams
    calls: Calls
    keys: Keys
    faults: FaultPlan
    metrics: Metrics
    tuning: Tuning
    wanted: int = 0
    largest: int = MAX_PAYLOAD
    _connections: set[Connection] = field(default_factory=set)

    @property
    def address(self) -> str:
        """Where it listens, as `host:port`."""
        return f"{HOST}:{self.port}"

    @property
    def subscribed(self) -> int:
        """How many connections have subscriptions."""
        return sum(connection.subscribed for connection in self._connections)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self), sock=listening_socket(self.wanted), backlog=512
        )

    async def stop(self) -> None:
        """Accept no more connections, and end the open ones."""
        if self._server is None:
            return
        self._server.close()
        await asyncio.gather(*(connection.end() for connection in list(self._connections)))

    def admit(self, connection: Connection) -> bool:
        """Return whether there is room for one more."""
        if len(self._connections) >= MAX_CONNECTIONS:
            return False
        self._connections.add(connection)
        self.metrics.connections += 1
        self.metrics.active += 1
        return True

    def dismiss(self, connection: Connection) -> None:
        """Note that a connection is over."""
        if connection in self._connections:
            self._connections.discard(connection)
            self.metrics.active -= 1
