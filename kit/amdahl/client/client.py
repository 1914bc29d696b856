"""The reference's client, blocking and async."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from ...core.clock import Clock, clocked
from ...core.environment import OWN, Environment, elsewhere, missing
from ...core.faces import AsyncFace, ClientState, SyncFace, verb, walk
from ...core.http.exchange import AsyncDriver, Driver, Settings
from ...core.http.operations import Operation, Timeouts, Walk
from ...core.secrets import Secret, fit, hidden, masked
from ..errors import AmdahlInputError
from ..types import RateLimit
from ..wire import json_messages as wire
from .exchange import CONNECT_TIMEOUT, exchange
from .http_session import Session
from .paging import items


def settings_of(
    base_url: str | None,
    api_key: str | Secret | None,
    timeout: float | None,
    api_version: str | None = None,
    verify: Any = True,
    environment: Environment = OWN,
    argument: str = "base_url",
) -> Settings:
    """Return the settings: from the arguments, else from the environment, else an error that names both."""
    named = environment.address("AMDAHL_URL")
    url = base_url or named
    key = hidden(api_key) or environment.secret_for("API_KEY", base_url, [named])
    lacking = missing(
        "amdahl",
        (url, "an address", argument, "AMDAHL_URL"),
        (key, "an API key", "api_key", "API_KEY"),
        note="" if key else elsewhere(environment, "API_KEY", "AMDAHL_URL"),
    )
    if lacking is not None:
        raise lacking
    fit(key, AmdahlInputError)
    if not isinstance(url, str):
        raise AmdahlInputError(f"an address must be text like https://host, not {type(url).__name__}")
    url = url.rstrip("/")
    if "/" not in url.partition("//")[2]:
        url += wire.PREFIX
    if timeout is not None and not (isinstance(timeout, int | float) and timeout > 0):
        raise AmdahlInputError(f"timeout={timeout!r}: give seconds above 0, or None to wait forever")
    return Settings(
        "amdahl",
        url,
        key,
        headers={} if api_version is None else {"x-amdahl-api-version": api_version},
        timeouts=Timeouts(CONNECT_TIMEOUT, timeout),
        verify=verify,
        refusal=AmdahlInputError,
    )


class Verbs:
    """The verbs of both clients."""

    _driver_type: Callable[[Settings], Any]
    rate_limit: RateLimit | None = None
    """The rate limit that the service last reported, or None before the first answer."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | Secret | None = None,
        timeout: float | None = 30.0,
        *,
        api_version: str | None = None,
        verify: Any = True,
        clock: Clock | None = None,
    ) -> None:
        base_url, api_key = masked(base_url), hidden(api_key)
        settings = settings_of(base_url, api_key, timeout, api_version, verify)
        settings = clocked(settings, clock, AmdahlInputError)
        self.base_url, self.timeout = settings.base_url, timeout
        self._state = ClientState(self._driver_type(settings))

    @verb
    def request(
        self, method: str, path: str, *, json_body: Any = None, params: dict[str, Any] | None = None
    ) -> Operation[Any]:
        """Return the JSON of the answer; raise `AmdahlError` for an error status. `path` is below the base
        address."""
        return wire.judge((yield from exchange(self, method, path, json_body, params)))

    @verb
    def get(self, path: str, *, params: dict[str, Any] | None = None, json_body: Any = None) -> Operation[Any]:
        """Return the payload of a GET."""
        return wire.judge((yield from exchange(self, "GET", path, json_body, params)))

    @verb
    def post(self, path: str, json_body: Any = None) -> Operation[Any]:
        """Return the payload of a POST with a JSON body."""
        return wire.judge((yield from exchange(self, "POST", path, json_body)))

    @verb
    def patch(self, path: str, json_body: Any = None) -> Operation[Any]:
        """Return the payload of a PATCH with a JSON body."""
        return wire.judge((yield from exchange(self, "PATCH", path, json_body)))

    @verb
    def delete(self, path: str) -> Operation[Any]:
        """Return the payload of a DELETE, usually None."""
        return wire.judge((yield from exchange(self, "DELETE", path)))

    @walk
    def iter_pages(
        self, path: str, items_key: str = "items", *, params: dict[str, Any] | None = None, limit: int = 100
    ) -> Walk[dict[str, Any]]:
        """Return every item of a list, page after page, by cursor or by offset, whichever the service offers."""
        yield from items(self, path, items_key, params=params, limit=limit)

    def _about(self) -> str:
        return f"<{type(self).__name__} at {self.base_url}>"


class AmdahlClient(Verbs, SyncFace[ClientState]):
    """The Amdahl Platform API with calls that block.

    >>> client = AmdahlClient("http://127.0.0.1:1", api_key="amdhl_00")
    >>> client
    <AmdahlClient at http://127.0.0.1:1/api/platform/v1>

    Without arguments it reads `AMDAHL_URL` and `API_KEY`. `timeout` is for each answer, in seconds; `api_version` pins
    the version of the API; `verify` takes an `ssl.SSLContext` if a company's own certificates are needed.
    """

    _driver_type = Driver

    @cached_property
    def session(self) -> Session:
        """Requests by hand below `base_url`, with this client's credential and connections."""
        return Session(self._state.driver, self.timeout)


class AsyncAmdahlClient(Verbs, AsyncFace[ClientState]):
    """The Amdahl Platform API with calls that are awaited; the same verbs and arguments as `AmdahlClient`."""

    _driver_type = AsyncDriver
