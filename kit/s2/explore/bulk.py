"""Many records at once, as columns.

Decoding holds the interpreter lock and is faster than any network, so it takes turns with receiving; a thread of its
own gained nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ...core.faces import state_of
from ..client.sessions.reading import Plan, Taken, session
from ..client.state import StreamState
from ..client.stream import SyncS2Stream
from ..client.transport import PROTOBUF, ask
from ..wire.columns import Reading, RecordColumns, columns_of

GROUP = 1024 * 1024
"""Bytes of frames that are decoded together; more would not fit the processor's cache."""
SMALL = 1000
"""The number of records that a single answer can hold."""


def columns(stream: SyncS2Stream, plan: Plan) -> Iterator[RecordColumns]:
    """Return the records that the plan asks for, some thousand at a time."""
    state = state_of(stream)
    if plan.count is not None and plan.count <= SMALL and plan.wait is None and plan.bytes is None:
        first = state.driver.run(_single(state, plan))
        plan.took(Taken(None, len(first), 0, -1 if first.last_seq_num is None else first.last_seq_num, first.tail))
        yield first
        if plan.count == 0 or not len(first):
            return
    readings: Iterator[Reading] = state.driver.walk(session(state, plan, _take(plan)))
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


def _single(state: StreamState, plan: Plan) -> Any:
    headers = {**state.headers(), "accept": PROTOBUF}
    answer = yield from ask(state.transport, "GET", state.path, op="read", params=plan.params(), headers=headers)
    return columns_of(bytes(answer.body))
