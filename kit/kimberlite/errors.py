"""The errors of Kimberlite, grouped by what a caller can do about them.

KimberliteError                  any error of Kimberlite: code, message, request_id, is_retryable()
  KimberliteInputError           the call was wrong; nothing was sent           (also InputError, ValueError)
  NetworkError                   no complete answer: maybe_received             (also TransportError, ConnectionError)
    WireError                    bytes that are not Kimberlite's protocol       (also AnswerError)
  TimeoutError                   no answer in time                              (also TransportError, TimeoutError)
  ServerError                    reported by the server: code, message, request_id
    UnauthorizedError            3: wrong key, wrong tenant, no handshake
    InvalidRequestError          2, 30
    NotFoundError
      TenantNotFoundError        4
      StreamNotFoundError        5
      TableNotFoundError         6
    QueryError                   line, column, where the server tells them
      QuerySyntaxError           7
      QueryExecutionError        8
      PositionAheadError         9: current
    AlreadyExistsError           10, 21
    OffsetError                  11
    OffsetMismatchError          16: expected, actual
    SubscriptionError            17, 18, 19
    UniqueViolationError         29
    ComplianceError              20, 22 to 28
    StorageError                 12, 31
    BusyError                    13, 14, 15: worth another try
      RateLimitedError           14
      NotLeaderError             15: leader
    InternalError                0, 1, and codes newer than this list
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..core.errors import AnswerError, InputError, KitError, TransportError


class KimberliteError(KitError):
    """Any failure of Kimberlite; catch this to catch them all."""

    service = "kimberlite"
    code: int | None = None
    """The server's code; None if the server did not answer."""
    request_id: int | None = None

    @property
    def message(self) -> str:
        """The message, in the server's own words."""
        return str(self.args[0]) if self.args else ""

    def is_retryable(self) -> bool:
        """Return whether the same call may succeed if it is made again. See `maybe_received` before repeating a
        write."""
        return False


class KimberliteInputError(KimberliteError, InputError):
    """The call itself is wrong; nothing was sent."""


class NetworkError(KimberliteError, TransportError, ConnectionError):
    """The connection could not be made, or broke. `maybe_received`: whether the server may have acted."""

    def is_retryable(self) -> bool:
        return True


class TimeoutError(KimberliteError, TransportError, builtins.TimeoutError):
    """The server did not answer in time. `maybe_received`: whether it may have acted."""

    def is_retryable(self) -> bool:
        return True


class WireError(NetworkError, AnswerError):
    """Bytes that are not a frame or message of Kimberlite; the connection cannot be used any more."""


class ServerError(KimberliteError):
    """The server refused: `code` to branch on, `message` in its own words.

    >>> print(server_error(5, "stream 4294967303 not found"))
    [5 StreamNotFound] stream 4294967303 not found
      look it up with streams(), or create it with create_stream(name)
    """

    code: int

    def __init__(self, message: str, code: int, request_id: int | None = None) -> None:
        super().__init__(message, hint=_code_of(code).hint)
        self.code = code
        self.request_id = request_id

    @property
    def code_name(self) -> str:
        """The code's name."""
        return _code_of(self.code).name

    def is_retryable(self) -> bool:
        return isinstance(self, BusyError)

    def _in_full(self) -> str:
        # Computed on demand: the client sets the operation and the resource after the answer was read.
        where = " ".join(part for part in (self.op, self.resource) if part)
        text = f"[{self.code} {self.code_name}] {self.message}"
        text = f"{where}: {text}" if where else text
        return f"{text}\n  {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.code, self.request_id), self.__dict__


class UnauthorizedError(ServerError):
    """The key is wrong, or not valid for this tenant."""


class InvalidRequestError(ServerError):
    """The server does not understand the request."""


class NotFoundError(ServerError):
    """Nothing of that name or id exists."""


class TenantNotFoundError(NotFoundError):
    """There is no such tenant."""


class StreamNotFoundError(NotFoundError):
    """There is no such stream."""


class TableNotFoundError(NotFoundError):
    """There is no such table."""


class QueryError(ServerError):
    """A SQL statement failed; `line` and `column` say where, if the server reports it."""

    @property
    def line(self) -> int | None:
        """The line of the statement, from 1."""
        match = _PLACE.search(self.message)
        return int(match[1]) if match else None

    @property
    def column(self) -> int | None:
        """The column in that line, from 1."""
        match = _PLACE.search(self.message)
        return int(match[2]) if match else None


class QuerySyntaxError(QueryError):
    """The statement is not SQL that the server understands."""


class QueryExecutionError(QueryError):
    """The statement is SQL, but cannot be run."""


