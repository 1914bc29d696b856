"""Where a client's address and credential come from: arguments, else the environment, else an error that names both."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from .errors import InputError, SetupError
from .secrets import Secret, masked


class Environment:
    """Variables, of this process or of a lab. They may hold credentials, so its repr shows no values.

    >>> Environment({"API_KEY": "amdhl_1"})
    <environment>
    >>> Environment({"API_KEY": "amdhl_1"}).secret("API_KEY")
    <secret>
    """

    __slots__ = ("_get",)
    _get: Callable[[str], str | None]

    def __init__(self, variables: Mapping[str, str] | Environment | None = None) -> None:
        get: Callable[[str], str | None]
        if isinstance(variables, Environment):
            get = variables.text
        elif variables is None:
            get = os.environ.get
        else:
            get = dict(variables).get
        self._get = lambda name: get(name) or None

    def text(self, name: str) -> str | None:
        """Return the value of a variable that holds no credential; None where it is empty or not set."""
        return self._get(name)

    def address(self, name: str) -> str | None:
        """Return an address; a password in it is masked, and clients refuse such an address."""
        given_address: str | None = masked(self._get(name))
        return given_address

    def secret(self, name: str) -> Secret | None:
        """Return a credential."""
        return None if self._get(name) is None else Secret.unchecked(self._get(name))

    def secret_for(self, name: str, address: Any, named: Iterable[str | None]) -> Secret | None:
        """Return a credential for an address that was given as an argument, or for None.

        It is only used with the address from the environment, or if no address is given at all.
        """
        if address is None:
            return self.secret(name)
        known = {origin(one) for one in named if one}
        addresses = address if isinstance(address, list | tuple) else [address]
        return self.secret(name) if addresses and all(origin(item) in known for item in addresses) else None

    def __repr__(self) -> str:
        return "<environment>"


OWN = Environment()
"""This process's variables, read at the time of each look-up."""


class Given:
    """Arguments by name, to be handed on. Any of them may be a credential, so its repr shows no values."""

    __slots__ = ("_values",)
    _values: Callable[[], dict[str, Any]]

    def __init__(self, arguments: dict[str, Any]) -> None:
        """Take the arguments out of the dict, which the caller's frame still holds."""
        values = dict(arguments)
        arguments.clear()
        self._values = lambda: values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def values(self) -> dict[str, Any]:
        """Return them, to be passed on at once."""
        return self._values()

    def __repr__(self) -> str:
        return f"<arguments {', '.join(self)}>"


def origin(address: Any) -> tuple[str, str]:
    """Return the origin of an address: scheme, and host with port.

    >>> origin("http://Host:80/api/") == origin("http://host"), origin("localhost:3000")
    (True, ('', 'localhost:3000'))
    """
    text = str(address).strip()
    scheme, slashes, rest = text.partition("://")
    scheme, rest = (scheme.lower(), rest) if slashes else ("", text)
    scheme = "" if scheme in ("tcp", "kimberlite") else scheme
    try:
        host = urlsplit(f"//{rest}").netloc.lower()
    except ValueError:
        host = rest.lower()
    return scheme, host.removesuffix({"http": ":80", "https": ":443"}.get(scheme, " "))


def missing(service: str, *parts: tuple[Any, str, str, str], lab: bool = True, note: str = "") -> SetupError | None:
    """Return the error for values that are neither given nor in the environment, or None if nothing is missing.

    Each part is what was found, what it is, the argument and the variable.

    >>> print(missing("amdahl", (None, "an API key", "api_key", "API_KEY")))
    amdahl needs an API key (argument api_key= or variable API_KEY, or a profile)
      without a server of your own: kit.Lab().amdahl runs on an embedded one
    """
    lacking = [
        f"{what} (argument {one}= or variable {name}, or a profile)" for value, what, one, name in parts if not value
    ]
    if not lacking:
        return None
    hint = f"without a server of your own: kit.Lab().{service} runs on an embedded one" if lab else None
    return SetupError(f"{service} needs {' and '.join(lacking)}{note}", hint=hint)


def elsewhere(environment: Environment, name: str, named: str) -> str:
    """Return a note for an error: the environment has a credential, but not for the given address."""
    if environment.secret(name) is None:
        return ""
    known = environment.address(named)
    where = f"{named}, which is {known}" if known else f"{named}, which is not set"
    return f"; {name} is set, but goes only to the address in {where}"


def check_names(service: str, arguments: Iterable[str], make: Callable[..., Any], other: Callable[..., Any]) -> None:
    """Refuse arguments that nothing takes, naming those that are taken and the nearest.

    Their values are not looked at: a credential by a wrong name is one all the same.
    """
    takes = inspect.signature(make).parameters
    more = inspect.signature(other).parameters if any(take.kind is take.VAR_KEYWORD for take in takes.values()) else {}
    known = [
        name
        for name, item in {**takes, **more}.items()
        if item.kind is not item.VAR_KEYWORD and name not in ("self", "environment")
    ]
    for name in arguments:
        if name not in known:
            import difflib

            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            near = near or [one for one in known if name in one or one in name][:1]
            nearest = f"did you mean {near[0]}=? " if near else ""
            raise InputError(
                f"{service} has no argument {name}=",
                hint=f"{nearest}its arguments: {', '.join(f'{one}=' for one in dict.fromkeys(known))}",
            )
