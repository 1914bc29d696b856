"""Whole arguments against the limits of the service, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from .errors import S2InputError
from .limits import (
    MAX_BATCH_BYTES,
    MAX_BATCH_RECORDS,
    MAX_U32,
    MAX_U64,
    MIN_BATCH_BYTES,
    check_conditions,
    check_u64,
    within,
)
from .settings import Batching, Retry
from .types import AppendInput, ReadLimit, Record, SequencedRecord


def metered_bytes(records: Iterable[Record | SequencedRecord]) -> int:
    """Return the number of bytes that the records count for limits and bills.

    Each counts 8, plus 2 for each header, plus the lengths of names, values and body.

    >>> from kit.s2 import Record
    >>> metered_bytes([Record(b"hello"), Record(b"", [(b"kind", b"a")])])
    28
    """
    total = 0
    for record in records:
        total += 8 + len(record.body)
        for name, value in record.headers:
            total += 2 + len(name) + len(value)
    return total


def check_input(input: AppendInput) -> int:
    """Return the metered bytes of an append's records, where one append can hold them."""
    count = len(input.records)
    try:
        size = metered_bytes(input.records)
    except (TypeError, ValueError):
        raise wrong_record(input.records) from None
    if not 1 <= count <= MAX_BATCH_RECORDS:
        raise S2InputError(
            f"an append holds 1 to {MAX_BATCH_RECORDS} records, not {count}",
            hint="append_inputs(records) splits any number of records into appends",
        )
    if size > MAX_BATCH_BYTES:
        raise S2InputError(
            f"an append holds at most {MAX_BATCH_BYTES:,} metered bytes, not {size:,}",
            hint="append_inputs(records) splits many records into appends; a single record must fit by itself",
        )
    check_conditions(input.match_seq_num, input.fencing_token)
    for record in input.records:
        timestamp = record.timestamp
        if timestamp is not None and not (type(timestamp) is int and 0 <= timestamp <= MAX_U64):
            check_u64("the timestamp of a record", timestamp)
    return size


def wrong_record(records: Iterable[Record]) -> S2InputError:
    """Return the error for records that contain something other than bytes."""
    for n, record in enumerate(records):
        body: Any = record.body
        if not isinstance(body, bytes | bytearray | memoryview):
            return S2InputError(
                f"the body of record {n} must be bytes, not {type(body).__name__}",
                hint="use text.encode(), or json.dumps(...).encode() for an object",
            )
    return S2InputError("the headers of a record must be a list of pairs of bytes: names and values")


def check_batching(batching: Batching) -> Batching:
    """Return the settings, where batches can be made by them."""
    within("Batching.max_records", batching.max_records, 1, MAX_BATCH_RECORDS)
    within("Batching.max_bytes", batching.max_bytes, MIN_BATCH_BYTES, MAX_BATCH_BYTES)
    _check_delay("Batching.linger", batching.linger)
    return batching


def check_retry(retry: Retry) -> Retry:
    """Return the settings, where calls can be repeated by them."""
    within("Retry.max_attempts, which counts the first try too,", retry.max_attempts, 1, MAX_U32)
    _check_delay("Retry.min_base_delay", retry.min_base_delay)
    _check_delay("Retry.max_base_delay", retry.max_base_delay)
    return retry


def _check_delay(what: str, delay: timedelta) -> None:
    if not isinstance(delay, timedelta):
        raise S2InputError(f"{what} must be a timedelta, not {type(delay).__name__}")
    if delay < timedelta():
        raise S2InputError(f"{what} must not be negative; it is {delay.total_seconds()} s")


def check_read(limit: ReadLimit | None, until_timestamp: int | None, wait: int | None) -> None:
    """Refuse bounds that no read can have."""
    if limit is not None and limit.count is not None:
        check_u64("ReadLimit.count", limit.count)
    if limit is not None and limit.bytes is not None:
        check_u64("ReadLimit.bytes", limit.bytes)
    if until_timestamp is not None:
        check_u64("until_timestamp", until_timestamp)
    if wait is not None:
        within("wait", wait, 0, MAX_U32)
