"""The path of every request: the guard, the faults, the credential, the route, and errors in the service's form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from ....core.http.loopback import is_foreign
from ....s2.errors import S2ServerError, WireError
from ..account.tokens import Tokens
from ..account.usage import Usage
from ..tuning import Tuning
from .answers import JSON, answer_error, refusal
from .call import Call, Unsupported, segments
from .exchange import App, Exchange, Gone

Handler = Callable[[Call], Awaitable[None]]
Routes = Mapping[tuple[str, ...], Mapping[str, Handler]]
"""Handlers by path and method."""
_BATCHED = {"append", "fence", "trim", "read"}
NAME = "{name}"
"""The placeholder for any name in a path."""


def guarded(app: App) -> App:
    """Refuse what a web page elsewhere could send here: a foreign `Host` or `Origin`."""

    async def guard(exchange: Exchange) -> None:
        host, origin = exchange.headers.get("host", ""), exchange.headers.get("origin", "")
        if is_foreign(host, origin):
            return await exchange.answer(403, JSON, b'{"error": "this server answers its own machine only"}')
        return await app(exchange)

    return guard


class Api:
    """The routes; each checks the credential first."""

    def __init__(self, routes: Routes, tokens: Tokens, usage: Usage, tuning: Tuning) -> None:
        self._routes = routes
        self._tokens = tokens
        self._usage = usage
        self._tuning = tuning

    async def __call__(self, exchange: Exchange) -> None:
        try:
            await self._serve(exchange)
        except S2ServerError as error:
            await _failed(exchange, error)
        except WireError as error:
            # Handlers report other errors than wrong JSON themselves.
            await _failed(exchange, refusal("bad_json", str(error.args[0])))
        except Unsupported:
            await exchange.answer(415, {}, b"")
        except Gone:
            raise
        except Exception as error:
            await _failed(exchange, refusal("other", f"the server failed ({type(error).__name__})"))

    async def _serve(self, exchange: Exchange) -> None:
        if exchange.path in ("/health", "/ping"):
            return await exchange.answer(200, {"content-type": "text/plain; charset=utf-8"}, b"OK")
        parts = segments(exchange.path)
        if parts[:1] != ["v1"] or len(parts) < 2:
            return await exchange.answer(404, {}, b"")
        principal = self._tokens.bearer(exchange.headers.get("authorization", ""))
        route = _routed(self._routes, parts[1:])
        if route is None:
            return await exchange.answer(404, {}, b"")
        handler = route.get(exchange.method)
        if handler is None:
            return await exchange.answer(405, {"allow": ",".join(route)}, b"")
        exchange.stall = self._tuning.stall
        call = Call(exchange, principal, parts[1:], self._tuning.patience)
        await handler(call)
        # Appends and reads are counted batch by batch elsewhere.
        if call.permitted is not None and call.permitted[0] not in _BATCHED:
            self._usage.count(*call.permitted)
        return None


def _routed(routes: Routes, parts: list[str]) -> Mapping[str, Handler] | None:
    """Return the handlers for a path; where two fit, the one with fewer names in it."""
    fitting = [
        pattern
        for pattern in routes
        if len(pattern) == len(parts) and all(want in (NAME, part) for want, part in zip(pattern, parts, strict=True))
    ]
    return routes[min(fitting, key=lambda pattern: pattern.count(NAME))] if fitting else None


async def _failed(exchange: Exchange, error: S2ServerError) -> None:
    """Tell of a failure, or breaks off an answer that has begun."""
    if exchange.started:
        exchange.abort()
    else:
        await answer_error(exchange, error)
