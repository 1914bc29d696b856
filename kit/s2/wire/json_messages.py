"""Positions, appends, reads and errors as the service's JSON, both ways.

Bodies and headers are bytes; in JSON they are UTF-8 text, or base64 where `s2-format: base64` was agreed on.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from ..errors import (
    AppendConditionError,
    FencingTokenMismatchError,
    ReadUnwrittenError,
    S2ServerError,
    SeqNumMismatchError,
    WireError,
)
from ..positions import StreamPosition
from ..types import AppendAck, AppendInput, ReadBatch, Record, SequencedRecord
from .fields import dumps, json_list, json_object, maybe, text, whole

_SHOWN = 500
"""Characters of an answer that is not JSON that an error quotes."""
Headers = list[tuple[bytes, bytes]]


def position_from_json(value: Any, what: str = "position") -> StreamPosition:
    fields = json_object(value, what)
    return StreamPosition(
        whole(fields.get("seq_num"), f"{what}.seq_num"), whole(fields.get("timestamp"), f"{what}.timestamp")
    )


def position_json(position: StreamPosition) -> dict[str, int]:
    return {"seq_num": position.seq_num, "timestamp": position.timestamp}


def tail_from_json(value: Any) -> StreamPosition:
    """Return the tail that check-tail answers."""
    return position_from_json(json_object(value, "the answer").get("tail"), "tail")


def ack_json(ack: AppendAck) -> dict[str, Any]:
    return {name: position_json(getattr(ack, name)) for name in ("start", "end", "tail")}


def input_from_json(value: Any, *, as_base64: bool = False) -> AppendInput:
    fields = json_object(value, "append")
    records = []
    for item in json_list(fields.get("records"), "records"):
        record = json_object(item, "record")
        records.append(
            Record(
                _bytes(record.get("body", ""), "body", as_base64),
                _headers(record, as_base64),
                maybe(whole, record.get("timestamp"), "timestamp"),
            )
        )
    return AppendInput(
        records,
        maybe(whole, fields.get("match_seq_num"), "match_seq_num"),
        maybe(text, fields.get("fencing_token"), "fencing_token"),
    )


def batch_json(batch: ReadBatch, *, as_base64: bool = False) -> dict[str, Any]:
    records = [
        {"seq_num": record.seq_num, "timestamp": record.timestamp, **_record_json(record, as_base64)}
        for record in batch.records
    ]
    return {"records": records, **({} if batch.tail is None else {"tail": position_json(batch.tail)})}


def error_json(error: S2ServerError) -> bytes:
    """Return the body that tells this error, in an HTTP answer as well as in a terminal frame.

    >>> error_json(S2ServerError("invalid", "too much", 422))
    b'{"code":"invalid","message":"too much"}'
    """
    if isinstance(error, FencingTokenMismatchError):
        return dumps({"fencing_token_mismatch": error.expected_fencing_token})
    if isinstance(error, SeqNumMismatchError):
        return dumps({"seq_num_mismatch": error.expected_seq_num})
    if isinstance(error, ReadUnwrittenError):
        return dumps({"tail": position_json(error.tail)})
    return dumps({"code": error.code, "message": error.message})


def _record_json(record: Record | SequencedRecord, as_base64: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if record.headers:
        fields["headers"] = [[_text(name, as_base64), _text(value, as_base64)] for name, value in record.headers]
    if record.body:
        fields["body"] = _text(record.body, as_base64)
    return fields


def _headers(record: Any, as_base64: bool) -> Headers:
    headers = []
    for pair in json_list(record.get("headers", []), "headers"):
        if not isinstance(pair, list) or len(pair) != 2:
            raise WireError("a header must be a list of a name and a value")
        headers.append((_bytes(pair[0], "a header's name", as_base64), _bytes(pair[1], "a header's value", as_base64)))
    return headers


def _bytes(value: Any, what: str, as_base64: bool) -> bytes:
    encoded = text(value, what)
    try:
        return base64.b64decode(encoded, validate=True) if as_base64 else encoded.encode()
    except (binascii.Error, UnicodeEncodeError) as error:
        raise WireError(f"{what} cannot be read: {error}") from None
    except ValueError:
        raise WireError(f"{what} is not base64") from None


def _text(value: bytes, as_base64: bool) -> str:
    return base64.b64encode(value).decode() if as_base64 else value.decode("utf-8", "replace")


def error_of(status: int, body: bytes | bytearray) -> S2ServerError:
    """Return the exception that an answer of this status tells, in an HTTP body as well as in a terminal frame.

    >>> error_of(412, b'{"seq_num_mismatch":7}').expected_seq_num
    7
    >>> error_of(502, b"<html>").code
    'unknown'
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if isinstance(fields, dict):
        special = _condition(status, fields) if status == 412 else _unwritten(status, fields) if status == 416 else None
        if special is not None:
            return special
        code, message = fields.get("code"), fields.get("message")
        if isinstance(code, str) and code:
            return S2ServerError(code, message if isinstance(message, str) else "", status)
    text = bytes(body[:_SHOWN]).decode("utf-8", "replace").strip() or f"HTTP {status}"
    return (AppendConditionError if status == 412 else S2ServerError)("unknown", text, status)


def _condition(status: int, fields: Mapping[str, Any]) -> S2ServerError | None:
    token, seq_num = fields.get("fencing_token_mismatch"), fields.get("seq_num_mismatch")
    if isinstance(token, str):
        message = f"the fencing token of the stream is {token!r}"
        return FencingTokenMismatchError("unknown", message, status, token)
    if isinstance(seq_num, int) and not isinstance(seq_num, bool):
        message = f"the next sequence number of the stream is {seq_num}"
        return SeqNumMismatchError("unknown", message, status, seq_num)
    return None


def _unwritten(status: int, fields: Mapping[str, Any]) -> S2ServerError | None:
    try:
        tail = position_from_json(fields.get("tail"))
    except WireError:
        return None
    message = f"nothing is written there; the tail is at seq_num {tail.seq_num}, timestamp {tail.timestamp}"
    return ReadUnwrittenError("unknown", message, status, tail)
