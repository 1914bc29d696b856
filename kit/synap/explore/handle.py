"""A room in a notebook: a log whose `append` is also called `publish`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ...core.log.declared import READING, Extra, Gap, formerly
from ...core.log.log import Log
from ..errors import SynapInputError

if TYPE_CHECKING:
    import pandas as pd  # noqa: F401 - of the base class

    from ...core.completion import Names
    from ..client.client import SynapClient
    from .log_source import RoomRange


class Room(Log["pd.DataFrame"]):
    """A handle on a room; no traffic before a verb is called. Made by `syn["name"]`.

    An append returns a row for each event, with its `offset`. If the beginning of a room was dropped, a read begins
    with the oldest event that is left, and `df.attrs["missed"]` counts the others. Times are whole seconds, as the
    server stores them.
    """

    word = "room"
    extras = (
        Extra("subscriber_id", "kit", "str", "who reads, as the server's figures tell it.", (*READING, "tail")),
        Extra("event", "event", "str", "the name of all events; a column `event` has a name for each.", ("append",)),
    )
    lacks = {"to_dask": Gap("a room is read in one process only", ".to_parquet(path), and kit.scan(path).to_dask()")}
    refuse = SynapInputError
    answer = "pd.DataFrame"
    shown = ".read(limit=100), .tail(), .publish(df), .live()"

    read = formerly(Log.read, "decode", "body")
    tail = formerly(Log.tail, "decode", "body")
    publish = Log.append

    def __init__(self, client: SynapClient, name: str, names: Names | None = None) -> None:
        super().__init__(name, partial(_source, client, name, names), names)


def _source(client: SynapClient, room: str, names: Names | None, **extras: Any) -> RoomRange:
    from .log_source import RoomRange

    return RoomRange(client, room, names, **extras)
