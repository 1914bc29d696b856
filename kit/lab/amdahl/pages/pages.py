"""Pages: named specs with the queries that they show."""

from __future__ import annotations

import json
import secrets
import sqlite3
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...common.store import Store
from ..answers import Refusal, answer, compact, nothing
from ..fields import Fields, body_of, now, stamp, wrong
from ..sql.sandbox import Sandbox
from .deliveries import BUSINESS, Deliveries
from .lists import listing
from .specs import judge

ACTIVE, ARCHIVED = STATUSES = ("active", "archived")
FIELDS = ("name", "description", "tags", "declared_queries", "spec")


class Pages:
    """The endpoints below /pages."""

    def __init__(self, store: Store, sandbox: Sandbox, deliveries: Deliveries) -> None:
        self._store = store
        self._sandbox = sandbox
        self._deliveries = deliveries

    def routes(self) -> list[Route]:
        return [
            Route("/pages", self.list, methods=["GET"]),
            Route("/pages", self.create, methods=["POST"]),
            Route("/pages/{id}", self.get, methods=["GET"]),
            Route("/pages/{id}", self.update, methods=["PATCH"]),
            Route("/pages/{id}", self.archive, methods=["DELETE"]),
        ]

    async def list(self, request: Request) -> Response:
        return listing(self._store, request, "pages", shown, statuses=STATUSES, hidden=ARCHIVED)

    async def get(self, request: Request) -> Response:
        return answer(shown(self._row(request.path_params["id"])))

    async def create(self, request: Request) -> Response:
        fields = await body_of(request)
        fields.text("name", limit=200)
        page = {"name": "", "description": None, "tags": [], "declared_queries": [], **_given(fields)}
        if "spec" not in page:
            raise wrong("spec", "missing; it must be an object")
        await judge(page["spec"], page["declared_queries"], self._sandbox)
        page_id = f"page_{secrets.token_hex(12)}"

        def write(db: sqlite3.Connection) -> None:
            insert(db, page_id, page, now())
            self._deliveries.audit(db, "page.created", page_id)

        await self._store.write(write)
        self._deliveries.wake()
        return answer(shown(self._row(page_id)), 201)

    async def update(self, request: Request) -> Response:
        page_id = request.path_params["id"]
        fields = await body_of(request)
        self._row(page_id)
        changes = _given(fields)
        if not changes:
            raise Refusal(400, f"nothing to change; a page has {', '.join(FIELDS)}")
        while not await self._changed(page_id, changes):
            pass
        self._deliveries.wake()
        return answer(shown(self._row(page_id)))

    async def _changed(self, page_id: str, changes: dict[str, Any]) -> bool:
        """Change the page, unless another request changed it during validation."""
        before = self._row(page_id)
        _refuse_archived(before)
        page = {**json.loads(before["body"]), **changes}
        await judge(page["spec"], page["declared_queries"], self._sandbox)

        def write(db: sqlite3.Connection) -> bool:
            current = db.execute("select * from pages where id = ?", (page_id,)).fetchone()
            _refuse_archived(current)
            if current["body"] != before["body"]:
                return False
            db.execute(
                "update pages set body = ?, words = ?, updated_at = max(updated_at + 1, ?) where id = ?",
                (compact(page).decode(), _words(page), now(), page_id),
            )
            self._deliveries.audit(db, "page.updated", page_id)
            return True

        return await self._store.write(write)

    async def archive(self, request: Request) -> Response:
        page_id = request.path_params["id"]
        self._row(page_id)

        def write(db: sqlite3.Connection) -> None:
            done = db.execute(
                "update pages set status = ?, updated_at = max(updated_at + 1, ?) where id = ? and status <> ?",
                (ARCHIVED, now(), page_id, ARCHIVED),
            )
            # Archiving twice is not an error and causes no second event.
            if done.rowcount:
                self._deliveries.audit(db, "page.archived", page_id)

        await self._store.write(write)
        self._deliveries.wake()
        return nothing()

    def _row(self, page_id: str) -> sqlite3.Row:
        rows = self._store.read("select * from pages where id = ?", (page_id,))
        if not rows:
            raise Refusal(404, f"no page has the id {page_id[:80]!r}")
        return rows[0]


def _refuse_archived(row: sqlite3.Row) -> None:
    if row["status"] == ARCHIVED:
        raise Refusal(409, f"page {row['id']} is archived and cannot be changed")


def _given(fields: Fields) -> dict[str, Any]:
    """Return the page's fields that a body holds, checked; the spec and the queries are judged together later."""
    page: dict[str, Any] = {}
    if fields.values.get("name") is not None:
        page["name"] = fields.text("name", limit=200)
    if "description" in fields:
        page["description"] = fields.maybe_text("description", limit=5000)
    if fields.values.get("tags") is not None:
        page["tags"] = fields.texts("tags", most=50, limit=100)
    for name in ("spec", "declared_queries"):
        if fields.values.get(name) is not None:
            page[name] = fields.values[name]
    return page


def insert(db: sqlite3.Connection, page_id: str, page: dict[str, Any], at: int) -> None:
    """Insert a new page."""
    db.execute(
        "insert into pages (id, status, body, words, created_at, updated_at) values (?, ?, ?, ?, ?, ?)",
        (page_id, ACTIVE, compact(page).decode(), _words(page), at, at),
    )


def _words(page: dict[str, Any]) -> str:
    return "\n".join([page["name"], page["description"] or "", *page["tags"]]).casefold()


def shown(row: sqlite3.Row) -> dict[str, Any]:
    """Return a page in the service's form."""
    return {
        "id": row["id"],
        "business_id": BUSINESS,
        **json.loads(row["body"]),
        "status": row["status"],
        "created_at": stamp(row["created_at"]),
        "updated_at": stamp(row["updated_at"]),
    }
