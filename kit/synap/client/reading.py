"""Reading a room in bulk: pages of columns, over SynapRPC where it can be used."""

from __future__ import annotations

import re

import pyarrow as pa

from .. import inputs
from ..errors import SynapError, refusal
from ..wire import columns
from ..wire import frames as wire
from .operations import Bulk, Calls, Do, Emit, Operation, Walk, member, natively, raised

PAGE = 10_000
_AHEAD = 2
_EARLIEST = re.compile(r"earliest retained offset is (\d{1,19})")


def earliest_in(error: SynapError) -> int | None:
    """Return the oldest offset that an error names."""
    match = _EARLIEST.search(error.message)
    return int(match[1]) if match else None


def figures(room: str) -> Operation[tuple[int, int, int]]:
    """Return a room's generation, oldest offset and number of events ever, over the transport that its pages take."""
    one = Do("stream.stats", {"room": inputs.name(room, "a room")})
    [stats] = raised((yield from natively([one])) if (yield Bulk()) else [(yield one)])
    return member(stats, "generation", int), member(stats, "min_offset", int), member(stats, "total_published", int)


def page(room: str, subscriber: str, start: int, limit: int) -> Operation[pa.Table]:
    """Return the events from an offset on, up to `limit` of them."""
    if (yield Bulk()):
        [table] = yield from _tables(room, subscriber, [(start, limit)])
        return table
    payload = {"room": room, "subscriber_id": subscriber, "from_offset": start, "limit": limit}
    return columns.from_maps(member((yield Do("stream.consume", payload)), "events", list))


def pages(room: str, subscriber: str, start: int, stop: int) -> Walk:
    """Return the events from one offset to another, page by page; fewer if there are fewer."""
    bulk = yield Bulk()
    size = PAGE if bulk else PAGE // 5
    at = start
    while at < stop:
        if not bulk:
            tables = [(yield from page(room, subscriber, at, min(size, stop - at)))]
        else:
            # Offsets have no gaps, so the next page can be requested before this one has arrived.
            ranges = [(begin, min(size, stop - begin)) for begin in range(at, min(stop, at + _AHEAD * size), size)]
            tables = yield from _tables(room, subscriber, ranges)
        for table in tables:
            if not table.num_rows:
                return
            yield Emit(table)
            at += table.num_rows
            if table.num_rows < size:
                return


def _tables(room: str, subscriber: str, ranges: list[tuple[int, int]]) -> Operation[list[pa.Table]]:
    calls = [("SREAD", (room, subscriber, start, limit)) for start, limit in ranges]
    bodies = raised((yield Calls(calls, raw=True, resource=room)))
    tables = []
    for body in bodies:
        _, at = wire.peek(body)
        if not at:
            raise refusal(str(wire.read_answer(body)[2]), op="SREAD", resource=room)
        tables.append(columns.read_events(body, at))
    return tables
