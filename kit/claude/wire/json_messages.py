"""Request bodies, answers, and refusals as exceptions. No I/O."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

from ...core.errors import InputError, KitError, Silent, TransportError
from ...core.http.operations import Response as Answer
from ...core.http.operations import asked_pause
from ...core.tables.json.scalars import shown
from ..errors import (
    AuthenticationError,
    BudgetExceededError,
    ClaudeAPIError,
    ClaudeInputError,
    PermissionError,
    RateLimitError,
    TimeoutError,
)
from ..types import BatchResult, Model, Response, Usage, UsageStats

LARGEST = 64 * 1024 * 1024
"""The largest answer in bytes."""
SHORTEST, LONGEST = 1.0, 300.0
"""The shortest and longest timeout in seconds that the service accepts for a completion."""
BATCH = 50
"""Prompts in one request: the service refuses more than it has places for (55), but runs those already queued."""
PERIODS = ("month", "week", "day")
_QUOTED = 500


def body(value: Mapping[str, Any]) -> bytes:
    """Return a JSON body. Text that no UTF-8 can carry (lone surrogates) goes as escapes."""
    return json.dumps(value, separators=(",", ":")).encode()


def chosen_model(model: str | None) -> str | None:
    """Return the model to name to the service, None where it shall choose: it takes the word "auto" for a model's name.

    >>> chosen_model("haiku"), chosen_model("auto"), chosen_model(None)
    ('haiku', None, None)
    """
    if model is None or model == Model.AUTO:
        return None
    names = [str(name) for name in Model]
    if model not in names:
        import difflib

        near = difflib.get_close_matches(str(model).lower(), names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(names)}"
        raise ClaudeInputError(f"model={model!r}: the service has no such model", hint=hint)
    return str(model)


def prompt_text(prompt: Any, where: str = "prompt") -> str:
    """Return the prompt as text; raise if it is not text or cannot be sent."""
    if isinstance(prompt, str):
        try:
            prompt.encode()
        except UnicodeEncodeError:
            raise ClaudeInputError(
                f"{where} contains half of a character, which UTF-8 cannot encode: {shown(prompt)}", hint="replace it"
            ) from None
        return str(prompt)
    if (
        prompt is None
        or type(prompt).__name__ in ("NAType", "NaTType")
        or (isinstance(prompt, float) and math.isnan(prompt))
    ):
        raise ClaudeInputError(f"{where} is missing", hint='leave such rows out: df["prompt"].dropna()')
    raise ClaudeInputError(
        f"{where} must be text, not {type(prompt).__name__}: {shown(prompt)}", hint="give str(...) of it"
    )


def seconds(value: Any, name: str = "timeout") -> float:
    """Return a time that can be waited."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or value <= 0:
        raise ClaudeInputError(f"{name}={value!r}: give seconds above 0")
    return float(value)


def usd(value: Any, name: str) -> float:
    """Return an amount of money."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        raise ClaudeInputError(f"{name}={value!r}: give USD from 0 up")
    return float(value)


def project_of(given: Any, own: Any) -> str | None:
    """Return the project of a call: the given one, else the client's own."""
    for project in (given, own):
        if project is not None and not isinstance(project, str):
            raise ClaudeInputError(f"project_id={project!r}: give text")
    return given or own or None


def patience(timeout: float) -> float:
    """Return the seconds to wait for an answer that the service gives up on after `timeout`.

    A little longer, as its own word says more than silence does: whether something ran, and is to be paid for.

    >>> patience(1), patience(300)
    (1.2, 310)
    """
    return timeout + min(0.2 * timeout, 10)


def limited(timeout: float) -> float:
    """Return the timeout that the service accepts and that is closest to the one asked for."""
    return min(LONGEST, max(SHORTEST, timeout))


def names(value: Any, name: str) -> list[str]:
    """Return a list of names; the service takes no null."""
    if value is None:
        return []
    listed: list[Any] = [None] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    if not all(isinstance(item, str) for item in listed):
        raise ClaudeInputError(f"{name}={value!r}: give a list of names", hint=f'such as {name}=["Read"]')
    return listed


def chat(prompt: str, model: str | None, timeout: float, project: str | None) -> dict[str, Any]:
    """Return the body of a request for a completion."""
    request: dict[str, Any] = {"messages": [{"role": "user", "content": prompt}], "timeout": timeout}
    if model is not None:
        request["model"] = model
    if project is not None:
        request["project_id"] = project
    return request


def batch(prompts: Sequence[tuple[str, str]], model: str | None, timeout: float, project: str | None) -> dict[str, Any]:
    """Return the body of a request for several: pairs of id and prompt."""
    request: dict[str, Any] = {"prompts": [{"id": name, "prompt": prompt} for name, prompt in prompts]}
    request["timeout"] = timeout
    if model is not None:
        request["model"] = model
    if project is not None:
        request["project_id"] = project
    return request


def detail_of(answer: Answer) -> Any:
    """Return the detail of a refusal: a text, a list of errors in a body, or the answer's text if it is no
    JSON."""
    try:
        payload = answer.json()
    except ValueError:
        return answer.text()[:_QUOTED]
    return payload.get("detail", payload) if isinstance(payload, dict) else payload