class PositionAheadError(QueryError):
    """The requested position is not written yet; `current` is the newest one."""

    @property
    def current(self) -> int | None:
        """The newest position, as a bookmark for later."""
        match = re.search(r"current log position (\d+)", self.message)
        return int(match[1]) if match else None


class AlreadyExistsError(ServerError):
    """The name is taken."""


class OffsetError(ServerError):
    """The stream has no such offset."""


class OffsetMismatchError(ServerError):
    """The stream's length is `actual`, not what the append expected; nothing was written."""

    @property
    def expected(self) -> int | None:
        """The length that the append named."""
        match = _OFFSETS.search(self.message)
        return int(match[1]) if match else None

    @property
    def actual(self) -> int | None:
        """The length that the stream has."""
        match = _OFFSETS.search(self.message)
        return int(match[2]) if match else None


class SubscriptionError(ServerError):
    """The subscription does not exist any more."""


class UniqueViolationError(ServerError):
    """A row with this primary key exists already."""


class ComplianceError(ServerError):
    """A consent, erasure, breach, export or API key does not exist, or is not in the right state."""


class StorageError(ServerError):
    """The server could not write or read its storage."""


class BusyError(ServerError):
    """The server is busy; try again."""


class RateLimitedError(BusyError):
    """Too many requests at once."""


class NotLeaderError(BusyError):
    """Another server of the cluster must be asked; `leader` is its address, if the server reports it."""

    @property
    def leader(self) -> str | None:
        """`host:port` of the leader."""
        match = re.search(r"leader hint: (\S+:\d+)", self.message)
        return match[1] if match else None


class InternalError(ServerError):
    """The server failed, or answered with a code that is newer than this package."""


_PLACE = re.compile(r"[Ll]ine:? (\d+), [Cc]olumn:? (\d+)")
_OFFSETS = re.compile(r"expected (\d+), actual (\d+)")


class Code(NamedTuple):
    """What a code of the server means for a caller."""

    name: str
    kind: type[ServerError]
    hint: str | None = None


_AGAIN = "wait a little and try again"
_KEY = "check api_key= and tenant_id=, or the variables KIMBERLITE_API_KEY and KIMBERLITE_TENANT"
_MOVED = "another writer appended, or an earlier try of this batch was written after all; read there to see"

CODES: Mapping[int, Code] = dict(
    enumerate(
        (
            Code("Unknown", InternalError),
            Code("InternalError", InternalError),
            Code("InvalidRequest", InvalidRequestError),
            Code("AuthenticationFailed", UnauthorizedError, _KEY),
            Code("TenantNotFound", TenantNotFoundError),
            Code(
                "StreamNotFound",
                StreamNotFoundError,
                "look it up with streams(), or create it with create_stream(name)",
            ),
            Code("TableNotFound", TableNotFoundError, "look it up with tables()"),
            Code("QueryParseError", QuerySyntaxError),
            Code("QueryExecutionError", QueryExecutionError),
            Code("PositionAhead", PositionAheadError, "a position that was read from query results is never ahead"),
            Code("StreamAlreadyExists", AlreadyExistsError),
            Code("InvalidOffset", OffsetError),
            Code("StorageError", StorageError),
            Code("ProjectionLag", BusyError, _AGAIN),
            Code("RateLimited", RateLimitedError, _AGAIN),
            Code("NotLeader", NotLeaderError, "connect to the leader"),
            Code("OffsetMismatch", OffsetMismatchError, _MOVED),
            Code("SubscriptionNotFound", SubscriptionError),
            Code("SubscriptionClosed", SubscriptionError),
            Code("SubscriptionBackpressure", SubscriptionError, "take events faster, or grant fewer credits"),
            Code("ApiKeyNotFound", ComplianceError),
            Code("TenantAlreadyExists", AlreadyExistsError),
            Code("ConsentNotFound", ComplianceError),
            Code("ConsentExpired", ComplianceError),
            Code("ErasureNotFound", ComplianceError),
            Code("ErasureAlreadyComplete", ComplianceError),
            Code("ErasureExempt", ComplianceError),
            Code("BreachNotFound", ComplianceError),
            Code("ExportNotFound", ComplianceError),
            Code("UniqueConstraintViolation", UniqueViolationError, "use ON CONFLICT (...) DO UPDATE, or another key"),
            Code("TenantIdTooLarge", InvalidRequestError, "a tenant's id has at most 32 bits"),
            Code("RowVersionChainTooLarge", StorageError),
        )
    )
)


def _code_of(code: int) -> Code:
    return CODES.get(code) or Code("unknown code", InternalError)


def server_error(code: int, message: str, request_id: int | None = None) -> ServerError:
    """Return the exception that an error answer tells.

    >>> server_error(16, "offset mismatch for stream 7: expected 0, actual 3").actual
    3
    """
    return _code_of(code).kind(message, code, request_id)
