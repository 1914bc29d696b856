"""Access tokens: issuing, listing, revoking and looking them up."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from ....s2.errors import WireError
from ....s2.wire.fields import flag, json_object, maybe, text
from ...common.store import Store
from ..http.answers import answer_json, refusal
from ..http.call import Call
from .names import token_fault
from .rows import stamp
from .scopes import ROOT, Principal, principal_of

_PREFIX = "s2lab_"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FRACTION = re.compile(r"\.(\d+)")
_ALL = {"prefix": ""}
_BOTH = {"read": True, "write": True}
_LAB = {
    "id": "lab",
    "expires_at": None,
    "auto_prefix_streams": False,
    "scope": {
        "basins": _ALL,
        "streams": _ALL,
        "access_tokens": _ALL,
        "op_groups": {"account": _BOTH, "basin": _BOTH, "stream": _BOTH},
        "ops": None,
    },
}
"""The entry of the lab's first token in the listing."""


class Tokens:
    """The root token, which allows everything, and the issued tokens."""

    def __init__(self, store: Store, root: str, clock: Callable[[], int]) -> None:
        self._store = store
        self._root = root.encode()
        self._clock = clock
        self._known: dict[bytes, Principal] = {}

    def bearer(self, authorization: str) -> Principal:
        """Return who sends this header."""
        scheme, _, secret = authorization.partition(" ")
        token = secret.strip().encode("utf-8", "replace")
        if scheme.lower() != "bearer" or not token:
            raise refusal("authn", "an access token is needed: send it as Authorization: Bearer <token>")
        if hmac.compare_digest(token, self._root):
            return ROOT
        hashed = _hash(token)
        principal = self._known.get(hashed)
        if principal is None:
            rows = self._store.read("select told from tokens where hash = ?", (hashed,))
            if not rows:
                raise refusal("authn", "the access token is not known")
            principal = self._known[hashed] = _principal(json.loads(rows[0]["told"]))
        if principal.expires is not None and principal.expires <= self._clock():
            raise refusal("authn", "the access token has expired")
        return principal

    async def issue(self, call: Call) -> None:
        fields = json_object(await call.json(), "access token")
        id = text(fields.get("id"), "id")
        fault = token_fault(id)
        if fault:
            raise WireError(fault)
        auto_prefix = bool(maybe(flag, fields.get("auto_prefix_streams"), "auto_prefix_streams"))
        issuer = call.principal
        expires, written = _expiry(fields.get("expires_at"))
        if expires is None:
            expires = issuer.expires
            written = None if expires is None else stamp(expires)
        elif expires <= self._clock():
            raise refusal("invalid", "expires_at is in the past")
        scope = fields.get("scope")
        principal = principal_of(scope, auto_prefix, expires)
        if issuer.prefix:
            # The issuer's names of streams are below its own prefix.
            principal = Principal(
                principal.operations,
                principal.basins,
                principal.streams.below(issuer.prefix),
                principal.tokens,
                issuer.prefix + principal.prefix,
                principal.expires,
            )
        call.permit("issue-access-token", token=id)
        if not issuer.covers(principal):
            raise refusal("permission_denied", "an access token cannot allow more than the one that issues it")
        token = _PREFIX + secrets.token_urlsafe(32)
        info = {
            "id": id,
            "expires_at": written,
            "auto_prefix_streams": auto_prefix,
            "scope": scope,
        }
        stored = json.dumps({"info": info, "expires": expires, "prefix": principal.prefix, "below": issuer.prefix})

        def job(db: sqlite3.Connection) -> None:
            self._drop_expired(db)
            if id == _LAB["id"]:
                raise refusal("resource_already_exists", f"access token `{id}` already exists")
            try:
                db.execute("insert into tokens values (?, ?, ?, ?)", (id, _hash(token.encode()), stored, expires))
            except sqlite3.IntegrityError:
                raise refusal("resource_already_exists", f"access token `{id}` already exists") from None

        await self._store.write(job)
        await answer_json(call.exchange, {"access_token": token}, 201)

    async def listing(self, call: Call) -> None:
        call.permit("list-access-tokens")
        page = call.page("token")
        matches = call.principal.tokens
        rows = self._store.read(
            "select id, told from tokens where id > ? and id >= ? and (expires is null or expires > ?) order by id",
            (page.after, page.prefix, self._clock()),
        )
        everything = sorted(
            [json.loads(row["told"])["info"] for row in rows] + [_LAB], key=lambda info: str(info["id"])
        )
        tokens = [
            info
            for info in everything
            if info["id"] > page.after and info["id"].startswith(page.prefix) and matches(info["id"])
        ]
        infos = tokens[: page.limit]
        await answer_json(call.exchange, {"access_tokens": infos, "has_more": len(tokens) > page.limit})

    async def revoke(self, call: Call) -> None:
        id = call.name(1, token_fault)
        call.permit("revoke-access-token", token=id)
        if id == _LAB["id"]:
            raise refusal("permission_denied", "the lab's own access token cannot be revoked")

        def job(db: sqlite3.Connection) -> None:
            self._drop_expired(db)
            if not db.execute("delete from tokens where id = ?", (id,)).rowcount:
                raise refusal("access_token_not_found", f"access token `{id}` not found")

        await self._store.write_then(job, lambda _: self._known.clear())
        await call.exchange.answer(204, {}, b"")

    def _drop_expired(self, db: sqlite3.Connection) -> None:
        db.execute("delete from tokens where expires <= ?", (self._clock(),))


def _principal(stored: dict[str, Any]) -> Principal:
    info = stored["info"]
    principal = principal_of(info["scope"], info["auto_prefix_streams"], stored["expires"])
    return Principal(
        principal.operations,
        principal.basins,
        principal.streams.below(stored["below"]),
        principal.tokens,
        stored["prefix"],
        principal.expires,
    )


def _hash(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _expiry(value: Any) -> tuple[int | None, str | None]:
    """Return a time in milliseconds, and as it is listed: in UTC, to the last digit that was given."""
    if value is None:
        return None, None
    time_text = text(value, "expires_at")
    try:
        given = datetime.fromisoformat(time_text)
        if given.tzinfo is None:
            raise WireError("expires_at must have an offset from UTC")
        when = given.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter for the first and the last hours that there are
        raise WireError("expires_at must be an RFC 3339 time") from None
    match = _FRACTION.search(time_text)
    fraction = match[1].rstrip("0") if match else ""
    second = when.replace(microsecond=0)
    written = second.strftime("%Y-%m-%dT%H:%M:%S") + (f".{fraction}" if fraction else "") + "Z"
    return (second - _EPOCH) // timedelta(milliseconds=1) + when.microsecond // 1000, written
