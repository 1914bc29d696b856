"""The additional HTTP port: metrics and health of the server."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ...version import __version__
from ..common.faults import App, Receive, Send
from .metrics import CONTENT_TYPE


def build(key: str, metrics: Callable[[], str], ready: Callable[[], bool]) -> App:
    """Build the side server: `/metrics` for those who have the key, `/health` and `/ready` for anyone."""
    started = time.monotonic()

    async def counts(request: Request) -> Response:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), key.encode()):
            message = "the API key is needed: send it as Authorization: Bearer <key>"
            return JSONResponse({"error": message}, 401, {"WWW-Authenticate": "Bearer"})
        return Response(metrics(), media_type=CONTENT_TYPE)

    async def health(request: Request) -> Response:
        well = ready() or request.url.path == "/health"
        state = {
            "status": "ok" if ready() else "degraded",
            "checks": {"storage": "ok", "sql": "ok" if ready() else "starting"},
            "version": __version__,
            "uptime_seconds": int(time.monotonic() - started),
        }
        return JSONResponse(state, 200 if well else 503)

    routes = [Route("/metrics", counts), Route("/health", health), Route("/ready", health)]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False

    async def served(scope: Any, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)  # type: ignore[arg-type]

    return served
