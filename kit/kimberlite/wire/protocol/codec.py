"""Messages to bytes and back; pure functions, no I/O.

`encode` returns a whole frame. `decode` takes the payload of a frame, as `FrameReader` returns it, or as read after
`read_header` and checked by `check`. Pages of events stay in their wire form (`Blobs`) until they are used. Bytes
after the end of a message are ignored, as the official client and server do; any other defect is a `WireError`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...errors import WireError
from ..blobs import Blobs
from ..framing import HEADER_SIZE, MAX_PAYLOAD, FrameReader, Header, check, frame, read_header, seal
from . import requests, responses
from .messages import (
    PUSH,
    REQUEST,
    RESPONSE,
    Message,
    Push,
    Request,
    Response,
    SubscriptionClosed,
    SubscriptionEvents,
    message_kind,
)
from .postcard import Reader
from .structs import Audit

__all__ = [
    "HEADER_SIZE",
    "MAX_PAYLOAD",
    "PUSH",
    "REQUEST",
    "RESPONSE",
    "Blobs",
    "FrameReader",
    "Head",
    "Header",
    "Message",
    "Push",
    "Request",
    "Response",
    "SubscriptionClosed",
    "SubscriptionEvents",
    "check",
    "decode",
    "encode",
    "encode_request",
    "encode_response",
    "event_count",
    "frame",
    "payload_of",
    "peek",
    "read_header",
    "requests",
    "responses",
]


def payload_of(message: Message) -> bytes:
    """Return the payload of the message's frame.

    >>> payload_of(Request(2, 1, requests.ListTables())).hex(" ")
    '00 02 01 00 0b'
    """
    out = bytearray()
    message_kind().write(out, message)
    return bytes(out)


def encode(message: Message) -> bytes:
    """Return the message as a frame; `KimberliteInputError` where a value does not fit its field or the frame is too
    large."""
    out = bytearray(HEADER_SIZE)
    message_kind().write(out, message)
    return seal(out)


def encode_request(number: int, tenant_id: int, payload: Any, audit: Audit | None = None) -> bytes:
    """Return a request as a frame; `payload` is one of `requests`."""
    return encode(Request(number, tenant_id, payload, audit))


def encode_response(request_id: int, payload: Any) -> bytes:
    """Return a response as a frame; `payload` is one of `responses`."""
    return encode(Response(request_id, payload))


def decode(payload: bytes | bytearray | memoryview) -> Message:
    """Return the message in a payload."""
    message: Message = message_kind().read(Reader(bytes(payload)))
    return message


class Head(NamedTuple):
    """The beginning of a message: enough to know its kind and request."""

    kind: int
    """`REQUEST`, `RESPONSE` or `PUSH`."""
    id: int
    """The request's id; 0 for a push."""
    variant: int
    """Which of `requests.ALL`, `responses.ALL`, or (`SubscriptionEvents`, `SubscriptionClosed`) it is."""
    body: int
    """Where the variant's fields begin."""


def peek(payload: bytes) -> Head:
    """Return the beginning of a response or push, without reading the rest: a page of events may take a while.

    >>> peek(bytes.fromhex("01 11 06 03 06 6576656e7431 00 02 00ff 01 03"))
    Head(kind=1, id=17, variant=6, body=3)
    """
    reader = Reader(payload)
    kind = reader.varint(32)
    if kind not in (RESPONSE, PUSH):
        raise WireError(f"a message of kind {kind} is neither a response nor a push")
    number = reader.varint() if kind == RESPONSE else 0
    return Head(kind, number, reader.varint(32), reader.at)


def event_count(payload: bytes) -> int:
    """Return how many events a page holds, before it is taken apart; the next page begins after that many.

    >>> event_count(bytes.fromhex("01 11 06 03 06 6576656e7431 00 02 00ff 01 03"))
    3
    """
    head = peek(payload)
    if head[0] != RESPONSE or responses.ALL[head.variant : head.variant + 1] != (responses.ReadEvents,):
        raise WireError("the message is not a page of events")
    return Reader(payload, head.body).count()
