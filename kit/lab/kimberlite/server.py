"""The server: its parts put together, started and stopped in order."""

from __future__ import annotations

import asyncio

from ...kimberlite.wire.extensions import EVERYTHING, Extensions
from ..common.store import Store
from ..common.web import WebServer
from ..services import House
from . import demo, schema, side
from .accounts.access import Keys
from .accounts.audit import AuditLog
from .accounts.consents import Consents
from .accounts.tenants import Registry
from .calls import Calls
from .listener import Listener
from .metrics import Metrics
from .sql.workers import Workers
from .streams import Streams
from .tuning import Tuning


class KimberliteServer:
    """The embedded Kimberlite."""

    name = "kimberlite"
    health = ""

    def __init__(self, house: House, tuning: Tuning | None = None) -> None:
        self._house = house
        self._tuning = tuning or Tuning.of()
        self._listener: Listener | None = None
        self._begun: asyncio.Event | None = None
        """Set when `start` is over, well or not."""

    async def start(self) -> None:
        self._begun = asyncio.Event()
        try:
            await self._start()
        finally:
            self._begun.set()

    async def _start(self) -> None:
        house, extensions = self._house, EVERYTHING if self._tuning.extensions else Extensions()
        self._store = Store(house.folder / "kimberlite.sqlite", schema.SQL)
        if house.demo:
            await self._store.write(demo.fill_streams)
        self._streams = Streams(self._store)
        self._workers = Workers(house.folder, self._tuning.statement, extensions)
        # The SQL processes take a moment to start; everything else does not wait for them.
        self._ready = asyncio.ensure_future(self._prepare())
        keys, metrics = Keys(house.token, self._store), Metrics()
        registry = Registry(self._store, self._workers)
        self._audit = AuditLog(self._store)
        self._calls = calls = Calls(
            self._streams,
            self._workers,
            self._ready,
            keys,
            registry,
            self._audit,
            Consents(self._store),
            extensions,
        )
        port = house.port(self.name)
        self._listener = Listener(self._streams, calls, keys, house.faults, metrics, self._tuning, port)
        self._metrics, self._key = metrics, keys.key
        self._side = WebServer(side.build(keys.key, self._counts, self._well))
        await self._side.start()
        await self._listener.start()

    async def _prepare(self) -> None:
        await self._workers.start()
        if self._house.demo:
            await demo.fill_tables(self._workers)
        self._workers.warm()

    def _counts(self) -> str:
        assert self._listener is not None, "not started"
        return self._metrics.text(
            records=self._streams.appended,
            written=self._streams.appended_bytes,
            position=self._workers.position,
            subscribed=self._listener.subscribed,
        )

    def _well(self) -> bool:
        return self._ready.done() and not self._ready.cancelled() and self._ready.exception() is None

    async def stop(self) -> None:
        if self._begun is not None:
            # For example, another server of the lab failed while this one was starting.
            await self._begun.wait()
        if self._listener is None:
            return
        await self._listener.stop()
        await self._side.stop()
        self._ready.cancel()
        await asyncio.gather(self._ready, return_exceptions=True)
        await self._workers.close()
        await self._calls.close()
        await self._audit.close()
        await self._store.close()

    @property
    def url(self) -> str:
        assert self._listener is not None, "not started"
        return f"kimberlite://{self._listener.address}"

    def env(self) -> dict[str, str]:
        assert self._listener is not None, "not started"
        return {
            "KIMBERLITE_ADDRESS": self._listener.address,
            "KIMBERLITE_API_KEY": self._key,
            "KIMBERLITE_TENANT": str(demo.TENANT),
            "KIMBERLITE_METRICS_URL": f"{self._side.url}/metrics",
        }
