"""Operations on a connection, written once for blocking and async clients: what to send, and how to judge the answer.

An operation is a generator. It yields steps and receives the result:

    Post     -> int      send a request; its number
    Take     -> bytes    the payload of the answer to that request
    Pause    -> None     wait

Requests may be posted before earlier answers are taken. A step that cannot be done raises `NetworkError` or
`TimeoutError`, which say whether the server may have acted. The connections do the steps.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from ...core.http import retry
from ...core.http.operations import Tries
from ..errors import BusyError, KimberliteError, NetworkError, NotLeaderError, TimeoutError, WireError, server_error
from ..wire.protocol.codec import REQUEST, RESPONSE, Response, decode, peek, responses
from ..wire.protocol.structs import Audit
from .address import Settings

T = TypeVar("T")
Operation = Generator[Any, Any, T]
Walk = Generator[Any, Any, None]


@dataclass(frozen=True, slots=True)
class Post:
    """A request; `tenant_id` None is the client's own."""

    op: str
    payload: Any
    tenant_id: int | None = None
    audit: Audit | None = None
    resource: str = ""
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Take:
    """Waits for an answer."""

    number: int


def raise_refusal(payload: bytes, post: Post | None = None) -> bytes:
    """Return the payload of an answer, unless it is an error: that is raised."""
    head = peek(payload)
    if head.kind != RESPONSE:
        raise WireError("a response was expected, but another message came")
    if head.variant == 0:
        answer: Any = decode(payload)
        error = server_error(answer.payload.code, answer.payload.message, head.id)
        if post is not None:
            error.op, error.resource = post.op, post.resource
        raise error
    return payload


def answer_of(payload: bytes, kind: type[T]) -> T:
    """Return the answer, which must be of this kind."""
    message = decode(payload)
    if not isinstance(message, Response) or not isinstance(message.payload, kind):
        kind_name = type(message.payload).__name__
        raise WireError(f"the answer is {kind_name}, but {kind.__name__} was expected")
    return message.payload


def ask(settings: Settings, post: Post, *, safe: bool = True) -> Operation[bytes]:
    """Return the payload of the answer. It is retried as the settings allow: a request that is not `safe` only if it is
    certain that the server did nothing."""
    tries = Tries(settings.policy)
    while True:
        try:
            number = yield Post(post.op, post.payload, post.tenant_id, post.audit, post.resource, tries.made - 1)
            return raise_refusal((yield Take(number)), post)
        except (NetworkError, TimeoutError, BusyError) as error:
            failure = error
        if not (yield from again(tries, failure, safe)):
            raise failure


def again(tries: Tries, error: KimberliteError, safe: bool = True) -> Operation[bool]:
    """Return whether there is another try after this failure, after the pause before it."""
    if isinstance(error, WireError):
        return False  # another protocol; a retry does not change that
    if isinstance(error, BusyError):
        # A follower of a cluster did nothing; a busy server may already have been writing.
        outcome = retry.Outcome(maybe_received=not isinstance(error, NotLeaderError))
    else:
        outcome = retry.Outcome(maybe_received=bool(getattr(error, "maybe_received", True)))
    return (yield from tries.again(outcome, safe=safe))


def asked(settings: Settings, post: Post, kind: type[T], *, safe: bool = True) -> Operation[T]:
    """Return the answer itself."""
    return answer_of((yield from ask(settings, post, safe=safe)), kind)


def op_of(payload: Any) -> str:
    """Return the name of a request in the log of calls."""
    name = type(payload).__name__
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")


__all__ = [
    "REQUEST",
    "Operation",
    "Post",
    "Take",
    "Tries",
    "Walk",
    "again",
    "answer_of",
    "ask",
    "asked",
    "op_of",
    "raise_refusal",
    "responses",
]
