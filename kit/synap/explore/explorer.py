"""Synap in a notebook: keys, queues, rooms, topics and metrics as DataFrames."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ...core import progress
from ...core.completion import Handles, Listing, Names
from ...core.environment import Environment, missing, origin
from ...core.errors import Interrupted, KitError, warn
from ...core.explorer import Explorer
from ...core.faces import state_of
from ...core.log.declared import named
from ...core.log.looking import LookingThrough
from ...core.secrets import Secret, hidden, masked
from ...core.words import nearest
from .. import inputs
from ..client.client import SynapClient
from ..client.operations import Operation
from ..client.settings import credential
from ..client.subscription import Subscription
from ..errors import SynapError, SynapInputError
from ..types import QueueMessage
from .handle import Room

if TYPE_CHECKING:
    import pandas as pd

    from ...core.log.copying.copied import Copied
    from ...core.tables.frames import BodyMode
    from ...live.view import LiveView

T = TypeVar("T")
Kind = Literal["auto", "room", "topic", "queue"]


CLIENT = SynapClient


def connect(
    environment: Environment | Mapping[str, str],
    *,
    url: str | None = None,
    api_key: str | Secret | None = None,
    username: str | None = None,
    password: str | Secret | None = None,
    rpc_url: str | None = None,
    **options: Any,
) -> Synap:
    """Return what `kit.connect("synap", ...)` gives; further options are those of `kit.synap.SynapClient`."""
    environment = Environment(environment)
    url, rpc_url, api_key, password = masked(url), masked(rpc_url), hidden(api_key), hidden(password)
    named, named_rpc = environment.address("SYNAP_URL"), environment.address("SYNAP_RPC_URL")
    api_key, username, password = credential(url, api_key, username, password, environment)
    url = url or named
    if rpc_url is None and named and url and origin(url) == origin(named) and not url.startswith("synap://"):
        rpc_url = named_rpc
    lacking = missing("synap", (url, "an address", "url", "SYNAP_URL"))
    if lacking is not None:
        raise lacking
    return Synap(SynapClient(url, api_key=api_key, username=username, password=password, rpc_url=rpc_url, **options))


class Synap(Explorer[SynapClient], Handles[str, Room], LookingThrough):
    """Explore Synap: every verb returns a DataFrame.

    `client` is the plain client. `syn["room"]` is a handle on a room; Tab completes the names of rooms. The server
    cannot show a queue's messages without removing them: `queues()` gives the figures of queues, and
    `client.queue.consume(...)` takes one message.
    """

    service = "synap"
    title = "Synap"
    tree = "kit.synap.explore.browsing"
    shown = ".keys(), .queues(), .streams(), .topics()"
    tries = (
        (".keys(prefix), .get(keys)", "what is stored, a row per key"),
        (".queues()", "depth, in flight, dead letters of each queue"),
        (".streams(), .read(room, start=, limit=)", "rooms, and their events as a DataFrame"),
        (".topics(), .subscribe(topics)", "who listens to what; messages as they come"),
        (".live(room), .live(topics=[...])", "a live view of a room, or of topics"),
        (".publish(room_queue_or_topic, df)", "the rows of a DataFrame as events or messages"),
        (".metrics(), .server()", "how the server is"),
    )

    def __init__(self, client: SynapClient) -> None:
        super().__init__(client)
        self._names = Names(client.stream.list)
        queues, topics = Names(client.queue.list), Names(client.pubsub.topics)
        self.queues = Listing("queues", self._all_queues, self._queue, queues)
        """The queues: call it for a frame, index it for the row of one."""
        self.streams = Listing("rooms", self._all_rooms, self.__getitem__, self._names)
        """The rooms: call it for a frame, index it for a handle on one."""
        self.topics = Listing("topics", self._all_topics, self._topic, topics)
        """The topics: call it for a frame, index it for the row of one."""
        self._listed = (self._names, queues, topics)

    def keys(self, prefix: str = "", limit: int | None = None) -> pd.DataFrame:
        """Return one row per key with this prefix: `key`. With `limit`, up to that many of them, in any order."""
        from .tables import key_frame

        return key_frame(self.client.kv.scan(prefix, limit))

    def get(
        self,
        keys: str | Iterable[str],
        body: BodyMode = "auto",
        *,
        types: Mapping[str, Any] | None = None,
        ttl: bool = True,
    ) -> pd.DataFrame:
        """Return one row per key, in order: key, type, ttl (seconds left), and the value in the form that `body` says.

        `type` is "json", "integer", "text", "bytes", or "missing". JSON objects become columns, as everywhere.
        `ttl=False` leaves the seconds out, which are one question more for each key.
        """
        from .tables import value_frame

        several: Iterable[Any] = [keys] if isinstance(keys, str | bytes) else keys
        # As text, bytes and None would be names of other keys.
        unsure = [key if key is None or isinstance(key, bytes) else str(key) for key in several]
        names = [inputs.name(key, "a key") for key in unsure]
        values = self.client.kv.mget(names)
        left = self._run(_ttls(names)) if ttl else None
        return value_frame(names, values, left, body, types)

    def _all_queues(self) -> pd.DataFrame:
        """Return one row per queue: queue, depth, in_flight, dead_letters, consumers, and counters since it was made.

        `depth` counts ready messages; `in_flight` those that were delivered and not acknowledged. Dead letters are only
        counted: the server shows them nowhere.
        """
        from .tables import queue_frame

        return queue_frame(self._run(_stats_of("queue", self.client.queue.list())), time.time())

    def _queue(self, queue: str) -> pd.DataFrame:
        """Return the row of one queue."""
        from .tables import queue_frame

        return queue_frame([(queue, self.client.queue.stats(queue))], time.time())

    def drain(
        self,
        queue: str,
        limit: int,
        consumer_id: str = "kit",
        body: BodyMode = "auto",
        *,
        types: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Take up to `limit` messages, and acknowledge each: message_id, priority, retries, then the bodies.

        If it breaks off, the error's `partial` holds the messages that were taken.
        """
        from .tables import message_frame

        most = inputs.whole(limit, "limit")
        message_frame([], body, queue, types)  # what is refused of these must not cost messages
        taken: list[QueueMessage] = []
        try:
            while len(taken) < most and (message := self.client.queue.consume(queue, consumer_id)) is not None:
                taken.append(message)
                self.client.queue.ack(queue, message.message_id)
        except KeyboardInterrupt:
            raise Interrupted(message_frame(taken, body, queue, types), "messages") from None
        except KitError as error:
            error.partial = message_frame(taken, body, queue, types)  # type: ignore[attr-defined]
            raise
        return message_frame(taken, body, queue, types)

    def move(
        self,
        queue: str,
        to: Any,
        limit: int | None = None,
        *,
        mask: Mapping[str, Any] | None = None,
        mask_key: bytes | str | None = None,
        consumer_id: str = "kit",
    ) -> Copied:
        """Move messages of a queue to a log, or to another queue by its name, and return what was done.

        A message is acknowledged when it is there, and goes back to its queue where it is not, so none is lost. So
        what waits in a queue of dead letters goes back to where it came from: `syn.move("jobs-dead", "jobs")`.
        As many are moved as were ready at the beginning, or `limit`. `mask` hides values on the way, as in `copy_to`.
        Those whose acknowledgement failed are there and come again: `uncertain` counts them.

        >>> import kit
        >>> with kit.Lab("synap", join=False) as lab:
        ...     _ = lab.synap.client.queue.create("done"), lab.synap.client.queue.create("again")
        ...     _ = lab.synap.publish("done", [{"job": 1}, {"job": 2}])
        ...     lab.synap.move("done", "again").records
        2
        """
        from .moving import move

        if not isinstance(to, str) and not callable(getattr(to, "source", None)):
            raise SynapInputError(
                f"{type(to).__name__} is neither a log nor a queue", hint="give a handle, or a queue's name"
            )
        target = to if isinstance(to, str) else to.source()
        return move(self.client, queue, target, limit, mask, mask_key, consumer_id)

    def _all_rooms(self) -> pd.DataFrame:
        """Return one row per room: room, events, first and last offset, subscribers, published, created, generation."""
        from .tables import room_frame

        return room_frame(self._run(_stats_of("stream", self.client.stream.list())), time.time())

    read = named(Room.read, "room")
    _log_column = "room"

    def _logs(self, prefix: str) -> dict[str, Room]:
        return {name: self[name] for name in self.client.stream.list() if name.startswith(prefix)}

    def _all_topics(self) -> pd.DataFrame:
        """Return one row per topic that has been subscribed to by name: topic, subscribers, messages, created.

        Patterns with `*` and `#` are not listed by the server; `metrics()` counts them.
        """
        from .tables import topic_frame

        names = self.client.pubsub.topics()
        rows = [] if state_of(self.client).settings.native else self._run(_stats_of("pubsub", names))
        return topic_frame(names, rows)

    def _topic(self, topic: str) -> pd.DataFrame:
        """Return the row of one topic."""
        from .tables import topic_frame

        return topic_frame([topic], [(topic, self.client.pubsub.info(topic))])

    def subscribe(self, topics: str | Iterable[str], **options: Any) -> Subscription:
        """Return the messages of topics as they come: `for message in syn.subscribe("orders.*")`."""
        return self.client.pubsub.subscribe([topics] if isinstance(topics, str) else topics, **options)

    def live(
        self,
        room: str | None = None,
        *,
        topics: str | Iterable[str] | None = None,
        start: Any = None,
        body: BodyMode = "auto",
        where: Any = None,
        types: Mapping[str, Any] | None = None,
        rows: int = 20,
        max_rows: int | None = None,
        max_bytes: int | None = None,
        from_checkpoint: Any = None,
        **columns: Any,
    ) -> LiveView:
        """Return a live view of a room, `syn.live("room")`, or of topics, `syn.live(topics=["orders.*"])`.

        A room is followed from now on, or from `start` on, as in `read`. Topics store nothing: what is published
        while the connection is lost does not come, and the view tells the gap. `where`, or `column=value` here, says
        which rows to keep; see `kit.Feed` for this and for the bounds. `from_checkpoint` continues in a room.
        """
        from ...live.feed.adapters import source_of
        from ...live.view import live
        from .feeding import TopicSource

        if (room is None) == (topics is None):
            raise SynapInputError("name a room, or topics", hint='syn.live("room"), or syn.live(topics=["orders.*"])')
        if room is not None:
            options = (
                {"body": body, "types": types} if start is None else {"start": start, "body": body, "types": types}
            )
            source = source_of(self[room], **options)
        else:
            if start is not None or from_checkpoint is not None:
                raise SynapInputError(
                    "topics store no messages to start from", hint="start= and from_checkpoint= are for rooms"
                )
            assert topics is not None
            source = TopicSource(self.client, [topics] if isinstance(topics, str) else list(topics), body, types)
        bounds = {"max_rows": max_rows, "max_bytes": max_bytes, "from_checkpoint": from_checkpoint}
        return live(source, rows, where, bounds, columns)

    def watch_queue(self, *queues: str, every: float = 1.0, rows: int = 20, max_rows: int | None = None) -> LiveView:
        """Return a live view of queues, with a row for each queue every few seconds.

        Their messages cannot be looked at without taking them; these are the figures that `queues()` gives.
        """
        from ...live.view import live
        from .watching import QueueSource

        return live(QueueSource(self.client, queues, every), rows, None, {"max_rows": max_rows}, {})

    def publish(
        self,
        target: str,
        data: Any,
        kind: Kind = "auto",
        *,
        event: str = "event",
        body: str | None = None,
        priority: int | None = None,
    ) -> pd.DataFrame:
        """Publish values, and return one row for each: its `offset`, `message_id` or number of `subscribers`.

        `data` is a DataFrame or a Series, or values, one or many. A frame's rows become JSON objects, unless `body`
        names the column of the values; a column `event` names each event of a room. With `kind="auto"` the target is
        the room or the queue of that name, and a topic if there is neither.
        """
        from .bulk import in_parts, values_of
        from .tables import published_frame

        target = inputs.name(target, "a target")
        values, events = values_of(data, body, event)
        chosen = self._kind_of(target) if kind == "auto" else kind
        client = self.client
        sends: dict[str, Callable[[int, list[Any]], list[Any]]] = {
            "room": lambda at, some: client.stream.publish_many(target, zip(events[at:], some, strict=False)),
            "queue": lambda at, some: client.queue.publish_many(target, some, priority),
            "topic": lambda at, some: self._run(_publish_all(target, some)),
        }
        if chosen not in sends:
            raise SynapInputError(f"kind={kind!r} is not a kind", hint='choose "room", "queue", "topic" or "auto"')
        with progress.bar(len(values), what=f"publish to {target}"[:40], unit=" messages") as bar:
            results = in_parts(values, sends[chosen], bar.update)
        for names in self._listed:
            names.forget()
        if kind == "auto" and chosen == "topic" and results and not any(results):
            warn(f"nothing has subscribed to {target!r}: a topic stores no messages, so these are lost")
        return published_frame(target, chosen, results)

    def _kind_of(self, target: str) -> Kind:
        rooms, queues = self.client.stream.list(), self.client.queue.list()
        if target in rooms and target in queues:
            raise SynapInputError(f"a room and a queue are called {target!r}", hint='give kind="room" or kind="queue"')
        if target in rooms or target in queues:
            return "room" if target in rooms else "queue"
        if target not in self.client.pubsub.topics() and (near := nearest(target, [*queues, *rooms])):
            # A topic stores nothing: messages meant for a queue would be lost.
            raise SynapInputError(
                f"there is no queue, room or topic {target!r}; {near}",
                hint='for a topic give kind="topic"',
            )
        return "topic"

    def metrics(self) -> pd.DataFrame:
        """Return the server's figures as tidy rows: time, metric, value, unit, and a column per label.

        They are those of `/metrics`, of `/info`, and of the counters of keys, queues, rooms and topics.
        """
        from .tables import metric_frame

        client = self.client
        info: Mapping[str, Any] = {}
        figures = client.metrics()
        try:
            info = client.info()
        except SynapError as error:
            if error.status_code not in (401, 403):
                raise
        beside = {"kv": client.kv.stats(), "pubsub": client.pubsub.stats()}
        return metric_frame(figures, info, beside, time.time())

    def server(self) -> pd.DataFrame:
        """Return one row about the server: address, version, uptime, transport."""
        from ...core.tables.frames import from_rows

        health = self.client.health()
        info = self.client.info("server").get("server", {})
        return from_rows(
            [
                {
                    "address": state_of(self.client).settings.url,
                    "version": health.get("version"),
                    "status": health.get("status"),
                    "uptime_seconds": info.get("uptime_in_seconds"),
                    "synaprpc": bool(state_of(self.client).driver.bulk),
                }
            ]
        )

    def _run(self, operation: Operation[T]) -> T:
        result: T = state_of(self.client).driver.run(operation)
        return result

    def __missing__(self, room: str) -> Room:
        return Room(self.client, inputs.name(room, "a room"), self._names)

    def _where(self) -> str:
        """Return the address."""
        return state_of(self.client).settings.url


