"""A stream in a notebook: a log, and what else can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from ...core.log.declared import READING, Extra
from ...core.log.log import Log
from ..client.basin import SyncS2Basin
from ..client.stream import SyncS2Stream
from ..configs import StreamConfig
from ..errors import S2InputError
from ..positions import StreamPosition
from ..types import AppendAck, AppendInput, CommandRecord

if TYPE_CHECKING:
    from ...core.completion import Names
    from .log_source import StreamRange

_COMMANDS = "command records (fences, trims) are included; by default they are left out."
_APPEND = {
    "timestamp": ("str | None", "the column of the records' times; S2 keeps milliseconds since 1970, rounded down."),
    "headers": ("str | None", "the column of the records' headers."),
    "match_seq_num": (
        "int | None",
        "nothing is written unless this is the tail; with several batches, each follows the one before.",
    ),
    "fencing_token": ("str | None", "nothing is appended unless the stream is fenced with this."),
}


class Stream(Log[AppendAck]):
    """A handle on a stream; no traffic before a verb is called. Made by `s2["basin"]["stream"]`.

    `client` is the plain client's handle, for what has no verb here.
    """

    extras = (
        Extra("commands", False, "bool", _COMMANDS, (*READING, "live")),
        Extra("commands", True, "bool", _COMMANDS, ("tail",)),
        *(Extra(name, None, kind, says, ("append",)) for name, (kind, says) in _APPEND.items()),
    )
    refuse = S2InputError
    answer = "AppendAck"
    more: ClassVar = ((".fence(token), .trim(n), .config()", "orders to the service"),)

    def __init__(self, client: SyncS2Stream, basin: SyncS2Basin, siblings: Names, basins: Names) -> None:
        self.client = client
        self._basin = basin
        self._explained = partial(_explained, basin.name, client.name, siblings, basins)
        super().__init__(client.name, partial(_source, client, basin.name, self._explained), siblings)

    def position(self) -> StreamPosition:
        """Return the tail: the sequence number that the next record will get, and the timestamp of the last one."""
        with self._explained():
            return self.client.check_tail()

    def fence(self, token: str) -> AppendAck:
        """Fence the stream: from here on, appends that name another fencing token fail. An empty token lifts it."""
        return self.client.append(AppendInput([CommandRecord.fence(token)]))

    def trim(self, before: int) -> AppendAck:
        """Remove the records before this sequence number; the service does so after a while."""
        return self.client.append(AppendInput([CommandRecord.trim(before)]))

    def config(self) -> StreamConfig:
        """Return the configuration of the stream, defaults included."""
        return self._basin.get_stream_config(self.name)

    def reconfigure(self, config: StreamConfig) -> StreamConfig:
        """Change the given fields; return the new configuration of the stream."""
        return self._basin.reconfigure_stream(self.name, config=config)

    def _title(self) -> str:
        return f"{self.name} of {self._basin.name}"


@contextmanager
def _explained(basin: str, stream: str, streams: Names, basins: Names) -> Iterator[None]:
    """Explain that a basin or stream does not exist, with the nearest names."""
    with (
        basins.explained(basin, "s2.basins()", "basin_not_found"),
        streams.explained(stream, f"s2[{basin!r}].streams()", "stream_not_found"),
    ):
        yield


def _source(
    client: SyncS2Stream, basin: str, explained: Callable[[], AbstractContextManager[None]], **extras: Any
) -> StreamRange:
    from .log_source import StreamRange

    return StreamRange(client, basin, explained, **extras)
