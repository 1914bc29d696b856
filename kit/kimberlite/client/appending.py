"""Appending, without ever writing twice.

An append names the length that the stream must have, so that a repeat of it either writes or is refused. If an answer
is lost, the same append is sent again with the same length. If it is refused, the events at that place are read: the
same bytes mean that the first try was written. (If another writer put the same bytes at the same place in that
moment, they are taken for ours: the protocol has nothing to distinguish them.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ...core.errors import TransportError
from ..errors import BusyError, KimberliteError, NetworkError, OffsetMismatchError, TimeoutError
from ..types import StreamId
from ..wire.blobs import Blobs
from ..wire.protocol.codec import requests
from ..wire.protocol.structs import Audit
from .operations import Operation, Post, Take, Tries, again, answer_of, asked, raise_refusal, responses
from .stream_registry import StreamRegistry

CHUNK = 2 * 1024 * 1024
"""Bytes of events in one request; more would not be faster, and two are held in memory, each of them twice."""
_MOVES = 64
"""How often an append without an expected position is tried again because others appended first."""


def length(registry: StreamRegistry, packed: int) -> Operation[int]:
    """Return the number of events in a stream, from the server."""
    post = Post("stream_info", requests.StreamInfo(packed), packed >> 32, resource=_name(packed))
    answer = yield from asked(registry.settings, post, responses.StreamInfo)
    end: int = answer.length
    return end


def append(
    registry: StreamRegistry,
    packed: int,
    batches: Iterable[Blobs],
    expected: int | None = None,
    audit: Audit | None = None,
    notify: Callable[[int], Any] = lambda count: None,
) -> Operation[list[tuple[int, int]]]:
    """Append batches in order; return (first offset, count) for each. An error says in `appended` how many events were
    written before it.

    One is under way at a time: a length is all that the protocol compares, so if another writer appends as many events
    as a batch has, that batch would be refused, and one that was sent after it taken in its place.
    """
    done: list[tuple[int, int]] = []
    position = expected
    try:
        source = iter(batches)
        batch = next(source, None)
        while batch is not None:
            one = _Flight(registry, packed, batch, position, audit)
            yield from one.send()
            try:
                following = next(source, None)  # cut while the server stores this one
            finally:
                done.append(((yield from one.landed()), len(batch)))
                notify(len(batch))
            position = None if position is None else position + len(batch)
            batch = following
    except KimberliteError as error:
        error.appended = sum(count for _, count in done)  # type: ignore[attr-defined]
        raise
    return done


class _Flight:
    """One batch under way."""

    def __init__(
        self, registry: StreamRegistry, packed: int, batch: Blobs, position: int | None, audit: Audit | None
    ) -> None:
        self.registry, self.packed, self.batch, self.wanted, self.audit = registry, packed, batch, position, audit
        self._expected = 0
        self._epoch = 0
        self._number: int | None = None
        self._failure: KimberliteError | None = None
        self._tries = Tries(registry.settings.policy)

    def send(self, fixed: int | None = None) -> Operation[None]:
        """Send it; for `fixed`, a length that was named before, or for the end as it is known."""
        end = self.registry.end(self.packed)
        if fixed is not None:
            self._expected = fixed
        elif self.wanted is not None:
            self._expected = self.wanted
        else:
            if end.next is None:
                actual_end = yield from length(self.registry, self.packed)
                if end.next is None:
                    end.next = actual_end
            self._expected, self._epoch = end.next, end.epoch
            end.next += len(self.batch)  # the next append follows this one without waiting for it
        payload = requests.AppendEvents(self.packed, self.batch, self._expected)
        post = Post("append", payload, self.packed >> 32, self.audit, _name(self.packed), self._tries.made - 1)
        self._number, self._failure = None, None
        try:
            self._number = yield post
        except (NetworkError, TimeoutError) as error:
            self._failure = error

    def landed(self) -> Operation[int]:
        """Return the position of the written batch."""
        registry, end = self.registry, self.registry.end(self.packed)
        uncertain = False
        moves = 0
        while True:
            try:
                if self._failure is not None:
                    raise self._failure
                assert self._number is not None
                answer = answer_of(raise_refusal((yield Take(self._number))), responses.AppendEvents)
            except OffsetMismatchError as error:
                actual = error.actual
                error.op, error.resource = "append", _name(self.packed)
                try:
                    if uncertain and (yield from self._is_there(actual)):
                        return self._written(self._expected)
                except (NetworkError, TimeoutError) as unread:
                    unread.maybe_received = True  # the append, whatever became of this look at it
                    raise
                if self.wanted is not None:
                    end.next = None
                    raise
                moves += 1
                if registry.settings.max_retries == 0 or moves > _MOVES:
                    end.next = None
                    raise
                if self._epoch == end.epoch or actual is None or end.next is None:
                    end.next, end.epoch = actual, end.epoch + 1
                uncertain = False
                yield from self.send()
            except (NetworkError, TimeoutError, BusyError) as error:
                if self._epoch == end.epoch:
                    end.next, end.epoch = None, end.epoch + 1
                received = bool(getattr(error, "maybe_received", True))
                uncertain = uncertain or received
                if isinstance(error, TransportError):
                    error.maybe_received = uncertain  # an earlier try may stand, also where the last never left
                if not (yield from again(self._tries, error)):
                    raise
                yield from self.send(self._expected if uncertain else None)
            except KimberliteError as error:
                error.op, error.resource = "append", _name(self.packed)
                end.next, end.epoch = None, end.epoch + 1
                raise
            else:
                return self._written(answer.first_offset)

    def _is_there(self, actual: int | None) -> Operation[bool]:
        """Return whether the batch stands where a try put it whose answer was lost."""
        if actual is not None and actual < self._expected + len(self.batch):
            return False
        at, left = self._expected, self.batch
        while len(left):
            payload = requests.ReadEvents(self.packed, at, max(1, min(left.content_bytes, 8 * CHUNK)))
            post = Post("read", payload, self.packed >> 32, resource=_name(self.packed))
            page = yield from asked(self.registry.settings, post, responses.ReadEvents)
            count = min(len(page.events), len(left))
            if not count or list(page.events[:count]) != list(left[:count]):
                return False
            at, left = at + count, left[count:]
        return True

    def _written(self, first: int) -> int:
        self.registry.stamp(self.packed, first, len(self.batch), self.registry.settings.now())
        end = self.registry.end(self.packed)
        if end.next is None or end.next < first + len(self.batch):
            end.next = first + len(self.batch)
        return first


def batches_of(events: Sequence[bytes], most: int = CHUNK) -> Iterable[Blobs]:
    """Return the events cut into requests."""
    whole = Blobs.of(events)
    if whole.nbytes <= most:
        if len(whole):
            yield whole
        return
    start = size = 0
    for n, event in enumerate(whole):
        if size and size + len(event) > most:
            yield whole[start:n]
            start, size = n, 0
        size += len(event) + 5
    yield whole[start:]


def _name(packed: int) -> str:
    one = StreamId.from_u64(packed)
    return f"stream {one.stream_number} of tenant {one.tenant_id}"
