"""The parts that all connections share: request numbers, the handshake, error messages, the log of calls."""

from __future__ import annotations

import ssl
import time
from typing import NamedTuple

from ...core import calls
from ..errors import KimberliteError, NetworkError, TimeoutError, UnauthorizedError, WireError
from ..wire.extensions import Extensions
from ..wire.framing import HEADER_SIZE, VERSION
from ..wire.protocol.codec import Head, encode_request, requests, responses
from .address import Place, Settings
from .operations import Post, answer_of, raise_refusal

_HINT = "is the address right and the server running? `kit.Lab()` starts an embedded one"


class _Flight(NamedTuple):
    """A request that was sent."""

    post: Post
    started: float
    clock: float
    size: int
    generation: int


class ConnectionBase:
    """What both kinds of connection share: request numbers, the handshake, error messages, the log of calls."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.clock = settings, settings.clock
        self.extensions = Extensions()
        self.closed = False
        self.generation = 0
        """Which connection this is, counted from 1; more than 1 means that one was lost."""
        self._number = 1
        self._flights: dict[int, _Flight] = {}

    def hello(self) -> bytes:
        """Return the first request."""
        key = self.settings.api_key
        token = None if key is None else key.reveal()
        tenant = self.settings.tenant_id or 0
        return encode_request(1, tenant, requests.Handshake(VERSION, token))

    def greeted(self, payload: bytes) -> None:
        """Judge the answer to the first request."""
        try:
            answer = answer_of(raise_refusal(payload), responses.Handshake)
        except KimberliteError as error:
            error.op, error.resource = "connect", self.settings.where
            raise
        if answer.server_version != VERSION:
            raise WireError(f"the server speaks protocol version {answer.server_version}, this package {VERSION}")
        if not answer.authenticated:
            refusal = UnauthorizedError("the server requires an API key", 3)
            refusal.op, refusal.resource = "connect", self.settings.where
            raise refusal
        self.extensions = Extensions.of(answer.capabilities)

    def frame(self, post: Post) -> tuple[int, bytes]:
        """Return the next number, and the request as bytes."""
        if self.closed:
            raise NetworkError("the client is closed", maybe_received=False, op=post.op)
        self._number += 1
        tenant = post.tenant_id if post.tenant_id is not None else self.settings.tenant_id or 0
        return self._number, encode_request(self._number, tenant, post.payload, post.audit)

    def sent(self, number: int, post: Post, size: int) -> None:
        self._flights[number] = _Flight(post, calls.now(), time.perf_counter(), size, self.generation)

    def landed(self, number: int, received: int = 0, error: BaseException | None = None, status: int = 0) -> None:
        """Add one row to the log."""
        flight = self._flights.pop(number, None)
        if flight is not None:
            calls.record(
                "kimberlite",
                flight.post.op,
                flight.started,
                time.perf_counter() - flight.clock,
                bytes_in=received,
                bytes_out=flight.size,
                status=status,
                retries=flight.post.retries,
                error="" if error is None else f"{type(error).__name__}: {error.args[0] if error.args else ''}",
            )

    def arrived(self, head: Head, payload: bytes) -> None:
        """Add a row for an answer: status 200, or the server's code for a refusal."""
        refusal = None
        if head.variant == 0:
            try:
                raise_refusal(payload)
            except KimberliteError as error:
                refusal = error
        code = 200 if refusal is None else refusal.code or 0
        self.landed(head.id, len(payload) + HEADER_SIZE, refusal, code)

    def unreachable(self, reason: str) -> NetworkError:
        message = f"kimberlite: {self.settings.where}: could not connect: {reason}"
        return NetworkError(message, hint=_HINT, maybe_received=False, op="connect", resource=self.settings.where)

    def mute(self, place: Place) -> str:
        """Return why the next place is tried: this one accepts connections, and does not answer. If it is the only one,
        that is raised."""
        if len(self.settings.places) == 1:
            raise self.silent() from None
        return f"{place}: no answer within {self.settings.timeout} s"

    def lost(self, reason: str, post: Post | None = None) -> NetworkError:
        op = post.op if post else None
        message = f"kimberlite: {op or 'the connection'} at {self.settings.where}: the connection broke: {reason}"
        return NetworkError(message, hint=_fate(post), maybe_received=True, op=op, resource=post and post.resource)

    def silent(self, post: Post | None = None) -> TimeoutError:
        op = post.op if post else "connect"
        message = f"kimberlite: {op} at {self.settings.where}: no answer within {self.settings.timeout} s"
        return TimeoutError(message, hint=_fate(post), maybe_received=post is not None, op=op)


_WRITES = (requests.AppendEvents, requests.Query, requests.CreateStream)


def _fate(post: Post | None) -> str | None:
    if post is None or not isinstance(post.payload, _WRITES):
        return None
    if isinstance(post.payload, requests.Query) and post.payload.sql.lstrip()[:6].lower() in ("select", "show"):
        return None
    return "the write may have happened; read to see, before it is made again"


def tls_reason(error: BaseException) -> str:
    """Return the reason of a TLS failure; empty for any other failure."""
    if isinstance(error, ssl.SSLCertVerificationError):
        own = "one of your own is given as tls=ssl.SSLContext"
        return f"its certificate is not trusted here: {error.verify_message}; {own}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {error.reason or error}; does the server speak it there?"
    return ""


def reason_of(error: BaseException) -> str:
    """Return why a connection failed, in words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
