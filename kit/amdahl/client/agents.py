"""Agent sessions: start, poll, resume, wait, follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import quote

from ...core.errors import Lost, TransportError
from ...core.faces import helper, state_of, walk_helper
from ...core.http.operations import (
    Emit,
    Next,
    Open,
    Operation,
    Pause,
    Request,
    Shut,
    Timeouts,
    Tries,
    Walk,
    asked_pause,
    read_rest,
)
from ...core.http.retry import ONCE, Outcome, Policy
from ...core.http.sse import EventParser
from ..errors import AmdahlInputError
from ..types import TERMINAL, TERMINAL_EVENTS, AgentSession, SessionEvent
from ..wire import json_messages as wire
from .exchange import CONNECT_TIMEOUT, PATIENT, exchange

T = TypeVar("T")
U = TypeVar("U")

SILENCE = 45.0
"""Seconds without a byte after which a stream counts as lost; the service sends a comment every 15."""

_WAITING = Policy(attempts=12, base=0.5, cap=8.0)
"""Retries that outlast about half a minute in which the service cannot answer."""

_RECONNECTS = Policy(attempts=8, base=0.25, cap=5.0)


@helper
def start_agent(
    client: Any, *, profile_id: str, task: str, input_params: dict[str, Any] | None = None
) -> Operation[AgentSession]:
    """Return the new session: its `session_id` and `status`. It continues to run at the service."""
    body = {"profile_id": profile_id, "task": task, "input_params": input_params or {}, "async": True}
    return cast(AgentSession, wire.judge((yield from exchange(client, "POST", "/agents/run", body, op="start_agent"))))


@helper
def get_agent_status(client: Any, session_id: str) -> Operation[AgentSession]:
    """Return the status of a session."""
    return (yield from status_of(client, session_id, ONCE))


@helper
def resume_agent(client: Any, session_id: str, input_value: dict[str, Any]) -> Operation[AgentSession]:
    """Return the session after it was given the input that it waits for."""
    path = f"{_path(session_id)}/resume"
    response = yield from exchange(client, "POST", path, {"input": input_value}, op="resume_agent")
    return cast(AgentSession, wire.judge(response))


@helper
def wait_for_agent(
    client: Any, session_id: str, *, interval_s: float = 3.0, timeout_s: float = 600.0
) -> Operation[AgentSession]:
    """Wait until the session has ended or asks for input, and return it; raise `TimeoutError` after `timeout_s`.

    A status call that fails for a moment (429, 5xx, a broken connection) is repeated and does not end the wait.
    """
    clock = state_of(client).driver.clock
    deadline = clock.monotonic() + timeout_s
    while True:
        status = yield from status_of(client, session_id, _WAITING)
        if status["status"] in TERMINAL or status["status"] == "awaiting_input":
            return status
        left = deadline - clock.monotonic()
        if left <= 0:
            raise TimeoutError(f"agent {session_id} timed out")
        yield Pause(min(interval_s, left))


@walk_helper
def stream_agent(
    client: Any, session_id: str, *, last_event_id: str = "", silence_s: float = SILENCE
) -> Walk[dict[str, Any]]:
    """Return the session's events as they happen, each a dict with `type` and `data`; the last one ends the session.

    A cut or silent stream is opened again from the last event on, so nothing is missed and nothing comes twice.
    """
    yield from follow(client, session_id, lambda event: event.payload, last_event_id, silence_s)


def follow(
    client: Any,
    session_id: str,
    shape: Callable[[SessionEvent], T],
    last_event_id: str = "",
    silence_s: float = SILENCE,
    *,
    opened: Sequence[U] = (),
) -> Walk[T | U]:
    """Return the session's events, each in the shape asked for, across broken connections; and the items of `opened`
    whenever it is connected, if silent."""
    if not silence_s > 0:
        raise AmdahlInputError(f"silence_s={silence_s!r}: give seconds above 0")
    last, emitted, quiet_ends = last_event_id, 0, 0
    tries = Tries(_RECONNECTS)
    retry_ms: float | None = None
    while True:
        failure: TransportError
        opened_at, emitted_before = last, emitted
        try:
            stream = yield Open(_stream_request(session_id, last, silence_s, tries.made - 1))
            if stream.status != 200:
                response = yield from read_rest(stream)
                if not (yield from _again(tries, asked_pause(response), response.status)):
                    wire.judge(response)
                    raise Lost(f"the stream of session {session_id} answered HTTP {response.status}")
                continue
            for batch in opened:
                yield Emit(batch)
            parser = EventParser(last)
            while piece := (yield Next(stream)):
                for event in parser.feed(piece):
                    if event.named and opened_at and event.id == opened_at:
                        continue  # some servers repeat the last event that the client has seen
                    last = event.id or last
                    payload = wire.event_payload(event.type, event.data)
                    yield Emit(shape(SessionEvent(event.id, payload)))
                    emitted, tries.made, quiet_ends = emitted + 1, 1, 0
                    if payload["type"] in TERMINAL_EVENTS:
                        yield Shut(stream)
                        return
            yield Shut(stream)
            retry_ms = parser.retry if parser.retry is not None else retry_ms
            quiet_ends += emitted == emitted_before
            failure = Lost(f"the stream of session {session_id} ended before the session did")
        except TransportError as error:
            failure = error
        if quiet_ends > 1 and (yield from status_of(client, session_id, PATIENT))["status"] in TERMINAL:
            return  # two clean, empty answers in a row: there are no more events
        if emitted and not last:
            raise Lost(
                f"the stream of session {session_id} broke after {emitted} events, which had no ids to resume from",
                hint="start again to get all of them",
            )
        if not (yield from _again(tries, retry_ms)):
            raise failure


def _stream_request(session_id: str, last_event_id: str, silence_s: float, retries: int) -> Request:
    headers = {"accept": "text/event-stream", "cache-control": "no-store"}
    if last_event_id:
        headers["last-event-id"] = last_event_id
    return Request(
        "GET",
        f"{_path(session_id)}/stream",
        op="stream_agent",
        headers=headers,
        timeouts=Timeouts(CONNECT_TIMEOUT, silence_s),
        # A stream may last for days; each of its events is bounded.
        limit=2**62,
        retries=retries,
    )


def _again(tries: Tries, least: float | None, status: int = 0) -> Operation[bool]:
    return tries.again(Outcome(status, maybe_received=False, asked_pause=least))


def status_of(client: Any, session_id: str, policy: Policy) -> Operation[AgentSession]:
    response = yield from exchange(client, "GET", f"{_path(session_id)}/status", op="get_agent_status", policy=policy)
    return cast(AgentSession, wire.judge(response))


def _path(session_id: str) -> str:
    return f"/agents/{quote(session_id, safe='')}"
