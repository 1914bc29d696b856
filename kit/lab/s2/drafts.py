"""Appends as they arrive, made ready to be stored: pure functions over protobuf's bytes.

An `AppendRecord` is `08 timestamp`, `12 header` (any number), `1a body`; the `SequencedRecord` that is stored and
served is `08 seq_num`, `10 timestamp`, `1a header`, `22 body`. So a record's headers and body only change their tags,
and its place is put before them when it is known. Bytes that are not laid out as every client lays them out go through
the protobuf runtime instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...s2.errors import S2ServerError
from ...s2.limits import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_FENCING_TOKEN
from ...s2.messages import input_of, parsed, varint
from ...s2.proto import messages
from ...s2.types import AppendInput
from .answers import refusal

FENCE, TRIM = b"fence", b"trim"


@dataclass(slots=True)
class Command:
    """An order among the records of a draft."""

    index: int
    kind: bytes
    value: bytes


@dataclass(slots=True)
class Draft:
    """An append without its place."""

    parts: list[bytes]
    """For each record its headers and its body, as they are stored."""
    times: list[int | None] | None
    """The time each came with; None where no record came with one."""
    size: int
    """In metered bytes."""
    commands: list[Command]
    match: int | None
    token: str | None


def draft_of(payload: bytes) -> Draft:
    """The append that a message asks for; `WireError` where it is no message, a refusal where it breaks a limit."""
    draft = _scanned(payload)
    if draft is None:
        # Counted first: a message of two megabytes can hold a million empty records.
        _check_count(len(parsed(messages().AppendInput, payload).records))
        draft = _rebuilt(input_of(payload))
    return _checked(draft)


def draft_of_input(input: AppendInput) -> Draft:
    """The append that was read from JSON."""
    _check_count(len(input.records))
    return _checked(_rebuilt(input))


def body_part(body: bytes) -> bytes:
    """What is stored of a record that has a body and no headers."""
    return b'"' + varint(len(body)) + body if body else b""


# --- the common layout, straight from the bytes ---------------------------------------------------------------------


def _scanned(data: bytes) -> Draft | None:
    """The draft, or None where the bytes are laid out otherwise."""
    draft = Draft([], None, 0, [], None, None)
    parts, times = draft.parts, list[int | None]()
    shape, skip, total, metered = b"", 0, 0, 0
    timed = False
    at, end = 0, len(data)
    try:
        while at < end:
            # Most records have a body and nothing else, and many have the size of the one before.
            if skip and data.startswith(shape, at) and at + total <= end:
                parts.append(b'"' + data[at + skip : at + total])
                at += total
                draft.size += metered
                times.append(None)
                continue
            if data[at] != 0x0A:
                break
            start = at
            size, at = _number(data, at + 1)
            stop = at + size
            if stop > end:
                return None
            time: int | None = None
            head = b""
            if at < stop and data[at] == 0x08:
                time, at = _number(data, at + 1)
                timed = True
            while at < stop and data[at] == 0x12:
                length, inner = _number(data, at + 1)
                after = inner + length
                name, value = _header(data, inner, after)
                head += b"\x1a" + data[at + 1 : after]
                draft.size += 2 + len(name) + len(value)
                if not name:
                    draft.commands.append(Command(len(parts), value, b""))
                at = after
            if at < stop:
                if data[at] != 0x1A:
                    return None
                length, inner = _number(data, at + 1)
                if inner + length != stop:
                    return None
                if length:
                    parts.append(head + b'"' + data[at + 1 : stop])
                else:
                    parts.append(head)
                draft.size += length + 8
                if time is None and not head and length:
                    shape, skip, total, metered = data[start:inner], at + 1 - start, stop - start, length + 8
                elif head and draft.commands and draft.commands[-1].index == len(parts) - 1:
                    draft.commands[-1].value = data[inner:stop]
                at = stop
            elif at == stop:
                parts.append(head)
                draft.size += 8
            else:
                return None
            times.append(time)
        if at < end and data[at] == 0x10:
            draft.match, at = _number(data, at + 1)
        if at < end and data[at] == 0x1A:
            size, at = _number(data, at + 1)
            if at + size > end:
                return None
            draft.token = data[at : at + size].decode()
            at += size
    except (IndexError, ValueError):
        return None
    if at != end:
        return None
    if timed:
        draft.times = times
    if draft.commands:
        # What makes a command is having one header; the scan noted every header without a name.
        return None if _crowded(draft) else draft
    return draft


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A varint and the place after it; `ValueError` where it is not one of 64 bits in its shortest form."""
    value = data[at]
    if value < 128:
        return value, at + 1
    value &= 127
    shift = 7
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 127) << shift
        if byte < 128:
            if value >> 64 or not byte:
                raise ValueError("not a 64-bit number")
            return value, at + 1
        shift += 7


