"""SQL over the table, and the description of the table."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..agents.streams import Growing, Pieces, unless_gone
from ..answers import answer
from ..fields import body_of
from . import interactions
from .columns import type_name
from .flow import Flow
from .sandbox import DEFAULT_ROWS, MAX_ROWS, Sandbox

SCOPES = ("all", "schema", "clusters", "knowledge")
_CLUSTERS = """
    select channel, kind, count(*) as count, round(avg(sentiment), 3) as sentiment
    from interactions group by all order by count desc, channel, kind
"""


class Data:
    """The endpoints below /data."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._known: dict[str, asyncio.Future[list[dict[str, Any]]]] = {}

    def routes(self) -> list[Route]:
        return [
            Route("/data/query", self.query, methods=["POST"]),
            Route("/data/explore", self.explore, methods=["POST"]),
        ]

    async def query(self, request: Request) -> Response:
        fields = await body_of(request)
        sql = fields.text("sql", limit=1_000_000)
        limit = fields.whole("limit", DEFAULT_ROWS, least=1, most=MAX_ROWS)
        result = await unless_gone(request, self._sandbox.flow(sql, limit))
        return Growing(result) if isinstance(result, Flow) else Pieces(result.body())

    async def explore(self, request: Request) -> Response:
        fields = await body_of(request)
        scope = fields.choice("scope", SCOPES, "all")
        samples = fields.flag("include_samples", False)
        overview: dict[str, Any] = {"scope": scope}
        if scope in ("all", "schema"):
            overview["schema"] = await self._schema(samples)
        if scope in ("all", "clusters"):
            overview["clusters"] = await self._rows(_CLUSTERS)
        if scope in ("all", "knowledge"):
            overview["knowledge"] = list(interactions.KNOWLEDGE)
        return answer(overview)

    async def _schema(self, samples: bool) -> dict[str, Any]:
        count = (await self._rows(f"select count(*) as n from {interactions.TABLE}"))[0]["n"]  # noqa: S608
        columns = []
        for name, kind, description in interactions.COLUMNS:
            column: dict[str, Any] = {"name": name, "type": _declared(kind), "description": description}
            if samples:
                column["samples"] = [row["v"] for row in await self._rows(_sample(name, kind))]
            columns.append(column)
        return {"table": interactions.TABLE, "row_count": count, "columns": columns}

    async def _rows(self, sql: str) -> list[dict[str, Any]]:
        """Return rows that never change, so they are asked for once."""
        if sql not in self._known:
            self._known[sql] = asyncio.ensure_future(self._ask(sql))
        try:
            return await asyncio.shield(self._known[sql])
        except BaseException:
            # A failed answer is dropped; one that others still wait for is kept.
            if sql in self._known and self._known[sql].done():
                del self._known[sql]
            raise

    async def _ask(self, sql: str) -> list[dict[str, Any]]:
        return (await self._sandbox.query(sql)).values()


def _declared(kind: str) -> str:
    return "ARRAY" if kind.endswith("[]") else type_name(kind)


def _sample(name: str, kind: str) -> str:
    """Return the commonest values where they recur, else those of the first rows."""
    some = f"len({name}) > 0" if kind.endswith("[]") else f"{name} is not null"
    if name in ("channel", "kind", "account", "currency", "resolved"):
        order = "group by 1 order by count(*) desc, 1 limit 8"
    else:
        order = "order by id limit 5"
    return f"select {name} as v from {interactions.TABLE} where {some} {order}"  # noqa: S608
