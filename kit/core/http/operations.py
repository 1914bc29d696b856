"""Operations: what to send to a service and how to judge its answers, written once, without any I/O.

An operation is a generator. It yields steps, receives their results, and returns its own result:

    Request  -> Response          one exchange; the whole body is read, up to a limit
    Pause    -> None              wait
    Open     -> Stream            begin an exchange whose body is read piece by piece
    Next     -> bytes             the next piece of an open stream; b"" at its end
    Shut     -> None              close a stream
    Emit     -> None              hand one item to the caller (only in operations that are walked)

A step that fails raises a `TransportError` or `AnswerError` at the yield. The drivers, one blocking and one async, are
in `drivers.py`; what the steps mean over HTTP is in `http.py`. Every stream that an operation leaves open is closed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlencode

from ..clock import SYSTEM, Clock
from ..errors import TransportError
from ..secrets import Secret
from . import retry

T = TypeVar("T")

DEFAULT_LIMIT = 512 * 1024 * 1024
"""The largest answer in bytes, by default."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait: for a connection, and for each next piece of an answer (None: no limit)."""

    connect: float | None = 5.0
    read: float | None = 30.0
    silence: float | None = None
    """For each next piece after the head of the answer, if it differs from `read`."""


# Steps are not frozen: frozen ones take three times as long to make, and each call makes several.
@dataclass(slots=True, repr=False)
class Request:
    """One exchange. `path` is below the service's base address, already quoted."""

    method: str
    path: str
    op: str = ""
    params: Mapping[str, Any] | None = None
    headers: Mapping[str, str | Secret] | None = None
    body: bytes | None = None
    timeouts: Timeouts | None = None
    limit: int = DEFAULT_LIMIT
    safe: bool = False
    """Whether it can be repeated without harm."""
    retries: int = 0
    deadline: float | None = None
    """When the whole exchange must be over, by its client's clock; each wait is limited to the time that is left."""

    @property
    def target(self) -> str:
        """The path with its query."""
        if not self.params:
            return self.path
        params = {name: _text(value) for name, value in self.params.items() if value is not None}
        return f"{self.path}?{urlencode(params)}" if params else self.path

    def __repr__(self) -> str:
        return f"<{self.method} {self.path}>"


def _text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


