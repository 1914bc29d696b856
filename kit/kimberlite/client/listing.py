"""The list of streams: from the server if it has one, else by trying one number after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..errors import KimberliteInputError, ServerError, StreamNotFoundError
from ..types import StreamId, Timestamp
from ..wire.extensions import STREAMS_TABLE, Extensions
from ..wire.protocol.codec import requests
from .operations import Operation, Post, Take, answer_of, asked, raise_refusal, responses
from .stream_registry import StreamRegistry

_AT_ONCE = 32
_GAP = 16
"""Missing numbers in a row that end the search; on the real server numbers are dense."""
_MOST = 10_000
_COLUMNS = "stream_id, stream_number, name, length, data_class, created"
_LISTED = f"SELECT {_COLUMNS} FROM {STREAMS_TABLE} ORDER BY stream_number"  # noqa: S608


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A stream in a listing."""

    id: int
    number: int
    name: str | None
    length: int
    hidden: bool = False
    """Whether it looks like the log of a table."""
    data_class: str | None = None
    created: datetime | None = None

    @property
    def stream_id(self) -> StreamId:
        return StreamId.from_u64(self.id)


def list_streams(registry: StreamRegistry, extensions: Extensions, tenant: int | None) -> Operation[list[StreamRow]]:
    """Return the streams of a tenant, in the order of their numbers."""
    if tenant is None:
        raise KimberliteInputError("the tenant is missing", hint="give tenant_id=, here or to the client")
    if extensions.streams:
        return (yield from _listed_by_server(registry, tenant))
    return (yield from _tried(registry, tenant))


def _listed_by_server(registry: StreamRegistry, tenant: int) -> Operation[list[StreamRow]]:
    post = Post("list_streams", requests.Query(_LISTED), tenant)
    answer = yield from asked(registry.settings, post, responses.Query)
    cells: Sequence[Any] = answer.rows
    rows = []
    for packed, number, name, length, kind, made in cells:
        created = made.datetime() if isinstance(made, Timestamp) else None
        rows.append(StreamRow(packed, number, name, length, False, kind, created))
    return rows


def _tried(registry: StreamRegistry, tenant: int) -> Operation[list[StreamRow]]:
    names = {packed: name for (owner, name), packed in registry.ids.items() if owner == tenant}
    rows: list[StreamRow] = []
    missing, local = 0, 1
    while missing < _GAP and local < _MOST:
        numbers = []
        for number in range(local, local + _AT_ONCE):
            packed = tenant << 32 | number
            numbers.append((number, (yield Post("stream_info", requests.StreamInfo(packed), tenant))))
        for number, sent in numbers:
            packed = tenant << 32 | number
            try:
                length = answer_of(raise_refusal((yield Take(sent))), responses.StreamInfo).length
            except StreamNotFoundError:
                missing += 1
                continue
            missing = 0
            name = names.get(packed)
            hidden = name is None and length > 0 and (yield from _is_table_log(registry, packed))
            rows.append(StreamRow(packed, number, name, length, hidden))
        local += _AT_ONCE
    return rows


def _is_table_log(registry: StreamRegistry, packed: int) -> Operation[bool]:
    """Return whether the first event is a change of a table, as tables' own streams hold them."""
    import json

    post = Post("read", requests.ReadEvents(packed, 0, 1), packed >> 32)
    try:
        page = yield from asked(registry.settings, post, responses.ReadEvents)
        first = json.loads(page.events[0]) if len(page.events) else None
    except (ServerError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "table" in first and bool({"type", "op", "operation"} & first.keys())
