"""Many prompts in a few requests: never more at once than the service can run, results in order."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

from ....core.http.operations import Operation
from ...errors import ClaudeAPIError, ClaudeInputError
from ...types import BatchResponse, BatchResult
from ...wire import json_messages as wire
from ..exchange import ask
from ..state import ClientState

_PLACES = 5
"""Prompts of one request that the service runs at once."""


def listed(prompts: Iterable[str | Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return pairs of id and prompt: plain texts are numbered, dicts may bring an id of their own.

    >>> listed(["a", {"prompt": "b", "id": "mine"}])
    [('0', 'a'), ('mine', 'b')]
    """
    if isinstance(prompts, str | Mapping):
        raise ClaudeInputError("prompts must be a list of texts", hint="for one prompt there is complete()")
    pairs = []
    for place, prompt in enumerate(prompts):
        name = str(place)
        text: Any = prompt
        if isinstance(prompt, Mapping):
            text = prompt.get("prompt")
            prompt_id = prompt.get("id")
            name = name if prompt_id is None else str(prompt_id)
        pairs.append((name, wire.prompt_text(text, f"prompt {place}")))
    return pairs


def route(state: ClientState, prompt: str, project: str | None, context_size: Any = 0) -> Operation[str]:
    """Return the model that the service would choose."""
    if isinstance(context_size, bool) or not isinstance(context_size, Integral) or context_size < 0:
        raise ClaudeInputError(f"context_size={context_size!r}: give a whole number from 0 up")
    body: dict[str, Any] = {"prompt": prompt, "context_size": int(context_size)}
    if project is not None:
        body["project_id"] = project
    answer = yield from ask(
        state, "POST", "/v1/route", "route", body, within=min(30, state.timeout), project=project, free=True
    )
    model = wire.parsed(answer, "route").get("recommended_model")
    if not isinstance(model, str):
        raise wire.unreadable("route", "no model", answer)
    return wire.chosen_model(model) or "sonnet"


def part(
    state: ClientState,
    prompts: Sequence[tuple[str, str]],
    model: str | None,
    timeout: float,
    project: str | None,
    rounds: int = 0,
) -> Operation[list[BatchResult]]:
    """Return the results of the prompts of one request. Their costs are recorded when this returns.

    `rounds` is how often the service's places may have to be taken before the last of them is done, where others wait.
    """
    request_id = uuid.uuid4().hex
    body = wire.batch(prompts, model, timeout, project)
    within = wire.patience(max(rounds, -(-len(prompts) // _PLACES)) * timeout)
    answered = False
    try:
        answer = yield from ask(
            state,
            "POST",
            "/v1/batch",
            "batch",
            body,
            within=within,
            project=project,
            request_id=request_id,
            repeat=False,
        )
        results = wire.batch_results(answer, prompts)
        answered = True
    except ClaudeAPIError as error:
        answered = error.paid is False
        raise
    finally:
        if not answered:
            state.book.unknown("batch", model, project, request_id, len(prompts))
    for result in results:
        if result.usage is not None and result.cost is not None:
            state.book.completed("batch", model or "auto", result.usage, result.cost, project, request_id)
        elif result.paid is None:
            state.book.unknown("batch", model, project, request_id)
    return results


def batch(
    state: ClientState,
    prompts: Iterable[str | Mapping[str, Any]],
    model: str | None,
    parallel: bool,
    timeout: float,
    project: str | None,
) -> Operation[BatchResponse]:
    """Return all results. Paid ones are returned whatever fails later; only if there are none, it
    raises."""
    results: list[BatchResult]
    pairs = listed(prompts)
    size = wire.BATCH if parallel else 1
    if model is None and len(pairs) > size:
        # Otherwise each request would be routed by its own first prompt.
        model = yield from route(state, pairs[0][1], project, len(pairs[0][1].split()))
    results = state.last_batch = []
    while len(results) < len(pairs):
        group = pairs[len(results) : len(results) + size]
        try:
            results += yield from part(state, group, model, timeout, project)
        except ClaudeAPIError as error:
            if not any(result.status == "completed" for result in results):
                raise
            results += unanswered(group, error)
            results += left_out(pairs[len(results) :], error)
    return summed(results)


def unanswered(pairs: Sequence[tuple[str, str]], error: ClaudeAPIError) -> list[BatchResult]:
    """Return the results of prompts whose request failed."""
    return [BatchResult(name, prompt, "failed", error=error.message, paid=error.paid) for name, prompt in pairs]


def left_out(pairs: Sequence[tuple[str, str]], error: ClaudeAPIError) -> list[BatchResult]:
    """Return the results of prompts that were not sent any more."""
    reason = f"not sent, as a request before it failed: {error.message}"
    return [BatchResult(name, prompt, "failed", error=reason, paid=False) for name, prompt in pairs]


def summed(results: list[BatchResult]) -> BatchResponse:
    """Return results with their totals, which are over the completed ones."""
    done = [result for result in results if result.status == "completed"]
    return BatchResponse(
        total=len(results),
        completed=len(done),
        failed=len(results) - len(done),
        results=results,
        total_cost=sum(result.cost or 0.0 for result in done),
        total_tokens=sum(result.usage.total_tokens for result in done if result.usage is not None),
    )
