"""The addresses of a Synap server, and the credential for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ...core.clock import SYSTEM, Clock
from ...core.environment import OWN, Environment, missing, origin
from ...core.http.operations import Timeouts
from ...core.http.retry import Policy
from ...core.secrets import Secret, fit, hidden, without_password
from ..errors import SynapInputError

HTTP_PORT, RPC_PORT = 15500, 15501
POLICY = Policy(attempts=3, base=0.1, cap=2.0, statuses=frozenset({429, 502, 503, 504}))
"""How both transports repeat what failed."""


@dataclass(frozen=True, slots=True)
class Place:
    """A host and a port of SynapRPC."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """The settings of a client."""

    url: str
    native: bool
    """Whether all calls go over SynapRPC."""
    rpc: Place | None
    """The known or assumed address of SynapRPC; for bulk reads and subscriptions if `native` is False."""
    announced: bool
    """Whether `rpc` was given, not assumed."""
    api_key: Secret | None
    username: str | None
    password: Secret | None
    timeout: float
    connect_timeout: float
    clock: Clock = SYSTEM

    @property
    def timeouts(self) -> Timeouts:
        return Timeouts(connect=self.connect_timeout, read=self.timeout)

    @property
    def socket_url(self) -> str:
        """The address for WebSockets."""
        return "ws" + self.url.removeprefix("http")

    @property
    def slow_by_http(self) -> bool:
        """Whether the server hashes a password for each request over HTTP, and SynapRPC may be there as well."""
        return not self.native and self.rpc is not None and self.password is not None

    def auth(self) -> tuple[str, ...] | None:
        """Return the arguments of AUTH."""
        if self.password is not None and self.username is not None:
            return self.username, self.password.reveal()
        return (self.api_key.reveal(),) if self.api_key is not None else None

    def header(self) -> Secret | None:
        """Return the Authorization header."""
        if self.api_key is not None:
            return self.api_key.after("Bearer ")
        if self.username is None or self.password is None:
            return None
        import base64

        return Secret(base64.b64encode(f"{self.username}:{self.password.reveal()}".encode()).decode()).after("Basic ")


Credential = tuple[Secret | None, str | None, Secret | None]
"""A key, or a user and a password."""


def credential(
    url: str | None,
    api_key: str | Secret | None,
    username: str | None,
    password: str | Secret | None,
    environment: Environment,
) -> Credential:
    """Return the given credential, else the environment's for this address: a key before a password."""
    api_key, password = hidden(api_key), hidden(password)
    if api_key is not None or username is not None or password is not None:
        return api_key, username, password
    named = [environment.address("SYNAP_URL"), environment.address("SYNAP_RPC_URL")]
    api_key = environment.secret_for("SYNAP_API_KEY", url, named)
    username, password = environment.text("SYNAP_USERNAME"), environment.secret_for("SYNAP_PASSWORD", url, named)
    if api_key is not None or username is None or password is None:
        return api_key, None, None
    return None, username, password


def settings(
    url: str | None,
    api_key: str | Secret | None,
    username: str | None,
    password: str | Secret | None,
    rpc_url: str | None,
    timeout: float,
    connect_timeout: float,
    environment: Environment = OWN,
) -> Settings:
    """Return checked settings; errors are raised before any traffic."""
    api_key, password = hidden(api_key), hidden(password)
    named, named_rpc = environment.address("SYNAP_URL"), environment.address("SYNAP_RPC_URL")
    api_key, username, password = credential(url, api_key, username, password, environment)
    url = named if url is None else url
    lacking = missing("synap", (url, "an address", "url", "SYNAP_URL"))
    if lacking is not None:
        raise lacking
    fit(api_key, SynapInputError)
    fit(password, SynapInputError)
    if not isinstance(url, str):
        raise SynapInputError(f"an address must be text like http://localhost:{HTTP_PORT}, not {type(url).__name__}")
    if api_key is not None and (username is not None or password is not None):
        raise SynapInputError("api_key= and username=/password= are both given", hint="give one of them")
    if username is not None and (not isinstance(username, str) or not fits(username)):
        raise SynapInputError(f"username={username!r:.60} is not the name of a user", hint="give text")
    if (username is None) != (password is None):
        raise SynapInputError("username= and password= belong together", hint="give both, or api_key=")
    for name, value in (("timeout", timeout), ("connect_timeout", connect_timeout)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 86_400:
            raise SynapInputError(f"{name}={value!r} is not a timeout", hint="give seconds above 0")
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise SynapInputError(f"{without_password(url)} is not an address: {error}") from None
    if parts.username or parts.password:
        # Not quoted back: it holds a password.
        raise SynapInputError("the address contains a user or password", hint="give username= and password=")
    if parts.scheme == "resp3":
        raise SynapInputError("RESP3 is not supported", hint=f"give synap://{parts.hostname}:{RPC_PORT}, or http://")
    if parts.scheme not in ("http", "https", "synap") or not parts.hostname:
        raise SynapInputError(
            f"{without_password(url)} is not an address of Synap",
            hint=f"give one like http://localhost:{HTTP_PORT} or synap://localhost",
        )
    if parts.query or parts.fragment:
        raise SynapInputError("the address contains more than a host, a port and a path", hint="leave out ? and #")
    native = parts.scheme == "synap"
    if not native and ":" in (username or ""):
        raise SynapInputError(f"the user {username!r:.60} has a colon, which HTTP takes for the end of the name")
    announced = True
    if native:
        rpc: Place | None = _place(url)
        if rpc_url is not None and _place(rpc_url) != rpc:
            raise SynapInputError("rpc_url= is not the server that the address names", hint="give one of them")
    elif rpc_url is not None:
        rpc = _place(rpc_url)
    elif named and named_rpc and origin(named) == origin(url):
        rpc = _place(named_rpc)
    else:
        # With another HTTP port, the default port of SynapRPC may belong to another server.
        usual = parts.scheme == "http" and port in (None, HTTP_PORT)
        rpc, announced = (Place(parts.hostname, RPC_PORT) if usual else None), False
    return Settings(
        url.strip().rstrip("/"),
        native,
        rpc,
        announced,
        api_key,
        username,
        password,
        timeout,
        connect_timeout,
    )


def fits(text: str) -> bool:
    """Return whether a text has a form in UTF-8; one with half of a character has none."""
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


def _place(url: Any) -> Place:
    if not isinstance(url, str):
        raise SynapInputError(f"an address must be text like synap://localhost:{RPC_PORT}, not {type(url).__name__}")
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise SynapInputError(f"{without_password(url)} is not an address: {error}") from None
    if parts.username or parts.password:
        raise SynapInputError("the address contains a user or password", hint="give username= and password=")
    if parts.scheme != "synap" or not parts.hostname or parts.path.strip("/") or parts.query:
        raise SynapInputError(
            f"{without_password(url)} is not an address of SynapRPC", hint=f"give one like synap://localhost:{RPC_PORT}"
        )
    return Place(parts.hostname, RPC_PORT if port is None else port)
