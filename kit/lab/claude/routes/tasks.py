"""Agentic tasks: permission, budget, one run, and its report."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from ..answers import Refusal, answer
from ..app import Desk, reading, request_id, taking
from ..fields import Fields
from ..keys import Key
from ..model.directives import read
from ..model.routing import choose
from ..model.runs import Run, TimedOut
from ..profiles import AGENTS, SKILLS, permit

_PLENTY = 1_000_000
"""The budget that the service's router assumes for a task."""


@dataclass(frozen=True, slots=True)
class Task:
    """The request for a task."""

    description: str
    tools: list[str]
    agents: list[str]
    skills: list[str]
    timeout: int
    max_cost: float
    model: str
    working_directory: str = "/project"

    @classmethod
    def of(cls, fields: Fields) -> Task:
        task = cls(
            fields.text("description"),
            fields.texts("allow_tools"),
            fields.texts("allow_agents"),
            fields.texts("allow_skills"),
            fields.integer("timeout", 300),
            fields.number("max_cost", 1.0),
            fields.text("model", null=True),
            fields.text("working_directory", "/project"),
        )
        fields.check()
        return task

    @property
    def prompt(self) -> str:
        lines = [f"Task: {self.description}", f"Working directory: {self.working_directory}"]
        for what, names in (("Tools", self.tools), ("Agents", self.agents), ("Skills", self.skills)):
            if names:
                lines.append(f"{what} you may use: {', '.join(names)}")
        return "\n".join(lines)

    @property
    def estimate(self) -> int:
        words = 1.5 * len(self.description.split())
        return int(3 * (words + 500 * bool(self.tools) + 2000 * bool(self.agents) + 1000 * bool(self.skills)))

    def chosen(self) -> str:
        if self.model:
            return self.model
        if self.agents or self.skills:
            return "sonnet"
        return choose(self.description, len(self.description), _PLENTY)


def routes(desk: Desk) -> Sequence[BaseRoute]:
    return [taking(desk, "/task", task), reading(desk, "/capabilities", capabilities)]


async def task(desk: Desk, key: Key, fields: Fields, request: Request) -> Response:
    request_of = Task.of(fields)
    project = fields.text("project_id", "default" if desk.tuning.real else key.project_id)
    fields.check()
    permit(key.profile, request_of.tools, request_of.agents, request_of.skills, request_of.timeout, request_of.max_cost)
    return answer(await perform(desk, key, project, request_of, request_id(request)))


async def perform(desk: Desk, key: Key, project: str, order: Task, name: str) -> dict[str, Any]:
    """Return the report of a task that may be done."""
    if not order.description:
        raise _broke("Description is required")
    for what, requested, there in (("agents", order.agents, AGENTS), ("skills", order.skills, SKILLS)):
        unknown = [one for one in requested if one not in there]
        if unknown:
            raise _broke(f"Unknown {what} requested: {', '.join(unknown)[:200]}")
    task_id = str(uuid.uuid4())
    report: dict[str, Any] = {"task_id": task_id, "status": "failed", "result": {}}
    report |= {"execution_log": [], "artifacts": [], "usage": {}}
    started = datetime.now(UTC)
    workspace = desk.folder / "agentic_tasks" / task_id
    try:
        if read(order.prompt)[0].fail == "budget":
            raise Refusal(429, "over budget")
        with desk.usage_store.reserved(project, order.estimate):
            run = await _ran(desk, order)
            exceeded = run.cost > order.max_cost
            artifacts = [] if exceeded or desk.tuning.real else [_artifact(workspace, order, run)]
            if not (exceeded and desk.tuning.real):
                # The hosted service does not record runs that exceeded their limit.
                try:
                    await desk.usage_store.record(key, project, "task", [run], name)
                except BaseException:
                    # Nothing is kept of a run that is not recorded.
                    shutil.rmtree(workspace, ignore_errors=True)
                    raise
    except Refusal as refusal:
        if refusal.status == 429 and not refusal.headers:
            needed = {"estimated_tokens": order.estimate}
            return {**report, "result": {"error": "Insufficient budget"}, "usage": needed}
        if refusal.status == 503 and not refusal.headers:
            return {**report, "result": {"error": str(refusal.detail)}}
        if desk.tuning.real:
            raise _broke("object of type 'NoneType' has no len()") from None
        status = "timeout" if isinstance(refusal, TimedOut) else "failed"
        error = str(refusal.detail or "the command gave no result")
        log = [_entry(1, started, "task_failed", {"error": error})]
        return {**report, "status": status, "result": {"error": error}, "execution_log": log}
    used: dict[str, Any] = {**run.usage, "total_cost": run.cost, "model_used": run.model}
    if exceeded:
        del used["total_tokens"]
        error = f"Cost ${run.cost:.4f} exceeded limit ${order.max_cost:.4f}"
        return {
            **report,
            "status": "cost_exceeded",
            "result": {"error": error, "output": run.text[:500]},
            "usage": used,
        }
    used["duration_seconds"] = round((datetime.now(UTC) - started).total_seconds(), 2)
    return {
        **report,
        "status": "completed",
        "result": {
            "summary": run.text[:1000],
            "full_output": run.text,
            "workspace_directory": str(workspace),
        },
        "execution_log": _log(desk, order, run, started),
        "artifacts": artifacts,
        "usage": used,
    }


