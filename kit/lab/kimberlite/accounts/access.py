"""API keys, their owners and permissions."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from ....kimberlite.types import MAX_I64
from ....kimberlite.wire.protocol import requests
from ....kimberlite.wire.protocol.structs import ApiKeyInfo
from ...common.store import Store
from ..refusal import INVALID, KEY_NOT_FOUND, UNAUTHORIZED, Refusal

PREFIX = "kmb_live_"
ROLES = ("Admin", "User", "Analyst", "Auditor")
_READS = (
    requests.ReadEvents,
    requests.StreamInfo,
    requests.Subscribe,
    requests.SubscribeCredit,
    requests.Unsubscribe,
    requests.GetServerInfo,
)
_QUERIES = (requests.Query, requests.QueryAt, requests.ListTables, requests.DescribeTable, requests.ListIndexes)
_WRITES = (requests.CreateStream, requests.AppendEvents, requests.Sync, requests.ConsentGrant, requests.ConsentWithdraw)
_LOOKS = (requests.ConsentCheck, requests.ConsentList)
_MAY: dict[str, tuple[type[Any], ...]] = {
    "User": (*_READS, *_QUERIES, *_WRITES, *_LOOKS),
    "Analyst": (*_READS, *_QUERIES, *_LOOKS),
    "Auditor": (*_READS, requests.AuditQuery, requests.VerifyAuditChain),
}
"""Permissions by role; an Admin may do everything, for every tenant."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The owner of a known key."""

    subject: str
    tenant: int
    roles: frozenset[str]
    bound: int = 0
    """The tenant that the connection was opened for; 0 if none was named."""

    @property
    def admin(self) -> bool:
        return "Admin" in self.roles

    def check(self, tenant: int, payload: Any) -> None:
        """Refuse what this identity may not ask of this tenant."""
        if self.bound and tenant != self.bound:
            raise Refusal(
                UNAUTHORIZED,
                f"this connection was opened for tenant {self.bound}, and the request is for tenant {tenant}: open"
                " another connection for that tenant",
            )
        if self.admin:
            return
        if tenant != self.tenant:
            raise Refusal(UNAUTHORIZED, f"access to tenant {tenant} is not allowed")
        if not any(isinstance(payload, _MAY.get(role, ())) for role in self.roles):
            roles = ", ".join(sorted(self.roles))
            raise Refusal(UNAUTHORIZED, f"role {roles} may not send {type(payload).__name__}")

    @property
    def writes(self) -> bool:
        """Whether statements that change something are allowed."""
        return self.admin or "User" in self.roles

    def reads_stream(self, name: str) -> None:
        """Refuse a stream that an Auditor may not see."""
        if self.roles == {"Auditor"} and not name.startswith("audit_"):
            raise Refusal(UNAUTHORIZED, "role Auditor may only read streams named audit_*")


class Keys:
    """The key of this lab, and those that were created with it."""

    def __init__(self, token: str, store: Store) -> None:
        self.key = PREFIX + token
        self._store = store

    def identify(self, token: str) -> Identity | None:
        """Return the owner of a key; None for an unknown key."""
        if hmac.compare_digest(token.encode(), self.key.encode()):
            return Identity("lab", 0, frozenset({"Admin"}))
        rows = self._store.read(
            "select subject, tenant, roles from keys where hash = ? and not revoked"
            " and (expires is null or expires > ?)",
            (_hash(token), time.time_ns()),
        )
        if not rows:
            return None
        return Identity(rows[0]["subject"], rows[0]["tenant"], frozenset(json.loads(rows[0]["roles"])))

    async def register(
        self, subject: str, tenant: int, roles: list[str], expires: int | None
    ) -> tuple[str, ApiKeyInfo]:
        """Return a new key, and its public description."""
        if not roles or any(role not in ROLES for role in roles):
            raise Refusal(INVALID, f"roles must be one or more of {', '.join(ROLES)}")
        if expires is not None and expires > MAX_I64:
            raise Refusal(INVALID, f"expires_at_nanos is at most {MAX_I64}, in the year 2262; leave it out for no end")
        return await self._store.write(lambda db: _insert(db, subject, tenant, roles, expires))

    async def revoke(self, key: str) -> None:
        """End a key."""
        await self._store.write(lambda db: _revoke(db, key))

    async def rotate(self, key: str) -> tuple[str, ApiKeyInfo]:
        """End a key and make another with the same rights."""

        def job(db: sqlite3.Connection) -> tuple[str, ApiKeyInfo]:
            row = _revoke(db, key)
            return _insert(db, row["subject"], row["tenant"], json.loads(row["roles"]), row["expires"])

        return await self._store.write(job)

    def list(self, tenant: int | None) -> list[ApiKeyInfo]:
        """Return the keys in force, of a tenant or of all."""
        rows = self._store.read("select * from keys where not revoked order by rowid")
        return [
            ApiKeyInfo(row["id"], row["subject"], row["tenant"], json.loads(row["roles"]), row["expires"])
            for row in rows
            if tenant in (None, row["tenant"])
        ]


def _insert(
    db: sqlite3.Connection, subject: str, tenant: int, roles: list[str], expires: int | None
) -> tuple[str, ApiKeyInfo]:
    key = PREFIX + secrets.token_hex(32)
    info = ApiKeyInfo(secrets.token_hex(8), subject, tenant, list(roles), expires)
    db.execute(
        "insert into keys (id, hash, subject, tenant, roles, expires) values (?, ?, ?, ?, ?, ?)",
        (info.key_id, _hash(key), subject, tenant, json.dumps(roles), expires),
    )
    return key, info


def _revoke(db: sqlite3.Connection, key: str) -> sqlite3.Row:
    """Return the row of a key that ends here."""
    row: sqlite3.Row | None = db.execute(
        "update keys set revoked = 1 where hash = ? and not revoked returning *", (_hash(key),)
    ).fetchone()
    if row is None:
        raise Refusal(KEY_NOT_FOUND, "API key not found")
    return row


def _hash(key: str) -> bytes:
    # Keys are long and random, so a plain hash is enough.
    return hashlib.sha256(key.encode()).digest()
