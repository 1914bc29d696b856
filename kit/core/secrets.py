"""Credentials that cannot be seen by accident."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import InputError

if TYPE_CHECKING:
    import logging


_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_HOST = re.compile(r"(?:[\w.-]+|\[[\da-fA-F:.]+\])(?::\d+)?")


def hidden(value: Any) -> Secret | None:
    """Return a credential as a `Secret`, to be put in the place of an argument, or None where none is given.

    This never raises: the frames of an error may be shown with their variables, and those of the caller still hold the
    value then. What cannot be a credential becomes a `Secret` without it, which `fit` refuses.
    """
    if isinstance(value, Secret):
        return value or None
    # No comparison with "": a column or a missing value of pandas would raise.
    return None if value is None or (isinstance(value, str) and not value) else Secret.unchecked(value)


def fit(secret: Secret | None, kind: type[InputError] = InputError) -> Secret | None:
    """Return the secret, unless it was made from something that cannot be a credential: that is refused."""
    if secret is not None and secret.unfit:
        raise kind(secret.unfit, hint=_HINT if secret.unfit.startswith("a credential") else None)
    return secret


def revealed(headers: Mapping[str, str | Secret]) -> dict[str, str]:
    """Return headers with the text of their credentials, right before they are sent."""
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in headers.items()}


def logger_without_headers() -> logging.Logger:
    """Return a logger for `websockets`, which writes the headers of requests where debugging is on, credentials too."""
    import logging

    logger = logging.getLogger("kit.websockets")
    logger.setLevel(max(logger.level, logging.INFO))
    return logger


def masked(address: Any) -> Any:
    """Return an address to be put in the place of an argument: a password in it is hidden, and refused later.

    >>> masked("https://user:pass@host/x"), masked("https://host/a@b"), masked(None)
    ('https://...@host/x', 'https://host/a@b', None)
    """
    if isinstance(address, list | tuple):
        return [masked(part) for part in address]
    if isinstance(address, bytes):
        return masked(address.decode("latin-1")).encode("latin-1")
    if not isinstance(address, str) or "@" not in address:
        return address
    scheme = _SCHEME.match(address)
    start = scheme.end() if scheme else 0
    authority = re.split(r"[/?#]", address[start:], maxsplit=1)[0]
    # A password may contain a slash: only a part that is certainly a host is kept after an @.
    if "@" not in authority and _HOST.fullmatch(authority):
        return address
    return f"{address[:start]}...@{address.rpartition('@')[2]}"


def without_password(address: Any) -> str:
    """Return an address as it may be quoted in an error: what stands before an @ could be a password.

    >>> without_password("ftp://me:pass@host/x"), without_password("nonsense")
    ("'ftp://...@host/x'", "'nonsense'")
    """
    return repr(masked(address))


class Secret:
    """A credential: compares and travels like a value, but prints, formats and logs as `<secret>`.

    Only `reveal()` gives the text; it is called where a request leaves, and nowhere else.

    >>> key = Secret("sk_live_1")
    >>> print(key, f"{key:>10}", [key])
    <secret>   <secret> [<secret>]
    """

    __slots__ = ("_reveal", "unfit")
    _reveal: Callable[[], str]
    unfit: str
    """Why the value cannot be used as a credential; empty if it can."""

    def __init__(self, value: str | Secret) -> None:
        text, unfit = _judged(value)
        del value  # this frame may be shown
        if unfit:
            del text
            raise InputError(unfit, hint=_HINT)
        self._keep(text, "")

    @classmethod
    def unchecked(cls, value: Any) -> Secret:
        """Return a secret without raising; see `hidden`."""
        made = object.__new__(cls)
        made._keep(*_judged(value))
        return made

    @classmethod
    def refused(cls, why: str) -> Secret:
        """Return a secret that stands for something that cannot be a credential; `fit` says why."""
        made = object.__new__(cls)
        made._keep("", why)
        return made

    def _keep(self, text: str, unfit: str) -> None:
        # A closure, not an attribute: debuggers and `vars()` list attributes.
        object.__setattr__(self, "_reveal", lambda: text)
        object.__setattr__(self, "unfit", unfit)

    def reveal(self) -> str:
        """Return the credential itself."""
        return self._reveal()

    def after(self, prefix: str) -> Secret:
        """Return a secret whose text begins with `prefix`, as headers have it: `Bearer ` and the credential."""
        made = object.__new__(Secret)
        made._keep(prefix + self._reveal(), self.unfit)
        return made

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError("a secret cannot be changed; make a new one")

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("<secret>", spec)

    def __bool__(self) -> bool:
        return bool(self.unfit or self.reveal())

    def __eq__(self, other: object) -> bool:
        import hmac  # not at the top: it would slow down every `import kit`

        return (
            isinstance(other, Secret)
            and self.unfit == other.unfit
            and hmac.compare_digest(self.reveal().encode(), other.reveal().encode())
        )

    def __hash__(self) -> int:
        return hash((Secret, self.reveal()))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: Any) -> Secret:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            "a secret cannot be pickled; pass `secret.reveal()` on purpose, or read it from the environment there"
        )


_HINT = "check for a newline or a quote copied along with it"


def _judged(value: Any) -> tuple[str, str]:
    """Return the text of a credential, and why it cannot be one: one of the two is empty."""
    if isinstance(value, Secret):
        return value.reveal(), value.unfit
    if not isinstance(value, str):
        return "", f"a credential must be a str, not {type(value).__name__}"
    if any(not 32 < ord(char) < 127 for char in value):
        # The HTTP layer would refuse it with the value in the error's text.
        return "", "a credential must be visible ASCII, without spaces or line ends"
    return value, ""
