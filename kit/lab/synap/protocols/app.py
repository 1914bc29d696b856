"""HTTP: the command endpoint, the REST routes, the public pages, and the routes of the WebSockets."""

from __future__ import annotations

import json
from typing import Any

from ...common.faults import Receive, Send
from .. import reports
from ..refusal import Refusal
from ..server_state import VERSION, ServerState
from . import commands, inputs, rest, sockets
from .commands import Raw

MAX_BODY = 2 * 1024 * 1024
"""The largest body that the service accepts."""
_JSON = (b"content-type", b"application/json")
_TEXT = (b"content-type", b"text/plain; charset=utf-8")


class App:
    """The server as an ASGI app."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        path: str = scope["path"]
        # The service shows /metrics to anyone, but it names the user's queues and rooms.
        known = path == "/health" or self._state.access.allows(headers, scope["query_string"])
        if scope["type"] == "websocket":
            return await sockets.serve(self._state, scope, receive, send, known)
        if not known:
            return await respond(send, 401)
        if path == "/health":
            return await answer(send, {"status": "healthy", "service": "synap", "version": VERSION})
        if path == "/metrics":
            page = reports.metrics(self._state).encode()
            return await respond(send, 200, page, (b"content-type", reports.CONTENT_TYPE.encode()))
        method = scope["method"]
        body, failure = await self._body(headers, receive)
        if failure is not None:
            return await respond(send, failure, b"length limit exceeded", _TEXT)
        if path == "/api/v1/command":
            if method != "POST":
                return await respond(send, 405)
            return await self._command(headers, body, send)
        return await self._route(method, scope, headers, body, send)

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> tuple[bytes, int | None]:
        if int(headers.get(b"content-length", b"0")) > MAX_BODY:
            return b"", 413
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            return body, None
        pieces, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > MAX_BODY:
                return b"", 413
        return b"".join(pieces), None

    async def _command(self, headers: dict[bytes, bytes], body: bytes, send: Send) -> None:
        request = _parsed(headers, body)
        if isinstance(request, int):
            return await respond(send, request, _WORDS[request], _TEXT)
        fields = request if isinstance(request, dict) else {}
        name, number = fields.get("command"), fields.get("request_id")
        if not isinstance(name, str) or not isinstance(number, str) or "payload" not in fields:
            return await respond(send, 422, _WORDS[422], _TEXT)
        try:
            result = commands.run(self._state, name, fields["payload"])
            shown = result.json if isinstance(result, Raw) else json.dumps(result, separators=(",", ":"))
            if not name.startswith("pubsub."):
                await self._kept()
            whole = f'{{"success":true,"request_id":{json.dumps(number)},"payload":{shown},"error":null}}'
        except Refusal as refusal:
            text = json.dumps(refusal.text)
            whole = f'{{"success":false,"request_id":{json.dumps(number)},"payload":null,"error":{text}}}'
        await respond(send, 200, whole.encode(), _JSON)

    async def _route(self, method: str, scope: Any, headers: dict[bytes, bytes], body: bytes, send: Send) -> None:
        # Names are decoded after routing, so that a name may contain a slash.
        path = scope["raw_path"].decode("latin-1")
        fields: Any = {}
        if body or rest.needs_body(method, path):
            parsed = _parsed(headers, body) if method in ("POST", "PUT") else {}
            if isinstance(parsed, int):
                if rest.needs_body(method, path):
                    return await respond(send, parsed, _WORDS[parsed], _TEXT)
                parsed = {}
            fields = parsed
        try:
            result = rest.run(self._state, method, path, scope["query_string"], fields)
            await self._kept()
        except rest.NoSuchRoute as missing:
            return await respond(send, missing.status)
        except Refusal as refusal:
            if path.startswith("/pubsub/"):
                # The only family that reports errors with status 200.
                return await answer(send, {"error": refusal.text})
            if refusal.status == 422:
                return await respond(send, 422, refusal.text.encode(), _TEXT)
            return await answer(send, {"error": refusal.text, "code": refusal.status}, refusal.status)
        if isinstance(result, Raw):
            return await respond(send, 200, result.json.encode(), _JSON)
        await answer(send, result)

    async def _kept(self) -> None:
        try:
            await self._state.journal.kept()
        except Exception as error:
            raise Refusal(f"IO error: {error}", 500) from None


_WORDS = {
    415: b"Expected request with `Content-Type: application/json`",
    400: b"Failed to parse the request body as JSON",
    422: b"Failed to deserialize the JSON body into the target type",
}


def _parsed(headers: dict[bytes, bytes], body: bytes) -> Any:
    """Return the body as JSON, or the status that refuses it."""
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json" and not (kind.startswith(b"application/") and kind.endswith(b"+json")):
        return 415
    try:
        fields = inputs.parsed(body)
    except (ValueError, RecursionError):
        return 400
    return None if isinstance(fields, int) else fields


async def answer(send: Send, value: Any, status: int = 200) -> None:
    """Send a value as JSON."""
    await respond(send, status, json.dumps(value, separators=(",", ":")).encode(), _JSON)


async def respond(send: Send, status: int, body: bytes = b"", *headers: tuple[bytes, bytes]) -> None:
    """Send an answer."""
    raw = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def injected(status: int) -> bytes:
    """Return the body of a fault that was asked for."""
    return json.dumps({"error": f"Internal error: a fault was asked for: status {status}", "code": status}).encode()
