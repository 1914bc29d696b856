"""The reference's client, in both colours."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ..core.errors import InputError, SetupError
from ..core.faces import AsyncFace, SyncFace, verb, walk
from ..core.http import AsyncDriver, Driver, Settings
from ..core.secrets import Secret, hidden
from ..core.steps import Operation, Timeouts, Walk
from . import wire
from .exchange import CONNECT_TIMEOUT, exchange
from .paging import items
from .types import RateLimit


def settings_of(
    base_url: str | None,
    api_key: str | Secret | None,
    timeout: float | None,
    api_version: str | None = None,
    verify: Any = True,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Where and how to ask: from the arguments, else from the environment, else an error that names both."""
    url = base_url or environment.get("AMDAHL_URL")
    key = api_key or environment.get("API_KEY")
    missing = [
        f"{what} (argument {argument}= or variable {variable})"
        for given, what, argument, variable in (
            (url, "an address", "base_url", "AMDAHL_URL"),
            (key, "an API key", "api_key", "API_KEY"),
        )
        if not given
    ]
    if missing:
        raise SetupError(
            f"amdahl needs {' and '.join(missing)}",
            hint="without an account: kit.Lab().amdahl runs on an embedded server",
        )
    assert url is not None
    assert key is not None
    url = url.rstrip("/")
    if "/" not in url.partition("//")[2]:
        url += wire.PREFIX
    if timeout is not None and not timeout > 0:
        raise InputError(f"timeout={timeout!r}: give seconds above 0, or None to wait for ever")
    return Settings(
        "amdahl",
        url,
        key if isinstance(key, Secret) else Secret(key),
        headers={} if api_version is None else {"x-amdahl-api-version": api_version},
        timeouts=Timeouts(CONNECT_TIMEOUT, timeout),
        verify=verify,
    )


class Verbs:
    """What both clients can do."""

    _driver_type: Callable[[Settings], Any]
    rate_limit: RateLimit | None = None
    """What the service last said about how much more may be asked, or None before it said anything."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | Secret | None = None,
        timeout: float | None = 30.0,
        *,
        api_version: str | None = None,
        verify: Any = True,
    ) -> None:
        api_key = hidden(api_key)
        settings = settings_of(base_url, api_key, timeout, api_version, verify)
        self.base_url, self.timeout = settings.base_url, timeout
        self._driver: Any = self._driver_type(settings)

    @verb
    def request(
        self, method: str, path: str, *, json_body: Any = None, params: dict[str, Any] | None = None
    ) -> Operation[Any]:
        """The JSON that the service answers; `AmdahlError` where it refuses. `path` is below the base address."""
        return wire.judge((yield from exchange(self, method, path, json_body, params)))

    @verb
    def get(self, path: str, *, params: dict[str, Any] | None = None, json_body: Any = None) -> Operation[Any]:
        """What a GET gives."""
        return wire.judge((yield from exchange(self, "GET", path, json_body, params)))

    @verb
    def post(self, path: str, json_body: Any = None) -> Operation[Any]:
        """What a POST of a JSON body gives."""
        return wire.judge((yield from exchange(self, "POST", path, json_body)))

    @verb
    def patch(self, path: str, json_body: Any = None) -> Operation[Any]:
        """What a PATCH of a JSON body gives."""
        return wire.judge((yield from exchange(self, "PATCH", path, json_body)))

    @verb
    def delete(self, path: str) -> Operation[Any]:
        """What a DELETE gives, usually None."""
        return wire.judge((yield from exchange(self, "DELETE", path)))

    @walk
    def iter_pages(
        self, path: str, items_key: str = "items", *, params: dict[str, Any] | None = None, limit: int = 100
    ) -> Walk[dict[str, Any]]:
        """Every item of a list, page after page, by cursor or by offset, whichever the service offers."""
        yield from items(self, path, items_key, params=params, limit=limit)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.base_url}>"


class AmdahlClient(Verbs, SyncFace):
    """The Amdahl Platform API with calls that block.

    >>> client = AmdahlClient("http://127.0.0.1:1", api_key="amdhl_00")
    >>> client
    <AmdahlClient at http://127.0.0.1:1/api/platform/v1>

    Without arguments it reads `AMDAHL_URL` and `API_KEY`. `timeout` is for each answer, in seconds; `api_version` pins
    the version of the API; `verify` takes an `ssl.SSLContext` where a company's own certificates are needed.
    """

    _driver_type = Driver


class AsyncAmdahlClient(Verbs, AsyncFace):
    """The Amdahl Platform API with calls that are awaited; the same verbs and arguments as `AmdahlClient`."""

    _driver_type = AsyncDriver
