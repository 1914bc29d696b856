"""Many records at once, as columns.

Decoding needs the interpreter to itself and is quicker than any network, so it takes turns with receiving; a thread
of its own was no gain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .columns import Reading, RecordColumns, columns_of
from .link import PROTOBUF, ask
from .reading import Plan, Taken, session
from .stream import SyncS2Stream

GROUP = 1024 * 1024
"""Bytes of frames that are decoded together; more would not fit the processor's cache."""
SMALL = 1000
"""A single answer can hold so many records."""


def columns(stream: SyncS2Stream, plan: Plan) -> Iterator[RecordColumns]:
    """Return the records that the plan asks for, some thousand at a time."""
    if plan.count is not None and plan.count <= SMALL and plan.wait is None and plan.bytes is None:
        first = stream._driver.run(_single(stream, plan))
        plan.took(Taken(None, len(first), 0, -1 if first.last_seq_num is None else first.last_seq_num, first.tail))
        yield first
        if plan.count == 0 or not len(first):
            return
    readings: Iterator[Reading] = stream._driver.walk(
        session(stream._link, stream._path, stream._headers, plan, _take(plan))
    )
    try:
        for group in _groups(readings):
            yield columns_of(readings=group)
    finally:
        readings.close()  # type: ignore[attr-defined]


def _groups(readings: Iterator[Reading]) -> Iterator[list[Reading]]:
    group: list[Reading] = []
    size = 0
    for reading in readings:
        group.append(reading)
        size += len(reading.payload)
        if size >= GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


def _take(plan: Plan) -> Callable[[bytes], Taken[Reading]]:
    def take(payload: bytes) -> Taken[Reading]:
        reading = Reading.of(payload)
        count = len(reading)
        size = columns_of(payload).metered_bytes if plan.bytes is not None and count else 0
        return Taken(reading if count else None, count, size, reading.last_seq_num if count else -1, reading.tail)

    return take


def _single(stream: SyncS2Stream, plan: Plan) -> Any:
    answer = yield from ask(
        stream._link,
        "GET",
        stream._path,
        op="read",
        params=plan.params(),
        headers={**stream._headers, "accept": PROTOBUF},
    )
    return columns_of(bytes(answer.body))
