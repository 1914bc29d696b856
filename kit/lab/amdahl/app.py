"""The gate in front of the API, and its routes."""

from __future__ import annotations

import hmac
import re
import sqlite3
from collections.abc import Sequence
from datetime import date
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp

from ..common.faults import App
from .agents.streams import Gone
from .answers import Refusal, answer
from .limits import RateLimit
from .pages.deliveries import BUSINESS
from .pages.webhooks import USER

BASE = "/api/platform/v1"
SCOPES = (
    "data:read",
    "pages:read",
    "pages:write",
    "workflows:read",
    "workflows:write",
    "webhooks:read",
    "webhooks:write",
)
_VERSION = b"x-amdahl-api-version"


def build(routes: Sequence[Route], key: str, limit: RateLimit) -> App:
    """Return the whole API as an ASGI app."""

    async def me(request: Request) -> Response:
        return answer({"business_id": BUSINESS, "scopes": SCOPES, "expires_at": None})

    async def context(request: Request) -> Response:
        return answer(
            {
                "user_id": USER,
                "business_id": BUSINESS,
                "scopes": SCOPES,
                "auth_method": "api_key",
                "email": "you@lab.invalid",
                "workspace": {"id": "wsp_lab", "name": "Lab", "slug": "lab"},
                "role": "owner",
            }
        )

    async def health(request: Request) -> Response:
        return answer({"ok": True})

    below = [Route("/me", me, methods=["GET"]), Route("/me/context", context, methods=["GET"]), *routes]
    app = Starlette(
        routes=[
            Route("/health", health, methods=["GET"]),
            Mount(BASE, Router(below, redirect_slashes=False)),
        ],
        exception_handlers={
            Refusal: _refused,
            HTTPException: _not_routed,
            Gone: _no_reader,
            ClientDisconnect: _no_reader,
            sqlite3.OperationalError: _not_kept,
            Exception: _broken,
        },
    )
    app.router.redirect_slashes = False
    return Gate(app, key, limit)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error.response()


async def _not_routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = dict(error.headers or {})
        message = f"{request.method} is not allowed here; allowed: {allowed.get('Allow', '')}"
        return Refusal(405, message, headers=allowed).response()
    return Refusal(error.status_code, f"there is nothing at {request.url.path[:200]}").response()


async def _no_reader(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # never sent: the connection is closed


async def _not_kept(request: Request, error: Exception) -> Response:
    return Refusal(500, f"nothing was changed, as it could not be stored: {error}").response()


async def _broken(request: Request, error: Exception) -> Response:
    return Refusal(500, f"the server failed ({type(error).__name__})").response()


class Gate:
    """Checks of every request below the base path: the rate limit, the key, the version header."""

    def __init__(self, app: ASGIApp, key: str, limit: RateLimit) -> None:
        self._app = app
        self._expected = key.encode()
        self._limit = limit

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not (path == BASE or path.startswith(f"{BASE}/")):
            return await self._app(scope, receive, send)
        headers = dict(scope["headers"])
        verdict = self._limit.take()
        extra = [
            (b"x-ratelimit-remaining", str(verdict.remaining).encode()),
            (b"x-ratelimit-reset", str(verdict.reset).encode()),
        ]

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        refusal = None
        if not verdict.allowed:
            refusal = Refusal(
                429,
                f"too many requests; try again in {verdict.wait} s",
                headers={"Retry-After": str(verdict.wait)},
                beside={"retry_after": verdict.wait},
            )
        elif not self._authorized(headers):
            message = "a valid API key is needed: send it as Authorization: Bearer <key>"
            refusal = Refusal(401, message, headers={"WWW-Authenticate": "Bearer"})
        elif _VERSION in headers:
            if _is_date(headers[_VERSION]):
                extra.append((_VERSION, headers[_VERSION]))
            else:
                refusal = Refusal(400, "X-Amdahl-API-Version must be a date such as 2026-01-31")
        if refusal is not None:
            return await refusal.response()(scope, receive, with_headers)
        return await self._app(scope, receive, with_headers)

    def _authorized(self, headers: dict[bytes, bytes]) -> bool:
        scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
        return hmac.compare_digest(key.strip(), self._expected) and scheme.lower() == b"bearer"


def _is_date(text: bytes) -> bool:
    if not re.fullmatch(rb"\d{4}-\d{2}-\d{2}", text):
        return False
    try:
        date.fromisoformat(text.decode())
    except ValueError:
        return False
    return True
