"""Webhook registrations."""

from __future__ import annotations

import secrets
import sqlite3
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ....core.http.loopback import is_loopback
from ...common.store import Store
from ..answers import Refusal, answer, nothing
from ..fields import Fields, body_of, now, stamp, wrong
from .deliveries import BUSINESS, STATUSES, Deliveries
from .lists import listing

EVENTS = (
    "artifact.created",
    "artifact.updated",
    "artifact.status_changed",
    "session.completed",
    "session.failed",
    "audit_log.entry_created",
)
USER = "user_lab"


class Webhooks:
    """The endpoints below /webhooks."""

    def __init__(self, store: Store, deliveries: Deliveries) -> None:
        self._store = store
        self._deliveries = deliveries

    def routes(self) -> list[Route]:
        return [
            Route("/webhooks", self.list, methods=["GET"]),
            Route("/webhooks", self.create, methods=["POST"]),
            Route("/webhooks/{id}", self.get, methods=["GET"]),
            Route("/webhooks/{id}", self.update, methods=["PATCH"]),
            Route("/webhooks/{id}", self.delete, methods=["DELETE"]),
            Route("/webhooks/{id}/deliveries", self.deliveries, methods=["GET"]),
        ]

    async def list(self, request: Request) -> Response:
        return listing(self._store, request, "webhooks", shown, statuses=("active", "inactive"))

    async def get(self, request: Request) -> Response:
        return answer(shown(self._row(request.path_params["id"])))

    async def create(self, request: Request) -> Response:
        fields = await body_of(request)
        url, events = _url(fields), _events(fields)
        description = fields.maybe_text("description", limit=1000)
        secret = fields.text("secret", limit=256) if fields.values.get("secret") is not None else secrets.token_hex(32)
        active = fields.flag("active", True)
        hook_id, at = f"whk_{secrets.token_hex(12)}", now()

        def write(db: sqlite3.Connection) -> None:
            # Before it is stored, so that a webhook gets no delivery about its own registration.
            self._deliveries.audit(db, "webhook.created", hook_id)
            db.execute(
                "insert into webhooks"
                " (id, url, events, description, active, secret, status, words, created_at, updated_at)"
                " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    hook_id,
                    url,
                    " ".join(events),
                    description,
                    active,
                    secret,
                    *_derived(active, url, description),
                    at,
                    at,
                ),
            )

        await self._store.write(write)
        self._deliveries.wake()
        return answer({**shown(self._row(hook_id)), "secret": secret}, 201)

    async def update(self, request: Request) -> Response:
        hook_id = request.path_params["id"]
        fields = await body_of(request)
        self._row(hook_id)
        changes: dict[str, Any] = {}
        if fields.values.get("url") is not None:
            changes["url"] = _url(fields)
        if fields.values.get("events") is not None:
            changes["events"] = " ".join(_events(fields))
        if "description" in fields:
            changes["description"] = fields.maybe_text("description", limit=1000)
        if fields.values.get("active") is not None:
            changes["active"] = fields.flag("active", True)
        if not changes:
            raise Refusal(400, "nothing to change; a webhook has url, events, description, active")

        def write(db: sqlite3.Connection) -> None:
            row = db.execute("select * from webhooks where id = ?", (hook_id,)).fetchone()
            if row is None:
                raise _unknown(hook_id)
            after = {**{name: row[name] for name in ("url", "events", "description", "active")}, **changes}
            after["status"], after["words"] = _derived(after["active"], after["url"], after["description"])
            db.execute(
                "update webhooks set url = :url, events = :events, description = :description, active = :active,"
                " status = :status, words = :words, updated_at = max(updated_at + 1, :at) where id = :id",
                {**after, "at": now(), "id": hook_id},
            )
            self._deliveries.audit(db, "webhook.updated", hook_id)

        await self._store.write(write)
        self._deliveries.wake()
        return answer(shown(self._row(hook_id)))

    async def delete(self, request: Request) -> Response:
        hook_id = request.path_params["id"]

        def write(db: sqlite3.Connection) -> None:
            if not db.execute("delete from webhooks where id = ?", (hook_id,)).rowcount:
                raise _unknown(hook_id)
            self._deliveries.audit(db, "webhook.deleted", hook_id)

        await self._store.write(write)
        self._deliveries.wake()
        return nothing()

    async def deliveries(self, request: Request) -> Response:
        hook_id = request.path_params["id"]
        self._row(hook_id)
        return listing(self._store, request, "deliveries", _delivery, statuses=STATUSES, within=("webhook_id", hook_id))

    def _row(self, hook_id: str) -> sqlite3.Row:
        rows = self._store.read("select * from webhooks where id = ?", (hook_id,))
        if not rows:
            raise _unknown(hook_id)
        return rows[0]


def _url(fields: Fields) -> str:
    url = fields.text("url", limit=2000)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise wrong("url", "is not a URL") from None
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise wrong("url", "must be an http or https URL")
    if not is_loopback(url):
        raise wrong("url", "this server delivers to its own machine only: use http://127.0.0.1:<port>/...")
    return url


def _events(fields: Fields) -> list[str]:
    if fields.values.get("events") is None:
        raise wrong("events", "missing; it must be an array of event names")
    events = fields.texts("events")
    if not events:
        raise wrong("events", f"must not be empty; there are {', '.join(EVENTS)}")
    for event in events:
        if event not in EVENTS:
            raise wrong("events", f"{event[:80]!r} is not one of {', '.join(EVENTS)}")
    return list(dict.fromkeys(events))


def _derived(active: bool, url: str, description: str | None) -> tuple[str, str]:
    return "active" if active else "inactive", f"{url}\n{description or ''}".casefold()


def _unknown(hook_id: str) -> Refusal:
    return Refusal(404, f"no webhook has the id {hook_id[:80]!r}")


def shown(row: sqlite3.Row) -> dict[str, Any]:
    """Return a webhook in the service's form, without its secret, which only the registration returns."""
    last = row["last_delivery_at"]
    return {
        "id": row["id"],
        "business_id": BUSINESS,
        "user_id": USER,
        "url": row["url"],
        "events": row["events"].split(),
        "description": row["description"],
        "active": bool(row["active"]),
        "failure_count": row["failure_count"],
        "last_error": row["last_error"],
        "last_delivery_at": None if last is None else stamp(last),
        "created_at": stamp(row["created_at"]),
        "updated_at": stamp(row["updated_at"]),
    }


def _delivery(row: sqlite3.Row) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("id", "webhook_id", "event", "status", "attempts", "last_error")},
        "created_at": stamp(row["created_at"]),
        "updated_at": stamp(row["updated_at"]),
    }
