"""Parsing appends, in protobuf or JSON, into drafts.

Bytes in another layout than that of all known clients (fields in another order, twice, or unknown) go through the
protobuf runtime: slower, and correct for everything that protobuf allows.
"""

from __future__ import annotations

from ....s2.types import AppendInput
from ....s2.wire.messages import input_of, parsed, varint
from ....s2.wire.proto import messages
from ..http.answers import refusal
from .draft import Command, Draft, check_count, checked
from .scan import scanned


def draft_of(payload: bytes) -> Draft:
    """Return the append that a message asks for; `WireError` where it is not a message, a refusal where it breaks a
    limit."""
    draft = scanned(payload)
    if draft is None:
        # Counted first, as a message of two megabytes can contain a million empty records.
        check_count(len(parsed(messages().AppendInput, payload).records))
        draft = _rebuilt(input_of(payload))
    return checked(draft)


def draft_of_input(input: AppendInput) -> Draft:
    """Return the append that was read from JSON."""
    check_count(len(input.records))
    return checked(_rebuilt(input))


def body_part(body: bytes) -> bytes:
    """Return the stored form of a record without headers."""
    return b'"' + varint(len(body)) + body if body else b""


def _rebuilt(input: AppendInput) -> Draft:
    draft = Draft([], None, 0, [], input.match_seq_num, input.fencing_token)
    for index, record in enumerate(input.records):
        draft.size += 8 + len(record.body)
        head = b""
        for name, value in record.headers:
            draft.size += 2 + len(name) + len(value)
            header = _field(b"\x0a", name) + _field(b"\x12", value)
            head += b"\x1a" + varint(len(header)) + header
            if not name:
                if len(record.headers) > 1:
                    raise refusal("invalid", "invalid header: empty name")
                draft.commands.append(Command(index, value, record.body))
        draft.parts.append(head + body_part(record.body))
    if any(record.timestamp is not None for record in input.records):
        draft.times = [record.timestamp for record in input.records]
    return draft


def _field(tag: bytes, value: bytes) -> bytes:
    return tag + varint(len(value)) + value if value else b""
