"""The server: its parts put together, started and stopped in order."""

from __future__ import annotations

import asyncio
import sqlite3
import time

from ..common.faults import Faulty
from ..common.store import Store
from ..common.web import HOST, WebServer, listening_socket
from ..services import House
from . import demo, schema
from .access import USERS, Access
from .data.journal import Journal
from .data.kv_store import KvStore
from .data.queues import Queues
from .data.rooms import Rooms
from .data.topics import Topics
from .protocols.app import App, injected
from .protocols.connection import Connection
from .server_state import ServerState
from .tuning import Tuning

MAX_CONNECTIONS = 10_000
_EXPIRY = 0.1
_COMPACT = 60


class SynapServer:
    """The embedded Synap."""

    name = "synap"
    health = "/health"

    def __init__(self, house: House, tuning: Tuning | None = None) -> None:
        self._house = house
        self._tuning = tuning or Tuning.of()
        self._access = Access(house.token)
        self._web: WebServer | None = None
        self._rpc: asyncio.Server | None = None
        self._connections: set[Connection] = set()

    async def start(self) -> None:
        house, tuning = self._house, self._tuning
        self._store = store = Store(house.folder / "synap.sqlite", schema.SQL)
        self._generation = await store.write(_next_start) << 20
        self._journal = journal = Journal(store)
        pairs = KvStore(journal, map(tuple, store.read("select key, value, expires from pairs")))
        queues = Queues(
            journal,
            map(tuple, store.read("select * from queues")),
            map(tuple, store.read("select * from messages order by lane, place")),
        )
        rooms = Rooms(
            journal,
            self._next_generation,
            int(tuning.events),
            int(tuning.unread),
            tuning.retention,
            map(tuple, store.read("select * from rooms")),
            map(tuple, store.read("select * from events order by generation, offset")),
        )
        self._state = ServerState(
            journal, pairs, queues, rooms, Topics(), self._access, house.faults, tuning, lambda: self.ports
        )
        if house.demo:
            demo.fill(self._state)
            await journal.kept()
        loop = asyncio.get_running_loop()
        # With a requested port, SynapRPC uses the next one, as in the service.
        port = house.port(self.name)
        port = house.port("synap-rpc") or (port + 1 if port else 0)
        self._rpc = await loop.create_server(self._connection, sock=listening_socket(port), backlog=512)
        self._web = WebServer(Faulty(App(self._state), self.name, house.faults, injected), house.port(self.name))
        await self._web.start()
        self._sweeping = loop.create_task(self._sweep())

    async def stop(self) -> None:
        if self._web is None or self._rpc is None:
            return
        self._rpc.close()
        self._sweeping.cancel()
        await asyncio.gather(self._sweeping, return_exceptions=True)
        await self._web.stop()
        for connection in list(self._connections):
            connection.end()
        await self._journal.close()
        await self._store.close()

    def _connection(self) -> asyncio.Protocol:
        if len(self._connections) >= MAX_CONNECTIONS:
            self._state.refused += 1
            return _TurnedAway()
        return Connection(self._state, self._connections)

    def _next_generation(self) -> int:
        self._generation += 1
        return self._generation

    async def _sweep(self) -> None:
        queues = compact = time.monotonic()
        while True:
            await asyncio.sleep(_EXPIRY)
            now = time.monotonic()
            self._state.kv_store.sweep()
            if now - queues >= self._tuning.sweep:
                queues = now
                self._state.queues.sweep()
            if now - compact >= _COMPACT:
                compact = now
                self._state.rooms.compact()

    @property
    def ports(self) -> tuple[int, int]:
        """The port of HTTP, and that of SynapRPC."""
        assert self._web is not None, "not started"
        assert self._rpc is not None, "not started"
        return self._web.port, self._rpc.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        assert self._web is not None, "not started"
        return self._web.url

    def env(self) -> dict[str, str]:
        return {
            "SYNAP_URL": self.url,
            "SYNAP_RPC_URL": f"synap://{HOST}:{self.ports[1]}",
            "SYNAP_API_KEY": self._access.key,
            "SYNAP_USERNAME": USERS[-1],
            "SYNAP_PASSWORD": self._access.key,
        }


class _TurnedAway(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _next_start(db: sqlite3.Connection) -> int:
    """Return how often the server has been started on this data; generations of rooms grow with it."""
    row = db.execute(
        "insert into marks values ('starts', 1) on conflict (name) do update set value = value + 1 returning value"
    ).fetchone()
    return int(row[0])
