"""Appends, acknowledgements and batches as protobuf bytes, and back as objects."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from ..checks import wrong_record
from ..errors import WireError
from ..positions import StreamPosition
from ..types import AppendAck, AppendInput, ReadBatch, Record, SequencedRecord
from .proto import messages

Headers = Iterable[tuple[bytes, bytes]]


# By hand: joining bodies and their few bytes of framing takes a third of the time of message objects.


@lru_cache(maxsize=8192)
def varint(value: int) -> bytes:
    """Return an unsigned number, seven bits to a byte, the lowest first.

    >>> varint(300).hex()
    'ac02'
    """
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_input(input: AppendInput) -> bytes:
    """Return the message that appends these records."""
    parts: list[bytes] = []
    try:
        for record in input.records:
            body = record.body
            if record.timestamp is None and not record.headers:
                parts.append(_plain_head(len(body)))
            else:
                time = b"" if record.timestamp is None else b"\x08" + varint(record.timestamp)
                parts.append(_head(time, record.headers, b"\x12", b"\x1a", len(body)))
            parts.append(body)
        parts.append(encode_conditions(input.match_seq_num, input.fencing_token))
        return b"".join(parts)
    except (TypeError, ValueError, AttributeError):
        raise wrong_record(input.records) from None


def encode_conditions(match_seq_num: int | None, fencing_token: str | None) -> bytes:
    """Return the end of an append's message, after its records."""
    encoded = b"" if match_seq_num is None else b"\x10" + varint(match_seq_num)
    if fencing_token is not None:
        token = fencing_token.encode()
        encoded += b"\x1a" + varint(len(token)) + token
    return encoded


def encode_ack(ack: AppendAck) -> bytes:
    """Return the message that acknowledges an append."""
    return _position(b"\x0a", ack.start) + _position(b"\x12", ack.end) + _position(b"\x1a", ack.tail)


def encode_record(seq_num: int, timestamp: int, headers: Headers, body: bytes) -> bytes:
    """Encode one record of a batch; a batch's message is its records' bytes one after the other, then its tail."""
    place = _number(b"\x08", seq_num) + _number(b"\x10", timestamp)
    return _head(place, headers, b"\x1a", b"\x22", len(body)) + body


def encode_tail(tail: StreamPosition) -> bytes:
    """Return the tail of a batch; there even where it is zero bytes long, as on an empty stream.

    >>> encode_tail(StreamPosition(0, 0)).hex()
    '1200'
    """
    return _position(b"\x12", tail)


@lru_cache(maxsize=8192)
def _plain_head(size: int) -> bytes:
    return _head(b"", (), b"\x12", b"\x1a", size)


def _head(first: bytes, headers: Headers, header_tag: bytes, body_tag: bytes, size: int) -> bytes:
    """Return a record's bytes up to its body, which follows."""
    for name, value in headers:
        header = _bytes(b"\x0a", name) + _bytes(b"\x12", value)
        first += header_tag + varint(len(header)) + header
    # Empty fields are omitted, as everywhere in protobuf.
    if size:
        first += body_tag + varint(size)
    return b"\x0a" + varint(len(first) + size) + first


def _position(tag: bytes, position: StreamPosition) -> bytes:
    encoded = _number(b"\x08", position.seq_num) + _number(b"\x10", position.timestamp)
    return tag + varint(len(encoded)) + encoded


def _number(tag: bytes, value: int) -> bytes:
    return tag + varint(value) if value else b""


def _bytes(tag: bytes, value: bytes) -> bytes:
    return tag + varint(len(value)) + value if value else b""


def parsed(kind: Any, payload: bytes) -> Any:
    """Return the payload as a message of this class; raise `WireError` if it is not one."""
    try:
        return kind.FromString(payload)
    except messages().DecodeError:
        raise WireError(f"{len(payload):,} bytes are not a {kind.DESCRIPTOR.name} message") from None


def read_batch_of(payload: bytes, *, ignore_command_records: bool = False) -> ReadBatch:
    """Return the records of a batch as objects."""
    # Reading a record's headers costs as much as reading the rest, and most records have none. Unread fields are
    # missing in the size of the message, so equal sizes prove that there were none.
    batch = parsed(messages().BareBatch, payload)
    batch.DiscardUnknownFields()
    if batch.ByteSize() == len(payload):
        records = [SequencedRecord(record.seq_num, record.body, [], record.timestamp) for record in batch.records]
    else:
        batch = parsed(messages().ReadBatch, payload)
        records = [
            SequencedRecord(
                record.seq_num, record.body, [(pair.name, pair.value) for pair in record.headers], record.timestamp
            )
            for record in batch.records
        ]
        if ignore_command_records:
            records = [record for record in records if not record.is_command_record()]
    return ReadBatch(records, tail_of(batch))


def tail_of(batch: Any) -> StreamPosition | None:
    """Return the tail in a message of a batch."""
    return StreamPosition(batch.tail.seq_num, batch.tail.timestamp) if batch.HasField("tail") else None


def ack_of(payload: bytes) -> AppendAck:
    """Return the acknowledgement of an append."""
    ack = parsed(messages().AppendAck, payload)
    start, end, tail = (StreamPosition(at.seq_num, at.timestamp) for at in (ack.start, ack.end, ack.tail))
    return AppendAck(start, end, tail)


def input_of(payload: bytes) -> AppendInput:
    """Return the append that a message asks for."""
    message = parsed(messages().AppendInput, payload)
    records = [
        Record(
            record.body,
            [(pair.name, pair.value) for pair in record.headers],
            record.timestamp if record.HasField("timestamp") else None,
        )
        for record in message.records
    ]
    return AppendInput(
        records,
        message.match_seq_num if message.HasField("match_seq_num") else None,
        message.fencing_token if message.HasField("fencing_token") else None,
    )
