"""Looking up the streams that an explorer's callers name; an append creates a missing one."""

from __future__ import annotations

from ...core.faces import state_of
from ...core.words import nearest
from ..client.client import Client
from ..client.stream_registry import StreamLike, resolve
from ..errors import KimberliteInputError
from ..types import StreamId


def found(client: Client, stream: StreamLike) -> int:
    """Return the server's number of a stream that is there; of a name that is not, tell those like it."""
    state = state_of(client)
    if isinstance(stream, StreamId):
        return int(state.driver.run(resolve(state.registry, None, stream)))
    tenant = state.settings.tenant_id or 0
    if isinstance(stream, int) and not isinstance(stream, bool):
        return stream if stream >> 32 else tenant << 32 | stream
    if not isinstance(stream, str):
        raise KimberliteInputError(f"a stream must be a name, a number or a StreamId, not {stream!r}")
    known = state.registry.ids.get((tenant, stream))
    if known is not None:
        return known
    if not state.extensions.streams:
        return int(state.driver.run(resolve(state.registry, tenant, stream)))  # only creating it reveals its number
    rows = client.list_streams()
    for row in rows:
        if row.name == stream:
            state.registry.ids[tenant, stream] = row.id
            return row.id
    near = nearest(stream, [row.name or "" for row in rows])
    hint = near or "streams() lists them; append() and create() make one"
    raise KimberliteInputError(f"there is no stream {stream!r}", hint=hint)


def made_or_found(client: Client, stream: StreamLike) -> int:
    """Return the server's number of a stream; a named stream is created if it does not exist."""
    if isinstance(stream, str):
        state = state_of(client)
        return int(state.driver.run(resolve(state.registry, state.settings.tenant_id, stream)))
    return found(client, stream)
