"""The server: its parts put together, started and stopped in order."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..common.store import Store
from ..services import House
from . import demo, schema
from .account.catalog import Catalog
from .account.control import Basins, Locations, Streams
from .account.tokens import Tokens
from .account.usage import Usage
from .data_plane import DataPlane
from .http.app import NAME, Api, Routes, guarded
from .http.fault_injection import FaultInjection
from .http.listener import Listener
from .records import appends, reads
from .records.chunk_cache import ChunkCache
from .records.chunks import Chunk
from .records.log import Log
from .records.stream import Stream
from .records.sweeper import Sweeper
from .tuning import Tuning, now

_PAGE = 16384


class S2Server:
    """The embedded S2."""

    name = "s2"
    health = "/health"

    def __init__(self, house: House, tuning: Tuning | None = None, clock: Callable[[], int] = now) -> None:
        self._house = house
        self._tuning = tuning or Tuning.of()
        self._clock = clock
        self._listener: Listener | None = None

    async def start(self) -> None:
        house, tuning, clock = self._house, self._tuning, self._clock
        path = house.folder / "s2.sqlite"
        _prepare(path)
        self._store = Store(path, schema.SQL)
        if house.demo:
            await self._store.write(partial(demo.fill, now=clock()))
        self._chunk_cache = ChunkCache(path)
        self.usage = Usage(self._store, clock)
        self._log = Log(self._store, self._chunk_cache, clock, self._stored)
        locations = Locations(self._store)
        deletion = round(tuning.deletion * 1000)
        catalog = Catalog(self._store, clock, deletion, lambda: locations.default)
        tokens = Tokens(self._store, house.token, clock)
        data_plane = DataPlane(catalog, self._log, self._chunk_cache, self.usage, tuning)
        self.sweeper = Sweeper(self._store, catalog, self._log, self._chunk_cache, self.usage, clock, tuning.sweep)
        routes = _routes(data_plane, Basins(catalog, locations), Streams(catalog), locations, tokens)
        api = Api(routes, tokens, self.usage, tuning)
        self._listener = Listener(guarded(FaultInjection(api, self.name, house.faults)), house.port(self.name))
        self.sweeper.start()
        await self._listener.start()

    async def stop(self) -> None:
        if self._listener is None:
            return
        await self._listener.stop()
        await self._log.flushed()
        await self.sweeper.stop()
        await self.usage.flush()
        await self._store.close()
        self._chunk_cache.close()

    @property
    def url(self) -> str:
        assert self._listener is not None, "not started"
        return self._listener.url

    def env(self) -> dict[str, str]:
        return {
            "S2_ACCESS_TOKEN": self._house.token,
            "S2_ACCOUNT_ENDPOINT": self.url,
            "S2_BASIN_ENDPOINT": self.url,
        }

    def _stored(self, stream: Stream, chunk: Chunk) -> None:
        self.usage.count("append", stream.basin, stream.name)
        self.usage.count("append-bytes", stream.basin, stream.name, chunk.size)
        self.usage.level(stream.basin, stream.name, stream.size)


def _routes(data_plane: DataPlane, basins: Basins, streams: Streams, locations: Locations, tokens: Tokens) -> Routes:
    usage = data_plane.usage
    return {
        ("basins",): {"GET": basins.listing, "POST": basins.create},
        ("basins", NAME): {
            "GET": basins.config,
            "PUT": basins.ensure,
            "PATCH": basins.patch,
            "DELETE": basins.delete,
        },
        ("streams",): {"GET": streams.listing, "POST": streams.create},
        ("streams", NAME): {
            "GET": streams.config,
            "PUT": streams.ensure,
            "PATCH": streams.patch,
            "DELETE": streams.delete,
        },
        ("streams", NAME, "records"): {
            "GET": partial(reads.read, data_plane),
            "POST": partial(appends.append, data_plane),
        },
        ("streams", NAME, "records", "tail"): {"GET": partial(reads.tail, data_plane)},
        ("access-tokens",): {"GET": tokens.listing, "POST": tokens.issue},
        ("access-tokens", NAME): {"DELETE": tokens.revoke},
        ("locations",): {"GET": locations.listing},
        ("locations", "default"): {"GET": locations.get_default, "PUT": locations.set_default},
        ("metrics",): {"GET": usage.account},
        ("metrics", NAME): {"GET": usage.basin},
        ("metrics", NAME, NAME): {"GET": usage.stream},
    }


def _prepare(path: Path) -> None:
    """Give a new database large pages: most of what it holds is large."""
    if not path.exists():
        db = sqlite3.connect(path)
        db.execute(f"pragma page_size = {_PAGE}")
        db.execute("vacuum")
        db.close()
