"""The errors of the Amdahl Platform."""

from __future__ import annotations

from typing import Any

from ..core.errors import InputError, KitError

_HINTS = {
    401: "check api_key= or the variable API_KEY",
    403: "the key lacks the scope for this; ask for one that has it",
    404: "look it up in a listing, such as .pages()",
    429: "wait a little; with_retry(fn) does so automatically",
}


class AmdahlError(KitError):
    """The service refused the request: `status` and `code` to branch on, `body` with its whole answer.

    >>> try:
    ...     raise AmdahlError(404, "not_found", "no such page")
    ... except AmdahlError as error:
    ...     print(error.code, error)
    not_found [404 not_found] no such page
    """

    status: int
    retry_after: float | None = None
    """Seconds that the service asks the caller to wait."""

    def __init__(self, status: int, code: str, message: str, body: Any = None) -> None:
        super().__init__(f"[{status} {code}] {message}", service="amdahl")
        self.status = status
        self.code = code
        self.message = message
        self.body = body

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, self.code, self.message, self.body)

    def _render_traceback_(self) -> list[str]:
        lines = super()._render_traceback_()
        hint = _HINTS.get(self.status)
        return [*lines, f"  {hint}"] if hint else lines


class AmdahlInputError(AmdahlError, InputError):
    """The call itself is wrong; nothing was sent. `status` is 0 and `code` is "invalid_argument"."""

    def __init__(self, message: str = "", *, hint: str | None = None, **fields: Any) -> None:
        super().__init__(0, "invalid_argument", message)
        self.args = (message,)
        self.hint = hint
        for name, value in fields.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message,), dict(self.__dict__)
