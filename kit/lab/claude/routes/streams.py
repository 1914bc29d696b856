"""The WebSocket: chats in pieces, and tasks; a connection serves many, one after the other."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from typing import Any

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ....claude.wire.prices import PRICES
from ..answers import Refusal
from ..app import Desk
from ..fields import Fields, named_project, prompt_of
from ..keys import Key
from ..profiles import permit
from .chat import complete
from .tasks import Task, perform

_PIECES = 20
_NOBODY = Key("", "default", 0, None)
_TIMEOUT = 300.0


def routes(desk: Desk) -> Sequence[BaseRoute]:
    async def endpoint(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                await _serve(desk, socket)
        except WebSocketDisconnect:
            return

    return [WebSocketRoute("/v1/stream", endpoint)]


async def _serve(desk: Desk, socket: WebSocket) -> None:
    """Answer one message. An error ends the request and not the connection, as on the service."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    try:
        value = json.loads(message.get("text") or "")
    except (ValueError, RecursionError):
        return await _error(socket, "Invalid JSON format")
    if not isinstance(value, dict):
        return await _error(socket, "Server error: the message is not an object")
    kind = value.get("type")
    try:
        if kind == "chat":
            await _chat(desk, socket, value)
        elif kind == "agentic_task":
            await _task(desk, socket, value)
        else:
            return await _error(socket, f"Unknown message type: {str(kind)[:100]}")
    except Refusal as refusal:
        return await _error(socket, str(refusal.detail or "Streaming error: the command gave no result"))
    except WebSocketDisconnect:
        raise
    except Exception as error:
        # For example, the disk is full. The connection stays usable, while the service falls silent.
        return await _error(socket, f"Server error: {error}")


async def _chat(desk: Desk, socket: WebSocket, value: dict[str, Any]) -> None:
    # The hosted service checks no key here, for any project.
    key = _NOBODY if desk.tuning.real else _key(desk, socket, value)
    messages = value.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "No messages provided")
    model = value.get("model", "sonnet")
    if not isinstance(model, str) or model not in PRICES:
        raise Refusal(400, f"Invalid model: {str(model)[:100]}. Must be haiku, sonnet, or opus")
    project = named_project(value.get("project_id")) or key.project_id
    prompt = prompt_of([message for message in messages if isinstance(message, dict)])
    name = socket.headers.get("x-request-id") or str(uuid.uuid4())
    try:
        run = await complete(desk, key, project, "stream", prompt, model, _TIMEOUT, name)
    except Refusal as refusal:
        if refusal.status in (502, 503, 504) and refusal.headers:
            code = str(refusal.detail).partition("\n")[0].rpartition(" ")[2]
            raise Refusal(502, f"Streaming error: Claude CLI exited with code {code}") from None
        raise
    size = max(1, len(run.text) // _PIECES)
    for start in range(0, len(run.text), size):
        await _send(socket, {"type": "token", "content": run.text[start : start + size]})
        await asyncio.sleep(desk.tuning.token_seconds)
    await _send(socket, {"type": "done", "usage": run.usage, "cost": run.cost, "model": model})


async def _task(desk: Desk, socket: WebSocket, value: dict[str, Any]) -> None:
    key = _key(desk, socket, value)
    fields = Fields(json.dumps(value).encode())
    try:
        task = Task.of(fields)
    except Refusal as refusal:
        raise Refusal(422, f"Server error: {json.dumps(refusal.detail)[:500]}") from None
    permit(key.profile, task.tools, task.agents, task.skills, task.timeout, task.max_cost)
    await _send(socket, {"type": "thinking", "content": "Starting task execution..."})
    project = "default" if desk.tuning.real else desk.project(key, value.get("project_id"))
    try:
        report = await perform(desk, key, project, task, str(uuid.uuid4()))
    except Refusal as refusal:
        raise Refusal(500, f"Task execution error: {refusal.detail}") from None
    del report["task_id"]
    await _send(socket, {"type": "result", **report})


def _key(desk: Desk, socket: WebSocket, value: dict[str, Any]) -> Key:
    """Return the key in the message, else in the header of the connection."""
    key = value.get("api_key")
    if isinstance(key, str) and key:
        return desk.authenticated(f"Bearer {key}")
    authorization = socket.headers.get("authorization", "")
    if not authorization:
        raise Refusal(401, "api_key required for agentic tasks" if value.get("type") != "chat" else "api_key required")
    return desk.authenticated(authorization)


async def _send(socket: WebSocket, value: dict[str, Any]) -> None:
    try:
        await socket.send_text(json.dumps(value))
    except RuntimeError:
        raise WebSocketDisconnect from None  # closed by the other side between two pieces


async def _error(socket: WebSocket, message: str) -> None:
    await _send(socket, {"type": "error", "error": message})
