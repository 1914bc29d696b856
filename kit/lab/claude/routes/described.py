"""The service's description as OpenAPI, and as a page that loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from ..answers import answer
from ..app import Desk
from ..usage_store import PERIODS
from .chat import LONGEST, SHORTEST
from .health import VERSION

Schema = dict[str, Any]
_TITLE = "Claude Code API Service"
_STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;"
    "padding:0 1rem}td,th{text-align:left;padding:2px 16px 2px 0;vertical-align:top}"
    "h2{font-size:1.1rem;margin-top:2rem}"
)
_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer"}
_MODEL: Schema = {"type": ["string", "null"], "description": "haiku, sonnet or opus; chosen by the prompt if absent"}
_PROJECT: Schema = {"type": ["string", "null"], "description": "the project to charge"}
_SECONDS: Schema = {"type": "number", "minimum": SHORTEST, "maximum": LONGEST, "default": 30.0}
_MESSAGE: Schema = {
    "type": "object",
    "properties": {
        "role": {"type": "string", "default": "user"},
        "content": {"anyOf": [_TEXT, {"type": "array", "items": {"type": "object"}}]},
    },
}
_MESSAGES: Schema = {"type": "array", "items": _MESSAGE}
_NAMES: Schema = {"type": "array", "items": _TEXT, "default": []}


def _body(required: Sequence[str], **properties: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": properties}


_BODIES: Mapping[str, Schema] = {
    "/v1/chat/completions": _body(
        ["messages"],
        messages=_MESSAGES,
        model=_MODEL,
        timeout=_SECONDS,
        max_tokens={"type": ["integer", "null"]},
        project_id=_PROJECT,
    ),
    "/v1/batch": _body(
        ["prompts"],
        prompts={"type": "array", "items": _body(["prompt"], prompt=_TEXT, id={"type": ["string", "null"]})},
        model=_MODEL,
        timeout={**_SECONDS, "description": "for each prompt"},
        project_id=_PROJECT,
    ),
    "/v1/task": _body(
        ["description"],
        description=_TEXT,
        allow_tools=_NAMES,
        allow_agents=_NAMES,
        allow_skills=_NAMES,
        working_directory={"type": "string", "default": "/project"},
        timeout={"type": "integer", "default": 300},
        max_cost={"type": "number", "default": 1.0},
        model=_MODEL,
        project_id=_PROJECT,
    ),
    "/v1/route": _body(["prompt"], prompt=_TEXT, context_size={"type": "integer", "minimum": 0, "default": 0}),
    "/v1/process": _body(
        ["provider", "model_name"],
        provider=_TEXT,
        model_name={"type": "string", "description": "also the name of another provider's model"},
        messages=_MESSAGES,
        system_message=_TEXT,
        user_message=_TEXT,
        content=_TEXT,
        max_tokens={"type": "integer", "default": 1000},
        project_id=_PROJECT,
    ),
}
_SUMMARIES: Mapping[str, tuple[str, str]] = {
    "/": ("get", "What this service is, and where its routes are"),
    "/health": ("get", "How the service is, part by part"),
    "/ready": ("get", "Whether the service takes requests"),
    "/v1/chat/completions": ("post", "Answer messages"),
    "/v1/batch": ("post", "Answer many prompts"),
    "/v1/task": ("post", "Do a task with tools, agents and skills"),
    "/v1/route": ("post", "Choose a model for a prompt"),
    "/v1/process": ("post", "Answer messages under another provider's names"),
    "/v1/usage": ("get", "Tokens and costs of a project"),
    "/v1/capabilities": ("get", "Agents and skills, and what there is of each"),
    "/v1/providers": ("get", "The providers"),
    "/v1/providers/{provider}/models": ("get", "The models of a provider"),
}
_PARAMETERS: Mapping[str, list[Schema]] = {
    "/v1/usage": [
        {"name": "period", "in": "query", "schema": {"enum": list(PERIODS), "default": "month"}},
        {"name": "project_id", "in": "query", "schema": _TEXT},
    ],
    "/v1/providers/{provider}/models": [{"name": "provider", "in": "path", "required": True, "schema": _TEXT}],
}
_OPEN = ("/", "/health", "/ready", "/v1/providers", "/v1/providers/{provider}/models")
_STREAM = (
    "WebSocket /v1/stream: send {type: chat, model, messages, api_key} or {type: agentic_task, description, api_key};"
    " token frames and done, or thinking and result; an error frame ends a request and not the connection."
)


def document() -> dict[str, Any]:
    """Return the service's OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": VERSION, "description": _STREAM},
        "paths": {path: {method: _operation(path, summary)} for path, (method, summary) in _SUMMARIES.items()},
        "components": {"securitySchemes": {"HTTPBearer": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(path: str, summary: str) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": summary, "responses": {"200": {"description": "Successful Response"}}}
    if path in _PARAMETERS:
        operation["parameters"] = _PARAMETERS[path]
    if path in _BODIES:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _BODIES[path]}}}
        operation["responses"]["422"] = {"description": "Validation Error"}
    if path not in _OPEN:
        operation["security"] = [{"HTTPBearer": []}]
    return operation


def page() -> str:
    """Return the description as a page to read."""
    parts = [f"<h1>{escape(_TITLE)} {VERSION}</h1><p>The same as <a href='/openapi.json'>OpenAPI</a>.</p>"]
    for path, (method, summary) in _SUMMARIES.items():
        key = "" if path in _OPEN else " <small>with a key</small>"
        parts.append(f"<h2><code>{method.upper()} {escape(path)}</code>{key}</h2><p>{escape(summary)}.</p>")
        if path in _BODIES:
            body = _BODIES[path]
            rows = "".join(_row(name, item, name in body["required"]) for name, item in body["properties"].items())
            parts.append(f"<table><tr><th>field</th><th>type</th><th></th></tr>{rows}</table>")
    parts.append(f"<h2><code>WebSocket /v1/stream</code></h2><p>{escape(_STREAM)}</p>")
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(_TITLE)}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{_STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>"
    )


def _row(name: str, schema: Schema, required: bool) -> str:
    kind = schema.get("type", "")
    shown = " or ".join(kind) if isinstance(kind, list) else str(kind)
    notes = ["required"] if required else []
    notes += [f"default {schema['default']!r}"] if "default" in schema else []
    notes += [f"from {schema['minimum']:g} to {schema['maximum']:g}"] if "maximum" in schema else []
    notes += [schema["description"]] if "description" in schema else []
    return f"<tr><td><code>{escape(name)}</code></td><td>{shown}</td><td>{escape(', '.join(notes))}</td></tr>"


def routes(desk: Desk) -> Sequence[BaseRoute]:
    async def described(request: Request) -> Response:
        return answer(document())

    async def docs(request: Request) -> Response:
        policy = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return HTMLResponse(page(), headers=policy)

    return [
        Route("/openapi.json", described, methods=["GET"]),
        Route("/docs", docs, methods=["GET"]),
        Route("/redoc", docs, methods=["GET"]),
    ]
