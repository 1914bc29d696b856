"""The address of a server, and the settings of connections to it."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ...core.clock import SYSTEM, Clock
from ...core.environment import OWN, Environment, missing, origin
from ...core.errors import SetupError
from ...core.http.retry import Policy
from ...core.secrets import Secret, fit, hidden, without_password
from ..errors import KimberliteInputError
from ..types import TenantId, tenant_number

DEFAULT_PORT = 5432
SECURE = "kimberlites://"
"""The scheme of an address that is reached over TLS."""


class Place(NamedTuple):
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def place_of(address: str) -> Place:
    """Return the host and port that an address names; Kimberlite's own port where it names none.

    >>> place_of("localhost:3000"), place_of("db.example"), place_of("[::1]:3000")
    (Place(host='localhost', port=3000), Place(host='db.example', port=5432), Place(host='::1', port=3000))
    """
    message = f"{without_password(address)} is not an address of a Kimberlite server"
    hint = 'give one like "localhost:3000"'
    if not isinstance(address, str):
        raise KimberliteInputError(message, hint=hint)
    text = address.strip().rstrip("/")
    for scheme in ("tcp://", "kimberlite://", SECURE):
        text = text.removeprefix(scheme)
    host, colon, port = text.rpartition(":")
    if not colon or (text.count(":") > 1 and not text.startswith("[")) or port.endswith("]"):
        host, port = text, str(DEFAULT_PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise KimberliteInputError(message, hint=hint)
    if any(char in host for char in "/@ \t\r\n?#"):
        raise KimberliteInputError("the address contains more than a host and a port", hint=hint)
    return Place(host, int(port))


@dataclass(frozen=True, slots=True)
class Settings:
    """A server's address and the settings of connections to it. Its repr shows no secret."""

    places: tuple[Place, ...]
    tenant_id: int | None = None
    api_key: Secret | None = None
    timeout: float | None = 30.0
    connect_timeout: float | None = 5.0
    max_retries: int = 3
    tls: ssl.SSLContext | None = None
    """The SSL context that checks the server's certificate; None for plain TCP."""
    policy: Policy = field(default_factory=Policy, repr=False)
    clock: Clock = field(default=SYSTEM, repr=False)

    @classmethod
    def of(
        cls,
        address: str | Sequence[str] | None,
        tenant_id: TenantId | int | None,
        api_key: str | Secret | None,
        timeout: float | None,
        connect_timeout: float | None,
        max_retries: int,
        tls: bool | ssl.SSLContext | None = None,
        environment: Environment = OWN,
    ) -> Settings:
        """Return the checked settings; missing arguments are taken from the environment."""
        api_key = hidden(api_key)
        named = environment.address("KIMBERLITE_ADDRESS")
        if api_key is None:
            api_key = environment.secret_for("KIMBERLITE_API_KEY", address, [named])
        if tenant_id is None and (address is None or (named and origin(address) == origin(named))):
            tenant_id = tenant_of(environment)
        address = named if address is None else address
        lacking = missing("kimberlite", (address, "an address", "address", "KIMBERLITE_ADDRESS"))
        if lacking is not None and address is None:
            raise lacking
        fit(api_key, KimberliteInputError)
        if not isinstance(address, str | list | tuple):
            raise KimberliteInputError(
                f"an address must be text, not {type(address).__name__}",
                hint='give one like "localhost:3000", or a list',
            )
        addresses = [address] if isinstance(address, str) else list(address)
        if not addresses:
            raise KimberliteInputError("no address is given", hint='give one like "localhost:3000"')
        for name, value in (("timeout", timeout), ("connect_timeout", connect_timeout)):
            _check_seconds(name, value)
        if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
            raise KimberliteInputError(f"max_retries={max_retries!r}: give a number from 0 up")
        return cls(
            tuple(place_of(item) for item in addresses),
            None if tenant_id is None else tenant_number(tenant_id),
            api_key,
            timeout,
            connect_timeout,
            max_retries,
            _tls_of(addresses, tls),
            Policy(attempts=max_retries + 1, base=0.1, cap=2.0),
        )

    def now(self) -> datetime:
        """Return the time of day."""
        return datetime.fromtimestamp(self.clock.time(), UTC)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses as text, for another process."""
        return tuple(f"{SECURE if self.tls else ''}{place}" for place in self.places)

    @property
    def where(self) -> str:
        """The address for messages."""
        return " or ".join(map(str, self.places))


def _tls_of(addresses: Sequence[str], tls: bool | ssl.SSLContext | None) -> ssl.SSLContext | None:
    """Return the SSL context that the addresses and the argument ask for, or None."""
    if tls is not None and not isinstance(tls, bool | ssl.SSLContext):
        raise KimberliteInputError(
            f"tls={tls!r:.80} is not a setting of TLS", hint="give True, or an ssl.SSLContext for your own certificates"
        )
    secure = {address.strip().startswith(SECURE) for address in addresses}
    if tls is None and len(secure) > 1:
        raise KimberliteInputError("some addresses use TLS and some do not", hint=f"begin each with {SECURE}")
    if tls is False and True in secure:
        raise KimberliteInputError(f"an address begins with {SECURE}, and tls=False", hint="leave one of them out")
    if isinstance(tls, ssl.SSLContext):
        return tls
    if tls or True in secure:
        from ...core.http.certificates import trusting

        return trusting(True)
    return None


def tenant_of(environment: Environment) -> int | None:
    """Return the tenant that the environment names."""
    text = environment.text("KIMBERLITE_TENANT")
    if text is None:
        return None
    if not (text.strip().isascii() and text.strip().isdigit()):
        raise SetupError(f"KIMBERLITE_TENANT is {text!r}, which is not the number of a tenant")
    return int(text)


def _check_seconds(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise KimberliteInputError(f"{name}={value!r}: give seconds above 0, or None to wait forever")
