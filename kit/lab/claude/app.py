"""The checks before each handler, in their order, and the routes."""

from __future__ import annotations

import hmac
import sqlite3
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ..common.faults import App
from .answers import Refusal
from .fields import Fields, named_project
from .keys import Key, Keys, RateLimit
from .model.runs import Pool
from .tuning import Tuning
from .usage_store import UsageStore

PREFIX = "/v1"


@dataclass(slots=True)
class Desk:
    """What all handlers share."""

    keys: Keys
    usage_store: UsageStore
    pool: Pool
    limit: RateLimit
    tuning: Tuning
    main_key: str
    folder: Path
    started: float

    def authenticated(self, authorization: str) -> Key:
        """Return the owner of the request's key; refuse an unknown key."""
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            message = "Invalid authentication credentials" if authorization else "Not authenticated"
            raise Refusal(403 if self.tuning.real else 401, message)
        key = self.keys.find(given.strip())
        if key is None:
            raise Refusal(401, "Invalid API key")
        return key

    def knows(self, request: Request) -> bool:
        """Return whether the request has a good key; it does not count against a limit."""
        try:
            self.authenticated(request.headers.get("authorization", ""))
        except Refusal:
            return False
        return True

    def admit(self, request: Request) -> Key:
        """Return the key of a request, which counts against that key's limit from here on."""
        key = self.authenticated(request.headers.get("authorization", ""))
        if not self.limit.take(key.digest, key.rate_limit):
            raise Refusal(429, "Rate limit exceeded. Please try again later.")
        return key

    def project(self, key: Key, requested: Any) -> str:
        """Return the project to charge. The hosted service knows only the key's."""
        return ("" if self.tuning.real else named_project(requested)) or key.project_id

    def is_main(self, request: Request) -> bool:
        header = request.headers.get("authorization", "").encode()
        return hmac.compare_digest(header, f"Bearer {self.main_key}".encode())


Handler = Callable[[Desk, Key, Request], Awaitable[Response]]
BodyHandler = Callable[[Desk, Key, Fields, Request], Awaitable[Response]]


def reading(desk: Desk, path: str, handler: Handler) -> Route:
    """Return a route that wants a key."""

    async def endpoint(request: Request) -> Response:
        return await handler(desk, desk.admit(request), request)

    return Route(PREFIX + path, endpoint, methods=["GET"])


def taking(desk: Desk, path: str, handler: BodyHandler) -> Route:
    """Return a route that wants a key and a body, in that order."""

    async def endpoint(request: Request) -> Response:
        key = desk.admit(request)
        return await handler(desk, key, Fields(await request.body()), request)

    return Route(PREFIX + path, endpoint, methods=["POST"])


def build(desk: Desk, routes: Sequence[BaseRoute]) -> App:
    """Return the whole service as an ASGI app."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return error.response()

    app = Starlette(
        routes=list(routes),
        exception_handlers={
            Refusal: refused,
            HTTPException: _not_routed,
            ClientDisconnect: _no_reader,
            sqlite3.OperationalError: _not_kept,
            Exception: _broken,
        },
    )
    app.router.redirect_slashes = False
    return Named(app)


async def _not_routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Refusal(error.status_code, error.detail, error.headers).response()


async def _no_reader(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # never sent: the connection is closed


async def _not_kept(request: Request, error: Exception) -> Response:
    return Refusal(500, f"The answer could not be recorded, and is not charged: {error}").response()


async def _broken(request: Request, error: Exception) -> Response:
    return Refusal(500, None).response()


class Named:
    """Gives every request an id, the client's or a new one, and returns it with every answer but the plain-text 500."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client_id = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        name = client_id if 0 < len(client_id) <= 200 else str(uuid.uuid4()).encode()
        scope["kit.request_id"] = name.decode("latin-1")

        async def named(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                if message["status"] != 500 or (b"content-type", b"application/json") in headers:
                    message = {**message, "headers": [*headers, (b"x-request-id", name)]}
            await send(message)

        await self._app(scope, receive, named)


def request_id(request: Request) -> str:
    name: str = request.scope["kit.request_id"]
    return name
