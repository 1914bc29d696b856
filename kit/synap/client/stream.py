"""Rooms of events: `client.stream`."""

from __future__ import annotations

import json
from builtins import list as List
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...core.faces import AsyncFace, SyncFace, verb
from .. import inputs
from ..errors import SynapError, SynapInputError, SynapWireError
from ..types import Stats, StreamEvent
from ..wire.frames import as_bytes
from .operations import Bulk, Calls, Do, Operation, member, stats_of
from .state import ClientState, Part

if TYPE_CHECKING:
    from .following import Follower


_RETENTION = 24
"""Hours that events are kept, as in the reference."""


class Streams(Part):
    """Ordered logs in the server's memory, read from any offset; reading removes nothing.

    The service keeps events in memory for an hour, about 10 000 a room, and none over a restart; the embedded server
    keeps them on disk too.
    """

    @verb
    def create(self, room: str, partitions: int | None = None, retention_hours: int | None = None) -> Operation[bool]:
        """Return whether the room was made now; one that is there stays as it is.

        The server knows neither partitions nor a retention other than its hour: these arguments have no effect. A
        warning says so, once for a room, where they are neither that nor what the reference shows (1 and 24).
        """
        room = inputs.name(room, "a room")
        if inputs.optional(partitions, "partitions", 1) not in (None, 1) or (
            inputs.optional(retention_hours, "retention_hours", 1) not in (None, 1, _RETENTION)
        ):
            inputs.once(
                f"settings of the room {room}",
                f"the room {room!r} is one log whose events the server keeps for an hour; partitions= and "
                "retention_hours= have no effect",
            )
        return member((yield Do("stream.get_or_create", {"room": room})), "created", bool)

    @verb
    def publish(self, room: str, event: str, data: Any) -> Operation[int]:
        """Return the event's offset. `data` is any JSON value, or text; bytes that are not UTF-8 need SynapRPC."""
        payload = {
            "room": inputs.name(room, "a room"),
            "event": inputs.name(event, "an event"),
            "data": inputs.data(data),
        }
        if isinstance(payload["data"], bytes):
            [offset] = yield from _spublish(payload["room"], [(payload["event"], payload["data"])])
            return offset
        return member((yield Do("stream.publish", payload, safe=False)), "offset", int)

    @verb
    def publish_many(
        self, room: str, events: Iterable[tuple[str, Any]], *, ordered: bool = False
    ) -> Operation[List[int]]:
        """Return the offsets of pairs of event and data, in the order of the pairs.

        Over SynapRPC many are under way at once, and the protocol lets a server take them in another order, which the
        offsets then show; `ordered=True` waits for each before it sends the next, as HTTP always does. When one
        fails, its error is raised; `published` of it holds the offsets, None for those without one.
        """
        room = inputs.name(room, "a room")
        listed = inputs.pairs(events, "publish_many() takes", "event", "data")
        encoded = [(inputs.name(event, "an event"), inputs.data(data)) for event, data in listed]
        if not encoded:
            return []
        binary = any(isinstance(data, bytes) for _, data in encoded)
        if not ordered and ((yield Bulk()) or binary):
            return (yield from _spublish(room, encoded))
        offsets: list[Any] = []
        for event, data in encoded:
            try:
                if isinstance(data, bytes):
                    offsets += yield from _spublish(room, [(event, data)])
                    continue
                answer = yield Do("stream.publish", {"room": room, "event": event, "data": data}, safe=False)
                offsets.append(member(answer, "offset", int))
            except SynapError as error:
                error.published = [*offsets, *[None] * (len(encoded) - len(offsets))]
                raise
        return offsets

    @verb
    def consume(
        self, room: str, subscriber_id: str, from_offset: int = 0, limit: int = 100
    ) -> Operation[List[StreamEvent]]:
        """Return the events from an offset on, up to `limit` of them; none beyond the end.

        The server does not remember where a subscriber was: pass `events[-1].offset + 1` next time. Take the same
        `subscriber_id` again, as the server never forgets one. A dropped offset is an error (400) that names the
        oldest one there is.
        """
        room = inputs.name(room, "a room")
        payload = {
            "room": room,
            "subscriber_id": inputs.name(subscriber_id, "a subscriber"),
            "from_offset": inputs.whole(from_offset, "from_offset"),
            "limit": inputs.whole(limit, "limit", 0, 2**31),
        }
        answer = yield Do("stream.consume", payload)
        return [_event(event, room) for event in member(answer, "events", List)]

    @verb
    def list(self) -> Operation[List[str]]:
        """Return the names of all rooms, sorted."""
        return sorted(member((yield Do("stream.list", {})), "rooms", List))

    @verb
    def stats(self, room: str) -> Operation[Stats]:
        """Return message_count, min_offset, max_offset, subscriber_count, total_published, generation, more by HTTP."""
        return stats_of((yield Do("stream.stats", {"room": inputs.name(room, "a room")})))

    @verb
    def delete(self, room: str) -> Operation[bool]:
        """Delete a room and return True. One that does not exist is an error (400)."""
        yield Do("stream.delete", {"room": inputs.name(room, "a room")}, safe=False)
        return True


class SyncStreams(Streams, SyncFace[ClientState]):
    """The rooms of a client whose calls block."""


class AsyncStreams(Streams, AsyncFace[ClientState]):
    """The rooms of a client whose calls are awaited."""

    def follow(self, room: str, from_offset: int | None = None, **options: Any) -> Follower:
        """Return the events as they come, as an async iterator of batches of columns. See `Follower`."""
        from .following import Follower

        return Follower(self._state.driver, room, from_offset, **options)


def _spublish(room: str, events: List[tuple[str, Any]]) -> Operation[List[int]]:
    """Publish over SynapRPC: data as JSON text, as readers over HTTP expect it; bytes unchanged."""
    if not (yield Bulk()):
        raise SynapInputError(
            "bytes that are not UTF-8 cannot be sent in JSON, and SynapRPC cannot be reached",
            hint="give rpc_url=synap://host:15501, or encode them as text",
            op="stream.publish",
            resource=room,
        )
    calls = [
        ("SPUBLISH", (room, event, data if isinstance(data, bytes) else inputs.as_text(data))) for event, data in events
    ]
    answers = yield Calls(calls, safe=False, resource=room)
    failed = [answer for answer in answers if isinstance(answer, SynapError)]
    if failed:
        error = failed[0]
        error.published = [answer if isinstance(answer, int) else None for answer in answers]
        raise error
    return List(answers)


def decoded(data: bytes) -> Any:
    """Return an event's data: the JSON value that was published, else text, else bytes."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _event(fields: Any, room: str) -> StreamEvent:
    if not isinstance(fields, Mapping):
        raise SynapWireError("an event of an unknown form")
    return StreamEvent(
        member(fields, "offset", int),
        member(fields, "event", str),
        decoded(as_bytes(fields.get("data"))),
        member(fields, "timestamp", int),
        str(fields.get("id", "")),
        room,
        fields.get("metadata") or {},
    )
