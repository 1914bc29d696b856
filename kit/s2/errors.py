"""The errors of S2, grouped by who reports them.

S2Error                             any error of S2
  S2ClientError                     raised by this package: bad arguments, no connection, an answer that is not S2's
    S2InputError                    the call was wrong; nothing was sent             (also InputError, ValueError)
    WireError                       bytes that are no S2 frame, message or JSON      (also AnswerError)
    CutOff                          the stream of frames ended inside a frame        (also Lost)
  S2ServerError                     reported by the service: code, message, status_code
    AppendConditionError            a condition of an append was not met
      FencingTokenMismatchError     .expected_fencing_token
      SeqNumMismatchError           .expected_seq_num
    ReadUnwrittenError              read at or past the tail: .tail
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..core.errors import AnswerError, InputError, KitError, Lost, TransportError
from .positions import StreamPosition


class Code(NamedTuple):
    """What a code of the service means for a caller."""

    status: int
    retryable: bool
    no_side_effects: bool
    """Whether the code proves that nothing was written."""
    hint: str | None = None


_GONE_SOON = "deletion takes a while; once it is done the name can be used again"

CODES: Mapping[str, Code] = {
    "access_token_not_found": Code(404, False, True, "look it up with list_access_tokens()"),
    "authn": Code(401, False, True, "check access_token=, or the variable S2_ACCESS_TOKEN"),
    "bad_frame": Code(400, False, True),
    "bad_header": Code(400, False, True),
    "bad_json": Code(400, False, True),
    "bad_path": Code(400, False, True),
    "bad_proto": Code(400, False, True),
    "bad_query": Code(400, False, True),
    "basin_deletion_pending": Code(409, False, True, _GONE_SOON),
    "basin_not_found": Code(404, False, True, "look it up with list_basins()"),
    "client_hangup": Code(499, False, False),
    "decryption_failed": Code(400, False, True, "read with the encryption_key= that the records were appended with"),
    "hot_server": Code(502, True, True),
    "invalid": Code(422, False, True),
    "not_implemented": Code(501, False, True, "the self-hosted s2-lite leaves this out; the lab and the cloud have it"),
    "other": Code(500, True, False),
    "permission_denied": Code(403, False, True, "issue an access token whose scope allows it"),
    "quota_exhausted": Code(403, False, True),
    "rate_limited": Code(429, True, True, "wait a little; Retry(max_attempts=...) does so automatically"),
    "request_timeout": Code(408, True, False),
    "resource_already_exists": Code(
        409, False, True, "ensure_basin() and ensure_stream() accept one that is there already"
    ),
    "server_draining": Code(503, True, True),
    "storage": Code(500, True, False),
    "stream_deletion_pending": Code(409, False, True, _GONE_SOON),
    "stream_not_found": Code(
        404, False, True, "look it up with list_streams(), or create it; BasinConfig can have that done on append"
    ),
    "transaction_conflict": Code(409, True, True),
    "unavailable": Code(503, True, False),
    "upstream_timeout": Code(504, True, False),
}

RETRYABLE_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
"""For codes that are not in the table: those of proxies, or newer ones."""


class S2Error(KitError):
    """Any failure of S2; catch this to catch them all."""

    service = "s2"
    tried_before = False
    """Whether an earlier try of the same call may have been carried out, whatever this failure says of the last."""


class S2ClientError(S2Error):
    """Raised by this package: a bad argument, no connection, no answer in time, an answer that is not S2's."""

    def __init__(self, message: str = "", *, hint: str | None = None, **fields: Any) -> None:
        super().__init__(message, hint=hint, **fields)


class S2InputError(S2ClientError, InputError):
    """The call itself is wrong; nothing was sent."""


class WireError(S2ClientError, AnswerError):
    """Bytes that are not a frame, message or JSON of S2."""


class CutOff(S2ClientError, Lost):
    """A stream of frames ended in the middle of one."""


