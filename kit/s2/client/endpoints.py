"""Where the service is: one address for the account, one for basins.

A basin's name is part of the host if the basin address contains `{basin}`; otherwise it is in the header `s2-basin`.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from ...core.environment import OWN, Environment, elsewhere, missing
from ...core.errors import SetupError
from ...core.secrets import Secret, fit, masked
from ..errors import S2InputError

_BASIN = "{basin}"
_NAMES = ("S2_ACCOUNT_ENDPOINT", "S2_BASIN_ENDPOINT")
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+")
_PORTS = {"http": 80, "https": 443}


class Endpoints:
    """The addresses of a service: the cloud's by `default()`, others from the environment or as given.

    >>> Endpoints("http://localhost:8080", "http://localhost:8080").basin_headers("orders-eu")
    {'s2-basin': 'orders-eu'}
    >>> Endpoints.default().basin_url("orders-eu")
    'https://orders-eu.b.s2.dev'
    """

    __slots__ = ("_account", "_basin")

    def __init__(self, account: str, basin: str) -> None:
        account, basin = masked(account), masked(basin)
        self._account = _origin("account", account)
        self._basin = _origin("basin", basin)
        schemes = {url.partition(":")[0] for url in (self._account, self._basin)}
        if _BASIN in self._account:
            raise S2InputError(f"the account endpoint {account!r} contains {_BASIN}; only the basin endpoint may")
        if len(schemes) != 1:
            raise S2InputError(
                f"the account endpoint is {self._account} and the basin endpoint {self._basin}",
                hint="both must be https, or both http; an address without a scheme is https",
            )

    @classmethod
    def default(cls) -> Endpoints:
        """Return the addresses of the cloud."""
        return cls("https://a.s2.dev", "https://{basin}.b.s2.dev")

    @classmethod
    def from_env(cls) -> Endpoints:
        """Return the addresses in `S2_ACCOUNT_ENDPOINT` and `S2_BASIN_ENDPOINT`; both are needed."""
        environment = OWN
        account, basin = (environment.address(name) for name in _NAMES)
        lacking = [name for name in _NAMES if not environment.text(name)]
        if lacking or account is None or basin is None:
            raise S2InputError(
                f"{' and '.join(lacking)} not set",
                hint="set both, or give Endpoints(account, basin), or use the cloud's: Endpoints.default()",
            )
        return cls(account, basin)

    @property
    def account(self) -> str:
        """The origin that serves basins, tokens, locations and metrics."""
        return self._account

    @property
    def basin(self) -> str:
        """The origin that serves streams; it may contain `{basin}`."""
        return self._basin

    @property
    def is_direct(self) -> bool:
        """Whether one origin serves every basin, selected by a header."""
        return _BASIN not in self._basin

    def basin_url(self, name: str) -> str:
        """Return the origin that serves the streams of this basin."""
        return self._basin.replace(_BASIN, name)

    def basin_headers(self, name: str) -> dict[str, str]:
        """Return the headers for requests to this basin."""
        return {"s2-basin": name} if self.is_direct else {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Endpoints) and (self._account, self._basin) == (other._account, other._basin)

    def __hash__(self) -> int:
        return hash((self._account, self._basin))

    def __repr__(self) -> str:
        # The repr must work on a half-made object, as tracebacks show it when the constructor raises.
        account, basin = getattr(self, "_account", None), getattr(self, "_basin", None)
        return f"Endpoints(account={account!r}, basin={basin!r})"


def found(endpoints: Endpoints | None, token: Secret | None, environment: Environment) -> tuple[Endpoints, Secret]:
    """Return the endpoints and the credential: as given, else from the environment, else the cloud."""
    named = [environment.address(name) for name in _NAMES]
    account, basin = named
    if endpoints is None and bool(account) != bool(basin):
        raise SetupError(
            f"only one of {' and '.join(_NAMES)} is set",
            hint="set both, or neither for the cloud, or give endpoints=Endpoints(account, basin)",
        )
    own = Endpoints(account, basin) if account and basin else Endpoints.default()
    if endpoints is not None and not isinstance(endpoints, Endpoints):
        raise S2InputError(
            f"endpoints must be kit.s2.Endpoints, not {type(endpoints).__name__}",
            hint="from kit.s2 import Endpoints; Endpoints(account, basin), each an address",
        )
    places = None if endpoints is None else [endpoints.account, endpoints.basin]
    token = token or environment.secret_for("S2_ACCESS_TOKEN", places, [own.account, own.basin])
    note = "" if token else elsewhere(environment, "S2_ACCESS_TOKEN", _NAMES[0])
    lacking = missing("s2", (token, "an access token", "access_token", "S2_ACCESS_TOKEN"), note=note)
    if lacking is not None or token is None:
        raise lacking or AssertionError
    fit(token, S2InputError)
    return endpoints or own, token


def _origin(what: str, given: str) -> str:
    """Return the address in its shortest form, `scheme://host[:port]`."""
    if not isinstance(given, str):
        raise S2InputError(f"the {what} endpoint must be a str, not {type(given).__name__}")
    text = given.strip()
    if not text.isprintable() or " " in text:
        # The parser removes line ends and tabs silently.
        raise _refused(what, given, "it contains a space or a line end")
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        port = parts.port
    except ValueError as error:
        raise _refused(what, given, str(error)) from None
    if parts.username is not None or parts.password is not None:
        # Not quoted back: it holds a password.
        raise S2InputError(
            f"the {what} endpoint contains a user or password", hint="give the access token with access_token="
        )
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        raise _refused(what, given, f"its scheme is {parts.scheme!r}")
    if parts.path not in ("", "/") or "?" in text or "#" in text:
        raise _refused(what, given, "it has more than a scheme, a host and a port")
    host = _host(parts)
    if not _HOST.fullmatch(host.replace(_BASIN, "basin")):
        raise _refused(what, given, f"{host!r} is not a host" if host else "it has no host")
    return f"{scheme}://{host}" + (f":{port}" if port not in (None, _PORTS[scheme]) else "")


def _host(parts: SplitResult) -> str:
    # Not `parts.hostname`, which removes the brackets of an IPv6 address.
    host = parts.netloc
    name, colon, port = host.rpartition(":")
    return name if colon and (port.isdigit() or not port) and not name.endswith(":") else host


def _refused(what: str, given: str, reason: str) -> S2InputError:
    return S2InputError(
        f"{given!r} cannot be the {what} endpoint: {reason}", hint="give one like https://host or http://localhost:8080"
    )
