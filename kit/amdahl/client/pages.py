"""Pages: a spec of catalog components, and named queries that the host runs."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import quote

from ...core.faces import helper
from ...core.http.operations import Operation
from ..types import Page
from ..wire import json_messages as wire
from .exchange import exchange


@helper
def list_pages(client: Any) -> Operation[dict[str, Any]]:
    """Return the first page of the list of pages, as the service sends it; `iter_pages` walks all."""
    return cast("dict[str, Any]", wire.judge((yield from exchange(client, "GET", "/pages", op="list_pages"))))


@helper
def get_page(client: Any, page_id: str) -> Operation[Page]:
    """Return one page with its spec."""
    return cast(Page, wire.judge((yield from exchange(client, "GET", _path(page_id), op="get_page"))))


@helper
def create_page(client: Any, payload: dict[str, Any]) -> Operation[Page]:
    """Return the new page; `payload` needs `name` and `spec`. A broken spec is refused with a verdict per stage in
    `.body`."""
    return cast(Page, wire.judge((yield from exchange(client, "POST", "/pages", payload, op="create_page"))))


@helper
def update_page(client: Any, page_id: str, patch: dict[str, Any]) -> Operation[Page]:
    """Return the page after a change of the given fields."""
    return cast(Page, wire.judge((yield from exchange(client, "PATCH", _path(page_id), patch, op="update_page"))))


@helper
def archive_page(client: Any, page_id: str) -> Operation[None]:
    """Archive the page. Returns nothing."""
    wire.judge((yield from exchange(client, "DELETE", _path(page_id), op="archive_page")))


def _path(page_id: str) -> str:
    return f"/pages/{quote(page_id, safe='')}"
