"""What a stream of S2, an event log of Kimberlite and a key of Synap do, one operation after the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import xxhash

from .check import State, Step


def record_hash(body: bytes) -> int:
    """Return the hash of one record."""
    return xxhash.xxh3_64_intdigest(body)


def chain(before: int, record: int) -> int:
    """Return the hash of a log with one record more: it stands for all that is in it."""
    return xxhash.xxh3_64_intdigest(record.to_bytes(8, "little"), seed=before)


def chained(before: int, records: Iterable[int]) -> int:
    """Return the hash of a log with some records more."""
    for one in records:
        before = chain(before, one)
    return before


@dataclass(frozen=True, slots=True)
class Log:
    """A log: how many records, the hash of all, and the fencing token in force."""

    tail: int = 0
    hash: int = 0
    token: str = ""


def s2(state: Any, start: Any, finish: dict[str, Any] | None) -> Iterable[State]:
    """Step a stream of S2: appends with their conditions, reads of all, and the tail."""
    told, answer = _only(finish)
    if "Append" not in start:
        return _looked(state, told, answer, "tail", "stream_hash")
    asked = start["Append"]
    match, token = asked["match_seq_num"], asked["fencing_token"]
    fits = match in (None, state.tail) and token in (None, state.token)
    new = asked["set_fencing_token"]
    after = Log(
        state.tail + asked["num_records"],
        chained(state.hash, asked["record_hashes"]),
        state.token if new is None else new,
    )
    return _appended(
        state, after, fits, told, answer, "tail", after.tail, conditional=match is not None or token is not None
    )


def kimberlite(state: Any, start: Any, finish: dict[str, Any] | None) -> Iterable[State]:
    """Step an event log of Kimberlite: appends at an expected length or at the end, reads of all, and the length."""
    told, answer = _only(finish)
    if "Append" not in start:
        return _looked(state, told, answer, "length", "log_hash")
    asked = start["Append"]
    expected = asked["expected_offset"]
    after = Log(state.tail + len(asked["record_hashes"]), chained(state.hash, asked["record_hashes"]))
    fits = expected in (None, state.tail)
    return _appended(state, after, fits, told, answer, "first", state.tail, conditional=expected is not None)


def synap(state: Any, start: Any, finish: dict[str, Any] | None) -> Iterable[State]:
    """Step a key of Synap, whose value is a text or nothing."""
    told, answer = _only(finish)
    if "Get" in start:
        return [state] if finish is None or told == "Failure" or answer["value"] == state else []
    if "Set" in start:
        after, gives = start["Set"]["value"], None
    elif "Delete" in start:
        after, gives = None, {"there": state is not None}
    else:
        after = str(int(state or 0) + start["Add"]["by"])
        gives = {"value": int(after)}
    if finish is None:
        return [after]
    if told == "DefiniteFailure":
        return [state]
    return [after] if gives is None or answer == gives else []


MODELS: dict[str, tuple[State, Step]] = {"s2": (Log(), s2), "kimberlite": (Log(), kimberlite), "synap": (None, synap)}


def _only(finish: dict[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """Return the kind of an answer and what it says."""
    if finish is None:
        return "", {}
    [(told, answer)] = finish.items()
    return told, answer or {}


def _looked(state: Any, told: str, answer: dict[str, Any], size: str, digest: str) -> Iterable[State]:
    if not told.endswith("Success"):
        return [state]
    same = answer[size] == state.tail and answer.get(digest, state.hash) == state.hash
    return [state] if same else []


def _appended(
    state: Any, after: State, fits: bool, told: str, answer: dict[str, Any], name: str, value: int, *, conditional: bool
) -> Iterable[State]:
    if told == "AppendSuccess":
        return [after] if fits and answer[name] == value else []
    if told == "AppendDefiniteFailure":
        # A condition that held is no reason to refuse; what never left this machine may fail for any.
        return [] if fits and conditional and answer.get("condition") else [state]
    return [after] if fits else []
