"""The routes that report usage."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from ..answers import Refusal, answer
from ..app import Desk, reading
from ..keys import Key
from ..usage_store import PERIODS


def routes(desk: Desk) -> Sequence[BaseRoute]:
    return [reading(desk, "/usage", usage)]


async def usage(desk: Desk, key: Key, request: Request) -> Response:
    period = request.query_params.get("period", "month")
    if period not in PERIODS:
        raise Refusal(400, f"Invalid period: {period[:100]}. Use 'month', 'week', or 'day'")
    return answer(desk.usage_store.usage(desk.project(key, request.query_params.get("project_id")), period))
