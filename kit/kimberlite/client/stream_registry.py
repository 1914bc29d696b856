"""The names of streams as callers and as the server use them, and the known ends of streams.

In the reference, callers choose the numbers of streams: `StreamId(1, 100)`. The server assigns numbers itself, so such
an id stands for the stream *named* `stream_100`, which is created on first use. An id that the server returned (from
`create_stream` or `streams()`), or a packed number, is the stream of that number; a text is the stream's name.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from numbers import Integral
from typing import Any, Literal

from ..errors import KimberliteInputError, UnauthorizedError
from ..types import StreamId, TenantId, tenant_number
from ..wire.protocol.codec import requests
from ..wire.protocol.enums import DataClass
from .address import Settings
from .operations import Operation, Post, asked, responses

StreamLike = StreamId | int | str
_STAMPS = 1000
"""Appends of this client whose times are remembered."""


@dataclass(slots=True)
class End:
    """The end of a stream, as far as this client knows."""

    next: int | None = None
    epoch: int = 0
    """Counts how often `next` was wrong; reservations from before are refused too, and need not be counted again."""


@dataclass(slots=True)
class StreamRegistry:
    """What a client knows about streams."""

    settings: Settings
    numbering: Literal["named", "native"] = "named"
    data_class: DataClass = DataClass.PUBLIC
    ids: dict[tuple[int, str], int] = field(default_factory=dict)
    native: set[int] = field(default_factory=set)
    ends: dict[int, End] = field(default_factory=dict)
    used: dict[int, StreamId] = field(default_factory=dict)
    """The id that callers use for a stream, by the server's number."""
    sizes: dict[int, int] = field(default_factory=dict)
    """The mean size of an event in the last page of each stream."""
    stamps: OrderedDict[int, list[tuple[int, int, datetime]]] = field(default_factory=OrderedDict)

    def end(self, packed: int) -> End:
        return self.ends.setdefault(packed, End())

    def tenant(self, given: TenantId | int | None, stream: StreamLike) -> int:
        """Return the tenant of a call, which must be that of the stream."""
        tenant = None if given is None else tenant_number(given)
        if isinstance(stream, str):
            if tenant is None:
                tenant = self.settings.tenant_id
            if tenant is None:
                raise KimberliteInputError(f"the tenant of the stream {stream!r} is missing", hint="give tenant_id=")
            return tenant
        owner = as_id(stream).tenant_id
        if tenant is not None and tenant != owner:
            raise KimberliteInputError(f"tenant_id is {tenant}, but the stream belongs to tenant {owner}")
        return owner

    def stamp(self, packed: int, first: int, count: int, time: datetime) -> None:
        """Remember when an append was acknowledged."""
        known = self.stamps.setdefault(packed, [])
        known.append((first, first + count, time))
        del known[:-_STAMPS]

    def stamped(self, packed: int, offset: int) -> datetime | None:
        """Return when this client learned that the event is stored, if it did."""
        for first, stop, time in reversed(self.stamps.get(packed, ())):
            if first <= offset < stop:
                return time
        return None


def as_id(stream: Any) -> StreamId:
    """Return a stream's id, from an id or a packed number."""
    if isinstance(stream, StreamId):
        return stream
    if isinstance(stream, bool) or not isinstance(stream, Integral):
        raise KimberliteInputError(f"a stream must be a StreamId, a packed number or a name, not {stream!r}")
    return StreamId.from_u64(int(stream))


def resolve(registry: StreamRegistry, tenant_id: TenantId | int | None, stream: StreamLike) -> Operation[int]:
    """Return the server's number of a stream; a named stream is created if it does not exist."""
    tenant = registry.tenant(tenant_id, stream)
    if not isinstance(stream, str):
        one = as_id(stream)
        packed = one.to_u64()
        if not isinstance(stream, StreamId) or registry.numbering == "native" or packed in registry.native:
            registry.used.setdefault(packed, one)
            return packed
    name = stream if isinstance(stream, str) else f"stream_{one.stream_number}"
    key = (tenant, name)
    if key not in registry.ids:
        try:
            created = yield from create(registry, tenant, name)
        except UnauthorizedError:
            # A read-only role cannot create streams; with the server's own numbers this is the stream.
            if isinstance(stream, str):
                raise
            return one.to_u64()
        registry.ids[key] = created
    packed = registry.ids[key]
    registry.used.setdefault(packed, StreamId.from_u64(packed) if isinstance(stream, str) else one)
    return packed


def create(registry: StreamRegistry, tenant: int, name: str, data_class: DataClass | None = None) -> Operation[int]:
    """Make a stream, or finds the one of that name."""
    if not isinstance(name, str) or not name:
        raise KimberliteInputError(f"a stream's name must be non-empty text, not {name!r}")
    chosen = registry.data_class if data_class is None else data_class
    post = Post("create_stream", requests.CreateStream(name, chosen), tenant, resource=name)
    answer = yield from asked(registry.settings, post, responses.CreateStream)
    packed: int = answer.stream_id
    registry.ids[tenant, name] = packed
    return packed
