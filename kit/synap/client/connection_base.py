"""What both connections of SynapRPC share: request numbers, frames, authentication, failures, and the log of calls."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ...core import calls as call_log
from ...core.http.operations import Tries
from ...core.http.retry import Outcome
from ..errors import SynapError, SynapTimeoutError, SynapTransportError, SynapWireError, refusal
from ..wire import frames as wire
from ..wire.rpc_commands import Call
from .settings import POLICY, Place, Settings

T = TypeVar("T")
Operation = Generator[Any, Any, T]
_TOGETHER = 256
"""Calls that are sent in one piece; the server reads no more before it has answered some of them."""
_LAST = wire.PUSH - 1
_NOBODY = b"NOAUTH"
_REFUSAL = 512
"""Bytes of the longest error message."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """The step that asks for the bodies of the answers to these calls, each in its place."""

    calls: Sequence[Call]
    places: Sequence[int]
    found: list[Any]


CONNECT = "connect"
"""The step that asks the driver for a connection."""


class ConnectionBase:
    """The state of a connection: request numbers, calls under way, and the log of calls."""

    def __init__(self, settings: Settings, place: Place) -> None:
        self.clock = settings.clock
        self.settings, self.place = settings, place
        self._next = 1

    def numbers(self, count: int) -> range:
        """Return `count` consecutive request numbers."""
        if self._next + count > _LAST:
            self._next = 1
        taken = range(self._next, self._next + count)
        self._next += count
        return taken

    def frames(self, calls: Sequence[Call], first: int) -> Iterator[bytes]:
        """Return the calls as pieces to send."""
        for start in range(0, len(calls), _TOGETHER):
            part = calls[start : start + _TOGETHER]
            yield b"".join([wire.request(first + start + n, *call) for n, call in enumerate(part)])

    def greeted(self, body: bytes) -> None:
        """Judge the answer to AUTH. A server without users refuses every AUTH, and answers all the same."""
        _, good, value = wire.read_answer(body)
        if not good and not str(value).startswith("WRONGPASS"):
            raise refusal(str(value), op="AUTH")

    def check_refused(self, body: bytes, op: str = "") -> None:
        """Raise if an answer says that the connection is not authenticated, as all later ones will."""
        if len(body) < _REFUSAL and _NOBODY in body:
            _, good, value = wire.read_answer(body)
            if not good and str(value).startswith(_NOBODY.decode()):
                raise refusal(str(value), op=op)

    def unreachable(self, reason: str) -> SynapTransportError:
        error = SynapTransportError(
            f"SynapRPC at {self.place}: could not connect: {reason}",
            hint="check the address, and that the server is running; `kit.Lab()` starts an embedded one",
        )
        error.maybe_received = False
        return error

    def lost(self, reason: str, op: str = "") -> SynapTransportError:
        return SynapTransportError(f"SynapRPC at {self.place}: the connection broke: {reason}", op=op or None)

    def silent(self, op: str = "") -> SynapTimeoutError:
        return SynapTimeoutError(f"SynapRPC at {self.place}: no answer within {self.settings.timeout} s", op=op or None)


def answered(calls: Sequence[Call], safe: bool) -> Operation[list[Any]]:
    """Return the body of each answer, or the error that came instead.

    A call that is not `safe` is retried only if it was never sent.
    """
    answers: list[Any] = [None] * len(calls)
    todo: Sequence[int] = range(len(calls))
    unsure = False
    tries = Tries(POLICY)
    while True:
        started, clock = time.time(), time.perf_counter()
        error = "interrupted"
        try:
            yield Exchange([calls[n] for n in todo], todo, answers)
            error = ""
        except SynapTransportError as failure:
            error = type(failure).__name__
            # An earlier try may have been received, also where the last one never left.
            unsure = failure.maybe_received = unsure or failure.maybe_received
            for n in todo:
                if answers[n] is None or isinstance(answers[n], SynapError):
                    answers[n] = failure
        except SynapError as failure:
            error = type(failure).__name__
            raise
        finally:
            log(calls, answers, todo, started, time.perf_counter() - clock, tries.made - 1, error)
        todo = [
            n
            for n in todo
            if isinstance(answers[n], SynapTransportError)
            and not isinstance(answers[n], SynapWireError)
            and (safe or not answers[n].maybe_received)
        ]
        if not todo or not (yield from tries.again(Outcome())):
            return answers
        for n in todo:
            answers[n] = None


def probed() -> Operation[SynapError | None]:
    """Connect, and find out whether calls are answered here; return the reason why not."""
    try:
        yield CONNECT
        [body] = yield from answered([("EXISTS", ("kit:probe",))], True)
        if isinstance(body, SynapError):
            return body
        _, good, value = wire.read_answer(body)
    except SynapError as error:
        return error
    return None if good else SynapError(str(value))


def log(
    calls: Sequence[Call],
    answers: Sequence[Any],
    todo: Sequence[int],
    started: float,
    seconds: float,
    retries: int,
    error: str,
) -> None:
    """Add a row for an exchange; calls that were under way together are one."""
    if not todo:
        return
    name = calls[todo[0]][0]
    received = sum(len(answers[n]) for n in todo if isinstance(answers[n], bytes))
    op = name if len(todo) == 1 else f"{name} x {len(todo)}"
    status = 0 if error else 200
    call_log.record("synap", op, started, seconds, bytes_in=received, status=status, retries=retries, error=error)
