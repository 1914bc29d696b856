"""Topics: `client.pubsub`."""

from __future__ import annotations

from builtins import list as List
from collections.abc import Iterable, Mapping
from typing import Any

from ...core.faces import AsyncFace, SyncFace, verb
from .. import inputs
from ..errors import SynapInputError
from ..types import Stats
from .operations import Do, Operation, member, stats_of
from .state import ClientState, Part
from .subscription import Subscription


class PubSub(Part):
    """Messages to current subscribers; nothing is stored, and nothing is delivered twice.

    Topics have segments between dots. In a subscription, `*` stands for one segment or a part of one, and `#` at the
    end for any number of segments.
    """

    @verb
    def publish(self, topic: str, message: Any, metadata: Mapping[str, str] | None = None) -> Operation[int]:
        """Publish a message; return how many subscriptions match. The server does not confirm deliveries.

        `message` is any JSON value. `metadata`, texts by name, goes over HTTP only.
        """
        payload: dict[str, Any] = {"topic": inputs.name(topic, "a topic"), "payload": inputs.data(message)}
        if isinstance(payload["payload"], bytes):
            raise SynapInputError("a message that is not UTF-8 cannot be sent as JSON", hint="encode it as text")
        if metadata is not None:
            payload["metadata"] = inputs.texts(metadata, "metadata")
            if self._state.settings.native:
                inputs.once("metadata", "over synap:// a message has no metadata; it had no effect")
        return member((yield Do("pubsub.publish", payload, safe=False)), "subscribers_matched", int)

    def subscribe(self, topics: Iterable[str], *, buffer: int = 100_000) -> Subscription:
        """Return the messages as they come: `async for message in client.pubsub.subscribe(["orders.*"])`.

        It works with both clients, also in a plain `for`. It ends with `break` or `close()`. A lost connection is
        opened again, as often as necessary; messages published in the meantime are lost, and `gaps` counts these
        losses.
        """
        self._state.driver.check_open()
        patterns = inputs.names(topics, "topic")
        if not patterns:
            raise SynapInputError("no topic is given")
        if any("," in topic for topic in patterns) and not self._state.settings.native and not self._state.settings.rpc:
            raise SynapInputError("a topic with a comma cannot be subscribed to over a WebSocket", hint="give rpc_url=")
        return Subscription(self._state.driver, patterns, inputs.whole(buffer, "buffer", 1))

    @verb
    def topics(self) -> Operation[List[str]]:
        """Return the topics that have been subscribed to by name, sorted; patterns are not included."""
        return sorted(member((yield Do("pubsub.topics", {})), "topics", List))

    @verb
    def stats(self) -> Operation[Stats]:
        """Return total_topics, total_subscribers, messages_published, messages_delivered, and more."""
        return stats_of((yield Do("pubsub.stats", {})))

    @verb
    def info(self, topic: str) -> Operation[Stats]:
        """Return subscriber_count, message_count and created_at of a topic. Over HTTP only."""
        return stats_of((yield Do("pubsub.info", {"topic": inputs.name(topic, "a topic")})))

    @verb
    def unsubscribe(self, subscriber_id: str, topics: Iterable[str] | None = None) -> Operation[int]:
        """End a subscriber's subscriptions; return how many. Only needed for subscriptions that were not closed."""
        payload: dict[str, Any] = {"subscriber_id": inputs.name(subscriber_id, "a subscriber")}
        if topics is not None:
            payload["topics"] = inputs.names(topics, "topic")
            if not payload["topics"]:  # the server would take it for all of them
                raise SynapInputError("no topic is given", hint="leave topics= out to end all of them")
        return member((yield Do("pubsub.unsubscribe", payload)), "unsubscribed", int)


class SyncPubSub(PubSub, SyncFace[ClientState]):
    """The topics of a client whose calls block."""


class AsyncPubSub(PubSub, AsyncFace[ClientState]):
    """The topics of a client whose calls are awaited."""
