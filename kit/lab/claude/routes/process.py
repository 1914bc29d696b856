"""The route that accepts other providers' names for models, and the list of providers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ....claude.wire.prices import PRICES
from ..answers import Refusal, answer
from ..app import Desk, request_id, taking
from ..fields import Fields, prompt_of
from ..keys import Key
from .chat import complete

_PROVIDERS = ("claudecode", "anthropic")
_MAPPED = (
    (("haiku",), "haiku"),
    (("opus",), "opus"),
    (("sonnet", "claude"), "sonnet"),
    (("gpt-3.5", "mini", "nano"), "haiku"),
    (("gpt-4-turbo", "gpt-4o", "o1"), "opus"),
    (("gpt-4", "gpt-5"), "sonnet"),
)


def mapped(model: str) -> str:
    """Return the model that stands in for another provider's.

    >>> mapped("gpt-4o-mini"), mapped("gpt-4o"), mapped("gemini-2-flash"), mapped("anything")
    ('haiku', 'opus', 'haiku', 'sonnet')
    """
    name = model.lower()
    for parts, ours in _MAPPED:
        # "gemini" contains "mini" and does not belong to that family.
        if any(part in name.replace("gemini", "") for part in parts):
            return ours
    return "haiku" if "gemini" in name and "flash" in name else "sonnet"


def routes(desk: Desk) -> Sequence[BaseRoute]:
    async def providers(request: Request) -> Response:
        return answer([{"name": name, "available": True, "models": list(PRICES)} for name in _PROVIDERS])

    async def models(request: Request) -> Response:
        name = request.path_params["provider"]
        if name not in (*_PROVIDERS, "claude"):
            raise Refusal(404, f"Provider not found: {name[:100]}")
        one = {
            "max_tokens": 8192,
            "context_window": 200_000,
            "supports_functions": False,
            "supports_vision": True,
        }
        return answer({"provider": name, "models": dict.fromkeys(PRICES, one)})

    return [
        taking(desk, "/process", process),
        Route("/v1/providers", providers, methods=["GET"]),
        Route("/v1/providers/{provider}/models", models, methods=["GET"]),
    ]


async def process(desk: Desk, key: Key, fields: Fields, request: Request) -> Response:
    provider, name = fields.text("provider"), fields.text("model_name")
    most = fields.integer("max_tokens", 1000)
    given: dict[str, Any] = fields.values
    messages = fields.messages() if given.get("messages") else []
    project = fields.text("project_id", "default" if desk.tuning.real else key.project_id)
    fields.check()
    if given.get("stream"):
        raise Refusal(501, "Streaming via /v1/process not yet implemented. Use /v1/stream WebSocket instead.")
    if given.get("async_processing"):
        raise Refusal(501, "Async processing not yet implemented")
    if not messages:
        parts = (("system", "system_message"), ("user", "user_message"), ("user", "content"))
        messages = [{"role": role, "content": given[part]} for role, part in parts if given.get(part)]
    if not messages:
        raise Refusal(400, "No messages provided")
    model = mapped(name)
    timeout = max(30.0, min(most, 10**6) / 10)
    run = await complete(
        desk, key, project, "process", prompt_of(messages), model, timeout, request_id(request), over=403
    )
    return answer(
        {
            "content": run.text,
            "content_blocks": None,
            "model": name,
            "provider": provider,
            "metadata": {
                "actual_model": model,
                "usage": run.usage,
                "cost_usd": run.cost,
                "processing_time": 0,
                "finish_reason": "stop",
                "mapped_from": f"{provider}:{name} → claudecode:{model}",
            },
        }
    )
