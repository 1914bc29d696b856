"""Agentic tasks."""

from __future__ import annotations

import uuid
from typing import Any

from ...core.http.operations import Operation
from ..errors import ClaudeAPIError, ClaudeInputError
from ..types import Usage
from ..wire import json_messages as wire
from .exchange import ask
from .state import ClientState


def run(
    state: ClientState,
    description: str,
    tools: list[str],
    agents: list[str],
    skills: list[str],
    timeout: int,
    max_cost: float,
    model: str | None,
    project: str | None,
    working_directory: str | None,
) -> Operation[dict[str, Any]]:
    """Return the report of a task that came to an end; outcomes with a name of their own are raised."""
    if not description.strip():
        raise ClaudeInputError("description is empty", hint="describe the task")
    max_cost = wire.usd(max_cost, "max_cost")
    if working_directory is not None and not isinstance(working_directory, str):
        raise ClaudeInputError(
            f"working_directory={working_directory!r}: give text, a path at the service", hint="give str(...) of it"
        )
    deadline = state.clock.monotonic() + wire.patience(timeout)
    body: dict[str, Any] = {
        "description": description,
        "allow_tools": tools,
        "allow_agents": agents,
        "allow_skills": skills,
        "timeout": timeout,
        "max_cost": max_cost,
    }
    if model is not None:
        body["model"] = model
    if working_directory is not None:
        body["working_directory"] = working_directory
    if project is None:
        # Without it the service would charge its project "default", and the key's usage would be wrong.
        project = yield from _own_project(state, deadline)
    if project is not None:
        body["project_id"] = project
    request_id = uuid.uuid4().hex
    answered = False
    try:
        answer = yield from ask(
            state,
            "POST",
            "/v1/task",
            "agentic_task",
            body,
            within=wire.patience(timeout),
            deadline=deadline,
            project=project,
            request_id=request_id,
            task_timeout=timeout,
        )
        report = wire.parsed(answer, "agentic_task")
        answered = _booked(state, report, project, request_id)
        return wire.task_outcome(report)
    except ClaudeAPIError as error:
        answered = answered or error.paid is not None
        raise
    finally:
        if not answered:
            state.book.unknown("agentic_task", model, project, request_id)


def _booked(state: ClientState, report: dict[str, Any], project: str | None, request_id: str) -> bool:
    """Return whether it is known what the task cost."""
    used = report.get("usage")
    used = used if isinstance(used, dict) else {}
    cost, counted = wire.number(used.get("total_cost")), wire.usage_of(used)
    if cost is None:
        return report.get("status") == "failed"
    state.book.completed(
        "agentic_task", str(used.get("model_used", "auto")), counted or Usage(0, 0, 0), cost, project, request_id
    )
    return True


def _own_project(state: ClientState, deadline: float) -> Operation[str | None]:
    if state.own_project is None:
        try:
            answer = yield from ask(
                state, "GET", "/v1/usage", "get_usage", params={"period": "day"}, within=30, deadline=deadline
            )
            state.own_project = wire.stats_of(answer).project_id or None
        except ClaudeAPIError:
            return None  # the task itself will report the error
    own: str | None = state.own_project
    return own
