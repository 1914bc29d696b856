"""Amdahl as a tree to browse: the table, pages, sessions started here, webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...live.browse.tree import Node

if TYPE_CHECKING:
    from .explorer import Amdahl

_TABLE = "interactions"
_ALL = "select * from interactions"


def root(a: Amdahl) -> Node:
    """Return the business."""
    return Node(
        "Amdahl",
        "business",
        "a",
        children=lambda: [
            Node(
                _TABLE,
                "table",
                f"a.query('{_ALL} limit 100')",
                details=lambda: _columns(a),
                read=lambda n: a.query(f"{_ALL} limit {int(n)}"),
            ),
            Node("pages", "", "a.pages()", children=lambda: _pages(a)),
            Node("sessions", "", "a.sessions()", children=lambda: _sessions(a)),
            Node("webhooks", "", "a.webhooks()", children=lambda: _webhooks(a)),
        ],
    )


def _columns(a: Amdahl) -> dict[str, Any]:
    return {str(row["name"]): row["type"] for row in a.explore("schema", include_samples=False).to_dict("records")}


def _pages(a: Amdahl) -> list[Node]:
    return [_page(a, row) for row in a.pages().to_dict("records")]


def _page(a: Amdahl, row: dict[Any, Any]) -> Node:
    details = {name: row.get(name) for name in ("description", "status", "tags", "created_at", "updated_at")}
    queries = row.get("declared_queries")
    known = {str(query.get("name")): str(query.get("sql")) for query in queries} if isinstance(queries, list) else {}

    def children() -> list[Node]:
        return [
            Node(name, "query", f"a.query({sql!r})", details=_teller({"sql": sql}), read=_reader(a, sql))
            for name, sql in known.items()
        ]

    code = f"a.client.get({'/pages/' + str(row['id'])!r})"
    return Node(str(row["name"]), "page", code, children=children if known else None, details=lambda: details)


def _teller(details: dict[Any, Any]) -> Any:
    return lambda: details


def _reader(a: Amdahl, sql: str) -> Any:
    return lambda n: a.query(sql, limit=n)


def _sessions(a: Amdahl) -> list[Node]:
    return [_session(a, row) for row in a.sessions().to_dict("records")]


def _session(a: Amdahl, row: dict[Any, Any]) -> Node:
    id = str(row["session_id"])
    return Node(
        id,
        "session",
        f"a.sessions[{id!r}]",
        details=lambda: row,
        read=lambda n: a.events(id).tail(n),
        live=lambda: a.live(id),
    )


def _webhooks(a: Amdahl) -> list[Node]:
    return [
        Node(str(row["url"]), "webhook", "a.webhooks()", details=_teller(row))
        for row in a.webhooks().to_dict("records")
    ]
