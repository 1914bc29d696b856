"""One exchange with the service, through a blocking or an async client, retried only if nothing can have run."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...core.clock import Clock
from ...core.errors import InputError, KitError
from ...core.http.operations import Operation, Pause, Request, Timeouts, Tries, asked_pause
from ...core.http.operations import Response as Answer
from ...core.http.retry import Outcome, Policy
from ...core.secrets import Secret
from ..errors import ClaudeAPIError
from ..wire import json_messages as wire
from .state import LOG, ClientState

CONNECT_TIMEOUT = 5.0


def policy(attempts: int, delay: float) -> Policy:
    """Return the retry policy of a client.

    A 429 for a call that costs something is left to the caller, as in the reference. 500, 504 and lost answers are
    final for whatever may have run: repeating them would run, and pay, twice.
    """
    return Policy(
        attempts=max(1, attempts), base=delay, cap=max(delay, 8.0), statuses=frozenset(range(500, 600)),
        refused=frozenset({502, 503}),
    )  # fmt: skip


def ask(
    state: ClientState,
    method: str,
    path: str,
    what: str,
    body: Mapping[str, Any] | None = None,
    *,
    within: float,
    deadline: float | None = None,
    params: Mapping[str, Any] | None = None,
    project: str | None = None,
    request_id: str | None = None,
    repeat: bool = True,
    free: bool | None = None,
    task_timeout: float | None = None,
) -> Operation[Answer]:
    """Return the answer, where it is a good one; else raise the exception that says why not.

    `within` is how many seconds all tries and pauses may take together; where the call is a part of another one,
    `deadline` is when that one ends. What costs nothing (`free`, as every GET) is repeated after a 429 too.
    """
    clock: Clock = state.driver.clock
    began = clock.monotonic()
    ends = began + within if deadline is None else min(deadline, began + within)
    free = method == "GET" if free is None else free
    rules = replace(state.policy, deadline=ends - began)
    if free:
        rules = replace(rules, statuses=rules.statuses | {429}, refused=rules.refused | {429})
    request_name = request_id or uuid.uuid4().hex
    headers: dict[str, str | Secret] = {"x-request-id": request_name}
    key = state.project_keys.get(project or "")
    if key is not None:
        headers["authorization"] = key.after("Bearer ")
    request = Request(
        method,
        path,
        op=what,
        params=params,
        headers=headers,
        body=None if body is None else wire.body(body),
        timeouts=Timeouts(CONNECT_TIMEOUT, within),
        limit=wire.LARGEST,
        safe=free,
        deadline=ends,
    )
    tries = Tries(rules, clock)
    while True:
        started = clock.monotonic()
        if LOG.isEnabledFor(logging.DEBUG):
            LOG.debug("%s: %s %s, try %d, request %s", what, method, path, tries.made, request_name)
        answer: Answer | None = None
        failed: ClaudeAPIError
        try:
            answer = yield request
        except KitError as error:
            failed = wire.failure(error, what, within)
            failed.request_id = request_name
            outcome = Outcome(maybe_received=failed.paid is not False)
            again = (request.safe or failed.paid is False) and not isinstance(error, InputError)
        else:
            assert answer is not None
            elapsed = clock.monotonic() - started
            if LOG.isEnabledFor(logging.DEBUG):
                LOG.debug("%s: status %d after %.3f s", what, answer.status, elapsed)
            if answer.status == 200:
                return answer
            failed = wire.refusal(answer, what, elapsed, task_timeout)
            failed.op, failed.resource = what, path
            outcome = Outcome(answer.status, asked_pause=asked_pause(answer))
            again = request.safe or wire.worth_repeating(answer)
        pause = tries.pause(outcome, safe=request.safe) if again and repeat else None
        if pause is None:
            # Raised outside the handler, or the transport's error would be chained to it.
            raise failed
        LOG.debug("%s: again in %.2f s, as %s", what, pause, type(failed).__name__)
        yield Pause(pause)
        request = replace(request, retries=tries.made - 1)
