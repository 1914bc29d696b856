"""Clients at work on one thing, each call noted; and clients that are broken in a way that must be found."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from kit.core.errors import KitError, TransportError
from kit.kimberlite import OffsetMismatchError
from kit.s2 import AppendInput, CommandRecord, ReadUnwrittenError, Record, SeqNum
from kit.s2.errors import AppendConditionError, no_side_effects

from .history import History
from .models import chain, record_hash

BROKEN = ("repeats", "skips", "loses", "stale")
"""Appends again what may have been written; leaves a record out; tells of what it never sent; tells the tail of before."""


class Client:
    """One client: it asks one thing after the other."""

    def __init__(self, history: History, chance: random.Random, broken: str = "") -> None:
        self.history, self.chance, self.broken = history, chance, broken
        self.id = history.client()
        self.before: dict[str, Any] = {}

    def work(self, count: int) -> None:
        """Ask so many things, as chance has it."""
        for _ in range(count):
            self.one()

    def one(self) -> None:
        raise NotImplementedError

    def noted(self, start: Any, call: Callable[[], Any], failed: Callable[[KitError], Any]) -> Any:
        """Make a call, and note when it began and what came of it."""
        op = self.history.start(self.id, start)
        try:
            told = call()
        except KitError as error:
            told = failed(error)
        self.id = self.history.finish(self.id, op, told)
        return told

    def is_broken(self, how: str) -> bool:
        """Whether this client is broken so, and now."""
        return self.broken == how and self.chance.random() < 0.2


def _failed(error: KitError) -> Any:
    definite = isinstance(error, TransportError) and not error.maybe_received
    return {"DefiniteFailure": {}} if definite else "IndefiniteFailure"


class LogClient(Client):
    """What clients of both logs do alike."""

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        self.tail = 0

    def bodies(self) -> list[bytes]:
        """Return new records; no two of a run are alike."""
        return [self.chance.randbytes(self.chance.randint(8, 40)) for _ in range(self.chance.choice((1, 1, 2, 7)))]

    def appended(self, start: Any, call: Callable[[], Any]) -> None:
        """Append, and note it; a broken client may do otherwise."""
        if self.is_broken("loses"):
            answer = {"AppendSuccess": self.told(self.tail, len(start["Append"]["record_hashes"]))}
            told = self.noted(start, lambda: answer, self.refused)
        else:
            told = self.noted(start, lambda: self.sent(call), self.refused)
        if "AppendSuccess" in told:
            self.tail = self.tail_of(told["AppendSuccess"], len(start["Append"]["record_hashes"]))

    def sent(self, call: Callable[[], Any]) -> Any:
        """Call; a broken client takes a good answer for a lost one, and calls once more."""
        told = call()
        return call() if self.is_broken("repeats") else told

    def seen(self, what: str, call: Callable[[], dict[str, Any]]) -> None:
        """Look, and note it."""

        def look() -> Any:
            if self.is_broken("stale") and what in self.before:
                return self.before[what]
            self.before[what] = {f"{what}Success": call()}
            return self.before[what]

        self.noted(what, look, lambda error: f"{what}Failure")

    def hashed(self, bodies: list[bytes]) -> int:
        """Return the hash of all records, as this client saw them."""
        if bodies and self.is_broken("skips"):
            bodies = [*bodies[:-1], b"?"]
        found = 0
        for body in bodies:
            found = chain(found, record_hash(body))
        return found

    def refused(self, error: KitError) -> Any:
        raise NotImplementedError

    def told(self, tail: int, count: int) -> dict[str, int]:
        raise NotImplementedError

    def tail_of(self, answer: dict[str, int], count: int) -> int:
        raise NotImplementedError


class S2Client(LogClient):
    """A client of one stream of S2; `how` is `regular`, `match-seq-num` or `fencing`."""

    def __init__(self, stream: Any, how: str, *rest: Any) -> None:
        super().__init__(*rest)
        self.stream, self.how = stream, how
        self.token = f"t{self.id}"
        self.count = 0

    def one(self) -> None:
        self.count += 1
        what = self.chance.choice(("append", "read", "tail"))
        if self.how == "fencing" and self.count % 20 == 1:
            self._append([CommandRecord.fence(self.token)], [self.token.encode()], match=self.tail, fence=self.token)
        elif what == "append":
            bodies = self.bodies()
            match = self.tail if self.how == "match-seq-num" else None
            token = self.token if self.how == "fencing" else None
            self._append([Record(body) for body in bodies], bodies, match=match, token=token)
        elif what == "read":
            self.seen("Read", self._read)
        else:
            self.seen("CheckTail", self._tail)

    def _append(
        self,
        records: list[Record],
        bodies: list[bytes],
        match: int | None = None,
        token: str | None = None,
        fence: str | None = None,
    ) -> None:
        asked = {
            "num_records": len(records),
            "record_hashes": [record_hash(body) for body in bodies],
            "set_fencing_token": fence,
            "fencing_token": token,
            "match_seq_num": match,
        }

        def call() -> Any:
            ack = self.stream.append(AppendInput(records, match_seq_num=match, fencing_token=token))
            return {"AppendSuccess": {"tail": ack.end.seq_num}}

        self.appended({"Append": asked}, call)

    def refused(self, error: KitError) -> Any:
        if isinstance(error, AppendConditionError):
            return {"AppendDefiniteFailure": {"condition": True}}
        return {"AppendDefiniteFailure": {}} if no_side_effects(error) else "AppendIndefiniteFailure"

    def told(self, tail: int, count: int) -> dict[str, int]:
        return {"tail": tail + count}

    def tail_of(self, answer: dict[str, int], count: int) -> int:
        return answer["tail"]

    def _tail(self) -> dict[str, Any]:
        self.tail = self.stream.check_tail().seq_num
        return {"tail": self.tail}

    def _read(self) -> dict[str, Any]:
        bodies: list[bytes] = []
        try:
            with self.stream.read_session(start=SeqNum(0), wait=0) as session:
                for batch in session:
                    bodies += [record.body for record in batch.records]
        except ReadUnwrittenError:
            assert not bodies
        self.tail = len(bodies)
        return {"tail": len(bodies), "stream_hash": self.hashed(bodies)}


class KimberliteClient(LogClient):
    """A client of one event log of Kimberlite."""

    def __init__(self, client: Any, stream: Any, how: str, *rest: Any) -> None:
        super().__init__(*rest)
        self.client, self.stream, self.how = client, stream, how

    def one(self) -> None:
        what = self.chance.choice(("append", "read", "length"))
        if what == "append":
            bodies = self.bodies()
            expected = self.tail if self.how == "match-seq-num" else None
            asked = {"expected_offset": expected, "record_hashes": [record_hash(body) for body in bodies]}

            def call() -> Any:
                places = self.client.append_batch(None, self.stream, bodies, expected_offset=expected)
                return {"AppendSuccess": {"first": int(places[0])}}

            self.appended({"Append": asked}, call)
        elif what == "read":
            self.seen("Read", self._read)
        else:
            self.seen("Length", self._length)

    def refused(self, error: KitError) -> Any:
        if isinstance(error, OffsetMismatchError):
            return {"AppendDefiniteFailure": {"condition": True}}
        definite = isinstance(error, TransportError) and not error.maybe_received
        return {"AppendDefiniteFailure": {}} if definite else "AppendIndefiniteFailure"

    def told(self, tail: int, count: int) -> dict[str, int]:
        return {"first": tail}

    def tail_of(self, answer: dict[str, int], count: int) -> int:
        return answer["first"] + count

    def _length(self) -> dict[str, Any]:
        self.tail = int(self.client.stream_length(None, self.stream))
        return {"length": self.tail}

    def _read(self) -> dict[str, Any]:
        bodies = [event.data for event in self.client.read_stream(None, self.stream)]
        self.tail = len(bodies)
        return {"length": len(bodies), "log_hash": self.hashed(bodies)}


class SynapClient(Client):
    """A client of one key of Synap."""

    def __init__(self, keys: Any, key: str, *rest: Any) -> None:
        super().__init__(*rest)
        self.keys, self.key = keys, key

    def one(self) -> None:
        what = self.chance.choice(("set", "get", "get", "add", "delete"))
        if what == "get":
            self.noted("Get", self._get, lambda error: "Failure")
        elif what == "set":
            value = str(self.chance.randrange(10**9))
            self._write({"Set": {"value": value}}, lambda: self.keys.set(self.key, value), lambda told: {})
        elif what == "delete":
            self._write("Delete", lambda: self.keys.delete(self.key), lambda told: {"there": told})
        else:
            by = self.chance.randint(1, 9)
            self._write({"Add": {"by": by}}, lambda: self.keys.incrby(self.key, by), lambda told: {"value": told})

    def _write(self, start: Any, call: Callable[[], Any], told: Callable[[Any], dict[str, Any]]) -> None:
        def write() -> Any:
            if "Set" in start and self.is_broken("loses"):
                return {"Success": {}}
            if self.is_broken("repeats"):
                call()
            return {"Success": told(call())}

        self.noted(start, write, _failed)

    def _get(self) -> Any:
        if self.is_broken("stale") and "get" in self.before:
            return self.before["get"]
        value = self.keys.get(self.key)
        if value is not None and self.is_broken("skips"):
            value = None
        self.before["get"] = {"Success": {"value": value}}
        return self.before["get"]
