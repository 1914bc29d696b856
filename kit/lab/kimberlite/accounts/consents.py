"""Consents: granting, withdrawing and looking them up."""

from __future__ import annotations

import secrets
import sqlite3
import time

from ....kimberlite.wire.protocol import requests, responses
from ....kimberlite.wire.protocol.enums import ConsentPurpose, ConsentScope, GdprArticle
from ....kimberlite.wire.protocol.structs import ConsentBasis, ConsentRecord
from ...common.store import Store
from ..refusal import CONSENT_NOT_FOUND, INVALID, Refusal


class Consents:
    """The consents of all tenants."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def grant(self, tenant: int, request: requests.ConsentGrant) -> responses.ConsentGrant:
        if not request.subject_id:
            raise Refusal(INVALID, "a consent needs a subject_id")
        id, now = secrets.token_hex(16), time.time_ns()
        basis = request.basis
        row = (
            id,
            tenant,
            request.subject_id,
            int(request.purpose),
            int(request.scope or ConsentScope.ALL_DATA),
            now,
            None,
            None if basis is None else int(basis.article),
            None if basis is None else basis.justification,
            request.terms_version,
            request.accepted,
        )
        await self._store.write(
            lambda db: db.execute("insert into consents values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        )
        return responses.ConsentGrant(id, now)

    async def withdraw(self, tenant: int, id: str) -> responses.ConsentWithdraw:
        now = time.time_ns()

        def job(db: sqlite3.Connection) -> int:
            return db.execute(
                "update consents set withdrawn = ? where tenant = ? and id = ? and withdrawn is null", (now, tenant, id)
            ).rowcount

        if not await self._store.write(job):
            raise Refusal(CONSENT_NOT_FOUND, f"consent {id[:100]} not found")
        return responses.ConsentWithdraw(now)

    def check(self, tenant: int, subject: str, purpose: ConsentPurpose) -> responses.ConsentCheck:
        rows = self._store.read(
            "select 1 from consents where tenant = ? and subject = ? and purpose = ? and withdrawn is null and accepted"
            " limit 1",
            (tenant, subject, int(purpose)),
        )
        return responses.ConsentCheck(bool(rows))

    def list(self, tenant: int, subject: str, valid_only: bool) -> responses.ConsentList:
        rows = self._store.read(
            "select * from consents where tenant = ? and subject = ? order by rowid", (tenant, subject)
        )
        return responses.ConsentList(
            [_record(row) for row in rows if not valid_only or (row["withdrawn"] is None and row["accepted"])]
        )


def _record(row: sqlite3.Row) -> ConsentRecord:
    article = row["article"]
    return ConsentRecord(
        consent_id=row["id"],
        subject_id=row["subject"],
        purpose=ConsentPurpose(row["purpose"]),
        scope=ConsentScope(row["scope"]),
        granted_at_nanos=row["granted"],
        withdrawn_at_nanos=row["withdrawn"],
        expires_at_nanos=None,
        notes=None,
        basis=None if article is None else ConsentBasis(GdprArticle(article), row["justification"]),
        terms_version=row["terms"],
        accepted=bool(row["accepted"]),
    )
