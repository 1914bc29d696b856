"""The control plane: requests about basins, streams and locations."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from ....s2.errors import WireError
from ....s2.wire.fields import json_object, text
from ...common.store import Store
from ..http.answers import answer_json, refusal
from ..http.call import Call
from .catalog import CREATED, Catalog
from .configs import basin_json, basin_layer, basin_patch, stream_layer, stream_patch
from .names import basin_fault, location_fault, stream_fault
from .rows import Page

LOCATIONS = (
    {"name": "aws:us-east-1", "is_private": False},
    {"name": "aws:eu-central-1", "is_private": False},
    {"name": "lab:here", "is_private": True},
)
DEFAULT_LOCATION = "aws:us-east-1"
_STORAGE = {"storage_classes": ["standard", "express"], "default_storage_class": "express"}


class Basins:
    """`/v1/basins`"""

    def __init__(self, catalog: Catalog, locations: Locations) -> None:
        self._catalog = catalog
        self._locations = locations

    async def listing(self, call: Call) -> None:
        call.permit("list-basins")
        infos, more = self._catalog.basins(call.page("basin"), call.principal.basins)
        await answer_json(call.exchange, {"basins": infos, "has_more": more})

    async def create(self, call: Call) -> None:
        request = call.request_token
        fields = json_object(await call.json(), "basin")
        name = _named(fields, "basin", basin_fault)
        config = basin_layer({} if fields.get("config") is None else fields["config"])
        location = self._locations.known(fields.get("location"))
        call.permit("create-basin", basin=name)
        info, done = await self._catalog.create_basin(name, config, location, request)
        await answer_json(call.exchange, info, 201, s2_provision_result=done)

    async def ensure(self, call: Call) -> None:
        name = call.name(1, basin_fault)
        body = await call.maybe_json()
        fields: Any = {} if body is None else json_object(body, "basin")
        config = basin_layer({} if fields.get("config") is None else fields["config"])
        location = self._locations.known(fields.get("location"))
        call.permit("create-basin", basin=name)
        change = "reconfigure-basin" in call.principal.operations
        info, done = await self._catalog.ensure_basin(name, config, location, change=change)
        await answer_json(call.exchange, info, 201 if done == CREATED else 200, s2_provision_result=done)

    async def config(self, call: Call) -> None:
        name = call.name(1, basin_fault)
        call.permit("get-basin-config", basin=name)
        await answer_json(call.exchange, basin_json(self._catalog.basin(name).config))

    async def patch(self, call: Call) -> None:
        name = call.name(1, basin_fault)
        patch = basin_patch(await call.json())
        call.permit("reconfigure-basin", basin=name)
        await answer_json(call.exchange, await self._catalog.patch_basin(name, patch))

    async def delete(self, call: Call) -> None:
        name = call.name(1, basin_fault)
        call.permit("delete-basin", basin=name)
        await self._catalog.delete_basin(name)
        await call.exchange.answer(202, {}, b"")


class Streams:
    """`/v1/streams`"""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def listing(self, call: Call) -> None:
        call.permit("list-streams", basin=call.basin)
        page, prefix = call.page("stream"), call.principal.prefix
        if prefix:
            page = Page(prefix + page.prefix, prefix + page.after if page.after else "", page.limit)
        infos, more = self._catalog.streams(call.basin, page, call.principal.streams)
        await answer_json(call.exchange, {"streams": [call.shown(info) for info in infos], "has_more": more})

    async def create(self, call: Call) -> None:
        basin, request = call.basin, call.request_token
        fields = json_object(await call.json(), "stream")
        name = call.full(_named(fields, "stream", stream_fault))
        layer = stream_layer({} if fields.get("config") is None else fields["config"])
        call.permit("create-stream", basin=basin, stream=name)
        info, done = await self._catalog.create_stream(basin, name, layer, request)
        await answer_json(call.exchange, call.shown(info), 201, s2_provision_result=done)

    async def ensure(self, call: Call) -> None:
        basin, name = call.basin, call.stream
        body = await call.maybe_json()
        layer = stream_layer({} if body is None else body)
        call.permit("create-stream", basin=basin, stream=name)
        change = "reconfigure-stream" in call.principal.operations
        info, done = await self._catalog.create_stream(basin, name, layer, None, ensure=True, change=change)
        await answer_json(call.exchange, call.shown(info), 201 if done == CREATED else 200, s2_provision_result=done)

    async def config(self, call: Call) -> None:
        call.permit("get-stream-config", basin=call.basin, stream=call.stream)
        await answer_json(call.exchange, self._catalog.stream_config(call.basin, call.stream))

    async def patch(self, call: Call) -> None:
        basin, name = call.basin, call.stream
        patch = stream_patch(await call.json())
        call.permit("reconfigure-stream", basin=basin, stream=name)
        await answer_json(call.exchange, await self._catalog.patch_stream(basin, name, patch))

    async def delete(self, call: Call) -> None:
        call.permit("delete-stream", basin=call.basin, stream=call.stream)
        await self._catalog.delete_stream(call.basin, call.stream)
        await call.exchange.answer(202, {}, b"")


class Locations:
    """`/v1/locations`"""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def default(self) -> str:
        """Where a basin is made that does not say where."""
        rows = self._store.read("select value from settings where name = 'location'")
        return str(rows[0]["value"]) if rows else DEFAULT_LOCATION

    def known(self, value: Any) -> str | None:
        """Return a location that was asked for, checked."""
        if value is None:
            return None
        fault = location_fault(text(value, "location"))
        if fault:
            raise WireError(fault)
        if all(location["name"] != value for location in LOCATIONS):
            raise refusal("invalid", f"there is no location `{value}`")
        return str(value)

    async def listing(self, call: Call) -> None:
        call.permit("list-locations")
        await answer_json(call.exchange, [{**location, **_STORAGE} for location in LOCATIONS])

    async def get_default(self, call: Call) -> None:
        call.permit("get-default-location")
        await self._answer(call, self.default)

    async def set_default(self, call: Call) -> None:
        name = self.known(await call.json())
        if name is None:
            raise WireError("a location must be a string, not null")
        call.permit("set-default-location")

        def job(db: sqlite3.Connection) -> None:
            db.execute("insert or replace into settings values ('location', ?)", (name,))

        await self._store.write(job)
        await self._answer(call, name)

    async def _answer(self, call: Call, name: str) -> None:
        known = next(location for location in LOCATIONS if location["name"] == name)
        await answer_json(call.exchange, {**known, **_STORAGE})


def _named(fields: Any, what: str, fault: Callable[[str], str | None]) -> str:
    name = text(fields.get(what), what)
    why = fault(name)
    if why:
        raise WireError(why)
    return name
