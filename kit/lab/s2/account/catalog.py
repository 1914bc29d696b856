"""Basins and streams: creating, listing, changing and deleting them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any

from ...common.store import Store
from ..http.answers import refusal
from ..records.stream import Stream
from ..schema import stored_time
from .configs import Layer, basin_json, basin_patched, resolved, stream_json, stream_patched
from .rows import (
    Basin,
    Page,
    basin_going,
    basin_info,
    basin_of,
    dumps,
    live_basin,
    no_basin,
    no_stream,
    stamp,
    stream_going,
    stream_info,
    stream_row,
)

CREATED, UPDATED, NOOP = "created", "updated", "noop"


class Catalog:
    """The basins and streams of the server. Every change is durable before it is answered."""

    def __init__(self, store: Store, clock: Callable[[], int], deletion_ms: int, location: Callable[[], str]) -> None:
        self._store = store
        self._clock = clock
        self._deletion_ms = deletion_ms
        self._location = location
        self._open: dict[tuple[str, str], Stream] = {}

    def basin(self, name: str) -> Basin:
        """Return the basin with this name, also one that is being deleted."""
        rows = self._store.read("select * from basins where name = ?", (name,))
        if not rows:
            raise no_basin(name)
        return basin_of(rows[0])

    async def create_basin(
        self, name: str, config: Layer, location: str | None, request: str | None
    ) -> tuple[dict[str, Any], str]:
        """Return the new basin; or the one there is, if the same request made it."""
        requested = dumps([config, location])
        place = location or self._location()

        def job(db: sqlite3.Connection) -> tuple[dict[str, Any], str]:
            row = db.execute("select * from basins where name = ?", (name,)).fetchone()
            if row is not None:
                if row["deleted"] is not None:
                    raise basin_going(name)
                if request is not None and (row["request"], row["asked"]) == (request, requested):
                    return basin_info(row), NOOP
                raise refusal("resource_already_exists", f"basin `{name}` already exists")
            return self._insert_basin(db, name, config, place, request, requested), CREATED

        return await self._store.write(job)

    async def ensure_basin(
        self, name: str, config: Layer, location: str | None, *, change: bool = True
    ) -> tuple[dict[str, Any], str]:
        """Return the basin with exactly these settings, and what was done to have it so; refuses to change it if not
        to."""
        place = location or self._location()

        def job(db: sqlite3.Connection) -> tuple[dict[str, Any], str]:
            row = db.execute("select * from basins where name = ?", (name,)).fetchone()
            if row is None:
                return self._insert_basin(db, name, config, place, None, None), CREATED
            if row["deleted"] is not None:
                raise basin_going(name)
            if json.loads(row["config"]) == config:
                return basin_info(row), NOOP
            if not change:
                raise refusal("permission_denied", "the access token does not allow reconfigure-basin")
            db.execute("update basins set config = ? where id = ?", (dumps(config), row["id"]))
            return basin_info(row), UPDATED

        return await self._store.write(job)

    async def patch_basin(self, name: str, patch: Layer) -> dict[str, Any]:
        """Return the basin's settings after the patch."""

        def job(db: sqlite3.Connection) -> dict[str, Any]:
            row = live_basin(db, name)
            config = basin_patched(json.loads(row["config"]), patch)
            db.execute("update basins set config = ? where id = ?", (dumps(config), row["id"]))
            return basin_json(config)

        return await self._store.write(job)

    async def delete_basin(self, name: str) -> None:
        """Begin the deletion of a basin and its streams."""

        def job(db: sqlite3.Connection) -> list[str]:
            row = db.execute("select * from basins where name = ?", (name,)).fetchone()
            if row is None:
                raise no_basin(name)
            if row["deleted"] is not None:
                return []
            gone = (self._stamp(), self._clock() + self._deletion_ms)
            db.execute("update basins set deleted = ?, gone_at = ? where id = ?", (*gone, row["id"]))
            marked = db.execute(
                "update streams set deleted = ?, gone_at = ? where basin = ? and deleted is null returning name",
                (*gone, row["id"]),
            )
            return [stream for (stream,) in marked.fetchall()]

        def mark(streams: list[str]) -> None:
            for stream in streams:
                self._mark(name, stream)

        await self._store.write_then(job, mark)

    def basins(self, page: Page, matches: Callable[[str], bool]) -> tuple[list[dict[str, Any]], bool]:
        """Return basins by name, and whether there are more."""
        rows, more = self._listed("select * from basins where name > ? and name >= ? order by name", (), page, matches)
        return [basin_info(row) for row in rows], more

    def stream(self, basin: str, name: str) -> Stream:
        """Return the stream with this name, to be read or written; refuses one that is being deleted."""
        stream = self.find(basin, name)
        if stream is None:
            self.basin(basin)
            raise no_stream(basin, name)
        if stream.deleted:
            raise stream.gone()
        return stream

    def find(self, basin: str, name: str) -> Stream | None:
        """Return the stream with this name, also one that is being deleted."""
        return self._open.get((basin, name)) or self._load(basin, name)

    def stream_config(self, basin: str, name: str) -> dict[str, Any]:
        """Return a stream's settings, all of them."""
        rows = self._store.read(
            "select streams.* from streams join basins on basins.id = basin where basins.name = ? and streams.name = ?",
            (basin, name),
        )
        if not rows:
            raise no_stream(basin, name)
        if rows[0]["deleted"] is not None:
            raise stream_going(basin, name)
        return stream_json(json.loads(rows[0]["config"]))

    async def create_stream(
        self,
        basin: str,
        name: str,
        layer: Layer,
        request: str | None,
        *,
        ensure: bool = False,
        change: bool = True,
    ) -> tuple[dict[str, Any], str]:
        """Return the new stream; or with `ensure` the one there is, with these settings from now on."""
        requested = dumps(layer)

        def job(db: sqlite3.Connection) -> tuple[dict[str, Any], str, Layer]:
            owner = live_basin(db, basin)
            settings = json.loads(owner["config"])
            config = resolved(settings.get("streams", {}), layer)
            row = stream_row(db, owner["id"], name)
            if row is None:
                row = self._insert_stream(db, owner["id"], name, config, settings.get("cipher"), request, requested)
                return stream_info(row), CREATED, config
            if row["deleted"] is not None:
                raise stream_going(basin, name)
            if not ensure:
                if request is not None and (row["request"], row["asked"]) == (request, requested):
                    return stream_info(row), NOOP, json.loads(row["config"])
                raise refusal("resource_already_exists", f"stream `{name}` in basin `{basin}` already exists")
            if json.loads(row["config"]) == config:
                return stream_info(row), NOOP, config
            if not change:
                raise refusal("permission_denied", "the access token does not allow reconfigure-stream")
            db.execute("update streams set config = ? where id = ?", (dumps(config), row["id"]))
            return stream_info(row), UPDATED, config

        info, done, _ = await self._store.write_then(job, lambda result: self._reconfigure(basin, name, result[2]))
        return info, done

    async def patch_stream(self, basin: str, name: str, patch: Layer) -> dict[str, Any]:
        """Return the stream's settings after the patch."""

        def job(db: sqlite3.Connection) -> Layer:
            owner = live_basin(db, basin)
            row = stream_row(db, owner["id"], name)
            if row is None:
                raise no_stream(basin, name)
            if row["deleted"] is not None:
                raise stream_going(basin, name)
            below = resolved(json.loads(owner["config"]).get("streams", {}))
            config = stream_patched(json.loads(row["config"]), patch, below)
            db.execute("update streams set config = ? where id = ?", (dumps(config), row["id"]))
            return config

        return stream_json(await self._store.write_then(job, lambda config: self._reconfigure(basin, name, config)))

    async def delete_stream(self, basin: str, name: str, *, only_empty: bool = False) -> None:
        """Begin the deletion of a stream."""

        def job(db: sqlite3.Connection) -> bool:
            owner = db.execute("select id from basins where name = ?", (basin,)).fetchone()
            row = None if owner is None else stream_row(db, owner["id"], name)
            if row is None:
                raise no_stream(basin, name)
            if only_empty and row["size"]:
                return False
            if row["deleted"] is None:
                db.execute(
                    "update streams set deleted = ?, gone_at = ? where id = ?",
                    (self._stamp(), self._clock() + self._deletion_ms, row["id"]),
                )
            return True

        def mark(begun: bool) -> None:
            if begun:
                self._mark(basin, name)

        await self._store.write_then(job, mark)

    def streams(self, basin: str, page: Page, matches: Callable[[str], bool]) -> tuple[list[dict[str, Any]], bool]:
        """Return streams of a basin by name, and whether there are more."""
        rows, more = self._listed(
            "select * from streams where basin = ? and name > ? and name >= ? order by name",
            (self.basin(basin).id,),
            page,
            matches,
        )
        return [stream_info(row) for row in rows], more

    def opened(self) -> list[Stream]:
        """Return the streams that were in use since the start."""
        return list(self._open.values())

    def dropped(self, basin: str, name: str, id: int) -> None:
        """Clean up after a stream was removed from the database."""
        stream = self._open.get((basin, name))
        if stream is not None and stream.id == id:
            del self._open[basin, name]

    def _insert_basin(
        self,
        db: sqlite3.Connection,
        name: str,
        config: Layer,
        location: str,
        request: str | None,
        requested: str | None,
    ) -> dict[str, Any]:
        db.execute(
            "insert into basins (name, config, location, created, request, asked) values (?, ?, ?, ?, ?, ?)",
            (name, dumps(config), location, self._stamp(), request, requested),
        )
        return basin_info(db.execute("select * from basins where name = ?", (name,)).fetchone())

    def _insert_stream(
        self,
        db: sqlite3.Connection,
        basin: int,
        name: str,
        config: Layer,
        cipher: str | None,
        request: str | None,
        requested: str,
    ) -> sqlite3.Row:
        db.execute(
            "insert into streams (basin, name, config, cipher, created, request, asked, time, touched)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (basin, name, dumps(config), cipher, self._stamp(), request, requested, stored_time(0), self._clock()),
        )
        row = stream_row(db, basin, name)
        assert row is not None
        return row

    def _load(self, basin: str, name: str) -> Stream | None:
        rows = self._store.read(
            "select streams.* from streams join basins on basins.id = basin where basins.name = ? and streams.name = ?",
            (basin, name),
        )
        if not rows:
            return None
        stream = self._open[basin, name] = Stream(rows[0], basin, json.loads(rows[0]["config"]))
        return stream

    def _reconfigure(self, basin: str, name: str, config: Layer) -> None:
        stream = self._open.get((basin, name))
        if stream is not None:
            stream.config = config

    def _mark(self, basin: str, name: str) -> None:
        stream = self._open.get((basin, name))
        if stream is not None:
            stream.deleted = True
            stream.wake()

    def _listed(
        self, sql: str, owner: tuple[Any, ...], page: Page, matches: Callable[[str], bool]
    ) -> tuple[list[sqlite3.Row], bool]:
        listed: list[sqlite3.Row] = []
        after, first = page.after, page.prefix
        while True:
            rows = self._store.read(f"{sql} limit 1001", (*owner, after, first))
            for row in rows:
                if not row["name"].startswith(page.prefix):
                    return listed, False
                if matches(row["name"]):
                    if len(listed) == page.limit:
                        return listed, True
                    listed.append(row)
            if len(rows) <= 1000:
                return listed, False
            after = rows[-1]["name"]

    def _stamp(self) -> str:
        return stamp(self._clock())
