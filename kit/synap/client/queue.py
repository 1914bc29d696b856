"""Queues of messages: `client.queue`."""

from __future__ import annotations

from builtins import list as List
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ...core.faces import AsyncFace, SyncFace, verb
from .. import inputs
from ..errors import SynapError
from ..types import QueueMessage, Stats
from ..wire import rpc_commands
from ..wire.frames import as_bytes
from .operations import Bulk, Calls, Do, Operation, member, stats_of
from .state import ClientState, Part


class Queues(Part):
    """Messages that consumers take one by one and acknowledge before a deadline.

    A message that is not acknowledged in time is delivered again, at most `max_retries` times; then it is dropped and
    counted. The server cannot show messages without removing them.
    """

    @verb
    def create(
        self,
        name: str,
        max_depth: int | None = None,
        ack_deadline_secs: int | None = None,
        *,
        default_max_retries: int | None = None,
        default_priority: int | None = None,
        prefetch_limit: int | None = None,
    ) -> Operation[bool]:
        """Create a queue and return True. One that exists keeps its settings, and the server does not tell them.

        Over `synap://` the server takes no settings; a warning says so.
        """
        config = {
            "max_depth": inputs.optional(max_depth, "max_depth"),
            "ack_deadline_secs": inputs.optional(ack_deadline_secs, "ack_deadline_secs"),
            "default_max_retries": inputs.optional(default_max_retries, "default_max_retries"),
            "default_priority": inputs.optional(default_priority, "default_priority", 0, 9),
            "prefetch_limit": inputs.optional(prefetch_limit, "prefetch_limit"),
        }
        settings = {key: value for key, value in config.items() if value is not None}
        if settings and self._state.settings.native:
            inputs.once(
                "queue settings",
                f"over synap:// a queue is made with the server's own settings; {', '.join(settings)} had no effect. "
                "An http:// client can give them",
            )
        if settings and not {"max_depth", "ack_deadline_secs", "prefetch_limit"} & set(settings):
            # The server ignores the others unless one of these is given; this is its own default.
            settings["prefetch_limit"] = 0
        yield Do("queue.create", {"name": inputs.name(name, "a queue"), "config": settings})
        return True

    @verb
    def publish(
        self, queue: str, payload: Any, priority: int | None = None, max_retries: int | None = None
    ) -> Operation[str]:
        """Publish a message; return its id. Bytes are sent unchanged, text as UTF-8, everything else as JSON.

        `priority` is from 0 to 9, 9 first. Never sent twice by itself: an error of the connection leaves open
        whether it is there.
        """
        return member((yield _publish(queue, payload, priority, max_retries)), "message_id", str)

    @verb
    def publish_many(
        self,
        queue: str,
        payloads: Iterable[Any],
        priority: int | None = None,
        max_retries: int | None = None,
        *,
        ordered: bool = False,
    ) -> Operation[List[str]]:
        """Return the ids, in the order of the payloads.

        Over SynapRPC many messages are under way at once, and the protocol lets a server take them in another order;
        `ordered=True` waits for each before it sends the next, as HTTP always does. When one fails, its error is
        raised; `published` of it holds the ids, None for those without one.
        """
        encoded = [inputs.payload(payload) for payload in inputs.several(payloads, "payloads")]
        ids: List[str] = []
        if not encoded:
            return ids
        shape = _publish(queue, b"", priority, max_retries)
        results: List[Any] = []
        if not ordered and len(encoded) > 1 and (yield Bulk()):
            name, _, *tail = rpc_commands.call_of(shape.command, shape.payload)[1]
            calls = [("QPUBLISH", (name, payload, *tail)) for payload in encoded]
            results = yield Calls(calls, safe=False, resource=name)
        else:
            for payload in encoded:
                try:
                    answer = yield replace(shape, payload={**shape.payload, "payload": payload})
                    results.append(member(answer, "message_id", str))
                except SynapError as failure:
                    results += [failure, *[None] * (len(encoded) - len(results) - 1)]
                    break
        failed = [result for result in results if isinstance(result, SynapError)]
        if failed:
            error = failed[0]
            error.published = [result if isinstance(result, str) else None for result in results]
            raise error
        ids += results
        return ids

    @verb
    def consume(self, queue: str, consumer_id: str) -> Operation[QueueMessage | None]:
        """Return the next message, or None if there is none. It is never retried, as each request takes a message.

        To a queue that does not exist the server answers like to an empty one; so the first empty answer of each queue
        is followed by a look whether it exists, and an error (404) where it does not.
        """
        queue = inputs.name(queue, "a queue")
        payload = {"queue": queue, "consumer_id": inputs.name(consumer_id, "a consumer")}
        answer = yield Do("queue.consume", payload, safe=False)
        message = answer.get("message") if isinstance(answer, Mapping) else None
        known = self._state.known_queues
        if message is not None:
            known.add(queue)
            return _message(message)
        if queue not in known:
            yield Do("queue.stats", {"queue": queue})
            known.add(queue)
        return None

    @verb
    def ack(self, queue: str, message_id: str) -> Operation[bool]:
        """Acknowledge a message and return True. One that was acknowledged before, or too late, is an error (404)."""
        payload = {"queue": inputs.name(queue, "a queue"), "message_id": inputs.name(message_id, "a message's id")}
        yield Do("queue.ack", payload, safe=False)
        return True

    @verb
    def nack(self, queue: str, message_id: str, requeue: bool = True) -> Operation[bool]:
        """Return a message to the end of the queue and return True; `requeue=False` drops it, uncounted."""
        payload = {
            "queue": inputs.name(queue, "a queue"),
            "message_id": inputs.name(message_id, "a message's id"),
            "requeue": inputs.flag(requeue, "requeue"),
        }
        yield Do("queue.nack", payload, safe=False)
        return True

    @verb
    def list(self) -> Operation[List[str]]:
        """Return the names of all queues, sorted."""
        return sorted(member((yield Do("queue.list", {})), "queues", List))

    @verb
    def stats(self, queue: str) -> Operation[Stats]:
        """Return depth (ready messages), consumers, published, consumed, acked, nacked, dead_lettered."""
        return stats_of((yield Do("queue.stats", {"queue": inputs.name(queue, "a queue")})))

    @verb
    def purge(self, queue: str) -> Operation[int]:
        """Return how many ready messages were thrown away; those given out are not touched."""
        payload = {"queue": inputs.name(queue, "a queue")}
        return member((yield Do("queue.purge", payload, safe=False)), "purged", int)

    @verb
    def delete(self, queue: str) -> Operation[bool]:
        """Return whether it was there."""
        queue = inputs.name(queue, "a queue")
        self._state.known_queues.discard(queue)
        return member((yield Do("queue.delete", {"queue": queue}, safe=False)), "deleted", bool)


class SyncQueues(Queues, SyncFace[ClientState]):
    """The queues of a client whose calls block."""


class AsyncQueues(Queues, AsyncFace[ClientState]):
    """The queues of a client whose calls are awaited."""


def _publish(queue: Any, payload: Any, priority: int | None, max_retries: int | None) -> Do:
    fields: dict[str, Any] = {"queue": inputs.name(queue, "a queue"), "payload": inputs.payload(payload)}
    if priority is not None:
        fields["priority"] = inputs.whole(priority, "priority", 0, 9)
    if max_retries is not None:
        fields["max_retries"] = inputs.whole(max_retries, "max_retries", 0, 2**32 - 1)
    return Do("queue.publish", fields, safe=False)


def _message(fields: Any) -> QueueMessage:
    retries = fields.get("max_retries") if isinstance(fields, Mapping) else None
    return QueueMessage(
        member(fields, "id", str),
        as_bytes(fields.get("payload")),
        member(fields, "priority", int),
        member(fields, "retry_count", int),
        retries if isinstance(retries, int) else None,
        fields.get("headers") or {},
    )
