"""The account: basins, access tokens, locations and metrics, blocking and async."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Any
from urllib.parse import quote

from ...core.clock import Clock
from ...core.faces import AsyncFace, SyncFace, verb, walk
from ...core.http.exchange import AsyncDriver, Driver
from ...core.http.operations import Operation, Walk
from ...core.secrets import Secret, hidden, masked
from ..configs import BasinConfig, BasinInfo, EnsuredBasinInfo, LocationInfo
from ..limits import check_basin_name, check_kind, check_location, check_stream_name, check_token_id, check_u64
from ..settings import Compression, Retry, Timeout
from ..types import Page
from ..wire.fields import loads, text
from ..wire.metrics import (
    AccountMetricSet,
    BasinMetricSet,
    Metric,
    StreamMetricSet,
    TimeseriesInterval,
    metrics_from_json,
)
from ..wire.resources import (
    basin_config_from_json,
    basin_config_json,
    basin_info_from_json,
    ensure_status,
    location_from_json,
    locations_from_json,
)
from ..wire.tokens import AccessTokenInfo, AccessTokenScope, scope_json, token_info_from_json
from .basin import S2Basin, SyncS2Basin
from .endpoints import Endpoints
from .listing import every, page
from .state import AccountState
from .transport import Transport, ask, deleted


class AccountVerbs:
    """The verbs of both clients."""

    _state: AccountState
    _make_driver: Callable[..., Any]

    def __init__(
        self,
        access_token: str | Secret | None = None,
        *,
        endpoints: Endpoints | None = None,
        timeout: Timeout | None = None,
        retry: Retry | None = None,
        compression: Compression = Compression.NONE,
        verify: Any = True,
        clock: Clock | None = None,
    ) -> None:
        access_token, endpoints = hidden(access_token), masked(endpoints)
        transport = Transport(access_token, endpoints, timeout, retry, compression, self._make_driver, verify, clock)
        self._state = AccountState(transport)

    @verb
    def create_basin(
        self, name: str, *, config: BasinConfig | None = None, location: str | None = None
    ) -> Operation[BasinInfo]:
        """Create a basin. Its name is 8 to 48 lowercase letters, digits and hyphens, and unique in the whole
        service."""
        body: dict[str, Any] = {"basin": check_basin_name(name)}
        # The same token on every try: a try whose answer was lost may have created the basin.
        token = {"s2-request-token": uuid.uuid4().hex}
        answer = yield from ask(
            self._state.transport,
            "POST",
            "/v1/basins",
            op="create_basin",
            body=body | _wanted(config, location),
            headers=token,
        )
        return basin_info_from_json(loads(answer.body))

    @verb
    def ensure_basin(
        self, name: str, *, config: BasinConfig | None = None, location: str | None = None
    ) -> Operation[EnsuredBasinInfo]:
        """Return the basin, created or reconfigured if necessary, and what was done."""
        path = _basin_path(name)
        body = _wanted(config, location) or None
        answer = yield from ask(self._state.transport, "PUT", path, op="ensure_basin", body=body)
        status = ensure_status(answer.headers.get("s2-provision-result"))
        return EnsuredBasinInfo(basin_info_from_json(loads(answer.body)), status)

    @verb
    def list_basins(self, *, prefix: str = "", start_after: str = "", limit: int = 1000) -> Operation[Page[BasinInfo]]:
        """Return basins whose names begin with `prefix`, in order, at most 1000; `list_all_basins` walks all."""
        return (yield from page(self._state.transport, "basins", basin_info_from_json, prefix, start_after, limit))

    @walk
    def list_all_basins(
        self, *, prefix: str = "", start_after: str = "", include_deleted: bool = False
    ) -> Walk[BasinInfo]:
        """Return every basin whose name begins with `prefix`, page after page."""
        yield from every(
            self._state.transport,
            "basins",
            basin_info_from_json,
            prefix,
            start_after,
            lambda info: info.name,
            wanted=lambda info: include_deleted or info.deleted_at is None,
        )

    @verb
    def list_locations(self) -> Operation[list[LocationInfo]]:
        """Return the locations that basins can be made in."""
        answer = yield from ask(self._state.transport, "GET", "/v1/locations", op="list_locations")
        return locations_from_json(loads(answer.body))

    @verb
    def get_default_location(self) -> Operation[LocationInfo]:
        """Return the default location of new basins."""
        answer = yield from ask(self._state.transport, "GET", "/v1/locations/default", op="get_default_location")
        return location_from_json(loads(answer.body))

    @verb
    def set_default_location(self, location: str) -> Operation[LocationInfo]:
        """Set the location of new basins that name none, and return it."""
        body = check_location(location)
        answer = yield from ask(
            self._state.transport, "PUT", "/v1/locations/default", op="set_default_location", body=body
        )
        return location_from_json(loads(answer.body))

    @verb
    def delete_basin(self, name: str, *, ignore_not_found: bool = False) -> Operation[None]:
        """Delete the basin and its streams. The service finishes in the background, which may take minutes."""
        yield from deleted(self._state.transport, _basin_path(name), "delete_basin", ignore_not_found)

    @verb
    def get_basin_config(self, name: str) -> Operation[BasinConfig]:
        """Return the configuration of a basin."""
        answer = yield from ask(self._state.transport, "GET", _basin_path(name), op="get_basin_config")
        return basin_config_from_json(loads(answer.body))

    @verb
    def reconfigure_basin(self, name: str, *, config: BasinConfig) -> Operation[BasinConfig]:
        """Change the given fields; return the new configuration of the basin. Existing streams keep theirs."""
        body = basin_config_json(config)
        answer = yield from ask(self._state.transport, "PATCH", _basin_path(name), op="reconfigure_basin", body=body)
        return basin_config_from_json(loads(answer.body))

    @verb
    def issue_access_token(
        self,
        id: str,
        *,
        scope: AccessTokenScope,
        expires_at: datetime | None = None,
        auto_prefix_streams: bool = False,
    ) -> Operation[str]:
        """Return the new access token; the service shows it only once."""
        info = AccessTokenInfo(check_token_id(id), scope, expires_at, auto_prefix_streams)
        answer = yield from ask(
            self._state.transport, "POST", "/v1/access-tokens", op="issue_access_token", body=_token_wanted(info)
        )
        return text(loads(answer.body).get("access_token"), "access_token")

    @verb
    def list_access_tokens(
        self, *, prefix: str = "", start_after: str = "", limit: int = 1000
    ) -> Operation[Page[AccessTokenInfo]]:
        """Return access tokens whose ids begin with `prefix`, without the credentials, at most 1000."""
        return (
            yield from page(self._state.transport, "access_tokens", token_info_from_json, prefix, start_after, limit)
        )

    @walk
    def list_all_access_tokens(self, *, prefix: str = "", start_after: str = "") -> Walk[AccessTokenInfo]:
        """Return every access token whose id begins with `prefix`, page after page."""
        yield from every(
            self._state.transport, "access_tokens", token_info_from_json, prefix, start_after, lambda info: info.id
        )

    @verb
    def revoke_access_token(self, id: str) -> Operation[None]:
        """Revoke the token: no request with it is accepted any more."""
        yield from ask(
            self._state.transport,
            "DELETE",
            f"/v1/access-tokens/{quote(check_token_id(id), safe='')}",
            op="revoke_access_token",
        )

    @verb
    def account_metrics(
        self,
        *,
        set: AccountMetricSet,
        start: int | None = None,
        end: int | None = None,
        interval: TimeseriesInterval | None = None,
    ) -> Operation[list[Metric]]:
        """Return the metrics of the account; times are in seconds since 1970."""
        return (
            yield from _metrics(
                self._state.transport, "/v1/metrics", "account_metrics", set, start, end, interval, AccountMetricSet
            )
        )

    @verb
    def basin_metrics(
        self,
        basin: str,
        *,
        set: BasinMetricSet,
        start: int | None = None,
        end: int | None = None,
        interval: TimeseriesInterval | None = None,
    ) -> Operation[list[Metric]]:
        """Return the metrics of a basin; times are in seconds since 1970."""
        path = f"/v1/metrics/{check_basin_name(basin)}"
        return (
            yield from _metrics(self._state.transport, path, "basin_metrics", set, start, end, interval, BasinMetricSet)
        )

    @verb
    def stream_metrics(
        self,
        basin: str,
        stream: str,
        *,
        set: StreamMetricSet,
        start: int | None = None,
        end: int | None = None,
        interval: TimeseriesInterval | None = None,
    ) -> Operation[list[Metric]]:
        """Return the metrics of a stream; times are in seconds since 1970."""
        path = f"/v1/metrics/{check_basin_name(basin)}/{quote(check_stream_name(stream), safe='')}"
        return (
            yield from _metrics(
                self._state.transport, path, "stream_metrics", set, start, end, interval, StreamMetricSet
            )
        )

    def _about(self) -> str:
        return f"<{type(self).__name__} at {self._state.transport.endpoints.account}>"


class S2(AccountVerbs, AsyncFace[AccountState]):
    """S2, an API for unlimited, durable, real-time streams, with calls that are awaited.

    >>> S2("token", endpoints=Endpoints("http://localhost:8080", "http://localhost:8080"))["orders-eu"]["today"]
    <S2Stream today of orders-eu at http://localhost:8080>

    Works with the cloud, which is the default, and with self-hosted servers. Use it in an `async with` block, or
    `await close()` it. `s2["basin"]["stream"]` gives handles and costs no traffic.
    """

    _make_driver = AsyncDriver

    def basin(self, name: str) -> S2Basin:
        """Return a handle on a basin, without traffic."""
        return S2Basin(check_basin_name(name), self._state.transport)

    __getitem__ = basin

    async def close(self) -> None:
        """Close the connections."""
        for driver in self._state.transport.close():
            await driver.close()

    aclose = close


class SyncS2(AccountVerbs, SyncFace[AccountState]):
    """S2 with calls that block; the same verbs and arguments as `S2`.

    >>> SyncS2("token")["orders-eu"]
    <SyncS2Basin orders-eu at https://orders-eu.b.s2.dev>
    """

    _make_driver = Driver

    def basin(self, name: str) -> SyncS2Basin:
        """Return a handle on a basin, without traffic."""
        return SyncS2Basin(check_basin_name(name), self._state.transport)

    __getitem__ = basin

    def close(self) -> None:
        """Close the connections."""
        for driver in self._state.transport.close():
            driver.close()


def _basin_path(name: str) -> str:
    return f"/v1/basins/{quote(check_basin_name(name), safe='')}"


def _wanted(config: BasinConfig | None, location: str | None) -> dict[str, Any]:
    fields: dict[str, Any] = {} if config is None else {"config": basin_config_json(config)}
    return fields if location is None else {**fields, "location": check_location(location)}


def _token_wanted(info: AccessTokenInfo) -> dict[str, Any]:
    from ..wire.fields import time_json

    fields: dict[str, Any] = {"id": info.id, "scope": scope_json(info.scope)}
    if info.auto_prefix_streams:
        fields["auto_prefix_streams"] = True
    if info.expires_at is not None:
        fields["expires_at"] = time_json(info.expires_at, "expires_at")
    return fields


def _metrics(
    transport: Transport[Any],
    path: str,
    op: str,
    set: AccountMetricSet | BasinMetricSet | StreamMetricSet,
    start: int | None,
    end: int | None,
    interval: TimeseriesInterval | None,
    kind: type[Enum],
) -> Operation[list[Metric]]:
    check_kind("set", set, kind)
    if interval is not None:
        check_kind("interval", interval, TimeseriesInterval)
    for name, moment in (("start", start), ("end", end)):
        if moment is not None:
            check_u64(f"{name}, in seconds since 1970,", moment)
    params = {"set": set.value, "start": start, "end": end, "interval": interval and interval.value}
    answer = yield from ask(transport, "GET", path, op=op, params=params)
    return metrics_from_json(loads(answer.body))
