"""The calls of a batch, what is known of each answer, and where it is stored: in a journal, in a cache.

Each row is sent once, or `repeats` times; after an answer that does not fit the columns, a repair may be requested.
All of these are calls: each is sent, paid, and stored by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...types import BatchResult
from ...wire.answers import values_in
from ...wire.columns_spec import Spec, Unfit
from .cache import Cache, Keys
from .journal import Journal, key_of

NOT_RUN, UNKNOWN, INVALID = "not run", "unknown", "invalid"
_NOT_RUN = BatchResult("", "", NOT_RUN)
LOST = "the answer was lost; it may have run and been paid for"


@dataclass(slots=True, eq=False)
class Call:
    """One prompt to send."""

    place: int
    prompt: str
    key: str
    """Its key in the journal."""
    digest: bytes | None
    """Its key in the cache."""
    result: BatchResult
    tries: int = 0
    """Earlier answers to the same row, which did not fit the columns."""
    saved: float | None = None
    """USD that were saved because the answer was in the cache; None if it was sent."""
    values: tuple[Any, ...] | None = None
    unfit: Unfit | None = None

    @property
    def status(self) -> str:
        return INVALID if self.unfit is not None else self.result.status

    @property
    def cost(self) -> float | None:
        """USD that this batch paid for it; None where that is not known, or nothing was."""
        return self.result.cost if self.saved is None else 0.0


class Work:
    """The calls of a batch."""

    def __init__(
        self,
        prompts: Sequence[str],
        spec: Spec | None,
        model: str | None,
        *,
        repeats: int,
        repair: int,
        journal: Journal | None,
        cache: Cache | None,
        service: str,
        since: float,
    ) -> None:
        self.prompts, self.spec, self.model, self.repeats = prompts, spec, model, repeats
        self._repair, self._journal, self._cache = repair, journal, cache
        self._service, self._since = service, since
        self._shape = "" if spec is None else spec.text
        self._content = Keys(service, model, self._shape)
        shape = "" if spec is None else spec.asked("")
        texts = [prompt + shape for prompt in prompts]
        self.places: list[list[Call]] = [
            [self._call(row * repeats + repeat, prompt, repeat)]
            for row, prompt in enumerate(texts)
            for repeat in range(repeats)
        ]
        self.queue: deque[Call] = deque()
        self.finished = 0
        """Calls of this run that are over, and need no repair."""
        self._leaders: dict[bytes, Call] = {}
        self._followers: dict[bytes, list[Call]] = {}

    def _call(self, place: int, prompt: str, repeat: int, tries: int = 0) -> Call:
        digest = None
        if self._cache is not None:
            digest = self._content.of(prompt, repeat)
        key = key_of(place, prompt, self.model)
        return Call(place, prompt, key, digest, _NOT_RUN, tries)

    @property
    def calls(self) -> Iterable[Call]:
        return (call for chain in self.places for call in chain)

    def newest(self, places: slice | None = None) -> list[Call]:
        """Return the last call of each place, which decides the state of the place."""
        return [chain[-1] for chain in (self.places if places is None else self.places[places])]

    def left(self, *, unknown: bool, places: slice | None = None) -> list[Call]:
        """Return the calls that are still to be sent."""
        statuses = {NOT_RUN, "failed", *([UNKNOWN] if unknown else [])}
        return [call for call in self.newest(places) if call.status in statuses]

    def restore(self, places: slice | None = None) -> None:
        """Take in what the journal and the cache know."""
        pending = [call for call in self.newest(places) if call.result.status != "completed"]
        while pending and (self._journal is not None or self._cache is not None):
            results = {}
            if self._cache is not None:
                results = self._cache.find([call.digest for call in pending if call.digest is not None], self._since)
            repairs: list[Call] = []
            for call in pending:
                known = None if self._journal is None else self._journal.done.get(call.key)
                cached = None if call.digest is None else results.get(call.digest)
                if known is not None:
                    self._settle(call, known)
                elif cached is not None:
                    call.saved = cached.cost or 0.0
                    self._settle(call, cached)
                elif (self._journal is not None and call.key in self._journal.sent) or call.digest in results:
                    self._settle(call, BatchResult("", "", UNKNOWN, error=LOST))
                if (repair := self._repair_of(call)) is not None:
                    repairs.append(repair)
            pending = repairs

    def begin(self, calls: Iterable[Call]) -> None:
        """Queue calls; of those with one question, with a cache, one is sent, and the others have its answer."""
        self.finished = 0
        self.queue.clear()
        self._leaders.clear()
        self._followers.clear()
        for call in calls:
            self._enqueue(call)

    def _enqueue(self, call: Call, *, first: bool = False) -> None:
        if call.digest is not None:
            leader = self._leaders.setdefault(call.digest, call)
            if leader is not call:
                if leader.result.status == "completed":
                    self._follow(call, leader)
                else:
                    self._followers.setdefault(call.digest, []).append(call)
                return
        if first:
            self.queue.appendleft(call)
        else:
            self.queue.append(call)

    def _follow(self, call: Call, leader: Call) -> None:
        if leader.result.status == "completed":
            call.saved = (leader.result.cost or 0.0) if leader.saved is None else leader.saved
        self._settle(call, leader.result)
        if self._journal is not None and call.status != UNKNOWN:
            self._journal.came(call.key, replace(leader.result, cost=0.0 if leader.result.cost is not None else None))
        if (repair := self._repair_of(call)) is not None:
            self._enqueue(repair)
        else:
            self.finished += 1

    def claim(self, calls: list[Call], *, again: bool) -> list[Call]:
        """Note that calls are about to be sent; return those that are ours to send.

        A call that another process has sent in the meantime is not: its answer is used, or counts as lost until it
        arrives.
        """
        ours = calls
        if self._cache is not None:
            entries = [
                (
                    call.digest,
                    self._service,
                    self.model or "auto",
                    call.prompt,
                    self._shape,
                    call.place % self.repeats,
                )
                for call in calls
                if call.digest is not None
            ]
            taken = self._cache.claim(entries, self._since, again=again)
            ours = [call for call in calls if call.digest in taken]
            theirs = [call for call in calls if call.digest not in taken]
            results = self._cache.find([call.digest for call in theirs if call.digest is not None], self._since)
            for call in theirs:
                known = results.get(call.digest or b"")
                if known is not None:
                    call.saved = known.cost or 0.0
                self.came(call, known or BatchResult("", "", UNKNOWN, error=LOST), kept=True)
        if self._journal is not None and ours:
            self._journal.sending([call.key for call in ours])
        return ours

    def over(self, calls: Iterable[Call]) -> None:
        """Say that nothing more will come of calls that were sent."""
        if self._cache is not None:
            self._cache.over(call.digest for call in calls if call.digest is not None)

    def coming(self, within: float) -> int:
        """Take in answers that other processes have requested; return how many they still wait for."""
        if self._cache is None:
            return 0
        lost = {
            call.digest: call for call in self.newest() if call.result.status == UNKNOWN and call.digest is not None
        }
        keys: list[bytes] = [key for key in lost if key is not None]
        waiting = self._cache.coming(keys, within) if keys else set()
        for key, known in self._cache.find(keys, self._since).items() if keys else ():
            if known is not None:
                waiting.discard(key)
                for call in [call for call in self.newest() if call.digest == key]:
                    call.saved = known.cost or 0.0
                    self.came(call, known, kept=True)
        return len(waiting)

    def sent(self, calls: Iterable[Call]) -> None:
        """Note that the request was sent: from here on its answers count as lost until they come."""
        lost = BatchResult("", "", UNKNOWN, error=LOST)
        for call in calls:
            call.result = lost

    def keep(self, results: Sequence[tuple[Call, BatchResult]]) -> None:
        """Write down what came, before anything else is made of it."""
        if self._journal is not None:
            for call, result in results:
                self._journal.came(call.key, result)
        if self._cache is not None:
            self._cache.came([(call.digest, result) for call, result in results if call.digest is not None])

    def came(self, call: Call, result: BatchResult, *, kept: bool = False) -> None:
        """Take what came of a call; what needs repair is queued, and calls with the same question have it too."""
        if not kept:
            self.keep([(call, result)])
        self._settle(call, result)
        followers = [] if call.digest is None else self._followers.pop(call.digest, [])
        if (repair := self._repair_of(call)) is not None:
            self._enqueue(repair, first=True)
        else:
            self.finished += 1
        for follower in followers:
            self._follow(follower, call)

    def _settle(self, call: Call, result: BatchResult) -> None:
        call.result = result
        call.values = call.unfit = None
        if self.spec is not None and result.status == "completed":
            try:
                call.values = values_in(result.content or "", self.spec)
            except Unfit as unfit:
                call.unfit = unfit

    def _repair_of(self, call: Call) -> Call | None:
        if call.unfit is None or call.tries >= self._repair or self.spec is None:
            return None
        prompt = self.spec.repair(self.prompts[call.place // self.repeats], call.result.content or "", call.unfit.why)
        repair = self._call(call.place, prompt, call.place % self.repeats, call.tries + 1)
        self.places[call.place].append(repair)
        return repair

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
