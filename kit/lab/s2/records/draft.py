"""An append without a position yet: its records, the limits that it must keep, and the times of its records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ....s2.errors import S2ServerError
from ....s2.limits import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_FENCING_TOKEN
from ..http.answers import refusal

FENCE, TRIM = b"fence", b"trim"


@dataclass(slots=True)
class Command:
    """A command among the records of a draft."""

    index: int
    kind: bytes
    value: bytes


@dataclass(slots=True)
class Draft:
    """An append without a position."""

    parts: list[bytes]
    """The headers and the body of each record, as they are stored."""
    times: list[int | None] | None
    """The client's time of each record; None if no record has one."""
    size: int
    """In metered bytes."""
    commands: list[Command]
    match: int | None
    token: str | None


def check_count(count: int) -> None:
    """Refuse a number of records that no append can have."""
    if not count:
        raise refusal("invalid", "record batch must not be empty")
    if count > MAX_BATCH_RECORDS:
        raise refusal("invalid", f"record batch must not exceed {MAX_BATCH_RECORDS} records")


def checked(draft: Draft) -> Draft:
    """Return the draft, where it keeps the limits."""
    check_count(len(draft.parts))
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


def times_of(draft: Draft, mode: str, uncapped: bool, arrival: int, latest: int) -> int | Sequence[int]:
    """Return the records' times by the rules of their stream, one for all where they are equal.

    `latest` is the time of the record before them: times never go back.
    """
    given = draft.times
    if mode == "client-require" and (given is None or None in given):
        raise refusal("invalid", "record timestamp was required but was missing")
    if given is None or mode == "arrival":
        return max(arrival, latest)
    times = []
    for time in given:
        stamp = arrival if time is None or (time > arrival and not uncapped) else time
        if stamp > latest:
            latest = stamp
        times.append(latest)
    return times