@dataclass(slots=True, repr=False)
class Response:
    """A whole answer. The case of header names does not matter."""

    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Return the body as JSON; raise ValueError if it is not JSON."""
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def __repr__(self) -> str:
        return f"<{self.status}, {len(self.body)} bytes>"


@dataclass(slots=True)
class Pause:
    seconds: float


@dataclass(slots=True)
class Open:
    request: Request
    whole: bool = False
    """Whether an incomplete answer counts as no answer."""


@dataclass(slots=True, repr=False)
class Stream:
    """An open answer; its driver keeps the connection in `handle`."""

    status: int
    headers: Mapping[str, str]
    handle: Any


@dataclass(slots=True)
class Next:
    stream: Stream


@dataclass(slots=True)
class Shut:
    stream: Stream


@dataclass(slots=True)
class Emit(Generic[T]):
    item: T


Step = Request | Pause | Open | Next | Shut
Operation = Generator[Step, Any, T]
Walk = Generator[Step | Emit[T], Any, None]


class Sink(Protocol):
    """Receives a body piece by piece."""

    def start(self) -> None:
        """Begin a body, and forget the pieces of an earlier attempt."""

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""


def whole(request: Request) -> Operation[Response]:
    """Do the steps of a `Request`: open it and read its body to the end."""
    stream = yield Open(request, whole=True)
    body: bytes | bytearray = b""
    while piece := (yield Next(stream)):
        if not body:
            body = piece
        else:
            if isinstance(body, bytes):
                body = bytearray(body)
            body += piece
    return Response(stream.status, stream.headers, body)


def exchange(request: Request) -> Operation[Response]:
    """Make one exchange and return its answer with the whole body."""
    response: Response = yield request
    return response


def pour(sink: Sink, request: Request) -> Operation[Response]:
    """Make one exchange. Feed the body of a successful answer to a sink as it comes; read any other answer whole."""
    stream = yield Open(request)
    if not 200 <= stream.status < 300:
        return (yield from read_rest(stream))
    sink.start()
    while piece := (yield Next(stream)):
        sink.feed(piece)
    yield Shut(stream)
    return Response(stream.status, stream.headers, b"")


class Tries:
    """The tries of one call: how many were made, and whether there is another one. All repeated calls go by it."""

    __slots__ = ("_began", "_clock", "_policy", "made")

    def __init__(self, policy: retry.Policy, clock: Clock = SYSTEM) -> None:
        self._policy, self._clock = policy, clock
        self._began = 0.0 if policy.deadline is None else clock.monotonic()
        self.made = 1

    def pause(self, outcome: retry.Outcome, *, safe: bool = True) -> float | None:
        """Return the seconds to wait before the next try, which is counted; None to give up."""
        elapsed = 0.0 if self._policy.deadline is None else self._clock.monotonic() - self._began
        pause = retry.pause_before_retry(self._policy, outcome, attempt=self.made, elapsed=elapsed, safe=safe)
        if pause is not None:
            self.made += 1
        return pause

    def again(self, outcome: retry.Outcome, *, safe: bool = True) -> Operation[bool]:
        """Return whether there is another try, after the pause before it."""
        pause = self.pause(outcome, safe=safe)
        if pause is not None:
            yield Pause(pause)
        return pause is not None


def call(
    request: Request,
    policy: retry.Policy = retry.ONCE,
    attempt: Callable[[Request], Operation[Response]] = exchange,
) -> Operation[Response]:
    """Make an exchange, repeat it as the policy says, and return the last answer, whatever its status."""
    tries, unsure = Tries(policy), False
    while True:
        response: Response | None = None
        failure: TransportError | None = None
        try:
            response = yield from attempt(request)
        except TransportError as error:
            failure = error
            outcome = retry.Outcome(maybe_received=error.maybe_received)
            # An earlier attempt may have been received, even if the last one was never sent.
            unsure = error.maybe_received = unsure or error.maybe_received
        else:
            if response.ok or policy.attempts == 1:
                return response
            outcome = retry.Outcome(response.status, asked_pause=asked_pause(response))
            unsure = unsure or response.status not in policy.refused
        if not (yield from tries.again(outcome, safe=request.safe)):
            if response is not None:
                return response
            assert failure is not None
            raise failure
        request = replace(request, retries=tries.made - 1)


def asked_pause(response: Response) -> float | None:
    """Return the pause that the service asks for: from the header, otherwise from `retry_after` in a JSON body."""
    seconds = retry.retry_after(response.headers)
    if seconds is not None or response.status not in (429, 503):
        return seconds
    try:
        return pause_in(response.json())
    except ValueError:
        return None


def pause_in(body: Any) -> float | None:
    """Return the `retry_after` of a JSON body, in seconds, wherever services put it."""
    for holder in (body, *_nested(body)):
        value = holder.get("retry_after") if isinstance(holder, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return float(value) if value < 1e300 else math.inf
    return None


def _nested(body: Any) -> list[Any]:
    """Return the parts of a body where services put details of an error: `error`, `error.details`, `data`."""
    if not isinstance(body, dict):
        return []
    error = body.get("error")
    details = error.get("details") if isinstance(error, dict) else None
    inner = body.get("data")
    return [error, details, *([inner, *_nested(inner)] if isinstance(inner, dict) else [])]


def read_rest(stream: Stream, limit: int = 1_000_000) -> Operation[Response]:
    """Read the rest of an open stream up to a limit, and return it as a whole answer."""
    body = bytearray()
    while len(body) < limit:
        piece = yield Next(stream)
        if not piece:
            break
        body += piece
    yield Shut(stream)
    return Response(stream.status, stream.headers, body[:limit])