def _ttls(keys: list[str]) -> Operation[list[int | None]]:
    """Return the seconds left; None without an expiry, or without a key."""
    from ..client.operations import Bulk, Calls, Do, Many

    if (yield Bulk()):
        values = yield Calls([("TTL", (key,)) for key in keys])
        return [value if type(value) is int and value >= 0 else None for value in _but_missing(values)]
    answers = yield Many([Do("kv.ttl", {"key": key}) for key in keys])
    return [answer.get("ttl") if isinstance(answer, Mapping) else None for answer in _but_missing(answers)]


def _but_missing(results: list[Any]) -> list[Any]:
    for result in results:
        if isinstance(result, SynapError) and result.status_code != 404:
            raise result
    return results


def _stats_of(family: str, names: list[str]) -> Operation[list[tuple[str, Mapping[str, Any]]]]:
    """Return the figures of each; those deleted in the meantime are left out."""
    from ..client.operations import Do, Many

    command, field = {
        "queue": ("queue.stats", "queue"),
        "stream": ("stream.stats", "room"),
        "pubsub": ("pubsub.info", "topic"),
    }[family]
    answers = (yield Many([Do(command, {field: name}) for name in names])) if names else []
    rows = []
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, SynapError):
            if answer.status_code in (400, 404):
                continue
            raise answer
        rows.append((name, answer))
    return rows


def _publish_all(topic: str, values: list[Any]) -> Operation[list[int]]:
    from ..client.operations import Bulk, Calls, Do, member, raised

    binary = [n for n, value in enumerate(values) if isinstance(value, bytes)]
    if binary:
        raise SynapInputError(
            f"record {binary[0]} is not UTF-8, and messages of topics are JSON", hint="encode it as text"
        )
    if (yield Bulk()):
        answers = raised((yield Calls([("PUBLISH", (topic, inputs.as_text(value))) for value in values], safe=False)))
    else:
        answers = []
        for value in values:
            answers.append((yield Do("pubsub.publish", {"topic": topic, "payload": value}, safe=False)))
    return [member(answer, "subscribers_matched", int) for answer in answers]
