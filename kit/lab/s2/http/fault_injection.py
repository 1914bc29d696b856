"""Faults on request, for exchanges over either HTTP. Cutting a connection cuts all exchanges on it."""

from __future__ import annotations

import asyncio
from urllib.parse import unquote

from ...common.faults import FaultPlan, Rule, break_off
from .answers import JSON, injected
from .exchange import App, Exchange

_PAGE = b"<html><body><h1>It works!</h1></body></html>"


class FaultInjection:
    """An app under a plan of faults."""

    def __init__(self, app: App, service: str, plan: FaultPlan) -> None:
        self._app = app
        self._service = service
        self._plan = plan

    async def __call__(self, exchange: Exchange) -> None:
        rule = self._plan.take(self._service, exchange.method, unquote(exchange.path))
        if rule is None:
            return await self._app(exchange)
        if rule.kind == "delay":
            await asyncio.sleep(rule.seconds)
        elif rule.kind == "drop":
            exchange.transport.close()
            return None
        elif rule.kind == "garbage":
            return await exchange.answer(200, {"content-type": "text/html"}, _PAGE)
        elif rule.kind.isdigit():
            headers = dict(JSON)
            if rule.retry_after is not None:
                headers["retry-after"] = f"{rule.retry_after:g}"
                headers["retry-after-ms"] = f"{rule.retry_after * 1000:.0f}"
            return await exchange.answer(int(rule.kind), headers, injected(int(rule.kind)))
        else:
            exchange.cut = _Cut(rule, exchange)
        return await self._app(exchange)


class _Cut:
    """Passes `after` bytes of a body on, then does what the rule says."""

    def __init__(self, rule: Rule, exchange: Exchange) -> None:
        self._rule = rule
        self._exchange = exchange
        self._left = int(rule.after)
        self._done = False

    async def send(self, data: bytes, last: bool) -> None:
        exchange = self._exchange
        if self._done:
            return
        if len(data) < self._left or (len(data) == self._left and not last):
            self._left -= len(data)
            if data:
                await exchange.send_uncut(data)
            if last:
                await exchange.end_uncut()
            return
        self._done = True
        if self._left:
            await exchange.send_uncut(data[: self._left])
        exchange.push()
        await break_off(self._rule, exchange.transport)
