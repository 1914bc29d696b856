"""Credentials that cannot be seen by accident."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from .errors import InputError

T = TypeVar("T")


def hidden(value: T) -> T | Secret:
    """A credential as a `Secret`, to be put in the place of an argument: a traceback may show variables.

    What is none is given back, for whoever takes it to refuse.
    """
    if not isinstance(value, str) or not value:
        return value
    try:
        return Secret(value)
    except InputError:
        return value


def without_password(address: Any) -> str:
    """An address as it may be quoted in an error: what stands before an @ could be a password.

    >>> without_password("ftp://me:pass@host/x"), without_password("nonsense")
    ("'ftp://...@host/x'", "'nonsense'")
    """
    if not isinstance(address, str) or "@" not in address:
        return repr(address)
    before, _, after = address.rpartition("@")
    scheme, slashes, _ = before.partition("//")
    return repr(f"{scheme if slashes else ''}{slashes}...@{after}")


class Secret:
    """A credential: compares and travels like a value, but prints, formats and logs as `<secret>`.

    Only `reveal()` gives the text; it is called where a request leaves, and nowhere else.

    >>> key = Secret("sk_live_1")
    >>> print(key, f"{key:>10}", [key])
    <secret>   <secret> [<secret>]
    """

    __slots__ = ("_reveal",)
    _reveal: Callable[[], str]

    def __init__(self, value: str | Secret) -> None:
        text = value.reveal() if isinstance(value, Secret) else value
        if not isinstance(text, str):
            raise InputError(f"a credential must be a str, not {type(text).__name__}")
        if any(not 32 < ord(char) < 127 for char in text):
            # It would be refused by the HTTP layer, with the value in that error's text.
            raise InputError(
                "a credential must be visible ASCII, without spaces or line ends",
                hint="check for a newline or a quote copied along with it",
            )
        # A closure, not an attribute: debuggers and `vars()` list attributes.
        object.__setattr__(self, "_reveal", lambda: text)

    def reveal(self) -> str:
        """The credential itself."""
        return self._reveal()

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError("a secret does not change; make a new one")

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("<secret>", spec)

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __eq__(self, other: object) -> bool:
        import hmac  # not at the top: it would cost every `import kit` its start-up

        return isinstance(other, Secret) and hmac.compare_digest(self.reveal().encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return hash((Secret, self.reveal()))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: Any) -> Secret:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            "a secret is not pickled; pass `secret.reveal()` on purpose, or read it from the environment there"
        )
