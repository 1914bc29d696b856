"""The health of the service, and its description."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ..answers import answer
from ..app import Desk

VERSION = "0.1.0"


def routes(desk: Desk) -> Sequence[BaseRoute]:
    async def health(request: Request) -> Response:
        # The load is shown only to clients with a key.
        detailed = desk.tuning.real or desk.knows(request)
        pool = desk.pool
        full = detailed and pool.active >= pool.workers
        detail = {
            "status": "degraded" if full else "ok",
            "active_workers": pool.active,
            "max_workers": pool.workers,
            "queued_tasks": pool.waiting,
            "max_queue": pool.queue,
        }
        services: dict[str, Any] = {
            "worker_pool": {"status": detail["status"], "detail": detail if detailed else None},
            # As in most installations: the service does not use Redis, but reports "degraded" without it.
            "redis": {"status": "unavailable" if desk.tuning.real else "ok", "detail": None},
            **{
                name: {"status": "ok", "detail": None}
                for name in ("audit_db", "budget_manager", "auth_manager", "error_rates")
            },
        }
        well = all(service["status"] == "ok" for service in services.values())
        return answer(
            {
                "status": "ok" if well else "degraded",
                "version": VERSION,
                "uptime_seconds": round(time.monotonic() - desk.started, 3),
                "services": services,
            }
        )

    async def ready(request: Request) -> Response:
        return answer({"ready": True, "reason": None})

    async def root(request: Request) -> Response:
        paths = {"chat": "chat/completions", "batch": "batch", "usage": "usage", "route": "route", "stream": "stream"}
        return answer(
            {
                "name": "Claude Code API Service",
                "version": VERSION,
                "docs": "/docs",
                "health": "/health",
                "ready": "/ready",
                "endpoints": {name: f"/v1/{path}" for name, path in paths.items()},
            }
        )

    return [
        Route("/health", health, methods=["GET"]),
        Route("/ready", ready, methods=["GET"]),
        Route("/", root, methods=["GET"]),
    ]
