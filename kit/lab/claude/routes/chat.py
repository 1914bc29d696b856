"""Completions, one and many, and the choice of a model."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from ..answers import Refusal, answer
from ..app import Desk, request_id, taking
from ..fields import Fields, prompt_of
from ..keys import Key
from ..model import directives
from ..model.routing import choose, reasons
from ..model.runs import Run
from ..usage_store import over_budget

SHORTEST, LONGEST = 1.0, 300.0


def routes(desk: Desk) -> Sequence[BaseRoute]:
    return [
        taking(desk, "/chat/completions", chat),
        taking(desk, "/batch", batch),
        taking(desk, "/route", route),
    ]


def estimate(prompt: str) -> int:
    """Return tokens that a completion is taken for before it has run."""
    return 2 * len(prompt.split())


async def chat(desk: Desk, key: Key, fields: Fields, request: Request) -> Response:
    messages = fields.messages()
    model = fields.text("model", null=True)
    timeout = fields.number("timeout", 30.0, SHORTEST, LONGEST)
    context = fields.values.get("max_tokens")
    if context is not None:
        context = fields.integer("max_tokens", 0)
    fields.check()
    project = desk.project(key, fields.values.get("project_id"))
    prompt = prompt_of(messages)
    if not model:
        model = choose(prompt, context or len(prompt.split()), desk.usage_store.remaining(project))
    run = await complete(desk, key, project, "chat", prompt, model, timeout, request_id(request))
    return answer(
        {
            "id": str(uuid.uuid4()),
            "model": model,
            "content": run.text,
            "usage": run.usage,
            "cost": run.cost,
            "project_id": project,
        }
    )


async def complete(
    desk: Desk,
    key: Key,
    project: str,
    kind: str,
    prompt: str,
    model: str,
    timeout: float,
    name: str,
    over: int = 429,
) -> Run:
    """Return a run within the project's budget, written down."""
    if directives.read(prompt)[0].fail == "budget":
        raise over_budget(project, over)
    with desk.usage_store.reserved(project, estimate(prompt), over):
        desk.pool.admit(1)
        run = await desk.pool.run(prompt, model, timeout)
        await desk.usage_store.record(key, project, kind, [run], name)
    return run


async def batch(desk: Desk, key: Key, fields: Fields, request: Request) -> Response:
    prompts = fields.prompts()
    model = fields.text("model", null=True)
    timeout = fields.number("timeout", 30.0, SHORTEST, LONGEST)
    fields.check()
    project = desk.project(key, fields.values.get("project_id"))
    if not model:
        if not prompts:
            raise Refusal(500, None)
        first = prompts[0][1]
        model = choose(first, len(first.split()), desk.usage_store.remaining(project))
    # The hosted service does not check budgets for batches.
    needed = 0 if desk.tuning.real else sum(estimate(prompt) for _, prompt in prompts)
    with desk.usage_store.reserved(project, needed):
        desk.pool.admit(len(prompts))
        ran = await asyncio.gather(*(_one(desk, prompt, model, timeout) for _, prompt in prompts))
        done = [run for run in ran if isinstance(run, Run)]
        await desk.usage_store.record(key, project, "batch", done, request_id(request))
    results = [_result(name, prompt, run) for (name, prompt), run in zip(prompts, ran, strict=True)]
    return answer(
        {
            "total": len(results),
            "completed": len(done),
            "failed": len(results) - len(done),
            "results": results,
            "total_cost": sum(run.cost for run in done),
            "total_tokens": sum(run.total for run in done),
        }
    )


async def _one(desk: Desk, prompt: str, model: str, timeout: float) -> Run | str:
    """Return a run, or the reason why there is none."""
    try:
        return await desk.pool.run(prompt, model, timeout)
    except Refusal as refusal:
        return str(refusal.detail or "The command gave no result")


def _result(name: str | None, prompt: str, run: Run | str) -> dict[str, Any]:
    result: dict[str, Any] = {"id": name, "prompt": prompt, "status": "failed"}
    if isinstance(run, str):
        return {**result, "content": None, "usage": None, "cost": None, "error": run}
    return {
        **result,
        "status": "completed",
        "content": run.text,
        "usage": run.usage,
        "cost": run.cost,
        "error": None,
    }


async def route(desk: Desk, key: Key, fields: Fields, request: Request) -> Response:
    prompt = fields.text("prompt")
    context = fields.integer("context_size", 0, least=0)
    fields.check()
    used = desk.usage_store.usage(desk.project(key, fields.values.get("project_id")), "month")
    remaining = used["remaining"]
    return answer(
        {
            "recommended_model": choose(prompt, context, remaining),
            "reasoning": reasons(prompt, context, remaining),
            "budget_status": {name: used[name] for name in ("total_tokens", "total_cost", "limit", "remaining")},
        }
    )
