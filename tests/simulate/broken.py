"""Clients that are broken on purpose: what the simulation must find, or its silence is worth nothing.

Each breaks a few lines of `kit` itself, while the block lasts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from kit.core.faces import verb
from kit.kimberlite.client import appending as kimberlite_appending
from kit.kimberlite.client import client as kimberlite_client
from kit.kimberlite.client import subscription as kimberlite_subscription
from kit.kimberlite.errors import NetworkError, TimeoutError
from kit.live.feed import engine, state
from kit.s2.client import stream as s2_stream
from kit.s2.client import transport as s2_transport
from kit.s2.client.sessions import append_engine, reading
from kit.s2.positions import StreamPosition
from kit.s2.types import AppendAck
from kit.synap.client import async_connection, connection_base, kv, sync_connection
from kit.synap.client import driver as synap_driver

Patch = tuple[Any, str, Any]


def _s2_repeats() -> list[Patch]:
    """Append again what may have been written."""
    return [(s2_transport, "no_side_effects", lambda error: True)]


def _s2_skips() -> list[Patch]:
    """Go on one record too far after a cut."""
    params = reading.Plan.params

    def skipping(plan: reading.Plan) -> dict[str, Any]:
        found = params(plan)
        if plan.next_seq is not None and "seq_num" in found:
            found["seq_num"] += 1
        return found

    return [(reading.Plan, "params", skipping)]


def _feeds_skip() -> list[Patch]:
    """Let a feed go on one row too far after it has lost its source."""
    told = state.FeedState.lost

    def lost(feed: Any, error: BaseException) -> None:
        told(feed, error)
        for one in engine._running:
            if one.state is feed and isinstance(one.position, int):
                one.position += 1

    return [(state.FeedState, "lost", lost)]


def _s2_loses() -> list[Patch]:
    """Tell of an append session's batches as written where nobody knows that they are."""
    end = append_engine.AppendEngine._end

    def trusting(engine: Any, error: Any) -> None:
        at = StreamPosition(10**6, 0)
        for batch in engine._flight.drain():
            if not batch.ticket.done():
                batch.ticket.set_result(AppendAck(at, StreamPosition(10**6 + batch.records, 0), at))
        end(engine, None)

    return [(append_engine.AppendEngine, "_end", trusting)]


def _remembering(owner: Any, name: str) -> list[Patch]:
    """Tell what was told before."""
    known: dict[Any, Any] = {}
    operation = owner.__dict__[name].operation

    def call(face: Any, *args: Any) -> Any:
        if (face, *args) not in known:
            known[face, *args] = yield from operation(face, *args)
        return known[face, *args]

    return [(owner, name, verb(call))]


def _kimberlite_repeats() -> list[Patch]:
    """Take a batch that stands where a lost answer put it for somebody else's, and append it again."""

    def never(flight: Any, actual: Any) -> Any:
        return False
        yield

    return [(kimberlite_appending._Flight, "_is_there", never)]


def _kimberlite_loses() -> list[Patch]:
    """Take a lost answer for a good one."""
    landed = kimberlite_appending._Flight.landed

    def trusting(flight: Any) -> Any:
        try:
            return (yield from landed(flight))
        except (NetworkError, TimeoutError):
            return flight._expected

    def never(*_: Any) -> Any:
        return False
        yield

    # Without tries of its own, or it would find out what became of it.
    once = (kimberlite_appending, "again", never)
    return [(kimberlite_appending._Flight, "landed", trusting), once]


def _kimberlite_skips() -> list[Patch]:
    """Subscribe one event too far after a cut."""
    begin = kimberlite_subscription.Flow._begin

    async def skipping(flow: Any, first: bool = False) -> None:
        if not first and flow.next is not None and flow.next > 0:
            flow.next += 1
        await begin(flow, first)

    return [(kimberlite_subscription.Flow, "_begin", skipping)]


def _synap_repeats() -> list[Patch]:
    """Ask again whatever was asked, also what is not safe to repeat."""
    answered = connection_base.answered

    def repeating(calls: Any, safe: bool) -> Any:
        return answered(calls, True)

    return [(one, "answered", repeating) for one in (synap_driver, sync_connection, async_connection)]


BROKEN: dict[str, tuple[str, Callable[[], list[Patch]]]] = {
    "s2 repeats": ("s2.unary", _s2_repeats),
    "s2 repeats in sessions": ("s2.sessions", _s2_repeats),
    "s2 skips": ("s2.sessions", _s2_skips),
    "feeds skip": ("live.folds", _feeds_skip),
    "s2 loses": ("s2.sessions", _s2_loses),
    "s2 stale": ("s2.unary", lambda: _remembering(s2_stream.StreamVerbs, "check_tail")),
    "s2 stale in histories": ("s2.history", lambda: _remembering(s2_stream.StreamVerbs, "check_tail")),
    "kimberlite repeats": ("kimberlite.unary", _kimberlite_repeats),
    "kimberlite loses": ("kimberlite.unary", _kimberlite_loses),
    "kimberlite skips": ("kimberlite.follow", _kimberlite_skips),
    "kimberlite stale": ("kimberlite.unary", lambda: _remembering(kimberlite_client._Calls, "stream_length")),
    "synap repeats": ("synap.queue", _synap_repeats),
    "synap repeats in rooms": ("synap.room", _synap_repeats),
    "synap stale": ("synap.history", lambda: _remembering(kv.KV, "get")),
}
"""Which scenario must find it, and what is broken."""


@contextlib.contextmanager
def broken(how: str) -> Iterator[None]:
    """Within, something is broken; nothing where it has no name."""
    patches = BROKEN[how][1]() if how else []
    before = [(holder, name, holder.__dict__[name]) for holder, name, _ in patches]
    try:
        for holder, name, value in patches:
            setattr(holder, name, value)
        yield
    finally:
        for holder, name, value in before:
            setattr(holder, name, value)
