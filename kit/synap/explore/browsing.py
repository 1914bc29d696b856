"""Synap as a tree to browse: queues, rooms, topics, and keys by their prefixes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...live.browse.tree import Node

if TYPE_CHECKING:
    import pandas as pd

    from .explorer import Synap

_MOST_KEYS = 1000


def root(syn: Synap) -> Node:
    """Return the server."""
    return Node(
        "Synap",
        "server",
        "syn",
        children=lambda: [
            Node("queues", "", "syn.queues()", children=lambda: _queues(syn)),
            Node("rooms", "", "syn.streams()", children=lambda: _rooms(syn)),
            Node("topics", "", "syn.topics()", children=lambda: _topics(syn)),
            Node("keys", "", "syn.keys()", children=lambda: _prefixes(syn), read=lambda n: _values(syn, "", n)),
        ],
    )


def _queues(syn: Synap) -> list[Node]:
    return [_queue(syn, row) for row in syn.queues().to_dict("records")]


def _queue(syn: Synap, row: dict[Any, Any]) -> Node:
    name = str(row["queue"])
    figures = {key: value for key, value in row.items() if key not in ("queue", "time")}
    # Messages cannot be read without removing them from the queue, so there is nothing to show.
    watch = getattr(syn, "watch_queue", None)
    live = None if watch is None else lambda: watch(name)
    return Node(name, "queue", f"syn.queues[{name!r}]", details=lambda: figures, live=live)


def _rooms(syn: Synap) -> list[Node]:
    return [_room(syn, row) for row in syn.streams().to_dict("records")]


def _room(syn: Synap, row: dict[Any, Any]) -> Node:
    name = str(row["room"])
    figures = {key: value for key, value in row.items() if key not in ("room", "time")}
    live = (lambda: syn.live(name)) if hasattr(syn, "live") else None
    room = syn[name]
    return Node(
        name,
        "room",
        f"syn[{name!r}]",
        details=lambda: figures,
        read=lambda n: room.tail(n),
        live=live,
        log=lambda: room,
    )


def _topics(syn: Synap) -> list[Node]:
    return [_topic(syn, row) for row in syn.topics().to_dict("records")]


def _topic(syn: Synap, row: dict[Any, Any]) -> Node:
    name = str(row["topic"])
    figures = {key: value for key, value in row.items() if key != "topic"}
    live = (lambda: syn.live(topics=[name])) if hasattr(syn, "live") else None
    return Node(name, "topic", f"syn.live(topics=[{name!r}])", details=lambda: figures, live=live)


def _prefixes(syn: Synap) -> list[Node]:
    """Return keys are many: they are grouped by what stands before the first colon."""
    groups: dict[str, int] = {}
    for key in syn.keys(limit=_MOST_KEYS)["key"]:
        before, colon, _ = str(key).partition(":")
        groups[before + colon] = groups.get(before + colon, 0) + 1
    return [_prefix(syn, prefix, count) for prefix, count in sorted(groups.items())]


def _prefix(syn: Synap, prefix: str, count: int) -> Node:
    return Node(
        prefix,
        "keys",
        f"syn.get(syn.keys({prefix!r})['key'])",
        details=lambda: {"keys": f"{count:,} of the first {_MOST_KEYS:,}"},
        read=lambda n: _values(syn, prefix, n),
    )


def _values(syn: Synap, prefix: str, n: int) -> pd.DataFrame:
    return syn.get([str(key) for key in syn.keys(prefix, limit=n)["key"]])
