"""The server: its parts put together, started and stopped in order."""

from __future__ import annotations

import time

from ..common.faults import Faulty
from ..common.store import Store
from ..common.web import WebServer
from ..services import House
from . import demo, schema
from .answers import injected
from .app import Desk, build
from .keys import Keys, RateLimit, main_key
from .model.runs import Pool
from .routes import chat, control, described, health, process, streams, tasks, usage
from .tuning import Tuning
from .usage_store import UsageStore


class ClaudeServer:
    """The embedded Claude Code API service."""

    name = "claude"
    health = "/health"

    def __init__(self, house: House, tuning: Tuning | None = None) -> None:
        self._house = house
        self._tuning = tuning or Tuning.of()
        self._key = main_key(house.token)
        self._web: WebServer | None = None

    async def start(self) -> None:
        house, tuning = self._house, self._tuning
        self._store = Store(house.folder / "claude.sqlite", schema.SQL)
        if house.demo:
            await self._store.write(demo.fill)
        desk = Desk(
            Keys(self._store),
            UsageStore(self._store),
            Pool(max(1, int(tuning.workers))),
            RateLimit(tuning.window),
            tuning,
            self._key,
            house.folder,
            time.monotonic(),
        )
        # The key is made of this lab's token and must end with it, as the data may outlive the lab.
        desk.keys.know(self._key, demo.PROJECT, max(1, int(tuning.rate_limit)), "enterprise")
        parts = (chat, tasks, usage, process, streams, health, described, control)
        app = build(desk, [route for part in parts for route in part.routes(desk)])
        self._web = WebServer(Faulty(app, self.name, house.faults, injected), house.port(self.name))
        await self._web.start()

    async def stop(self) -> None:
        if self._web is None:
            return
        await self._web.stop()
        await self._store.close()

    @property
    def url(self) -> str:
        assert self._web is not None, "not started"
        return self._web.url

    def env(self) -> dict[str, str]:
        return {"CLAUDE_API_URL": self.url, "CLAUDE_API_KEY": self._key}