def _header(data: bytes, at: int, end: int) -> tuple[bytes, bytes]:
    """The name and the value of a header."""
    name = value = b""
    if at < end and data[at] == 0x0A:
        size, at = _number(data, at + 1)
        if not size:
            raise ValueError("an empty field is not written")
        name = data[at : at + size]
        at += size
    if at < end and data[at] == 0x12:
        size, at = _number(data, at + 1)
        if not size:
            raise ValueError("an empty field is not written")
        value = data[at : at + size]
        at += size
    if at != end:
        raise ValueError("something else in a header")
    return name, value


def _crowded(draft: Draft) -> bool:
    """Whether a header without a name has company; the slow way tells what is wrong with it."""
    for command in draft.commands:
        part = draft.parts[command.index]
        size, at = _number(part, 1)
        if at + size < len(part) and part[at + size] == 0x1A:
            return True
        # Its own header must be the nameless one.
        if _header(part, at, at + size)[0]:
            return True
    return len({command.index for command in draft.commands}) != len(draft.commands)


# --- any layout -----------------------------------------------------------------------------------------------------


def _rebuilt(input: AppendInput) -> Draft:
    draft = Draft([], None, 0, [], input.match_seq_num, input.fencing_token)
    for index, record in enumerate(input.records):
        draft.size += 8 + len(record.body)
        head = b""
        for name, value in record.headers:
            draft.size += 2 + len(name) + len(value)
            told = _field(b"\x0a", name) + _field(b"\x12", value)
            head += b"\x1a" + varint(len(told)) + told
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


# --- limits ---------------------------------------------------------------------------------------------------------


def _check_count(count: int) -> None:
    if not count:
        raise refusal("invalid", "record batch must not be empty")
    if count > MAX_BATCH_RECORDS:
        raise refusal("invalid", f"record batch must not exceed {MAX_BATCH_RECORDS} records")


def _checked(draft: Draft) -> Draft:
    _check_count(len(draft.parts))
    if draft.size > MAX_BATCH_BYTES:
        what = "record" if len(draft.parts) == 1 else "record batch"
        raise refusal("invalid", f"{what} must have metered size of at most 1 MiB")
    if draft.token is not None and len(draft.token.encode()) > MAX_FENCING_TOKEN:
        raise refusal("invalid", f"fencing token must not exceed {MAX_FENCING_TOKEN} bytes in length")
    for command in draft.commands:
        _check_command(command)
    return draft


def _check_command(command: Command) -> None:
    if command.kind == FENCE:
        if len(command.value) > MAX_FENCING_TOKEN:
            raise _wrong("fence", f"fencing token must not exceed {MAX_FENCING_TOKEN} bytes in length")
        try:
            command.value.decode()
        except UnicodeDecodeError:
            raise _wrong("fence", "fencing token must be UTF-8") from None
    elif command.kind == TRIM:
        if len(command.value) != 8:
            size = len(command.value)
            raise _wrong("trim", f"earliest sequence number to trim to was {size} bytes, must be 8")
    else:
        raise refusal("invalid", "unknown command")


def _wrong(command: str, why: str) -> S2ServerError:
    return refusal("invalid", f"invalid `{command}` command: {why}")


# --- times ----------------------------------------------------------------------------------------------------------


def times_of(draft: Draft, mode: str, uncapped: bool, arrival: int, latest: int) -> int | Sequence[int]:
    """The records' times by the rules of their stream, one for all where they are equal.

    `latest` is the time of the record before them: times never go back.
    """
    given = draft.times
    if mode == "client-require" and (given is None or None in given):
        raise refusal("invalid", "record timestamp was required but was missing")
    if given is None or mode == "arrival":
        return max(arrival, latest)
    times = []
    for time in given:
        told = arrival if time is None or (time > arrival and not uncapped) else time
        if told > latest:
            latest = told
        times.append(latest)
    return times
