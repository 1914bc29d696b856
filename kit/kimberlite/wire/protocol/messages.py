"""The three messages of the protocol: a request, its response, and a push without a request."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from . import requests, responses
from .enums import CloseReason
from .postcard import U64, Kind, Reader, option
from .schema import U32, Events, choice, kind_of
from .schema import U64 as Number
from .structs import Audit


@dataclass(slots=True)
class Request:
    """A request; the response carries the same id. `payload` is one of `kit.kimberlite.wire.protocol.requests`."""

    id: int
    tenant_id: int
    payload: Any
    audit: Audit | None = None


@dataclass(slots=True)
class Response:
    """The response to a request. `payload` is one of `kit.kimberlite.wire.protocol.responses`."""

    request_id: int
    payload: Any


@dataclass(slots=True)
class SubscriptionEvents:
    """Events of a subscription; the n-th has the offset `start_offset + n`."""

    subscription_id: Number
    start_offset: Number
    events: Events
    credits_remaining: U32


@dataclass(slots=True)
class SubscriptionClosed:
    """The end of a subscription."""

    subscription_id: Number
    reason: CloseReason


@dataclass(slots=True)
class Push:
    """What a subscription sends."""

    payload: SubscriptionEvents | SubscriptionClosed


Message = Request | Response | Push
REQUEST, RESPONSE, PUSH = range(3)


class _Envelope:
    """The wire form of the three messages."""

    def __init__(self) -> None:
        self.request = choice("request", requests.ALL)
        self.response = choice("response", responses.ALL)
        self.push = choice("push", (SubscriptionEvents, SubscriptionClosed))
        self.audit = option(kind_of(Audit))

    def write(self, out: bytearray, value: Any) -> None:
        if type(value) is Request:
            out.append(REQUEST)
            U64.write(out, value.id)
            U64.write(out, value.tenant_id)
            self.audit.write(out, value.audit)
            self.request.write(out, value.payload)
        elif type(value) is Response:
            out.append(RESPONSE)
            U64.write(out, value.request_id)
            self.response.write(out, value.payload)
        else:
            out.append(PUSH)
            self.push.write(out, value.payload)

    def read(self, reader: Reader) -> Message:
        from ...errors import WireError

        kind = reader.varint(32)
        if kind == REQUEST:
            number, tenant_id = reader.varint(), reader.varint()
            audit = self.audit.read(reader)
            return Request(number, tenant_id, self.request.read(reader), audit)
        if kind == RESPONSE:
            return Response(reader.varint(), self.response.read(reader))
        if kind == PUSH:
            return Push(self.push.read(reader))
        raise WireError(f"there is no message of kind {kind}")


@cache
def message_kind() -> Kind:
    """Return how messages are written and read; made on first use, as it is a large table."""
    envelope = _Envelope()
    return Kind("message", envelope.write, envelope.read, 2)
