"""Listings that come in pages, in order of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ...core.http.operations import Emit, Operation, Walk
from ..errors import WireError
from ..limits import MAX_U64, check_kind, within
from ..types import Page
from ..wire.fields import loads
from ..wire.resources import page_from_json
from .transport import Transport, ask

T = TypeVar("T")

_PATHS = {"basins": "/v1/basins", "streams": "/v1/streams", "access_tokens": "/v1/access-tokens"}


def page(
    transport: Transport[Any],
    kind: str,
    read: Callable[[Any], T],
    prefix: str,
    start_after: str,
    limit: int = 1000,
    headers: Mapping[str, str] | None = None,
) -> Operation[Page[T]]:
    """Return one page of a listing."""
    for name, text in (("prefix", prefix), ("start_after", start_after)):
        if text is not None:
            check_kind(name, text, str)
    within("limit", limit, 0, MAX_U64)
    params = {"prefix": prefix or None, "start_after": start_after or None, "limit": None if limit == 1000 else limit}
    answer = yield from ask(transport, "GET", _PATHS[kind], op=f"list_{kind}", params=params, headers=headers)
    return page_from_json(loads(answer.body), kind, read)


def every(
    transport: Transport[Any],
    kind: str,
    read: Callable[[Any], T],
    prefix: str,
    start_after: str,
    name_of: Callable[[T], str],
    headers: Mapping[str, str] | None = None,
    wanted: Callable[[T], bool] = lambda item: True,
) -> Walk[T]:
    """Return all of a kind, page after page."""
    while True:
        listing = yield from page(transport, kind, read, prefix, start_after, headers=headers)
        for item in listing.items:
            if wanted(item):
                yield Emit(item)
        if not listing.has_more:
            return
        last = name_of(listing.items[-1]) if listing.items else ""
        if last <= start_after:
            raise WireError(f"the listing of {kind} does not continue after {start_after!r}, but says there is more")
        start_after = last
