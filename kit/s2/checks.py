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
    check_kind,
    check_u64,
    within,
)
from .settings import AppendRetryPolicy, Batching, Retry, Timeout
from .types import AppendInput, ReadLimit, Record, SequencedRecord

_LONGEST = timedelta(days=24)
"""The system counts what a socket waits in milliseconds, in 31 bits."""


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
    if not isinstance(input, AppendInput):
        raise S2InputError(
            f"an append must be an AppendInput, not {type(input).__name__}", hint='AppendInput([Record(b"...")])'
        )
    if not isinstance(input.records, list | tuple):
        raise S2InputError(
            f"the records of an append must be a list, not {type(input.records).__name__}",
            hint="append_inputs(records) takes any iterable, and splits it into appends",
        )
    count, size = len(input.records), 0
    try:
        # `metered_bytes` in the same turn, as each costs as much as all that is looked at in it.
        for record in input.records:
            body, headers, timestamp = record.body, record.headers, record.timestamp
            size += 8 + len(body)
            if type(body) is not bytes and not _octets(body):
                raise TypeError
            if headers or type(headers) is not list:
                for name, value in headers:
                    size += 2 + len(name) + len(value)
                    if (type(name) is not bytes or type(value) is not bytes) and not (_octets(name) and _octets(value)):
                        raise TypeError
            if timestamp is not None and not (type(timestamp) is int and 0 <= timestamp <= MAX_U64):
                check_u64("the timestamp of a record", timestamp)
    except S2InputError:
        raise
    except (TypeError, ValueError, AttributeError):
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
    return size


def _octets(value: Any) -> bool:
    """Return whether this is sent as it is counted: of an array of larger numbers the length is not that in bytes."""
    try:
        with memoryview(value) as view:
            return view.c_contiguous and view.nbytes == len(value)
    except TypeError:
        return False


def wrong_record(records: Iterable[Any], *, alone: bool = False) -> S2InputError:
    """Return the error for records that contain something other than bytes; `alone` where one is submitted by itself,
    whose bytes must not change until it is sent."""
    for n, record in enumerate(records):
        which = "a record" if alone else f"record {n}"
        if not isinstance(record, Record | SequencedRecord):
            return S2InputError(f"{which} must be a Record, not {type(record).__name__}", hint='Record(b"...")')
        body: Any = record.body
        if not isinstance(body, bytes) and (alone or not _octets(body)):
            return S2InputError(
                f"the body of {which} must be bytes, not {type(body).__name__}",
                hint="use text.encode(), or json.dumps(...).encode() for an object",
            )
    return S2InputError("the headers of a record must be a list of pairs of bytes: names and values")


def check_record(record: Record) -> int:
    """Return the metered bytes of a record that is to be put in a batch; refuses what its batch would be refused for,
    while it is clear which one it is."""
    try:
        plain, size = isinstance(record.body, bytes), 8 + len(record.body)
        if record.headers or type(record.headers) is not list:
            size = metered_bytes((record,))
            plain = plain and all(_octets(name) and _octets(value) for name, value in record.headers)
    except (TypeError, ValueError, AttributeError):
        plain = False
    if not plain:
        raise wrong_record((record,), alone=True)
    if record.timestamp is not None:
        check_u64("the timestamp of a record", record.timestamp)
    if size > MAX_BATCH_BYTES:
        raise S2InputError(f"a record has at most {MAX_BATCH_BYTES:,} metered bytes, not {size:,}")
    return size


def check_batching(batching: Batching) -> Batching:
    """Return the settings, where batches can be made by them."""
    check_kind("batching", batching, Batching)
    within("Batching.max_records", batching.max_records, 1, MAX_BATCH_RECORDS)
    within("Batching.max_bytes", batching.max_bytes, MIN_BATCH_BYTES, MAX_BATCH_BYTES)
    _check_delay("Batching.linger", batching.linger)
    return batching


def check_timeout(timeout: Timeout) -> Timeout:
    """Return the settings, where calls can be waited for by them."""
    check_kind("timeout", timeout, Timeout)
    for what, seconds in (("Timeout.request", timeout.request), ("Timeout.connection", timeout.connection)):
        _check_delay(what, seconds)
        if not timedelta() < seconds <= _LONGEST:
            raise S2InputError(f"{what} must be more than 0, and at most {_LONGEST.days} days; it is {seconds}")
    return timeout


def check_retry(retry: Retry) -> Retry:
    """Return the settings, where calls can be repeated by them."""
    check_kind("retry", retry, Retry)
    check_kind("Retry.append_retry_policy", retry.append_retry_policy, AppendRetryPolicy)
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
    if limit is not None:
        check_kind("limit", limit, ReadLimit)
    if limit is not None and limit.count is not None:
        check_u64("ReadLimit.count", limit.count)
    if limit is not None and limit.bytes is not None:
        check_u64("ReadLimit.bytes", limit.bytes)
    if until_timestamp is not None:
        check_u64("until_timestamp", until_timestamp)
    if wait is not None:
        within("wait", wait, 0, MAX_U32)
