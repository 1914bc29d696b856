"""Faults on request: rules that say what goes wrong, where, and how often.

delay      answers after `seconds`
drop       closes the connection without an answer
reset      resets the connection after `after` bytes of the answer's body
truncate   closes it there cleanly, as if the body were complete
stall      sends `after` bytes of the body, then nothing for `seconds`, then drops
garbage    answers with a page of HTML and status 200
429, 503   answers with that status (any from 400 to 599), with `Retry-After` where `retry_after` is given
"""

from __future__ import annotations

import asyncio
import fnmatch
import itertools
import math
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from ...core.errors import InputError

KINDS = ("delay", "drop", "reset", "truncate", "stall", "garbage")
_ids = itertools.count(1)


@dataclass(slots=True)
class Rule:
    """One fault: for a service, for paths like `path`, for the next `count` requests."""

    service: str
    kind: str
    path: str = "*"
    method: str = "*"
    count: int = 1
    skip: int = 0
    """Requests to let pass first."""
    seconds: float = 1.0
    after: int = 0
    retry_after: float | None = None
    seen: int = 0
    id: int = field(default_factory=lambda: next(_ids))

    def __post_init__(self) -> None:
        self.kind = str(self.kind)
        status = self.kind.isdecimal() and 400 <= int(self.kind) <= 599
        if self.kind not in KINDS and not status:
            raise InputError(
                f"no fault is called {self.kind!r}", hint=f"there are {', '.join(KINDS)} and statuses like 503"
            )
        for name in ("path", "method"):
            if not isinstance(getattr(self, name), str):
                raise InputError(f"{name}={getattr(self, name)!r}: give a text, such as '*'")
        for name in ("count", "skip", "seconds", "after", "retry_after"):
            value = getattr(self, name)
            if value is None and name == "retry_after":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise InputError(f"{name}={value!r}: give a number from 0 up")
        if self.count < 1:
            raise InputError(f"count={self.count!r}: give the number of requests, from 1 up")

    def matches(self, service: str, method: str, path: str) -> bool:
        return self.service in ("*", service) and self.method in ("*", method) and fnmatch.fnmatchcase(path, self.path)


class FaultPlan:
    """The rules in force, oldest first."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        self._rules.append(rule)

    def clear(self, service: str = "*") -> None:
        """Drop the rules of a service, or all."""
        self._rules = [rule for rule in self._rules if service not in ("*", rule.service)]

    def take(self, service: str, method: str, path: str) -> Rule | None:
        """Return the rule that this request falls under, counted down; spent rules go."""
        for rule in self._rules:
            if rule.matches(service, method, path):
                if rule.skip:
                    rule.skip -= 1
                    return None
                rule.seen += 1
                rule.count -= 1
                if rule.count <= 0:
                    self._rules.remove(rule)
                return rule
        return None

    def rows(self) -> list[dict[str, Any]]:
        return [asdict(rule) for rule in self._rules]


Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]


def reset(transport: Any) -> None:
    """End a connection with RST instead of FIN."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def break_off(rule: Rule, transport: Any) -> None:
    """End a connection in the middle of an answer, as a rule says."""
    if rule.kind == "stall":
        await asyncio.sleep(rule.seconds)
    if rule.kind == "reset":
        # Written bytes must be sent first, or the reset would drop them.
        await asyncio.sleep(0.01)
        reset(transport)
    else:
        transport.close()


class Faulty:
    """An ASGI app under a plan of faults. The scope must contain the connection as `kit.transport`."""

    def __init__(self, app: App, service: str, plan: FaultPlan, refusal: Callable[[int], bytes]) -> None:
        self._app = app
        self._service = service
        self._plan = plan
        self._refusal = refusal
        """The service's own error body for a status."""

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        rule = self._plan.take(self._service, scope["method"], scope["path"])
        if rule is None:
            return await self._app(scope, receive, send)
        if rule.kind == "delay":
            await asyncio.sleep(rule.seconds)
            return await self._app(scope, receive, send)
        transport = scope["kit.transport"]
        if rule.kind == "drop":
            transport.close()
            return
        if rule.kind == "garbage":
            return await _answer(
                send, 200, b"<html><body><h1>It works!</h1></body></html>", {"content-type": "text/html"}
            )
        if rule.kind.isdigit():
            headers = {"content-type": "application/json"}
            if rule.retry_after is not None:
                headers["retry-after"] = f"{rule.retry_after:g}"
            return await _answer(send, int(rule.kind), self._refusal(int(rule.kind)), headers)
        return await self._app(scope, receive, _Cut(rule, transport, send))


class _Cut:
    """Passes `after` bytes of a body on, then does what the rule says."""

    def __init__(self, rule: Rule, transport: Any, send: Send) -> None:
        self._rule, self._transport, self._send = rule, transport, send
        self._left = int(rule.after)
        self._done = False

    async def __call__(self, message: Message) -> None:
        if self._done:
            return None
        if message["type"] != "http.response.body":
            return await self._send(message)
        body = message.get("body", b"")
        if len(body) < self._left or (len(body) == self._left and message.get("more_body")):
            self._left -= len(body)
            return await self._send(message)
        self._done = True
        if self._left:
            await self._send({"type": "http.response.body", "body": body[: self._left], "more_body": True})
        self._transport.flush()
        await break_off(self._rule, self._transport)


async def _answer(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    headers = {**headers, "content-length": str(len(body))}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": False})