def detail_text(detail: Any) -> str:
    """Return a detail as a line.

    >>> detail_text([{"loc": ["body", "timeout"], "msg": "Input should be less than or equal to 300"}])
    'body.timeout: Input should be less than or equal to 300'
    """
    if isinstance(detail, str):
        return detail[:_QUOTED]
    if isinstance(detail, list):
        lines = [
            f"{'.'.join(str(part) for part in issue['loc'])}: {issue.get('msg', '')}"
            if isinstance(issue, dict) and isinstance(issue.get("loc"), list)
            else str(issue)
            for issue in detail[:5]
        ]
        return "; ".join(lines)[:_QUOTED]
    return str(detail)[:_QUOTED]


_HINTS = {
    AuthenticationError: "check api_key= or the variable CLAUDE_API_KEY",
    RateLimitError: "nothing ran; a new count starts with the next minute",
    PermissionError: "ask for less, or for a key with a larger profile",
    TimeoutError: "give it longer with timeout=, or ask for less; it was not repeated, as it may have been paid for",
    BudgetExceededError: "raise the project's budget, or use another project_id",
}


_RAN_AND_FAILED = re.compile(r"(?:Task failed: )?Process exited with code")
_RAN = "the program behind the service ran, and failed in its own words above; ask again later, it may pass"


def refusal(answer: Answer, what: str, elapsed: float = 0.0, task_timeout: float | None = None) -> ClaudeAPIError:
    """Return the exception for an answer that is not a success."""
    detail = detail_of(answer)
    text = detail_text(detail)
    kind = _kind(answer.status, text, elapsed, task_timeout)
    return kind(
        f"{what}: {text or 'no reason given'} (status {answer.status})",
        status_code=answer.status,
        detail=detail,
        request_id=answer.headers.get("x-request-id"),
        paid=False if nothing_ran(answer) else None,
        retry_after=asked_pause(answer),
        answered=answer.headers.get("date"),
        hint=_RAN if _RAN_AND_FAILED.match(text or "") else _HINTS.get(kind),
    )


def _kind(status: int, text: str, elapsed: float, task_timeout: float | None) -> type[ClaudeAPIError]:
    missing_key = ("Not authenticated", "Invalid authentication credentials")
    if status == 401 or (status == 403 and text.startswith(missing_key)):
        return AuthenticationError
    if status in (403, 429) and text.startswith("Budget exceeded"):
        return BudgetExceededError
    if status == 403:
        return PermissionError
    if status == 429:
        return RateLimitError
    if status in (408, 504) or (status == 500 and text.startswith("Task failed: Task timed out")):
        return TimeoutError
    # The service fails to report a task that ran out of time; only the elapsed time shows it.
    lost_report = status == 500 and text.startswith("Task execution failed: object of type")
    if lost_report and task_timeout is not None and elapsed >= task_timeout:
        return TimeoutError
    return ClaudeAPIError


def nothing_ran(answer: Answer) -> bool:
    """Return whether a refusal proves that nothing was charged.

    A 502 or 503 does only in the service's own words: a proxy says the same when it lost an answer on its way.
    """
    if 400 <= answer.status < 500 and answer.status != 408:
        return True
    if answer.status == 503:
        return _own_words(answer)
    return answer.status == 502 and "x-error-category" in answer.headers


def worth_repeating(answer: Answer) -> bool:
    """Return whether the same request may do better: the service is full, or its upstream stumbled."""
    if answer.status == 502:
        return answer.headers.get("x-error-category") == "upstream_error"
    return answer.status == 503 and _own_words(answer)


def _own_words(answer: Answer) -> bool:
    try:
        payload = answer.json()
    except ValueError:
        return False
    return isinstance(payload, dict) and isinstance(payload.get("detail"), str)


def failure(error: KitError, what: str, waited: float | None = None) -> ClaudeAPIError:
    """Return the exception for an answer that never came whole."""
    sent = getattr(error, "maybe_received", not isinstance(error, InputError))
    paid = None if sent else False
    reason = error.args[0] if error.args else type(error).__name__
    fields: dict[str, Any] = {"op": error.op, "resource": error.resource, "paid": paid}
    if isinstance(error, Silent):
        within = "" if waited is None else f" within {waited:g} s"
        return TimeoutError(f"{what}: no answer{within} ({reason})", hint=_HINTS[TimeoutError], **fields)
    hint = error.hint
    if isinstance(error, TransportError) and paid is None:
        hint = "it may have run and been paid for, so it was not repeated; get_usage() tells"
    kind = ClaudeInputError if isinstance(error, InputError) else ClaudeAPIError
    return kind(f"{what}: {reason}", hint=hint, **fields)


def parsed(answer: Answer, what: str) -> dict[str, Any]:
    """Return the object in a good answer."""
    try:
        value = answer.json()
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise unreadable(what, "no JSON object", answer)
    return value


