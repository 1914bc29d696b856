"""Tasks of the hosted service's command line, which the lab offers over HTTP to the holder of its main key.

POST /lab/keys       {"project_id": ..., "profile": ..., "rate_limit": ...} -> {"key": ...}
PUT  /lab/budgets    {"project_id": ..., "monthly_limit": tokens or null}
PUT  /lab/answers    {"name": "text", ...}: answers for prompts with `[lab answer=name]`, added to earlier ones
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ..answers import Refusal, answer
from ..app import Desk
from ..fields import Fields
from ..profiles import PROFILES

MOST_ANSWERS = 100_000
_LARGEST = 2**63 - 1
"""The largest number that the database can hold."""


def routes(desk: Desk) -> Sequence[BaseRoute]:
    def admit(request: Request) -> None:
        if not desk.is_main(request):
            raise Refusal(401, "This requires the lab's own key")

    async def keys(request: Request) -> Response:
        admit(request)
        fields = Fields(await request.body())
        project = fields.text("project_id")
        profile = fields.text("profile", null=True)
        rate = fields.integer("rate_limit", 100, least=1, most=_LARGEST)
        key_text = fields.text("key", null=True)
        fields.check()
        if profile and profile not in PROFILES:
            raise Refusal(422, f"There is no profile {profile[:50]!r}; there are {', '.join(PROFILES)}")
        key = key_text or f"cc_{secrets.token_hex(20)}"
        await desk.keys.add(key, project, rate, profile or None)
        return answer({"key": key, "project_id": project, "profile": profile or None, "rate_limit": rate})

    async def budgets(request: Request) -> Response:
        admit(request)
        fields = Fields(await request.body())
        project = fields.text("project_id")
        limit = None
        if fields.values.get("monthly_limit") is not None:
            limit = fields.integer("monthly_limit", 0, least=0, most=_LARGEST)
        fields.check()
        await desk.usage_store.set_limit(project, limit)
        return answer({"project_id": project, "monthly_limit": limit})

    async def answers(request: Request) -> Response:
        admit(request)
        key_text = Fields(await request.body()).values
        if len(key_text) + len(desk.pool.answers) > MOST_ANSWERS or not all(
            isinstance(item, str) for item in key_text.values()
        ):
            raise Refusal(422, f"Answers are texts, and {MOST_ANSWERS:,} at most")
        desk.pool.answers.update(key_text)
        return answer({"answers": len(desk.pool.answers)})

    return [
        Route("/lab/keys", keys, methods=["POST"]),
        Route("/lab/budgets", budgets, methods=["PUT"]),
        Route("/lab/answers", answers, methods=["PUT"]),
    ]