class S2ServerError(S2Error):
    """The service refused: `code` and `status_code` to branch on, `message` in its own words.

    >>> print(S2ServerError("basin_not_found", "no such basin", 404))
    [404 basin_not_found] no such basin
      look it up with list_basins()
    """

    def __init__(self, code: str, message: str, status_code: int) -> None:
        known = CODES.get(code)
        super().__init__(message, hint=known.hint if known else None, status=status_code)
        self.code = code
        self.message = message
        self.status_code = status_code

    def _in_full(self) -> str:
        # Computed on demand: the transport sets the operation and the resource after the body was read.
        where = " ".join(part for part in (self.op, self.resource) if part)
        text = f"[{self.status_code} {self.code}] {self.message}"
        text = f"{where}: {text}" if where else text
        return f"{text}\n  {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments(), self.__dict__

    def _arguments(self) -> tuple[Any, ...]:
        return self.code, self.message, self.status_code


class AppendConditionError(S2ServerError):
    """A condition of an append was not met; nothing of that batch was written."""


class FencingTokenMismatchError(AppendConditionError):
    """Another writer's fencing token is in force: `expected_fencing_token`."""

    def __init__(self, code: str, message: str, status_code: int, expected_fencing_token: str) -> None:
        super().__init__(code, message, status_code)
        self.expected_fencing_token = expected_fencing_token
        self.hint = "another writer fenced the stream; append CommandRecord.fence(...) to take over"

    def _arguments(self) -> tuple[Any, ...]:
        return *super()._arguments(), self.expected_fencing_token


class SeqNumMismatchError(AppendConditionError):
    """The stream has moved on: its next record gets `expected_seq_num`."""

    def __init__(self, code: str, message: str, status_code: int, expected_seq_num: int) -> None:
        super().__init__(code, message, status_code)
        self.expected_seq_num = expected_seq_num
        self.hint = "another writer appended, or an earlier try of this batch was written after all; read there to see"

    def _arguments(self) -> tuple[Any, ...]:
        return *super()._arguments(), self.expected_seq_num


class ReadUnwrittenError(S2ServerError):
    """There is no record at this position yet; the stream ends at `tail`."""

    def __init__(self, code: str, message: str, status_code: int, tail: StreamPosition) -> None:
        super().__init__(code, message, status_code)
        self.tail = tail
        self.hint = "start before the tail, or give wait= to wait for records there"

    def _arguments(self) -> tuple[Any, ...]:
        return *super()._arguments(), self.tail


def retryable(error: BaseException | None) -> bool:
    """Return whether the same call may succeed if it is made again."""
    if isinstance(error, S2ServerError):
        known = CODES.get(error.code)
        return known.retryable if known else error.status_code in RETRYABLE_STATUSES
    if isinstance(error, TransportError):
        return True
    return isinstance(error, S2ClientError) and error.__cause__ is not None and retryable(error.__cause__)


def no_side_effects(error: BaseException | None) -> bool:
    """Return whether the failure proves that the service wrote nothing, so that even an append can be made again."""
    if isinstance(error, S2Error) and error.tried_before:
        return False
    if isinstance(error, S2ServerError):
        known = CODES.get(error.code)
        return known is not None and known.no_side_effects
    if isinstance(error, TransportError):
        return not error.maybe_received
    return isinstance(error, S2ClientError) and error.__cause__ is not None and no_side_effects(error.__cause__)


def as_client_error(error: KitError) -> S2Error:
    """Return a failure of the transport as the exception that callers of S2 catch; the original is its cause.

    Errors of S2 are returned unchanged.
    """
    if isinstance(error, S2Error):
        return error
    kind = S2InputError if isinstance(error, InputError) else S2ClientError
    failure = kind(str(error.args[0]) if error.args else "", hint=error.hint, op=error.op, resource=error.resource)
    failure.__cause__ = error
    return failure
