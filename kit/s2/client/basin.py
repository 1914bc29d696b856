"""A basin and its streams, blocking and async."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import quote

from ...core.faces import AsyncFace, SyncFace, verb, walk
from ...core.html import one_line
from ...core.http.operations import Operation, Walk
from ...core.secrets import Secret, fit
from ..configs import EnsuredStreamInfo, StreamConfig, StreamInfo
from ..errors import S2InputError
from ..limits import check_stream_name, encryption_key
from ..types import Page
from ..wire.fields import loads
from ..wire.resources import ensure_status, stream_config_from_json, stream_config_json, stream_info_from_json
from .listing import every, page
from .state import BasinState
from .stream import S2Stream, SyncS2Stream
from .transport import Transport, ask, deleted


class BasinVerbs:
    """The verbs of both handles."""

    _state: BasinState

    def __init__(self, name: str, transport: Transport[Any]) -> None:
        self._state = BasinState(transport, name)

    @property
    def name(self) -> str:
        """The basin's name."""
        return self._state.basin

    @verb
    def create_stream(self, name: str, *, config: StreamConfig | None = None) -> Operation[StreamInfo]:
        """Create a stream. Its name is a text of up to 512 bytes; use `/` between levels."""
        body: dict[str, Any] = {"stream": check_stream_name(name)}
        if config is not None:
            body["config"] = stream_config_json(config)
        headers = {**self._state.basin_headers, "s2-request-token": uuid.uuid4().hex}
        answer = yield from ask(
            self._state.transport, "POST", "/v1/streams", op="create_stream", body=body, headers=headers
        )
        return stream_info_from_json(loads(answer.body))

    @verb
    def ensure_stream(self, name: str, *, config: StreamConfig | None = None) -> Operation[EnsuredStreamInfo]:
        """Return the stream, created or reconfigured if necessary, and what was done.

        What the configuration leaves out goes back to the basin's defaults, also on a stream that exists.
        """
        body = None if config is None else stream_config_json(config)
        path = _path(name)
        answer = yield from ask(
            self._state.transport, "PUT", path, op="ensure_stream", body=body, headers=self._state.basin_headers
        )
        status = ensure_status(answer.headers.get("s2-provision-result"))
        return EnsuredStreamInfo(stream_info_from_json(loads(answer.body)), status)

    @verb
    def list_streams(
        self, *, prefix: str = "", start_after: str = "", limit: int = 1000
    ) -> Operation[Page[StreamInfo]]:
        """Return streams whose names begin with `prefix`, in order, at most 1000; `list_all_streams` walks all."""
        return (
            yield from page(
                self._state.transport,
                "streams",
                stream_info_from_json,
                prefix,
                start_after,
                limit,
                self._state.basin_headers,
            )
        )

    @walk
    def list_all_streams(
        self, *, prefix: str = "", start_after: str = "", include_deleted: bool = False
    ) -> Walk[StreamInfo]:
        """Return every stream whose name begins with `prefix`, page after page."""
        yield from every(
            self._state.transport,
            "streams",
            stream_info_from_json,
            prefix,
            start_after,
            lambda info: info.name,
            self._state.basin_headers,
            lambda info: include_deleted or info.deleted_at is None,
        )

    @verb
    def delete_stream(self, name: str, *, ignore_not_found: bool = False) -> Operation[None]:
        """Delete the stream and its records. The service finishes in the background, which may take minutes."""
        yield from deleted(
            self._state.transport, _path(name), "delete_stream", ignore_not_found, headers=self._state.basin_headers
        )

    @verb
    def get_stream_config(self, name: str) -> Operation[StreamConfig]:
        """Return the configuration of a stream, defaults included."""
        answer = yield from ask(
            self._state.transport, "GET", _path(name), op="get_stream_config", headers=self._state.basin_headers
        )
        return stream_config_from_json(loads(answer.body))

    @verb
    def reconfigure_stream(self, name: str, *, config: StreamConfig) -> Operation[StreamConfig]:
        """Change the given fields; return the new configuration of the stream."""
        body = stream_config_json(config)
        answer = yield from ask(
            self._state.transport,
            "PATCH",
            _path(name),
            op="reconfigure_stream",
            body=body,
            headers=self._state.basin_headers,
        )
        return stream_config_from_json(loads(answer.body))

    def __repr__(self) -> str:
        return one_line(f"<{type(self).__name__} {self._state.basin} at {self._state.url}>")


class S2Basin(BasinVerbs, AsyncFace[BasinState]):
    """A basin, with calls that are awaited. Made by `s2["name"]`, not by hand."""

    def stream(self, name: str, *, encryption_key: bytes | str | Secret | None = None) -> S2Stream:
        """Return a handle on a stream, without traffic. The key is for basins with encryption."""
        encryption_key = _key(encryption_key)
        return S2Stream(
            check_stream_name(name), self._state.basin, self._state.transport, fit(encryption_key, S2InputError)
        )

    __getitem__ = stream

    async def close(self) -> None:
        """Do nothing: the connections are the client's."""


class SyncS2Basin(BasinVerbs, SyncFace[BasinState]):
    """A basin, with calls that block. Made by `s2["name"]`, not by hand."""

    def stream(self, name: str, *, encryption_key: bytes | str | Secret | None = None) -> SyncS2Stream:
        """Return a handle on a stream, without traffic. The key is for basins with encryption."""
        encryption_key = _key(encryption_key)
        return SyncS2Stream(
            check_stream_name(name), self._state.basin, self._state.transport, fit(encryption_key, S2InputError)
        )

    __getitem__ = stream

    def close(self) -> None:
        """Do nothing: the connections are the client's."""


_key = encryption_key


def _path(name: str) -> str:
    return f"/v1/streams/{quote(check_stream_name(name), safe='')}"
