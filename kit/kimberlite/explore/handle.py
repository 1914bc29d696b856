"""A stream of events in a notebook: a log with verbs of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ...core.log.declared import READING, Extra
from ...core.log.log import Log
from ..client.stream_registry import StreamLike
from ..errors import KimberliteInputError

if TYPE_CHECKING:
    import pandas as pd  # noqa: F401 - of the base class

    from ...core.completion import Names
    from ..client.client import Client
    from ..client.subscription import Subscription
    from ..types import Position
    from .log_source import StreamRange

_TIMES = (
    "whether to ask when events were stored. The protocol does not carry it: `time` is missing unless the server tells"
    ' it otherwise, as the lab\'s does; `df.attrs["time"]` says so.'
)


class Stream(Log["pd.DataFrame"]):
    """A handle on a stream; no traffic before a verb is called. Made by `k["name"]`.

    An append returns a row for each batch, with `first` and `count`, and creates the stream if it does not exist.
    """

    extras = (
        Extra("times", True, "bool", _TIMES, (*READING, "tail")),
        Extra(
            "expected_offset",
            None,
            "Position | int | None",
            "nothing is written unless the stream has that length.",
            ("append",),
        ),
        Extra("audit", None, "Audit | None", "who does it, and why.", ("append",)),
    )
    refuse = KimberliteInputError
    answer = "pd.DataFrame"

    def __init__(self, client: Client, name: StreamLike, names: Names | None = None) -> None:
        super().__init__(name, partial(_source, client, name), names)
        self._client = client

    def subscribe(self, start: Position | int | None = None, **options: Any) -> Subscription:
        """Return the events as they come, from now on or from a position on. See `Client.subscribe`."""
        from .streams import found

        return self._client.subscribe(None, found(self._client, self.name), from_position=start, **options)


def _source(client: Client, name: StreamLike, **extras: Any) -> StreamRange:
    from .log_source import StreamRange

    return StreamRange(client, name, **extras)
