"""Many records at once, as columns: frames are decoded in a thread while the next are received."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ..core.steps import Walk
from .columns import RecordColumns, columns_of
from .link import PROTOBUF, ask
from .messages import parsed, tail_of, varint
from .proto import messages
from .reading import Plan, Taken, session
from .stream import SyncS2Stream

GROUP = 2 * 1024 * 1024
"""Bytes of frames that are decoded together."""
_WAITING = 4
SMALL = 1000
"""A single answer can hold so many records."""


def columns(
    stream: SyncS2Stream, plan: Plan, *, commands: bool = True, seen: Callable[[int], Any] = lambda records: None
) -> Iterator[RecordColumns]:
    """The records that the plan asks for, some thousand at a time; `seen` is told how many have come."""
    if plan.count is not None and plan.count <= SMALL and plan.wait is None and plan.bytes is None:
        first = stream._driver.run(_single(stream, plan))
        plan.took(Taken(None, len(first), 0, -1 if first.last_seq_num is None else first.last_seq_num, first.tail))
        seen(len(first))
        yield first if commands else first.without_commands()
        if plan.count == 0 or not len(first):
            return
    payloads: Iterator[bytes] = stream._driver.walk(_payloads(stream, plan, seen))
    with ThreadPoolExecutor(1, "kit-s2-decode") as decoder:
        waiting: deque[Future[RecordColumns]] = deque()
        try:
            for group in _groups(payloads):
                waiting.append(decoder.submit(_decode, group, commands))
                if len(waiting) > _WAITING:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            payloads.close()  # type: ignore[attr-defined]
            for future in waiting:
                future.cancel()


def _decode(payloads: list[bytes], commands: bool) -> RecordColumns:
    found = columns_of(*payloads)
    return found if commands else found.without_commands()


def _groups(payloads: Iterator[bytes]) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = 0
    for payload in payloads:
        group.append(payload)
        size += len(payload)
        if size >= GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


def _payloads(stream: SyncS2Stream, plan: Plan, seen: Callable[[int], Any]) -> Walk[bytes]:
    return session(stream._link, stream._path, stream._headers, plan, _take(plan, seen))


def _take(plan: Plan, seen: Callable[[int], Any]) -> Callable[[bytes], Taken[bytes]]:
    """Looks at no more of a frame than the session must know to go on after it."""
    outline = messages().Outline

    def take(payload: bytes) -> Taken[bytes]:
        batch = parsed(outline, payload)
        records = batch.records
        count = len(records)
        size = columns_of(payload).metered_bytes if plan.bytes is not None and count else 0
        seen(count)
        return Taken(payload if count else None, count, size, _seq_num(records[-1]) if count else -1, tail_of(batch))

    return take


def _seq_num(record: bytes) -> int:
    """Of a record's bytes, read as a batch of its own."""
    alone = parsed(messages().BareBatch, b"\x0a" + varint(len(record)) + record)
    return int(alone.records[0].seq_num)


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
