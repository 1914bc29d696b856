"""What S2's service writes and reads, and its client does not: the other half of going there and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kit.s2 import (
    AccessTokenInfo,
    AppendAck,
    AppendInput,
    BasinInfo,
    Gauge,
    Label,
    LocationInfo,
    Page,
    ReadBatch,
    Scalar,
    SequencedRecord,
    StreamInfo,
)
from kit.s2.wire import json_messages as wire
from kit.s2.wire.fields import json_list, json_object, maybe, time_json, whole
from kit.s2.wire.messages import encode_record, encode_tail
from kit.s2.wire.metrics import Metric
from kit.s2.wire.tokens import scope_json


def encode_batch(batch: ReadBatch) -> bytes:
    """Return the message that holds these records."""
    parts = [encode_record(record.seq_num, record.timestamp, record.headers, record.body) for record in batch.records]
    if batch.tail is not None:
        parts.append(encode_tail(batch.tail))
    return b"".join(parts)


def metrics_json(metrics: Iterable[Metric]) -> dict[str, Any]:
    return {"values": [_metric_json(metric) for metric in metrics]}


def _metric_json(metric: Metric) -> dict[str, Any]:
    if isinstance(metric, Label):
        return {"label": {"name": metric.name, "values": metric.values}}
    told: dict[str, Any] = {"name": metric.name, "unit": metric.unit.value}
    if isinstance(metric, Scalar):
        return {"scalar": {**told, "value": metric.value}}
    points = [list(point) for point in metric.values]
    if isinstance(metric, Gauge):
        return {"gauge": {**told, "values": points}}
    return {
        "accumulation": {
            **told,
            "interval": None if metric.interval is None else metric.interval.value,
            "values": points,
        }
    }


def basin_info_json(info: BasinInfo) -> dict[str, Any]:
    return {"name": info.name, "location": info.location, **_ages(info)}


def stream_info_json(info: StreamInfo) -> dict[str, Any]:
    return {"name": info.name, **_ages(info), "cipher": None if info.cipher is None else info.cipher.value}


def _ages(info: BasinInfo | StreamInfo) -> dict[str, Any]:
    deleted = info.deleted_at
    return {
        "created_at": time_json(info.created_at, "created_at"),
        "deleted_at": None if deleted is None else time_json(deleted, "deleted_at"),
    }


def location_json(info: LocationInfo) -> dict[str, Any]:
    told = {
        "name": info.name,
        "is_private": info.is_private,
        "storage_classes": info.storage_classes,
        "default_storage_class": info.default_storage_class,
    }
    return {name: value for name, value in told.items() if value is not None}


def page_json(page: Page[Any], key: str, write: Callable[[Any], Any]) -> dict[str, Any]:
    return {key: [write(item) for item in page.items], "has_more": page.has_more}


def token_info_json(info: AccessTokenInfo) -> dict[str, Any]:
    """Return a token as it is listed, and as it is asked for."""
    return {
        "id": info.id,
        "scope": scope_json(info.scope),
        "auto_prefix_streams": info.auto_prefix_streams,
        "expires_at": None if info.expires_at is None else time_json(info.expires_at, "expires_at"),
    }


def ack_from_json(value: Any) -> AppendAck:
    told = json_object(value, "acknowledgement")
    start, end, tail = (wire.position_from_json(told.get(name), name) for name in ("start", "end", "tail"))
    return AppendAck(start, end, tail)


def input_json(input: AppendInput, *, as_base64: bool = False) -> dict[str, Any]:
    records = []
    for record in input.records:
        told = wire._record_json(record, as_base64)
        records.append(told if record.timestamp is None else {"timestamp": record.timestamp, **told})
    conditions = {"match_seq_num": input.match_seq_num, "fencing_token": input.fencing_token}
    return {"records": records, **{name: value for name, value in conditions.items() if value is not None}}


def batch_from_json(value: Any, *, as_base64: bool = False) -> ReadBatch:
    told = json_object(value, "batch")
    records = []
    for item in json_list(told.get("records"), "records"):
        record = json_object(item, "record")
        records.append(
            SequencedRecord(
                whole(record.get("seq_num"), "seq_num"),
                wire._bytes(record.get("body", ""), "body", as_base64),
                wire._headers(record, as_base64),
                whole(record.get("timestamp"), "timestamp"),
            )
        )
    return ReadBatch(records, maybe(wire.position_from_json, told.get("tail"), "tail"))
