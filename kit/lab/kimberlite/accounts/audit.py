"""The log of who did what: each entry holds the hash of the one before it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import sqlite3
import time
from typing import Any

from ....kimberlite.wire.protocol import requests, responses
from ....kimberlite.wire.protocol.structs import Audit, AuditEventInfo
from ...common.store import Store

_START = bytes(32)
_MOST = 10_000
_HASHED = ("id", "at", "action", "tenant", "subject", "actor", "reason", "correlation", "request")


class AuditLog:
    """Entries of all tenants in one chain; each tenant is shown its own."""

    def __init__(self, store: Store) -> None:
        self._store = store

        self._late: set[asyncio.Task[None]] = set()

    async def add(
        self,
        action: str,
        tenant: int,
        audit: Audit | None,
        actor: str,
        subject: str | None = None,
        *,
        done: bool = True,
    ) -> None:
        """Add an entry. What the request says of itself goes into it.

        An action that is `done` can no longer be refused: if the disk is full, its entry follows as soon as there is
        room.
        """
        context = audit or Audit()
        values = {
            "id": secrets.token_hex(16),
            "at": time.time_ns(),
            "action": action,
            "tenant": tenant,
            "subject": subject,
            "actor": context.actor or actor,
            "reason": context.reason,
            "correlation": context.correlation_id,
            "request": context.idempotency_key,
        }

        def job(db: sqlite3.Connection) -> None:
            last = db.execute("select hash from audit order by n desc limit 1").fetchone()
            hashed = _hash(last[0] if last else _START, values)
            db.execute(
                "insert into audit (id, at, action, tenant, subject, actor, reason, correlation, request, hash)"
                " values (:id, :at, :action, :tenant, :subject, :actor, :reason, :correlation, :request, :hash)",
                {**values, "hash": hashed},
            )

        try:
            await self._store.write(job)
        except sqlite3.OperationalError:
            if not done:
                raise
            late = asyncio.ensure_future(self._store.write_once_possible(job))
            self._late.add(late)
            late.add_done_callback(self._late.discard)

    async def close(self) -> None:
        """Give up the entries for which there was no room."""
        for late in self._late:
            late.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    def find(self, tenant: int, request: requests.AuditQuery) -> responses.AuditQuery:
        """Return the entries of a tenant that a query names, oldest first."""
        most = min(_MOST if request.limit is None else request.limit, _MOST)
        rows = self._store.read(
            "select * from audit where tenant = :tenant and (:subject is null or subject = :subject)"
            " and (:action is null or action = :action) and (:actor is null or actor = :actor)"
            " and at between :start and :stop order by n limit :most",
            {
                "tenant": tenant,
                "subject": request.subject_id,
                "action": request.action_type,
                "actor": request.actor,
                "start": _signed(request.time_from_nanos, 0),
                "stop": _signed(request.time_to_nanos, 2**63 - 1),
                "most": most,
            },
        )
        return responses.AuditQuery([_event(row) for row in rows])

    def verify(self) -> responses.VerifyAuditChain:
        """Return whether every entry has the hash that it should have."""
        last, count = _START, 0
        for row in self._store.read("select * from audit order by n"):
            if _hash(last, {name: row[name] for name in _HASHED}) != row["hash"]:
                return responses.VerifyAuditChain(False, count, last.hex(), count, f"entry {row['id']} was changed")
            last = row["hash"]
            count += 1
        return responses.VerifyAuditChain(True, count, last.hex(), None, None)


def _signed(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else min(value, 2**63 - 1)


def _hash(last: bytes, values: dict[str, Any]) -> bytes:
    text = json.dumps([values[name] for name in _HASHED], ensure_ascii=False)
    return hashlib.sha256(last + text.encode()).digest()


def _event(row: sqlite3.Row) -> AuditEventInfo:
    return AuditEventInfo(
        event_id=row["id"],
        timestamp_nanos=row["at"],
        action=row["action"],
        subject_id=row["subject"],
        actor=row["actor"],
        tenant_id=row["tenant"],
        ip_address=None,
        correlation_id=row["correlation"],
        request_id=row["request"],
        reason=row["reason"],
        source_country=None,
        changed_field_names=[],
    )
