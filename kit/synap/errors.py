"""The errors of Synap.

SynapError               any error of Synap: message, status_code
  SynapInputError        the call was wrong; nothing was sent                (also InputError, ValueError)
  SynapTransportError    no complete answer: maybe_received                  (also TransportError, ConnectionError)
    SynapTimeoutError    no answer in time                                   (also TimeoutError)
    SynapWireError       bytes that are not an answer of Synap               (also AnswerError)
"""

from __future__ import annotations

import builtins
from typing import Any

from ..core.errors import AnswerError, InputError, KitError, Silent, TransportError


class SynapError(KitError):
    """Any failure of Synap: `message` in the server's own words, `status_code` (None if there was no answer).

    >>> error = refusal("Queue not found: jobs", op="queue.stats", resource="jobs")
    >>> error.message, error.status_code
    ('Queue not found: jobs', 404)
    >>> print(error)
    queue.stats jobs: Queue not found: jobs (404)
      client.queue.list() names those there are; client.queue.create(name) makes one
    """

    service = "synap"
    done: int | None = None
    """If a call for many items failed in part: how many were done."""
    published: list[Any] | None = None
    """If a publication of many items failed in part: the answer for each, None for those without one."""

    def __init__(
        self, message: str = "", status_code: int | None = None, *, hint: str | None = None, **fields: Any
    ) -> None:
        super().__init__(message, hint=hint, **fields)
        self.status_code = status_code
        if status_code is not None:
            self.status = status_code

    @property
    def message(self) -> str:
        """The message, in the server's own words."""
        return str(self.args[0]) if self.args else ""

    def _in_full(self) -> str:
        where = " ".join(part for part in (self.op, self.resource) if part)
        text = f"{where}: {self.message}" if where else self.message
        text = f"{text} ({self.status_code})" if self.status_code is not None else text
        return f"{text}\n  {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.status_code), self.__dict__


class SynapInputError(SynapError, InputError):
    """The call itself is wrong; nothing was sent."""


class SynapTransportError(SynapError, TransportError, ConnectionError):
    """The connection could not be made, or broke. `maybe_received`: whether the server may have acted."""


class SynapTimeoutError(SynapTransportError, builtins.TimeoutError):
    """The server did not answer in time."""


class SynapWireError(SynapTransportError, AnswerError):
    """What came back is not an answer of Synap."""


_CODES = (
    ("Key not found: ", 404),
    ("Queue not found: ", 404),
    ("Message not found: ", 404),
    ("Consumer not found: ", 404),
    ("Resource not found: ", 404),
    ("Not found", 404),
    ("Key already exists: ", 409),
    ("CAS failed", 409),
    ("Invalid request: ", 400),
    ("Invalid value: ", 400),
    ("Invalid TTL: ", 400),
    ("Bad request: ", 400),
    ("Unknown command: ", 400),
    ("Index out of range", 400),
    ("Queue is full: ", 507),
    ("Memory limit exceeded", 507),
    ("Key expired", 410),
    ("Operation timed out", 408),
    ("Unauthorized: ", 401),
    ("Forbidden: ", 403),
    ("Quota exceeded: ", 429),
    ("Serialization error: ", 500),
    ("Internal error: ", 500),
    ("Internal server error: ", 500),
    ("IO error: ", 500),
    ("MOVED ", 301),
    ("ASK ", 301),
    ("CLUSTERDOWN ", 503),
    ("NOAUTH ", 401),
    ("WRONGPASS ", 401),
    ("NOPERM ", 403),
    ("ERR key does not exist", 404),
    ("ERR ", 400),
    ("Missing ", 400),
    ("Room '", 400),
    ("Stream offset ", 400),
)

_HINTS = (
    ("Queue not found: ", "client.queue.list() names those there are; client.queue.create(name) makes one"),
    (
        "Message not found: ",
        "it was acknowledged before, or its deadline passed and it was given out again",
    ),
    ("Queue is full: ", "consume first, or create the queue with a larger max_depth="),
    (
        "NOAUTH ",
        "check username= and password=, or the key of a lab; other API keys work over http:// alone",
    ),
    ("WRONGPASS ", "check username= and password=, or the key of a lab; other API keys work over http:// alone"),
    ("Unauthorized: ", "give api_key=, or username= and password="),
)
_ROOM_HINT = "client.stream.list() names those there are; client.stream.create(room) makes one"


def code_of(text: str) -> int:
    """Return the status that an error text stands for; the command endpoint itself tells none.

    >>> code_of("Queue is full: jobs"), code_of("something new")
    (507, 500)
    """
    for prefix, code in _CODES:
        if text.startswith(prefix):
            return code
    return 500


def refusal(text: str, status: int | None = None, *, op: str = "", resource: str = "") -> SynapError:
    """Return the error for a server's message."""
    hint = next((hint for prefix, hint in _HINTS if text.startswith(prefix)), None)
    if "Room '" in text and "not found" in text:
        hint = _ROOM_HINT
    return SynapError(text, status or code_of(text), hint=hint, op=op or None, resource=resource or None)


def unauthorized(op: str = "", resource: str = "") -> SynapError:
    """Return the error for a refused credential; the server's own answer has no body."""
    return SynapError(
        "the server refused the credential",
        401,
        hint="give api_key= (sent as a bearer token), or username= and password=; check for a missing character",
        op=op or None,
        resource=resource or None,
    )


def of_transport(error: KitError, op: str = "", resource: str = "") -> SynapError:
    """Return a failure of the shared HTTP layer as an error of Synap."""
    kind: type[SynapError] = SynapTransportError
    if isinstance(error, Silent):
        kind = SynapTimeoutError
    elif isinstance(error, AnswerError):
        kind = SynapWireError
    elif isinstance(error, InputError):
        kind = SynapInputError
    made = kind(str(error.args[0]) if error.args else "", hint=error.hint, op=op or None, resource=resource or None)
    if isinstance(error, TransportError) and isinstance(made, SynapTransportError):
        made.maybe_received = error.maybe_received
    return made
