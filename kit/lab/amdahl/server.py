"""The server: its parts put together, started and stopped in order."""

from __future__ import annotations

from ..common.faults import Faulty
from ..common.store import Store
from ..common.web import WebServer
from ..services import House
from . import demo, schema
from .agents.agents import Agents
from .agents.sessions import Sessions
from .answers import injected
from .app import build
from .limits import RateLimit, Tuning
from .pages.deliveries import Deliveries
from .pages.pages import Pages
from .pages.webhooks import Webhooks
from .sql.data import Data
from .sql.sandbox import Sandbox, require_engine


class AmdahlServer:
    """The embedded Amdahl Platform API."""

    name = "amdahl"
    health = "/health"

    def __init__(self, house: House, tuning: Tuning | None = None) -> None:
        require_engine()
        self._house = house
        self._tuning = tuning or Tuning.of()
        self._key = f"amdhl_{house.token}"
        self._web: WebServer | None = None

    async def start(self) -> None:
        house, tuning = self._house, self._tuning
        self._sandbox = Sandbox(house.folder, house.demo, tuning.query_seconds)
        self._sandbox.start()
        self._store = Store(house.folder / "amdahl.sqlite", schema.SQL)
        if house.demo:
            await self._store.write(demo.fill)
        self._deliveries = Deliveries(self._store, tuning.retry_seconds)
        self._sessions = Sessions(self._store, self._sandbox, self._deliveries)
        parts = (
            Data(self._sandbox),
            Pages(self._store, self._sandbox, self._deliveries),
            Agents(self._store, self._sessions, tuning.ping_seconds),
            Webhooks(self._store, self._deliveries),
        )
        routes = [route for part in parts for route in part.routes()]
        app = build(routes, self._key, RateLimit(int(tuning.rate_limit)))
        self._web = WebServer(Faulty(app, self.name, house.faults, injected), house.port(self.name))
        await self._deliveries.start()
        self._sessions.start()
        await self._web.start()

    async def stop(self) -> None:
        if self._web is None:
            return
        await self._web.stop()
        await self._sessions.stop()
        await self._deliveries.stop()
        await self._sandbox.close()
        await self._store.close()

    @property
    def url(self) -> str:
        assert self._web is not None, "not started"
        return self._web.url

    def env(self) -> dict[str, str]:
        return {"AMDAHL_URL": self.url, "API_KEY": self._key}
