"""Sessions over HTTP: run, status, resume, stream, list."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...common.store import Store
from ..answers import answer
from ..fields import body_of
from ..pages.lists import listing
from . import plans
from .records import RUNNING, STATUSES, shown
from .sessions import Sessions
from .streams import EventStream, unless_gone

_SYNC_SECONDS = 60.0


class Agents:
    """The endpoints below /agents."""

    def __init__(self, store: Store, sessions: Sessions, ping: float) -> None:
        self._store = store
        self._sessions = sessions
        self._ping = ping

    def routes(self) -> list[Route]:
        return [
            Route("/agents", self.list, methods=["GET"]),
            Route("/agents/run", self.run, methods=["POST"]),
            Route("/agents/{id}/status", self.status, methods=["GET"]),
            Route("/agents/{id}/resume", self.resume, methods=["POST"]),
            Route("/agents/{id}/stream", self.stream, methods=["GET"]),
        ]

    async def list(self, request: Request) -> Response:
        return listing(self._store, request, "sessions", shown, statuses=STATUSES)

    async def run(self, request: Request) -> Response:
        fields = await body_of(request)
        profile = fields.choice("profile_id", plans.PROFILES)
        task = fields.text("task", limit=20_000)
        params = fields.nested("input_params")
        at_once = fields.flag("async", False)
        plans.check(params)
        session_id = await self._sessions.run(profile, task, params)
        if at_once:
            state = self._sessions.shown(session_id)
        else:
            state = await unless_gone(request, self._sessions.settled(session_id, _SYNC_SECONDS))
        return answer(state, 202 if state["status"] == RUNNING else 200)

    async def status(self, request: Request) -> Response:
        return answer(self._sessions.shown(request.path_params["id"]))

    async def resume(self, request: Request) -> Response:
        fields = await body_of(request)
        self._sessions.shown(request.path_params["id"])
        await self._sessions.resume(request.path_params["id"], fields.nested("input", required=True))
        return answer(self._sessions.shown(request.path_params["id"]))

    async def stream(self, request: Request) -> Response:
        session_id = request.path_params["id"]
        last = self._sessions.last_event(session_id)
        last_id = request.headers.get("last-event-id", "").strip()
        # An unknown id gets all events: a client can skip extra events, but cannot recover missing ones.
        after = int(last_id) if last_id.isascii() and last_id.isdigit() and len(last_id) < 16 else 0
        return EventStream(self._sessions, session_id, after if after <= last else 0, self._ping)