def unreadable(what: str, why: str, answer: Answer | None = None) -> ClaudeAPIError:
    """Return the error for an answer with a good status in a form that this service does not give."""
    return ClaudeAPIError(
        f"{what}: the answer is not one that this service gives ({why})",
        status_code=None if answer is None else answer.status,
        detail=None if answer is None else answer.text()[:_QUOTED],
        request_id=None if answer is None else answer.headers.get("x-request-id"),
        hint="check that the address is that of a Claude Code API service",
    )


def response_of(answer: Answer, what: str = "complete") -> Response:
    """Return the completion in an answer."""
    value = parsed(answer, what)
    content, cost, used = value.get("content"), number(value.get("cost")), usage_of(value.get("usage"))
    if not isinstance(content, str) or cost is None or used is None:
        raise unreadable(what, "no content, usage or cost", answer)
    project = value.get("project_id")
    return Response(
        str(value.get("id", "")),
        str(value.get("model", "")),
        content,
        used,
        cost,
        project if isinstance(project, str) else None,
    )


def usage_of(value: Any) -> Usage | None:
    """Return token counts, or None without any."""
    if not isinstance(value, dict):
        return None
    counts = [count(value.get(name)) for name in ("input_tokens", "output_tokens")]
    if counts[0] is None or counts[1] is None:
        return None
    return Usage(counts[0], counts[1], count(value.get("total_tokens")) or counts[0] + counts[1])


def count(value: Any) -> int | None:
    """Return a number of something, if it is one that a column of whole numbers holds."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def number(value: Any) -> float | None:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def batch_results(answer: Answer, prompts: Sequence[tuple[str, str]]) -> list[BatchResult]:
    """Return one result for each prompt, in their order; one that is missing in the answer counts as failed."""
    listed = parsed(answer, "batch").get("results")
    if not isinstance(listed, list) or len(listed) > len(prompts):
        raise unreadable("batch", "no results, or more than prompts", answer)
    results = []
    for place, (name, prompt) in enumerate(prompts):
        told_of = listed[place] if place < len(listed) else None
        results.append(_result(name, prompt, told_of if isinstance(told_of, dict) else {}))
    return results


def _result(name: str, prompt: str, value: Mapping[str, Any]) -> BatchResult:
    content, used, cost = value.get("content"), usage_of(value.get("usage")), number(value.get("cost"))
    if value.get("status") == "completed" and isinstance(content, str) and used is not None and cost is not None:
        return BatchResult(name, prompt, "completed", content, used, cost, None, True)
    error = value.get("error")
    text = error if isinstance(error, str) else "the service gave no result for this prompt"
    return BatchResult(name, prompt, "failed", error=text[:_QUOTED], paid=False if value else None)


def stats_of(answer: Answer) -> UsageStats:
    """Return the usage in an answer."""
    value = parsed(answer, "get_usage")
    tokens, cost, by_model = count(value.get("total_tokens")), number(value.get("total_cost")), value.get("by_model")
    if tokens is None or cost is None or not isinstance(by_model, dict):
        raise unreadable("get_usage", "no totals", answer)
    rows: dict[str, dict[str, float]] = {}
    for model, used in by_model.items():
        if isinstance(used, dict):
            rows[model] = {"tokens": count(used.get("tokens")) or 0, "cost": number(used.get("cost")) or 0.0}
    limit, remaining = value.get("limit"), value.get("remaining")
    return UsageStats(
        str(value.get("project_id", "")),
        str(value.get("period", "")),
        tokens,
        cost,
        rows,
        limit if isinstance(limit, int) else None,
        remaining if isinstance(remaining, int) else None,
    )


def task_outcome(value: dict[str, Any]) -> dict[str, Any]:
    """Return a task's report, with what every reader looks for in its place; an outcome with a name of its own is
    raised."""
    result, used = value.get("result"), value.get("usage")
    value["result"] = result = result if isinstance(result, dict) else {}
    value["usage"] = used = used if isinstance(used, dict) else {}
    for name in ("execution_log", "artifacts"):
        if not isinstance(value.get(name), list):
            value[name] = []
    status, error = value.get("status"), str(result.get("error", ""))
    cost = number(used.get("total_cost"))
    if status == "cost_exceeded":
        raise BudgetExceededError(
            f"agentic_task: {error or 'the task cost more than max_cost'}",
            estimated_cost=cost,
            status_code=200,
            detail=value,
            paid=True,
            hint="the task has run; raise max_cost= to keep its result",
        )
    if status == "failed" and error.startswith("Insufficient budget"):
        raise BudgetExceededError(
            f"agentic_task: {error}: about {used.get('estimated_tokens', '?')} tokens were requested",
            status_code=200,
            detail=value,
            paid=False,
            hint=_HINTS[BudgetExceededError],
        )
    if status == "timeout":
        raise TimeoutError(
            f"agentic_task: {error or 'the task ran out of time'}",
            status_code=200,
            detail=value,
            paid=None if cost is None else True,
            hint=_HINTS[TimeoutError],
        )
    if not isinstance(result.get("summary"), str):
        result["summary"] = error
    if cost is None:
        used["total_cost"] = 0.0
    return value
