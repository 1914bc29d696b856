"""The errors of the Claude Code API service.

ClaudeAPIError            any error of the service or of the connection     (also KitError)
  AuthenticationError     no key, or a key that the service does not know
  PermissionError         the key's profile forbids it                       (also the builtin of that name)
  RateLimitError          too many requests, of this key or upstream
  TimeoutError            no answer in time, in the service or from it       (also the builtin of that name)
  BudgetExceededError     the project's tokens, a task's cost or your own limit are used up
  ClaudeInputError        the call was wrong; nothing was sent               (also InputError, ValueError)
"""

from __future__ import annotations

import builtins
from typing import Any

from ..core.errors import InputError, KitError


class ClaudeAPIError(KitError):
    """The service refused the request, failed, or could not be reached.

    `status_code` and `detail` are its answer, `request_id` is the request's id in its log. `paid` says whether the call
    may have cost something: False if it did not, True if it did, None if that is unknown; such a call is never retried
    automatically.

    >>> try:
    ...     raise RateLimitError("slow down", status_code=429, paid=False)
    ... except ClaudeAPIError as error:
    ...     print(type(error).__name__, error.status_code, error.paid)
    RateLimitError 429 False
    """

    def __init__(
        self,
        message: str = "",
        *,
        status_code: int | None = None,
        detail: Any = None,
        request_id: str | None = None,
        paid: bool | None = None,
        hint: str | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(message, hint=hint, service="claude", **fields)
        self.message = message
        self.status_code = self.status = status_code
        self.detail = detail
        self.request_id = request_id
        self.paid = paid
        self.retry_after: float | None = fields.get("retry_after")
        """Seconds that the service asks to wait."""
        self.answered: str | None = fields.get("answered")
        """When it answered, by its own clock."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.message, dict(self.__dict__))


class ClaudeInputError(ClaudeAPIError, InputError):
    """The call itself is wrong; nothing was sent, and nothing is paid."""

    def __init__(self, message: str = "", **fields: Any) -> None:
        super().__init__(message, **{"paid": False, **fields})


class AuthenticationError(ClaudeAPIError):
    """401: the key is missing or not known to the service."""


class PermissionError(ClaudeAPIError, builtins.PermissionError):
    """403: a tool, an agent, a skill, a time or a cost that the key's profile does not allow."""


class RateLimitError(ClaudeAPIError):
    """429: too many requests. Nothing ran; the service starts a new count each minute."""


class TimeoutError(ClaudeAPIError, builtins.TimeoutError):
    """The answer did not come in time."""


class BudgetExceededError(ClaudeAPIError):
    """A budget is used up: the project's tokens, the cost that a task may have, or a limit set in this client."""

    def __init__(self, message: str = "", *, estimated_cost: float | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.estimated_cost = estimated_cost
        """In USD, where it is known: what the task did cost, or what a guarded call would cost."""


def _again(kind: type[ClaudeAPIError], message: str, fields: dict[str, Any]) -> ClaudeAPIError:
    """Return an error as it was before it was pickled."""
    error = kind(message)
    error.__dict__.update(fields)
    return error
