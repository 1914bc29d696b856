"""Rooms: ordered logs, kept in memory as encoded SynapRPC answers, and on disk.

The service has them in memory only. Here they survive a restart, as does everything that the lab acknowledges.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ....synap.wire.event_template import encoded_event
from ....synap.wire.frames import array_head
from ..refusal import Refusal
from .journal import Journal, Row

Event = tuple[str, str, bytes, int]
"""Id, event, data, time."""
NUMBERS = [str(n) for n in range(256)]


@dataclass(slots=True)
class Room:
    """One room. `first` is the offset of the oldest event that it still has."""

    name: str
    generation: int
    created: int
    first: int = 0
    encoded: list[bytes] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    start: int = 0
    """The number of dropped events at the front of the lists; they are removed from time to time."""
    readers: dict[str, int] = field(default_factory=dict)
    """The next offset of each subscriber so far."""
    consumed: int = 0
    dropped: int = 0

    def row(self) -> Row:
        """Return the room as it is kept."""
        return (self.generation, self.name, self.created, self.first, self.dropped)

    @property
    def next(self) -> int:
        return self.first + len(self.encoded) - self.start

    def stats(self) -> dict[str, Any]:
        count = len(self.encoded) - self.start
        return {
            "name": self.name,
            "message_count": count,
            "min_offset": self.first,
            "max_offset": max(0, self.next - 1),
            "subscriber_count": len(self.readers),
            "total_published": self.next,
            "total_consumed": self.consumed,
            "dropped": self.dropped,
            "created_at": self.created,
            "generation": self.generation,
        }


class Rooms:
    """All rooms."""

    def __init__(
        self,
        journal: Journal,
        generation: Callable[[], int],
        soft: int,
        hard: int,
        retention: float,
        rooms: Iterable[Row] = (),
        events: Iterable[Row] = (),
    ) -> None:
        self._journal = journal
        self._generation = generation
        self._soft, self._hard, self._retention = soft, hard, retention
        self._rooms: dict[str, Room] = {}
        head = os.urandom(8).hex()
        self._head = f"{head[:8]}-{head[8:12]}-4{head[13:16]}-b{os.urandom(2).hex()[1:]}-"
        self._numbers = itertools.count(int.from_bytes(os.urandom(4)) << 8)
        events_of = {}
        for generation_of, name, created, first, dropped in rooms:
            self._rooms[name] = events_of[generation_of] = Room(name, generation_of, created, first, dropped=dropped)
        for generation_of, offset, identity, event, data, stamp in events:
            room = events_of[generation_of]
            room.encoded.append(encoded_event(offset, event, identity, data, stamp))
            room.events.append((identity, event, data, stamp))
        self.compact()

    def names(self) -> list[str]:
        return list(self._rooms)

    def all(self) -> list[Room]:
        return list(self._rooms.values())

    def get(self, name: str) -> Room:
        room = self._rooms.get(name)
        if room is None:
            raise Refusal(f"Invalid request: Room '{name}' not found")
        return room

    def create(self, name: str) -> None:
        if name in self._rooms:
            raise Refusal(f"Invalid request: Room '{name}' already exists")
        self._rooms[name] = room = Room(name, self._generation(), time.time_ns() // 1_000_000)
        self._journal.rooms[room.generation] = room
        self._journal.changed(self._rooms.pop, name)

    def get_or_create(self, name: str) -> bool:
        """Return whether it was made now."""
        if name in self._rooms:
            return False
        self.create(name)
        return True

    def delete(self, name: str) -> None:
        room = self.get(name)
        del self._rooms[name]
        self._journal.rooms[room.generation] = None
        self._journal.changed(self._rooms.__setitem__, name, room)

    def publish(self, name: str, event: str, data: bytes, at: int | None = None) -> int:
        """Return the event's offset."""
        room = self._rooms.get(name)
        if room is None:
            raise Refusal(f"Invalid request: Room '{name}' not found")
        offset = room.next
        identity = f"{self._head}{next(self._numbers):012x}"
        stamp = int(time.time()) if at is None else at
        room.encoded.append(encoded_event(offset, event, identity, data, stamp))
        room.events.append((identity, event, data, stamp))
        self._journal.events[room.generation, offset] = (room.generation, offset, identity, event, data, stamp)
        self._journal.changed(_unpublish, room)
        count = offset + 1 - room.first
        if count > self._soft:
            self._shorten(room, count)
        return offset

    def read(self, name: str, subscriber: str, start: int, limit: int) -> tuple[Room, int, int]:
        """Return the room, and from where to where its lists hold what was asked for."""
        room = self.get(name)
        if start < room.first:
            raise Refusal(
                f"Invalid request: Stream offset {start} out of range; earliest retained offset is {room.first}"
            )
        begin = room.start + min(start, room.next) - room.first
        stop = min(begin + max(0, limit), len(room.encoded))
        before = room.readers.get(subscriber)
        room.readers[subscriber] = max(before or 0, room.first + stop - room.start)
        room.consumed += stop - begin
        if not self._journal.clean:
            # The events may be undone, and this answer with them.
            self._journal.changed(_unread, room, subscriber, before, stop - begin)
        return room, begin, stop

    def read_encoded(self, name: str, subscriber: str, start: int, limit: int) -> tuple[bytes, bytes]:
        """Return the answer to SREAD: the head of an array, and its values."""
        room, begin, stop = self.read(name, subscriber, start, limit)
        return array_head(stop - begin), b"".join(room.encoded[begin:stop])

    def read_json(self, name: str, subscriber: str, start: int, limit: int) -> str:
        """Return the answer of HTTP."""
        room, begin, stop = self.read(name, subscriber, start, limit)
        quoted = json.dumps(name)
        events = []
        for offset, (identity, event, data, stamp) in enumerate(
            room.events[begin:stop], room.first + begin - room.start
        ):
            numbers = ",".join([NUMBERS[byte] for byte in data])
            events.append(
                f'{{"id":"{identity}","offset":{offset},"room":{quoted},"event":{json.dumps(event)},'
                f'"data":[{numbers}],"timestamp":{stamp},"metadata":{{}}}}'
            )
        following = start + stop - begin if stop > begin else start
        return f'{{"events":[{",".join(events)}],"next_offset":{following}}}'

    def compact(self) -> None:
        """Drop events that are older than the retention."""
        oldest = time.time() - self._retention
        for room in self._rooms.values():
            begin = room.start
            while begin < len(room.events) and room.events[begin][3] < oldest:
                begin += 1
            self._cut(room, begin - room.start)

    def _shorten(self, room: Room, count: int) -> None:
        """Keep the soft number of events, and up to the hard one while a subscriber has not read them."""
        slowest = min(room.readers.values(), default=room.next)
        surplus = min(count - self._soft, max(0, slowest - room.first))
        surplus = max(surplus, count - self._hard)
        if surplus > 0:
            self._cut(room, surplus, max(0, room.first + surplus - slowest) if room.readers else 0)

    def _cut(self, room: Room, number: int, dropped: int = 0) -> None:
        if number <= 0:
            return
        room.first += number
        room.start += number
        room.dropped += dropped
        gone = None
        if room.start > 1000 and room.start * 2 > len(room.encoded):
            gone = room.encoded[: room.start], room.events[: room.start]
            del room.encoded[: room.start], room.events[: room.start]
            room.start = 0
        self._journal.rooms[room.generation] = room
        self._journal.changed(_uncut, room, number, dropped, gone)


def _unpublish(room: Room) -> None:
    room.encoded.pop()
    room.events.pop()


def _unread(room: Room, subscriber: str, before: int | None, number: int) -> None:
    room.consumed -= number
    if before is None:
        del room.readers[subscriber]
    else:
        room.readers[subscriber] = before


def _uncut(room: Room, number: int, dropped: int, gone: tuple[list[bytes], list[Event]] | None) -> None:
    if gone is not None:
        encoded, events = gone
        room.encoded[:0], room.events[:0] = encoded, events
        room.start = len(encoded)
    room.first -= number
    room.start -= number
    room.dropped -= dropped
