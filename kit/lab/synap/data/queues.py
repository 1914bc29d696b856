"""Queues: messages by priority, delivered with a deadline, counted when they are dropped."""

from __future__ import annotations

import heapq
import itertools
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..refusal import Refusal
from .journal import Journal, Row

LANES = 10
MAX_DEPTH = 100_000
MAX_RETRIES = 2**32 - 1
_SPARE = 1000
"""Entries of deadlines of messages that are gone, which are not worth clearing away."""


@dataclass(slots=True)
class Message:
    """A message, ready or delivered."""

    id: str
    payload: bytes
    priority: int
    max_retries: int
    created: int
    retries: int = 0
    place: int = 0
    lane: int = 0
    consumer: str = ""
    deadline: float = 0.0


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of a queue, which cannot be changed."""

    max_depth: int = MAX_DEPTH
    ack_deadline: int = 30
    max_retries: int = 3
    priority: int = 5
    prefetch: int = 0


@dataclass(slots=True)
class Figures:
    """The counters of a queue."""

    published: int = 0
    consumed: int = 0
    acked: int = 0
    nacked: int = 0
    dead_lettered: int = 0


@dataclass(slots=True)
class Queue:
    """One queue."""

    name: str
    config: Config
    figures: Figures = field(default_factory=Figures)
    lanes: list[deque[Message]] = field(default_factory=lambda: _lanes())
    pending: dict[str, Message] = field(default_factory=dict)
    depth: int = 0
    deadlines: list[tuple[float, str]] = field(default_factory=list)
    holding: dict[str, int] = field(default_factory=dict)
    """How many messages each consumer holds."""

    def row(self) -> Row:
        """Return the queue as it is kept."""
        config = self.config
        settings = (config.max_depth, config.ack_deadline, config.max_retries, config.priority, config.prefetch)
        return (self.name, *settings, json.dumps(asdict(self.figures)))

    def stats(self) -> dict[str, int]:
        figures = self.figures
        return {
            "depth": self.depth,
            "consumers": len(self.holding),
            "published": figures.published,
            "consumed": figures.consumed,
            "acked": figures.acked,
            "nacked": figures.nacked,
            "dead_lettered": figures.dead_lettered,
        }


class Queues:
    """All queues."""

    def __init__(self, journal: Journal, queues: Iterable[Row] = (), messages: Iterable[Row] = ()) -> None:
        self._journal = journal
        self._queues: dict[str, Queue] = {}
        self._places = itertools.count(1)
        # It looks like a UUID; generating one for each message would cost more than the rest of publishing.
        head = os.urandom(8).hex()
        self._head = f"{head[:8]}-{head[8:12]}-4{head[13:16]}-a{os.urandom(2).hex()[1:]}-"
        self._numbers = itertools.count(int.from_bytes(os.urandom(4)) << 8)
        for name, *config, figures in queues:
            figures_of = Figures(**json.loads(figures))
            # Messages that were delivered when the server ended are ready again.
            figures_of.nacked = figures_of.consumed - figures_of.acked
            self._queues[name] = Queue(name, Config(*config), figures_of)
        last = 0
        for identity, name, place, lane, priority, retries, max_retries, created, payload in messages:
            queue = self._queues.get(name)
            if queue is not None:
                message = Message(identity, payload, priority, max_retries, created, retries, place, lane)
                queue.lanes[lane].append(message)
                queue.depth += 1
            last = max(last, place)
        self._places = itertools.count(last + 1)

    def names(self) -> list[str]:
        return list(self._queues)

    def all(self) -> list[Queue]:
        return list(self._queues.values())

    def get(self, name: str) -> Queue:
        queue = self._queues.get(name)
        if queue is None:
            raise Refusal(f"Queue not found: {name}")
        return queue

    def create(self, name: str, settings: dict[str, int] | None = None) -> None:
        """Make a queue; one that is there stays as it is."""
        if name in self._queues:
            return
        self._queues[name] = queue = Queue(name, replace(Config(), **(settings or {})))
        self._keep(queue, self._queues.pop, name)

    def delete(self, name: str) -> bool:
        """Return whether it was there."""
        queue = self._queues.pop(name, None)
        if queue is None:
            return False
        for message in itertools.chain(*queue.lanes, queue.pending.values()):
            self._journal.messages[message.id] = None
        self._journal.queues[name] = None
        self._journal.changed(self._queues.__setitem__, name, queue)
        return True

    def purge(self, name: str) -> int:
        """Return how many ready messages there were; those given out stay."""
        queue = self.get(name)
        count, lanes = queue.depth, queue.lanes
        for message in itertools.chain(*lanes):
            self._journal.messages[message.id] = None
        queue.lanes, queue.depth = _lanes(), 0
        self._keep(queue, self._unpurge, queue, lanes, count)
        return count

    def _unpurge(self, queue: Queue, lanes: list[deque[Message]], count: int) -> None:
        queue.lanes, queue.depth = lanes, count

    def publish(self, name: str, payload: bytes, priority: int | None, max_retries: int | None) -> str:
        """Return the new message's id."""
        queue = self._queues.get(name)
        if queue is None:
            raise Refusal(f"Queue not found: {name}")
        config = queue.config
        if queue.depth >= config.max_depth:
            raise Refusal(f"Queue is full: {name}")
        lane = min(config.priority if priority is None else priority, LANES - 1)
        retries = config.max_retries if max_retries is None else max_retries
        if retries > MAX_RETRIES:
            raise Refusal(f"Invalid value: max_retries is at most {MAX_RETRIES}, not {retries}")
        identity = f"{self._head}{next(self._numbers):012x}"
        message = Message(identity, payload, lane, retries, int(time.time()), 0, next(self._places), lane)
        queue.lanes[lane].append(message)
        queue.depth += 1
        queue.figures.published += 1
        self._write(queue, message)
        self._keep(queue, self._unpublish, queue, message)
        return identity

    def _unpublish(self, queue: Queue, message: Message) -> None:
        queue.lanes[message.lane].pop()
        queue.depth -= 1
        queue.figures.published -= 1

    def consume(self, name: str, consumer: str) -> Message | None:
        """Return the next message, now held by this consumer. A missing queue has none, as the service
        answers."""
        queue = self._queues.get(name)
        if queue is None or not queue.depth:
            return None
        config = queue.config
        if config.prefetch and queue.holding.get(consumer, 0) >= config.prefetch:
            return None
        message = next(lane for lane in reversed(queue.lanes) if lane).popleft()
        queue.depth -= 1
        queue.figures.consumed += 1
        message.consumer = consumer
        message.deadline = time.monotonic() + config.ack_deadline
        self._hold(queue, message)
        self._keep(queue, self._unconsume, queue, message)
        return message

    def _unconsume(self, queue: Queue, message: Message) -> None:
        self._taken(queue, message.id)
        queue.lanes[message.lane].appendleft(message)
        queue.depth += 1
        queue.figures.consumed -= 1

    def ack(self, name: str, identity: str) -> None:
        """Remove a message that was worked on."""
        queue = self.get(name)
        message = self._taken(queue, identity)
        queue.figures.acked += 1
        self._journal.messages[identity] = None
        self._keep(queue, self._unack, queue, message)

    def _unack(self, queue: Queue, message: Message) -> None:
        self._hold(queue, message)
        queue.figures.acked -= 1

    def nack(self, name: str, identity: str, requeue: bool) -> None:
        """Give a message back, or gives it up."""
        queue = self.get(name)
        message = self._taken(queue, identity)
        before = message.lane, message.place
        queue.figures.nacked += 1
        message.retries += 1
        if message.retries > message.max_retries or not requeue:
            dead = message.retries > message.max_retries
            queue.figures.dead_lettered += dead
            self._journal.messages[identity] = None
            self._keep(queue, self._unnack, queue, message, dead, None)
            return
        # Behind all messages, whatever its priority.
        message.lane = next((n for n, lane in enumerate(queue.lanes) if lane), message.priority)
        message.place = next(self._places)
        queue.lanes[message.lane].append(message)
        queue.depth += 1
        self._write(queue, message)
        self._keep(queue, self._unnack, queue, message, False, before)

    def _unnack(self, queue: Queue, message: Message, dead: bool, before: tuple[int, int] | None) -> None:
        if before is not None:
            queue.lanes[message.lane].pop()
            queue.depth -= 1
            message.lane, message.place = before
        message.retries -= 1
        queue.figures.nacked -= 1
        queue.figures.dead_lettered -= dead
        self._hold(queue, message)

    def sweep(self) -> None:
        """Take back what was not acknowledged in time."""
        now = time.monotonic()
        for queue in self._queues.values():
            while queue.deadlines and queue.deadlines[0][0] <= now:
                deadline, identity = heapq.heappop(queue.deadlines)
                message = queue.pending.get(identity)
                if message is not None and message.deadline == deadline:
                    self.nack(queue.name, identity, True)

    def _hold(self, queue: Queue, message: Message) -> None:
        """Note that a message is given out, to its consumer and until its deadline."""
        queue.pending[message.id] = message
        queue.holding[message.consumer] = queue.holding.get(message.consumer, 0) + 1
        heapq.heappush(queue.deadlines, (message.deadline, message.id))

    def _taken(self, queue: Queue, identity: str) -> Message:
        message = queue.pending.pop(identity, None)
        if message is None:
            raise Refusal(f"Message not found: {identity}")
        left = queue.holding[message.consumer] - 1
        if left:
            queue.holding[message.consumer] = left
        else:
            del queue.holding[message.consumer]
        if len(queue.deadlines) > 2 * len(queue.pending) + _SPARE:
            # Most are of messages that were acknowledged long before.
            queue.deadlines = [(held.deadline, held.id) for held in queue.pending.values()]
            heapq.heapify(queue.deadlines)
        return message

    def _write(self, queue: Queue, message: Message) -> None:
        self._journal.messages[message.id] = (
            message.id,
            queue.name,
            message.place,
            message.lane,
            message.priority,
            message.retries,
            message.max_retries,
            message.created,
            message.payload,
        )

    def _keep(self, queue: Queue, undo: Callable[..., Any], *args: Any) -> None:
        """Note that a queue's row is to be written, with its figures as the commit begins; and how to undo it."""
        self._journal.queues[queue.name] = queue
        self._journal.changed(undo, *args)


def _lanes() -> list[deque[Message]]:
    return [deque() for _ in range(LANES)]
