"""Reading pages of events; the next page is requested before the last one is decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from ...core.http.operations import Emit
from ..errors import BusyError, KimberliteInputError, NetworkError, StreamNotFoundError, TimeoutError, WireError
from ..types import MAX_U64, Event, Position, StreamId, TenantId
from ..wire.blobs import Blobs
from ..wire.extensions import EVENTS_TABLE, Extensions
from ..wire.protocol.codec import event_count, requests
from .operations import Operation, Post, Take, Tries, Walk, again, answer_of, ask, raise_refusal, responses
from .stream_registry import StreamRegistry

PAGE = 4 * 1024 * 1024
"""Bytes in one request. The server reads its file from the start for each page, so few large pages cost it less."""
_SMALL = 64 * 1024
_LEAST = 16 * 1024
_GUESS = 256
"""The assumed size of an event before the first one of its stream was read."""
_TOLD = 50_000
"""Events whose times are requested at once."""
_SHORT = 4096
"""Answers of fewer bytes, about a hundred rows, are read faster row by row."""
_RUNS = (
    f"SELECT MIN(stream_offset) AS first, COUNT(*) AS n, MIN(position) AS at, ts FROM {EVENTS_TABLE}"  # noqa: S608
    " WHERE stream_id = $1 AND stream_offset >= $2 AND stream_offset < $3"
    " GROUP BY ts, position - stream_offset ORDER BY first"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Page(NamedTuple):
    """Consecutive events of a stream."""

    first: int
    events: Blobs


def pages(
    registry: StreamRegistry,
    packed: int,
    start: int = 0,
    limit: int | None = None,
    make: Callable[[Page], Iterable[Any]] = lambda page: (page,),
) -> Walk:
    """Return the events from `start` up to the end as it is now, as `Page`s or what `make` makes of them; where a
    connection is lost it continues from there."""
    if limit is not None and (isinstance(limit, bool) or not hasattr(limit, "__index__") or limit < 0):
        raise KimberliteInputError(f"limit={limit!r}: give a number of events from 0 up")
    at, left = start, None if limit is None else limit.__index__()
    stop: int | None = None
    tries = Tries(registry.settings.policy)
    resource = f"stream {packed & 0xFFFFFFFF} of tenant {packed >> 32}"
    numbers: list[int] = []
    while left is None or left > 0:
        payload = requests.ReadEvents(packed, at, _size(registry, packed, left))
        try:
            if not numbers:
                if stop is None and left is None:
                    info = Post("stream_info", requests.StreamInfo(packed), packed >> 32, resource=resource)
                    numbers.append((yield info))
                numbers.append((yield Post("read", payload, packed >> 32, resource=resource, retries=tries.made - 1)))
            if len(numbers) > 1:
                stop = answer_of(raise_refusal((yield Take(numbers.pop(0)))), responses.StreamInfo).length
            page = raise_refusal((yield Take(numbers.pop(0))))
            count = event_count(page)
            following = at + count
            taken = count if left is None else min(left, count)
            if count:
                registry.sizes[packed] = len(page) // count + 1
            more = count > 0 and (stop is None or following < stop) and (left is None or count < left)
            if more:
                rest = None if left is None else left - count
                further = requests.ReadEvents(packed, following, _size(registry, packed, rest))
                numbers.append((yield Post("read", further, packed >> 32, resource=resource)))
        except (NetworkError, TimeoutError, BusyError) as error:
            if not (yield from again(tries, error)):
                raise
            numbers.clear()
            continue
        except StreamNotFoundError as error:
            error.op, error.resource = "read", resource
            raise
        tries.made = 1
        events = answer_of(page, responses.ReadEvents).events
        blobs = Blobs.of(events)
        surplus = max(0, following - stop) if left is None and stop is not None else 0  # stored after the read began
        taken = max(0, taken - surplus)
        if taken:
            for item in make(Page(at, blobs[:taken] if taken < count else blobs)):
                yield Emit(item)
        del page, events, blobs  # so that the next page can reuse its memory
        if left is not None:
            left -= taken
        if not more:
            return
        at = following


def _size(registry: StreamRegistry, packed: int, left: int | None) -> int:
    """Return the bytes to request for a number of events, as there is no limit by number. An eighth more than those
    of the last page would have had, so that one page mostly does; what comes too much is only received."""
    if left is None:
        return PAGE
    known = registry.sizes.get(packed)
    return min(PAGE, max(_SMALL, left * _GUESS) if known is None else max(_LEAST, left * known * 9 // 8))


class Run(NamedTuple):
    """Events that were stored at one time, and are consecutive in the order over all streams."""

    first: int
    length: int
    position: int
    time: int
    """Nanoseconds since 1970."""


def stored(
    registry: StreamRegistry, extensions: Extensions, packed: int, first: int, stop: int
) -> Operation[list[Run]]:
    """Return when these events were stored and their place in the whole log; nothing where the server does not say."""
    runs: list[Run] = []
    if not extensions.events:
        return runs
    for start in range(first, stop, _TOLD):
        params: list[Any] = [packed, start, min(stop, start + _TOLD)]
        post = Post("query", requests.Query(_RUNS, params), packed >> 32, resource=EVENTS_TABLE)
        payload = yield from ask(registry.settings, post)
        if len(payload) < _SHORT:
            rows: Sequence[Any] = answer_of(payload, responses.Query).rows
            runs += [Run(at, count, position, when.nanoseconds) for at, count, position, when in rows]
        else:
            runs += _in_columns(payload)
    return runs


def _in_columns(payload: bytes) -> Iterable[Run]:
    """Return the runs of a long answer, which is read four times as fast as row by row."""
    from ..wire.results import TIME, result_columns

    columns = result_columns(payload).table.columns
    expected = ["int64", "int64", "int64", str(TIME)]
    if [str(one.type) for one in columns] != expected or any(one.null_count for one in columns):
        raise WireError("the times of events were expected, but other columns came")
    return map(Run, *(one.cast("int64").to_pylist() for one in columns))


def events_of(
    registry: StreamRegistry, packed: int, run_of_pages: Sequence[Page], runs: Sequence[Run] = ()
) -> list[Event]:
    """Return the events as objects, each with the best time that is known for it."""
    known = {run.first + n: run.time for run in runs for n in range(run.length)}
    stream = registry.used.get(packed) or StreamId.from_u64(packed)
    tenant = TenantId(stream.tenant_id)
    now = registry.settings.now()
    out = []
    for page in run_of_pages:
        for offset, data in enumerate(page.events, page.first):
            when: datetime | None
            if offset in known:
                when, source = moment(known[offset]), "server"
            elif (when := registry.stamped(packed, offset)) is not None:
                source = "appended"
            else:
                when, source = now, "received"
            out.append(Event(Position(offset), tenant, stream, when, data, source))
    return out


def moment(nanos: int) -> datetime:
    """Return a time from nanoseconds since 1970."""
    return _EPOCH + timedelta(microseconds=nanos // 1000)


def offset_of(position: Position | int | None, name: str = "position") -> int:
    """Return a position as a number."""
    if position is None:
        return 0
    try:
        number = int(position.__index__())
    except (AttributeError, TypeError):
        raise KimberliteInputError(f"{name}={position!r}: give a Position, or a number from 0 up") from None
    if isinstance(position, bool) or not 0 <= number <= MAX_U64:
        raise KimberliteInputError(f"{name}={position!r}: give a Position, or a number from 0 up")
    return number
