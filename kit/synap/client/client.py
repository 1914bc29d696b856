"""The clients: calls of `SynapClient` block, those of `AsyncSynapClient` are awaited; otherwise they are the same."""

from __future__ import annotations

from typing import Any, ClassVar

from ...core.clock import Clock, clocked
from ...core.faces import AsyncFace, SyncFace, verb
from ...core.secrets import Secret, hidden, masked
from .. import inputs
from ..errors import SynapInputError, SynapWireError
from .driver import AsyncDriver, Driver
from .kv import AsyncKV, SyncKV
from .operations import Do, Operation, Page
from .pubsub import AsyncPubSub, SyncPubSub
from .queue import AsyncQueues, SyncQueues
from .settings import settings
from .state import ClientState
from .stream import AsyncStreams, SyncStreams


class _Verbs:
    """The parts of both clients."""

    _state: ClientState
    _driver_type: ClassVar[Any]
    _parts: ClassVar[dict[str, Any]]
    """The class of each part, by the part's name."""

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | Secret | None = None,
        username: str | None = None,
        password: str | Secret | None = None,
        rpc_url: str | None = None,
        timeout: float = 30.0,
        connect_timeout: float = 5.0,
        clock: Clock | None = None,
    ) -> None:
        url, rpc_url, api_key, password = masked(url), masked(rpc_url), hidden(api_key), hidden(password)
        chosen = settings(url, api_key, username, password, rpc_url, timeout, connect_timeout)
        chosen = clocked(chosen, clock, SynapInputError)
        self._state = ClientState(self._driver_type(chosen), chosen)
        for name, kind in self._parts.items():
            setattr(self, name, kind(self._state))

    @verb
    def health(self) -> Operation[dict[str, Any]]:
        """Return status, service and version of the server. Over HTTP only."""
        return _json((yield Page("/health")))

    @verb
    def info(self, section: str | None = None) -> Operation[dict[str, Any]]:
        """Return information about the server, by section: server, memory, stats, keyspace, ... Over HTTP only."""
        answer = yield Do("info", {} if section is None else {"section": inputs.name(section, "section")})
        if not isinstance(answer, dict):
            raise SynapWireError("the server's information has an unknown form", op="info")
        return answer

    @verb
    def metrics(self) -> Operation[str]:
        """Return the server's metrics as text, in the format of Prometheus. Over HTTP only."""
        response = yield Page("/metrics")
        text: str = response.text()
        return text

    def _about(self) -> str:
        return f"<{type(self).__name__} {self._state.settings.url}{_beside(self._state.driver)}>"


class SynapClient(_Verbs, SyncFace[ClientState]):
    """A Synap server: `.kv`, `.queue`, `.stream` and `.pubsub`.

    Without arguments it reads `SYNAP_URL`, `SYNAP_RPC_URL`, and `SYNAP_API_KEY` or else `SYNAP_USERNAME` and
    `SYNAP_PASSWORD`; these credentials go to those addresses only.
    The address chooses the transport: `http://host:15500`, or `synap://host:15501` for SynapRPC alone. A client over
    HTTP uses SynapRPC for bulk reads and writes if it is reachable: at `rpc_url`, at SYNAP_RPC_URL if SYNAP_URL is this
    address, or at port 15501 if the address has port 15500. The repr says what it uses.

    >>> SynapClient("http://localhost:15500")
    <SynapClient http://localhost:15500, SynapRPC not tried yet>
    """

    _driver_type = Driver
    _parts = {"kv": SyncKV, "queue": SyncQueues, "stream": SyncStreams, "pubsub": SyncPubSub}
    kv: SyncKV
    queue: SyncQueues
    stream: SyncStreams
    pubsub: SyncPubSub


class AsyncSynapClient(_Verbs, AsyncFace[ClientState]):
    """The same client with calls that are awaited. It need not be closed, and may be used from one loop after another.

    >>> AsyncSynapClient("synap://localhost")
    <AsyncSynapClient synap://localhost>
    """

    _driver_type = AsyncDriver
    _parts = {"kv": AsyncKV, "queue": AsyncQueues, "stream": AsyncStreams, "pubsub": AsyncPubSub}
    kv: AsyncKV
    queue: AsyncQueues
    stream: AsyncStreams
    pubsub: AsyncPubSub


def _beside(driver: Any) -> str:
    """Return the known state of SynapRPC."""
    if driver.settings.native:
        return ""
    if driver.bulk is None:
        return ", SynapRPC not tried yet"
    return f", in bulk over SynapRPC at {driver.settings.rpc}" if driver.bulk else ", without SynapRPC"


def _json(response: Any) -> dict[str, Any]:
    try:
        payload = response.json()
    except ValueError:
        payload = None
    if not isinstance(payload, dict):
        raise SynapWireError("the answer is not one of Synap", hint="check that it is a Synap HTTP port")
    return payload
