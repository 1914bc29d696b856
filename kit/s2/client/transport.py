"""What all handles of one client share: the endpoints and the connections to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from ...core.clock import Clock, checked
from ...core.environment import OWN
from ...core.errors import CLOSED, CLOSED_HINT, KitError
from ...core.http.exchange import Settings
from ...core.http.operations import Operation, Pause, Request, Response, Timeouts, Tries
from ...core.http.retry import LONGEST_PAUSE, Outcome, Policy, retry_after
from ...core.secrets import Secret, hidden
from ..checks import check_retry, check_timeout
from ..errors import S2Error, S2InputError, S2ServerError, as_client_error, no_side_effects, retryable
from ..limits import check_kind
from ..settings import AppendRetryPolicy, Compression, Retry, Timeout
from ..wire.compression import compress
from ..wire.fields import dumps
from ..wire.json_messages import error_of
from .endpoints import Endpoints, found

D = TypeVar("D")

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
MAX_ANSWER = 64 * 1024 * 1024


class Transport(Generic[D]):
    """The drivers to a service's endpoints, opened when they are first used."""

    def __init__(
        self,
        access_token: str | Secret | None,
        endpoints: Endpoints | None,
        timeout: Timeout | None,
        retry: Retry | None,
        compression: Compression,
        make_driver: Callable[[Settings], D],
        verify: Any = True,
        clock: Clock | None = None,
    ) -> None:
        self.endpoints, self.credential = found(endpoints, hidden(access_token), OWN)
        self.timeout = check_timeout(Timeout() if timeout is None else timeout)
        self.retry = check_retry(Retry() if retry is None else retry)
        first, last = self.retry.min_base_delay.total_seconds(), self.retry.max_base_delay.total_seconds()
        # The pauses double, and have as much again at random.
        self._policy = Policy(self.retry.max_attempts, first, last, spread=(1.0, 2.0))
        check_kind("compression", compression, Compression)
        self.compression = compression
        self.verify = verify
        self.clock = checked(clock, S2InputError)
        self._make_driver = make_driver
        self.closed = False
        self._drivers: dict[str, D] = {}

    @property
    def timeouts(self) -> Timeouts:
        """The timeouts of an ordinary call."""
        return self.timeouts_of()

    def timeouts_of(self, extra: float = 0.0, silence: float | None = None) -> Timeouts:
        """Return the timeouts for a call that the service is asked to delay."""
        request = self.timeout.request.total_seconds() + extra
        return Timeouts(self.timeout.connection.total_seconds(), request, silence)

    def driver(self, url: str) -> D:
        """Return the driver to an origin; one for all that share it."""
        if url not in self._drivers:
            # The service compresses sessions with the requested codec, and other answers also with gzip.
            accept = "identity" if self.compression is Compression.NONE else "gzip"
            self._drivers[url] = self._make_driver(
                Settings(
                    "s2",
                    url,
                    self.credential,
                    headers={"accept-encoding": accept},
                    timeouts=self.timeouts,
                    verify=self.verify,
                    clock=self.clock,
                )
            )
        return self._drivers[url]

    def close(self) -> list[D]:
        """Let nothing more be asked; return the drivers, to be closed."""
        self.closed = True
        return list(self._drivers.values())

    def check_open(self) -> None:
        """Raise if the client is closed."""
        if self.closed:
            raise S2InputError(CLOSED, hint=CLOSED_HINT)

    def tries(self) -> Tries:
        """Return the tries of a call."""
        return Tries(self._policy)

    def pause(self, tries: Tries, error: S2Error, least: float = 0.0, *, appends: bool = False) -> float | None:
        """Return the seconds to wait before a call that failed so is tried again; None to give up."""
        if not retryable(error):
            return None
        safe = not appends or self.retry.append_retry_policy is AppendRetryPolicy.ALL or no_side_effects(error)
        return tries.pause(Outcome(asked_pause=least), safe=safe)


def ask(
    transport: Transport[Any],
    method: str,
    path: str,
    *,
    op: str,
    body: Any = None,
    packed: bytes | None = None,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str | Secret] | None = None,
    timeouts: Timeouts | None = None,
    appends: bool = False,
) -> Operation[Response]:
    """Return the answer to a call, retried as the client's settings say; any refusal is raised.

    `body` is sent as JSON, `packed` as the protobuf message that it is.
    """
    transport.check_open()
    content = packed if packed is not None else None if body is None else dumps(body)
    sent = dict(headers or {})
    if content is not None:
        sent["content-type"] = PROTOBUF if packed is not None else JSON
        if transport.compression is not Compression.NONE:
            content = compress(content, transport.compression)
            sent["content-encoding"] = transport.compression.value
    tries, unsure = transport.tries(), False
    while True:
        request = Request(
            method,
            path,
            op=op,
            params=params,
            headers=sent,
            body=content,
            timeouts=timeouts or transport.timeouts,
            limit=MAX_ANSWER,
            retries=tries.made - 1,
        )
        least = 0.0
        try:
            response: Response = yield request
        except KitError as failure:
            error = as_client_error(failure)
        else:
            if response.ok:
                return response
            error = named(error_of(response.status, response.body), op, path)
            least = asked_pause(response.headers)
        pause = transport.pause(tries, error, least, appends=appends)
        if pause is None:
            error.tried_before = unsure
            raise error
        unsure = unsure or not no_side_effects(error)
        yield Pause(pause)


def deleted(transport: Transport[Any], path: str, op: str, ignore_not_found: bool, **headers: Any) -> Operation[None]:
    """Return a deletion, of something that may be gone already."""
    try:
        yield from ask(transport, "DELETE", path, op=op, **headers)
    except S2ServerError as error:
        if not (ignore_not_found and error.status_code == 404):
            raise


def named(error: S2Error, op: str, resource: str) -> S2Error:
    """Return the error with the operation and the resource."""
    error.op, error.resource = op, resource
    return error


def asked_pause(headers: Mapping[str, str]) -> float:
    """Return seconds that the service asks a caller to wait."""
    milliseconds = headers.get("retry-after-ms", "")
    if milliseconds.isascii() and milliseconds.isdigit():
        return min(int(milliseconds[:9]) / 1000, LONGEST_PAUSE)
    return min(retry_after(headers) or 0.0, LONGEST_PAUSE)