async def _ran(desk: Desk, order: Task) -> Run:
    desk.pool.admit(1)
    return await desk.pool.run(order.prompt, order.chosen(), max(0, order.timeout))


def _broke(why: str) -> Refusal:
    return Refusal(500, f"Task execution failed: {why}")


def _log(desk: Desk, order: Task, run: Run, started: datetime) -> list[dict[str, Any]]:
    """Return what happened, step by step. The hosted service tells only that it is over."""
    steps: list[tuple[str, dict[str, Any]]] = []
    if not desk.tuning.real:
        steps.append(("thinking", {"text": f"How to: {order.description[:200]}", "model": run.model}))
        steps += [("agent_spawn", {"agent": name, "does": AGENTS[name]}) for name in order.agents]
        steps += [("skill_invoke", {"skill": name, "does": SKILLS[name]}) for name in order.skills]
        steps += [("tool_call", {"tool": name, "note": "stands for a call; the lab runs none"}) for name in order.tools]
        steps.append(("result", {"input_tokens": run.input_tokens, "output_tokens": run.output_tokens}))
    steps.append(("task_completed", {"output_length": len(run.text)}))
    pace = (datetime.now(UTC) - started) / len(steps)
    return [
        _entry(place, started + place * pace, action, details) for place, (action, details) in enumerate(steps, start=1)
    ]


def _entry(step: int, at: datetime, action: str, details: dict[str, Any]) -> dict[str, Any]:
    # In UTC without an offset, as in the service.
    stamp = at.replace(tzinfo=None).isoformat(timespec="microseconds")
    return {"step": step, "timestamp": stamp, "action": action, "details": details}


def _artifact(workspace: Path, order: Task, run: Run) -> dict[str, Any]:
    """Leave a report in the task's workspace, whole or not at all, and describe it."""
    workspace.mkdir(parents=True, exist_ok=True)
    path = workspace / "report.md"
    text = f"# {order.description.splitlines()[0][:200]}\n\n{run.text}\n"
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError:
        shutil.rmtree(workspace, ignore_errors=True)
        raise
    return {
        "type": "file",
        "path": str(path),
        "size_bytes": path.stat().st_size,
        "created_at": datetime.fromtimestamp(path.stat().st_mtime).isoformat(),
    }


async def capabilities(desk: Desk, key: Key, request: Request) -> Response:
    agents = [
        {"name": name, "description": does, "tools": ["Read", "Grep"], "model": "sonnet"}
        for name, does in sorted(AGENTS.items())
    ]
    skills = [{"name": name, "description": does, "command": name} for name, does in sorted(SKILLS.items())]
    return answer({"agents": agents, "skills": skills, "agents_count": len(agents), "skills_count": len(skills)})
