"""The tenants that the server knows: registered ones, and those that have written something."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from ....kimberlite.wire.protocol.structs import TenantInfo
from ...common.store import Store
from ..refusal import TENANT_EXISTS, TENANT_NOT_FOUND, Refusal
from ..sql.workers import Workers


class Registry:
    """Tenants by id."""

    def __init__(self, store: Store, workers: Workers) -> None:
        self._store = store
        self._workers = workers
        self._known = {row["id"] for row in store.read("select id from tenants")}

    def __len__(self) -> int:
        return len(self._known)

    async def note(self, tenant: int) -> None:
        """Register a tenant that writes for the first time."""
        if tenant not in self._known:
            await self._store.write_then(lambda db: _add(db, tenant, None), lambda _: self._known.add(tenant))

    async def create(self, tenant: int, name: str | None) -> tuple[TenantInfo, bool]:
        """Register a tenant; the second is False if it was registered already."""

        def job(db: sqlite3.Connection) -> bool:
            row = db.execute("select name from tenants where id = ?", (tenant,)).fetchone()
            if row is None:
                _add(db, tenant, name)
                return True
            if name is not None and row["name"] is None:
                db.execute("update tenants set name = ? where id = ?", (name, tenant))
            elif name not in (None, row["name"]):
                raise Refusal(TENANT_EXISTS, f"tenant {tenant} already exists with another name")
            return False

        created = await self._store.write_then(job, lambda _: self._known.add(tenant))
        return await self.get(tenant), created

    async def get(self, tenant: int) -> TenantInfo:
        """Return a tenant's entry; refuse an unknown one."""
        rows = self._store.read("select * from tenants where id = ?", (tenant,))
        if not rows:
            raise Refusal(TENANT_NOT_FOUND, f"tenant {tenant} not found")
        return await self._info(rows[0])

    async def list(self) -> list[TenantInfo]:
        """Return all tenants, by id."""
        return [await self._info(row) for row in self._store.read("select * from tenants order by id")]

    async def delete(self, tenant: int) -> tuple[bool, int]:
        """Forget a tenant; whether there was one, and how many tables it had."""
        dropped = await self._workers.drop_all(tenant) if tenant in self._known else 0

        def job(db: sqlite3.Connection) -> bool:
            return db.execute("delete from tenants where id = ?", (tenant,)).rowcount > 0

        deleted = await self._store.write_then(job, lambda _: self._known.discard(tenant))
        return deleted, dropped

    async def _info(self, row: Any) -> TenantInfo:
        tables = await self._workers.ask("tables", row["id"])
        return TenantInfo(row["id"], row["name"], len(tables), row["made"])


def _add(db: sqlite3.Connection, tenant: int, name: str | None) -> None:
    db.execute("insert or ignore into tenants (id, name, made) values (?, ?, ?)", (tenant, name, time.time_ns()))
