"""Lists in pages, in both styles that the service is known to use."""

from __future__ import annotations

from typing import Any

from ...core.errors import AnswerError
from ...core.faces import walk_helper
from ...core.http.operations import Emit, Operation, Walk
from ...core.http.retry import ONCE, Policy
from ..errors import AmdahlInputError
from ..wire import json_messages as wire
from .exchange import exchange


def items(
    client: Any,
    path: str,
    items_key: str = "items",
    *,
    params: dict[str, Any] | None = None,
    limit: int = 100,
    policy: Policy = ONCE,
) -> Walk[dict[str, Any]]:
    """Return every item of a list: by `next_cursor` if there is one, else by `offset` while `has_more`."""
    if limit < 1:
        raise AmdahlInputError(f"limit={limit}: ask for at least 1 at a time")
    query: dict[str, Any] = {**(params or {}), "limit": limit}
    offset = 0
    cursors: set[str] = set()
    while True:
        page = yield from _page(client, path, query, policy)
        rows = page.get(items_key)
        if not isinstance(rows, list):
            keys = [key for key, value in page.items() if isinstance(value, list)]
            raise AmdahlInputError(f"{path} has no list {items_key!r}", hint=f"it has {', '.join(keys) or 'none'}")
        for row in rows:
            yield Emit(row)
        cursor = page.get("next_cursor")
        if cursor:
            if cursor in cursors:
                raise AnswerError(f"{path} returned the same cursor twice; stopped after {len(cursors) + 1} pages")
            cursors.add(cursor)
            query = {**query, "cursor": cursor}
        elif "next_cursor" in page or not page.get("has_more"):
            return
        else:
            if not rows:
                raise AnswerError(f"{path} returned an empty page but says there is more; stopped at offset {offset}")
            # The server may return fewer than requested, so the step is the number that came.
            offset += len(rows)
            query = {**query, "offset": offset}


def _page(client: Any, path: str, params: dict[str, Any], policy: Policy) -> Operation[dict[str, Any]]:
    page = wire.judge((yield from exchange(client, "GET", path, params=params, policy=policy)))
    if isinstance(page, list):
        return {"items": page}
    if not isinstance(page, dict):
        raise AnswerError(f"{path} did not return a list")
    return page


@walk_helper
def iter_pages(
    client: Any,
    items_key: str = "items",
    path: str = "/pages",
    *,
    params: dict[str, Any] | None = None,
    limit: int = 100,
) -> Walk[dict[str, Any]]:
    """Return every item of a list endpoint, fetched page by page as needed.

    The reference leaves the path to be filled in; here it is an argument, and may also come first:
    `iter_pages(client, "/webhooks")`, `iter_pages(client, "items", "/webhooks")`.
    """
    if items_key.startswith("/"):
        items_key, path = ("items" if path == "/pages" else path), items_key
    yield from items(client, path, items_key, params=params, limit=limit)
