"""What the calls of a client, and of its handles on basins and streams, share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ...core import faces
from ...core.secrets import Secret
from ..wire.fields import dumps
from ..wire.resources import stream_config_json
from .transport import Transport

if TYPE_CHECKING:
    from ..configs import StreamConfig
    from .sessions.append_session import AppendSession


class AccountState(faces.ClientState):
    """The address of the service, and the transport to it."""

    def __init__(self, transport: Transport[Any], url: str | None = None) -> None:
        super().__init__(transport.driver(url or transport.endpoints.account))
        self.transport = transport


class BasinState(AccountState):
    """The same for a basin."""

    def __init__(self, transport: Transport[Any], basin: str) -> None:
        self.basin, self.url = basin, transport.endpoints.basin_url(basin)
        super().__init__(transport, self.url)
        self.basin_headers: Mapping[str, str] = transport.endpoints.basin_headers(basin)


class StreamState(BasinState):
    """The same for a stream: the path of its records, and the key that they are encrypted with."""

    def __init__(self, transport: Transport[Any], basin: str, name: str, key: Secret | None = None) -> None:
        super().__init__(transport, basin)
        self.key = key
        self.path = f"/v1/streams/{quote(name, safe='')}/records"

    def headers(self, config: StreamConfig | None = None) -> dict[str, str | Secret]:
        """Return the headers of a call; `config` is for the stream that the call makes."""
        headers: dict[str, str | Secret] = {**self.basin_headers}
        if self.key is not None:
            headers["s2-encryption-key"] = self.key
        if config is not None:
            headers["s2-stream-config"] = dumps(stream_config_json(config)).decode()
        return headers

    def append_session(
        self, max_unacked_bytes: int, max_unacked_batches: int | None = None, config: StreamConfig | None = None
    ) -> AppendSession:
        """Return a session that appends, for the loop that runs."""
        self.transport.check_open()
        # HTTP/2 is loaded only for append sessions.
        from .sessions.append_engine import AppendEngine
        from .sessions.append_session import AppendSession

        headers = self.headers(config)
        return AppendSession(
            AppendEngine(self.transport, self.url, self.path, headers, max_unacked_bytes, max_unacked_batches)
        )
