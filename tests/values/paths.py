"""The three logs, and all the ways to read them, with what they show in one form that can be compared."""

from __future__ import annotations

import tempfile
import uuid
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

import kit

from .model import rendered

try:
    import polars as pl
except ImportError:
    pl = None

Shown = dict[str, tuple[str, list[Any]]]


def kind_of(kind: pa.DataType) -> str:
    """Return an Arrow type in the model's words."""
    return rendered(_plain(kind))


def _plain(kind: pa.DataType) -> Any:
    types = pa.types
    if types.is_dictionary(kind):
        return _plain(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind):
        return ("list", _plain(kind.value_type))
    if types.is_struct(kind):
        return ("struct", {field.name: _plain(field.type) for field in kind})
    if types.is_large_string(kind) or types.is_string_view(kind):
        return "string"
    if types.is_large_binary(kind) or types.is_binary_view(kind):
        return "binary"
    return str(kind)


def of_table(table: pa.Table) -> Shown:
    """Return an Arrow table's columns."""
    assert len(set(table.column_names)) == table.num_columns, table.column_names
    return {
        name: (kind_of(column.type), _values(column))
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def _values(column: Any) -> list[Any]:
    found: list[Any] = column.to_pylist()
    if pa.types.is_floating(column.type):
        return [None if value is None or value != value else value for value in found]
    return found


def of_frame(frame: pd.DataFrame) -> Shown:
    """Return a frame's columns."""
    found = {}
    for name, column in frame.items():
        array = pa.array(column, from_pandas=True)
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        if str(column.dtype) == "object":
            assert array.null_count == len(array), (name, column)
        found[name] = (kind_of(array.type), _values(array))
    assert len(found) == frame.shape[1], list(frame.columns)
    return found


@dataclass
class Log:
    """A log of one service that was made for one example."""

    service: str
    handle: Any
    append: Callable[..., Any]
    read: Callable[..., pd.DataFrame]
    taken: tuple[str, ...]
    raw: str
    position: str
    drop: Callable[[], Any] = lambda: None


class Services:
    """The explorers, and new logs in each."""

    def __init__(self, s2: Any = None, kimberlite: Any = None, synap: Any = None, *, real: bool = False) -> None:
        self.explorers = {"s2": s2, "kimberlite": kimberlite, "synap": synap}
        self.largest = {"kimberlite": 2000} if real else {}
        """Bytes of an event: the real Kimberlite fails at events that do not fit a page, after it has written them."""
        self._basin = s2.create_basin(f"values-{uuid.uuid4().hex[:12]}") if s2 is not None else None

    def log(self, service: str) -> Log:
        """Return a new log."""
        name = f"v-{uuid.uuid4().hex}"
        explorer = self.explorers[service]
        if service == "s2":
            stream = self._basin.create(name)
            return Log(
                service,
                stream,
                stream.append,
                stream.read,
                ("seq_num", "time", "headers"),
                "body",
                "seq_num",
                lambda: self._basin.delete(name),
            )
        if service == "kimberlite":
            explorer.create(name)
            handle = explorer[name]
            return Log(
                service,
                handle,
                lambda data, **o: explorer.append(name, data, **o),
                lambda **o: explorer.read(name, **o),
                ("offset", "time"),
                "body",
                "offset",
            )
        explorer.client.stream.create(name)
        room = explorer[name]
        return Log(
            service,
            room,
            room.publish,
            room.read,
            ("offset", "time", "event", "id"),
            "data",
            "offset",
            lambda: explorer.client.stream.delete(name),
        )


# --- readers ----------------------------------------------------------------------------------------------------------


def read(log: Log, mode: str, rows: int) -> Shown:
    """Return `read`."""
    return of_frame(log.read(body=mode))


def arrow(log: Log, mode: str, rows: int) -> Shown:
    """Return `arrow()`."""
    return of_table(log.handle.arrow(body=mode).read_all())


def stream(log: Log, mode: str, rows: int) -> Shown:
    """Return what takes Arrow streams is given."""
    return of_table(pa.table(log.handle))


def sql(log: Log, mode: str, rows: int) -> Shown:
    """Return `kit.sql`. Not by name: where a key is called like the position but for its case, SQL has other names."""
    return of_frame(kit.sql("select * from t order by 1", t=log.handle))


def sql_arrow(log: Log, mode: str, rows: int) -> Shown:
    """Return `kit.sql(arrow=True)`."""
    return of_table(kit.sql("select * from t order by 1", arrow=True, t=log.handle).read_all())


def live(log: Log, mode: str, rows: int) -> Shown:
    """Return a feed's frame."""
    with kit.Feed(log.handle, start=0, body=mode) as feed:
        feed.wait(n=rows, timeout=20)
        return of_frame(feed.df)


def parquet(log: Log, mode: str, rows: int) -> Shown:
    """Return `to_parquet` and `kit.scan`."""
    with tempfile.TemporaryDirectory() as folder:
        log.handle.to_parquet(Path(folder) / "x", body=mode)
        found = of_frame(kit.scan(Path(folder) / "x").read())
        again = of_table(kit.scan(Path(folder) / "x").arrow().read_all())
    assert repr(found) == repr(again), f"scan: read() and arrow() differ: {found} {again}"
    return found


def dask(log: Log, mode: str, rows: int) -> Shown:
    """Return `to_dask`."""
    return of_frame(log.handle.to_dask(partitions=min(rows, 2), body=mode).compute(scheduler="synchronous"))


def polars(log: Log, mode: str, rows: int) -> Shown:
    """Return what polars makes of it."""
    table = pl.DataFrame(log.handle.arrow(body=mode)).to_arrow()
    return of_table(table)


def quiet(reader: Callable[[Log, str, int], Shown], log: Log, mode: str, rows: int) -> Shown:
    """Return what a reader shows; what it warns of is told in the docs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return reader(log, mode, rows)
