"""Topics: messages go to the current subscribers and are not stored."""

from __future__ import annotations

import fnmatch
import itertools
import re
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ..refusal import Refusal

BUFFER = 1024
"""Messages that may wait for a subscriber; a slower subscriber is disconnected."""


@dataclass(frozen=True, slots=True)
class Published:
    """A message. `payload` is its content, `text` the same as JSON."""

    topic: str
    payload: Any
    text: str
    id: str
    timestamp: int
    metadata: dict[str, str] | None = None


@dataclass(eq=False, slots=True)
class Subscriber:
    """A subscriber, with a function that is called when messages wait."""

    id: str
    patterns: list[str] = field(default_factory=list)
    deliver: Callable[[], None] | None = None
    """None for a subscriber that was registered over HTTP, to which nothing can be delivered."""
    waiting: deque[Published] = field(default_factory=deque)
    gone: Callable[[], None] | None = None


@lru_cache(maxsize=4096)
def matcher(pattern: str) -> Callable[[str], bool]:
    """Return whether a topic is meant by a pattern: `*` is one segment or a part of one, a final `#` any number of
    them.

    >>> matcher("a.*.c")("a.b.c"), matcher("a.#")("a"), matcher("user:*")("user:1"), matcher("a.*")("a.b.c")
    (True, True, True, False)
    """
    check(pattern)
    segments = pattern.split(".")
    open_end = segments[-1] == "#"
    if open_end:
        segments.pop()
    parts = [
        re.compile(r"[^.]+" if segment == "*" else fnmatch.translate(re.sub(r"[\[?]", r"[\g<0>]", segment)))
        for segment in segments
    ]

    def matches(topic: str) -> bool:
        words = topic.split(".")
        if len(words) < len(parts) or (len(words) > len(parts) and not open_end):
            return False
        return all(part.fullmatch(word) for part, word in zip(parts, words, strict=False))

    return matches


def check(pattern: str) -> None:
    """Refuse an invalid pattern."""
    if not pattern:
        raise Refusal("Invalid value: Topic pattern cannot be empty")
    if "#" in pattern and (pattern.count("#") > 1 or pattern.split(".")[-1] != "#"):
        raise Refusal("Invalid value: '#' must be the last segment, once")


def wild(pattern: str) -> bool:
    return "*" in pattern or "#" in pattern


class Topics:
    """All topics and their subscribers."""

    def __init__(self) -> None:
        self._topics: dict[str, tuple[int, list[int]]] = {}
        """When made, and how many messages there were."""
        self._exact: dict[str, dict[str, Subscriber]] = {}
        self._wild: dict[str, dict[str, Subscriber]] = {}
        self._subscribers: dict[str, Subscriber] = {}
        self._numbers = itertools.count()
        self.published = self.delivered = self.slow = 0

    def names(self) -> list[str]:
        return list(self._topics)

    def stats(self) -> dict[str, int]:
        return {
            "total_topics": len(self._topics),
            "total_subscribers": len(self._subscribers),
            "total_wildcard_subscriptions": sum(map(len, self._wild.values())),
            "messages_published": self.published,
            "messages_delivered": self.delivered,
            "slow_consumers_dropped": self.slow,
        }

    def info(self, topic: str) -> dict[str, Any]:
        if topic not in self._topics:
            raise Refusal(f"Not found: topic {topic}", 404)
        made, count = self._topics[topic]
        listening = self._exact.get(topic, {})
        return {"topic": topic, "subscriber_count": len(listening), "message_count": count[0], "created_at": made}

    def subscribe(
        self,
        patterns: Iterable[str],
        deliver: Callable[[], None] | None = None,
        gone: Callable[[], None] | None = None,
    ) -> Subscriber:
        """Return a new subscriber."""
        distinct = list(dict.fromkeys(patterns))
        for pattern in distinct:
            check(pattern)
        subscriber = Subscriber(str(uuid.uuid4()), distinct, deliver, gone=gone)
        self._subscribers[subscriber.id] = subscriber
        for pattern in distinct:
            if wild(pattern):
                self._wild.setdefault(pattern, {})[subscriber.id] = subscriber
            else:
                self._exact.setdefault(pattern, {})[subscriber.id] = subscriber
                self._topics.setdefault(pattern, (int(time.time()), [0]))
        return subscriber

    def unsubscribe(self, identity: str, patterns: Iterable[str] | None = None) -> int:
        """Return how many subscriptions ended; those of these patterns, or all."""
        subscriber = self._subscribers.get(identity)
        if subscriber is None:
            return 0
        ended = 0
        for pattern in list(subscriber.patterns) if patterns is None else patterns:
            if pattern not in subscriber.patterns:
                continue
            subscriber.patterns.remove(pattern)
            holder = self._wild if wild(pattern) else self._exact
            holder.get(pattern, {}).pop(identity, None)
            if not holder.get(pattern):
                holder.pop(pattern, None)
            ended += 1
        if not subscriber.patterns:
            del self._subscribers[identity]
        return ended

    def publish(self, topic: str, payload: Any, text: str, metadata: dict[str, str] | None = None) -> tuple[str, int]:
        """Return the message's id, and how many are subscribed to it."""
        if not topic:
            raise Refusal("Invalid value: Topic cannot be empty")
        receivers = dict(self._exact.get(topic, ()))
        for pattern, subscribers in self._wild.items():
            if matcher(pattern)(topic):
                receivers.update(subscribers)
        identity = str(uuid.uuid4())
        self.published += 1
        if topic in self._topics:
            self._topics[topic][1][0] += 1
        if receivers:
            message = Published(topic, payload, text, identity, int(time.time()), metadata)
            for subscriber in list(receivers.values()):
                self._hand(subscriber, message)
        self.delivered += len(receivers)
        return identity, len(receivers)

    def _hand(self, subscriber: Subscriber, message: Published) -> None:
        if subscriber.deliver is None:
            return
        if len(subscriber.waiting) >= BUFFER:
            self.slow += 1
            self.unsubscribe(subscriber.id)
            if subscriber.gone is not None:
                subscriber.gone()
            return
        subscriber.waiting.append(message)
        subscriber.deliver()
